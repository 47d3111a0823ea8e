import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../src/clock.ts';
import { KinesisAdmin } from '../../src/streams/kinesis/admin.ts';
import { KinesisStream } from '../../src/streams/kinesis/stream.ts';
import { comparable, expectedLines } from '../golden/oracle.ts';
import { faulty, startKinesis } from '../services/kinesis.ts';
import { fixture, taxiflow, temporaryFolder } from '../support.ts';

const TRIPS = 'yellow-2015.csv';

interface Summary extends Record<string, unknown> {
  reconciled: boolean;
}

async function oracle(file: string): Promise<string[]> {
  return (await expectedLines([fixture(file)])).lines;
}

function lines(folder: string): string[] {
  return comparable(readFileSync(join(folder, 'out.ndjson'), 'utf8'));
}

/** Runs a command that has to succeed. */
async function done(args: string[], env: Record<string, string>): Promise<Summary> {
  const ran = await taxiflow([...args, '--json'], { env });
  assert.equal(ran.code, 0, ran.stderr);
  return ran.json<Summary>();
}

const SHARD = 'shardId-000000000000';

/** A stream, and time that goes by in sleeps. */
async function streamOf(t: TestContext, shards: number) {
  const { endpoint } = await startKinesis(t);
  let ahead = 0;
  const clock: Clock = {
    now: () => Date.now() + ahead,
    sleep: async (ms) => {
      ahead += ms;
      await setImmediate();
    },
  };
  const options = { stream: 'trips', endpointUrl: endpoint, clock };
  const admin = new KinesisAdmin(options);
  t.after(() => admin.close());
  await admin.create(shards);
  const open = async () => {
    const stream = await KinesisStream.open(options);
    t.after(() => stream.close());
    return stream;
  };
  return { stream: await open(), open, clock };
}

async function put(stream: KinesisStream, text: string): Promise<void> {
  const data = Buffer.from(text);
  await stream.put({ count: 1, data, ends: Uint32Array.of(data.length), hashes: Uint32Array.of(0) });
}

