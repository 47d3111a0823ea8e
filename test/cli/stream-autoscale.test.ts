/** `taxiflow stream autoscale` with the real binary, and under a pipeline that goes on. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { CloudWatchClient, PutMetricDataCommand } from '@aws-sdk/client-cloudwatch';
import { CreateStreamCommand, KinesisClient } from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { systemClock } from '../../src/clock.ts';
import { autoscale } from '../../src/streams/autoscale/run.ts';
import { KinesisAdmin } from '../../src/streams/kinesis/admin.ts';
import { LocalAdmin } from '../../src/streams/local/admin.ts';
import { LocalStream } from '../../src/streams/local/log.ts';
import type { StreamAdmin } from '../../src/streams/ports.ts';
import { TestClock } from '../clock.ts';
import { fixture, temporaryFolder } from '../files.ts';
import { comparable, expectedLines } from '../golden/oracle.ts';
import { type Point, startCloudWatch } from '../services/cloudwatch.ts';
import { serve } from '../services/http.ts';
import { createStream, startKinesis } from '../services/kinesis.ts';
import { startMinistack, withoutMinistack } from '../services/ministack.ts';
import { following, taxiflow } from '../taxiflow.ts';
import { lines, PARALLEL, run } from './model.ts';

const MINUTE = 60_000;
const YELLOW = fixture('yellow-2015.csv');

interface Told {
  command: string;
  stream: string;
  time: string;
  shards: number;
  use: { bytes_per_second: number; records_per_second: number; per_shard: number; throttled: number } | null;
  wanted: number;
  action: string;
  to: number;
  why: string;
  next_allowed: string | null;
  dry_run: boolean;
}

/** Makes an embedded stream at a time gone by, and writes so many records at each of other times. */
async function written(
  cwd: string,
  shards: number,
  made: number,
  puts: readonly (readonly [at: number, records: number])[],
) {
  let time = made;
  const clock = new TestClock({ base: () => time });
  const stream = LocalStream.open({
    dataDir: join(cwd, '.taxiflow'),
    name: 't',
    clock,
    createShards: shards,
  });
  for (const [at, records] of puts) {
    time = at;
    const ends = Uint32Array.from({ length: records }, (_, i) => 10 * (i + 1));
    const hashes = Uint32Array.from({ length: records }, (_, i) => (i * 2_654_435_761) >>> 0);
    await stream.put({ count: records, data: Buffer.alloc(10 * records, 'x'), ends, hashes });
  }
  await stream.close();
}

/** In the middle of the minute that ended so many minutes ago. */
const within = (ago: number) => Math.floor(Date.now() / MINUTE) * MINUTE - (ago + 0.5) * MINUTE;

async function once(cwd: string, ...more: string[]): Promise<Told> {
  const ran = await run(['stream', 'autoscale', 'local:t', '--once', '--json', ...more], { cwd });
  return ran.json<Told>();
}

async function openShards(cwd: string, name = 'local:t', env = {}): Promise<number> {
  const ran = await run(['stream', 'describe', name, '--json'], { cwd, env });
  return ran.json<{ shards: { open: boolean }[] }>().shards.filter(({ open }) => open).length;
}

