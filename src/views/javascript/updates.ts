/** JavaScript source that counts a trip, for each aggregate function. */
import { addMoments, takeFirst, takeLast } from '../aggregates.ts';
import type { AggregateFunction } from '../language.ts';
import type { AggregateState } from './compiled-view.ts';
import type { Source } from './source.ts';

/** Source that an update is built from; `x` is the operand's value. */
interface Update {
  /** Source of the n-th number of the aggregate's state. */
  slot(n: number): string;
  /** Source of the condition that `x` is not missing. */
  readonly present: string;
  readonly kept: number;
  /** Source that calls a function with the pane's numbers and the place of the state in them. */
  call(f: (numbers: Float64Array, at: number, ...more: never[]) => void, more: string): string;
}

const better =
  (sign: '<' | '>') =>
  ({ slot }: Update) =>
    `if (x ${sign} ${slot(0)} || (x === x && ${slot(0)} !== ${slot(0)})) ${slot(0)} = x;`;

function sum({ slot }: Update): string {
  return `if (x === x) {
    const s = ${slot(0)} + x, b = s - ${slot(0)};
    const e = (${slot(0)} - (s - b)) + (x - b) + ${slot(1)};
    ${slot(0)} = s + e; ${slot(1)} = e - (${slot(0)} - s); ${slot(2)} += 1;
  }`;
}

function moments({ call }: Update): string {
  return `if (x === x) ${call(addMoments, 'x')};`;
}

const UPDATES: Readonly<Record<AggregateFunction, (update: Update) => string>> = {
  count: ({ slot, present }) => `if (${present}) ${slot(0)} += 1;`,
  sum,
  avg: sum,
  min: better('<'),
  max: better('>'),
  count_distinct: ({ slot, present, kept }) =>
    `if ((${present}) && window.keep(pane, ${kept}, x)) ${slot(0)} += 1;`,
  stddev_pop: moments,
  stddev_samp: moments,
  var_pop: moments,
  var_samp: moments,
  first: ({ call }) => `if (x === x) ${call(takeFirst, 't, x')};`,
  last: ({ call }) => `if (x === x) ${call(takeLast, 't, x')};`,
  percentile: ({ slot, kept }) => `if (x === x) { window.keep(pane, ${kept}, x); ${slot(1)} += 1; }`,
};

/** Source that adds a trip of time `t` to the numbers of its pane, which begin at `a[base]`. */
export function updateSource(state: AggregateState, source: Source): string {
  const { filter } = state.aggregate;
  const update = updateOf(state, source);
  return filter ? `if (${source.of(filter)}) ${update}` : update;
}

function updateOf({ aggregate, offset, kept }: AggregateState, source: Source): string {
  const slot = (n: number) => `a[base + ${offset + n}]`;
  if (aggregate.of === undefined) return `${slot(0)} += 1;`;
  const type = source.type(aggregate.of);
  const present = type === 'string' ? 'x >= 0' : 'x === x';
  const call: Update['call'] = (f, more) => `${source.ref('f', f)}(a, base + ${offset}, ${more})`;
  const update = UPDATES[aggregate.fn]({ slot, present, kept, call });
  return `{ const x = ${source.of(aggregate.of)}; ${update} }`;
}
