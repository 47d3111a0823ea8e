/**
 * Event time → wall time at a speedup. Files hold stray trips years before and after the others; nobody waits
 * for years to pass, so a gap of more than a day of event time is jumped over.
 */
export const LONGEST_GAP = 86_400_000;

export interface Jump {
  /** Epoch ms of the trips on both sides of the gap. */
  readonly from: number;
  readonly to: number;
}

export class Pace {
  readonly #speedup: number;
  readonly #onJump: ((jump: Jump) => void) | undefined;
  #first: number | undefined;
  #last = 0;
  #jumped = 0;

  /** `speedup` is event time over wall time; with Infinity everything is due at once. */
  constructor(speedup: number, onJump?: (jump: Jump) => void) {
    this.#speedup = speedup;
    this.#onJump = onJump;
  }

  /** Wall ms after the first trip at which a trip is due. Ask in event-time order; asking again changes nothing. */
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
