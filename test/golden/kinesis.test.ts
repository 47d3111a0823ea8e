/** The line over Kinesis gives what DuckDB computes from the same files, plain and aggregated, resharded or not. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { systemClock } from '../../src/clock.ts';
import { generateCsv } from '../../src/dataset/generator/generate.ts';
import { KinesisAdmin } from '../../src/streams/kinesis/admin.ts';
import { fixture, fixtureFiles, SHARED_DATA, temporaryFolder, withoutSamples } from '../files.ts';
import { randomNumbers } from '../random.ts';
import {
  createStream,
  type Emulator,
  faulty,
  reshardAtRandom,
  startKinesis,
  totalFaults,
} from '../services/kinesis.ts';
import { type Ministack, startMinistack, storeObject, withoutMinistack } from '../services/ministack.ts';
import { taxiflow } from '../taxiflow.ts';
import { Line, sameLines } from './line.ts';
import { comparable, expectedLines } from './oracle.ts';

const SEED = Number(process.env['TAXIFLOW_SEED'] ?? 1);
const CI = process.env['CI'] === 'true';
const SHARDS = 4;
const FROM_S3 = 'green_tripdata_2023-12.parquet';
/** Coordinates in metres are refused. */
const NOT_READ = /webmercator/;

interface Case {
  readonly name: string;
  readonly files: readonly string[];
  /** Many trips, for the faster emulator. */
  readonly large: boolean;
}

function cases(): Case[] {
  const fixtures = fixtureFiles().map((name) => ({ name, files: [fixture(name)], large: false }));
  if (!existsSync(SHARED_DATA)) return fixtures;
  const inFolder = (folder: string, pattern: RegExp) =>
    readdirSync(join(SHARED_DATA, folder))
      .filter((name) => pattern.test(name))
      .sort()
      .map((name) => join(SHARED_DATA, folder, name));
  const samples = inFolder('', /\.(csv|csv\.gz|parquet)$/)
    .filter((file) => !NOT_READ.test(file) && !file.endsWith(FROM_S3))
    .map((file) => ({
      name: file.slice(SHARED_DATA.length + 1),
      files: [file],
      large: /10k|6k|5000/.test(file),
    }));
  return [
    ...fixtures,
    ...samples,
    { name: 'all monthly yellow samples', files: inFolder('monthly_100row', /^yellow/), large: false },
    { name: 'all monthly green samples', files: inFolder('monthly_100row', /^green/), large: false },
    {
      name: 'samples cut in the middle of a row',
      files: inFolder('tlc_first_1024_bytes', /^(yellow|green)/),
      large: false,
    },
  ];
}

interface Replayed {
  read: number;
  sent: number;
  acknowledged: number;
  rejected: number;
  rejected_by_reason: Record<string, number>;
  watermarks: number;
  reconciled: boolean;
}

interface Processed extends Record<'read' | 'watermarks' | 'processed' | 'filtered', number> {
  totals: Record<'processed' | 'filtered' | 'duplicate' | 'late' | 'dead', number>;
  reconciled: boolean;
}

async function done<T>(args: readonly string[], env: Record<string, string>): Promise<T> {
  const ran = await taxiflow([...args, '--json'], { env });
  assert.equal(ran.code, 0, `taxiflow ${args.join(' ')}: ${ran.stderr}`);
  return ran.json<T>();
}

interface Way {
  readonly env: Record<string, string>;
  readonly stream: string;
  readonly aggregate: boolean;
  /** What to replay instead of the files. */
  readonly paths?: readonly string[];
}

