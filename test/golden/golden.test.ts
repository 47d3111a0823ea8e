/** The line's results equal what DuckDB computes from the same files: each file, three kinds of windows. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { StateReader } from '../../src/state/reader.ts';
import { fixture, fixtureFiles, SHARED_DATA, temporaryFolder, withoutSamples } from '../files.ts';
import { taxiflow } from '../taxiflow.ts';
import { Line, sameLines, totalsIn } from './line.ts';
import { comparable, expectedLines, type OracleOptions, type OracleResult } from './oracle.ts';

const WINDOWS: Readonly<Record<string, OracleOptions>> = {
  'ten-minutes': {},
  'an-hour': { windowMinutes: 60 },
  sliding: { windowMinutes: 15, slideMinutes: 5 },
  'sliding-unevenly': { windowMinutes: 10, slideMinutes: 4 },
};

/** Sample files that this test doesn't read: Parquet, and coordinates in metres, which are refused. */
const NOT_READ = /\.parquet$|webmercator/;

const samples = existsSync(SHARED_DATA)
  ? readdirSync(SHARED_DATA)
      .filter((name) => /\.csv(\.gz)?$/.test(name) && !NOT_READ.test(name))
      .sort()
  : [];

const monthly = (kind: string): string[] => {
  const folder = join(SHARED_DATA, 'monthly_100row');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.startsWith(kind))
    .sort()
    .map((name) => join(folder, name));
};

/** Replays the files once and compares every kind of window with the oracle. */
async function agrees(
  t: TestContext,
  paths: readonly string[],
  files = paths,
  kinds = Object.keys(WINDOWS),
): Promise<void> {
  const line = new Line(temporaryFolder(t), paths);
  const replayed = await line.replay({ speedup: Number.POSITIVE_INFINITY });
  for (const app of kinds) {
    const windows = WINDOWS[app]!;
    const expected = await expectedLines(files, windows);
    const { counters } = await line.process(windows, { drain: true }, app);
    sameLines(comparable(line.output(app)), expected.lines, `${app} windows`);
    assert.equal(replayed.acknowledged, expected.trips, 'trips replayed');
    assert.equal(counters.processed + counters.filtered, expected.trips, 'trips processed or filtered');
    assert.equal(counters.late + counters.dead + counters.duplicate, 0, 'nothing late, dead or twice');
    sameLines(storedLines(line.folder, app), sorted(line.output(app)), 'results read back');
    sameLines(totalsIn(line.folder, app), expected.totals, `totals of ${app} windows`);
  }
}

function sorted(ndjson: string): string[] {
  return ndjson
    .split('\n')
    .filter((line) => line !== '')
    .sort();
}

function storedLines(folder: string, app: string): string[] {
  const reader = new StateReader(folder, app);
  try {
    return [...reader.results()].map((doc) => JSON.stringify(doc)).sort();
  } finally {
    reader.close();
  }
}

describe('golden: the line in process gives what DuckDB gives', { concurrency: 2 }, () => {
  for (const name of fixtureFiles()) {
    it(`for the fixture ${name}`, (t) => agrees(t, [fixture(name)]));
  }

  it('for the sample files', { skip: withoutSamples }, () => {
    assert.ok(samples.length >= 11, `only ${samples.length} sample files found`);
  });
  for (const name of samples) {
    const file = join(SHARED_DATA, name);
    it(`for the sample ${name}`, (t) => agrees(t, [file]));
  }

  for (const kind of ['yellow', 'green']) {
    it(`for all monthly ${kind} samples as one input`, { skip: withoutSamples }, async (t) => {
      const files = monthly(kind);
      assert.ok(files.length > 25, `only ${files.length} monthly ${kind} samples found`);
      await agrees(t, files, files, ['ten-minutes', 'sliding']);
    });
  }

  it('for samples cut in the middle of a row', { skip: withoutSamples }, async (t) => {
    const folder = join(SHARED_DATA, 'tlc_first_1024_bytes');
    const files = readdirSync(folder)
      .filter((name) => /^(yellow|green)/.test(name))
      .sort()
      .map((name) => join(folder, name));
    assert.ok(files.length > 100, `only ${files.length} cut samples found`);
    await agrees(t, files, files, ['ten-minutes']);
  });
});

