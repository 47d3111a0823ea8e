/** Reads one shard, at most one batch ahead of the engine, so that memory stays bounded. */
import type { Position, RecordBatch, StreamReader } from '../streams/ports.ts';

/** The situation when a read begins. */
export interface Asked {
  /** The run stops at the end of the stream; only then does a tip count as the end. */
  readonly toEnd: boolean;
  /** Event time of the shards with records, epoch ms; a shard found idle now counts as having reached it (W5). */
  readonly reached: number;
}

export class Feed {
  readonly shardId: string;
  readonly #reader: StreamReader;
  readonly #limit: number;
  readonly #now: () => Asked;
  #next: Promise<RecordBatch>;
  #nextAsked!: Asked;
  #stopped = false;
  /** The situation when the last batch taken was requested. */
  asked!: Asked;
  /** Whether the next batch has arrived. */
  ready = false;

  constructor(reader: StreamReader, shardId: string, position: Position, limit: number, now: () => Asked) {
    this.shardId = shardId;
    this.#reader = reader;
    this.#limit = limit;
    this.#now = now;
    this.#next = this.#read(position);
  }

  /** Resolves to the next batch and requests the one after it, unless the shard is at its tip or its end. */
  async take(): Promise<RecordBatch> {
    this.asked = this.#nextAsked;
    const batch = await this.#next;
    if (!batch.atTip && !batch.ended && !this.#stopped) this.#next = this.#read(batch.next);
    return batch;
  }

  /** Requests no further batches. */
  stop(): void {
    this.#stopped = true;
  }

  /** Reads again from `position`, for records that have arrived since. */
  poll(position: Position): void {
    this.#next = this.#read(position);
  }

  #read(position: Position): Promise<RecordBatch> {
    this.#nextAsked = this.#now();
    this.ready = false;
    const read = this.#reader.read(this.shardId, position, this.#limit);
    const settled = () => {
      this.ready = true;
    };
    // A failed read is reported by `take`.
    read.then(settled, settled);
    return read;
  }
}
