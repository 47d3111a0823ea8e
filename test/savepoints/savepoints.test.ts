/** Savepoints: what was copied goes on elsewhere as it would have here, and nothing that is damaged is taken for one. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { openProcessor } from '../../src/app/processor.ts';
import type { ProcessorOptions } from '../../src/app/processor-options.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { differenceOf } from '../../src/savepoints/diff.ts';
import { packSavepoint } from '../../src/savepoints/file.ts';
import {
  createSavepoint,
  deleteSavepoint,
  inspectSavepoint,
  listSavepoints,
  restoreSavepoint,
} from '../../src/savepoints/savepoints.ts';
import { Database } from '../../src/sqlite.ts';
import { statePath } from '../../src/state/files.ts';
import { StateReader } from '../../src/state/reader.ts';
import * as l from '../../src/views/language.ts';
import { putRecords, run } from '../cli/model.ts';
import { fixture, temporaryFolder } from '../files.ts';
import { randomNumbers } from '../random.ts';

const s3 = {};
const NOON = Date.UTC(2016, 0, 11, 12);
const SEED = 4;
/** One with distinct values, so that both kinds of blocks are in a savepoint. */
const VIEWS = [
  l.view({
    name: 'by_vendor',
    by: { vendor: l.field('vendor_id') },
    window: l.tumbling(600_000),
    aggregates: {
      trips: l.count(),
      parties: l.countDistinct(l.field('passenger_count')),
      fares: l.sum(l.field('total_amount')),
    },
  }),
  l.view({
    name: 'all',
    by: {},
    window: l.sliding(1_200_000, 600_000),
    aggregates: { trips: l.count() },
  }),
];

/** Records of `trips` trips of an hour and a half from an id on, and a watermark behind them. */
function records(from: number, trips: number): string[] {
  const random = randomNumbers(SEED + from);
  const texts = Array.from({ length: trips }, (_, i) => {
    const id = from + i;
    const dropoff = new Date(NOON + id * 20_000).toISOString();
    const vendor = ['CMT', 'VTS', 'DDS'][Math.floor(random() * 3)];
    return `{"type":"trip","trip_id":${id},"replay":"r","vendor_id":"${vendor}","dropoff_datetime":"${dropoff}","passenger_count":${1 + Math.floor(random() * 5)},"total_amount":${Math.floor(random() * 9_000) / 100}}\n`;
  });
  const watermark = new Date(NOON + (from + trips - 1) * 20_000 - 1).toISOString();
  return [...texts, `{"type":"watermark","watermark":"${watermark}"}\n`];
}

async function processed(dataDir: string, app: string, more: Partial<ProcessorOptions> = {}) {
  const processor = await openProcessor({ dataDir, app, views: VIEWS, untilEnd: true, ...more });
  return processor.run();
}

function resultsOf(dataDir: string, app: string): unknown[] {
  const reader = new StateReader(dataDir, app);
  try {
    return [...reader.results()];
  } finally {
    reader.close();
  }
}

/** A folder with a stream and an app that has processed its first half. */
async function halfDone(t: TestContext): Promise<string> {
  const dataDir = temporaryFolder(t);
  await putRecords(dataDir, 'taxi-trip-events', records(0, 200));
  await processed(dataDir, 'job');
  return dataDir;
}

const failsWith =
  (...codes: string[]) =>
  (error: unknown) => {
    assert.ok(error instanceof TaxiflowError, `a TaxiflowError, not ${String(error)}`);
    assert.ok(codes.includes(error.code), `${error.code}: ${error.message}`);
    assert.ok(error.hint, 'says what to do');
    return true;
  };

