import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AlignedWindows } from '../../src/engine/windows/aligned.ts';
import type { Firing } from '../../src/engine/windows/documents.ts';
import { TripColumns } from '../../src/events/columns.ts';
import { decoderOf } from '../../src/events/decode.ts';
import type { Trip } from '../../src/events/trip.ts';
import { checkViews, fieldsOf } from '../../src/views/check.ts';
import { cellCenter } from '../../src/views/geohash.ts';
import { compileView } from '../../src/views/javascript/compile.ts';
import { OUTCOME } from '../../src/views/javascript/compiled-view.ts';
import * as l from '../../src/views/language.ts';
import { JFK, LGA, NYC, taxiViews } from '../../src/views/taxi.ts';
import { exactSum, groupBy } from './model.ts';

const MINUTE = 60_000;
const NOON = Date.UTC(2016, 0, 1, 12);

/** Panes that stay in memory. */
function panesOf(view: l.View, columns: TripColumns): AlignedWindows {
  const nothing = () => assert.fail('nothing is stored');
  const stored = { block: nothing, firstKey: nothing, rewrite: nothing, put: nothing, drop: nothing };
  return new AlignedWindows(compileView(view, columns), 0, stored, { bytes: 0, uses: 0 });
}

/** What fires when the watermark goes on to `watermark`. */
function fired(panes: AlignedWindows, watermark: number): Firing[] {
  panes.advance(watermark);
  panes.judgeBy(watermark);
  const firings = panes.takeDue().flatMap((end) => [...panes.fire(end)]);
  panes.endFiring();
  return firings;
}

/** The results of a view over trips, in the order they leave. */
function results(view: l.View, trips: readonly Trip[], batch = trips.length): Record<string, unknown>[] {
  checkViews([view]);
  const columns = new TripColumns();
  const decode = decoderOf(fieldsOf(view));
  const panes = panesOf(view, columns);
  for (let from = 0; from < trips.length; from += batch) {
    const records = trips
      .slice(from, from + batch)
      .map((trip) => Buffer.from(`${JSON.stringify({ type: 'trip', ...trip })}\n`));
    const ends = new Uint32Array(records.length);
    let end = 0;
    for (const [i, record] of records.entries()) {
      end += record.length;
      ends[i] = end;
    }
    decode({ count: records.length, data: Buffer.concat(records), ends }, columns);
    assert.deepEqual(columns.dead, [], 'all of them are trips');
    const outcomes = new Uint8Array(records.length);
    panes.view.accumulate(0, records.length, columns.numbers.dropoff_datetime, outcomes, panes);
    assert.ok(
      outcomes.every((outcome) => outcome === 0 || outcome === OUTCOME.used),
      'none is late',
    );
  }
  return documents(fired(panes, Number.POSITIVE_INFINITY));
}

function documents(firings: readonly Firing[]): Record<string, unknown>[] {
  return firings.flatMap(({ docs, count }) => {
    const read = JSON.parse(`[${docs}]`) as Record<string, unknown>[];
    assert.equal(read.length, count);
    return read;
  });
}

/** −0 is written as 0. */
const plain = (docs: readonly Record<string, unknown>[]) => JSON.parse(JSON.stringify(docs)) as unknown;

const small = fc.constantFrom(0, 1, 2, 3, 5, -1, 0.5, 2.25, 12.75);
const COMPARE = { eq: l.eq, ne: l.ne, lt: l.lt, lte: l.lte, gt: l.gt, gte: l.gte };
const coordinate = (low: number, high: number) =>
  fc.oneof(
    { weight: 5, arbitrary: fc.double({ min: low, max: high, noNaN: true }) },
    fc.constantFrom(0, 91, -181, low, high),
  );
