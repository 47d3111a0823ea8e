/** The page's own computations. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { OUTLINES_OF_ZONES, PLACES } from '../../scripts/outline.ts';
import { Areas, boxOf, coreBox } from '../../src/dashboard/page/areas.ts';
import { command, processCommand } from '../../src/dashboard/page/command.ts';
import { age, dayOf, localMs, timeOf, useZone, zoneWords } from '../../src/dashboard/page/format.ts';
import {
  captionOf,
  figureText,
  metricsOf,
  pictureOf,
  placeOf,
  wordKeys,
} from '../../src/dashboard/page/metrics.ts';
import type { Place } from '../../src/dashboard/page/places.ts';
import type { Column, JobStatus, ViewShape } from '../../src/dashboard/page/wire.ts';
import { loadZones, type StoredZones } from '../../src/dashboard/page/zones.ts';
import { shapeOf } from '../../src/dashboard/shapes.ts';
import { windowUpdate } from '../../src/dashboard/windows.ts';
import { ZONE_CENTROIDS } from '../../src/dataset/zone-centroids.ts';
import { cell, cellCode, cellText } from '../../src/views/geohash.ts';
import {
  avg,
  count,
  cumulating,
  field,
  geohash,
  percentile,
  session,
  sliding,
  tumbling,
  type View,
  view,
} from '../../src/views/language.ts';

const PLACED = JSON.parse(readFileSync(PLACES, 'utf8')) as Place[];
const ZONES = loadZones(JSON.parse(readFileSync(OUTLINES_OF_ZONES, 'utf8')) as StoredZones);

/** Not typed by its source, which is of the browser; it touches no element. */
const { largest } = (await import(new URL('../../src/dashboard/page/ranked.ts', import.meta.url).href)) as {
  largest(values: Float64Array, most: number): number[];
};

test('the greatest values come in order, of equal ones the first', () => {
  const values = fc.array(
    fc.oneof(fc.constant(Number.NaN), fc.integer({ min: -3, max: 6 }), fc.double({ noNaN: true })),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(values, fc.integer({ min: 1, max: 12 }), (all, most) => {
      const wanted = all
        .map((value, index) => ({ value, index }))
        .filter(({ value }) => !Number.isNaN(value))
        .sort((a, b) => (a.value < b.value ? 1 : a.value > b.value ? -1 : 0) || a.index - b.index)
        .slice(0, most)
        .map(({ index }) => index);
      assert.deepEqual(largest(Float64Array.from(all), most), wanted);
    }),
  );
});

const by = (keys: View['by']): ViewShape =>
  shapeOf(view({ name: 'own', by: keys, window: tumbling('1h'), aggregates: { trips: count() } }), 'dropoff');

/** The values of a column as they were in the results. */
function sent(column: Column): unknown[] {
  if (!('cells' in column)) return [...column];
  let code = 0;
  return column.cells.map((difference) => {
    code += difference;
    return cellText(code, column.precision);
  });
}

test('geohashes are sent as small differences, and rows keep together whatever their order', () => {
  const shape = by({ vendor: field('vendor_id'), location: geohash('pickup', 6) });
  const row = fc.record({
    vendor: fc.integer({ min: 1, max: 3 }),
    location: fc
      .tuple(
        fc.double({ min: 40.5, max: 41, noNaN: true }),
        fc.double({ min: -74.1, max: -73.7, noNaN: true }),
      )
      .map(([lat, lon]) => cellText(cell(lat, lon, 6), 6)),
    trips: fc.nat(99),
  });
  fc.assert(
    fc.property(fc.array(row, { maxLength: 30 }), (docs) => {
      const { keys, values, label } = windowUpdate(shape, 0, docs);
      const rows = values[0]!.map((trips, i) => [...keys.map((column) => sent(column)[i]), trips].join());
      assert.equal(label, 0);
      assert.deepEqual(rows.sort(), docs.map(({ vendor, location, trips }) => [vendor, location, trips].join()).sort()); // biome-ignore format: one comparison
      const cells = (keys[1] as { cells: readonly number[] }).cells;
      assert.ok(
        cells.slice(1).every((difference) => difference >= 0),
        'in order',
      );
    }),
  );
});

