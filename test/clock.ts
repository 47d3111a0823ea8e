/** The one clock of the tests: time passes only when a test says so or when everybody waits for it. */
import { setImmediate, setTimeout as wait } from 'node:timers/promises';
import type { Clock } from '../src/clock.ts';

export interface TestClockOptions {
  /** The time without any sleep, as epoch ms; `Date.now` for work with servers that stamp records themselves. */
  readonly base?: () => number;
  /** Ms that pass each time somebody reads the clock. */
  readonly tick?: number;
  /**
   * The most ms that pass in one real ms. For tests whose work goes on outside the event loop (a server, zlib's threads):
   * without it, time would run on while the work goes on, and end everybody's patience.
   */
  readonly step?: number;
}

interface Timer {
  readonly due: number;
  readonly ring: () => void;
}

export const START = Date.UTC(2020, 0, 1);

/**
 * Jumps to the next timer once everything that can run without one has run. Timers ring one at a time, by when they are
 * due, and in the order they were set where that is the same.
 */
export class TestClock implements Clock {
  readonly #base: () => number;
  readonly #tick: number;
  readonly #step: number;
  #passed = 0;
  #running = false;
  /** In the order in which they ring. */
  readonly #timers: Timer[] = [];

  constructor({ base = () => START, tick = 0, step = Number.POSITIVE_INFINITY }: TestClockOptions = {}) {
    this.#base = base;
    this.#tick = tick;
    this.#step = step;
  }

  now(): number {
    this.#passed += this.#tick;
    return this.time;
  }

  /** The time, without a tick. */
  get time(): number {
    return this.#base() + this.#passed;
  }

  /** Moves the time at once, back where `ms` is negative; timers that are due ring in the next turn. */
  advance(ms: number): void {
    this.#passed += ms;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        cancel();
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      const cancel = this.after(ms, wake);
      signal?.addEventListener('abort', wake);
    });
  }

  /** Calls `ring` in `ms`, rounded up to a whole ms; returns what cancels it. */
  after(ms: number, ring: () => void): () => void {
    const timer = { due: Math.ceil(this.time + Math.max(0, ms)), ring };
    this.#timers.splice(this.#timers.findLastIndex(({ due }) => due <= timer.due) + 1, 0, timer);
    if (!this.#running) void this.#run();
    return () => {
      const place = this.#timers.indexOf(timer);
      if (place >= 0) this.#timers.splice(place, 1);
    };
  }

  async #run(): Promise<void> {
    this.#running = true;
    const stepped = Number.isFinite(this.#step);
    while (this.#timers.length > 0) {
      if (!stepped) await this.#ringNext(Number.POSITIVE_INFINITY);
      else {
        await wait(1);
        const end = this.time + this.#step;
        while (this.#timers[0] && this.#timers[0].due <= end) await this.#ringNext(end);
        this.#moveTo(end);
      }
    }
    this.#running = false;
  }

  /** Lets everything else run first, which may set an earlier timer. */
  async #ringNext(end: number): Promise<void> {
    await setImmediate();
    const [next] = this.#timers;
    if (!next || next.due > end) return;
    this.#timers.shift();
    this.#moveTo(next.due);
    next.ring();
  }

  #moveTo(time: number): void {
    this.#passed += Math.max(0, time - this.time);
  }
}
