/** What pages get of a state, and when it changes. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Areas } from '../../src/dashboard/page/areas.ts';
import { Frames } from '../../src/dashboard/page/frames.ts';
import type {
  History,
  TotalUpdate,
  ViewTotals,
  Windows,
  WindowUpdate,
} from '../../src/dashboard/page/wire.ts';
import { StateWatch } from '../../src/dashboard/watch.ts';
import { cellText } from '../../src/views/geohash.ts';
import { count, field, tumbling, view } from '../../src/views/language.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { temporaryFolder } from '../files.ts';
import { randomNumbers } from '../random.ts';
import { type Fired, writtenState } from './support.ts';

const START = Date.UTC(2016, 0, 14);
const MINUTES = 600_000;
const END = START + MINUTES;
const BOTH = new Set(['pickup_count', 'trip_duration']);

function watched(t: TestContext, views = taxiViews()) {
  const dataDir = temporaryFolder(t);
  const state = writtenState(dataDir, 'a', views);
  const watch = new StateWatch({ dataDir, app: 'a', now: () => END });
  t.after(() => {
    watch.close();
    state.close();
  });
  watch.look(BOTH);
  return { dataDir, state, watch };
}

const historyOf = (watch: StateWatch, of?: string) => JSON.parse(watch.history(of)) as History;

/** All windows of a view, as a page loads them. */
function loaded(watch: StateWatch, of: string): { windows: WindowUpdate[]; pieces: number } {
  const windows: WindowUpdate[] = [];
  let pieces = 0;
  for (let before: number | null = Number.MAX_SAFE_INTEGER; before !== null; pieces++) {
    const { windows: found, next } = JSON.parse(watch.windows(of, before)) as Windows;
    windows.push(...found);
    before = next;
  }
  return { windows, pieces };
}

const FIGURES = {
  pickup_count: { key: {}, values: { pickup_count: 3 } },
  trip_duration: { key: { airport_code: 'JFK' }, values: { trip_count: 3, sum_trip_duration: 40 } },
} as const;

function fired(of: keyof typeof FIGURES, retracted = false): Fired {
  const { key, values } = FIGURES[of];
  const doc = { location: 'dr5ru7', ...key, ...(retracted ? { retracted } : values) };
  return { view: of, start: START, end: END, docs: [doc], correction: retracted };
}

test('a window whose last result is retracted is shown without it', (t) => {
  const { state, watch } = watched(t);
  const page = new Frames(new Areas([], new Map()));
  const of = 'pickup_count';
  const open = () => {
    const { shapes, labels, totals } = historyOf(watch, of);
    page.begin(
      shapes.find(({ name }) => name === of),
      labels,
      totals.find(({ view }) => view === of)?.windows ?? [],
    );
    page.take(loaded(watch, of).windows);
  };
  const change = () => {
    const { windows } = watch.look(BOTH);
    page.take((windows.get(of) ?? []).map(({ json }) => JSON.parse(json) as WindowUpdate));
  };
  const shown = () => page.list.map(({ rows }) => rows && [rows.count, [...rows.values[0]!]]);
  open();
  state.fire(fired(of));
  change();
  assert.deepEqual(shown(), [[1, [3]]]);
  state.fire(fired(of, true));
  change();
  assert.deepEqual(shown(), [[0, []]]);
  open();
  assert.deepEqual(shown(), [[0, []]], 'also to one that comes later');
  state.fire(fired(of));
  change();
  assert.deepEqual(shown(), [[1, [3]]], 'and it may come back');
});

