/** The part of a window in memory: the panes since it was opened, or since its earlier parts were put away. */
import type { AggregateState, CompiledView, OpenWindow } from '../../views/javascript/compiled-view.ts';
import type { Domain } from '../../views/javascript/domain.ts';
import { KeyTable, type MemoryCount } from './key-table.ts';
import { PaneRows, packPanes, packValues, ValueRows } from './pane-blocks.ts';
import type { Key, KeyValue, Kind, Occurring, PaneBlock, Run, WindowSpan } from './pane-runs.ts';

/** Bytes of a window besides its tables: objects, and entries in maps and heaps. */
const WINDOW_BYTES = 700;

/** Whether the last firing had a result of a pane; `unknown` if other parts may hold the same key. */
const SHOWN = { unknown: 0, no: 1, yes: 2 } as const;

const NONE_SHOWN = new Uint8Array(0);

const owned = new Float64Array(2);

/** A pane as a result is made of it. */
export interface Pane {
  readonly key: Key;
  /** The aggregates; NaN means no value. */
  readonly values: readonly number[];
  /** Of a session. */
  readonly span?: WindowSpan;
}

export class PaneWindow implements OpenWindow {
  readonly start: number;
  readonly end: number;
  /** Number of this part; parts with lower numbers are in the store. */
  readonly part: number;
  readonly panes: KeyTable;
  fired = false;
  /** Whether a checkpoint holds any of this part. */
  stored = false;
  /** Whether anything changed since the last checkpoint. */
  isChanged = false;
  /** The look-up that last used the window. */
  lastUsed = 0;
  readonly #view: CompiledView;
  readonly #memory: MemoryCount;
  /** Values kept. The key of a row is (pane × lists of the view + index of the list, value); its number, if any, how often it came. */
  readonly #values: KeyTable | undefined;
  /** The aggregate of each list. */
  readonly #kept: readonly AggregateState[];
  /** Panes changed since the window fired, and whether their result was shown. */
  #corrected: Map<number, number> | undefined;
  /** `SHOWN` by pane, for a window that has fired and has other parts. */
  #shown = NONE_SHOWN;

  constructor(view: CompiledView, span: WindowSpan, part: number, memory: MemoryCount) {
    this.#view = view;
    this.start = span.windowStart;
    this.end = span.windowEnd;
    this.part = part;
    this.#memory = memory;
    memory.bytes += WINDOW_BYTES;
    this.panes = new KeyTable(view.key.length, view.width, memory);
    this.#kept = view.states.filter(({ kept }) => kept >= 0);
    this.#values = view.lists > 0 ? new KeyTable(2, view.counted ? 1 : 0, memory) : undefined;
  }

  pane(key: Float64Array): number {
    const row = this.panes.rowOf(key);
    if (row >= 0) {
      if (this.fired) this.#correct(row, undefined);
      return row;
    }
    this.#view.initial(this.panes.numbersOf(~row), this.panes.baseOf(~row));
    if (this.fired) this.#correct(~row, this.part > 0 ? SHOWN.unknown : SHOWN.no);
    return ~row;
  }

  /** Notes that a pane is changed or added after the window has fired. */
  #correct(pane: number, shown: number | undefined): void {
    this.#corrected ??= new Map();
    if (!this.#corrected.has(pane)) this.#corrected.set(pane, shown ?? this.#shownOf(pane));
  }

  keep(pane: number, list: number, value: number, count = 1): boolean {
    owned[0] = pane * this.#view.lists + list;
    owned[1] = value;
    const values = this.#values!;
    const found = values.rowOf(owned);
    const row = found < 0 ? ~found : found;
    if (this.#view.counted) {
      const numbers = values.numbersOf(row);
      const base = values.baseOf(row);
      numbers[base] = numbers[base]! + count;
    }
    return found < 0;
  }

  /** Adds a pane of another window: its numbers, and the values of its lists. */
  add(key: Float64Array, numbers: Float64Array, values: readonly (readonly Occurring[])[]): void {
    const pane = this.pane(key);
    this.addNumbers(pane, numbers);
    for (const [list, found] of values.entries())
      for (const occurring of found) this.addValue(pane, list, occurring);
  }

  /** Adds the numbers of another pane, from `base` on. */
  addNumbers(pane: number, numbers: Float64Array, base = 0): void {
    this.#view.merge(this.panes.numbersOf(pane), this.panes.baseOf(pane), numbers, base);
  }

  /** Adds a value of one of another pane's lists. */
  addValue(pane: number, list: number, [value, count]: Occurring): void {
    const { domain } = this.#kept[list]!;
    this.#keepFor(pane, list, domain ? domain.encode(String(value)) : Number(value), count);
  }