test('the picture of a view is that of its key and windows', () => {
  const pictures: [View, string][] = [
    [{ by: { cell: geohash('dropoff', 5) } }, 'map'],
    [{ by: { zone: field('pickup_zone') } }, 'map'],
    [{ by: { a: geohash('pickup', 6), b: geohash('dropoff', 6) } }, 'map'],
    [{ by: { vendor: field('vendor_id'), zone: field('dropoff_zone') } }, 'map'],
    [{ by: { vendor: field('vendor_id') } }, 'lines'],
    [{ by: {} }, 'lines'],
    [{ by: {}, window: cumulating('1d', '1h') }, 'lines'],
    [{ by: { vendor: field('vendor_id') }, window: sliding('1h', '30m') }, 'lines'],
    [
      { by: { vendor: field('vendor_id') }, top: { n: 3, order: [{ name: 'trips', descending: true }] } },
      'list',
    ],
    [
      { by: { zone: field('pickup_zone') }, top: { n: 3, order: [{ name: 'trips', descending: true }] } },
      'map',
    ],
    [{ by: { vendor: field('vendor_id') }, window: session('10m') }, 'sessions'],
    [{ by: { zone: field('pickup_zone') }, window: session('10m') }, 'sessions'],
  ].map(([more, picture]) => {
    const base = { name: 'own', window: tumbling('1h'), aggregates: { trips: count() } };
    return [view({ ...base, ...(more as Pick<View, 'by'>) }), picture as string];
  });
  for (const [own, picture] of pictures)
    assert.equal(pictureOf(shapeOf(own, 'dropoff')), picture, JSON.stringify(own));
});

test('the first place of a key is on the map, and what is no place is a word', () => {
  const shape = by({ vendor: field('vendor_id'), from: field('pickup_zone'), to: geohash('dropoff', 6) });
  assert.equal(placeOf(shape)?.name, 'from');
  assert.deepEqual(wordKeys(shape), [0, 2]);
  assert.deepEqual(
    shape.keys.map(({ kind, end }) => [kind, end]),
    [
      ['word', undefined],
      ['zone', 'pickup'],
      ['geohash', 'dropoff'],
    ],
  );
});

test('views and figures have words, also those named like what every object has', () => {
  for (const name of ['constructor', 'to_string', 'has_own_property', 'value_of']) {
    const own = view({ name, by: {}, window: tumbling('1h'), aggregates: { [name]: count(), mean: avg(field('fare_amount')) } }); // biome-ignore format: a view
    const [first] = metricsOf(shapeOf(own, 'dropoff'));
    assert.equal(first!.label, name.replaceAll('_', ' '));
    assert.match(captionOf(shapeOf(own, 'dropoff'), first!), new RegExp(`^${name}`));
  }
  const median = { p: percentile(field('trip_distance'), 0.5), q: percentile(field('trip_distance'), 0.9) };
  const [p] = metricsOf(shapeOf(view({ name: 'd', by: {}, window: tumbling('1h'), aggregates: median }), 'dropoff')); // biome-ignore format: a view
  assert.deepEqual(p!.band, [0, 1]);
});

test('figures are short, and none is a dash', () => {
  const text = (value: number | null | undefined) => figureText(value, { isTime: false });
  assert.deepEqual([0, 1_234_567, 12.345, 0.5, -0.125, -3, null, undefined, Number.NaN].map(text), [
    '0',
    '1,234,567',
    '12.3',
    '0.50',
    '-0.13',
    '-3',
    '–',
    '–',
    '–',
  ]);
  assert.equal(figureText(Date.UTC(2016, 0, 14, 18, 40, 5), { isTime: true }), '2016-01-14 18:40:05');
});

