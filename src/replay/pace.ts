/**
 * Converts event time to wall time at a speedup. Files hold stray trips years before and after the others, so a gap of
 * more than a day of event time is skipped instead of waited for.
 */
export const LONGEST_GAP = 86_400_000;

export interface Jump {
  /** Drop-offs on both sides of the gap, epoch ms. */
  readonly from: number;
  readonly to: number;
}

export class Pace {
  readonly #speedup: number;
  readonly #onJump: ((jump: Jump) => void) | undefined;
  #first: number | undefined;
  #last = 0;
  #jumped = 0;

  /** `speedup` is event time divided by wall time; with Infinity everything is due at once. */
  constructor(speedup: number, onJump?: (jump: Jump) => void) {
    this.#speedup = speedup;
    this.#onJump = onJump;
  }

  /** Wall ms after the first trip at which the trip at `event` (epoch ms) is due. Call in event-time order; repeats are safe. */
  due(event: number): number {
    this.#first ??= event;
    if (this.#last !== 0 && event - this.#last > LONGEST_GAP) {
      this.#jumped += event - this.#last;
      this.#onJump?.({ from: this.#last, to: event });
    }
    this.#last = event;
    return (event - this.#first - this.#jumped) / this.#speedup;
  }
}
