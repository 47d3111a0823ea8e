/**
 * Panes in key order, as runs that can be merged. A window that doesn't fit into memory is stored in several parts, each
 * sorted by key; panes of the same key are added up when they are read.
 */
import { percentileOf } from '../../views/aggregates.ts';
import type { CompiledView } from '../../views/javascript/compiled-view.ts';
import { Heap } from './heap.ts';
import { BLOCK } from './key-table.ts';
import { OrderedPanes, PaneRows, type Rows, type ValueKey, ValueRows } from './pane-blocks.ts';

export type KeyValue = string | number;
/** The parts of a key as values rather than codes, so that they mean the same in the next process. */
export type Key = readonly KeyValue[];

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
  /** See `pane-blocks.ts`. */
  readonly data: Uint8Array;
}

/** Reads the panes that are not in memory. */
export interface StoredPanes {
  /** The data of a block; undefined after the last block of a part. */
  block(place: BlockPlace): Uint8Array | undefined;
  /** Key of a block's first row; undefined if its part is not in key order or the block does not exist. */
  firstKey(place: BlockPlace): Key | undefined;
  /** Replaces blocks by the same rows in key order, outside a checkpoint. */
  rewrite(blocks: Iterable<PaneBlock>): void;
  /** Writes blocks while a checkpoint is made; it drops them before it is committed. */
  put(blocks: Iterable<PaneBlock>): void;
  drop(window: WindowSpan & { readonly view: string }): void;
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
  /** The values of one of the pane's lists, in order; lists are asked for in their order. */
  valuesOf(list: number): Iterable<Occurring>;
}

/** A value that a pane keeps, and how often it came. */
export type Occurring = readonly [value: KeyValue, count: number];

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

/** Adds up the current panes of runs at the same key. `onValue` gets the values of each list, which are else looked at only if they must be. */
export function mergePanes(
  view: CompiledView,
  runs: readonly Run[],
  into: Float64Array,
  onValue?: (list: number, value: Occurring) => void,
): void {
  for (const [i, { numbers, base }] of runs.entries()) {
    if (i === 0) into.set(numbers.subarray(base, base + view.width));
    else view.merge(into, 0, numbers, base);
  }
  if (view.lists === 0 || (runs.length < 2 && !view.counted && !onValue)) return;
  for (const { kept, offset, aggregate } of view.states) {
    if (kept < 0) continue;
    const merged = mergedValues(runs.map((run) => run.valuesOf(kept)));
    const values = onValue ? handedOn(merged, (value) => onValue(kept, value)) : merged;
    if (aggregate.fn === 'percentile')
      into[offset] = percentileOf(aggregate.p, into[offset + 1]!, values as Iterable<[number, number]>);
    else into[offset] = numberOf(values);
  }
}

/** Hands values on as they are read, and the rest of them when their reader stops. */
function* handedOn(values: Iterator<Occurring>, onValue: (value: Occurring) => void): Generator<Occurring> {
  const next = () => {
    const { value, done } = values.next();
    if (!done) onValue(value);
    return done ? undefined : (value as Occurring);
  };
  try {
    for (let value = next(); value; value = next()) yield value;
  } finally {
    while (next());
  }
}

function numberOf(values: Iterable<unknown>): number {
  let count = 0;
  for (const _ of values) count++;
  return count;
}

/** The different values of several sorted lists, in order. */
function* mergedValues(lists: readonly Iterable<Occurring>[]): Generator<Occurring> {
  if (lists.length === 1) {
    yield* lists[0]!;
    return;
  }
  const heap = new Heap<{ now: Occurring; rest: Iterator<Occurring> }>((a, b) => a.now[0] < b.now[0]);
  const add = (rest: Iterator<Occurring>) => {
    const { value, done } = rest.next();
    if (!done) heap.push({ now: value, rest });
  };
  for (const list of lists) add(list[Symbol.iterator]());
  for (let least = heap.pop(); least; least = heap.pop()) {
    const [value] = least.now;
    let count = least.now[1];
    add(least.rest);
    while (heap.least?.now[0] === value) {
      const same = heap.pop()!;
      count += same.now[1];
      add(same.rest);
    }
    yield [value, count];
  }
}

/** The blocks of a part. */
interface Blocks<R extends Rows> {
  rows(block: number): R | undefined;
  firstKey(block: number): Key | undefined;
}

/** Reads sorted rows block by block, with one block in memory. */
class SortedRows<R extends Rows> {
  readonly #blocks: Blocks<R>;
  #block = 0;
  #rows: R | undefined;
  #at = 0;

  constructor(blocks: Blocks<R>) {
    this.#blocks = blocks;
    this.#rows = blocks.rows(0);
  }

