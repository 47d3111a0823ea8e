import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { START, TestClock, type TestClockOptions } from './clock.ts';

/** Who wakes up when, in the order of waking. */
async function wakeUps(options: TestClockOptions, sleeps: readonly number[]): Promise<[number, number][]> {
  const clock = new TestClock(options);
  const woken: [number, number][] = [];
  await Promise.all(
    sleeps.map(async (ms, i) => {
      await clock.sleep(ms);
      woken.push([i, clock.time - START]);
    }),
  );
  return woken;
}

describe('the clock of the tests', () => {
  for (const step of [Number.POSITIVE_INFINITY, 1_000, 25, 7]) {
    it(`wakes sleepers when they are due, in the order they fell asleep, in steps of ${step} ms`, async () => {
      assert.deepEqual(await wakeUps({ step }, [30, 10, 30, 0, 10.5, 20]), [
        [3, 0],
        [1, 10],
        [4, 11],
        [5, 20],
        [0, 30],
        [2, 30],
      ]);
    });
  }

  it('lets a sleeper set an earlier timer than the next one', async () => {
    const clock = new TestClock();
    const woken: string[] = [];
    const early = clock
      .sleep(10)
      .then(() => clock.sleep(5))
      .then(() => woken.push('early'));
    await Promise.all([clock.sleep(20).then(() => woken.push('late')), early]);
    assert.deepEqual(woken, ['early', 'late']);
  });

  it('stands still while nobody waits, and goes on by a tick at each look', async () => {
    const [still, ticking] = [new TestClock(), new TestClock({ tick: 2 })];
    await setImmediate();
    assert.deepEqual([still.now(), still.now()], [START, START]);
    assert.deepEqual([ticking.now(), ticking.now(), ticking.time], [START + 2, START + 4, START + 4]);
  });

  it('ends a sleep at once when its signal aborts, and forgets its timer', async () => {
    const clock = new TestClock();
    const stop = new AbortController();
    const slept = clock.sleep(1_000, stop.signal);
    stop.abort();
    await slept;
    await clock.sleep(1_000, stop.signal);
    await clock.sleep(10);
    assert.equal(clock.time, START + 10);
  });

  it('rings what an advance made due, and nothing that was cancelled', async () => {
    const clock = new TestClock();
    const rung: string[] = [];
    const cancel = clock.after(100, () => rung.push('cancelled'));
    clock.after(200, () => rung.push(`at ${clock.time - START}`));
    cancel();
    clock.advance(5_000);
    await clock.sleep(0);
    assert.deepEqual(rung, ['at 5000']);
  });
});
