import { NUMERIC_FIELDS, type NumericField, STRING_FIELDS, type StringField } from './trip.ts';

/** Bytes of a word beside its characters: the string, and its entries in a map and a list. */
const WORD_BYTES = 100;

/** Words of a trip as small integers: the same word has the same code until words are forgotten. */
export class Dictionary {
  readonly #codes = new Map<string, number>();
  readonly words: string[] = [];
  /** Memory it takes, about. */
  bytes = 0;
  /** For the decoder: words seen lately, by a hash of their bytes. */
  readonly recent: ({ bytes: Uint8Array; code: number } | undefined)[] = new Array(64).fill(undefined);

  code(word: string): number {
    let code = this.#codes.get(word);
    if (code === undefined) {
      code = this.words.length;
      this.#codes.set(word, code);
      this.words.push(word);
      this.bytes += WORD_BYTES + 2 * word.length;
    }
    return code;
  }

  /** Forgets all words but the first so many: the codes of the others mean nothing any more. */
  forgetAfter(count: number): void {
    const kept = this.words.slice(0, count);
    this.#codes.clear();
    this.words.length = 0;
    this.recent.fill(undefined);
    this.bytes = 0;
    for (const word of kept) this.code(word);
  }
}

/** What a record turned out to be. */
export const KIND = { trip: 0, watermark: 1, dead: 2 } as const;

/**
 * A batch of decoded records, a column a field, row i of every column being record i.
 * Numbers that a trip lacks are NaN, words −1. Columns are reused from batch to batch.
 */
export class TripColumns {
  capacity = 0;
  count = 0;
  /** `KIND` of each record. */
  kind = new Uint8Array(0);
  readonly numbers = {} as Record<NumericField, Float64Array>;
  /** Codes of words in the dictionary of their field, −1 where a trip has none. */
  readonly words = {} as Record<StringField, Int32Array>;
  readonly dictionaries = Object.fromEntries(
    STRING_FIELDS.map((field) => [field, new Dictionary()]),
  ) as Record<StringField, Dictionary>;
  /** Watermark records of the batch: row, and epoch milliseconds. */
  watermarkRows: number[] = [];
  watermarks: number[] = [];
  /** Records that are neither: row, and why. */
  dead: { row: number; why: string }[] = [];

  constructor() {
    this.reset(0);
  }

  /** Makes room for `count` records and forgets the last batch. */
  reset(count: number): void {
    if (count > this.capacity || this.capacity === 0) {
      this.capacity = Math.max(1024, count);
      this.kind = new Uint8Array(this.capacity);
      for (const field of STRING_FIELDS) this.words[field] = new Int32Array(this.capacity);
      for (const field of NUMERIC_FIELDS) this.numbers[field] = new Float64Array(this.capacity);
    }
    this.count = count;
    this.watermarkRows.length = 0;
    this.watermarks.length = 0;
    this.dead.length = 0;
  }
}
