/**
 * Records in bytes → columns. The hottest code of the project.
 *
 * Invariants:
 *  D1 the fast path accepts only what taxiflow's own encoder writes, and reads it as `JSON.parse` would;
 *  D2 anything else (other key order, extra keys, escapes, exponents) goes through `JSON.parse`;
 *  D3 a record that is neither trip nor watermark is marked dead with a reason, never dropped.
 */
import { type Dictionary, KIND, type TripColumns } from './columns.ts';
import { type NumericField, TRIP_FIELD_NAMES, TRIP_FIELDS, type TripField } from './trip.ts';

/** Records in one piece of memory; record i ends (exclusive) at `ends[i]` and begins where i − 1 ends. */
export interface RecordBytes {
  readonly count: number;
  readonly data: Buffer;
  readonly ends: Uint32Array;
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

/** A test for literal bytes at `p` of the view `v`, unrolled to four bytes a comparison. */
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

/** Where the last scan stopped; −1 when it met something only `JSON.parse` should read. */
const scan = { stop: 0 };

/**
 * The number at `p`, correctly rounded. Up to 15 digits one division is exact (both operands are); up to 17,
 * the quotient is corrected by its exact remainder; beyond, the library reads it.
 */
function scanNumber(b: Buffer, start: number): number {
  let p = start;
  let c = b[p]!;
  const negative = c === MINUS;
  if (negative) c = b[++p]!;
  const first = p;
  let head = 0;
  let digits = 0;
  let tail = 0;
  let tailDigits = 0;
  let dot = -1;
  for (;;) {
    const d = c - ZERO;
    if (d >= 0 && d <= 9) {
      if (digits < 12) head = head * 10 + d;
      else {
        tail = tail * 10 + d;
        tailDigits++;
      }
      digits++;
    } else if (c === DOT && dot < 0) dot = p;
    else break;
    c = b[++p]!;
  }
  const leadingZero = b[first] === ZERO && dot !== first + 1 && p !== first + 1;
  if ((c !== COMMA && c !== CLOSE) || digits === 0 || leadingZero || dot === first || dot === p - 1) {
    scan.stop = -1;
    return Number.NaN;
  }
  scan.stop = p;
  const scale = dot < 0 ? 0 : p - dot - 1;
  if (digits > 17 || scale > 15) return Number(b.toString('latin1', start, p));
  const shifted = head * POWERS_OF_TEN[tailDigits]!;
  const mantissa = shifted + tail;
  let value = mantissa / POWERS_OF_TEN[scale]!;
  if (digits > 15) value += remainder(value, POWERS_OF_TEN[scale]!, shifted, tail) / POWERS_OF_TEN[scale]!;
  return negative ? -value : value;
}

const SPLITTER = 134217729;

/** (shifted + tail) − quotient × divisor, exactly: Dekker's product carries its own rounding error. */
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

let day0 = 0;
let day1 = 0;
let day2 = 0;
let dayStart = Number.NaN;

/** Epoch milliseconds of `YYYY-MM-DDTHH:MM:SS.mmmZ"` at `p`; the day is remembered, trips share it. */
function scanTime(b: Buffer, v: DataView, p: number): number {
  const w0 = v.getInt32(p, true);
  const w1 = v.getInt32(p + 4, true);
  const w2 = v.getInt16(p + 8, true);
  if (w0 !== day0 || w1 !== day1 || w2 !== day2) {
    dayStart = Date.parse(`${b.toString('latin1', p, p + 10)}T00:00:00.000Z`);
    day0 = w0;
    day1 = w1;
    day2 = w2;
  }
  const h1 = b[p + 11]! - ZERO;
  const h0 = b[p + 12]! - ZERO;
  const m1 = b[p + 14]! - ZERO;
  const m0 = b[p + 15]! - ZERO;
  const s1 = b[p + 17]! - ZERO;
  const s0 = b[p + 18]! - ZERO;
  const f2 = b[p + 20]! - ZERO;
  const f1 = b[p + 21]! - ZERO;
  const f0 = b[p + 22]! - ZERO;
  const hour = h1 * 10 + h0;
  const range =
    h1 | (9 - h0) | h0 | (23 - hour) | m1 | (5 - m1) | m0 | (9 - m0) | s1 | (5 - s1) | s0 | (9 - s0);
  const fraction = f2 | (9 - f2) | f1 | (9 - f1) | f0 | (9 - f0);
  const T = 0x54;
  const COLON = 0x3a;
  const Z = 0x5a;
  const shape =
    (b[p + 10]! ^ T) |
    (b[p + 13]! ^ COLON) |
    (b[p + 16]! ^ COLON) |
    (b[p + 19]! ^ DOT) |
    (b[p + 23]! ^ Z) |
    (b[p + 24]! ^ QUOTE);
  scan.stop = (range | fraction) < 0 || shape !== 0 || Number.isNaN(dayStart) ? -1 : p + 25;
  return dayStart + (hour * 3600 + (m1 * 10 + m0) * 60 + s1 * 10 + s0) * 1000 + f2 * 100 + f1 * 10 + f0;
}

/** The code of the word that begins at `start`; words that come again are found without making a string. */
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

/** Source that reads one field at `p`, or gives the record up to `JSON.parse` by returning false. */
function fieldSource(name: TripField): string {
  const type = TRIP_FIELDS[name];
  const quoted = type === 'string' || type === 'time';
  const key = `,"${name}":${quoted ? '"' : ''}`;
  const value = {
    string: `scanWord(b, p, c.${name === 'replay' ? 'replays' : 'vendors'})`,
    time: 'scanTime(b, v, p)',
    number: 'scanNumber(b, p)',
    integer: 'scanNumber(b, p)',
  }[type];
  const column = type === 'string' ? `c.${name}` : `c.numbers.${name}`;
  const room = type === 'time' ? 25 : 1;
  return `
    if (p + ${key.length} <= close && ${matchSource(key)}) {
      p += ${key.length};
      if (p + ${room} > end) return false;
      ${column}[row] = ${value};
      if (scan.stop < 0) return false;
      p = scan.stop;
    } else ${name === 'dropoff_datetime' ? 'return false' : `${column}[row] = ${type === 'string' ? -1 : 'NaN'}`};`;
}

type DecodeUsual = (
  b: Buffer,
  v: DataView,
  start: number,
  end: number,
  row: number,
  c: TripColumns,
) => boolean;

/** One record in the encoder's own form; false when only `JSON.parse` should read it. */
const decodeUsual = new Function(
  'scan',
  'scanWord',
  'scanTime',
  'scanNumber',
  `return function decodeUsual(b, v, start, end, row, c) {
    const close = b[end - 1] === ${NEWLINE} ? end - 2 : end - 1;
    let p = start;
    if (close - p < ${HEAD.length} || b[close] !== ${CLOSE} || !(${matchSource(HEAD)})) return false;
    p += ${HEAD.length};
    ${TRIP_FIELD_NAMES.map(fieldSource).join('')}
    if (p !== close || c.numbers.trip_id[row] % 1 > 0 || c.numbers.trip_id[row] > Number.MAX_SAFE_INTEGER) return false;
    c.kind[row] = ${KIND.trip};
    return true;
  }`,
)(scan, scanWord, scanTime, scanNumber) as DecodeUsual;

/** Decodes a batch into `columns` (row i is record i). Never throws on bad input: see D3. */
export function decodeBatch(batch: RecordBytes, columns: TripColumns): void {
  const { count, data, ends } = batch;
  columns.reset(count);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  let start = 0;
  for (let row = 0; row < count; row++) {
    const end = ends[row]!;
    if (!decodeUsual(data, view, start, end, row, columns)) {
      readUnusual(data.toString('utf8', start, end), row, columns);
    }
    start = end;
  }
}

function readUnusual(text: string, row: number, columns: TripColumns): void {
  const why = readJson(text, row, columns);
  if (why === undefined) return;
  columns.kind[row] = KIND.dead;
  columns.dead.push({ row, why });
}

/** Reads one record the slow way; the reason when it can't be used. */
function readJson(text: string, row: number, columns: TripColumns): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'not JSON';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'not a JSON object';
  const record = value as Record<string, unknown>;
  if (record['type'] === 'watermark') {
    const time = parseTime(record['watermark']);
    if (Number.isNaN(time)) return 'watermark is not a time';
    columns.kind[row] = KIND.watermark;
    columns.watermarkRows.push(row);
    columns.watermarks.push(time);
    return undefined;
  }
  if (record['type'] !== 'trip') return 'type is neither trip nor watermark';
  for (const name of TRIP_FIELD_NAMES) {
    const why = readField(name, record[name], row, columns);
    if (why !== undefined) return why;
  }
  if (Number.isNaN(columns.numbers.dropoff_datetime[row])) return 'no dropoff_datetime';
  columns.kind[row] = KIND.trip;
  return undefined;
}

