/** More windows and keys than fit into memory: nothing is lost, and nothing grows with their number (C2, C9). */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import { type ProcessOptions, runProcess } from '../../src/engine/run.ts';
import { Database } from '../../src/sqlite.ts';
import { statePath } from '../../src/state/files.ts';
import { StateReader } from '../../src/state/reader.ts';
import { SqliteState } from '../../src/state/store.ts';
import { LocalStream } from '../../src/streams/local/log.ts';
import { checkViews } from '../../src/views/check.ts';
import * as l from '../../src/views/language.ts';
import { TestClock } from '../clock.ts';
import { temporaryFolder } from '../files.ts';
import { taxiflow } from '../taxiflow.ts';
import { packed } from './memory.ts';

const START = Date.UTC(2016, 0, 1);
const iso = (ms: number) => new Date(ms).toISOString();

/** A stream of one shard with these records. */
async function fill(dataDir: string, count: number, recordAt: (i: number) => string): Promise<void> {
  const stream = LocalStream.open({ dataDir, name: 's', clock: new TestClock({ tick: 1 }), createShards: 1 });
  for (let from = 0; from < count; from += 50_000) {
    const length = Math.min(50_000, count - from);
    const texts = Array.from({ length }, (_, i) => `${recordAt(from + i)}\n`);
    await stream.put({ ...packed(texts), hashes: new Uint32Array(length) });
  }
  await stream.close();
}

/** One run over the stream, to its end. */
async function read(dataDir: string, view: l.View, more: Partial<ProcessOptions> = {}) {
  const clock = new TestClock({ tick: 1 });
  const reader = LocalStream.open({ dataDir, name: 's', clock });
  const identity = { stream: 's', views: JSON.stringify([view]), settings: '' };
  const state = SqliteState.open({ dataDir, app: 'a', identity });
  try {
    return await runProcess({
      reader,
      store: state,
      views: checkViews([view]),
      deadLetters: new DeadLetterBuffer(10),
      sinks: [],
      clock,
      from: { at: 'trim-horizon' },
      eventTime: 'dropoff',
      allowedLateness: 0,
      checkpointInterval: 1_000,
      untilEnd: () => true,
      drain: true,
      signal: new AbortController().signal,
      ...more,
    });
  } finally {
    state.close();
    await reader.close();
  }
}

function* resultsOf(dataDir: string) {
  const reader = new StateReader(dataDir, 'a');
  try {
    yield* reader.results();
  } finally {
    reader.close();
  }
}

/** Number of parts of the largest window in the state. */
function partsOf(dataDir: string): number {
  const db = new Database(statePath(dataDir, 'a'), { readonly: true });
  try {
    return (db.prepare('SELECT max(part) + 1 AS parts FROM panes').get() as { parts: number }).parts;
  } finally {
    db.close();
  }
}

describe('more windows than fit into memory', () => {
  const WINDOWS = 220_000;
  const view = l.view({ name: 'v', by: {}, window: l.tumbling('100ms'), aggregates: { n: l.count() } });
  const tripAt = (i: number) =>
    `{"type":"trip","dropoff_datetime":"${iso(START + Math.floor(i / 2) * 100)}"}`;

  it('stay open across restarts, and fire (C2, C9)', async (t) => {
    const dataDir = temporaryFolder(t);
    await fill(dataDir, 2 * WINDOWS, tripAt);
    const first = await read(dataDir, view, { drain: false });
    assert.deepEqual([first.openWindows, first.counters.results], [WINDOWS, 0]);
    const second = await read(dataDir, view, { drain: false });
    assert.equal(second.openWindows, WINDOWS, 'a restart changes nothing');
    const last = await read(dataDir, view);
    assert.deepEqual([last.openWindows, last.counters.results], [0, WINDOWS]);
    let next = START;
    for (const doc of resultsOf(dataDir)) {
      assert.deepEqual([doc['window_start'], doc['n']], [iso(next), 2]);
      next += 100;
    }
    assert.equal(next, START + WINDOWS * 100);
  });

  it('fire when a watermark passes them, without touching the others', async (t) => {
    const dataDir = temporaryFolder(t);
    const sliding = { ...view, window: l.sliding('60s', '1s') };
    // A watermark after each trip, and the windows of a day that stay open.
    await fill(dataDir, 86_400 + 20_000, (i) =>
      i < 86_400 || i % 2 === 0
        ? `{"type":"trip","dropoff_datetime":"${iso(START + (i < 86_400 ? 86_400_000 + i * 1_000 : i))}"}`
        : `{"type":"watermark","watermark":"${iso(START + i)}","shard":"shardId-000000000000"}`,
    );
    const outcome = await read(dataDir, sliding, { drain: false });
    assert.equal(outcome.counters.late, 0);
    assert.ok(
      outcome.openWindows > 86_400 && outcome.counters.results > 0,
      `${outcome.openWindows} are open`,
    );
  });
});

