/** Tracks why results are waiting, and since when. */
import type { Clock } from '../../clock.ts';

/** The same trouble is reported at most once in this time, however often it recurs. */
const SAID_AGAIN_MS = 60_000;

export class Trouble {
  readonly #clock: Clock;
  readonly #say: (trouble: string | undefined) => void;
  /** Waiting parties and their reasons, longest wait first. */
  readonly #waiting = new Map<object, string>();
  #since: number | undefined;
  /** When each kind of trouble was last reported, epoch ms. */
  readonly #said = new Map<string, number>();
  #saidLast: string | undefined;

  /** Calls `say` with the reason when results begin to wait or the reason changes, and with undefined when they resume. */
  constructor(clock: Clock, say: (trouble: string | undefined) => void) {
    this.#clock = clock;
    this.#say = say;
  }

  /** The reason of the longest wait; undefined when nothing waits. */
  get why(): string | undefined {
    return this.#waiting.values().next().value;
  }

  /** Start of the wait, epoch ms; undefined when nothing waits. */
  get since(): number | undefined {
    return this.#waiting.size > 0 ? this.#since : undefined;
  }

  /** Notes that `who` waits; called from its first failure on. */
  waits(who: object, why: string): void {
    if (this.#waiting.size === 0) this.#since = this.#clock.now();
    this.#waiting.set(who, why);
    const kind = this.#kind;
    if (kind === undefined || kind === this.#saidLast) return;
    const last = this.#said.get(kind);
    if (last !== undefined && this.#clock.now() - last < SAID_AGAIN_MS) return;
    this.#said.set(kind, this.#clock.now());
    this.#saidLast = kind;
    this.#say(this.why);
  }

  /** Notes that `who` resumes. */
  over(who: object): void {
    if (!this.#waiting.delete(who) || this.#waiting.size > 0 || this.#saidLast === undefined) return;
    this.#saidLast = undefined;
    this.#say(undefined);
  }

  /** Clears all waits without reporting that anything resumed. */
  forget(): void {
    this.#waiting.clear();
  }

  /** The reason without its numbers, which servers vary from answer to answer. */
  get #kind(): string | undefined {
    return this.why?.replaceAll(/\d+/g, '0');
  }
}
