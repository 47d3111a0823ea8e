/** Figures of areas, keys and whole windows, against plain sums over the results that they come from. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Areas } from '../../src/dashboard/page/areas.ts';
import {
  areaSeries,
  byArea,
  byWords,
  type Filter,
  wholeOf,
  wholeSeries,
  wordSeries,
} from '../../src/dashboard/page/figures.ts';
import { Frames } from '../../src/dashboard/page/frames.ts';
import { keysOf, type Metric, metricsOf } from '../../src/dashboard/page/metrics.ts';
import type { Total, TotalUpdate, ViewShape } from '../../src/dashboard/page/wire.ts';
import { windowUpdate } from '../../src/dashboard/windows.ts';
import type { ResultDocument } from '../../src/state/results.ts';

const HOUR = 3_600_000;
const DAY = Date.UTC(2016, 0, 14);
const HOURS = 4;
const CELLS = ['dr5rsr', 'dr5ru7', 'dr5x0y', 'dr72h8'];
const VENDORS = ['1', '2', 'Ride & Co'];
const TYPES = ['airport', 'street'];

const SHAPE: ViewShape = {
  name: 'fares',
  time: 'dropoff',
  window: { kind: 'tumbling', size_ms: HOUR },
  keys: [
    { name: 'vendor', kind: 'word' },
    { name: 'cell', kind: 'geohash', end: 'pickup' },
    { name: 'type', kind: 'word' },
  ],
  aggregates: [
    { name: 'trips', fn: 'count', isTime: false },
    { name: 'miles', fn: 'sum', of: 'trip_distance', isTime: false },
    { name: 'average', fn: 'avg', of: 'total_amount', isTime: false },
    { name: 'shortest', fn: 'min', of: 'trip_distance', isTime: false },
    { name: 'longest', fn: 'max', of: 'trip_distance', isTime: false },
  ],
  isCut: true,
};
const [TRIPS, MILES, AVERAGE, SHORTEST, LONGEST] = metricsOf(SHAPE) as [
  Metric,
  Metric,
  Metric,
  Metric,
  Metric,
];
const JOINED: readonly (readonly [Metric, (values: readonly number[]) => number])[] = [
  [TRIPS, (values) => values.reduce((a, b) => a + b)],
  [MILES, (values) => values.reduce((a, b) => a + b)],
  [SHORTEST, (values) => Math.min(...values)],
  [LONGEST, (values) => Math.max(...values)],
];

interface Doc {
  readonly vendor: string;
  readonly cell: string;
  readonly type: string;
  readonly trips: number;
  readonly miles: number;
  readonly average: number | null;
  readonly shortest: number | null;
  readonly longest: number | null;
}

/** Results of a window: one a key at most. Whole numbers, so that sums are exact in any order. */
const docs: fc.Arbitrary<Doc[]> = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...VENDORS), fc.constantFrom(...CELLS), fc.constantFrom(...TYPES)), {
    selector: String,
    maxLength: 12,
  })
  .chain((keys) =>
    fc.tuple(
      ...keys.map(([vendor, cell, type]) =>
        fc.record(
          {
            vendor: fc.constant(vendor),
            cell: fc.constant(cell),
            type: fc.constant(type),
            trips: fc.integer({ min: 1, max: 50 }),
            miles: fc.integer({ min: -9, max: 500 }),
            average: fc.option(fc.integer({ min: 1, max: 90 })),
            shortest: fc.option(fc.integer({ min: 0, max: 9 })),
            longest: fc.option(fc.integer({ min: 9, max: 30 })),
          },
          { noNullPrototype: true },
        ),
      ),
    ),
  );
const windows = fc.array(docs, { minLength: HOURS, maxLength: HOURS });
const filter: fc.Arbitrary<Filter> = fc
  .tuple(fc.option(fc.constantFrom(...VENDORS)), fc.option(fc.constantFrom(...TYPES)))
  .map(([vendor, type]) => {
    const found = new Map<number, string>();
    if (vendor !== null) found.set(0, vendor);
    if (type !== null) found.set(1, type);
    return found;
  });

const label = (hour: number) => DAY + hour * HOUR;

function loaded(
  all: readonly (readonly Doc[])[],
  shape = SHAPE,
  totals: readonly TotalUpdate[] = [],
): Frames {
  const frames = new Frames(new Areas([], new Map()));
  frames.begin(
    shape,
    all.map((_, hour) => label(hour)),
    totals,
  );
  // Numbers of areas depend on the order in which windows come.
  for (const hour of [2, 0, 3, 1])
    if (all[hour]) frames.take([windowUpdate(shape, label(hour), all[hour] as unknown as ResultDocument[])]);
  return frames;
}

