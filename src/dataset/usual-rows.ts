/**
 * Reads rows as the TLC writes them from bytes: their values never become strings.
 *
 *  U1 A row that is taken here becomes the trip that `TripEncoder` makes of it.
 *  U2 Everything else is left to the exact way (`rows.ts`, `trips.ts`): quotes, other forms of times and numbers, rows that
 *     are rejected, blank lines, headers.
 */
import { Dictionary } from '../events/columns.ts';
import { scan, scanFraction, scanNumber } from '../events/scan.ts';
import { clockAt, dayAt } from '../events/time-bytes.ts';
import { type ExtraField, TRIP_FIELDS } from '../events/trip.ts';
import type { LocalTimes } from './local-times.ts';
import type { Schema } from './schema.ts';
import { PLACE, type SourceTrips, TRIP_WIDTH } from './trips.ts';
import { ZONE_CENTROIDS } from './zone-centroids.ts';

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

/** Trips that are handed on together. */
const BATCH_TRIPS = 4_096;
/** Bytes of vendors to remember from one batch to the next. */
const MOST_VENDOR_BYTES = 1 << 16;
/** Empty fields that a row may have beyond its columns. */
const MOST_EXTRA = 8;
/** Bytes of a row, and of a vendor; longer ones are unusual. */
const LONGEST_ROW = 1 << 20;
const LONGEST_VENDOR = 40;
const PLAIN_TIME = 19;

/** Writes the values of a row's trip from `o` on; false for a row that is unusual. */
type EncodeRow = (
  b: Buffer,
  v: DataView,
  /** Field i is the bytes from `starts[i]` up to `starts[i + 1]` − 1. */
  starts: Int32Array,
  out: Float64Array,
  o: number,
  vendors: Dictionary,
) => boolean;

export class UsualRows {
  /** Rows taken so far. */
  rows = 0;
  readonly #onTrips: (trips: SourceTrips) => void;
  readonly #delimiter: number;
  readonly #columns: number;
  readonly #width: number;
  readonly #starts: Int32Array;
  readonly #encode: EncodeRow;
  /** Number of values of a trip. */
  readonly #tripWidth: number;
  readonly #values: Float64Array;
  #vendors = new Dictionary();
  #count = 0;

  private constructor(
    schema: Schema,
    delimiter: string,
    onTrips: (trips: SourceTrips) => void,
    local: LocalTimes | undefined,
    extras: readonly ExtraField[],
  ) {
    this.#tripWidth = TRIP_WIDTH + extras.length;
    this.#values = new Float64Array(BATCH_TRIPS * this.#tripWidth);
    this.#onTrips = onTrips;
    this.#delimiter = delimiter.charCodeAt(0);
    this.#columns = schema.names.length;
    this.#width = schema.width;
    this.#starts = new Int32Array(schema.names.length + MOST_EXTRA + 2);
    this.#encode = compile(schema, local, extras);
  }

  /** Undefined for a schema whose rows are not usual ones: with coordinates and zones of the same end. */
  static of(
    schema: Schema,
    delimiter: string,
    onTrips: (trips: SourceTrips) => void,
    local?: LocalTimes,
    extras: readonly ExtraField[] = [],
  ): UsualRows | undefined {
    const hasBoth = ENDS.some((end) => coordinatesOf(schema, end) && schema[`${end}_zone`] >= 0);
    return hasBoth ? undefined : new UsualRows(schema, delimiter, onTrips, local, extras);
  }

