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
  if (!zone) {
    if (window.kind !== 'cumulating') return new Sliding(size_ms, slide_ms, offset_ms);
    return new Cumulating(growing(size_ms, window.step_ms, offset_ms));
  }
  const days = new SlidingDays(zone, size_ms / DAY_MS, slide_ms / DAY_MS, offset_ms / DAY_MS);
  return window.kind === 'cumulating'
    ? new Cumulating(growingDays(zone, days, size_ms, window.step_ms))
    : days;
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
    const day = this.#zone.dayAt(time);
    const ends: number[] = [];
    for (let start = this.latestStart(time); start > day - this.#size; start -= this.#slide) {
      const end = this.#zone.startOfDay(start + this.#size);
      // No window begins on a day that a zone left out, and one that ends on it ends with the day before.
      const isLeftOut = this.#zone.startOfDay(start) === this.#zone.startOfDay(start + 1);
      if (!isLeftOut && end !== ends.at(-1)) ends.push(end);
    }
    return { from: this.#zone.startOfDay(day), to: this.#zone.startOfDay(day + 1), ends: ends.reverse() };
  }

  /** The day on which the latest window that holds a time begins. */
  latestStart(time: number): number {
    const day = this.#zone.dayAt(time);
    return Math.floor((day - this.#offset) / this.#slide) * this.#slide + this.#offset;
  }

  startOf(end: number): number {
    return this.#zone.startOfDay(this.#zone.dayAt(end - 1) + 1 - this.#size);
  }

  labelOf(end: number): number {
    return this.startOf(end);
  }
}

/** The windows that begin together, and their ends. */
interface Growing {
  readonly from: number;
  /** The last end. */
  readonly to: number;
  /** The n-th end, from 1 on. Ends don't go back; where clocks change, two may be the same. */
  end(n: number): number;
  /** Not after the number of the first end behind a time. */
  guess(time: number): number;
}

/** Windows that begin together and end one step after the other, up to the whole. */
class Cumulating implements WindowTimes {
  readonly #growingAt: (time: number) => Growing;

  constructor(growingAt: (time: number) => Growing) {
    this.#growingAt = growingAt;
  }

  sliceAt(time: number): Slice {
    const { from, to, end, guess } = this.#growingAt(time);
    let n = Math.max(1, guess(time));
    while (end(n) <= time) n++;
    const begin = n > 1 ? end(n - 1) : from;
    const ends: number[] = [];
    for (let next = end(n); next < to; next = end(++n)) if (next !== ends.at(-1)) ends.push(next);
    ends.push(to);
    return { from: begin, to: ends[0]!, ends };
  }

  startOf(end: number): number {
    return this.#growingAt(end - 1).from;
  }

  labelOf(end: number): number {
    return this.sliceAt(end - 1).from;
  }
}

/** Steps of one length from the start of each window of a size. */
function growing(size: number, step: number, offset: number): (time: number) => Growing {
  return (time) => {
    const from = Math.floor((time - offset) / size) * size + offset;
    return {
      from,
      to: from + size,
      end: (n) => from + n * step,
      guess: (at) => Math.floor((at - from) / step),
    };
  };
}

/** Steps by the local clock, from the start of each window of some local days. */
function growingDays(
  zone: TimeZone,
  days: SlidingDays,
  size: number,
  step: number,
): (time: number) => Growing {
  return (time) => {
    const first = days.latestStart(time);
    const local = first * DAY_MS;
    const from = zone.startOfDay(first);
    const to = zone.startOfDay(first + size / DAY_MS);
    const end = (n: number) => {
      const at = local + n * step;
      // The clock shows nothing of a day that a zone left out.
      if (at <= zone.localOf(from)) return from;
      const instant = at % DAY_MS === 0 ? zone.startOfDay(at / DAY_MS) : zone.instantOf(at);
      return Math.min(to, Math.max(from, instant));
    };
    // Where clocks were put back, the local time of an instant may come again.
    return { from, to, end, guess: (at) => Math.floor((zone.localOf(at) - MOST_SHIFT_MS - local) / step) };
  };
}