const time = fc.nat(40 * 60_000).map((ms) => new Date(NOON + ms - (ms % 500)).toISOString());
const trip: fc.Arbitrary<Trip> = fc.record(
  {
    dropoff_datetime: time,
    trip_id: fc.nat(99),
    replay: fc.constantFrom('one', 'two'),
    vendor_id: fc.constantFrom('CMT', 'VTS', 'é', '', 'a|b'),
    pickup_datetime: fc.nat(90 * 60_000).map((ms) => new Date(NOON - ms).toISOString()),
    passenger_count: small,
    trip_distance: fc.oneof(small, fc.double({ min: -100, max: 1_000, noNaN: true }).filter((x) => x === 0 || Math.abs(x) > 1e-9)),
    pickup_lat: coordinate(40.74, 40.76),
    pickup_lon: coordinate(-74, -73.98),
    dropoff_lat: coordinate(40.63, 40.66),
    dropoff_lon: coordinate(-73.81, -73.76),
    pickup_zone: fc.constantFrom(1, 132, 138, 265),
    dropoff_zone: fc.constantFrom(1, 132, 138, 265),
    total_amount: fc.oneof(small, fc.integer({ min: -500, max: 20_000 }).map((cents) => cents / 100)),
  },
  { requiredKeys: ['dropoff_datetime'] },
); // biome-ignore format: a field a line

const { expression } = fc.letrec<{
  numeric: l.Expression;
  integer: l.Expression;
  moment: l.Expression;
  text: l.Expression;
  condition: l.Expression;
  expression: { numeric: l.Expression; moment: l.Expression; text: l.Expression; condition: l.Expression };
}>((tie) => {
  const numbers = fc.tuple(tie('numeric'), tie('numeric'));
  const conditions = fc.array(tie('condition'), { minLength: 1, maxLength: 3 });
  const compare = fc.constantFrom('eq', 'ne', 'lt', 'lte', 'gt', 'gte');
  return {
    numeric: fc.oneof(
      { maxDepth: 3, depthIdentifier: 'n' },
      fc.constantFrom('trip_distance', 'total_amount', 'passenger_count', 'pickup_lat', 'trip_id', 'pickup_zone').map((name) => l.field(name as 'trip_id')),
      small.map((value): l.Expression => ({ op: 'literal', value })),
      fc.tuple(fc.constantFrom(l.add, l.subtract, l.multiply), numbers).map(([op, [a, b]]) => op(a, b)),
      // What division by nothing gives, nobody has said.
      fc.tuple(tie('numeric'), fc.constantFrom(2, 3, -0.5, 60_000)).map(([a, b]) => l.divide(a, b)),
      tie('numeric').map(l.truncate),
      fc.tuple(tie('moment'), tie('moment')).map(([a, b]) => l.subtract(a, b)),
      fc.tuple(tie('condition'), tie('numeric'), fc.option(tie('numeric'), { nil: undefined })).map(([c, a, b]) => l.choose([[c, a]], b)),
    ),
    integer: fc.constantFrom('trip_id', 'pickup_zone', 'dropoff_zone').map((name) => l.field(name as 'trip_id')),
    moment: fc.constantFrom('pickup_datetime', 'dropoff_datetime').map((name) => l.field(name as 'pickup_datetime')),
    text: fc.oneof(
      { maxDepth: 3, depthIdentifier: 'n' },
      fc.constantFrom(l.field('vendor_id'), l.field('replay')),
      fc.tuple(fc.constantFrom('pickup', 'dropoff'), fc.integer({ min: 1, max: 10 })).map(([end, p]) => l.geohash(end as 'pickup', p)),
      fc.tuple(tie('condition'), tie('condition'), fc.boolean()).map(([a, b, more]) => l.choose([[a, 'zebra'], [b, 'ant']], more ? 'mole' : undefined)),
    ),
    condition: fc.oneof(
      { maxDepth: 3, depthIdentifier: 'n' },
      fc.tuple(compare, numbers).map(([op, [a, b]]) => COMPARE[op](a, b)),
      fc.tuple(compare, tie('moment'), tie('moment')).map(([op, a, b]) => COMPARE[op](a, b)),
      fc.tuple(fc.constantFrom('eq', 'ne'), tie('text'), fc.constantFrom('CMT', 'zebra', 'one', 'dr5ru7', 'é', 'x', 'd', 's0'), fc.boolean()).map(([op, a, b, turned]) => (turned ? COMPARE[op](b, a) : COMPARE[op](a, b))),
      conditions.map((of) => l.all(...of)),
      conditions.map((of) => l.any(...of)),
      tie('condition').map(l.not),
      fc.oneof(tie('numeric'), tie('text'), tie('moment'), tie('condition')).map(l.present),
      fc.tuple(fc.constantFrom('pickup', 'dropoff'), fc.constantFrom(NYC, JFK, LGA)).map(([end, area]) => l.within(end as 'pickup', area)),
    ),
    expression: fc.record({ numeric: tie('numeric'), moment: tie('moment'), text: tie('text'), condition: tie('condition') }),
  };
}); // biome-ignore format: an expression a line

