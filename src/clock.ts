/** Wall time as a port, so that tests can control it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /**
   * Resolves after `ms`, or at once if `signal` aborts; never rejects. `sleep(0)` lets signals and timers run, which a
   * loop over resolved promises would starve.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Whether `ms` have passed since `since` (epoch ms). True if the clock was set back before it. */
export function hasPassed(clock: Clock, since: number, ms: number): boolean {
  const passed = clock.now() - since;
  return passed >= ms || passed < 0;
}

/** Longest delay of a timer in ms; Node fires a longer one at once. */
export const LONGEST_TIMER = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    let left = ms;
    for (; left > LONGEST_TIMER && !signal?.aborted; left -= LONGEST_TIMER)
      await sleep(LONGEST_TIMER, signal);
    await sleep(left, signal);
  },
};

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (ms <= 0 || signal?.aborted) {
      setImmediate(resolve);
      return;
    }
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}
