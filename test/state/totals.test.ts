/** Totals in a state: written with their firing (C1), read by window or by what changed, checked as results are. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import { Duplicates } from '../../src/engine/duplicates.ts';
import { type Checkpoint, NO_COUNTS } from '../../src/engine/state-store.ts';
import type { Firing } from '../../src/engine/windows/documents.ts';
import { Totals } from '../../src/engine/windows/totals.ts';
import { TripColumns } from '../../src/events/columns.ts';
import { createSavepoint, inspectSavepoint } from '../../src/savepoints/savepoints.ts';
import { Database } from '../../src/sqlite.ts';
import { statePath } from '../../src/state/files.ts';
import { StateReader } from '../../src/state/reader.ts';
import { SqliteState } from '../../src/state/store.ts';
import { compileView } from '../../src/views/javascript/compile.ts';
import * as l from '../../src/views/language.ts';
import { temporaryFolder } from '../files.ts';

const VIEW = l.view({
  name: 'v',
  by: { vendor: l.field('vendor_id') },
  window: l.tumbling(10),
  aggregates: { ids: l.countDistinct(l.field('trip_id')), median: l.percentile(l.field('trip_id'), 0.5) },
});
const IDENTITY = { stream: 's', views: JSON.stringify([VIEW]), settings: '' };

const open = (dataDir: string) => SqliteState.open({ dataDir, app: 'app', identity: IDENTITY });

function commit(state: SqliteState, firings: Iterable<Firing>): void {
  state.commit({
    watermark: 1_000,
    counters: NO_COUNTS,
    shards: [],
    blocks: [],
    gone: [],
    closedUpTo: {},
    firings,
    duplicates: new Duplicates().takeChanges(0, () => false),
    deadLetters: new DeadLetterBuffer(10).take(),
  } satisfies Checkpoint);
}

const text = (keys: number) =>
  `{"keys":${keys},"all":{"values":{"n":${keys}},"of":{"n":${keys}}},"groups":[]}`;

/** A firing without results, unless there are documents. */
function firing(windowStart: number, keys: number, docs: readonly string[] = [], view = 'v'): Firing {
  return { view, windowStart, windowEnd: windowStart + 10, docs: docs.join(',\n'), count: docs.length, correction: false, totals: text(keys) }; // biome-ignore format: one line
}

function reading<T>(dataDir: string, read: (reader: StateReader) => T): T {
  const reader = new StateReader(dataDir, 'app');
  try {
    return read(reader);
  } finally {
    reader.close();
  }
}

const keysOf = (dataDir: string, view = 'v', since?: number) =>
  reading(dataDir, (reader) =>
    Array.from(reader.totals(view, since), ({ start, end, keys }) => [start, end, keys]),
  );

