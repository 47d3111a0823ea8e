/** The SQL views of sql-views.sql as they stand, on a real Flink: the same rows as ours. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { openProcessor } from '../../src/app/processor.ts';
import { AGGREGATES } from '../../src/views/aggregates.ts';
import { TRIP_SCOPE, typeOf } from '../../src/views/check.ts';
import type { View } from '../../src/views/language.ts';
import { viewsOfSql } from '../../src/views/sql/views.ts';
import { ROOT } from '../files.ts';
import { startFlink, withoutFlink } from '../services/flink.ts';
import { trips } from './sql-trips.ts';

const FILE = join(ROOT, 'test', 'golden', 'sql-views.sql');
/** Views that Flink 1.20 has no equal rows for, and why. */
const OTHERWISE: Readonly<Record<string, string>> = {
  with_offset: 'it drops trips of windows with an offset, other ones in each run',
  by_hour: 'the same',
  cells: 'it has no GEOHASH',
  percentiles: 'it has no PERCENTILE',
  hopping_unevenly: 'HOP needs a size of whole slides',
  by_pickup_time: 'a table has one watermark',
  first_and_last: 'it goes by arrival',
  zone_sessions: 'it does not find the second column of PARTITION BY',
  busiest: 'a missing zone has a rank too',
};
const SQL_TYPES = {
  number: 'DOUBLE',
  integer: 'BIGINT',
  string: 'STRING',
  time: 'TIMESTAMP(3)',
  boolean: 'BOOLEAN',
};

function columnsOf({ by, aggregates }: View): [name: string, type: string][] {
  return [
    ['window_start', 'TIMESTAMP(3)'],
    ['window_end', 'TIMESTAMP(3)'],
    ...Object.entries(by).map(([name, e]): [string, string] => [
      name,
      SQL_TYPES[typeOf(e, TRIP_SCOPE, name)],
    ]),
    ...Object.entries(aggregates).map(([name, { fn, of }]): [string, string] => [
      name,
      SQL_TYPES[AGGREGATES[fn].resultType(of && typeOf(of, TRIP_SCOPE, name))!],
    ]),
  ];
}

type Row = Record<string, unknown>;

function rowsIn(folder: string): Row[] {
  const files = readdirSync(folder).filter((name) => name.startsWith('part-'));
  return files.flatMap((name) =>
    readFileSync(join(folder, name), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Row),
  );
}

/** Local time of an instant, as Flink writes the times of windows. */
function shown(iso: unknown, timeZone: string): string {
  return new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' }).format(
    new Date(String(iso)),
  );
}

it('SQL views have the same rows on a real Flink', { skip: withoutFlink, timeout: 300_000 }, async (t) => {
  const views = viewsOfSql(readFileSync(FILE, 'utf8'), FILE);
  const { dataDir, ndjson } = await trips(t);
  const processor = await openProcessor({ dataDir, views, untilEnd: true, drain: true });
  await processor.run();
  const input = join(dataDir, 'trips.ndjson');
  writeFileSync(input, ndjson);
  const statements = readFileSync(FILE, 'utf8').replaceAll(/--.*/g, '').split(';').map((one) => one.trim()); // biome-ignore format: one line
  const flink = await startFlink(t);
  let compared = 0;
  for (const timeZone of ['UTC', 'America/New_York']) {
    const own = views.filter((view) => JSON.stringify(view).includes('time_zone') === (timeZone !== 'UTC') && !(view.name in OTHERWISE)); // biome-ignore format: one line
    const outputOf = (name: string) => join(dataDir, 'flink', name);
    await flink.run([
      "SET 'parallelism.default' = '1'",
      "SET 'execution.runtime-mode' = 'streaming'",
      `SET 'table.local-time-zone' = '${timeZone}'`,
      `CREATE TABLE trips (trip_id BIGINT, vendor_id STRING, pickup_datetime TIMESTAMP_LTZ(3), dropoff_datetime TIMESTAMP_LTZ(3),
         passenger_count DOUBLE, trip_distance DOUBLE, pickup_zone INT, dropoff_zone INT, total_amount DOUBLE,
         WATERMARK FOR dropoff_datetime AS dropoff_datetime - INTERVAL '11' MINUTE)
       WITH ('connector' = 'filesystem', 'path' = 'file://${input}', 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601')`,
      ...statements.filter((one) => own.some(({ name }) => one.startsWith(`CREATE VIEW ${name} `)) || one.startsWith('CREATE VIEW rides ')), // biome-ignore format: one line
      ...own.map(
        (view) =>
          `CREATE TABLE out_${view.name} (${columnsOf(view)
            .map((column) => column.join(' '))
            .join(', ')})
           WITH ('connector' = 'filesystem', 'path' = 'file://${outputOf(view.name)}', 'format' = 'json')`,
      ),
      `EXECUTE STATEMENT SET BEGIN ${own.map(({ name }) => `INSERT INTO out_${name} SELECT * FROM ${name};`).join(' ')} END`,
    ]);
    for (const view of own) {
      const keys = ['window_start', 'window_end', ...Object.keys(view.by)];
      const keyOf = (row: Row) => JSON.stringify(keys.map((name) => row[name]));
      // A trip without a part of its key is in no result of ours.
      const theirs = new Map(rowsIn(outputOf(view.name)).filter((row) => keys.every((name) => (row[name] ?? null) !== null)).map((row) => [keyOf(row), row])); // biome-ignore format: one line
      const ours = new Map([...processor.results({ view: view.name })].map((result) => {
        const row = { ...result, window_start: shown(result['window_start'], timeZone), window_end: shown(result['window_end'], timeZone) }; // biome-ignore format: one line
        return [keyOf(row), row];
      })); // biome-ignore format: one map
      assert.deepEqual([...ours.keys()].sort(), [...theirs.keys()].sort(), view.name);
      for (const [key, row] of ours) {
        for (const name of Object.keys(view.aggregates)) {
          const [a, b] = [(row as Row)[name], theirs.get(key)![name] ?? null];
          const isSame = typeof a === 'number' && typeof b === 'number' ? Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a)) : a === b; // biome-ignore format: one line
          assert.ok(isSame, `${view.name} ${key}: ${name} is ${a}, in Flink ${b}`);
        }
      }
      compared++;
    }
  }
  assert.equal(compared, views.length - Object.keys(OTHERWISE).length);
});
