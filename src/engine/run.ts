/**
 * The processor's loop: shards → engine → checkpoints → sinks.
 *
 *  W4, W6, C5 in shard-reads.ts
 *  C3 sinks receive only committed results.
 */
import { type Clock, hasPassed } from '../clock.ts';
import type { DeadLetterBuffer } from '../dead-letters.ts';
import type { Position, RecordBatch, StreamReader } from '../streams/ports.ts';
import type { View } from '../views/language.ts';
import { windowsPerTrip } from '../views/windows.ts';
import { Engine } from './engine.ts';
import type { Feed } from './feed.ts';
import { Load, type Spent } from './load.ts';
import { ShardReads } from './shard-reads.ts';
import type { Sink } from './sink.ts';
import type { Counters, StateStore } from './state-store.ts';

export interface ProcessOptions {
  readonly reader: StreamReader;
  readonly store: StateStore;
  readonly views: readonly View[];
  readonly deadLetters: DeadLetterBuffer;
  readonly sinks: readonly Sink[];
  readonly clock: Clock;
  /** Where the first run begins. */
  readonly from: Position;
  readonly eventTime: 'dropoff' | 'arrival';
  readonly maxDisorder?: number | undefined;
  readonly allowedLateness: number;
  /** Ms between checkpoints. */
  readonly checkpointInterval: number;
  /** Stop after reading everything in the stream; may become true during the run. */
  readonly untilEnd: () => boolean;
  /** At the end, also fire the open windows. */
  readonly drain: boolean;
  /** Ms without a record after which the open windows fire too; never by default. */
  readonly closeIdle?: number | undefined;
  /** Told how many windows are closed without a watermark, the end of the last of them, epoch ms, and by which of the two options. */
  readonly onClosing?: (windows: number, end: number, by: 'drain' | 'closeIdle') => void;
  /** Event time (epoch ms) that the watermark does not pass, and reaches at the end. */
  readonly upTo?: number | undefined;
  /** Hand every trip to the store, for its archive. */
  readonly archives?: boolean | undefined;
  /** Continue if records expired from the stream before they were read. */
  readonly allowGap?: boolean;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Receives shards in which no watermark has arrived, so that no window can fire (W5); once per shard. */
  readonly onNoWatermark?: (shards: readonly string[]) => void;
  /** Bytes that open windows may take in memory (C9); default 256 MiB. */
  readonly memoryLimit?: number;
  /** Ms between two looks at a shard that is at its tip; by default a fifth of the checkpoint interval, 10 to 100. */
  readonly pollInterval?: number | undefined;
  /** Records per read. */
  readonly batchRecords?: number;
}

export interface Progress {
  readonly counters: Counters;
  /** Epoch ms; −Infinity before the first. */
  readonly watermark: number;
  /** Latest event time read in any shard, epoch ms; −Infinity before the first. */
  readonly newest: number;
  readonly openWindows: number;
  readonly slowestShard: string | undefined;
  /** Share of the records present at the start that are read, 0 to 1; undefined if the stream can't tell. */
  readonly fraction: number | undefined;
  /** Per shard: ms since the arrival of the last record read; 0 at the tip. */
  readonly lags: ReadonlyMap<string, number>;
  readonly atTip: boolean;
  /** Where the time of the run went, ms by activity; undefined where another engine computes. */
  readonly spent?: Spent | undefined;
  /** Everything is read and committed: only sinks are still at work. */
  readonly delivering?: boolean;
  /** Set at the end of the run, when everything is committed and the sinks are closed. */
  readonly ended: boolean;
}

export interface ProcessOutcome {
  /** Counts of this run. */
  readonly counters: Counters;
  /** Counts of all runs of this state. */
  readonly totals: Counters;
  readonly watermark: number;
  readonly openWindows: number;
  readonly checkpoints: number;
  readonly interrupted: boolean;
  /** Records that expired unread (`allowGap`), in words. */
  readonly lost: readonly string[];
  /** Shards that hold the windows back because no watermark has arrived in them. */
  readonly noWatermark: readonly string[];
  /** Records of this run that had arrived before it began. */
  readonly waiting: number;
  /** Trips of this run that are late in a view or window, and in time in another. */
  readonly lateInAView: number;
  /** By view: trips of this run that satisfy its `where` but lack a part of its key, or its time. */
  readonly keyless: Readonly<Record<string, number>>;
}

