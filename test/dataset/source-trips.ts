/** Trips of the dataset, made from plain values and read back as such. */
import type { TripBatch } from '../../src/dataset/order.ts';
import { PLACE, type SourceTrip, type SourceTrips, TRIP_WIDTH } from '../../src/dataset/trips.ts';
import { recordText } from '../../src/events/decode.ts';
import type { SourceField } from '../../src/events/trip.ts';
import { composeRecords } from '../../src/replay/compose.ts';

/** Numbers by their field, times in epoch ms; what is missing is left out. */
export type PlainTrip = { readonly [F in Exclude<SourceField, 'vendor_id'>]?: number } & {
  readonly vendor_id?: string | undefined;
};

function valuesOf(trip: PlainTrip): Float64Array {
  const values = new Float64Array(TRIP_WIDTH).fill(Number.NaN);
  for (const [field, value] of Object.entries(trip))
    if (typeof value === 'number') values[PLACE[field as SourceField]] = value;
  return values;
}

export function sourceTrip(trip: PlainTrip): SourceTrip {
  return { values: valuesOf(trip), vendor: trip.vendor_id };
}

export function sourceTrips(trips: readonly PlainTrip[]): SourceTrips {
  const vendors: string[] = [];
  const values = new Float64Array(trips.length * TRIP_WIDTH);
  for (const [i, trip] of trips.entries()) {
    values.set(valuesOf(trip), i * TRIP_WIDTH);
    if (trip.vendor_id === undefined) continue;
    if (!vendors.includes(trip.vendor_id)) vendors.push(trip.vendor_id);
    values[i * TRIP_WIDTH + PLACE.vendor_id] = vendors.indexOf(trip.vendor_id);
  }
  return { count: trips.length, values, vendors };
}

function plain(values: Float64Array, vendorOf: (code: number) => string | undefined): PlainTrip {
  const trip: Record<string, number | string> = {};
  for (const [field, place] of Object.entries(PLACE)) {
    const value = values[place]!;
    const vendor = field === 'vendor_id' ? vendorOf(value) : undefined;
    if (vendor !== undefined) trip[field] = vendor;
    else if (field !== 'vendor_id' && !Number.isNaN(value)) trip[field] = value;
  }
  return trip;
}

export function plainTrip({ values, vendor }: SourceTrip): PlainTrip {
  return plain(values, () => vendor);
}

export function plainTrips({ count, values, vendors }: SourceTrips): PlainTrip[] {
  return Array.from({ length: count }, (_, i) =>
    plain(values.subarray(i * TRIP_WIDTH, (i + 1) * TRIP_WIDTH), (code) => vendors[code]),
  );
}

export function tripsOfBatch({ count, values, vendors }: TripBatch): PlainTrip[] {
  return Array.from({ length: count }, (_, i) =>
    plain(values.subarray(i * TRIP_WIDTH, (i + 1) * TRIP_WIDTH), (code) =>
      Number.isNaN(code) ? undefined : vendors(code),
    ),
  );
}

/** The records of a batch without their heads: what comes from the file, as the stream has it. */
export function bodiesOfBatch(batch: TripBatch): string[] {
  const records = composeRecords('r', batch, 0, batch.count);
  return Array.from({ length: batch.count }, (_, i) =>
    recordText(records, i).replace(/^\{"type":"trip","trip_id":\d+,"replay":"r"/, ''),
  );
}
