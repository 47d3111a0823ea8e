/** What records mean by `JSON.parse` alone, to compare with the decoder. */
import assert from 'node:assert/strict';
import { KIND, TripColumns } from '../../src/events/columns.ts';
import type { DecodeBatch } from '../../src/events/decode.ts';
import { TRIP_FIELD_NAMES, TRIP_FIELDS, type TripField } from '../../src/events/trip.ts';
import type { RecordBatch } from '../../src/streams/ports.ts';
import { unpacked } from '../../src/streams/unpack.ts';
import { naiveTime } from './time-model.ts';

/** The meaning of a record by D1–D3. */
export type Meaning =
  | { readonly kind: 'dead' }
  | { readonly kind: 'watermark'; readonly ms: number }
  | { readonly kind: 'trip'; readonly values: Map<TripField, number | string | undefined> };

/** The value of one field; null when it is of a wrong type. */
function fieldValue(name: TripField, value: unknown): number | string | undefined | null {
  if (value === undefined || value === null) return undefined;
  const { type } = TRIP_FIELDS[name];
  if (name === 'vendor_id' && typeof value === 'number' && Number.isFinite(value)) return `${value}`;
  if (type === 'string') return typeof value === 'string' ? value : null;
  if (type === 'time') return Number.isNaN(naiveTime(value)) ? null : naiveTime(value);
  if (typeof value !== 'number' || !Number.isFinite(value)) return null;
  return name === 'trip_id' && !(Number.isSafeInteger(value) && value >= 0) ? null : value;
}

function meaningOf(text: string, wanted: readonly TripField[]): Meaning {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return { kind: 'dead' };
  }
  if (typeof record !== 'object' || record === null || Array.isArray(record)) return { kind: 'dead' };
  if (record['type'] === 'watermark') {
    const ms = naiveTime(record['watermark']);
    return Number.isNaN(ms) ? { kind: 'dead' } : { kind: 'watermark', ms };
  }
  if (record['type'] !== 'trip') return { kind: 'dead' };
  const values = new Map<TripField, number | string | undefined>();
  for (const name of wanted) {
    const value = fieldValue(name, record[name]);
    if (value === null) return { kind: 'dead' };
    values.set(name, value);
  }
  return values.get('dropoff_datetime') === undefined ? { kind: 'dead' } : { kind: 'trip', values };
}

export function batchOf(records: readonly (string | Buffer)[]): RecordBatch {
  const pieces = records.map((record) => Buffer.from(record as string));
  const ends = new Uint32Array(pieces.length);
  let end = 0;
  for (const [i, piece] of pieces.entries()) {
    end += piece.length;
    ends[i] = end;
  }
  return {
    count: pieces.length,
    data: Buffer.concat(pieces),
    ends,
    arrivals: new Float64Array(pieces.length),
    next: { at: 'after', sequence: String(pieces.length - 1) },
    atTip: false,
    ended: false,
    lost: undefined,
    sequenceOf: String,
  };
}

/** The columns in the form of the model. */
function meaningsIn(columns: TripColumns, wanted: readonly TripField[]): Meaning[] {
  return Array.from({ length: columns.count }, (_, row): Meaning => {
    const kind = columns.kind[row];
    if (kind === KIND.watermark) {
      return { kind: 'watermark', ms: columns.watermarks[columns.watermarkRows.indexOf(row)]! };
    }
    const dead = columns.dead.filter((entry) => entry.row === row);
    assert.equal(dead.length, kind === KIND.dead ? 1 : 0, `row ${row} is dead once, with its reason, or not`);
    if (kind === KIND.dead) {
      assert.notEqual(dead[0]!.why, '', 'a dead record has a reason (D3)');
      return { kind: 'dead' };
    }
    const values = new Map<TripField, number | string | undefined>();
    for (const name of wanted) {
      if (name === 'replay' || name === 'vendor_id') {
        const code = columns.words[name][row]!;
        values.set(name, code === -1 ? undefined : columns.dictionaries[name].words[code]);
      } else {
        const number = columns.numbers[name as keyof TripColumns['numbers']][row]!;
        values.set(name, Number.isNaN(number) ? undefined : number);
      }
    }
    return { kind: 'trip', values };
  });
}

/** The texts of the records in the data of one record of a stream (D4). */
export function textsIn(data: string): string[] {
  if (isJson(data)) return [data];
  const lines = data.split('\n').filter((line) => /[^ \t\r]/.test(line));
  return lines.length === 0 ? [data] : lines.flatMap((line) => objectsIn(line) ?? [line]);
}

/** The objects of a line that holds only objects. */
function objectsIn(line: string): string[] | undefined {
  if (isJson(line)) return undefined;
  const found: string[] = [];
  let rest = line.replace(/^[ \t\r]+/, '');
  while (rest !== '') {
    const length = firstObject(rest);
    if (length === 0) return undefined;
    found.push(rest.slice(0, length));
    rest = rest.slice(length).replace(/^[ \t\r]+/, '');
  }
  return found;
}

/** Length of the object at the start of a text, the shortest prefix that is JSON; 0 if there is none. */
function firstObject(text: string): number {
  if (!text.startsWith('{')) return 0;
  for (let at = text.indexOf('}'); at >= 0; at = text.indexOf('}', at + 1))
    if (isJson(text.slice(0, at + 1))) return at + 1;
  return 0;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** What each record in the data of one record of a stream means. */
export function meaningsOf(data: string, wanted: readonly TripField[] = TRIP_FIELD_NAMES): Meaning[] {
  return textsIn(data).map((text) => meaningOf(text, wanted));
}

/** What the decoder makes of a batch, with the position of each record. */
export function decodedBy(
  decode: DecodeBatch,
  batch: RecordBatch,
  wanted: readonly TripField[] = TRIP_FIELD_NAMES,
  columns: TripColumns = new TripColumns(),
): { meaning: Meaning; position: string }[] {
  const found = (part: RecordBatch) =>
    meaningsIn(columns, wanted).map((meaning, row) => ({ meaning, position: part.sequenceOf(row) }));
  if (decode(batch, columns)) return found(batch);
  return [...unpacked(batch)].flatMap((part) => {
    assert.ok(decode(part, columns), 'what was taken apart holds one record a row');
    return found(part);
  });
}
