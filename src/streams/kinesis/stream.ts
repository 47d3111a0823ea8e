/**
 * Amazon Kinesis behind the Stream port.
 *
 *  K1 nothing is skipped: an iterator is renewed after the last record that was handed out, or from the time that
 *     "latest" was at first, never from latest.
 *  K2, K3 in `writer.ts`
 */
import { GetShardIteratorCommand, type KinesisClient } from '@aws-sdk/client-kinesis';
import type { Clock } from '../../clock.ts';
import { TaxiflowError } from '../../errors.ts';
import type {
  OutgoingBatch,
  Position,
  PutResult,
  RecordBatch,
  Shard,
  StreamReader,
  StreamWriter,
} from '../stream.ts';
import { quietUntil, toBatch } from './batch.ts';
import {
  badAnswer,
  firstContact,
  type KinesisOptions,
  kinesisClient,
  listShards,
  nameOf,
  pause,
  required,
  type StreamSummary,
  startingPosition,
  streamInput,
  summaryOf,
  timeAt,
  untilDone,
  verdict,
} from './client.ts';
import { FanOut } from './fan-out.ts';
import { getRecords } from './wire.ts';
import { KinesisWriter } from './writer.ts';

/** GetRecords is allowed five times a second and shard, and two megabytes, which is 10 MB and then 5 s nothing. */
const READ_INTERVAL = 205;
const READ_BYTES_PER_MS = 2_000;
const LONGEST_READ_INTERVAL = 5_000;
/** So far from the oldest records that are kept, a reader that began there is no longer overtaken by their going. */
const EDGE_MS = 60_000;
/** By how much the clocks within Kinesis may differ. */
const CLOCKS_DIFFER_MS = 5_000;
/** By how long a list of shards may lag behind what reads say. */
const LIST_LAG_MS = 10_000;
const LIST_AGAIN_MS = 500;

export interface KinesisStreamOptions extends KinesisOptions {
  readonly clock: Clock;
  /** Pack trips in the Kinesis Producer Library's format. */
  readonly aggregate?: boolean;
  /** Watermarks are going to be written, so the stream has to put records where they are meant to be. */
  readonly watermarks?: boolean;
  /** Read by enhanced fan-out, as the consumer of this name. */
  readonly fanOut?: string | undefined;
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
  readonly #timeThere: () => number;
  readonly #writer: KinesisWriter;
  /** How long records are kept. */
  readonly retentionMs: number;
  /** Kinesis chooses the number of shards. */
  readonly onDemand: boolean;
  /** Kinesis takes no notice of hash keys, so that nobody can say which shard a record goes to. */
  readonly spreads: boolean;
  readonly #fanOut: FanOut | undefined;
  readonly #iterators = new Map<string, Iterator>();
  /** Shards whose reading began at the oldest records and is still near them: they go meanwhile, and that is no gap. */
  readonly #atEdge = new Set<string>();
  /** From when on a shard may be read again. */
  readonly #readable = new Map<string, number>();
  /** Shards that were closed when they were listed last. */
  #closed: ReadonlySet<string> = new Set();

