/**
 * Decodes the bytes of records into columns. This is the hottest code of the project.
 *
 * Invariants:
 *  D1 The fast path accepts only the form that taxiflow's own encoder writes, and reads it as `JSON.parse` would.
 *  D2 Anything else (other key order, extra keys, escapes, exponents) goes through `JSON.parse`.
 *  D3 A record that is neither a trip nor a watermark is marked dead with a reason, never dropped.
 *  D4 A record that holds several is never read as one: the caller splits the batch first.
 */
import { type Dictionary, KIND, type TripColumns } from './columns.ts';
import { recordsIn } from './lines.ts';
import type { PackedTrips } from './packed.ts';
import { clockAt, dayAt } from './time-bytes.ts';
import { parseTime } from './times.ts';
import {
  type NumericField,
  type StringField,
  TRIP_FIELD_NAMES,
  TRIP_FIELDS,
  type TripField,
} from './trip.ts';

/** Trips [from, from + count) of packed ones, as the records of a batch from `row` on. */
export interface PackedRows {
  readonly row: number;
  readonly trips: PackedTrips;
  readonly from: number;
  readonly count: number;
}

/**
 * Records in one buffer. Record i ends (exclusive) at `ends[i]` and begins where record i − 1 ends. Records that are packed
 * instead have no bytes there.
 */
export interface RecordBytes {
  readonly count: number;
  readonly data: Buffer;
  readonly ends: Uint32Array;
  /** In order. */
  readonly packed?: readonly PackedRows[];
}

/** A record as text. */
export function recordText({ data, ends, packed = [] }: RecordBytes, row: number): string {
  for (const { row: first, trips, from, count } of packed)
    if (row >= first && row < first + count) return trips.json(from + row - first);
  return data.toString('utf8', row === 0 ? 0 : ends[row - 1]!, ends[row]!).trimEnd();
}

/** The same records, with none of them packed. */
export function unpackedRecords(records: RecordBytes): RecordBytes {
  if (!records.packed) return records;
  const texts = Array.from({ length: records.count }, (_, row) =>
    Buffer.from(`${recordText(records, row)}\n`),
  );
  let end = 0;
  const ends = Uint32Array.from(texts, (text) => (end += text.length));
  return { count: records.count, data: Buffer.concat(texts), ends };
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const CLOSE = 0x7d;
const NEWLINE = 0x0a;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;

const POWERS_OF_TEN = Float64Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));

/** Source of a test for literal bytes at `p` of the view `v`, four bytes per comparison. */
function matchSource(text: string): string {
  const bytes = Buffer.from(text);
  const terms: string[] = [];
  for (let i = 0; i < bytes.length; i += 4) {
    const at = Math.min(i, bytes.length - 4);
    terms.push(`v.getInt32(p + ${at}, true) === ${bytes.readInt32LE(at)}`);
  }
  return terms.join(' && ');
}

const HEAD = '{"type":"trip"';

/** Where the last scan stopped; −1 if only `JSON.parse` can read what it found. */
const scan = { stop: 0 };

/** The number of four digits at `p`, −1 if they aren't digits. Combines the bytes in pairs, then the pairs. */
function fourDigits(v: DataView, p: number): number {
  const x = v.getInt32(p, true);
  if ((((x & 0xf0f0f0f0) ^ 0x30303030) | (((x + 0x06060606) & 0xf0f0f0f0) ^ 0x30303030)) !== 0) return -1;
  const pairs = ((x & 0x0f000f00) >>> 8) + Math.imul(x & 0x000f000f, 10);
  return Math.imul(pairs & 0xff, 100) + (pairs >>> 16);
}

/**
 * The number at `start`, correctly rounded. Up to 15 digits one division is enough, since both operands are exact. Up to
 * 17 the quotient is corrected by its exact remainder. Longer numbers go to `Number`.
 */
function scanNumber(b: Buffer, v: DataView, start: number): number {
  let p = start;
  const negative = b[p] === MINUS;
  if (negative) p++;
  const first = p;
  let whole = 0;
  let d = b[p]! - ZERO;
  while (d >= 0 && d <= 9) {
    whole = whole * 10 + d;
    d = b[++p]! - ZERO;
  }
  const wholeDigits = p - first;
  if (wholeDigits === 0 || wholeDigits > 15 || (wholeDigits > 1 && b[first] === ZERO)) return unusualNumber();
  if (d === COMMA - ZERO || d === CLOSE - ZERO) {
    scan.stop = p;
    return negative ? -whole : whole;
  }
  if (d !== DOT - ZERO) return unusualNumber();
  return scanFraction(b, v, start, p + 1, whole, wholeDigits, negative);
}

