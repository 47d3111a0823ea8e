/**
 * Compiles views into functions over columns of trips. Strings are whole-number codes of a domain; −1 is missing.
 * Numbers and times are doubles; NaN is missing, so comparisons with it are false without a check. A number that is not
 * finite, such as a division by zero, is missing too.
 */
import type { TripColumns } from '../../events/columns.ts';
import { TRIP_FIELD_NAMES, TRIP_FIELDS } from '../../events/trip.ts';
import { AGGREGATES } from '../aggregates.ts';
import type { Expression, View } from '../language.ts';
import { windowsPerTrip } from '../windows.ts';
import {
  type AggregateState,
  CHUNK_BITS,
  CHUNK_MASK,
  type CompiledView,
  type KeyPart,
  OUTCOME,
  SESSION_WIDTH,
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
  const isSession = view.window.kind === 'session';
  const aggregated = states.flatMap(({ aggregate }) => AGGREGATES[aggregate.fn].initial);
  const initial = Float64Array.from([...aggregated, ...(isSession ? NO_TIMES : [])]);
  const sessionAt = isSession ? aggregated.length : -1;
  const merges = states.map(({ aggregate, offset }) => ({ merge: AGGREGATES[aggregate.fn].merge, offset }));
  return {
    view,
    key: key.map(({ name, type, domain }) => ({ name, type, domain })),
    states,
    width: initial.length,
    lists: states.filter(({ kept }) => kept >= 0).length,
    counted: states.some(({ aggregate }) => AGGREGATES[aggregate.fn].keeps === 'counts'),
    sessionAt,
    initial: (numbers, base) => numbers.set(initial, base),
    accumulate: compileAccumulate(view, key, states, initial.length, source, columns),
    values: (numbers, base) =>
      states.map(({ aggregate, offset }) =>
        finiteOrMissing(AGGREGATES[aggregate.fn].value(numbers, base + offset)),
      ),
    madeOf: (numbers, base) =>
      states.map(
        ({ aggregate, offset }) => AGGREGATES[aggregate.fn].madeOf?.(numbers, base + offset) ?? Number.NaN,
      ),
    merge: (into, at, from, base) => {
      for (let i = 0; i < merges.length; i++) {
        const { merge, offset } = merges[i]!;
        merge(into, at + offset, from, base + offset);
      }
      if (isSession) mergeTimes(into, at + sessionAt, from, base + sessionAt);
    },
    having: compileHaving(view, states, columns),
  };
}

const NO_TIMES = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

function mergeTimes(into: Float64Array, at: number, from: Float64Array, base: number): void {
  into[at] = Math.min(into[at]!, from[base]!);
  into[at + 1] = Math.max(into[at + 1]!, from[base + 1]!);
}

/** The aggregates' states, one after the other in a pane. */
function layOut(view: View, source: Source): AggregateState[] {
  let offset = 0;
  let lists = 0;
  return Object.entries(view.aggregates).map(([name, aggregate]) => {
    const { initial, resultType, keeps } = AGGREGATES[aggregate.fn];
    const { of } = aggregate;
    const state = {
      name,
      aggregate,
      offset,
      width: initial.length,
      kept: keeps ? lists++ : -1,
      domain: keeps && of ? source.domain(of) : undefined,
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
  width: number,
  source: Source,
  columns: TripColumns,
): CompiledView['accumulate'] {
  const body = accumulateSource(view, key, states, width, source);
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
  width: number,
  source: Source,
): string {
  const where = view.where ? `if (!${source.of(view.where)}) continue;` : '';
  const keys = key
    .map(
      ({ e, domain }, k) =>
        `const k${k} = ${source.of(e)}; if (${domain ? `k${k} < 0` : `Number.isNaN(k${k})`}) { keyless++; continue; } key[${k}] = k${k};`,
    )
    .join('\n');
  const keyArray = source.ref('f', new Float64Array(key.length));
  const session = view.window.kind === 'session' ? sessionSource(width - SESSION_WIDTH) : '';
  const update = `
    const pane = window.pane(key);
    const a = window.panes.numbers[pane >>> ${CHUNK_BITS}], base = (pane & ${CHUNK_MASK}) * ${width};
    ${states.map((state) => updateSource(state, source)).join('\n')}
    ${session}`;
  return `
  const key = ${keyArray};
  let keyless = 0;
  let slice = { from: Infinity, to: -Infinity, windows: [], missed: false };
  for (let i = from; i < to; i++) {
    if ((outcomes[i] & ${OUTCOME.skip}) !== 0) continue;
    ${where}
    ${keys}
    const t = ${view.time === 'pickup' ? source.of({ op: 'field', name: 'pickup_datetime' }) : 'time[i]'};
    ${view.time === 'pickup' ? 'if (t !== t) { keyless++; continue; }' : ''}
    if (!(t >= slice.from && t < slice.to)) slice = windows.sliceAt(t);
    ${windowsSource(windowsPerTrip(view.window) > 1, update)}
  }
  return keyless;`;
}

/** Source that runs `update` in each of the windows of a slice. */
function windowsSource(several: boolean, update: string): string {
  const late = `outcomes[i] |= ${OUTCOME.late};`;
  if (!several) {
    return `
    const window = slice.windows[0];
    if (window === undefined) { ${late} continue; }
    ${update}
    outcomes[i] |= ${OUTCOME.used};`;
  }
  return `
    const open = slice.windows;
    if (open.length === 0) { ${late} continue; }
    for (let w = 0; w < open.length; w++) {
      const window = open[w];
      ${update}
    }
    outcomes[i] |= slice.missed ? ${OUTCOME.used | OUTCOME.partly} : ${OUTCOME.used};`;
}

/** Source that notes the time of a trip in its session's numbers. */
function sessionSource(at: number): string {
  return `
    if (t < a[base + ${at}]) a[base + ${at}] = t;
    if (t > a[base + ${at + 1}]) a[base + ${at + 1}] = t;`;
}

function compileHaving(
  view: View,
  states: readonly AggregateState[],
  columns: TripColumns,
): CompiledView['having'] {
  if (!view.having) return () => true;
  const fields = new Map(states.map(({ name }, i) => [name, `v[${i}]`]));
  const source = new Source(columns, fields, new Map(states.map(({ name, type }) => [name, type])));
  const test = source.of(view.having);
  const make = build<CompiledView['having']>('v', `return ${test};`, '', source.refs);
  return make(columns, [...source.refs.values()]);
}
