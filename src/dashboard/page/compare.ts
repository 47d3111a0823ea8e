/** The lines of a chart: of the words of a key, and of pinned areas, each in a colour. */
import { areaSeries, type Filter, type Series, wordSeries } from './figures.ts';
import type { Frames } from './frames.ts';
import type { Line } from './lines.ts';
import { COLOURS } from './map.ts';
import { keysOf, meaningOf, placeOf } from './metrics.ts';
import type { Selection } from './selection.ts';

export interface Comparison {
  readonly lines: readonly Line[];
  /** Colours of the lines, by the pin that they are of. */
  readonly colours: ReadonlyMap<string, number>;
}

/** Lines of words beside a map, and in a chart of their own. */
const BESIDE = 6;
const ALONE = 8;
/** A key with more words than this is no choice. */
export const MOST_WORDS = 200;

/** `whole` stands for all where there is nothing to compare. */
export function comparisonOf(
  frames: Frames,
  selection: Selection,
  filter: Filter,
  whole: Series,
): Comparison {
  const { shape, metric, pins } = selection;
  const hasPlace = placeOf(shape) !== undefined;
  const words =
    keysOf(shape).length === 0
      ? []
      : hasPlace
        ? wordSeries(frames, shape, metric, new Map(), BESIDE, [])
        : wordSeries(frames, shape, metric, filter, ALONE, pins);
  const all: Series[] = words.length > 0 || hasPlace ? words : [{ ...whole, name: metric.label }];
  const colours = new Map<string, number>();
  if (!hasPlace) for (const [i, { name }] of all.entries()) colours.set(name, colourOf(i));
  for (const code of hasPlace ? pins : []) {
    const area = frames.areas.find(code);
    if (area === undefined) continue;
    colours.set(code, colourOf(all.length));
    all.push(areaSeries(frames, area, metric, filter));
  }
  return { lines: all.map((series, i) => ({ ...series, colour: colourOf(i) })), colours };
}

/** The n-th colour, from 1. */
function colourOf(n: number): number {
  return (n % COLOURS) + 1;
}

/** The chosen words. On a map, a figure whose values of several keys don't make one needs a word of each: the most frequent one. */
export function filterOf(frames: Frames, { shape, metric, words }: Selection): Filter {
  const keys = keysOf(shape);
  if (metric.combine || !placeOf(shape) || keys.length === words.size) return words;
  const [first] = keys.length === 1 ? wordSeries(frames, shape, metric, words, 1, []) : [];
  const filled = new Map(words);
  keys.forEach((key, at) => {
    const all = frames.wordsOf(at, MOST_WORDS);
    const word = all.find((word) => meaningOf(key, word) === first?.name) ?? all[0];
    if (!filled.has(at) && word !== undefined) filled.set(at, word);
  });
  return filled;
}
