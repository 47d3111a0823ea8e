import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { Dataset, type Rejection } from '../../src/dataset/dataset.ts';
import type { ByteRanges } from '../../src/dataset/inputs.ts';
import { openTable } from '../../src/dataset/parquet.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { formatIso } from '../../src/events/times.ts';
import { SHARED_DATA, temporaryFolder, withoutSamples } from '../files.ts';
import { comparable, expectedLines } from '../golden/oracle.ts';
import { taxiflow } from '../taxiflow.ts';
import { bodiesOfBatch } from './source-trips.ts';

const SAMPLES = ['green_tripdata_2023-12.parquet', 'yellow_2025-02_sample5000.parquet'];

/** Rows of one trip each, as SQL: `#` is the number of the row from 1 on. */
const TRIPS = `SELECT 2 AS "VendorID",
    TIMESTAMP '2024-01-01 10:00:00.123456' + to_seconds(i) AS tpep_pickup_datetime,
    TIMESTAMP '2024-01-01 10:10:00' + to_seconds(i) AS tpep_dropoff_datetime,
    1::BIGINT AS passenger_count, 'unused' || i AS note, 1.5 + i AS trip_distance,
    132::INTEGER AS "PULocationID", 265::INTEGER AS "DOLocationID", 1e-7::DOUBLE * i AS total_amount
  FROM range(1, ROWS) numbers(i)`;

async function duckdb(t: TestContext): Promise<DuckDBConnection> {
  const instance = await DuckDBInstance.create(':memory:');
  const db = await instance.connect();
  t.after(() => {
    db.closeSync();
    instance.closeSync();
  });
  return db;
}

/** A Parquet file of what `sql` selects. */
async function parquet(t: TestContext, sql: string, settings = ''): Promise<string> {
  const path = join(temporaryFolder(t), 'trips.parquet');
  await (await duckdb(t)).run(`COPY (${sql}) TO '${path}' (FORMAT parquet ${settings})`);
  return path;
}

interface Read {
  readonly bodies: string[];
  readonly rejections: Rejection[];
  readonly dataset: Dataset;
}

async function read(t: TestContext, path: string): Promise<Read> {
  const rejections: Rejection[] = [];
  const dataset = await Dataset.open({
    paths: [path],
    dataDir: temporaryFolder(t),
    onReject: (rejection) => {
      const detail = rejection.detail();
      rejections.push({ ...rejection, detail: () => detail });
    },
  });
  const bodies: string[] = [];
  for await (const batch of dataset.batches()) bodies.push(...bodiesOfBatch(batch));
  return { bodies, rejections, dataset };
}

async function failure(work: Promise<unknown>): Promise<TaxiflowError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof TaxiflowError, `a TaxiflowError was expected, not ${error}`);
  return error;
}

for (const sample of SAMPLES) {
  test(`${sample}: results equal the oracle's`, { skip: withoutSamples }, async (t) => {
    const file = join(SHARED_DATA, sample);
    const dir = temporaryFolder(t);
    const replayed = await taxiflow(['replay', file, '--data-dir', dir, '--speedup', 'max', '--json']);
    assert.equal(replayed.code, 0, replayed.stderr);
    const out = join(dir, 'out.ndjson');
    const args = ['process', '--data-dir', dir, '--until-end', '--drain', '--output', out];
    const processed = await taxiflow(args);
    assert.equal(processed.code, 0, processed.stderr);
    const expected = await expectedLines([file]);
    assert.deepEqual(comparable(readFileSync(out, 'utf8')), expected.lines);
    assert.equal(replayed.json()['acknowledged'], expected.trips);
    assert.equal(
      replayed.json()['rejected'],
      expected.rejected.short + expected.rejected.time + expected.rejected.order,
    );
  });
}

test('a row as a record: numbers as JavaScript prints them, times truncated to milliseconds', async (t) => {
  const { bodies } = await read(t, await parquet(t, TRIPS.replace('ROWS', '2')));
  assert.deepEqual(bodies, [
    `,"vendor_id":"2","pickup_datetime":"2024-01-01T10:00:01.123Z","dropoff_datetime":"2024-01-01T10:10:01.000Z","passenger_count":1,"trip_distance":2.5,"pickup_lat":40.646985,"pickup_lon":-73.786533,"pickup_zone":132,"dropoff_zone":265,"total_amount":1e-7}`,
  ]);
});

