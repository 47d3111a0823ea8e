/**
 * Reading Amazon Kinesis:
 *
 *  K1 nothing is skipped: an iterator is renewed after the last record that was handed out. One that began at "latest"
 *     is renewed from that time, never from the new "latest".
 *  K2, K3 in `writer.ts`
 */
import { setMaxListeners } from 'node:events';
import { GetShardIteratorCommand, type KinesisClient } from '@aws-sdk/client-kinesis';
import type { Clock } from '../../clock.ts';
import { TaxiflowError } from '../../errors.ts';
import { Attempts } from '../../net/retry.ts';
import type { Position, RecordBatch, Shard, StreamReader } from '../ports.ts';
import { quietUntil, toBatch } from './batch.ts';
import { type KinesisOptions, listShards, startingPosition } from './client.ts';
import { type Contact, contact } from './contact.ts';
import { badAnswer, pause, required, untilDone, verdict } from './errors.ts';
import { FanOut } from './fan-out.ts';
import { streamInput } from './stream-name.ts';
import { getRecords } from './wire.ts';

/**
 * A shard allows five GetRecords and 2 MB per second, to all who poll it; after an answer of 10 MB it refuses all for 5 s. A fifth is
 * left to another consumer, such as Firehose, which asks once a second.
 */
const READ_INTERVAL = 255;
const READ_BYTES_PER_MS = 1_600;
const LONGEST_READ_INTERVAL = 5_000;
/** A reader that began at the oldest records is safe from their expiry once it is this far ahead of it. */
const EDGE_MS = 60_000;
/** The most that clocks within Kinesis differ. */
const CLOCKS_DIFFER_MS = 5_000;
/** The most that a list of shards lags behind reads. */
const LIST_LAG_MS = 10_000;
const LIST_AGAIN_MS = 500;

export interface KinesisReaderOptions extends KinesisOptions {
  readonly clock: Clock;
  /** Read by enhanced fan-out, under this consumer name. */
  readonly fanOut?: string | undefined;
}

interface Iterator {
  /** Its position, as JSON. */
  readonly after: string;
  readonly iterator: string;
}

export class KinesisReader implements StreamReader {
  readonly name: string;
  readonly identity: string;
  readonly #client: KinesisClient;
  readonly #stream: string;
  readonly #clock: Clock;
  readonly #timeThere: () => number;
  /** The time that records are kept, ms. */
  readonly retentionMs: number;
  /** Kinesis chooses the number of shards. */
  readonly onDemand: boolean;
  /** Kinesis ignores hash keys, so the shard of a record can't be chosen. */
  readonly spreads: boolean;
  readonly #fanOut: FanOut | undefined;
  readonly #iterators = new Map<string, Iterator>();
  /** Shards that are read from their oldest records on and are still near them: records that expire here are no gap. */
  readonly #atEdge = new Set<string>();
  /** The time from which a shard may be read again, epoch ms. */
  readonly #readable = new Map<string, number>();
  /** Shards that the last list had as closed. */
  #closed: ReadonlySet<string> = new Set();
  /** Aborted by `close`: reads under way would be repeated for minutes, and keep the process alive. */
  readonly #over = new AbortController();

