/** Disks that don't fill: results that every sink has passed and old records go away, and nothing else does. */
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openProcessor } from '../../src/app/processor.ts';
import type { ProcessorOptions } from '../../src/app/processor-options.ts';
import { createSavepoint, inspectSavepoint } from '../../src/savepoints/savepoints.ts';
import { statePath } from '../../src/state/files.ts';
import { StateReader } from '../../src/state/reader.ts';
import { LocalStream } from '../../src/streams/local/log.ts';
import * as l from '../../src/views/language.ts';
import { putRecords, run } from '../cli/model.ts';
import { TestClock } from '../clock.ts';
import { temporaryFolder } from '../files.ts';

const NOON = Date.UTC(2016, 0, 11, 12);
const MINUTE = 60_000;
const VIEWS = [
  l.view({
    name: 'minutes',
    by: { id: l.field('trip_id') },
    window: l.tumbling(MINUTE),
    aggregates: { trips: l.count() },
  }),
];

/** A trip a minute, each with a watermark that completes its window. */
function records(from: number, count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const [trip, end] = [new Date(NOON + (from + i) * MINUTE), new Date(NOON + (from + i + 1) * MINUTE - 1)];
    return [
      `{"type":"trip","trip_id":${from + i},"replay":"r","dropoff_datetime":"${trip.toISOString()}"}\n`,
      `{"type":"watermark","watermark":"${end.toISOString()}"}\n`,
    ];
  }).flat();
}

async function processed(dataDir: string, more: Partial<ProcessorOptions> = {}) {
  const processor = await openProcessor({ dataDir, app: 'job', views: VIEWS, untilEnd: true, ...more });
  return processor.run();
}

function keptIn(dataDir: string): number[] {
  const reader = new StateReader(dataDir, 'job');
  try {
    return [...reader.results()].map(({ id }) => Number(id));
  } finally {
    reader.close();
  }
}

