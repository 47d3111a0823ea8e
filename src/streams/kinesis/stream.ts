/**
 * Amazon Kinesis behind the Stream port.
 *
 *  K1 nothing is skipped: an iterator is renewed after the last record that was handed out, never from latest.
 *  K2 nothing is dropped: of a put, only the failed entries are sent again, until each is stored.
 *  K3 a watermark reaches every shard that is open when it has been written: if shards changed meanwhile, it is
 *     written again.
 */
import {
  DescribeStreamSummaryCommand,
  type _Record as FetchedRecord,
  GetRecordsCommand,
  GetShardIteratorCommand,
  type KinesisClient,
  PutRecordsCommand,
  type PutRecordsRequestEntry,
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
import { Aggregate, disaggregate } from './aggregation.ts';
import { Budget } from './budget.ts';
import {
  backoff,
  explained,
  type KinesisOptions,
  kinesisClient,
  listShards,
  streamInput,
  verdict,
} from './client.ts';

const PUT_RECORDS = 500;
/** Kinesis takes 5 MB a request, partition keys included. */
const PUT_BYTES = 4_800_000;
const PUTS_AT_ONCE = 8;
/** The size up to which the Kinesis Producer Library fills a record. */
const AGGREGATE_BYTES = 51_200;
const HASH_SHIFT = 96n;
/** GetRecords is allowed five times a second and shard. */
const READ_INTERVAL = 205;
/** How far the clock of Kinesis may be behind this machine's, so that no record is skipped. */
const CLOCKS_APART_MS = 60_000;
const FIRST_CONTACT_ATTEMPTS = 3;
/** How long one request may fail in a row before the run gives up. */
const GIVE_UP_MS = 300_000;

export interface KinesisStreamOptions extends KinesisOptions {
  readonly clock: Clock;
  /** Pack trips in the Kinesis Producer Library's format. */
  readonly aggregate?: boolean;
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
  readonly #iterators = new Map<string, Iterator>();
  readonly #lastRead = new Map<string, number>();
  readonly #budgets = new Map<string, Budget>();
  /** Shards that were closed when they were listed last. */
  #closed: ReadonlySet<string> = new Set();
  #router: Router | undefined;

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
    this.name = `kinesis:${options.stream.replace(/^.*\//, '')}`;
    this.identity = `${arn} ${created?.toISOString() ?? ''}`;
  }

  /** Connects and looks at the stream. Throws `no-stream`, `no-credentials`, `kinesis-unreachable`, … within seconds. */
  static async open(options: KinesisStreamOptions): Promise<KinesisStream> {
    const client = kinesisClient(options);
    for (let attempt = 0; ; attempt++) {
      try {
        const { StreamDescriptionSummary: summary } = await client.send(
          new DescribeStreamSummaryCommand(streamInput(options.stream)),
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
        if (verdict(error) === 'final' || attempt + 1 >= FIRST_CONTACT_ATTEMPTS) {
          client.destroy();
          throw explained(error, options.stream);
        }
        await options.clock.sleep(backoff(attempt));
      }
    }
  }

  async shards(): Promise<readonly Shard[]> {
    const found = await listShards(this.#client, this.#stream, (request) => this.#retrying(request));
    this.#closed = new Set(found.filter((shard) => !shard.open).map((shard) => shard.id));
    return found;
  }

  async put(batch: OutgoingBatch): Promise<PutResult> {
    const router = await this.#currentRouter();
    const requests = packed(this.#aggregate ? aggregated(batch, router) : singly(batch));
    await inParallel(requests, PUTS_AT_ONCE, (entries) => this.#settle(entries));
    return { acknowledged: batch.count, refused: {} };
  }

  async broadcast(recordFor: (shardId: string) => Uint8Array): Promise<void> {
    for (let before = await this.#openShards(); ; ) {
      const entries = before.map((shard) => ({
        PartitionKey: shard.id,
        ExplicitHashKey: String(shard.firstHashKey),
        Data: recordFor(shard.id),
      }));
      for (const request of packed(entries)) await this.#settle(request);
      const after = await this.#openShards();
      if (after.every((shard) => before.some(({ id }) => id === shard.id))) return;
      before = after;
    }
  }

  async read(shardId: string, position: Position, limit: number): Promise<RecordBatch> {
    for (let attempt = 0, since = this.#clock.now(); ; attempt++) {
      await this.#untilReadable(shardId);
      try {
        const lost = this.#isAt(shardId, position) ? undefined : this.#lost(position);
        const iterator = await this.#iteratorAt(shardId, position);
        if (iterator === undefined) return { ...emptyBatch(position), ended: true, lost };
        const asked = this.#clock.now();
        const answer = await this.#client.send(
          new GetRecordsCommand({ ShardIterator: iterator, Limit: Math.min(limit, 10_000) }),
        );
        const seen = asked - (answer.MillisBehindLatest ?? 0);
        const batch = toBatch(
          answer.Records ?? [],
          this.#closed.has(shardId) ? position : moved(position, seen),
        );
        if (answer.NextShardIterator)
          this.#iterators.set(shardId, {
            after: JSON.stringify(batch.next),
            iterator: answer.NextShardIterator,
          });
        else this.#iterators.delete(shardId);
        const ended = answer.NextShardIterator === undefined || answer.NextShardIterator === null;
        // Of a closed shard only its end is the tip, and a full answer may have more behind it, whatever is said.
        const tip =
          answer.MillisBehindLatest === 0 &&
          (answer.Records?.length ?? 0) < limit &&
          !this.#closed.has(shardId);
        return { ...batch, atTip: ended || tip, ended, lost };
      } catch (error) {
        this.#iterators.delete(shardId);
        await this.#pause(error, attempt, since);
      }
    }
  }

  async close(): Promise<void> {
    this.#client.destroy();
  }

  async #openShards(): Promise<Shard[]> {
    const shards = await this.shards();
    this.#router = new Router(shards);
    return shards.filter((shard) => shard.open);
  }

  async #currentRouter(): Promise<Router> {
    if (!this.#router) await this.#openShards();
    return this.#router!;
  }

  /** Sends entries until each is stored (K2). */
  async #settle(entries: PutRecordsRequestEntry[]): Promise<void> {
    let left = entries;
    for (let attempt = 0, since = this.#clock.now(); left.length > 0; attempt++) {
      await this.#clock.sleep(this.#spend(left));
      try {
        const { Records: results = [] } = await this.#client.send(
          new PutRecordsCommand({ ...streamInput(this.#stream), Records: left }),
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

  /** Takes what a request needs from the budgets of its shards; ms to wait before it is sent. */
  #spend(entries: readonly PutRecordsRequestEntry[]): number {
    const now = this.#clock.now();
    const needs = new Map<string, { records: number; bytes: number }>();
    for (const entry of entries) {
      const shard = this.#shardOf(entry);
      const need = needs.get(shard) ?? { records: 0, bytes: 0 };
      need.records++;
      need.bytes += entry.Data!.length + entry.PartitionKey!.length;
      needs.set(shard, need);
    }
    return Math.max(
      0,
      ...[...needs].map(([shard, need]) => this.#budgetOf(shard).take(need.records, need.bytes, now)),
    );
  }

  /** A throttled shard gets less for a while; a shard nobody knew of means the stream was resharded. */
  #learn(
    entries: readonly PutRecordsRequestEntry[],
    results: readonly { ErrorCode?: string | undefined; ShardId?: string | undefined }[],
  ): void {
    const throttled = new Set<string>();
    for (const [i, result] of results.entries()) {
      if (result.ErrorCode === 'ProvisionedThroughputExceededException')
        throttled.add(this.#shardOf(entries[i]!));
      if (result.ShardId && !this.#router?.shards.some(({ id }) => id === result.ShardId))
        this.#router = undefined;
    }
    for (const shard of throttled) this.#budgetOf(shard).throttled(this.#clock.now());
  }

  #shardOf(entry: PutRecordsRequestEntry): string {
    const shards = this.#router?.shards;
    if (!shards) return '';
    return shards[this.#router!.indexOf(Number(BigInt(entry.ExplicitHashKey!) >> HASH_SHIFT))]!.id;
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

  /** Whether an iterator at hand stands there: it misses nothing, however long ago a record came. */
  #isAt(shardId: string, position: Position): boolean {
    return this.#iterators.get(shardId)?.after === JSON.stringify(position);
  }

  /** The iterator for a position; a fresh one when none is at hand (K1). */
  async #iteratorAt(shardId: string, position: Position): Promise<string | undefined> {
    if (this.#isAt(shardId, position)) return this.#iterators.get(shardId)?.iterator;
    const { ShardIterator } = await this.#client.send(
      new GetShardIteratorCommand({
        ...streamInput(this.#stream),
        ShardId: shardId,
        ...iteratorInput(position),
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

/** Where a read without records leaves an open shard; all that arrived before `seen` has been read. */
function moved(position: Position, seen: number): Position {
  if (position.at === 'latest') return { at: 'time', ms: seen - CLOCKS_APART_MS };
  if (position.at !== 'after' || position.arrival === undefined) return position;
  return { ...position, arrival: Math.max(position.arrival, seen) };
}

function iteratorInput(position: Position) {
  switch (position.at) {
    case 'trim-horizon':
      return { ShardIteratorType: 'TRIM_HORIZON' as const };
    case 'latest':
      return { ShardIteratorType: 'LATEST' as const };
    case 'time':
      return { ShardIteratorType: 'AT_TIMESTAMP' as const, Timestamp: new Date(position.ms) };
    case 'after':
      return {
        ShardIteratorType: 'AFTER_SEQUENCE_NUMBER' as const,
        StartingSequenceNumber: position.sequence,
      };
  }
}

function singly(batch: OutgoingBatch): PutRecordsRequestEntry[] {
  const entries: PutRecordsRequestEntry[] = [];
  for (let i = 0, start = 0; i < batch.count; i++) {
    const hash = batch.hashes[i]!;
    entries.push({
      PartitionKey: hash.toString(36),
      ExplicitHashKey: String(BigInt(hash) << HASH_SHIFT),
      Data: batch.data.subarray(start, batch.ends[i]!),
    });
    start = batch.ends[i]!;
  }
  return entries;
}

/** Trips of one shard together, at its first hash key. */
function aggregated(batch: OutgoingBatch, router: Router): PutRecordsRequestEntry[] {
  const entries: PutRecordsRequestEntry[] = [];
  const filling = new Map<number, Aggregate>();
  const finish = (shard: number, aggregate: Aggregate) =>
    entries.push({
      PartitionKey: router.shards[shard]!.id,
      ExplicitHashKey: String(router.shards[shard]!.firstHashKey),
      Data: aggregate.finish(),
    });
  for (let i = 0, start = 0; i < batch.count; i++) {
    const end = batch.ends[i]!;
    const shard = router.indexOf(batch.hashes[i]!);
    let aggregate = filling.get(shard);
    if (aggregate && aggregate.bytes + end - start > AGGREGATE_BYTES) {
      finish(shard, aggregate);
      aggregate = undefined;
    }
    if (!aggregate) {
      aggregate = new Aggregate(router.shards[shard]!.id, String(router.shards[shard]!.firstHashKey));
      filling.set(shard, aggregate);
    }
    aggregate.add(batch.data.subarray(start, end));
    start = end;
  }
  for (const [shard, aggregate] of filling) finish(shard, aggregate);
  return entries;
}

/** Entries in requests of 500 and 5 MB at most. */
function packed(entries: readonly PutRecordsRequestEntry[]): PutRecordsRequestEntry[][] {
  const requests: PutRecordsRequestEntry[][] = [];
  let bytes = 0;
  for (const entry of entries) {
    const size = entry.Data!.length + entry.PartitionKey!.length;
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

function emptyBatch(position: Position): RecordBatch {
  return toBatch([], position);
}

/** Records as the engine takes them: aggregated ones unpacked, each with the sequence number it came under. */
function toBatch(records: readonly FetchedRecord[], position: Position): RecordBatch {
  const pieces: Uint8Array[] = [];
  const sequences: string[] = [];
  const times: number[] = [];
  for (const {
    Data: data = new Uint8Array(),
    SequenceNumber: sequence = '',
    ApproximateArrivalTimestamp: arrival,
  } of records) {
    for (const piece of disaggregate(data) ?? [data]) {
      pieces.push(piece);
      sequences.push(sequence);
      times.push(arrival?.getTime() ?? 0);
    }
  }
  const ends = new Uint32Array(pieces.length);
  let bytes = 0;
  for (const [i, piece] of pieces.entries()) {
    bytes += piece.length;
    ends[i] = bytes;
  }
  const last = records.at(-1);
  return {
    count: pieces.length,
    data: Buffer.concat(pieces, bytes),
    ends,
    arrivals: Float64Array.from(times),
    next: last ? { at: 'after', sequence: last.SequenceNumber!, arrival: times.at(-1) ?? 0 } : position,
    atTip: false,
    ended: false,
    lost: undefined,
    sequenceOf: (row) => sequences[row]!,
  };
}