test('times are as they stand in the files, or on the clock of the zone of the views', (t) => {
  t.after(() => useZone(undefined));
  const noon = Date.UTC(2016, 6, 4, 12);
  assert.deepEqual([timeOf(noon), zoneWords()], ['12:00', 'time as in the files']);
  useZone('America/New_York');
  assert.deepEqual([timeOf(noon), zoneWords()], ['08:00', 'America/New_York time']);
  assert.match(dayOf(Date.UTC(2016, 0, 14, 3)), /^Wednesday,? 13 January 2016$/);
  const two = '2-digit' as const;
  const clock = new Intl.DateTimeFormat('en-US', { timeZone: 'America/New_York', hourCycle: 'h23', hour: two, minute: two, second: two }); // biome-ignore format: one format
  fc.assert(
    fc.property(fc.integer({ min: Date.UTC(2009, 0), max: Date.UTC(2026, 0) }), (ms) => {
      const shown = new Date(localMs(ms)).toISOString().slice(11, 19);
      const wanted = clock.format(ms);
      assert.equal(shown, wanted, new Date(ms).toISOString());
    }),
  );
});

test('an area has the name of the nearest place', () => {
  const areas = new Areas(
    [
      ['Far', 'Bronx', -73.9, 40.85],
      ['Near', 'Queens', -73.786, 40.647],
    ],
    new Map(),
  );
  const { name, borough, code } = areas.all[areas.ofCell(cellCode('dr5x0y'), 6)]!;
  assert.deepEqual([name, borough, code], ['Near', 'Queens', 'dr5x0y']);
  assert.equal(areas.ofCell(cellCode('dr5x0y'), 6), 0, 'known by then');
  assert.equal(areas.find('dr5x0y'), 0);
  assert.equal(areas.find('dr5x0z'), undefined);
});

test('well-known areas have their common names', () => {
  const areas = new Areas(PLACED, ZONES);
  const named = (lat: number, lon: number) => areas.all[areas.ofCell(cell(lat, lon, 6), 6)]!;
  for (const [lat, lon, name, borough] of [
    [40.758, -73.9855, 'Times Square', 'Manhattan'],
    [40.7527, -73.9772, 'Grand Central', 'Manhattan'],
    [40.6446, -73.7822, 'JFK Airport', 'Queens'],
    [40.7735, -73.8717, 'LaGuardia Airport', 'Queens'],
    [40.6928, -73.9903, 'Downtown Brooklyn', 'Brooklyn'],
  ] as const) {
    assert.deepEqual([named(lat, lon).name, named(lat, lon).borough], [name, borough]);
  }
});

/** The cells in which `replay` puts trips of files without coordinates. */
const centroidCells = [...ZONE_CENTROIDS.values()].map(([lat, lon]) => cell(lat, lon, 6));

test('cells of trips that name zones only are drawn as these zones', () => {
  const areas = new Areas(PLACED, ZONES);
  for (const code of centroidCells.slice(0, 10)) areas.ofCell(code, 6);
  assert.equal(areas.drawsZones, false, 'ten cells say little');
  for (const code of centroidCells) areas.ofCell(code, 6);
  assert.equal(areas.drawsZones, true);
  assert.ok(areas.all.every(({ isCell, polygons }) => !isCell && polygons.length > 0));
  const [lat, lon] = ZONE_CENTROIDS.get(132)!;
  const jfk = areas.all[areas.find(cellText(cell(lat, lon, 6), 6))!]!;
  assert.equal(jfk.name, 'JFK Airport');
  assert.deepEqual(jfk.polygons, ZONES.get(132)!.rings);
});

test('a cell that holds several centres is all of their zones', () => {
  const areas = new Areas(PLACED, ZONES);
  const coarse = [...ZONE_CENTROIDS].map(([id, [lat, lon]]) => [id, cell(lat, lon, 5)] as const);
  for (const [, code] of coarse) areas.ofCell(code, 5);
  assert.equal(areas.drawsZones, true);
  for (const area of areas.all) {
    const ids = coarse.filter(([, code]) => cellText(code, 5) === area.code).map(([id]) => id);
    const names = new Set(ids.map((id) => ZONES.get(id)!.name));
    for (const name of names) assert.ok(area.name.includes(name), `${name} in ${area.name}`);
    const rings = ids.reduce((sum, id) => sum + ZONES.get(id)!.rings.length, 0);
    assert.equal(area.polygons.length, rings, area.name);
  }
});

