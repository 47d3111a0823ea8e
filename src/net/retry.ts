/** Trying a request again: how long to wait after each failure, and when to give up. */
import type { Clock } from '../clock.ts';

/** How the waits between attempts grow. */
export interface Backoff {
  /** The longest wait after the first failure, ms. It doubles with each failure; 0 means to try again at once. */
  readonly firstMs: number;
  /** The longest wait after any failure, ms. */
  readonly longestMs: number;
  /** `full`: anything from 0 to the longest wait, which spreads many clients best. `half`: at least half of it. */
  readonly jitter: 'full' | 'half';
}

/** Waits, and when to give up; without a limit, never. */
export interface Patience extends Backoff {
  /** The failure with this number, counted from 1, is the last. */
  readonly tries?: number;
  /** A failure later than this after the start, or after the last progress, is the last. ms. */
  readonly giveUpMs?: number;
}

export const AT_ONCE: Backoff = { firstMs: 0, longestMs: 0, jitter: 'full' };

/** Doublings beyond this change no wait, and would end in infinity. */
const MOST_DOUBLINGS = 30;

/** The wait after so many failures in a row, at least 1, in ms. `random` gives numbers in [0, 1). */
export function waitAfter(failures: number, backoff: Backoff, random: () => number = Math.random): number {
  const { firstMs, longestMs, jitter } = backoff;
  const longest = Math.min(longestMs, firstMs * 2 ** Math.min(failures - 1, MOST_DOUBLINGS));
  return jitter === 'full' ? random() * longest : longest / 2 + (random() * longest) / 2;
}

/** The failed attempts of one piece of work. */
export class Attempts {
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  #failures = 0;
  #since: number;

  /** Gives up after the next failure once `signal` has aborted, which also ends a wait. */
  constructor(clock: Clock, signal?: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
    this.#since = clock.now();
  }

  /** Counts a failure and waits. False, without a wait: give up. No patience gives up at once. */
  async again(patience: Patience | undefined): Promise<boolean> {
    this.#failures++;
    if (!patience || this.#signal?.aborted || this.#isOver(patience)) return false;
    const wait = waitAfter(this.#failures, patience);
    if (wait > 0) await this.#clock.sleep(wait, this.#signal);
    return true;
  }

  /** Part of the work is done: `giveUpMs` starts anew. The waits go on, since the rest was still turned away. */
  progress(): void {
    this.#since = this.#clock.now();
  }

  #isOver({ tries = Number.POSITIVE_INFINITY, giveUpMs = Number.POSITIVE_INFINITY }: Patience): boolean {
    return this.#failures >= tries || this.#clock.now() - this.#since > giveUpMs;
  }
}

export interface RetryOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal;
  /** The patience with an error; undefined for one that does not pass. */
  readonly patience: (error: unknown) => Patience | undefined | Promise<Patience | undefined>;
  /** The error to throw in place of the last one. */
  readonly explain: (error: unknown) => Error;
}

/** The result of `request`, which is sent until it succeeds or patience runs out. Throws what `explain` returns. */
export async function retry<T>(request: () => Promise<T>, options: RetryOptions): Promise<T> {
  const attempts = new Attempts(options.clock, options.signal);
  for (;;) {
    try {
      return await request();
    } catch (error) {
      if (!(await attempts.again(await options.patience(error)))) throw options.explain(error);
    }
  }
}
