/**
 * Where the trips of a file begin that are meant. Files hold stray rows years before and after the others; what is
 * reckoned from the first trip must not be reckoned from one of them.
 *
 * Trips in order fall into groups, with more than a day between two of them. The reckoning begins with the first group
 * that has a hundred trips, or more than half as many as the largest; trips before it are strays.
 */
import { LONGEST_GAP } from './pace.ts';

const NEVER_STRAY = 100;

interface Group {
  readonly first: number;
  last: number;
  count: number;
}

/** Trips before those that are meant: how many, and when the first and the last of them end, epoch ms. */
export interface Strays {
  readonly count: number;
  readonly first: number;
  readonly last: number;
}

/** Groups of the trips looked at so far. */
export class Groups {
  readonly #groups: Group[] = [];
  #largest = 0;

  /** Takes the drop-off times of the next trips, in order. */
  add(dropoffs: Float64Array): void {
    let group = this.#groups.at(-1);
    for (const dropoff of dropoffs) {
      if (!group || dropoff - group.last > LONGEST_GAP) {
        group = { first: dropoff, last: dropoff, count: 0 };
        this.#groups.push(group);
      }
      group.last = dropoff;
      group.count++;
      if (group.count > this.#largest) this.#largest = group.count;
    }
  }

  /** Whether trips to come can't change where the reckoning begins. */
  get decided(): boolean {
    return this.#largest >= 2 * NEVER_STRAY;
  }

  /** Drop-off of the first trip that is meant, epoch ms, and what lies before it. */
  result(): { first: number; strays: Strays | undefined } {
    const meant = ({ count }: Group) => count >= NEVER_STRAY || count > this.#largest / 2;
    const at = this.#groups.findIndex(meant);
    const before = this.#groups.slice(0, at);
    const [first, last] = [before[0], before.at(-1)];
    const strays =
      first && last
        ? { count: before.reduce((sum, { count }) => sum + count, 0), first: first.first, last: last.last }
        : undefined;
    return { first: this.#groups[at]!.first, strays };
  }
}
