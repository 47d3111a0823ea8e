/**
 * The replay's loop: trips in order → pace → stream, with watermarks, accounted for to the last row.
 *
 *  W1, W2 in watermark.ts · W3 a watermark goes to every open shard once per default window of event time (200 ms to
 *  5 s apart) or 100,000 trips, whichever is first, and once more at the end · W7 what is acknowledged is written down before a watermark says so, so a
 *  replay that goes on sends nothing that the watermark has passed.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Dataset, TripBatch } from '../dataset/dataset.ts';
import type { DeadLetterBuffer } from '../dead-letters.ts';
import { encodeWatermark } from '../events/encode.ts';
import type { StreamWriter } from '../streams/stream.ts';
import { moved, RecordComposer } from './compose.ts';
import { Forecast } from './forecast.ts';
import type { ReplayEntry, ReplayLedger, StreamWatermark } from './ledger.ts';
import { type Jump, LONGEST_GAP, Pace } from './pace.ts';
import { Groups, type Strays } from './strays.ts';
import { ReplayWatermark } from './watermark.ts';

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
  readonly ledger: ReplayLedger;
  /** Rows that the dataset refuses, on their way to the ledger. */
  readonly rejected: DeadLetterBuffer;
  readonly clock: Clock;
  /** Event time over wall time; Infinity sends as fast as the stream takes. */
  readonly speedup: number;
  /** Skip trips that end before this, epoch ms. */
  readonly seek?: number | undefined;
  /** Stop at the first trip that ends at or after this, epoch ms. */
  readonly until?: number | undefined;
  /** Trips to send at most. */
  readonly limit?: number | undefined;
  readonly adaptTime: AdaptTime;
  readonly watermarks: boolean;
  /** Go on where an earlier run of the same replay was. */
  readonly resume: boolean;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: ReplayProgress) => void;
  readonly onStart?: (replay: string, earlier: ReplayEntry | undefined) => void;
  /** Told before the start of trips that will be late, since an earlier replay moved the stream's watermark past them. */
  readonly onBehind?: (behind: Behind) => void;
  readonly onJump?: ((jump: Jump) => void) | undefined;
  /** By invocation: trips that are left out of the reckoning; `first` is the drop-off of the one that ends now. */
  readonly onStrays?: ((strays: Strays, first: number) => void) | undefined;
  /** By invocation: a gap of more than a day, behind which trips end at `at`. All epoch ms. */
  readonly onGap?: ((gap: Jump, at: number) => void) | undefined;
  /** Ms between watermarks (W3); by default so that one default window of event time passes, 200 to 5,000. */
  readonly watermarkInterval?: number | undefined;
}

/** Trips that are behind the watermark of their stream. */
export interface Behind {
  readonly trips: number;
  /** Of so many that are to be sent. */
  readonly of: number;
  /** Epoch ms. */
  readonly watermark: number;
  /** The inputs of the replay that moved the watermark there. */
  readonly inputs: string;
}

export interface ReplayProgress {
  /** Drop-off time of the last trip sent, epoch ms. */
  readonly eventTime: number;
  readonly acknowledged: number;
  /** Ms the replay is behind its pace. */
  readonly lag: number;
  /** Share of the trips that are done, 0 to 1; undefined for an input that is sent while it is read. */
  readonly fraction: number | undefined;
  /** Wall ms still to go, where that can be told. */
  readonly remaining: number | undefined;
}

