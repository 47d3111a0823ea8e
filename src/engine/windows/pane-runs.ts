/**
 * Panes in key order, as runs that can be merged. A window that doesn't fit into memory is stored in several parts, each
 * sorted by key; panes of the same key are added up when they are read.
 */
import type { CompiledView } from '../../views/javascript/compiled-view.ts';
import { Heap } from './heap.ts';
import { BLOCK } from './key-table.ts';

export type KeyValue = string | number;
/** The parts of a key as values rather than codes, so that they mean the same in the next process. */
export type Key = readonly KeyValue[];

/** A stored pane; null stands for NaN, which JSON lacks. */
export type PaneRow = [key: KeyValue[], numbers: (number | null)[]];
/** A stored distinct value: index of its pane in the part × distinct counts of the view + index of its count. */
export type DistinctRow = [owner: number, value: KeyValue];
export type Kind = 'panes' | 'distinct';

/** Start and end of a window, epoch ms: windowStart ≤ time < windowEnd. */
export interface WindowSpan {
  readonly windowStart: number;
  readonly windowEnd: number;
}

/** The place of a block of rows. */
export interface BlockPlace extends WindowSpan {
  readonly view: string;
  readonly part: number;
  readonly kind: Kind;
  readonly block: number;
}

export interface PaneBlock extends BlockPlace {
  /** Key of the first row, if the whole part is in key order. */
  readonly first: Key | undefined;
  readonly rows: readonly (PaneRow | DistinctRow)[];
}

/** Reads the panes that are not in memory. */
export interface StoredPanes {
  /** Undefined after the last block of a part. */
  rows(place: BlockPlace): (PaneRow | DistinctRow)[] | undefined;
  /** Key of a block's first row; undefined if its part is not in key order or the block does not exist. */
  firstKey(place: BlockPlace): Key | undefined;
  /** Replaces blocks by the same rows in key order, outside a checkpoint. */
  rewrite(blocks: Iterable<PaneBlock>): void;
}

