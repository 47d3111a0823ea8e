/**
 * What the two default views must give for TLC files, computed by DuckDB alone from the design page.
 * Nothing here may come from the code it judges: the one shared module is the generated table of zone
 * centroids, and only where the sample data itself is absent.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';

export interface OracleOptions {
  /** Window size in minutes; 10 by default. */
  readonly windowMinutes?: number;
  /** If given, windows slide: one starts every `slideMinutes`, aligned to the epoch. */
  readonly slideMinutes?: number;
}

export interface OracleResult {
  readonly lines: string[];
  /** Totals of each window from before `having`, as `totalsLine` writes them; sorted. */
  readonly totals: string[];
  readonly trips: number;
  readonly rejected: { readonly short: number; readonly time: number; readonly order: number };
}

/** The fields that are compared, in the order of a compared line. */
const COMPARED: Readonly<Record<string, readonly string[]>> = {
  pickup_count: ['view', 'window_start', 'window_end', 'timestamp', 'location', 'pickup_count'],
  trip_duration: [
    'view',
    'window_start',
    'window_end',
    'timestamp',
    'location',
    'airport_code',
    'trip_count',
    'sum_trip_duration',
    'avg_trip_duration',
  ],
};

/** The names of the columns over the years; compared in lower case, trimmed. */
const COLUMN_NAMES = {
  pickup: ['trip_pickup_datetime', 'pickup_datetime', 'tpep_pickup_datetime', 'lpep_pickup_datetime'],
  dropoff: ['trip_dropoff_datetime', 'dropoff_datetime', 'tpep_dropoff_datetime', 'lpep_dropoff_datetime'],
  pickupLat: ['start_lat', 'pickup_latitude'],
  pickupLon: ['start_lon', 'pickup_longitude'],
  dropoffLat: ['end_lat', 'dropoff_latitude'],
  dropoffLon: ['end_lon', 'dropoff_longitude'],
  pickupZone: ['pulocationid', 'pickup_location_id'],
  dropoffZone: ['dolocationid', 'dropoff_location_id'],
} as const;

type ColumnRole = keyof typeof COLUMN_NAMES;

const JFK_ZONE = 132;
const LGA_ZONE = 138;
const MINUTE_MS = 60_000;
const CENTROIDS_CSV = fileURLToPath(
  new URL('../../../shared/data/zones/taxi_zone_centroids_wgs84.DERIVED.csv', import.meta.url),
);

/** A CSV file as numbered lines: one column, no delimiter, no quotes, any mix of line ends, gzip or not. */
const linesOf = (file: string): string =>
  `read_csv(${literal(file)}, columns = {'line': 'VARCHAR'}, delim = chr(1), quote = '', escape = '',
    header = false, auto_detect = false, strict_mode = false, parallel = false)`;

const inside = (lat: string, lon: string, south: string, north: string, west: string, east: string): string =>
  `coalesce(${lat} BETWEEN '${south}'::DOUBLE AND '${north}'::DOUBLE
    AND ${lon} BETWEEN '${west}'::DOUBLE AND '${east}'::DOUBLE, false)`;

/**
 * The cell number 0…32767 of a coordinate among 2^15 equal cells. Rounding can lift a coordinate just
 * below a cell border onto it, so the border itself, which is an exact double, has the last word.
 */
function cellMacro(name: string, origin: number, step: string): string {
  return `CREATE MACRO ${name}(x) AS (
    SELECT CASE WHEN (${origin})::DOUBLE + k * ${step} > x THEN k - 1 ELSE k END
    FROM (SELECT floor((x - (${origin})::DOUBLE) / ${step})::BIGINT AS k))`;
}

/** The 30 bits of a geohash of 6 characters, longitude first, 5 bits a character. */
function geohashMacro(): string {
  const bit = (n: number): string => `((${n % 2 === 0 ? 'x' : 'y'} >> ${14 - Math.floor(n / 2)}) & 1)`;
  const characters = Array.from({ length: 6 }, (_, c) => {
    const value = Array.from({ length: 5 }, (_, b) => `${bit(5 * c + b)} * ${2 ** (4 - b)}`).join(' + ');
    return `substr('0123456789bcdefghjkmnpqrstuvwxyz', (1 + ${value})::INTEGER, 1)`;
  });
  return `CREATE MACRO geohash6(lat, lon) AS (
    SELECT ${characters.join('\n || ')}
    FROM (SELECT lon_cell(lon) AS x, lat_cell(lat) AS y))`;
}

