import { systemClock } from '../../clock.ts';
import { TaxiflowError, usageError } from '../../errors.ts';
import type { MinuteOfWrites, ShardDescription, StreamAdmin } from '../ports.ts';
import { evenRanges } from '../shards.ts';
import { deleteLocalStream, localStreamExists } from './files.ts';
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

  async create(shards: number): Promise<void> {
    checkCount(shards);
    if (await this.#exists()) {
      throw new TaxiflowError('stream-exists', `there is a stream ${this.name} already`, {
        hint: `look at it with "taxiflow stream describe ${this.name}", or remove it with "taxiflow stream delete ${this.name}"`,
      });
    }
    await LocalStream.open({ ...this.#target, clock: systemClock, createShards: shards }).close();
  }

  async #exists(): Promise<boolean> {
    try {
      await this.#with(() => undefined);
      return true;
    } catch (error) {
      if (error instanceof TaxiflowError && error.code === 'no-stream') return false;
      throw error;
    }
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

  /** Splits at the edges of even ranges, then merges what lies between two of them. */
  async reshard(shards: number): Promise<string[]> {
    checkCount(shards);
    return this.#with(async (stream) => {
      const open = async () => (await stream.shards()).filter((shard) => shard.open);
      const before = new Set((await open()).map(({ id }) => id));
      const ranges = evenRanges(shards);
      for (const [edge] of ranges) {
        const crossed = (await open()).find(
          (shard) => shard.firstHashKey < edge && edge <= shard.lastHashKey,
        );
        if (crossed) stream.split(crossed.id, edge);
      }
      for (const [first, last] of ranges) {
        const [one, ...others] = (await open())
          .filter((shard) => first <= shard.firstHashKey && shard.lastHashKey <= last)
          .sort((a, b) => (a.firstHashKey < b.firstHashKey ? -1 : 1));
        let merged = one!.id;
        for (const other of others) [merged] = stream.merge(merged, other.id) as [string];
      }
      return (await open()).flatMap(({ id }) => (before.has(id) ? [] : [id]));
    });
  }

  written(since: number, until: number): Promise<MinuteOfWrites[]> {
    return this.#with((stream) => stream.written(since, until));
  }

  trim(before: number, shardId?: string): Promise<number> {
    return this.#with((stream) => stream.trim(before, shardId));
  }

  async delete(): Promise<void> {
    const { dataDir, name } = this.#target;
    // What is left of a stream that was never made goes too; for anything else that can't be opened, this throws.
    if (!(await this.#exists()) && !localStreamExists(dataDir, name)) await this.#with(() => undefined);
    deleteLocalStream(dataDir, name);
  }

  close(): void {}

  async #with<T>(work: (stream: LocalStream) => T | Promise<T>): Promise<T> {
    const stream = LocalStream.open({ ...this.#target, clock: systemClock });
    try {
      return await work(stream);
    } finally {
      await stream.close();
    }
  }
}

function checkCount(shards: number): void {
  if (shards > MOST_SHARDS)
    throw usageError(
      `--shards is ${MOST_SHARDS.toLocaleString('en-US')} at most of an embedded stream: each is read and checkpointed by itself`,
    );
}
