/** Views as text, as `taxiflow process --explain` prints them. */
import type { Aggregate, Expression, View, Window } from './language.ts';

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
      return `truncate(${explainExpression(e.of)})`;
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
  return `${aggregate.fn}(${aggregate.of ? explainExpression(aggregate.of) : ''})`;
}

function explainWindow(window: Window): string {
  if (window.kind === 'tumbling') return `tumbling ${length(window.size_ms)}`;
  return `sliding ${length(window.size_ms)} every ${length(window.slide_ms)}`;
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

/** The plan of a list of views, one paragraph per view. `eventTime` names the time that assigns trips to windows. */
export function explainViews(views: readonly View[], eventTime: string): string {
  return views
    .map((view) => {
      const lines = [`view ${view.name}`, `  window     ${explainWindow(view.window)} on ${eventTime}`];
      if (view.where) lines.push(`  where      ${explainExpression(view.where)}`);
      for (const [name, e] of Object.entries(view.by))
        lines.push(`  by         ${name} = ${explainExpression(e)}`);
      for (const [name, a] of Object.entries(view.aggregates))
        lines.push(`  aggregate  ${name} = ${explainAggregate(a)}`);
      if (view.having) lines.push(`  having     ${explainExpression(view.having)}`);
      return lines.join('\n');
    })
    .join('\n\n');
}
