/** Expressions and aggregates of views as SQL in Flink's dialect. */
import type { TimeZone } from '../../events/time-zones.ts';
import { AGGREGATES } from '../aggregates.ts';
import { type Scope, TRIP_SCOPE, typeOf } from '../check.ts';
import type { Aggregate, Expression, View } from '../language.ts';
import { RESERVED } from './parse.ts';

const SIGNS: Readonly<Record<string, string>> = {
  add: '+',
  subtract: '-',
  multiply: '*',
  eq: '=',
  ne: '<>',
  lt: '<',
  lte: '<=',
  gt: '>',
  gte: '>=',
};

const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ['DAY', 86_400_000],
  ['HOUR', 3_600_000],
  ['MINUTE', 60_000],
  ['SECOND', 1_000],
];

/** Words that Flink reserves, besides those that the parser does. */
const FLINK_WORDS = new Set(
  'ABS ALL ANY AVG BOTH CEIL CHECK COLUMN COUNT CURRENT DATE DAY DEFAULT EVERY EXPLAIN FILTER FIRST_VALUE FLOOR FOR HOUR LANGUAGE LAST_VALUE LOWER MATCH MAX METHOD MIN MINUTE MOD MONTH NEW NEXT NONE OLD ONE ONLY OPEN PERCENT PERIOD POSITION POWER PRIMARY RANGE RANK REF RELEASE RESULT RETURN ROW ROWS SCROLL SECOND SHOW SIMILAR SOME START SUM SYSTEM TIME TIMESTAMP TO STDDEV_POP STDDEV_SAMP TRAILING UNIQUE UPPER USER USING VALUE VALUES VAR_POP VAR_SAMP WINDOW WITHIN YEAR'.split(
    ' ',
  ),
);

/** A name, in backticks where SQL reserves it. */
export function nameSql(name: string): string {
  const word = name.toUpperCase();
  return RESERVED.has(word) || FLINK_WORDS.has(word) ? `\`${name}\`` : name;
}

const CONDITIONS: readonly Expression['op'][] = ['and', 'or', 'not', 'present', 'within', 'eq', 'ne', 'lt', 'lte', 'gt', 'gte']; // biome-ignore format: one line
export type Aggregates = View['aggregates'];

/** Prints expressions, whose local times are in one zone. A dialect that says something otherwise overrides it. */
export class ExpressionPrinter {
  readonly zone: TimeZone | undefined;

  constructor(zone: TimeZone | undefined) {
    this.zone = zone;
  }

  /** Ms between two times. */
  difference(from: string, to: string): string {
    return `TIMESTAMPDIFF(MILLISECOND, ${from}, ${to})`;
  }

  geohash(lat: string, lon: string, precision: number): string {
    return `GEOHASH(${lat}, ${lon}, ${precision})`;
  }

  /** `isWhole`: of whole numbers. */
  remainder(left: string, right: string, _isWhole: boolean): string {
    return `(${left} % ${right})`;
  }

  literal(value: string | number | boolean): string {
    return literalSql(value);
  }

  /** An edge of an area. */
  edge(degrees: number): string {
    return String(degrees);
  }

  aggregate(aggregate: Aggregate): string {
    const { fn, filter } = aggregate;
    const { sql } = AGGREGATES[fn];
    const suffix = filter ? ` FILTER (WHERE ${this.condition(filter)})` : '';
    if (aggregate.of === undefined) return `${sql}(*)${suffix}`;
    const of = this.value(aggregate.of);
    if (fn === 'count_distinct') return `${sql}(DISTINCT ${of})${suffix}`;
    if (fn === 'percentile') return `${sql}(${of}, ${aggregate.p})${suffix}`;
    // Flink cuts off averages of whole numbers.
    const isCutOff = fn === 'avg' && typeOf(aggregate.of, TRIP_SCOPE, '') === 'integer';
    return `${sql}(${isCutOff ? `CAST(${of} AS DOUBLE)` : of})${suffix}`;
  }

  /** A bare number in GROUP BY would be the number of a column. */
  grouped(e: Expression): string {
    if (e.op !== 'literal' || typeof e.value !== 'number') return this.value(e);
    return `CAST(${this.value(e)} AS ${Number.isInteger(e.value) ? 'BIGINT' : 'DOUBLE'})`;
  }

  /** SQL that is true where an expression holds. */
  condition(e: Expression, aggregates?: Aggregates): string {
    switch (e.op) {
      case 'and':
      case 'or':
        if (e.of.length === 1) return this.condition(e.of[0]!, aggregates);
        return `(${e.of.map((part) => this.condition(part, aggregates)).join(e.op === 'and' ? ' AND ' : ' OR ')})`;
      case 'not':
        if (e.of.op === 'present')
          return isCondition(e.of.of) ? 'FALSE' : `${this.value(e.of.of, aggregates)} IS NULL`;
        return `(${this.condition(e.of, aggregates)}) IS NOT TRUE`;
      case 'present':
        if (isCondition(e.of)) return 'TRUE';
        return `${this.value(e.of, aggregates)} IS NOT NULL`;
      case 'within':
        return this.#area(e, aggregates);
      case 'literal':
        return e.value === true ? 'TRUE' : 'FALSE';
      case 'eq':
      case 'ne':
      case 'lt':
      case 'lte':
      case 'gt':
      case 'gte':
        return `${this.value(e.left, aggregates)} ${SIGNS[e.op]} ${this.value(e.right, aggregates)}`;
      default:
        throw new Error(`${e.op} is no condition`);
    }
  }

