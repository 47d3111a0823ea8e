/** The windows that a page knows of, against a plain map of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Areas } from '../../src/dashboard/page/areas.ts';
import { Frames } from '../../src/dashboard/page/frames.ts';
import type { TotalUpdate, ViewShape, WindowUpdate } from '../../src/dashboard/page/wire.ts';

const HOUR = 3_600_000;
const DAY_ONE = Date.UTC(2016, 0, 14);
const SHAPE: ViewShape = {
  name: 'vendors',
  time: 'dropoff',
  window: { kind: 'tumbling', size_ms: HOUR },
  keys: [{ name: 'vendor', kind: 'word' }],
  aggregates: [{ name: 'trips', fn: 'count', isTime: false }],
  isCut: false,
};
/** A longer gap is not filled. */
const MOST_FILLED = 300;

const at = (hour: number) => DAY_ONE + hour * HOUR;

function update(hour: number, trips: readonly number[]): WindowUpdate {
  const keys = [trips.map((_, i) => `vendor ${i}`)];
  return { label: at(hour), start: at(hour), end: at(hour + 1), keys, values: [trips] };
}

function total(hour: number, trips: number): TotalUpdate {
  const all = { values: [trips], of: [trips] };
  return { label: at(hour), start: at(hour), end: at(hour + 1), keys: 1, all, groups: [] };
}

const empty = () => new Frames(new Areas([], new Map()));

type Step =
  | { readonly does: 'take' | 'keep'; readonly hour: number; readonly trips: readonly number[] }
  | { readonly does: 'total'; readonly hour: number; readonly trips: number }
  | { readonly does: 'forget' | 'none'; readonly hour: number };

// Some hours lie behind a gap that is filled, some behind one that is not.
const hour = fc.oneof(
  fc.integer({ min: 0, max: 12 }),
  fc.constantFrom(200, 512, 513, 2_000, 2_000 + MOST_FILLED),
);
const rows = fc.array(fc.integer({ min: 0, max: 99 }), { maxLength: 4 });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ does: fc.constantFrom('take', 'keep'), hour, trips: rows }),
    fc.record({ does: fc.constant('total'), hour, trips: fc.nat(500) }),
    fc.record({ does: fc.constantFrom('forget', 'none'), hour }),
  ),
  { maxLength: 25 },
);

interface Known {
  /** Undefined until they are loaded. */
  trips: readonly number[] | undefined;
  total: number | undefined;
}

function act(frames: Frames, known: Map<number, Known>, step: Step): void {
  const label = at(step.hour);
  const before = known.get(label);
  if (step.does === 'take' || step.does === 'keep') {
    frames.take([update(step.hour, step.trips)], step.does === 'keep');
    const trips = step.does === 'keep' && before?.trips ? before.trips : step.trips;
    known.set(label, { trips, total: before?.total });
  } else if (step.does === 'total') {
    frames.takeTotals([total(step.hour, step.trips)]);
    // Totals come with results: a window of which there are totals alone has none.
    known.set(label, { trips: before ? before.trips : [], total: step.trips });
  } else if (step.does === 'forget') {
    frames.forget([label]);
    known.set(label, { trips: undefined, total: before?.total });
  } else {
    frames.takeNone(label);
    if (before) known.set(label, { ...before, trips: [] });
  }
}

/** All windows in order, with empty ones in short gaps. */
function listed(known: ReadonlyMap<number, Known>): (Known & { label: number })[] {
  const labels = [...known.keys()].sort((a, b) => a - b);
  return labels.flatMap((label, i) => {
    const last = labels[i - 1] ?? label;
    const missing = (label - last) / HOUR - 1;
    const filled = missing < MOST_FILLED ? Math.max(0, missing) : 0;
    const gap = Array.from({ length: filled }, (_, n) => last + (n + 1) * HOUR);
    return [...gap.map((label) => ({ label, trips: [], total: undefined })), { label, ...known.get(label)! }];
  });
}

