import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ObjectStore } from '../../src/s3/object-store.ts';
import { SHARED_DATA, temporaryFolder, withoutSamples } from '../files.ts';
import { comparable, expectedLines } from '../golden/oracle.ts';
import { taxiflow } from '../taxiflow.ts';
import { startMinistack, storeObject, withoutMinistack } from './ministack.ts';

const SAMPLE = 'green_tripdata_2023-12.parquet';

test(`${SAMPLE} from an S3 emulator gives the oracle's results`, {
  skip: withoutSamples || withoutMinistack,
}, async (t) => {
  const ministack = await startMinistack(t);
  const { endpoint, env } = ministack;
  const file = join(SHARED_DATA, SAMPLE);
  await storeObject(ministack, 'trips', `tlc/${SAMPLE}`, readFileSync(file));
  await storeObject(ministack, 'trips', 'tlc/notes.md', 'not trips');
  const dir = temporaryFolder(t);
  const source = ['s3://trips/tlc/', '--endpoint-url', endpoint];
  const replayed = await taxiflow(
    ['replay', ...source, '--stream', 'local:green', '--data-dir', dir, '--speedup', 'max', '--json'],
    { env },
  );
  assert.equal(replayed.code, 0, replayed.stderr);
  assert.deepEqual(replayed.json()['inputs'], [`s3://trips/tlc/${SAMPLE}`]);
  const out = join(dir, 'out.ndjson');
  const processed = await taxiflow([
    'process',
    '--stream',
    'local:green',
    '--data-dir',
    dir,
    '--until-end',
    '--drain',
    '--output',
    out,
  ]);
  assert.equal(processed.code, 0, processed.stderr);
  const expected = await expectedLines([file]);
  assert.deepEqual(comparable(readFileSync(out, 'utf8')), expected.lines);
  assert.equal(replayed.json()['acknowledged'], expected.trips);
});

test('a savepoint goes to an S3 emulator, large ones in parts, and comes back on another machine', {
  skip: withoutMinistack,
}, async (t) => {
  const ministack = await startMinistack(t);
  await storeObject(ministack, 'states', 'notes.md', 'no savepoint');
  const [here, there] = [temporaryFolder(t), temporaryFolder(t)];
  const bucket = ['--endpoint-url', ministack.endpoint];
  const ran = async (args: readonly string[], code = 0) => {
    const found = await taxiflow(args, { env: ministack.env });
    assert.equal(found.code, code, found.stderr);
    return found;
  };
  await ran(['replay', '--limit', '20000', '--speedup', 'max', '--data-dir', here]);
  await ran(['process', '--until-end', '--app', 'job', '--data-dir', here]);
  const to = ['savepoint', 'create', '--app', 'job', '--data-dir', here, '--to'];
  const { savepoint } = (await ran([...to, 's3://states/jobs/', ...bucket, '--json'])).json<{
    savepoint: string;
  }>();
  assert.match(savepoint, /^s3:\/\/states\/jobs\/job-\d+-\d+T\d+Z\.savepoint$/);
  assert.match((await ran([...to, savepoint, ...bucket], 1)).stderr, /exists already/);
  const listed = (await ran(['savepoint', 'list', 's3://states/', ...bucket, '--json'])).json<{
    savepoints: { savepoint: string }[];
  }>();
  assert.deepEqual(listed.savepoints.map((each) => each.savepoint), [savepoint]); // biome-ignore format: one line
  assert.equal((await ran(['savepoint', 'inspect', savepoint, ...bucket, '--json'])).json()['app'], 'job');
  await ran(['savepoint', 'restore', savepoint, '--app', 'moved', '--data-dir', there, ...bucket]);
  const results = async (dataDir: string, app: string) =>
    (await ran(['results', '--app', app, '--data-dir', dataDir, '--format', 'ndjson'])).stdout;
  assert.equal(await results(there, 'moved'), await results(here, 'job'));
  assert.match(
    (await ran(['savepoint', 'verify', 's3://states/none', ...bucket], 1)).stderr,
    /there is no savepoint/,
  );
  assert.match(
    (await ran(['savepoint', 'delete', 's3://states/notes.md', ...bucket], 1)).stderr,
    /is no savepoint/,
  );
  await ran(['savepoint', 'delete', savepoint, ...bucket]);
  await ran(['savepoint', 'verify', savepoint, ...bucket], 1);

  Object.assign(process.env, ministack.env);
  const store = await ObjectStore.open('states', { endpointUrl: ministack.endpoint });
  const large = join(here, 'large');
  const bytes = Buffer.alloc(40_000_000, 'taxiflow');
  writeFileSync(large, bytes);
  await store.putFile('large', large);
  assert.ok((await store.get('large'))!.bytes.equals(bytes));
  const etag = await store.put('head', Buffer.from('1'), { IfNoneMatch: '*' });
  await assert.rejects(store.put('head', Buffer.from('2'), { IfNoneMatch: '*' }), { code: 's3-changed' });
  await store.put('head', Buffer.from('3'), { IfMatch: etag });
  await assert.rejects(store.put('head', Buffer.from('4'), { IfMatch: etag }), { code: 's3-changed' });
});
