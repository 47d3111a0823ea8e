/**
 * The replay loop: sends trips in order, at their pace, with watermarks, and accounts for every row.
 *
 *  W1, W2 See watermark.ts.
 *  W3 A watermark goes to every open shard once per default window of event time (200 ms to 5 s apart) or every 100,000
 *     trips, whichever comes first, and once more at the end.
 *  W7 The ledger saves what is acknowledged before a watermark is sent, so a resumed replay sends no trip that the
 *     watermark has passed.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Dataset, TripBatch } from '../dataset/dataset.ts';
import type { DeadLetterBuffer } from '../dead-letters.ts';
import { encodeWatermark } from '../events/encode.ts';
import type { StreamWriter } from '../streams/ports.ts';
import { composeRecords, moved } from './compose.ts';
import { Forecast } from './forecast.ts';
import type { ReplayEntry, ReplayLedger, StreamWatermark } from './ledger.ts';
import { type Jump, LONGEST_GAP, Pace } from './pace.ts';
import { Groups, type Strays } from './strays.ts';
import { ReplayWatermark } from './watermark.ts';

/**
 * The times that trips are sent with: their own (`original`), shifted so that the first trip ends when the replay first
 * started (`invocation`), or so that each trip ends when it is sent (`ingestion`).
 */
export type AdaptTime = 'original' | 'invocation' | 'ingestion';

/** A stream that isn't there yet. */
export interface LateWriter {
  readonly name: string;
  /** Makes it. */
  open(): Promise<StreamWriter>;
}

export interface ReplayOptions {
  readonly dataset: Dataset;
  /** The stream; one that isn't there yet is made once the input is known to hold trips. */
  readonly writer: StreamWriter | LateWriter;
  /** Opens the ledger; called once, when there is something to note. */
  readonly ledger: () => ReplayLedger;
  /** Rejected rows of the dataset, for the ledger. */
  readonly rejected: DeadLetterBuffer;
  readonly clock: Clock;
  /** Event time divided by wall time; Infinity sends as fast as the stream accepts. */
  readonly speedup: number;
  /** Skip trips that end before this, epoch ms. */
  readonly seek?: number | undefined;
  /** Stop at the first trip that ends at or after this, epoch ms. */
  readonly until?: number | undefined;
  /** Most trips to send. */
  readonly limit?: number | undefined;
  readonly adaptTime: AdaptTime;
  readonly watermarks: boolean;
  /** Continue where an earlier run of the same replay stopped. */
  readonly resume: boolean;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: ReplayProgress) => void;
  readonly onStart?: (replay: string, earlier: ReplayEntry | undefined) => void;
  /** Called before the start if trips will be late because an earlier replay moved the stream's watermark past them. */
  readonly onBehind?: (behind: Behind) => void;
  readonly onJump?: ((jump: Jump) => void) | undefined;
  /** With `invocation`: called if stray trips precede the others. `first` is the drop-off (epoch ms) that maps to now. */
  readonly onStrays?: ((strays: Strays, first: number) => void) | undefined;
  /** With `invocation`: called for a gap of more than a day; the trip after it is sent with the drop-off `at`. All epoch ms. */
  readonly onGap?: ((gap: Jump, at: number) => void) | undefined;
  /** Ms between watermarks (W3); by default so that one default window of event time passes, 200 to 5,000. */
  readonly watermarkInterval?: number | undefined;
}

/** Trips behind the watermark of their stream. */
export interface Behind {
  readonly trips: number;
  /** Trips to be sent in all. */
  readonly of: number;
  /** Epoch ms. */
  readonly watermark: number;
  /** Inputs of the replay that moved the watermark there. */
  readonly inputs: string;
}

export interface ReplayProgress {
  /** Drop-off time of the last trip sent, epoch ms. */
  readonly eventTime: number;
  readonly acknowledged: number;
  /** Trips that the stream refused. */
  readonly refused: number;
  /** Ms the replay is behind its pace. */
  readonly lag: number;
  /** Share of the trips that are done, 0 to 1; undefined for an input that is sent while it is read. */
  readonly fraction: number | undefined;
  /** Wall ms still to go, where that can be told. */
  readonly remaining: number | undefined;
}

