/**
 * The wire form of a trip: one JSON object a record, snake_case, a newline at its end, fields in the order
 * of `TRIP_FIELDS`, and what a source lacks left out.
 */

/** `time` is ISO 8601 with `Z` on the wire and epoch milliseconds in memory. */
export type FieldType = 'number' | 'integer' | 'string' | 'time';

export const TRIP_FIELDS = {
  trip_id: 'integer',
  replay: 'string',
  vendor_id: 'string',
  pickup_datetime: 'time',
  dropoff_datetime: 'time',
  passenger_count: 'number',
  trip_distance: 'number',
  pickup_lat: 'number',
  pickup_lon: 'number',
  dropoff_lat: 'number',
  dropoff_lon: 'number',
  pickup_zone: 'integer',
  dropoff_zone: 'integer',
  total_amount: 'number',
} as const satisfies Record<string, FieldType>;

export type TripField = keyof typeof TRIP_FIELDS;
export const TRIP_FIELD_NAMES = Object.keys(TRIP_FIELDS) as readonly TripField[];
export type NumericField = {
  [F in TripField]: (typeof TRIP_FIELDS)[F] extends 'string' ? never : F;
}[TripField];
export type StringField = Exclude<TripField, NumericField>;

export const NUMERIC_FIELDS = TRIP_FIELD_NAMES.filter(
  (name) => TRIP_FIELDS[name] !== 'string',
) as readonly NumericField[];

/** A trip as its JSON reads. Distances in miles, amounts in US dollars, coordinates in degrees (WGS 84). */
export interface Trip {
  trip_id?: number;
  replay?: string;
  vendor_id?: string;
  pickup_datetime?: string;
  dropoff_datetime: string;
  passenger_count?: number;
  trip_distance?: number;
  pickup_lat?: number;
  pickup_lon?: number;
  dropoff_lat?: number;
  dropoff_lon?: number;
  pickup_zone?: number;
  dropoff_zone?: number;
  total_amount?: number;
}
