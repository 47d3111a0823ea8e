/**
 * The line as it runs on AWS: files in S3 → replay → Kinesis → process, with its state, its archive and its metrics there,
 * killed and stopped and started again on other machines. Results and archive are those that DuckDB computes of the file.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { generateCsv } from '../../src/dataset/generator/generate.ts';
import { ObjectStore } from '../../src/s3/object-store.ts';
import { emfIn, sums } from '../emf.ts';
import { temporaryFolder } from '../files.ts';
import { sameLines } from '../golden/line.ts';
import { comparable, expectedLines } from '../golden/oracle.ts';
import { randomNumbers } from '../random.ts';
import { type Ran, signalledAtCommit, taxiflow } from '../taxiflow.ts';
import { createStream } from './kinesis.ts';
import { type Ministack, startMinistack, storeObject, withoutMinistack } from './ministack.ts';

const TRIPS = 12_000;
const SHARDS = 3;
const SEED = Number(process.env['TAXIFLOW_SEED'] ?? 1);
const KILLS = Number(process.env['TAXIFLOW_KILLS'] ?? 5);

interface Line {
  readonly ministack: Ministack;
  readonly file: string;
  readonly folder: string;
  /** Runs `process` on a machine of its own; it gets a signal after so many commits. */
  run(app: string, signal?: NodeJS.Signals, commits?: number): Promise<Ran>;
}

async function lineOf(t: TestContext): Promise<Line> {
  const ministack = await startMinistack(t);
  Object.assign(process.env, ministack.env);
  const folder = temporaryFolder(t);
  const file = join(folder, 'trips.csv');
  const options = { from: '2016-01-11', hours: 30, seed: SEED, layout: 'yellow-2015', dirty: 0 } as const;
  writeFileSync(file, [...generateCsv({ trips: TRIPS, ...options })].join(''));
  await storeObject(ministack, 'lake', 'trips.csv', [...generateCsv({ trips: TRIPS, ...options })].join(''));
  await createStream(ministack, 'trips', SHARDS);
  const to = ['--stream', 'trips', '--endpoint-url', ministack.endpoint];
  const run = async (app: string, signal?: NodeJS.Signals, commits = 0) => {
    const data = ['--data-dir', temporaryFolder(t), '--app', app];
    const places = ['--state', 's3://lake/states', '--archive', `s3://lake/archive/${app}`];
    const fast = ['--checkpoint-interval', '20ms', '--state-interval', '40ms', '--archive-interval', '50ms'];
    const more = ['--metrics', 'emf', '--until-end', '--drain', '--json'];
    const args = ['process', ...to, ...data, ...places, ...fast, ...more];
    if (signal === undefined) return taxiflow(args, { env: ministack.env });
    return signalledAtCommit(commits, args, ministack.env, signal);
  };
  const replay = await taxiflow(['replay', 's3://lake/trips.csv', ...to, '--data-dir', folder, '--speedup', 'max', '--metrics', 'emf'], { env: ministack.env }); // biome-ignore format: one line
  assert.equal(replay.code, 0, replay.stderr);
  const sent = sums(emfIn(replay.stdout));
  assert.equal(sent['trips'], TRIPS, 'the metrics of the replay');
  return { ministack, file, folder, run };
}

/** The results that the state in S3 holds, as another machine sees them. */
async function resultsOf({ run }: Line, app: string): Promise<string[]> {
  const ran = await run(app);
  assert.equal(ran.code, 0, ran.stderr);
  const { state } = ran.json<{ state: string }>();
  const results = await taxiflow([
    'results',
    '--app',
    app,
    '--data-dir',
    dirname(dirname(state)),
    '--format',
    'ndjson',
  ]);
  return comparable(results.stdout);
}

