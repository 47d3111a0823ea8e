/** C5: a job that goes on with other views gets what was said, and never a mix. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { openProcessor, type ProcessorOptions, plannedChanges } from '../../src/app/processor.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { inspectSavepoint } from '../../src/savepoints/savepoints.ts';
import { StateReader } from '../../src/state/reader.ts';
import * as l from '../../src/views/language.ts';
import { putRecords, run } from '../cli/model.ts';
import { temporaryFolder } from '../files.ts';

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
  await goOn(dataDir, [l.view(BY_VENDOR), ALL]);
  await putRecords(dataDir, 'taxi-trip-events', records(25, 35));
  return dataDir;
}

async function goOn(
  dataDir: string,
  views: readonly l.View[],
  more: Partial<ProcessorOptions> = {},
): Promise<string[]> {
  const notes: string[] = [];
  const processor = await openProcessor({
    dataDir,
    app: 'job',
    views,
    untilEnd: true,
    onNote: (note) => notes.push(note),
    ...more,
  });
  await processor.run();
  return notes;
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

async function straight(dataDir: string, view: l.View) {
  const processor = await openProcessor({
    dataDir,
    app: `straight-${view.name}`,
    views: [view],
    untilEnd: true,
  });
  await processor.run();
  return results(dataDir, view.name, `straight-${view.name}`);
}

describe('a job with other views', () => {
  it('goes on with a view that is added, and has all of it from the next window on', async (t) => {
    const dataDir = await begun(t);
    const added = l.view({ ...BY_VENDOR, name: 'added', window: l.tumbling(5 * MINUTE) });
    const notes = await goOn(dataDir, [l.view(BY_VENDOR), ALL, added]);
    assert.deepEqual(notes, ['view added is added: it begins where the stream is now']);
    assert.deepEqual(results(dataDir, 'by_vendor'), await straight(dataDir, l.view(BY_VENDOR)));
    const whole = (await straight(dataDir, added)).filter(({ minute }) => minute >= 25);
    assert.deepEqual(results(dataDir, 'added'), whole);
    assert.deepEqual(
      await goOn(dataDir, [l.view(BY_VENDOR), ALL, added]),
      [],
      'the state is that of the new views',
    );
  });

  it('goes on without one that is removed, when that is accepted, and keeps what goes in a savepoint', async (t) => {
    const dataDir = await begun(t);
    await assert.rejects(goOn(dataDir, [l.view(BY_VENDOR)]), { code: 'other-state' });
    const notes = await goOn(dataDir, [l.view(BY_VENDOR)], { acceptChanges: true });
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
    await goOn(dataDir, [l.view(BY_VENDOR), ALL]);
    assert.deepEqual(results(dataDir, 'all'), [], 'it begins anew');
    assert.deepEqual(await goOn(dataDir, [ALL, l.view(BY_VENDOR)]), [], 'their order does not matter');
    const output = join(dataDir, 'late.ndjson');
    await goOn(dataDir, [ALL, l.view(BY_VENDOR)], { output });
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
    assert.deepEqual(await goOn(dataDir, [adapted, ALL]), [
      'view by_vendor is adapted: it goes on with another having',
    ]);
    const later = (await straight(dataDir, adapted)).filter(({ minute }) => minute >= 20);
    assert.deepEqual(
      results(dataDir, 'by_vendor').filter(({ minute }) => minute >= 20),
      later,
    );
    assert.ok(later.length > 0);
  });

  it('begins a view anew that has another key, window or function, when that is accepted, and not otherwise', async (t) => {
    const others: [Partial<Parameters<typeof l.view>[0]>, RegExp][] = [
      [{ by: { rider: vendor } }, /other: its key$/],
      [{ by: { vendor, id: l.field('trip_id') } }, /other: its key$/],
      [{ window: l.tumbling(5 * MINUTE) }, /other: its window$/],
      [{ window: l.sliding(10 * MINUTE, 5 * MINUTE) }, /other: its window$/],
      [{ aggregates: { trips: l.count() } }, /other: its aggregates$/],
      [{ where: l.eq(vendor, 'a') }, /other: the trips that it selects$/],
    ];
    for (const [part, expected] of others) {
      const dataDir = await begun(t);
      const other = l.view({ ...BY_VENDOR, ...part } as Parameters<typeof l.view>[0]);
      const before = results(dataDir, 'by_vendor');
      await assert.rejects(goOn(dataDir, [other, ALL]), (error: unknown) => {
        assert.ok(error instanceof TaxiflowError && error.code === 'other-state');
        assert.match(error.message, expected);
        assert.match(error.hint!, /--accept-changes/);
        return true;
      });
      assert.deepEqual(results(dataDir, 'by_vendor'), before, 'nothing was changed');
      assert.equal(existsSync(join(dataDir, 'savepoints')), false);
      assert.deepEqual(plannedChanges({ dataDir, app: 'job', views: [other, ALL] }).map(({ change }) => change), ['anew']); // biome-ignore format: one line
      const notes = await goOn(dataDir, [other, ALL], { acceptChanges: true });
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
    await goOn(dataDir, [ALL], { allowedLateness });
    const other = { ...ALL, having: l.gte({ op: 'field', name: 'trips' }, 3) };
    await assert.rejects(goOn(dataDir, [other], { allowedLateness }), { code: 'other-state' });
    const accepted = { allowedLateness, acceptChanges: true };
    await assert.rejects(
      goOn(dataDir, [other], accepted),
      /can't begin anew/,
      'late trips would replace whole results',
    );
  });

  it('begins anew where a name of an aggregate gets another meaning', async (t) => {
    const dataDir = await begun(t);
    const { trips, fares } = BY_VENDOR.aggregates;
    const swapped = l.view({ ...BY_VENDOR, aggregates: { fares: trips, trips: fares } });
    await assert.rejects(goOn(dataDir, [swapped, ALL]), /names of aggregates that had another meaning/);
  });

  it('waits for sinks that are behind before results go', async (t) => {
    const dataDir = await begun(t);
    const output = join(dataDir, 'out.ndjson');
    await goOn(dataDir, [l.view(BY_VENDOR), ALL], { output });
    await putRecords(dataDir, 'taxi-trip-events', records(60, 20));
    await goOn(dataDir, [l.view(BY_VENDOR), ALL]);
    const other = l.view({ ...BY_VENDOR, window: l.tumbling(5 * MINUTE) });
    await assert.rejects(
      goOn(dataDir, [other, ALL], { acceptChanges: true }),
      /has not yet got all results of view by_vendor/,
    );
    await goOn(dataDir, [l.view(BY_VENDOR), ALL], { output });
    await goOn(dataDir, [other, ALL], { acceptChanges: true, output });
  });

  it('is told what would become of it by process --dry-run', async (t) => {
    const dataDir = await begun(t);
    const file = join(dataDir, 'views.json');
    writeFileSync(file, JSON.stringify([{ ...l.view(BY_VENDOR), window: l.tumbling(5 * MINUTE) }]));
    const args = ['process', '--dry-run', '--app', 'job', '--data-dir', dataDir, '--views', file];
    const told = await run(args);
    assert.equal(
      told.stdout,
      'view by_vendor begins anew: other: its window\nview all is removed: its open windows and its results go\n',
    );
    assert.match(told.stderr, /nothing was changed/);
    const { changes } = (await run([...args, '--json'])).json<{
      changes: { view: string; change: string }[];
    }>();
    assert.deepEqual(changes.map(({ view, change }) => [view, change]), [['by_vendor', 'anew'], ['all', 'removed']]); // biome-ignore format: one line
  });
});
