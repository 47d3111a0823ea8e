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
  /** The state counts values that are kept outside the pane's numbers. */
  readonly distinct?: true;
  /** The result of the state that begins at `at`; NaN if it has no value. */
  value(numbers: Float64Array, at: number): number;
  /** Adds the state at `from[base]` to that at `into[at]`. */
  merge(into: Float64Array, at: number, from: Float64Array, base: number): void;
}

const isNumeric = (type: ValueType | undefined) => type === 'number' || type === 'integer';
const first = (numbers: Float64Array, at: number) => numbers[at]!;
/** A condition always has a value, so counting its values would count all trips. */
const countable = (of: ValueType | undefined) => (of === 'boolean' ? undefined : 'integer');
const ordered = (of: ValueType | undefined) => (isNumeric(of) || of === 'time' ? of : undefined);

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

export const AGGREGATES: Readonly<Record<AggregateFunction, AggregateDescriptor>> = {
  count: {
    sql: 'COUNT',
    operandOptional: true,
    resultType: countable,
    initial: [0],
    value: first,
    merge: (into, at, from, base) => {
      into[at] = into[at]! + from[base]!;
    },
  },
  sum: {
    sql: 'SUM',
    resultType: (of) => (isNumeric(of) ? of : undefined),
    initial: SUM,
    value: (numbers, at) => (numbers[at + 2] === 0 ? Number.NaN : numbers[at]! + numbers[at + 1]!),
    merge: mergeSums,
  },
  avg: {
    sql: 'AVG',
    resultType: (of) => (isNumeric(of) ? 'number' : undefined),
    initial: SUM,
    value: (numbers, at) => (numbers[at]! + numbers[at + 1]!) / numbers[at + 2]!,
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
    distinct: true,
    value: first,
    // Two panes may share values, so their counts cannot be added.
    merge: () => {},
  },
};

export const AGGREGATE_FUNCTIONS = Object.keys(AGGREGATES) as readonly AggregateFunction[];
