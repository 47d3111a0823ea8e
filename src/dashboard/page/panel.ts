/** The figures of a window in words and tables. */
import { byId, type Content, fill, make, renew, setText, table } from './elements.ts';
import { type Filter, matcher, type Series, wholeOf } from './figures.ts';
import { count, stamp } from './format.ts';
import type { Frame, Frames } from './frames.ts';
import { chartKey, type Line } from './lines.ts';
import { figureText, keysOf, labelOf, meaningOf, placeOf, wordKeys, wordsOf } from './metrics.ts';
import type { Selection } from './selection.ts';

/** What is shown: a window of a view. */
export interface Shown extends Selection {
  readonly frame: Frame;
  readonly frames: Frames;
  /** The chosen words, with one for each key that needs one. */
  readonly filter: Filter;
}

/** Rows of a table, at most: a browser is slow with more. */
const MOST_ROWS = 500;

/** The figures of the whole window, of how many trips they are, and how many areas or keys have results. */
export function showFigures(shown: Shown, lines: readonly Line[], index: number): void {
  const { metric, filter, frame } = shown;
  const whole = wholeOf(frame, metric, filter);
  const value = whole?.values[metric.at];
  const of = whole?.of[metric.at];
  const words = filterWords(shown);
  const facts: (readonly [id: string, term: string, value: string])[] = [
    ['total', `${labelOf(value, metric)}${words === '' ? '' : `, ${words}`}`, figureText(value, metric)],
  ];
  if (typeof of === 'number' && of !== value) facts.push(['total-n', of === 1 ? 'trip' : 'trips', count(of)]);
  if (shown.shape.keys.length > 0) facts.push(['areas-count', ...keysText(shown)]);
  renew(
    byId('figures'),
    facts.map(([id, term, text]) => make('div', {}, make('dt', {}, term), make('dd', { id }, text))),
  );
  const note = wholeNote(shown);
  byId('whole-note').hidden = note === '';
  setText(byId('whole-note'), note);
  const text = (of: number) => figureText(of, metric);
  for (const id of ['through-key', 'stage-key'])
    renew(byId(id), lines.length > 1 || id === 'through-key' ? chartKey(lines, index, text) : []);
}

function keysText({ shape, frame, filter }: Shown): readonly [term: string, value: string] {
  const isArea = placeOf(shape) && (wordKeys(shape).length === 0 || filter.size > 0);
  const what = isArea ? 'areas' : shape.window.kind === 'session' ? 'sessions' : 'keys';
  const shown = countMatching(frame, filter);
  const all = filter.size === 0 ? frame.total?.keys : undefined;
  if (all === undefined || all === shown) return [shown === 1 ? what.slice(0, -1) : what, count(shown)];
  return [`of ${count(all)} ${what} shown`, count(shown)];
}

function countMatching({ rows }: Frame, filter: Filter): number {
  if (!rows || filter.size === 0) return rows?.count ?? 0;
  const matches = matcher(rows, filter);
  let found = 0;
  for (let row = 0; row < rows.count; row++) if (matches(row)) found++;
  return found;
}

/** The chosen words. */
function filterWords({ shape, filter }: Shown): string {
  const keys = keysOf(shape);
  return [...filter].map(([at, word]) => meaningOf(keys[at]!, word)).join(', ');
}

/** Why the results shown may not add up to the figures of the window. */
function wholeNote({ shape, frame, filter, metric }: Shown): string {
  if (frame.rows === undefined) return 'Loading …';
  if (frame.rows.omitted > 0)
    return `Its ${count(frame.rows.omitted)} results are more than this page draws; “taxiflow results” prints them.`;
  if (!shape.isCut) return '';
  const isWhole = frame.total && (filter.size === 0 || frame.total.groups);
  const rest = shape.top ? 'of those that are not among the first' : 'of those that the view leaves out';
  if (isWhole) return `Of all trips, also ${rest}.`;
  return metric.combine ? 'Only of the results shown: the rest was not kept.' : '';
}

