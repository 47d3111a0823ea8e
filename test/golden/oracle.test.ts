import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import { randomNumbers } from '../random.ts';
import { comparable, expectedLines, type OracleOptions, type OracleResult } from './oracle.ts';

const FIXTURES = fileURLToPath(new URL('../../fixtures', import.meta.url));
const DATA = fileURLToPath(new URL('../../../shared/data', import.meta.url));
const CENTROIDS_CSV = join(DATA, 'zones/taxi_zone_centroids_wgs84.DERIVED.csv');
const WITHOUT_DATA = existsSync(DATA) ? false : 'needs ../shared/data';

const scratch = mkdtempSync(join(tmpdir(), 'taxiflow-oracle-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

// ---------------------------------------------------------------------------------------------
// The second opinion: the same meaning in naive TypeScript.

type Point = readonly [lat: number, lon: number];
interface NaiveTrip {
  pickup: number;
  dropoff: number;
  from: Point | undefined;
  to: Point | undefined;
  /** Zone trips only: the airport of the drop-off zone, "" for none. */
  zoneAirport: string | undefined;
}

const zones: ReadonlyMap<number, Point> = existsSync(CENTROIDS_CSV)
  ? new Map(
      readFileSync(CENTROIDS_CSV, 'utf8')
        .trim()
        .split('\n')
        .slice(1)
        .map((line) => {
          const cells = splitLine(line);
          return [Number(cells[0]), [Number(cells[4]), Number(cells[3])]] as const;
        }),
    )
  : (await import('../../src/dataset/zone-centroids.ts')).ZONE_CENTROIDS;

function splitLine(line: string): string[] {
  const cells = [''];
  let quoted = false;
  for (const c of line) {
    if (c === '"') quoted = !quoted;
    else if (c === ',' && !quoted) cells.push('');
    else cells[cells.length - 1] += c;
  }
  return cells.map((cell) => cell.trim());
}

function naiveTime(text: string): number | undefined {
  const us = /^(\d+)\/(\d+)\/(\d{4}), (\d+):(\d\d):(\d\d) ([AP])M$/.exec(text);
  if (us !== null) {
    const [month, day, year, hour, minute, second] = us.slice(1, 7).map(Number) as number[];
    const h24 = (hour! % 12) + (us[7] === 'P' ? 12 : 0);
    return Date.UTC(year!, month! - 1, day!, h24, minute!, second!);
  }
  if (!/^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.000)?$/.test(text)) return undefined;
  const iso = `${text.slice(0, 10)}T${text.slice(11, 19)}.000Z`;
  const time = Date.parse(iso);
  return !Number.isNaN(time) && new Date(time).toISOString() === iso ? time : undefined;
}

function readNaively(file: string): { trips: NaiveTrip[]; rejected: OracleResult['rejected'] } | undefined {
  const bytes = readFileSync(file);
  const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  const [header, ...rows] = text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => splitLine(line.replace(/\r$/, '')));
  if (header === undefined) return undefined;
  const at = (pattern: RegExp): number => header.findIndex((name) => pattern.test(name));
  const pickup = at(/pickup_datetime$/i);
  const dropoff = at(/dropoff_datetime$/i);
  const coordinates = [
    at(/^(start_lat|pickup_latitude)$/i),
    at(/^(start_lon|pickup_longitude)$/i),
    at(/^(end_lat|dropoff_latitude)$/i),
    at(/^(end_lon|dropoff_longitude)$/i),
  ];
  const places = [at(/^(pulocationid|pickup_location_id)$/i), at(/^(dolocationid|dropoff_location_id)$/i)];
  const byZone = coordinates.includes(-1);
  if (pickup < 0 || dropoff < 0 || (byZone && places.includes(-1))) return undefined;
  const trips: NaiveTrip[] = [];
  const rejected = { short: 0, time: 0, order: 0 };
  for (const row of rows) {
    const from = naiveTime(row[pickup] ?? '');
    const to = naiveTime(row[dropoff] ?? '');
    if (row.length < header.length) rejected.short++;
    else if (from === undefined || to === undefined) rejected.time++;
    else if (to < from) rejected.order++;
    else {
      const point = (lat: number, lon: number): Point | undefined =>
        row[lat] === '' || row[lon] === '' ? undefined : [Number(row[lat]), Number(row[lon])];
      const zone = Number(row[places[1]!]);
      trips.push({
        pickup: from,
        dropoff: to,
        from: byZone ? zones.get(Number(row[places[0]!])) : point(coordinates[0]!, coordinates[1]!),
        to: byZone ? zones.get(zone) : point(coordinates[2]!, coordinates[3]!),
        zoneAirport: byZone ? (zone === 132 ? 'JFK' : zone === 138 ? 'LGA' : '') : undefined,
      });
    }
  }
  return { trips, rejected };
}

