/** `apps` and `stream list`, and the error for a stream that does not exist. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { temporaryFolder } from '../files.ts';
import { createStream, startKinesis } from '../services/kinesis.ts';
import { taxiflow } from '../taxiflow.ts';
import { PARALLEL, readNaively, run, tripsInOrder, YELLOW } from './model.ts';

const TRIPS = tripsInOrder(readNaively(YELLOW));

describe('process without its stream', PARALLEL, () => {
  test('fails, says how to create it, and creates nothing', async (t) => {
    const cwd = temporaryFolder(t);
    for (const args of [['process'], ['process', '--until-end'], ['process', '--stream', 'local:a']]) {
      const { code, stderr } = await taxiflow(args, { cwd });
      assert.equal(code, 1, stderr);
      const name = args.at(-1)!.startsWith('local:') ? 'local:a' : 'local:taxi-trip-events';
      assert.match(stderr, new RegExp(`^Error: there is no stream ${name} in \\.taxiflow$`, 'm'));
      assert.match(stderr, new RegExp(`^Try: create it with "taxiflow stream create ${name}"`, 'm'));
    }
    assert.deepEqual(readdirSync(cwd), [], 'nothing is created');
  });

  test('names the streams that exist', async (t) => {
    const cwd = temporaryFolder(t);
    for (const name of ['local:b', 'local:a'])
      await run(['stream', 'create', name, '--shards', '1'], { cwd });
    const { stderr } = await run(['process', '--until-end'], { cwd, code: 1 });
    assert.match(stderr, /^Try: choose one of local:a, local:b; or create it with "taxiflow stream create/m);
    assert.ok(!existsSync(join(cwd, '.taxiflow', 'apps')), 'no app is created');
  });
});

describe('lists', PARALLEL, () => {
  test('stream list has every stream with its shards, records and last arrival', async (t) => {
    const cwd = temporaryFolder(t);
    const none = await run(['stream', 'list', '--json'], { cwd });
    assert.deepEqual(none.json(), { command: 'stream list', streams: [] });
    assert.deepEqual(readdirSync(cwd), [], 'nothing is created');
    await run(['stream', 'create', 'local:z', '--shards', '3'], { cwd });
    await run(['stream', 'split', '0', 'local:z'], { cwd });
    await run(['replay', YELLOW, '--speedup', 'max', '--no-watermark', '--stream', 'local:a'], { cwd });
    writeFileSync(join(cwd, '.taxiflow', 'streams', 'broken.sqlite'), 'no stream');
    const { streams } = (await run(['stream', 'list', '--json'], { cwd })).json<{
      streams: Record<string, unknown>[];
    }>();
    const shown = streams.map(({ stream, shards, records }) => [stream, shards, records]);
    assert.deepEqual(shown, [
      ['local:a', 8, TRIPS.length],
      ['local:broken', null, null],
      ['local:z', 4, 0],
    ]);
    assert.match(String(streams[1]!['trouble']), /damaged/);
    assert.match(String(streams[0]!['last_arrival']), /^20\d\d-.*Z$/);
    assert.equal(streams[2]!['last_arrival'], null);
    const { stdout } = await run(['stream', 'list'], { cwd });
    assert.match(stdout, /^stream +shards +records +MB +last arrival\nlocal:a +8 +/);
  });

  test('stream list --kinesis also has the streams of Kinesis, over several pages', async (t) => {
    const emulator = await startKinesis(t);
    const cwd = temporaryFolder(t);
    const names = Array.from({ length: 12 }, (_, i) => `trips-${String(i).padStart(2, '0')}`);
    for (const name of names) await createStream(emulator, name, 1);
    await run(['stream', 'create', 'local:own', '--shards', '1'], { cwd });
    const args = ['stream', 'list', '--kinesis', '--json', '--endpoint-url', emulator.endpoint];
    const { streams } = (await run(args, { cwd, env: emulator.env })).json<{
      streams: { stream: string }[];
    }>();
    assert.deepEqual(
      streams.map(({ stream }) => stream),
      ['local:own', ...names.map((name) => `kinesis:${name}`)],
    );
  });

  test('a file in place of the data folder is named by every command in the same words', async (t) => {
    const cwd = temporaryFolder(t);
    writeFileSync(join(cwd, 'a.csv'), '');
    const commands = [
      ['process'],
      ['results'],
      ['stream', 'list'],
      ['apps'],
      ['status'],
      ['dead-letters'],
      ['dashboard'],
      ['replay'],
    ];
    for (const command of commands)
      for (const path of ['a.csv', 'a.csv/below']) {
        const { stderr } = await run([...command, '--data-dir', path], { cwd, code: 1 });
        assert.equal(
          stderr,
          `Error: --data-dir is not a folder: ${path}\nTry: name a folder, or omit it for .taxiflow\n`,
          command.join(' '),
        );
      }
    const { stderr } = await run(['apps'], { cwd, code: 1, env: { TAXIFLOW_DATA_DIR: 'a.csv' } });
    assert.match(stderr, /^Error: TAXIFLOW_DATA_DIR is not a folder: a\.csv\n/);
  });

  test('apps has every processor with its stream, watermark and results', async (t) => {
    const cwd = temporaryFolder(t);
    const none = await run(['apps'], { cwd });
    assert.equal(none.stdout, '');
    assert.match(none.stderr, /no processor has run in \.taxiflow yet/);
    assert.deepEqual(readdirSync(cwd), [], 'nothing is created');
    await run(['replay', YELLOW, '--speedup', 'max'], { cwd });
    const done = await run(['process', '--until-end', '--drain', '--app', 'b', '--json'], { cwd });
    await run(['process', '--until-end', '--app', 'a', '--from', 'latest'], { cwd });
    const { apps } = (await run(['apps', '--json'], { cwd })).json<{ apps: Record<string, unknown>[] }>();
    assert.deepEqual(
      apps.map(({ app, stream, running, results, trouble }) => [app, stream, running, results, trouble]),
      [
        ['a', 'local:taxi-trip-events', false, 0, null],
        ['b', 'local:taxi-trip-events', false, done.json()['results'], null],
      ],
    );
    assert.equal(apps[1]!['watermark'], done.json()['watermark']);
    const { stdout } = await run(['apps'], { cwd });
    assert.match(
      stdout,
      /^app +stream +state +watermark +results +last checkpoint\na +local:taxi-trip-events +stopped/,
    );
  });
});
