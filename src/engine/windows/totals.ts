/**
 * Totals of one firing of a window: its aggregates over all panes, before `having` and `top` select any. Of the whole window, and of each
 * group: the panes with the same key fields that are not places.
 */
import type { CompiledView } from '../../views/javascript/compiled-view.ts';
import { groupFields } from '../../views/places.ts';
import { jsonNumber } from './documents.ts';
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
/** Bytes that are kept from one firing to the next. */
const KEPT_BYTES = 1 << 16;
const VALUES_AT_ONCE = 4_096;
const NO_KEY = new Float64Array(0);

/** Adds up the panes of one firing after the other. */
export class Totals {
  /** Adds a value of one of the lists of the pane begun by `at`. */
  readonly keep: (list: number, value: Occurring) => void;
  readonly #view: CompiledView;
  /** Places of the key fields that make a group. */
  readonly #fields: readonly number[];
  readonly #codes: Float64Array;
  readonly #all: Sums;
  readonly #groups: Sums;
  /** Without fields to group by, or with too many groups, there is only the whole. */
  #isGrouped = false;
  #keys = 0;
  /** The group of each pane of a window in memory. */
  #places = new Int32Array(0);

  constructor(view: CompiledView, stored: StoredPanes, partBytes = PART_BYTES) {
    const names = groupFields(view.view);
    this.#view = view;
    this.#fields = [...view.key.keys()].filter((i) => names.includes(view.key[i]!.name));
    this.#codes = new Float64Array(this.#fields.length);
    // No view of a user has a name with a space.
    const summed = (what: string, fields: readonly number[]) => {
      const key = fields.map((i) => view.key[i]!);
      return new Sums(
        { ...view, view: { ...view.view, name: `${view.view.name} ${what}` }, key },
        stored,
        partBytes,
      );
    };
    this.#all = summed('whole', []);
    this.#groups = summed('by group', this.#fields);
    this.keep = (list, value) => this.#sums.keep(list, value);
  }

