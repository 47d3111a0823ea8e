/** The axes of charts: round, in order, and with room for their labels. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Frame } from '../../src/dashboard/page/frames.ts';
import { axisOf, INSET, placeOf, steps, ticks } from '../../src/dashboard/page/window-axis.ts';

const MINUTE = 60_000;
const DAY = 1440 * MINUTE;
const START = Date.UTC(2016, 0, 14);

const line = (values: readonly number[], band?: readonly [readonly number[], readonly number[]]) => ({
  name: '',
  values: Float64Array.from(values),
  ...(band ? { band: [Float64Array.from(band[0]), Float64Array.from(band[1])] as const } : {}),
});

test('the value axis holds all values and bands, in a few round steps, from 0 on', () => {
  const value = fc.oneof(
    { weight: 5, arbitrary: fc.double({ min: -1e9, max: 1e9, noNaN: true }) },
    fc.constant(Number.NaN),
    fc.integer({ min: 0, max: 5 }),
  );
  const lines = fc.array(fc.array(value, { maxLength: 20 }), { maxLength: 4 });
  fc.assert(
    fc.property(lines, lines, fc.integer({ min: 2, max: 12 }), (all, bands, most) => {
      const [low, high, every] = axisOf(
        [...all.map((values) => line(values)), ...bands.map((values) => line([], [values, values]))],
        most,
      );
      const values = [...all, ...bands].flat().filter((value) => !Number.isNaN(value));
      assert.ok(low < high && every > 0);
      assert.ok(low <= 0, 'with 0');
      if (values.every((value) => value >= 0)) assert.equal(low, 0, 'and from it on');
      const slack = every * 1e-9;
      for (const value of values)
        assert.ok(value >= low - slack && value <= high + slack, `${value} is on it`);
      const named = steps(low, high, every);
      assert.ok(named.length <= most + 3, `${named.length} names for ${most}`);
      assert.ok(named.length >= 2);
      const digits = Number((every / 10 ** Math.floor(Math.log10(every) + 1e-9)).toPrecision(6));
      assert.ok([1, 2, 2.5, 5, 10].includes(digits), `steps of ${every} are round`);
    }),
  );
});

test('an axis of times does not begin at 0', () => {
  const times = [START, START + 3 * 3_600_000];
  const [low, high] = axisOf([line(times)], 4, true);
  assert.ok(low > START - DAY && low <= times[0]! && high >= times[1]! && high < START + DAY);
});

test('nothing to draw has an axis too', () => {
  for (const values of [[], [Number.NaN], [0], [0, 0]]) {
    const [low, high, every] = axisOf([line(values)], 4);
    assert.ok(low === 0 && high > 0 && every > 0, `${values}`);
  }
});

const frames = (step: number, count: number, from = START): Frame[] =>
  Array.from({ length: count }, (_, i) => {
    const label = from + i * step;
    return { label, start: label, end: label + step, rows: undefined, total: undefined };
  });

test('ticks are at round times, in order, apart from each other and within the axis', () => {
  const step = fc.constantFrom(1, 5, 10, 30, 60, 360, 1440).map((minutes) => minutes * MINUTE);
  const from = fc.integer({ min: 0, max: 10_000 }).map((n) => START + n * 10 * MINUTE);
  fc.assert(
    fc.property(
      step,
      fc.integer({ min: 0, max: 1_500 }),
      from,
      fc.integer({ min: 0, max: 2_000 }),
      (every, count, first, width) => {
        const all = frames(every, count, first - (first % every));
        const found = ticks(all, width);
        let before = Number.NEGATIVE_INFINITY;
        for (const { index, x, text, isDay } of found) {
          const { label } = all[index]!;
          assert.equal(x, placeOf(index, count, width), 'where its window is');
          assert.ok(x - before >= 35, `${x} after ${before} on ${width} px`);
          assert.ok(x >= 16 && x <= width - 16, 'the text is not cut off');
          assert.equal(label % (10 * MINUTE), 0, new Date(label).toISOString());
          const iso = new Date(label).toISOString();
          if (isDay) assert.equal(text.split(' ')[0], String(Number(iso.slice(8, 10))));
          else assert.equal(text, iso.slice(11, 16));
          before = x;
        }
      },
    ),
  );
});

test('a day of ten-minute windows has ticks at any width of a screen', () => {
  for (const width of [220, 320, 600, 1_000, 1_900]) {
    const found = ticks(frames(10 * MINUTE, 145), width);
    assert.ok(found.length >= 3, `${found.length} on ${width} px`);
    const apart = found.slice(1).map(({ index }, i) => index - found[i]!.index);
    assert.equal(new Set(apart).size, 1, `evenly: ${apart}`);
  }
});

test('windows are spread over the axis, from its first place to its last', () => {
  assert.equal(placeOf(0, 100, 500), INSET);
  assert.equal(placeOf(99, 100, 500), 500 - INSET);
  assert.equal(placeOf(0, 1, 500), 250);
  for (let i = 1; i < 100; i++) assert.ok(placeOf(i, 100, 500) > placeOf(i - 1, 100, 500));
});
