import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import { Duplicates } from '../../src/engine/duplicates.ts';
import { type Checkpoint, NO_COUNTS } from '../../src/engine/state-store.ts';
import type { Firing } from '../../src/engine/windows/documents.ts';
import type { PaneBlock } from '../../src/engine/windows/pane-runs.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { Database } from '../../src/sqlite.ts';
import { removeState, statePath } from '../../src/state/files.ts';
import { StateReader } from '../../src/state/reader.ts';
import { SqliteState } from '../../src/state/store.ts';
import { temporaryFolder } from '../files.ts';

/** The views of a job with one view, by these keys. */
function viewBy(...keys: string[]): string {
  const by = Object.fromEntries(keys.map((name) => [name, { op: 'field', name: 'payment_type' }]));
  const window = { kind: 'tumbling', size_ms: 1 };
  return JSON.stringify([{ name: 'v', by, window, aggregates: { n: { fn: 'count' } } }]);
}

const IDENTITY = { stream: 'local:a (1)', views: viewBy('k'), settings: 'x' };

function open(dataDir: string, identity = IDENTITY, app = 'app'): SqliteState {
  return SqliteState.open({ dataDir, app, identity });
}

function checkpoint(change: Partial<Checkpoint> = {}): Checkpoint {
  return {
    watermark: 1_000,
    counters: NO_COUNTS,
    shards: [],
    blocks: [],
    gone: [],
    closedUpTo: {},
    firings: [],
    duplicates: new Duplicates().takeChanges(0, () => false),
    deadLetters: new DeadLetterBuffer(10).take(),
    ...change,
  };
}

function firing(windowStart: number, keys: readonly string[], correction = false, n = 1): Firing {
  const docs = keys.map((k) => JSON.stringify({ view: 'v', k, n })).join(',\n');
  return { view: 'v', windowStart, windowEnd: windowStart + 10, docs, count: keys.length, correction };
}

function block(windowStart: number, number: number, more: Partial<PaneBlock> = {}): PaneBlock {
  const place = {
    view: 'v',
    windowStart,
    windowEnd: windowStart + 10,
    part: 0,
    kind: 'panes',
    block: number,
  } as const;
  return { ...place, first: undefined, data: Buffer.from(`data ${number}`), ...more };
}

