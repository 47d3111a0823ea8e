/** Local times become instants: around clock changes by a stated rule, and counted. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { Dataset, type DatasetCounts } from '../../src/dataset/dataset.ts';
import { LocalTimes } from '../../src/dataset/local-times.ts';
import { PLACE, TRIP_WIDTH } from '../../src/dataset/trips.ts';
import { timeZoneOf } from '../../src/events/time-zones.ts';
import { temporaryFolder } from '../files.ts';

const NY = timeZoneOf('America/New_York')!;
const HOUR = 3_600_000;

/** Local time of an instant as people read it, as if it were UTC; by another way than the code. */
function shown(instant: number, timeZone: string): number {
  const text = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' }).format(
    instant,
  );
  return Date.parse(`${text.replace(' ', 'T')}Z`);
}

async function read(t: TestContext, rows: readonly string[], timeZone: string | undefined) {
  const folder = temporaryFolder(t);
  const file = join(folder, 'trips.csv');
  writeFileSync(
    file,
    ['VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,total_amount', ...rows, ''].join('\n'),
  );
  const dataset = await Dataset.open({ paths: [file], dataDir: folder, timeZone });
  const trips: string[] = [];
  for await (const { values, count } of dataset.batches() as AsyncIterable<{
    values: Float64Array;
    count: number;
  }>)
    for (let i = 0; i < count; i++) {
      const at = i * TRIP_WIDTH;
      trips.push([PLACE.pickup_datetime, PLACE.dropoff_datetime].map((place) => new Date(values[at + place]!).toISOString().slice(5, 19)).join(' ')); // biome-ignore format: one line
    }
  const counts: DatasetCounts = dataset.counts;
  return { trips, counts };
}

describe('local times', () => {
  it('are instants in every zone and year: local time of an instant leads back to it, or to its twin an hour away', () => {
    const zone = fc.constantFrom('America/New_York', 'Europe/Berlin', 'Asia/Kolkata', 'Australia/Lord_Howe', 'America/St_Johns', 'UTC', 'Africa/Casablanca', 'America/Sao_Paulo'); // biome-ignore format: one list
    const instant = fc.integer({ min: Date.UTC(2009, 0, 1) / 1000, max: Date.UTC(2026, 0, 1) / 1000 });
    fc.assert(
      fc.property(zone, fc.array(instant, { maxLength: 20 }), fc.constantFrom(0, ...around()), fc.nat(7_200), (name, instants, change, after) => {
        const timeZone = timeZoneOf(name)!;
        for (const seconds of [...instants, ...(change === 0 ? [] : [change / 1_000 - 3_600 + after])]) {
          const ms = seconds * 1_000;
          assert.equal(timeZone.localOf(ms), shown(ms, name), `${name} ${ms}`);
          const local = timeZone.localOf(ms);
          const times = [timeZone.instantOf(local), timeZone.instantOf(local, 'second')];
          assert.ok(times.includes(ms), `${name} ${new Date(ms).toISOString()}`);
          assert.equal(timeZone.occurrences(local), times[0] === times[1] ? 'once' : 'twice');
          const day = timeZone.startOfDay(timeZone.dayOf(ms));
          assert.ok(day <= ms && timeZone.dayOf(day - 1) < timeZone.dayOf(ms));
        }
      }), // biome-ignore format: one property
      { numRuns: 300 },
    );
  });

  it('make the shortest trip where an hour comes twice, and what an unchanged clock shows where it never comes', async (t) => {
    const { trips, counts } = await read(
      t,
      [
        '1,2016-11-06 00:50:00,2016-11-06 01:10:00,1', // the first 01:10
        '1,2016-11-06 01:20:00,2016-11-06 01:40:00,2', // both the first
        '1,2016-11-06 01:50:00,2016-11-06 01:15:00,3', // past the change: the second 01:15
        '1,2016-11-06 01:55:00,2016-11-06 02:05:00,4', // the second 01:55
        '1,2016-03-13 01:50:00,2016-03-13 02:10:00,5', // 02:10 never came
        '1,2016-03-13 01:50:00,2016-03-13 03:05:00,6',
        '1,2016-03-13 01:50:00,2016-03-13 01:40:00,7', // ends before it begins
        '1,2016-07-01T12:00:00Z,2016-07-01 12:30:00-04,8', // say their zones
        '1,2016-07-01T12:00:00Z,2016-07-01 12:40:00,9', // one says its zone
      ],
      'America/New_York',
    );
    assert.deepEqual(trips, [
      '03-13T06:50:00 03-13T07:05:00',
      '03-13T06:50:00 03-13T07:10:00',
      '07-01T12:00:00 07-01T16:30:00',
      '07-01T12:00:00 07-01T16:40:00',
      '11-06T04:50:00 11-06T05:10:00',
      '11-06T05:20:00 11-06T05:40:00',
      '11-06T05:50:00 11-06T06:15:00',
      '11-06T06:55:00 11-06T07:05:00',
    ]);
    assert.deepEqual(
      [counts.timesTwice, counts.timesNever, counts.rejected],
      [6, 1, { 'dropoff-before-pickup': 1 }],
    );
    const asTheyStand = await read(t, ['1,2016-11-06 01:50:00,2016-11-06 01:15:00,3'], undefined);
    assert.equal(asTheyStand.counts.rejected['dropoff-before-pickup'], 1);
  });

  it('are the same whether a row is a usual one or read the exact way', () => {
    const local = new LocalTimes(NY);
    assert.ok(local.take(Date.UTC(2016, 10, 6, 1, 50), Date.UTC(2016, 10, 6, 1, 15)));
    assert.equal(local.dropoff - local.pickup, 25 * 60_000);
    assert.equal(NY.startOfDay(NY.dayOf(Date.UTC(2016, 10, 6, 12))) + 25 * HOUR, NY.startOfDay(NY.dayOf(Date.UTC(2016, 10, 7, 12)))); // biome-ignore format: one line
  });

  it('make another replay of the same file', async (t) => {
    const folder = temporaryFolder(t);
    const file = join(folder, 'trips.csv');
    writeFileSync(
      file,
      'VendorID,tpep_pickup_datetime,tpep_dropoff_datetime\n1,2016-01-01 00:00:00,2016-01-01 00:10:00\n',
    );
    const of = async (timeZone?: string) =>
      (await Dataset.open({ paths: [file], dataDir: folder, timeZone })).fingerprint();
    assert.notEqual(await of(), await of('America/New_York'));
  });
});

/** Changes of clocks in some zones, epoch ms. */
function around(): number[] {
  return [Date.UTC(2016, 2, 13, 7), Date.UTC(2016, 10, 6, 6), Date.UTC(2016, 2, 27, 1), Date.UTC(2016, 9, 30, 1), Date.UTC(2016, 3, 2, 15), Date.UTC(2016, 9, 1, 15, 30), Date.UTC(2016, 9, 16, 3), Date.UTC(2016, 1, 21, 2)]; // biome-ignore format: one list
}
