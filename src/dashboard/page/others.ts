/** The other views of the job, each as a small chart of its totals; a click goes to it. */
import { byId, fill, make, setText } from './elements.ts';
import type { Series } from './figures.ts';
import type { Frame } from './frames.ts';
import { chartKey, type Line, Lines } from './lines.ts';
import {
  captionOf,
  figureText,
  firstMetric,
  keysOf,
  lineOf,
  type Metric,
  metricsOf,
  placeOf,
} from './metrics.ts';
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
    this.#frames = totals.map((total) => ({ ...total, rows: undefined, total }));
    this.#lines = linesOf(shape, totals, metric);
    setText(this.#title, captionOf(shape, metric));
    this.#chart.show(this.#frames, this.#lines, metric.isTime);
  }

  /** Marks the window at the time of another view's. */
  mark({ start }: Frame): void {
    const index = this.#frames.findLastIndex((frame) => frame.start <= start);
    this.#chart.mark(Math.max(0, index));
    const text = (value: number) => figureText(value, this.#metric!);
    fill(this.#key, chartKey(this.#lines, index, text));
  }
}

function linesOf(shape: ViewShape, totals: readonly TotalUpdate[], { at, label }: Metric): Line[] {
  const keys = keysOf(shape);
  const names = new Map<string, number>();
  if (placeOf(shape) || shape.keys.length === 1) {
    for (const { groups } of totals) {
      for (const { key, values, of } of groups ?? []) {
        const name = lineOf(keys, key);
        if (name !== '') names.set(name, (names.get(name) ?? 0) + Math.abs(of[at] ?? values[at] ?? 0));
      }
    }
  }
  const series = (
    name: string,
    total: (
      update: TotalUpdate,
    ) => { values: readonly (number | null)[]; of: readonly (number | null)[] } | undefined,
  ): Series => ({
    name,
    values: Float64Array.from(totals, (update) => total(update)?.values[at] ?? Number.NaN),
    of: Float64Array.from(totals, (update) => total(update)?.of[at] ?? Number.NaN),
  });
  const shown = [...names].sort((a, b) => b[1] - a[1]).slice(0, MOST_LINES);
  const all =
    shown.length === 0
      ? [series(label, ({ all }) => all)]
      : shown.map(([name]) =>
          series(name, ({ groups }) => groups?.find(({ key }) => lineOf(keys, key) === name)),
        );
  return all.map((line, i) => ({ ...line, colour: i + 1 }));
}