describe('stream autoscale of an embedded stream', PARALLEL, () => {
  test('adds shards by what was written in the last minutes', async (t) => {
    const cwd = temporaryFolder(t);
    // A test that begins just before a minute ends may see the second one as the newest.
    await written(
      cwd,
      1,
      within(90),
      [1, 0].map((ago) => [within(ago), 90_000] as const),
    );
    const planned = await once(cwd, '--dry-run');
    const { time, next_allowed, ...first } = await once(cwd);
    const undated = { time: 0, next_allowed: 0 };
    assert.deepEqual({ ...planned, dry_run: false, ...undated }, { ...first, ...undated });
    assert.equal(Date.parse(next_allowed ?? '') - Date.parse(time), 15 * MINUTE);
    assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000);
    assert.deepEqual(first, {
      ...{ command: 'stream autoscale', stream: 'local:t', shards: 1 },
      use: { bytes_per_second: 15_000, records_per_second: 1_500, per_shard: 1.5, throttled: 0 },
      ...{ wanted: 3, action: 'up', to: 2 },
      why: '150 % of what 1 shard takes is used; the target is 60 %',
      dry_run: false,
    });
    const second = await once(cwd);
    assert.deepEqual([second.shards, second.action, second.to, second.wanted], [2, 'up', 3, 3]);
    const third = await once(cwd);
    assert.deepEqual([third.shards, third.action, third.wanted], [3, 'hold', 3]);
    assert.equal(await openShards(cwd), 3);
  });

  test('takes shards away once, and then waits, also as another process', async (t) => {
    const cwd = temporaryFolder(t);
    await written(cwd, 8, within(120), [[within(60), 1_000]]);
    const first = await once(cwd, '--min', '2');
    assert.deepEqual([first.action, first.shards, first.to, first.wanted], ['down', 8, 4, 2]);
    const second = await once(cwd, '--min', '2');
    assert.deepEqual([second.action, second.shards, second.wanted], ['hold', 4, 2]);
    const waits = Date.parse(second.next_allowed ?? '') - Date.now();
    assert.ok(waits > 10 * MINUTE && waits <= 15 * MINUTE, second.next_allowed ?? 'null');
    assert.match(
      second.why,
      /2 shards would have been enough for 15 minutes, but the last change is too young/,
    );
    assert.equal(await openShards(cwd), 4);
  });

  test('says in words what it does, and why', async (t) => {
    const cwd = temporaryFolder(t);
    await written(cwd, 8, within(120), []);
    const say = async (...more: string[]) =>
      (await run(['stream', 'autoscale', 'local:t', ...more], { cwd })).stdout;
    assert.match(
      await say('--dry-run'),
      /^\d{4}-\d\d-\d\dT[\d:.]+Z would go down from 8 to 4 shards, then to 1: 0 records\/s, 0\.00 MB\/s; 1 shard would have been enough for 15 minutes\n$/,
    );
    assert.equal(await openShards(cwd), 8);
    assert.match(await say('--once', '--min', '12'), / went up from 8 to 12 shards: .*--min is 12\n$/);
    assert.match(await say('--once'), / stays at 12 shards: .* the last change is too young\n$/);
  });

  test('refuses a stream that isn’t there, and makes none', async (t) => {
    const cwd = temporaryFolder(t);
    const { stderr } = await run(['stream', 'autoscale', 'local:x', '--once'], { cwd, code: 1 });
    assert.match(stderr, /^Error: there is no stream local:x [^\n]+\nTry: [^\n]+\n$/);
    assert.ok(!existsSync(join(cwd, '.taxiflow', 'streams', 'x.sqlite')));
  });

  test('a run goes on until Ctrl-C', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['stream', 'create', 'local:t', '--shards', '1'], { cwd });
    const args = ['stream', 'autoscale', 'local:t', '--min', '5', '--json'];
    const scaler = following(t, args, { cwd });
    await scaler.until('it has five shards', async () => (await openShards(cwd)) === 5);
    const { code, stdout, stderr } = await scaler.interrupt();
    assert.deepEqual([code, stderr], [0, '']);
    const told = lines<Told>(stdout).map(({ action, shards, to, wanted }) => [action, shards, to, wanted]);
    assert.deepEqual(told.slice(0, 3), [
      ['up', 1, 2, 5],
      ['up', 2, 4, 5],
      ['up', 4, 5, 5],
    ]);
    assert.ok(told.slice(3).every(([action]) => action === 'hold'));
  });

  test('while a replay writes and a process reads, it goes up and down, and results are the same', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['stream', 'create', '--shards', '1'], { cwd });
    const admin = new LocalAdmin(join(cwd, '.taxiflow'), 'taxi-trip-events');
    const seen = await pipeline(t, cwd, [], {}, admin);
    // A trip a second is what a shard is to take, so some hundred a minute are enough for several.
    assert.ok(seen.has('up') && seen.has('down'), [...seen].join());
  });
});

