/** Views of every kind that the page draws, for tests, and a job that has them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { morning, run } from './support.ts';

/** As a user writes them. */
const OWN_VIEWS = `export const views = (l) => {
  const { field, geohash, tumbling, count, avg, sum, percentile } = l;
  const most = { n: 10, order: [{ name: 'trips', descending: true }] };
  return [
    { name: 'fares', by: { location: geohash('pickup', 6) }, window: tumbling('1h'), aggregates: { trips: count(), average: avg(field('total_amount')), tips: sum(field('tip_amount')) }, having: l.gte(l.aggregate('trips'), 3) },
    { name: 'payments', by: { payment_type: field('payment_type') }, window: tumbling('30m'), aggregates: { trips: count(), tip: avg(field('tip_amount')) } },
    { name: 'parties', by: { vendor: field('vendor_id'), passengers: field('passenger_count') }, window: tumbling('1h'), aggregates: { trips: count(), longest: l.max(field('trip_distance')) } },
    { name: 'busiest', by: { pickup_zone: field('pickup_zone') }, window: tumbling('1h'), aggregates: { trips: count() }, top: { ...most, rank: 'place' } },
    { name: 'best_parties', by: { vendor: field('vendor_id'), passengers: field('passenger_count') }, window: tumbling('1h'), aggregates: { trips: count() }, top: { ...most, n: 4, rank: 'place' } },
    { name: 'unranked', by: { payment_type: field('payment_type') }, window: tumbling('1h'), aggregates: { trips: count() }, top: { ...most, n: 2 } },
    { name: 'distance', by: {}, window: tumbling('30m'), aggregates: { median: percentile(field('trip_distance'), 0.5), p05: percentile(field('trip_distance'), 0.05), p95: percentile(field('trip_distance'), 0.95) } },
    { name: 'shifts', by: { vendor: field('vendor_id') }, window: l.session('20s'), aggregates: { trips: count(), longest: l.max(field('trip_distance')) } },
    { name: 'today', by: {}, window: l.cumulating('1d', '1h'), aggregates: { trips: count(), places: l.countDistinct(field('pickup_zone')), first_trip: l.min(field('dropoff_datetime')) } },
    { name: 'zones', by: { pickup_zone: field('pickup_zone') }, window: l.sliding('1h', '30m'), aggregates: { trips: count(), fare: avg(field('total_amount')) } },
    { name: 'rides', by: { from: field('pickup_zone'), to: field('dropoff_zone') }, window: tumbling('2h'), aggregates: { trips: count() }, having: l.gte(l.aggregate('trips'), 5) },
    { name: 'fares_by_payment', by: { location: geohash('pickup', 5), payment_type: field('payment_type') }, window: tumbling('1h'), aggregates: { average: avg(field('total_amount')), trips: count() } },
  ];
};
`;

/** By view, what it is drawn as. */
export const PICTURES: Readonly<Record<string, 'map' | 'lines' | 'sessions' | 'list'>> = {
  fares: 'map',
  payments: 'lines',
  parties: 'lines',
  busiest: 'map',
  best_parties: 'list',
  unranked: 'list',
  distance: 'lines',
  shifts: 'sessions',
  today: 'lines',
  zones: 'map',
  rides: 'map',
  fares_by_payment: 'map',
};

/** Processes trips that name zones only by these views, as `own`, and by the default ones, as `golden`. */
export async function ownViews(folder: string, trips = 4_000): Promise<void> {
  const at = ['--data-dir', folder];
  const views = join(folder, 'views.mjs');
  writeFileSync(views, OWN_VIEWS);
  const file = await morning(folder, trips, 'yellow-2017');
  await run('replay', file, '--fields', 'all', '--speedup', 'max', ...at);
  await run('process', '--app', 'own', '--views', views, '--until-end', '--drain', ...at);
  await run('process', '--app', 'golden', '--until-end', '--drain', ...at);
}
