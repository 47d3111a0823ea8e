/** Deviations and percentiles to the last digits, in any order and in any parts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AGGREGATES, addMoments, percentileOf } from '../../src/views/aggregates.ts';

/** Variance of whole numbers, without rounding until the end. */
function varianceOf(values: readonly number[], over: number): number {
  const n = BigInt(values.length);
  let [sum, squares] = [0n, 0n];
  for (const value of values) {
    sum += BigInt(value);
    squares += BigInt(value) * BigInt(value);
  }
  // n² times the variance of all values.
  const spread = n * squares - sum * sum;
  return Number((spread * 1_000_000_000_000n) / n) / 1e12 / over;
}

function momentsOf(values: readonly number[]): Float64Array {
  const numbers = Float64Array.from(AGGREGATES.var_pop.initial);
  for (const value of values) addMoments(numbers, 0, value);
  return numbers;
}

describe('aggregates', () => {
  it('have deviations that are right also where the mean is far larger than they are', () => {
    const lists = fc
      .tuple(
        fc.constantFrom(0, 1, 1_000, 1_450_000_000_000, -(2 ** 45)),
        fc.constantFrom(1, 5, 3_000_000),
        fc.array(fc.nat(), { minLength: 1, maxLength: 60 }),
      )
      .map(([base, spread, noise]) => noise.map((n) => base + (n % (spread + 1))));
    fc.assert(
      fc.property(lists, fc.nat(), (values, cut) => {
        const at = cut % values.length;
        const merged = momentsOf(values.slice(at));
        AGGREGATES.var_pop.merge(merged, 0, momentsOf(values.slice(0, at)), 0);
        for (const [fn, over] of [
          ['var_pop', values.length],
          ['var_samp', values.length - 1],
        ] as const) {
          const found = AGGREGATES[fn].value(merged, 0);
          if (over === 0) assert.ok(Number.isNaN(found));
          else {
            const exact = varianceOf(values, over);
            // Sums are carried with 106 bits.
            const squares = values.reduce((sum, value) => sum + value * value, 0);
            const error = 1e-9 * Math.max(1, exact) + (squares * 2 ** -104) / over;
            assert.ok(Math.abs(found - exact) <= error, `${fn} ${found}, not ${exact}`);
          }
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('have percentiles between two values in proportion', () => {
    const values = [
      [1, 2],
      [4, 1],
      [10, 1],
    ] as const;
    const all = [1, 1, 4, 10];
    for (const p of [0, 0.25, 0.5, 0.9, 1]) {
      const place = p * 3;
      const [low, high] = [all[Math.floor(place)]!, all[Math.ceil(place)]!];
      assert.equal(percentileOf(p, 4, values), low + (high - low) * (place - Math.floor(place)));
    }
    assert.ok(Number.isNaN(percentileOf(0.5, 0, [])));
  });
});