function readField(name: TripField, value: unknown, row: number, columns: TripColumns): string | undefined {
  const missing = value === undefined || value === null;
  if (name === 'replay' || name === 'vendor_id') {
    const dictionary = name === 'replay' ? columns.replays : columns.vendors;
    if (!missing && typeof value !== 'string') return `${name} is not a string`;
    columns[name][row] = missing ? -1 : dictionary.code(value as string);
    return undefined;
  }
  const column = columns.numbers[name as NumericField];
  if (missing) {
    column[row] = Number.NaN;
    return undefined;
  }
  if (TRIP_FIELDS[name] === 'time') {
    const time = parseTime(value);
    if (Number.isNaN(time)) return `${name} is not a time`;
    column[row] = time;
    return undefined;
  }
  if (typeof value !== 'number' || !Number.isFinite(value)) return `${name} is not a number`;
  if (name === 'trip_id' && !(Number.isSafeInteger(value) && value >= 0))
    return 'trip_id is not a whole number';
  column[row] = value;
  return undefined;
}

const ISO_TIME = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?$/;

/** Epoch milliseconds of an ISO 8601 time; without a zone it is taken as it stands (UTC). NaN if it is none. */
export function parseTime(value: unknown): number {
  if (typeof value !== 'string') return Number.NaN;
  const match = ISO_TIME.exec(value);
  if (!match) return Number.NaN;
  return Date.parse(match[3] ? value : `${value.replace(' ', 'T')}Z`);
}
