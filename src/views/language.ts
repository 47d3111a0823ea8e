/**
 * The view language: what to compute, as plain data. A view selects trips (`where`), groups them by a key (`by`) and a
 * window, computes aggregates, and selects results (`having`).
 *
 * The meaning is the same in every back end: a comparison with a missing value is false; arithmetic with one is missing;
 * a trip without a part of its key is not in the view; aggregates skip missing values, as in SQL.
 */
import { TaxiflowError } from '../errors.ts';
import type { TripField } from '../events/trip.ts';
import { duration } from './durations.ts';

export { duration };

export type Expression =
  | { readonly op: 'field'; readonly name: string }
  | { readonly op: 'literal'; readonly value: number | string | boolean }
  | {
      readonly op: 'add' | 'subtract' | 'multiply' | 'divide';
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly op: 'modulo'; readonly left: Expression; readonly right: Expression }
  | { readonly op: 'truncate' | 'floor' | 'ceil' | 'abs'; readonly of: Expression }
  /** A part of a time, in a time zone or else in UTC. */
  | { readonly op: 'extract'; readonly part: TimePart; readonly of: Expression; readonly time_zone?: string }
  /** A moment, epoch ms. */
  | { readonly op: 'instant'; readonly ms: number }
  | {
      readonly op: 'eq' | 'ne' | 'lt' | 'lte' | 'gt' | 'gte';
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly op: 'and' | 'or'; readonly of: readonly Expression[] }
  | { readonly op: 'not'; readonly of: Expression }
  | { readonly op: 'present'; readonly of: Expression }
  | { readonly op: 'within'; readonly lat: Expression; readonly lon: Expression; readonly area: Area }
  | { readonly op: 'geohash'; readonly lat: Expression; readonly lon: Expression; readonly precision: number }
  | { readonly op: 'case'; readonly when: readonly Branch[]; readonly otherwise?: Expression };

export interface Branch {
  readonly if: Expression;
  readonly value: Expression;
}

/** A box in degrees, edges included. */
export interface Area {
  readonly south: number;
  readonly north: number;
  readonly west: number;
  readonly east: number;
}

/** Monday is `isodow` 1 and `dow` 2, Sunday `isodow` 7 and `dow` 1; a `week` is that of ISO 8601. */
export type TimePart =
  | 'year'
  | 'quarter'
  | 'month'
  | 'week'
  | 'day'
  | 'doy'
  | 'dow'
  | 'isodow'
  | 'hour'
  | 'minute'
  | 'second';

/** Where windows begin: `offset_ms` after the epoch, or after local midnight in a time zone, where they are of whole days. */
interface Aligned {
  readonly size_ms: number;
  readonly offset_ms?: number;
  readonly time_zone?: string;
}

export type Window =
  | ({ readonly kind: 'tumbling' } & Aligned)
  | ({ readonly kind: 'sliding'; readonly slide_ms: number } & Aligned)
  /** Windows that begin together and end one step after the other, up to the size. */
  | ({ readonly kind: 'cumulating'; readonly step_ms: number } & Aligned)
  /** Of each key: trips with no more than the gap between one and the next. */
  | { readonly kind: 'session'; readonly gap_ms: number };

/** The type of an expression; a time is epoch ms. */
export type ValueType = 'number' | 'integer' | 'string' | 'time' | 'boolean';

export type AggregateFunction = Aggregate['fn'];

/** Of the trips for which `filter` holds, by default all. */
export type Aggregate = { readonly filter?: Expression } & (
  | /** Counts all trips; with `of`, the trips in which it is not missing. */ {
      readonly fn: 'count';
      readonly of?: Expression;
    }
  | {
      readonly fn:
        | 'sum'
        | 'avg'
        | 'min'
        | 'max'
        | 'count_distinct'
        | 'stddev_pop'
        | 'stddev_samp'
        | 'var_pop'
        | 'var_samp'
        /** By event time; of several at that time, the least (`first`) or the greatest (`last`). */
        | 'first'
        | 'last';
      readonly of: Expression;
    }
  /** Exact; between two values, in proportion (`p` from 0 to 1). */
  | { readonly fn: 'percentile'; readonly of: Expression; readonly p: number }
);

