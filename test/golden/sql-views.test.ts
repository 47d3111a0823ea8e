/** The SQL views of sql-views.sql, over trips with missing values, late trips and copies, are what DuckDB makes of the trips. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { openProcessor } from '../../src/app/processor.ts';
import { StateReader } from '../../src/state/reader.ts';
import type { Sums, WindowTotals } from '../../src/state/totals.ts';
import type { View, Window } from '../../src/views/language.ts';
import { sqlOfViews } from '../../src/views/sql/print.ts';
import { viewsOfSql } from '../../src/views/sql/views.ts';
import { ROOT } from '../files.ts';
import { startOpenSearch, withoutOpenSearch } from '../services/opensearch.ts';
import { resultLines, tableLines } from '../state/tables.ts';
import { trips } from './sql-trips.ts';

const FILE = join(ROOT, 'test', 'golden', 'sql-views.sql');
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const ALPHABET = '0123456789bcdefghjkmnpqrstuvwxyz';

/** Trips by time: `d` is the drop-off in ms. Windows are [ws, we) in ms. */
const tumble = (size: number, offset = 0) =>
  `SELECT *, floor((d - ${offset}) / ${size}) * ${size} + ${offset} AS ws, ws + ${size} AS we FROM t`;
const hop = (slide: number, size: number) =>
  `SELECT * FROM (SELECT *, (floor(d / ${slide}) - k) * ${slide} AS ws, ws + ${size} AS we FROM t, range(${Math.ceil(size / slide)}) r(k)) WHERE we > d`;
const cumulate = (step: number, size: number) =>
  `SELECT * FROM (SELECT *, floor(d / ${size}) * ${size} AS ws, ws + k * ${step} AS we FROM t, range(1, ${size / step + 1}) r(k)) WHERE we > d`;
const session = (gap: number, keys: string, where = 'true') => {
  const of = keys === '' ? '' : `PARTITION BY ${keys}`;
  return `SELECT *, min(d) OVER (${keys === '' ? 'PARTITION BY n' : `PARTITION BY ${keys}, n`}) AS ws, max(d) OVER (${keys === '' ? 'PARTITION BY n' : `PARTITION BY ${keys}, n`}) + ${gap} AS we FROM (
    SELECT *, sum(begins) OVER (${of} ORDER BY d ROWS UNBOUNDED PRECEDING) AS n FROM (
      SELECT *, CASE WHEN d - lag(d) OVER (${of} ORDER BY d) <= ${gap} THEN 0 ELSE 1 END AS begins FROM t WHERE ${where}))`;
};
const NY = `'America/New_York'`;
const localDay = `date_trunc('day', timezone(${NY}, to_timestamp(d / 1000)))`;
const instantOf = (local: string) => `epoch_ms(timezone(${NY}, ${local}))`;
const localDays = (back = '0', days = 1) =>
  `SELECT *, ${instantOf(`${localDay} - to_days(${back}::INTEGER)`)} AS ws, ${instantOf(`${localDay} - to_days(${back}::INTEGER) + to_days(${days})`)} AS we FROM t`;
const minutes = `trunc((d - p) / 60000)`;
const geohash5 = Array.from({ length: 5 }, (_, c) => {
  const bit = (n: number) => `((${n % 2 === 0 ? `floor((pickup_lon + 180) / 360 * 8192)::BIGINT >> ${12 - Math.floor(n / 2)}` : `floor((pickup_lat + 90) / 180 * 4096)::BIGINT >> ${11 - Math.floor(n / 2)}`}) & 1)`; // biome-ignore format: one line
  return `substr('${ALPHABET}', (1 + ${[0, 1, 2, 3, 4].map((b) => `${bit(5 * c + b)} * ${2 ** (4 - b)}`).join(' + ')})::INTEGER, 1)`;
}).join(' || ');

/** The first of each group: its ranks, and how many. */
type Top = readonly [over: string, n: number];
/** [windows, key fields, aggregates, condition of trips, condition of results, top] */
type Oracle = readonly [
  windows: string,
  keys: string,
  aggregates: string,
  where?: string,
  having?: string,
  top?: Top,
];

