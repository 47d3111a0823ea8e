/** C5: a job that goes on with other views gets what was said, and never a mix. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { plannedChanges } from '../../src/app/changed-views.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { inspectSavepoint } from '../../src/savepoints/savepoints.ts';
import { StateReader } from '../../src/state/reader.ts';
import * as l from '../../src/views/language.ts';
import { putRecords, run } from '../cli/model.ts';
import { temporaryFolder } from '../files.ts';
import { randomNumbers } from '../random.ts';
import { runJob } from './job.ts';

const NOON = Date.UTC(2016, 0, 11, 12);
const MINUTE = 60_000;
const vendor = l.field('vendor_id');
const BY_VENDOR = {
  name: 'by_vendor',
  by: { vendor },
  window: l.tumbling(10 * MINUTE),
  aggregates: { trips: l.count(), fares: l.sum(l.field('total_amount')) },
};
const ALL = l.view({
  name: 'all',
  by: {},
  window: l.tumbling(10 * MINUTE),
  aggregates: { trips: l.count() },
});

/** Trips of a minute each from one on, and a watermark behind them. */
function records(from: number, count: number): string[] {
  const trips = Array.from({ length: count }, (_, i) => {
    const at = new Date(NOON + (from + i) * MINUTE).toISOString();
    return `{"type":"trip","trip_id":${from + i},"replay":"r","vendor_id":"${'ab'[(from + i) % 2]}","dropoff_datetime":"${at}","total_amount":${from + i}}\n`;
  });
  const watermark = new Date(NOON + (from + count) * MINUTE - 1).toISOString();
  return [...trips, `{"type":"watermark","watermark":"${watermark}"}\n`];
}

/** A folder with a job that has seen 25 of 60 minutes. */
async function begun(t: TestContext): Promise<string> {
  const dataDir = temporaryFolder(t);
  await putRecords(dataDir, 'taxi-trip-events', records(0, 25));
  await runJob(dataDir, 'job', [l.view(BY_VENDOR), ALL]);
  await putRecords(dataDir, 'taxi-trip-events', records(25, 35));
  return dataDir;
}

function results(dataDir: string, view: string, app = 'job') {
  const reader = new StateReader(dataDir, app);
  try {
    return [...reader.results({ view })].map(({ view: _, window_start, window_end, timestamp, ...rest }) => ({
      minute: (Date.parse(String(window_start)) - NOON) / MINUTE,
      ...rest,
    }));
  } finally {
    reader.close();
  }
}

function totals(dataDir: string, view: string, app = 'job') {
  const reader = new StateReader(dataDir, app);
  try {
    return Array.from(reader.totals(view), ({ start, all }) => [(start - NOON) / MINUTE, all.values]);
  } finally {
    reader.close();
  }
}

async function straight(dataDir: string, view: l.View) {
  await runJob(dataDir, `straight-${view.name}`, [view]);
  return results(dataDir, view.name, `straight-${view.name}`);
}

