/** One shard being read: a batch ahead of the engine, and no further, so that memory stays bounded. */
import type { Position, RecordBatch, StreamReader } from '../streams/stream.ts';

/** How things stand when a read begins. */
export interface Asked {
  /** The run is to stop at the end: only then a tip is the end. */
  readonly toEnd: boolean;
  /** Event time of the shards that have records, epoch ms; a shard without records now counts as that far (W5). */
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
  /** What held when the batch taken last was asked for. */
  asked!: Asked;
  /** Whether the next batch is there. */
  ready = false;

  constructor(reader: StreamReader, shardId: string, position: Position, limit: number, now: () => Asked) {
    this.shardId = shardId;
    this.#reader = reader;
    this.#limit = limit;
    this.#now = now;
    this.#next = this.#read(position);
  }

  /** The next batch; the one after it is then on its way, unless the shard is at its tip or its end. */
  async take(): Promise<RecordBatch> {
    this.asked = this.#nextAsked;
    const batch = await this.#next;
    if (!batch.atTip && !batch.ended && !this.#stopped) this.#next = this.#read(batch.next);
    return batch;
  }

  /** Nothing is asked for any more. */
  stop(): void {
    this.#stopped = true;
  }

  /** Looks again for what has come since. */
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
    // What goes wrong is told of when the batch is taken.
    read.then(settled, settled);
    return read;
  }
}