const lengths = `CASE WHEN trip_distance < 2 THEN 'short' WHEN trip_distance < 6 THEN 'middle' ELSE 'long' END AS length`;
const ORACLES: Readonly<Record<string, Oracle>> = {
  all_trips: [tumble(10 * MINUTE), '', 'count(*) AS trips'],
  with_offset: [tumble(HOUR, 20 * MINUTE), 'vendor_id', 'count(*) AS trips, sum(total_amount) AS amount'],
  by_named_arguments: [tumble(2 * HOUR), '', 'min(total_amount) AS least, max(total_amount) AS most'],
  hopping: [hop(15 * MINUTE, HOUR), '', 'avg(trip_distance) AS miles'],
  hopping_unevenly: [hop(25 * MINUTE, HOUR), '', 'count(total_amount) AS paid'],
  cumulating: [cumulate(2 * HOUR, DAY), '', 'sum(total_amount) AS amount, count(DISTINCT vendor_id) AS vendors'],
  vendor_sessions: [session(9 * MINUTE, 'vendor_id'), 'vendor_id', 'count(*) AS trips, avg(total_amount) AS amount'],
  quiet_times: [session(4 * MINUTE, ''), '', 'count(*) AS trips, count(DISTINCT pickup_zone) AS zones'],
  zone_sessions: [session(30 * MINUTE, 'vendor_id, pickup_zone', 'total_amount > 5'), 'vendor_id, pickup_zone', 'count(*) AS trips', 'true', 'count(*) > 1'],
  cells: [tumble(6 * HOUR), `${geohash5} AS cell`, 'count(*) AS trips', 'pickup_lat BETWEEN 40.6 AND 40.8 AND pickup_lon BETWEEN -74.05 AND -73.8'],
  spread: [tumble(3 * HOUR), '', 'stddev_pop(total_amount) AS pop, stddev_samp(total_amount) AS samp, var_pop(trip_distance) AS v_pop, var_samp(trip_distance) AS v_samp'],
  percentiles: [tumble(12 * HOUR), 'vendor_id', `quantile_cont(total_amount, 0.5) AS median, quantile_cont(${minutes}, 0.95) AS p95, max(trip_distance) AS longest`],
  first_and_last: [tumble(HOUR), '', 'arg_min(trip_id, (d, trip_id)) AS first_trip, arg_max(trip_id, (d, trip_id)) AS last_trip'],
  filtered: [tumble(HOUR), '', `count(*) FILTER (passenger_count > 1) AS shared, count(*) FILTER (NOT (passenger_count > 1)) AS alone, sum(total_amount) FILTER (vendor_id = 'b' AND trip_distance IS NOT NULL) AS amount_b`],
  three_valued: [tumble(HOUR), '', 'count(*) AS trips', `NOT (total_amount > 20 AND trip_distance < 5) AND NOT vendor_id IN ('a', 'c')`],
  unknown_or_not: [tumble(HOUR), '', 'count(*) AS trips', `(total_amount > 20) IS DISTINCT FROM true OR (trip_distance BETWEEN 2 AND 4) IS NULL OR (passenger_count NOT BETWEEN 1 AND 2) = false`],
  conditions: [tumble(30 * MINUTE), '', 'count(*) AS trips', `(vendor_id <> 'a' OR pickup_zone NOT IN (1, 2, 3)) AND trip_distance * 2 - 1 >= 3 AND total_amount / trip_distance < 30`],
  by_case: [tumble(4 * HOUR), `${lengths}, CASE vendor_id WHEN 'a' THEN 1 WHEN 'b' THEN 2 END AS number`, 'count(*) AS trips'],
  fallbacks: [tumble(6 * HOUR), 'coalesce(pickup_zone, dropoff_zone, 0) AS zone', 'sum(coalesce(total_amount, 0)) AS amount, count(nullif(passenger_count, 1)) AS not_alone, avg(total_amount / nullif(passenger_count, 0)) AS each_pays'],
  casts: [tumble(12 * HOUR), 'trunc(trip_distance) AS miles, pickup_zone % 3 AS third', 'sum(pickup_zone // 2) AS halves, sum(floor(total_amount)) AS floors, sum(ceil(total_amount)) AS ceils, min(abs(total_amount - 20)) AS near'],
  by_hour: [tumble(7 * DAY, 4 * DAY), 'hour(pickup_datetime) AS pickup_hour, dayofweek(dropoff_datetime) + 1 AS weekday', 'count(*) AS trips'],
  calendar_parts: [tumble(3 * DAY), '', 'min(week(dropoff_datetime)) AS first_week, max(dayofyear(dropoff_datetime)) AS last_day, max(isodow(dropoff_datetime)) AS last_weekday, min(quarter(dropoff_datetime)) AS first_quarter, max(minute(dropoff_datetime)) AS last_minute', `dropoff_datetime >= TIMESTAMP '2016-03-10 12:00:00' AND dropoff_datetime < TIMESTAMP '2016-11-08 00:00:00.5'`],
  speeds: [tumble(6 * HOUR), 'vendor_id', 'avg(trip_distance / nullif(trunc((d - p) / 1000), 0) * 3600) AS mph, max(trunc((d - p) / 1000)) AS longest', 'trip_distance > 0.5 AND p IS NOT NULL AND trunc((d - p) / 1000) > 60', 'avg(trip_distance / nullif(trunc((d - p) / 1000), 0) * 3600) > 5 AND max(trunc((d - p) / 1000)) > 4500'],
  by_pickup_time: [`SELECT *, floor(p / ${30 * MINUTE}) * ${30 * MINUTE} AS ws, ws + ${30 * MINUTE} AS we FROM t WHERE p IS NOT NULL`, '', 'count(*) AS trips, arg_max(trip_id, (p, trip_id)) AS last_trip'],
  busiest: [tumble(2 * HOUR), 'pickup_zone AS zone', 'count(*) AS trips', 'pickup_zone IS NOT NULL', 'true', ['PARTITION BY ws ORDER BY trips DESC, zone) AS rownum', 3]],
  best_of_each: [tumble(DAY), 'vendor_id, pickup_zone', 'sum(total_amount) AS amount', 'vendor_id IS NOT NULL AND pickup_zone IS NOT NULL', 'true', ['PARTITION BY ws, vendor_id ORDER BY amount DESC NULLS LAST, pickup_zone) AS place', 1]],
  local_days: [localDays(), '', 'count(*) AS trips, sum(total_amount) AS amount'],
  local_weeks: [`SELECT * FROM (${localDays('k', 7)}, range(7) r(k))`, '', 'count(*) AS trips'],
  local_progress: [`SELECT * FROM (SELECT * EXCLUDE (we), ${instantOf(`${localDay} + to_hours((k * 6)::INTEGER)`)} AS we FROM (${localDays()}), range(1, 5) r(k)) WHERE we > d`, '', 'count(*) AS trips'],
  local_hours: [localDays(), `hour(timezone(${NY}, to_timestamp(d / 1000))) AS hour_of_day`, 'count(*) AS trips', `d >= ${Date.UTC(2016, 2, 12, 5)}`],
}; // biome-ignore format: a view a line

