/** The axes of charts: round times along the bottom, round values at the side. */
import type { Series } from './figures.ts';
import { localMs, shortDayOf, timeOf } from './format.ts';
import type { Frame } from './frames.ts';
import { roundStep } from './scale.ts';

/** Least distance of the thumb's centre from the ends of the track, in pixels. */
export const INSET = 9;
const LABEL_WIDTH = 44;
const ROOMY_LABEL_WIDTH = 64;
const MINUTE = 60_000;
const TICKS = [10, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080, 20160, 43200].map(
  (minutes) => minutes * MINUTE,
);
const DAY = 1440 * MINUTE;
/** Values closer together than this are drawn as one: steps between them would have no exact length. */
const LEAST_SPAN = 1e-100;

/** Position of a window on an axis of all windows, in pixels. */
export function placeOf(index: number, windows: number, width: number): number {
  return windows > 1 ? INSET + (index / (windows - 1)) * Math.max(0, width - 2 * INSET) : width / 2;
}

export interface Tick {
  readonly index: number;
  readonly x: number;
  readonly text: string;
  readonly isDay: boolean;
}

/** Round times with enough room for their labels. */
export function ticks(frames: readonly Frame[], width: number): Tick[] {
  if (frames.length < 2 || width < 2 * INSET + LABEL_WIDTH) return [];
  const room = width > 600 ? ROOMY_LABEL_WIDTH : LABEL_WIDTH;
  const span = frames.at(-1)!.label - frames[0]!.label;
  const step = span / (frames.length - 1);
  const perLabel = (room / (width - 2 * INSET)) * span;
  const every = TICKS.find((size) => size >= perLabel && size >= step) ?? TICKS.at(-1)!;
  const found: Tick[] = [];
  frames.forEach(({ label }, index) => {
    const x = placeOf(index, frames.length, width);
    const before = frames[index - 1];
    const time = localMs(label);
    if (!isRound(time, before && localMs(before.label), every) || x < 16 || x > width - 16) return;
    if (x - (found.at(-1)?.x ?? -room) < room * 0.8) return;
    const isDay = time % DAY === 0 || every >= DAY;
    found.push({ index, x, text: isDay ? shortDayOf(label) : timeOf(label), isDay });
  });
  return found;
}

/** Whether a round time is at a window, or between it and the one before. */
function isRound(time: number, before: number | undefined, every: number): boolean {
  if (time % every === 0) return true;
  return before !== undefined && every > DAY && Math.floor(time / every) > Math.floor(before / every);
}

/** The ends of the value axis and its steps: round numbers, from 0 on unless there are negative values. */
export function axisOf(
  lines: readonly Series[],
  most: number,
  isTime = false,
): readonly [low: number, high: number, every: number] {
  let [low, high] = [isTime ? Number.POSITIVE_INFINITY : 0, Number.NEGATIVE_INFINITY];
  for (const { values, band } of lines) {
    for (const list of band ? [values, ...band] : [values]) {
      for (const value of list) {
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
  }
  if (!Number.isFinite(low)) low = 0;
  if (!(high - low > LEAST_SPAN)) high = low + 1;
  const every = roundStep((high - low) / most);
  return [Math.floor(low / every) * every, Math.ceil(high / every) * every, every];
}

/** The values with a name on an axis. */
export function steps(low: number, high: number, every: number): number[] {
  const count = Math.round((high - low) / every);
  return Array.from({ length: count + 1 }, (_, i) => Number((low + i * every).toPrecision(12)));
}