/** Compares the archive with the file, row by row, by DuckDB. */
async function archiveHolds({ ministack, file, folder }: Line, app: string): Promise<void> {
  const store = await ObjectStore.open('lake', { endpointUrl: ministack.endpoint });
  const archive = join(folder, app);
  for await (const { key } of store.list(`archive/${app}/`)) {
    const path = join(archive, key.slice(`archive/${app}/`.length));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, (await store.get(key))!.bytes);
  }
  const db = await (await DuckDBInstance.create()).connect();
  const count = async (sql: string) => Number((await db.runAndReadAll(sql)).getRows()[0]![0]);
  const actual = `SELECT pickup_datetime, dropoff_datetime, passenger_count, trip_distance, pickup_lat, pickup_lon, dropoff_lat, dropoff_lon, total_amount
    FROM read_parquet('${archive}/*/*.parquet')`;
  // The TLC writes 0 where a place is unknown.
  const place = (column: string) => `CASE WHEN ${column} <> 0 THEN ${column} END`;
  const expected = `SELECT tpep_pickup_datetime::TIMESTAMP, tpep_dropoff_datetime::TIMESTAMP, passenger_count::DOUBLE, trip_distance::DOUBLE,
    ${['pickup_latitude', 'pickup_longitude', 'dropoff_latitude', 'dropoff_longitude'].map(place).join(', ')}, total_amount::DOUBLE FROM read_csv('${file}', header = true)`;
  assert.equal(await count(`SELECT count(*) FROM read_parquet('${archive}/*/*.parquet')`), TRIPS);
  assert.equal(await count(`SELECT count(*) FROM ((${expected}) EXCEPT ALL (${actual}))`), 0, 'rows missing');
  assert.equal(
    await count(`SELECT count(*) FROM ((${actual}) EXCEPT ALL (${expected}))`),
    0,
    'rows of no trip',
  );
}

describe('the line on AWS', { skip: withoutMinistack }, () => {
  it('comes out equal to DuckDB after kills, and adds up in its metrics after stops', async (t) => {
    const line = await lineOf(t);
    const expected = await expectedLines([line.file]);
    const random = randomNumbers(SEED);
    const commits = () => 3 + Math.floor(random() * 5);

    let killed = 0;
    for (let i = 0; i < KILLS; i++)
      if ((await line.run('killed', 'SIGKILL', commits())).signal === 'SIGKILL') killed++;
    assert.ok(killed > 1, 'it was killed while it ran');
    sameLines(await resultsOf(line, 'killed'), expected.lines, 'results after kills');
    await archiveHolds(line, 'killed');

    const totals: Record<string, number> = {};
    let stopped = 0;
    for (let i = 0; i < KILLS || stopped === 0; i++) {
      const ran = await line.run('stopped', 'SIGTERM', commits());
      assert.ok(ran.code === 130 || ran.code === 0, `${ran.code} ${ran.stderr}`);
      if (ran.code === 130) stopped++;
      for (const [name, sum] of Object.entries(sums(emfIn(ran.stdout))))
        totals[name] = (totals[name] ?? 0) + sum;
      if (ran.code === 0) break;
    }
    const last = await line.run('stopped');
    assert.equal(last.code, 0, last.stderr);
    for (const [name, sum] of Object.entries(sums(emfIn(last.stdout))))
      totals[name] = (totals[name] ?? 0) + sum;
    const { totals: told } = last.json<{ totals: Record<string, number> }>();
    assert.equal(totals['records'], told['read'], 'records are counted once');
    assert.equal(told['read']! - told['watermarks']!, TRIPS);
    assert.deepEqual(
      [totals['results'], totals['late'], totals['dead_letters']],
      [expected.lines.length, 0, 0],
    );
    sameLines(await resultsOf(line, 'stopped'), expected.lines, 'results after stops');
    await archiveHolds(line, 'stopped');
    const [first] = emfIn(last.stdout);
    assert.deepEqual(
      first!.dimensions,
      { stream: 'trips', app: 'stopped' },
      'as the alarms of the template look for them',
    );
  });
});
