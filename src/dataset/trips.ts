/** Turns a row of a TLC file into the body of a trip record. */
import { type DateOrder, formatIso, inFourDigitYears, isPlainTime, parseTime } from '../events/times.ts';
import type { Schema } from './schema.ts';
import { ZONE_CENTROIDS } from './zone-centroids.ts';

/** Why a row is not a trip. */
export type RejectReason =
  | 'short-row'
  | 'unreadable-time'
  | 'dropoff-before-pickup'
  | 'out-of-order'
  | 'not-csv'
  | 'line-too-long';

/**
 * A trip for the stream. `body` is the JSON of its record without the head, which the replay adds:
 * `,"vendor_id":…,"pickup_datetime":…}\n`. It is ASCII only, so its length in characters is its length in bytes.
 */
export interface EncodedTrip {
  /** Epoch ms. */
  readonly dropoff: number;
  readonly body: string;
}

/** Trips as `EncodedTrip` has them, in bytes: the body of trip i ends at `ends[i]` of `data`, where the next one begins. */
export interface EncodedTrips {
  readonly count: number;
  /** Epoch ms. */
  readonly dropoffs: Float64Array;
  readonly ends: Uint32Array;
  readonly data: Buffer;
}

/** A value as stored in the file: text, a number, a time as epoch ms, or null. */
export type Cell = string | number | null;

/** Texts that stand for a missing value. */
const NULLS = new Set(['', '-', '\\N', 'null', 'NULL', 'None']);
/** At most 300 digits, so the number is finite. */
const JSON_NUMBER = /^-?(?:0|[1-9]\d{0,299})(?:\.\d+)?$/;
const DECIMAL = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i;

/** Most characters of a text in a record. */
const LONGEST_TEXT = 1_000;
const MINUS = 0x2d;
const ONE = 0x31;
const NINE = 0x39;

/** Most characters of a cell in an explanation. */
const LONGEST_CELL = 100;

/** A value that was left out of its trip because it can't be read. */
export interface LeftOut {
  readonly column: string;
  readonly value: Cell;
}

/** The columns of one end of a trip, by index; −1 if missing. */
interface End {
  readonly lat: number;
  readonly lon: number;
  readonly zone: number;
  readonly keys: readonly [lat: string, lon: string, zone: string];
  /** Centroids of the zones seen so far, as JSON fields of the record. */
  readonly centroids: Map<Cell, string>;
}

/** Turns rows of one schema into trips. */
export class TripEncoder {
  readonly schema: Schema;
  readonly #pickup: End;
  readonly #dropoff: End;
  readonly #order: DateOrder;
  /** The number of values left out so far, and the first of them. */
  leftOut = 0;
  firstLeftOut: LeftOut | undefined;

  /** `order` is the order of day and month in dates such as 3/4/2016. */
  constructor(schema: Schema, order: DateOrder = 'mdy') {
    this.schema = schema;
    this.#order = order;
    this.#pickup = endOf('pickup', schema);
    this.#dropoff = endOf('dropoff', schema);
  }

  encode(row: readonly Cell[]): EncodedTrip | RejectReason {
    const { schema } = this;
    if (row.length < schema.width) return 'short-row';
    const pickup = this.timeOf(row[schema.pickup_datetime]!);
    const dropoff = this.timeOf(row[schema.dropoff_datetime]!);
    // NaN compares false, so this one test finds unreadable times too.
    if (!(dropoff >= pickup)) {
      return Number.isNaN(pickup) || Number.isNaN(dropoff) ? 'unreadable-time' : 'dropoff-before-pickup';
    }
    const vendor = this.#vendor(row);
    const body =
      (vendor === '' ? '' : `,"vendor_id":${asciiJson(vendor)}`) +
      `,"pickup_datetime":"${isoTime(row[schema.pickup_datetime]!, pickup)}","dropoff_datetime":"${isoTime(row[schema.dropoff_datetime]!, dropoff)}"` +
      this.#number(',"passenger_count":', row, schema.passenger_count) +
      this.#number(',"trip_distance":', row, schema.trip_distance) +
      this.#place(row, this.#pickup) +
      this.#place(row, this.#dropoff) +
      this.#zone(row, this.#pickup) +
      this.#zone(row, this.#dropoff) +
      this.#number(',"total_amount":', row, schema.total_amount) +
      '}\n';
    return { dropoff, body };
  }

  /** Epoch ms of a cell; NaN if it is not a valid time. Numbers are epoch ms already. */
  timeOf(cell: Cell): number {
    if (typeof cell === 'string') return parseTime(cell, this.#order);
    return cell === null ? Number.NaN : inFourDigitYears(cell);
  }

  /** Why a row is rejected, in words. */
  explain(row: readonly Cell[], reason: RejectReason): string {
    const { pickup_datetime: pickup, dropoff_datetime: dropoff, width } = this.schema;
    if (reason === 'short-row') return `${row.length} of ${width} fields`;
    if (reason === 'unreadable-time') {
      const unreadable = [pickup, dropoff].filter((column) => Number.isNaN(this.timeOf(row[column]!)));
      return unreadable.map((column) => `${this.#named(row, column)} is not a valid time`).join(', ');
    }
    if (reason === 'dropoff-before-pickup')
      return `${this.#named(row, dropoff)} is before ${this.#named(row, pickup)}`;
    return `${this.#named(row, dropoff)} is before that of an earlier row`;
  }

  #named(row: readonly Cell[], column: number): string {
    return `${this.schema.names[column]!.trim()} ${JSON.stringify(this.readable(row, column)).slice(0, LONGEST_CELL)}`;
  }

