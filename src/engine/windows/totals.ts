/**
 * Totals of one firing of a window: its aggregates over all panes, before `having` and `top` select any. Of the whole window, and of each
 * group: the panes with the same key fields that are not places.
 */
import type { CompiledView } from '../../views/javascript/compiled-view.ts';
import { groupFields } from '../../views/places.ts';
import { jsonNumber } from './documents.ts';
import type { MemoryCount } from './key-table.ts';
import {
  byKey,
  type Key,
  mergePanes,
  type Occurring,
  type StoredPanes,
  StoredRun,
  type WindowSpan,
} from './pane-runs.ts';
import { MemoryRun, PaneWindow } from './pane-window.ts';

/** A window with more groups has no totals by group. */
export const MOST_GROUPS = 64;
/** Bytes in memory beyond which sums go on in another part in the store: the values that they keep may be more than memory holds (C9). */
const PART_BYTES = 1 << 25;

/** What all totals of a view have in common. */
export interface TotalsShape {
  readonly view: CompiledView;
  /** Places of the key fields that make a group. */
  readonly fields: readonly number[];
  /** The view with these fields as its key, and without a key. */
  readonly byGroup: CompiledView;
  readonly whole: CompiledView;
}

export function totalsShape(view: CompiledView): TotalsShape {
  const names = groupFields(view.view);
  const fields = [...view.key.keys()].filter((i) => names.includes(view.key[i]!.name));
  const { name } = view.view;
  // No view of a user has a name with a space.
  const named = (what: string) => ({ ...view.view, name: `${name} ${what}` });
  const byGroup = { ...view, view: named('by group'), key: fields.map((i) => view.key[i]!) };
  return { view, fields, byGroup, whole: { ...view, view: named('whole'), key: [] } };
}

const VALUES_AT_ONCE = 4_096;
const NO_KEY = new Float64Array(0);

/** Adds up the panes of one firing. */
export class Totals {
  /** Adds a value of one of the lists of the pane begun by `at`. */
  readonly keep: (list: number, value: Occurring) => void;
  readonly #shape: TotalsShape;
  readonly #codes: Float64Array;
  readonly #all: Sums;
  /** None without fields to group by, or with too many groups. */
  #groups: Sums | undefined;
  #keys = 0;