describe('a job with other views', () => {
  it('goes on with a view that is added, and has all of it from the next window on', async (t) => {
    const dataDir = await begun(t);
    const added = l.view({ ...BY_VENDOR, name: 'added', window: l.tumbling(5 * MINUTE) });
    const notes = await runJob(dataDir, 'job', [l.view(BY_VENDOR), ALL, added]);
    assert.deepEqual(notes, ['view added is added: it begins where the stream is now, without --backfill']);
    assert.deepEqual(results(dataDir, 'by_vendor'), await straight(dataDir, l.view(BY_VENDOR)));
    const whole = (await straight(dataDir, added)).filter(({ minute }) => minute >= 25);
    assert.deepEqual(results(dataDir, 'added'), whole);
    assert.deepEqual(
      await runJob(dataDir, 'job', [l.view(BY_VENDOR), ALL, added]),
      [],
      'the state is that of the new views',
    );
  });

  it('goes on without one that is removed, when that is accepted, and keeps what goes in a savepoint', async (t) => {
    const dataDir = await begun(t);
    await assert.rejects(runJob(dataDir, 'job', [l.view(BY_VENDOR)]), { code: 'other-state' });
    const notes = await runJob(dataDir, 'job', [l.view(BY_VENDOR)], { acceptChanges: true });
    assert.match(notes[0]!, /^view all is removed: its open windows and its results go$/);
    const [name] = readdirSync(join(dataDir, 'savepoints'));
    const { summary } = await inspectSavepoint(join(dataDir, 'savepoints', name!), {});
    assert.ok(
      summary.windows.some(({ view }) => view === 'all'),
      'the savepoint has its open window',
    );
    assert.deepEqual(results(dataDir, 'by_vendor'), await straight(dataDir, l.view(BY_VENDOR)));
    const reader = new StateReader(dataDir, 'job');
    assert.deepEqual(reader.views(), ['by_vendor']);
    reader.close();
    assert.deepEqual(totals(dataDir, 'all'), [], 'its totals went too');
    await runJob(dataDir, 'job', [l.view(BY_VENDOR), ALL]);
    assert.deepEqual(results(dataDir, 'all'), [], 'it begins anew');
    assert.deepEqual(
      await runJob(dataDir, 'job', [ALL, l.view(BY_VENDOR)]),
      [],
      'their order does not matter',
    );
    const output = join(dataDir, 'late.ndjson');
    await runJob(dataDir, 'job', [ALL, l.view(BY_VENDOR)], { output });
    assert.ok(
      readFileSync(output, 'utf8').includes('by_vendor'),
      'a sink that is added later gets what there is',
    );
  });

  it('goes on with another having and other names of aggregates, with the panes it has', async (t) => {
    const dataDir = await begun(t);
    const { trips, fares } = BY_VENDOR.aggregates;
    const adapted = l.view({
      ...BY_VENDOR,
      aggregates: { rides: trips, money: fares },
      having: l.gte({ op: 'field', name: 'money' }, 190),
    });
    assert.deepEqual(await runJob(dataDir, 'job', [adapted, ALL]), [
      'view by_vendor is adapted: it goes on with another having and other names of aggregates',
    ]);
    const later = (await straight(dataDir, adapted)).filter(({ minute }) => minute >= 20);
    assert.deepEqual(
      results(dataDir, 'by_vendor').filter(({ minute }) => minute >= 20),
      later,
    );
    assert.ok(later.length > 0);
    // Totals keep the names that they were written with, as results do.
    const names = totals(dataDir, 'by_vendor').map(([minute, values]) => [minute, Object.keys(values!)]);
    assert.deepEqual(names.slice(0, 4), [
      [0, ['trips', 'fares']],
      [10, ['trips', 'fares']],
      [20, ['rides', 'money']],
      [30, ['rides', 'money']],
    ]);
    assert.deepEqual(totals(dataDir, 'by_vendor')[2]![1], { rides: 10, money: 245 });
  });

  it('begins a view anew that has another key, window or function, when that is accepted, and not otherwise', async (t) => {
    const others: [Partial<Parameters<typeof l.view>[0]>, RegExp][] = [
      [{ by: { rider: vendor } }, /other: its key; it begins where the stream is now, without --backfill$/],
      [
        { by: { vendor, id: l.field('trip_id') } },
        /other: its key; it begins where the stream is now, without --backfill$/,
      ],
      [
        { window: l.tumbling(5 * MINUTE) },
        /other: its window; it begins where the stream is now, without --backfill$/,
      ],
      [
        { window: l.sliding(10 * MINUTE, 5 * MINUTE) },
        /other: its window; it begins where the stream is now, without --backfill$/,
      ],
      [
        { aggregates: { trips: l.count() } },
        /other: its aggregates; it begins where the stream is now, without --backfill$/,
      ],
      [
        { where: l.eq(vendor, 'a') },
        /other: the trips that it selects; it begins where the stream is now, without --backfill$/,
      ],
    ];
    for (const [part, expected] of others) {
      const dataDir = await begun(t);
      const other = l.view({ ...BY_VENDOR, ...part } as Parameters<typeof l.view>[0]);
      const before = results(dataDir, 'by_vendor');
      await assert.rejects(runJob(dataDir, 'job', [other, ALL]), (error: unknown) => {
        assert.ok(error instanceof TaxiflowError && error.code === 'other-state');
        assert.match(error.message, expected);
        assert.match(error.hint!, /--accept-changes/);
        return true;
      });
      assert.deepEqual(results(dataDir, 'by_vendor'), before, 'nothing was changed');
      assert.equal(existsSync(join(dataDir, 'savepoints')), false);
      assert.deepEqual((await plannedChanges({ dataDir, app: 'job', views: [other, ALL] })).map(({ change }) => change), ['anew']); // biome-ignore format: one line
      const notes = await runJob(dataDir, 'job', [other, ALL], { acceptChanges: true });
      assert.match(notes.at(-1)!, /^what goes is kept in /);
      const whole = (await straight(dataDir, other)).filter(({ minute }) => minute >= 25);
      assert.deepEqual(results(dataDir, 'by_vendor').filter(({ minute }) => minute >= 30), whole.filter(({ minute }) => minute >= 30)); // biome-ignore format: one line
      assert.ok(
        results(dataDir, 'by_vendor').every(({ minute }) => minute >= 15),
        'no result of the view before is left',
      );
      assert.deepEqual(results(dataDir, 'all'), await straight(dataDir, ALL), 'the other view is as it was');
      const { place } = await (await import('../../src/savepoints/savepoints.ts')).createSavepoint({ dataDir, app: 'job', to: join(dataDir, 'x'), s3: {} }); // biome-ignore format: one line
      await inspectSavepoint(place, {});
    }
  });

  it('does not take another having for the same while windows can still be corrected', async (t) => {
    const dataDir = temporaryFolder(t);
    const allowedLateness = 10 * MINUTE;
    await putRecords(dataDir, 'taxi-trip-events', records(0, 25));
    await runJob(dataDir, 'job', [ALL], { allowedLateness });
    const other = { ...ALL, having: l.gte({ op: 'field', name: 'trips' }, 3) };
    await assert.rejects(runJob(dataDir, 'job', [other], { allowedLateness }), { code: 'other-state' });
    const notes = await runJob(dataDir, 'job', [other], { allowedLateness, acceptChanges: true });
    assert.match(notes[0]!, /its having, with windows that can still be corrected/);
  });

  it('goes on with more lateness, and with late trips never opens a window that is gone or was not whole', async (t) => {
    const { changed, late, corrected } = await manyLatenesses(t, 40, 1);
    t.diagnostic(`${late} late trips, ${corrected} corrected windows, ${changed} changes`);
    assert.ok(late > 100 && corrected > 100 && changed > 100);
  });

  it('refuses less lateness', async (t) => {
    const dataDir = temporaryFolder(t);
    await putRecords(dataDir, 'taxi-trip-events', records(0, 25));
    await runJob(dataDir, 'job', [ALL], { allowedLateness: 10 * MINUTE });
    await assert.rejects(runJob(dataDir, 'job', [ALL], { allowedLateness: 9 * MINUTE }), {
      code: 'other-state',
    });
  });

  it('begins anew where a name of an aggregate gets another meaning', async (t) => {
    const dataDir = await begun(t);
    const { trips, fares } = BY_VENDOR.aggregates;
    const swapped = l.view({ ...BY_VENDOR, aggregates: { fares: trips, trips: fares } });
    await assert.rejects(
      runJob(dataDir, 'job', [swapped, ALL]),
      /names of aggregates that had another meaning/,
    );
  });

  it('waits for sinks that are behind before results go', async (t) => {
    const dataDir = await begun(t);
    const output = join(dataDir, 'out.ndjson');
    await runJob(dataDir, 'job', [l.view(BY_VENDOR), ALL], { output });
    await putRecords(dataDir, 'taxi-trip-events', records(60, 20));
    await runJob(dataDir, 'job', [l.view(BY_VENDOR), ALL]);
    const other = l.view({ ...BY_VENDOR, window: l.tumbling(5 * MINUTE) });
    await assert.rejects(
      runJob(dataDir, 'job', [other, ALL], { acceptChanges: true }),
      /has not yet got all results of view by_vendor/,
    );
    await runJob(dataDir, 'job', [l.view(BY_VENDOR), ALL], { output });
    await runJob(dataDir, 'job', [other, ALL], { acceptChanges: true, output });
  });

  it('is told what would become of it by process --dry-run', async (t) => {
    const dataDir = await begun(t);
    const file = join(dataDir, 'views.json');
    writeFileSync(file, JSON.stringify([{ ...l.view(BY_VENDOR), window: l.tumbling(5 * MINUTE) }]));
    const args = ['process', '--dry-run', '--app', 'job', '--data-dir', dataDir, '--views', file];
    const told = await run(args);
    assert.equal(
      told.stdout,
      'view by_vendor begins anew: other: its window; it begins where the stream is now, without --backfill\nview all is removed: its open windows and its results go\n',
    );
    assert.match(told.stderr, /nothing was changed/);
    const { changes } = (await run([...args, '--json'])).json<{
      changes: { view: string; change: string }[];
    }>();
    assert.deepEqual(changes.map(({ view, change }) => [view, change]), [['by_vendor', 'anew'], ['all', 'removed']]); // biome-ignore format: one line
  });
});

