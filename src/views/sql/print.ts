/** Views as SQL in Flink's dialect. Read back, it makes views of the same meaning, and prints as the same text. */
import { TaxiflowError } from '../../errors.ts';
import { type TimeZone, timeZoneOf } from '../../events/time-zones.ts';
import { AGGREGATES } from '../aggregates.ts';
import { type Scope, TRIP_SCOPE, typeOf } from '../check.ts';
import type { Aggregate, Expression, Top, View, Window } from '../language.ts';
import { RESERVED } from './parse.ts';
import { viewsOfSql } from './views.ts';

const SIGNS: Readonly<Record<string, string>> = {
  add: '+',
  subtract: '-',
  multiply: '*',
  modulo: '%',
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

/** A file with `CREATE VIEW` for each view. Throws `no-sql` for a view with times in several zones. */
export function sqlOfViews(views: readonly View[]): string {
  let timeZone: string | undefined;
  const statements: string[] = [];
  for (const view of views) {
    const own = zoneOf(view);
    if (own !== timeZone) statements.push(setting(own));
    timeZone = own;
    const sql = `CREATE VIEW ${nameSql(view.name)} AS\n${new Printer(own).query(view)};`;
    refuseOtherTimes(view, `${setting(own)}\n${sql}`);
    statements.push(sql);
  }
  return `${statements.join('\n\n')}\n`;
}

/** The time zone of a view that has one. */
function zoneOf(view: View): string | undefined {
  const zones = timesOf(view).filter((time) => typeof time === 'string');
  return zones.find((zone) => zone !== 'UTC');
}

function setting(timeZone: string | undefined): string {
  return `SET 'table.local-time-zone' = '${timeZone ?? 'UTC'}';`;
}

/** The time zones of a view's window and of parts of times, and its moments, in order. */
function timesOf(node: unknown): (string | number)[] {
  if (typeof node !== 'object' || node === null) return [];
  if ('op' in node && node.op === 'instant') return [(node as unknown as { ms: number }).ms];
  const isLocal = 'time_zone' in node || ('op' in node && node.op === 'extract');
  const own = 'time_zone' in node ? (node.time_zone as string | undefined) : undefined;
  return [...(isLocal ? [own ?? 'UTC'] : []), ...Object.values(node).flatMap(timesOf)];
}

/** SQL knows one time zone at a time, and no second time of an hour that comes twice: what it makes of a view must be the same. */
function refuseOtherTimes(view: View, sql: string): void {
  const readBack = readable(sql);
  const times = ({ window, where, by, aggregates }: View) =>
    JSON.stringify([Object.entries(window).sort(), timesOf([where, by, aggregates])]);
  if (readBack && times(readBack) === times(view)) return;
  throw new TaxiflowError(
    'no-sql',
    `view ${view.name} can't be written in SQL: its times are in several time zones, or in an hour that comes twice`,
    { hint: 'give its window and its parts of times the same time zone' },
  );
}

function readable(sql: string): View | undefined {
  try {
    return viewsOfSql(sql, 'view')[0];
  } catch (error) {
    if (error instanceof TaxiflowError && / needs whole days/.test(error.message)) return undefined;
    throw error;
  }
}

/** Words that Flink reserves, besides those that the parser does. */
const FLINK_WORDS = new Set(
  'ABS ALL ANY AVG BOTH CEIL CHECK COLUMN COUNT CURRENT DATE DAY DEFAULT EVERY EXPLAIN FILTER FIRST_VALUE FLOOR FOR HOUR LANGUAGE LAST_VALUE LOWER MATCH MAX METHOD MIN MINUTE MOD MONTH NEW NEXT NONE OLD ONE ONLY OPEN PERCENT PERIOD POSITION POWER PRIMARY RANGE RANK REF RELEASE RESULT RETURN ROW ROWS SCROLL SECOND SHOW SIMILAR SOME START SUM SYSTEM TIME TIMESTAMP TO STDDEV_POP STDDEV_SAMP TRAILING UNIQUE UPPER USER USING VALUE VALUES VAR_POP VAR_SAMP WINDOW WITHIN YEAR'.split(
    ' ',
  ),
);

function nameSql(name: string): string {
  const word = name.toUpperCase();
  return RESERVED.has(word) || FLINK_WORDS.has(word) ? `\`${name}\`` : name;
}

const TIME_COLUMNS = {
  dropoff: 'dropoff_datetime',
  pickup: 'pickup_datetime',
  arrival: 'arrival_time',
} as const;
const CONDITIONS: readonly Expression['op'][] = ['and', 'or', 'not', 'present', 'within', 'eq', 'ne', 'lt', 'lte', 'gt', 'gte']; // biome-ignore format: one line
type Aggregates = View['aggregates'];

/** Prints a view whose local times are in one zone. */
class Printer {
  readonly #zone: TimeZone | undefined;

  constructor(timeZone: string | undefined) {
    this.#zone = timeZone === undefined ? undefined : timeZoneOf(timeZone);
  }

  query(view: View): string {
    const inner = this.#aggregation(view);
    return view.top ? this.#ranked(view, view.top, inner) : inner;
  }

  #aggregation({ where, by, window, aggregates, having, time }: View): string {
    const columns = [
      'window_start',
      'window_end',
      ...Object.entries(by).map(([name, e]) => named(this.#value(e), name)),
      ...Object.entries(aggregates).map(([name, aggregate]) => named(this.#aggregateSql(aggregate), name)),
    ];
    const lines = [
      `SELECT ${columns.join(', ')}`,
      `FROM TABLE(${this.#windowSql(window, by, time ?? 'dropoff')})`,
      ...(where ? [`WHERE ${this.#condition(where)}`] : []),
      `GROUP BY ${['window_start', 'window_end', ...Object.values(by).map((e) => this.#grouped(e))].join(', ')}`,
      ...(having ? [`HAVING ${this.#condition(having, aggregates)}`] : []),
    ];
    return lines.join('\n');
  }

  #ranked({ by, aggregates }: View, { n, by: groups = [], order, rank }: Top, inner: string): string {
    const name = rank ?? freeName([...Object.keys(by), ...Object.keys(aggregates)]);
    const columns = ['window_start', 'window_end', ...Object.keys(by), ...Object.keys(aggregates)].map(
      nameSql,
    );
    const partition = ['window_start', 'window_end', ...groups.map(nameSql)].join(', ');
    const fields = order.map((part) => `${nameSql(part.name)}${part.descending ? ' DESC' : ''}`).join(', ');
    return [
      `SELECT ${rank === undefined ? columns.join(', ') : '*'}`,
      `FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY ${partition} ORDER BY ${fields}) AS ${nameSql(name)} FROM (`,
      inner,
      `)) WHERE ${nameSql(name)} <= ${n}`,
    ].join('\n');
  }

  /** A bare number in GROUP BY would be the number of a column. */
  #grouped(e: Expression): string {
    if (e.op !== 'literal' || typeof e.value !== 'number') return this.#value(e);
    return `CAST(${this.#value(e)} AS ${Number.isInteger(e.value) ? 'BIGINT' : 'DOUBLE'})`;
  }

  #windowSql(window: Window, by: View['by'], time: keyof typeof TIME_COLUMNS): string {
    const descriptor = `DESCRIPTOR(${TIME_COLUMNS[time]})`;
    if (window.kind === 'session') {
      const keys = Object.values(by).map((e) => this.#value(e));
      const list = keys.length > 1 ? `(${keys.join(', ')})` : keys.join();
      const partition = keys.length > 0 ? ` PARTITION BY ${list}` : '';
      return `SESSION(TABLE trips${partition}, ${descriptor}, ${interval(window.gap_ms)})`;
    }
    const offset = window.offset_ms ? `, ${interval(window.offset_ms)}` : '';
    const size = interval(window.size_ms);
    if (window.kind === 'tumbling') return `TUMBLE(TABLE trips, ${descriptor}, ${size}${offset})`;
    const [name, step] =
      window.kind === 'sliding'
        ? (['HOP', window.slide_ms] as const)
        : (['CUMULATE', window.step_ms] as const);
    return `${name}(TABLE trips, ${descriptor}, ${interval(step)}, ${size}${offset})`;
  }

  #aggregateSql(aggregate: Aggregate): string {
    const { fn, filter } = aggregate;
    const { sql } = AGGREGATES[fn];
    const suffix = filter ? ` FILTER (WHERE ${this.#condition(filter)})` : '';
    if (aggregate.of === undefined) return `${sql}(*)${suffix}`;
    const of = this.#value(aggregate.of);
    if (fn === 'count_distinct') return `${sql}(DISTINCT ${of})${suffix}`;
    if (fn === 'percentile') return `${sql}(${of}, ${aggregate.p})${suffix}`;
    // Flink cuts off averages of whole numbers.
    const isCutOff = fn === 'avg' && typeOf(aggregate.of, TRIP_SCOPE, '') === 'integer';
    return `${sql}(${isCutOff ? `CAST(${of} AS DOUBLE)` : of})${suffix}`;
  }

  /** SQL that is true where an expression holds. */
  #condition(e: Expression, aggregates?: Aggregates): string {
    switch (e.op) {
      case 'and':
      case 'or':
        if (e.of.length === 1) return this.#condition(e.of[0]!, aggregates);
        return `(${e.of.map((part) => this.#condition(part, aggregates)).join(e.op === 'and' ? ' AND ' : ' OR ')})`;
      case 'not':
        if (e.of.op === 'present')
          return isCondition(e.of.of) ? 'FALSE' : `${this.#value(e.of.of, aggregates)} IS NULL`;
        return `(${this.#condition(e.of, aggregates)}) IS NOT TRUE`;
      case 'present':
        if (isCondition(e.of)) return 'TRUE';
        return `${this.#value(e.of, aggregates)} IS NOT NULL`;
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
        return `${this.#value(e.left, aggregates)} ${SIGNS[e.op]} ${this.#value(e.right, aggregates)}`;
      default:
        throw new Error(`${e.op} is no condition`);
    }
  }

  #area({ lat, lon, area: box }: Extract<Expression, { op: 'within' }>, aggregates?: Aggregates): string {
    const { south, north, west, east } = box;
    const [y, x] = [this.#value(lat, aggregates), this.#value(lon, aggregates)];
    const isEnd = /^(pickup|dropoff)_lat$/.test(y) && x === y.replace(/_lat$/, '_lon');
    return isEnd
      ? `(${y} BETWEEN ${south} AND ${north} AND ${x} BETWEEN ${west} AND ${east})`
      : `(${y} >= ${literal(south)} AND ${y} <= ${literal(north)} AND ${x} >= ${literal(west)} AND ${x} <= ${literal(east)})`;
  }

  #value(e: Expression, aggregates?: Aggregates): string {
    const of = (part: Expression) => this.#value(part, aggregates);
    switch (e.op) {
      case 'field':
        return aggregates ? this.#aggregateSql(aggregates[e.name]!) : e.name;
      case 'literal':
        return literal(e.value);
      case 'instant':
        return `TIMESTAMP '${new Date(this.#zone?.localOf(e.ms) ?? e.ms).toISOString().replace('T', ' ').replace('Z', '')}'`;
      case 'add':
      case 'subtract':
      case 'multiply':
      case 'modulo': {
        const times = timesIn(e, aggregates);
        if (times) return `TIMESTAMPDIFF(MILLISECOND, ${of(times.from)}, ${of(times.to)})`;
        return `(${this.#leftOf(e, aggregates)} ${SIGNS[e.op]} ${of(e.right)})`;
      }
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
        return `GEOHASH(${of(e.lat)}, ${of(e.lon)}, ${e.precision})`;
      case 'case': {
        const branches = e.when.map(
          (branch) => `WHEN ${this.#condition(branch.if, aggregates)} THEN ${of(branch.value)}`,
        );
        return `CASE ${branches.join(' ')}${e.otherwise ? ` ELSE ${of(e.otherwise)}` : ''} END`;
      }
      default:
        throw new Error(`${e.op} is no value`);
    }
  }

  /** A division by zero is missing, and one of whole numbers not cut off. */
  /** The left side of an operation; a chain needs no brackets. */
  #leftOf({ op, left }: Extract<Expression, { left: Expression }>, aggregates?: Aggregates): string {
    const text = this.#value(left, aggregates);
    const chains = [['add', 'subtract'], ['multiply']].some(
      (ops) => ops.includes(op) && ops.includes(left.op),
    );
    return chains && !timesIn(left, aggregates) ? text.slice(1, -1) : text;
  }

  #quotient({ left, right }: Extract<Expression, { left: Expression }>, aggregates?: Aggregates): string {
    const isWhole = (e: Expression) => typeOf(e, scopeOf(aggregates), '') === 'integer';
    const [a, b] = [this.#value(left, aggregates), this.#value(right, aggregates)];
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
        return `TIMESTAMPDIFF(${unit[0]}, ${this.#value(times.from, aggregates)}, ${this.#value(times.to, aggregates)})`;
    }
    return `CAST(${this.#value(of, aggregates)} AS BIGINT)`;
  }
}

function freeName(taken: readonly string[]): string {
  let name = 'rownum';
  while (taken.includes(name)) name += '_';
  return name;
}
function named(sql: string, name: string): string {
  return sql === name ? name : `${sql} AS ${nameSql(name)}`;
}
function interval(ms: number): string {
  const [unit, size] = UNITS.find(([, unitMs]) => ms % unitMs === 0) ?? ['SECOND', 1_000];
  const amount = String(ms / size);
  // Flink takes two digits where no more are announced.
  const digits = amount.replace(/^-|\..*/g, '').length;
  return `INTERVAL '${amount}' ${unit}${digits > 2 ? `(${digits})` : ''}`;
}
function isCondition(e: Expression): boolean {
  return CONDITIONS.includes(e.op) || (e.op === 'literal' && typeof e.value === 'boolean');
}
function literal(value: string | number | boolean): string {
  if (typeof value === 'string') return `'${value.replaceAll("'", "''")}'`;
  const text = String(value);
  return text.startsWith('-') ? `(${text})` : text;
}
/** Types of the fields of trips, or of aggregates. */
function scopeOf(aggregates: Aggregates | undefined): Scope {
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
