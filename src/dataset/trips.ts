/** Turns a row of a TLC file into the values of a trip. */
import { type DateOrder, formatIso, inFourDigitYears, parseTime } from '../events/times.ts';
import { type ExtraField, SOURCE_FIELDS, type SourceField, TRIP_FIELDS } from '../events/trip.ts';
import { hasZone, type LocalTimes } from './local-times.ts';
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
 * Number of a trip's values without extra fields, and the place of each: times in epoch ms, NaN for a missing value. Extra fields
 * follow them, in the order in which they were asked for.
 */
export const TRIP_WIDTH = SOURCE_FIELDS.length;
export const PLACE = Object.fromEntries(SOURCE_FIELDS.map((field, place) => [field, place])) as Readonly<
  Record<SourceField, number>
>;

/** A trip as it is in its file. */
export interface SourceTrip {
  /** By `PLACE`, then the extra fields; that of the vendor is not used. Valid until the next trip is made. */
  readonly values: Float64Array;
  readonly vendor: string | undefined;
}

/** Trips as they are in their file: `TRIP_WIDTH` values and the extra fields each, one trip after the other. */
export interface SourceTrips {
  readonly count: number;
  readonly values: Float64Array;
  /** The vendor of a trip is a place in this list, or NaN. */
  readonly vendors: readonly string[];
}

/** A value as stored in the file: text, a number, a time as epoch ms, or null. */
export type Cell = string | number | null;

/** Texts that stand for a missing value. */
const NULLS = new Set(['', '-', '\\N', 'null', 'NULL', 'None']);
const DECIMAL = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i;

/** Most characters of a text in a record. */
const LONGEST_TEXT = 1_000;

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
  /** Places of its coordinates in a trip. */
  readonly at: { readonly lat: number; readonly lon: number };
}

/** Turns rows of one schema into trips. */
export class TripEncoder {
  readonly schema: Schema;
  readonly #pickup: End;
  readonly #dropoff: End;
  readonly #order: DateOrder;
  readonly #extras: readonly ExtraField[];
  readonly #values: Float64Array;
  /** The number of values left out so far, and the first of them. */
  leftOut = 0;
  firstLeftOut: LeftOut | undefined;

  readonly #local: LocalTimes | undefined;
  /** Columns whose times are instants. */
  readonly #instants: readonly number[];

  /** `order` is the order of day and month in dates such as 3/4/2016; `local` reads times without a zone, unless its column in `instants` holds instants. */
  constructor(
    schema: Schema,
    order: DateOrder = 'mdy',
    local?: LocalTimes,
    instants: readonly number[] = [],
    extras: readonly ExtraField[] = [],
  ) {
    this.#extras = extras;
    this.#values = new Float64Array(TRIP_WIDTH + extras.length).fill(Number.NaN);
    this.#local = local;
    this.#instants = instants;
    this.schema = schema;
    this.#order = order;
    this.#pickup = endOf('pickup', schema);
    this.#dropoff = endOf('dropoff', schema);
  }

  encode(row: readonly Cell[]): SourceTrip | RejectReason {
    const { schema } = this;
    const values = this.#values;
    if (row.length < schema.width) return 'short-row';
    const pickup = this.timeOf(row[schema.pickup_datetime]!);
    const dropoff = this.timeOf(row[schema.dropoff_datetime]!);
    const isTimed = this.#local ? this.#takeLocal(row, pickup, dropoff) : this.#takeTimes(pickup, dropoff);
    // NaN compares false, so this one test finds unreadable times too.
    if (!isTimed) {
      return Number.isNaN(pickup) || Number.isNaN(dropoff) ? 'unreadable-time' : 'dropoff-before-pickup';
    }
    const vendor = this.#vendor(row);
    values[PLACE.passenger_count] = this.#number(row, schema.passenger_count);
    values[PLACE.trip_distance] = this.#number(row, schema.trip_distance);
    this.#place(row, this.#pickup);
    this.#place(row, this.#dropoff);
    values[PLACE.pickup_zone] = this.#zone(row, schema.pickup_zone);
    values[PLACE.dropoff_zone] = this.#zone(row, schema.dropoff_zone);
    values[PLACE.total_amount] = this.#number(row, schema.total_amount);
    for (let i = 0; i < this.#extras.length; i++) values[TRIP_WIDTH + i] = this.#extra(row, this.#extras[i]!);
    return { values, vendor };
  }

  #takeTimes(pickup: number, dropoff: number): boolean {
    this.#values[PLACE.pickup_datetime] = pickup;
    this.#values[PLACE.dropoff_datetime] = dropoff;
    return dropoff >= pickup;
  }