/** The tip of an area: its name, all figures of the window there. */
export function showTip(tip: HTMLElement, shown: Shown, area: number, value: number): void {
  const { frames, metric, metrics } = shown;
  const { name, borough, code } = frames.areas.all[area]!;
  const words = filterWords(shown);
  const row = onlyRow(shown, area);
  const rest = row === undefined ? [] : metrics.filter((other) => other !== metric);
  const figure = Number.isNaN(value)
    ? make('p', {}, 'no result in this window')
    : make(
        'p',
        { class: 'picked' },
        make('b', {}, figureText(value, metric)),
        ` ${labelOf(value, metric)}${words === '' ? '' : `, ${words}`}`,
      );
  fill(
    tip,
    make('p', { class: 'where' }, make('b', {}, name), ` ${borough}`),
    figure,
    rest.map((other) => {
      const text = figureText(shown.frame.rows!.values[other.at]![row!], other);
      return make('p', {}, `${text} ${other.label}`);
    }),
    make('p', { class: 'code' }, code),
  );
}

/** The row of an area, if it has just one. */
function onlyRow({ frame: { rows }, filter }: Shown, area: number): number | undefined {
  if (!rows?.areas) return undefined;
  const matches = matcher(rows, filter);
  let found: number | undefined;
  for (let row = rows.areas.indexOf(area); row >= 0; row = rows.areas.indexOf(area, row + 1)) {
    if (!matches(row)) continue;
    if (found !== undefined) return undefined;
    found = row;
  }
  return found;
}

/** The results of the window, and the lines through all windows, as tables. */
export function showTables(shown: Shown, lines: readonly Line[], whole: Series): void {
  renew(byId('table-boxes'), windowTable(shown), timeTable(shown, lines, whole));
}

function windowTable({ shape, metric, metrics, frame, frames }: Shown): HTMLElement {
  const { rows } = frame;
  const order = Array.from({ length: rows?.count ?? 0 }, (_, row) => row);
  const values = rows?.values[metric.at];
  order.sort((a, b) => values![b]! - values![a]! || a - b);
  const place = placeOf(shape);
  const keys = keysOf(shape);
  const head = [
    ...(place ? ['Area', wordsOf(place.name)] : []),
    ...wordKeys(shape).map((key) => wordsOf(shape.keys[key]!.name)),
    ...(rows?.spans ? ['from', 'to'] : []),
    ...(rows?.ranks ? ['rank'] : []),
    ...metrics.map(({ label }) => label),
  ];
  const lines = order.slice(0, MOST_ROWS).map((row): Content[] => {
    const area = rows!.areas && frames.areas.all[rows!.areas[row]!]!;
    return [
      ...(area ? [area.name, area.code] : []),
      ...rows!.words.map((column, at) => meaningOf(keys[at]!, String(column[row]))),
      ...(rows!.spans ? [stamp(rows!.spans[0][row]!), stamp(rows!.spans[1][row]!)] : []),
      ...(rows!.ranks ? [String(rows!.ranks[row])] : []),
      ...metrics.map((each) => figureText(rows!.values[each.at]![row], each)),
    ];
  });
  const cut = order.length > MOST_ROWS ? `, the first ${MOST_ROWS} of ${count(order.length)}` : '';
  const figures = metrics.map((_, i) => head.length - metrics.length + i);
  return table(`Results of the window${cut}`, head, lines, figures);
}

function timeTable({ frames, metric }: Shown, lines: readonly Line[], whole: Series): HTMLElement {
  const all: readonly Series[] = [
    { ...whole, name: 'all' },
    ...lines.filter(({ values }) => values !== whole.values),
  ];
  const known = frames.list.flatMap((frame, i) =>
    all.some(({ values }) => !Number.isNaN(values[i]!)) ? [{ frame, i }] : [],
  );
  const rows = known.slice(-MOST_ROWS).reverse();
  const cut = known.length > MOST_ROWS ? `, the last ${MOST_ROWS} of ${count(known.length)} windows` : '';
  const lined = rows.map(({ frame, i }) => [
    stamp(frame.start),
    ...all.map(({ values }) => figureText(values[i], metric)),
  ]);
  const head = ['Window', ...all.map(({ name }) => name)];
  const figures = all.map((_, i) => i + 1);
  return table(`${metric.label} through time${cut}`, head, lined, figures);
}