  get #sums(): Sums {
    return this.#isGrouped ? this.#groups : this.#all;
  }

  /** Begins the totals of a firing. */
  begin(): void {
    this.#keys = 0;
    this.#isGrouped = this.#fields.length > 0;
    this.#groups.begin();
    this.#all.begin();
    this.#all.at(NO_KEY);
  }

  /** Adds all panes of a window in memory, faster than one by one. `shared` of its keys were added before. */
  addAll(window: PaneWindow, shared = 0): void {
    this.#keys += window.panes.count - shared;
    this.#addAll(window, this.#fields);
  }

  /** Takes what was added since `begin`, of a view that keeps no values. */
  setAside(): SetAside {
    return { keys: this.#keys, isGrouped: this.#isGrouped, sums: this.#sums.takeAway() };
  }

  /** Adds what was set aside. It stays valid as long as the words of this process. */
  addAside({ keys, isGrouped, sums }: SetAside): void {
    this.#keys += keys;
    this.#isGrouped = isGrouped;
    this.#addAll(sums, [...this.#fields.keys()]);
  }

  /** `fields` are the places of the group's fields in the keys of the window. */
  #addAll(window: PaneWindow, fields: readonly number[]): void {
    const { panes } = window;
    if (panes.count > this.#places.length) this.#places = new Int32Array(2 * panes.count);
    const places = this.#places;
    for (let pane = 0; pane < panes.count && this.#isGrouped; pane++) {
      for (let i = 0; i < this.#codes.length; i++) this.#codes[i] = panes.keyOf(pane, fields[i]!);
      places[pane] = this.#groups.at(this.#codes);
      this.#limitGroups();
    }
    if (!this.#isGrouped) places.fill(0, 0, panes.count);
    this.#sums.addAll(window, places);
  }

  /** Begins the pane of a key; its values and its numbers follow. */
  at(key: Key): void {
    this.#keys++;
    if (!this.#isGrouped) return;
    for (let i = 0; i < this.#fields.length; i++) {
      const { domain } = this.#view.key[this.#fields[i]!]!;
      const value = key[this.#fields[i]!];
      this.#codes[i] = domain ? domain.encode(String(value)) : Number(value);
    }
    this.#groups.at(this.#codes);
    this.#limitGroups();
  }

  #limitGroups(): void {
    if (this.#groups.count <= MOST_GROUPS) return;
    this.#groups.addTo(this.#all);
    this.#isGrouped = false;
  }

  add(numbers: Float64Array, base: number): void {
    this.#sums.add(numbers, base);
  }

  /** Adds a pane with the values of its lists. */
  addPane(key: Key, numbers: Float64Array, values: readonly (readonly Occurring[])[]): void {
    this.at(key);
    for (const [list, found] of values.entries()) for (const value of found) this.keep(list, value);
    this.add(numbers, 0);
  }

  /** The totals as JSON, once all panes are added; undefined if there were none. */
  take(): string | undefined {
    if (this.#isGrouped) this.#groups.addTo(this.#all);
    const groups: string[] = [];
    if (this.#isGrouped)
      for (const group of this.#groups.panes())
        groups.push(`{"key":${this.#keyText(group.key)},${this.#sumText(group)}}`);
    let all = '';
    for (const pane of this.#all.panes()) all = this.#sumText(pane);
    this.#groups.end();
    this.#all.end();
    if (this.#keys === 0) return undefined;
    const isCut = this.#fields.length > 0 && !this.#isGrouped;
    return `{"keys":${this.#keys},"all":{${all}},"groups":${isCut ? 'null' : `[${groups.join(',')}]`}}`;
  }

  #keyText(key: Key): string {
    const texts = key.map((value, i) =>
      typeof value === 'string'
        ? JSON.stringify(value)
        : jsonNumber(value, this.#view.key[this.#fields[i]!]!.type),
    );
    return `[${texts.join(',')}]`;
  }

  #sumText({ numbers, base }: SummedPane): string {
    const view = this.#view;
    const [numbersOf, madeOf] = [view.values(numbers, base), view.madeOf(numbers, base)];
    let [values, of] = ['', ''];
    for (let i = 0; i < numbersOf.length; i++) {
      const { name, type } = view.states[i]!;
      const head = `${i > 0 ? ',' : ''}"${name}":`;
      values += head + jsonNumber(numbersOf[i]!, type);
      of += head + jsonNumber(madeOf[i]!, 'integer');
    }
    return `"values":{${values}},"of":{${of}}`;
  }
}

/** Sums to be added again and again. */
export interface SetAside {
  readonly keys: number;
  readonly isGrouped: boolean;
  readonly sums: PaneWindow;
}

interface SummedPane {
  readonly key: Key;
  /** Valid until the next pane. */
  readonly numbers: Float64Array;
  readonly base: number;
}

/** Parts in the store are there for one firing only. */
const SPAN: WindowSpan = { windowStart: 0, windowEnd: 0 };

/** Panes added up by a shorter key, in parts: the last one in memory, the others in the store for as long as it takes. */
class Sums {
  readonly #view: CompiledView;
  readonly #stored: StoredPanes;
  readonly #partBytes: number;
  #part: PaneWindow;
  #pane = 0;

  constructor(view: CompiledView, stored: StoredPanes, partBytes: number) {
    this.#view = view;
    this.#stored = stored;
    this.#partBytes = partBytes;
    this.#part = this.#newPart(0);
  }

  /** What it takes in memory is bounded, and not counted. */
  #newPart(part: number): PaneWindow {
    return new PaneWindow(this.#view, SPAN, part, { bytes: 0 });
  }

  /** Number of keys. */
  get count(): number {
    return this.#part.panes.count;
  }

  begin(): void {
    if (this.#part.part > 0) this.#part = this.#newPart(0);
    this.#part.clear();
  }

  takeAway(): PaneWindow {
    const taken = this.#part;
    this.#part = this.#newPart(0);
    return taken;
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
    if (this.#part.part === 0) other.addAll(this.#part, new Int32Array(this.count).fill(other.#pane));
    else
      for (const { numbers } of this.panes((list, value) => other.keep(list, value))) other.add(numbers, 0);
  }

  /** All keys go on in the next part, in their order, so that each part knows how many there are. */
  #beginPart(): void {
    const full = this.#part;
    this.#stored.put(full.sortedBlocks());
    this.#part = this.#newPart(full.part + 1);
    const key = new Float64Array(this.#view.key.length);
    for (let pane = 0; pane < full.panes.count; pane++) {
      for (let i = 0; i < key.length; i++) key[i] = full.panes.keyOf(pane, i);
      this.#part.pane(key);
    }
  }

  /** In key order. */
  *panes(onValue?: (list: number, value: Occurring) => void): Generator<SummedPane> {
    const part = this.#part;
    const order = part.inKeyOrder();
    if (part.part === 0 && !this.#view.counted) {
      for (const pane of order)
        yield { key: part.keyOf(pane), numbers: part.panes.numbersOf(pane), base: part.panes.baseOf(pane) };
      return;
    }
    const stored = Array.from(
      { length: part.part },
      (_, i) => new StoredRun(this.#view, this.#stored, SPAN, i),
    );
    const numbers = new Float64Array(this.#view.width);
    for (const same of byKey([...stored, new MemoryRun(this.#view, part, order)])) {
      mergePanes(this.#view, same, numbers, onValue);
      yield { key: same[0]!.key!, numbers, base: 0 };
    }
  }

  end(): void {
    if (this.#part.part > 0) this.#stored.drop({ view: this.#view.view.name, ...SPAN });
    if (this.#part.part > 0 || this.#part.bytes > KEPT_BYTES) this.#part = this.#newPart(0);
  }
}
