/** A row of a TLC file → the body of a trip record. */
import type { Schema } from './schema.ts';
import { formatIso, parseTlcTime } from './times.ts';
import { ZONE_CENTROIDS } from './zone-centroids.ts';

/** Why a row is no trip. */
export type RejectReason =
  | 'short-row'
  | 'unreadable-time'
  | 'dropoff-before-pickup'
  | 'out-of-order'
  | 'not-csv';

/**
 * A trip on its way to the stream: `body` is its JSON without the head that only the replay knows,
 * `,"vendor_id":…,"pickup_datetime":…}\n`, ASCII only, so that its length in bytes is its length.
 */
export interface EncodedTrip {
  /** Epoch ms. */
  readonly dropoff: number;
  readonly body: string;
}

/** A value as its file has it: text, a number, a time as epoch ms, or null. */
export type Cell = string | number | null;

const NULLS = new Set(['', '-', '\\N', 'null', 'NULL', 'NaN', 'nan', 'None']);
/** Short enough to be finite. */
const JSON_NUMBER = /^-?(?:0|[1-9]\d{0,299})(?:\.\d+)?$/;
const DECIMAL = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i;

/** Characters of a cell in an explanation. */
const LONGEST_CELL = 100;

/** Turns rows of one schema into trips. */
export class TripEncoder {
  readonly #schema: Schema;
  readonly #places = { pickup: new Map<Cell, string>(), dropoff: new Map<Cell, string>() };
  /** Values that are there but are no number, and were left out of their trips. */
  unreadableValues = 0;

  constructor(schema: Schema) {
    this.#schema = schema;
  }

  encode(row: readonly Cell[]): EncodedTrip | RejectReason {
    const schema = this.#schema;
    if (row.length < schema.width) return 'short-row';
    const pickup = timeOf(row[schema.pickup]!);
    const dropoff = timeOf(row[schema.dropoff]!);
    // NaN compares false, so this one test finds all three.
    if (!(dropoff >= pickup)) {
      return Number.isNaN(pickup) || Number.isNaN(dropoff) ? 'unreadable-time' : 'dropoff-before-pickup';
    }
    const vendor = schema.vendor < 0 ? '' : textOf(row[schema.vendor]!).trim();
    const body =
      (vendor === '' ? '' : `,"vendor_id":${asciiJson(vendor)}`) +
      `,"pickup_datetime":"${isoTime(row[schema.pickup]!, pickup)}","dropoff_datetime":"${isoTime(row[schema.dropoff]!, dropoff)}"` +
      this.#number(',"passenger_count":', row, schema.passengers) +
      this.#number(',"trip_distance":', row, schema.distance) +
      (schema.pickupLat < 0
        ? this.#place('pickup', row, schema.pickupZone)
        : this.#number(',"pickup_lat":', row, schema.pickupLat) +
          this.#number(',"pickup_lon":', row, schema.pickupLon)) +
      (schema.dropoffLat < 0
        ? this.#place('dropoff', row, schema.dropoffZone)
        : this.#number(',"dropoff_lat":', row, schema.dropoffLat) +
          this.#number(',"dropoff_lon":', row, schema.dropoffLon)) +
      this.#zone(',"pickup_zone":', row, schema.pickupZone) +
      this.#zone(',"dropoff_zone":', row, schema.dropoffZone) +
      this.#number(',"total_amount":', row, schema.total) +
      '}\n';
    return { dropoff, body };
  }

  /** What it is in a row that makes it no trip, in words. */
  explain(row: readonly Cell[], reason: RejectReason): string {
    const { pickup, dropoff, width } = this.#schema;
    if (reason === 'short-row') return `${row.length} of ${width} fields`;
    if (reason === 'unreadable-time') {
      const unreadable = [pickup, dropoff].filter((column) => Number.isNaN(timeOf(row[column]!)));
      return unreadable.map((column) => `${this.#named(row, column)} is no time`).join(', ');
    }
    if (reason === 'dropoff-before-pickup')
      return `${this.#named(row, dropoff)} is before ${this.#named(row, pickup)}`;
    return `${this.#named(row, dropoff)} is before that of an earlier row`;
  }

  #named(row: readonly Cell[], column: number): string {
    return `${this.#schema.names[column]!.trim()} ${JSON.stringify(this.readable(row, column)).slice(0, LONGEST_CELL)}`;
  }

  /** A cell as people read it: times as ISO 8601. */
  readable(row: readonly Cell[], column: number): Cell {
    const value = row[column] ?? null;
    const isTime = column === this.#schema.pickup || column === this.#schema.dropoff;
    return isTime && typeof value === 'number' && !Number.isNaN(timeOf(value))
      ? isoTime(value, value)
      : value;
  }

  /** A number goes as its file writes it, where JSON can write it so too. */
  #number(key: string, row: readonly Cell[], column: number): string {
    if (column < 0) return '';
    const raw = row[column]!;
    if (typeof raw !== 'string') {
      if (Number.isFinite(raw)) return key + raw;
      if (raw !== null && !Number.isNaN(raw)) this.unreadableValues++;
      return '';
    }
    if (JSON_NUMBER.test(raw)) return key + raw;
    const text = raw.trim();
    const value = decimal(text);
    if (Number.isFinite(value)) return key + value;
    if (!NULLS.has(text)) this.unreadableValues++;
    return '';
  }

  #zone(key: string, row: readonly Cell[], column: number): string {
    if (column < 0) return '';
    const zone = zoneNumber(row[column]!);
    return Number.isNaN(zone) ? '' : key + zone;
  }

  /** The centroid of a zone, for files that have zones in place of coordinates. */
  #place(end: 'pickup' | 'dropoff', row: readonly Cell[], column: number): string {
    if (column < 0) return '';
    const raw = row[column]!;
    let text = this.#places[end].get(raw);
    if (text === undefined) {
      const centroid = ZONE_CENTROIDS.get(zoneNumber(raw));
      text = centroid ? `,"${end}_lat":${centroid[0]},"${end}_lon":${centroid[1]}` : '';
      this.#places[end].set(raw, text);
    }
    return text;
  }
}

/** `Number` alone would take `0x84` and nothing at all too. */
function decimal(text: string): number {
  return DECIMAL.test(text) ? Number(text) : Number.NaN;
}

/** Zones may be written as `132.0`. */
function zoneNumber(raw: Cell): number {
  const zone = typeof raw === 'string' ? decimal(raw.trim()) : Number(raw ?? Number.NaN);
  return Number.isSafeInteger(zone) && zone > 0 ? zone : Number.NaN;
}

/** The years that ISO 8601 writes with four digits, in epoch ms. */
const YEAR_0 = Date.parse('0000-01-01T00:00:00.000Z');
const YEAR_10000 = Date.parse('9999-12-31T23:59:59.999Z') + 1;

function timeOf(raw: Cell): number {
  if (typeof raw === 'string') return parseTlcTime(raw);
  return raw !== null && raw >= YEAR_0 && raw < YEAR_10000 ? raw : Number.NaN;
}

function textOf(raw: Cell): string {
  return typeof raw === 'string' ? raw : String(raw ?? '');
}

function isoTime(raw: Cell, ms: number): string {
  if (typeof raw !== 'string') return formatIso(ms);
  if (raw.length === 19 && raw.charCodeAt(4) === 45) return `${raw.slice(0, 10)}T${raw.slice(11)}.000Z`;
  return new Date(ms).toISOString();
}

function asciiJson(text: string): string {
  if (/^[\w .-]*$/.test(text)) return `"${text}"`;
  return JSON.stringify(text).replace(
    /[^\x20-\x7e]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