/** Replays files into a stream and processes it, with the real binary. */
async function agrees(t: TestContext, files: readonly string[], way: Way): Promise<void> {
  const { env, stream, aggregate, paths = files } = way;
  const folder = temporaryFolder(t);
  const at = ['--stream', stream, '--data-dir', folder];
  const expected = await expectedLines(files);
  const flags = ['--speedup', 'max', ...(aggregate ? ['--aggregate'] : [])];
  const replayed = await done<Replayed>(['replay', ...paths, ...flags, ...at], env);
  assert.deepEqual(
    [replayed.read, replayed.sent, replayed.acknowledged],
    [expected.trips + replayed.rejected, expected.trips, expected.trips],
    'read = sent + rejected, sent = acknowledged',
  );
  const { short, time, order } = expected.rejected;
  const of = (reason: string): number => replayed.rejected_by_reason[reason] ?? 0;
  assert.deepEqual(
    [of('short-row'), of('unreadable-time'), of('dropoff-before-pickup'), replayed.rejected],
    [short, time, order, short + time + order],
    'rows rejected, by reason',
  );

  const output = join(folder, 'out.ndjson');
  const flow = ['process', '--until-end', '--drain', '--output', output, ...at];
  const processed = await done<Processed>(flow, env);
  const ndjson = readFileSync(output, 'utf8');
  sameLines(comparable(ndjson), expected.lines, 'the results');
  const { read, watermarks, totals } = processed;
  assert.ok(watermarks >= replayed.watermarks * SHARDS, 'W3: a watermark came to each shard');
  // An emulator on a busy machine may answer so late that a request is sent again.
  assert.equal(read, expected.trips + watermarks + totals.duplicate, 'everything was read once');
  assert.equal(totals.processed + totals.filtered, expected.trips, 'trips processed or filtered');
  assert.deepEqual([totals.late, totals.dead], [0, 0], 'nothing late, nothing dead');
  assert.deepEqual([replayed.reconciled, processed.reconciled], [true, true], 'both add up');

  const line = new Line(folder, files);
  await line.replay({ speedup: Number.POSITIVE_INFINITY });
  await line.process({}, { drain: true });
  sameLines(sorted(ndjson), sorted(line.output()), 'the bytes of the embedded stream');
}

function sorted(ndjson: string): string[] {
  return ndjson.split('\n').sort();
}

/** Every case both ways in CI; otherwise one way each, to save time. */
async function allCases(
  t: TestContext,
  emulator: Emulator | Ministack,
  env: Record<string, string>,
  wanted: Case[],
) {
  const running: Promise<void>[] = [];
  for (const [i, { name, files }] of wanted.entries()) {
    for (const aggregate of CI ? [false, true] : [i % 2 === 0]) {
      const stream = `case-${i}${aggregate ? '-aggregated' : ''}`;
      running.push(
        t.test(`${name}, ${aggregate ? 'aggregated' : 'a trip per record'}`, async (inner) => {
          await createStream(emulator, stream, SHARDS);
          await agrees(inner, files, { env, stream, aggregate });
        }),
      );
    }
  }
  await Promise.all(running);
}

/** Looks again and again until something holds; the test's timeout ends it. */
async function until(t: TestContext, holds: () => boolean): Promise<void> {
  while (!holds()) {
    t.signal.throwIfAborted();
    await wait(20);
  }
}

const TRIPS = 6_000;
const CHANGES = 8;
const PUTS_A_CHANGE = 4;
/** A day in about ten seconds, so with two watermarks on the way. */
const SPEEDUP = '8000';