  /** Takes rows from `from` up to `to`, which follows a line end; returns where the first unusual one begins, or `to`. */
  take(b: Buffer, from: number, to: number): number {
    const view = new DataView(b.buffer, b.byteOffset, b.length);
    const values = this.#values;
    let at = from;
    while (at < to) {
      const next = this.#scan(b, at, to);
      if (next < 0 || next - at > LONGEST_ROW) break;
      if (this.#count === BATCH_TRIPS) this.#handOn();
      if (!this.#encode(b, view, this.#starts, values, this.#count * this.#tripWidth, this.#vendors)) break;
      this.#count++;
      at = next;
    }
    this.#handOn();
    return at;
  }

  #handOn(): void {
    const count = this.#count;
    if (count === 0) return;
    this.#count = 0;
    this.rows += count;
    this.#onTrips({ count, values: this.#values, vendors: this.#vendors.words });
    // A list of vendors stands for the codes that were handed on with it, so it is never changed but by adding.
    if (this.#vendors.bytes > MOST_VENDOR_BYTES) this.#vendors = new Dictionary();
  }

  /** Finds the fields of a line; returns where the next line begins, or −1 for a line that is not a whole, plain row. */
  #scan(b: Buffer, from: number, to: number): number {
    const starts = this.#starts;
    const delimiter = this.#delimiter;
    const last = starts.length - 2;
    let field = 0;
    let at = from;
    starts[0] = from;
    for (; ; at++) {
      const c = b[at]!;
      if (c === delimiter) {
        if (++field > last) return -1;
        starts[field] = at + 1;
      } else if (c < 0x23) {
        if (c === LF || (c === CR && b[at + 1] === LF)) break;
        if (c === CR || c === QUOTE) return -1;
      }
      if (at >= to) return -1;
    }
    starts[field + 1] = at + 1;
    if (field + 1 < this.#width) return -1;
    for (let extra = this.#columns; extra <= field; extra++)
      if (starts[extra + 1]! - 1 > starts[extra]!) return -1;
    return b[at] === CR ? at + 2 : at + 1;
  }
}

const ENDS = ['pickup', 'dropoff'] as const;
type End = (typeof ENDS)[number];

function coordinatesOf(schema: Schema, end: End): boolean {
  return schema[`${end}_lat`] >= 0 && schema[`${end}_lon`] >= 0;
}

/** Epoch ms of `YYYY-MM-DD HH:MM:SS` at `p`; NaN for anything else. */
function plainTime(b: Buffer, v: DataView, p: number): number {
  const clock = clockAt(b, p + 11);
  return clock < 0 || b[p + 10] !== SPACE ? Number.NaN : dayAt(b, v, p) + clock;
}

/** The number that is all of a field, also one such as `.50`; `scan.stop` is elsewhere than `to` for anything else. */
function numberIn(b: Buffer, v: DataView, from: number): number {
  return b[from] === DOT ? scanFraction(b, v, from, from + 1, 0, 0, false) : scanNumber(b, v, from);
}

/** The code of a word of letters, digits and `_` that can't mean "no value"; −1 for anything else. */
function wordIn(b: Buffer, from: number, to: number, vendors: Dictionary): number {
  // null, NULL and None begin like this.
  if (to - from > LONGEST_VENDOR || (b[from]! | 0x20) === 0x6e) return -1;
  for (let p = from; p < to; p++) {
    const c = b[p]!;
    const lower = c | 0x20;
    if (!((c >= ZERO && c <= NINE) || (lower >= 0x61 && lower <= 0x7a) || c === 0x5f)) return -1;
  }
  return vendors.codeAt(b, from, to);
}

/** The number of a zone, 0 for an empty field, −1 for anything else. */
function zoneAt(b: Buffer, from: number, to: number): number {
  if (to - from > 3 || b[from] === ZERO) return -1;
  let zone = 0;
  for (let p = from; p < to; p++) {
    const digit = b[p]! - ZERO;
    if (digit < 0 || digit > 9) return -1;
    zone = zone * 10 + digit;
  }
  return zone;
}

/** A coordinate of each zone's centroid by the zone's number; NaN for zones without one. */
function centroidsOf(axis: 0 | 1): Float64Array {
  return Float64Array.from({ length: 1_000 }, (_, zone) => ZONE_CENTROIDS.get(zone)?.[axis] ?? Number.NaN);
}

/** Source that reads a number where the row has one. */
function numberSource(column: number, place: number): string {
  if (column < 0) return `out[o + ${place}] = NaN;`;
  return `
    { const p = starts[${column}], e = starts[${column + 1}] - 1;
      if (p === e) out[o + ${place}] = NaN;
      else {
        out[o + ${place}] = numberIn(b, v, p);
        if (scan.stop !== e) return false;
      } }`;
}

/** 1 for `Y`, 0 for `N`, −1 for anything else. */
function flagIn(b: Buffer, from: number, to: number): number {
  if (to - from !== 1) return -1;
  const letter = b[from]! & 0xdf;
  return letter === 0x59 ? 1 : letter === 0x4e ? 0 : -1;
}

/** The number of a licence such as B02510, −1 for anything else. */
function licenceIn(b: Buffer, from: number, to: number): number {
  if (to - from !== 6 || (b[from]! & 0xdf) !== 0x42) return -1;
  let number = 0;
  for (let p = from + 1; p < to; p++) {
    const digit = b[p]! - ZERO;
    if (digit < 0 || digit > 9) return -1;
    number = number * 10 + digit;
  }
  return number;
}

/** How a row has a field that is no plain number. */
const CODED: Readonly<Partial<Record<ExtraField, string>>> = {
  store_and_fwd_flag: 'flagIn',
  dispatching_base: 'licenceIn',
};

function extraSource(field: ExtraField, column: number, place: number): string {
  const coded = CODED[field];
  if (column < 0 || coded === undefined)
    return `${numberSource(column, place)}${column >= 0 && TRIP_FIELDS[field].type === 'integer' ? `if (out[o + ${place}] % 1 !== 0 && out[o + ${place}] === out[o + ${place}]) return false;` : ''}`;
  return `
    { const p = starts[${column}], e = starts[${column + 1}] - 1;
      if (p === e) out[o + ${place}] = NaN;
      else {
        const code = ${coded}(b, p, e);
        if (code < 0) return false;
        out[o + ${place}] = code;
      } }`;
}

function vendorSource(column: number): string {
  if (column < 0) return `out[o + ${PLACE.vendor_id}] = NaN;`;
  return `
    { const p = starts[${column}], e = starts[${column + 1}] - 1;
      if (p === e) out[o + ${PLACE.vendor_id}] = NaN;
      else {
        const vendor = wordIn(b, p, e, vendors);
        if (vendor < 0) return false;
        out[o + ${PLACE.vendor_id}] = vendor;
      } }`;
}

function endSource(schema: Schema, end: End): string {
  const [lat, lon, zone] = [PLACE[`${end}_lat`], PLACE[`${end}_lon`], PLACE[`${end}_zone`]];
  const column = schema[`${end}_zone`];
  const hasPlace = coordinatesOf(schema, end);
  const place = hasPlace
    ? numberSource(schema[`${end}_lat`], lat) + numberSource(schema[`${end}_lon`], lon)
    : '';
  if (column < 0)
    return `${hasPlace ? place : `out[o + ${lat}] = out[o + ${lon}] = NaN;`} out[o + ${zone}] = NaN;`;
  return `
    { const zone = zoneAt(b, starts[${column}], starts[${column + 1}] - 1);
      if (zone < 0) return false;
      out[o + ${lat}] = latitudes[zone];
      out[o + ${lon}] = longitudes[zone];
      out[o + ${zone}] = zone > 0 ? zone : NaN; }`;
}

/** Source that turns local times into instants, last, as it counts those of trips. */
const localSource = `
    if (!local.take(pickup, dropoff)) return false;
    out[o + ${PLACE.pickup_datetime}] = local.pickup;
    out[o + ${PLACE.dropoff_datetime}] = local.dropoff;`;

/** The encoder of a schema's usual rows: what `TripEncoder.encode` does. */
function compile(schema: Schema, local: LocalTimes | undefined, extras: readonly ExtraField[]): EncodeRow {
  const { pickup_datetime: pickup, dropoff_datetime: dropoff } = schema;
  const source = `return function encodeUsual(b, v, starts, out, o, vendors) {
    const p1 = starts[${pickup}], p2 = starts[${dropoff}];
    if (starts[${pickup + 1}] - 1 - p1 !== ${PLAIN_TIME} || starts[${dropoff + 1}] - 1 - p2 !== ${PLAIN_TIME}) return false;
    const pickup = plainTime(b, v, p1), dropoff = plainTime(b, v, p2);
    ${local ? '' : 'if (!(dropoff >= pickup)) return false;'}
    out[o + ${PLACE.pickup_datetime}] = pickup;
    out[o + ${PLACE.dropoff_datetime}] = dropoff;
    ${vendorSource(schema.vendor_id)}
    ${numberSource(schema.passenger_count, PLACE.passenger_count)}
    ${numberSource(schema.trip_distance, PLACE.trip_distance)}
    ${ENDS.map((end) => endSource(schema, end)).join('')}
    ${numberSource(schema.total_amount, PLACE.total_amount)}
    ${extras.map((field, i) => extraSource(field, schema[field], TRIP_WIDTH + i)).join('')}
    ${local ? localSource : ''}
    return true;
  }`;
  const tools = {
    local,
    scan,
    plainTime,
    numberIn,
    wordIn,
    zoneAt,
    flagIn,
    licenceIn,
    latitudes: centroidsOf(0),
    longitudes: centroidsOf(1),
  };
  return new Function('tools', `const { ${Object.keys(tools)} } = tools;\n${source}`)(tools);
}