  private constructor(options: KinesisReaderOptions, { client, summary, ...found }: Contact) {
    // Each shard may wait.
    setMaxListeners(0, this.#over.signal);
    this.#client = client;
    this.#stream = options.stream;
    this.#clock = options.clock;
    this.#timeThere = found.timeThere;
    this.retentionMs = summary.RetentionPeriodHours * 3_600_000;
    this.onDemand = summary.StreamModeDetails?.StreamMode === 'ON_DEMAND';
    this.spreads = found.spreads;
    this.#fanOut =
      options.fanOut === undefined
        ? undefined
        : new FanOut({ ...options, timeThere: this.#timeThere }, summary.StreamARN, options.fanOut);
    this.name = found.name;
    this.identity = found.identity;
  }

  /** Throws what `contact` throws. */
  static async open(options: KinesisReaderOptions): Promise<KinesisReader> {
    return new KinesisReader(options, await contact(options));
  }

  async shards(): Promise<readonly Shard[]> {
    const { signal } = this.#over;
    const found = await listShards(this.#client, this.#stream, (request) => {
      // The end of a wait is no reason to ask again.
      const unlessOver = async () => {
        signal.throwIfAborted();
        return request();
      };
      return untilDone(unlessOver, this.#stream, this.#clock, signal);
    });
    this.#closed = new Set(found.filter((shard) => !shard.open).map((shard) => shard.id));
    return found;
  }

  async read(shardId: string, position: Position, limit: number): Promise<RecordBatch> {
    // The position to resume from: a moment later "latest" is another one.
    const again: Position =
      position.at === 'latest' ? { at: 'time', ms: this.#timeThere() - CLOCKS_DIFFER_MS } : position;
    let from = position;
    for (const attempts = new Attempts(this.#clock, this.#over.signal); ; ) {
      this.#over.signal.throwIfAborted();
      try {
        const batch = this.#fanOut
          ? await this.#fanOut.read(shardId, from, again)
          : await this.#poll(shardId, from, again, limit);
        // An iterator at hand does not help: Kinesis silently goes on at the oldest record that is left.
        return { ...batch, lost: this.#lost(shardId, position) };
      } catch (error) {
        // A throttled read keeps its iterator, since a new one would cost a request.
        if (verdict(error) !== 'throttled' || !this.#isAt(shardId, from)) {
          from = again;
          this.#iterators.delete(shardId);
        }
        if (error instanceof Error && error.name === 'ResourceNotFoundException')
          await this.#refuseMissing(shardId);
        await pause(error, attempts, this.#stream);
      }
    }
  }

  /** A shard disappears once its records have expired. Listing the shards tells when it is the stream that is missing. */
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
    const batch = this.#upTo(shardId, toBatch(answer.records, again), answer.behind, limit);
    const took = Math.min(batch.data.length / READ_BYTES_PER_MS, LONGEST_READ_INTERVAL);
    this.#readable.set(shardId, asked + Math.max(took, READ_INTERVAL));
    if (answer.next)
      this.#iterators.set(shardId, { after: JSON.stringify(batch.next), iterator: answer.next });
    else this.#iterators.delete(shardId);
    const ended = answer.next === undefined;
    if (ended && !answer.hasChildren) await this.#confirmEnd(shardId);
    // A closed shard has its tip at its end only, and more may follow a full answer even if Kinesis says otherwise.
    const tip = answer.behind === 0 && answer.records.length < limit && !this.#closed.has(shardId);
    return { ...batch, atTip: ended || tip, ended };
  }

  /** A batch with the time up to which everything is read; a full answer may be followed by more, whatever it says. */
  #upTo(shardId: string, batch: RecordBatch, behind: number, limit: number): RecordBatch {
    const isQuiet = batch.count === 0 || (behind === 0 && batch.count < limit);
    if (!isQuiet || this.#closed.has(shardId)) return batch;
    return { ...batch, next: quietUntil(batch.next, this.#timeThere() - behind) };
  }

  /** Only a closed shard ends. If lists, which may lag, show it open for long, the answer lacked its next iterator. */
  async #confirmEnd(shardId: string): Promise<void> {
    for (const since = this.#clock.now(); !this.#closed.has(shardId); ) {
      const found = (await this.shards()).find(({ id }) => id === shardId);
      if (!found?.open) return;
      if (this.#clock.now() - since > LIST_LAG_MS)
        throw badAnswer('GetRecords', 'NextShardIterator, though the shard is open');
      await this.#clock.sleep(LIST_AGAIN_MS, this.#over.signal);
    }
  }

  async close(): Promise<void> {
    this.#over.abort();
    await this.#fanOut?.close();
    this.#client.destroy();
  }

  /** The span of records that have expired before they were read, in words for the user. */
  #lost(shardId: string, position: Position): string | undefined {
    if (position.at === 'latest') return undefined;
    if (position.arrival === undefined) {
      this.#atEdge.add(shardId);
      return undefined;
    }
    const gone = this.#timeThere() - this.retentionMs - position.arrival;
    if (gone < -EDGE_MS) this.#atEdge.delete(shardId);
    if (gone <= 0 || this.#atEdge.has(shardId)) return undefined;
    const minutes = Math.ceil(gone / 60_000);
    if (minutes <= 6) return `${minutes} minute${minutes > 1 ? 's' : ''}`;
    return `${(gone / 3_600_000).toFixed(1)} hours`;
  }

  async #untilReadable(shardId: string): Promise<void> {
    const wait = (this.#readable.get(shardId) ?? Number.NEGATIVE_INFINITY) - this.#clock.now();
    if (wait > 0) await this.#clock.sleep(wait, this.#over.signal);
    this.#over.signal.throwIfAborted();
    this.#readable.set(shardId, this.#clock.now() + READ_INTERVAL);
  }

  #isAt(shardId: string, position: Position): boolean {
    return this.#iterators.get(shardId)?.after === JSON.stringify(position);
  }

  /** The iterator for a position, a new one if none is at hand (K1). */
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