/** Columns of a list, whose parts may have commas in brackets. */
function columnsOf(keys: string): string[] {
  const columns: string[] = [];
  for (const part of keys.split(',')) {
    const open = columns.at(-1) ?? '';
    if (open.split('(').length > open.split(')').length) columns[columns.length - 1] = `${open},${part}`;
    else if (part !== '') columns.push(part);
  }
  return columns.map((column) => column.trim());
}

const aliasOf = (column: string) => column.replace(/^.* AS /s, '').trim();

async function expected(
  db: DuckDBConnection,
  [windows, keys, aggregates, where = 'true', having = 'true', top]: Oracle,
) {
  const names = columnsOf(keys).map(aliasOf);
  const key = keys === '' ? '' : `, ${keys}`;
  const grouped = `SELECT ws, we${key}, ${aggregates} FROM (SELECT * FROM (${windows}) WHERE ${where}) GROUP BY ALL HAVING ${having}`;
  const ranked =
    top &&
    `SELECT *, row_number() OVER (${top[0]} FROM (${grouped}) QUALIFY row_number() OVER (${top[0].replace(/ AS .*/, '')} <= ${top[1]}`;
  const sql = ranked ?? grouped;
  const found = (await db.runAndReadAll(sql)).getRowObjectsJson() as Record<string, unknown>[];
  // A trip without a part of its key is in no result.
  return { names, rows: found.filter((row) => names.every((name) => row[name] !== null)).map(comparable) };
}

/** Key fields that are places, which totals are not told apart by. */
const isPlace = (column: string) => /^(pickup|dropoff)_zone( AS \w+)?$/.test(column) || aliasOf(column) === 'cell'; // biome-ignore format: one line