const MACROS: readonly string[] = [
  // Each field up to its comma; a quote that is never closed is an ordinary character.
  `CREATE MACRO fields_of(line) AS
    regexp_extract_all(line || ',', '(\\s*"(?:[^"]|"")*"[^,]*|[^,]*),', 1)`,
  `CREATE MACRO bare(field) AS CASE
    WHEN regexp_full_match(trim(field), '"(?:[^"]|"")*"')
    THEN trim(replace(substr(trim(field), 2, length(trim(field)) - 2), '""', '"'))
    ELSE trim(field) END`,
  // TLC times have no zone and are taken as UTC. A fraction of a second is read down to the millisecond.
  `CREATE MACRO millis(text) AS CASE
    WHEN regexp_full_match(text, '\\d{4}-\\d\\d-\\d\\d[ T]\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?')
    THEN epoch_ms(try_strptime(replace(text[1:19], 'T', ' '), '%Y-%m-%d %H:%M:%S'))
         + coalesce(try_cast(rpad(regexp_extract(text, '\\.(\\d{1,3})', 1), 3, '0') AS BIGINT), 0)
    WHEN regexp_full_match(text, '\\d\\d?/\\d\\d?/\\d{4},? \\d\\d?:\\d\\d:\\d\\d [AP]M')
    THEN epoch_ms(try_strptime(replace(text, ',', ''), '%m/%d/%Y %I:%M:%S %p'))
    ELSE NULL END`,
  `CREATE MACRO number(text) AS CASE
    WHEN regexp_full_match(text, '[-+]?(\\d+\\.?\\d*|\\.\\d+)([eE][-+]?\\d+)?') THEN try_cast(text AS DOUBLE)
    ELSE NULL END`,
  `CREATE MACRO zone_number(x) AS CASE WHEN x BETWEEN 1 AND 1000 AND x = floor(x) THEN x::INTEGER ELSE NULL END`,
  cellMacro('lon_cell', -180, `(45::DOUBLE / 4096::DOUBLE)`),
  cellMacro('lat_cell', -90, `(45::DOUBLE / 8192::DOUBLE)`),
  geohashMacro(),
];

/**
 * What the two default views must give for these TLC files: NDJSON lines with exactly the compared
 * fields, in order, sorted bytewise; and how many trips and rejected rows the files hold.
 */
export async function expectedLines(
  files: readonly string[],
  options: OracleOptions = {},
): Promise<OracleResult> {
  const size = (options.windowMinutes ?? 10) * MINUTE_MS;
  const slide = options.slideMinutes === undefined ? size : options.slideMinutes * MINUTE_MS;
  for (const length of [size, slide]) {
    if (!Number.isSafeInteger(length) || length <= 0) throw new RangeError(`bad window: ${length} ms`);
  }
  const instance = await DuckDBInstance.create(':memory:');
  const db = await instance.connect();
  try {
    for (const macro of MACROS) await db.run(macro);
    await db.run(`CREATE TABLE rows (
      reason VARCHAR, pickup BIGINT, dropoff BIGINT, zoned BOOLEAN,
      pickup_lat DOUBLE, pickup_lon DOUBLE, dropoff_lat DOUBLE, dropoff_lon DOUBLE,
      pickup_zone INTEGER, dropoff_zone INTEGER)`);
    for (const file of files) await (file.endsWith('.parquet') ? readParquet : readCsv)(db, file);
    await locateTrips(db);
    return {
      lines: [...(await pickupCounts(db, size, slide)), ...(await tripDurations(db, size, slide))].sort(
        bytewise,
      ),
      totals: [...(await pickupTotals(db, size, slide)), ...(await durationTotals(db, size, slide))].sort(
        bytewise,
      ),
      ...(await countRows(db)),
    };
  } finally {
    db.closeSync();
    instance.closeSync();
  }
}