/** The views of `WINDOWS.sliding` as a user writes them: a function of the language, without imports. */
const SLIDING_VIEWS = `
const NYC = { south: 40.56, north: 40.878, west: -74.054, east: -73.722 };
const JFK = { south: 40.632, north: 40.654, west: -73.8, east: -73.761 };
const LGA = { south: 40.766, north: 40.778, west: -73.881, east: -73.859 };
export const views = (taxi) => {
  const { view, field, all, any, not, eq, present, within, choose, geohash, sliding } = taxi;
  const zone = field('dropoff_zone');
  const at = (number, area) => any(eq(zone, number), all(not(present(zone)), within('dropoff', area)));
  const minutes = taxi.minutesBetween(field('pickup_datetime'), field('dropoff_datetime'));
  const location = geohash('pickup', 6);
  const window = sliding('15m', '5m');
  return [
    view({ name: 'pickup_count', where: all(within('pickup', NYC), within('dropoff', NYC)), by: { location }, window,
      aggregates: { pickup_count: taxi.count() }, having: taxi.gte(taxi.aggregate('pickup_count'), 2) }),
    view({ name: 'trip_duration', where: within('pickup', NYC),
      by: { location, airport_code: choose([[at(132, JFK), 'JFK'], [at(138, LGA), 'LGA']]) }, window,
      aggregates: { trip_count: taxi.count(), sum_trip_duration: taxi.sum(minutes), avg_trip_duration: taxi.avg(minutes) },
      having: taxi.gt(taxi.aggregate('trip_count'), 1) }),
  ];
};
`;

interface Replayed {
  reconciled: boolean;
  acknowledged: number;
  rejected_by_reason: Record<string, number>;
}

/** The same with the real binary, as a user types it. */
async function agreesByCommand(t: TestContext, path: string, files: readonly string[]): Promise<void> {
  const folder = temporaryFolder(t);
  const module = join(folder, 'views.mjs');
  writeFileSync(module, SLIDING_VIEWS);
  const run = async (...args: string[]) => {
    const ran = await taxiflow(args, { cwd: folder });
    assert.equal(ran.code, 0, `taxiflow ${args.join(' ')}: ${ran.stderr}`);
    return ran;
  };
  const replay = (await run('replay', path, '--speedup', 'max', '--json')).json<Replayed>();
  const cases: [app: string, flags: string[], windows: OracleOptions][] = [
    ['usual', [], {}],
    ['hours', ['--window', '1h'], { windowMinutes: 60 }],
    ['sliding', ['--views', module], WINDOWS['sliding']!],
  ];
  for (const [app, flags, windows] of cases) {
    const expected: OracleResult = await expectedLines(files, windows);
    const output = join(folder, `${app}.ndjson`);
    const flow = ['--app', app, '--until-end', '--drain', '--output', output, '--json'];
    const processed = (await run('process', ...flow, ...flags)).json<{ reconciled: boolean; late: number }>();
    const ndjson = readFileSync(output, 'utf8');
    sameLines(comparable(ndjson), expected.lines, `${app} windows`);
    assert.deepEqual(
      [processed.reconciled, processed.late],
      [true, 0],
      'C7: everything adds up, nothing late',
    );
    const { stdout } = await run('results', '--app', app, '--format', 'ndjson');
    sameLines(sorted(stdout), sorted(ndjson), `results read back, ${app} windows`);
    sameLines(totalsIn(join(folder, '.taxiflow'), app), expected.totals, `totals of ${app} windows`);
    assert.equal(replay.reconciled, true, 'the replay adds up');
    assert.equal(replay.acknowledged, expected.trips, 'trips replayed');
    const { short, time, order } = expected.rejected;
    const of = (reason: string): number => replay.rejected_by_reason[reason] ?? 0;
    assert.deepEqual(
      [of('short-row'), of('unreadable-time'), of('dropoff-before-pickup')],
      [short, time, order],
      'rows rejected, by reason',
    );
  }
}

describe('golden: the real binary gives what DuckDB gives', { concurrency: 2 }, () => {
  for (const name of [
    'yellow-2015.csv',
    'yellow-2015-dirty.csv',
    'green-2013-dirty.csv',
    'yellow-2017.csv',
  ]) {
    it(`for the fixture ${name}`, (t) => agreesByCommand(t, fixture(name), [fixture(name)]));
  }

  const gz = join(SHARED_DATA, 'yellow_2015-06_coords_10k_crlf.csv.gz');
  it(`for the sample ${basename(gz)}`, { skip: withoutSamples }, (t) => agreesByCommand(t, gz, [gz]));

  it('for a folder of monthly samples', { skip: withoutSamples }, (t) =>
    agreesByCommand(t, join(SHARED_DATA, 'monthly_100row'), [...monthly('green'), ...monthly('yellow')]),
  );
});
