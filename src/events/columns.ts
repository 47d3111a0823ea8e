import { NUMERIC_FIELDS, type NumericField, STRING_FIELDS, type StringField } from './trip.ts';

/** Overhead of a word in bytes: the string object, and its entries in a map and a list. */
const WORD_BYTES = 100;

/** Maps the words of trips to small integer codes. A code is valid until `forgetAfter` drops its word. */
export class Dictionary {
  readonly #codes = new Map<string, number>();
  readonly words: string[] = [];
  /** Approximate memory in bytes. */
  bytes = 0;
  /** Recently seen words, by a hash of their bytes. */
  readonly #recent: ({ bytes: Uint8Array; code: number } | undefined)[] = new Array(64).fill(undefined);

  /** The code of a word, if it has one. */
  find(word: string): number | undefined {
    return this.#codes.get(word);
  }

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

  /** The code of a word in UTF-8; a recently seen one is found without making a string. */
  codeAt(b: Buffer, start: number, end: number): number {
    const length = end - start;
    const slot = (length * 31 + b[start]! * 7 + b[end - 1]!) & 63;
    const remembered = this.#recent[slot];
    if (remembered && remembered.bytes.length === length) {
      let i = 0;
      while (i < length && remembered.bytes[i] === b[start + i]) i++;
      if (i === length) return remembered.code;
    }
    const code = this.code(b.toString('utf8', start, end));
    this.#recent[slot] = { bytes: Uint8Array.prototype.slice.call(b, start, end), code };
    return code;
  }

  /** Keeps the first `count` words and forgets the others; their codes become invalid. */
  forgetAfter(count: number): void {
    const kept = this.words.slice(0, count);
    this.#codes.clear();
    this.words.length = 0;
    this.#recent.fill(undefined);
    this.bytes = 0;
    for (const word of kept) this.code(word);
  }
}

/** What a record is. */
export const KIND = { trip: 0, watermark: 1, dead: 2 } as const;

/**
 * A batch of decoded records with one column per field; row i of every column is record i.
 * Missing numbers are NaN, missing words −1. Columns are reused for the next batch.
 */
export class TripColumns {
  capacity = 0;
  count = 0;
  /** `KIND` of each record. */
  kind = new Uint8Array(0);
  readonly numbers = {} as Record<NumericField, Float64Array>;
  /** Codes in the dictionary of the field; −1 if missing. */
  readonly words = {} as Record<StringField, Int32Array>;
  readonly dictionaries = Object.fromEntries(
    STRING_FIELDS.map((field) => [field, new Dictionary()]),
  ) as Record<StringField, Dictionary>;
  /** Watermark records of the batch: their rows and values (epoch ms). */
  watermarkRows: number[] = [];
  watermarks: number[] = [];
  /** Records that are neither, with the reason. */
  dead: { row: number; why: string }[] = [];

  /** With room for `count` records. */
  constructor(count = 1_024) {
    this.reset(Math.max(1, count));
  }

  /** Makes room for `count` records and forgets the last batch. */
  reset(count: number): void {
    if (count > this.capacity) {
      this.capacity = count;
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