function bisect(lat: number, lon: number): string {
  const ranges: [number, number][] = [
    [-180, 180],
    [-90, 90],
  ];
  let bits = '';
  for (let i = 0; i < 30; i++) {
    const range = ranges[i % 2]!;
    const middle = (range[0] + range[1]) / 2;
    const upper = (i % 2 === 0 ? lon : lat) >= middle;
    range[upper ? 0 : 1] = middle;
    bits += upper ? '1' : '0';
  }
  return (bits.match(/.{5}/g) ?? []).map((b) => '0123456789bcdefghjkmnpqrstuvwxyz'[parseInt(b, 2)]).join('');
}

const inBox = (p: Point | undefined, south: number, north: number, west: number, east: number): boolean =>
  p !== undefined && p[0] >= south && p[0] <= north && p[1] >= west && p[1] <= east;
const inNyc = (p: Point | undefined): boolean => inBox(p, 40.56, 40.878, -74.054, -73.722);
function airportOf(trip: NaiveTrip): string {
  if (trip.zoneAirport !== undefined) return trip.zoneAirport;
  if (inBox(trip.to, 40.632, 40.654, -73.8, -73.761)) return 'JFK';
  return inBox(trip.to, 40.766, 40.778, -73.881, -73.859) ? 'LGA' : '';
}

function naiveLines(
  trips: readonly NaiveTrip[],
  { windowMinutes = 10, slideMinutes }: OracleOptions,
): string[] {
  const size = windowMinutes * 60_000;
  const slide = (slideMinutes ?? windowMinutes) * 60_000;
  const groups = new Map<string, number[]>();
  const add = (key: readonly unknown[], minutes: number): void => {
    const text = JSON.stringify(key);
    groups.set(text, [...(groups.get(text) ?? []), minutes]);
  };
  for (const trip of trips) {
    if (!inNyc(trip.from)) continue;
    const location = bisect(...trip.from!);
    const minutes = Math.trunc((trip.dropoff - trip.pickup) / 60_000);
    for (let start = Math.floor(trip.dropoff / slide) * slide; start + size > trip.dropoff; start -= slide) {
      if (inNyc(trip.to)) add(['pickup_count', start, location], minutes);
      if (airportOf(trip) !== '') add(['trip_duration', start, location, airportOf(trip)], minutes);
    }
  }
  const lines = [];
  for (const [key, minutes] of groups) {
    if (minutes.length < 2) continue;
    const [view, start, location, airport_code] = JSON.parse(key) as [string, number, string, string?];
    const time = (ms: number): string => new Date(ms).toISOString();
    const window = { view, window_start: time(start), window_end: time(start + size) };
    const common = { ...window, timestamp: time(start + size - 1), location };
    const sum = minutes.reduce((a, b) => a + b, 0);
    lines.push(
      JSON.stringify(
        view === 'pickup_count'
          ? { ...common, pickup_count: minutes.length }
          : {
              ...common,
              airport_code,
              trip_count: minutes.length,
              sum_trip_duration: sum,
              avg_trip_duration: sum / minutes.length,
            },
      ),
    );
  }
  return lines.sort();
}

/** Both opinions on these files must be the same; returns the agreed one. */
async function agree(files: readonly string[], options: OracleOptions = {}): Promise<OracleResult> {
  const read = files.map((file) => readNaively(file));
  assert.ok(
    read.every((one) => one !== undefined),
    'a file without the columns needed',
  );
  const trips = read.flatMap((one) => one.trips);
  const total = (why: 'short' | 'time' | 'order'): number =>
    read.reduce((n, one) => n + one.rejected[why], 0);
  // Totals are checked against the engine alone (`golden.test.ts`).
  const result = await expectedLines(files, options);
  const { totals: _, ...rest } = result;
  assert.deepEqual(rest, {
    lines: naiveLines(trips, options),
    trips: trips.length,
    rejected: { short: total('short'), time: total('time'), order: total('order') },
  });
  return result;
}

