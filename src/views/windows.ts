/**
 * When windows begin and end. Windows that are the same for all keys cut time into slices: spans within which each time is in the
 * same windows. A session belongs to a key, and is put together from slices as long as its gap (`engine/windows/sessions.ts`).
 */
import { type TimeZone, timeZoneOf } from '../events/time-zones.ts';
import type { Window } from './language.ts';

const DAY_MS = 86_400_000;
/** Ms by which the watermark of pick-ups is behind that of drop-offs: a longer trip is late in a view by pick-up. */
export const PICKUP_LAG_MS = 6 * 3_600_000;
/** A local day is longer or shorter by less than this. */
const MOST_SHIFT_MS = 3 * 3_600_000;

/** A span of times, from ≤ time < to, epoch ms, and the ends of the windows that hold it, ascending. */
export interface Slice {
  readonly from: number;
  readonly to: number;
  readonly ends: readonly number[];
}

/** The windows of a view: each is known by its end. */
export interface WindowTimes {
  sliceAt(time: number): Slice;
  startOf(end: number): number;
  /** What lists know a window by: its start or, where several begin together, that of its last slice. */
  labelOf(end: number): number;
}

/** Whether results have starts of their own, earlier than what lists know their window by. */
export function hasOwnStarts({ kind }: Window): boolean {
  return kind === 'session' || kind === 'cumulating';
}

/** The ends, from ≤ end < to, of the results that lists know by a label, where results have starts of their own. */
export function endsOfLabel(window: Window, label: number): readonly [from: number, to: number] {
  const end = windowTimes(window).sliceAt(label).ends[0]!;
  return window.kind === 'session' ? [end, end + window.gap_ms] : [end, end + 1];
}

export function windowTimes(window: Window): WindowTimes {
  if (window.kind === 'session') return new Sliding(window.gap_ms, window.gap_ms, 0);
  const { offset_ms = 0, size_ms } = window;
  const zone = window.time_zone === undefined ? undefined : timeZoneOf(window.time_zone)!;
  const slide_ms = window.kind === 'sliding' ? window.slide_ms : size_ms;
  if (window.kind !== 'cumulating')
    return zone
      ? new SlidingDays(zone, size_ms / DAY_MS, slide_ms / DAY_MS, offset_ms / DAY_MS)
      : new Sliding(size_ms, slide_ms, offset_ms);
  const whole = windowTimes({ ...window, kind: 'tumbling' });
  return new Cumulating(whole, window.step_ms);
}

/** The most windows that a time is in. */
export function windowsPerTrip(window: Window): number {
  if (window.kind === 'sliding') return Math.ceil(window.size_ms / window.slide_ms);
  return window.kind === 'cumulating' ? Math.ceil((window.size_ms + MOST_SHIFT_MS) / window.step_ms) : 1;
}

/** Ms from the start by which results of a window are kept to their last end, at most. */
export function longestSpan(window: Window): number {
  if (window.kind === 'session') return 2 * window.gap_ms;
  return window.time_zone === undefined ? window.size_ms : window.size_ms + MOST_SHIFT_MS;
}

/** Tumbling and sliding windows, aligned to the epoch and an offset. */
class Sliding implements WindowTimes {
  readonly #size: number;
  readonly #slide: number;
  readonly #offset: number;

  constructor(size: number, slide: number, offset: number) {
    this.#size = size;
    this.#slide = slide;
    this.#offset = offset;
  }

  sliceAt(time: number): Slice {
    const start = this.#latest(time);
    const end = this.#latest(time - this.#size) + this.#size;
    const ends: number[] = [];
    for (let next = end + this.#slide; next <= start + this.#size; next += this.#slide) ends.push(next);
    return { from: Math.max(start, end), to: Math.min(start, end) + this.#slide, ends };
  }

  startOf(end: number): number {
    return end - this.#size;
  }

  labelOf(end: number): number {
    return this.startOf(end);
  }

  /** The latest start at or before a time. */
  #latest(time: number): number {
    return Math.floor((time - this.#offset) / this.#slide) * this.#slide + this.#offset;
  }
}

/** Windows of whole local days, of 23 to 25 hours each. */
class SlidingDays implements WindowTimes {
  readonly #zone: TimeZone;
  readonly #size: number;
  readonly #slide: number;
  readonly #offset: number;

  /** All in days. */
  constructor(zone: TimeZone, size: number, slide: number, offset: number) {
    this.#zone = zone;
    this.#size = size;
    this.#slide = slide;
    this.#offset = offset;
  }

  sliceAt(time: number): Slice {
    const day = this.#zone.dayOf(time);
    const last = Math.floor((day - this.#offset) / this.#slide) * this.#slide + this.#offset;
    const ends: number[] = [];
    for (let start = last; start > day - this.#size; start -= this.#slide)
      ends.push(this.#zone.startOfDay(start + this.#size));
    return { from: this.#zone.startOfDay(day), to: this.#zone.startOfDay(day + 1), ends: ends.reverse() };
  }

  startOf(end: number): number {
    // A day that a zone left out begins with the one after it.
    return this.#zone.startOfDay(this.#zone.dayOf(end - 1) + 1 - this.#size);
  }

  labelOf(end: number): number {
    return this.startOf(end);
  }
}

/** Windows that begin together and end one step after the other, up to the whole. */
class Cumulating implements WindowTimes {
  readonly #whole: WindowTimes;
  readonly #step: number;

  constructor(whole: WindowTimes, step: number) {
    this.#whole = whole;
    this.#step = step;
  }

  sliceAt(time: number): Slice {
    const { from, to } = this.#whole.sliceAt(time);
    const first = from + Math.floor((time - from) / this.#step) * this.#step;
    const ends: number[] = [];
    for (let end = first + this.#step; end < to; end += this.#step) ends.push(end);
    ends.push(to);
    return { from: first, to: ends[0]!, ends };
  }

  startOf(end: number): number {
    return this.#whole.sliceAt(end - 1).from;
  }

  labelOf(end: number): number {
    return this.sliceAt(end - 1).from;
  }
}
