/**
 * Creates, reshards and deletes Kinesis streams; each call returns once the stream is active again. The answer to a change
 * may be lost, and its repetition then be refused: whether a change was made, the stream itself tells.
 */
import {
  CreateStreamCommand,
  type CreateStreamInput,
  DeleteStreamCommand,
  type KinesisClient,
  ListStreamsCommand,
  MergeShardsCommand,
  SplitShardCommand,
  UpdateShardCountCommand,
} from '@aws-sdk/client-kinesis';
import type { Clock } from '../../clock.ts';
import { TaxiflowError } from '../../errors.ts';
import type { MinuteOfWrites, Shard, ShardDescription, StreamAdmin } from '../ports.ts';
import { type KinesisOptions, kinesisClient, type ListedShard, listShards, summaryOf } from './client.ts';
import type { WrittenFigures } from './cloudwatch.ts';
import { explained, firstContact } from './errors.ts';
import { nameOf, streamInput } from './stream-name.ts';

const POLL_MS = 500;
/** The time for which Kinesis may not yet list a new stream or new shards. */
const UNKNOWN_MS = 30_000;

export interface KinesisAdminOptions extends KinesisOptions {
  readonly clock: Clock;
  /** Gets the stream's status while we wait for it. */
  readonly onWait?: (status: string) => void;
}

/** Names of the account's streams in a region, sorted. */
export async function listKinesisStreams(
  options: Omit<KinesisOptions, 'stream'> & { readonly clock: Clock },
): Promise<string[]> {
  const stream = 'of any name';
  const client = kinesisClient({ ...options, stream });
  const names: string[] = [];
  try {
    for (let more = true; more; ) {
      const after = names.at(-1);
      const command = new ListStreamsCommand(after === undefined ? {} : { ExclusiveStartStreamName: after });
      const request = (abortSignal: AbortSignal) => client.send(command, { abortSignal });
      const found = await firstContact(stream, options.clock, request);
      const { StreamNames: page = [], HasMoreStreams: isMore = false } = found;
      for (const name of page) names.push(name);
      more = isMore && page.length > 0;
    }
    return names.sort();
  } finally {
    client.destroy();
  }
}

/** `taxiflow stream` for Kinesis. Throws as `explained`. */
export class KinesisAdmin implements StreamAdmin {
  readonly name: string;
  readonly #client: KinesisClient;
  readonly #o: KinesisAdminOptions;
  #figures: WrittenFigures | undefined;

  constructor(options: KinesisAdminOptions) {
    this.#client = kinesisClient(options);
    this.#o = options;
    this.name = nameOf(options.stream);
  }

  create(shards: number): Promise<void> {
    return this.#create({ ShardCount: shards });
  }

  createOnDemand(): Promise<void> {
    return this.#create({ StreamModeDetails: { StreamMode: 'ON_DEMAND' } });
  }

  async #create(mode: Omit<CreateStreamInput, 'StreamName'>): Promise<void> {
    if (await this.#isThere()) throw this.#exists();
    try {
      await this.#client.send(new CreateStreamCommand({ StreamName: this.#o.stream, ...mode }));
    } catch (error) {
      if (!isInUse(error)) throw explained(error, this.#o.stream);
      // One that wasn't there before our first attempt may be ours.
      if (attemptsOf(error) < 2) throw this.#exists();
    }
    await this.#untilKnown();
    await this.#untilActive();
  }

  #exists(): TaxiflowError {
    return new TaxiflowError('stream-exists', `there is a Kinesis stream ${this.#o.stream} already`, {
      hint: `look at it with "taxiflow stream describe ${this.name}"`,
    });
  }