export interface ReplayOutcome {
  /** Null if the run was stopped before the trips were read. */
  readonly replay: string | null;
  readonly sent: number;
  readonly acknowledged: number;
  /** Trips that the stream refused, by reason. */
  readonly refused: Record<string, number>;
  readonly skipped: { before_seek: number; after_until: number; over_limit: number; already_sent: number };
  /** Trips not sent because the run was interrupted. */
  readonly notSent: number;
  readonly watermarks: number;
  /** The last watermark sent, and the first and last drop-off as sent; epoch ms. */
  readonly lastWatermark: number | undefined;
  readonly firstDropoff: number | undefined;
  readonly lastDropoff: number | undefined;
  readonly interrupted: boolean;
}

/** Watermarks are so far apart at least and at most, ms, and else by the event time that passes. */
const CLOSEST_WATERMARKS = 200;
const FARTHEST_WATERMARKS = 5_000;
const WATERMARK_EVENT_TIME = 600_000;
const WATERMARK_TRIPS = 100_000;
/** Shortest sleep in ms: trips that become due within it are sent together. */
const TICK = 50;
const PUTS_IN_FLIGHT = 8;
/** Trips per shard in a put, if the stream doesn't say. */
const TRIPS_PER_SHARD = 250;
/** Most batches to search for the end of the strays. */
const MOST_AHEAD = 64;

/** Replays to the end, or until stopped. Throws `TaxiflowError`; the acknowledged trips stay in the ledger. */
export async function runReplay(options: ReplayOptions): Promise<ReplayOutcome> {
  return new ReplayRun(options).run();
}

class ReplayRun {
  readonly #o: ReplayOptions;
  readonly #watermark = new ReplayWatermark();
  readonly #pending = new Set<Promise<void>>();
  readonly #skipped = { before_seek: 0, after_until: 0, over_limit: 0, already_sent: 0 };
  readonly #refused: Record<string, number> = {};
  #entry!: ReplayEntry;
  /** The latest time that a trip was sent with, for `ingestion`. */
  #now = Number.NEGATIVE_INFINITY;
  #earlier = 0;
  #sent = 0;
  #acknowledged = 0;
  #failure: unknown;
  #firstDropoff: number | undefined;
  #lastDropoff: number | undefined;
  /** Wall time at which the pace began. */
  #started: number | undefined;
  readonly #pace: Pace;
  #lag = 0;
  #watermarks = 0;
  #lastWatermark: number | undefined;
  #watermarkWall = 0;
  /** Wall time at which the first trip was sent. */
  #sendingSince = 0;
  #watermarkTrips = 0;
  /** Why the replay ends early, and the drop-off of the first trip left out. */
  #over: 'over_limit' | 'after_until' | undefined;
  #unsent: number | undefined;
  /** Original drop-off of the first trip that is neither before `seek` nor a stray. */
  #firstWanted: number | undefined;
  #previous: number | undefined;

  #writer: StreamWriter | undefined;
  #openLedger: ReplayLedger | undefined;
  #forecast: Forecast | undefined;
  readonly #watermarkInterval: number;

  constructor(options: ReplayOptions) {
    this.#o = options;
    this.#pace = new Pace(options.speedup, options.onJump);
    this.#watermarkInterval = options.watermarkInterval ?? usualInterval(options.speedup);
    if ('put' in options.writer) this.#writer = options.writer;
  }

