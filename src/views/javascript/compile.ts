/**
 * Compiles views into functions over columns of trips. Strings are whole-number codes of a domain; −1 is missing.
 * Numbers and times are doubles; NaN is missing, so comparisons with it are false without a check. A number that is not
 * finite, such as a division by zero, is missing too.
 */
import type { TripColumns } from '../../events/columns.ts';
import { TRIP_FIELD_NAMES, TRIP_FIELDS } from '../../events/trip.ts';
import { AGGREGATES } from '../aggregates.ts';
import type { Expression, View, Window } from '../language.ts';
import {
  type AggregateState,
  CHUNK_BITS,
  CHUNK_MASK,
  type CompiledView,
  type KeyPart,
  OUTCOME,
} from './compiled-view.ts';
import { build, finiteOrMissing, Source } from './source.ts';
import { updateSource } from './updates.ts';

interface KeySource extends KeyPart {
  readonly e: Expression;
}

/** Compiles a checked view for batches in `columns`. */
export function compileView(view: View, columns: TripColumns): CompiledView {
  const source = new Source(columns);
  const key = Object.entries(view.by).map(([name, e]) => ({
    name,
    type: source.type(e),
    domain: source.domain(e),
    e,
  }));
  const states = layOut(view, source);
  const initial = Float64Array.from(states.flatMap(({ aggregate }) => AGGREGATES[aggregate.fn].initial));
  return {
    view,
    key: key.map(({ name, type, domain }) => ({ name, type, domain })),
    states,
    width: initial.length,
    distincts: states.filter(({ distinct }) => distinct >= 0).length,
    initial: (numbers, base) => numbers.set(initial, base),
    accumulate: compileAccumulate(view, key, states, source, columns),
    values: (numbers, base) =>
      states.map(({ aggregate, offset }) =>
        finiteOrMissing(AGGREGATES[aggregate.fn].value(numbers, base + offset)),
      ),
    merge: (into, at, from, base) => {
      for (const { aggregate, offset } of states)
        AGGREGATES[aggregate.fn].merge(into, at + offset, from, base + offset);
    },
    having: compileHaving(view, columns),
  };
}

/** The aggregates' states, one after the other in a pane. */
function layOut(view: View, source: Source): AggregateState[] {
  let offset = 0;
  let distincts = 0;
  return Object.entries(view.aggregates).map(([name, aggregate]) => {
    const { initial, resultType, distinct } = AGGREGATES[aggregate.fn];
    const { of } = aggregate;
    const state = {
      name,
      aggregate,
      offset,
      width: initial.length,
      distinct: distinct ? distincts++ : -1,
      domain: distinct && of ? source.domain(of) : undefined,
      type: resultType(of && source.type(of))!,
    };
    offset += initial.length;
    return state;
  });
}

function compileAccumulate(
  view: View,
  key: readonly KeySource[],
  states: readonly AggregateState[],
  source: Source,
  columns: TripColumns,
): CompiledView['accumulate'] {
  const body = accumulateSource(view, key, states, source);
  const hoisted = TRIP_FIELD_NAMES.filter((name) => body.includes(`c_${name}[`)).map(
    (name) => `const c_${name} = c.${TRIP_FIELDS[name].type === 'string' ? 'words' : 'numbers'}.${name};`,
  );
  const parameters = 'from, to, time, outcomes, windows';
  const make = build<CompiledView['accumulate']>(parameters, body, hoisted.join('\n'), source.refs);
  return make(columns, [...source.refs.values()]);
}

function accumulateSource(
  view: View,
  key: readonly KeySource[],
  states: readonly AggregateState[],
  source: Source,
): string {
  const where = view.where ? `if (!${source.of(view.where)}) continue;` : '';
  const keys = key
    .map(
      ({ e, domain }, k) =>
        `const k${k} = ${source.of(e)}; if (${domain ? `k${k} < 0` : `Number.isNaN(k${k})`}) continue; key[${k}] = k${k};`,
    )
    .join('\n');
  const keyArray = source.ref('f', new Float64Array(key.length));
  const width = states.reduce((sum, state) => sum + state.width, 0);
  const update = `
    const pane = window.pane(key);
    const a = window.panes.numbers[pane >>> ${CHUNK_BITS}], base = (pane & ${CHUNK_MASK}) * ${width};
    ${states.map((state) => updateSource(state, source)).join('\n')}
    outcomes[i] |= ${OUTCOME.used};`;
  return `
  const key = ${keyArray};
  let window = { start: Infinity, end: -Infinity };
  for (let i = from; i < to; i++) {
    if ((outcomes[i] & ${OUTCOME.skip}) !== 0) continue;
    ${where}
    ${keys}
    const t = time[i];
    ${windowSource(view.window, update)}
  }`;
}

/** Source that finds the windows of a trip at time `t` and runs `update` in each. */
function windowSource(window: Window, update: string): string {
  if (window.kind === 'tumbling') {
    return `
    if (!(t >= window.start && t < window.end)) {
      window = windows.windowAt(t, key);
      if (window === undefined) {
        window = { start: Infinity, end: -Infinity };
        outcomes[i] |= ${OUTCOME.late};
        continue;
      }
    }
    ${update}`;
  }
  return `
    let open = false, missed = false;
    for (let start = Math.floor(t / ${window.slide_ms}) * ${window.slide_ms}; start > t - ${window.size_ms}; start -= ${window.slide_ms}) {
      window = windows.windowAt(start, key);
      if (window === undefined) { missed = true; continue; }
      open = true;
      ${update}
    }
    if (!open) outcomes[i] |= ${OUTCOME.late};
    else if (missed) outcomes[i] |= ${OUTCOME.partly};`;
}

function compileHaving(view: View, columns: TripColumns): CompiledView['having'] {
  if (!view.having) return () => true;
  const names = Object.keys(view.aggregates);
  const source = new Source(columns, new Map(names.map((name, i) => [name, `v[${i}]`])));
  const test = source.of(view.having);
  const make = build<CompiledView['having']>('v', `return ${test};`, '', source.refs);
  return make(columns, [...source.refs.values()]);
}