function unusualNumber(): number {
  scan.stop = -1;
  return Number.NaN;
}

/** Scans the decimals of a number; its point is at `from` − 1. */
function scanFraction(
  b: Buffer,
  v: DataView,
  start: number,
  from: number,
  whole: number,
  wholeDigits: number,
  negative: boolean,
): number {
  const last = b.length - 4;
  let p = from;
  let high = whole;
  let low = 0;
  let lowDigits = 0;
  let four = p <= last ? fourDigits(v, p) : -1;
  if (four >= 0) {
    p += 4;
    high = high * 10_000 + four;
    four = p <= last ? fourDigits(v, p) : -1;
    if (four >= 0) {
      p += 4;
      high = high * 10_000 + four;
      four = p <= last ? fourDigits(v, p) : -1;
      if (four >= 0) {
        p += 4;
        low = four;
        lowDigits = 4;
      }
    }
  }
  let d = b[p]! - ZERO;
  while (d >= 0 && d <= 9) {
    if (lowDigits < 9) low = low * 10 + d;
    lowDigits++;
    d = b[++p]! - ZERO;
  }
  const scale = p - from;
  if ((d !== COMMA - ZERO && d !== CLOSE - ZERO) || scale === 0) return unusualNumber();
  scan.stop = p;
  const digits = wholeDigits + scale;
  // With more digits the products below are not exact.
  if (digits > 17 || scale > 15 || lowDigits > 7 || (digits > 15 && wholeDigits > 4)) {
    return Number(b.toString('latin1', start, p));
  }
  const power = POWERS_OF_TEN[scale]!;
  const shifted = high * POWERS_OF_TEN[lowDigits]!;
  let value = (shifted + low) / power;
  if (digits > 15) value += remainder(value, power, shifted, low) / power;
  return negative ? -value : value;
}

const SPLITTER = 134217729;

/** (shifted + tail) − quotient × divisor, exactly, by Dekker's product with its rounding error. */
function remainder(quotient: number, divisor: number, shifted: number, tail: number): number {
  const product = quotient * divisor;
  const a = SPLITTER * quotient;
  const aHigh = a - (a - quotient);
  const aLow = quotient - aHigh;
  const d = SPLITTER * divisor;
  const dHigh = d - (d - divisor);
  const dLow = divisor - dHigh;
  const error = aLow * dLow - (product - aHigh * dHigh - aLow * dHigh - aHigh * dLow);
  return shifted - product + tail - error;
}

/** Epoch ms of `YYYY-MM-DDTHH:MM:SS.mmmZ"` at `p`. */
function scanTime(b: Buffer, v: DataView, p: number): number {
  const day = dayAt(b, v, p);
  const clock = clockAt(b, p + 11);
  const f2 = b[p + 20]! - ZERO;
  const f1 = b[p + 21]! - ZERO;
  const f0 = b[p + 22]! - ZERO;
  const fraction = f2 | (9 - f2) | f1 | (9 - f1) | f0 | (9 - f0);
  const T = 0x54;
  const Z = 0x5a;
  const shape = (b[p + 10]! ^ T) | (b[p + 19]! ^ DOT) | (b[p + 23]! ^ Z) | (b[p + 24]! ^ QUOTE);
  scan.stop = (clock | fraction) < 0 || shape !== 0 || Number.isNaN(day) ? -1 : p + 25;
  return day + clock + f2 * 100 + f1 * 10 + f0;
}

/** The code of the word at `start`; a recently seen word is found without making a string. */
function scanWord(b: Buffer, start: number, dictionary: Dictionary): number {
  let p = start;
  let c = b[p]!;
  while (c !== QUOTE) {
    if (c === BACKSLASH || !(c >= 0x20)) {
      scan.stop = -1;
      return -1;
    }
    c = b[++p]!;
  }
  scan.stop = p + 1;
  const length = p - start;
  const slot = (length * 31 + b[start]! * 7 + b[p - 1]!) & 63;
  const remembered = dictionary.recent[slot];
  if (remembered && remembered.bytes.length === length) {
    let i = 0;
    while (i < length && remembered.bytes[i] === b[start + i]) i++;
    if (i === length) return remembered.code;
  }
  const code = dictionary.code(b.toString('utf8', start, p));
  dictionary.recent[slot] = { bytes: Uint8Array.prototype.slice.call(b, start, p), code };
  return code;
}

