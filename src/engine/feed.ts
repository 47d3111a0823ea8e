/** One shard being read: a batch ahead of the engine, and no further, so that memory stays bounded. */
import type { Position, RecordBatch, StreamReader } from '../streams/stream.ts';

export class Feed {
  readonly shardId: string;
  readonly #reader: StreamReader;
  readonly #limit: number;
  readonly #untilEnd: () => boolean;
  #next: Promise<RecordBatch>;
  #nextToEnd = false;
  #stopped = false;
  /** Whether the batch taken last was asked for when the run was to stop at the end: only then its tip is the end. */
  toEnd = false;

  constructor(
    reader: StreamReader,
    shardId: string,
    position: Position,
    limit: number,
    untilEnd: () => boolean,
  ) {
    this.shardId = shardId;
    this.#reader = reader;
    this.#limit = limit;
    this.#untilEnd = untilEnd;
    this.#next = this.#read(position);
  }

  /** The next batch; the one after it is then on its way, unless the shard is at its tip or its end. */
  async take(): Promise<RecordBatch> {
    this.toEnd = this.#nextToEnd;
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
    this.#nextToEnd = this.#untilEnd();
    const read = this.#reader.read(this.shardId, position, this.#limit);
    // What goes wrong is told of when the batch is taken.
    read.catch(() => {});
    return read;
  }
}
