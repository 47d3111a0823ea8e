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
  | { readonly op: 'truncate'; readonly of: Expression }
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

export type Window =
  | { readonly kind: 'tumbling'; readonly size_ms: number }
  | { readonly kind: 'sliding'; readonly size_ms: number; readonly slide_ms: number };

/** The type of an expression; a time is epoch ms. */
export type ValueType = 'number' | 'integer' | 'string' | 'time' | 'boolean';

export type AggregateFunction = Aggregate['fn'];

export type Aggregate =
  /** Counts all trips; with `of`, the trips in which it is not missing. */
  | { readonly fn: 'count'; readonly of?: Expression }
  | { readonly fn: 'sum' | 'avg' | 'min' | 'max' | 'count_distinct'; readonly of: Expression };

export interface View {
  readonly name: string;
  readonly where?: Expression;
  /** Key fields of a result, by name. */
  readonly by: Readonly<Record<string, Expression>>;
  readonly window: Window;
  readonly aggregates: Readonly<Record<string, Aggregate>>;
  /** A condition over the aggregates, as fields. */
  readonly having?: Expression;
}

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

type Arithmetic = 'add' | 'subtract' | 'multiply' | 'divide';
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

/** Number of trips, or of trips in which `of` is not missing. */
export const count = word(
  'count(x)',
  (...of: [Expression?]): Aggregate => (of.length === 0 ? { fn: 'count' } : { fn: 'count', of: of[0]! }),
  0,
  1,
);
export const sum = word('sum(x)', (of: Expression): Aggregate => ({ fn: 'sum', of }));
export const avg = word('avg(x)', (of: Expression): Aggregate => ({ fn: 'avg', of }));
export const min = word('min(x)', (of: Expression): Aggregate => ({ fn: 'min', of }));
export const max = word('max(x)', (of: Expression): Aggregate => ({ fn: 'max', of }));
export const countDistinct = word(
  'countDistinct(x)',
  (of: Expression): Aggregate => ({ fn: 'count_distinct', of }),
);

/** Consecutive windows of one size, aligned to the epoch. `size` is ms or a text such as `10m`. */
export const tumbling = word(
  'tumbling(size)',
  (size: number | string): Window => ({ kind: 'tumbling', size_ms: duration(size) }),
);
/** Overlapping windows of one size; a new one starts every `slide`. */
export const sliding = word(
  'sliding(size, slide)',
  (size: number | string, slide: number | string): Window => ({
    kind: 'sliding',
    size_ms: duration(size),
    slide_ms: duration(slide),
  }),
);

export const view = word('view(definition)', (definition: View): View => definition);