test('with the first cell of a coordinate, zones become cells again, whose figures are kept by number', () => {
  const areas = new Areas(PLACED, ZONES);
  for (const code of centroidCells) areas.ofCell(code, 6);
  const before = areas.all.map(({ code }) => code);
  const { version } = areas;
  const own = areas.ofCell(cellCode('dr5ru7'), 6);
  assert.ok(!centroidCells.includes(cellCode('dr5ru7')), 'no centre of a zone');
  assert.equal(areas.drawsZones, false);
  assert.ok(areas.version > version, 'so that the map is drawn anew');
  assert.ok(areas.all.every(({ isCell }) => isCell));
  assert.deepEqual(
    areas.all.map(({ code }) => code),
    [...before, 'dr5ru7'],
  );
  assert.equal(own, before.length);
  assert.deepEqual(
    areas.all.map(({ index }) => index),
    areas.all.map((_, i) => i),
  );
});

test('a view by zone numbers is drawn as zones, without a place where the TLC knows none', () => {
  const areas = new Areas(PLACED, ZONES);
  const [jfk, unknown, odd] = [132, 264, 999].map((id) => areas.all[areas.ofZone(id)]!);
  assert.deepEqual([jfk!.name, jfk!.code, jfk!.isCell], ['JFK Airport', '132', false]);
  assert.deepEqual([unknown!.name, unknown!.polygons], ['Unknown', []]);
  assert.equal(odd!.name, 'Zone 999');
  assert.equal(areas.ofZone(132), jfk!.index);
  assert.equal(boxOf(unknown!.polygons), undefined);
});

test('the part of the city with nearly all of the data leaves single far cells out', () => {
  const areas = new Areas(PLACED, ZONES);
  const core = [
    [40.75, -73.98],
    [40.76, -73.97],
    [40.7, -74.0],
  ].map(([lat, lon]) => areas.ofCell(cell(lat!, lon!, 6), 6));
  const far = areas.ofCell(cell(40.95, -73.4, 6), 6);
  const sea = areas.ofCell(cell(0, 0, 6), 6);
  const limits = { west: -75, south: 40, east: -73, north: 42 };
  const weights = new Float64Array(5);
  weights[sea] = 1_000;
  for (const area of core) weights[area] = 500;
  weights[far] = 2;
  const box = coreBox(areas.all, weights, limits)!;
  for (const area of core) {
    const own = boxOf(areas.all[area]!.polygons)!;
    assert.ok(own.west >= box.west && own.east <= box.east, 'from west to east');
    assert.ok(own.south >= box.south && own.north <= box.north, 'from south to north');
  }
  assert.ok(box.east < -73.9 && box.north < 40.8, 'without the far cell');
  weights[far] = 100;
  assert.ok(coreBox(areas.all, weights, limits)!.east > -73.5, 'which is in it if it is not alone');
  assert.ok(coreBox(areas.all, weights, limits)!.south > 40.6, 'but never what is out of its limits');
  assert.equal(coreBox(areas.all, new Float64Array(5), limits), undefined);
});

test('commands can be pasted: as taxiflow was called, with app and folder, each quoted as a word', () => {
  const status = {
    app: 'a',
    dataDir: '.taxiflow',
    stream: 'local:s (id)',
    command: 'npx taxiflow',
  } as JobStatus;
  assert.equal(processCommand(status), '“npx taxiflow process --stream local:s --app a”');
  const odd = { ...status, dataDir: "/tmp/it's mine" };
  assert.equal(command('results', odd), `“npx taxiflow results --app a --data-dir '/tmp/it'\\''s mine'”`);
  const none = { ...status, app: null, stream: undefined } as unknown as JobStatus;
  assert.equal(processCommand(none), '“npx taxiflow process”');
});

test('ages are shown in a fitting unit', () => {
  const ages = [0, 59_400, 60_000, 200_000, 3_600_000, 5_000_000, 90_000_000, 300_000_000].map(age);
  assert.deepEqual(ages, ['0 s', '59 s', '1 min', '3 min', '1 h 0 min', '1 h 23 min', '1 day', '3 days']);
});
