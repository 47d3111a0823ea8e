/**
 * Amazon Kinesis behind the Stream port.
 *
 *  K1 nothing is skipped: an iterator is renewed after the last record that was handed out, or from the time that
 *     "latest" was at first, never from latest.
 *  K2 nothing is dropped: of a put, only the failed entries are sent again, until each is stored.
 *  K3 a watermark reaches every shard that is open when it has been written: if shards changed meanwhile, it is
 *     written again.
 */
import {
  DescribeStreamSummaryCommand,
  GetShardIteratorCommand,
  type KinesisClient,
} from '@aws-sdk/client-kinesis';
import type { Clock } from '../../clock.ts';
import { TaxiflowError } from '../../errors.ts';
import { Router } from '../routing.ts';
import type {
  OutgoingBatch,
  Position,
  PutResult,
  RecordBatch,
  Shard,
  StreamReader,
  StreamWriter,
} from '../stream.ts';
import { Aggregate } from './aggregation.ts';
import { toBatch } from './batch.ts';
import { Budget } from './budget.ts';
import {
  backoff,
  explained,
  firstContact,
  type KinesisOptions,
  kinesisClient,
  listShards,
  startingPosition,
  streamInput,
  verdict,
} from './client.ts';
import { FanOut } from './fan-out.ts';
import { getRecords, type PutAnswer, type PutEntry, putRecords } from './wire.ts';

const PUT_RECORDS = 500;
/** Kinesis takes 5 MB a request, partition keys included. */
const PUT_BYTES = 4_800_000;
const PUTS_AT_ONCE = 8;
const GROUPS_AT_ONCE = 3;
/** The size up to which the Kinesis Producer Library fills a record. */
const AGGREGATE_BYTES = 51_200;
/** Room for the keys and the frame of an aggregated record beside what is in it. */
const KEYS_BYTES = 256;
/** Trips go by the upper 16 bits of their hash key: as many keys as there are made once. */
const BUCKETS = 65_536;
const BUCKET_SHIFT = 112n;
/** GetRecords is allowed five times a second and shard. */
const READ_INTERVAL = 205;
/** By how much the clock of Kinesis may be behind ours. */
const CLOCKS_DIFFER_MS = 5_000;
/** How long one request may fail in a row before the run gives up. */
const GIVE_UP_MS = 300_000;

export interface KinesisStreamOptions extends KinesisOptions {
  readonly clock: Clock;
  /** Pack trips in the Kinesis Producer Library's format. */
  readonly aggregate?: boolean;
  /** Read by enhanced fan-out, as the consumer of this name. */
  readonly fanOut?: string | undefined;
}

/** A record on its way, with the budget of the shard it is for. */
interface Entry {
  readonly record: PutEntry;
  readonly budget: Budget;
}

interface Put {
  readonly batch: OutgoingBatch;
  readonly resolve: (result: PutResult) => void;
  readonly reject: (error: unknown) => void;
}

/** The open shards as of one listing, each with its budget. */
class Routes {
  readonly router: Router;
  readonly ids: ReadonlySet<string>;
  readonly budgets: readonly Budget[];

  constructor(shards: readonly Shard[], budgetOf: (shard: string) => Budget) {
    this.router = new Router(shards);
    this.ids = new Set(this.router.shards.map(({ id }) => id));
    this.budgets = this.router.shards.map(({ id }) => budgetOf(id));
  }
}

interface Iterator {
  /** The position it stands for, as text. */
  readonly after: string;
  readonly iterator: string;
}

export class KinesisStream implements StreamReader, StreamWriter {
  readonly name: string;
  readonly identity: string;
  readonly #client: KinesisClient;
  readonly #stream: string;
  readonly #clock: Clock;
  readonly #aggregate: boolean;
  readonly #retentionMs: number;
  readonly #fanOut: FanOut | undefined;
  readonly #iterators = new Map<string, Iterator>();
  readonly #lastRead = new Map<string, number>();
  readonly #budgets = new Map<string, Budget>();
  /** Shards that were closed when they were listed last. */
  #closed: ReadonlySet<string> = new Set();
  #routes: Routes | undefined;
  /** Puts that wait for a group to go with. */
  readonly #waiting: Put[] = [];
  #groups = 0;