const LEAST_POLL_MS = 10;
const MOST_POLL_MS = 100;
/** A replay sends a watermark every 5 s. */
const WATERMARK_PATIENCE_MS = 15_000;
/** How long a stopping run waits for the records it has requested. */
const STOP_MS = 1_000;
const BATCH_RECORDS = 4_000;
/** Panes that the records of one read may change: a bound that has memory checked often enough. */
const BATCH_PANES = 250_000;
const MEMORY_LIMIT = 256 << 20;

/** Runs until stopped or until the end of the stream. Throws `TaxiflowError`; committed work stays. */
export async function runProcess(options: ProcessOptions): Promise<ProcessOutcome> {
  const run = new ProcessRun(options);
  return run.run();
}

/** Records per read: fewer where each record is in many windows. */
function recordsAtOnce(views: readonly View[]): number {
  const windows = views.reduce((sum, { window }) => sum + windowsPerTrip(window), 0);
  return Math.max(1, Math.min(BATCH_RECORDS, Math.floor(BATCH_PANES / windows)));
}

/** Ms between two looks at a shard that is at its tip: often enough that a checkpoint seldom waits for one. */
function pollIntervalOf(checkpointInterval: number): number {
  return Math.max(LEAST_POLL_MS, Math.min(MOST_POLL_MS, checkpointInterval / 5));
}

/** How many records of a batch arrived before a time, epoch ms. */
function arrivedBefore({ count, arrivals }: RecordBatch, time: number): number {
  let before = count;
  while (before > 0 && arrivals[before - 1]! >= time) before--;
  return before;
}

class ProcessRun {
  readonly #o: ProcessOptions;
  readonly #engine: Engine;
  readonly #reads: ShardReads;
  readonly #load: Load;
  readonly #before: Counters;
  /** Sinks still to be closed. */
  readonly #open: Set<Sink>;
  readonly #over = new AbortController();
  #giveUp = () => {};
  #patient: Promise<undefined> | undefined;
  #checkpoints = 0;
  readonly #pollInterval: number;
  /** Records present at the start, if the stream counts them. */
  #present: number | undefined;
  /** The longest lag so far, ms. */
  #longestLag = 0;
  readonly #started: number;
  #lastCheckpoint: number;
  #waiting = 0;
  /** When a record was last read, or the run began; clock ms. */
  #lastRecord: number;
  /** Shards without a watermark that `onNoWatermark` was called for. */
  readonly #noted = new Set<string>();

