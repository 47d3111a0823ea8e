/** Figures of windows: one of each area or key, one of all, and how one goes through the windows. */
import type { Frame, Frames, Rows, Word } from './frames.ts';
import { keysOf, lineOf, type Metric } from './metrics.ts';
import type { KeyShape, Total, ViewShape } from './wire.ts';

/** Chosen words by key field that is no place; without one, all of them. */
export type Filter = ReadonlyMap<number, string>;

/** Windows in order. */
type Windows = Pick<Frames, 'list'>;

/** A value, and of how many trips it was made where that is known. */
export interface Known {
  readonly value: number;
  readonly of?: number;
}

/** A figure through all windows. */
export interface Series {
  readonly name: string;
  /** By window; NaN where there is none. */
  readonly values: Float64Array;
  /** Of a percentile: the least and the greatest one. */
  readonly band?: readonly [low: Float64Array, high: Float64Array];
  /** By window, of how many trips a value was made. */
  readonly of?: Float64Array;
}

/** Whether a row has the chosen words. */
export function matcher(rows: Rows, filter: Filter): (row: number) => boolean {
  if (filter.size === 0) return () => true;
  const wanted = [...filter];
  return (row) => wanted.every(([key, word]) => String(rows.words[key]?.[row]) === word);
}

/** The value of each area; NaN where there is none. */
export function byArea(rows: Rows | undefined, metric: Metric, filter: Filter, areas: number): Float64Array {
  const found = new Float64Array(areas).fill(Number.NaN);
  const values = rows?.values[metric.at];
  if (!rows?.areas || !values) return found;
  const matches = matcher(rows, filter);
  for (let row = 0; row < rows.count; row++) {
    if (!matches(row)) continue;
    const area = rows.areas[row]!;
    found[area] = joined(found[area]!, values[row]!, metric);
  }
  return found;
}

function joined(known: number, value: number, { combine }: Metric): number {
  if (Number.isNaN(known)) return value;
  return combine && !Number.isNaN(value) ? combine(known, value) : known;
}

/** The value of each row that has the chosen words, by its words in one line. */
export function byWords(
  rows: Rows,
  keys: readonly KeyShape[],
  metric: Metric,
  filter: Filter,
): Map<string, number> {
  const found = new Map<string, number>();
  const values = rows.values[metric.at];
  const matches = matcher(rows, filter);
  for (let row = 0; row < rows.count; row++) {
    if (!matches(row)) continue;
    const words = wordsOfRow(rows, keys, row);
    found.set(words, joined(found.get(words) ?? Number.NaN, values?.[row] ?? Number.NaN, metric));
  }
  return found;
}

export function wordsOfRow({ words }: Rows, keys: readonly KeyShape[], row: number): string {
  return lineOf(
    keys,
    words.map((column) => column[row]!),
  );
}

/** How a figure of one area goes through the windows. */
export function areaSeries(frames: Frames, area: number, metric: Metric, filter: Filter): Series {
  const values = fresh(frames);
  const bands = metric.band ? ([fresh(frames), fresh(frames)] as const) : undefined;
  frames.list.forEach(({ rows }, i) => {
    if (!rows?.areas) return;
    const matches = matcher(rows, filter);
    for (let row = rows.areas.indexOf(area); row >= 0; row = rows.areas.indexOf(area, row + 1)) {
      if (!matches(row)) continue;
      values[i] = joined(values[i]!, rows.values[metric.at]![row]!, metric);
      bands?.forEach((band, end) => {
        band[i] = rows.values[metric.band![end as 0 | 1]]![row]!;
      });
    }
  });
  const { name, code } = frames.areas.all[area]!;
  return { name: name || code, values, ...(bands ? { band: bands } : {}) };
}