  private constructor(
    client: KinesisClient,
    options: KinesisStreamOptions,
    arn: string,
    created: Date | undefined,
    retentionHours: number,
  ) {
    this.#client = client;
    this.#stream = options.stream;
    this.#clock = options.clock;
    this.#aggregate = options.aggregate ?? false;
    this.#retentionMs = retentionHours * 3_600_000;
    this.#fanOut =
      options.fanOut === undefined ? undefined : new FanOut(options, arn, options.fanOut, options.clock);
    this.name = `kinesis:${options.stream.replace(/^.*\//, '')}`;
    this.identity = `${arn} ${created?.toISOString() ?? ''}`;
  }

  /** Connects and looks at the stream. Throws `no-stream`, `no-credentials`, `kinesis-unreachable`, … within seconds. */
  static async open(options: KinesisStreamOptions): Promise<KinesisStream> {
    const client = kinesisClient(options);
    try {
      const { StreamDescriptionSummary: summary } = await firstContact(
        options.stream,
        options.clock,
        (abortSignal) =>
          client.send(new DescribeStreamSummaryCommand(streamInput(options.stream)), { abortSignal }),
      );
      if (summary?.StreamStatus !== 'ACTIVE' && summary?.StreamStatus !== 'UPDATING') {
        throw new TaxiflowError(
          'stream-not-active',
          `Kinesis stream ${options.stream} is ${summary?.StreamStatus}`,
          {
            hint: 'wait until it is active',
          },
        );
      }
      return new KinesisStream(
        client,
        options,
        summary.StreamARN ?? '',
        summary.StreamCreationTimestamp,
        summary.RetentionPeriodHours ?? 24,
      );
    } catch (error) {
      client.destroy();
      throw error;
    }
  }