  /** A cell in readable form: times as ISO 8601. */
  readable(row: readonly Cell[], column: number): Cell {
    const value = row[column] ?? null;
    const isTime = column === this.schema.pickup_datetime || column === this.schema.dropoff_datetime;
    return isTime && typeof value === 'number' && !Number.isNaN(this.timeOf(value))
      ? isoTime(value, value)
      : value;
  }

  #vendor(row: readonly Cell[]): string {
    const vendor = this.schema.vendor_id;
    if (vendor < 0) return '';
    const text = textOf(row[vendor]!).trim();
    if (text.length <= LONGEST_TEXT) return NULLS.has(text) ? '' : text;
    this.#leaveOut(`${text.slice(0, LONGEST_CELL)}…`, vendor);
    return '';
  }

  /** A number, digit by digit as in the file if that is valid JSON. */
  #number(key: string, row: readonly Cell[], column: number): string {
    if (column < 0) return '';
    const raw = row[column]!;
    if (typeof raw !== 'string') {
      if (Number.isFinite(raw)) return key + raw;
      if (raw !== null) this.#leaveOut(raw, column);
      return '';
    }
    if (JSON_NUMBER.test(raw)) return key + raw;
    const text = raw.trim();
    const value = decimal(text);
    if (Number.isFinite(value)) return key + value;
    if (!NULLS.has(text)) this.#leaveOut(raw, column);
    return '';
  }

  /** The coordinates of an end if both are present and not zero, else the centroid of its zone. */
  #place(row: readonly Cell[], { lat, lon, zone, keys, centroids }: End): string {
    let text = '';
    if (lat >= 0 && lon >= 0) {
      text = this.#number(keys[0], row, lat) + this.#number(keys[1], row, lon);
      if (zone < 0 || (isSomewhere(row[lat]!) && isSomewhere(row[lon]!))) return text;
    }
    if (zone < 0) return text;
    const raw = row[zone]!;
    let centroid = centroids.get(raw);
    if (centroid === undefined) {
      const place = ZONE_CENTROIDS.get(zoneNumber(raw));
      centroid = place ? keys[0] + place[0] + keys[1] + place[1] : '';
      // There are few zones, but damaged cells can hold anything.
      if (centroids.size < MOST_CENTROIDS) centroids.set(raw, centroid);
    }
    return centroid === '' ? text : centroid;
  }

  #zone(row: readonly Cell[], { zone, keys }: End): string {
    if (zone < 0) return '';
    const raw = row[zone]!;
    const number = zoneNumber(raw);
    if (!Number.isNaN(number)) return keys[2] + number;
    if (raw !== null && !(typeof raw === 'string' && NULLS.has(raw.trim()))) this.#leaveOut(raw, zone);
    return '';
  }

  #leaveOut(value: Cell, column: number): void {
    this.leftOut++;
    this.firstLeftOut ??= { column: this.schema.names[column]!.trim(), value };
  }
}

const MOST_CENTROIDS = 1_000;

function endOf(end: 'pickup' | 'dropoff', schema: Schema): End {
  const keys = [`,"${end}_lat":`, `,"${end}_lon":`, `,"${end}_zone":`] as const;
  const [lat, lon, zone] = [schema[`${end}_lat`], schema[`${end}_lon`], schema[`${end}_zone`]];
  return { lat, lon, zone, keys, centroids: new Map() };
}

/** Whether a coordinate is present and not zero: files write zero for a missing one. */
function isSomewhere(raw: Cell): boolean {
  if (typeof raw !== 'string') return raw !== null && Number.isFinite(raw) && raw !== 0;
  // Nearly all begin with 4 or −7 and need no parsing.
  const first = raw.charCodeAt(raw.charCodeAt(0) === MINUS ? 1 : 0);
  if (first >= ONE && first <= NINE && JSON_NUMBER.test(raw)) return true;
  const value = decimal(raw.trim());
  return Number.isFinite(value) && value !== 0;
}

/** `Number` alone would accept `0x84` and the empty text. */
function decimal(text: string): number {
  return DECIMAL.test(text) ? Number(text) : Number.NaN;
}

/** Zones may be written as `132.0`. */
function zoneNumber(raw: Cell): number {
  const zone = typeof raw === 'string' ? decimal(raw.trim()) : Number(raw ?? Number.NaN);
  return Number.isSafeInteger(zone) && zone > 0 ? zone : Number.NaN;
}

function textOf(raw: Cell): string {
  return typeof raw === 'string' ? raw : String(raw ?? '');
}

function isoTime(raw: Cell, ms: number): string {
  if (typeof raw === 'string' && isPlainTime(raw)) return `${raw.slice(0, 10)}T${raw.slice(11)}.000Z`;
  return formatIso(ms);
}

function asciiJson(text: string): string {
  if (/^[\w .-]*$/.test(text)) return `"${text}"`;
  return JSON.stringify(text).replace(
    /[^\x20-\x7e]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
