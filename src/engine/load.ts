/** Where the time of a run goes. The clock is asked a few times a batch, never per record. */
import type { Clock } from '../clock.ts';

/**
 * `idle`: everything is read, the run waits for records. `reading`: there are records, and the stream is being read.
 * `processing`: windows are filled. `committing`: a checkpoint. `others`: the thread is lent to sinks, page and signals.
 */
export const ACTIVITIES = ['idle', 'reading', 'processing', 'committing', 'others'] as const;
export type Activity = (typeof ACTIVITIES)[number];

/** Ms by activity. */
export type Spent = Readonly<Record<Activity, number>>;

export class Load {
  readonly #clock: Clock;
  readonly #spent: Record<Activity, number> = {
    idle: 0,
    reading: 0,
    processing: 0,
    committing: 0,
    others: 0,
  };
  #since: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#since = clock.now();
  }

  /** The time since the last call went into `activity`; returns the time. A clock that was set back counts as no time. */
  lap(activity: Activity): number {
    const now = this.#clock.now();
    this.#spent[activity] += Math.max(0, now - this.#since);
    this.#since = now;
    return now;
  }

  /** Since the run began. */
  get spent(): Spent {
    return { ...this.#spent };
  }
}
