/**
 * Tables of numbers and words as packed columns: a few bytes a value, and read without parsing.
 *
 * Layout, little-endian: number of rows (uint32), number of columns (uint32), then for each column 16 bytes: its id (uint16),
 * encoding (uint8; 128 is added for words), decimals (int8), offset of its data (uint32), base (float64). Data are aligned to 8
 * bytes. A whole number `raw` stands for (base + raw) / 10^decimals, and the greatest for a missing value. A column of words
 * holds places in its list of words, which begins at the offset `base`: the length of a JSON array (uint32), and the array.
 * A column that is not there is missing in all rows.
 */

/** How a column's data are stored. `same`: every row has the value `base`, or the first word. */
const ENCODING = { same: 0, uint8: 1, uint16: 2, uint32: 3, float32: 4, float64: 5 } as const;
const ARRAYS = [Uint8Array, Uint8Array, Uint16Array, Uint32Array, Float32Array, Float64Array] as const;
type Values = Uint8Array | Uint16Array | Uint32Array | Float32Array | Float64Array;

const HEAD = 8;
const COLUMN_HEAD = 16;
const MOST_COLUMNS = 1 << 16;
const WORDS = 128;
/** Rows of a table, if its reader doesn't say. */
const MOST_COUNT = 1 << 24;
/** Values with more decimals are stored as floating-point numbers. */
const MOST_DECIMALS = 7;
const THOUSANDS = -3;
const GREATEST_RAW = [0, 0xff, 0xffff, 0xffff_ffff] as const;
const LARGEST_WHOLE = 2 ** 52;

/** Words by code; −1 is a missing one. */
export interface Words {
  readonly codes: ArrayLike<number>;
  readonly word: (code: number) => string;
}

interface Column {
  readonly encoding: number;
  readonly decimals: number;
  readonly base: number;
  readonly values: Values;
  /** Of a column of words. */
  readonly words?: Buffer;
}

/** A table of `count` rows; the place of a column is its id. NaN is a missing number. */
export function packColumns(count: number, columns: readonly (Float64Array | Words | undefined)[]): Buffer {
  const packed: (Column & { readonly id: number })[] = [];
  for (const [id, column] of columns.entries()) {
    if (!column) continue;
    const found = column instanceof Float64Array ? packNumbers(column) : packWords(column, count);
    if (found) packed.push({ id, ...found });
  }
  return laidOut(count, packed);
}

function packWords({ codes, word }: Words, count: number): Column | undefined {
  const own = new Map<number, number>();
  const raw = new Uint32Array(count);
  let missing = 0;
  for (let i = 0; i < count; i++) {
    const code = codes[i]!;
    if (code === -1) {
      raw[i] = 0xffff_ffff;
      missing++;
      continue;
    }
    let at = own.get(code);
    if (at === undefined) {
      at = own.size;
      own.set(code, at);
    }
    raw[i] = at;
  }
  if (missing === count) return undefined;
  const list = Buffer.from(JSON.stringify(Array.from(own.keys(), word)));
  const words = Buffer.alloc(4 + list.length);
  words.writeUInt32LE(list.length);
  list.copy(words, 4);
  const common = { decimals: 0, base: 0, words };
  if (own.size === 1 && missing === 0)
    return { ...common, encoding: ENCODING.same, values: new Uint8Array(0) };
  const encoding = narrowest(own.size - 1);
  return { ...common, encoding, values: narrowed(raw, encoding) };
}

/** The encoding of whole numbers from 0 to `greatest`. */
function narrowest(greatest: number): 1 | 2 | 3 {
  if (greatest < GREATEST_RAW[ENCODING.uint8]) return ENCODING.uint8;
  return greatest < GREATEST_RAW[ENCODING.uint16] ? ENCODING.uint16 : ENCODING.uint32;
}

/** What a column's values have in common. */
interface Survey {
  readonly missing: number;
  readonly isSame: boolean;
  /** Decimals with which every value is a whole number; undefined if that takes too many, or one of them is −0. */
  readonly decimals: number | undefined;
  readonly least: number;
  readonly greatest: number;
}

