/** Waits between attempts, and the end of patience. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Clock } from '../../src/clock.ts';
import { AT_ONCE, Attempts, type Backoff, type Patience, retry, waitAfter } from '../../src/net/retry.ts';

const STEADY: Backoff = { firstMs: 100, longestMs: 1_000, jitter: 'half' };
const backoffs = fc.record({
  firstMs: fc.nat(10_000),
  longestMs: fc.nat(100_000),
  jitter: fc.constantFrom('full' as const, 'half' as const),
});
/** Numbers in [0, 1), as Math.random gives them. */
const shares = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

/** A clock that only sleeping moves; `sleeps` has each sleep, in ms. */
function movedBySleep() {
  const sleeps: number[] = [];
  let time = 0;
  const clock: Clock = {
    now: () => time,
    sleep: async (ms) => {
      sleeps.push(ms);
      time += ms;
    },
  };
  return { clock, sleeps };
}

describe('a wait', () => {
  it('doubles with each failure up to the longest; half jitter leaves half of it', () => {
    const least = [1, 2, 3, 4, 5, 6, 2_000].map((failures) => waitAfter(failures, STEADY, () => 0));
    assert.deepEqual(least, [50, 100, 200, 400, 500, 500, 500]);
    const most = [1, 2, 3, 4, 5].map((failures) => waitAfter(failures, STEADY, () => 0.999));
    assert.deepEqual(most.map(Math.round), [100, 200, 400, 800, 1_000]);
  });

  it('has full jitter from 0 on', () => {
    const full: Backoff = { ...STEADY, jitter: 'full' };
    const waits = [0, 0.25, 0.5].map((share) => waitAfter(3, full, () => share));
    assert.deepEqual(waits, [0, 100, 200]);
  });

  it('stays within its limits after any number of failures', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000 }), backoffs, shares, (failures, backoff, share) => {
        let longest = Math.min(backoff.firstMs, backoff.longestMs);
        for (let i = 1; i < failures && longest > 0 && longest < backoff.longestMs; i++)
          longest = Math.min(2 * longest, backoff.longestMs);
        const wait = waitAfter(failures, backoff, () => share);
        const least = backoff.jitter === 'half' ? longest / 2 : 0;
        assert.ok(wait >= least && wait <= longest, `${wait} is not between ${least} and ${longest}`);
      }),
    );
  });

  it('differs from client to client', () => {
    const waits = new Set(Array.from({ length: 50 }, () => waitAfter(4, STEADY)));
    assert.ok(waits.size > 40, `${waits.size} different waits of 50`);
  });
});

describe('attempts', () => {
  it('end with the failure of the number given, without a wait', async () => {
    const { clock, sleeps } = movedBySleep();
    const attempts = new Attempts(clock);
    const patience = { ...STEADY, tries: 3 };
    const answers = [];
    for (let i = 0; i < 3; i++) answers.push(await attempts.again(patience));
    assert.deepEqual(answers, [true, true, false]);
    assert.equal(sleeps.length, 2);
  });

  it('end once they have failed for too long; progress starts that time anew, but not the waits', async () => {
    const { clock, sleeps } = movedBySleep();
    const attempts = new Attempts(clock);
    const patience = { ...STEADY, giveUpMs: 10_000 };
    const failFor = async (ms: number) => {
      for (const end = clock.now() + ms; clock.now() <= end; )
        assert.equal(await attempts.again(patience), true, `at ${clock.now()} ms`);
    };
    await failFor(8_000);
    attempts.progress();
    await failFor(8_000);
    assert.ok(sleeps.at(-1)! >= 500, 'the longest wait is still waited');
    await clock.sleep(10_000);
    assert.equal(await attempts.again(patience), false);
  });

  it('without a limit never end', async () => {
    const { clock } = movedBySleep();
    const attempts = new Attempts(clock);
    for (let i = 0; i < 3_000; i++) assert.equal(await attempts.again(STEADY), true);
  });

  it('at once do not sleep, but count', async () => {
    const { clock, sleeps } = movedBySleep();
    const attempts = new Attempts(clock);
    assert.equal(await attempts.again({ ...AT_ONCE, tries: 2 }), true);
    assert.equal(await attempts.again({ ...AT_ONCE, tries: 2 }), false);
    assert.deepEqual(sleeps, []);
  });
});

describe('retry', () => {
  const explain = (error: unknown) => new Error(`explained: ${(error as Error).message}`);

  it('returns the result of the first request that succeeds', async () => {
    const { clock, sleeps } = movedBySleep();
    let sent = 0;
    const request = async () => {
      if (++sent < 5) throw new Error('away');
      return 'here';
    };
    assert.equal(await retry(request, { clock, patience: () => STEADY, explain }), 'here');
    assert.deepEqual([sent, sleeps.length], [5, 4]);
  });

  it('throws the last error explained: one that does not pass at once, others when patience is over', async () => {
    for (const [patience, requests] of [
      [undefined, 1],
      [{ ...STEADY, tries: 4 }, 4],
    ] as [Patience | undefined, number][]) {
      const { clock } = movedBySleep();
      let sent = 0;
      const request = async () => {
        throw new Error(`failure ${++sent}`);
      };
      await assert.rejects(retry(request, { clock, patience: async () => patience, explain }), {
        message: `explained: failure ${requests}`,
      });
    }
  });

  it('decides by each error', async () => {
    const { clock, sleeps } = movedBySleep();
    const errors = ['moved', 'away', 'moved', 'refused'];
    const patience = (error: unknown) =>
      ({ moved: AT_ONCE, away: STEADY })[(error as Error).message as 'moved' | 'away'];
    const request = async () => {
      throw new Error(errors.shift());
    };
    await assert.rejects(retry(request, { clock, patience, explain }), { message: 'explained: refused' });
    assert.equal(sleeps.length, 1);
  });

  it('ends with the attempt that an aborted signal leaves', async () => {
    const aborted = new AbortController();
    const signals: unknown[] = [];
    const clock: Clock = {
      now: () => 0,
      sleep: async (_, signal) => {
        signals.push(signal);
        aborted.abort();
      },
    };
    let sent = 0;
    const request = async () => {
      throw new Error(`failure ${++sent}`);
    };
    const { signal } = aborted;
    await assert.rejects(retry(request, { clock, signal, patience: () => STEADY, explain }), {
      message: 'explained: failure 2',
    });
    assert.deepEqual(signals, [signal], 'the signal ends the wait');
  });
});
