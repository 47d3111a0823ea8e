/** Expressions of views in the SQL that a real Flink takes: what it lacks is written out, and what it can't do is refused. */
import { TaxiflowError } from '../errors.ts';
import type { TimeZone } from '../events/time-zones.ts';
import { AGGREGATES } from '../views/aggregates.ts';
import { TRIP_SCOPE, typeOf } from '../views/check.ts';
import type { Aggregate, Expression, ValueType } from '../views/language.ts';
import { type Aggregates, ExpressionPrinter, isCondition } from '../views/sql/print-expressions.ts';

export const SQL_TYPES: Readonly<Record<ValueType, string>> = {
  number: 'DOUBLE',
  integer: 'BIGINT',
  string: 'STRING',
  time: 'TIMESTAMP_LTZ(3)',
  boolean: 'BOOLEAN',
};

/** Cells along the two axes of a geohash: numbers from 0 on, as columns of their own. */
export interface Cells {
  readonly name: string;
  /** SQL over the columns of a trip. */
  readonly x: string;
  readonly y: string;
}

const ALPHABET = '0123456789bcdefghjkmnpqrstuvwxyz';
/**
 * The alphabet in the order of three bits of one axis followed by two of the other. The bits of a character come from the axes in
 * turn, and the odd ones are of the axis that gives three, so this is the same for every character.
 */
const BY_AXES = Array.from({ length: 32 }, (_, i) => {
  const [three, two] = [i >> 2, i & 3];
  const bit = (of: number, n: number) => (of >> n) & 1;
  const bits = [bit(three, 2), bit(two, 1), bit(three, 1), bit(two, 0), bit(three, 0)];
  return ALPHABET[bits.reduce((code, one) => code * 2 + one, 0)]!;
}).join('');

/** 2000-01-01, from which `TIMESTAMPDIFF` counts seconds in 32 bits up to the year 2068. */
const ORIGIN_S = 946_684_800;
const ORIGIN = `TO_TIMESTAMP_LTZ(${ORIGIN_S}, 0)`;
/** More than any whole number that a double holds exactly, on both sides of zero. */
const SHIFT = '10000000000000000';
const SPAN = '100000000000000000';

/** Epoch ms of a time. */
function epochMs(time: string): string {
  return `((CAST(TIMESTAMPDIFF(SECOND, ${ORIGIN}, ${time}) AS BIGINT) + ${ORIGIN_S}) * 1000 + EXTRACT(MILLISECOND FROM ${time}))`;
}

/** A time as ISO 8601 in UTC, with milliseconds. `DATE_FORMAT` itself goes by the session's time zone, where an hour may come twice. */
export function isoSql(time: string, zone: TimeZone | undefined): string {
  if (!zone) return `DATE_FORMAT(${time}, 'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''')`;
  const seconds = `TIMESTAMPDIFF(SECOND, ${ORIGIN}, ${time})`;
  const utc = `TIMESTAMP '2000-01-01 00:00:00' + (${seconds} / 86400) * INTERVAL '1' DAY + MOD(${seconds}, 86400) * INTERVAL '1' SECOND`;
  return `CONCAT(DATE_FORMAT(${utc}, 'yyyy-MM-dd''T''HH:mm:ss.'), LPAD(CAST(EXTRACT(MILLISECOND FROM ${time}) AS STRING), 3, '0'), 'Z')`;
}

export function refused(view: string, problem: string, hint: string): TaxiflowError {
  return new TaxiflowError('no-flink-sql', `view ${view} can't be handed to Flink: ${problem}`, {
    hint,
    exitCode: 2,
  });
}

/** Prints the expressions of one view. */
export class FlinkExpressions extends ExpressionPrinter {
  readonly #view: string;
  readonly #time: string;
  /** The cells that are used, by what they are made of; shared by the views of the same trips. */
  readonly #cells: Map<string, Cells>;

  /** `time` is the column of the view's event time. */
  constructor(view: string, zone: TimeZone | undefined, time: string, cells: Map<string, Cells>) {
    super(zone);
    this.#view = view;
    this.#time = time;
    this.#cells = cells;
  }

  override difference(from: string, to: string): string {
    return `(${epochMs(to)} - ${epochMs(from)})`;
  }

  /** A division by zero would end the job. */
  override remainder(left: string, right: string, isWhole: boolean): string {
    const divisor = `NULLIF(${right}, 0)`;
    // Flink's MOD is for whole numbers.
    return isWhole
      ? `MOD(${left}, ${divisor})`
      : `(${left} - CAST(${left} / ${divisor} AS BIGINT) * ${right})`;
  }

  /** A number with a point would be a decimal, whose digits are cut off. */
  override literal(value: string | number | boolean): string {
    if (typeof value !== 'number' || Number.isInteger(value)) return super.literal(value);
    const text = String(value).toUpperCase();
    const double = text.includes('E') ? text : `${text}E0`;
    return value < 0 ? `(${double})` : double;
  }

  override edge(degrees: number): string {
    return this.literal(degrees);
  }