test('codecs, versions, units and sizes of row groups make no difference', async (t) => {
  const rows = TRIPS.replace('ROWS', '5000');
  const { bodies } = await read(t, await parquet(t, rows));
  assert.equal(bodies.length, 4999);
  for (const settings of [
    ', CODEC zstd',
    ', CODEC gzip',
    ', CODEC lz4_raw',
    ', CODEC uncompressed, ROW_GROUP_SIZE 2048',
    ', PARQUET_VERSION v2, ROW_GROUP_SIZE 2048',
    ', CODEC brotli, DICTIONARY_SIZE_LIMIT 1',
  ]) {
    assert.deepEqual((await read(t, await parquet(t, rows, settings))).bodies, bodies, settings);
  }
  for (const unit of ['TIMESTAMP_MS', 'TIMESTAMP_NS', 'TIMESTAMPTZ']) {
    const cast = `SELECT * REPLACE (tpep_pickup_datetime::${unit} AS tpep_pickup_datetime) FROM (${rows})`;
    const inUtc = `SET TimeZone = 'UTC'`;
    const path = join(temporaryFolder(t), 'trips.parquet');
    const db = await duckdb(t);
    await db.run(inUtc);
    await db.run(`COPY (${cast}) TO '${path}' (FORMAT parquet)`);
    assert.deepEqual((await read(t, path)).bodies, bodies, unit);
  }
});

test('decimals keep the digits they are written with', async (t) => {
  const cents = [0, 1, 7, 29, 57, 781, 113, 435, 100_001, 12_345_678, -781];
  for (const [precision, scale] of [[9, 2], [18, 2], [38, 2], [12, 5]] as const) {
    const path = await parquet(
      t,
      `SELECT TIMESTAMP '2024-01-01 10:00:00' AS pickup_datetime, TIMESTAMP '2024-01-01 10:00:00' AS dropoff_datetime,
         (cents::DECIMAL(18, 0) / 100)::DECIMAL(${precision}, ${scale}) AS total_amount
       FROM (SELECT unnest([${cents.join()}]) AS cents)`,
    );
    const amounts = (await read(t, path)).bodies.map((body) => /"total_amount":(.*)}/.exec(body)?.[1]);
    assert.deepEqual(amounts, cents.map((amount) => String(amount / 100)), `DECIMAL(${precision}, ${scale})`);
  }
}); // biome-ignore format: one list

test('files of 2009 and 2010: times as text, vendors by name, coordinates', async (t) => {
  const path = await parquet(
    t,
    `SELECT 'VTS' AS vendor_name, '2009-01-04 02:52:00' AS "Trip_Pickup_DateTime",
       '2009-01-04 03:02:00' AS "Trip_Dropoff_DateTime", 1 AS "Passenger_Count", 2.63 AS "Trip_Distance",
       -73.991957::DOUBLE AS "Start_Lon", 40.721567::DOUBLE AS "Start_Lat",
       -73.993803::DOUBLE AS "End_Lon", 40.695922::DOUBLE AS "End_Lat", 9.4::DOUBLE AS "Total_Amt"`,
  );
  assert.deepEqual((await read(t, path)).bodies, [
    `,"vendor_id":"VTS","pickup_datetime":"2009-01-04T02:52:00.000Z","dropoff_datetime":"2009-01-04T03:02:00.000Z","passenger_count":1,"trip_distance":2.63,"pickup_lat":40.721567,"pickup_lon":-73.991957,"dropoff_lat":40.695922,"dropoff_lon":-73.993803,"total_amount":9.4}`,
  ]);
});