/** Runs replay and process while a stream is resharded all the time; results must be those of a quiet stream. Returns what was done. */
async function pipeline(
  t: TestContext,
  cwd: string,
  stream: readonly string[],
  env: Record<string, string>,
  admin: Pick<StreamAdmin, 'describe' | 'reshard' | 'written'>,
): Promise<Set<string>> {
  const output = ['--output', 'out.ndjson'];
  const reader = following(t, ['process', ...stream, ...output], { cwd, env });
  let written = false;
  const replay = run(['replay', YELLOW, '--speedup', '1200', ...stream], { cwd, env }).finally(() => {
    written = true;
  });
  const seen = new Set<string>();
  // By a clock that runs ahead, the last minutes are those of the replay, or the quiet ones after it.
  for (let ahead = 1; !written || !seen.has('down'); ahead = ahead === 1 ? 40 : 1) {
    // It takes a while, so that something is written between two looks.
    await run(['stream', 'describe', stream.at(-1) ?? 'local:taxi-trip-events'], { cwd, env });
    const clock = new TestClock({ base: () => Date.now() + ahead * MINUTE, step: MINUTE });
    await autoscale({
      ...{ stream: admin, clock, once: true, dryRun: false, signal: new AbortController().signal },
      options: { min: 1, max: 6, target: 0.001 },
      onDecision: ({ action }) => void seen.add(action),
    });
  }
  await replay;
  await reader.interrupt();
  const ran = await taxiflow(['process', ...stream, ...output, '--until-end', '--drain', '--json'], {
    cwd,
    env,
  });
  // Of the few records that are left, none may be in a view: that is exit code 3.
  assert.ok(ran.code === 0 || ran.code === 3, ran.stderr);
  assert.equal((ran.json()['totals'] as Record<string, number>)['late'], 0);
  assert.deepEqual(
    comparable(readFileSync(join(cwd, 'out.ndjson'), 'utf8')),
    (await expectedLines([YELLOW])).lines,
  );
  return seen;
}

/** Figures of the last ten minutes: as many records a second as told. */
function minutesOf(recordsPerSecond: number): Point[] {
  return Array.from({ length: 10 }, (_, ago) => ({
    ...{ metric: 'IncomingRecords', at: within(ago), value: recordsPerSecond * 60 },
  }));
}

/** Kinesalite lacks UpdateShardCount: this splits and merges in its place, as Amazon does. */
async function withUpdateShardCount(t: TestContext, endpoint: string): Promise<string> {
  const { url } = await serve(t, async ({ headers, body }) => {
    if (!String(headers['x-amz-target']).endsWith('.UpdateShardCount')) {
      const { host: _, 'content-length': __, connection: ___, 'transfer-encoding': ____, ...kept } = headers;
      const real = await fetch(endpoint, { method: 'POST', headers: kept as Record<string, string>, body });
      return {
        status: real.status,
        body: await real.text(),
        headers: { 'content-type': real.headers.get('content-type') ?? '' },
      };
    }
    const { StreamName: stream, TargetShardCount: target } = JSON.parse(body.toString());
    const admin = new KinesisAdmin({ stream, endpointUrl: endpoint, clock: systemClock });
    const open = async () =>
      (await admin.describe())
        .filter((shard) => shard.open)
        .sort((a, b) => (BigInt(a.first_hash_key) < BigInt(b.first_hash_key) ? -1 : 1));
    for (let now = await open(); now.length !== target; now = await open())
      await (now.length < target ? admin.split(now[0]!.shard) : admin.merge(now[0]!.shard, now[1]!.shard));
    admin.close();
    return { body: {} };
  });
  return url;
}

