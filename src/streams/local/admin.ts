import { systemClock } from '../../clock.ts';
import { TaxiflowError, usageError } from '../../errors.ts';
import type { ShardDescription, StreamAdmin } from '../stream.ts';
import { LocalStream } from './log.ts';

const MOST_SHARDS = 1_000;

/** The embedded stream's side of `taxiflow stream`. */
export class LocalAdmin implements StreamAdmin {
  readonly name: string;
  readonly #target: { readonly dataDir: string; readonly name: string };

  constructor(dataDir: string, name: string) {
    this.#target = { dataDir, name };
    this.name = `local:${name}`;
  }

  async create(shards: number | undefined): Promise<void> {
    if (shards === undefined) throw usageError('--on-demand is for Kinesis streams');
    if (shards > MOST_SHARDS) throw usageError(`--shards is ${MOST_SHARDS.toLocaleString('en-US')} at most`);
    if (LocalStream.exists(this.#target.dataDir, this.#target.name)) {
      throw new TaxiflowError('stream-exists', `there is a stream ${this.name} already`, {
        hint: `look at it with "taxiflow stream describe ${this.name}", or remove it with "taxiflow stream delete ${this.name}"`,
      });
    }
    await LocalStream.open({ ...this.#target, clock: systemClock, createShards: shards }).close();
  }

  describe(): Promise<ShardDescription[]> {
    return this.#with((stream) => stream.describe());
  }

  split(shardId: string, at?: bigint): Promise<string[]> {
    return this.#with((stream) => stream.split(shardId, at));
  }

  merge(shardId: string, otherId: string): Promise<string[]> {
    return this.#with((stream) => stream.merge(shardId, otherId));
  }

  async reshard(): Promise<string[]> {
    throw usageError('reshard is for Kinesis streams', 'split and merge the shards of an embedded stream');
  }

  trim(before: number, shardId?: string): Promise<number> {
    return this.#with((stream) => stream.trim(before, shardId));
  }

  async delete(): Promise<void> {
    // Opening it first tells of a stream that isn't there.
    await this.#with(() => undefined);
    LocalStream.delete(this.#target.dataDir, this.#target.name);
  }

  close(): void {}

  async #with<T>(work: (stream: LocalStream) => T): Promise<T> {
    const stream = LocalStream.open({ ...this.#target, clock: systemClock });
    try {
      return work(stream);
    } finally {
      await stream.close();
    }
  }
}
