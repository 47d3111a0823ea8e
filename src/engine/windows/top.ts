/** The first results of a window, by their fields. */
import type { CompiledView } from '../../views/javascript/compiled-view.ts';
import type { Top } from '../../views/language.ts';
import { Heap } from './heap.ts';
import { compareKeys, type KeyValue } from './pane-runs.ts';
import type { Pane } from './pane-window.ts';

interface Ranked extends Pane {
  /** Counts from 1. */
  readonly rank: number;
}

/** Takes results in key order and keeps the first `n` of each group. */
export class Ranking {
  readonly #n: number;
  /** Places of the key fields that make a group. */
  readonly #by: readonly number[];
  readonly #order: readonly { readonly of: (pane: Pane) => KeyValue; readonly sign: 1 | -1 }[];
  readonly #groups = new Map<string, Heap<Pane>>();

  constructor(view: CompiledView, { n, by = [], order }: Top) {
    const keyNames = view.key.map(({ name }) => name);
    const valueNames = view.states.map(({ name }) => name);
    this.#n = n;
    this.#by = by.map((name) => keyNames.indexOf(name));
    this.#order = order.map(({ name, descending = false }) => {
      const [inKey, inValues] = [keyNames.indexOf(name), valueNames.indexOf(name)];
      return {
        of: inKey >= 0 ? ({ key }: Pane) => key[inKey]! : ({ values }: Pane) => values[inValues]!,
        sign: descending ? (-1 as const) : (1 as const),
      };
    });
  }

  offer(pane: Pane): void {
    // Sessions of one window are those of the same times.
    const { span } = pane;
    const own = [
      ...(span ? [span.windowStart, span.windowEnd] : []),
      ...this.#by.map((part) => pane.key[part]),
    ];
    const group = own.length === 0 ? '' : JSON.stringify(own);
    const heap = this.#groups.get(group) ?? this.#begin(group);
    heap.push(pane);
    if (heap.size > this.#n) heap.pop();
  }

  /** The last of the results kept is on top of the heap. */
  #begin(group: string): Heap<Pane> {
    const heap = new Heap<Pane>((a, b) => this.#compare(a, b) > 0);
    this.#groups.set(group, heap);
    return heap;
  }

  /** Group by group, in the order in which they came; each in its order. */
  *ranked(): Generator<Ranked> {
    for (const heap of this.#groups.values()) {
      const panes: Pane[] = [];
      for (let last = heap.pop(); last; last = heap.pop()) panes.push(last);
      for (const [i, pane] of panes.reverse().entries()) yield { ...pane, rank: i + 1 };
    }
  }

  #compare(a: Pane, b: Pane): number {
    for (const { of, sign } of this.#order) {
      const difference = compareValues(of(a), of(b));
      if (difference !== 0) return sign * difference;
    }
    return compareKeys(a.key, b.key);
  }
}

/** A missing value is the least. */
function compareValues(a: KeyValue, b: KeyValue): number {
  const [isLess, isMore] = [
    a < b || (isMissing(a) && !isMissing(b)),
    a > b || (isMissing(b) && !isMissing(a)),
  ];
  return isLess ? -1 : isMore ? 1 : 0;
}

const isMissing = (value: KeyValue) => Number.isNaN(value);