  /** Keeps a value, and counts it where the number of different ones is counted. */
  #keepFor(pane: number, list: number, code: number, count: number): void {
    if (!this.keep(pane, list, code, count)) return;
    const { aggregate, offset } = this.#kept[list]!;
    if (aggregate.fn !== 'count_distinct') return;
    const [own, at] = [this.panes.numbersOf(pane), this.panes.baseOf(pane) + offset];
    own[at] = own[at]! + 1;
  }

  /** Adds the numbers of all panes of another window of this process to the panes that `places` has for them. */
  addNumbersOf({ panes }: PaneWindow, places: Int32Array): void {
    const { merge } = this.#view;
    const own = this.panes;
    for (let pane = 0; pane < panes.count; pane++) {
      const place = places[pane]!;
      merge(own.numbersOf(place), own.baseOf(place), panes.numbersOf(pane), panes.baseOf(pane));
    }
  }

  /** Adds the values [from, to) of another window of this process, whose codes are the same. */
  addValuesOf(other: PaneWindow, places: Int32Array, from: number, to: number): void {
    const { lists } = this.#view;
    const values = other.#values!;
    for (let row = from; row < to; row++) {
      const owner = values.keyOf(row, 0);
      const pane = places[Math.floor(owner / lists)]!;
      this.#keepFor(pane, owner % lists, values.keyOf(row, 1), other.countOf(row));
    }
  }

  /** Number of values kept. */
  get valueCount(): number {
    return this.#values?.count ?? 0;
  }

  /** Puts the numbers of a pane as they are merged into it, with what was made of its values. */
  settle(pane: number, numbers: Float64Array): void {
    this.panes.numbersOf(pane).set(numbers.subarray(0, this.#view.width), this.panes.baseOf(pane));
    this.panes.change(pane);
  }

  #shownOf(pane: number): number {
    if (this.part > 0) return this.#shown[pane] ?? SHOWN.unknown;
    return this.#view.having(this.values(pane)) ? SHOWN.yes : SHOWN.no;
  }

  /** Notes whether a firing had a result of a pane. */
  noteShown(pane: number, shown: boolean): void {
    if (pane >= this.#shown.length) {
      const longer = new Uint8Array(Math.max(this.panes.count, 2 * this.#shown.length));
      longer.set(this.#shown);
      this.#memory.bytes += longer.length - this.#shown.length;
      this.#shown = longer;
    }
    this.#shown[pane] = shown ? SHOWN.yes : SHOWN.no;
  }

  values(pane: number): readonly number[] {
    return this.#view.values(this.panes.numbersOf(pane), this.panes.baseOf(pane));
  }

  /** Takes the panes changed since the window fired, in key order; `shown` is undefined if unknown. */
  takeCorrected(): { pane: number; shown: boolean | undefined }[] {
    const corrected = this.#corrected ?? new Map<number, number>();
    this.#corrected = undefined;
    const panes = this.#inKeyOrder(Int32Array.from(corrected.keys()));
    return Array.from(panes, (pane) => {
      const shown = corrected.get(pane);
      return { pane, shown: shown === SHOWN.unknown ? undefined : shown === SHOWN.yes };
    });
  }

  /** All panes from one on, in key order. */
  inKeyOrder(from = 0): Int32Array {
    return this.#inKeyOrder(Int32Array.from({ length: this.panes.count - from }, (_, i) => from + i));
  }

  /** Codes sort as their strings do, except codes of words, which are numbered as they occur. */
  #inKeyOrder(panes: Int32Array): Int32Array {
    const table = this.panes;
    const compare = this.#view.key.map((part) => comparing(part.domain));
    return panes.sort((a, b) => {
      for (let i = 0; i < table.keyWidth; i++) {
        const [x, y] = [table.keyOf(a, i), table.keyOf(b, i)];
        if (x !== y) return compare[i]!(x, y);
      }
      return 0;
    });
  }

  keyOf(pane: number): Key {
    return this.#view.key.map(({ domain }, i) => {
      const code = this.panes.keyOf(pane, i);
      return domain ? domain.decode(code) : code;
    });
  }

  /** A part of one block is stored unsorted; its reader sorts it. */
  get isSmall(): boolean {
    return this.panes.blocks <= 1 && (this.#values?.blocks ?? 0) <= 1;
  }

  /** The blocks changed since the last call, in the order in which panes were opened. */
  *changedBlocks(): Generator<PaneBlock> {
    yield* this.#blocks(undefined, undefined);
    this.panes.cleaned();
    this.#values?.cleaned();
    this.stored = true;
  }

  get span(): WindowSpan {
    return { windowStart: this.start, windowEnd: this.end };
  }

  /** All blocks, in key order. */
  *sortedBlocks(): Generator<PaneBlock> {
    const order = this.inKeyOrder();
    yield* this.#blocks(order, placesOf(order, order.length));
    this.stored = true;
  }

  *#blocks(order: Int32Array | undefined, places: Int32Array | undefined): Generator<PaneBlock> {
    const values = this.#values;
    const first = order && ((pane: number) => this.keyOf(pane));
    yield* this.#blocksOf('panes', this.panes, order, first, (rows) => this.#packPanes(rows));
    if (!values) return;
    const sorted = places && this.valuesInOrder(places);
    const firstRow = places && ((row: number) => [this.#ownerAt(row, places), this.valueOf(row)]);
    yield* this.#blocksOf('distinct', values, sorted, firstRow, (rows) => this.#packValues(rows, places));
  }

  /** Blocks of rows in the given order; without an order, the changed blocks. */
  *#blocksOf(
    kind: Kind,
    table: KeyTable,
    order: Int32Array | undefined,
    keyOf: ((row: number) => Key) | undefined,
    pack: (rows: Int32Array) => Uint8Array,
  ): Generator<PaneBlock> {
    const of = { view: this.#view.view.name, ...this.span, part: this.part, kind };
    for (let block = 0; block < table.blocks; block++) {
      if (!order && !table.isChanged(block)) continue;
      const [from, to] = table.rowsOf(block);
      const rows = order
        ? order.subarray(from, to)
        : Int32Array.from({ length: to - from }, (_, i) => from + i);
      yield { ...of, block, data: pack(rows), first: keyOf?.(rows[0]!) };
    }
  }

  #packPanes(rows: Int32Array): Uint8Array {
    const { key, width } = this.#view;
    const table = this.panes;
    const keys = key.map(({ domain }, part) => {
      const values = new Float64Array(rows.length);
      for (let i = 0; i < rows.length; i++) values[i] = table.keyOf(rows[i]!, part);
      return domain ? { codes: values, word: (code: number) => domain.decode(code) } : values;
    });
    const numbers = Array.from({ length: width }, () => new Float64Array(rows.length));
    for (let i = 0; i < rows.length; i++) {
      const all = table.numbersOf(rows[i]!);
      const base = table.baseOf(rows[i]!);
      for (let number = 0; number < width; number++) numbers[number]![i] = all[base + number]!;
    }
    return packPanes(rows.length, keys, numbers);
  }

  #packValues(rows: Int32Array, places: Int32Array | undefined): Uint8Array {
    const owners = Float64Array.from(rows, (row) =>
      places ? this.#ownerAt(row, places) : this.ownerOf(row),
    );
    const values = Array.from(rows, (row) => this.valueOf(row));
    const numbers = Float64Array.from(values, (value) => (typeof value === 'number' ? value : Number.NaN));
    const codes = values.map((value, i) => (typeof value === 'string' ? i : -1));
    const counts = this.#view.counted ? Float64Array.from(rows, (row) => this.countOf(row)) : undefined;
    return packValues(owners, numbers, { codes, word: (i) => values[i] as string }, counts);
  }

  /** The owner of a value where its pane is at its place in an order. */
  #ownerAt(row: number, places: Int32Array): number {
    const { lists } = this.#view;
    const owner = this.ownerOf(row);
    return places[Math.floor(owner / lists)]! * lists + (owner % lists);
  }

  valueOf(row: number): KeyValue {
    const value = this.#values!.keyOf(row, 1);
    return this.#kept[this.ownerOf(row) % this.#view.lists]!.domain?.decode(value) ?? value;
  }

  /** How often a value came. */
  countOf(row: number): number {
    const values = this.#values!;
    return this.#view.counted ? values.numbersOf(row)[values.baseOf(row)]! : 1;
  }

  /** Rows of values, sorted by the place of their pane, then by list and value; rows of panes without a place (−1) are omitted. */
  valuesInOrder(places: Int32Array): Int32Array {
    const { lists } = this.#view;
    const table = this.#values;
    if (!table) return new Int32Array(0);
    const placeOf = (row: number) => places[Math.floor(table.keyOf(row, 0) / lists)]!;
    const compare = this.#kept.map(({ domain }) => comparing(domain));
    return Int32Array.from({ length: table.count }, (_, row) => row)
      .filter((row) => placeOf(row) >= 0)
      .sort((a, b) => {
        const [x, y] = [table.keyOf(a, 0), table.keyOf(b, 0)];
        if (x !== y) return placeOf(a) - placeOf(b) || x - y;
        return compare[x % lists]!(table.keyOf(a, 1), table.keyOf(b, 1));
      });
  }

  /** Pane × lists + list, of a row of `valuesInOrder`. */
  ownerOf(row: number): number {
    return this.#values!.keyOf(row, 0);
  }

  /** Adds a block of a stored part of this window, panes first. */
  restore(kind: Kind, data: Uint8Array): void {
    if (kind === 'panes') this.#restorePanes(data);
    else this.#restoreValues(data);
  }

  /** All blocks are as the store has them. */
  isRestored(): void {
    this.panes.cleaned();
    this.#values?.cleaned();
    this.stored = true;
  }

  #restorePanes(data: Uint8Array): void {
    const { key, width } = this.#view;
    const rows = new PaneRows(data, key.length, width);
    const parts = rows.codes(key.map(({ domain }) => domain && ((word) => domain.encode(word))));
    const codes = new Float64Array(key.length);
    for (let row = 0; row < rows.count; row++) {
      for (let part = 0; part < codes.length; part++) codes[part] = parts[part]![row]!;
      const pane = this.pane(codes);
      rows.copy(row, this.panes.numbersOf(pane), this.panes.baseOf(pane));
    }
  }

  #restoreValues(data: Uint8Array): void {
    const { lists, counted } = this.#view;
    const found = ValueRows.read(data, counted);
    for (const [row, [owner, value]] of found.rows.entries()) {
      const { domain } = this.#kept[owner % lists]!;
      const code = domain ? domain.encode(String(value)) : Number(value);
      this.keep(Math.floor(owner / lists), owner % lists, code, found.countOf(row));
    }
  }

  /** Forgets all panes of a window that has not fired, and keeps their room. */
  clear(): void {
    this.panes.clear();
    this.#values?.clear();
  }

  get bytes(): number {
    return WINDOW_BYTES + this.#shown.length + this.panes.bytes + (this.#values?.bytes ?? 0);
  }

  /** Gives the window's memory back. */
  release(): void {
    this.#memory.bytes -= WINDOW_BYTES + this.#shown.length;
    this.panes.release();
    this.#values?.release();
  }
}

