/** The page's own computations. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { PLACES } from '../../scripts/outline.ts';
import { Cells } from '../../src/dashboard/page/cells.ts';
import { command, processCommand } from '../../src/dashboard/page/command.ts';
import { age } from '../../src/dashboard/page/format.ts';
import { Frames } from '../../src/dashboard/page/frames.ts';
import type { Place } from '../../src/dashboard/page/places.ts';
import { STEPS, stepOf, thresholds } from '../../src/dashboard/page/scale.ts';
import type { JobStatus, PickupWindow, WindowUpdate } from '../../src/dashboard/page/wire.ts';
import { windowUpdate } from '../../src/dashboard/windows.ts';
import { cell, cellCode } from '../../src/views/geohash.ts';

const HOUR = 3_600_000;

test('the scale rises from the smallest result, and its last step is used', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 1_000_000 }), (most) => {
      const scale = thresholds(most);
      assert.equal(scale.length, STEPS);
      assert.equal(scale[0], 2);
      for (let i = 1; i < STEPS; i++) assert.ok(scale[i]! > scale[i - 1]!, `${scale} rises`);
      assert.equal(stepOf(2, scale), 1);
      assert.equal(stepOf(0, scale), 0);
      if (most >= 20) assert.equal(stepOf(most, scale), STEPS, `${most} on ${scale}`);
    }),
  );
  assert.deepEqual(thresholds(101), [2, 4, 6, 10, 20, 30, 60]);
});

function pickups(start: number, counts: Record<string, number>): WindowUpdate {
  const docs = Object.entries(counts).map(([location, pickup_count]) => ({
    window_start: new Date(start).toISOString(),
    window_end: new Date(start + HOUR).toISOString(),
    location,
    pickup_count,
  }));
  return windowUpdate('pickup_count', docs)!;
}

test('windows come in any order and replace older versions, and gaps of up to a day are filled', () => {
  const frames = new Frames(new Cells([]));
  const day = Date.UTC(2016, 0, 14);
  frames.take([pickups(day + 3 * HOUR, { dr5ru7: 5 }), pickups(day, { dr5rsr: 2, dr5ru7: 3 })]);
  frames.take([pickups(day + HOUR, { dr5ru7: 9 })]);
  frames.take([pickups(day + 100 * HOUR, { dr5ru7: 1 })]);
  frames.take([pickups(day, { dr5ru7: 4 })]);
  const hours = frames.list.map(({ start, total }) => [(start - day) / HOUR, total]);
  assert.deepEqual(hours, [
    [0, 4],
    [1, 9],
    [2, 0],
    [3, 5],
    [100, 1],
  ]);
  assert.equal(frames.indexOf(day + 3 * HOUR), 3);
  assert.equal(frames.indexOf(day + 50 * HOUR), 3, 'the last one before');
  assert.equal(frames.indexOf(day - HOUR), 0);
  const shown = frames.list[3]!;
  assert.deepEqual(
    shown.cells.map((number) => frames.cells.all[number]!.geohash),
    ['dr5ru7'],
  );
});

test('cells are sent as differences, whatever the order of the results', () => {
  const { cells, counts } = pickups(0, { dr5ru7: 7, dr5rsr: 1, dr7000: 3 }) as PickupWindow;
  assert.deepEqual(counts, [1, 7, 3]);
  assert.equal(
    cells.reduce((sum, part) => sum + part),
    cellCode('dr7000'),
  );
  assert.equal(windowUpdate('pickup_count', []), undefined);
  assert.equal(
    windowUpdate('pickup_count', [{ location: 'dr5ru7', other: 1 }]),
    undefined,
    'a view of somebody else',
  );
});

test('an area has the name of the nearest place', () => {
  const cells = new Cells([
    ['Far', 'Bronx', -73.9, 40.85],
    ['Near', 'Queens', -73.786, 40.647],
  ]);
  const { name, borough, geohash } = cells.all[cells.numberOf(cellCode('dr5x0y'), 6)]!;
  assert.deepEqual([name, borough, geohash], ['Near', 'Queens', 'dr5x0y']);
  assert.equal(cells.numberOf(cellCode('dr5x0y'), 6), 0, 'known by then');
});

test('well-known areas have their common names', () => {
  const cells = new Cells(JSON.parse(readFileSync(PLACES, 'utf8')) as Place[]);
  const named = (lat: number, lon: number) => cells.all[cells.numberOf(cell(lat, lon, 6), 6)]!;
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

test('commands can be pasted: with app and folder, each quoted as a word', () => {
  const status = {
    app: 'a',
    dataDir: '.taxiflow',
    command: 'npx taxiflow',
    stream: 'local:s (id)',
  } as JobStatus;
  assert.equal(processCommand(status), '“npx taxiflow process --stream local:s --app a”');
  const odd = { ...status, command: 'taxiflow', dataDir: "/tmp/it's mine" };
  assert.equal(command('results', odd), `“taxiflow results --app a --data-dir '/tmp/it'\\''s mine'”`);
});

test('ages are shown in a fitting unit', () => {
  const ages = [0, 59_400, 60_000, 200_000, 3_600_000, 5_000_000, 90_000_000, 300_000_000].map(age);
  assert.deepEqual(ages, ['0 s', '59 s', '1 min', '3 min', '1 h 0 min', '1 h 23 min', '1 day', '3 days']);
});