function survey(values: Float64Array): Survey {
  const [first] = values;
  let missing = 0;
  let isSame = true;
  let isWhole = true;
  let isThousands = true;
  let least = Number.POSITIVE_INFINITY;
  let greatest = Number.NEGATIVE_INFINITY;
  let decimals = 0;
  let scale = 1;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Number.isNaN(value)) {
      missing++;
      continue;
    }
    if (value !== first) isSame = false;
    if (value < least) least = value;
    if (value > greatest) greatest = value;
    if (value === 0 && 1 / value < 0) isWhole = false;
    if (isThousands && value % 1000 !== 0) isThousands = false;
    while (isWhole && Math.round(value * scale) / scale !== value) {
      if (decimals++ === MOST_DECIMALS) isWhole = false;
      scale *= 10;
    }
  }
  isSame &&= missing === 0 && (first !== 0 || isWhole);
  return {
    missing,
    isSame,
    decimals: isWhole ? (isThousands ? THOUSANDS : decimals) : undefined,
    least,
    greatest,
  };
}

function packNumbers(values: Float64Array): Column | undefined {
  const found = survey(values);
  if (found.missing === values.length) return undefined;
  if (found.isSame)
    return { encoding: ENCODING.same, decimals: 0, base: values[0]!, values: new Uint8Array(0) };
  return wholeNumbers(values, found) ?? floats(values);
}

/** Values as whole numbers; undefined if one of them would come back as another. */
function wholeNumbers(values: Float64Array, found: Survey): Column | undefined {
  const { decimals } = found;
  if (decimals === undefined) return undefined;
  const up = decimals < 0 ? 1 : 10 ** decimals;
  const down = decimals < 0 ? 10 ** -decimals : 1;
  const least = Math.round((found.least / down) * up);
  const greatest = Math.round((found.greatest / down) * up);
  if (greatest - least >= GREATEST_RAW[ENCODING.uint32] || Math.max(-least, greatest) > LARGEST_WHOLE)
    return undefined;
  const encoding = narrowest(greatest - least);
  const missing = GREATEST_RAW[encoding];
  const raw = new Uint32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    const whole = Math.round((value / down) * up);
    if (Number.isNaN(value)) raw[i] = missing;
    else if ((whole / up) * down !== value) return undefined;
    else raw[i] = whole - least;
  }
  return { encoding, decimals, base: least, values: narrowed(raw, encoding) };
}

function narrowed(raw: Uint32Array, encoding: 1 | 2 | 3): Values {
  if (encoding === ENCODING.uint8) return new Uint8Array(raw);
  return encoding === ENCODING.uint16 ? new Uint16Array(raw) : raw;
}

function floats(values: Float64Array): Column {
  const common = { decimals: 0, base: 0 };
  const singles = new Float32Array(values);
  for (let i = 0; i < values.length; i++) {
    if (singles[i] !== values[i] && !Number.isNaN(values[i]))
      return { ...common, encoding: ENCODING.float64, values };
  }
  return { ...common, encoding: ENCODING.float32, values: singles };
}

const aligned = (offset: number) => (offset + 7) & ~7;

function laidOut(count: number, packed: readonly (Column & { readonly id: number })[]): Buffer {
  let size = HEAD + packed.length * COLUMN_HEAD;
  const places = packed.map(({ values, words }) => {
    const data = aligned(size);
    const list = aligned(data + values.byteLength);
    size = words ? list + words.length : data + values.byteLength;
    return { data, list };
  });
  const out = Buffer.alloc(size);
  out.writeUInt32LE(count, 0);
  out.writeUInt32LE(packed.length, 4);
  for (const [i, { id, encoding, decimals, base, values, words }] of packed.entries()) {
    const at = HEAD + i * COLUMN_HEAD;
    const { data, list } = places[i]!;
    out.writeUInt16LE(id, at);
    out.writeUInt8(encoding + (words ? WORDS : 0), at + 2);
    out.writeInt8(decimals, at + 3);
    out.writeUInt32LE(data, at + 4);
    out.writeDoubleLE(words ? list : base, at + 8);
    out.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), data);
    words?.copy(out, list);
  }
  return out;
}

type ReadColumn = Column & { readonly list: readonly string[] | undefined };

/** A table as `packColumns` wrote it. */
export class PackedColumns {
  readonly count: number;
  readonly #columns: ReadonlyMap<number, ReadColumn>;

  private constructor(count: number, columns: ReadonlyMap<number, ReadColumn>) {
    this.count = count;
    this.#columns = columns;
  }

