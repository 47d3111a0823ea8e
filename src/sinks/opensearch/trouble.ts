/** What keeps results from going out: why, and since when. */
import type { Clock } from '../../clock.ts';

/** The same trouble is not said again within this time, however often it comes and goes. */
const SAID_AGAIN_MS = 60_000;

export class Trouble {
  readonly #clock: Clock;
  readonly #say: (trouble: string | undefined) => void;
  /** Who waits and why, the one that has waited longest first. */
  readonly #waiting = new Map<object, string>();
  #since: number | undefined;
  /** When each kind of trouble was said last. */
  readonly #said = new Map<string, number>();
  #saidLast: string | undefined;

  /** `say` is told why results wait when they begin to wait and when the reason changes, and undefined when they go on. */
  constructor(clock: Clock, say: (trouble: string | undefined) => void) {
    this.#clock = clock;
    this.#say = say;
  }

  /** Undefined when nothing waits. */
  get why(): string | undefined {
    return this.#waiting.values().next().value;
  }

  /** Epoch ms since when something waits; undefined when nothing does. */
  get since(): number | undefined {
    return this.#waiting.size > 0 ? this.#since : undefined;
  }

  /** `who` waits, from its first failure on. */
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

  /** `who` goes on. */
  over(who: object): void {
    if (!this.#waiting.delete(who) || this.#waiting.size > 0 || this.#saidLast === undefined) return;
    this.#saidLast = undefined;
    this.#say(undefined);
  }

  /** Nobody waits any more, though nothing went on. */
  forget(): void {
    this.#waiting.clear();
  }

  /** Servers put numbers of the moment into their words. */
  get #kind(): string | undefined {
    return this.why?.replaceAll(/\d+/g, '0');
  }
}
