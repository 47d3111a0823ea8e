/** What of a view can be drawn: its figures, with words for them and how the figures of several keys make one. */
import { count, decimal, stamp } from './format.ts';
import type { AggregateShape, KeyShape, ViewShape } from './wire.ts';

export interface Metric {
  readonly name: string;
  readonly label: string;
  /** Index of the aggregate. */
  readonly at: number;
  /** How values of several keys make one; undefined if they can't. */
  readonly combine: ((a: number, b: number) => number) | undefined;
  /** Indexes of the least and the greatest percentile of the same operand, if there are several. */
  readonly band?: readonly [low: number, high: number];
  readonly isTime: boolean;
  /** Whether values are whole numbers and grow with the number of trips. */
  readonly isCount: boolean;
}

/** Words for the views and figures that taxiflow comes with. */
const TITLES: ReadonlyMap<string, string> = new Map([
  ['pickup_count', 'Pick-ups'],
  ['trip_duration', 'Trips to the airports'],
]);
const LABELS: ReadonlyMap<string, string> = new Map([
  ['pickup_count', 'pick-ups'],
  ['trip_count', 'trips'],
  ['sum_trip_duration', 'minutes in all'],
  ['avg_trip_duration', 'minutes on average'],
  ['airport_code', 'airport'],
]);
const TIMES = { dropoff: 'by drop-off time', pickup: 'by pick-up time', arrival: 'by time of arrival' };

/** What the TLC's numbers stand for. */
const MEANINGS: ReadonlyMap<string, readonly string[]> = new Map([
  ['payment_type', ['flex fare', 'credit card', 'cash', 'no charge', 'dispute', 'unknown', 'voided']],
  ['trip_type', ['', 'street hail', 'dispatch']],
  ['store_and_fwd_flag', ['sent at once', 'kept in the vehicle']],
]);

let zoneNames: (id: number) => string = (id) => `zone ${id}`;

/** Names zones from now on. */
export function useZoneNames(names: (id: number) => string): void {
  zoneNames = names;
}

/** A word of a key in words: what a number stands for, or else what it is a number of. */
export function meaningOf({ name, kind, field = '' }: KeyShape, word: string): string {
  if (!/^-?[\d.]+$/.test(word)) return word;
  // Some zones have the same name.
  if (kind === 'zone') return `${zoneNames(Number(word))} (${word})`;
  return MEANINGS.get(field)?.[Number(word)] || `${wordsOf(name)} ${word}`;
}

/** The words of a row or of a group, in one line. `keys` are the key fields that they are of. */
export function lineOf(keys: readonly KeyShape[], words: readonly (string | number | boolean)[]): string {
  return words.map((word, i) => (keys[i] ? meaningOf(keys[i], String(word)) : String(word))).join(' · ');
}

export function titleOf({ name }: Pick<ViewShape, 'name'>): string {
  return TITLES.get(name) ?? name;
}

/** A view and one of its figures. */
export function captionOf(shape: ViewShape, { label }: Pick<Metric, 'label'>): string {
  const title = titleOf(shape);
  return title.toLowerCase() === label ? title : `${title}: ${label}`;
}

/** A field in words. */
export function wordsOf(name: string): string {
  return LABELS.get(name) ?? name.replaceAll('_', ' ');
}

/** Which time puts trips into windows, in words. */
export function timeWords({ time }: ViewShape): string {
  return TIMES[time];
}

export function metricsOf({ aggregates }: ViewShape): Metric[] {
  return aggregates.map((aggregate, at): Metric => {
    const { name, fn, isTime } = aggregate;
    const band = bandOf(aggregates, aggregate);
    return {
      name,
      label: wordsOf(name),
      at,
      combine: combining(aggregate),
      ...(band ? { band } : {}),
      isTime,
      isCount: fn === 'count',
    };
  });
}

/** The figure that a view begins with: of the trips to the airports their average, of percentiles the median, else the first. */
export function firstMetric(shape: ViewShape, metrics: readonly Metric[]): Metric | undefined {
  if (shape.name === 'trip_duration')
    return metrics.find(({ name }) => name.startsWith('avg_')) ?? metrics[0];
  return metrics[0];
}

function combining({ fn }: AggregateShape): Metric['combine'] {
  if (fn === 'count' || fn === 'sum') return (a, b) => a + b;
  if (fn === 'min') return Math.min;
  return fn === 'max' ? Math.max : undefined;
}

function bandOf(all: readonly AggregateShape[], { fn, of }: AggregateShape): Metric['band'] {
  if (fn !== 'percentile') return undefined;
  const same = all
    .map((aggregate, at) => ({ ...aggregate, at }))
    .filter((other) => other.fn === 'percentile' && other.of === of)
    .sort((a, b) => a.p! - b.p!);
  return same.length < 2 ? undefined : [same[0]!.at, same.at(-1)!.at];
}

/** A value as text. */
export function figureText(value: number | null | undefined, { isTime }: Pick<Metric, 'isTime'>): string {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (isTime) return stamp(value);
  return Number.isInteger(value) ? count(value) : decimal(value);
}

/** A figure's label behind a value: one pick-up, two pick-ups. */
export function labelOf(
  value: number | null | undefined,
  { label, isCount }: Pick<Metric, 'label' | 'isCount'>,
): string {
  return value === 1 && isCount && label.endsWith('s') ? label.slice(0, -1) : label;
}

/** The key field that places are of, and those that are no places. */
export function placeOf({ keys }: ViewShape): KeyShape | undefined {
  return keys.find(({ kind }) => kind !== 'word');
}

/** Indexes of the key fields besides the place. */
export function wordKeys(shape: ViewShape): number[] {
  const place = placeOf(shape);
  return shape.keys.flatMap((key, i) => (key === place ? [] : [i]));
}

/** The key fields that are no places. */
export function keysOf(shape: ViewShape): KeyShape[] {
  return wordKeys(shape).map((at) => shape.keys[at]!);
}

/** How a view is drawn. */
export type Picture = 'map' | 'lines' | 'sessions' | 'list';

export function pictureOf(shape: ViewShape): Picture {
  if (shape.window.kind === 'session') return 'sessions';
  if (placeOf(shape)) return 'map';
  return shape.top ? 'list' : 'lines';
}
