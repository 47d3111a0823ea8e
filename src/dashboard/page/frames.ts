/** The windows of the view that the page shows, in event-time order, with those results that it has loaded. */
import { cellText } from '../../views/geohash.ts';
import type { Areas } from './areas.ts';
import { placeOf, wordKeys } from './metrics.ts';
import {
  type Column,
  type Figure,
  type TotalUpdate,
  undiffed,
  type ViewShape,
  type WindowUpdate,
} from './wire.ts';

export type Word = string | number | boolean;

/** The results of a window, in columns. */
export interface Rows {
  readonly count: number;
  /** Numbers of areas; undefined if the key has no place. */
  readonly areas?: Int32Array;
  /** By key field that is no place. */
  readonly words: readonly (readonly Word[])[];
  /** By aggregate; NaN where there is no value. */
  readonly values: readonly Float64Array[];
  /** Start and end of each session, epoch ms. */
  readonly spans?: readonly [starts: Float64Array, ends: Float64Array];
  readonly ranks?: readonly number[];
  readonly omitted: number;
}

/** A window. Times are epoch ms. */
export interface Frame {
  readonly label: number;
  readonly start: number;
  readonly end: number;
  /** Undefined until they are loaded. */
  rows: Rows | undefined;
  total: TotalUpdate | undefined;
}

const NONE: Rows = { count: 0, words: [], values: [], omitted: 0 };
const MOST_FRAMES = 10_000;
/** A gap of more windows than this is not filled with empty ones. */
const MOST_FILLED = 300;
/** Results that a page keeps; beyond that, windows far from the current one are forgotten. */
const MOST_ROWS = 12_000_000;

export class Frames {
  readonly areas: Areas;
  readonly #frames = new Map<number, Frame>();
  #shape: ViewShape | undefined;
  #rows = 0;
  /** By start. Short gaps are filled with empty windows. */
  list: readonly Frame[] = [];
  /** Grows with each change. */
  version = 0;

  constructor(areas: Areas) {
    this.areas = areas;
  }

  /** Begins with the windows of a view: those with results, and what is known of all. */
  begin(shape: ViewShape | undefined, labels: readonly number[], totals: readonly TotalUpdate[]): void {
    this.#shape = shape;
    this.#frames.clear();
    this.areas.clear();
    this.#rows = 0;
    const span = shape && spanGuess(shape);
    for (const label of labels)
      this.#frames.set(label, { label, ...span!(label), rows: undefined, total: undefined });
    this.takeTotals(totals);
  }

  /** Whether there is room for more results. */
  get hasRoom(): boolean {
    return this.#rows < MOST_ROWS;
  }

  /** Whether results are still to be loaded. */
  get isPartial(): boolean {
    return this.list.some(({ rows }) => rows === undefined);
  }

  /** Adds results of windows, or replaces those it has; `known` windows keep theirs. */
  take(updates: readonly WindowUpdate[], keepKnown = false): void {
    for (const update of updates) {
      const known = this.#frames.get(update.label);
      if (keepKnown && known?.rows) continue;
      const { label, start, end } = update;
      this.#rows -= known?.rows?.count ?? 0;
      const rows = this.#rowsOf(update);
      this.#rows += rows.count;
      this.#frames.set(label, { label, start, end, rows, total: known?.total });
    }
    this.#order();
  }

