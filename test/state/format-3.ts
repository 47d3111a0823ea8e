/**
 * The job that the state in `fixtures/state-format-3.sql` was made by, in two halves: the state is that after the first.
 * What the results are is worked out from the trips alone.
 */
import { count, countDistinct, field, sum, tumbling, type View, view } from '../../src/views/language.ts';

const START = Date.UTC(2016, 0, 14);
const MINUTE = 60_000;
const WINDOW = 10 * MINUTE;

export const ALLOWED_LATENESS = WINDOW;

export const VIEWS: readonly View[] = [
  view({
    name: 'vendors',
    by: { vendor: field('vendor_id') },
    window: tumbling(WINDOW),
    aggregates: {
      trips: count(),
      parties: countDistinct(field('passenger_count')),
      fares: sum(field('total_amount')),
    },
  }),
];

interface Trip {
  readonly id: number;
  readonly minute: number;
}

const upTo = (from: number, to: number): Trip[] =>
  Array.from({ length: to - from }, (_, i) => ({ id: from + i, minute: from + i }));

/** Trip 100 corrects a window that has fired. */
const CORRECTING: Trip = { id: 100, minute: 25 };
/** The window of trip 101 was given up before it came. */
const TOO_LATE: Trip = { id: 101, minute: 5 };

const vendorOf = ({ id }: Trip) => String(1 + (id % 3));
const partyOf = ({ id }: Trip) => 1 + (id % 4);
const fareOf = ({ id }: Trip) => 10 + id;
const iso = (minute: number) => new Date(START + minute * MINUTE).toISOString();

function record(trip: Trip): string {
  return `${JSON.stringify({
    type: 'trip',
    trip_id: trip.id,
    replay: 'format-3',
    vendor_id: vendorOf(trip),
    pickup_datetime: iso(trip.minute - 3),
    dropoff_datetime: iso(trip.minute),
    passenger_count: partyOf(trip),
    total_amount: fareOf(trip),
  })}\n`;
}

const watermark = (minute: number) =>
  `${JSON.stringify({ type: 'watermark', watermark: iso(minute), shard: 'shardId-000000000000' })}\n`;

/** Three windows fire, of which one can still be corrected, and two are open. */
export const FIRST_HALF: readonly string[] = [...upTo(0, 45).map(record), watermark(35)];

/** Five trips come a second time. */
export const SECOND_HALF: readonly string[] = [
  ...upTo(40, 45).map(record),
  record(CORRECTING),
  record(TOO_LATE),
  ...upTo(45, 80).map(record),
  watermark(70),
];

export interface Expected {
  readonly window_start: string;
  readonly vendor: string;
  readonly trips: number;
  readonly parties: number;
  readonly fares: number;
}

/** The results of all windows, by window and vendor. */
export function expectedResults(): Expected[] {
  const trips = [...upTo(0, 80), CORRECTING];
  const windows = Array.from({ length: 8 }, (_, i) => 10 * i);
  return windows.flatMap((start) =>
    ['1', '2', '3'].map((vendor) => {
      const own = trips.filter(
        (trip) => trip.minute >= start && trip.minute < start + 10 && vendorOf(trip) === vendor,
      );
      return {
        window_start: iso(start),
        vendor,
        trips: own.length,
        parties: new Set(own.map(partyOf)).size,
        fares: own.reduce((total, trip) => total + fareOf(trip), 0),
      };
    }),
  );
}