const aggregateOf = expression.chain(({ numeric, moment, text }) =>
  fc.constantFrom<l.Aggregate>(
    l.count(),
    l.count(numeric),
    l.count(text),
    l.count(moment),
    l.sum(numeric),
    l.avg(numeric),
    l.min(numeric),
    l.max(numeric),
    l.min(moment),
    l.max(moment),
    l.countDistinct(numeric),
    l.countDistinct(text),
    l.countDistinct(moment),
    l.sum(l.field('pickup_zone')),
  ),
);
const keyOf = expression.chain(({ numeric, moment, text }) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant(text) },
    fc.constantFrom(l.truncate(l.divide(numeric, 4)), l.field('pickup_zone'), moment, l.geohash('pickup', 4)),
  ),
);
const window = fc.oneof(
  fc.constantFrom(1, 7, 10).map((n) => l.tumbling(n * MINUTE)),
  fc
    .constantFrom<[number, number]>([10, 5], [10, 10], [10, 3], [7, 2])
    .map(([size, slide]) => l.sliding(size * MINUTE, slide * MINUTE)),
);
const having = (names: readonly string[]) =>
  fc
    .tuple(fc.constantFrom(...names), fc.constantFrom('gt', 'lte', 'ne', 'present'), fc.nat(3), fc.boolean())
    .map(([name, op, n, negated]) => {
      const test =
        op === 'present' ? l.present(l.aggregate(name)) : COMPARE[op as 'gt'](l.aggregate(name), n);
      return negated ? l.not(test) : test;
    });

const view: fc.Arbitrary<l.View> = fc
  .record({
    where: fc.option(expression, { nil: undefined }),
    keys: fc.array(keyOf, { maxLength: 4 }),
    window,
    aggregates: fc.array(aggregateOf, { minLength: 1, maxLength: 4 }),
  })
  .chain(({ where, keys, window, aggregates }) => {
    const named = Object.fromEntries(aggregates.map((a, i) => [`a${i}`, a]));
    const numeric = aggregates.flatMap((a, i) => ((a.fn === 'min' || a.fn === 'max') && 'name' in a.of && a.of.name.endsWith('datetime') ? [] : [`a${i}`]));
    return fc.option(numeric.length > 0 ? having(numeric) : fc.constant(undefined), { nil: undefined }).map((test) =>
      l.view({
        name: 'random',
        ...(where === undefined ? {} : { where: where.condition }),
        by: Object.fromEntries(keys.map((key, i) => [`k${i}`, key])),
        window,
        aggregates: named,
        ...(test === undefined ? {} : { having: test }),
      }),
    );
  }); // biome-ignore format: a part a line

