/** The queries of Athena, run by DuckDB, give what the engine computes, and its geohashes, on the edges of cells too. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { athenaQuery } from '../../src/deploy/template/athena.ts';
import { TRIP_FIELDS } from '../../src/events/trip.ts';
import { cell, cellText } from '../../src/views/geohash.ts';
import { count, geohash, tumbling, type View, view } from '../../src/views/language.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { lines, putRecords, run, tripsOf } from '../cli/model.ts';
import { temporaryFolder } from '../files.ts';
import { randomNumbers } from '../random.ts';

type Row = Readonly<Record<string, unknown>>;

/** What Trino has and DuckDB calls otherwise. */
const TRINO = ['CREATE MACRO truncate(x) AS trunc(x)', 'SET integer_division = true'];

/** The rows of a query over these trips, as they lie in the archive. */
async function queried(t: TestContext, trips: readonly object[], sql: string): Promise<Row[]> {
  const file = join(temporaryFolder(t), 'trips.ndjson');
  writeFileSync(file, trips.map((trip) => `${JSON.stringify(trip)}\n`).join(''));
  const instance = await DuckDBInstance.create(':memory:');
  const duckdb = await instance.connect();
  try {
    for (const statement of TRINO) await duckdb.run(statement);
    const columns = Object.entries(TRIP_FIELDS).map(
      ([name, { sql }]) => `${name}: '${sql === 'STRING' ? 'VARCHAR' : sql.replace('(3)', '')}'`,
    );
    await duckdb.run(
      `CREATE TABLE trips AS SELECT *, strftime(dropoff_datetime, '%Y-%m-%d') AS day FROM read_json('${file}', format = 'newline_delimited', columns = {${columns.join(', ')}})`,
    );
    return (await duckdb.runAndReadAll(sql)).getRowObjectsJson();
  } finally {
    duckdb.closeSync();
    instance.closeSync();
  }
}

/** Times as ms, and DuckDB's large numbers as numbers. */
const comparable = (row: Row): Row =>
  Object.fromEntries(
    Object.entries(row).map(([name, value]) => {
      if (!name.startsWith('window_'))
        return [name, /^-?\d+(\.\d+)?$/.test(String(value)) ? Number(value) : value];
      return [name, Date.parse(`${String(value).replace(' ', 'T').replace('Z', '')}Z`)];
    }),
  );

const keyOf = (row: Row) => [row['window_start'], row['location'], row['airport_code']].join();
const sorted = (rows: readonly Row[]) => rows.map(comparable).sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));

/** The results of the taxi views are those of their queries. Returns how many each has. */
async function agree(t: TestContext, dataDir: string): Promise<number[]> {
  const trips = await tripsOf(dataDir);
  const found: number[] = [];
  for (const one of taxiViews()) {
    const { stdout } = await run([
      'results',
      '--view',
      one.name,
      '--format',
      'ndjson',
      '--data-dir',
      dataDir,
    ]);
    const expected = lines<Row>(stdout).map(({ view: _, timestamp: __, ...row }) => row);
    assert.deepEqual(sorted(await queried(t, trips, athenaQuery(one, 'trips'))), sorted(expected), one.name);
    found.push(expected.length);
  }
  return found;
}

/** Width of a cell of six characters. */
const WIDTH = 360 / 2 ** 15;