/** Compares two keys over the length of the second. Strings compare by UTF-16 code units. */
export function compareKeys(a: Key, b: Key): number {
  for (let i = 0; i < b.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}

/** Panes of one part of a window, in key order. */
export interface Run {
  /** Key of the current pane; undefined after the last one. */
  readonly key: Key | undefined;
  readonly numbers: Float64Array;
  /** Index of the pane's first number. */
  readonly base: number;
  next(): void;
  /** The values of one of the pane's distinct counts, in order. */
  distinct(count: number): Iterable<KeyValue>;
}

/** For each key, the runs that have it, positioned at it. */
export function* byKey(runs: Iterable<Run>): Generator<readonly Run[]> {
  const heap = new Heap<Run>((a, b) => compareKeys(a.key!, b.key!) < 0);
  for (const run of runs) if (run.key) heap.push(run);
  for (let least = heap.pop(); least; least = heap.pop()) {
    const same = [least];
    while (heap.least && compareKeys(heap.least.key!, least.key!) === 0) same.push(heap.pop()!);
    yield same;
    for (const run of same) {
      run.next();
      if (run.key) heap.push(run);
    }
  }
}

/** Adds up the current panes of runs at the same key. */
export function mergePanes(view: CompiledView, runs: readonly Run[], into: Float64Array): void {
  for (const [i, { numbers, base }] of runs.entries()) {
    if (i === 0) into.set(numbers.subarray(base, base + view.width));
    else view.merge(into, 0, numbers, base);
  }
  if (runs.length < 2) return;
  for (const { distinct, offset } of view.states)
    if (distinct >= 0) into[offset] = countDistinct(runs.map((run) => run.distinct(distinct)));
}

/** Number of different values in several sorted lists. */
function countDistinct(lists: readonly Iterable<KeyValue>[]): number {
  const heap = new Heap<{ value: KeyValue; rest: Iterator<KeyValue> }>((a, b) => a.value < b.value);
  const add = (rest: Iterator<KeyValue>) => {
    const { value, done } = rest.next();
    if (!done) heap.push({ value, rest });
  };
  for (const list of lists) add(list[Symbol.iterator]());
  let count = 0;
  let last: KeyValue | undefined;
  for (let least = heap.pop(); least; least = heap.pop()) {
    if (least.value !== last) count++;
    last = least.value;
    add(least.rest);
  }
  return count;
}

/** Reads sorted rows block by block, with one block in memory. */
interface Blocks<Row> {
  rows(block: number): readonly Row[] | undefined;
  firstKey(block: number): Key | undefined;
}

class SortedRows<Row> {
  readonly #blocks: Blocks<Row>;
  readonly #keyOf: (row: Row) => Key;
  #block = 0;
  #rows: readonly Row[] | undefined;
  #at = 0;

  constructor(blocks: Blocks<Row>, keyOf: (row: Row) => Key) {
    this.#blocks = blocks;
    this.#keyOf = keyOf;
    this.#rows = blocks.rows(0);
  }

  /** The current row; undefined after the last one. */
  get row(): Row | undefined {
    return this.#rows?.[this.#at];
  }

  /** Index of the current row among all rows. */
  get place(): number {
    return this.#block * BLOCK + this.#at;
  }

  next(): void {
    this.#at++;
    if (this.#rows && this.#at === this.#rows.length) this.#goTo(this.#block + 1);
  }

  /** Moves forward to the first row whose key is not less than `key`, which may be a prefix of a key. */
  seek(key: Key): void {
    const isLess = (row: Row) => compareKeys(this.#keyOf(row), key) < 0;
    if (this.#block > 0 && !(this.#rows && isLess(this.#rows[0]!))) this.#goTo(0);
    if (!this.#rows) return;
    if (isLess(this.#rows.at(-1)!)) this.#goTo(this.#lastBlockBefore(key));
    const rows = this.#rows;
    if (!rows) return;
    let [low, high] = [0, rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isLess(rows[middle]!)) low = middle + 1;
      else high = middle;
    }
    this.#at = low;
    if (low === rows.length) this.#goTo(this.#block + 1);
  }

  /** The last block from here on whose first row is less, by galloping search. */
  #lastBlockBefore(key: Key): number {
    const isBefore = (block: number) => {
      const first = this.#blocks.firstKey(block);
      return first !== undefined && compareKeys(first, key) < 0;
    };
    let low = this.#block;
    let step = 1;
    while (isBefore(low + step)) {
      low += step;
      step *= 2;
    }
    let high = low + step;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (isBefore(middle)) low = middle;
      else high = middle;
    }
    return low;
  }

  #goTo(block: number): void {
    if (block !== this.#block) this.#rows = this.#blocks.rows(block);
    this.#block = block;
    this.#at = 0;
  }
}

/** A part of a window in the store. */
export class StoredRun implements Run {
  readonly numbers: Float64Array;
  readonly base = 0;
  key: Key | undefined;
  readonly #view: CompiledView;
  readonly #panes: SortedRows<PaneRow>;
  readonly #distinct: SortedRows<DistinctRow> | undefined;

  constructor(view: CompiledView, stored: StoredPanes, { windowStart, windowEnd }: WindowSpan, part: number) {
    this.#view = view;
    this.numbers = new Float64Array(view.width);
    const place = { view: view.view.name, windowStart, windowEnd, part };
    const { panes, distinct } = partOf(stored, place, view.distincts);
    this.#panes = new SortedRows(panes, ([key]) => key);
    this.#distinct = view.distincts > 0 ? new SortedRows(distinct, (row) => row) : undefined;
    this.#read();
  }

  next(): void {
    this.#panes.next();
    this.#read();
  }

  /** Moves to the pane of a key; false if there is none. */
  seek(key: Key): boolean {
    this.#panes.seek(key);
    this.#read();
    return this.key !== undefined && compareKeys(this.key, key) === 0;
  }

  *distinct(count: number): Generator<KeyValue> {
    const owner = this.#panes.place * this.#view.distincts + count;
    const rows = this.#distinct!;
    for (rows.seek([owner]); rows.row?.[0] === owner; rows.next()) yield rows.row[1];
  }

  #read(): void {
    const { row } = this.#panes;
    this.key = row?.[0];
    if (row) for (let i = 0; i < this.numbers.length; i++) this.numbers[i] = row[1][i] ?? Number.NaN;
  }
}

function partOf(
  stored: StoredPanes,
  place: Omit<BlockPlace, 'kind' | 'block'>,
  distincts: number,
): { panes: Blocks<PaneRow>; distinct: Blocks<DistinctRow> } {
  const blocksOf = <Row>(kind: Kind): Blocks<Row> => ({
    rows: (block) => stored.rows({ ...place, kind, block }) as Row[] | undefined,
    firstKey: (block) => stored.firstKey({ ...place, kind, block }),
  });
  const [panes, distinct] = [blocksOf<PaneRow>('panes'), blocksOf<DistinctRow>('distinct')];
  if (panes.firstKey(0) !== undefined) return { panes, distinct };
  return sorted(panes.rows(0) ?? [], distincts > 0 ? (distinct.rows(0) ?? []) : [], distincts);
}

/** Sorts a part of one block, which is stored in the order its panes were opened. */
function sorted(
  panes: readonly PaneRow[],
  distinct: readonly DistinctRow[],
  distincts: number,
): { panes: Blocks<PaneRow>; distinct: Blocks<DistinctRow> } {
  const order = [...panes.keys()].sort((a, b) => compareKeys(panes[a]![0], panes[b]![0]));
  const places = new Map(order.map((pane, place) => [pane, place]));
  const ownerOf = (owner: number) =>
    places.get(Math.floor(owner / distincts))! * distincts + (owner % distincts);
  const one = <Row>(rows: readonly Row[], keyOf: (row: Row) => Key): Blocks<Row> => ({
    rows: (block) => (block === 0 && rows.length > 0 ? rows : undefined),
    firstKey: (block) => (block === 0 && rows[0] !== undefined ? keyOf(rows[0]) : undefined),
  });
  return {
    panes: one(order.map((pane) => panes[pane]!), ([key]) => key), // biome-ignore format: one line
    distinct: one(
      distinct.map(([owner, value]): DistinctRow => [ownerOf(owner), value]).sort(compareKeys),
      (row) => row,
    ),
  };
}
