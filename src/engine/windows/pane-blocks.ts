/**
 * Blocks of panes as packed columns: the parts of the key, then the numbers. Blocks of values kept: the owner of each
 * (index of its pane in the part × lists of the view + index of its list), then the value as a number or a word, then, in a view
 * that counts values, how often it came.
 */
import { PackedColumns, packColumns, type Words } from '../../packed-columns.ts';
import { BLOCK } from './key-table.ts';
import type { Key, KeyValue } from './pane-runs.ts';

const OWNER = 0;
const NUMBER = 1;
const WORD = 2;
const COUNT = 3;

/** Rows in an order, each with a key. */
export interface Rows {
  readonly count: number;
  key(row: number): Key;
}

export function packPanes(
  count: number,
  keys: readonly (Float64Array | Words)[],
  numbers: readonly Float64Array[],
): Buffer {
  return packColumns(count, [...keys, ...numbers]);
}

export function packValues(
  owners: Float64Array,
  numbers: Float64Array,
  words: Words,
  counts: Float64Array | undefined,
): Buffer {
  return packColumns(owners.length, [owners, numbers, words, ...(counts ? [counts] : [])]);
}

function read(data: Uint8Array): PackedColumns {
  const columns = PackedColumns.read(data, BLOCK);
  if (!columns) throw new Error('a block of panes is not what was written');
  return columns;
}

/** A part of the keys of a block: numbers, or words by place. */
interface KeyColumn {
  readonly values: Float64Array;
  readonly words: readonly string[] | undefined;
}

const inPlace = (words: readonly unknown[]) => Array.from(words, (_, place) => place);

export class PaneRows implements Rows {
  readonly count: number;
  readonly #keys: readonly KeyColumn[];
  readonly #numbers: readonly Float64Array[];

  /** `keyWidth` and `width` are the numbers of parts of a key and of numbers of a pane. */
  constructor(data: Uint8Array, keyWidth: number, width: number) {
    const columns = read(data);
    this.count = columns.count;
    this.#keys = Array.from({ length: keyWidth }, (_, id) => {
      const values = new Float64Array(columns.count);
      const words = columns.words(id);
      if (words) columns.codes(id, inPlace(words), 0, values);
      else columns.numbers(id, 0, values);
      return { values, words };
    });
    this.#numbers = Array.from({ length: width }, (_, number) => {
      const values = new Float64Array(columns.count);
      columns.numbers(keyWidth + number, 0, values);
      return values;
    });
  }

  key(row: number): Key {
    return this.#keys.map(({ values, words }) => (words ? words[values[row]!]! : values[row]!));
  }

  /** Copies the numbers of a pane. */
  copy(row: number, into: Float64Array, base = 0): void {
    for (let i = 0; i < this.#numbers.length; i++) into[base + i] = this.#numbers[i]![row]!;
  }

  /** The keys as codes, each part by its own function of words. */
  codes(encode: readonly (((word: string) => number) | undefined)[]): Float64Array[] {
    return this.#keys.map(({ values, words }, part) => {
      if (!words) return values;
      const codes = words.map(encode[part]!);
      return values.map((place) => codes[place]!);
    });
  }
}

/** Panes in another order. */
export class OrderedPanes implements Rows {
  readonly count: number;
  readonly #panes: PaneRows;
  readonly #order: readonly number[];

  constructor(panes: PaneRows, order: readonly number[]) {
    this.count = order.length;
    this.#panes = panes;
    this.#order = order;
  }

  key(row: number): Key {
    return this.#panes.key(this.#order[row]!);
  }

  copy(row: number, into: Float64Array): void {
    this.#panes.copy(this.#order[row]!, into);
  }
}

/** The key of a value kept. */
export type ValueKey = readonly [owner: number, value: KeyValue];

export class ValueRows implements Rows {
  readonly rows: readonly ValueKey[];
  readonly #counts: Float64Array | undefined;

  constructor(rows: readonly ValueKey[], counts: Float64Array | undefined) {
    this.rows = rows;
    this.#counts = counts;
  }

  /** `counted` says whether the view counts values. */
  static read(data: Uint8Array, counted: boolean): ValueRows {
    const columns = read(data);
    const [owners, numbers, places, counts] = [0, 1, 2, 3].map(() => new Float64Array(columns.count)) as [
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    const words = columns.words(WORD) ?? [];
    columns.numbers(OWNER, 0, owners);
    columns.numbers(NUMBER, 0, numbers);
    columns.codes(WORD, inPlace(words), 0, places);
    if (counted) columns.numbers(COUNT, 0, counts);
    const rows = Array.from(owners, (owner, row): ValueKey => [owner, words[places[row]!] ?? numbers[row]!]);
    return new ValueRows(rows, counted ? counts : undefined);
  }

  get count(): number {
    return this.rows.length;
  }

  key(row: number): ValueKey {
    return this.rows[row]!;
  }

  /** How often the value of a row came. */
  countOf(row: number): number {
    return this.#counts?.[row] ?? 1;
  }
}
