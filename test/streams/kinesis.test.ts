import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { PutRecordCommand } from '@aws-sdk/client-kinesis';
import { systemClock } from '../../src/clock.ts';
import { Database } from '../../src/sqlite.ts';
import { KinesisAdmin } from '../../src/streams/kinesis/admin.ts';
import { kinesisClient } from '../../src/streams/kinesis/client.ts';
import { openKinesisWriter } from '../../src/streams/kinesis/open-writer.ts';
import { KinesisReader } from '../../src/streams/kinesis/reader.ts';
import { KinesisWriter } from '../../src/streams/kinesis/writer.ts';
import { shardIdOf } from '../../src/streams/shards.ts';
import { TestClock } from '../clock.ts';
import { fixture, temporaryFolder } from '../files.ts';
import { comparable, expectedLines } from '../golden/oracle.ts';
import { createStream, faulty, openBothWays, startKinesis, totalFaults } from '../services/kinesis.ts';
import { taxiflow } from '../taxiflow.ts';
import { PATIENCE_MS } from '../until.ts';

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

describe('Kinesis behind the Stream port', { concurrency: 4 }, () => {
  it("D4 reads every line of another producer's record, and reports broken ones", async (t) => {
    const { env, endpoint } = await startKinesis(t);
    const folder = temporaryFolder(t);
    const at = ['--data-dir', folder];
    await done(['stream', 'create', 'trips', '--shards', '1', ...at], env);
    const client = kinesisClient({ stream: 'trips', endpointUrl: endpoint, region: 'us-east-1' });
    t.after(() => client.destroy());
    const trip = (vendor: unknown) =>
      JSON.stringify({ type: 'trip', vendor_id: vendor, dropoff_datetime: '2016-01-01T00:05:00.000Z' });
    const pretty = JSON.stringify(JSON.parse(trip(3)), null, 2);
    const pieces = [`${trip('1')}\n${trip(1)}\r\n\nbroken\n${trip(2)}`, `${trip(2)}${trip(2)}`, pretty, '\n'];
    for (const piece of pieces)
      await client.send(
        new PutRecordCommand({ StreamName: 'trips', PartitionKey: 'x', Data: Buffer.from(piece) }),
      );
    const views = join(folder, 'views.json');
    const view = {
      name: 'by_vendor',
      by: { vendor: { op: 'field', name: 'vendor_id' } },
      window: { kind: 'tumbling', size_ms: 600_000 },
      aggregates: { n: { fn: 'count' } },
    };
    writeFileSync(views, JSON.stringify([view]));
    const read = await done(
      ['process', '--stream', 'trips', '--until-end', '--drain', '--views', views, '--max-disorder', '1m', ...at],
      env,
    );
    assert.deepEqual([read['read'], read['processed'], read['dead']], [8, 6, 2]);
    const { stdout } = await taxiflow(['results', '--format', 'ndjson', ...at]);
    const found = stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(found.map(({ vendor, n }) => [vendor, n]).sort(), [['1', 2], ['2', 3], ['3', 1]]);
    const letters = (await taxiflow(['dead-letters', '--format', 'ndjson', ...at])).stdout.trimEnd().split('\n');
    const told = letters.map((line) => JSON.parse(line) as { raw: string; position: string });
    assert.deepEqual(told.map(({ raw }) => raw), ['broken', '']);
    assert.match(told[0]!.position, /^\d+\/3$/);
    assert.match(told[1]!.position, /^\d+$/);
  }); // biome-ignore format: a step a line

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
      // Each run reads a little, so that many requests can go wrong.
      for (let run = 0; run < 3; run++) {
        await done(['process', '--stream', 'trips', '--until-end', ...output, ...at], bad.env);
      }
      const read = await done(
        ['process', '--stream', 'trips', '--until-end', '--drain', ...output, ...at],
        bad.env,
      );
      assert.equal((read['totals'] as Record<string, number>)['late'], 0);
      assert.deepEqual(lines(folder), await oracle(TRIPS));
      const faults = totalFaults(bad);
      // Eleven of about fifty: the number of requests depends on timing.
      assert.ok(faults >= 5, `only ${faults} faults happened`);
    });
  }

  it('creates, describes, reshards and deletes a stream, and refuses an existing or a missing one', async (t) => {
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

  it('goes on when a request gets no answer at all', async (t) => {
    const emulator = await startKinesis(t);
    await createStream(emulator, 'trips', 2);
    const silent = new Set<string>();
    const { env } = await faulty(t, emulator, 0, 0, (target, nth) => {
      if (nth !== 1 || !['PutRecords', 'GetRecords'].includes(target)) return;
      silent.add(target);
      return new Promise(() => {});
    });
    const folder = temporaryFolder(t);
    const at = ['--stream', 'trips', '--data-dir', folder];
    await done(['replay', fixture(TRIPS), '--speedup', 'max', ...at], env);
    const output = ['--output', join(folder, 'out.ndjson')];
    await done(['process', '--until-end', '--drain', ...output, ...at], env);
    assert.deepEqual(lines(folder), await oracle(TRIPS));
    assert.deepEqual([...silent], ['PutRecords', 'GetRecords'], 'both were left without an answer once');
  });

  it('K3 a watermark reaches shards that open while it is written', async (t) => {
    const emulator = await startKinesis(t);
    await createStream(emulator, 'trips', 1);
    const admin = new KinesisAdmin({ stream: 'trips', endpointUrl: emulator.endpoint, clock: systemClock });
    t.after(() => admin.close());
    const { endpoint } = await faulty(t, emulator, 0, 0, async (target, nth) => {
      if (target === 'PutRecords' && nth === 1) await admin.split(shardIdOf(0));
    });
    const stream = await openBothWays({ stream: 'trips', endpointUrl: endpoint, clock: systemClock });
    t.after(() => stream.close());
    await stream.broadcast((shard) => Buffer.from(shard));
    for (const { id } of (await stream.shards()).filter((shard) => shard.open)) {
      const { count, data, ends } = await stream.read(id, { at: 'trim-horizon' }, 10);
      assert.equal(Buffer.from(data.subarray(ends[count - 2] ?? 0)).toString(), id);
    }
  });

  it('K3 a watermark reaches all shards while the list lags behind a split', async (t) => {
    const emulator = await startKinesis(t);
    await createStream(emulator, 'trips', 1);
    const options = { stream: 'trips', endpointUrl: emulator.endpoint, clock: systemClock };
    const admin = new KinesisAdmin(options);
    t.after(() => admin.close());
    const reader = await KinesisReader.open(options);
    t.after(() => reader.close());
    const client = kinesisClient(options);
    t.after(() => client.destroy());
    const before = await reader.shards();
    await admin.split(shardIdOf(0));
    let lists = 0;
    const shards = async () => (++lists <= 3 ? before : reader.shards());
    const clock = new TestClock({ base: Date.now });
    const writer = new KinesisWriter({ ...options, client, clock, aggregate: false, shards });
    await writer.broadcast((shard) => Buffer.from(shard));
    for (const shard of [shardIdOf(1), shardIdOf(2)]) {
      const { data } = await reader.read(shard, { at: 'trim-horizon' }, 10);
      assert.match(
        Buffer.from(data).toString(),
        new RegExp(`${shard}$`),
        'its own watermark is its last record',
      );
    }
  });

  it('K1 reads from latest everything that comes after, whatever goes wrong', async (t) => {
    const emulator = await startKinesis(t);
    await createStream(emulator, 'trips', 1);
    const { endpoint, faults } = await faulty(t, emulator, 0.4, 5, (target, nth) =>
      target === 'GetRecords' && nth % 7 === 5 ? Promise.resolve('expired') : undefined,
    );
    const clock = new TestClock({ base: Date.now });
    const open = async (endpointUrl: string) => {
      const stream = await openBothWays({ stream: 'trips', endpointUrl, clock });
      t.after(() => stream.close());
      return stream;
    };
    const writer = await open(emulator.endpoint);
    for (let round = 0; round < 12; round++) {
      const reader = await open(endpoint);
      // Records of earlier rounds are recent: after an error, the reader looks back at them.
      const { next } = await reader.read(shardIdOf(0), { at: 'latest' }, 10_000);
      await writer.broadcast(() => Buffer.from(`round ${round}`));
      const another = round % 2 === 0 ? reader : await open(endpoint);
      const { data } = await another.read(shardIdOf(0), next, 10_000);
      assert.match(Buffer.from(data).toString(), new RegExp(`round ${round}$`));
    }
    assert.ok((faults.get('expired') ?? 0) > 0, 'no iterator expired');
  });

  it('K1 reads from latest what comes while the first read fails', async (t) => {
    const emulator = await startKinesis(t);
    await createStream(emulator, 'trips', 1);
    const clock = systemClock;
    const writer = await openKinesisWriter({ stream: 'trips', endpointUrl: emulator.endpoint, clock });
    t.after(() => writer.close());
    // The SDK itself asks twice.
    const { endpoint } = await faulty(t, emulator, 0, 0, async (target, nth) => {
      if (target !== 'GetRecords' || nth > 2) return;
      if (nth === 2) await writer.broadcast(() => Buffer.from('meanwhile'));
      throw new Error('the connection goes');
    });
    const reader = await KinesisReader.open({ stream: 'trips', endpointUrl: endpoint, clock });
    t.after(() => reader.close());
    const { data } = await reader.read(shardIdOf(0), { at: 'latest' }, 10);
    assert.equal(Buffer.from(data).toString(), 'meanwhile');
  });

  it('C1 a processor that began at latest and was killed before anything came goes on from there', async (t) => {
    const emulator = await startKinesis(t);
    const { env } = emulator;
    await createStream(emulator, 'trips', 2);
    const folder = temporaryFolder(t);
    const at = ['--stream', 'trips', '--data-dir', folder];
    const flow = ['process', '--from', 'latest', '--output', join(folder, 'out.ndjson'), ...at];
    let child: ChildProcess | undefined;
    const killed = taxiflow([...flow, '--checkpoint-interval', '0ms'], {
      env,
      onStart: (it) => (child = it),
    });
    t.after(() => child?.kill('SIGKILL'));
    while (!checkpointed(join(folder, 'apps', 'trips.sqlite'))) {
      t.signal.throwIfAborted();
      await wait(20);
    }
    child?.kill('SIGKILL');
    assert.equal((await killed).signal, 'SIGKILL');
    await done(['replay', fixture(TRIPS), '--speedup', 'max', ...at], env);
    await done([...flow, '--until-end', '--drain'], env);
    assert.deepEqual(lines(folder), await oracle(TRIPS));
  });

  it("says in one line and a hint why it can't reach a stream, and doesn't wait for a silent server", {
    concurrency: 4,
  }, async (t) => {
    const { env, endpoint } = await startKinesis(t);
    const at = ['--data-dir', temporaryFolder(t)];
    const elsewhere = {
      AWS_ACCESS_KEY_ID: '',
      AWS_SECRET_ACCESS_KEY: '',
      AWS_PROFILE: '',
      AWS_CONFIG_FILE: '/nonexistent',
      AWS_SHARED_CREDENTIALS_FILE: '/nonexistent',
      HOME: '/nonexistent',
    };
    const profiles = join(temporaryFolder(t), 'config');
    const session = 'sso_session = s\n[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://sso';
    writeFileSync(profiles, `[profile p]\nsso_account_id = 1\nsso_role_name = r\n${session}\n`);
    const silent = await silentServer(t);
    const website = await helloServer(t);
    const cases: [string, Record<string, string>, string[], RegExp][] = [
      ['a missing stream', env, [], /there is no Kinesis stream trips/],
      [
        'no credentials',
        { ...env, ...elsewhere, AWS_EC2_METADATA_DISABLED: 'true' },
        [],
        /no AWS credentials/,
      ],
      [
        'no credentials, and a machine that does not say whether it has some',
        { ...env, ...elsewhere, AWS_EC2_METADATA_DISABLED: '', AWS_EC2_METADATA_SERVICE_ENDPOINT: silent },
        [],
        /no AWS credentials/,
      ],
      [
        'a profile that is not logged in',
        {
          ...env,
          ...elsewhere,
          AWS_PROFILE: 'p',
          AWS_CONFIG_FILE: profiles,
          AWS_EC2_METADATA_DISABLED: 'true',
        },
        [],
        /no AWS credentials were found: .*aws sso login/,
      ],
      [
        'no region',
        { ...env, ...elsewhere, AWS_REGION: '' },
        [],
        /no AWS region is set\nTry: [^\n]*embedded stream is written local:trips/,
      ],
      ['no such region', { ...env, AWS_ENDPOINT_URL: '' }, ['--region', 'nowhere-1'], /does not answer/],
      ['a region that can be none', env, ['--region', 'no where'], /this is no AWS region: no where/],
      ['nobody there', env, ['--endpoint-url', 'http://127.0.0.1:9'], /does not answer: .*ECONNREFUSED/],
      ['somebody silent', env, ['--endpoint-url', silent], /does not answer: timed out/],
      [
        'somebody silent where there should be TLS',
        env,
        ['--endpoint-url', silent.replace('http:', 'https:')],
        /does not answer: timed out/,
      ],
      ['somebody else', env, ['--endpoint-url', website], /what answers is not Kinesis \(HTTP status 404\)/],
      [
        'a good endpoint by option',
        { ...env, AWS_ENDPOINT_URL: 'http://127.0.0.1:9' },
        ['--endpoint-url', endpoint],
        /there is no Kinesis/,
      ],
    ];
    const commands = [
      ['process', '--until-end'],
      ['replay', fixture(TRIPS)],
    ];
    await Promise.all(
      cases.flatMap(([what, environment, options, message]) =>
        commands.map((command) =>
          t.test(`${command[0]}: ${what}`, async () => {
            const ran = await taxiflow([...command, '--stream', 'trips', ...options, ...at], {
              env: environment,
              // It has ten seconds, and the machine may be busy.
              onStart: (child) => setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS).unref(),
            });
            assert.equal(ran.code, 1, `it ended with ${ran.signal}: ${ran.stderr}`);
            assert.match(
              ran.stderr,
              /^stream: trips \((Amazon Kinesis|Kinesis at \S+)\)\nError: [^\n]*\nTry: [^\n]*\n$/,
            );
            assert.match(ran.stderr, message);
          }),
        ),
      ),
    );
  });
});

/** Whether a state has a position in every shard. */
function checkpointed(path: string): boolean {
  if (!existsSync(path)) return false;
  const db = new Database(path, { readonly: true });
  try {
    const stored = db.prepare('SELECT * FROM checkpoint').get();
    return stored !== undefined && !JSON.stringify(stored).includes('latest\\"}');
  } catch {
    return false; // being made
  } finally {
    db.close();
  }
}

/** Accepts connections and never answers. */
async function silentServer(t: TestContext): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => sockets.add(socket.on('error', () => {})));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function helloServer(t: TestContext): Promise<string> {
  const server = createServer((_, response) => response.writeHead(404).end('<html>hello</html>'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
