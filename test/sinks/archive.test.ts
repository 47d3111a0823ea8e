/** C11: the archive holds every trip once, with the values that were sent. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { openProcessor, type ProcessSummary } from '../../src/app/processor.ts';
import type { ProcessorOptions } from '../../src/app/processor-options.ts';
import { createSavepoint, restoreSavepoint } from '../../src/savepoints/savepoints.ts';
import { statePath } from '../../src/state/files.ts';
import { StateReader } from '../../src/state/reader.ts';
import { forgetSink } from '../../src/state/upkeep.ts';
import { temporaryFolder } from '../files.ts';
import { startFakeS3 } from '../services/fake-s3.ts';
import { taxiflow } from '../taxiflow.ts';
import { holdsExactly, sendTrips } from './archived.ts';

const APP = 'taxi-trip-events';

interface Place {
  readonly dataDir: string;
  readonly archive: string;
  readonly notes: string[];
  run(options?: ProcessorOptions): Promise<ProcessSummary>;
}

function placeOf(t: TestContext): Place {
  const folder = temporaryFolder(t);
  const place = { dataDir: join(folder, 'data'), archive: join(folder, 'archive'), notes: [] as string[] };
  mkdirSync(place.dataDir);
  return {
    ...place,
    run: async (options = {}) => {
      const { dataDir, archive } = place;
      const onNote = (note: string) => place.notes.push(note);
      const processor = await openProcessor({ dataDir, archive, untilEnd: true, onNote, ...options });
      return processor.run();
    },
  };
}

/** Names of the files, such as `2016-01-11 1`. */
function filesIn(archive: string): string[] {
  return readdirSync(archive, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.endsWith('.parquet') === false)
    .map((name) =>
      name.replace(/^day=(.*)[\\/].*-(\d+)\.parquet$/, (_, day, number) => `${day} ${Number(number)}`),
    )
    .sort();
}

