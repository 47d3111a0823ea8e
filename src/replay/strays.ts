/**
 * Finds the first trip of a file that is not a stray. Files hold stray rows years before and after the others, and a
 * replay must not align its times to one of them.
 *
 * Gaps of more than a day divide the ordered trips into groups. Trips are strays until the first group that has a
 * hundred trips, or more than half as many as the largest group.
 */
import { LONGEST_GAP } from './pace.ts';

const NEVER_STRAY = 100;

interface Group {
  readonly first: number;
  last: number;
  count: number;
}

/** The strays before the other trips: their number, and the first and last drop-off, epoch ms. */
export interface Strays {
  readonly count: number;
  readonly first: number;
  readonly last: number;
}

/** The groups of the trips seen so far. */
export class Groups {
  readonly #groups: Group[] = [];
  #largest = 0;

  /** Adds the drop-off times (epoch ms) of the next trips, in order. */
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

  /** Whether further trips can't change the result. */
  get decided(): boolean {
    return this.#largest >= 2 * NEVER_STRAY;
  }

  /** Drop-off of the first trip that is not a stray, epoch ms, and the strays before it. */
  result(): { first: number; strays: Strays | undefined } {
    const isMain = ({ count }: Group) => count >= NEVER_STRAY || count > this.#largest / 2;
    const at = this.#groups.findIndex(isMain);
    const before = this.#groups.slice(0, at);
    const [first, last] = [before[0], before.at(-1)];
    const strays =
      first && last
        ? { count: before.reduce((sum, { count }) => sum + count, 0), first: first.first, last: last.last }
        : undefined;
    return { first: this.#groups[at]!.first, strays };
  }
}