interface Model {
  /** Trips by start of the window, minutes after noon. */
  readonly windows: Map<number, number>;
  /** Windows up to this end stay closed. */
  closedUpTo: number;
}

/** Jobs whose lateness grows and whose second view begins anew, against a model that counts trip by trip. */
async function manyLatenesses(t: TestContext, jobs: number, seed: number) {
  const random = randomNumbers(seed);
  const below = (n: number) => Math.floor(random() * n);
  const told = { changed: 0, late: 0, corrected: 0 };
  for (let job = 0; job < jobs; job++) {
    const dataDir = temporaryFolder(t);
    const models = new Map(['all', 'other'].map((name) => [name, { windows: new Map(), closedUpTo: -1e9 } as Model])); // biome-ignore format: one line
    let watermark = -1e9;
    let lateness = below(3) * 7;
    let size = 5;
    let id = 0;
    for (let phase = 0; phase < 4; phase++) {
      if (phase > 0 && below(3) > 0) {
        const grows = below(25);
        if (grows > 0)
          for (const model of models.values())
            model.closedUpTo = Math.max(model.closedUpTo, watermark - lateness);
        lateness += grows;
        told.changed++;
      }
      if (phase > 0 && below(3) === 0) {
        size = size === 5 ? 8 : 5;
        models.set('other', { windows: new Map(), closedUpTo: watermark });
        told.changed++;
      }
      const texts: string[] = [];
      const newest = Math.max(0, watermark);
      for (let i = 0; i < 60; i++) {
        if (below(8) === 0) {
          watermark = Math.max(watermark, newest + Math.floor(i / 2) - below(4));
          texts.push(`{"type":"watermark","watermark":"${iso(watermark - 1 / MINUTE)}"}\n`);
          continue;
        }
        const minute = Math.max(0, newest + Math.floor(i / 2) - below(below(3) === 0 ? 40 : 6));
        texts.push(`{"type":"trip","trip_id":${id++},"replay":"r","dropoff_datetime":"${iso(minute)}"}\n`);
        for (const [name, { windows, closedUpTo }] of models) {
          const width = name === 'all' ? 10 : size;
          const start = Math.floor(minute / width) * width;
          if (start + width <= closedUpTo || start + width + lateness <= watermark) told.late++;
          else {
            windows.set(start, (windows.get(start) ?? 0) + 1);
            if (start + width <= watermark) told.corrected++;
          }
        }
      }
      await putRecords(dataDir, 'taxi-trip-events', texts);
      const views = [ALL, l.view({ ...ALL, name: 'other', window: l.tumbling(size * MINUTE) })];
      await runJob(dataDir, 'job', views, { allowedLateness: lateness * MINUTE, acceptChanges: true });
      for (const [name, { windows }] of models) {
        const width = name === 'all' ? 10 : size;
        const expected = [...windows].filter(([start]) => start + width <= watermark);
        assert.deepEqual(
          results(dataDir, name).map((result) => [result.minute, (result as { trips?: number }).trips]),
          expected.sort(([a], [b]) => a - b),
          `job ${job}, phase ${phase}, ${name}`,
        );
      }
    }
  }
  return told;
}

function iso(minute: number): string {
  return new Date(NOON + minute * MINUTE).toISOString();
}
