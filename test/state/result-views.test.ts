/** The table of each view in the state file: SQL views that any SQLite tool can read. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import { Duplicates } from '../../src/engine/duplicates.ts';
import type { Checkpoint } from '../../src/engine/state-store.ts';
import type { Firing } from '../../src/engine/windows/documents.ts';
import { createSavepoint, inspectSavepoint, restoreSavepoint } from '../../src/savepoints/savepoints.ts';
import { Database } from '../../src/sqlite.ts';
import { StateReader } from '../../src/state/reader.ts';
import { dropResultViews } from '../../src/state/result-views.ts';
import { SqliteState } from '../../src/state/store.ts';
import * as l from '../../src/views/language.ts';
import { temporaryFolder } from '../files.ts';
import { resultLines, tableLines } from './tables.ts';

const APP = 'job';
const zone = l.field('pickup_zone');
const vendor = l.field('vendor_id');
const viewOf = (name: string, window = l.tumbling('10m')) =>
  l.view({
    name,
    by: { zone, vendor },
    window,
    aggregates: { trips: l.count(), fare: l.avg(l.field('total_amount')) },
  });

function open(dataDir: string, views: readonly l.View[]): SqliteState {
  return SqliteState.open({
    dataDir,
    app: APP,
    identity: { stream: 'local:a (1)', views: JSON.stringify(views), settings: 'x' },
  });
}

function commit(state: SqliteState, firings: readonly Firing[]): void {
  const counters = {
    read: 0,
    watermarks: 0,
    processed: 0,
    filtered: 0,
    duplicate: 0,
    late: 0,
    dead: 0,
    results: 0,
  };
  const checkpoint: Checkpoint = {
    watermark: 1_000,
    counters,
    shards: [],
    blocks: [],
    gone: [],
    closedUpTo: {},
    firings,
    duplicates: new Duplicates().takeChanges(0, () => false),
    deadLetters: new DeadLetterBuffer(10).take(),
  };
  state.commit(checkpoint);
}

const MINUTE = 60_000;
const iso = (ms: number) => new Date(ms).toISOString();

function firing(view: string, start: number, docs: readonly object[], correction = false): Firing {
  const [windowStart, windowEnd] = [start, start + 10 * MINUTE];
  const head = { view, window_start: iso(start), window_end: iso(windowEnd), timestamp: iso(windowEnd - 1) };
  const lines = docs.map((doc) => JSON.stringify({ ...head, ...doc }));
  return { view, windowStart, windowEnd, docs: lines.join(',\n'), count: docs.length, correction };
}

/** A state of views, and a reader of it; both are closed with the test. */
function opened(t: TestContext, views: readonly l.View[]) {
  const dataDir = temporaryFolder(t);
  const state = open(dataDir, views);
  t.after(() => state.close());
  const reader = new StateReader(dataDir, APP);
  t.after(() => reader.close());
  return { dataDir, state, reader };
}

function sqlViews(path: string): string[] {
  const db = new Database(path, { readonly: true });
  const names = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name").pluck().all();
  db.close();
  return names as string[];
}

const row = (zone: number, vendor: string, trips: number, fare: number | null) => ({
  zone,
  vendor,
  trips,
  fare,
});