/** Any NDJSON results of taxiflow in the compared form: other fields dropped, keys in order, lines sorted. */
export function comparable(ndjson: string): string[] {
  return ndjson
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const row = JSON.parse(line) as Record<string, unknown>;
      const fields = COMPARED[String(row['view'])];
      if (fields === undefined) throw new Error(`no compared fields for view ${String(row['view'])}`);
      return comparedLine(fields, row);
    })
    .sort(bytewise);
}

async function readCsv(db: DuckDBConnection, file: string): Promise<void> {
  await db.run(`CREATE OR REPLACE TABLE lines AS
    SELECT number, fields_of(line) AS fields
    FROM (SELECT row_number() OVER () AS number, line FROM ${linesOf(file)})
    WHERE NOT regexp_full_match(line, '\\s*')`);
  const [top] = await select(
    db,
    `SELECT list_transform(fields, lambda f: bare(f)) AS names FROM lines ORDER BY number LIMIT 1`,
  );
  if (top === undefined) return;
  const names = top['names'] as string[];
  const column = columnFinder(names, file);
  const text = (role: ColumnRole): string => `bare(fields[${column(role) + 1}])`;
  const number = (role: ColumnRole): string => (column(role) < 0 ? 'NULL' : `number(${text(role)})`);
  await insertRows(db, {
    from: `(SELECT * FROM lines WHERE number > (SELECT min(number) FROM lines))`,
    short: `len(fields) < ${names.length}`,
    pickup: `millis(${text('pickup')})`,
    dropoff: `millis(${text('dropoff')})`,
    zoned: column('pickupLat') < 0,
    number,
  });
}

async function readParquet(db: DuckDBConnection, file: string): Promise<void> {
  const source = `read_parquet(${literal(file)})`;
  const described = await select(db, `DESCRIBE SELECT * FROM ${source}`);
  const names = described.map((row) => String(row['column_name']));
  const column = columnFinder(names, file);
  const named = (role: ColumnRole): string => `"${(names[column(role)] ?? '').replaceAll('"', '""')}"`;
  await insertRows(db, {
    from: source,
    short: 'false',
    pickup: `epoch_ms(${named('pickup')})`,
    dropoff: `epoch_ms(${named('dropoff')})`,
    zoned: column('pickupLat') < 0,
    number: (role) => (column(role) < 0 ? 'NULL' : `${named(role)}::DOUBLE`),
  });
}

interface RowSource {
  readonly from: string;
  readonly short: string;
  readonly pickup: string;
  readonly dropoff: string;
  readonly zoned: boolean;
  readonly number: (role: ColumnRole) => string;
}

async function insertRows(db: DuckDBConnection, source: RowSource): Promise<void> {
  const { number, zoned } = source;
  await db.run(`INSERT INTO rows
    SELECT CASE WHEN short THEN 'short'
                WHEN pickup IS NULL OR dropoff IS NULL THEN 'time'
                WHEN dropoff < pickup THEN 'order' ELSE NULL END,
           * EXCLUDE (short)
    FROM (SELECT ${source.short} AS short, ${source.pickup} AS pickup, ${source.dropoff} AS dropoff,
      ${zoned} AS zoned,
      ${number('pickupLat')} AS pickup_lat, ${number('pickupLon')} AS pickup_lon,
      ${number('dropoffLat')} AS dropoff_lat, ${number('dropoffLon')} AS dropoff_lon,
      zone_number(${number('pickupZone')}) AS pickup_zone,
      zone_number(${number('dropoffZone')}) AS dropoff_zone
    FROM ${source.from})`);
}

/** Finds the position of a column by its role; -1 if the file doesn't have it. */
function columnFinder(names: readonly string[], file: string): (role: ColumnRole) => number {
  const normal = names.map((name) => name.trim().toLowerCase());
  const find = (role: ColumnRole): number =>
    normal.findIndex((name) => (COLUMN_NAMES[role] as readonly string[]).includes(name));
  const has = (...roles: ColumnRole[]): boolean => roles.every((role) => find(role) >= 0);
  const located =
    has('pickupLat', 'pickupLon', 'dropoffLat', 'dropoffLon') || has('pickupZone', 'dropoffZone');
  if (!has('pickup', 'dropoff') || !located) throw new Error(`the oracle can't use the columns of ${file}`);
  return find;
}

