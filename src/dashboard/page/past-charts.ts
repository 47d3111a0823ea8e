/** The course of a job over wall time: rates, watermark and lag, each with its peak, and with the times when no processor ran. */

import { Chart, type Drawing, type Frame, lowerAxis, peakMark, sideAxis } from './charts.ts';
import { type Content, draw, make, renew } from './elements.ts';
import { age, count, rate, shortDayOf, stamp, timeOf } from './format.ts';
import { roundTicks, TimeAxis, timeTicks } from './wall-axis.ts';
import { wallStamp, ZONE } from './wall-time.ts';
import type { Past, PastPoint } from './wire.ts';

const HEIGHT = 190;
const DAY = 86_400_000;
const HOUR = 3_600_000;
/** Pixels between two times below a chart. */
const APART = 84;
const LEAST_GAP_TEXT = 70;

interface Measure {
  readonly name: string;
  /** What the average of an interval is, and the most in it. */
  value(point: PastPoint, before: PastPoint): number;
  most(point: PastPoint): number;
  text(value: number): string;
  ticks(most: number): readonly number[];
}

const perSecond = (name: string, total: 'trips' | 'results', most: 'mostTrips' | 'mostResults'): Measure => ({
  name,
  value: (point, before) =>
    Math.min(
      point[most],
      Math.max(0, point[total] - before[total]) / Math.max(1, (point.at - before.at) / 1_000),
    ),
  most: (point) => point[most],
  text: (value) => `${rate(value)} /s`,
  ticks: (value) => roundTicks(Math.max(1, value)),
});

const MEASURES: readonly Measure[] = [
  perSecond('Trips', 'trips', 'mostTrips'),
  perSecond('Results', 'results', 'mostResults'),
  {
    name: 'Lag',
    value: ({ lagMs }) => lagMs,
    most: ({ lagMs }) => lagMs,
    text: (value) => (value > 0 && value < 1_000 ? `${count(value)} ms` : age(value)),
    ticks: (value) => {
      const ticks = timeTicks(0, Math.max(1_000, value), 4);
      // One more, so that the peak lies below it.
      return ticks.at(-1)! >= value ? ticks : [...ticks, ticks.at(-1)! + (ticks[1]! - ticks[0]!)];
    },
  },
];

export class PastCharts {
  readonly element: HTMLElement;
  readonly #charts: readonly Chart[];
  readonly #note = make('p', { class: 'quiet' });
  #past: Past | undefined;
  #arrival = false;

