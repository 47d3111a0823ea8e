/** Strings as whole-number codes, so that compiled views handle only numbers. */
import type { Dictionary } from '../../events/columns.ts';

/** The strings of one expression, as codes. */
export interface Domain {
  /** Number of possible codes; Infinity if unknown beforehand. */
  readonly size: number;
  encode(value: string): number;
  decode(code: number): string;
}

export class StringCodes implements Domain {
  readonly #dictionary: Dictionary;
  readonly #bounded: boolean;

  constructor(dictionary: Dictionary, bounded: boolean) {
    this.#dictionary = dictionary;
    this.#bounded = bounded;
  }

  get size(): number {
    return this.#bounded ? this.#dictionary.words.length : Number.POSITIVE_INFINITY;
  }

  encode(value: string): number {
    return this.#dictionary.code(value);
  }

  decode(code: number): string {
    return this.#dictionary.words[code]!;
  }
}