test('rejected rows have a reason, a row number and their values as JSON without nulls', async (t) => {
  const path = await parquet(
    t,
    `SELECT CASE i WHEN 2 THEN NULL ELSE TIMESTAMP '2024-01-01 10:00:00' END AS pickup_datetime,
       CASE i WHEN 3 THEN TIMESTAMP '2024-01-01 09:59:59' WHEN 5 THEN TIMESTAMP '20240-01-01 00:00:00'
         ELSE TIMESTAMP '2024-01-01 10:00:00' END AS dropoff_datetime,
       NULL::DOUBLE AS passenger_count, CASE i WHEN 4 THEN 'Infinity'::DOUBLE ELSE 'NaN'::DOUBLE END AS trip_distance,
       NULL::INTEGER AS "PULocationID", 'secret' AS unused
     FROM range(1, 6) numbers(i)`,
  );
  const { bodies, rejections, dataset } = await read(t, path);
  const trip = ',"pickup_datetime":"2024-01-01T10:00:00.000Z","dropoff_datetime":"2024-01-01T10:00:00.000Z"}';
  assert.deepEqual(bodies, [trip, trip]);
  assert.deepEqual(
    rejections.map(({ line, reason }) => [line, reason]),
    [
      [2, 'unreadable-time'],
      [3, 'dropoff-before-pickup'],
      [5, 'unreadable-time'],
    ],
  );
  assert.deepEqual(
    rejections.slice(0, 2).map(({ detail }) => detail()),
    [
      'pickup_datetime null is not a valid time',
      'dropoff_datetime "2024-01-01T09:59:59.000Z" is before pickup_datetime "2024-01-01T10:00:00.000Z"',
    ],
  );
  assert.equal(
    rejections[1]?.raw,
    '{"pickup_datetime":"2024-01-01T10:00:00.000Z","dropoff_datetime":"2024-01-01T09:59:59.000Z","passenger_count":null,"trip_distance":null,"PULocationID":null}',
  );
  const { rows, trips, rejected, unreadableValues } = dataset.counts;
  assert.deepEqual(
    { rows, trips, rejected, unreadableValues },
    {
      rows: 5,
      trips: 2,
      rejected: { 'unreadable-time': 2, 'dropoff-before-pickup': 1 },
      unreadableValues: 2,
    },
  );
});

test('time columns without a unit or without a time of day are refused by name', async (t) => {
  for (const [type, stored] of [
    ['BIGINT', 'INT64 without a unit'],
    ['INTEGER', 'INT32 without a unit'],
    ['DOUBLE', 'DOUBLE without a unit'],
    ['DATE', 'INT32 as DATE'],
    ['TIME', 'INT64 as TIME'],
    ['BOOLEAN', 'BOOLEAN'],
    ['DECIMAL(18, 0)', 'INT64 as DECIMAL'],
  ] as const) {
    for (const refused of ['pickup_datetime', 'dropoff_datetime']) {
      const value = (name: string) =>
        name === refused ? `NULL::${type}` : `TIMESTAMP '2024-01-01 10:00:00'`;
      const path = await parquet(
        t,
        `SELECT ${value('pickup_datetime')} AS pickup_datetime, ${value('dropoff_datetime')} AS dropoff_datetime`,
      );
      const error = await failure(read(t, path));
      assert.equal(error.code, 'no-timestamp', type);
      assert.equal(error.message, `the column ${refused} of ${path} is not a timestamp: ${stored}`);
    }
  }
});

test('timestamps of every unit are rounded down to the millisecond, also before 1970; UTC is taken as it stands', async (t) => {
  for (const [type, text, ms] of [
    ['TIMESTAMP_NS', '1969-12-31 23:59:59.999999999', -1],
    ['TIMESTAMP_NS', '1969-12-31 23:59:59.000000001', -1000],
    ['TIMESTAMP_NS', '1970-01-01 00:00:00.000999999', 0],
    ['TIMESTAMP', '1969-12-31 23:59:58.999999', -1001],
    ['TIMESTAMP_MS', '1969-12-31 23:59:58.999', -1001],
    ['TIMESTAMPTZ', '2016-03-01 10:00:00-05:00', Date.UTC(2016, 2, 1, 15)],
    ['VARCHAR', '2016-03-01 10:00:00-05:00', Date.UTC(2016, 2, 1, 15)],
    ['VARCHAR', '3/1/16 15:00', Date.UTC(2016, 2, 1, 15)],
  ] as const) {
    const path = await parquet(
      t,
      `SELECT '${text}'::${type} AS pickup_datetime, '${text}'::${type} AS dropoff_datetime`,
    );
    const { bodies } = await read(t, path);
    const iso = new Date(ms).toISOString();
    assert.deepEqual(bodies, [`,"pickup_datetime":"${iso}","dropoff_datetime":"${iso}"}`], `${type} ${text}`);
  }
});