describe('totals in a state', () => {
  it('are there also where there are no results, and those of a correction take the place of the others (C1)', (t) => {
    const dataDir = temporaryFolder(t);
    const state = open(dataDir);
    t.after(() => state.close());
    commit(state, [firing(20, 1), firing(-10, 3, ['{"k":"a"}', '{"k":"b"}']), firing(0, 2, [], 'w')]);
    commit(state, []);
    commit(state, [firing(20, 4), { ...firing(30, 5, ['{"k":"c"}']), docs: '{"k":"c"}' }]);
    assert.throws(
      () =>
        commit(
          state,
          (function* () {
            yield firing(20, 9);
            throw new Error('on the way');
          })(),
        ),
      /on the way/,
    );
    assert.deepEqual(keysOf(dataDir), [
      [-10, 0, 3],
      [20, 30, 4],
      [30, 40, 5],
    ]);
    assert.deepEqual(keysOf(dataDir, 'v', 20), [
      [20, 30, 4],
      [30, 40, 5],
    ]);
    assert.deepEqual([keysOf(dataDir, 'w'), keysOf(dataDir, 'none')], [[[0, 10, 2]], []]);
    const [first] = reading(dataDir, (reader) => [...reader.totals('v')]);
    assert.deepEqual(first, { view: 'v', start: -10, end: 0, keys: 3, all: { values: { n: 3 }, of: { n: 3 } }, groups: [] }); // biome-ignore format: one line
    const since = (checkpoint: number) => reading(dataDir, (reader) => reader.totalsChangedSince(checkpoint));
    assert.deepEqual(since(0), [{ view: 'v', start: -10 }, { view: 'v', start: 20 }, { view: 'v', start: 30 }, { view: 'w', start: 0 }]); // biome-ignore format: one line
    assert.deepEqual(since(1), [{ view: 'v', start: 20 }, { view: 'v', start: 30 }]); // biome-ignore format: one line
    assert.deepEqual([since(2), since(3)], [since(1), []]);
    commit(state, [firing(20, 6)]);
    assert.deepEqual(since(3), [{ view: 'v', start: 20 }], 'a failed checkpoint has no number');
    assert.equal(state.outbox.nextResult, 4, 'a window without results takes no number');
  });

  it('of more windows than are read at once come each once', (t) => {
    const dataDir = temporaryFolder(t);
    const state = open(dataDir);
    commit(
      state,
      Array.from({ length: 1_000 }, (_, i) => firing(i * 10, i)),
    );
    state.close();
    assert.deepEqual(keysOf(dataDir).map(([, , keys]) => keys), Array.from({ length: 1_000 }, (_, i) => i)); // biome-ignore format: one line
  });

  for (const [what, change] of Object.entries({
    figure: "UPDATE totals SET totals = replace(totals, '3', '4')",
    checkpoint: 'UPDATE totals SET checkpoint = 2',
    end: 'UPDATE totals SET window_end = 11',
  }))
    it(`with another ${what} than was written are refused, by readers and in a savepoint`, async (t) => {
      const dataDir = temporaryFolder(t);
      const state = open(dataDir);
      commit(state, [firing(0, 3)]);
      state.close();
      const db = new Database(statePath(dataDir, 'app'));
      assert.equal(db.prepare(change).run().changes, 1);
      db.close();
      assert.throws(() => keysOf(dataDir), { code: 'corrupt' });
      const { place } = await createSavepoint({ dataDir, app: 'app', s3: {} });
      await assert.rejects(inspectSavepoint(place, {}), { code: 'damaged', message: /totals of v/ });
    });

  it('are added up in parts in the state, which leave nothing there (C9)', (t) => {
    const dataDir = temporaryFolder(t);
    const state = open(dataDir);
    const compiled = compileView(VIEW, new TripColumns());
    const added = (partBytes?: number): string => {
      const totals = new Totals(compiled, state, partBytes);
      const numbers = new Float64Array(compiled.width);
      totals.begin();
      for (let pane = 0; pane < 60; pane++) {
        const ids = Array.from({ length: 100 }, (_, i) => (pane * 37 + i * 11) % 4_000);
        compiled.initial(numbers, 0);
        [numbers[0], numbers[2]] = [ids.length, ids.length];
        const values = ids.toSorted((a, b) => a - b).map((id) => [id, 1] as const);
        totals.addPane([`v${pane % 20}`], numbers, [values, values]);
      }
      return totals.take()!;
    };
    let rows = 0;
    commit(
      state,
      (function* () {
        for (const [i, partBytes] of [undefined, 50_000].entries())
          yield { ...firing(i * 10, 1), totals: added(partBytes) };
        rows = state.db.prepare('SELECT count(*) FROM panes').pluck().get() as number;
      })(),
    );
    state.close();
    assert.equal(rows, 0);
    const [whole, inParts] = reading(dataDir, (reader) => [...reader.totals('v')]);
    assert.deepEqual({ ...inParts!, start: 0, end: 10 }, whole);
    assert.deepEqual([whole!.keys, whole!.groups!.length, whole!.all.of], [60, 20, { ids: null, median: 6_000 }]); // biome-ignore format: one line
  });
});
