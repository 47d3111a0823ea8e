/** The other views of the job, each as a small chart of its totals; a click goes to it. */
import { byId, fill, make, setText } from './elements.ts';
import { wholeSeries, wordSeries } from './figures.ts';
import { spanWords } from './format.ts';
import { type Frame, filled } from './frames.ts';
import { chartKey, type Line, Lines } from './lines.ts';
import { captionOf, figureText, firstMetric, keysOf, type Metric, metricsOf, placeOf } from './metrics.ts';
import type { TotalUpdate, ViewShape, ViewTotals } from './wire.ts';

const MOST_SHOWN = 3;
const MOST_LINES = 3;

export class Others {
  readonly #box = byId('other-views');
  readonly #onView: (view: string, at: number | undefined) => void;
  readonly #totals = new Map<string, Map<number, TotalUpdate>>();
  #shapes: readonly ViewShape[] = [];
  readonly #shown = new Map<string, OtherView>();

  constructor(onView: (view: string, at: number | undefined) => void) {
    this.#onView = onView;
  }

  begin(shapes: readonly ViewShape[], totals: readonly ViewTotals[]): void {
    this.#shapes = shapes;
    this.#totals.clear();
    this.take(totals);
  }

  take(totals: readonly ViewTotals[]): void {
    for (const { view, windows } of totals) {
      const known = this.#totals.get(view) ?? new Map<number, TotalUpdate>();
      this.#totals.set(view, known);
      for (const total of windows) known.set(total.label, total);
    }
  }

  /** Shows the views besides one. */
  show(current: ViewShape): void {
    const others = this.#shapes
      .filter(({ name }) => name !== current.name && this.#totals.has(name))
      .slice(0, MOST_SHOWN);
    byId('others').hidden = others.length === 0;
    byId('others').dataset['count'] = String(others.length);
    for (const [name, view] of this.#shown) {
      if (others.some((other) => other.name === name)) continue;
      view.element.remove();
      this.#shown.delete(name);
    }
    for (const shape of others) {
      const view = this.#shown.get(shape.name) ?? this.#add(shape);
      view.show(shape, [...this.#totals.get(shape.name)!.values()]);
    }
  }

  mark(frame: Frame): void {
    for (const view of this.#shown.values()) view.mark(frame);
  }

  #add({ name }: ViewShape): OtherView {
    const view = new OtherView((at) => this.#onView(name, at));
    this.#shown.set(name, view);
    this.#box.append(view.element);
    return view;
  }
}

class OtherView {
  readonly element: HTMLElement;
  readonly #title = make('button', { type: 'button', class: 'view-link' });
  readonly #key = make('div', { class: 'key' });
  readonly #chart: Lines;
  #frames: readonly Frame[] = [];
  #lines: readonly Line[] = [];
  #metric: Metric | undefined;

  constructor(onView: (at: number | undefined) => void) {
    const chart = make('div', { class: 'chart small' });
    this.element = make(
      'div',
      { class: 'other' },
      make('div', { class: 'title' }, this.#title, this.#key),
      chart,
    );
    this.#title.addEventListener('click', () => onView(undefined));
    const text = (value: number) => figureText(value, this.#metric ?? { isTime: false });
    this.#chart = new Lines(chart, { onPick: (index) => onView(this.#frames[index]?.label), text });
  }

  show(shape: ViewShape, totals: TotalUpdate[]): void {
    const metric = firstMetric(shape, metricsOf(shape));
    if (!metric) return;
    this.#metric = metric;
    totals.sort((a, b) => a.label - b.label);
    const frames = totals.map(({ label, start, end, ...rest }) => ({
      label,
      start,
      end,
      rows: undefined,
      total: { label, start, end, ...rest },
    }));
    this.#frames = filled(frames, shape);
    this.#lines = linesOf(shape, this.#frames, metric);
    setText(this.#title, captionOf(shape, metric));
    this.#chart.show(this.#frames, this.#lines, metric.isTime);
  }

  /** Marks the last window that has a part in another view's; the key says which one that is if it has other times. */
  mark({ start, end }: Frame): void {
    const index = this.#frames.findLastIndex((frame) => frame.start < end && frame.end > start);
    const found = this.#frames[index];
    this.#chart.mark(index);
    const text = (value: number) => figureText(value, this.#metric!);
    const isSame = !found || (found.start === start && found.end === end);
    const when = isSame ? [] : make('small', {}, spanWords(found.start, found.end, start));
    fill(this.#key, when, chartKey(this.#lines, index, text));
  }
}

/** The most frequent words of a view, or the whole of its windows. */
function linesOf(shape: ViewShape, list: readonly Frame[], metric: Metric): Line[] {
  const hasWords = keysOf(shape).length > 0 && (placeOf(shape) !== undefined || shape.keys.length === 1);
  const words = hasWords ? wordSeries({ list }, shape, metric, new Map(), MOST_LINES, []) : [];
  const all =
    words.length > 0 ? words : [{ ...wholeSeries({ list }, metric, new Map()), name: metric.label }];
  return all.map((line, i) => ({ ...line, colour: i + 1 }));
}