function refusal(work: () => unknown): TaxiflowError {
  try {
    work();
  } catch (error) {
    if (error instanceof TaxiflowError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

function folder(t: TestContext): string {
  return temporaryFolder(t);
}

describe('a state', () => {
  it('C1 restores the last checkpoint, and nothing of a failed one', (t) => {
    const dataDir = folder(t);
    const state = open(dataDir);
    assert.equal(state.stored, undefined);
    const shard = {
      id: 'shardId-0',
      position: { at: 'after', sequence: '7' } as const,
      watermark: 5,
      latest: 9,
      owed: true,
      ended: false,
      idle: true,
    };
    state.commit(
      checkpoint({
        shards: [shard],
        blocks: [block(10, 0), block(10, 1), block(20, 0)],
        firings: [firing(0, ['a', 'b'])],
      }),
    );
    // A block that can't be written: the whole checkpoint is rolled back.
    assert.throws(() =>
      state.commit(
        checkpoint({
          firings: [firing(10, ['c'])],
          blocks: [block(30, 0, { data: {} as never })],
        }),
      ),
    );
    state.close();
    const again = open(dataDir);
    assert.deepEqual(again.stored?.shards, [{ ...shard, idle: false }]);
    assert.deepEqual(again.stored?.windows, [
      { view: 'v', windowStart: 10, windowEnd: 20, parts: 1, unsorted: true },
      { view: 'v', windowStart: 20, windowEnd: 30, parts: 1, unsorted: false },
    ]);
    assert.deepEqual(
      [...again.outbox.firingsFrom(1)].map((row) => [row.first, row.count]),
      [[1, 2]],
    );
    again.close();
  });

  it('keeps a watermark that was never reached', (t) => {
    const dataDir = folder(t);
    const state = open(dataDir);
    state.commit(checkpoint({ watermark: Number.NEGATIVE_INFINITY }));
    state.close();
    const again = open(dataDir);
    assert.equal(again.stored?.watermark, Number.NEGATIVE_INFINITY);
    again.close();
  });

  it('C2 overwrites blocks, reads them back one by one, and drops those of a window that is gone', (t) => {
    const state = open(folder(t));
    t.after(() => state.close());
    const place = (windowStart: number, number: number) => block(windowStart, number);
    state.commit(checkpoint({ blocks: [block(10, 0), block(10, 1), block(20, 0)] }));
    const later = block(10, 1, { first: ['z', 7], data: Buffer.from([0, 255, 128]) });
    state.commit(checkpoint({ blocks: [later] }));
    assert.deepEqual(state.block(place(10, 0)), Buffer.from('data 0'));
    assert.deepEqual([state.block(place(10, 1)), state.firstKey(place(10, 1))], [later.data, later.first]);
    assert.deepEqual([state.block(place(10, 2)), state.firstKey(place(10, 0))], [undefined, undefined]);
    state.rewrite([block(10, 0, { first: ['a'] })]);
    assert.deepEqual(state.firstKey(place(10, 0)), ['a']);
    state.commit(checkpoint({ gone: [{ view: 'v', windowStart: 10, windowEnd: 20 }] }));
    assert.equal(state.block(place(10, 0)), undefined);
    assert.deepEqual(state.block(place(20, 0)), Buffer.from('data 0'));
  });

  it('C1 generates the firings of a window from its stored panes, before these are gone', (t) => {
    const state = open(folder(t));
    t.after(() => state.close());
    state.commit(checkpoint({ blocks: [block(10, 0), block(10, 1)] }));
    function* firings(): Generator<Firing> {
      for (const n of [0, 1]) {
        yield firing(10, [String(state.block(block(10, n)))]);
      }
    }
    state.commit(checkpoint({ firings: firings(), gone: [{ view: 'v', windowStart: 10, windowEnd: 20 }] }));
    const found = [...state.outbox.firingsFrom(1)].map(({ docs }) => JSON.parse(docs)[0].k);
    assert.deepEqual(found, ['data 0', 'data 1']);
  });

  it('W7 keeps the trips seen: pages, ranges and single ids', (t) => {
    const dataDir = folder(t);
    const ids = Array.from({ length: 90_000 }, (_, i) => (i < 80_000 ? i : i * 987_654_321));
    const state = open(dataDir);
    const before = new Duplicates();
    const replayOf = (i: number) => (i < 40_000 || i % 3 === 0 ? 'a' : 'é"');
    for (const [i, id] of ids.entries()) {
      before.of(replayOf(i)).add(id, i);
      if (i % 20_000 === 0)
        state.commit(checkpoint({ duplicates: before.takeChanges(i - 30_000, () => false) }));
    }
    state.commit(checkpoint({ duplicates: before.takeChanges(40_000, () => false) }));
    state.close();
    const again = open(dataDir);
    t.after(() => again.close());
    const { seen } = again.stored!;
    assert.ok(seen.pages.length > 0 && seen.ranges.length > 0 && seen.chunks.length > 0);
    const after = new Duplicates();
    after.restore(seen);
    for (const [i, id] of ids.entries()) {
      assert.equal(after.of(replayOf(i)).add(id, i), false, `trip ${id}`);
      assert.equal(after.of('other').add(id, i), true, `trip ${id} of another replay`);
    }
  });

  it('C3 numbers results in the order they are written, across checkpoints and runs', (t) => {
    const dataDir = folder(t);
    let state = open(dataDir);
    state.commit(checkpoint({ firings: [firing(0, ['a', 'b']), firing(10, ['c'])] }));
    state.close();
    state = open(dataDir);
    t.after(() => state.close());
    state.commit(
      checkpoint({ firings: Array.from({ length: 100 }, (_, i) => firing(20 + i * 10, ['d', 'e'])) }),
    );
    const rows = [...state.outbox.firingsFrom(3)];
    assert.equal(rows[0]?.first, 3);
    assert.equal(rows.length, 101);
    assert.deepEqual(
      rows.map((row) => row.first),
      [3, ...Array.from({ length: 100 }, (_, i) => 4 + 2 * i)],
    );
    assert.equal(state.outbox.cursor('s'), undefined);
    state.outbox.moveCursor('s', { delivered: 9, position: 'here' });
    state.outbox.moveCursor('s', { delivered: 11, position: 'then here' });
    assert.deepEqual(state.outbox.cursor('s'), { delivered: 11, position: 'then here' });
  });

  it('O3 remembers across runs how many results each sink has refused', (t) => {
    const dataDir = folder(t);
    const state = open(dataDir);
    const letters = new DeadLetterBuffer(1);
    const letter = () => ({ source: 's', position: 'p', detail: 'd', raw: 'r' });
    state.commit(checkpoint());
    for (const sink of ['a', 'b', 'a']) {
      letters.add('refused', letter);
      state.outbox.moveCursor(sink, { delivered: 9, position: '' }, letters.take());
    }
    state.close();
    const again = open(dataDir);
    t.after(() => again.close());
    assert.deepEqual(['a', 'b', 'c'].map((sink) => again.outbox.refused(sink)), [2, 1, 0]); // biome-ignore format: one line
    const next = new DeadLetterBuffer(1, again.stored?.deadLetters);
    next.add('refused', letter);
    assert.equal(next.pending, 0, 'as many are kept as before');
    const reader = new StateReader(dataDir, 'app');
    t.after(() => reader.close());
    assert.deepEqual(
      reader.deadLetterCounts().map(({ reason, count, kept }) => [reason, count, kept]),
      [['refused', 3, 1]],
    );
  });

  it('C4 is refused to a second processor, and free again when the first is gone', (t) => {
    const dataDir = folder(t);
    const state = open(dataDir);
    const error = refusal(() => open(dataDir));
    assert.equal(error.code, 'app-running');
    assert.match(error.hint ?? '', /--app/);
    assert.equal(refusal(() => removeState(dataDir, 'app')).code, 'app-running');
    const other = open(dataDir, IDENTITY, 'other');
    other.close();
    state.close();
    open(dataDir).close();
    removeState(dataDir, 'app');
    assert.equal(existsSync(statePath(dataDir, 'app')), false);
  });

  it('C5 is refused to other views, another stream, other settings and an older reader', (t) => {
    const dataDir = folder(t);
    const first = open(dataDir);
    first.commit(checkpoint({}));
    first.close();
    for (const name of ['views', 'stream', 'settings'] as const) {
      const error = refusal(() => open(dataDir, { ...IDENTITY, [name]: 'other' }));
      assert.equal(error.code, 'other-state');
      assert.match(error.message, new RegExp(name));
    }
    const db = new Database(statePath(dataDir, 'app'));
    db.pragma('user_version = 99');
    db.close();
    assert.equal(refusal(() => open(dataDir)).code, 'newer-format');
  });

  it('reports damage of a result, a pane and the checkpoint instead of reading it as data', (t) => {
    const damages = {
      firings: 'UPDATE firings SET docs = replace(docs, \'"n":1\', \'"n":2\')',
      panes: 'UPDATE panes SET data = zeroblob(length(data))',
      checkpoint: "UPDATE checkpoint SET state = replace(state, '1000', '1001')",
    };
    for (const [part, sql] of Object.entries(damages)) {
      const dataDir = folder(t);
      const state = open(dataDir);
      state.commit(checkpoint({ firings: [firing(0, ['a'])], blocks: [block(10, 0)] }));
      state.close();
      const db = new Database(statePath(dataDir, 'app'));
      assert.equal(db.prepare(sql).run().changes, 1, `${part} is changed`);
      db.close();
      const error = refusal(() => {
        const damaged = open(dataDir);
        try {
          return [...damaged.outbox.firingsFrom(1)];
        } finally {
          damaged.close();
        }
      });
      assert.equal(error.code, 'damaged', part);
    }
  });

  it('refuses names that would leave its folder', (t) => {
    for (const app of ['../x', 'a/b', '', '.hidden']) {
      assert.equal(refusal(() => open(folder(t), IDENTITY, app)).code, 'bad-app-name', `"${app}"`);
    }
  });
});

describe('reading results', () => {
  it('sees each result once, in its latest version, while the processor has the state', (t) => {
    const dataDir = folder(t);
    const state = open(dataDir);
    t.after(() => state.close());
    state.commit(checkpoint({ firings: [firing(0, ['a', 'b']), firing(10, ['a'])] }));
    state.commit(checkpoint({ firings: [firing(0, ['b', 'c'], true, 2)] }));
    const reader = new StateReader(dataDir, 'app');
    t.after(() => reader.close());
    assert.deepEqual(
      [...reader.results()].map(({ k, n }) => `${k}${n}`),
      ['a1', 'b2', 'c2', 'a1'],
    );
    assert.equal([...reader.results({ since: 10 })].length, 1);
    assert.equal([...reader.results({ view: 'none' })].length, 0);
  });

  it('sees the results of one moment, while the processor continues to correct them', (t) => {
    const dataDir = folder(t);
    const state = open(dataDir);
    t.after(() => state.close());
    state.commit(checkpoint({ firings: [firing(0, ['a']), firing(10, ['a'])] }));
    const reader = new StateReader(dataDir, 'app');
    t.after(() => reader.close());
    const seen: string[] = [];
    for (const { k, n } of reader.results()) {
      if (seen.length === 0) state.commit(checkpoint({ firings: [firing(10, ['a', 'b'], true, 2)] }));
      seen.push(`${k}${n}`);
    }
    assert.deepEqual(seen, ['a1', 'a1']);
    for (const _ of reader.results()) break;
    assert.deepEqual([...reader.results()].map(({ k, n }) => `${k}${n}`), ['a1', 'a2', 'b2']); // biome-ignore format: one line
  });

  it('sees the cursors of one moment, none of them ahead of the last result', (t) => {
    const dataDir = folder(t);
    const state = open(dataDir);
    t.after(() => state.close());
    state.commit(checkpoint({ firings: [firing(0, ['a'])] }));
    state.outbox.moveCursor('s', { delivered: 1, position: '' });
    const reader = new StateReader(dataDir, 'app');
    t.after(() => reader.close());
    const next = reader.nextResult.bind(reader);
    reader.nextResult = () => {
      const found = next();
      state.commit(checkpoint({ firings: [firing(10, ['a', 'b'])] }));
      state.outbox.moveCursor('s', { delivered: 4, position: '' });
      return found;
    };
    assert.deepEqual(reader.cursors(), [{ name: 's', delivered: 0, pending: 1 }]);
    reader.nextResult = next;
    assert.deepEqual(reader.cursors(), [{ name: 's', delivered: 3, pending: 0 }]);
  });

  it('distinguishes keys whose concatenated parts are equal', (t) => {
    const dataDir = folder(t);
    const state = open(dataDir, { ...IDENTITY, views: viewBy('k', 'l') });
    t.after(() => state.close());
    const keys = [
      ['a|b', 'c'],
      ['a', 'b|c'],
    ] as const;
    const docs = keys.map(([k, l]) => JSON.stringify({ view: 'v', k, l, n: 1 })).join(',\n');
    const fired = { view: 'v', windowStart: 0, windowEnd: 10, docs, count: 2, correction: true };
    state.commit(checkpoint({ firings: [fired] }));
    const reader = new StateReader(dataDir, 'app');
    t.after(() => reader.close());
    assert.deepEqual(
      [...reader.results()].map(({ k, l }) => [k, l]),
      keys,
    );
  });

  it('shows results to SQL one by one, with their numbers', (t) => {
    const dataDir = folder(t);
    const state = open(dataDir);
    state.commit(checkpoint({ firings: [firing(0, ['a', 'b']), firing(10, ['c'])] }));
    state.close();
    const db = new Database(statePath(dataDir, 'app'), { readonly: true });
    const rows = db
      .prepare("SELECT number, window_start, doc ->> 'k' AS k FROM results ORDER BY number")
      .all();
    db.close();
    assert.deepEqual(rows, [
      { number: 1, window_start: 0, k: 'a' },
      { number: 2, window_start: 0, k: 'b' },
      { number: 3, window_start: 10, k: 'c' },
    ]);
  });

  it('names the existing apps if the requested one does not exist', (t) => {
    const dataDir = folder(t);
    const state = open(dataDir);
    t.after(() => state.close());
    const error = refusal(() => new StateReader(dataDir, 'none'));
    assert.equal(error.code, 'no-app');
    assert.match(`${error.message} ${error.hint}`, /app/);
  });
});