describe('compiled views', () => {
  it('give what a naive group-by gives, over any trips and any view', () => {
    fc.assert(
      fc.property(view, fc.array(trip, { maxLength: 40, size: 'max' }), fc.integer({ min: 1, max: 40 }), (v, trips, batch) => {
        const found = results(v, trips, batch);
        const expected = groupBy(v, trips);
        const keys = Object.keys(v.by);
        const id = (doc: Record<string, unknown>) => JSON.stringify([doc['window_start'], ...keys.map((k) => doc[k])]);
        const byId = (a: Record<string, unknown>, b: Record<string, unknown>) => (id(a) < id(b) ? -1 : 1);
        assert.deepEqual([...found].sort(byId), plain([...expected].sort(byId)));
      }),
      { numRuns: 1_000 },
    ); // biome-ignore format: one property
  });

  it('let results leave by window, then in the order of their keys', () => {
    fc.assert(
      fc.property(fc.array(trip, { maxLength: 40, size: 'max' }), (trips) => {
        const v = l.view({
          name: 'ordered',
          by: {
            kind: l.choose([[l.gt(l.field('trip_distance'), 1), 'long']], 'a short one'),
            vendor: l.field('vendor_id'),
            zone: l.field('pickup_zone'),
            place: l.geohash('pickup', 7),
          },
          window: l.tumbling('10m'),
          aggregates: { n: l.count() },
        });
        const found = results(v, trips).map((doc) => [doc['window_start'], doc['kind'], doc['vendor'], doc['zone'], doc['place']] as const);
        const before = (a: (typeof found)[number], b: (typeof found)[number]) => {
          for (const [i, x] of a.entries()) if (x !== b[i]) return (x as string) < (b[i] as string);
          return false;
        };
        for (let i = 1; i < found.length; i++) {
          assert.ok(before(found[i - 1]!, found[i]!), `${found[i - 1]!.join(' ')} before ${found[i]!.join(' ')}`);
        }
      }),
      { numRuns: 200 },
    ); // biome-ignore format: one property
  });

  it('sum to the same last bit in any order, and to the exact sum, rounded once', () => {
    // Two doubles have 106 bits: sums below 2^46 of parts of 2^-59, the last bit of a cent.
    const amounts = fc.array(
      fc.oneof(
        fc.integer({ min: -5_000, max: 100_000 }).map((cents) => cents / 100),
        fc.double({ min: -1e6, max: 1e6, noNaN: true }).filter((x) => x === 0 || Math.abs(x) >= 0.01),
        // Large ones that cancel out are the hardest.
        fc.constantFrom(1e12, -1e12, 1e9, -1e9, 0.1, -0.1),
      ),
      { minLength: 1, maxLength: 60, size: 'max' },
    );
    const v = l.view({
      name: 'sums',
      by: {},
      window: l.tumbling('1h'),
      aggregates: { total: l.sum(l.field('total_amount')), mean: l.avg(l.field('total_amount')) },
    });
    fc.assert(
      fc.property(
        amounts.chain((all) =>
          fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
        ),
        (orders) => {
          const exact = exactSum(orders[0]);
          for (const order of orders) {
            const [doc] = results(
              v,
              order.map((total_amount) => ({ dropoff_datetime: new Date(NOON).toISOString(), total_amount })),
            );
            assert.deepEqual(plain([doc!]), plain([{ ...doc, total: exact, mean: exact / order.length }]));
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it('take no cell for one of another length, nor a missing one for a word that is no cell', () => {
    const where = cellCenter('0s');
    const place = {
      pickup_lat: where.lat,
      pickup_lon: where.lon,
      dropoff_datetime: new Date(NOON).toISOString(),
    };
    const nowhere = { dropoff_datetime: new Date(NOON).toISOString() };
    const counted = (test: l.Expression) => {
      const v = l.view({
        name: 'v',
        where: test,
        by: {},
        window: l.tumbling('1h'),
        aggregates: { n: l.count() },
      });
      return results(v, [place, nowhere])[0]?.['n'] ?? 0;
    };
    const cell = l.geohash('pickup', 2);
    assert.equal(counted(l.eq(cell, '0s')), 1);
    for (const other of ['s', '00s', 'CMT', '', 'aa']) {
      assert.equal(counted(l.eq(cell, other)), 0, other);
      assert.equal(counted(l.ne(cell, other)), 1, other);
    }
  });

  it('tell late trips from used and from filtered ones', () => {
    const columns = new TripColumns();
    const v = l.view({ name: 'v', where: l.gt(l.field('trip_distance'), 1), by: {}, window: l.sliding('10m', '5m'), aggregates: { n: l.count() } }); // biome-ignore format: one view
    const panes = panesOf(v, columns);
    columns.reset(5);
    columns.numbers.trip_distance.set([0, 2, 2, 2, 2]);
    const minutes = [1, 1, 6, 11, 2];
    fired(panes, NOON + 10 * MINUTE - 1);
    const outcomes = new Uint8Array([0, 0, 0, 0, OUTCOME.skip]);
    panes.view.accumulate(
      0,
      5,
      Float64Array.from(minutes, (m) => NOON + m * MINUTE),
      outcomes,
      panes,
    );
    assert.deepEqual(
      [...outcomes],
      // The trip at 6 is too late for one of its two windows only.
      [0, OUTCOME.late, OUTCOME.used | OUTCOME.partly, OUTCOME.used, OUTCOME.skip],
    );
    assert.deepEqual(documents(fired(panes, Number.POSITIVE_INFINITY)).map((doc) => doc['n']), [2, 1]); // biome-ignore format: one line
  });
});

describe('the default views', () => {
  const at = (lat: number, lon: number) => ({
    pickup_lat: 40.75,
    pickup_lon: -73.99,
    dropoff_lat: lat,
    dropoff_lon: lon,
  });
  const minutes = (n: number) => new Date(NOON + n * MINUTE).toISOString();
  const ride = (more: Partial<Trip>, from = 0, to = 9): Trip => ({
    pickup_datetime: minutes(from),
    dropoff_datetime: minutes(to),
    ...more,
  });
  const [pickups, durations] = taxiViews() as [l.View, l.View];
  const airports = (trips: Trip[]) =>
    results(durations, trips).map((doc) => [doc['airport_code'], doc['trip_count']]);

  it('take coordinates for the airport, a zone only without them', () => {
    const jfk = at(40.64, -73.78);
    const lga = at(40.77, -73.87);
    const elsewhere = at(40.7, -73.9);
    const twice = (more: Partial<Trip>) => [ride(more), ride(more)];
    assert.deepEqual(airports(twice(jfk)), [['JFK', 2]]);
    assert.deepEqual(airports(twice(lga)), [['LGA', 2]]);
    assert.deepEqual(airports(twice(elsewhere)), []);
    const unplaced = { pickup_lat: 40.75, pickup_lon: -73.99 };
    assert.deepEqual(airports(twice({ ...unplaced, dropoff_zone: 132 })), [['JFK', 2]]);
    assert.deepEqual(airports(twice({ ...unplaced, dropoff_zone: 138 })), [['LGA', 2]]);
    for (const zone of [264, 265, 1]) {
      assert.deepEqual(airports(twice({ ...unplaced, dropoff_zone: zone })), []);
      assert.deepEqual(airports(twice({ ...jfk, dropoff_zone: zone })), [['JFK', 2]]);
    }
    assert.deepEqual(airports(twice({ ...elsewhere, dropoff_zone: 132 })), []);
    assert.deepEqual(airports([ride(jfk)]), [], 'one trip alone does not matter');
  });

  it('take the edges of an area for part of it', () => {
    for (const [lat, lon] of [
      [40.632, -73.8],
      [40.654, -73.761],
    ] as const) {
      assert.deepEqual(airports([ride(at(lat, lon)), ride(at(lat, lon))]), [['JFK', 2]]);
    }
    for (const [lat, lon] of [
      [40.6319999, -73.8],
      [40.654, -73.7609999],
    ] as const) {
      assert.deepEqual(airports([ride(at(lat, lon)), ride(at(lat, lon))]), []);
    }
  });

  it('count whole minutes, truncated', () => {
    const jfk = at(40.64, -73.78);
    const [doc] = results(durations, [
      ride(jfk, 0, 9),
      { ...ride(jfk, 0, 8), pickup_datetime: new Date(NOON + 1).toISOString() },
    ]);
    assert.deepEqual([doc!['sum_trip_duration'], doc!['avg_trip_duration']], [9 + 7, 8]);
  });

  it('leave out what has no coordinates, and single pick-ups', () => {
    const somewhere = at(40.7, -73.9);
    const trips = [ride({}), ride({}), ride(somewhere), ride({ ...somewhere, pickup_lat: 40.8 })];
    assert.deepEqual(results(pickups, trips), []);
    const [doc] = results(pickups, [...trips, ride(somewhere)]);
    assert.deepEqual(doc, {
      view: 'pickup_count',
      window_start: '2016-01-01T12:00:00.000Z',
      window_end: '2016-01-01T12:10:00.000Z',
      timestamp: '2016-01-01T12:09:59.999Z',
      location: 'dr5ru6',
      pickup_count: 2,
    });
  });
});
