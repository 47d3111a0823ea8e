/**
 * The view language: what to compute, as plain data. A view says which trips (`where`), by what key (`by`), in
 * which windows, which aggregates, and which results matter (`having`).
 *
 * One meaning for every back end: a comparison with a missing value is false; arithmetic with one is missing;
 * a trip that misses a part of its key is not in the view; aggregates pass over missing values, as SQL does.
 */
import type { TripField } from '../events/trip.ts';

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

export type Aggregate =
  | { readonly fn: 'count' }
  | { readonly fn: 'sum' | 'avg' | 'min' | 'max' | 'count_distinct'; readonly of: Expression };

export interface View {
  readonly name: string;
  readonly where?: Expression;
  /** Key fields of a result, by name. */
  readonly by: Readonly<Record<string, Expression>>;
  readonly window: Window;
  readonly aggregates: Readonly<Record<string, Aggregate>>;
  /** Over the aggregates, as fields. */
  readonly having?: Expression;
}

/** The field that marks a result without aggregates: it takes back the one of its window and key. */
export const RETRACTED = 'retracted';

type Operand = Expression | number | string | boolean;

function expression(operand: Operand): Expression {
  return typeof operand === 'object' ? operand : { op: 'literal', value: operand };
}

const binary =
  <Op extends 'add' | 'subtract' | 'multiply' | 'divide' | 'eq' | 'ne' | 'lt' | 'lte' | 'gt' | 'gte'>(
    op: Op,
  ) =>
  (left: Operand, right: Operand): Expression =>
    ({ op, left: expression(left), right: expression(right) }) as Expression;

/** A field of the trip. */
export const field = (name: TripField): Expression => ({ op: 'field', name });
/** An aggregate of the view, in `having`. */
export const aggregate = (name: string): Expression => ({ op: 'field', name });
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
export const truncate = (of: Operand): Expression => ({ op: 'truncate', of: expression(of) });
export const all = (...of: Expression[]): Expression => ({ op: 'and', of });
export const any = (...of: Expression[]): Expression => ({ op: 'or', of });
export const not = (of: Expression): Expression => ({ op: 'not', of });
export const present = (of: Expression): Expression => ({ op: 'present', of });
/** The first branch whose condition holds; missing when none does and there is no `otherwise`. */
export const choose = (
  when: readonly (readonly [Expression, Operand])[],
  otherwise?: Operand,
): Expression => ({
  op: 'case',
  when: when.map(([condition, value]) => ({ if: condition, value: expression(value) })),
  ...(otherwise === undefined ? {} : { otherwise: expression(otherwise) }),
});
/** Whether an end of the trip lies in an area, edges included. */
export const within = (end: 'pickup' | 'dropoff', area: Area): Expression => ({
  op: 'within',
  lat: field(`${end}_lat`),
  lon: field(`${end}_lon`),
  area,
});
/** The geohash cell of an end of the trip, 1 to 10 characters. */
export const geohash = (end: 'pickup' | 'dropoff', precision: number): Expression => ({
  op: 'geohash',
  lat: field(`${end}_lat`),
  lon: field(`${end}_lon`),
  precision,
});
/** Whole minutes from one time to another, truncated. */
export const minutesBetween = (from: Expression, to: Expression): Expression =>
  truncate(divide(subtract(to, from), 60_000));

export const count = (): Aggregate => ({ fn: 'count' });
export const sum = (of: Expression): Aggregate => ({ fn: 'sum', of });
export const avg = (of: Expression): Aggregate => ({ fn: 'avg', of });
export const min = (of: Expression): Aggregate => ({ fn: 'min', of });
export const max = (of: Expression): Aggregate => ({ fn: 'max', of });
export const countDistinct = (of: Expression): Aggregate => ({ fn: 'count_distinct', of });

/** Windows of one size, one after the other, aligned to the epoch. `size` is ms or `10m`. */
export const tumbling = (size: number | string): Window => ({ kind: 'tumbling', size_ms: duration(size) });
/** Windows of one size, a new one every `slide`. */
export const sliding = (size: number | string, slide: number | string): Window => ({
  kind: 'sliding',
  size_ms: duration(size),
  slide_ms: duration(slide),
});

export const view = (definition: View): View => definition;

const UNITS: Record<string, number> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds of `500ms`, `90s`, `10m`, `1h`, `2d` or a plain number of ms; NaN when it is none of them. */
export function duration(text: number | string): number {
  if (typeof text === 'number') return text;
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?$/.exec(text.trim());
  return match ? Number(match[1]) * UNITS[match[2] ?? 'ms']! : Number.NaN;
}