  #area({ lat, lon, area: box }: Extract<Expression, { op: 'within' }>, aggregates?: Aggregates): string {
    const { south, north, west, east } = box;
    const [y, x] = [this.value(lat, aggregates), this.value(lon, aggregates)];
    const isEnd = /^(pickup|dropoff)_lat$/.test(y) && x === y.replace(/_lat$/, '_lon');
    return isEnd
      ? `(${y} BETWEEN ${this.edge(south)} AND ${this.edge(north)} AND ${x} BETWEEN ${this.edge(west)} AND ${this.edge(east)})`
      : `(${y} >= ${this.literal(south)} AND ${y} <= ${this.literal(north)} AND ${x} >= ${this.literal(west)} AND ${x} <= ${this.literal(east)})`;
  }

  value(e: Expression, aggregates?: Aggregates): string {
    const of = (part: Expression) => this.value(part, aggregates);
    switch (e.op) {
      case 'field':
        return aggregates ? this.aggregate(aggregates[e.name]!) : e.name;
      case 'literal':
        return this.literal(e.value);
      case 'instant':
        return `TIMESTAMP '${new Date(this.zone?.localOf(e.ms) ?? e.ms).toISOString().replace('T', ' ').replace('Z', '')}'`;
      case 'add':
      case 'subtract':
      case 'multiply': {
        const times = timesIn(e, aggregates);
        if (times) return this.difference(of(times.from), of(times.to));
        return `(${this.#leftOf(e, aggregates)} ${SIGNS[e.op]} ${of(e.right)})`;
      }
      case 'modulo':
        return this.remainder(of(e.left), of(e.right), typeOf(e, scopeOf(aggregates), '') === 'integer');
      case 'divide':
        return this.#quotient(e, aggregates);
      case 'truncate':
        return this.#truncated(e.of, aggregates);
      case 'floor':
      case 'ceil':
      case 'abs':
        return `${e.op.toUpperCase()}(${of(e.of)})`;
      case 'extract':
        return `EXTRACT(${e.part.toUpperCase()} FROM ${of(e.of)})`;
      case 'geohash':
        return this.geohash(of(e.lat), of(e.lon), e.precision);
      case 'case': {
        const branches = e.when.map(
          (branch) => `WHEN ${this.condition(branch.if, aggregates)} THEN ${of(branch.value)}`,
        );
        return `CASE ${branches.join(' ')}${e.otherwise ? ` ELSE ${of(e.otherwise)}` : ''} END`;
      }
      default:
        throw new Error(`${e.op} is no value`);
    }
  }

  /** The left side of an operation; a chain needs no brackets. */
  #leftOf({ op, left }: Extract<Expression, { left: Expression }>, aggregates?: Aggregates): string {
    const text = this.value(left, aggregates);
    const chains = [['add', 'subtract'], ['multiply']].some(
      (ops) => ops.includes(op) && ops.includes(left.op),
    );
    return chains && !timesIn(left, aggregates) ? text.slice(1, -1) : text;
  }

  /** A division by zero is missing, and one of whole numbers not cut off. */
  #quotient({ left, right }: Extract<Expression, { left: Expression }>, aggregates?: Aggregates): string {
    const isWhole = (e: Expression) => typeOf(e, scopeOf(aggregates), '') === 'integer';
    const [a, b] = [this.value(left, aggregates), this.value(right, aggregates)];
    const isOne = right.op === 'literal' && right.value === 1;
    if (isOne) return `CAST(${a} AS DOUBLE)`;
    const dividend = isWhole(left) && isWhole(right) ? `CAST(${a} AS DOUBLE)` : a;
    const isNeverZero = right.op === 'literal' && right.value !== 0;
    return `(${dividend} / ${isNeverZero ? b : `NULLIF(${b}, 0)`})`;
  }

  #truncated(of: Expression, aggregates?: Aggregates): string {
    const times = of.op === 'divide' ? timesIn(of.left, aggregates) : undefined;
    if (of.op === 'divide' && times && of.right.op === 'literal') {
      const divisor = of.right.value;
      const unit = UNITS.find(([, ms]) => ms === divisor);
      if (unit)
        return `TIMESTAMPDIFF(${unit[0]}, ${this.value(times.from, aggregates)}, ${this.value(times.to, aggregates)})`;
    }
    return `CAST(${this.value(of, aggregates)} AS BIGINT)`;
  }
}

/** A column with its name. */
export function named(sql: string, name: string): string {
  return sql === name ? name : `${sql} AS ${nameSql(name)}`;
}
export function interval(ms: number): string {
  const [unit, size] = UNITS.find(([, unitMs]) => ms % unitMs === 0) ?? ['SECOND', 1_000];
  const amount = String(ms / size);
  // Flink takes two digits where no more are announced.
  const digits = amount.replace(/^-|\..*/g, '').length;
  return `INTERVAL '${amount}' ${unit}${digits > 2 ? `(${digits})` : ''}`;
}
export function isCondition(e: Expression): boolean {
  return CONDITIONS.includes(e.op) || (e.op === 'literal' && typeof e.value === 'boolean');
}
function literalSql(value: string | number | boolean): string {
  if (typeof value === 'string') return `'${value.replaceAll("'", "''")}'`;
  const text = String(value);
  return text.startsWith('-') ? `(${text})` : text;
}
/** Types of the fields of trips, or of aggregates. */
export function scopeOf(aggregates: Aggregates | undefined): Scope {
  if (!aggregates) return TRIP_SCOPE;
  const types = Object.entries(aggregates).map(
    ([name, { fn, of }]) => [name, AGGREGATES[fn].resultType(of && typeOf(of, TRIP_SCOPE, ''))!] as const,
  );
  return new Map(types);
}

/** The two sides of a difference of times. */
function timesIn(e: Expression, aggregates?: Aggregates): { from: Expression; to: Expression } | undefined {
  if (e.op !== 'subtract' || typeOf(e.left, scopeOf(aggregates), '') !== 'time') return undefined;
  return { from: e.right, to: e.left };
}