/** Trips with corners of cells, missing places, zones instead of places, and times to the millisecond. */
function oddTrips(): object[] {
  const random = randomNumbers(5);
  const oneOf = <T>(values: readonly T[]) => values[Math.floor(random() * values.length)]!;
  const from = Date.UTC(2016, 0, 31, 23);
  return Array.from({ length: 4_000 }, (_, i) => {
    const dropoff = from + Math.floor(i * 1_800);
    const column = Math.floor((-73.9 + 180) / WIDTH) + Math.floor(random() * 4);
    const row = Math.floor((40.7 + 90) / (WIDTH / 2)) + Math.floor(random() * 4);
    const ends = oneOf([
      { dropoff_lat: 40.64, dropoff_lon: -73.78 },
      { dropoff_lat: 40.77, dropoff_lon: -73.87 },
      { dropoff_lat: 40.632, dropoff_lon: -73.8 },
      { dropoff_lat: 40.7, dropoff_lon: -73.9, dropoff_zone: 132 },
      { dropoff_zone: 132 },
      { dropoff_zone: 138 },
      {},
    ]);
    const begins = { pickup_lat: row * (WIDTH / 2) - 90, pickup_lon: column * WIDTH - 180 };
    return {
      type: 'trip',
      trip_id: i,
      replay: 'r',
      ...(random() < 0.95
        ? { pickup_datetime: new Date(dropoff - Math.floor(random() * 4e6)).toISOString() }
        : {}),
      dropoff_datetime: new Date(dropoff).toISOString(),
      ...(random() < 0.95 ? begins : {}),
      ...ends,
    };
  });
}

describe('queries of Athena', () => {
  it('find what the views give of a replay', async (t) => {
    const dataDir = temporaryFolder(t);
    await run(['replay', '--limit', '30000', '--speedup', 'max', '--data-dir', dataDir]);
    await run(['process', '--until-end', '--drain', '--data-dir', dataDir]);
    const [cells, airports] = await agree(t, dataDir);
    assert.ok(cells! > 1_000 && airports! > 20, `${cells} and ${airports} rows`);
  });

  it('find what the views give of trips on edges, with gaps', async (t) => {
    const dataDir = temporaryFolder(t);
    await putRecords(
      dataDir,
      'taxi-trip-events',
      oddTrips().map((trip) => `${JSON.stringify(trip)}\n`),
    );
    await run(['process', '--until-end', '--drain', '--max-disorder', '1h', '--data-dir', dataDir]);
    const [cells, airports] = await agree(t, dataDir);
    assert.ok(cells! > 50 && airports! > 100, `${cells} and ${airports} rows`);
  });

  it('name the cell of any point as the engine does, with one character and with ten', async (t) => {
    const random = randomNumbers(9);
    const points = Array.from({ length: 3_000 }, (_, i) => {
      const bits = 1 + Math.floor(random() * 25);
      const [lat, lon] = [random() * 180 - 90, random() * 360 - 180];
      const edge = (value: number, span: number) =>
        Math.floor(((value + span / 2) / span) * 2 ** bits) * (span / 2 ** bits) - span / 2;
      return i % 3 === 0
        ? { pickup_lat: lat, pickup_lon: lon }
        : { pickup_lat: edge(lat, 180), pickup_lon: edge(lon, 360) };
    });
    points.push({ pickup_lat: 90, pickup_lon: 180 }, { pickup_lat: -90, pickup_lon: -180 });
    points.push({ pickup_lat: 90.1, pickup_lon: 0 }, { pickup_lat: 0, pickup_lon: -180.1 });
    const trips = points.map((point) => ({ ...point, dropoff_datetime: '2016-01-01T00:00:00Z' }));
    for (const precision of [1, 2, 5, 6, 9, 10]) {
      const expected = new Map<string, number>();
      for (const { pickup_lat: lat, pickup_lon: lon } of points) {
        const code = cell(lat, lon, precision);
        if (code < 0) continue;
        const text = cellText(code, precision);
        expected.set(text, (expected.get(text) ?? 0) + 1);
      }
      const rows = await queried(t, trips, athenaQuery(cells(precision), 'trips'));
      const found = rows.map(({ location, n }) => [String(location), Number(n)] as const);
      assert.deepEqual(new Map(found.sort()), new Map([...expected].sort()), `${precision} characters`);
    }
  });
});

const cells = (precision: number): View =>
  view({
    name: 'cells',
    by: { location: geohash('pickup', precision) },
    window: tumbling('10m'),
    aggregates: { n: count() },
  });