const shown = (frames: Frames) =>
  frames.list.map(({ label, rows, total }) => ({
    label,
    trips: rows && [...(rows.values[0] ?? [])],
    total: total?.all.values[0] ?? undefined,
  }));

test('windows come in any order, replace earlier versions, are forgotten and found to be empty', () => {
  fc.assert(
    fc.property(fc.uniqueArray(hour, { maxLength: 4 }), steps, (first, all) => {
      const frames = empty();
      frames.begin(
        SHAPE,
        first.map(at).sort((a, b) => a - b),
        [],
      );
      const known = new Map<number, Known>(
        first.map((hour) => [at(hour), { trips: undefined, total: undefined }]),
      );
      for (const step of all) {
        const { version } = frames;
        act(frames, known, step);
        if (step.does !== 'none') assert.ok(frames.version > version, `${step.does} is a change`);
      }
      const wanted = listed(known);
      assert.deepEqual(shown(frames), wanted);
      assert.equal(
        frames.isPartial,
        wanted.some(({ trips }) => trips === undefined),
      );
      for (const { start, end, label } of frames.list) assert.deepEqual([start, end], [label, label + HOUR]);
      for (const { label } of frames.list)
        assert.equal(frames.list[frames.indexOf(label)]?.label, label, 'each is found by its label');
      for (const asked of [at(-1), at(3) + 1, at(900), at(9_999)]) {
        const index = wanted.findLastIndex(({ label }) => label <= asked);
        assert.equal(frames.indexOf(asked), Math.max(0, index), 'or the one before');
      }
    }),
  );
});

test('another view begins without windows or areas of the one before', () => {
  const frames = empty();
  frames.begin({ ...SHAPE, keys: [{ name: 'zone', kind: 'zone' }] }, [], []);
  frames.take([{ ...update(0, [1, 2]), keys: [[4, 5]] }]);
  assert.equal(frames.areas.all.length, 2);
  frames.begin(SHAPE, [at(7)], [total(7, 3)]);
  assert.equal(frames.areas.all.length, 0);
  assert.deepEqual(shown(frames), [{ label: at(7), trips: undefined, total: 3 }]);
  frames.begin(undefined, [], []);
  assert.deepEqual(frames.list, []);
});

test('what a page cannot hold is forgotten, far from the window at hand first', () => {
  const frames = empty();
  frames.begin({ ...SHAPE, keys: [] }, [], []);
  const million = { keys: [], values: [new Array<number>(1_000_000).fill(1)] };
  for (let hour = 0; hour < 12; hour++) {
    assert.ok(frames.hasRoom, `room for the window of hour ${hour}`);
    frames.take([{ ...million, label: at(hour), start: at(hour), end: at(hour + 1) }]);
  }
  assert.ok(!frames.hasRoom, '12 million results fill a page');
  frames.makeRoom(at(8));
  assert.ok(frames.hasRoom);
  const left = frames.list.flatMap(({ rows }, hour) => (rows ? [hour] : []));
  assert.ok(left.length >= 8, `most are kept: ${left}`);
  assert.deepEqual(
    left,
    Array.from({ length: left.length }, (_, i) => 12 - left.length + i),
    'the nearest to hour 8',
  );
  const before = shown(frames).length;
  frames.makeRoom(at(8));
  assert.equal(frames.list.filter(({ rows }) => rows).length, left.length, 'with room, nothing is forgotten');
  assert.equal(shown(frames).length, before, 'the windows themselves stay known');
});

test('words of a key are listed by how often they occur, or not at all if they are too many', () => {
  const frames = empty();
  frames.begin(SHAPE, [], []);
  frames.take([update(0, [5]), update(1, [1, 1]), update(2, [1, 1, 1])]);
  assert.deepEqual(frames.wordsOf(0, 3), ['vendor 0', 'vendor 1', 'vendor 2']);
  assert.deepEqual(frames.wordsOf(0, 2), []);
});