/** Skips a number that isn't wanted. */
function skipNumber(b: Buffer, start: number): void {
  const first = b[start] === MINUS ? start + 1 : start;
  let p = first;
  let c = b[p]!;
  while (c >= ZERO && c <= ZERO + 9) c = b[++p]!;
  let usual = p === first + 1 || (p > first && b[first] !== ZERO);
  if (c === DOT) {
    const point = p;
    c = b[++p]!;
    while (c >= ZERO && c <= ZERO + 9) c = b[++p]!;
    usual = usual && p > point + 1;
  }
  scan.stop = usual && (c === COMMA || c === CLOSE) ? p : -1;
}

/** Skips a word or a time that isn't wanted. */
function skipWord(b: Buffer, start: number): void {
  let p = start;
  let c = b[p]!;
  while (c !== QUOTE && c !== BACKSLASH && c >= 0x20) c = b[++p]!;
  scan.stop = c === QUOTE ? p + 1 : -1;
}

/** Source that reads one field at `p`, or returns false to leave the record to `JSON.parse`. */
function fieldSource(name: TripField, wanted: boolean): string {
  const { type } = TRIP_FIELDS[name];
  const quoted = type === 'string' || type === 'time';
  const key = `,"${name}":${quoted ? '"' : ''}`;
  const column = type === 'string' ? `c.words.${name}` : `c.numbers.${name}`;
  const value = {
    string: `scanWord(b, p, c.dictionaries.${name})`,
    time: 'scanTime(b, v, p)',
    number: 'scanNumber(b, v, p)',
    integer: 'scanNumber(b, v, p)',
  }[type];
  const read = wanted ? `${column}[row] = ${value};` : quoted ? 'skipWord(b, p);' : 'skipNumber(b, p);';
  const missing = wanted ? `${column}[row] = ${type === 'string' ? -1 : 'NaN'};` : '';
  return `
    if (p + ${key.length} <= close && ${matchSource(key)}) {
      p += ${key.length};
      ${type === 'time' ? 'if (p + 25 > end) return false;' : ''}
      ${read}
      if (scan.stop < 0) return false;
      p = scan.stop;
    } else { ${name === 'dropoff_datetime' ? 'return false;' : missing} }`;
}

type DecodeUsual = (
  b: Buffer,
  v: DataView,
  start: number,
  end: number,
  row: number,
  c: TripColumns,
) => boolean;

/** Compiles the reader of a record in the encoder's form; it returns false to leave the record to `JSON.parse`. */
function usualDecoder(fields: ReadonlySet<TripField>): DecodeUsual {
  const source = `return function decodeUsual(b, v, start, end, row, c) {
    const close = b[end - 1] === ${NEWLINE} ? end - 2 : end - 1;
    let p = start;
    if (close - p < ${HEAD.length} || b[close] !== ${CLOSE} || !(${matchSource(HEAD)})) return false;
    p += ${HEAD.length};
    ${TRIP_FIELD_NAMES.map((name) => fieldSource(name, fields.has(name))).join('')}
    const id = c.numbers.trip_id[row];
    if (p !== close || id < 0 || id % 1 > 0 || id > Number.MAX_SAFE_INTEGER) return false;
    c.kind[row] = ${KIND.trip};
    return true;
  }`;
  const tools = { scan, scanWord, scanTime, scanNumber, skipNumber, skipWord };
  return new Function('tools', `const { ${Object.keys(tools)} } = tools;\n${source}`)(tools);
}

/** Decodes a batch into columns: row i is record i. False if a record holds several (D4). */
export type DecodeBatch = (batch: RecordBytes, columns: TripColumns) => boolean;

/**
 * Returns a decoder that reads `fields` (always with `trip_id` and `dropoff_datetime`) and skips the others, whose
 * columns keep old values. The decoder never throws on bad input (D3).
 */