describe('the table of a view', () => {
  it('has typed columns, and each result once in its latest version', (t) => {
    const { state, reader } = opened(t, [viewOf('fares')]);
    commit(state, [
      firing('fares', 0, [row(1, 'a', 2, 7), row(2, 'it\'s "b"', 1, 2.5), row(3, 'c', 9, null)]),
      firing('fares', 10 * MINUTE, [row(1, 'a', 5, 1)]),
    ]);
    const late = [row(1, 'a', 3, 8), { zone: 3, vendor: 'c', retracted: true }, row(4, 'd', 1, 1)];
    commit(state, [firing('fares', 0, late, true), firing('fares', 0, [row(4, 'd', 2, 3)], true)]);
    assert.deepEqual(
      reader.tables().map(({ name, columns }) => [name, columns.map((one) => `${one.name} ${one.type}`)]),
      [
        [
          'fares',
          [
            'window_start TEXT',
            'window_end TEXT',
            'timestamp TEXT',
            'zone INTEGER',
            'vendor TEXT',
            'trips INTEGER',
            'fare REAL',
          ],
        ],
      ],
    );
    const db = new Database(reader.path, { readonly: true });
    t.after(() => db.close());
    assert.deepEqual(db.prepare('SELECT window_start, zone, vendor, trips, fare FROM fares').raw().all(), [
      [iso(0), 2, 'it\'s "b"', 1, 2.5],
      [iso(10 * MINUTE), 1, 'a', 5, 1],
      [iso(0), 1, 'a', 3, 8],
      [iso(0), 4, 'd', 2, 3],
    ]);
    const types = db.prepare(
      'SELECT DISTINCT typeof(zone), typeof(vendor), typeof(trips), typeof(fare) FROM fares',
    );
    assert.deepEqual(
      types.raw().all(),
      [['integer', 'text', 'integer', 'real']],
      'an average of 7 is no integer',
    );
    assert.equal(resultLines(reader).length, 4);
    assert.deepEqual(tableLines(reader), resultLines(reader));
  });

  it('is what results say, after any corrections and retractions', (t) => {
    const key = fc.record({ zone: fc.integer({ min: 1, max: 3 }), vendor: fc.constantFrom('a', '"', "'") });
    const version = fc.record({
      trips: fc.integer(),
      fare: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })),
    });
    const doc = fc.oneof(
      fc.tuple(key, version).map(([of, values]) => ({ ...of, ...values })),
      key.map((of) => ({ ...of, retracted: true })),
    );
    const correction = fc.tuple(
      fc.integer({ min: -3, max: 3 }),
      fc.array(doc, { minLength: 1, maxLength: 6 }),
    );
    fc.assert(
      fc.property(fc.array(correction, { maxLength: 12 }), (corrections) => {
        const { state, reader } = opened(t, [viewOf('fares'), viewOf('others')]);
        const seen = new Set<number>();
        for (const [n, docs] of corrections) {
          const isFirst = !seen.has(n);
          seen.add(n);
          // A first firing has each key once, and takes nothing back.
          const known = new Map(
            docs.filter((one) => !('retracted' in one)).map((one) => [`${one.zone}${one.vendor}`, one]),
          );
          const fired = isFirst ? [...known.values()] : docs;
          if (fired.length > 0)
            commit(
              state,
              ['fares', 'others'].map((view) => firing(view, n * 10 * MINUTE, fired, !isFirst)),
            );
        }
        assert.deepEqual(tableLines(reader), resultLines(reader));
      }),
      { numRuns: 60 },
    );
  });

  it('writes times as results do', (t) => {
    const { state, reader } = opened(t, [viewOf('fares')]);
    const [first, last] = [Date.parse('0000-01-01T00:00Z'), Date.parse('9999-12-31T23:59:59.999Z')];
    const times = fc.oneof(fc.integer({ min: first, max: last }), fc.integer({ min: -8e15, max: 8e15 }));
    const near = [-1, 0, 1, 10 * MINUTE].flatMap((ms) => [first + ms, first - ms, last + ms, last - ms]);
    const starts = new Set([...near, ...fc.sample(times, { numRuns: 500, seed: 1 })]);
    commit(
      state,
      [...starts].map((start) => firing('fares', start, [row(1, 'a', 1, 1)])),
    );
    assert.deepEqual(tableLines(reader), resultLines(reader));
  });

  it('reads nothing of windows that a condition on their time leaves out', (t) => {
    const views = [
      viewOf('tumbling'),
      viewOf('sliding', l.sliding('20m', '10m')),
      viewOf('cumulating', l.cumulating('1h', '10m')),
    ];
    const { state } = opened(t, views);
    for (const { name } of views) {
      const other = {
        ...firing(name, 0, [row(1, 'a', 1, 1)]),
        docs: 'what is not JSON fails a query that reads it',
      };
      commit(state, [other, firing(name, 120 * MINUTE, [row(2, 'b', 1, 1)])]);
    }
    for (const { name } of views) {
      const rows = (condition: string) =>
        state.db.prepare(`SELECT zone FROM ${name} WHERE ${condition}`).pluck().all();
      for (const column of ['window_start', 'window_end', 'timestamp']) {
        assert.deepEqual(rows(`${column} >= '1970-01-01T01:59'`), [2], `${name}.${column}`);
        assert.deepEqual(rows(`${column} BETWEEN '1970-01-01T02' AND '1970-01-02' AND trips = 1`), [2]);
      }
      assert.throws(() => rows('zone = 2'), /malformed JSON/, 'the other window is there to be read');
    }
  });

  it('is joined with another by an index', (t) => {
    const { state } = opened(t, [viewOf('fares'), viewOf('cells', l.session('10m'))]);
    const plan = (sql: string) => state.db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[];
    for (const [a, b] of [
      ['fares', 'fares'],
      ['fares', 'cells'],
      ['cells', 'cells'],
    ]) {
      const steps = plan(
        `SELECT * FROM ${a} a JOIN ${b} b USING (zone, vendor) WHERE a.window_start < b.window_start`,
      );
      assert.ok(
        steps.some(({ detail }) => /USING AUTOMATIC/.test(detail)),
        steps.map(({ detail }) => detail).join('\n'),
      );
    }
  });

  it('has another name where its own is taken or a word of SQL', (t) => {
    const names = [
      'results',
      'run',
      'firings',
      'firings_by_window',
      'json_each',
      'order',
      'run_results',
      'fares',
      'pragma_table_info',
    ];
    const { state, reader, dataDir } = opened(
      t,
      [...names, 'sqlite_x', 'sqlite_schema'].map((name) => viewOf(name)),
    );
    assert.deepEqual(Object.fromEntries(reader.tables().map(({ view, name }) => [view, name])), {
      results: 'results_results',
      run: 'run_results_2',
      firings: 'firings_results',
      firings_by_window: 'firings_by_window_results',
      json_each: 'view_json_each_results',
      order: 'order_results',
      run_results: 'run_results',
      fares: 'fares',
      pragma_table_info: 'view_pragma_table_info_results',
      sqlite_x: 'view_sqlite_x_results',
      sqlite_schema: 'view_sqlite_schema_results',
    });
    commit(
      state,
      reader.tables().map(({ view }) => firing(view, 0, [row(1, view, 1, 1)])),
    );
    assert.deepEqual(tableLines(reader), resultLines(reader));
    for (const { name, view } of reader.tables()) {
      const [found] = [...reader.query(`SELECT vendor FROM ${name}`).rows()];
      assert.deepEqual(found?.values, [view]);
    }
    assert.ok(
      sqlViews(join(dataDir, 'apps', `${APP}.sqlite`)).includes('results'),
      'the one of all views is there',
    );
  });

  it('comes and goes with its view, and those of somebody else stay', (t) => {
    const dataDir = temporaryFolder(t);
    const state = open(dataDir, [viewOf('one'), viewOf('two')]);
    state.db.exec("CREATE VIEW mine AS SELECT * FROM one; CREATE VIEW three AS SELECT 'mine'");
    state.close();
    const path = join(dataDir, 'apps', `${APP}.sqlite`);
    assert.deepEqual(sqlViews(path), ['mine', 'one', 'results', 'three', 'two']);
    const planned = { changes: [] };
    const identity = {
      stream: 'local:a (1)',
      views: JSON.stringify([viewOf('two'), viewOf('three')]),
      settings: 'x',
    };
    SqliteState.open({ dataDir, app: APP, identity, planned }).close();
    assert.deepEqual(sqlViews(path), ['mine', 'results', 'three', 'three_results', 'two']);
  });

  it('is there for a reader of a state that was made without', (t) => {
    const { state, reader } = opened(t, [viewOf('fares')]);
    commit(state, [firing('fares', 0, [row(1, 'a', 2, 7)])]);
    dropResultViews(state.db);
    assert.deepEqual(sqlViews(reader.path), ['results']);
    const [found] = [...reader.query('SELECT trips FROM fares').rows()];
    assert.deepEqual(found?.values, [2]);
  });

  it('is in no savepoint, which would be refused, and in the state again that is made of one', async (t) => {
    const { state, dataDir } = opened(t, [viewOf('fares')]);
    commit(state, [firing('fares', 0, [row(1, 'a', 2, 7)])]);
    const s3 = {};
    const { place } = await createSavepoint({ dataDir, app: APP, s3 });
    await inspectSavepoint(place, s3);
    await restoreSavepoint({ savepoint: place, dataDir, app: 'again', s3 });
    assert.deepEqual(sqlViews(join(dataDir, 'apps', 'again.sqlite')), ['results']);
    const reader = new StateReader(dataDir, 'again');
    assert.deepEqual(
      [...reader.query('SELECT trips FROM fares').rows()].map(({ values }) => values),
      [[2]],
    );
    reader.close();
    const identity = { stream: 'local:a (1)', views: JSON.stringify([viewOf('fares')]), settings: 'x' };
    SqliteState.open({ dataDir, app: 'again', identity }).close();
    assert.deepEqual(sqlViews(join(dataDir, 'apps', 'again.sqlite')), ['fares', 'results']);
  });

  it('can be read by another SQLite', { skip: withoutTool() }, (t) => {
    const { state, reader } = opened(t, [viewOf('fares'), viewOf('order')]);
    commit(state, [firing('fares', 0, [row(1, 'a', 2, 7)]), firing('order', 0, [row(1, 'a', 2, 7)])]);
    commit(state, [firing('fares', 0, [row(1, 'a', 3, 9)], true)]);
    const sql = "SELECT window_start, zone, vendor, trips, fare FROM fares WHERE window_start < '1971'";
    const said = execFileSync('sqlite3', ['-readonly', reader.path, sql], { encoding: 'utf8' });
    assert.equal(said, '1970-01-01T00:00:00.000Z|1|a|3|9.0\n');
  });
});

/** Why there is no other SQLite to try, or false. It needs one of 2022 or later. */
function withoutTool(): string | false {
  try {
    const version = execFileSync('sqlite3', ['-version'], { encoding: 'utf8', stdio: 'pipe' });
    const [, minor = '0'] = /^3\.(\d+)/.exec(version) ?? [];
    return Number(minor) >= 38 ? false : `needs sqlite3 3.38 or later, this is ${version.slice(0, 8)}`;
  } catch {
    return 'needs the tool sqlite3, which is not here';
  }
}