/** The first `n` results of each window, or of each group of key fields in it. */
export interface Top {
  readonly n: number;
  /** Key fields. */
  readonly by?: readonly string[];
  /** Key fields and aggregates, the most important first. Missing values are the least; ties go by key. */
  readonly order: readonly { readonly name: string; readonly descending?: boolean }[];
  /** Name of a field with the rank, from 1. */
  readonly rank?: string;
}

export interface View {
  readonly name: string;
  readonly where?: Expression;
  /** Key fields of a result, by name. */
  readonly by: Readonly<Record<string, Expression>>;
  readonly window: Window;
  readonly aggregates: Readonly<Record<string, Aggregate>>;
  /** A condition over the aggregates, as fields. */
  readonly having?: Expression;
  readonly top?: Top;
  /** The time that assigns trips to windows; by default that of the job, the drop-off. */
  readonly time?: EventTime;
}

export type EventTime = 'dropoff' | 'pickup' | 'arrival';

/** The field that marks a retraction: a result without aggregates that withdraws the one of its window and key. */
export const RETRACTED = 'retracted';

type Operand = Expression | number | string | boolean;

function expression(operand: Operand): Expression {
  return typeof operand === 'object' ? operand : { op: 'literal', value: operand };
}

function badCall(usage: string, problem: string): TaxiflowError {
  return new TaxiflowError('bad-view', `${usage}: ${problem}`, {
    hint: 'see "Expressions" in docs/views.md',
    exitCode: 2,
  });
}

/**
 * A word of the language that checks the number of its arguments, as `usage` shows them: silently ignoring an argument
 * would make a view with another meaning.
 */
function word<F extends (...args: never[]) => unknown>(
  usage: string,
  make: F,
  least = make.length,
  most = least,
): F {
  const counting = (...args: Parameters<F>): unknown => {
    // biome-ignore lint/plugin: the number of arguments is checked
    if (args.length >= least && args.length <= most) return make(...args);
    const wanted =
      least === most
        ? `${least}`
        : most === Number.POSITIVE_INFINITY
          ? `${least} or more`
          : `${least} or ${most}`;
    throw badCall(usage, `it takes ${wanted} argument${wanted === '1' ? '' : 's'}, not ${args.length}`);
  };
  return counting as F;
}

type Arithmetic = 'add' | 'subtract' | 'multiply' | 'divide' | 'modulo';
type Comparison = 'eq' | 'ne' | 'lt' | 'lte' | 'gt' | 'gte';

const binary = (op: Arithmetic | Comparison) =>
  word(
    `${op}(left, right)`,
    (left: Operand, right: Operand): Expression => ({ op, left: expression(left), right: expression(right) }),
  );

/** A field of the trip. */
export const field = word('field(name)', (name: TripField): Expression => ({ op: 'field', name }));
/** An aggregate of the view, in `having`. */
export const aggregate = word('aggregate(name)', (name: string): Expression => ({ op: 'field', name }));
export const add = binary('add');
export const subtract = binary('subtract');
export const multiply = binary('multiply');
export const divide = binary('divide');
/** The remainder of a division, with the sign of the left side. */
export const modulo = binary('modulo');
export const eq = binary('eq');
export const ne = binary('ne');
export const lt = binary('lt');
export const lte = binary('lte');
export const gt = binary('gt');
export const gte = binary('gte');
export const truncate = word(
  'truncate(x)',
  (of: Operand): Expression => ({ op: 'truncate', of: expression(of) }),
);
const rounded = (op: 'floor' | 'ceil' | 'abs') =>
  word(`${op}(x)`, (of: Operand): Expression => ({ op, of: expression(of) }));