describe('a savepoint', () => {
  it('goes on as another app, to the results of one that was never copied', async (t) => {
    const dataDir = await halfDone(t);
    const { place, head } = await createSavepoint({ dataDir, s3 });
    assert.deepEqual([head.app, head.stream, head.state_format], ['job', 'local:taxi-trip-events', 7]);
    await putRecords(dataDir, 'taxi-trip-events', [...records(150, 50), ...records(200, 150)]);
    await processed(dataDir, 'job', { drain: true });
    await processed(dataDir, 'straight', { drain: true });
    await restoreSavepoint({ savepoint: place, dataDir, app: 'copy', s3 });
    const output = join(dataDir, 'copy.ndjson');
    const outcome = await processed(dataDir, 'copy', { drain: true, output });
    assert.equal(outcome.totals.duplicate, 50, 'trips seen before the savepoint are known');
    assert.ok(outcome.counters.read < outcome.totals.read, 'it goes on, and does not begin anew');
    assert.deepEqual(resultsOf(dataDir, 'copy'), resultsOf(dataDir, 'straight'));
    assert.deepEqual(resultsOf(dataDir, 'job'), resultsOf(dataDir, 'straight'));
    const lines = readFileSync(output, 'utf8').trimEnd().split('\n');
    assert.equal(lines.length, outcome.totals.results, 'a sink of the copy gets every result, once');
  });

  it('is made while the processor runs, of one checkpoint', async (t) => {
    const dataDir = temporaryFolder(t);
    await putRecords(dataDir, 'taxi-trip-events', records(0, 20));
    const stop = new AbortController();
    let saved: Promise<void> | undefined;
    const places: string[] = [];
    const processor = await openProcessor({
      dataDir,
      app: 'job',
      views: VIEWS,
      checkpointInterval: 1,
      signal: stop.signal,
      onProgress: ({ counters }) => {
        saved ??= (async () => {
          for (let i = 1; i <= 8; i++) {
            await putRecords(dataDir, 'taxi-trip-events', records(20 * i, 20));
            const to = join(dataDir, `${i}.savepoint`);
            places.push((await createSavepoint({ dataDir, app: 'job', to, s3 })).place);
          }
          stop.abort();
        })();
        assert.ok(counters.read >= 0);
      },
    });
    const outcome = await processor.run();
    await saved;
    assert.ok(outcome.interrupted);
    let before = 0;
    for (const place of places) {
      const { head, summary } = await inspectSavepoint(place, s3);
      const { read, watermarks, processed: own, filtered, duplicate, late, dead } = summary.counters;
      assert.equal(read, watermarks + own + filtered + duplicate + late + dead, 'it is whole (C7)');
      assert.equal(summary.tripsSeen, own, 'and all of it of the same moment');
      assert.ok(head.checkpoint >= before);
      before = head.checkpoint;
    }
  });

  it('tells what it holds, and what another one holds beyond it', async (t) => {
    const dataDir = await halfDone(t);
    const first = await createSavepoint({ dataDir, s3 });
    await putRecords(dataDir, 'taxi-trip-events', records(200, 40));
    await processed(dataDir, 'job');
    const second = await createSavepoint({ dataDir, s3 });
    const [a, b] = [await inspectSavepoint(first.place, s3), await inspectSavepoint(second.place, s3)];
    assert.equal(a.summary.counters.processed, 200);
    assert.equal(a.summary.tripsSeen, 200);
    assert.equal(
      a.summary.results.kept,
      resultsOf(dataDir, 'job').length - (b.summary.results.kept - a.summary.results.kept),
    );
    assert.deepEqual(a.summary.views, JSON.parse(JSON.stringify(VIEWS)));
    const end = NOON + 4_200_000;
    assert.deepEqual(
      a.summary.windows.map(({ view, end: own, panes }) => [view, own - end, panes]),
      [['all', 0, 1], ['all', 600_000, 1], ['by_vendor', 0, 3]],
    ); // biome-ignore format: one line
    assert.ok(a.summary.windows[2]!.distinct > 3);
    const diff = differenceOf(a, b);
    assert.equal(diff.sameJob, true);
    assert.deepEqual([diff.counters.processed, diff.counters.watermarks], [40, 1]);
    assert.deepEqual(diff.tripsSeen, [200, 240]);
    const changes = diff.windows.map(
      ({ view, change, end: own }) => `${view} ${(own - end) / 60_000} ${change}`,
    );
    assert.deepEqual(changes, ['all 0 gone', 'all 10 changed', 'all 20 appeared', 'by_vendor 0 gone', 'by_vendor 10 appeared']); // biome-ignore format: one list
    assert.equal(diff.shards.length, 1);
    assert.deepEqual(differenceOf(a, a).windows, []);
  });

  it('of format 3 or 4 of the state is brought up to date where it is restored', async (t) => {
    const dataDir = temporaryFolder(t);
    const other = temporaryFolder(t);
    const db = new Database(join(other, 'x.sqlite'));
    db.exec(readFileSync(fixture('state-format-3.sql'), 'utf8'));
    db.close();
    const { packSavepoint } = await import('../../src/savepoints/file.ts');
    const state = join(other, 'x.sqlite');
    const bytes = readFileSync(state).length;
    const head = { app: 'old', stream: 's', state_format: 3, checkpoint: 1, at: '2016-01-01T00:00:00Z', watermark: null, results: 1, created: '2016-01-01T00:00:00Z', bytes }; // biome-ignore format: one line
    const place = join(other, 'old.savepoint');
    await packSavepoint(state, head, place);
    const { summary } = await restoreSavepoint({ savepoint: place, dataDir, app: 'new', s3 });
    assert.equal(summary.windows.length, 3);
    const restored = new Database(statePath(dataDir, 'new'), { readonly: true });
    assert.equal(restored.pragma('user_version', { simple: true }), 7);
    restored.close();
  });

  it('is refused for what it is: missing, none, of a newer format, cut, changed, or in the way', async (t) => {
    const dataDir = await halfDone(t);
    const { place } = await createSavepoint({ dataDir, s3 });
    const whole = readFileSync(place);
    const restore = (savepoint: string, app = 'copy') => restoreSavepoint({ savepoint, dataDir, app, s3 });
    const withBytes = (bytes: Buffer | string) => {
      const path = join(dataDir, 'x.savepoint');
      writeFileSync(path, bytes);
      return path;
    };
    await assert.rejects(restore(join(dataDir, 'none')), failsWith('no-savepoint'));
    for (const other of ['', 'x', 'a,b\n1,2\n', readFileSync(statePath(dataDir, 'job'))])
      await assert.rejects(restore(withBytes(other)), failsWith('not-savepoint'));
    const newer = whole.toString('latin1').replace('savepoint 1\n', 'savepoint 2\n');
    await assert.rejects(restore(withBytes(Buffer.from(newer, 'latin1'))), failsWith('newer-format'));
    await assert.rejects(restore(place, 'job'), failsWith('app-exists'));
    await assert.rejects(createSavepoint({ dataDir, to: place, s3 }), failsWith('file-exists'));
    await assert.rejects(createSavepoint({ dataDir, app: 'none', s3 }), failsWith('no-app'));
    await assert.rejects(deleteSavepoint(withBytes('precious'), s3), failsWith('not-savepoint'));
    const random = randomNumbers(SEED);
    for (let i = 0; i < 60; i++) {
      const at = i < 10 ? whole.length - 1 - i : Math.floor(random() * whole.length);
      const changed = Buffer.from(whole);
      changed[at]! ^= 1 << Math.floor(random() * 8);
      const codes = ['damaged', 'not-savepoint', 'newer-format'];
      await assert.rejects(restore(withBytes(changed)), failsWith(...codes), `byte ${at}`);
      await assert.rejects(restore(withBytes(whole.subarray(0, at))), failsWith(...codes), `cut at ${at}`);
    }
    assert.deepEqual(
      readdirSync(join(dataDir, 'apps')).filter((name) => /copy(?!\.sqlite\.lock)/.test(name)),
      [],
    );
  });

  it('whose checksum was made anew is still checked row by row, and its sizes are not believed', async (t) => {
    const dataDir = await halfDone(t);
    const { place } = await createSavepoint({ dataDir, s3 });
    const whole = readFileSync(place);
    const [first, head] = whole.toString('latin1').split('\n', 2) as [string, string];
    const body = whole.subarray(first.length + head.length + 2, whole.length - 65);
    const signed = (text: string, content: Buffer) => {
      const all = Buffer.concat([Buffer.from(`${first}\n${text}\n`), content]);
      return Buffer.concat([all, Buffer.from(`${createHash('sha256').update(all).digest('hex')}\n`)]);
    };
    const told = JSON.parse(head) as Record<string, unknown>;
    const cases: [string, Buffer][] = [
      [JSON.stringify({ ...told, bytes: 100 }), body],
      [JSON.stringify({ ...told, bytes: 10 ** 12 }), body],
      [JSON.stringify({ ...told, bytes: 'x' }), body],
      ['{}', body],
      ['x', body],
      [head, Buffer.from('no gzip')],
      [head, body.subarray(0, body.length - 100)],
    ];
    const path = join(dataDir, 'x.savepoint');
    for (const [text, content] of cases) {
      writeFileSync(path, signed(text, content));
      await assert.rejects(inspectSavepoint(path, s3), failsWith('damaged'), text.slice(0, 40));
    }
    const { packSavepoint } = await import('../../src/savepoints/file.ts');
    const { unpackSavepoint } = await import('../../src/savepoints/file.ts');
    for (const change of [
      'UPDATE panes SET data = zeroblob(length(data))',
      "UPDATE firings SET docs = replace(docs, 'CMT', 'XXX')",
      'UPDATE seen_pages SET bits = zeroblob(length(bits))',
      "UPDATE checkpoint SET state = replace(state, '200', '201')",
      'DELETE FROM checkpoint',
      'CREATE TABLE "q(x); DROP TABLE panes; --" (x)',
      'CREATE TRIGGER t AFTER UPDATE ON run BEGIN DELETE FROM panes; END',
      'DELETE FROM firings WHERE first = (SELECT max(first) FROM firings)',
    ]) {
      const state = join(dataDir, 'changed.sqlite');
      const own = await unpackSavepoint(place, state);
      const db = new Database(state);
      db.exec(change);
      db.close();
      const changed = join(dataDir, `${createHash('sha256').update(change).digest('hex')}.savepoint`);
      await packSavepoint(state, { ...own, bytes: readFileSync(state).length }, changed);
      await assert.rejects(inspectSavepoint(changed, s3), failsWith('damaged', 'corrupt'), change);
      new Database(state).close();
      (await import('node:fs')).rmSync(state);
    }
  });

  it('is listed, and deleted', async (t) => {
    const dataDir = await halfDone(t);
    const folder = join(dataDir, 'savepoints');
    assert.deepEqual(await listSavepoints(folder, s3), []);
    const { place, head } = await createSavepoint({ dataDir, s3 });
    writeFileSync(join(folder, 'a.savepoint'), 'x');
    const [broken, sound] = await listSavepoints(folder, s3);
    assert.match(broken!.trouble!, /is no savepoint/);
    assert.deepEqual([sound!.place, sound!.head], [place, head]);
    await deleteSavepoint(place, s3);
    assert.equal(existsSync(place), false);
    assert.deepEqual(readdirSync(join(dataDir, 'tmp')), [], 'nothing is left of the work');
  });
});

