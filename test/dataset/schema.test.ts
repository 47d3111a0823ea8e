import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readHeader, type Schema } from '../../src/dataset/schema.ts';
import { TaxiflowError } from '../../src/errors.ts';

/** Headers as TLC published them, with the column of each role as a reader of the file counts it. */
const PUBLISHED: Record<string, [header: string, Partial<Schema>]> = {
  'yellow 2009': [
    'vendor_name,Trip_Pickup_DateTime,Trip_Dropoff_DateTime,Passenger_Count,Trip_Distance,Start_Lon,Start_Lat,Rate_Code,store_and_forward,End_Lon,End_Lat,Payment_Type,Fare_Amt,surcharge,mta_tax,Tip_Amt,Tolls_Amt,Total_Amt',
    { vendor_id: 0, pickup_datetime: 1, dropoff_datetime: 2, passenger_count: 3, trip_distance: 4, pickup_lon: 5, pickup_lat: 6, dropoff_lon: 9, dropoff_lat: 10, total_amount: 17, pickup_zone: -1, dropoff_zone: -1, width: 18 },
  ],
  'yellow 2014, spaces': [
    'vendor_id, pickup_datetime, dropoff_datetime, passenger_count, trip_distance, pickup_longitude, pickup_latitude, rate_code, store_and_fwd_flag, dropoff_longitude, dropoff_latitude, payment_type, fare_amount, surcharge, mta_tax, tip_amount, tolls_amount, total_amount',
    { vendor_id: 0, pickup_datetime: 1, dropoff_datetime: 2, pickup_lon: 5, pickup_lat: 6, dropoff_lon: 9, dropoff_lat: 10, total_amount: 17, width: 18 },
  ],
  'yellow 2016-07 on, zones': [
    'VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,RatecodeID,store_and_fwd_flag,PULocationID,DOLocationID,payment_type,fare_amount,extra,mta_tax,tip_amount,tolls_amount,improvement_surcharge,total_amount',
    { vendor_id: 0, pickup_datetime: 1, dropoff_datetime: 2, pickup_zone: 7, dropoff_zone: 8, pickup_lat: -1, dropoff_lon: -1, total_amount: 16, width: 17 },
  ],
  'green 2013': [
    'VendorID,lpep_pickup_datetime,Lpep_dropoff_datetime,Store_and_fwd_flag,RateCodeID,Pickup_longitude,Pickup_latitude,Dropoff_longitude,Dropoff_latitude,Passenger_count,Trip_distance,Fare_amount,Extra,MTA_tax,Tip_amount,Tolls_amount,Ehail_fee,Total_amount,Payment_type,Trip_type ',
    { vendor_id: 0, pickup_datetime: 1, dropoff_datetime: 2, pickup_lon: 5, pickup_lat: 6, dropoff_lon: 7, dropoff_lat: 8, passenger_count: 9, trip_distance: 10, total_amount: 17, width: 20 },
  ],
  'FHVHV': [
    'hvfhs_license_num,dispatching_base_num,pickup_datetime,dropoff_datetime,PULocationID,DOLocationID,SR_Flag',
    { vendor_id: -1, pickup_datetime: 2, dropoff_datetime: 3, pickup_zone: 4, dropoff_zone: 5, total_amount: -1, width: 7 },
  ],
  'NYC open data': [
    'vendorid,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,pulocationid,dolocationid,total_amount',
    { vendor_id: 0, pickup_datetime: 1, dropoff_datetime: 2, pickup_zone: 5, dropoff_zone: 6, total_amount: 7 },
  ],
}; // biome-ignore format: a header and its columns belong on two lines

const USUAL = PUBLISHED['yellow 2009']![0].split(',');
const withCode = (code: string) => (error: unknown) => error instanceof TaxiflowError && error.code === code;

describe('headers of TLC files', () => {
  for (const [name, [header, expected]] of Object.entries(PUBLISHED)) {
    it(`finds the columns of ${name}`, () => {
      const found = readHeader(header.split(','), 'trips.csv');
      for (const [role, column] of Object.entries(expected)) {
        assert.equal(found[role as keyof Schema], column, role);
      }
    });
  }

  it('finds a column whatever its place, case, spaces and underscores', () => {
    const variant = (name: string) =>
      fc
        .tuple(fc.boolean(), fc.constantFrom('', ' ', '_'), fc.constantFrom('', ' ', '\t', '\r'))
        .map(
          ([upper, mark, end]) =>
            (upper ? name.toUpperCase() : name.toLowerCase()).replaceAll('_', mark) + end,
        );
    fc.assert(
      fc.property(
        fc
          .shuffledSubarray(USUAL, { minLength: USUAL.length })
          .chain((names) => fc.tuple(fc.constant(names), fc.tuple(...names.map(variant)))),
        ([names, header]) => {
          const found = readHeader(header, 'trips.csv');
          assert.equal(found.pickup_datetime, names.indexOf('Trip_Pickup_DateTime'));
          assert.equal(found.dropoff_datetime, names.indexOf('Trip_Dropoff_DateTime'));
          assert.equal(found.pickup_lat, names.indexOf('Start_Lat'));
          assert.equal(found.dropoff_lon, names.indexOf('End_Lon'));
          assert.equal(found.total_amount, names.indexOf('Total_Amt'));
          assert.equal(found.width, names.length);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('does not need names for the columns at the end', () => {
    assert.equal(readHeader([...USUAL, '', ' '], 'trips.csv').width, USUAL.length);
  });

  it('names the missing time, the columns that could supply it, and the header it found', () => {
    for (const [missing, what] of [
      ['Trip_Pickup_DateTime', 'pick-up time'],
      ['Trip_Dropoff_DateTime', 'drop-off time'],
    ] as const) {
      assert.throws(
        () =>
          readHeader(
            USUAL.filter((name) => name !== missing),
            'trips.csv',
          ),
        (error: unknown) =>
          error instanceof TaxiflowError &&
          error.code === 'unknown-header' &&
          error.message === `trips.csv has no ${what}` &&
          (error.hint ?? '').includes(missing.toLowerCase().replaceAll('_', '')) &&
          (error.hint ?? '').includes('vendor_name'),
      );
    }
    assert.throws(() => readHeader([], 'empty.csv'), withCode('unknown-header'));
  });

  it('refuses projected coordinates in metres', () => {
    const projected = ['VendorID', 'tpep_pickup_datetime', 'tpep_dropoff_datetime', 'pickup_x', 'pickup_y', 'dropoff_x', 'dropoff_y']; // biome-ignore format: one header
    assert.throws(() => readHeader(projected, 'trips.csv'), withCode('not-degrees'));
    const both = [...projected, 'pickup_latitude', 'pickup_longitude'];
    assert.equal(readHeader(both, 'trips.csv').pickup_lat, 7, 'degrees beside them are used');
  });
});
