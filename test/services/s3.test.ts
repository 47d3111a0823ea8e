import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
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
