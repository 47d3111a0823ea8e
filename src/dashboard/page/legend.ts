/** Keeps the colour scale of a figure, and draws it. It changes only when it must, and then says so. */
import { byId, fill, make, setText } from './elements.ts';
import { stamp } from './format.ts';
import type { Frame, Frames } from './frames.ts';
import { figureText, type Metric } from './metrics.ts';
import { coreRange, countScale, evenScale, fits, type Range, type Scale, STEPS, stepOf } from './scale.ts';

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
  fit(frames: Frames, metric: Metric, grows: boolean): boolean {
    const isCount = metric.combine !== undefined && !metric.isTime;
    const range = isCount ? wholeRange(frames, metric) : coreRange(sample(frames, metric));
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

function wholeRange({ list }: Frames, metric: Metric): Range | undefined {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { rows } of list) {
    for (const value of rows?.values[metric.at] ?? []) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return low <= high ? { low, high } : undefined;
}

/** Values of all windows, evenly picked. */
function sample({ list }: Frames, metric: Metric): number[] {
  const count = list.reduce((sum, { rows }) => sum + (rows?.count ?? 0), 0);
  const every = Math.max(1, Math.ceil(count / SAMPLE));
  const found: number[] = [];
  let skip = 0;
  for (const { rows } of list) {
    const values = rows?.values[metric.at] ?? [];
    for (; skip < values.length; skip += every) {
      const value = values[skip]!;
      if (!Number.isNaN(value)) found.push(value);
    }
    skip -= values.length;
  }
  return found;
}