  /** A time that says its zone is an instant; of a row with both kinds, each is taken by itself. */
  #takeLocal(row: readonly Cell[], pickup: number, dropoff: number): boolean {
    const local = this.#local!;
    const [isPickupLocal, isDropoffLocal] = [this.schema.pickup_datetime, this.schema.dropoff_datetime].map((column) => this.#isLocal(row[column]!, column)); // biome-ignore format: one line
    if (!isPickupLocal && !isDropoffLocal) return this.#takeTimes(pickup, dropoff);
    if (isPickupLocal && isDropoffLocal)
      return local.take(pickup, dropoff) && this.#takeTimes(local.pickup, local.dropoff);
    return isPickupLocal
      ? this.#takeTimes(local.takeOne(pickup), dropoff)
      : this.#takeTimes(pickup, local.takeOne(dropoff));
  }

  /** Whether the time in a column is a local one. */
  #isLocal(cell: Cell, column: number): boolean {
    return typeof cell === 'string' ? !hasZone(cell) : !this.#instants.includes(column);
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
      ? formatIso(value)
      : value;
  }

  #vendor(row: readonly Cell[]): string | undefined {
    const vendor = this.schema.vendor_id;
    if (vendor < 0) return undefined;
    const text = textOf(row[vendor]!).trim();
    if (text.length <= LONGEST_TEXT) return NULLS.has(text) ? undefined : text;
    this.#leaveOut(`${text.slice(0, LONGEST_CELL)}…`, vendor);
    return undefined;
  }

  #number(row: readonly Cell[], column: number): number {
    if (column < 0) return Number.NaN;
    const raw = row[column]!;
    if (typeof raw !== 'string') {
      if (Number.isFinite(raw)) return raw!;
      if (raw !== null) this.#leaveOut(raw, column);
      return Number.NaN;
    }
    const text = raw.trim();
    const value = decimal(text);
    if (Number.isFinite(value)) return value;
    if (!NULLS.has(text)) this.#leaveOut(raw, column);
    return Number.NaN;
  }

  /** Some fields are words in some years, and numbers here. */
  #extra(row: readonly Cell[], field: ExtraField): number {
    const column = this.schema[field];
    if (column < 0) return Number.NaN;
    const raw = row[column]!;
    const text = typeof raw === 'string' ? raw.trim() : '';
    const code = text === '' ? undefined : codeOf(field, text);
    if (code !== undefined) return code;
    const value = this.#number(row, column);
    if (TRIP_FIELDS[field].type !== 'integer' || Number.isNaN(value) || Number.isSafeInteger(value))
      return value;
    this.#leaveOut(raw, column);
    return Number.NaN;
  }

  /** The coordinates of an end if both are present and not zero, else the centroid of its zone. */
  #place(row: readonly Cell[], { lat, lon, zone, at }: End): void {
    const values = this.#values;
    const isPlace = lat >= 0 && lon >= 0;
    const y = isPlace ? this.#number(row, lat) : Number.NaN;
    const x = isPlace ? this.#number(row, lon) : Number.NaN;
    const isSomewhere = y !== 0 && x !== 0 && !Number.isNaN(y) && !Number.isNaN(x);
    const centroid = zone >= 0 && !isSomewhere ? ZONE_CENTROIDS.get(zoneNumber(row[zone]!)) : undefined;
    values[at.lat] = centroid ? centroid[0] : y;
    values[at.lon] = centroid ? centroid[1] : x;
  }

  #zone(row: readonly Cell[], zone: number): number {
    if (zone < 0) return Number.NaN;
    const raw = row[zone]!;
    const number = zoneNumber(raw);
    if (Number.isNaN(number) && raw !== null && !(typeof raw === 'string' && NULLS.has(raw.trim())))
      this.#leaveOut(raw, zone);
    return number;
  }

  #leaveOut(value: Cell, column: number): void {
    this.leftOut++;
    this.firstLeftOut ??= { column: this.schema.names[column]!.trim(), value };
  }
}

function endOf(end: 'pickup' | 'dropoff', schema: Schema): End {
  return {
    lat: schema[`${end}_lat`],
    lon: schema[`${end}_lon`],
    zone: schema[`${end}_zone`],
    at: { lat: PLACE[`${end}_lat`], lon: PLACE[`${end}_lon`] },
  };
}

/** The TLC's numbers of what its files of 2009 to 2014 spell out. */
const PAYMENTS: readonly (readonly [pattern: RegExp, code: number])[] = [
  [/^(?:cre|crd|credit)(?: card)?$/i, 1],
  [/^(?:cas|csh|cash)$/i, 2],
  [/^(?:noc|no(?: charge)?)$/i, 3],
  [/^dis(?:pute)?$/i, 4],
  [/^(?:unk(?:nown)?|na)$/i, 5],
];

/** The number of a word; undefined for anything else. */
function codeOf(field: ExtraField, text: string): number | undefined {
  if (field === 'payment_type') return PAYMENTS.find(([pattern]) => pattern.test(text))?.[1];
  if (field === 'store_and_fwd_flag')
    return /^[YN]$/i.test(text) ? (text.toUpperCase() === 'Y' ? 1 : 0) : undefined;
  const licence = field === 'dispatching_base' ? /^B(\d{5})$/i.exec(text)?.[1] : undefined;
  return licence === undefined ? undefined : Number(licence);
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