export const floor = rounded('floor');
export const ceil = rounded('ceil');
export const abs = rounded('abs');
/** A part of a time, such as its `hour`; by local time in a time zone. */
export const extract = word(
  'extract(part, time, { timeZone })',
  (part: TimePart, of: Expression, where?: { readonly timeZone?: string }): Expression => ({
    op: 'extract',
    part,
    of,
    ...zoned(where, 'extract(part, time, { timeZone })', ['timeZone']),
  }),
  2,
  3,
);
/** A moment, as ISO 8601 with a zone or `Z`. */
export const instant = word(
  'instant(time)',
  (time: string): Expression => ({ op: 'instant', ms: Date.parse(time) }),
);
export const all = (...of: Expression[]): Expression => ({ op: 'and', of });
export const any = (...of: Expression[]): Expression => ({ op: 'or', of });
export const not = word('not(condition)', (of: Expression): Expression => ({ op: 'not', of }));
export const present = word('present(x)', (of: Expression): Expression => ({ op: 'present', of }));
/** The value of the first branch whose condition holds; missing if none does and there is no `otherwise`. */
export const choose = word(
  'choose([[condition, value], …], otherwise)',
  (when: readonly (readonly [Expression, Operand])[], otherwise?: Operand): Expression => ({
    op: 'case',
    when: branches(when),
    ...(otherwise === undefined ? {} : { otherwise: expression(otherwise) }),
  }),
  1,
  2,
);

function branches(when: readonly (readonly [Expression, Operand])[]): Branch[] {
  const usage = 'choose([[condition, value], …], otherwise)';
  if (!Array.isArray(when)) throw badCall(usage, 'the first argument must be a list of branches');
  return when.map((branch: readonly [Expression, Operand]) => {
    if (!Array.isArray(branch) || branch.length !== 2)
      throw badCall(usage, 'a branch must be a list of two, condition and value');
    return { if: branch[0], value: expression(branch[1]) };
  });
}

/** `lat` and `lon` of an end of the trip. */
function pointOf(end: 'pickup' | 'dropoff', usage: string): { lat: Expression; lon: Expression } {
  if (end !== 'pickup' && end !== 'dropoff')
    throw badCall(
      usage,
      `${typeof end === 'string' ? JSON.stringify(end) : `a ${typeof end}`} is not an end of a trip: use "pickup" or "dropoff"`,
    );
  return { lat: field(`${end}_lat`), lon: field(`${end}_lon`) };
}

/** Whether an end of the trip is in an area, edges included. */
export const within = word(
  'within(end, area)',
  (end: 'pickup' | 'dropoff', area: Area): Expression => ({
    op: 'within',
    ...pointOf(end, 'within(end, area)'),
    area,
  }),
);
/** The geohash cell of an end of the trip, 1 to 10 characters. */
export const geohash = word(
  'geohash(end, precision)',
  (end: 'pickup' | 'dropoff', precision: number): Expression => ({
    op: 'geohash',
    ...pointOf(end, 'geohash(end, precision)'),
    precision,
  }),
);
/** Whole minutes from one time to another, truncated. */
export const minutesBetween = word(
  'minutesBetween(from, to)',
  (from: Expression, to: Expression): Expression => truncate(divide(subtract(to, from), 60_000)),
);

interface Selecting {
  /** Only trips for which this holds. */
  readonly filter?: Expression;
}

function filtered<A extends Aggregate>(aggregate: A, selecting: Selecting | undefined, usage: string): A {
  return selecting === undefined ? aggregate : { ...aggregate, ...partsOf(selecting, usage, ['filter']) };
}