  takeTotals(totals: readonly TotalUpdate[]): void {
    const hasTwoPlaces = (this.#shape?.keys.filter(({ kind }) => kind !== 'word').length ?? 0) > 1;
    for (const total of totals) {
      const { label, start, end } = total;
      const known = this.#frames.get(label);
      const rows = known ? known.rows : NONE;
      // With two places in a key, groups are of other fields than the words of a row.
      this.#frames.set(label, {
        label,
        start,
        end,
        rows,
        total: hasTwoPlaces ? { ...total, groups: null } : total,
      });
    }
    this.#order();
  }

  /** Forgets the results of windows, so that they are loaded again. */
  forget(labels: readonly number[]): void {
    const guess = this.#shape && spanGuess(this.#shape);
    for (const label of labels) {
      const known = this.#frames.get(label);
      this.#rows -= known?.rows?.count ?? 0;
      const span = known ?? { label, ...guess!(label) };
      this.#frames.set(label, { ...span, total: known?.total, rows: undefined });
    }
    this.#order();
  }

  /** Notes that a window has no results. */
  takeNone(label: number): void {
    const known = this.#frames.get(label);
    if (!known) return;
    this.#frames.set(label, { ...known, rows: NONE });
    this.#order();
  }

  /** The words of a key field that is no place, the most frequent first; none if there are more than `most`. */
  wordsOf(at: number, most: number): string[] {
    const found = new Map<string, number>();
    for (const { rows } of this.list) {
      for (const word of rows?.words[at] ?? []) found.set(String(word), (found.get(String(word)) ?? 0) + 1);
      if (found.size > most) return [];
    }
    return [...found].sort((a, b) => b[1] - a[1]).map(([word]) => word);
  }

  /** Makes room by forgetting the results of windows that are far from one. */
  makeRoom(around: number): void {
    if (this.hasRoom) return;
    const loaded = this.list.filter(({ rows }) => (rows?.count ?? 0) > 0);
    loaded.sort((a, b) => Math.abs(b.label - around) - Math.abs(a.label - around));
    const far: number[] = [];
    let left = this.#rows;
    for (const { label, rows } of loaded) {
      if (left <= MOST_ROWS * 0.8) break;
      left -= rows!.count;
      far.push(label);
    }
    this.forget(far);
  }

  at(label: number): Frame | undefined {
    return this.#frames.get(label);
  }

  /** Index of the window with a label, or of the last one before it. */
  indexOf(label: number): number {
    let [low, high] = [0, this.list.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.list[middle]!.label <= label) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  #rowsOf({ label, keys, values, spans, ranks, omitted = 0 }: WindowUpdate): Rows {
    const shape = this.#shape!;
    const place = placeOf(shape);
    const at = place ? shape.keys.indexOf(place) : -1;
    const count = values[0]?.length ?? lengthOf(keys[0]);
    return {
      count,
      ...(place && keys[at] ? { areas: this.#areasOf(keys[at]) } : {}),
      words: wordKeys(shape).map((i) => wordsIn(keys[i])),
      values: values.map(numbers),
      ...(spans ? { spans: [after(label, spans[0]), after(label, spans[1])] as const } : {}),
      ...(ranks ? { ranks } : {}),
      omitted,
    };
  }

  #areasOf(column: Column): Int32Array {
    const { areas } = this;
    if ('cells' in column) {
      const { precision, cells } = column;
      return Int32Array.from(undiffed(cells), (cell) => areas.ofCell(cell, precision));
    }
    return Int32Array.from(column, (id) => areas.ofZone(Number(id)));
  }

  #order(): void {
    this.version++;
    let labels = [...this.#frames.keys()].sort((a, b) => a - b);
    for (const label of labels.slice(0, -MOST_FRAMES)) this.#frames.delete(label);
    labels = labels.slice(-MOST_FRAMES);
    this.list = filled(
      labels.map((label) => this.#frames.get(label)!),
      this.#shape,
    );
  }
}

/** Windows in order, with empty ones in their gaps, unless those are long. */
export function filled(frames: readonly Frame[], shape: ViewShape | undefined): Frame[] {
  const step = stepOf(shape);
  const list: Frame[] = [];
  for (const frame of frames) {
    const { label } = frame;
    const last = list.at(-1);
    if (last && step > 0 && (label - last.label) / step <= MOST_FILLED) {
      const [before, size] = [frame.start - label, frame.end - label];
      for (let missing = last.label + step; missing < label; missing += step)
        list.push({
          label: missing,
          start: missing + before,
          end: missing + size,
          rows: NONE,
          total: undefined,
        });
    }
    list.push(frame);
  }
  return list;
}

/** Ms from one window to the next; 0 if that is not always the same. */
function stepOf(shape: ViewShape | undefined): number {
  if (!shape) return 0;
  const { window } = shape;
  if (window.kind === 'session') return window.gap_ms;
  if (window.time_zone !== undefined || window.kind === 'cumulating') return 0;
  return window.kind === 'sliding' ? window.slide_ms : window.size_ms;
}

/** Start and end of a window that is not loaded yet, from its label. */
function spanGuess({ window }: ViewShape): (label: number) => { start: number; end: number } {
  const size =
    window.kind === 'session'
      ? window.gap_ms
      : window.kind === 'cumulating'
        ? window.step_ms
        : window.size_ms;
  return (start) => ({ start, end: start + size });
}

function numbers(values: readonly Figure[]): Float64Array {
  return Float64Array.from(values, (value) => value ?? Number.NaN);
}

function after(label: number, differences: readonly number[]): Float64Array {
  return Float64Array.from(differences, (ms) => label + ms);
}

function lengthOf(column: Column | undefined): number {
  if (!column) return 0;
  return 'cells' in column ? column.cells.length : column.length;
}

function wordsIn(column: Column | undefined): readonly Word[] {
  if (!column) return [];
  return 'cells' in column
    ? Array.from(undiffed(column.cells), (cell) => cellText(cell, column.precision))
    : column;
}
