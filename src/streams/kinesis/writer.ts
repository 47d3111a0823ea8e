/**
 * Writes to Kinesis:
 *
 *  K2 nothing is dropped: the failed entries of a put are sent again, and only they, until each is stored.
 *  K3 a watermark reaches every shard that is open once it has been written: if the shards changed in the meantime, or it
 *     was stored in a shard that the list does not have yet, it is written again.
 */
import type { KinesisClient } from '@aws-sdk/client-kinesis';
import type { Clock } from '../../clock.ts';
import { recordBytes } from '../../events/decode.ts';
import { errorName } from '../../net/aws-errors.ts';
import { Attempts, type Backoff } from '../../net/retry.ts';
import type { OutgoingBatch, PutResult, Shard } from '../ports.ts';
import { Budget } from './budget.ts';
import { pause } from './errors.ts';
import { aggregated, type Entry, packed, Routes, singly, spend } from './packing.ts';
import { type PutAnswer, putRecords } from './wire.ts';

const PUTS_AT_ONCE = 8;
const GROUPS_AT_ONCE = 3;
const THROTTLED = 'ProvisionedThroughputExceededException';
/** A put may name a shard that the list of shards does not have yet. */
const LIST_AGAIN_MS = 500;
/** Single entries that fail are sent again without a limit (K2). */
const ENTRIES_FAILED: Backoff = { firstMs: 100, longestMs: 3_200, jitter: 'full' };

export interface WriterOptions {
  readonly client: KinesisClient;
  readonly stream: string;
  readonly clock: Clock;
  /** Pack trips in the Kinesis Producer Library's format. */
  readonly aggregate: boolean;
  readonly shards: () => Promise<readonly Shard[]>;
}

interface Put {
  readonly batch: OutgoingBatch;
  readonly resolve: (result: PutResult) => void;
  readonly reject: (error: unknown) => void;
}

export class KinesisWriter {
  readonly #o: WriterOptions;
  readonly #budgets = new Map<string, Budget>();
  #routes: Routes | undefined;
  /** Puts that wait for the next group. */
  readonly #waiting: Put[] = [];
  #groups = 0;
  /** Since it was opened. */
  readonly counts = { records: 0, retries: 0, throttled: 0 };

  constructor(options: WriterOptions) {
    this.#o = options;
  }

  put(batch: OutgoingBatch): Promise<PutResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch: { ...recordBytes(batch), hashes: batch.hashes }, resolve, reject });
      void this.#pump();
    });
  }

  async broadcast(recordFor: (shardId: string) => Uint8Array): Promise<void> {
    for (let before = await this.#list(); ; ) {
      const entries = before.router.shards.map((shard, i) => ({
        record: {
          partitionKey: shard.id,
          explicitHashKey: String(shard.firstHashKey),
          data: Buffer.from(recordFor(shard.id)),
        },
        budget: before.budgets[i]!,
      }));
      for (const request of packed(entries)) await this.#settle(request);
      // A put that runs at the same time lists the shards too when it learns of a new one.
      const listed = this.#routes === before;
      if (!listed) await this.#o.clock.sleep(LIST_AGAIN_MS);
      const after = await this.#list();
      if (listed && [...after.ids].every((id) => before.ids.has(id))) return;
      before = after;
    }
  }

  async #list(): Promise<Routes> {
    this.#routes = new Routes(await this.#o.shards(), (shard) => this.#budgetOf(shard));
    return this.#routes;
  }

  async #currentRoutes(): Promise<Routes> {
    return this.#routes ?? this.#list();
  }

  /** Sends all waiting puts as one group, so that requests and aggregated records are as full as possible. */
  async #pump(): Promise<void> {
    if (this.#groups === GROUPS_AT_ONCE || this.#waiting.length === 0) return;
    this.#groups++;
    const group = this.#waiting.splice(0);
    try {
      const routes = await this.#currentRoutes();
      const batches = group.map(({ batch }) => batch);
      const requests = packed(this.#o.aggregate ? aggregated(batches, routes) : singly(batches, routes));
      await inParallel(requests, PUTS_AT_ONCE, (entries) => this.#settle(entries));
      for (const { batch, resolve } of group) resolve({ acknowledged: batch.count, refused: {} });
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
    this.#groups--;
    await this.#pump();
  }

  /** Sends entries until each is stored (K2). */
  async #settle(entries: readonly Entry[]): Promise<void> {
    const attempts = new Attempts(this.#o.clock);
    for (let left = entries; left.length > 0; ) {
      const wait = spend(left, this.#o.clock.now());
      if (wait > 0) await this.#o.clock.sleep(wait);
      try {
        const results = await putRecords(
          this.#o.client,
          this.#o.stream,
          left.map(({ record }) => record),
        );
        const failed = left.filter(
          (_, i) => results[i]?.SequenceNumber === undefined || results[i]?.ErrorCode,
        );
        this.#learn(left, results);
        this.counts.records += left.length - failed.length;
        if (failed.length === 0) return;
        this.counts.retries += failed.length;
        if (failed.length < left.length) attempts.progress();
        left = failed;
      } catch (error) {
        await pause(error, attempts, this.#o.stream);
        this.counts.retries += left.length;
        if (errorName(error) === THROTTLED) this.counts.throttled += left.length;
        continue;
      }
      await attempts.again(ENTRIES_FAILED);
    }
  }

  /** Gives a throttled shard less for a while, and drops the list of shards when an answer names an unknown one. */
  #learn(entries: readonly Entry[], results: readonly PutAnswer[]): void {
    const throttled = new Set<Budget>();
    for (const [i, { ErrorCode, ShardId }] of results.entries()) {
      if (ErrorCode === THROTTLED) {
        throttled.add(entries[i]!.budget);
        this.counts.throttled++;
      }
      if (ShardId && !this.#routes?.ids.has(ShardId)) this.#routes = undefined;
    }
    for (const budget of throttled) budget.throttled(this.#o.clock.now());
  }

  #budgetOf(shard: string): Budget {
    let budget = this.#budgets.get(shard);
    if (!budget) {
      budget = new Budget(this.#o.clock.now());
      this.#budgets.set(shard, budget);
    }
    return budget;
  }
}

async function inParallel<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) await work(items[next++]!);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
}