/** How a figure goes through the windows, word by word: from before anything was left out, where that is known. */
export function wordSeries(
  frames: Windows,
  shape: ViewShape,
  metric: Metric,
  filter: Filter,
  most: number,
  wanted: readonly string[],
): Series[] {
  const keys = keysOf(shape);
  const found = new Map<string, Figures>();
  const weights = new Map<string, number>();
  const add = (name: string, i: number, figures: Total) => {
    const known = found.get(name) ?? new Figures(frames, metric);
    found.set(name, known);
    known.set(i, figures);
    const weight = Math.abs(figures.of[metric.at] ?? figures.values[metric.at] ?? 0);
    weights.set(name, (weights.get(name) ?? 0) + weight);
  };
  frames.list.forEach(({ rows, total }, i) => {
    if (total?.groups && !shape.top) {
      for (const group of total.groups)
        if (matchesWords(group.key, filter)) add(lineOf(keys, group.key), i, group);
    } else if (rows && !rows.areas) {
      const matches = matcher(rows, filter);
      for (let row = 0; row < rows.count; row++)
        if (matches(row))
          add(wordsOfRow(rows, keys, row), i, { values: rows.values.map((all) => all[row]!), of: [] });
    }
  });
  const heaviest = [...weights].sort((a, b) => b[1] - a[1]).map(([name]) => name);
  const names = [
    ...wanted.filter((name) => found.has(name)),
    ...heaviest.filter((name) => !wanted.includes(name)),
  ];
  return names.slice(0, Math.max(most, wanted.length)).map((name) => found.get(name)!.series(name));
}

function matchesWords(key: readonly Word[], filter: Filter): boolean {
  for (const [at, word] of filter) if (String(key[at]) !== word) return false;
  return true;
}

/** How the figure of whole windows goes. */
export function wholeSeries(frames: Windows, metric: Metric, filter: Filter): Series {
  const found = new Figures(frames, metric);
  frames.list.forEach((frame, i) => {
    const total = wholeOf(frame, metric, filter);
    if (total) found.set(i, total);
  });
  return found.series('all');
}

/** A whole window: from before anything was left out, or else its results together, if they can be. */
export function wholeOf({ rows, total }: Frame, metric: Metric, filter: Filter): Total | undefined {
  if (total && filter.size === 0) return total.all;
  const groups = total?.groups?.filter(({ key }) => matchesWords(key, filter));
  if (groups?.length === 1) return groups[0];
  if (groups && (groups.length === 0 || !metric.combine)) return undefined;
  if (groups)
    return sumOf(
      groups.map(({ values }) => values[metric.at] ?? Number.NaN),
      metric,
    );
  if (!rows || rows.count === 0) return undefined;
  const matches = matcher(rows, filter);
  const found: number[] = [];
  for (let row = 0; row < rows.count; row++) if (matches(row)) found.push(row);
  if (found.length === 1) return { values: rows.values.map((values) => values[found[0]!]!), of: [] };
  if (!metric.combine) return undefined;
  return sumOf(
    found.map((row) => rows.values[metric.at]![row]!),
    metric,
  );
}

function sumOf(all: readonly number[], metric: Metric): Total {
  const value = all.reduce((known, next) => joined(known, next, metric), Number.NaN);
  const values: (number | null)[] = [];
  values[metric.at] = Number.isNaN(value) ? null : value;
  return { values, of: [] };
}

function fresh({ list }: Windows): Float64Array {
  return new Float64Array(list.length).fill(Number.NaN);
}

/** Collects a series window by window. */
class Figures {
  readonly #metric: Metric;
  readonly #values: Float64Array;
  readonly #of: Float64Array;
  readonly #band: readonly [Float64Array, Float64Array] | undefined;

  constructor(frames: Windows, metric: Metric) {
    this.#metric = metric;
    this.#values = fresh(frames);
    this.#of = fresh(frames);
    this.#band = metric.band && [fresh(frames), fresh(frames)];
  }

  set(i: number, { values, of }: Total): void {
    const { at, band } = this.#metric;
    this.#values[i] = values[at] ?? Number.NaN;
    this.#of[i] = of[at] ?? Number.NaN;
    if (!band || !this.#band) return;
    for (const end of [0, 1] as const) this.#band[end][i] = values[band[end]] ?? Number.NaN;
  }

  series(name: string): Series {
    return { name, values: this.#values, of: this.#of, ...(this.#band ? { band: this.#band } : {}) };
  }
}
