/** Keeps the colour scale of a figure, and draws it. It changes only when it must, and then says so. */
import { byId, fill, make, setText } from './elements.ts';
import { stamp } from './format.ts';
import type { Frame, Frames } from './frames.ts';
import { figureText, type Metric } from './metrics.ts';
import { countScale, evenScale, fits, type Range, type Scale, STEPS, stepOf } from './scale.ts';

/** Windows that a scale is made from, at most. */
const WINDOWS = 400;

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
  fit(frames: Frames, metric: Metric, grows: boolean): boolean {
    const { range, values } = rangeOf(frames, metric);
    if (!range) return false;
    const isFirst = this.#scale.least.length === 0;
    if (!isFirst && fits(this.#scale, range)) return false;
    const isCount = metric.combine !== undefined && range.low >= 0 && !metric.isTime;
    this.#scale = isCount ? countScale(range, grows) : evenScale(values());
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

/** The least and greatest value, and all values of some windows. */
function rangeOf({ list }: Frames, metric: Metric): { range: Range | undefined; values: () => number[] } {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { rows } of list) {
    for (const value of rows?.values[metric.at] ?? []) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  const values = () => {
    const every = Math.ceil(list.length / WINDOWS);
    const found: number[] = [];
    for (let i = 0; i < list.length; i += every)
      for (const value of list[i]!.rows?.values[metric.at] ?? []) if (!Number.isNaN(value)) found.push(value);
    return found;
  };
  return { range: low <= high ? { low, high } : undefined, values };
}