  constructor(
    shape: TotalsShape,
    span: WindowSpan,
    stored: StoredPanes,
    memory: MemoryCount,
    partBytes = PART_BYTES,
  ) {
    const { fields, byGroup, whole } = shape;
    this.#shape = shape;
    this.#codes = new Float64Array(fields.length);
    this.#all = new Sums(whole, span, stored, memory, partBytes);
    this.#all.at(NO_KEY);
    if (fields.length > 0) this.#groups = new Sums(byGroup, span, stored, memory, partBytes);
    this.keep = (list, value) => (this.#groups ?? this.#all).keep(list, value);
  }

  /** Adds all panes of a window that is whole in memory, faster than one by one. */
  addAll(window: PaneWindow): void {
    const { panes } = window;
    this.#keys += panes.count;
    const places = new Int32Array(panes.count);
    for (let pane = 0; pane < panes.count && this.#groups; pane++) {
      for (let i = 0; i < this.#codes.length; i++) this.#codes[i] = panes.keyOf(pane, this.#shape.fields[i]!);
      places[pane] = this.#groups.at(this.#codes);
      this.#limitGroups();
    }
    if (!this.#groups) places.fill(0);
    (this.#groups ?? this.#all).addAll(window, places);
  }

  /** Begins the pane of a key; its values and its numbers follow. */
  at(key: Key): void {
    this.#keys++;
    if (!this.#groups) return;
    const { fields, byGroup } = this.#shape;
    for (let i = 0; i < fields.length; i++) {
      const { domain } = byGroup.key[i]!;
      const value = key[fields[i]!];
      this.#codes[i] = domain ? domain.encode(String(value)) : Number(value);
    }
    this.#groups.at(this.#codes);
    this.#limitGroups();
  }

  #limitGroups(): void {
    if (!this.#groups || this.#groups.count <= MOST_GROUPS) return;
    this.#groups.addTo(this.#all);
    this.#groups.release();
    this.#groups = undefined;
  }

  add(numbers: Float64Array, base: number): void {
    (this.#groups ?? this.#all).add(numbers, base);
  }

  /** Adds a pane with the values of its lists. */
  addPane(key: Key, numbers: Float64Array, values: readonly (readonly Occurring[])[]): void {
    this.at(key);
    for (const [list, found] of values.entries()) for (const value of found) this.keep(list, value);
    this.add(numbers, 0);
  }

  /** The totals as JSON, once all panes are added; undefined if there were none. Gives their memory back. */
  take(): string | undefined {
    const isCut = this.#shape.fields.length > 0 && !this.#groups;
    this.#groups?.addTo(this.#all);
    const groups = Array.from(
      this.#groups?.panes() ?? [],
      ({ key, numbers }) => `{"key":${this.#keyText(key)},${this.#sumText(numbers)}}`,
    );
    let all = '';
    for (const { numbers } of this.#all.panes()) all = this.#sumText(numbers);
    this.#groups?.release();
    this.#all.release();
    if (this.#keys === 0) return undefined;
    return `{"keys":${this.#keys},"all":{${all}},"groups":${isCut ? 'null' : `[${groups.join(',')}]`}}`;
  }

  #keyText(key: Key): string {
    const texts = this.#shape.byGroup.key.map(({ type }, i) => {
      const value = key[i]!;
      return typeof value === 'string' ? JSON.stringify(value) : jsonNumber(value, type);
    });
    return `[${texts.join(',')}]`;
  }

  #sumText(numbers: Float64Array): string {
    const { view } = this.#shape;
    const [values, madeOf] = [view.values(numbers, 0), view.madeOf(numbers, 0)];
    const text = (of: (i: number, type: string) => string) =>
      view.states.map(({ name, type }, i) => `"${name}":${of(i, type)}`).join(',');
    return `"values":{${text((i, type) => jsonNumber(values[i]!, type))}},"of":{${text((i) => jsonNumber(madeOf[i]!, 'integer'))}}`;
  }
}

interface SummedPane {
  readonly key: Key;
  /** Valid until the next pane. */
  readonly numbers: Float64Array;
}

/** Panes added up by a shorter key, in parts: the last one in memory, the others in the store for as long as it takes. */
class Sums {
  readonly #view: CompiledView;
  readonly #span: WindowSpan;
  readonly #stored: StoredPanes;
  readonly #memory: MemoryCount;
  readonly #partBytes: number;
  #part: PaneWindow;
  #pane = 0;

  constructor(
    view: CompiledView,
    span: WindowSpan,
    stored: StoredPanes,
    memory: MemoryCount,
    partBytes: number,
  ) {
    this.#partBytes = partBytes;
    this.#view = view;
    this.#span = span;
    this.#stored = stored;
    this.#memory = memory;
    this.#part = new PaneWindow(view, span, 0, memory);
  }

  /** Number of keys. */
  get count(): number {
    return this.#part.panes.count;
  }

  /** Returns the place of the key. */
  at(key: Float64Array): number {
    this.#pane = this.#part.pane(key);
    return this.#pane;
  }

  add(numbers: Float64Array, base: number): void {
    this.#part.addNumbers(this.#pane, numbers, base);
  }

  keep(list: number, value: Occurring): void {
    this.#part.addValue(this.#pane, list, value);
    if (this.#part.bytes > this.#partBytes) this.#beginPart();
  }

  /** Adds all panes of a window in memory, each to the key at its place. */
  addAll(window: PaneWindow, places: Int32Array): void {
    this.#part.addNumbersOf(window, places);
    for (let from = 0; from < window.valueCount; from += VALUES_AT_ONCE) {
      this.#part.addValuesOf(window, places, from, Math.min(window.valueCount, from + VALUES_AT_ONCE));
      if (this.#part.bytes > this.#partBytes) this.#beginPart();
    }
  }

  /** Adds everything to the current key of other sums. */
  addTo(other: Sums): void {
    if (this.#part.part === 0) {
      other.addAll(this.#part, new Int32Array(this.count).fill(other.#pane));
      return;
    }
    for (const { numbers } of this.panes((list, value) => other.keep(list, value))) other.add(numbers, 0);
  }

  /** All keys go on in the next part, in their order, so that each part knows how many there are. */
  #beginPart(): void {
    const full = this.#part;
    this.#stored.put(full.sortedBlocks());
    this.#part = new PaneWindow(this.#view, this.#span, full.part + 1, this.#memory);
    const key = new Float64Array(this.#view.key.length);
    for (let pane = 0; pane < full.panes.count; pane++) {
      for (let i = 0; i < key.length; i++) key[i] = full.panes.keyOf(pane, i);
      this.#part.pane(key);
    }
    full.release();
  }

  /** In key order. */
  *panes(onValue?: (list: number, value: Occurring) => void): Generator<SummedPane> {
    const part = this.#part;
    const stored = Array.from(
      { length: part.part },
      (_, i) => new StoredRun(this.#view, this.#stored, this.#span, i),
    );
    const numbers = new Float64Array(this.#view.width);
    for (const same of byKey([...stored, new MemoryRun(this.#view, part, part.inKeyOrder())])) {
      mergePanes(this.#view, same, numbers, onValue);
      yield { key: same[0]!.key!, numbers };
    }
  }

  release(): void {
    if (this.#part.part > 0) this.#stored.drop({ view: this.#view.view.name, ...this.#span });
    this.#part.release();
  }
}