  /** The rows of the current block; undefined after the last one. */
  get rows(): R | undefined {
    return this.#rows;
  }

  /** Index of the current row in its block. */
  get at(): number {
    return this.#at;
  }

  /** Key of the current row; undefined after the last one. */
  get key(): Key | undefined {
    return this.#rows?.key(this.#at);
  }

  /** Index of the current row among all rows. */
  get place(): number {
    return this.#block * BLOCK + this.#at;
  }

  next(): void {
    this.#at++;
    if (this.#rows && this.#at === this.#rows.count) this.#goTo(this.#block + 1);
  }

  /** Moves forward to the first row whose key is not less than `key`, which may be a prefix of a key. */
  seek(key: Key): void {
    const isLess = (rows: R, row: number) => compareKeys(rows.key(row), key) < 0;
    if (this.#block > 0 && !(this.#rows && isLess(this.#rows, 0))) this.#goTo(0);
    if (!this.#rows) return;
    if (isLess(this.#rows, this.#rows.count - 1)) this.#goTo(this.#lastBlockBefore(key));
    const rows = this.#rows;
    if (!rows) return;
    let [low, high] = [0, rows.count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isLess(rows, middle)) low = middle + 1;
      else high = middle;
    }
    this.#at = low;
    if (low === rows.count) this.#goTo(this.#block + 1);
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
  readonly #panes: SortedRows<PaneRows | OrderedPanes>;
  readonly #values: SortedRows<ValueRows> | undefined;

  constructor(view: CompiledView, stored: StoredPanes, { windowStart, windowEnd }: WindowSpan, part: number) {
    this.#view = view;
    this.numbers = new Float64Array(view.width);
    const place = { view: view.view.name, windowStart, windowEnd, part };
    const { panes, values } = partOf(stored, place, view);
    this.#panes = new SortedRows(panes);
    this.#values = view.lists > 0 ? new SortedRows(values) : undefined;
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

  *valuesOf(list: number): Generator<Occurring> {
    const owner = this.#panes.place * this.#view.lists + list;
    const rows = this.#values!;
    for (rows.seek([owner]); rows.key?.[0] === owner; rows.next())
      yield [rows.key[1]!, rows.rows!.countOf(rows.at)];
  }

  #read(): void {
    const { key, rows, at } = this.#panes;
    this.key = key;
    if (key) rows!.copy(at, this.numbers);
  }
}

interface Part {
  readonly panes: Blocks<PaneRows | OrderedPanes>;
  readonly values: Blocks<ValueRows>;
}

function partOf(stored: StoredPanes, place: Omit<BlockPlace, 'kind' | 'block'>, view: CompiledView): Part {
  const blocksOf = <R extends Rows>(kind: Kind, read: (data: Uint8Array) => R): Blocks<R> => ({
    rows: (block) => {
      const data = stored.block({ ...place, kind, block });
      return data && read(data);
    },
    firstKey: (block) => stored.firstKey({ ...place, kind, block }),
  });
  const panes = blocksOf('panes', (data) => new PaneRows(data, view.key.length, view.width));
  const values = blocksOf('distinct', (data) => ValueRows.read(data, view.counted));
  if (panes.firstKey(0) !== undefined) return { panes, values };
  return sorted(panes.rows(0), view.lists > 0 ? values.rows(0) : undefined, view.lists);
}

/** Sorts a part of one block, which is stored in the order its panes were opened. */
function sorted(panes: PaneRows | undefined, values: ValueRows | undefined, lists: number): Part {
  const keys = Array.from({ length: panes?.count ?? 0 }, (_, pane) => panes!.key(pane));
  const order = [...keys.keys()].sort((a, b) => compareKeys(keys[a]!, keys[b]!));
  const places = new Map(order.map((pane, place) => [pane, place]));
  const ownerOf = (owner: number) => places.get(Math.floor(owner / lists))! * lists + (owner % lists);
  const one = <R extends Rows>(rows: R | undefined): Blocks<R> => {
    const own = rows && rows.count > 0 ? rows : undefined;
    return {
      rows: (block) => (block === 0 ? own : undefined),
      firstKey: (block) => (block === 0 ? own?.key(0) : undefined),
    };
  };
  const found = (values?.rows ?? []).map(([owner, value], row) => ({
    key: [ownerOf(owner), value] as ValueKey,
    count: values!.countOf(row),
  }));
  found.sort((a, b) => compareKeys(a.key, b.key));
  const counts = Float64Array.from(found, ({ count }) => count);
  return {
    panes: one(panes && new OrderedPanes(panes, order)),
    values: one(
      new ValueRows(
        found.map(({ key }) => key),
        counts,
      ),
    ),
  };
}
