/** Writes the status of a running processor, and the job's past, to its state once a second, for `taxiflow status` and the page. */
import { ACTIVITIES, type Spent } from '../engine/load.ts';
import type { Progress } from '../engine/run.ts';
import type { Sink } from '../engine/sink.ts';
import { type Counters, NO_COUNTS } from '../engine/state-store.ts';
import { type PackedPast, packPast, RunPast, type Sample } from '../state/run-past.ts';
import type { LoadShares, RemoteStatus, RunStatus } from '../state/run-row.ts';
import type { SqliteState } from '../state/store.ts';
import { version } from '../status/invocation.ts';

const NOTE_INTERVAL = 1_000;
/** A little less than a note's, so that timers that are early by a moment skip none. */
const SAMPLE_INTERVAL = 900;
const RECENT = 11;
/** The past is written less often than the rest, and less still once its points are longer: it is by far the largest part. */
const LEAST_PAST_INTERVAL = 2_000;
const MOST_PAST_INTERVAL = 5_000;

export interface RunNotesOptions {
  readonly state: SqliteState;
  readonly sinks: readonly Sink[];
  /** Ms. */
  readonly checkpointInterval: number;
  /** The head in S3, if there is one. */
  readonly remote: () => RemoteStatus | undefined;
  readonly interrupted: () => boolean;
}

export class RunNotes {
  readonly #startedAt = new Date().toISOString();
  readonly #o: RunNotesOptions;
  /** Of all runs before this one. */
  readonly #before: Counters;
  readonly #past: RunPast;
  /** The past as it was last written. */
  #written: { readonly at: number; readonly past: PackedPast } | undefined;
  #last = 0;
  #progress: Progress | undefined;
  /** Recent counts: time (epoch ms), records read and results written by then, and where the time went. */
  #recent: { at: number; read: number; results: number; spent: Spent | undefined }[] = [];
  #load: LoadShares | undefined;

  constructor(options: RunNotesOptions) {
    const { state } = options;
    this.#o = options;
    this.#before = state.stored?.counters ?? NO_COUNTS;
    this.#past = new RunPast(state.past(), Date.now(), this.#sample());
  }

  /** Over the last ten seconds or so. */
  recordsPerSecond = 0;

  /** The last one; undefined before the first. */
  get progress(): Progress | undefined {
    return this.#progress;
  }

  take(progress: Progress): void {
    this.#progress = progress;
    const { checkpoint: number, checkpointAt: at, lastCheckpoint } = this.#o.state;
    if (at !== undefined && lastCheckpoint.bytes > 0)
      this.#past.checkpoint({ number, at, ...lastCheckpoint });
    this.#sampleIfDue(progress.ended);
    if (Date.now() - this.#last >= NOTE_INTERVAL || progress.ended) this.refresh();
  }

  /** Notes the current status of the sinks, with the last progress. */
  refresh(): void {
    const { counters: { read, results } = NO_COUNTS, spent, ended, delivering } = this.#progress ?? {};
    const now = Date.now();
    this.#last = now;
    // Between two checkpoints nothing is known of the engine: its trips would seem to come all at once.
    if (delivering) this.#sampleIfDue();
    this.#recent = [...this.#recent, { at: now, read, results, spent }].slice(-RECENT);
    const first = this.#recent[0]!;
    const seconds = Math.max(1, (now - first.at) / 1_000);
    this.recordsPerSecond = (read - first.read) / seconds;
    this.#load = sharesOf(first.spent, spent) ?? this.#load;
    this.#o.state.note({
      // First, so that what changes each second does not move it: SQLite writes only pages that differ.
      past: this.#pastToWrite(now, ended ?? false),
      ...this.#about(),
      notedAt: new Date(now).toISOString(),
      rates: { records: this.recordsPerSecond, results: (results - first.results) / seconds },
      load: this.#load,
      ...(delivering ? { delivering } : {}),
      ...(ended ? { end: this.#o.interrupted() ? 'stopped' : 'all-read' } : {}),
    });
  }

  #pastToWrite(now: number, isLast: boolean): PackedPast {
    const { step } = this.#past.past;
    const interval = Math.min(MOST_PAST_INTERVAL, Math.max(LEAST_PAST_INTERVAL, step));
    const passed = now - (this.#written?.at ?? 0);
    if (!this.#written || isLast || passed < 0 || passed >= interval - NOTE_INTERVAL / 10)
      this.#written = { at: now, past: packPast(this.#past.past) };
    return this.#written.past;
  }

  #about(): Omit<RunStatus, 'notedAt' | 'rates' | 'load' | 'end' | 'past'> {
    const { state, sinks, checkpointInterval, remote } = this.#o;
    const { openWindows = 0, lags = [] } = this.#progress ?? {};
    return {
      pid: process.pid,
      startedAt: this.#startedAt,
      versions: { taxiflow: version(), node: process.versions.node },
      checkpointInterval,
      checkpoint: state.lastCheckpoint,
      openWindows,
      lags: Object.fromEntries(lags),
      sinks: sinks.map((sink) => sink.status()),
      remote: remote(),
    };
  }

  #sampleIfDue(isLast = false): void {
    const now = Date.now();
    const passed = now - this.#past.sampledAt;
    if (passed >= SAMPLE_INTERVAL || passed < 0 || isLast) this.#past.sample(now, this.#sample());
  }

  #sample(): Sample {
    const { counters = NO_COUNTS, lags = new Map<string, number>() } = this.#progress ?? {};
    const watermark = this.#progress?.watermark ?? this.#o.state.stored?.watermark ?? Number.NaN;
    let lagMs = 0;
    for (const lag of lags.values()) lagMs = Math.max(lagMs, lag);
    // Before the run has begun, sinks have nothing to say.
    const sinks = this.#progress ? this.#o.sinks : [];
    const pending = sinks.reduce((most, sink) => Math.max(most, sink.status().pending), 0);
    const { read, watermarks, results } = this.#before;
    return {
      trips: read - watermarks + counters.read - counters.watermarks,
      results: results + counters.results,
      watermark: Number.isFinite(watermark) ? watermark : null,
      lagMs,
      pending,
    };
  }
}

/** The parts of the time between two moments; undefined if none has passed. */
function sharesOf(before: Spent | undefined, now: Spent | undefined): LoadShares | undefined {
  if (!now) return undefined;
  const spent = ACTIVITIES.map((activity) => now[activity] - (before?.[activity] ?? 0));
  const whole = spent.reduce((sum, ms) => sum + ms, 0);
  if (whole <= 0) return undefined;
  return Object.fromEntries(
    ACTIVITIES.map((activity, i) => [activity, Math.round((spent[i]! / whole) * 1_000) / 1_000]),
  ) as LoadShares;
}