  override value(e: Expression, aggregates?: Aggregates): string {
    if (!isCondition(e)) return super.value(e, aggregates);
    return `CASE WHEN ${this.condition(e, aggregates)} THEN 1 ELSE 0 END`;
  }

  override geohash(lat: string, lon: string, precision: number): string {
    const [xBits, yBits] = [Math.ceil((precision * 5) / 2), Math.floor((precision * 5) / 2)];
    const { name } = this.#cellsOf(lat, lon, xBits, yBits);
    let [x, y] = [xBits, yBits];
    const characters = Array.from({ length: precision }, (_, i) => {
      const isOdd = i % 2 === 1;
      [x, y] = isOdd ? [x - 2, y - 3] : [x - 3, y - 2];
      const [three, two] = isOdd
        ? [`MOD(${name}_y / ${2 ** y}, 8)`, `MOD(${name}_x / ${2 ** x}, 4)`]
        : [`MOD(${name}_x / ${2 ** x}, 8)`, `MOD(${name}_y / ${2 ** y}, 4)`];
      return `SUBSTR('${BY_AXES}', 1 + 4 * ${three} + ${two}, 1)`;
    });
    return `(${characters.join(' || ')})`;
  }

  override aggregate(aggregate: Aggregate): string {
    const { fn } = aggregate;
    if (fn === 'percentile')
      throw refused(
        this.#view,
        'Flink 1.20 has no percentile',
        'avg, max and stddev_pop work there; the embedded engine computes percentiles exactly',
      );
    if (fn === 'first' || fn === 'last') return this.#firstOrLast(aggregate);
    const { of, filter } = aggregate;
    // A sum of 32 bits would overflow.
    if (fn === 'sum' && typeOf(of!, TRIP_SCOPE, '') === 'integer')
      return `SUM(CAST(${this.value(of!)} AS BIGINT))${this.#filtered(filter)}`;
    if (fn.startsWith('stddev') || fn.startsWith('var'))
      return this.#deviation(fn, `CAST(${this.value(of!)} AS DOUBLE)`, this.#filtered(filter));
    return super.aggregate(aggregate);
  }

  /** Flink subtracts two large numbers, so that a variance near zero may come out below it; of whole numbers, it cuts off. */
  #deviation(fn: Aggregate['fn'], of: string, filter: string): string {
    const variance = `GREATEST(${fn.endsWith('pop') ? 'VAR_POP' : 'VAR_SAMP'}(${of})${filter}, CAST(0 AS DOUBLE))`;
    return fn.startsWith('stddev') ? `SQRT(${variance})` : variance;
  }

  #filtered(filter: Aggregate['filter']): string {
    return filter ? ` FILTER (WHERE ${this.condition(filter)})` : '';
  }

  /** Flink's FIRST_VALUE goes by arrival. Time and value in one number, of which the least or the greatest is taken, go by time. */
  #firstOrLast({ fn, of, filter }: Aggregate): string {
    const type = typeOf(of!, TRIP_SCOPE, '');
    if (type === 'number')
      throw refused(
        this.#view,
        `Flink's ${AGGREGATES[fn].sql} goes by arrival and not by time`,
        `${fn} of a whole number or a time works; of others, min and max`,
      );
    const value = type === 'time' ? epochMs(this.value(of!)) : this.value(of!);
    const packed = `CAST(${epochMs(this.#time)} AS DECIMAL(38, 0)) * ${SPAN} + ${value} + ${SHIFT}`;
    const taken = `${fn === 'first' ? 'MIN' : 'MAX'}(${packed})${this.#filtered(filter)}`;
    const found = `(CAST(RIGHT(CAST(${taken} AS STRING), ${SPAN.length - 1}) AS BIGINT) - ${SHIFT})`;
    return type === 'time' ? `TO_TIMESTAMP_LTZ(${found}, 3)` : found;
  }

  /** Rounding may only bring a place up to the edge above it, which the comparison takes back. */
  #cellsOf(lat: string, lon: string, xBits: number, yBits: number): Cells {
    const key = JSON.stringify([lat, lon, xBits, yBits]);
    const known = this.#cells.get(key);
    if (known) return known;
    const axis = (value: string, low: number, span: number, bits: number) => {
      const width = this.literal(span / 2 ** bits);
      const guess = `FLOOR((${value} + ${low}) / ${width})`;
      const exact = `${guess} - CASE WHEN ${value} < ${guess} * ${width} - ${low} THEN 1 ELSE 0 END`;
      return `CASE WHEN ${lat} BETWEEN -90 AND 90 AND ${lon} BETWEEN -180 AND 180 THEN CAST(LEAST(${exact}, ${2 ** bits - 1}) AS INT) END`;
    };
    const cells = {
      name: `cell_${this.#cells.size + 1}`,
      x: axis(lon, 180, 360, xBits),
      y: axis(lat, 90, 180, yBits),
    };
    this.#cells.set(key, cells);
    return cells;
  }
}