  private constructor(
    client: KinesisClient,
    options: KinesisStreamOptions,
    timeThere: () => number,
    summary: StreamSummary,
  ) {
    const arn = summary.StreamARN;
    this.#client = client;
    this.#stream = options.stream;
    this.#clock = options.clock;
    this.#timeThere = timeThere;
    this.#writer = new KinesisWriter({
      client,
      stream: options.stream,
      clock: options.clock,
      aggregate: options.aggregate ?? false,
      shards: () => this.shards(),
    });
    this.retentionMs = summary.RetentionPeriodHours * 3_600_000;
    this.onDemand = summary.StreamModeDetails?.StreamMode === 'ON_DEMAND';
    this.spreads = summary.RecordDistributionStrategy === 'AUTO';
    this.#fanOut =
      options.fanOut === undefined ? undefined : new FanOut(options, arn, options.fanOut, options.clock);
    this.name = nameOf(options.stream);
    this.identity = `${arn} ${summary.StreamCreationTimestamp.toISOString()}`;
  }

  /** Connects and looks at the stream. Throws `no-stream`, `no-credentials`, `kinesis-unreachable`, … within seconds. */
  static async open(options: KinesisStreamOptions): Promise<KinesisStream> {
    const client = kinesisClient(options);
    const timeThere = timeAt(client, options.clock);
    try {
      const summary = await firstContact(options.stream, options.clock, (signal) =>
        summaryOf(client, options.stream, signal),
      );
      if (summary.StreamStatus !== 'ACTIVE' && summary.StreamStatus !== 'UPDATING') {
        throw new TaxiflowError(
          'stream-not-active',
          `Kinesis stream ${options.stream} is ${summary.StreamStatus}`,
          {
            hint: 'wait until it is active',
          },
        );
      }
      const stream = new KinesisStream(client, options, timeThere, summary);
      if (options.watermarks && stream.spreads) {
        throw new TaxiflowError(
          'stream-spreads',
          `${stream.name} spreads records over its shards by itself, so watermarks would not reach each of them`,
          {
            hint: 'set its record distribution strategy to USER_PARTITION_KEY with "aws kinesis update-stream-record-distribution-strategy"',
          },
        );
      }
      return stream;
    } catch (error) {
      client.destroy();
      throw error;
    }
  }

  async shards(): Promise<readonly Shard[]> {
    const found = await listShards(this.#client, this.#stream, (request) =>
      untilDone(request, this.#stream, this.#clock),
    );
    this.#closed = new Set(found.filter((shard) => !shard.open).map((shard) => shard.id));
    return found;
  }

  put(batch: OutgoingBatch): Promise<PutResult> {
    return this.#writer.put(batch);
  }

  broadcast(recordFor: (shardId: string) => Uint8Array): Promise<void> {
    return this.#writer.broadcast(recordFor);
  }

  async read(shardId: string, position: Position, limit: number): Promise<RecordBatch> {
    // Also with an iterator that stands there: it goes on at what is left, without a word.
    const lost = this.#lost(shardId, position);
    // Where to find this place again, which latest no longer names a moment later.
    const again: Position =
      position.at === 'latest' ? { at: 'time', ms: this.#timeThere() - CLOCKS_DIFFER_MS } : position;
    let from = position;
    for (let attempt = 0, since = this.#clock.now(); ; attempt++) {
      try {
        const batch = this.#fanOut
          ? await this.#fanOut.read(shardId, from, again)
          : await this.#poll(shardId, from, again, limit);
        return { ...batch, lost };
      } catch (error) {
        // Who is told to slow down keeps the iterator: another one would cost a request too.
        if (verdict(error) !== 'throttled' || !this.#isAt(shardId, from)) {
          from = again;
          this.#iterators.delete(shardId);
        }
        if (error instanceof Error && error.name === 'ResourceNotFoundException')
          await this.#refuseMissing(shardId);
        await pause(error, attempt, since, this.#stream, this.#clock);
      }
    }
  }

  /** What is missing is the shard, once its records are too old; if it is the stream, its list says so. */
  async #refuseMissing(shardId: string): Promise<never> {
    await this.shards();
    throw new TaxiflowError('no-shard', `${this.name} no longer has ${shardId}`, {
      hint: `see "taxiflow stream describe ${this.name}"`,
    });
  }

  async #poll(shardId: string, position: Position, again: Position, limit: number): Promise<RecordBatch> {
    await this.#untilReadable(shardId);
    const iterator = await this.#iteratorAt(shardId, position);
    const asked = this.#clock.now();
    const answer = await getRecords(this.#client, this.#stream, iterator, Math.min(limit, 10_000));
    const quiet = this.#closed.has(shardId) ? again : quietUntil(again, asked - answer.behind);
    const batch = toBatch(answer.records, quiet);
    const took = Math.min(batch.data.length / READ_BYTES_PER_MS, LONGEST_READ_INTERVAL);
    this.#readable.set(shardId, asked + Math.max(took, READ_INTERVAL));
    if (answer.next)
      this.#iterators.set(shardId, { after: JSON.stringify(batch.next), iterator: answer.next });
    else this.#iterators.delete(shardId);
    const ended = answer.next === undefined;
    if (ended && !answer.hasChildren) await this.#confirmEnd(shardId);
    // Of a closed shard only its end is the tip, and a full answer may have more behind it, whatever is said.
    const tip = answer.behind === 0 && answer.records.length < limit && !this.#closed.has(shardId);
    return { ...batch, atTip: ended || tip, ended };
  }

  /** Only a closed shard has an end. One that a list, which may lag, has as open for long has lost its iterator. */
  async #confirmEnd(shardId: string): Promise<void> {
    for (const since = this.#clock.now(); !this.#closed.has(shardId); ) {
      const found = (await this.shards()).find(({ id }) => id === shardId);
      if (!found?.open) return;
      if (this.#clock.now() - since > LIST_LAG_MS)
        throw badAnswer('GetRecords', 'NextShardIterator, though the shard is open');
      await this.#clock.sleep(LIST_AGAIN_MS);
    }
  }

  async close(): Promise<void> {
    await this.#fanOut?.close();
    this.#client.destroy();
  }

  /** Records that arrived before the retention began are gone; in words, for the user. */
  #lost(shardId: string, position: Position): string | undefined {
    if (position.at === 'latest') return undefined;
    if (position.arrival === undefined) {
      this.#atEdge.add(shardId);
      return undefined;
    }
    const gone = this.#clock.now() - this.retentionMs - position.arrival;
    if (gone < -EDGE_MS) this.#atEdge.delete(shardId);
    if (gone <= 0 || this.#atEdge.has(shardId)) return undefined;
    const minutes = Math.ceil(gone / 60_000);
    if (minutes <= 6) return `${minutes} minute${minutes > 1 ? 's' : ''}`;
    return `${(gone / 3_600_000).toFixed(1)} hours`;
  }

  async #untilReadable(shardId: string): Promise<void> {
    const wait = (this.#readable.get(shardId) ?? Number.NEGATIVE_INFINITY) - this.#clock.now();
    if (wait > 0) await this.#clock.sleep(wait);
    this.#readable.set(shardId, this.#clock.now() + READ_INTERVAL);
  }

  #isAt(shardId: string, position: Position): boolean {
    return this.#iterators.get(shardId)?.after === JSON.stringify(position);
  }

  /** The iterator for a position; a fresh one when none is at hand (K1). */
  async #iteratorAt(shardId: string, position: Position): Promise<string> {
    if (this.#isAt(shardId, position)) return this.#iterators.get(shardId)!.iterator;
    const start = startingPosition(position);
    const answer = await this.#client.send(
      new GetShardIteratorCommand({
        ...streamInput(this.#stream),
        ShardId: shardId,
        ShardIteratorType: start.Type,
        StartingSequenceNumber: start.SequenceNumber,
        Timestamp: start.Timestamp,
      }),
    );
    const iterator = required(answer.ShardIterator, 'GetShardIterator', 'ShardIterator');
    this.#iterators.set(shardId, { after: JSON.stringify(position), iterator });
    return iterator;
  }
}