/** The valid trips with their place, their airport and their whole minutes. */
async function locateTrips(db: DuckDBConnection): Promise<void> {
  await db.run('CREATE TABLE centroids (zone INTEGER PRIMARY KEY, lat DOUBLE, lon DOUBLE)');
  const [zoned] = await select(db, 'SELECT count(*) AS n FROM rows WHERE zoned');
  if (zoned?.['n'] !== 0) await loadCentroids(db);
  const inNyc = (lat: string, lon: string): string =>
    inside(lat, lon, '40.560', '40.878', '-74.054', '-73.722');
  await db.run(`CREATE TABLE trips AS
    WITH placed AS (
      SELECT pickup, dropoff, zoned, dropoff_zone,
        CASE WHEN zoned THEN p.lat ELSE pickup_lat END AS plat,
        CASE WHEN zoned THEN p.lon ELSE pickup_lon END AS plon,
        CASE WHEN zoned THEN d.lat ELSE dropoff_lat END AS dlat,
        CASE WHEN zoned THEN d.lon ELSE dropoff_lon END AS dlon
      FROM rows LEFT JOIN centroids p ON pickup_zone = p.zone LEFT JOIN centroids d ON dropoff_zone = d.zone
      WHERE reason IS NULL)
    SELECT dropoff, (dropoff - pickup) // ${MINUTE_MS} AS minutes,
      geohash6(plat, plon) AS location,
      ${inNyc('dlat', 'dlon')} AS ends_in_nyc,
      CASE WHEN zoned THEN CASE dropoff_zone WHEN ${JFK_ZONE} THEN 'JFK' WHEN ${LGA_ZONE} THEN 'LGA' END
           WHEN ${inside('dlat', 'dlon', '40.632', '40.654', '-73.800', '-73.761')} THEN 'JFK'
           WHEN ${inside('dlat', 'dlon', '40.766', '40.778', '-73.881', '-73.859')} THEN 'LGA'
           END AS airport_code
    FROM placed WHERE ${inNyc('plat', 'plon')}`);
}

async function loadCentroids(db: DuckDBConnection): Promise<void> {
  if (existsSync(CENTROIDS_CSV)) {
    await db.run(`INSERT INTO centroids SELECT "LocationID", lat, lon FROM read_csv(
      ${literal(CENTROIDS_CSV)}, header = true, auto_detect = false, delim = ',', quote = '"', columns = {
        'LocationID': 'INTEGER', 'zone': 'VARCHAR', 'borough': 'VARCHAR', 'lon': 'DOUBLE', 'lat': 'DOUBLE'})`);
    return;
  }
  const { ZONE_CENTROIDS } = await import('../../src/dataset/zone-centroids.ts');
  const values = [...ZONE_CENTROIDS].map(([zone, [lat, lon]]) => `(${zone}, '${lat}', '${lon}')`);
  await db.run(`INSERT INTO centroids VALUES ${values.join(', ')}`);
}

/** Each trip once for every window that holds its drop-off: window_start <= dropoff < window_start + size. */
const windowed = (size: number, slide: number): string => `(
  SELECT * FROM (
    SELECT *, dropoff - ((dropoff % ${slide} + ${slide}) % ${slide})
              - unnest(range(0, ${size}, ${slide}))::BIGINT AS window_start
    FROM trips)
  WHERE dropoff < window_start + ${size})`;

const windowColumns = (size: number): string =>
  `window_start, window_start + ${size} AS window_end, window_start + ${size} - 1 AS timestamp`;

async function pickupCounts(db: DuckDBConnection, size: number, slide: number): Promise<string[]> {
  return resultLines(
    db,
    `SELECT 'pickup_count' AS view, ${windowColumns(size)}, location, count(*) AS pickup_count
     FROM ${windowed(size, slide)} WHERE ends_in_nyc
     GROUP BY window_start, location HAVING count(*) >= 2`,
  );
}