  async shards(): Promise<readonly Shard[]> {
    const found = await listShards(this.#client, this.#stream, (request) => this.#retrying(request));
    this.#closed = new Set(found.filter((shard) => !shard.open).map((shard) => shard.id));
    return found;
  }

  put(batch: OutgoingBatch): Promise<PutResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch, resolve, reject });
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
      const after = await this.#list();
      if ([...after.ids].every((id) => before.ids.has(id))) return;
      before = after;
    }
  }

  async read(shardId: string, position: Position, limit: number): Promise<RecordBatch> {
    const lost = this.#lost(position);
    let from = position;
    for (let attempt = 0, since = this.#clock.now(); ; attempt++) {
      // Where to find this place again, which latest no longer names a moment later.
      const again: Position =
        from.at === 'latest' ? { at: 'time', ms: this.#clock.now() - CLOCKS_DIFFER_MS } : from;
      try {
        const batch = this.#fanOut
          ? await this.#fanOut.read(shardId, from, again)
          : await this.#poll(shardId, from, again, limit);
        return { ...batch, lost };
      } catch (error) {
        from = again;
        this.#iterators.delete(shardId);
        await this.#pause(error, attempt, since);
      }
    }
  }

  async #poll(shardId: string, position: Position, again: Position, limit: number): Promise<RecordBatch> {
    await this.#untilReadable(shardId);
    const iterator = await this.#iteratorAt(shardId, position);
    if (iterator === undefined) return { ...toBatch([], again), ended: true };
    const answer = await getRecords(this.#client, this.#stream, iterator, Math.min(limit, 10_000));
    const batch = toBatch(answer.records, again);
    if (answer.next)
      this.#iterators.set(shardId, { after: JSON.stringify(batch.next), iterator: answer.next });
    else this.#iterators.delete(shardId);
    const ended = answer.next === undefined;
    // Of a closed shard only its end is the tip, and a full answer may have more behind it, whatever is said.
    const tip = answer.behind === 0 && answer.records.length < limit && !this.#closed.has(shardId);
    return { ...batch, atTip: ended || tip, ended };
  }

  async close(): Promise<void> {
    await this.#fanOut?.close();
    this.#client.destroy();
  }

  async #list(): Promise<Routes> {
    this.#routes = new Routes(await this.shards(), (shard) => this.#budgetOf(shard));
    return this.#routes;
  }

  async #currentRoutes(): Promise<Routes> {
    return this.#routes ?? this.#list();
  }

  /** What waits goes together, so that requests and aggregated records are as full as they can be. */
  async #pump(): Promise<void> {
    if (this.#groups === GROUPS_AT_ONCE || this.#waiting.length === 0) return;
    this.#groups++;
    const group = this.#waiting.splice(0);
    try {
      const routes = await this.#currentRoutes();
      const batches = group.map(({ batch }) => batch);
      const requests = packed(this.#aggregate ? aggregated(batches, routes) : singly(batches, routes));
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
    let left = entries;
    for (let attempt = 0, since = this.#clock.now(); left.length > 0; attempt++) {
      const wait = spend(left, this.#clock.now());
      if (wait > 0) await this.#clock.sleep(wait);
      try {
        const results = await putRecords(
          this.#client,
          this.#stream,
          left.map(({ record }) => record),
        );
        const failed = left.filter(
          (_, i) => results[i]?.SequenceNumber === undefined || results[i]?.ErrorCode,
        );
        this.#learn(left, results);
        if (failed.length === 0) return;
        if (failed.length < left.length) since = this.#clock.now();
        left = failed;
      } catch (error) {
        await this.#pause(error, attempt, since);
        continue;
      }
      await this.#clock.sleep(backoff(Math.min(attempt, 5)));
    }
  }

  /** A throttled shard gets less for a while; a shard nobody knew of means the stream was resharded. */
  #learn(entries: readonly Entry[], results: readonly PutAnswer[]): void {
    const throttled = new Set<Budget>();
    for (const [i, { ErrorCode, ShardId }] of results.entries()) {
      if (ErrorCode === 'ProvisionedThroughputExceededException') throttled.add(entries[i]!.budget);
      if (ShardId && !this.#routes?.ids.has(ShardId)) this.#routes = undefined;
    }
    for (const budget of throttled) budget.throttled(this.#clock.now());
  }

  #budgetOf(shard: string): Budget {
    let budget = this.#budgets.get(shard);
    if (!budget) {
      budget = new Budget(this.#clock.now());
      this.#budgets.set(shard, budget);
    }
    return budget;
  }

  /** Records that arrived before the retention began are gone; in words, for the user. */
  #lost(position: Position): string | undefined {
    if (position.at !== 'after' || position.arrival === undefined) return undefined;
    const gone = this.#clock.now() - this.#retentionMs - position.arrival;
    return gone > 0 ? `${(gone / 3_600_000).toFixed(1)} hours` : undefined;
  }

  async #untilReadable(shardId: string): Promise<void> {
    const now = this.#clock.now();
    const wait = (this.#lastRead.get(shardId) ?? Number.NEGATIVE_INFINITY) + READ_INTERVAL - now;
    if (wait > 0) await this.#clock.sleep(wait);
    this.#lastRead.set(shardId, this.#clock.now());
  }

  /** The iterator for a position; a fresh one when none is at hand (K1). */
  async #iteratorAt(shardId: string, position: Position): Promise<string | undefined> {
    const known = this.#iterators.get(shardId);
    if (known?.after === JSON.stringify(position)) return known.iterator;
    const start = startingPosition(position);
    const { ShardIterator } = await this.#client.send(
      new GetShardIteratorCommand({
        ...streamInput(this.#stream),
        ShardId: shardId,
        ShardIteratorType: start.Type,
        StartingSequenceNumber: start.SequenceNumber,
        Timestamp: start.Timestamp,
      }),
    );
    return ShardIterator;
  }

  async #retrying<T>(request: () => Promise<T>): Promise<T> {
    for (let attempt = 0, since = this.#clock.now(); ; attempt++) {
      try {
        return await request();
      } catch (error) {
        await this.#pause(error, attempt, since);
      }
    }
  }

  /** Waits when an error passes by itself; throws it in the user's words when it doesn't. */
  async #pause(error: unknown, attempt: number, since: number): Promise<void> {
    const kind = verdict(error);
    if (kind === 'final' || this.#clock.now() - since > GIVE_UP_MS) throw explained(error, this.#stream);
    if (kind !== 'expired')
      await this.#clock.sleep(backoff(Math.min(attempt, 6), kind === 'throttled' ? 250 : 100));
  }
}

