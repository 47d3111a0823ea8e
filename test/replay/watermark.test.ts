import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ReplayWatermark } from '../../src/replay/watermark.ts';

/** Trips in drop-off order; ties are common. */
const dropoffs = fc.array(fc.nat(3), { minLength: 1, maxLength: 40, size: 'max' }).map((gaps) => {
  let dropoff = 1_000;
  return gaps.map((gap) => {
    dropoff += gap;
    return dropoff;
  });
});
const steps = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('send' as const), n: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ do: fc.constant('settle' as const), n: fc.nat(100) }),
    fc.record({ do: fc.constant('look' as const), n: fc.constant(0) }),
  ),
  { maxLength: 60, size: 'max' },
);

describe('the watermark of a replay', () => {
  it('is just before the earliest unsettled trip, and never goes back (W1, W2)', () => {
    fc.assert(
      fc.property(dropoffs, steps, (trips, what) => {
        const watermark = new ReplayWatermark();
        const settled = new Set<number>();
        const inFlight: { token: number; from: number; to: number }[] = [];
        let sent = 0;
        let highest = Number.NEGATIVE_INFINITY;
        const look = () => {
          const unsettled = trips.findIndex((_, id) => !settled.has(id));
          const first = unsettled < 0 ? trips.length : unsettled;
          // Once all trips are settled, the last known one still bounds the watermark.
          highest = Math.max(highest, (trips[first] ?? trips.at(-1)!) - 1);
          const { value } = watermark;
          assert.equal(value, highest);
          assert.ok(first === trips.length || value < trips[first]!, 'behind every unsettled trip');
          assert.equal(watermark.settledBelow, first, 'every trip below is settled');
        };
        watermark.nextIs(trips[0]!, 0);
        for (const { do: step, n } of what) {
          if (step === 'look') look();
          else if (step === 'send' && sent < trips.length) {
            const to = Math.min(trips.length, sent + n);
            inFlight.push({ token: watermark.begin(trips[sent]!, trips[to - 1]!, sent), from: sent, to });
            watermark.nextIs(trips[to] ?? trips[to - 1]!, to);
            sent = to;
          } else if (step === 'settle' && inFlight.length > 0) {
            const [put] = inFlight.splice(n % inFlight.length, 1);
            watermark.settle(put!.token);
            for (let id = put!.from; id < put!.to; id++) settled.add(id);
          }
        }
        look();
        if (sent < trips.length) return;
        watermark.finish();
        if (inFlight.length > 0)
          assert.ok(watermark.value < trips[inFlight[0]!.from]!, 'not before all is in');
        for (const put of inFlight.sort((a, b) => b.from - a.from)) watermark.settle(put.token);
        assert.equal(watermark.value, trips.at(-1), 'at the end it is the last drop-off (W3)');
      }),
      { numRuns: 2_000 },
    );
  });

  it('is −∞ before the first trip, and after an end without trips', () => {
    const watermark = new ReplayWatermark();
    assert.equal(watermark.value, Number.NEGATIVE_INFINITY);
    watermark.finish();
    assert.equal(watermark.value, Number.NEGATIVE_INFINITY);
  });

  it('ends before a trip that was left out and ties with the last one (W1)', () => {
    for (const [unsent, end] of [
      [10, 9],
      [11, 10],
      [500, 10],
    ] as const) {
      const watermark = new ReplayWatermark();
      watermark.nextIs(5, 0);
      watermark.settle(watermark.begin(5, 10, 0));
      watermark.nextIs(unsent, 2);
      watermark.finish(unsent);
      assert.equal(watermark.value, end);
    }
  });

  it('ends at the last drop-off of an earlier run if nothing was left to send (W3)', () => {
    const watermark = new ReplayWatermark();
    watermark.passed(10);
    watermark.passed(7);
    watermark.finish();
    assert.equal(watermark.value, 10);
  });

  it('accepts that a put is settled twice', () => {
    const watermark = new ReplayWatermark();
    const first = watermark.begin(5, 5, 0);
    const second = watermark.begin(6, 6, 1);
    watermark.nextIs(7, 2);
    watermark.settle(first);
    watermark.settle(first);
    assert.equal(watermark.value, 5);
    watermark.settle(second);
    assert.equal(watermark.value, 6);
  });
});