describe('taxiflow savepoint', () => {
  it('creates, lists, inspects, compares, verifies, restores and deletes, in JSON and in words', async (t) => {
    const cwd = await halfDone(t);
    const at = ['--data-dir', '.'];
    const created = (await run(['savepoint', 'create', ...at, '--json'], { cwd })).json<{
      savepoint: string;
      checkpoint: number;
    }>();
    const place = created.savepoint;
    assert.equal(
      (await run(['savepoint', 'list', ...at, '--json'], { cwd })).json<{
        savepoints: { savepoint: string }[];
      }>().savepoints[0]!.savepoint,
      place,
    );
    const inspected = (await run(['savepoint', 'inspect', place, '--json'], { cwd })).json();
    assert.deepEqual(
      [inspected['app'], inspected['trips_seen'], inspected['checkpoint']],
      ['job', 200, created.checkpoint],
    );
    const shown = await run(['savepoint', 'inspect', place], { cwd });
    assert.match(shown.stdout, /by_vendor/);
    assert.match(shown.stdout, /shardId-000000000000 +after 200/);
    assert.equal((await run(['savepoint', 'verify', place, '--json'], { cwd })).json()['ok'], true);
    const same = (await run(['savepoint', 'diff', place, place, '--json'], { cwd })).json();
    assert.deepEqual([same['same_job'], same['windows'], same['shards']], [true, [], []]);
    assert.match((await run(['savepoint', 'diff', place, place], { cwd })).stdout, /records +\+0 read/);
    const restored = await run(['savepoint', 'restore', place, '--app', 'copy', ...at, '--json'], { cwd });
    assert.equal(restored.json()['app'], 'copy');
    assert.match(restored.stderr, /taxiflow process --app copy --stream local:taxi-trip-events/);
    await run(['savepoint', 'restore', place, '--app', 'copy', ...at], { cwd, code: 1 });
    await run(['savepoint', 'restore', place, ...at], { cwd, code: 2 });
    await run(['savepoint', 'delete', place, '--json'], { cwd });
    await run(['savepoint', 'verify', place], { cwd, code: 1 });
  });
});

