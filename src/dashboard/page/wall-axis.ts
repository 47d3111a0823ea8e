/** Axes of charts: round values at the side, and wall time below, in which times without a processor are cut short. */
import { roundStep } from './scale.ts';
import { wallClock, wallDay, wallMinute } from './wall-time.ts';
import type { PastPoint } from './wire.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [1, 2, 5, 10, 15, 30]
  .map((seconds) => seconds * SECOND)
  .concat(
    [1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE),
    [1, 2, 3, 6, 12].map((hours) => hours * HOUR),
    [1, 2, 7, 14, 28].map((days) => days * DAY),
  );
/** Of the width, the part that a time without a processor takes at most. */
const GAP_SHARE = 0.04;

/** The least of the usual steps with which `span` ms have at most `most` of them. */
export function timeStep(span: number, most: number): number {
  return STEPS.find((step) => span / step <= most) ?? STEPS.at(-1)! * Math.ceil(span / STEPS.at(-1)! / most);
}

/** Values from 0 to at least `most`, round and not many. */
export function roundTicks(most: number, number = 4): number[] {
  const step = roundStep(most / number);
  const ticks: number[] = [];
  for (let i = 0; ; i++) {
    ticks.push(Number((i * step).toPrecision(12)));
    if (i * step >= most) return ticks;
  }
}

/** Multiples of a usual step between two times, for a span of event time or of lag. */
export function timeTicks(from: number, to: number, most: number): number[] {
  const step = timeStep(Math.max(1, to - from), most);
  const ticks: number[] = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) ticks.push(at);
  return ticks;
}

export interface Gap {
  readonly from: number;
  readonly to: number;
  readonly x1: number;
  readonly x2: number;
}

/** Wall time across a chart. */
export class TimeAxis {
  readonly gaps: readonly Gap[];
  /** Wall times and where they lie, ascending. */
  readonly #stops: readonly { readonly at: number; readonly x: number }[];

  constructor(points: readonly PastPoint[], left: number, right: number) {
    let running = 0;
    for (let i = 1; i < points.length; i++)
      if (!points[i]!.begins) running += points[i]!.at - points[i - 1]!.at;
    const begins = points.filter((point, i) => point.begins && i > 0).length;
    // Many gaps share the room of a third.
    const share = Math.min(GAP_SHARE, 1 / 3 / Math.max(1, begins));
    const cut = Math.max(1, running) * share;
    const lengths = points.map((point, i) => {
      const length = i === 0 ? 0 : point.at - points[i - 1]!.at;
      return point.begins ? Math.min(length, cut) : length;
    });
    const whole = Math.max(
      1,
      lengths.reduce((sum, length) => sum + length, 0),
    );
    let passed = 0;
    const stops = points.map(({ at }, i) => {
      passed += lengths[i]!;
      return { at, x: left + (passed / whole) * (right - left) };
    });
    this.#stops = stops;
    this.gaps = points.flatMap((point, i) => {
      const before = stops[i - 1];
      return point.begins && before ? [{ from: before.at, to: point.at, x1: before.x, x2: stops[i]!.x }] : [];
    });
  }

  x(at: number): number {
    const next = this.#stops.findIndex((stop) => stop.at >= at);
    const to = this.#stops[next < 0 ? this.#stops.length - 1 : next]!;
    const from = this.#stops[next - 1];
    if (!from || next < 0) return to.x;
    return from.x + ((at - from.at) / Math.max(1, to.at - from.at)) * (to.x - from.x);
  }

  /** Times to be named below the chart, at least `apart` pixels from one another. */
  ticks(apart: number): { readonly x: number; readonly text: string }[] {
    const [first, last] = [this.#stops[0], this.#stops.at(-1)];
    if (!first || !last || last.x <= first.x) return [];
    const gaps = this.gaps.reduce((sum, { from, to }) => sum + (to - from), 0);
    const step = timeStep(
      Math.max(SECOND, last.at - first.at - gaps),
      Math.max(1, (last.x - first.x) / apart),
    );
    const offset = new Date(first.at).getTimezoneOffset() * MINUTE;
    const ticks: { x: number; text: string }[] = [];
    let day = wallDay(first.at);
    for (const { from, to } of this.#runs()) {
      for (let at = Math.ceil((from - offset) / step) * step + offset; at <= to; at += step) {
        const x = this.x(at);
        const before = ticks.at(-1);
        if (before && x - before.x < apart) continue;
        const isNewDay = wallDay(at) !== day;
        day = wallDay(at);
        ticks.push({
          x,
          text: step >= DAY || isNewDay ? day : step < MINUTE ? wallClock(at) : wallMinute(at),
        });
      }
    }
    // A run that is shorter than a second still has a time.
    if (ticks.length === 0) ticks.push({ x: (first.x + last.x) / 2, text: wallClock(last.at) });
    return ticks;
  }

  /** Spans of time in which a processor ran. */
  #runs(): { from: number; to: number }[] {
    const starts = [this.#stops[0]!.at, ...this.gaps.map(({ to }) => to)];
    const ends = [...this.gaps.map(({ from }) => from), this.#stops.at(-1)!.at];
    return starts.map((from, i) => ({ from, to: ends[i]! }));
  }
}
