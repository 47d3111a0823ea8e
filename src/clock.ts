/** Wall time as a port, so that tests drive it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /**
   * Resolves after `ms`, or at once when `signal` aborts; never rejects. `sleep(0)` lets signals and timers have
   * their turn, which a loop of promises that are already resolved would keep from them.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Whether `ms` have passed since a time, or a clock that was set back leaves that unknown. */
export function hasPassed(clock: Clock, since: number, ms: number): boolean {
  const passed = clock.now() - since;
  return passed >= ms || passed < 0;
}

/** What a timer takes, in ms: a longer one would be over at once. */
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