describe('the archive', { concurrency: 2 }, () => {
  it('holds each trip once, with its values: used, filtered and late ones, and no copies', async (t) => {
    const { dataDir, archive, run } = placeOf(t);
    const { trips, records } = await sendTrips(dataDir, 30_000);
    const { counters, sinks } = await run();
    assert.equal(counters.read, records);
    assert.ok(
      counters.late > 100 && counters.duplicate > 100 && counters.filtered > 100,
      'each of them is there',
    );
    assert.equal(counters.processed + counters.filtered + counters.late, trips.length);
    await holdsExactly(archive, trips, dataDir);
    const [sink] = sinks;
    assert.deepEqual([sink!.unit, sink!.delivered, sink!.pending], ['trips', trips.length, 0]);
    const reader = new StateReader(dataDir, APP);
    t.after(() => reader.close());
    assert.deepEqual(reader.archive(), { place: archive, written: trips.length, pending: 0 });
  });

  it('goes on in new files, run after run, and at checkpoints', async (t) => {
    const { dataDir, archive, run } = placeOf(t);
    const first = await sendTrips(dataDir, 4_000);
    await run();
    const before = filesIn(archive);
    const second = await sendTrips(dataDir, 4_000, { seed: 2, from: 4_000 });
    await run({ checkpointInterval: 1, archiveInterval: 1 });
    const after = filesIn(archive);
    assert.deepEqual(
      after.filter((file) => before.includes(file)),
      before,
    );
    assert.ok(new Set(after.map((file) => file.split(' ')[1])).size > 3, 'files are closed at checkpoints');
    await holdsExactly(archive, [...first.trips, ...second.trips], dataDir);
    await run();
    assert.deepEqual(filesIn(archive), after, 'a run that reads nothing writes nothing');
  });

  it('is read by replay, and gives the results that its trips gave', async (t) => {
    const { dataDir, archive, run } = placeOf(t);
    await taxiflow(['generate', '--trips', '5000', '--hours', '60', '--out', join(dataDir, 't.csv')]);
    const steps = [
      ['replay', join(dataDir, 't.csv'), '--speedup', 'max'],
      ['replay', archive, '--stream', 'local:again', '--speedup', 'max'],
      ['process', '--stream', 'local:again', '--until-end', '--drain'],
    ];
    const results = (app: string) =>
      taxiflow(['results', '--app', app, '--data-dir', dataDir, '--format', 'ndjson']);
    assert.equal((await taxiflow([...steps[0]!, '--data-dir', dataDir])).code, 0);
    await run({ drain: true });
    for (const step of steps.slice(1)) {
      const { code, stderr } = await taxiflow([...step, '--data-dir', dataDir]);
      assert.equal(code, 0, stderr);
    }
    assert.equal((await results('again')).stdout, (await results(APP)).stdout);
  });

  it('refuses a place with files of others, and a run that leaves it out', async (t) => {
    const { dataDir, archive, run } = placeOf(t);
    const { trips } = await sendTrips(dataDir, 1_000);
    mkdirSync(join(archive, 'day=2016-01-11'), { recursive: true });
    const foreign = join(archive, 'day=2016-01-11', 'other-00000000-000001.parquet');
    writeFileSync(foreign, '');
    await assert.rejects(run(), {
      code: 'output-in-use',
      message: /holds files that this app did not write/,
    });
    rmSync(foreign);
    await run();
    await assert.rejects(run({ archive: undefined }), {
      code: 'contradicting-options',
      message: /archives its trips in .*, and this run has no archive/,
    });
    await holdsExactly(archive, trips, dataDir);
    const { missing } = forgetSink(dataDir, APP, `archive:${archive}`);
    assert.equal(missing, 0);
    await run({ archive: undefined });
    await assert.rejects(run(), { code: 'output-in-use' }, 'it would begin anew in the old place');
  });

  it('of a state that is set back replaces what is read again', async (t) => {
    const { dataDir, archive, notes, run } = placeOf(t);
    const first = await sendTrips(dataDir, 2_000);
    await run();
    const state = statePath(dataDir, APP);
    copyFileSync(state, `${state}.copy`);
    const second = await sendTrips(dataDir, 3_000, { seed: 2, from: 2_000 });
    await run({ checkpointInterval: 1, archiveInterval: 1 });
    for (const suffix of ['-wal', '-shm']) rmSync(state + suffix, { force: true });
    copyFileSync(`${state}.copy`, state);
    await run();
    assert.ok(notes.some((note) => /files of what this state reads again: they are replaced/.test(note)));
    await holdsExactly(archive, [...first.trips, ...second.trips], dataDir);
  });

  it('of a restored savepoint is a new one, and gets what was on its way', async (t) => {
    const { dataDir, archive, notes, run } = placeOf(t);
    const first = await sendTrips(dataDir, 2_000);
    await run();
    const s3 = {};
    const savepoint = join(dirname(dataDir), 'a.savepoint');
    await createSavepoint({ dataDir, app: APP, to: savepoint, s3 });
    await restoreSavepoint({ dataDir, app: 'restored', savepoint, s3 });
    const second = await sendTrips(dataDir, 2_000, { seed: 2, from: 2_000 });
    const restored = { app: 'restored', stream: `local:${APP}` };
    await assert.rejects(run(restored), { code: 'output-in-use' }, 'the old archive is that of the old app');
    const elsewhere = join(dirname(dataDir), 'elsewhere');
    await run({ ...restored, archive: elsewhere });
    assert.ok(notes.includes(`trips up to here are archived in ${archive}`), notes.join('\n'));
    await holdsExactly(elsewhere, second.trips, dataDir);
    await run();
    await holdsExactly(archive, [...first.trips, ...second.trips], dataDir);
  });

  it('waits for an S3 that fails, and says at last what is missing', async (t) => {
    const { dataDir, run } = placeOf(t);
    const fake = await startFakeS3(t, {});
    Object.assign(process.env, {
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'a',
      AWS_SECRET_ACCESS_KEY: 'b',
    });
    const { trips } = await sendTrips(dataDir, 1_000);
    const s3 = { archive: 's3://trips/archive/', endpointUrl: fake.endpoint };
    let failures = 3;
    fake.fault = ({ method }) =>
      method === 'PUT' && failures-- > 0 ? { status: 503, code: 'SlowDown' } : undefined;
    const { sinks } = await run(s3);
    assert.equal(sinks[0]!.delivered, trips.length);
    assert.ok(failures < 0);
    const copies = join(dirname(dataDir), 'copies');
    for (const [key, bytes] of fake.objects) {
      const path = join(copies, key.replace('archive/', ''));
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, bytes);
    }
    await holdsExactly(copies, trips, dataDir);
    await sendTrips(dataDir, 1_000, { seed: 3, from: 1_000 });
    fake.fault = ({ method }) => (method === 'PUT' ? { status: 403, code: 'AccessDenied' } : undefined);
    await assert.rejects(run(s3), { code: 's3-access-denied' });
    fake.fault = () => undefined;
    const { sinks: after } = await run(s3);
    assert.equal(after[0]!.delivered, 2_000, 'the next run writes what is in the state');
  });
});