test('dates as text have the order of day and month that the file settles', async (t) => {
  const path = await parquet(
    t,
    `SELECT d AS pickup_datetime, d AS dropoff_datetime FROM (VALUES ('3/4/2016 0:00'), ('25/4/2016 0:00')) v(d)`,
  );
  const { bodies } = await read(t, path);
  assert.deepEqual(
    bodies.map((body) => body.slice(20, 30)),
    ['2016-04-03', '2016-04-25'],
  );
});

test('only the columns and rows asked for are read', async (t) => {
  const bytes = readFileSync(
    await parquet(
      t,
      `SELECT i AS a, repeat(hash(i)::VARCHAR, 10) AS b, i + 1 AS c FROM range(60000) numbers(i)`,
      ', CODEC uncompressed',
    ),
  );
  let read = 0;
  const file: ByteRanges = {
    size: bytes.length,
    read: async (start, end) => {
      read += end - start;
      return new Uint8Array(bytes.subarray(start, end));
    },
    close: async () => {},
  };
  const rows: unknown[] = [];
  const table = await openTable(file);
  const wanted = [table.columns.findIndex(({ name }) => name === 'c')];
  for await (const _ of table.rows(wanted, (cells, row) => rows.push([...cells, row])));
  assert.equal(rows.length, 60_000);
  assert.deepEqual(rows.at(-1), [null, null, 60_000, 60_000]);
  assert.ok(read < bytes.length / 3, `read ${read} of ${bytes.length} bytes`);
});

test('a file that is truncated, damaged or not Parquet gives one clear error', async (t) => {
  const bytes = readFileSync(await parquet(t, TRIPS.replace('ROWS', '3000')));
  const folder = temporaryFolder(t);
  const damaged = Buffer.from(bytes);
  damaged.fill(0x55, 4, 4000);
  const cases: Record<string, Buffer> = {
    head: bytes.subarray(0, 4),
    short: bytes.subarray(0, 11),
    half: bytes.subarray(0, bytes.length / 2),
    end: bytes.subarray(0, bytes.length - 1),
    middle: Buffer.concat([bytes.subarray(0, 4), bytes.subarray(5000)]),
    damaged,
    text: Buffer.from('PAR1ne,two\n1,2\n3,4,5,6\n'),
  };
  for (const [name, content] of Object.entries(cases)) {
    const path = join(folder, `${name}.parquet`);
    writeFileSync(path, content);
    const error = await failure(read(t, path));
    assert.equal(error.code, 'input-unreadable', `${name}: ${error.message}`);
    assert.ok(error.message.startsWith(`${path} can't be read: `), error.message);
    assert.ok(error.hint, 'the error has a hint');
  }
});

test('a Parquet file without the columns of trips, or from a pipe, is refused with the reason', async (t) => {
  const path = await parquet(t, 'SELECT 1 AS a, 2 AS b');
  assert.equal((await failure(read(t, path))).code, 'unknown-header');
  const dir = temporaryFolder(t);
  const piped = await taxiflow(['replay', '-', '--dry-run', '--data-dir', dir], {
    input: readFileSync(path),
  });
  assert.match(piped.stderr, /^Error: standard input is Parquet.*\nTry: name the file itself/m);
});

test('times are formatted as toISOString does', () => {
  for (const ms of [
    0,
    1,
    999,
    86_399_999,
    -1,
    -86_400_001,
    1_704_103_201_123,
    Date.UTC(9999, 11, 31, 23, 59, 59),
  ]) {
    assert.equal(formatIso(ms), new Date(ms).toISOString());
  }
});