/** A replay writes, a processor follows, and shards are split and merged under both. */
async function followsResharding(t: TestContext, aggregate: boolean, rate: number, seed: number) {
  const emulator = await startKinesis(t);
  await createStream(emulator, 'trips', 2);
  const admin = new KinesisAdmin({ stream: 'trips', endpointUrl: emulator.endpoint, clock: systemClock });
  t.after(() => admin.close());
  const random = randomNumbers(seed);
  let changes = 0;
  let resharding = Promise.resolve();
  // Each change runs beside the writing, and ends before the next one begins.
  const { env, faults } = await faulty(t, emulator, rate, seed, async (target, put) => {
    if (target !== 'PutRecords' || put % PUTS_A_CHANGE !== 0 || changes === CHANGES) return;
    changes++;
    const before = resharding;
    resharding = before.then(() => reshardAtRandom(admin, random));
    await before;
  });
  const folder = temporaryFolder(t);
  const file = join(folder, 'trips.csv');
  const day = { from: '2016-01-11', hours: 24, seed, layout: 'yellow-2015', dirty: 0 } as const;
  writeFileSync(file, [...generateCsv({ trips: TRIPS, ...day })].join(''));
  const expected = await expectedLines([file]);
  const at = ['--stream', 'trips', '--data-dir', folder, '--json'];
  const output = join(folder, 'out.ndjson');
  const lines = () => (existsSync(output) ? comparable(wholeLines(readFileSync(output, 'utf8'))) : []);

  let follower: ChildProcess | undefined;
  const flow = ['process', '--output', output, '--checkpoint-interval', '100ms', ...at];
  const following = taxiflow(flow, { env, onStart: (child) => (follower = child) });
  t.after(() => follower?.kill('SIGKILL'));

  const pace = ['--speedup', SPEEDUP, ...(aggregate ? ['--aggregate'] : [])];
  const replay = await taxiflow(['replay', file, ...pace, ...at], { env });
  await resharding;
  // All of them, unless the machine is so busy that the replay catches up in a few large puts.
  assert.ok(changes >= 3, `the replay was over after ${changes} changes`);
  assert.equal(replay.code, 0, replay.stderr);
  const replayed = replay.json<Replayed & { last_watermark: string }>();
  assert.deepEqual(
    [replayed.read, replayed.sent, replayed.acknowledged],
    [expected.trips, expected.trips, expected.trips],
    'read = sent = acknowledged',
  );

  // The windows that the last watermark fires arrive while the processor still follows.
  const due = expected.lines.filter(
    (line) => (JSON.parse(line) as { window_end: string }).window_end <= replayed.last_watermark,
  );
  await until(t, () => lines().length >= due.length);
  follower?.kill('SIGTERM');
  const followed = await following;
  assert.equal(followed.code, 130, followed.stderr);
  sameLines(lines(), due, 'what was due while the processor followed');

  const { totals, reconciled } = await done<Processed>(
    ['process', '--until-end', '--drain', '--output', output, ...at],
    env,
  );
  sameLines(lines(), expected.lines, 'the results');
  assert.deepEqual([totals.late, totals.dead], [0, 0], 'W1, W4: nothing late, nothing dead');
  assert.equal(totals.processed + totals.filtered, expected.trips, 'each trip counts once');
  assert.equal(reconciled, true, 'C7: everything read is accounted for');
  t.diagnostic(`${changes} changes, ${totals.duplicate} duplicates, ${totalFaults({ faults })} faults`);
}

/** The text without the line that is being written. */
function wholeLines(ndjson: string): string {
  return ndjson.slice(0, ndjson.lastIndexOf('\n') + 1);
}

describe('golden over Kinesis', { concurrency: true }, () => {
  it('files of some thousand trips', { concurrency: 2 }, async (t) => {
    const emulator = await startKinesis(t);
    await allCases(
      t,
      emulator,
      emulator.env,
      cases().filter(({ large }) => !large),
    );
  });

  it('larger files, on the faster emulator', {
    concurrency: 2,
    skip: withoutSamples || withoutMinistack,
  }, async (t) => {
    const ministack = await startMinistack(t);
    const env = { ...ministack.env, AWS_ENDPOINT_URL: ministack.endpoint };
    const large = cases().filter(({ large }) => large);
    assert.ok(large.length >= 6, `only ${large.length} large samples found`);
    await allCases(t, ministack, env, large);
    const file = join(SHARED_DATA, FROM_S3);
    await storeObject(ministack, 'trips', `tlc/${FROM_S3}`, readFileSync(file));
    for (const aggregate of CI ? [false, true] : [true]) {
      await t.test(`${FROM_S3} from S3, ${aggregate ? 'aggregated' : 'a trip per record'}`, async (inner) => {
        const stream = `from-s3${aggregate ? '-aggregated' : ''}`;
        await createStream(ministack, stream, SHARDS);
        await agrees(inner, [file], { env, stream, aggregate, paths: [`s3://trips/tlc/${FROM_S3}`] });
      });
    }
  });

  it('W3, W4, K1–K3: shards are split and merged while a replay writes and a processor follows', {
    concurrency: true,
  }, async (t) => {
    const runs: [aggregate: boolean, rate: number][] = [
      [false, 0.2],
      [true, 0],
    ];
    if (CI) runs.push([false, 0], [true, 0.2]);
    await Promise.all(
      runs.map(([aggregate, rate], i) =>
        t.test(
          `${aggregate ? 'aggregated' : 'a trip per record'}${rate > 0 ? ', and a fifth of all requests go wrong' : ''}`,
          { timeout: 600_000 },
          (inner) => followsResharding(inner, aggregate, rate, SEED + i),
        ),
      ),
    );
  });
});