/** The parts of an options argument that are given. Unknown ones would be ignored, so they are refused. */
function partsOf(given: unknown, usage: string, known: readonly string[]): Record<string, unknown> {
  const isParts = typeof given === 'object' && given !== null && !Array.isArray(given) && !('op' in given);
  if (!isParts || Object.keys(given).length === 0)
    throw badCall(usage, `the last argument must be an object of ${known.join(', ')}`);
  for (const name of Object.keys(given))
    if (!known.includes(name)) throw badCall(usage, `there is no ${name}; there is ${known.join(', ')}`);
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** Number of trips, or of trips in which `of` is not missing. */
export const count = word(
  'count(x, { filter })',
  (...args: [of?: Expression | Selecting, selecting?: Selecting]): Aggregate => {
    const usage = 'count(x, { filter })';
    const [of, selecting] = args;
    if (args.length === 0) return { fn: 'count' };
    const isExpression = typeof of !== 'object' || of === null || 'op' in of;
    if (isExpression) return filtered({ fn: 'count', of: of as Expression }, selecting, usage);
    if (args.length === 2) throw badCall(usage, 'the first of two arguments must be an expression');
    return filtered({ fn: 'count' }, of as Selecting, usage);
  },
  0,
  2,
);

type Unary = Exclude<Aggregate['fn'], 'count' | 'percentile'>;

const aggregating = (fn: Unary, name: string = fn) =>
  word(
    `${name}(x, { filter })`,
    (of: Expression, selecting?: Selecting): Aggregate =>
      filtered({ fn, of }, selecting, `${name}(x, { filter })`),
    1,
    2,
  );

export const sum = aggregating('sum');
export const avg = aggregating('avg');
export const min = aggregating('min');
export const max = aggregating('max');
export const countDistinct = aggregating('count_distinct', 'countDistinct');
/** Standard deviation and variance of all values (`pop`), or estimated from a sample (`samp`). */
export const stddev = aggregating('stddev_pop', 'stddev');
export const stddevSample = aggregating('stddev_samp', 'stddevSample');
export const variance = aggregating('var_pop', 'variance');
export const varianceSample = aggregating('var_samp', 'varianceSample');
/** The value of the trip that came first, or last, by event time. */
export const first = aggregating('first');
export const last = aggregating('last');
/** The value below which the share `p` of the values lies, from 0 to 1; 0.5 is the median. */
export const percentile = word(
  'percentile(x, p, { filter })',
  (of: Expression, p: number, selecting?: Selecting): Aggregate =>
    filtered({ fn: 'percentile', of, p }, selecting, 'percentile(x, p, { filter })'),
  2,
  3,
);

interface Alignment {
  /** Ms, or a text such as `15m`, that windows begin after the epoch. */
  readonly offset?: number | string;
  /** Of the IANA database: windows of whole local days, of 23 to 25 hours. */
  readonly timeZone?: string;
}

function zoned(
  given: Alignment | undefined,
  usage: string,
  known = ['offset', 'timeZone'],
): { offset_ms?: number; time_zone?: string } {
  if (given === undefined) return {};
  const { offset, timeZone } = partsOf(given, usage, known);
  return {
    ...(offset === undefined ? {} : { offset_ms: duration(offset as string) }),
    ...(timeZone === undefined ? {} : { time_zone: timeZone as string }),
  };
}

/** Consecutive windows of one size, aligned to the epoch. `size` is ms or a text such as `10m`. */
export const tumbling = word(
  'tumbling(size, { offset, timeZone })',
  (size: number | string, alignment?: Alignment): Window => ({
    kind: 'tumbling',
    size_ms: duration(size),
    ...zoned(alignment, 'tumbling(size, { offset, timeZone })'),
  }),
  1,
  2,
);
/** Overlapping windows of one size; a new one starts every `slide`. */
export const sliding = word(
  'sliding(size, slide, { offset, timeZone })',
  (size: number | string, slide: number | string, alignment?: Alignment): Window => ({
    kind: 'sliding',
    size_ms: duration(size),
    slide_ms: duration(slide),
    ...zoned(alignment, 'sliding(size, slide, { offset, timeZone })'),
  }),
  2,
  3,
);
/** Windows that begin every `size` and of which one ends after each `step`, up to the whole. */
export const cumulating = word(
  'cumulating(size, step, { offset, timeZone })',
  (size: number | string, step: number | string, alignment?: Alignment): Window => ({
    kind: 'cumulating',
    size_ms: duration(size),
    step_ms: duration(step),
    ...zoned(alignment, 'cumulating(size, step, { offset, timeZone })'),
  }),
  2,
  3,
);
/** Windows of each key, as long as no more than `gap` is between one trip and the next. */
export const session = word(
  'session(gap)',
  (gap: number | string): Window => ({ kind: 'session', gap_ms: duration(gap) }),
);

export const view = word('view(definition)', (definition: View): View => definition);
