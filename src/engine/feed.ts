/** One shard being read: a batch ahead of the engine, and no further, so that memory stays bounded. */
import type { Position, RecordBatch, StreamReader } from '../streams/stream.ts';

export class Feed {
  readonly shardId: string;
  readonly #reader: StreamReader;
  readonly #limit: number;
  #next: Promise<RecordBatch>;
  /** True once the read under way is done. */
  ready = false;

  constructor(reader: StreamReader, shardId: string, position: Position, limit: number) {
    this.shardId = shardId;
    this.#reader = reader;
    this.#limit = limit;
    this.#next = this.#read(position);
  }

  /** The next batch; the one after it is then on its way, unless the shard is at its tip or its end. */
  async take(): Promise<RecordBatch> {
    const batch = await this.#next;
    if (!batch.atTip && !batch.ended) this.#next = this.#read(batch.next);
    return batch;
  }

  /** Looks again for what has come since. */
  poll(position: Position): void {
    this.#next = this.#read(position);
  }

  #read(position: Position): Promise<RecordBatch> {
    this.ready = false;
    const read = this.#reader.read(this.shardId, position, this.#limit);
    read.then(
      () => {
        this.ready = true;
      },
      () => {
        this.ready = true;
      },
    );
    return read;
  }
}