const usable = (folder: string): string[] =>
  !existsSync(folder)
    ? []
    : readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((name) => /\.csv(\.gz)?$/.test(name))
        .map((name) => join(folder, name))
        .filter((file) => readNaively(file) !== undefined)
        .sort();

const scratchFile = (name: string, content: string | Uint8Array): string => {
  const file = join(scratch, name);
  writeFileSync(file, content);
  return file;
};

// ---------------------------------------------------------------------------------------------

describe('oracle on rows made by hand', () => {
  const COORDS =
    'pickup_datetime,dropoff_datetime,pickup_longitude,pickup_latitude,dropoff_longitude,dropoff_latitude';
  const MIDTOWN = '-73.98,40.75';
  const day = (time: string): string => `2016-03-10 ${time}`;

  it('gives both views, with window borders, truncated minutes and airports by their bounding boxes', async () => {
    const trip = (from: string, to: string, end: string): string =>
      `${day(from)},${day(to)},${MIDTOWN},${end}`;
    const file = scratchFile(
      'views.csv',
      [
        COORDS,
        trip('06:50:00', '07:00:00', MIDTOWN), // the first instant of 07:00
        trip('06:50:00', '07:09:59', MIDTOWN), // the last of it
        trip('06:50:00', '07:10:00', MIDTOWN), // alone in 07:10
        trip('06:30:00', '08:00:59', '-73.800,40.632'), // on JFK's corner: 90 whole minutes
        trip('07:59:01', '08:01:00', '-73.761,40.654'), // on the other corner: 1 whole minute
        trip('07:00:00', '08:02:00', '-73.881,40.766'), // LGA, alone
        trip('07:00:00', '08:03:00', '-73.8001,40.64'), // NYC, just outside JFK
      ].join('\n'),
    );
    const window = (start: string, end: string, last: string): string =>
      `"window_start":"2016-03-10T${start}:00.000Z","window_end":"2016-03-10T${end}:00.000Z","timestamp":"2016-03-10T${last}:59.999Z"`;
    const { totals: _, ...result } = await agree([file]);
    assert.deepEqual(result, {
      lines: [
        `{"view":"pickup_count",${window('07:00', '07:10', '07:09')},"location":"dr5rud","pickup_count":2}`,
        `{"view":"pickup_count",${window('08:00', '08:10', '08:09')},"location":"dr5rud","pickup_count":4}`,
        `{"view":"trip_duration",${window('08:00', '08:10', '08:09')},"location":"dr5rud","airport_code":"JFK","trip_count":2,"sum_trip_duration":91,"avg_trip_duration":45.5}`,
      ],
      trips: 7,
      rejected: { short: 0, time: 0, order: 0 },
    });
  });

  it('rejects short rows, unreadable times and drop-offs before pick-ups, and only those', async () => {
    const good = `${day('07:00:00')},${day('07:00:00')},${MIDTOWN},${MIDTOWN}`;
    const file = scratchFile(
      'rejects.csv',
      [
        COORDS,
        '',
        good,
        '   ',
        `${good},,`, // extra fields
        `${day('07:00:00')},${day('07:01:00')},,,${MIDTOWN}`, // no coordinates
        `${day('07:00:00')},${day('07:01:00')},${MIDTOWN},-73.98`, // short
        `,${day('07:01:00')},${MIDTOWN},${MIDTOWN}`,
        `2016-02-30 07:00:00,${day('07:01:00')},${MIDTOWN},${MIDTOWN}`,
        `2016-02-28 07:00:00,2016-02-28 24:00:00,${MIDTOWN},${MIDTOWN}`,
        `yesterday,${day('07:01:00')},${MIDTOWN},${MIDTOWN}`,
        `${day('07:00:01')},${day('07:00:00')},${MIDTOWN},${MIDTOWN}`,
        COORDS, // a header in the middle is a row with unreadable times
        '"',
        `${day('07:00:00')},2016-03-10 07:0`, // cut
      ].join('\r\n'),
    );
    const result = await agree([file]);
    assert.equal(result.trips, 3);
    assert.deepEqual(result.rejected, { short: 3, time: 5, order: 1 });
    assert.deepEqual(
      result.lines.map((line) => JSON.parse(line).pickup_count),
      [2],
    );
  });

  it('reads mixed line ends, a byte order mark, quotes, spaced and unnamed columns, and gzip alike', async () => {
    const plain = [COORDS, ...Array(2).fill(`${day('07:00:00')},${day('07:01:00')},${MIDTOWN},${MIDTOWN}`)];
    const expected = await agree([scratchFile('plain.csv', plain.join('\n'))]);
    assert.equal(expected.lines.length, 1);
    const variants: Record<string, string | Uint8Array> = {
      'crlf.csv': `${plain.join('\r\n')}\r\n`,
      'mixed.csv': `${plain[0]}\n\r\n\n${plain[1]}\r\n${plain[2]}\n\r\n`,
      'bom.csv': `\uFEFF${plain.join('\n')}`,
      'spaced.csv': [COORDS.toUpperCase().replaceAll(',', ' , '), ...plain.slice(1)].join('\n'),
      'index.csv': plain.map((line, i) => `${i === 0 ? '' : i},${line}`).join('\n'),
      'quoted.csv': plain.map((line) => line.replace(/[^,]+/g, '"$&"')).join('\n'),
      'us.csv': [
        COORDS,
        ...Array(2).fill(`"3/10/2016, 7:00:00 AM","3/10/2016, 7:01:00 AM",${MIDTOWN},${MIDTOWN}`),
      ].join('\n'),
      'iso.csv': plain.map((line) => line.replace(/(\d) (\d\d:\d\d:\d\d)/g, '$1T$2.000')).join('\n'),
      'packed.csv.gz': gzipSync(plain.join('\n')),
    };
    for (const [name, content] of Object.entries(variants)) {
      assert.deepEqual(await expectedLines([scratchFile(name, content)]), expected, name);
    }
  });

  it('reads US times around noon and midnight', async () => {
    const row = (time: string): string => `"12/1/2020, ${time}","12/1/2020, ${time}",${MIDTOWN},${MIDTOWN}`;
    const times = ['12:00:00 AM', '12:00:00 PM', '1:00:00 PM'];
    const rows = times.flatMap((time) => [row(time), row(time)]);
    const result = await agree([scratchFile('noon.csv', [COORDS, ...rows].join('\n'))]);
    assert.deepEqual(
      result.lines.map((line) => JSON.parse(line).window_start),
      ['2020-12-01T00:00:00.000Z', '2020-12-01T12:00:00.000Z', '2020-12-01T13:00:00.000Z'],
    );
  });

  it('places zone trips at the centroid, and takes the airport from the drop-off zone alone', async () => {
    const row = (from: string, to: string): string => `${day('07:00:00')},${day('07:05:00')},${from},${to}`;
    const file = scratchFile(
      'zones.csv',
      [
        'tpep_pickup_datetime,tpep_dropoff_datetime,PULocationID,DOLocationID',
        row('161', '132'),
        row('161.0', '132.0'),
        row('161', '138'),
        row('161', '138'),
        row('161', '130'), // Jamaica, by the airport
        row('264', '132'),
        row('265', '132'),
        row('57', '132'),
        row('104', '138'),
        row('105', '138'),
        row('1', '132'), // Newark is not in NYC
        row('1', '132'),
        row('161', '264'),
        row('', ''),
        row('999', '-'),
      ].join('\n'),
    );
    const result = await agree([file]);
    assert.equal(result.trips, 15);
    assert.deepEqual(
      result.lines.map((line) => {
        const row = JSON.parse(line);
        return [row.view, row.airport_code, row.pickup_count ?? row.trip_count, row.location];
      }),
      [
        ['pickup_count', undefined, 5, bisect(...zones.get(161)!)],
        ['trip_duration', 'JFK', 2, bisect(...zones.get(161)!)],
        ['trip_duration', 'LGA', 2, bisect(...zones.get(161)!)],
      ],
    );
  });

  it('puts a trip into every sliding window that holds it, also where the slide does not divide the size', async () => {
    const rows = Array(2).fill(`${day('07:00:00')},${day('07:14:00')},${MIDTOWN},${MIDTOWN}`);
    const file = scratchFile('sliding.csv', [COORDS, ...rows].join('\n'));
    const starts = async (options: OracleOptions): Promise<string[]> =>
      (await agree([file], options)).lines.map((line) => JSON.parse(line).window_start.slice(11, 16));
    assert.deepEqual(await starts({ windowMinutes: 15, slideMinutes: 5 }), ['07:00', '07:05', '07:10']);
    assert.deepEqual(await starts({ windowMinutes: 10, slideMinutes: 4 }), ['07:08', '07:12']);
    assert.deepEqual(await starts({ windowMinutes: 60 }), ['07:00']);
    assert.deepEqual(await starts({ windowMinutes: 2, slideMinutes: 20 }), []);
    await assert.rejects(expectedLines([file], { windowMinutes: 0 }), RangeError);
  });

  it('takes several files as one input', async () => {
    const one = `${day('07:00:00')},${day('07:01:00')},${MIDTOWN},${MIDTOWN}`;
    const first = scratchFile('first.csv', `${COORDS}\n${one}`);
    const second = scratchFile('second.csv', `${COORDS}\n${one}`);
    assert.equal((await agree([first])).lines.length, 0);
    assert.equal((await agree([first, second])).lines.length, 1);
  });

  it('reads the same trips from Parquet', async () => {
    const rows = Array(3).fill(`${day('07:00:00')},${day('07:14:00')},161,132`);
    const header = 'tpep_pickup_datetime,tpep_dropoff_datetime,PULocationID,DOLocationID';
    const csv = scratchFile('same.csv', [header, ...rows].join('\n'));
    const parquet = join(scratch, 'same.parquet');
    const instance = await DuckDBInstance.create(':memory:');
    const db = await instance.connect();
    await db.run(`COPY (SELECT * FROM read_csv('${csv}', header = true)) TO '${parquet}' (FORMAT parquet)`);
    db.closeSync();
    instance.closeSync();
    const expected = await agree([csv]);
    assert.equal(expected.lines.length, 2);
    assert.deepEqual(await expectedLines([parquet]), expected);
  });

  it('refuses a file that has no drop-off time or no usable place', async () => {
    const fhv = scratchFile(
      'fhv.csv',
      'Dispatching_base_num,Pickup_date,locationID\nB1,2015-01-01 00:30:00,1\n',
    );
    const mercator = scratchFile(
      'mercator.csv',
      'pickup_datetime,dropoff_datetime,pickup_x,pickup_y,dropoff_x,dropoff_y',
    );
    for (const file of [fhv, mercator]) await assert.rejects(expectedLines([file]), /can't use the columns/);
  });

  it('gives each coordinate the geohash of a bisection, also at cell borders and right beside them', async () => {
    const random = randomNumbers(42);
    const hair = 2 ** -46; // the distance of neighbouring doubles between 64 and 128
    const points: Point[] = [[40.75, -73.98]];
    for (let i = 0; i < 400; i++) points.push([40.561 + random() * 0.316, -74.053 + random() * 0.33]);
    for (let i = 0; i < 400; i++) {
      const lat = -90 + Math.floor(23782 + random() * 55) * (45 / 8192);
      const lon = -180 + Math.floor(9646 + random() * 28) * (45 / 4096);
      const beside = (i % 3) - 1;
      points.push([lat + (beside * hair) / 2, lon + beside * hair]);
    }
    const inside = points.filter((point) => inNyc(point));
    assert.ok(inside.length > 700);
    const rows = inside.flatMap(([lat, lon], i) => {
      const time = new Date(Date.UTC(2016, 0, 1) + i * 600_000).toISOString().slice(0, 19).replace('T', ' ');
      return Array(2).fill(`${time},${time},${lon},${lat},${lon},${lat}`);
    });
    const { lines } = await expectedLines([scratchFile('geohash.csv', [COORDS, ...rows].join('\n'))]);
    assert.deepEqual(
      lines
        .map((line) => JSON.parse(line))
        .flatMap((row) => (row.view === 'pickup_count' ? row.location : [])),
      inside.map(([lat, lon]) => bisect(lat, lon)),
    );
    assert.equal(bisect(57.64911, 10.40744), 'u4pruy');
  });
});

describe('comparable', () => {
  const row = {
    location: 'dr5rud',
    view: 'pickup_count',
    document_id: 'x',
    pickup_count: 2,
    timestamp: '2016-03-10T07:09:59.999Z',
    window_end: '2016-03-10T07:10:00.000Z',
    window_start: '2016-03-10T07:00:00.000Z',
  };
  const expected =
    '{"view":"pickup_count","window_start":"2016-03-10T07:00:00.000Z","window_end":"2016-03-10T07:10:00.000Z",' +
    '"timestamp":"2016-03-10T07:09:59.999Z","location":"dr5rud","pickup_count":2}';

  it('drops other fields, and sorts the keys and the lines', () => {
    const other = { ...row, location: 'dr5ruc' };
    const ndjson = `${JSON.stringify(row)}\n\n${JSON.stringify(other)}\n`;
    assert.deepEqual(comparable(ndjson), [expected.replace('dr5rud', 'dr5ruc'), expected]);
    assert.deepEqual(comparable(''), []);
  });

  it('keeps doubles, shows a missing field as a difference and refuses other views', () => {
    assert.deepEqual(comparable(`${JSON.stringify(row)}\n${JSON.stringify(row)}`), [expected, expected]);
    const { pickup_count: _, ...partial } = row;
    assert.notDeepEqual(comparable(JSON.stringify(partial)), [expected]);
    assert.throws(() => comparable('{"view":"other"}'), /other/);
  });

  it("leaves the oracle's own lines as they are", async () => {
    const header = 'tpep_pickup_datetime,tpep_dropoff_datetime,PULocationID,DOLocationID';
    const trip = (from: string): string => `2016-03-10 ${from},2016-03-10 07:05:00,161,132`;
    const rows = ['07:00:00', '07:01:00', '07:01:00'].map(trip);
    const { lines } = await expectedLines([scratchFile('own.csv', [header, ...rows].join('\n'))]);
    assert.match(lines[1] ?? '', /"avg_trip_duration":4\.333333333333333}$/);
    assert.deepEqual(comparable([...lines].reverse().join('\n')), lines);
  });
});

