/**
 * Trips as columns of values: about 30 bytes a trip, a tenth of their JSON, and read without parsing. The embedded stream
 * keeps trips in this form. It holds values rather than text, so `0.50` comes back as `0.5`.
 *
 * Layout, little-endian: count of trips (uint32), count of columns (uint32), then for each column 16 bytes: field (uint8),
 * encoding (uint8), decimals (int8), zero, offset of its data (uint32), base (float64). Data are aligned to 8 bytes. A whole
 * number `raw` stands for (base + raw) / 10^decimals, and the greatest for a missing value. A column of words holds codes,
 * and at the offset `base` its words: the length of their JSON array (uint32), and the array. A field without a column is
 * missing in all trips.
 */
import type { Dictionary, TripColumns } from './columns.ts';
import type { Trips } from './decode.ts';
import {
  type NumericField,
  type StringField,
  TRIP_FIELD_NAMES,
  TRIP_FIELDS,
  type TripField,
} from './trip.ts';

/** How a column's data are stored. `same`: every trip has the value `base`, or the first word. */
const ENCODING = { same: 0, uint8: 1, uint16: 2, uint32: 3, float32: 4, float64: 5 } as const;
const ARRAYS = [Uint8Array, Uint8Array, Uint16Array, Uint32Array, Float32Array, Float64Array] as const;
type Values = Uint8Array | Uint16Array | Uint32Array | Float32Array | Float64Array;

const HEAD = 8;
const COLUMN_HEAD = 16;
/** Values with more decimals are stored as floating-point numbers. */
const MOST_DECIMALS = 7;
const SECONDS = -3;
const GREATEST_RAW = [0, 0xff, 0xffff, 0xffff_ffff] as const;
const LARGEST_WHOLE = 2 ** 52;

interface Column {
  readonly field: number;
  readonly encoding: number;
  readonly decimals: number;
  readonly base: number;
  readonly values: Values;
  /** Of a column of words. */
  readonly words?: Buffer;
}

function wordsOf(
  codes: Int32Array,
  rows: Uint32Array,
  dictionary: Dictionary,
  field: number,
): Column | undefined {
  const own = new Map<number, number>();
  const raw = new Uint32Array(rows.length);
  let missing = 0;
  for (let i = 0; i < rows.length; i++) {
    const code = codes[rows[i]!]!;
    if (code < 0) {
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
  if (missing === rows.length) return undefined;
  const list = Buffer.from(JSON.stringify(Array.from(own.keys(), (code) => dictionary.words[code]!)));
  const words = Buffer.alloc(4 + list.length);
  words.writeUInt32LE(list.length);
  list.copy(words, 4);
  const common = { field, decimals: 0, base: 0, words };
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

function survey(values: Float64Array, isTime: boolean): Survey {
  const [first] = values;
  let missing = 0;
  let isSame = true;
  let isWhole = true;
  let isSeconds = isTime;
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
    if (isSeconds && value % 1000 !== 0) isSeconds = false;
    while (isWhole && Math.round(value * scale) / scale !== value) {
      if (decimals++ === MOST_DECIMALS) isWhole = false;
      scale *= 10;
    }
  }
  isSame &&= missing === 0 && (first !== 0 || isWhole);
  return {
    missing,
    isSame,
    decimals: isWhole ? (isSeconds ? SECONDS : decimals) : undefined,
    least,
    greatest,
  };
}

function numbersOf(all: Float64Array, rows: Uint32Array, field: number, isTime: boolean): Column | undefined {
  const values = new Float64Array(rows.length);
  for (let i = 0; i < rows.length; i++) values[i] = all[rows[i]!]!;
  const found = survey(values, isTime);
  if (found.missing === values.length) return undefined;
  if (found.isSame) {
    return { field, encoding: ENCODING.same, decimals: 0, base: values[0]!, values: new Uint8Array(0) };
  }
  return wholeNumbers(values, found, field) ?? floats(values, field);
}

/** Values as whole numbers; undefined if one of them would come back as another. */
function wholeNumbers(values: Float64Array, found: Survey, field: number): Column | undefined {
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
  return { field, encoding, decimals, base: least, values: narrowed(raw, encoding) };
}

function narrowed(raw: Uint32Array, encoding: 1 | 2 | 3): Values {
  if (encoding === ENCODING.uint8) return new Uint8Array(raw);
  return encoding === ENCODING.uint16 ? new Uint16Array(raw) : raw;
}

function floats(values: Float64Array, field: number): Column {
  const common = { field, decimals: 0, base: 0 };
  const singles = new Float32Array(values);
  for (let i = 0; i < values.length; i++) {
    if (singles[i] !== values[i] && !Number.isNaN(values[i]))
      return { ...common, encoding: ENCODING.float64, values };
  }
  return { ...common, encoding: ENCODING.float32, values: singles };
}

const aligned = (offset: number) => (offset + 7) & ~7;

/** The trips in these rows of a batch. */
export function packTrips(columns: TripColumns, rows: Uint32Array): Buffer {
  const packed: Column[] = [];
  for (const [field, name] of TRIP_FIELD_NAMES.entries()) {
    const { type } = TRIP_FIELDS[name];
    const column =
      type === 'string'
        ? wordsOf(columns.words[name as StringField], rows, columns.dictionaries[name as StringField], field)
        : numbersOf(columns.numbers[name as NumericField], rows, field, type === 'time');
    if (column) packed.push(column);
  }
  return laidOut(rows.length, packed);
}

function laidOut(count: number, packed: readonly Column[]): Buffer {
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
  for (const [i, { field, encoding, decimals, base, values, words }] of packed.entries()) {
    const at = HEAD + i * COLUMN_HEAD;
    const { data, list } = places[i]!;
    out.writeUInt8(field, at);
    out.writeUInt8(encoding, at + 1);
    out.writeInt8(decimals, at + 2);
    out.writeUInt32LE(data, at + 4);
    out.writeDoubleLE(words ? list : base, at + 8);
    out.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), data);
    words?.copy(out, list);
  }
  return out;
}

