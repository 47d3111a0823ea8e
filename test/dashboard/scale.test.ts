/** The colour scale of the map: its steps, and how long it is kept. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  coreRange,
  countScale,
  evenScale,
  fits,
  type Range,
  STEPS,
  stepOf,
} from '../../src/dashboard/page/scale.ts';

const DAY = 86_400_000;
const range = (low: number, most: number): fc.Arbitrary<Range> =>
  fc.tuple(fc.integer({ min: low, max: most }), fc.integer({ min: low, max: most })).map(([a, b]) => ({
    low: Math.min(a, b),
    high: Math.max(a, b),
  }));

/** The step of a value by the words of the design: the last one whose lowest value it has, else the first. */
function naiveStep(value: number, least: readonly number[]): number {
  if (Number.isNaN(value)) return 0;
  return Math.max(1, least.filter((lowest) => value >= lowest).length);
}

test('the scale of counts rises by whole numbers from the least to near the greatest', () => {
  fc.assert(
    fc.property(range(1, 1_000_000), fc.boolean(), ({ low, high }, grows) => {
      const { least } = countScale({ low, high }, grows);
      assert.equal(least.length, STEPS);
      assert.ok(least.every(Number.isInteger), `${least} are whole`);
      for (let i = 1; i < STEPS; i++) assert.ok(least[i]! > least[i - 1]!, `${least} rises`);
      assert.ok(Math.abs(least[0]! - low) <= low * 0.3, `${least} begins near ${low}`);
      assert.equal(stepOf(low, { least }), 1, 'the least is in the first step');
      if (high >= 20 * low && !grows) assert.equal(stepOf(high, { least }), STEPS, `${high} on ${least}`);
    }),
  );
});

test('a value is in the last step whose lowest value it has', () => {
  const values = fc.oneof(fc.double({ noNaN: false }), fc.integer({ min: -10, max: 1000 }));
  fc.assert(
    fc.property(range(0, 1000), fc.boolean(), fc.array(values), (bounds, isCount, all) => {
      const scale = isCount ? countScale(bounds, false) : evenScale(bounds);
      for (const value of all) assert.equal(stepOf(value, scale), naiveStep(value, scale.least));
    }),
  );
});

test('the scale of other figures has even steps over all but the outermost values', () => {
  const figures = fc.array(fc.double({ min: -500, max: 500, noNaN: true }), {
    minLength: 30,
    maxLength: 300,
  });
  fc.assert(
    fc.property(figures, (values) => {
      const core = coreRange(values)!;
      const below = values.filter((value) => value < core.low).length;
      const above = values.filter((value) => value > core.high).length;
      assert.ok(below <= values.length * 0.04 && above <= values.length * 0.04, `${below} and ${above}`);
      const { least } = evenScale(core);
      const every = least[1]! - least[0]!;
      for (let i = 1; i < STEPS; i++) {
        const step = least[i]! - least[i - 1]!;
        assert.ok(Math.abs(step - every) <= every * 1e-6, `${least} is even`);
      }
      assert.ok(least[0]! <= core.low, 'the first step holds the lowest');
      assert.ok(core.low < least[0]! + every * (1 + 1e-9), 'and has a value');
      // Round numbers may need one step more than there are.
      assert.ok(core.high <= least[0]! + every * (STEPS + 1), `${least} reaches ${core.high}`);
    }),
  );
  assert.equal(coreRange([]), undefined);
  assert.deepEqual(coreRange([7]), { low: 7, high: 7 });
});

test('a scale fits what it was made from, so that it is not made anew at each drawing', () => {
  fc.assert(
    fc.property(range(0, 10_000), fc.boolean(), (bounds, grows) => {
      assert.ok(fits(countScale(bounds, grows), bounds), `counts of ${bounds.low} to ${bounds.high}`);
    }),
  );
  const spread = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1 });
  fc.assert(
    fc.property(spread, (values) => {
      const core = coreRange(values)!;
      assert.ok(fits(evenScale(core), core), `figures of ${core.low} to ${core.high}`);
    }),
  );
  const time = range(Date.UTC(2009, 0), Date.UTC(2025, 0));
  fc.assert(
    fc.property(time, (times) => {
      assert.ok(fits(evenScale(times), times, true), `times of ${times.low} to ${times.high}`);
    }),
  );
});

test('an outlier does not change the scale of averages', () => {
  const usual = Array.from({ length: 1000 }, (_, i) => 5 + (i % 30));
  const odd = [...usual, 4_000];
  assert.deepEqual(evenScale(coreRange(odd)!), evenScale(coreRange(usual)!));
  assert.ok(fits(evenScale(coreRange(usual)!), coreRange(odd)!));
});

/** How often the scale changes over the ranges that a page sees one after the other. */
function changes(ranges: readonly Range[]): number {
  let scale = countScale(ranges[0]!, true);
  let changed = 0;
  for (const seen of ranges) {
    if (fits(scale, seen)) continue;
    scale = countScale(seen, true);
    changed++;
  }
  return changed;
}

test('while a job runs, the scale stays until there is several times more than at first', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 5_000 }),
      fc.double({ min: 1, max: 3, noNaN: true }),
      (high, by) => {
        const later = { low: 1, high: Math.floor(high * by) };
        assert.equal(changes([{ low: 1, high }, later]), 0, `${high}, then ${later.high}`);
      },
    ),
  );
  const day = Array.from({ length: 144 }, (_, i) => ({ low: 2, high: 12 + i * 3 }));
  assert.ok(changes(day) <= 1, 'a day that grows from 12 to 440 changes it once at most');
  const surge = [
    { low: 1, high: 10 },
    { low: 1, high: 5_000 },
    { low: 1, high: 6_000 },
  ];
  assert.equal(changes(surge), 1, 'it has to change, once');
});

test('a scale of times changes when they go on', () => {
  const morning = { low: Date.UTC(2016, 0, 14), high: Date.UTC(2016, 0, 14, 3) };
  const scale = evenScale(morning);
  assert.ok(fits(scale, { ...morning, high: morning.high + 3_600_000 }, true), 'an hour more');
  assert.ok(!fits(scale, { ...morning, high: morning.high + 10 * DAY }, true), 'ten days more');
});
