/** Keeps the colour scale of a figure, and draws it. It changes only when it must, and then says so. */
import { byId, fill, make, setText } from './elements.ts';
import { byArea, type Filter } from './figures.ts';
import { stamp } from './format.ts';
import type { Frame, Frames } from './frames.ts';
import { figureText, keysOf, type Metric, placeOf } from './metrics.ts';
import { coreRange, countScale, evenScale, fits, type Range, type Scale, STEPS, stepOf } from './scale.ts';
import type { Selection } from './selection.ts';
import type { ViewShape } from './wire.ts';

/** Values that a scale of other figures than counts is made from, at most. */
const SAMPLE = 20_000;

export class ScaleKeeper {
  #scale: Scale = { least: [] };
  #drawn = '';

  clear(): void {
    this.#scale = { least: [] };
    byId('scale-note').hidden = true;
  }

  stepOf(value: number): number {
    return stepOf(value, this.#scale);
  }

  /** Makes a scale if there is none, or if it doesn't fit any more; `grows`: more is to come. Returns whether it had to change. */
  fit(frames: Frames, { shape, metric }: Selection, filter: Filter, grows: boolean): boolean {
    // The first of many are close together.
    const isCount = metric.combine !== undefined && !metric.isTime && !shape.top;
    const drawn = drawnValues(frames, shape, metric, filter);
    const range = isCount ? wholeRange(drawn) : coreRange(sample(drawn));
    if (!range) return false;
    const isFirst = this.#scale.least.length === 0;
    if (!isFirst && fits(this.#scale, range, metric.isTime)) return false;
    this.#scale = isCount && range.low >= 0 ? countScale(range, grows) : evenScale(range);
    return !isFirst;
  }

  /** `changedAt` is the window at which it had to change. */
  draw(metric: Metric, changedAt: Frame | undefined): void {
    const { least } = this.#scale;
    const drawn = `${metric.label} ${least.join()}`;
    if (changedAt) {
      byId('scale-note').hidden = false;
      setText(
        byId('scale-note'),
        `The colours were set anew at ${stamp(changedAt.start)}: there is much more now.`,
      );
    }
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const steps = least.map((value, i) => {
      const text = figureText(value, metric);
      return make('span', { class: `step step-${i + 1}` }, make('i'), i + 1 < STEPS ? text : `${text}+`);
    });
    fill(byId('scale'), make('p', {}, `${metric.label} in a window`), make('div', {}, steps));
  }
}

/** The values of each window as they are drawn: those of several keys of an area together. */
function drawnValues(frames: Frames, shape: ViewShape, metric: Metric, filter: Filter): Float64Array[] {
  const isJoined = placeOf(shape) !== undefined && keysOf(shape).length > 0;
  return frames.list.flatMap(({ rows }) => {
    const own = rows?.values[metric.at];
    if (!rows || !own) return [];
    return isJoined ? byArea(rows, metric, filter, frames.areas.all.length) : own;
  });
}

function wholeRange(windows: readonly Float64Array[]): Range | undefined {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const values of windows) {
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return low <= high ? { low, high } : undefined;
}

/** Values of all windows, evenly picked. */
function sample(windows: readonly Float64Array[]): number[] {
  const count = windows.reduce((sum, { length }) => sum + length, 0);
  const every = Math.max(1, Math.ceil(count / SAMPLE));
  const found: number[] = [];
  let skip = 0;
  for (const values of windows) {
    for (; skip < values.length; skip += every) {
      const value = values[skip]!;
      if (!Number.isNaN(value)) found.push(value);
    }
    skip -= values.length;
  }
  return found;
}
