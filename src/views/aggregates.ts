/**
 * The aggregate functions: the operand each takes, the state a pane keeps for it, and its result. A back end adds only
 * the update per trip (`javascript/updates.ts`).
 *
 * Sums are carried in two doubles (Knuth's two-sum), so that their rounded value does not depend on the order in which
 * trips or panes are added.
 */
import type { AggregateFunction, ValueType } from './language.ts';

export interface AggregateDescriptor {
  /** Name in SQL; a function that counts distinct values adds DISTINCT before its operand. */
  readonly sql: string;
  /** The operand may be omitted. */
  readonly operandOptional?: true;
  /** Type of the result for a type of operand; undefined if the operand is not allowed. */
  resultType(of: ValueType | undefined): ValueType | undefined;
  /** Initial numbers of its state in a pane. */
  readonly initial: readonly number[];
  /** Its different values are kept outside the pane's numbers: only themselves, or with their counts. */
  readonly keeps?: 'values' | 'counts';
  /** The result of the state that begins at `at`; NaN if it has no value. */
  value(numbers: Float64Array, at: number): number;
  /** How many values the state is made of; missing where it doesn't tell. */
  madeOf?(numbers: Float64Array, at: number): number;
  /** Adds the state at `from[base]` to that at `into[at]`. */
  merge(into: Float64Array, at: number, from: Float64Array, base: number): void;
}

const isNumeric = (type: ValueType | undefined) => type === 'number' || type === 'integer';
const first = (numbers: Float64Array, at: number) => numbers[at]!;
/** A condition always has a value, so counting its values would count all trips. */
const countable = (of: ValueType | undefined) => (of === 'boolean' ? undefined : 'integer');
const ordered = (of: ValueType | undefined) => (isNumeric(of) || of === 'time' ? of : undefined);

const second = (numbers: Float64Array, at: number) => numbers[at + 1]!;
const third = (numbers: Float64Array, at: number) => numbers[at + 2]!;

/** State: high and low part of the sum, and the number of values. */
const SUM = [0, 0, 0] as const;

function mergeSums(into: Float64Array, at: number, from: Float64Array, base: number): void {
  const [x, y] = [into[at]!, from[base]!];
  const s = x + y;
  const b = s - x;
  const e = x - (s - b) + (y - b) + into[at + 1]! + from[base + 1]!;
  into[at] = s + e;
  into[at + 1] = e - (s + e - s);
  into[at + 2] = into[at + 2]! + from[base + 2]!;
}

/** State: the number of values; high and low part of their sum; high and low part of the sum of their squares. */
const MOMENTS = {
  resultType: (of: ValueType | undefined) => (isNumeric(of) ? 'number' : undefined),
  initial: [0, 0, 0, 0, 0],
  madeOf: first,
  merge: (into: Float64Array, at: number, from: Float64Array, base: number) => {
    into[at] = into[at]! + from[base]!;
    addTo(into, at + 1, from[base + 1]!, from[base + 2]!);
    addTo(into, at + 3, from[base + 3]!, from[base + 4]!);
  },
} as const;

/** Adds a value in two doubles to the one at `at`. */
function addTo(numbers: Float64Array, at: number, high: number, low: number): void {
  const x = numbers[at]!;
  const s = x + high;
  const b = s - x;
  const e = x - (s - b) + (high - b) + numbers[at + 1]! + low;
  numbers[at] = s + e;
  numbers[at + 1] = e - (s + e - s);
}

/** Half of the bits of a double, to split it (Dekker). */
const SPLITTER = 2 ** 27 + 1;

function highOf(x: number): number {
  const c = SPLITTER * x;
  return c - (c - x);
}

/** What a product lost in rounding. */
function lostOf(x: number, y: number, product: number): number {
  const [a, b] = [highOf(x), highOf(y)];
  const lost = a * b - product + a * (y - b) + (x - a) * b + (x - a) * (y - b);
  return Number.isFinite(lost) ? lost : 0;
}

/** Adds a value to moments. */
export function addMoments(numbers: Float64Array, at: number, x: number): void {
  const square = x * x;
  numbers[at] = numbers[at]! + 1;
  addTo(numbers, at + 1, x, 0);
  addTo(numbers, at + 3, square, lostOf(x, x, square));
}

/** The sum of the squared distances from the mean; NaN without values. Both parts matter where they nearly cancel out. */
function spread(numbers: Float64Array, at: number): number {
  const [n, sum, rest] = [numbers[at]!, numbers[at + 1]!, numbers[at + 2]!];
  if (n === 0) return Number.NaN;
  const square = sum * sum;
  const lost = lostOf(sum, sum, square) + 2 * sum * rest;
  const mean = square / n;
  const product = mean * n;
  const remainder = square - product - lostOf(mean, n, product) + lost;
  return Math.max(0, numbers[at + 3]! - mean + (numbers[at + 4]! - remainder / n));
}