  async run(): Promise<ReplayOutcome> {
    const { dataset, signal, clock, writer } = this.#o;
    const furthest =
      this.#writer && this.#o.adaptTime === 'original' ? this.#ledger.furthest(this.#writer.identity) : [];
    dataset.countUpTo(
      furthest.map(({ watermark }) => watermark),
      this.#o.seek,
      this.#o.until,
    );
    const batches = dataset.batches();
    // The first batch arrives after everything is read and sorted; only then does standard input have a fingerprint.
    const first = await batches.next();
    if (first.done && signal.aborted) return this.#outcome(true);
    if (!first.done && 'open' in writer && this.#isAnyWanted) this.#writer = await writer.open();
    if (this.#writer) await this.#fitBatches(this.#writer);
    const earlier = this.#begin(await dataset.fingerprint());
    // Trips that are in the stream already are dropped as duplicates, and a resumed replay is behind its own watermark only.
    if (!earlier?.finished && this.#entry.nextId === 0) this.#reportBehind(furthest);
    this.#watermarkWall = clock.now();
    const ahead = await this.#lookAhead(first, batches);
    const next = async () => ahead.shift() ?? (await batches.next());
    let batch = await next();
    try {
      while (!batch.done && !signal.aborted && !this.#over && !this.#failure) {
        await this.#replay(batch.value);
        batch = await next();
      }
      if (!batch.done) await batches.return?.(undefined);
    } finally {
      await Promise.all(this.#pending);
    }
    // What was in flight at the last report is settled by now.
    if (this.#lastDropoff !== undefined) this.#report(this.#lastDropoff);
    if (this.#failure) {
      try {
        this.#save(false);
      } catch {
        // Report the first failure; the progress saved last is still true.
      }
      throw this.#failure;
    }
    await this.#end(signal.aborted);
    return this.#outcome(signal.aborted);
  }

  get #ledger(): ReplayLedger {
    this.#openLedger ??= this.#o.ledger();
    return this.#openLedger;
  }

  /** Whether a trip is asked for, as far as that is known before all are read. */
  get #isAnyWanted(): boolean {
    const { dataset, limit } = this.#o;
    return limit !== 0 && (dataset.assumesSorted || dataset.wanted > 0);
  }

  /** A put is split among the shards, and each part has its own cost: many shards need larger puts. */
  async #fitBatches(writer: StreamWriter): Promise<void> {
    const { dataset } = this.#o;
    const open = (await writer.shards()).filter((shard) => shard.open).length;
    const perShard = writer.recordsPerShard ?? TRIPS_PER_SHARD;
    dataset.batchTrips = Math.max(dataset.batchTrips, open * perShard);
  }

  /** Starts the entry in the ledger; returns the entry of an earlier run of the same replay. */
  #begin(fingerprint: string): ReplayEntry | undefined {
    const { adaptTime, clock, dataset, resume, seek } = this.#o;
    const ledger = this.#ledger;
    const { name } = this.#writer ?? this.#o.writer;
    // No stream was made for an input without trips.
    const identity = this.#writer?.identity ?? '';
    // The start is part of the identity: a run with a later `seek` didn't send the trips it skipped.
    const key = shortHash([identity, fingerprint, adaptTime, String(seek ?? '')]);
    // Nothing can have been sent into a stream that isn't there.
    const earlier = this.#writer && ledger.find(key);
    const resumed = resume ? earlier : undefined;
    const startedAt = clock.now();
    const replay =
      resumed?.replay ??
      shortHash([fingerprint, adaptTime, adaptTime === 'original' ? '' : String(startedAt)]);
    this.#earlier = resumed?.acknowledged ?? 0;
    if (adaptTime === 'ingestion') this.#now = (earlier?.watermark ?? Number.NEGATIVE_INFINITY) + 1;
    this.#entry = {
      key,
      stream: name,
      streamIdentity: identity,
      replay,
      inputs: dataset.names.join(', '),
      invokedAt: resumed?.invokedAt ?? startedAt,
      nextId: resumed?.nextId ?? 0,
      acknowledged: this.#earlier,
      watermark: resumed?.watermark ?? null,
      finished: false,
    };
    ledger.clearRejected(key);
    ledger.save(this.#entry, this.#o.rejected);
    this.#o.onStart?.(replay, earlier);
    return earlier;
  }

  /** Reports trips that are behind the watermark of another replay. */
  #reportBehind(furthest: readonly StreamWatermark[]): void {
    const other = furthest.findIndex(({ key }) => key !== this.#entry.key);
    if (other < 0) return;
    const { upTo, wanted } = this.#o.dataset;
    const most = this.#o.limit ?? Number.POSITIVE_INFINITY;
    const trips = Math.min(upTo[other]!, most);
    const { watermark, inputs } = furthest[other]!;
    if (trips > 0) this.#o.onBehind?.({ trips, of: Math.min(wanted, most), watermark, inputs });
  }

  /**
   * Finds the trip that `invocation` maps to now, unless `seek` names it; returns the batches read to find it. An input
   * that streams while it is read is judged by its first batch only.
   */
  async #lookAhead(
    first: IteratorResult<TripBatch, void>,
    batches: AsyncGenerator<TripBatch, void>,
  ): Promise<IteratorResult<TripBatch, void>[]> {
    const { adaptTime, seek, dataset, signal } = this.#o;
    const ahead = [first];
    if (adaptTime !== 'invocation' || seek !== undefined || first.done) return ahead;
    const groups = new Groups();
    groups.add(first.value.dropoffs);
    const most = dataset.assumesSorted ? 1 : MOST_AHEAD;
    while (!groups.decided && ahead.length < most && !signal.aborted) {
      const next = await batches.next();
      ahead.push(next);
      if (next.done) break;
      groups.add(next.value.dropoffs);
    }
    const found = groups.result();
    this.#firstWanted = found.first;
    if (found.strays) this.#o.onStrays?.(found.strays, found.first);
    return ahead;
  }