/** Starts of the windows with totals, in minutes. */
function totalsIn(dataDir: string, view = 'minutes'): number[] {
  const reader = new StateReader(dataDir, 'job');
  try {
    return Array.from(reader.totals(view), ({ start }) => (start - NOON) / MINUTE);
  } finally {
    reader.close();
  }
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe('results that are retained for a while', () => {
  it('go once they are old and every sink has them, and not before', async (t) => {
    const dataDir = temporaryFolder(t);
    const output = join(dataDir, 'out.ndjson');
    const retain = 10 * MINUTE;
    await putRecords(dataDir, 'taxi-trip-events', records(0, 30));
    // Results that no sink has passed when they are written are not old enough to go, however far behind they are.
    await processed(dataDir, { output, retain });
    assert.deepEqual(keptIn(dataDir), range(0, 30), 'they were delivered after the only checkpoint');
    await putRecords(dataDir, 'taxi-trip-events', records(30, 1));
    const { totals } = await processed(dataDir, { output, retain });
    assert.deepEqual(keptIn(dataDir), range(20, 31));
    assert.deepEqual(totalsIn(dataDir), range(20, 31), 'totals go with the results');
    assert.equal(totals.results, 31, 'the counts of all runs stay right');
    assert.equal(readFileSync(output, 'utf8').trimEnd().split('\n').length, 31, 'the sink has them all');
    await putRecords(dataDir, 'taxi-trip-events', records(31, 20));
    await processed(dataDir, { retain });
    assert.deepEqual(keptIn(dataDir), range(31, 51), 'a sink that this run does without has not got these');
    assert.deepEqual(totalsIn(dataDir), range(31, 51), 'totals stay as long as the results');
    await processed(dataDir, {});
    assert.deepEqual(keptIn(dataDir), range(31, 51), 'without the option, nothing goes');
    const { summary } = await inspectSavepoint((await createSavepoint({ dataDir, s3: {} })).place, {});
    assert.deepEqual(summary.results, { kept: 20, next: 52 }, 'a savepoint of it is sound');
  });

  it('have totals that go as they would, where having leaves none of them', async (t) => {
    const dataDir = temporaryFolder(t);
    const none = [l.view({ ...VIEWS[0]!, having: l.gt(l.aggregate('trips'), 1) })];
    await putRecords(dataDir, 'taxi-trip-events', records(0, 30));
    await processed(dataDir, { views: none, retain: 10 * MINUTE });
    assert.deepEqual([keptIn(dataDir), totalsIn(dataDir)], [[], range(19, 30)]);
  });

  it('are kept by the end of their window, so that none goes with the checkpoint that writes it', async (t) => {
    const dataDir = temporaryFolder(t);
    const hourly = [
      l.view({ name: 'hours', by: {}, window: l.tumbling(60 * MINUTE), aggregates: { trips: l.count() } }),
    ];
    await putRecords(dataDir, 'taxi-trip-events', records(0, 121));
    await processed(dataDir, { views: hourly, retain: 30 * MINUTE });
    const reader = new StateReader(dataDir, 'job');
    assert.deepEqual([...reader.results()].map(({ trips }) => trips), [60]); // biome-ignore format: one line
    reader.close();
  });

  it('stay for a sink that a run does without, and its file has no hole', async (t) => {
    const dataDir = temporaryFolder(t);
    const output = join(dataDir, 'out.ndjson');
    const retain = 10 * MINUTE;
    for (const [step, more] of [{ output }, {}, {}, { output }].entries()) {
      await putRecords(dataDir, 'taxi-trip-events', records(step * 30, 30));
      await processed(dataDir, { retain, ...more });
    }
    const lines = () => readFileSync(output, 'utf8').trimEnd().split('\n').map((line) => (JSON.parse(line) as { id: number }).id); // biome-ignore format: one line
    assert.deepEqual(lines(), range(0, 120));
    await putRecords(dataDir, 'taxi-trip-events', records(120, 1));
    await processed(dataDir, { retain, output });
    // A file that can't be filled again is left as it is.
    const whole = readFileSync(output, 'utf8');
    const changed = whole.slice(0, 1_000);
    writeFileSync(output, changed);
    await assert.rejects(processed(dataDir, { retain, output }), { code: 'output-in-use' });
    assert.equal(readFileSync(output, 'utf8'), changed);
    const notes: string[] = [];
    await processed(dataDir, {
      retain,
      output: join(dataDir, 'new.ndjson'),
      onNote: (note) => notes.push(note),
    });
    assert.match(notes.join(), /is without \d+ results that --retain has removed/);
  });

  it('that went are not waited for by a sink that begins later', async (t) => {
    const dataDir = temporaryFolder(t);
    await putRecords(dataDir, 'taxi-trip-events', records(0, 30));
    await processed(dataDir, { retain: 0 });
    const { sinks } = await processed(dataDir, { output: join(dataDir, 'out.ndjson') });
    assert.deepEqual(sinks.map(({ pending }) => pending), [0]); // biome-ignore format: one line
  });

  it('make room in the file for later ones, and compacting gives it back', async (t) => {
    const dataDir = temporaryFolder(t);
    const sizes: number[] = [];
    for (let round = 0; round < 8; round++) {
      await putRecords(dataDir, 'taxi-trip-events', records(round * 2_000, 2_000));
      await processed(dataDir, { retain: MINUTE, checkpointInterval: 1 });
      sizes.push(statSync(statePath(dataDir, 'job')).size);
    }
    assert.ok(sizes.at(-1)! <= sizes[2]! * 1.1, `it does not grow: ${sizes}`);
    const compacted = (await run(['state', 'compact', '--data-dir', dataDir, '--json'])).json<{
      bytes_before: number;
      bytes: number;
    }>();
    assert.ok(compacted.bytes < compacted.bytes_before, JSON.stringify(compacted));
    assert.deepEqual(keptIn(dataDir), [15_998, 15_999]);
  });

  it('stay for a sink that is not used any more, which is told, until it is given up', async (t) => {
    const dataDir = temporaryFolder(t);
    const output = join(dataDir, 'out put.ndjson');
    await putRecords(dataDir, 'taxi-trip-events', records(0, 30));
    await processed(dataDir, { output });
    await putRecords(dataDir, 'taxi-trip-events', records(30, 30));
    const notes: string[] = [];
    const without = { retain: MINUTE, onNote: (note: string) => notes.push(note) };
    await processed(dataDir, without);
    await processed(dataDir, without);
    assert.ok(keptIn(dataDir).length >= 30, 'the sink has not got these');
    const sink = `ndjson:${output}`;
    const command = `state forget '${sink}' --app job`;
    assert.match(notes[0]!, /^results stay for ndjson:/);
    assert.ok(notes[0]!.includes(`"taxiflow ${command}"`), notes[0]);
    const forget = ['state', 'forget', sink, '--app', 'job', '--data-dir', dataDir, '--json'];
    const { missing } = (await run(forget)).json<{ missing: number }>();
    assert.equal(missing, 30);
    const again = await run(forget, { code: 1 });
    assert.match(again.stderr, /has no sink .*\n.*it has none/);
    await putRecords(dataDir, 'taxi-trip-events', records(60, 10));
    await processed(dataDir, without);
    await processed(dataDir, without);
    assert.equal(notes.length, 2, 'nothing is told any more');
    assert.ok(keptIn(dataDir).length < 15);
    await processed(dataDir, { output: join(dataDir, 'new.ndjson') });
    const first = JSON.parse(readFileSync(join(dataDir, 'new.ndjson'), 'utf8').split('\n')[0]!) as {
      id: number;
    };
    assert.equal(first.id, keptIn(dataDir)[0], 'a new sink gets what there is');
  });
});

describe('an embedded stream with a retention', () => {
  it('forgets records that arrived longer ago, once a second, and no others', async (t) => {
    const dataDir = temporaryFolder(t);
    const clock = new TestClock();
    const stream = LocalStream.open({ dataDir, name: 's', clock, createShards: 2, retention: 5_000 });
    t.after(() => stream.close());
    const put = () =>
      stream.put({ count: 1, data: Buffer.from('x'), ends: Uint32Array.of(1), hashes: Uint32Array.of(0) });
    const kept = () => stream.describe().reduce((sum, { records }) => sum + records!, 0);
    for (let i = 0; i < 12; i++) {
      await put();
      assert.equal(kept(), Math.min(i + 1, 6), `after ${i} s`);
      clock.advance(1_000);
    }
    const without = LocalStream.open({ dataDir, name: 's', clock });
    await without.put({
      count: 1,
      data: Buffer.from('x'),
      ends: Uint32Array.of(1),
      hashes: Uint32Array.of(0),
    });
    assert.equal(kept(), 7, 'a handle without one removes nothing');
    await without.close();
  });

  it('is what replay --retention keeps, and Kinesis has its own', async (t) => {
    const dataDir = temporaryFolder(t);
    const refused = await run(
      ['replay', '--stream', 'kinesis:x', '--retention', '1h', '--data-dir', dataDir],
      { code: 2 },
    );
    assert.match(refused.stderr, /retention is for embedded streams/);
    await run(['replay', '--limit', '100', '--speedup', 'max', '--retention', '1h', '--data-dir', dataDir]);
  });
});
