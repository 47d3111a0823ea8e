/** The two views of the reference architecture, written in the view language. */
import {
  type Area,
  aggregate,
  all,
  any,
  avg,
  choose,
  count,
  eq,
  field,
  geohash,
  gt,
  gte,
  minutesBetween,
  not,
  present,
  sum,
  tumbling,
  type View,
  view,
  type Window,
  within,
} from './language.ts';

export const NYC: Area = { south: 40.56, north: 40.878, west: -74.054, east: -73.722 };
export const JFK: Area = { south: 40.632, north: 40.654, west: -73.8, east: -73.761 };
export const LGA: Area = { south: 40.766, north: 40.778, west: -73.881, east: -73.859 };
/** TLC taxi zones of the airports. */
const JFK_ZONE = 132;
const LGA_ZONE = 138;

/** Decides by the drop-off coordinates, or by the drop-off zone if a producer sends no coordinates. */
const endsAt = (zone: number, area: Area) =>
  any(within('dropoff', area), all(not(present(field('dropoff_lat'))), eq(field('dropoff_zone'), zone)));

const tripMinutes = minutesBetween(field('pickup_datetime'), field('dropoff_datetime'));

/** Pick-ups per cell, and minutes to the airports per pick-up cell. */
export function taxiViews(window: Window = tumbling('10m')): View[] {
  return [
    view({
      name: 'pickup_count',
      where: all(within('pickup', NYC), within('dropoff', NYC)),
      by: { location: geohash('pickup', 6) },
      window,
      aggregates: { pickup_count: count() },
      having: gte(aggregate('pickup_count'), 2),
    }),
    view({
      name: 'trip_duration',
      where: within('pickup', NYC),
      by: {
        location: geohash('pickup', 6),
        airport_code: choose([
          [endsAt(JFK_ZONE, JFK), 'JFK'],
          [endsAt(LGA_ZONE, LGA), 'LGA'],
        ]),
      },
      window,
      aggregates: {
        trip_count: count(),
        sum_trip_duration: sum(tripMinutes),
        avg_trip_duration: avg(tripMinutes),
      },
      having: gt(aggregate('trip_count'), 1),
    }),
  ];
}
