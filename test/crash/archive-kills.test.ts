/** C11: a processor that is killed again and again archives each trip once, in a folder, and in S3 with a new machine each time. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { it } from 'node:test';
import { ObjectStore } from '../../src/s3/object-store.ts';
import { temporaryFolder } from '../files.ts';
import { randomNumbers } from '../random.ts';
import { startMinistack, storeObject, withoutMinistack } from '../services/ministack.ts';
import { holdsExactly, sendTrips } from '../sinks/archived.ts';
import { signalledAtCommit, taxiflow } from '../taxiflow.ts';

const KILLS = Number(process.env['TAXIFLOW_KILLS'] ?? 10);
const SEED = Number(process.env['TAXIFLOW_SEED'] ?? 1);
const TRIPS = 50_000;
const STREAM = ['--stream', 'local:taxi-trip-events', '--until-end'];
const FAST = ['--checkpoint-interval', '5ms', '--archive-interval', '20ms'];

/** Numbers of commits after which processors die; a life makes at least eight. */
const commitsOf = (random: () => number) => () => 8 + Math.floor(random() * 40);

it(`C11: after ${KILLS} kills a folder holds each trip once`, async (t) => {
  const commits = commitsOf(randomNumbers(SEED));
  const folder = temporaryFolder(t);
  const archive = join(folder, 'archive');
  const { trips } = await sendTrips(folder, TRIPS, { seed: SEED });
  const args = ['process', ...STREAM, ...FAST, '--data-dir', folder, '--archive', archive, '--json'];
  let killed = 0;
  for (let i = 0; i < KILLS; i++)
    if ((await signalledAtCommit(commits(), args)).signal === 'SIGKILL') killed++;
  const last = await taxiflow(args);
  assert.equal(last.code, 0, last.stderr);
  assert.ok(killed > 2, 'it was killed while it ran');
  await holdsExactly(archive, trips, folder);
});

it(`C11: after ${KILLS} kills and take-overs S3 holds each trip once`, {
  skip: withoutMinistack,
}, async (t) => {
  const ministack = await startMinistack(t);
  Object.assign(process.env, ministack.env);
  await storeObject(ministack, 'states', 'notes.md', '');
  const commits = commitsOf(randomNumbers(SEED));
  const source = temporaryFolder(t);
  const { trips } = await sendTrips(source, TRIPS, { seed: SEED + 1 });
  const args = ['process', ...STREAM, ...FAST, '--state-interval', '20ms', '--endpoint-url', ministack.endpoint,
    '--state', 's3://states/jobs', '--archive', 's3://states/trips', '--json']; // biome-ignore format: two lines
  const machine = () => {
    const dataDir = join(temporaryFolder(t), 'data');
    mkdirSync(dataDir);
    cpSync(join(source, 'streams'), join(dataDir, 'streams'), { recursive: true });
    return [...args, '--data-dir', dataDir];
  };
  let killed = 0;
  for (let i = 0; i < KILLS; i++)
    if ((await signalledAtCommit(commits(), machine(), ministack.env)).signal === 'SIGKILL') killed++;
  const last = await taxiflow(machine(), { env: ministack.env });
  assert.equal(last.code, 0, last.stderr);
  assert.ok(killed > 2, 'it was killed while it ran');
  const store = await ObjectStore.open('states', { endpointUrl: ministack.endpoint });
  const archive = join(source, 'archive');
  for await (const { key } of store.list('trips/')) {
    const path = join(archive, key.slice('trips/'.length));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, (await store.get(key))!.bytes);
  }
  await holdsExactly(archive, trips, source);
});
