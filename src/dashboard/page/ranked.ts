/** The areas or keys of a window in order: by a figure, or by their rank. */
import { byWords, wordsOfRow } from './figures.ts';
import type { Rows } from './frames.ts';
import { figureText, keysOf, placeOf } from './metrics.ts';
import type { Shown } from './panel.ts';
import type { Ranked } from './ranking.ts';

export interface RankedOptions {
  /** By area, NaN without one. */
  readonly values: Float64Array;
  /** Of areas by a figure, so many at most. */
  readonly most: number;
  readonly colours: ReadonlyMap<string, number>;
  stepOf(value: number): number;
}

export function rankedOf(shown: Shown, options: RankedOptions): Ranked[] {
  const { rows } = shown.frame;
  if (!rows) return [];
  if (shown.shape.top) return byRank(shown, rows, options);
  return placeOf(shown.shape) ? byFigure(shown, options) : byKey(shown, rows, options);
}

function byFigure(shown: Shown, options: RankedOptions): Ranked[] {
  const { all } = shown.frames.areas;
  return largest(options.values, options.most).map((area) => {
    const { name, code } = all[area]!;
    return itemOf(shown, options, { id: code, name, code, value: options.values[area]! });
  });
}

function byKey(shown: Shown, rows: Rows, options: RankedOptions): Ranked[] {
  const { shape, metric, filter } = shown;
  const found = [...byWords(rows, keysOf(shape), metric, filter)];
  const weight = ([, value]: (typeof found)[number]) =>
    Number.isNaN(value) ? Number.NEGATIVE_INFINITY : value;
  found.sort((a, b) => weight(b) - weight(a) || 0);
  return found.map(([name, value]) => itemOf(shown, options, { id: name, name, code: '', value }));
}

function byRank(shown: Shown, rows: Rows, options: RankedOptions): Ranked[] {
  const ranked = Array.from({ length: rows.count }, (_, row) => ({
    row,
    rank: rows.ranks?.[row] ?? row + 1,
  }));
  ranked.sort((a, b) => a.rank - b.rank);
  return ranked.map(({ row, rank }) => {
    const name = nameOfRow(shown, rows, row);
    const code = rows.areas ? shown.frames.areas.all[rows.areas[row]!]!.code : '';
    const value = rows.values[shown.metric.at]![row]!;
    return { ...itemOf(shown, options, { id: code || name, name, code, value }), rank };
  });
}

function itemOf(
  { shape, metric, pins }: Shown,
  { colours, stepOf }: RankedOptions,
  item: Pick<Ranked, 'id' | 'name' | 'code' | 'value'>,
): Ranked {
  return {
    ...item,
    figure: figureText(item.value, metric),
    step: placeOf(shape) ? stepOf(item.value) : 0,
    pinned: pins.includes(item.id) ? (colours.get(item.id) ?? 1) : undefined,
  };
}

/** Area and words of a row. */
export function nameOfRow(
  { frames, shape }: Pick<Shown, 'frames' | 'shape'>,
  rows: Rows,
  row: number,
): string {
  const area = rows.areas && frames.areas.all[rows.areas[row]!]!;
  const words = wordsOfRow(rows, keysOf(shape), row);
  return [area?.name, words].filter((part) => part !== undefined && part !== '').join(' · ');
}

/** Indexes of the greatest values, in order; those without a value are left out. */
export function largest(values: Float64Array, most: number): number[] {
  const found: number[] = [];
  values.forEach((value, index) => {
    if (Number.isNaN(value)) return;
    if (found.length === most && !(value > values[found[most - 1]!]!)) return;
    let at = found.length;
    while (at > 0 && value > values[found[at - 1]!]!) at--;
    found.splice(at, 0, index);
    if (found.length > most) found.pop();
  });
  return found;
}