/** Totals of each window, known by its end: what an oracle says without its conditions of results and its top. */
async function expectedTotals(db: DuckDBConnection, [windows, keys, aggregates, where = 'true']: Oracle, window: Window) {
  const columns = columnsOf(keys);
  const [names, added] = [columns.map(aliasOf), columns.filter((column) => column !== aliasOf(column))];
  // Sessions are together with those whose last trip is in the same slice of time.
  const end = window.kind === 'session' ? `(floor((we - ${window.gap_ms}) / ${window.gap_ms}) + 1) * ${window.gap_ms}` : 'we';
  const select = (more: readonly string[]) => `SELECT ${end} AS we, 0 AS ws${more.map((name) => `, ${name}`).join('')},
      count(DISTINCT (${[...names, 'ws'].join(', ')})) AS keys, ${aggregates}
    FROM (SELECT *${added.map((column) => `, ${column}`).join('')} FROM (${windows}) WHERE ${where})
    WHERE true${names.map((name) => ` AND ${name} IS NOT NULL`).join('')} GROUP BY ${[end, ...more].join(', ')}`;
  const read = async (sql: string) => ((await db.runAndReadAll(sql)).getRowObjectsJson() as Record<string, unknown>[]).map(comparable);
  const groupNames = columns.filter((column) => !isPlace(column)).map(aliasOf);
  return { all: await read(select([])), groupNames, groups: groupNames.length > 0 ? await read(select(groupNames)) : [] };
} // biome-ignore format: one query

function assertSums(actual: Sums, wanted: Readonly<Record<string, unknown>>, what: string): void {
  for (const [name, value] of Object.entries(actual.values))
    assert.ok(isSame(value, wanted[name]), `${what}: ${name} is ${value}, not ${wanted[name]}`);
}

async function assertTotals(db: DuckDBConnection, totals: readonly WindowTotals[], oracle: Oracle, view: View): Promise<number> {
  const { all, groupNames, groups } = await expectedTotals(db, oracle, view.window);
  assert.deepEqual(totals.map(({ end }) => end).sort(), all.map((row) => row['window_end']).sort(), view.name);
  for (const row of all) {
    const found = totals.find(({ end }) => end === row['window_end'])!;
    const what = `totals of ${view.name} at ${found.end}`;
    assert.equal(found.keys, row['keys'], what);
    assertSums(found.all, row, what);
    const own = groups.filter((group) => group['window_end'] === found.end);
    assert.equal(found.groups?.length, own.length > 64 ? undefined : own.length, what);
    const keyed = new Map(own.map((group) => [JSON.stringify(groupNames.map((name) => group[name])), group]));
    for (const group of found.groups ?? [])
      assertSums(group, keyed.get(JSON.stringify(group.key))!, `${what} of ${group.key.join(' ')}`);
  }
  return groups.length;
} // biome-ignore format: one comparison

function comparable(row: Record<string, unknown>): Record<string, unknown> {
  const { ws, we, place: _, ...rest } = row;
  const values = Object.entries(rest).map(([name, value]) => {
    const number =
      value === null || typeof value === 'boolean' || Number.isNaN(Number(value)) ? value : Number(value);
    return [name, number];
  });
  return { window_start: Number(ws), window_end: Number(we), ...Object.fromEntries(values) };
}

/** Each result once, by window and key fields. */
function byKey(rows: readonly Record<string, unknown>[], names: readonly string[]) {
  const keyOf = (row: Record<string, unknown>) =>
    JSON.stringify(['window_start', 'window_end', ...names].map((name) => row[name]));
  const found = new Map(rows.map((row) => [keyOf(row), row]));
  assert.equal(found.size, rows.length, 'no result comes twice');
  return found;
}

function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'number' || typeof b !== 'number') return a === b;
  return Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b));
}