export interface ReplayOutcome {
  /** Null when it was stopped before the trips were read. */
  readonly replay: string | null;
  readonly sent: number;
  readonly acknowledged: number;
  readonly refused: Record<string, number>;
  readonly skipped: { before_seek: number; after_until: number; over_limit: number; already_sent: number };
  /** Trips that an interruption kept from being sent. */
  readonly notSent: number;
  readonly watermarks: number;
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
/** Shortest sleep: trips that fall due within it go together. */
const TICK = 50;
const PUTS_IN_FLIGHT = 8;
/** Batches to look at, at most, for where the trips begin that are meant. */
const MOST_AHEAD = 64;

/** Replays to the end, or until stopped. Throws `TaxiflowError`; what was acknowledged stays noted. */
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
  #composer!: RecordComposer;
  /** The latest time something was sent as of. */
  #now = Number.NEGATIVE_INFINITY;
  #earlier = 0;
  #sent = 0;
  #acknowledged = 0;
  #failure: unknown;
  #firstDropoff: number | undefined;
  #lastDropoff: number | undefined;
  /** Wall time the pace is reckoned from. */
  #started: number | undefined;
  readonly #pace: Pace;
  #lag = 0;
  #watermarks = 0;
  #lastWatermark: number | undefined;
  #watermarkWall = 0;
  /** Wall time at which the first trip was sent. */
  #sendingSince = 0;
  #watermarkTrips = 0;
  /** Why nothing more is wanted, and the drop-off of the first trip that isn't. */
  #over: 'over_limit' | 'after_until' | undefined;
  #unsent: number | undefined;
  /** Drop-off of the first trip that seek leaves. */
  #firstWanted: number | undefined;
  #previous: number | undefined;

  #writer: StreamWriter | undefined;
  #forecast: Forecast | undefined;
  readonly #watermarkInterval: number;

  constructor(options: ReplayOptions) {
    this.#o = options;
    this.#pace = new Pace(options.speedup, options.onJump);
    this.#watermarkInterval = options.watermarkInterval ?? usualInterval(options.speedup);
    if ('put' in options.writer) this.#writer = options.writer;
  }

  async run(): Promise<ReplayOutcome> {
    const { dataset, signal, clock, ledger, writer } = this.#o;
    const furthest =
      this.#writer && this.#o.adaptTime === 'original' ? ledger.furthest(this.#writer.identity) : [];
    dataset.countUpTo(
      furthest.map(({ watermark }) => watermark),
      this.#o.seek,
      this.#o.until,
    );
    const batches = dataset.batches();
    // The first batch comes when everything is read and sorted; only then standard input has a fingerprint.
    const first = await batches.next();
    if (first.done && signal.aborted) return this.#outcome(true);
    if (!first.done && 'open' in writer) this.#writer = await writer.open();
    const earlier = this.#begin(await dataset.fingerprint());
    // What is in the stream already counts once, and what goes on is behind nothing but itself.
    if (!earlier?.finished && this.#entry.nextId === 0) this.#tellBehind(furthest);
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
    if (this.#failure) {
      try {
        this.#save(false);
      } catch {
        // The first failure is the one to tell; an older note of the progress is still true.
      }
      throw this.#failure;
    }
    await this.#end(signal.aborted);
    return this.#outcome(signal.aborted);
  }

  /** Returns what an earlier run of the same replay noted. */
  #begin(fingerprint: string): ReplayEntry | undefined {
    const { ledger, adaptTime, clock, dataset, resume, seek } = this.#o;
    const { name } = this.#writer ?? this.#o.writer;
    // An input without trips has made no stream.
    const identity = this.#writer?.identity ?? '';
    // Where a replay begins belongs to it: what one that began later skipped was never sent.
    const key = shortHash([identity, fingerprint, adaptTime, String(seek ?? '')]);
    const earlier = ledger.find(key);
    const goesOn = resume ? earlier : undefined;
    const startedAt = clock.now();
    const replay =
      goesOn?.replay ??
      shortHash([fingerprint, adaptTime, adaptTime === 'original' ? '' : String(startedAt)]);
    this.#earlier = goesOn?.acknowledged ?? 0;
    if (adaptTime === 'ingestion') this.#now = (earlier?.watermark ?? Number.NEGATIVE_INFINITY) + 1;
    this.#entry = {
      key,
      stream: name,
      streamIdentity: identity,
      replay,
      inputs: dataset.names.join(', '),
      invokedAt: goesOn?.invokedAt ?? startedAt,
      nextId: goesOn?.nextId ?? 0,
      acknowledged: this.#earlier,
      watermark: goesOn?.watermark ?? null,
      finished: false,
    };
    this.#composer = new RecordComposer(replay);
    ledger.clearRejected(key);
    ledger.save(this.#entry, this.#o.rejected);
    this.#o.onStart?.(replay, earlier);
    return earlier;
  }