describe('a restored app', () => {
  it('has nothing of an earlier state of its name: no log, and no place in S3', async (t) => {
    const dataDir = await halfDone(t);
    const { place } = await createSavepoint({ dataDir, s3 });
    const path = statePath(dataDir, 'again');
    writeFileSync(`${path}-wal`, Buffer.alloc(100_000, 7));
    writeFileSync(`${path}.remote`, 's3://x/y');
    writeFileSync(`${path}.restoring`, 'half of one that was killed');
    await restoreSavepoint({ savepoint: place, dataDir, app: 'again', s3 });
    assert.equal(existsSync(`${path}.remote`), false);
    await processed(dataDir, 'again');
    assert.deepEqual(resultsOf(dataDir, 'again'), resultsOf(dataDir, 'job'));
  });

  it('is one, though several are made at the same time', async (t) => {
    const dataDir = await halfDone(t);
    const to = join(dataDir, 'x.savepoint');
    const made = await Promise.allSettled(
      Array.from({ length: 5 }, () => createSavepoint({ dataDir, to, s3 })),
    );
    assert.deepEqual(made.map(({ status }) => status).sort(), ['fulfilled', ...new Array(4).fill('rejected')]); // biome-ignore format: one line
    for (const each of made) if (each.status === 'rejected') failsWith('file-exists')(each.reason);
    await inspectSavepoint(to, s3);
  });

  it('can be of no place that is not one', async (t) => {
    const dataDir = await halfDone(t);
    const file = join(dataDir, 'file');
    writeFileSync(file, 'x');
    for (const to of ['-', 's3:/x', 's3://', 's3:'])
      await assert.rejects(createSavepoint({ dataDir, to, s3 }), failsWith('usage'), to);
    for (const to of [`${file}/`, `${file}/x`])
      await assert.rejects(createSavepoint({ dataDir, to, s3 }), TaxiflowError, to);
    for (const place of [dataDir, `${file}/x`, '/dev/null'])
      await assert.rejects(inspectSavepoint(place, s3), failsWith('not-savepoint', 'no-savepoint'), place);
  });

  it('of a state that can not be read any more is refused, and leaves nothing', async (t) => {
    const dataDir = await halfDone(t);
    const { head } = await createSavepoint({ dataDir, s3 });
    const folder = temporaryFolder(t);
    await assert.rejects(packSavepoint(join(folder, 'gone.sqlite'), head, join(folder, 'x.savepoint')), {
      code: 'cannot-open',
    });
    assert.deepEqual(readdirSync(folder), []);
  });

  it('of a state that holds nothing yet is refused as one without a checkpoint', async (t) => {
    const dataDir = temporaryFolder(t);
    mkdirSync(join(dataDir, 'apps'));
    writeFileSync(statePath(dataDir, 'job'), '');
    await assert.rejects(createSavepoint({ dataDir, s3 }), failsWith('no-checkpoint'));
  });
});
