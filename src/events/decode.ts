/**
 * Decodes the bytes of records into columns. This is the hottest code of the project.
 *
 * Invariants:
 *  D1 The fast path accepts only the form that taxiflow's own encoder writes, and reads it as `JSON.parse` would.
 *  D2 Anything else (other key order, extra keys, escapes, exponents) goes through `JSON.parse`.
 *  D3 A record that is neither a trip nor a watermark is marked dead with a reason, never dropped.
 *  D4 A record that holds several is never read as one: the caller splits the batch first.
 */
import { type Dictionary, KIND, TripColumns } from './columns.ts';
import { encodeTrip } from './encode.ts';
import { recordsIn } from './lines.ts';
import { scan, scanNumber } from './scan.ts';
import { clockAt, dayAt } from './time-bytes.ts';
import { parseTime } from './times.ts';
import {
  EXTRA_FIELDS,
  type NumericField,
  type StringField,
  TRIP_FIELD_NAMES,
  TRIP_FIELDS,
  type TripField,
} from './trip.ts';

/** Trips as values instead of text. */
export interface Trips {
  /** Copies `count` trips from trip `from` on into the rows of `columns` from `row` on; only the fields asked for. */
  unpack(from: number, count: number, columns: TripColumns, row: number, fields: Iterable<TripField>): void;
}

/** `count` of the trips from trip `from` on, as the records of a batch from `row` on. */
export interface PackedRows {
  readonly row: number;
  readonly trips: Trips;
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
    if (row >= first && row < first + count) return textOf(trips, from + row - first, 1)[0]!;
  return data.toString('utf8', row === 0 ? 0 : ends[row - 1]!, ends[row]!).trimEnd();
}

/** The same records as bytes, with none of them packed. */
export function recordBytes(records: RecordBytes): RecordBytes {
  const { count, packed } = records;
  if (!packed) return records;
  const texts: string[] = [];
  for (const { row: first, trips, from, count: own } of packed) {
    while (texts.length < first) texts.push(recordText(records, texts.length));
    for (const text of textOf(trips, from, own)) texts.push(text);
  }
  while (texts.length < count) texts.push(recordText(records, texts.length));
  const ends = new Uint32Array(count);
  let end = 0;
  for (const [row, text] of texts.entries()) {
    end += Buffer.byteLength(text) + 1;
    ends[row] = end;
  }
  return { count, data: Buffer.from(texts.map((text) => `${text}\n`).join('')), ends };
}

function textOf(trips: Trips, from: number, count: number): string[] {
  const columns = new TripColumns(count);
  trips.unpack(from, count, columns, 0, TRIP_FIELD_NAMES);
  return Array.from({ length: count }, (_, row) => encodeTrip(columns, row));
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const CLOSE = 0x7d;
const NEWLINE = 0x0a;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;

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

/** The code of the word at `start`. */
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
  return dictionary.codeAt(b, start, p);
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
      ${quoted || !wanted ? '' : `if (b[p] !== ${COMMA} && b[p] !== ${CLOSE}) return false;`}
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

/** Nearly all records end with these. */
const USUAL_FIELDS = TRIP_FIELD_NAMES.slice(0, -EXTRA_FIELDS.length);

/** Compiles the reader of a record in the encoder's form; it returns false to leave the record to `JSON.parse`. */
function usualDecoder(fields: ReadonlySet<TripField>): DecodeUsual {
  const source = `return function decodeUsual(b, v, start, end, row, c) {
    const close = b[end - 1] === ${NEWLINE} ? end - 2 : end - 1;
    let p = start;
    if (close - p < ${HEAD.length} || b[close] !== ${CLOSE} || !(${matchSource(HEAD)})) return false;
    p += ${HEAD.length};
    ${USUAL_FIELDS.map((name) => fieldSource(name, fields.has(name))).join('')}
    if (p === close) { ${EXTRA_FIELDS.filter((name) => fields.has(name))
      .map((name) => `c.numbers.${name}[row] = NaN;`)
      .join(' ')} }
    else { ${EXTRA_FIELDS.map((name) => fieldSource(name, fields.has(name))).join('')} }
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

/** Decodes the trips of a batch that are in the encoder's form or packed, with all fields; marks the other rows as dead. */
export function usualTripDecoder(): (batch: RecordBytes, columns: TripColumns) => void {
  const decodeUsual = usualDecoder(new Set(TRIP_FIELD_NAMES));
  return ({ count, data, ends, packed = [] }, columns) => {
    columns.reset(count);
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    for (let row = 0, start = 0; row < count; row++) {
      const end = ends[row]!;
      if (end === start || !decodeUsual(data, view, start, end, row, columns)) columns.kind[row] = KIND.dead;
      start = end;
    }
    for (const { row, trips, from, count } of packed) {
      trips.unpack(from, count, columns, row, TRIP_FIELD_NAMES);
      columns.kind.fill(KIND.trip, row, row + count);
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