describe('Kinesis behind the Stream port', () => {
  for (const aggregate of [[], ['--aggregate']]) {
    const how = aggregate.length > 0 ? 'aggregated' : 'a trip a record';
    it(`gives the oracle's rows over 4 shards, ${how}`, async (t) => {
      const { env } = await startKinesis(t);
      const folder = temporaryFolder(t);
      const at = ['--data-dir', folder];
      await done(['stream', 'create', 'trips', '--shards', '4', ...at], env);
      const sent = await done(
        ['replay', fixture(TRIPS), '--speedup', 'max', '--stream', 'trips', ...aggregate, ...at],
        env,
      );
      assert.equal(sent.reconciled, true);
      assert.equal(sent['read'], sent['acknowledged']);
      const output = ['--output', join(folder, 'out.ndjson')];
      const read = await done(
        ['process', '--stream', 'trips', '--until-end', '--drain', ...output, ...at],
        env,
      );
      assert.equal(read['watermarks'], 4);
      assert.equal(read.reconciled, true);
      assert.deepEqual(lines(folder), await oracle(TRIPS));
    });

    it(`W3, W4 gives the oracle's rows when shards are split and merged in the middle, ${how}`, async (t) => {
      const { env } = await startKinesis(t);
      const folder = temporaryFolder(t);
      const at = ['--data-dir', folder];
      const output = ['--output', join(folder, 'out.ndjson')];
      const replay = (limit: string[]) =>
        done(
          [
            'replay',
            fixture(TRIPS),
            '--speedup',
            'max',
            '--stream',
            'trips',
            '--resume',
            ...limit,
            ...aggregate,
            ...at,
          ],
          env,
        );
      await done(['stream', 'create', 'trips', '--shards', '2', ...at], env);
      await replay(['--limit', '150']);
      await done(['process', '--stream', 'trips', '--until-end', ...output, ...at], env);
      await done(['stream', 'split', '0', 'trips', ...at], env);
      await replay(['--limit', '300']);
      await done(['stream', 'merge', '3', '1', 'trips', ...at], env);
      await done(['process', '--stream', 'trips', '--until-end', ...output, ...at], env);
      await replay([]);
      const read = await done(
        ['process', '--stream', 'trips', '--until-end', '--drain', ...output, ...at],
        env,
      );
      assert.equal((read['totals'] as Record<string, number>)['late'], 0);
      assert.deepEqual(lines(folder), await oracle(TRIPS));
    });

    it(`K1, K2 gives the oracle's rows when a fifth of all requests go wrong, ${how}`, async (t) => {
      const emulator = await startKinesis(t);
      const folder = temporaryFolder(t);
      const at = ['--data-dir', folder];
      await done(['stream', 'create', 'trips', '--shards', '4', ...at], emulator.env);
      const bad = await faulty(t, emulator, 0.2, 7);
      const sent = await done(
        ['replay', fixture(TRIPS), '--speedup', 'max', '--stream', 'trips', ...aggregate, ...at],
        bad.env,
      );
      assert.equal(sent['acknowledged'], sent['read']);
      const output = ['--output', join(folder, 'out.ndjson')];
      // Each run reads a little, so that there are many requests for things to go wrong in.
      for (let run = 0; run < 5; run++) {
        await done(['process', '--stream', 'trips', '--until-end', ...output, ...at], bad.env);
      }
      const read = await done(
        ['process', '--stream', 'trips', '--until-end', '--drain', ...output, ...at],
        bad.env,
      );
      assert.equal((read['totals'] as Record<string, number>)['late'], 0);
      assert.deepEqual(lines(folder), await oracle(TRIPS));
      const faults = [...bad.faults.values()].reduce((sum, count) => sum + count, 0);
      assert.ok(faults > 10, `only ${faults} faults happened`);
    });
  }

  it('makes, describes, reshards and deletes a stream, and tells of one that is there or not', async (t) => {
    const { env } = await startKinesis(t);
    const at = ['--data-dir', temporaryFolder(t)];
    await done(['stream', 'create', 'kinesis:a', '--shards', '2', ...at], env);
    const again = await taxiflow(['stream', 'create', 'a', ...at], { env });
    assert.equal(again.code, 1);
    assert.match(again.stderr, /already/);
    const opened = await done(['stream', 'split', '1', 'a', ...at], env);
    assert.deepEqual(opened['opened'], ['shardId-000000000002', 'shardId-000000000003']);
    const { shards } = (await done(['stream', 'describe', 'a', ...at], env)) as unknown as {
      shards: { shard: string; open: boolean; parents: string[] }[];
    };
    assert.deepEqual(
      shards.map(({ open, parents }) => [open, parents.length]),
      [
        [true, 0],
        [false, 0],
        [true, 1],
        [true, 1],
      ],
    );
    await done(['stream', 'delete', 'a', ...at], env);
    const gone = await taxiflow(['stream', 'describe', 'a', ...at], { env });
    assert.equal(gone.code, 1);
    assert.match(gone.stderr, /there is no Kinesis stream a/);
  });

  it('K1 goes on from where it began at the latest records, also in the next run', async (t) => {
    const { stream, open } = await streamOf(t, 1);
    const first = await open();
    const { next, count } = await first.read(SHARD, { at: 'latest' }, 10);
    assert.equal(count, 0);
    await put(stream, 'a');
    const second = await open();
    const batch = await second.read(SHARD, next, 10);
    assert.equal(batch.data.toString(), 'a');
    assert.equal((await first.read(SHARD, next, 10)).data.toString(), 'a');
  });

  it('C5 tells of a gap when a position is older than the retention, not when nothing came for that long', async (t) => {
    const { stream, open, clock } = await streamOf(t, 1);
    await put(stream, 'a');
    const first = await open();
    const read = await first.read(SHARD, { at: 'trim-horizon' }, 10);
    assert.equal(read.count, 1);
    let { next } = read;
    for (let hour = 0; hour < 50; hour++) {
      const batch = await first.read(SHARD, next, 10);
      assert.deepEqual([batch.count, batch.lost], [0, undefined], `after ${hour} quiet hours`);
      next = batch.next;
      await clock.sleep(3_600_000);
    }
    const second = await open();
    assert.equal((await second.read(SHARD, next, 10)).lost, undefined, 'the next run knows of the quiet');
    const third = await open();
    assert.match((await third.read(SHARD, read.next, 10)).lost ?? '', /^2[56]\.\d hours$/);
  });

  it('says in one line and a hint what keeps it from a stream', async (t) => {
    const { env, endpoint } = await startKinesis(t);
    const at = ['--data-dir', temporaryFolder(t)];
    const nobody = {
      AWS_ACCESS_KEY_ID: '',
      AWS_SECRET_ACCESS_KEY: '',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_PROFILE: '',
      HOME: '/nonexistent',
    };
    const cases: [string, Record<string, string>, string[], RegExp][] = [
      ['a missing stream', env, [], /there is no Kinesis stream trips/],
      ['no credentials', { ...env, ...nobody }, [], /no AWS credentials/],
      ['no region', { ...env, AWS_REGION: '', HOME: '/nonexistent' }, [], /no AWS region/],
      ['nobody there', env, ['--endpoint-url', 'http://127.0.0.1:9'], /does not answer/],
      [
        'a good endpoint by option',
        { ...env, AWS_ENDPOINT_URL: 'http://127.0.0.1:9' },
        ['--endpoint-url', endpoint],
        /there is no Kinesis/,
      ],
    ];
    for (const [what, environment, options, message] of cases) {
      const ran = await taxiflow(['process', '--stream', 'trips', '--until-end', ...options, ...at], {
        env: environment,
      });
      assert.equal(ran.code, 1, what);
      assert.match(ran.stderr, message, what);
      assert.match(ran.stderr, /\nTry: /, what);
      assert.doesNotMatch(ran.stderr, /Warning|\n {4}at /, what);
    }
  });
});