describe('stream autoscale of a Kinesis stream', PARALLEL, () => {
  test('goes by CloudWatch’s figures, and by the times that shards tell of their making', async (t) => {
    const cwd = temporaryFolder(t);
    const kinesis = await startKinesis(t);
    await createStream(kinesis, 'trips', 1);
    const url = await withUpdateShardCount(t, kinesis.endpoint);
    const figures = await startCloudWatch(t, { stream: 'trips', points: minutesOf(1_100) });
    const env = { ...kinesis.env, AWS_ENDPOINT_URL: url, AWS_ENDPOINT_URL_CLOUDWATCH: figures.url };
    const look = async (...more: string[]) =>
      (await run(['stream', 'autoscale', 'trips', '--once', '--json', ...more], { cwd, env })).json<Told>();
    const first = await look();
    assert.deepEqual([first.stream, first.action, first.shards, first.to], ['kinesis:trips', 'up', 1, 2]);
    assert.equal(first.use?.per_shard, 1.1);
    const second = await look();
    assert.deepEqual([second.action, second.shards, second.use?.per_shard], ['hold', 2, 0.55]);
    const waits = Date.parse(second.next_allowed ?? '') - Date.now();
    assert.ok(waits > 10 * MINUTE && waits <= 15 * MINUTE + 1_000, 'the shards say when they were made');
    const above = await look('--max', '1');
    assert.deepEqual([above.action, above.wanted], ['hold', 1]);
    assert.match(above.why, /--max is 1, but the last change is too young/);
  });

  test('while a replay writes and a process reads, results are the same', async (t) => {
    const cwd = temporaryFolder(t);
    const kinesis = await startKinesis(t);
    await createStream(kinesis, 'trips', 1);
    const url = await withUpdateShardCount(t, kinesis.endpoint);
    const admin = new KinesisAdmin({ stream: 'trips', endpointUrl: url, clock: systemClock });
    t.after(() => admin.close());
    // The figures of a stream that is busy at one look, and quiet at the next.
    let looks = 0;
    const figures: Pick<StreamAdmin, 'describe' | 'reshard' | 'written'> = {
      describe: () => admin.describe(),
      reshard: (shards) => admin.reshard(shards),
      written: async (since, until) => {
        const records = looks++ % 2 === 0 ? 200 : 0;
        const first = Math.ceil(since / MINUTE) * MINUTE;
        const count = Math.floor((until - first) / MINUTE);
        return Array.from({ length: count }, (_, i) => ({
          start: first + i * MINUTE,
          bytes: 0,
          records,
          throttled: 0,
          settled: true,
        }));
      },
    };
    const seen = await pipeline(
      t,
      cwd,
      ['--stream', 'trips'],
      { ...kinesis.env, AWS_ENDPOINT_URL: url },
      figures,
    );
    assert.ok(seen.has('up') && seen.has('down'), [...seen].join());
  });

  test('says where there are no figures: an emulator without CloudWatch, no rights', async (t) => {
    const cwd = temporaryFolder(t);
    const kinesis = await startKinesis(t);
    await createStream(kinesis, 'trips', 1);
    const args = ['stream', 'autoscale', 'trips', '--once'];
    const none = await run(args, { cwd, env: kinesis.env, code: 1 });
    assert.match(
      none.stderr,
      /^Error: there are no figures of what is written to kinesis:trips: [^\n]+\nTry: [^\n]+\n$/,
    );
    const { url } = await startCloudWatch(t, { stream: 'trips', points: [], fault: () => 'AccessDenied' });
    const env = { ...kinesis.env, AWS_ENDPOINT_URL_CLOUDWATCH: url };
    const refused = await run(args, { cwd, env, code: 1 });
    assert.match(refused.stderr, /^Error: not allowed: so it is\nTry: [^\n]+\n$/);
  });

  test('works with an emulator of both, and refuses a stream on demand', {
    skip: withoutMinistack,
  }, async (t) => {
    const cwd = temporaryFolder(t);
    const { endpoint, env } = await startMinistack(t);
    const place = ['--endpoint-url', endpoint];
    const settings = {
      endpoint,
      region: 'us-east-1',
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    };
    await run(['stream', 'create', 'trips', '--shards', '2', ...place], { cwd, env });
    const cloudwatch = new CloudWatchClient(settings);
    t.after(() => cloudwatch.destroy());
    const put = (MetricName: string, value: number) =>
      cloudwatch.send(
        new PutMetricDataCommand({
          Namespace: 'AWS/Kinesis',
          MetricData: [0, 1].map((ago) => ({
            ...{ MetricName, Value: value, Timestamp: new Date(within(ago)) },
            Dimensions: [{ Name: 'StreamName', Value: 'trips' }],
          })),
        }),
      );
    await put('IncomingBytes', 1_048_576 * 60 * 1.8);
    await put('IncomingRecords', 600);
    const look = (...more: string[]) =>
      run(['stream', 'autoscale', 'trips', '--once', '--json', ...place, ...more], { cwd, env });
    const told = (await look()).json<Told>();
    assert.deepEqual([told.action, told.shards, told.to, told.use?.per_shard], ['up', 2, 3, 0.9]);
    const { shards } = (await run(['stream', 'describe', 'trips', '--json', ...place], { cwd, env })).json<{
      shards: [];
    }>();
    assert.equal(shards.length, 3);
    const held = (await look('--max', '2')).json<Told>();
    assert.deepEqual([held.action, held.wanted], ['hold', 2], 'its shards don’t say when they were made');
    const kinesis = new KinesisClient({ ...settings, requestHandler: new NodeHttpHandler() });
    t.after(() => kinesis.destroy());
    await kinesis.send(
      new CreateStreamCommand({ StreamName: 'free', StreamModeDetails: { StreamMode: 'ON_DEMAND' } }),
    );
    const { stderr } = await run(['stream', 'autoscale', 'free', '--once', ...place], { cwd, env, code: 1 });
    assert.match(
      stderr,
      /^Error: Amazon chooses the shards of kinesis:free: it is on demand\nTry: [^\n]+\n$/,
    );
  });
});