const wanted = (all: readonly Doc[], chosen: Filter) =>
  all.filter(({ vendor, type }) => (chosen.get(0) ?? vendor) === vendor && (chosen.get(1) ?? type) === type);

/** What some results are together; NaN if there is none with a value. */
function together(of: readonly Doc[], { name }: Metric, join: (values: readonly number[]) => number): number {
  const values = of.flatMap((doc) => doc[name as 'trips'] ?? []);
  return values.length === 0 ? Number.NaN : join(values);
}

test('each area has the figure of its results with the chosen words, in each window', () => {
  fc.assert(
    fc.property(windows, filter, (all, chosen) => {
      const frames = loaded(all);
      const areas = frames.areas.all;
      for (const [hour, { rows }] of frames.list.entries()) {
        const mine = wanted(all[hour]!, chosen);
        for (const [metric, join] of JOINED) {
          const found = byArea(rows, metric, chosen, areas.length);
          assert.equal(found.length, areas.length);
          for (const { index, code } of areas)
            assert.deepEqual(
              found[index],
              together(
                mine.filter(({ cell }) => cell === code),
                metric,
                join,
              ),
              `${metric.name} of ${code}`,
            );
        }
      }
      for (const { index, code } of areas) {
        for (const [metric, join] of JOINED) {
          const { values } = areaSeries(frames, index, metric, chosen);
          const through = all.map((docs) =>
            together(
              wanted(docs, chosen).filter(({ cell }) => cell === code),
              metric,
              join,
            ),
          );
          assert.deepEqual([...values], through, `${metric.name} of ${code} through time`);
        }
      }
    }),
  );
});

test('averages of several keys make none, and with one word of each key they are as they are', () => {
  assert.equal(AVERAGE.combine, undefined);
  fc.assert(
    fc.property(windows, fc.constantFrom(...VENDORS), fc.constantFrom(...TYPES), (all, vendor, type) => {
      const frames = loaded(all);
      const chosen = new Map([
        [0, vendor],
        [1, type],
      ]);
      for (const [hour, frame] of frames.list.entries()) {
        const found = byArea(frame.rows, AVERAGE, chosen, frames.areas.all.length);
        for (const { index, code } of frames.areas.all) {
          const doc = wanted(all[hour]!, chosen).find(({ cell }) => cell === code);
          assert.deepEqual(found[index], doc?.average ?? Number.NaN);
        }
        if (wanted(all[hour]!, new Map()).length > 1)
          assert.equal(wholeOf(frame, AVERAGE, new Map()), undefined, 'of the whole window');
      }
    }),
  );
});

test('keys have the figures of their results of all areas', () => {
  fc.assert(
    fc.property(docs, filter, (all, chosen) => {
      const frames = loaded([all]);
      const { rows } = frames.list[0]!;
      for (const [metric, join] of JOINED) {
        const found = byWords(rows!, keysOf(SHAPE), metric, chosen);
        const mine = wanted(all, chosen);
        const names = new Map(mine.map((doc) => [`${nameOf(doc.vendor)} · ${doc.type}`, doc]));
        assert.deepEqual([...found.keys()].sort(), [...names.keys()].sort());
        for (const [name, { vendor, type }] of names) {
          const same = mine.filter((doc) => doc.vendor === vendor && doc.type === type);
          assert.deepEqual(found.get(name), together(same, metric, join), `${metric.name} of ${name}`);
        }
      }
    }),
  );
});

/** A number alone says nothing. */
const nameOf = (vendor: unknown) => (/^\d+$/.test(String(vendor)) ? `vendor ${vendor}` : String(vendor));

/** A total of results, as the engine would have it of trips. */
function totalOf(of: readonly Doc[]): Total {
  const value = (metric: Metric, join: (values: readonly number[]) => number) => {
    const found = together(of, metric, join);
    return Number.isNaN(found) ? null : found;
  };
  const [trips, miles, shortest, longest] = JOINED.map(([metric, join]) => value(metric, join));
  // An average of its own, which is not that of the averages.
  const average = of.length === 0 ? null : 7 + of.length;
  const n = trips ?? 0;
  return { values: [n, miles!, average, shortest!, longest!], of: [n, n, n, n, n] };
}

function totalUpdate(hour: number, all: readonly Doc[]): TotalUpdate {
  const keys = new Map(all.map(({ vendor, type }) => [`${vendor} ${type}`, [vendor, type] as const]));
  return {
    label: label(hour),
    start: label(hour),
    end: label(hour + 1),
    keys: all.length,
    all: totalOf(all),
    groups: [...keys.values()].map(([vendor, type]) => ({
      key: [vendor, type],
      ...totalOf(all.filter((doc) => doc.vendor === vendor && doc.type === type)),
    })),
  };
}

