/** Writes the status of a running processor to its state once a second, for `taxiflow status` and the page. */
import type { Progress } from '../engine/run.ts';
import type { Sink } from '../engine/sink.ts';
import type { SqliteState } from '../state/store.ts';

const NOTE_INTERVAL = 1_000;
const PAST = 11;
const NOTHING = { read: 0, results: 0 };

export class RunNotes {
  readonly #startedAt = new Date().toISOString();
  readonly #state: SqliteState;
  readonly #sinks: readonly Sink[];
  readonly #checkpointInterval: number;
  #last = 0;
  #progress: Progress | undefined;
  /** Recent counts: time (epoch ms), records read and results written by then. */
  #past: { at: number; read: number; results: number }[] = [];

  constructor(state: SqliteState, sinks: readonly Sink[], checkpointInterval: number) {
    this.#state = state;
    this.#sinks = sinks;
    this.#checkpointInterval = checkpointInterval;
  }

  /** Over the last ten seconds or so. */
  recordsPerSecond = 0;

  /** The last one; undefined before the first. */
  get progress(): Progress | undefined {
    return this.#progress;
  }

  take(progress: Progress): void {
    this.#progress = progress;
    if (Date.now() - this.#last >= NOTE_INTERVAL || progress.ended) this.refresh();
  }

  /** Notes the current status of the sinks, with the last progress. */
  refresh(): void {
    const { counters: { read, results } = NOTHING, openWindows = 0, lags = [] } = this.#progress ?? {};
    const now = Date.now();
    this.#last = now;
    this.#past = [...this.#past, { at: now, read, results }].slice(-PAST);
    const first = this.#past[0]!;
    const seconds = Math.max(1, (now - first.at) / 1_000);
    this.recordsPerSecond = (read - first.read) / seconds;
    this.#state.note({
      pid: process.pid,
      startedAt: this.#startedAt,
      notedAt: new Date(now).toISOString(),
      checkpointInterval: this.#checkpointInterval,
      checkpoint: this.#state.lastCheckpoint,
      openWindows,
      rates: { records: this.recordsPerSecond, results: (results - first.results) / seconds },
      lags: Object.fromEntries(lags),
      sinks: this.#sinks.map((sink) => sink.status()),
    });
  }
}