/** State: an event time and the value of then. */
const TIMED = [Number.NaN, Number.NaN] as const;

/** Takes a value if it is earlier than the one there; of the same time, if it is less. */
export function takeFirst(numbers: Float64Array, at: number, time: number, x: number): void {
  if (numbers[at]! < time || (numbers[at] === time && numbers[at + 1]! <= x) || Number.isNaN(time)) return;
  numbers[at] = time;
  numbers[at + 1] = x;
}

/** Takes a value if it is later than the one there; of the same time, if it is greater. */
export function takeLast(numbers: Float64Array, at: number, time: number, x: number): void {
  if (numbers[at]! > time || (numbers[at] === time && numbers[at + 1]! >= x) || Number.isNaN(time)) return;
  numbers[at] = time;
  numbers[at + 1] = x;
}

/** The value at a share `p` of sorted values with their counts, `n` in all; between two, in proportion. NaN without values. */
export function percentileOf(
  p: number,
  n: number,
  sorted: Iterable<readonly [value: number, count: number]>,
): number {
  const place = p * (n - 1);
  const [low, high] = [Math.floor(place), Math.ceil(place)];
  let passed = 0;
  let lower = Number.NaN;
  for (const [value, count] of sorted) {
    passed += count;
    if (passed > low && Number.isNaN(lower)) lower = value;
    if (passed > high) return lower === value ? value : lower + (value - lower) * (place - low);
  }
  return lower;
}

export const AGGREGATES: Readonly<Record<AggregateFunction, AggregateDescriptor>> = {
  count: {
    sql: 'COUNT',
    operandOptional: true,
    resultType: countable,
    initial: [0],
    value: first,
    madeOf: first,
    merge: (into, at, from, base) => {
      into[at] = into[at]! + from[base]!;
    },
  },
  sum: {
    sql: 'SUM',
    resultType: (of) => (isNumeric(of) ? of : undefined),
    initial: SUM,
    value: (numbers, at) => (numbers[at + 2] === 0 ? Number.NaN : numbers[at]! + numbers[at + 1]!),
    madeOf: third,
    merge: mergeSums,
  },
  avg: {
    sql: 'AVG',
    resultType: (of) => (isNumeric(of) ? 'number' : undefined),
    initial: SUM,
    value: (numbers, at) => (numbers[at]! + numbers[at + 1]!) / numbers[at + 2]!,
    madeOf: third,
    merge: mergeSums,
  },
  min: {
    sql: 'MIN',
    resultType: ordered,
    initial: [Number.NaN],
    value: first,
    merge: (into, at, from, base) => {
      if (from[base]! < into[at]! || Number.isNaN(into[at])) into[at] = from[base]!;
    },
  },
  max: {
    sql: 'MAX',
    resultType: ordered,
    initial: [Number.NaN],
    value: first,
    merge: (into, at, from, base) => {
      if (from[base]! > into[at]! || Number.isNaN(into[at])) into[at] = from[base]!;
    },
  },
  count_distinct: {
    sql: 'COUNT',
    resultType: (of) => (of === undefined ? undefined : 'integer'),
    initial: [0],
    keeps: 'values',
    value: first,
    // Two panes may share values, so their counts cannot be added.
    merge: () => {},
  },
  stddev_pop: { sql: 'STDDEV_POP', ...MOMENTS, value: (a, at) => Math.sqrt(spread(a, at) / a[at]!) },
  stddev_samp: { sql: 'STDDEV_SAMP', ...MOMENTS, value: (a, at) => Math.sqrt(spread(a, at) / (a[at]! - 1)) },
  var_pop: { sql: 'VAR_POP', ...MOMENTS, value: (a, at) => spread(a, at) / a[at]! },
  var_samp: { sql: 'VAR_SAMP', ...MOMENTS, value: (a, at) => spread(a, at) / (a[at]! - 1) },
  first: {
    sql: 'FIRST_VALUE',
    resultType: ordered,
    initial: TIMED,
    value: second,
    merge: (into, at, from, base) => takeFirst(into, at, from[base]!, from[base + 1]!),
  },
  last: {
    sql: 'LAST_VALUE',
    resultType: ordered,
    initial: TIMED,
    value: second,
    merge: (into, at, from, base) => takeLast(into, at, from[base]!, from[base + 1]!),
  },
  percentile: {
    sql: 'PERCENTILE',
    resultType: (of) => (isNumeric(of) ? 'number' : undefined),
    // The value as of the last firing, and the number of values.
    initial: [Number.NaN, 0],
    keeps: 'counts',
    value: first,
    madeOf: second,
    merge: (into, at, from, base) => {
      into[at + 1] = into[at + 1]! + from[base + 1]!;
    },
  },
};

export const AGGREGATE_FUNCTIONS = Object.keys(AGGREGATES) as readonly AggregateFunction[];