describe('oracle on the fixtures', () => {
  const files = usable(FIXTURES);
  const empty = !existsSync(FIXTURES) || readdirSync(FIXTURES).length === 0;
  it('has trip files to judge', { skip: empty && 'fixtures/ is empty' }, () => {
    assert.ok(files.length > 0);
  });
  for (const file of files) {
    it(`agrees with the naive computation on ${basename(file)}`, async () => {
      await agree([file]);
      await agree([file], { windowMinutes: 15, slideMinutes: 5 });
    });
  }
});

describe('oracle on the sample data', () => {
  const SAMPLES: Readonly<Record<string, readonly [trips: number, lines: number]>> = {
    'green_tripdata_2013-08_first3000.csv': [3000, 140],
    'yellow+green_2019-03_locid_mixed_6k.csv': [6500, 187],
    'yellow_2013-01_coords_1k_oldschema.csv': [997, 138],
    'yellow_2015-01_coords_2k.csv': [1999, 152],
    'yellow_2015-06_coords_10k_crlf.csv.gz': [9999, 1058],
    'yellow_2016-01_coords_2k_sorted.csv': [1999, 310],
    'yellow_2018-01_locid_renamedcols_10k.csv.gz': [10000, 519],
    'yellow_2019-01_locid_renamedcols_10k_crlf.csv.gz': [10000, 483],
    'yellow_2019-10_locid_socrata_isoT_3k.csv': [3000, 315],
    'yellow_2020-12_locid_usdates_quoted_1k.csv': [1000, 179],
    'yellow_2024-01_locid_10k.csv.gz': [10000, 640],
  };
  for (const [name, [trips, lines]] of Object.entries(SAMPLES)) {
    it(`agrees with the naive computation on ${name}`, { skip: WITHOUT_DATA }, async () => {
      const result = await agree([join(DATA, name)]);
      assert.deepEqual([result.trips, result.lines.length], [trips, lines]);
    });
  }

  it('agrees on sliding windows', { skip: WITHOUT_DATA }, async () => {
    const file = join(DATA, 'yellow_2015-06_coords_10k_crlf.csv.gz');
    assert.ok((await agree([file], { windowMinutes: 30, slideMinutes: 10 })).lines.length > 1000);
  });

  it('agrees on the 81 monthly files, each and together', { skip: WITHOUT_DATA }, async () => {
    const files = usable(join(DATA, 'monthly_100row'));
    assert.equal(files.length, 81);
    let trips = 0;
    for (const file of files) trips += (await agree([file])).trips;
    assert.equal((await agree(files)).trips, trips);
  });

  it('agrees on the cut files that have both times', { skip: WITHOUT_DATA }, async () => {
    const files = usable(join(DATA, 'tlc_first_1024_bytes'));
    assert.equal(files.length, 140);
    const result = await agree(files);
    assert.ok(result.rejected.short > 100);
  });

  it('knows the same centroids as the generated table', { skip: WITHOUT_DATA }, async () => {
    const { ZONE_CENTROIDS } = await import('../../src/dataset/zone-centroids.ts');
    assert.equal(zones.size, 260);
    assert.deepEqual(new Map([...ZONE_CENTROIDS].sort(([a], [b]) => a - b)), zones);
  });
});
