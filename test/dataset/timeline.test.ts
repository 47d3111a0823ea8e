import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Timeline } from '../../src/dataset/timeline.ts';

const HOUR = 3_600_000;

describe('the timeline of an input', () => {
  test('counts trips by hour, in whatever order they come', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -50 * HOUR, max: 50 * HOUR })), (times) => {
        const timeline = new Timeline();
        for (const time of times) timeline.add(time);
        const expected = new Map<number, number>();
        for (const time of [...times].sort((a, b) => a - b)) {
          const start = Math.floor(time / HOUR) * HOUR;
          expected.set(start, (expected.get(start) ?? 0) + 1);
        }
        assert.deepEqual(
          timeline.buckets().map(({ start, trips }) => [start, trips]),
          [...expected],
        );
        assert.deepEqual([timeline.first, timeline.last], [Math.min(...times), Math.max(...times)]);
      }),
    );
  });

  test('widens its buckets where strays would make too many, and loses no trip', () => {
    const timeline = new Timeline();
    for (let i = 0; i < 100_000; i++) timeline.add(i * HOUR * 3);
    const buckets = timeline.buckets();
    assert.ok(buckets.length <= 20_000, `${buckets.length} buckets`);
    assert.equal(
      buckets.reduce((sum, { trips }) => sum + trips, 0),
      100_000,
    );
    for (const { start } of buckets) assert.equal(Math.abs(start % timeline.width), 0);
  });
});