/** Compares by code in a bounded domain; compares words by string, as their codes follow no order. */
function comparing(domain: Domain | undefined): (a: number, b: number) => number {
  if (domain?.size !== Number.POSITIVE_INFINITY) return (a, b) => a - b;
  return (a, b) => (a === b ? 0 : domain.decode(a) < domain.decode(b) ? -1 : 1);
}

/** Some panes of a window in memory, as a run to merge with the runs in the store. */
export class MemoryRun implements Run {
  key: Key | undefined;
  base = 0;
  readonly #window: PaneWindow;
  readonly #view: CompiledView;
  readonly #panes: Int32Array;
  /** Index of each of the window's panes in `panes`; −1 if it is not in there. */
  readonly #places: Int32Array;
  /** Values in the order of `panes`; sorted on demand. */
  #values: Int32Array | undefined;
  #at = 0;
  #nextValue = 0;

  /** `panes` in key order. */
  constructor(view: CompiledView, window: PaneWindow, panes: Int32Array) {
    this.#view = view;
    this.#window = window;
    this.#panes = panes;
    this.#places = placesOf(panes, window.panes.count);
    this.#goTo(0);
  }

  get numbers(): Float64Array {
    return this.#window.panes.numbersOf(this.#panes[this.#at] ?? 0);
  }

