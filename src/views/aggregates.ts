/**
 * The aggregate functions: what each one takes, what a pane keeps for it, and what comes of that. A back end adds how a
 * trip is counted in (`javascript/updates.ts`); everything else about a function stands here.
 *
 * Sums are carried in two doubles (Knuth's two-sum), so that their rounded value does not depend on the order in which
 * trips or panes are added.
 */
import type { AggregateFunction, ValueType } from './language.ts';

export interface AggregateDescriptor {
  /** Its name in SQL; DISTINCT stands before the operand of one that counts distinct values. */
  readonly sql: string;
  /** The operand may be left out. */
  readonly operandOptional?: true;
  /** The type of its result for an operand's type; undefined for an operand it can't take. */
  resultType(of: ValueType | undefined): ValueType | undefined;
  /** The numbers of its state in a pane, as they begin. */
  readonly initial: readonly number[];
  /** Its state counts values that are kept beside the pane's numbers. */
  readonly distinct?: true;
  /** Its result, of the state that begins at `at`; NaN when it has none. */
  value(numbers: Float64Array, at: number): number;
  /** Adds the state at `from[base]` to that at `into[at]`. */
  merge(into: Float64Array, at: number, from: Float64Array, base: number): void;
}

const isNumeric = (type: ValueType | undefined) => type === 'number' || type === 'integer';
const first = (numbers: Float64Array, at: number) => numbers[at]!;
/** A condition always has a value, so counting its values would count all trips. */
const countable = (of: ValueType | undefined) => (of === 'boolean' ? undefined : 'integer');
const ordered = (of: ValueType | undefined) => (isNumeric(of) || of === 'time' ? of : undefined);

/** State: the sum's high and low part, and how many values it has. */
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
    // How many values two panes share is known only from the values.
    merge: () => {},
  },
};

export const AGGREGATE_FUNCTIONS = Object.keys(AGGREGATES) as readonly AggregateFunction[];