  constructor() {
    const [trips, results, lag] = MEASURES.map(
      (measure) =>
        new Chart(HEIGHT, (frame) =>
          this.#drawing(frame, (axis, points) => measured(frame, axis, points, measure)),
        ),
    );
    const watermark = new Chart(HEIGHT, (frame) =>
      this.#drawing(frame, (axis, points) => watermarks(frame, axis, points, this.#zoneOfEvents())),
    );
    this.#charts = [trips!, results!, watermark, lag!];
    const figure = (title: string, note: string, chart: Chart) =>
      make(
        'figure',
        {},
        make('figcaption', {}, make('b', {}, title), note === '' ? '' : ` ${note}`),
        chart.element,
      );
    const figures = [
      figure('Trips read', 'a second', trips!),
      figure('Results written', 'a second', results!),
      figure('Watermark', 'event time by which windows have fired', watermark),
      figure('Lag', 'time since the last trip read arrived, of the shard furthest behind', lag!),
    ];
    renew(this.#note, this.#noteText());
    this.element = make('div', {}, this.#note, make('div', { class: 'charts' }, figures));
  }

  show(past: Past, eventTime: 'dropoff' | 'arrival'): void {
    this.#past = past;
    this.#arrival = eventTime === 'arrival';
    renew(this.#note, this.#noteText());
    for (const chart of this.#charts) chart.draw();
  }

  #noteText(): string {
    const { points = [], step = 0 } = this.#past ?? {};
    const runs = points.filter(({ begins }) => begins).length;
    if (points.length < 2) return 'The course of the job appears when a processor has run for a second.';
    const from = points[0]!.at;
    const to = points.at(-1)!.at;
    const gaps = runs > 1 ? `, ${count(runs)} runs; hatched: no processor ran` : '';
    return `${wallStamp(from, to)} to ${wallStamp(to, to)}, your time (${ZONE}); a point is ${age(step)}, the thin line its peak${gaps}.`;
  }

  #zoneOfEvents(): string {
    return this.#arrival ? 'arrival time, UTC' : 'trip time, as in the files';
  }

  #drawing(frame: Frame, drawn: (axis: TimeAxis, points: readonly PastPoint[]) => Drawing): Drawing {
    const points = this.#past?.points ?? [];
    if (points.length < 2) return { content: [], points: [], label: 'nothing yet' };
    const axis = new TimeAxis(points, frame.left, frame.right);
    const { content, ...rest } = drawn(axis, points);
    return {
      ...rest,
      content: [hatching(), gaps(frame, axis), content, lowerAxis(frame, axis.ticks(APART))],
    };
  }
}

/** Each interval as a step: its average as an area, its most as a line. */
function measured(frame: Frame, axis: TimeAxis, points: readonly PastPoint[], measure: Measure): Drawing {
  const intervals = points.flatMap((point, i) => {
    const before = points[i - 1];
    if (!before || point.begins) return [];
    const x1 = axis.x(before.at);
    const x2 = axis.x(point.at);
    return [{ point, x1, x2, value: measure.value(point, before), most: measure.most(point) }];
  });
  const peak = intervals.reduce((best, found) => (found.most > best.most ? found : best), intervals[0]!);
  if (!peak) return { content: [], points: [], label: 'nothing yet' };
  const ticks = measure.ticks(peak.most);
  const top = ticks.at(-1)!;
  const y = (value: number) => frame.bottom - (value / top) * (frame.bottom - frame.top);
  const base = frame.bottom.toFixed(1);
  const area = intervals
    .map(
      ({ x1, x2, value }) => `M${x1.toFixed(1)} ${base} V${y(value).toFixed(1)} H${x2.toFixed(1)} V${base} Z`,
    )
    .join(' ');
  const steps = intervals
    .map(({ point, x1, x2, most }, i) => {
      const goesOn = i > 0 && intervals[i - 1]!.x2 === x1 && !point.begins;
      return `${goesOn ? '' : `M${x1.toFixed(1)} ${y(most).toFixed(1)} `}V${y(most).toFixed(1)} H${x2.toFixed(1)}`;
    })
    .join(' ');
  const last = points.at(-1)!.at;
  const peakText = `peak ${measure.text(peak.most)}`;
  return {
    content: [
      sideAxis(
        frame,
        ticks.map((value) => ({ y: y(value), text: measure.text(value) })),
      ),
      draw('path', { class: 'area', d: area }),
      draw('path', { class: 'most', d: steps }),
      peak.most > 0 ? peakMark(frame, (peak.x1 + peak.x2) / 2, y(peak.most), peakText) : [],
    ],
    points: intervals.map(({ point, x1, x2, value, most }) => ({
      x: (x1 + x2) / 2,
      text: `${wallStamp(point.at, last)}: ${measure.text(value)}${most > value * 1.01 ? `, at most ${measure.text(most)}` : ''}`,
    })),
    label: `${measure.name} over time, ${peakText} at ${wallStamp(peak.point.at, last)}`,
  };
}

function watermarks(frame: Frame, axis: TimeAxis, points: readonly PastPoint[], zone: string): Drawing {
  const known = points.flatMap((point) =>
    point.watermark === null ? [] : [{ ...point, watermark: point.watermark }],
  );
  if (known.length === 0) return { content: [], points: [], label: 'no watermark yet' };
  const least = known.reduce((found, { watermark }) => Math.min(found, watermark), known[0]!.watermark);
  const most = known.reduce((found, { watermark }) => Math.max(found, watermark), least);
  const span = Math.max(1, most - least);
  const y = (at: number) => frame.bottom - ((at - least) / span) * (frame.bottom - frame.top);
  const ticks = timeTicks(least, most, 4);
  const shown = (ticks.length > 1 ? ticks : [least, most]).map((at) => ({
    y: y(at),
    text:
      span > 2 * DAY
        ? shortDayOf(at)
        : at % DAY === 0 && span > 6 * HOUR
          ? shortDayOf(at)
          : timeOf(at - (at % 1_000)),
  }));
  let path = '';
  known.forEach((point, i) => {
    const at = `${axis.x(point.at).toFixed(1)} ${y(point.watermark).toFixed(1)}`;
    path += i === 0 || point.begins ? `M${at}` : ` L${at}`;
  });
  const last = points.at(-1)!.at;
  const end = known.at(-1)!;
  const text = `${stamp(end.watermark - (end.watermark % 1_000))} (${zone})`;
  return {
    content: [
      sideAxis(frame, shown),
      draw('path', { class: 'most', d: path }),
      peakMark(frame, axis.x(end.at), y(end.watermark), stamp(end.watermark - (end.watermark % 1_000))),
    ],
    points: known.map(({ at, watermark }) => ({
      x: axis.x(at),
      text: `${wallStamp(at, last)}: ${stamp(watermark - (watermark % 1_000))} (${zone})`,
    })),
    label: `Watermark over time, at last ${text}`,
  };
}

/** Times without a processor. */
function gaps(frame: Frame, { gaps: found }: TimeAxis): Content {
  return found.map(({ from, to, x1, x2 }) => {
    const words = `no processor ran for ${age(to - from)}`;
    const box = {
      class: 'gap',
      x: x1.toFixed(1),
      y: frame.top,
      width: Math.max(1, x2 - x1).toFixed(1),
      height: frame.bottom - frame.top,
    };
    const wide = x2 - x1 >= LEAST_GAP_TEXT;
    return [
      draw('rect', box, draw('title', {}, words)),
      wide
        ? draw(
            'text',
            {
              class: 'scale-text',
              x: ((x1 + x2) / 2).toFixed(1),
              y: frame.top + 14,
              'text-anchor': 'middle',
            },
            age(to - from),
          )
        : [],
    ];
  });
}

function hatching(): Content {
  const pattern = { id: 'no-processor', width: 6, height: 6, patternUnits: 'userSpaceOnUse' };
  return draw('defs', {}, draw('pattern', pattern, draw('path', { class: 'hatch', d: 'M0 6 L6 0' })));
}