  /** Sends the wanted trips of a batch when they are due. */
  async #replay(batch: TripBatch): Promise<void> {
    const { signal, clock } = this.#o;
    let [from, to] = this.#wanted(batch);
    if (this.#o.adaptTime === 'invocation') this.#reportGaps(batch.dropoffs.subarray(0, to));
    while (from < to && !signal.aborted && !this.#failure) {
      const dropoff = this.#eventTime(batch.dropoffs[from]!);
      this.#watermark.nextIs(dropoff, batch.firstId + from);
      const due = this.#due(batch, from, Math.min(to, from + WATERMARK_TRIPS - this.#watermarkTrips));
      if (due > from) {
        await this.#put(batch, from, due);
        from = due;
        await clock.sleep(0);
      } else {
        const wait = this.#dueAt(batch.dropoffs[from]!) - clock.now();
        await clock.sleep(Math.min(Math.max(wait, TICK), this.#untilWatermark()), signal);
      }
      await this.#watermarkIfDue();
    }
  }

  /** Reports gaps: trips behind one are sent with times far from now. */
  #reportGaps(dropoffs: Float64Array): void {
    for (const dropoff of dropoffs) {
      const from = this.#previous;
      this.#previous = dropoff;
      if (from === undefined || dropoff - from <= LONGEST_GAP || dropoff <= (this.#firstWanted ?? dropoff))
        continue;
      this.#o.onGap?.({ from, to: dropoff }, this.#eventTime(dropoff));
    }
  }

  /** The range [from, to) of a batch that `seek`, `until`, `limit` and an earlier run leave to send. */
  #wanted(batch: TripBatch): [number, number] {
    const {
      seek = Number.NEGATIVE_INFINITY,
      until = Number.POSITIVE_INFINITY,
      limit = Number.POSITIVE_INFINITY,
    } = this.#o;
    const { dropoffs, count, firstId } = batch;
    let from = 0;
    while (from < count && dropoffs[from]! < seek) from++;
    this.#skipped.before_seek += from;
    if (from < count) this.#firstWanted ??= dropoffs[from]!;
    let to = count;
    while (to > from && dropoffs[to - 1]! >= until) to--;
    const fresh = Math.min(Math.max(from, this.#entry.nextId - firstId), to);
    this.#skipped.already_sent += fresh - from;
    // With `ingestion` the earlier run sent them with times of its own; the ledger has their watermark.
    if (fresh > from && this.#o.adaptTime !== 'ingestion')
      this.#watermark.passed(this.#eventTime(dropoffs[fresh - 1]!));
    const room = limit - this.#sent - this.#skipped.already_sent;
    const end = Math.max(fresh, Math.min(to, fresh + room));
    if (end < to) this.#endAt('over_limit', dropoffs[end]!);
    else if (to < count) this.#endAt('after_until', dropoffs[to]!);
    return [fresh, end];
  }

  /** Ends the replay before the trip with the original drop-off `unsent`. */
  #endAt(why: 'over_limit' | 'after_until', unsent: number): void {
    this.#over = why;
    // With `ingestion` no later trip can be behind the watermark.
    if (this.#o.adaptTime !== 'ingestion') this.#unsent = this.#eventTime(unsent);
  }

  /** The index after the last trip of [from, to) that is due. */
  #due(batch: TripBatch, from: number, to: number): number {
    if (this.#o.speedup === Number.POSITIVE_INFINITY) return to;
    const now = this.#o.clock.now();
    this.#started ??= now;
    const first = this.#dueAt(batch.dropoffs[from]!);
    let due = from;
    while (due < to && this.#dueAt(batch.dropoffs[due]!) <= now) due++;
    this.#lag = due > from ? now - first : 0;
    return due;
  }

  /** Wall time (epoch ms) at which a trip is due. */
  #dueAt(dropoff: number): number {
    return this.#started! + this.#pace.due(dropoff);
  }

  /** The drop-off time with which a trip is sent, epoch ms. */
  #eventTime(dropoff: number): number {
    return moved(dropoff, this.#shift(dropoff));
  }

  #shift(dropoff: number): number {
    const { adaptTime, clock } = this.#o;
    if (adaptTime === 'ingestion') {
      // The clock may be set back, but no trip may fall behind a watermark (W1).
      this.#now = Math.max(this.#now, clock.now());
      return this.#now - dropoff;
    }
    if (adaptTime === 'original') return 0;
    // The first wanted trip ends when the replay was first invoked.
    return this.#entry.invokedAt - this.#firstWanted!;
  }

  async #put(batch: TripBatch, from: number, to: number): Promise<void> {
    const first = this.#eventTime(batch.dropoffs[from]!);
    const last = this.#o.adaptTime === 'ingestion' ? first : this.#eventTime(batch.dropoffs[to - 1]!);
    const token = this.#watermark.begin(first, last, batch.firstId + from);
    if (this.#firstDropoff === undefined) this.#beginSending(batch.dropoffs[from]!);
    this.#firstDropoff ??= first;
    this.#lastDropoff = last;
    const shiftOf =
      this.#o.adaptTime === 'original' ? undefined : this.#shiftFor(first, batch.dropoffs[from]!);
    const records = composeRecords(this.#entry.replay, batch, from, to, shiftOf);
    this.#sent += records.count;
    this.#watermarkTrips += records.count;
    if (to < batch.count) this.#watermark.nextIs(this.#eventTime(batch.dropoffs[to]!), batch.firstId + to);
    else this.#watermark.nextIs(last, batch.firstId + to);
    const put = this.#writer!.put(records).then(
      ({ acknowledged, refused }) => {
        this.#acknowledged += acknowledged;
        for (const [reason, count] of Object.entries(refused))
          this.#refused[reason] = (this.#refused[reason] ?? 0) + count;
        this.#watermark.settle(token);
      },
      (error: unknown) => {
        this.#failure ??= error;
      },
    );
    const tracked = put.finally(() => this.#pending.delete(tracked));
    this.#pending.add(tracked);
    if (this.#pending.size >= PUTS_IN_FLIGHT) await Promise.race(this.#pending);
    this.#report(last);
  }

  /** The first trip is about to be sent: from here on the rest can be foretold, once all of the input is read. */
  #beginSending(from: number): void {
    const { dataset, clock, limit = Number.POSITIVE_INFINITY } = this.#o;
    this.#sendingSince = clock.now();
    if (dataset.assumesSorted) return;
    const { timeline } = dataset;
    this.#forecast = new Forecast({ ...this.#o, timeline, from, limit: limit - this.#skipped.already_sent });
  }

  #report(eventTime: number): void {
    const { onProgress, clock } = this.#o;
    const sent = this.#sent;
    const already = this.#skipped.already_sent;
    const forecast = this.#forecast;
    const all = already + (forecast?.trips ?? 0);
    onProgress?.({
      eventTime,
      acknowledged: this.#acknowledged,
      refused: Object.values(this.#refused).reduce((sum, count) => sum + count, 0),
      lag: this.#lag,
      fraction: forecast && Math.min(1, (already + sent) / Math.max(1, all)),
      remaining: forecast?.remaining({ sent, elapsed: clock.now() - this.#sendingSince, lag: this.#lag }),
    });
  }

  /** The shift of the trips of one put; with `ingestion` all of them end now. */
  #shiftFor(first: number, original: number): (dropoff: number) => number {
    if (this.#o.adaptTime === 'ingestion') return (dropoff) => first - dropoff;
    const shift = this.#shift(original);
    return () => shift;
  }

  #untilWatermark(): number {
    return Math.max(0, this.#watermarkWall + this.#watermarkInterval - this.#o.clock.now());
  }

  async #watermarkIfDue(): Promise<void> {
    if (this.#watermarkTrips < WATERMARK_TRIPS && this.#untilWatermark() > 0) return;
    if (this.#watermarkTrips >= WATERMARK_TRIPS) await Promise.all(this.#pending);
    await this.#sendWatermark(false);
  }

  async #sendWatermark(finished: boolean): Promise<void> {
    this.#watermarkWall = this.#o.clock.now();
    this.#watermarkTrips = 0;
    this.#save(finished);
    // With nothing left to send, this is the watermark of an earlier run, which may have ended before it sent it.
    const value = this.#entry.watermark;
    if (!this.#o.watermarks || value === null || this.#failure) return;
    await this.#writer!.broadcast((shardId) => encodeWatermark(value, shardId));
    this.#lastWatermark = value;
    this.#watermarks++;
  }

  #save(finished: boolean): void {
    const { value } = this.#watermark;
    this.#entry = {
      ...this.#entry,
      nextId: Math.max(this.#entry.nextId, this.#watermark.settledBelow),
      acknowledged: this.#earlier + this.#acknowledged,
      watermark: Number.isFinite(value) ? value : this.#entry.watermark,
      finished,
    };
    this.#ledger.save(this.#entry, this.#o.rejected);
  }

  async #end(interrupted: boolean): Promise<void> {
    if (!interrupted) this.#watermark.finish(this.#unsent);
    await this.#sendWatermark(!interrupted);
  }

  #outcome(interrupted: boolean): ReplayOutcome {
    const skipped = () => Object.values(this.#skipped).reduce((sum, count) => sum + count, 0);
    const rest = this.#o.dataset.counts.trips - this.#sent - skipped();
    if (this.#over && !interrupted) this.#skipped[this.#over] += rest;
    return {
      replay: (this.#entry as ReplayEntry | undefined)?.replay ?? null,
      sent: this.#sent,
      acknowledged: this.#acknowledged,
      refused: this.#refused,
      skipped: this.#skipped,
      notSent: this.#over && !interrupted ? 0 : rest,
      watermarks: this.#watermarks,
      lastWatermark: this.#lastWatermark,
      firstDropoff: this.#firstDropoff,
      lastDropoff: this.#lastDropoff,
      interrupted,
    };
  }
}

/** Ms between watermarks at a speedup. */
function usualInterval(speedup: number): number {
  return Math.min(FARTHEST_WATERMARKS, Math.max(CLOSEST_WATERMARKS, WATERMARK_EVENT_TIME / speedup));
}

function shortHash(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 12);
}
