/**
 * Reads rows as the TLC writes them from bytes to bytes: values that are only copied never become strings.
 *
 *  U1 A row that is taken here becomes, byte for byte, the trip that `TripEncoder` makes of it.
 *  U2 Everything else is left to the exact way (`rows.ts`, `trips.ts`): quotes, other forms of times and numbers, rows that
 *     are rejected, blank lines, headers.
 */
import { clockAt, dayAt } from '../events/time-bytes.ts';
import type { Schema } from './schema.ts';
import type { EncodedTrips } from './trips.ts';
import { ZONE_CENTROIDS } from './zone-centroids.ts';

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

/** Trips and bytes that are handed on together. */
const BATCH_TRIPS = 4_096;
const BATCH_BYTES = 1 << 20;
/** Bytes of a trip beside the values of its row: names, centroids. */
const MOST_ADDED = 600;
/** Empty fields that a row may have beyond its columns. */
const MOST_EXTRA = 8;
/** Bytes of a number and of a vendor; longer ones are unusual. */
const LONGEST_NUMBER = 40;
const LONGEST_VENDOR = 40;
/** Digits behind the point of a number without any before it. */
const MOST_FRACTION = 6;
const PLAIN_TIME = 19;

/** Drop-off time of the row that was encoded last, epoch ms. */
const encoded = { dropoff: 0 };

/** Writes a row's trip at `o`; returns where it ends, or −1 for a row that is unusual. */
type EncodeRow = (
  b: Buffer,
  v: DataView,
  /** Field i is the bytes from `starts[i]` up to `starts[i + 1]` − 1. */
  starts: Int32Array,
  out: Buffer,
  w: DataView,
  o: number,
) => number;

export class UsualRows {
  /** Rows taken so far. */
  rows = 0;
  readonly #onTrips: (trips: EncodedTrips) => void;
  readonly #delimiter: number;
  readonly #columns: number;
  readonly #width: number;
  readonly #starts: Int32Array;
  readonly #encode: EncodeRow;
  readonly #dropoffs = new Float64Array(BATCH_TRIPS);
  readonly #ends = new Uint32Array(BATCH_TRIPS);
  readonly #out = Buffer.allocUnsafe(BATCH_BYTES);
  readonly #outView = new DataView(this.#out.buffer, this.#out.byteOffset, this.#out.length);
  #count = 0;

  private constructor(schema: Schema, delimiter: string, onTrips: (trips: EncodedTrips) => void) {
    this.#onTrips = onTrips;
    this.#delimiter = delimiter.charCodeAt(0);
    this.#columns = schema.names.length;
    this.#width = schema.width;
    this.#starts = new Int32Array(schema.names.length + MOST_EXTRA + 2);
    this.#encode = compile(schema);
  }

  /** Undefined for a schema whose rows are not usual ones: with coordinates and zones of the same end. */
  static of(
    schema: Schema,
    delimiter: string,
    onTrips: (trips: EncodedTrips) => void,
  ): UsualRows | undefined {
    const hasBoth = ENDS.some((end) => coordinatesOf(schema, end) && schema[`${end}_zone`] >= 0);
    return hasBoth ? undefined : new UsualRows(schema, delimiter, onTrips);
  }

  /** Takes rows from `from` up to `to`, which follows a line end; returns where the first unusual one begins, or `to`. */
  take(b: Buffer, from: number, to: number): number {
    const view = new DataView(b.buffer, b.byteOffset, b.length);
    let at = from;
    let o = 0;
    while (at < to) {
      const next = this.#scan(b, at, to);
      if (next < 0) break;
      if (this.#count === BATCH_TRIPS || o + (next - at) + MOST_ADDED > BATCH_BYTES) {
        this.#handOn(o);
        o = 0;
        if (next - at + MOST_ADDED > BATCH_BYTES) break;
      }
      const end = this.#encode(b, view, this.#starts, this.#out, this.#outView, o);
      if (end < 0) break;
      this.#dropoffs[this.#count] = encoded.dropoff;
      this.#ends[this.#count++] = end;
      o = end;
      at = next;
    }
    this.#handOn(o);
    return at;
  }

