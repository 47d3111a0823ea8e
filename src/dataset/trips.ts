/** A row of a TLC file → the body of a trip record. */
import type { Schema } from './schema.ts';
import { parseTlcTime } from './times.ts';
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

const NULLS = new Set(['', '-', '\\N', 'null', 'NULL', 'NaN', 'nan', 'None']);

/** Turns rows of one schema into trips. */
export class TripEncoder {
  readonly #schema: Schema;
  readonly #numbers = new Map<string, string>();
  /** Values that are there but are no number, and were left out of their trips. */
  unreadableValues = 0;

  constructor(schema: Schema) {
    this.#schema = schema;
  }

  encode(row: readonly string[]): EncodedTrip | RejectReason {
    const schema = this.#schema;
    if (row.length < schema.width) return 'short-row';
    const pickup = parseTlcTime(row[schema.pickup]!);
    const dropoff = parseTlcTime(row[schema.dropoff]!);
    // NaN compares false, so this one test finds all three.
    if (!(dropoff >= pickup)) {
      return Number.isNaN(pickup) || Number.isNaN(dropoff) ? 'unreadable-time' : 'dropoff-before-pickup';
    }
    const vendor = schema.vendor < 0 ? '' : row[schema.vendor]!.trim();
    const pickupZone = this.#zone(row, schema.pickupZone);
    const dropoffZone = this.#zone(row, schema.dropoffZone);
    const body =
      (vendor === '' ? '' : `,"vendor_id":${asciiJson(vendor)}`) +
      `,"pickup_datetime":"${isoTime(row[schema.pickup]!, pickup)}","dropoff_datetime":"${isoTime(row[schema.dropoff]!, dropoff)}"` +
      this.#repeated(',"passenger_count":', row, schema.passengers) +
      this.#repeated(',"trip_distance":', row, schema.distance) +
      this.#place(row, 'pickup', schema.pickupLat, schema.pickupLon, pickupZone) +
      this.#place(row, 'dropoff', schema.dropoffLat, schema.dropoffLon, dropoffZone) +
      (Number.isNaN(pickupZone) ? '' : `,"pickup_zone":${pickupZone}`) +
      (Number.isNaN(dropoffZone) ? '' : `,"dropoff_zone":${dropoffZone}`) +
      this.#repeated(',"total_amount":', row, schema.total) +
      '}\n';
    return { dropoff, body };
  }

  /** A number that few rows have to themselves: its text is remembered. */
  #repeated(key: string, row: readonly string[], column: number): string {
    if (column < 0) return '';
    const raw = row[column]!;
    let text = this.#numbers.get(raw);
    if (text === undefined) {
      const value = this.#number(raw);
      text = Number.isNaN(value) ? '' : String(value);
      if (this.#numbers.size > 20_000) this.#numbers.clear();
      if (text !== '' || NULLS.has(raw.trim())) this.#numbers.set(raw, text);
    }
    return text === '' ? '' : key + text;
  }

  /** Coordinates of the row, or the centroid of its zone where the file has zones instead. */
  #place(row: readonly string[], end: 'pickup' | 'dropoff', lat: number, lon: number, zone: number): string {
    if (lat < 0 || lon < 0) {
      const centroid = ZONE_CENTROIDS.get(zone);
      return centroid ? `,"${end}_lat":${centroid[0]},"${end}_lon":${centroid[1]}` : '';
    }
    const latitude = this.#number(row[lat]!);
    const longitude = this.#number(row[lon]!);
    return (
      (Number.isNaN(latitude) ? '' : `,"${end}_lat":${latitude}`) +
      (Number.isNaN(longitude) ? '' : `,"${end}_lon":${longitude}`)
    );
  }

  #zone(row: readonly string[], column: number): number {
    if (column < 0) return Number.NaN;
    const zone = this.#number(row[column]!);
    return Number.isInteger(zone) ? zone : Number.NaN;
  }

  #number(raw: string): number {
    const value = Number(raw);
    if (value !== 0 && Number.isFinite(value)) return value;
    const text = raw.trim();
    if (text !== '' && value === 0) return 0;
    if (!NULLS.has(text)) this.unreadableValues++;
    return Number.NaN;
  }
}

function isoTime(raw: string, ms: number): string {
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