  /** The current pane. */
  get pane(): number {
    return this.#panes[this.#at]!;
  }

  next(): void {
    this.#goTo(this.#at + 1);
  }

  *valuesOf(list: number): Generator<Occurring> {
    const { lists } = this.#view;
    const wanted = this.#at * lists + list;
    const ownerOf = (row: number) => {
      const owner = this.#window.ownerOf(row);
      return this.#places[Math.floor(owner / lists)]! * lists + (owner % lists);
    };
    this.#values ??= this.#window.valuesInOrder(this.#places);
    const rows = this.#values;
    let next = this.#nextValue;
    while (next < rows.length && ownerOf(rows[next]!) < wanted) next++;
    this.#nextValue = next;
    for (; next < rows.length && ownerOf(rows[next]!) === wanted; next++)
      yield [this.#window.valueOf(rows[next]!), this.#window.countOf(rows[next]!)];
  }

  #goTo(at: number): void {
    this.#at = at;
    const pane = this.#panes[at];
    this.key = pane === undefined ? undefined : this.#window.keyOf(pane);
    this.base = this.#window.panes.baseOf(pane ?? 0);
  }
}

function placesOf(order: Int32Array, count: number): Int32Array {
  const places = new Int32Array(count).fill(-1);
  for (let place = 0; place < order.length; place++) places[order[place]!] = place;
  return places;
}