describe('SQL views', () => {
  it('are what an independent engine makes of the same trips', async (t) => {
    const { dataDir, ndjson, late } = await trips(t);
    const views = viewsOfSql(readFileSync(FILE, 'utf8'), FILE);
    assert.deepEqual(views.map(({ name }) => name).sort(), Object.keys(ORACLES).sort(), 'each has an oracle');
    assert.ok(views.length >= 25);
    const processor = await openProcessor({ dataDir, views, untilEnd: true, drain: true });
    const { counters } = await processor.run();
    assert.ok(counters.duplicate > 100 && counters.processed > 5_000);
    assert.equal(counters.late, late);
    const file = join(dataDir, 'trips.ndjson');
    writeFileSync(file, ndjson);
    const db = await (await DuckDBInstance.create(':memory:')).connect();
    await db.run(`CREATE TABLE t AS SELECT *, epoch_ms(dropoff_datetime)::BIGINT AS d, epoch_ms(pickup_datetime)::BIGINT AS p FROM read_json('${file}', format = 'newline_delimited', columns = {
      trip_id: 'BIGINT', vendor_id: 'VARCHAR', pickup_datetime: 'TIMESTAMP', dropoff_datetime: 'TIMESTAMP', passenger_count: 'DOUBLE', trip_distance: 'DOUBLE',
      pickup_lat: 'DOUBLE', pickup_lon: 'DOUBLE', pickup_zone: 'INTEGER', dropoff_zone: 'INTEGER', total_amount: 'DOUBLE'})`); // biome-ignore format: a table
    const reader = new StateReader(dataDir, 'taxi-trip-events');
    for (const [view, oracle] of Object.entries(ORACLES)) {
      const results = [...reader.results({ view })].map(
        ({ view: _, timestamp: __, window_start, window_end, ...rest }) => ({
          window_start: Date.parse(String(window_start)),
          window_end: Date.parse(String(window_end)),
          ...rest,
        }),
      );
      const { names, rows } = await expected(db, oracle);
      assert.ok(rows.length > 4, `${view}: ${rows.length} results`);
      const [actual, wanted] = [byKey(results, names), byKey(rows, names)];
      assert.deepEqual([...actual.keys()].sort(), [...wanted.keys()].sort(), view);
      for (const [key, row] of wanted)
        for (const [name, value] of Object.entries(row))
          assert.ok(isSame(actual.get(key)![name], value), `${view} ${key}: ${name} is ${actual.get(key)![name]}, not ${value}`); // biome-ignore format: one line
    }
    let groups = 0;
    for (const view of views) groups += await assertTotals(db, [...reader.totals(view.name)], ORACLES[view.name]!, view); // biome-ignore format: one line
    assert.ok(groups > 1_000, `${groups} groups`);
    assert.deepEqual(tableLines(reader), resultLines(reader), 'the tables of the state');
    reader.close();
  });

  it('are the same in many runs, which end anywhere, over a stream that is resharded', async (t) => {
    const views = viewsOfSql(readFileSync(FILE, 'utf8'), FILE);
    let runs = 0;
    const { dataDir } = await trips(t, async (dataDir, stream) => {
      const open = (await stream.shards()).filter((shard) => shard.open);
      if (runs++ % 3 === 0) stream.split(open[runs % open.length]!.id);
      await (await openProcessor({ dataDir, views, app: 'parts', untilEnd: true })).run();
    });
    assert.ok(runs > 10);
    for (const app of ['parts', 'straight'])
      await (await openProcessor({ dataDir, views, app, untilEnd: true, drain: true })).run();
    const [parts, straight] = ['parts', 'straight'].map((app) => {
      const reader = new StateReader(dataDir, app);
      const totals = reader.views().flatMap((view) => [...reader.totals(view)]);
      const lines = [...reader.results(), ...totals].map((result) => JSON.stringify(result)).sort();
      reader.close();
      return lines;
    });
    assert.ok(straight!.length > 10_000, `${straight!.length} results and totals`);
    assert.deepEqual(parts, straight);
  });

  it('are in OpenSearch once each, through a rollover and sent again', {
    skip: withoutOpenSearch,
  }, async (t) => {
    const search = await startOpenSearch(t);
    const { dataDir } = await trips(t);
    const names = [
      'cumulating',
      'local_progress',
      'vendor_sessions',
      'quiet_times',
      'busiest',
      'percentiles',
    ];
    const views = viewsOfSql(readFileSync(FILE, 'utf8'), FILE).filter(({ name }) => names.includes(name));
    const job = { dataDir, views, untilEnd: true };
    const opensearch = { url: search.endpoint, indexPrefix: 'sql-' };
    await (await openProcessor({ ...job, opensearch })).run();
    for (const name of names) await search.request('POST', `/sql-${name}/_rollover`);
    const processor = await openProcessor({
      ...job,
      drain: true,
      opensearch: { ...opensearch, resend: true },
    });
    await processor.run();
    for (const name of names) {
      await search.request('POST', `/sql-${name}/_refresh`);
      const { hits } = await search.request<{ hits: { hits: { _source: Record<string, unknown> }[] } }>('POST', `/sql-${name}/_search`, { size: 10_000 }); // biome-ignore format: one line
      const stored = hits.hits.map(({ _source }) => JSON.stringify(_source)).sort();
      const results = [...processor.results({ view: name })].map((result) => JSON.stringify(result)).sort();
      assert.ok(results.length > 20 && results.length < 10_000, `${name}: ${results.length}`);
      assert.deepEqual(stored, results, name);
    }
  });

  it('print as SQL that reads back as the same views', () => {
    const views = viewsOfSql(readFileSync(FILE, 'utf8'), FILE);
    const printed = sqlOfViews(views);
    assert.deepEqual(viewsOfSql(printed, 'printed.sql'), views);
    assert.equal(sqlOfViews(viewsOfSql(printed, 'printed.sql')), printed);
  });
});