/** Takes what a request needs from the budgets of its shards; ms to wait before it is sent. */
function spend(entries: readonly Entry[], now: number): number {
  let wait = 0;
  for (const { record, budget } of entries) wait = Math.max(wait, budget.take(1, sizeOf(record), now));
  return wait;
}

function sizeOf({ data, partitionKey }: PutEntry): number {
  return data.length + partitionKey.length;
}

const bucketKeys: string[] = new Array(BUCKETS);

/** The explicit hash key of a bucket; writing 39 digits out for each trip would cost more than all the rest. */
function bucketKey(bucket: number): string {
  bucketKeys[bucket] ??= String(BigInt(bucket) << BUCKET_SHIFT);
  return bucketKeys[bucket];
}

function singly(batches: readonly OutgoingBatch[], { router, budgets }: Routes): Entry[] {
  const entries: Entry[] = [];
  for (const { data, ends, hashes, count } of batches) {
    for (let i = 0, start = 0; i < count; i++) {
      const bucket = hashes[i]! >>> 16;
      const end = ends[i]!;
      const record = {
        partitionKey: bucket.toString(36),
        explicitHashKey: bucketKey(bucket),
        data: data.subarray(start, end),
      };
      entries.push({ record, budget: budgets[router.indexOf(bucket * BUCKETS)]! });
      start = end;
    }
  }
  return entries;
}

/** Trips of one shard together, at its first hash key. */
function aggregated(batches: readonly OutgoingBatch[], { router, budgets }: Routes): Entry[] {
  const entries: Entry[] = [];
  const keys = router.shards.map(({ id, firstHashKey }) => ({
    partitionKey: id,
    explicitHashKey: String(firstHashKey),
  }));
  const filling: (Aggregate | undefined)[] = keys.map(() => undefined);
  const finish = (shard: number) => {
    const data = filling[shard]?.finish();
    if (data) entries.push({ record: { ...keys[shard]!, data }, budget: budgets[shard]! });
  };
  for (const { data, ends, hashes, count } of batches) {
    for (let i = 0, start = 0; i < count; i++) {
      const end = ends[i]!;
      const shard = router.indexOf(hashes[i]!);
      if (!filling[shard]?.add(data, start, end)) {
        finish(shard);
        const { partitionKey, explicitHashKey } = keys[shard]!;
        const room = Math.max(AGGREGATE_BYTES, end - start + KEYS_BYTES);
        const next = new Aggregate(partitionKey, explicitHashKey, room);
        next.add(data, start, end);
        filling[shard] = next;
      }
      start = end;
    }
  }
  for (const shard of filling.keys()) finish(shard);
  return entries;
}

/** Entries in requests of 500 and 5 MB at most. */
function packed(entries: readonly Entry[]): Entry[][] {
  const requests: Entry[][] = [];
  let bytes = 0;
  for (const entry of entries) {
    const size = sizeOf(entry.record);
    const last = requests.at(-1);
    if (!last || last.length === PUT_RECORDS || bytes + size > PUT_BYTES) {
      requests.push([entry]);
      bytes = size;
    } else {
      last.push(entry);
      bytes += size;
    }
  }
  return requests;
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
