/**
 * The fields of a trip in one table, from which the wire form, the decoder, the columns, the checker of views, the reader
 * of TLC headers and the documentation derive.
 *
 * The wire form is one JSON object per record with a newline at its end, snake_case, fields in the order of this table,
 * missing values left out.
 */

/** `time` is ISO 8601 with `Z` on the wire and epoch ms in memory. */
export type FieldType = 'number' | 'integer' | 'string' | 'time';

interface FieldRow {
  readonly type: FieldType;
  /** Unit of its numbers, for documentation; left out if the name says it. */
  readonly unit?: string;
  /** SQL type as in Flink and DuckDB. */
  readonly sql: 'BIGINT' | 'INT' | 'DOUBLE' | 'STRING' | 'TIMESTAMP(3)';
  /** Its column names in TLC files since 2009, in lower case without spaces and underscores; the usual one first. */
  readonly columns?: readonly string[];
  /** Whether a number on the wire is read as text: the TLC numbers its vendors. */
  readonly numbered?: boolean;
  /** Rides along only where a replay is asked for it. */
  readonly extra?: true;
}

export const TRIP_FIELDS = {
  trip_id: { type: 'integer', sql: 'BIGINT' },
  replay: { type: 'string', sql: 'STRING' },
  vendor_id: { type: 'string', sql: 'STRING', columns: ['vendorid', 'vendorname'], numbered: true },
  pickup_datetime: {
    type: 'time',
    sql: 'TIMESTAMP(3)',
    columns: ['pickupdatetime', 'tpeppickupdatetime', 'lpeppickupdatetime', 'trippickupdatetime'],
  },
  dropoff_datetime: {
    type: 'time',
    sql: 'TIMESTAMP(3)',
    columns: ['dropoffdatetime', 'tpepdropoffdatetime', 'lpepdropoffdatetime', 'tripdropoffdatetime'],
  },
  passenger_count: { type: 'number', sql: 'DOUBLE', columns: ['passengercount'] },
  trip_distance: { type: 'number', unit: 'miles', sql: 'DOUBLE', columns: ['tripdistance', 'tripmiles'] },
  pickup_lat: {
    type: 'number',
    unit: 'degrees',
    sql: 'DOUBLE',
    columns: ['pickuplatitude', 'startlat', 'pickuplat'],
  },
  pickup_lon: {
    type: 'number',
    unit: 'degrees',
    sql: 'DOUBLE',
    columns: ['pickuplongitude', 'startlon', 'pickuplon'],
  },
  dropoff_lat: {
    type: 'number',
    unit: 'degrees',
    sql: 'DOUBLE',
    columns: ['dropofflatitude', 'endlat', 'dropofflat'],
  },
  dropoff_lon: {
    type: 'number',
    unit: 'degrees',
    sql: 'DOUBLE',
    columns: ['dropofflongitude', 'endlon', 'dropofflon'],
  },
  pickup_zone: {
    type: 'integer',
    unit: 'TLC zone',
    sql: 'INT',
    columns: ['pulocationid', 'pickuplocationid'],
  },
  dropoff_zone: {
    type: 'integer',
    unit: 'TLC zone',
    sql: 'INT',
    columns: ['dolocationid', 'dropofflocationid'],
  },
  total_amount: { type: 'number', unit: 'US dollars', sql: 'DOUBLE', columns: ['totalamount', 'totalamt'] },
  fare_amount: {
    type: 'number',
    unit: 'US dollars',
    sql: 'DOUBLE',
    columns: ['fareamount', 'fareamt', 'basepassengerfare'],
    extra: true,
  },
  tip_amount: {
    type: 'number',
    unit: 'US dollars',
    sql: 'DOUBLE',
    columns: ['tipamount', 'tipamt', 'tips'],
    extra: true,
  },
  tolls_amount: {
    type: 'number',
    unit: 'US dollars',
    sql: 'DOUBLE',
    columns: ['tollsamount', 'tollsamt', 'tolls'],
    extra: true,
  },
  payment_type: {
    type: 'integer',
    unit: '1 credit card, 2 cash, 3 no charge, 4 dispute, 5 unknown, 6 voided',
    sql: 'INT',
    columns: ['paymenttype'],
    extra: true,
  },
  trip_type: {
    type: 'integer',
    unit: '1 street hail, 2 dispatch',
    sql: 'INT',
    columns: ['triptype'],
    extra: true,
  },
  store_and_fwd_flag: {
    type: 'integer',
    unit: '1 kept in the vehicle before it was sent, 0 not',
    sql: 'INT',
    columns: ['storeandfwdflag', 'storeandforward'],
    extra: true,
  },
  congestion_surcharge: {
    type: 'number',
    unit: 'US dollars',
    sql: 'DOUBLE',
    columns: ['congestionsurcharge'],
    extra: true,
  },
  airport_fee: { type: 'number', unit: 'US dollars', sql: 'DOUBLE', columns: ['airportfee'], extra: true },
  cbd_congestion_fee: {
    type: 'number',
    unit: 'US dollars',
    sql: 'DOUBLE',
    columns: ['cbdcongestionfee'],
    extra: true,
  },
  dispatching_base: {
    type: 'integer',
    unit: 'number of its licence: 2510 of B02510',
    sql: 'INT',
    columns: ['dispatchingbasenum'],
    extra: true,
  },
} as const satisfies Record<string, FieldRow>;

type Fields = typeof TRIP_FIELDS;
export type TripField = keyof Fields;
export type StringField = { [F in TripField]: Fields[F]['type'] extends 'string' ? F : never }[TripField];
export type NumericField = Exclude<TripField, StringField>;
/** Fields that ride along where a replay is asked for them. */
export type ExtraField = { [F in TripField]: Fields[F] extends { extra: true } ? F : never }[TripField];
/** Fields that a file may have and every replay sends; the replay adds the others. */
export type SourceField = Exclude<
  { [F in TripField]: Fields[F] extends { columns: unknown } ? F : never }[TripField],
  ExtraField
>;

const rows: readonly (readonly [name: string, field: FieldRow])[] = Object.entries(TRIP_FIELDS);
const named = <F extends TripField>(isOne: (field: FieldRow) => boolean) =>
  rows.filter(([, field]) => isOne(field)).map(([name]) => name) as readonly string[] as readonly F[];

export const TRIP_FIELD_NAMES = named<TripField>(() => true);
export const STRING_FIELDS = named<StringField>(({ type }) => type === 'string');
export const NUMERIC_FIELDS = named<NumericField>(({ type }) => type !== 'string');
export const SOURCE_FIELDS = named<SourceField>(({ columns, extra }) => columns !== undefined && !extra);
/** The last fields of the table. */
export const EXTRA_FIELDS = named<ExtraField>(({ extra }) => extra === true);

/** A trip in JSON; only the drop-off time is mandatory. Units are in `TRIP_FIELDS`. */
export type Trip = {
  -readonly [F in TripField]?: Fields[F]['type'] extends 'string' | 'time' ? string : number;
} & { dropoff_datetime: string };