type ReadColumn = Column & { readonly list: readonly string[] | undefined };

/** Trips as `packTrips` wrote them. */
export class PackedTrips implements Trips {
  readonly count: number;
  /** What they were read from. */
  readonly bytes: Buffer;
  readonly #columns: ReadonlyMap<TripField, ReadColumn>;

  private constructor(bytes: Buffer, count: number, columns: ReadonlyMap<TripField, ReadColumn>) {
    this.bytes = bytes;
    this.count = count;
    this.#columns = columns;
  }

  /** Undefined for bytes that can't be such trips. */
  static read(bytes: Buffer): PackedTrips | undefined {
    // Typed arrays begin at a multiple of their width.
    const own = bytes.byteOffset % 8 === 0 ? bytes : Buffer.from(Uint8Array.from(bytes).buffer);
    if (own.length < HEAD) return undefined;
    const [count, width] = [own.readUInt32LE(0), own.readUInt32LE(4)];
    if (width > TRIP_FIELD_NAMES.length || own.length < HEAD + width * COLUMN_HEAD) return undefined;
    const columns = new Map<TripField, ReadColumn>();
    for (let i = 0; i < width; i++) {
      const column = readColumn(own, HEAD + i * COLUMN_HEAD, count);
      if (!column) return undefined;
      columns.set(TRIP_FIELD_NAMES[column.field]!, column);
    }
    return new PackedTrips(own, count, columns);
  }

  unpack(from: number, count: number, columns: TripColumns, row: number, fields: Iterable<TripField>): void {
    for (const name of fields) {
      const column = this.#columns.get(name);
      if (TRIP_FIELDS[name].type === 'string') {
        const dictionary = columns.dictionaries[name as StringField];
        const codes = column?.list?.map((word) => dictionary.code(word)) ?? [];
        const into = columns.words[name as StringField].subarray(row, row + count);
        if (!column) into.fill(-1);
        else if (column.encoding === ENCODING.same) into.fill(codes[0] ?? -1);
        else copyWords(column, codes, from, into);
      } else {
        const into = columns.numbers[name as NumericField].subarray(row, row + count);
        if (column) copyNumbers(column, from, into);
        else into.fill(Number.NaN);
      }
    }
  }
}

/** The column with its head at `at`; undefined if it doesn't fit. */
function readColumn(bytes: Buffer, at: number, count: number): ReadColumn | undefined {
  const field = bytes.readUInt8(at);
  const encoding = bytes.readUInt8(at + 1);
  const offset = bytes.readUInt32LE(at + 4);
  const base = bytes.readDoubleLE(at + 8);
  const name = TRIP_FIELD_NAMES[field];
  const Values = ARRAYS[encoding];
  if (!name || !Values) return undefined;
  const length = encoding === ENCODING.same ? 0 : count;
  if (offset % 8 !== 0 || offset + length * Values.BYTES_PER_ELEMENT > bytes.length) return undefined;
  const isText = TRIP_FIELDS[name].type === 'string';
  const list = isText ? readWords(bytes, base) : undefined;
  if (isText && !list) return undefined;
  const values = new Values(bytes.buffer as ArrayBuffer, bytes.byteOffset + offset, length);
  return { field, encoding, decimals: bytes.readInt8(at + 2), base, values, list };
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

function copyWords({ values }: Column, codes: readonly number[], from: number, into: Int32Array): void {
  for (let i = 0; i < into.length; i++) into[i] = codes[values[from + i]!] ?? -1;
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
