import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Timeline } from '../../src/dataset/timeline.ts';
import { Forecast } from '../../src/replay/forecast.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** 60 trips an hour, a minute apart. */
function steady(hours: number, from = 0): Timeline {
  const timeline = new Timeline();
  for (let i = 0; i < hours * 60; i++) timeline.add(from + i * 60_000);
  return timeline;
}

describe('the forecast of a replay', () => {
  test('at a pace, the time to go is what is left of it', () => {
    const forecast = new Forecast({ timeline: steady(10), speedup: 60, from: 0 });
    assert.equal(forecast.trips, 600);
    const wall = (599 * 60_000) / 60;
    assert.equal(forecast.duration, wall);
    assert.equal(forecast.remaining({ sent: 0, elapsed: 0, lag: 0 }), wall);
    assert.equal(forecast.remaining({ sent: 1, elapsed: wall - 5, lag: 2 }), 7);
    assert.equal(forecast.remaining({ sent: 600, elapsed: wall * 2, lag: 0 }), 0);
  });

  test('without a pace, it is by the rate so far', () => {
    const forecast = new Forecast({ timeline: steady(10), speedup: Number.POSITIVE_INFINITY, from: 0 });
    assert.equal(forecast.remaining({ sent: 0, elapsed: 10, lag: 0 }), undefined);
    assert.equal(forecast.remaining({ sent: 150, elapsed: 1_000, lag: 0 }), 3_000);
  });

  test('counts what is asked for only', () => {
    const timeline = steady(10);
    const part = new Forecast({ timeline, speedup: 1, from: 2 * HOUR, until: 5 * HOUR });
    assert.deepEqual([part.trips, part.duration], [180, 3 * HOUR - 1]);
    const few = new Forecast({ timeline, speedup: 1, from: 2 * HOUR, limit: 90 });
    assert.equal(few.trips, 90);
    assert.ok(Math.abs(few.duration! - 1.5 * HOUR) < 1_000, `${few.duration}`);
    const half = new Forecast({ timeline, speedup: 1, from: 2.5 * HOUR, until: 3 * HOUR });
    assert.equal(half.trips, 30);
    assert.equal(new Forecast({ timeline, speedup: 1, from: 20 * HOUR }).trips, 0);
  });

  test('a gap of more than a day is jumped over, as the pace does', () => {
    const timeline = steady(2);
    for (let i = 0; i < 60; i++) timeline.add(1_000 * DAY + i * 60_000);
    const { duration } = new Forecast({ timeline, speedup: 1, from: 0 });
    assert.ok(Math.abs(duration! - 3 * HOUR) <= 2 * 60_000, `${duration}`);
  });
});