async function tripDurations(db: DuckDBConnection, size: number, slide: number): Promise<string[]> {
  return resultLines(
    db,
    `SELECT 'trip_duration' AS view, ${windowColumns(size)}, location, airport_code, count(*) AS trip_count,
       sum(minutes)::BIGINT AS sum_trip_duration,
       sum(minutes)::DOUBLE / count(*)::DOUBLE AS avg_trip_duration
     FROM ${windowed(size, slide)} WHERE airport_code IS NOT NULL
     GROUP BY window_start, location, airport_code HAVING count(*) > 1`,
  );
}

/** What totals are compared by. */
export interface ComparedTotals {
  readonly view: string;
  readonly start: number;
  readonly end: number;
  readonly keys: number;
  readonly all: object;
  readonly groups: readonly object[] | null;
}

export function totalsLine({ view, start, end, keys, all, groups }: ComparedTotals): string {
  return JSON.stringify({ view, start, end, keys, all, groups });
}

async function pickupTotals(db: DuckDBConnection, size: number, slide: number): Promise<string[]> {
  const rows = await select(
    db,
    `SELECT window_start, count(DISTINCT location) AS keys, count(*) AS trips
     FROM ${windowed(size, slide)} WHERE ends_in_nyc GROUP BY window_start`,
  );
  return rows.map((row) => {
    const [start, keys] = [row['window_start'] as number, row['keys'] as number];
    const count = { pickup_count: row['trips'] };
    const all = { values: count, of: count };
    return totalsLine({ view: 'pickup_count', start, end: start + size, keys, all, groups: [] });
  });
}

async function durationTotals(db: DuckDBConnection, size: number, slide: number): Promise<string[]> {
  const of = (groups: string) =>
    select(
      db,
      `SELECT window_start${groups}, count(DISTINCT (location, airport_code)) AS keys, count(*) AS trips,
         sum(minutes)::BIGINT AS sum, sum(minutes)::DOUBLE / count(*)::DOUBLE AS avg
       FROM ${windowed(size, slide)} WHERE airport_code IS NOT NULL
       GROUP BY window_start${groups} ORDER BY window_start${groups}`,
    );
  const sums = ({ trips, sum, avg }: Record<string, unknown>) => ({
    values: { trip_count: trips, sum_trip_duration: sum, avg_trip_duration: avg },
    of: { trip_count: trips, sum_trip_duration: trips, avg_trip_duration: trips },
  });
  const airports = await of(', airport_code');
  return (await of('')).map((row) => {
    const [start, keys] = [row['window_start'] as number, row['keys'] as number];
    const groups = airports
      .filter((airport) => airport['window_start'] === start)
      .map((airport) => ({ key: [airport['airport_code']], ...sums(airport) }));
    return totalsLine({ view: 'trip_duration', start, end: start + size, keys, all: sums(row), groups });
  });
}

async function resultLines(db: DuckDBConnection, sql: string): Promise<string[]> {
  return (await select(db, sql)).map((row) => {
    const times = Object.fromEntries(
      ['window_start', 'window_end', 'timestamp'].map((name) => [
        name,
        new Date(row[name] as number).toISOString(),
      ]),
    );
    return comparedLine(COMPARED[String(row['view'])] ?? [], { ...row, ...times });
  });
}

async function countRows(db: DuckDBConnection): Promise<Pick<OracleResult, 'trips' | 'rejected'>> {
  const counted = await select(
    db,
    `SELECT coalesce(reason, 'trip') AS what, count(*) AS n FROM rows GROUP BY 1`,
  );
  const n = (what: string): number => (counted.find((row) => row['what'] === what)?.['n'] as number) ?? 0;
  return { trips: n('trip'), rejected: { short: n('short'), time: n('time'), order: n('order') } };
}

/** The rows of a query as plain values; 64-bit integers become numbers, and all of ours are small enough. */
async function select(db: DuckDBConnection, sql: string): Promise<Record<string, unknown>[]> {
  const rows = (await db.runAndReadAll(sql)).getRowObjectsJS();
  return rows.map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value]),
    ),
  );
}

const comparedLine = (fields: readonly string[], row: Readonly<Record<string, unknown>>): string =>
  JSON.stringify(Object.fromEntries(fields.map((field) => [field, row[field]])));

const bytewise = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