  /** Undefined for bytes that can't be such a table of at most `most` rows. */
  static read(bytes: Uint8Array, most = MOST_COUNT): PackedColumns | undefined {
    // Typed arrays begin at a multiple of their width.
    const { buffer, byteOffset, length } = bytes.byteOffset % 8 === 0 ? bytes : Uint8Array.from(bytes);
    const own = Buffer.from(buffer as ArrayBuffer, byteOffset, length);
    if (own.length < HEAD) return undefined;
    const [count, width] = [own.readUInt32LE(0), own.readUInt32LE(4)];
    if (count > most || width > MOST_COLUMNS || own.length < HEAD + width * COLUMN_HEAD) return undefined;
    const columns = new Map<number, ReadColumn>();
    for (let i = 0; i < width; i++) {
      const at = HEAD + i * COLUMN_HEAD;
      const column = readColumn(own, at, count);
      if (!column) return undefined;
      columns.set(own.readUInt16LE(at), column);
    }
    return new PackedColumns(count, columns);
  }

  /** Copies numbers of a column from row `from` on; what is missing, or is no number, is NaN. */
  numbers(id: number, from: number, into: Float64Array): void {
    const column = this.#columns.get(id);
    if (column && !column.list) copyNumbers(column, from, into);
    else into.fill(Number.NaN);
  }

  /** The words of a column; undefined if it has numbers or none. */
  words(id: number): readonly string[] | undefined {
    return this.#columns.get(id)?.list;
  }

  /** Copies, from row `from` on, `codes[p]` for a row whose word is at place p of `words`; −1 for a missing one. */
  codes(id: number, codes: readonly number[], from: number, into: Int32Array | Float64Array): void {
    const column = this.#columns.get(id);
    if (!column?.list) into.fill(-1);
    else if (column.encoding === ENCODING.same) into.fill(codes[0] ?? -1);
    else for (let i = 0; i < into.length; i++) into[i] = codes[column.values[from + i]!] ?? -1;
  }
}

/** The column with its head at `at`; undefined if it doesn't fit. */
function readColumn(bytes: Buffer, at: number, count: number): ReadColumn | undefined {
  const kind = bytes.readUInt8(at + 2);
  const hasWords = kind >= WORDS;
  const encoding = hasWords ? kind - WORDS : kind;
  const decimals = bytes.readInt8(at + 3);
  const offset = bytes.readUInt32LE(at + 4);
  const base = bytes.readDoubleLE(at + 8);
  const Values = ARRAYS[encoding];
  if (!Values) return undefined;
  const length = encoding === ENCODING.same ? 0 : count;
  if (offset % 8 !== 0 || offset + length * Values.BYTES_PER_ELEMENT > bytes.length) return undefined;
  const list = hasWords ? readWords(bytes, base) : undefined;
  if (hasWords && !list) return undefined;
  const values = new Values(bytes.buffer as ArrayBuffer, bytes.byteOffset + offset, length);
  return { encoding, decimals, base, values, list };
}

function readWords(bytes: Buffer, at: number): string[] | undefined {
  if (!(Number.isSafeInteger(at) && at >= 0 && at + 4 <= bytes.length)) return undefined;
  const end = at + 4 + bytes.readUInt32LE(at);
  if (end > bytes.length) return undefined;
  try {
    const words: unknown = JSON.parse(bytes.toString('utf8', at + 4, end));
    return Array.isArray(words) && words.every((word) => typeof word === 'string') ? words : undefined;
  } catch {
    return undefined;
  }
}

function copyNumbers({ encoding, decimals, base, values }: Column, from: number, into: Float64Array): void {
  if (encoding === ENCODING.same) into.fill(base);
  else if (encoding >= ENCODING.float32) into.set(values.subarray(from, from + into.length));
  else if (encoding === ENCODING.uint8) copyBytes(values as Uint8Array, from, base, decimals, into);
  else if (encoding === ENCODING.uint16) copyShorts(values as Uint16Array, from, base, decimals, into);
  else copyLongs(values as Uint32Array, from, base, decimals, into);
}

/** Compiles a copy per width: a loop over arrays of several types is several times slower. */
function copier<T extends Values>(missing: number) {
  return new Function(
    'values, from, base, decimals, into',
    `const scale = 10 ** Math.abs(decimals);
    if (decimals < 0) for (let i = 0; i < into.length; i++) {
      const raw = values[from + i];
      into[i] = raw === ${missing} ? NaN : (base + raw) * scale;
    } else for (let i = 0; i < into.length; i++) {
      const raw = values[from + i];
      into[i] = raw === ${missing} ? NaN : (base + raw) / scale;
    }`,
  ) as (values: T, from: number, base: number, decimals: number, into: Float64Array) => void;
}

const copyBytes = copier<Uint8Array>(GREATEST_RAW[ENCODING.uint8]);
const copyShorts = copier<Uint16Array>(GREATEST_RAW[ENCODING.uint16]);
const copyLongs = copier<Uint32Array>(GREATEST_RAW[ENCODING.uint32]);