  #handOn(bytes: number): void {
    const count = this.#count;
    if (count === 0) return;
    this.#count = 0;
    this.rows += count;
    const { length } = this.#ends;
    this.#onTrips({
      count,
      dropoffs: this.#dropoffs.subarray(0, count),
      ends: count === length ? this.#ends : this.#ends.subarray(0, count),
      data: this.#out.subarray(0, bytes),
    });
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

/** Copies a number as JSON has it, or mends one such as `.50`; −1 for anything else. */
function copyNumber(b: Buffer, from: number, to: number, out: Buffer, at: number): number {
  if (b[from] === DOT) return copyFraction(b, from + 1, to, out, at);
  if (to - from > LONGEST_NUMBER) return -1;
  let p = from;
  let o = at;
  let c = b[p]!;
  if (c === MINUS) {
    out[o++] = c;
    c = b[++p]!;
    if (p === to) return -1;
  }
  if (c < ZERO || c > NINE) return -1;
  const isZero = c === ZERO;
  for (; p < to && c >= ZERO && c <= NINE; c = b[++p]!) out[o++] = c;
  if (p < to && c !== DOT) return -1;
  const digits = p - from - (b[from] === MINUS ? 1 : 0);
  if (isZero && digits > 1) return -1;
  if (p === to) return o;
  out[o++] = DOT;
  c = b[++p]!;
  if (p === to) return -1;
  for (; p < to && c >= ZERO && c <= NINE; c = b[++p]!) out[o++] = c;
  return p === to ? o : -1;
}

/** Writes the number whose digits behind the point these are, as `String` does: without zeros at its end. */
function copyFraction(b: Buffer, from: number, to: number, out: Buffer, at: number): number {
  // A number with more of them may be written with an exponent.
  if (to === from || to - from > MOST_FRACTION) return -1;
  let o = at;
  out[o++] = ZERO;
  let behind = o;
  out[o++] = DOT;
  for (let p = from; p < to; p++) {
    const c = b[p]!;
    if (c < ZERO || c > NINE) return -1;
    out[o++] = c;
    if (c !== ZERO) behind = o;
  }
  return behind;
}

