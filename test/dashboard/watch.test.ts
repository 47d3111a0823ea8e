/** What pages get when the state is corrected. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cells } from '../../src/dashboard/page/cells.ts';
import { Frames } from '../../src/dashboard/page/frames.ts';
import type { WindowUpdate } from '../../src/dashboard/page/wire.ts';
import { StateWatch } from '../../src/dashboard/watch.ts';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import { Duplicates } from '../../src/engine/duplicates.ts';
import { NO_COUNTS } from '../../src/engine/state-store.ts';
import { SqliteState } from '../../src/state/store.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { temporaryFolder } from '../files.ts';

const START = Date.UTC(2016, 0, 14);
const END = START + 600_000;
const head = { window_start: new Date(START).toISOString(), window_end: new Date(END).toISOString() };
const FIGURES = {
  pickup_count: { key: {}, values: { pickup_count: 3 } },
  trip_duration: { key: { airport_code: 'JFK' }, values: { trip_count: 3, sum_trip_duration: 40 } },
} as const;

test('a window whose last result is retracted is shown without it', (t) => {
  const dataDir = temporaryFolder(t);
  const views = JSON.stringify(taxiViews());
  const state = SqliteState.open({ dataDir, app: 'a', identity: { stream: 's', views, settings: '' } });
  t.after(() => state.close());
  const fire = (view: keyof typeof FIGURES, retracted: boolean) => {
    const { key, values } = FIGURES[view];
    const result = { view, ...head, location: 'dr5ru7', ...key, ...(retracted ? { retracted } : values) };
    const docs = JSON.stringify(result);
    state.commit({
      watermark: END,
      counters: NO_COUNTS,
      shards: [],
      blocks: [],
      gone: [],
      closedUpTo: {},
      firings: [{ view, windowStart: START, windowEnd: END, docs, count: 1, correction: retracted }],
      duplicates: new Duplicates().takeChanges(END, () => false),
      deadLetters: new DeadLetterBuffer(0).take(),
    });
  };
  fire('pickup_count', false);
  fire('trip_duration', false);
  const watch = new StateWatch({ dataDir, app: 'a', now: () => END });
  t.after(() => watch.close());
  watch.look();
  const page = new Frames(new Cells([]));
  const parsed = (lines: readonly string[]) => lines.map((line) => JSON.parse(line) as WindowUpdate);
  const shown = () => page.list.map(({ total, cells, airports }) => [total, cells.length, airports.size]);
  page.take(parsed(watch.history()));
  assert.deepEqual(shown(), [[3, 1, 1]]);
  fire('pickup_count', true);
  fire('trip_duration', true);
  page.take(parsed(watch.look().windows));
  assert.deepEqual(shown(), [[0, 0, 0]]);
  page.clear();
  page.take(parsed(watch.history()));
  assert.deepEqual(shown(), [[0, 0, 0]], 'also to one that comes later');
  fire('pickup_count', false);
  page.take(parsed(watch.look().windows));
  assert.deepEqual(shown(), [[3, 1, 0]], 'and it may come back');
});