test('whole windows are what they were before results were left out, also with chosen words', () => {
  fc.assert(
    fc.property(windows, filter, (all, chosen) => {
      const totals = all.map((docs, hour) => totalUpdate(hour, docs));
      // The view itself shows only what has many trips.
      const shown = all.map((docs) => docs.filter(({ trips }) => trips > 25));
      const frames = loaded(shown, SHAPE, totals);
      for (const [metric, join] of JOINED) {
        const { values } = wholeSeries(frames, metric, chosen);
        const through = all.map((docs) => together(wanted(docs, chosen), metric, join));
        if (metric === TRIPS && chosen.size === 0)
          for (const [hour, value] of through.entries()) if (Number.isNaN(value)) through[hour] = 0;
        assert.deepEqual([...values], through, metric.name);
      }
      for (const [hour, docs] of all.entries()) {
        const average = wholeOf(frames.list[hour]!, AVERAGE, chosen)?.values[AVERAGE.at] ?? null;
        const mine = wanted(docs, chosen);
        const groups = new Set(mine.map(({ vendor, type }) => `${vendor} ${type}`));
        const isOne = chosen.size === 0 || groups.size === 1;
        assert.equal(average, isOne ? totalOf(mine).values[AVERAGE.at] : null, 'the average of one group');
      }
    }),
  );
});

test('without totals, a window is what its results are together', () => {
  fc.assert(
    fc.property(windows, filter, (all, chosen) => {
      const frames = loaded(all);
      for (const [metric, join] of JOINED) {
        const { values } = wholeSeries(frames, metric, chosen);
        const through = all.map((docs) => together(wanted(docs, chosen), metric, join));
        assert.deepEqual([...values], through, metric.name);
      }
    }),
  );
});

const PLAIN: ViewShape = { ...SHAPE, keys: [{ name: 'vendor', kind: 'word' }], isCut: false };

test('of keys without a place, the heaviest have lines, and the pinned ones first', () => {
  const byVendor = fc.array(
    fc.uniqueArray(
      fc.record(
        { vendor: fc.constantFrom(...'abcdefgh'), trips: fc.integer({ min: 1, max: 100 }) },
        { noNullPrototype: true },
      ),
      { selector: ({ vendor }) => vendor },
    ),
    { minLength: HOURS, maxLength: HOURS },
  );
  const pins = fc.uniqueArray(fc.constantFrom('h', 'g', 'nobody'));
  fc.assert(
    fc.property(byVendor, pins, fc.integer({ min: 1, max: 5 }), (all, pinned, most) => {
      const frames = loaded(all as unknown as Doc[][], PLAIN);
      const found = wordSeries(frames, PLAIN, TRIPS, new Map(), most, pinned);
      const sums = new Map<string, number>();
      for (const { vendor, trips } of all.flat()) sums.set(vendor, (sums.get(vendor) ?? 0) + trips);
      const names = found.map(({ name }) => name);
      const known = pinned.filter((name) => sums.has(name));
      assert.deepEqual(names.slice(0, known.length), known);
      const rest = names.slice(known.length);
      assert.equal(names.length, Math.min(sums.size, Math.max(most, pinned.length)));
      const left = [...sums.keys()].filter((name) => !names.includes(name));
      for (const name of rest)
        for (const other of left) assert.ok(sums.get(name)! >= sums.get(other)!, `${name} before ${other}`);
      for (const { name, values } of found)
        assert.deepEqual(
          [...values],
          all.map((docs) => docs.find(({ vendor }) => vendor === name)?.trips ?? Number.NaN),
          name,
        );
    }),
  );
});

test('percentiles of one figure are a band, and those of another are none of it', () => {
  const percentile = (name: string, of: string, p: number) =>
    ({ name, fn: 'percentile', of, p, isTime: false }) as const;
  const shape: ViewShape = {
    ...PLAIN,
    keys: [],
    aggregates: [
      percentile('median', 'trip_distance', 0.5),
      percentile('p95', 'trip_distance', 0.95),
      percentile('tip', 'tip_amount', 0.5),
      percentile('p05', 'trip_distance', 0.05),
    ],
  };
  const [median, , tip] = metricsOf(shape);
  const frames = loaded([[{ median: 2, p95: 9, tip: 1, p05: 0.4 }], []] as unknown as Doc[][], shape);
  const { values, band } = wholeSeries(frames, median!, new Map());
  assert.deepEqual([...values], [2, Number.NaN]);
  assert.deepEqual(
    band?.map((end) => [...end]),
    [
      [0.4, Number.NaN],
      [9, Number.NaN],
    ],
  );
  assert.equal(wholeSeries(frames, tip!, new Map()).band, undefined);
});