  /** Says which trips are behind the watermark of another replay. */
  #tellBehind(furthest: readonly StreamWatermark[]): void {
    const other = furthest.findIndex(({ key }) => key !== this.#entry.key);
    if (other < 0) return;
    const { upTo, wanted } = this.#o.dataset;
    const most = this.#o.limit ?? Number.POSITIVE_INFINITY;
    const trips = Math.min(upTo[other]!, most);
    const { watermark, inputs } = furthest[other]!;
    if (trips > 0) this.#o.onBehind?.({ trips, of: Math.min(wanted, most), watermark, inputs });
  }

  /**
   * Finds the trip from which an invocation is reckoned, unless `seek` says it; returns the batches that were looked at.
   * Of an input that comes as it is read, only the first: what it holds later, nobody knows.
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

  /** Sends what is wanted of a batch, in its time. */
  async #replay(batch: TripBatch): Promise<void> {
    const { signal, clock } = this.#o;
    let [from, to] = this.#wanted(batch);
    if (this.#o.adaptTime === 'invocation') this.#tellGaps(batch.dropoffs.subarray(0, to));
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

  /** What is behind a gap lands far from now. */
  #tellGaps(dropoffs: Float64Array): void {
    for (const dropoff of dropoffs) {
      const from = this.#previous;
      this.#previous = dropoff;
      if (from === undefined || dropoff - from <= LONGEST_GAP || dropoff <= (this.#firstWanted ?? dropoff))
        continue;
      this.#o.onGap?.({ from, to: dropoff }, this.#eventTime(dropoff));
    }
  }

  /** The part of a batch that seek, until, limit and an earlier run leave. */
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
    // Of trips that were sent as of some earlier now, the ledger knows the watermark.
    if (fresh > from && this.#o.adaptTime !== 'ingestion')
      this.#watermark.passed(this.#eventTime(dropoffs[fresh - 1]!));
    const room = limit - this.#sent - this.#skipped.already_sent;
    const end = Math.max(fresh, Math.min(to, fresh + room));
    if (end < to) this.#endAt('over_limit', dropoffs[end]!);
    else if (to < count) this.#endAt('after_until', dropoffs[to]!);
    return [fresh, end];
  }

  /** The user wants nothing from this drop-off on. */
  #endAt(why: 'over_limit' | 'after_until', unsent: number): void {
    this.#over = why;
    // What is sent as of now is never behind what was.
    if (this.#o.adaptTime !== 'ingestion') this.#unsent = this.#eventTime(unsent);
  }

  /** How many trips of [from, to) are due, as the index after the last one. */
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

  /** Wall time at which a trip is due. */
  #dueAt(dropoff: number): number {
    return this.#started! + this.#pace.due(dropoff);
  }

  /** The drop-off time a trip is sent with. */
  #eventTime(dropoff: number): number {
    return moved(dropoff, this.#shift(dropoff));
  }

  #shift(dropoff: number): number {
    const { adaptTime, clock } = this.#o;
    if (adaptTime === 'ingestion') {
      // A clock may be set back; what is sent is never behind a watermark (W1).
      this.#now = Math.max(this.#now, clock.now());
      return this.#now - dropoff;
    }
    if (adaptTime === 'original') return 0;
    // The first trip that is meant ends when the replay was first invoked.
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
    const records = this.#composer.compose(batch, from, to, shiftOf);
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
      lag: this.#lag,
      fraction: forecast && Math.min(1, (already + sent) / Math.max(1, all)),
      remaining: forecast?.remaining({ sent, elapsed: clock.now() - this.#sendingSince, lag: this.#lag }),
    });
  }

  /** One shift for all trips of a put: at ingestion they all happen now. */
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
    // Where nothing was left to send, the watermark an earlier run noted: that run may have ended before it left.
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
    this.#o.ledger.save(this.#entry, this.#o.rejected);
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