/** Copies a word of letters, digits and `_` that can't mean "no value"; −1 for anything else. */
function copyWord(b: Buffer, from: number, to: number, out: Buffer, at: number): number {
  // null, NULL and None begin like this.
  if (to - from > LONGEST_VENDOR || (b[from]! | 0x20) === 0x6e) return -1;
  let o = at;
  for (let p = from; p < to; p++) {
    const c = b[p]!;
    const lower = c | 0x20;
    if (!((c >= ZERO && c <= NINE) || (lower >= 0x61 && lower <= 0x7a) || c === 0x5f)) return -1;
    out[o++] = c;
  }
  return o;
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

function copyBytes(from: Buffer, out: Buffer, at: number): number {
  for (let i = 0; i < from.length; i++) out[at + i] = from[i]!;
  return at + from.length;
}

/** The coordinates of each zone's centroid as a trip has them, by the zone's number; empty for zones without one. */
function centroidsOf(end: End): Buffer[] {
  return Array.from({ length: 1_000 }, (_, zone) => {
    const place = ZONE_CENTROIDS.get(zone);
    return Buffer.from(place ? `,"${end}_lat":${place[0]},"${end}_lon":${place[1]}` : '');
  });
}

/** Source that writes a text of at least four bytes at `o`, four bytes per store. */
function writeSource(text: string): string {
  const bytes = Buffer.from(text);
  const stores: string[] = [];
  for (let i = 0; i < bytes.length; i += 4) {
    const at = Math.min(i, bytes.length - 4);
    stores.push(`w.setInt32(o + ${at}, ${bytes.readInt32LE(at)}, true);`);
  }
  return `${stores.join(' ')} o += ${bytes.length};`;
}

/** Source that writes a plain time, which begins at `p`, as ISO 8601. */
function timeSource(p: string): string {
  return `
    w.setInt32(o, v.getInt32(${p}, true), true); w.setInt32(o + 4, v.getInt32(${p} + 4, true), true);
    w.setInt16(o + 8, v.getInt16(${p} + 8, true), true); out[o + 10] = ${'T'.charCodeAt(0)};
    w.setInt32(o + 11, v.getInt32(${p} + 11, true), true); w.setInt32(o + 15, v.getInt32(${p} + 15, true), true);
    o += ${PLAIN_TIME};
    ${writeSource('.000Z')}`;
}

/** Source that writes a field where the row has a value for it, by a function that copies. */
function valueSource(column: number, key: string, copy: 'copyNumber' | 'copyWord', behind = ''): string {
  if (column < 0) return '';
  return `
    { const p = starts[${column}], e = starts[${column + 1}] - 1;
      if (p < e) { ${writeSource(key)} o = ${copy}(b, p, e, out, o); if (o < 0) return -1; ${behind} } }`;
}

function placeSource(schema: Schema, end: End): string {
  if (coordinatesOf(schema, end))
    return ['lat', 'lon']
      .map((axis) => valueSource(schema[`${end}_${axis as 'lat'}`], `,"${end}_${axis}":`, 'copyNumber'))
      .join('');
  const zone = schema[`${end}_zone`];
  if (zone < 0) return '';
  return `
    const ${end}Zone = zoneAt(b, starts[${zone}], starts[${zone + 1}] - 1);
    if (${end}Zone < 0) return -1;
    o = copyBytes(${end}Centroids[${end}Zone], out, o);`;
}

function zoneSource(schema: Schema, end: End): string {
  const zone = schema[`${end}_zone`];
  if (zone < 0) return '';
  return `
    if (${end}Zone > 0) {
      ${writeSource(`,"${end}_zone":`)}
      for (let p = starts[${zone}], e = starts[${zone + 1}] - 1; p < e; p++) out[o++] = b[p];
    }`;
}

/** The encoder of a schema's usual rows: what `TripEncoder.encode` does, in the same order. */
function compile(schema: Schema): EncodeRow {
  const { pickup_datetime: pickup, dropoff_datetime: dropoff } = schema;
  const source = `return function encodeUsual(b, v, starts, out, w, o) {
    const p1 = starts[${pickup}], p2 = starts[${dropoff}];
    if (starts[${pickup + 1}] - 1 - p1 !== ${PLAIN_TIME} || starts[${dropoff + 1}] - 1 - p2 !== ${PLAIN_TIME}) return -1;
    const dropoff = plainTime(b, v, p2);
    if (!(dropoff >= plainTime(b, v, p1))) return -1;
    ${valueSource(schema.vendor_id, ',"vendor_id":"', 'copyWord', `out[o++] = ${QUOTE};`)}
    ${writeSource(',"pickup_datetime":"')}${timeSource('p1')}
    ${writeSource('","dropoff_datetime":"')}${timeSource('p2')} out[o++] = ${QUOTE};
    ${valueSource(schema.passenger_count, ',"passenger_count":', 'copyNumber')}
    ${valueSource(schema.trip_distance, ',"trip_distance":', 'copyNumber')}
    ${ENDS.map((end) => placeSource(schema, end)).join('')}
    ${ENDS.map((end) => zoneSource(schema, end)).join('')}
    ${valueSource(schema.total_amount, ',"total_amount":', 'copyNumber')}
    out[o++] = ${'}'.charCodeAt(0)}; out[o++] = ${LF};
    encoded.dropoff = dropoff;
    return o;
  }`;
  const tools = {
    encoded,
    plainTime,
    copyNumber,
    copyWord,
    copyBytes,
    zoneAt,
    pickupCentroids: centroidsOf('pickup'),
    dropoffCentroids: centroidsOf('dropoff'),
  };
  return new Function('tools', `const { ${Object.keys(tools)} } = tools;\n${source}`)(tools);
}