  async #isThere(): Promise<boolean> {
    try {
      await this.#status();
      return true;
    } catch (error) {
      if (error instanceof TaxiflowError && error.code === 'no-stream') return false;
      throw error;
    }
  }

  async describe(): Promise<ShardDescription[]> {
    return (await this.#shards()).map((shard) => ({
      shard: shard.id,
      open: shard.open,
      parents: shard.parents,
      first_hash_key: String(shard.firstHashKey),
      last_hash_key: String(shard.lastHashKey),
      ...(shard.openedAt === undefined ? {} : { opened_at: new Date(shard.openedAt).toISOString() }),
    }));
  }

  async split(shardId: string, at?: bigint): Promise<string[]> {
    const shard = (await this.#shards()).find(({ id }) => id === shardId);
    if (!shard)
      throw new TaxiflowError('no-shard', `${this.#o.stream} has no ${shardId}`, {
        hint: `see "taxiflow stream describe ${this.name}"`,
      });
    const { firstHashKey: first, lastHashKey: last } = shard;
    const middle = at ?? first + (last - first + 1n) / 2n;
    const split = new SplitShardCommand({
      ...streamInput(this.#o.stream),
      ShardToSplit: shardId,
      NewStartingHashKey: String(middle),
    });
    return this.#changed(() => this.#client.send(split), isParent(shardId));
  }

  async merge(shardId: string, otherId: string): Promise<string[]> {
    const merge = new MergeShardsCommand({
      ...streamInput(this.#o.stream),
      ShardToMerge: shardId,
      AdjacentShardToMerge: otherId,
    });
    return this.#changed(() => this.#client.send(merge), isParent(shardId));
  }

  /** Brings the stream to `shards` open shards of equal size, in steps of at most twice or half, as Amazon requires. */
  async reshard(shards: number): Promise<string[]> {
    const step = async () => {
      let count = openOf(await this.#shards()).length;
      do {
        await this.#untilActive();
        count = Math.min(2 * count, Math.max(Math.ceil(count / 2), shards));
        const update = new UpdateShardCountCommand({
          ...streamInput(this.#o.stream),
          TargetShardCount: count,
          ScalingType: 'UNIFORM_SCALING',
        });
        const isDone = (found: readonly Shard[]) => openOf(found).length === count;
        await this.#change(() => this.#client.send(update), isDone);
      } while (count !== shards);
    };
    return this.#changed(step, (found) => openOf(found).length === shards);
  }

  async delete(): Promise<void> {
    try {
      await this.#client.send(
        new DeleteStreamCommand({ ...streamInput(this.#o.stream), EnforceConsumerDeletion: true }),
      );
    } catch (error) {
      const isGoing = isInUse(error) || (error as Error).name === 'ResourceNotFoundException';
      if (!isGoing || attemptsOf(error) < 2) throw explained(error, this.#o.stream);
    }
    await this.#untilGone();
  }

  async isChanging(): Promise<boolean> {
    return (await this.#status()) !== 'ACTIVE';
  }

  async written(since: number, until: number): Promise<MinuteOfWrites[]> {
    if (!this.#figures) {
      const { WrittenFigures } = await import('./cloudwatch.ts');
      this.#figures = new WrittenFigures(this.#o);
    }
    return this.#figures.written(since, until);
  }

  close(): void {
    this.#figures?.close();
    this.#client.destroy();
  }

  /** Runs a change and returns the new open shards, once the list of shards, which may lag, shows them. */
  async #changed(change: () => Promise<unknown>, isDone: (found: Shard[]) => boolean): Promise<string[]> {
    const shards = await this.#shards();
    const before = new Set(shards.map(({ id }) => id));
    await this.#change(change, (found) => isDone(found) && !isDone(shards));
    await this.#untilActive();
    for (const since = this.#o.clock.now(); ; await this.#o.clock.sleep(POLL_MS)) {
      await this.#untilActive();
      const found = await this.#shards();
      if (isDone(found) || this.#o.clock.now() - since > UNKNOWN_MS)
        return openOf(found).flatMap(({ id }) => (before.has(id) ? [] : id));
    }
  }

  /**
   * Makes a change. If it is refused, it is made all the same where the stream shows it; and where the stream was busy, with a
   * change of someone else, it is tried again.
   */
  async #change(change: () => Promise<unknown>, isDone: (found: Shard[]) => boolean): Promise<void> {
    // Counted in ms for which the stream was active and refused all the same: the change of someone else may take long.
    let refused = 0;
    for (;;) {
      try {
        await change();
        return;
      } catch (error) {
        if (error instanceof TaxiflowError) throw error;
        const isBusy = isInUse(error);
        if (!isBusy && attemptsOf(error) < 2) throw explained(error, this.#o.stream);
        await this.#untilActive();
        if (isDone(await this.#shards())) return;
        if (!isBusy || refused > UNKNOWN_MS) throw explained(error, this.#o.stream);
        await this.#o.clock.sleep(POLL_MS);
        refused += POLL_MS;
      }
    }
  }

  #shards(): Promise<ListedShard[]> {
    return listShards(this.#client, this.#o.stream, (request) => this.#retrying(request));
  }

  async #status(): Promise<string> {
    const summary = await this.#retrying((signal) => summaryOf(this.#client, this.#o.stream, signal));
    return summary.StreamStatus;
  }

  async #untilKnown(): Promise<void> {
    for (const since = this.#o.clock.now(); ; ) {
      try {
        await this.#status();
        return;
      } catch (error) {
        const unknown = error instanceof TaxiflowError && error.code === 'no-stream';
        if (!unknown || this.#o.clock.now() - since > UNKNOWN_MS) throw error;
        await this.#o.clock.sleep(POLL_MS);
      }
    }
  }

  async #untilActive(): Promise<void> {
    for (let status = await this.#status(); status !== 'ACTIVE'; status = await this.#status()) {
      this.#o.onWait?.(status);
      await this.#o.clock.sleep(POLL_MS);
    }
  }

  async #untilGone(): Promise<void> {
    try {
      for (;;) {
        const status = await this.#status();
        this.#o.onWait?.(status);
        await this.#o.clock.sleep(POLL_MS);
      }
    } catch (error) {
      if (!(error instanceof TaxiflowError) || error.code !== 'no-stream') throw error;
    }
  }

  #retrying<T>(request: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return firstContact(this.#o.stream, this.#o.clock, request);
  }
}

function isInUse(error: unknown): boolean {
  return error instanceof Error && error.name === 'ResourceInUseException';
}

/** How often the SDK sent a request that failed. */
function attemptsOf(error: unknown): number {
  const { attempts } = (error as { $metadata?: { attempts?: number } }).$metadata ?? {};
  return attempts ?? 1;
}

function openOf(shards: readonly Shard[]): Shard[] {
  return shards.filter(({ open }) => open);
}

function isParent(shardId: string): (found: Shard[]) => boolean {
  return (found) => found.some(({ parents }) => parents.includes(shardId));
}