export function decoderOf(fields: Iterable<TripField>): DecodeBatch {
  const wanted = new Set<TripField>([...fields, 'trip_id', 'dropoff_datetime']);
  const decodeUsual = usualDecoder(wanted);
  const decodeRows = ({ data, ends }: RecordBytes, from: number, to: number, columns: TripColumns) => {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    let start = from === 0 ? 0 : ends[from - 1]!;
    for (let row = from; row < to; row++) {
      const end = ends[row]!;
      if (!decodeUsual(data, view, start, end, row, columns)) {
        const why = readJson(data.toString('utf8', start, end), row, columns, wanted);
        if (why === NOT_JSON && recordsIn(data, start, end).length > 2) return false;
        if (why !== undefined) markDead(row, why, columns);
      }
      start = end;
    }
    return true;
  };
  return (batch, columns) => {
    columns.reset(batch.count);
    let row = 0;
    for (const { row: first, trips, from, count } of batch.packed ?? []) {
      if (!decodeRows(batch, row, first, columns)) return false;
      trips.unpack(from, count, columns, first, wanted);
      columns.kind.fill(KIND.trip, first, first + count);
      row = first + count;
    }
    return decodeRows(batch, row, batch.count, columns);
  };
}

/** Decodes the trips of a batch that are in the encoder's form, with all fields; marks the other rows as dead. */
export function usualTripDecoder(): (batch: RecordBytes, columns: TripColumns) => void {
  const decodeUsual = usualDecoder(new Set(TRIP_FIELD_NAMES));
  return ({ count, data, ends }, columns) => {
    columns.reset(count);
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    for (let row = 0, start = 0; row < count; row++) {
      const end = ends[row]!;
      if (!decodeUsual(data, view, start, end, row, columns)) columns.kind[row] = KIND.dead;
      start = end;
    }
  };
}

function markDead(row: number, why: string, columns: TripColumns): void {
  columns.kind[row] = KIND.dead;
  columns.dead.push({ row, why });
}

const NOT_JSON = 'not JSON';

/** Reads one record with `JSON.parse`; returns the reason if it can't be used. */
function readJson(
  text: string,
  row: number,
  columns: TripColumns,
  wanted: ReadonlySet<TripField>,
): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return NOT_JSON;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'not a JSON object';
  const record = value as Record<string, unknown>;
  if (record['type'] === 'watermark') {
    const time = timeOf(record['watermark']);
    if (Number.isNaN(time)) return 'watermark is not a time';
    columns.kind[row] = KIND.watermark;
    columns.watermarkRows.push(row);
    columns.watermarks.push(time);
    return undefined;
  }
  if (record['type'] !== 'trip') return 'type is neither trip nor watermark';
  for (const name of wanted) {
    const why = readField(name, record[name], row, columns);
    if (why !== undefined) return why;
  }
  if (Number.isNaN(columns.numbers.dropoff_datetime[row])) return 'no dropoff_datetime';
  columns.kind[row] = KIND.trip;
  return undefined;
}

function readField(name: TripField, value: unknown, row: number, columns: TripColumns): string | undefined {
  const missing = value === undefined || value === null;
  const { type } = TRIP_FIELDS[name];
  if (type === 'string') return readWord(name as StringField, missing ? undefined : value, row, columns);
  const column = columns.numbers[name as NumericField];
  if (missing) {
    column[row] = Number.NaN;
    return undefined;
  }
  if (type === 'time') {
    const time = timeOf(value);
    if (Number.isNaN(time)) return `${name} is not a time`;
    column[row] = time;
    return undefined;
  }
  if (typeof value !== 'number' || !Number.isFinite(value)) return `${name} is not a number`;
  if (name === 'trip_id' && !(Number.isSafeInteger(value) && value >= 0))
    return 'trip_id is not a whole number from 0 to 9007199254740991';
  column[row] = value;
  return undefined;
}

function readWord(name: StringField, value: unknown, row: number, columns: TripColumns): string | undefined {
  const isNumbered = 'numbered' in TRIP_FIELDS[name];
  const word = isNumbered && Number.isFinite(value) ? String(value) : value;
  if (word !== undefined && typeof word !== 'string') return `${name} is not a string`;
  columns.words[name][row] = word === undefined ? -1 : columns.dictionaries[name].code(word);
  return undefined;
}

function timeOf(value: unknown): number {
  return typeof value === 'string' ? parseTime(value) : Number.NaN;
}
