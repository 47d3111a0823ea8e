/** What a view's results look like in OpenSearch, and how a mapping that doesn't fit is told. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  checkedPrefix,
  compareMapping,
  differences,
  firstIndex,
  indexName,
  type LiveMapping,
  mappingOf,
  templateOf,
} from '../../src/opensearch/templates.ts';
import {
  avg,
  choose,
  count,
  countDistinct,
  field,
  geohash,
  gt,
  max,
  min,
  minutesBetween,
  sliding,
  sum,
  tumbling,
  type View,
  view,
} from '../../src/views/language.ts';
import { taxiViews } from '../../src/views/taxi.ts';

const [PICKUPS, DURATIONS] = taxiViews() as [View, View];
const TIMES = { window_start: { type: 'date' }, window_end: { type: 'date' }, timestamp: { type: 'date' } };

/** A view with every kind of key and aggregate. */
const EVERYTHING = view({
  name: 'everything',
  by: {
    start: geohash('pickup', 5),
    end: geohash('dropoff', 1),
    vendor: field('vendor_id'),
    zone: field('pickup_zone'),
    riders: field('passenger_count'),
    hour: field('pickup_datetime'),
    size: choose([[gt(field('trip_distance'), 5), 'long']], 'short'),
    share: choose([[gt(field('trip_distance'), 5), 1.5]], 1),
  },
  window: sliding('1h', '10m'),
  aggregates: {
    trips: count(),
    vendors: countDistinct(field('vendor_id')),
    miles: sum(field('trip_distance')),
    minutes: sum(minutesBetween(field('pickup_datetime'), field('dropoff_datetime'))),
    mean: avg(minutesBetween(field('pickup_datetime'), field('dropoff_datetime'))),
    first: min(field('pickup_datetime')),
    dearest: max(field('total_amount')),
    lowest_zone: min(field('pickup_zone')),
  },
});

describe('mapping', () => {
  test('of the two views of the reference', () => {
    const [keyword, long, double] = [{ type: 'keyword' }, { type: 'long' }, { type: 'double' }];
    assert.deepEqual(mappingOf(PICKUPS), {
      dynamic: 'strict',
      properties: { view: keyword, ...TIMES, location: { type: 'geo_point' }, pickup_count: long },
    });
    assert.deepEqual(mappingOf(DURATIONS), {
      dynamic: 'strict',
      properties: {
        ...{ view: keyword, ...TIMES, location: { type: 'geo_point' }, airport_code: keyword },
        ...{ trip_count: long, sum_trip_duration: long, avg_trip_duration: double },
      },
    });
  });

  test("of a user's own view: every kind of key and aggregate", () => {
    const types = Object.fromEntries(
      Object.entries(mappingOf(EVERYTHING).properties).map(([name, { type }]) => [name, type]),
    );
    assert.deepEqual(types, {
      ...{ view: 'keyword', window_start: 'date', window_end: 'date', timestamp: 'date' },
      ...{ start: 'geo_point', end: 'geo_point', vendor: 'keyword', zone: 'long', riders: 'double' },
      ...{ hour: 'date', size: 'keyword', share: 'double' },
      ...{ trips: 'long', vendors: 'long', miles: 'double', minutes: 'long', mean: 'double' },
      ...{ first: 'date', dearest: 'double', lowest_zone: 'long' },
    });
  });
});

describe('names', () => {
  test('are those of the reference, after the prefix', () => {
    assert.equal(indexName('', 'pickup_count'), 'pickup_count');
    assert.equal(indexName('nyc-', 'trip_duration'), 'nyc-trip_duration');
    assert.equal(firstIndex('nyc-', 'trip_duration'), 'nyc-trip_duration-000001');
  });

  for (const prefix of ['', 'nyc-', 'a.b_c-', '2016-']) {
    test(`"${prefix}" may begin a name`, () => assert.equal(checkedPrefix(prefix), prefix));
  }
  for (const prefix of ['NYC-', '-x', '_x', '.x', 'a b', 'a*', 'a,b', 'a/b', 'a:b', 'ü', 'x'.repeat(101)]) {
    test(`"${prefix}" may not`, () => {
      assert.throws(() => checkedPrefix(prefix), { code: 'usage', exitCode: 2 });
    });
  }

  test('a template of a longer name wins over one whose pattern covers it', () => {
    const short = templateOf('', { ...PICKUPS, name: 'a' });
    const long = templateOf('a-', { ...PICKUPS, name: 'b' });
    assert.deepEqual(short.index_patterns, ['a', 'a-*']);
    assert.ok(long.priority > short.priority, 'a-b is not a rollover of a');
  });
});

describe('differences', () => {
  const expected = mappingOf(
    view({
      name: 'v',
      by: { location: geohash('pickup', 6) },
      window: tumbling('1h'),
      aggregates: { n: count() },
    }),
  );
  const changed = (
    fields: Record<string, Record<string, unknown> | undefined>,
    dynamic: unknown = 'strict',
  ): LiveMapping => {
    const properties: Record<string, Record<string, unknown>> = { ...expected.properties } as never;
    for (const [name, value] of Object.entries(fields)) {
      if (value === undefined) delete properties[name];
      else properties[name] = value;
    }
    return dynamic === 'left out' ? { properties } : { dynamic, properties };
  };

  /** A mapping of an index, what contradicts the view, and what is different all the same. */
  const CASES: readonly [string, LiveMapping, string[], string[]][] = [
    ['the same', changed({}), [], []],
    [
      'no mapping at all',
      {},
      ['view', 'window_start', 'window_end', 'timestamp', 'location', 'n'],
      ['dynamic is true'],
    ],
    ['another type', changed({ location: { type: 'text' } }), ['location is a text, not a geo_point'], []],
    ['an object', changed({ n: { properties: {} } }), ['n is a object, not a long'], []],
    ['a field too few', changed({ n: undefined }), ['n is missing; it should be a long'], []],
    [
      'another format',
      changed({ timestamp: { type: 'date', format: 'epoch_second' } }),
      ['timestamp has format "epoch_second"'],
      [],
    ],
    ['not searchable', changed({ n: { type: 'long', index: false } }), ['n has index false'], []],
    ['a field too many', changed({ more: { type: 'long' } }), [], ['more is there']],
    [
      'a harmless parameter',
      changed({ view: { type: 'keyword', ignore_above: 256 } }),
      [],
      ['view has ignore_above 256'],
    ],
    ['dynamic by default', changed({}, 'left out'), [], ['dynamic is true, not strict']],
    ['dynamic', changed({}, 'false'), [], ['dynamic is false, not strict']],
  ];
  for (const [name, live, contradictions, others] of CASES) {
    test(name, () => {
      const begin = (texts: string[], starts: string[]) =>
        texts.map((text, i) => (text.startsWith(starts[i] ?? '\0') ? starts[i] : text));
      assert.deepEqual(begin(differences(live, expected), contradictions), contradictions);
      const rest = compareMapping(live, expected).map(({ text }) => text);
      const others_ = rest.filter((text) => !differences(live, expected).includes(text));
      assert.deepEqual(begin(others_, others), others);
    });
  }
});
