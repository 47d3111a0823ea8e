/** A stream as far as a state has read it: the records up to the positions of its shards, and none behind them. */
import type { ShardProgress } from '../engine/watermarks.ts';
import type { Position, RecordBatch, Shard, StreamReader } from '../streams/ports.ts';

export class ReadSoFar implements StreamReader {
  /** What the stream no longer has of this, in words. */
  readonly lost: string[] = [];
  readonly #stream: StreamReader;
  readonly #shards: ReadonlyMap<string, ShardProgress>;

  constructor(stream: StreamReader, shards: readonly ShardProgress[]) {
    this.#stream = stream;
    this.#shards = new Map(shards.map((shard) => [shard.id, shard]));
  }

  get name(): string {
    return this.#stream.name;
  }

  get identity(): string {
    return this.#stream.identity;
  }

  /** A shard that the state has not read to its end counts as open: what is behind its position is not there yet. */
  async shards(): Promise<readonly Shard[]> {
    const listed = await this.#stream.shards();
    return listed.map((shard) => ({ ...shard, open: this.#shards.get(shard.id)?.ended !== true }));
  }

  async read(shardId: string, position: Position, limit: number): Promise<RecordBatch> {
    const shard = this.#shards.get(shardId);
    if (!shard?.ended && (shard?.position.at ?? 'trim-horizon') === 'trim-horizon') return nothing(position);
    const batch = await this.#stream.read(shardId, position, limit);
    if (batch.lost) this.lost.push(`${batch.lost} of ${shardId}`);
    if (!shard || shard.ended) return batch;
    const count = countUpTo(batch, shard.position);
    const isCut = count < batch.count;
    return {
      ...batch,
      count,
      ...(batch.packed ? { packed: packedUpTo(batch.packed, count) } : {}),
      next: isCut ? shard.position : batch.next,
      atTip: isCut || batch.atTip,
      ended: false,
    };
  }

  close(): Promise<void> {
    return this.#stream.close();
  }
}

function nothing(next: Position): RecordBatch {
  return {
    count: 0,
    data: Buffer.alloc(0),
    ends: new Uint32Array(0),
    arrivals: new Float64Array(0),
    next,
    atTip: true,
    ended: false,
    lost: undefined,
    sequenceOf: () => '',
  };
}

/** How many records of a batch are not behind a position. */
function countUpTo(batch: RecordBatch, position: Position): number {
  let [low, high] = [0, batch.count];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isRead(batch, middle, position)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isRead(batch: RecordBatch, row: number, position: Position): boolean {
  if (position.at === 'time') return batch.arrivals[row]! < position.ms;
  if (position.at !== 'after') return false;
  return BigInt(batch.sequenceOf(row).replace(/\/.*/, '')) <= BigInt(position.sequence);
}

function packedUpTo(packed: NonNullable<RecordBatch['packed']>, count: number) {
  return packed
    .filter(({ row }) => row < count)
    .map((rows) => ({ ...rows, count: Math.min(rows.count, count - rows.row) }));
}