test('changed windows are those of the views that are looked at; totals are of all views', (t) => {
  const { state, watch } = watched(t);
  const totals = { keys: 4, all: { values: { pickup_count: 9 }, of: { pickup_count: 9 } }, groups: [] };
  state.fire({ ...fired('pickup_count'), totals }, fired('trip_duration'));
  const { opened, windows, totals: told } = watch.look(new Set(['trip_duration']));
  assert.equal(opened, false);
  assert.deepEqual([...windows.keys()], ['trip_duration']);
  assert.deepEqual(
    windows.get('trip_duration')?.map(({ label }) => label),
    [START],
  );
  const [first, ...others] = JSON.parse(told) as ViewTotals[];
  assert.deepEqual([first?.view, others], ['pickup_count', []]);
  const wanted: TotalUpdate = {
    label: START,
    start: START,
    end: END,
    keys: 4,
    all: { values: [9], of: [9] },
    groups: [],
  };
  assert.deepEqual(first!.windows, [wanted]);
  assert.deepEqual(historyOf(watch).totals, [first], 'and in what a page begins with');
  const again = watch.look(BOTH);
  assert.deepEqual([again.opened, again.windows.size, again.totals], [false, 0, '[]'], 'told once');
});

test('a total that is corrected comes again, and no other one with it', (t) => {
  const { state, watch } = watched(t);
  const total = (n: number) => ({
    keys: 1,
    all: { values: { pickup_count: n }, of: { pickup_count: n } },
    groups: [],
  });
  const at = (i: number, n: number, correction = false): Fired => ({
    ...fired('pickup_count'),
    start: START + i * MINUTES,
    end: END + i * MINUTES,
    totals: total(n),
    correction,
  });
  state.fire(at(0, 5), at(1, 6), at(2, 7));
  watch.look(BOTH);
  state.fire(at(1, 8, true));
  const [{ windows } = { windows: [] }] = JSON.parse(watch.look(BOTH).totals) as ViewTotals[];
  assert.deepEqual(
    windows.map(({ label, all }) => [label, all.values[0]]),
    [[START + MINUTES, 8]],
  );
});

test('windows come in pieces, the newest first, each once and whole', (t) => {
  const { state, watch } = watched(t);
  const random = randomNumbers(7);
  const wanted = Array.from({ length: 60 }, (_, i) => {
    // One is larger than a piece.
    const cells = i === 40 ? 60_000 : Math.floor(random() * 3_000);
    const docs = Array.from({ length: cells }, (_, cell) => ({
      location: cellText(1 + cell * 3, 6),
      pickup_count: 1 + Math.floor(random() * 1e7),
    }));
    return { view: 'pickup_count', start: START + i * MINUTES, end: END + i * MINUTES, docs };
  });
  state.fire(...wanted);
  watch.look(BOTH);
  const { windows, pieces } = loaded(watch, 'pickup_count');
  const full = wanted.filter(({ docs }) => docs.length > 0);
  assert.deepEqual(
    windows.map(({ label }) => label),
    full.map(({ start }) => start).reverse(),
  );
  assert.ok(pieces > 2 && pieces < full.length / 2, `${pieces} pieces of ${full.length} windows`);
  for (const [i, { values, start, end }] of windows.toReversed().entries()) {
    assert.deepEqual(
      values[0],
      full[i]!.docs.map(({ pickup_count }) => pickup_count),
    );
    assert.deepEqual([start, end], [full[i]!.start, full[i]!.end]);
  }
  assert.deepEqual(
    historyOf(watch).labels,
    full.map(({ start }) => start),
  );
  const part = JSON.parse(watch.windows('pickup_count', full[1]!.start + 1)) as Windows;
  assert.deepEqual(
    part.windows.map(({ label }) => label),
    [full[1]!.start, full[0]!.start],
    'from any window on',
  );
  for (const of of ['no such view', '', '__proto__'])
    assert.deepEqual(JSON.parse(watch.windows(of, START)), { windows: [], next: null }, of);
});

test('of a window with more results than a page can show, it says how many there are', (t) => {
  const each = view({
    name: 'each',
    by: { id: field('trip_id') },
    window: tumbling('10m'),
    aggregates: { n: count() },
  });
  const { state, watch } = watched(t, [each]);
  const docs = Array.from({ length: 200_001 }, (_, id) => ({ id, n: 1 }));
  state.fire({ view: 'each', start: START, end: END, docs });
  watch.look(new Set(['each']));
  const [update] = loaded(watch, 'each').windows;
  assert.deepEqual([update!.omitted, update!.values[0]!.length], [200_001, 0]);
});
