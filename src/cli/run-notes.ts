/** How a processor is doing, noted in its state once a second. */
import type { Progress, Sink } from '../engine/run.ts';
import type { SqliteState } from '../state/sqlite-state.ts';

const NOTE_INTERVAL = 1_000;

export class RunNotes {
  readonly #startedAt = new Date().toISOString();
  readonly #state: SqliteState;
  readonly #sinks: readonly Sink[];
  readonly #checkpointInterval: number;
  #last = 0;

  constructor(state: SqliteState, sinks: readonly Sink[], checkpointInterval: number) {
    this.#state = state;
    this.#sinks = sinks;
    this.#checkpointInterval = checkpointInterval;
  }

  take({ openWindows, lags }: Pick<Progress, 'openWindows' | 'lags'>): void {
    const now = Date.now();
    if (now - this.#last < NOTE_INTERVAL) return;
    this.#last = now;
    this.#state.note({
      pid: process.pid,
      startedAt: this.#startedAt,
      notedAt: new Date(now).toISOString(),
      checkpointInterval: this.#checkpointInterval,
      checkpoint: this.#state.lastCheckpoint,
      openWindows,
      lags: Object.fromEntries(lags),
      sinks: this.#sinks.map((sink) => sink.status()),
    });
  }
}
