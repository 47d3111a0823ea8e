import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readHeader } from '../../src/dataset/schema.ts';
import { TripEncoder } from '../../src/dataset/trips.ts';
import { ZONE_CENTROIDS } from '../../src/dataset/zone-centroids.ts';
import { SHARED_DATA, withoutSamples } from '../files.ts';
import { plainTrip } from './source-trips.ts';

const COORDINATES =
  'vendor_id,pickup_datetime,dropoff_datetime,passenger_count,trip_distance,pickup_latitude,pickup_longitude,dropoff_latitude,dropoff_longitude,total_amount';
const ZONES =
  'VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,PULocationID,DOLocationID,total_amount';

const encoderOf = (header: string) => new TripEncoder(readHeader(header.split(','), 'trips.csv'));

function tripOf(encoder: TripEncoder, row: string): Record<string, unknown> {
  const trip = encoder.encode(row.split(','));
  assert.ok(typeof trip !== 'string', `a trip, not ${String(trip)}: ${row}`);
  return { ...plainTrip(trip) };
}

const TIMES = '2016-01-01 00:00:00,2016-01-01 00:10:00';

describe('rows to trips', () => {
  it('keep coordinates and numbers as doubles', () => {
    const row = `CMT,${TIMES},1,.46,40.64131299999999,-73.7781390000000,40.0,-73,-2.5`;
    assert.deepEqual(tripOf(encoderOf(COORDINATES), row), {
      vendor_id: 'CMT',
      pickup_datetime: Date.UTC(2016, 0, 1),
      dropoff_datetime: Date.UTC(2016, 0, 1, 0, 10),
      passenger_count: 1,
      trip_distance: 0.46,
      pickup_lat: 40.64131299999999,
      pickup_lon: -73.778139,
      dropoff_lat: 40,
      dropoff_lon: -73,
      total_amount: -2.5,
    });
  });

  it('read numbers in any of their forms, leave out values that are not numbers, and count those', () => {
    const values: [raw: string, value: number | undefined, counted: number][] = [
      ['132.0', 132, 0],
      [' 7 ', 7, 0],
      ['.46', 0.46, 0],
      ['-.5', -0.5, 0],
      ['+3', 3, 0],
      ['7.', 7, 0],
      ['007', 7, 0],
      ['1e2', 100, 0],
      ['', undefined, 0],
      ['  ', undefined, 0],
      ['-', undefined, 0],
      ['null', undefined, 0],
      ['NaN', undefined, 1],
      ['nan', undefined, 1],
      ['\\N', undefined, 0],
      ['x', undefined, 1],
      ['1 2', undefined, 1],
      ['$4.50', undefined, 1],
      ['1e999', undefined, 1],
      ['9'.repeat(400), undefined, 1],
      ['Infinity', undefined, 1],
      ['0x10', undefined, 1],
      ['0b1', undefined, 1],
      ['--', undefined, 1],
    ];
    for (const [raw, value, counted] of values) {
      const encoder = encoderOf(COORDINATES);
      const trip = tripOf(encoder, `1,${TIMES},${raw},1,40.7,-74,40.7,-74,5`);
      assert.equal(trip['passenger_count'], value, raw);
      assert.equal(encoder.leftOut, counted, `counted: ${raw}`);
    }
  });

  it('have any number as the file has it', () => {
    const encoder = encoderOf(COORDINATES);
    fc.assert(
      fc.property(
        fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.float({ noNaN: true, noDefaultInfinity: true }), fc.integer()), // biome-ignore format: one list
        (value) => {
          const trip = tripOf(encoder, `1,${TIMES},1,1,40.7,-74,40.7,-74,${value}`);
          assert.ok(Object.is(trip['total_amount'], Number(String(value))), `${value}`);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('take the centroid of a zone as coordinates, also of zones written as 132.0', () => {
    for (const [raw, zone] of [
      ['132', 132],
      ['132.0', 132],
      [' 4 ', 4],
    ] as const) {
      const trip = tripOf(encoderOf(ZONES), `2,${TIMES},1,${raw},138,5`);
      assert.equal(trip['pickup_zone'], zone);
      assert.deepEqual([trip['pickup_lat'], trip['pickup_lon']], ZONE_CENTROIDS.get(zone));
      assert.deepEqual([trip['dropoff_lat'], trip['dropoff_lon']], ZONE_CENTROIDS.get(138));
    }
  });

  it('keep the number of an unknown zone without coordinates, and have no zone where its number is missing', () => {
    for (const zone of [264, 265, 57, 104, 999]) {
      const trip = tripOf(encoderOf(ZONES), `2,${TIMES},1,${zone},${zone},5`);
      assert.equal(trip['pickup_zone'], zone);
      assert.equal(trip['pickup_lat'] ?? trip['dropoff_lon'], undefined, `${zone}`);
    }
    for (const raw of ['', '-', '0', '-1', '1.5', 'x', 'NV', '0x84']) {
      const trip = tripOf(encoderOf(ZONES), `2,${TIMES},1,${raw},1,5`);
      assert.equal(trip['pickup_zone'] ?? trip['pickup_lat'], undefined, raw);
      assert.equal(trip['dropoff_zone'], 1, 'the other end is as it was');
    }
  });

  it('keep zone and coordinates apart where a file has both', () => {
    const encoder = encoderOf(`${COORDINATES},PULocationID`);
    const trip = tripOf(encoder, `1,${TIMES},1,1,40.5,-74,40.7,-74,5,132`);
    assert.deepEqual([trip['pickup_lat'], trip['pickup_zone']], [40.5, 132]);
  });

  it('have any vendor as the file has it, without white space around', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 12 }), (vendor) => {
        const encoder = encoderOf(COORDINATES);
        const trip = encoder.encode([vendor, ...`${TIMES},1,1,40.7,-74,40.7,-74,5`.split(',')]);
        assert.ok(typeof trip !== 'string', 'a trip');
        assert.equal(trip.vendor, ['', '-'].includes(vendor.trim()) ? undefined : vendor.trim());
      }),
      { numRuns: 1_000 },
    );
  });

  it('are refused with one reason each', () => {
    const encoder = encoderOf(COORDINATES);
    const rest = ',1,1,40.7,-74,40.7,-74,5';
    assert.equal(encoder.encode(`1,${TIMES},1,1,40.7,-74,40.7,-74`.split(',')), 'short-row');
    assert.equal(encoder.encode(['x']), 'short-row');
    for (const times of [
      ',',
      '2016-01-01 00:00:00,x',
      'x,2016-01-01 00:00:00',
      '2016-02-30 00:00:00,2016-03-01 00:00:00',
    ]) {
      assert.equal(encoder.encode(`1,${times}${rest}`.split(',')), 'unreadable-time', times);
    }
    const backwards = '2016-01-01 00:00:01,2016-01-01 00:00:00';
    assert.equal(encoder.encode(`1,${backwards}${rest}`.split(',')), 'dropoff-before-pickup');
    assert.equal(typeof encoder.encode(`1,${TIMES}${rest},more,fields`.split(',')), 'object', 'more is fine');
    const still = '2016-01-01 00:00:00,2016-01-01 00:00:00';
    assert.equal(typeof encoder.encode(`1,${still}${rest}`.split(',')), 'object', 'no time at all is fine');
  });

  it('have times of any form', () => {
    for (const [raw, iso] of [
      ['2016-01-01 01:02:03', '2016-01-01T01:02:03.000Z'],
      [' 2016-01-01T01:02:03 ', '2016-01-01T01:02:03.000Z'],
      ['2016-01-01T01:02:03.45', '2016-01-01T01:02:03.450Z'],
      ['2016-01-01  1:02:03', '2016-01-01T01:02:03.000Z'],
      ['2016-1-1  11:02:03', '2016-01-01T11:02:03.000Z'],
      ['1/1/2016 1:02:03 PM', '2016-01-01T13:02:03.000Z'],
      ['1/11/2016 12:02:03 ', '2016-01-11T12:02:03.000Z'],
    ] as const) {
      const trip = tripOf(encoderOf(COORDINATES), `1,${raw},${raw},1,1,40.7,-74,40.7,-74,5`);
      const ms = Date.parse(iso);
      assert.deepEqual([trip['pickup_datetime'], trip['dropoff_datetime']], [ms, ms]);
    }
  });
});

describe('zone centroids', () => {
  it('are those computed from the TLC polygons', { skip: withoutSamples }, () => {
    const csv = readFileSync(join(SHARED_DATA, 'zones', 'taxi_zone_centroids_wgs84.DERIVED.csv'), 'utf8');
    const rows = csv.trim().split(/\r?\n/).slice(1);
    assert.equal(ZONE_CENTROIDS.size, rows.length);
    for (const row of rows) {
      // Names may hold commas: the number is first, longitude and latitude are last.
      const parts = row.split(',');
      const [lon, lat] = parts.slice(-2).map(Number);
      assert.deepEqual(ZONE_CENTROIDS.get(Number(parts[0])), [lat, lon], row);
    }
  });
});