describe('a window that does not fit into memory', () => {
  /** Every fifth trip has one of a thousand keys; the others mostly have unique keys. */
  const idOf = (i: number) => (i % 5 === 0 ? (i * 31) % 1_000 : (i * 7_919) % 300_007);
  const view = l.view({
    name: 'v',
    by: { vendor: l.field('vendor_id'), id: l.field('trip_id') },
    window: l.tumbling('1d'),
    aggregates: {
      n: l.count(),
      total: l.sum(l.field('total_amount')),
      zones: l.countDistinct(l.field('pickup_zone')),
    },
  });
  const tripAt = (i: number) => {
    const id = idOf(i);
    return `{"type":"trip","trip_id":${id},"vendor_id":"${id % 1_000}","dropoff_datetime":"${iso(START + i)}","pickup_zone":${i % 3},"total_amount":${i % 100}.25}`;
  };

  it('spills in parts, is merged when it fires, and is corrected in part (C2, C9, P2)', async (t) => {
    const dataDir = temporaryFolder(t);
    const expected = new Map<string, { n: number; total: number; zones: Set<number> }>();
    const note = (i: number) => {
      const id = idOf(i);
      const key = `${id % 1_000} ${id}`;
      const pane = expected.get(key) ?? { n: 0, total: 0, zones: new Set() };
      pane.n++;
      pane.total += (i % 100) + 0.25;
      pane.zones.add(i % 3);
      expected.set(key, pane);
    };
    const options = { memoryLimit: 4 << 20, allowedLateness: 86_400_000 };
    const assertResults = () => {
      let found = 0;
      for (const { vendor, id, n, total, zones } of resultsOf(dataDir)) {
        const pane = expected.get(`${vendor} ${id}`)!;
        assert.deepEqual([n, total, zones], [pane.n, pane.total, pane.zones.size], `${vendor} ${id}`);
        found++;
      }
      assert.equal(found, expected.size);
    };
    const phases = [
      { trips: 100_000, watermark: START },
      { trips: 50_000, watermark: START },
      { trips: 30_000, watermark: START + 86_400_000 },
      // Late trips: some keys are known, some are new.
      { trips: 500, watermark: START + 86_400_000 },
      { trips: 20_000, watermark: START + 86_400_001 },
    ];
    let from = 0;
    for (const { trips, watermark } of phases) {
      await fill(dataDir, trips + 1, (i) =>
        i < trips
          ? tripAt(from + i)
          : `{"type":"watermark","watermark":"${iso(watermark)}","shard":"shardId-000000000000"}`,
      );
      for (let i = from; i < from + trips; i++) note(i);
      from += trips;
      await read(dataDir, view, { ...options, drain: false });
      if (watermark > START) assertResults();
    }
    assert.ok(partsOf(dataDir) > 5, `${partsOf(dataDir)} parts`);
    await read(dataDir, view, options);
    assertResults();
  });

  it('of five million keys is written in pieces, in 512 MB of heap (C9)', async (t) => {
    const COUNT = 5_000_000;
    const dataDir = temporaryFolder(t);
    await fill(
      dataDir,
      COUNT,
      (i) => `{"type":"trip","trip_id":${(i * 7_919) % COUNT},"dropoff_datetime":"${iso(START + i)}"}`,
    );
    const views = join(dataDir, 'views.json');
    const one = {
      name: 'v',
      by: { id: l.field('trip_id') },
      window: l.tumbling('1d'),
      aggregates: { n: l.count() },
    };
    writeFileSync(views, JSON.stringify([one]));
    const node = ['--max-old-space-size=512'];
    const args = ['--data-dir', dataDir, '--app', 'a'];
    const ran = await taxiflow(
      ['process', ...args, '--stream', 'local:s', '--views', views, '--until-end', '--drain', '--json'],
      { node },
    );
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(ran.json<{ results: number }>().results, COUNT);
    let next = 0;
    for (const { id, n } of resultsOf(dataDir)) {
      if (id !== next || n !== 1) assert.deepEqual([id, n], [next, 1]);
      next++;
    }
    assert.equal(next, COUNT);
    assertBounded(t, dataDir);
  });
});

/** No piece of a firing is much larger than the others. */
function assertBounded(t: TestContext, dataDir: string): void {
  const db = new Database(statePath(dataDir, 'a'), { readonly: true });
  const { longest, pieces } = db
    .prepare('SELECT max(length(docs)) AS longest, count(*) AS pieces FROM firings')
    .get() as { longest: number; pieces: number };
  db.close();
  assert.ok(longest < 1 << 20, `a piece of ${longest} characters`);
  t.diagnostic(`${pieces} pieces of ${longest} characters at most`);
}
