/** The chart of an answer whose first column is a time: a line for a number, or one for each key of a few. */
import { draw, make } from './elements.ts';
import { stamp } from './format.ts';
import type { QueryRows } from './query-answer.ts';

interface Point {
  readonly at: number;
  readonly value: number;
}

interface Line {
  readonly name: string;
  readonly points: readonly Point[];
}

export interface Chart {
  /** Name of the number. */
  readonly of: string;
  readonly lines: readonly Line[];
}

const MOST_LINES = 6;
const HEIGHT = 200;
const NAME_HEIGHT = 13;
const EDGE = { top: 10, right: 90, bottom: 24, left: 64 };
const TIME = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z?)?$/;

/** Epoch ms of a text; NaN if it is no time. Times have no zone and are read as UTC. */
export function timeIn(text: unknown): number {
  if (typeof text !== 'string' || !TIME.test(text)) return Number.NaN;
  const full = text.length === 10 ? `${text}T00:00` : text.replace(' ', 'T');
  return Date.parse(full.endsWith('Z') ? full : `${full}Z`);
}

/** What can be drawn of an answer; undefined if no line can, or if too many would. */
export function chartOf(answer: QueryRows): Chart | undefined {
  const { columns, rows } = answer;
  const numbers = columns.flatMap(({ type }, i) => (i > 0 && /^(INTEGER|REAL)$/.test(type) ? [i] : []));
  // Other times, such as the end of the window, tell no lines apart.
  const words = columns.flatMap(({ type }, i) =>
    i > 0 && type === 'TEXT' && rows.some((row) => Number.isNaN(timeIn(row[i]))) ? [i] : [],
  );
  const [first, second] = numbers;
  if (first === undefined) return undefined;
  const chart = linesOf(answer, first, words[0]);
  // The first number may be the key, such as a zone.
  return chart || second === undefined || words.length > 0 ? chart : linesOf(answer, second, first);
}

function linesOf({ columns, rows }: QueryRows, number: number, key: number | undefined): Chart | undefined {
  const lines = new Map<string, Map<number, number>>();
  for (const row of rows) {
    const at = timeIn(row[0]);
    if (Number.isNaN(at)) return undefined;
    const name = key === undefined ? '' : String(row[key]);
    const line = lines.get(name) ?? new Map<number, number>();
    lines.set(name, line);
    // Two numbers of one time are no line.
    if (line.has(at) || lines.size > MOST_LINES) return undefined;
    const value = row[number];
    if (typeof value === 'number') line.set(at, value);
  }
  const found = [...lines].map(([name, points]) => ({
    name,
    points: [...points].map(([at, value]) => ({ at, value })).sort((a, b) => a.at - b.at),
  }));
  const isLine = found.some(({ points }) => points.length > 1);
  return isLine ? { of: columns[number]!.name, lines: found } : undefined;
}

/** Draws a chart as wide as its place. The table says the same, so it is hidden from screen readers. */
export function chartElement(chart: Chart): HTMLElement {
  const box = make('div', { class: 'query-chart', 'aria-hidden': 'true' });
  new ResizeObserver(([entry]) => {
    const { width } = entry!.contentRect;
    if (width > 0) box.replaceChildren(drawn(chart, width));
  }).observe(box);
  return box;
}

function drawn({ of, lines }: Chart, width: number): SVGElement {
  const points = lines.flatMap((line) => line.points);
  const bounds = (values: readonly number[], first: number, last: number) =>
    values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)] as const, [
      first,
      last,
    ] as const);
  const [from, to] = bounds(
    points.map(({ at }) => at),
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  );
  // From zero, so that lengths can be compared.
  const [low, high] = bounds(
    points.map(({ value }) => value),
    0,
    0,
  );
  const right = width - (lines.length > 1 ? EDGE.right : 12);
  const x = (at: number) => EDGE.left + ((at - from) / Math.max(1, to - from)) * (right - EDGE.left);
  const y = (value: number) =>
    HEIGHT - EDGE.bottom - ((value - low) / (high - low || 1)) * (HEIGHT - EDGE.bottom - EDGE.top - 12);
  const step = stepOf(high - low);
  const grid: SVGElement[] = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) {
    const at = y(n * step);
    grid.push(draw('path', { class: 'rule', d: `M${EDGE.left} ${at.toFixed(1)}H${right}` }));
    grid.push(draw('text', { class: 'query-end', x: EDGE.left - 8, y: at + 4 }, short(n * step)));
  }
  const paths = lines.map((line, i) =>
    draw('path', {
      class: `query-line query-${i + 1}`,
      d: line.points
        .map(({ at, value }, j) => `${j === 0 ? 'M' : 'L'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`)
        .join(''),
    }),
  );
  return draw(
    'svg',
    { width, height: HEIGHT },
    grid,
    draw('text', { class: 'query-name', x: EDGE.left, y: 10 }, of),
    draw('text', { x: EDGE.left, y: HEIGHT - 6 }, stamp(from)),
    draw('text', { class: 'query-end', x: right, y: HEIGHT - 6 }, stamp(to)),
    paths,
    lines.length > 1 ? names(lines, right, y) : [],
  );
}

/** Names at the ends of lines, at least a line of text apart, in the colours of the lines. */
function names(lines: readonly Line[], right: number, y: (value: number) => number): SVGElement[] {
  const ends = lines
    .flatMap(({ name, points }, i) =>
      points.length > 0 ? [{ name, number: i + 1, at: y(points.at(-1)!.value) }] : [],
    )
    .sort((a, b) => b.at - a.at);
  // From the lowest up, since there is room above all of them.
  let free = HEIGHT - EDGE.bottom;
  return ends.map(({ name, number, at }) => {
    const place = Math.min(at, free);
    free = place - NAME_HEIGHT;
    return draw(
      'text',
      { class: `query-name query-of query-${number}`, x: right + 8, y: place + 4 },
      name.slice(0, 12),
    );
  });
}

/** About four steps of 1, 2 or 5 times a power of ten. */
function stepOf(span: number): number {
  const power = 10 ** Math.floor(Math.log10((span || 1) / 4));
  return power * ([1, 2, 5, 10].find((digit) => digit * power * 5 >= (span || 1)) ?? 10);
}

function short(value: number): string {
  return new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 3 }).format(value);
}