  constructor(options: ProcessOptions) {
    this.#o = options;
    const { views, reader, clock, from, untilEnd, signal } = options;
    this.#engine = new Engine({
      ...options,
      stream: reader.name,
      memoryLimit: options.memoryLimit ?? MEMORY_LIMIT,
    });
    this.#pollInterval = options.pollInterval ?? pollIntervalOf(options.checkpointInterval);
    this.#reads = new ShardReads({
      pollInterval: this.#pollInterval,
      reader,
      clock,
      from,
      untilEnd,
      signal,
      shards: this.#engine.shards,
      allowGap: options.allowGap ?? false,
      batchRecords: options.batchRecords ?? recordsAtOnce(views),
      unlessStopped: (work) => this.#unlessStopped(work),
    });
    this.#before = { ...this.#engine.counters };
    this.#open = new Set(options.sinks);
    this.#started = clock.now();
    this.#load = new Load(clock);
    this.#lastCheckpoint = this.#started;
    this.#lastRecord = this.#started;
  }

  async run(): Promise<ProcessOutcome> {
    this.#o.signal.addEventListener('abort', () => void this.#patience(), { signal: this.#over.signal });
    try {
      return await this.#run();
    } catch (error) {
      // An open sink would keep the process alive. Errors of closing are dropped: the first failure is the cause.
      for (const sink of this.#open) await this.#close(sink, true).catch(() => {});
      throw error;
    } finally {
      this.#over.abort();
    }
  }

  async #run(): Promise<ProcessOutcome> {
    const { signal, clock, sinks, store } = this.#o;
    const reads = this.#reads;
    const first = store.stored === undefined;
    await reads.discover(first);
    this.#present = reads.remaining;
    // Resolves `latest` to fixed positions now, so that the checkpoint doesn't leave it to the next run.
    if (first) for (const feed of reads.feeds) await this.#step(feed);
    // Delivers the results that an earlier run committed.
    for (const sink of sinks) sink.wake();
    while (!signal.aborted) {
      const feed = reads.next;
      if (feed) {
        const brought = await this.#step(feed);
        await reads.lookAround();
        await clock.sleep(0);
        // A read that brings nothing is a look at the tip.
        this.#load.lap(brought ? 'others' : 'idle');
      } else {
        if (this.#o.untilEnd() && (await reads.allRead())) break;
        this.#noteMissingWatermark();
        this.#closeIdle();
        await clock.sleep(this.#pollInterval, signal);
        await reads.discover(false);
        reads.pollIdle();
        this.#load.lap('idle');
      }
      this.#checkpointIfDue();
    }
    for (const feed of reads.feeds) feed.stop();
    if (this.#hasBegun()) {
      this.#engine.advance();
      if (!signal.aborted) this.#complete();
      this.#checkpoint(true);
      await store.flush?.();
    }
    if (sinks.length > 0) this.#report('delivering');
    for (const sink of sinks) await this.#close(sink, signal.aborted);
    this.#report('ended');
    return this.#outcome();
  }

  /** Every shard is at its tip: after a while without a record, the watermark moves on. */
  #closeIdle(): void {
    const { closeIdle, clock } = this.#o;
    if (closeIdle === undefined || this.#engine.openWindows === 0) return;
    if (!hasPassed(clock, this.#lastRecord, closeIdle)) return;
    this.#drain('closeIdle');
    this.#checkpoint();
    this.#report();
  }

  /** Completes the windows that no record completes. */
  #complete(): void {
    const { drain, upTo } = this.#o;
    if (drain) this.#drain('drain');
    if (upTo !== undefined) this.#engine.reach(upTo);
  }

  #drain(by: 'drain' | 'closeIdle'): void {
    const { openWindows, lastEnd } = this.#engine;
    if (openWindows > 0) this.#o.onClosing?.(openWindows, lastEnd, by);
    this.#engine.drain();
  }

  async #close(sink: Sink, interrupted: boolean): Promise<void> {
    this.#open.delete(sink);
    this.#o.signal.addEventListener('abort', () => sink.interrupt?.(), { signal: this.#over.signal });
    await sink.close(interrupted);
  }

  /** False if the run stopped before it had the list of shards or the position of `latest`. */
  #hasBegun(): boolean {
    const searching = [...this.#engine.shards.all].some(
      ({ position, ended }) => position.at === 'latest' && !ended,
    );
    return this.#reads.hasList && !searching;
  }

  /** Waits for `work`, but after a stop only briefly: an unreachable stream is retried for minutes. */
  #unlessStopped<T>(work: Promise<T>): Promise<T | undefined> {
    if (this.#o.signal.aborted) return Promise.race([work, this.#patience()]);
    return new Promise((resolve, reject) => {
      this.#giveUp = () => resolve(undefined);
      work.then(resolve, reject);
    });
  }

  /** One for all that is under way: a wait for each shard would be as many listeners, which Node.js warns of. */
  #patience(): Promise<undefined> {
    this.#patient ??= this.#o.clock.sleep(STOP_MS, this.#over.signal).then(() => {
      this.#giveUp();
      return undefined;
    });
    return this.#patient;
  }

  /** Takes the next batch of a shard; whether it brought records. */
  async #step(feed: Feed): Promise<boolean> {
    const shard = this.#engine.shards.get(feed.shardId)!;
    const batch = await this.#reads.take(feed);
    const brought = batch !== undefined && batch.count > 0;
    if (!batch) return false;
    this.#waiting += arrivedBefore(batch, this.#started);
    if (brought) {
      this.#lastRecord = this.#load.lap('reading');
      this.#engine.process(shard, batch);
    } else if (!batch.ended) shard.position = batch.next;
    await this.#reads.settle(feed, shard, batch);
    if (batch.atTip) this.#engine.advance();
    if (brought) this.#load.lap('processing');
    return brought;
  }

  /** Also checkpoints a quiet stream, since the age of the last checkpoint shows whether a processor is alive. */
  #checkpointIfDue(): void {
    const { clock, checkpointInterval } = this.#o;
    if (!this.#engine.isFull && !hasPassed(clock, this.#lastCheckpoint, checkpointInterval)) return;
    this.#checkpoint();
    this.#report();
    this.#noteMissingWatermark();
  }

  #checkpoint(isLast = false): void {
    this.#engine.checkpoint(isLast);
    this.#reads.forgetGone();
    this.#checkpoints++;
    this.#lastCheckpoint = this.#o.clock.now();
    for (const sink of this.#o.sinks) sink.wake();
    this.#load.lap('committing');
  }

  #noteMissingWatermark(): void {
    if (this.#o.clock.now() - this.#started < WATERMARK_PATIENCE_MS) return;
    const shards = this.#withoutWatermark().filter((id) => !this.#noted.has(id));
    if (shards.length === 0) return;
    for (const id of shards) this.#noted.add(id);
    this.#o.onNoWatermark?.(shards);
  }

  /** Shards that hold all windows back because no watermark has arrived in them. */
  #withoutWatermark(): string[] {
    const { shards, counters } = this.#engine;
    return shards.ofTrips || counters.read === 0 ? [] : shards.withoutWatermark;
  }

  #report(stage: 'running' | 'delivering' | 'ended' = 'running'): void {
    this.#o.onProgress?.({
      counters: this.#since(),
      watermark: this.#engine.watermark,
      newest: this.#engine.shards.newest,
      openWindows: this.#engine.openWindows,
      slowestShard: this.#engine.shards.slowest?.id,
      fraction: this.#fraction(),
      lags: this.#reads.lags,
      atTip: this.#reads.next === undefined,
      spent: this.#load.spent,
      delivering: stage === 'delivering',
      ended: stage === 'ended',
    });
  }

  /** Counted in records if the stream counts them, else by the time at which records arrived. */
  #fraction(): number | undefined {
    if (this.#present !== undefined) return Math.min(1, this.#since().read / Math.max(1, this.#present));
    let lag = 0;
    for (const ms of this.#reads.lags.values()) lag = Math.max(lag, ms);
    this.#longestLag = Math.max(this.#longestLag, lag);
    return this.#longestLag > 0 ? 1 - lag / this.#longestLag : undefined;
  }

  /** Counts of this run alone. */
  #since(): Counters {
    const entries = Object.entries(this.#engine.counters) as [keyof Counters, number][];
    return Object.fromEntries(
      entries.map(([name, count]) => [name, count - this.#before[name]]),
    ) as unknown as Counters;
  }

  #outcome(): ProcessOutcome {
    const { signal } = this.#o;
    const drained = this.#o.drain && !signal.aborted;
    return {
      counters: this.#since(),
      totals: { ...this.#engine.counters },
      watermark: this.#engine.watermark,
      openWindows: this.#engine.openWindows,
      checkpoints: this.#checkpoints,
      interrupted: signal.aborted,
      lost: this.#reads.lost,
      noWatermark: drained ? [] : this.#withoutWatermark(),
      waiting: this.#waiting,
      lateInAView: this.#engine.lateInAView,
      keyless: this.#engine.keyless,
    };
  }
}
