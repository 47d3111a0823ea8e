/** Views as text, as `taxiflow process --explain` prints them. */
import type { Aggregate, Expression, Top, View, Window } from './language.ts';

const SIGNS: Record<string, string> = {
  add: '+',
  subtract: '−',
  multiply: '×',
  divide: '÷',
  eq: '=',
  ne: '≠',
  lt: '<',
  lte: '≤',
  gt: '>',
  gte: '≥',
};

/** An expression in infix notation. */
export function explainExpression(e: Expression): string {
  switch (e.op) {
    case 'field':
      return e.name;
    case 'literal':
      return typeof e.value === 'string' ? `'${e.value}'` : String(e.value);
    case 'truncate':
    case 'floor':
    case 'ceil':
    case 'abs':
      return `${e.op}(${explainExpression(e.of)})`;
    case 'modulo':
      return `(${explainExpression(e.left)} mod ${explainExpression(e.right)})`;
    case 'extract':
      return `${e.part}(${explainExpression(e.of)}${e.time_zone === undefined ? '' : ` in ${e.time_zone}`})`;
    case 'instant':
      return new Date(e.ms).toISOString();
    case 'and':
    case 'or':
      return `(${e.of.map(explainExpression).join(` ${e.op} `)})`;
    case 'not':
      return `not ${explainExpression(e.of)}`;
    case 'present':
      return `${explainExpression(e.of)} is present`;
    case 'within': {
      const { south, north, west, east } = e.area;
      return `(${explainExpression(e.lat)}, ${explainExpression(e.lon)}) in ${south}…${north}, ${west}…${east}`;
    }
    case 'geohash':
      return `geohash(${explainExpression(e.lat)}, ${explainExpression(e.lon)}, ${e.precision})`;
    case 'case': {
      const branches = e.when.map(
        (branch) => `when ${explainExpression(branch.if)} then ${explainExpression(branch.value)}`,
      );
      return `case ${branches.join(' ')}${e.otherwise ? ` else ${explainExpression(e.otherwise)}` : ''} end`;
    }
    default:
      return `(${explainExpression(e.left)} ${SIGNS[e.op]} ${explainExpression(e.right)})`;
  }
}

function explainAggregate(aggregate: Aggregate): string {
  const share = aggregate.fn === 'percentile' ? `, ${aggregate.p}` : '';
  const filter = aggregate.filter ? ` where ${explainExpression(aggregate.filter)}` : '';
  return `${aggregate.fn}(${aggregate.of ? explainExpression(aggregate.of) : ''}${share})${filter}`;
}

function explainWindow(window: Window): string {
  if (window.kind === 'session') return `sessions with gaps of at most ${length(window.gap_ms)}`;
  const every =
    window.kind === 'sliding'
      ? ` every ${length(window.slide_ms)}`
      : window.kind === 'cumulating'
        ? ` step by step of ${length(window.step_ms)}`
        : '';
  const offset = window.offset_ms ? ` offset ${length(window.offset_ms)}` : '';
  const zone = window.time_zone === undefined ? '' : ` in ${window.time_zone}`;
  return `${window.kind} ${length(window.size_ms)}${every}${offset}${zone}`;
}

/** Windows in words, for people who don't know the names of their kinds. */
export function windowsInWords(window: Window): string {
  const zone = window.kind === 'session' || window.time_zone === undefined ? '' : `, in ${window.time_zone}`;
  switch (window.kind) {
    case 'session':
      return `sessions that end after ${span(window.gap_ms)} without a trip`;
    case 'sliding':
      return `windows of ${span(window.size_ms)}, one every ${span(window.slide_ms)}${zone}`;
    case 'cumulating':
      return `windows that grow to ${span(window.size_ms)} in steps of ${span(window.step_ms)}${zone}`;
    default:
      return `windows of ${span(window.size_ms)}${zone}`;
  }
}

const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
  ['millisecond', 1],
] as const;

/** `10 minutes`, `1 day`. */
function span(ms: number): string {
  const [unit, size] = UNITS.find(([, size]) => ms % size === 0)!;
  return `${ms / size} ${unit}${ms === size ? '' : 's'}`;
}

function explainTop({ n, by = [], order, rank }: Top): string {
  const fields = order.map(({ name, descending }) => `${name}${descending ? ' descending' : ''}`);
  const each = by.length > 0 ? ` of each ${by.join(', ')}` : '';
  return `${n}${each} by ${fields.join(', ')}${rank === undefined ? '' : `, ranked as ${rank}`}`;
}

function length(ms: number): string {
  for (const [unit, size] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
  ] as const) {
    if (ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

const TIMES: Readonly<Record<string, string>> = {
  dropoff: 'drop-off time',
  pickup: 'pick-up time',
  arrival: 'arrival time',
};

/** The plan of a list of views, one paragraph per view. `eventTime` names the time that assigns trips to windows. */
export function explainViews(views: readonly View[], eventTime: string): string {
  return views
    .map((view) => {
      const lines = [
        `view ${view.name}`,
        `  window     ${explainWindow(view.window)} on ${TIMES[view.time ?? 'job'] ?? eventTime}`,
      ];
      if (view.where) lines.push(`  where      ${explainExpression(view.where)}`);
      for (const [name, e] of Object.entries(view.by))
        lines.push(`  by         ${name} = ${explainExpression(e)}`);
      for (const [name, a] of Object.entries(view.aggregates))
        lines.push(`  aggregate  ${name} = ${explainAggregate(a)}`);
      if (view.having) lines.push(`  having     ${explainExpression(view.having)}`);
      if (view.top) lines.push(`  top        ${explainTop(view.top)}`);
      return lines.join('\n');
    })
    .join('\n\n');
}
