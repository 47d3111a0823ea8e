/**
 * SQL expressions as those of the view language. A condition of SQL is true, false or unknown; one of the view language holds or not.
 * So each is translated as "it is true" or as "it is false", and NOT goes from one to the other.
 */
import { TaxiflowError } from '../../errors.ts';
import { timeZoneOf } from '../../events/time-zones.ts';
import { parseTime } from '../../events/times.ts';
import { nearest } from '../../suggest.ts';
import { AGGREGATES } from '../aggregates.ts';
import { type Scope, SEE_VIEWS, TRIP_SCOPE, typeOf } from '../check.ts';
import type { Aggregate, AggregateFunction, Expression, TimePart, ValueType } from '../language.ts';
import type { SqlSource } from './source.ts';
import { type Call, type Comparison, type Node, UNIT_MS } from './syntax.ts';

type Of<K extends Node['kind']> = Extract<Node, { kind: K }>;

/** What the names in an expression mean. */
export interface Names {
  /** The expression of a name; undefined if there is none. */
  find(name: string): Expression | undefined;
  /** All names, for a hint. */
  readonly all: Iterable<string>;
  readonly scope: Scope;
  /** What an aggregate stands for; undefined where there are none. */
  aggregate?(call: Call): Expression;
}

const OPPOSITE: Readonly<Record<Comparison, Comparison>> = {
  eq: 'ne',
  ne: 'eq',
  lt: 'gte',
  lte: 'gt',
  gt: 'lte',
  gte: 'lt',
};

const TIME_PARTS: Readonly<Record<string, TimePart>> = {
  YEAR: 'year',
  QUARTER: 'quarter',
  MONTH: 'month',
  WEEK: 'week',
  DAY: 'day',
  DOY: 'doy',
  DOW: 'dow',
  ISODOW: 'isodow',
  HOUR: 'hour',
  MINUTE: 'minute',
  SECOND: 'second',
};
/** Functions that are short for EXTRACT. */
const PART_FUNCTIONS: Readonly<Record<string, TimePart>> = {
  YEAR: 'year',
  QUARTER: 'quarter',
  MONTH: 'month',
  WEEK: 'week',
  DAYOFMONTH: 'day',
  DAYOFYEAR: 'doy',
  DAYOFWEEK: 'dow',
  HOUR: 'hour',
  MINUTE: 'minute',
  SECOND: 'second',
};

/** Most objects, lists and values of an expression. */
const MOST_PARTS = 50_000;

const WHOLE_TYPES = ['TINYINT', 'SMALLINT', 'INT', 'INTEGER', 'BIGINT'];
const NUMBER_TYPES = ['FLOAT', 'DOUBLE'];

/** Aggregate functions by their name in SQL. */
const AGGREGATE_NAMES: ReadonlyMap<string, AggregateFunction> = new Map([
  ...(Object.keys(AGGREGATES) as AggregateFunction[])
    .filter((fn) => fn !== 'count_distinct')
    .map((fn) => [AGGREGATES[fn].sql, fn] as const),
  ['VARIANCE', 'var_samp'],
]);

const SCALARS = [
  'ABS', 'CEIL', 'CEILING', 'COALESCE', 'FLOOR', 'GEOHASH', 'IF', 'MOD', 'NULLIF', 'TIMESTAMPDIFF',
  ...Object.keys(PART_FUNCTIONS),
]; // biome-ignore format: one list

const literal = (value: number | string | boolean): Expression => ({ op: 'literal', value });
const not = (of: Expression): Expression => ({ op: 'not', of });
const present = (of: Expression): Expression => ({ op: 'present', of });

/** A whole number as one that may have a fraction. */
const fraction = (e: Expression): Expression => ({ op: 'divide', left: e, right: literal(1) });

/** A quotient of two whole numbers, cut off as SQL does. */
const wholeQuotient = (left: Expression, right: Expression): Expression => ({
  op: 'truncate',
  of: { op: 'divide', left, right },
});

export function isAggregate({ name }: Call): boolean {
  return AGGREGATE_NAMES.has(name);
}

export class Expressions {
  readonly #source: SqlSource;
  readonly #names: Names;
  /** Of local times: parts of times and timestamps are in it. */
  readonly #timeZone: string | undefined;
  /** What a column may be written behind, with a dot. */
  readonly #tables: ReadonlySet<string>;
  readonly #values = new WeakMap<Node, Expression>();
  readonly #truths = new WeakMap<Node, Expression>();
  readonly #falsehoods = new WeakMap<Node, Expression>();
  readonly #sizes = new WeakMap<object, number>();

  constructor(
    source: SqlSource,
    names: Names,
    timeZone: string | undefined,
    tables: Iterable<string | undefined>,
  ) {
    this.#tables = new Set([...tables].filter((name) => name !== undefined));
    this.#source = source;
    this.#names = names;
    this.#timeZone = timeZone;
  }

  /** The value of an expression. Parts that are needed twice are translated once. */
  value(node: Node): Expression {
    const found = this.#values.get(node) ?? this.#typed(node.at, this.#value(node));
    this.#values.set(node, found);
    return found;
  }

  type(node: Node, e: Expression): ValueType {
    return this.#typeOf(node.at, e);
  }

  /** Holds where a condition is true. */
  isTrue(node: Node): Expression {
    return this.#typed(node.at, this.#truth(node, true));
  }

  #truth(node: Node, wanted: boolean): Expression {
    const known = wanted ? this.#truths : this.#falsehoods;
    const found = known.get(node) ?? this.#limited(node.at, this.#newTruth(node, wanted));
    known.set(node, found);
    return found;
  }

  /** SQL that uses a value twice makes an expression that has it twice. */
  #limited(at: number, e: Expression): Expression {
    if (this.#sizeOf(e) > MOST_PARTS)
      this.#source.fail(
        at,
        'this expression has too many parts',
        'name a part of it in a view without a window, or split it',
      );
    return e;
  }

  #sizeOf(node: unknown): number {
    if (typeof node !== 'object' || node === null) return 1;
    let size = this.#sizes.get(node);
    if (size === undefined) {
      size = 1;
      for (const part of Object.values(node)) size += this.#sizeOf(part);
      this.#sizes.set(node, size);
    }
    return size;
  }

  #newTruth(node: Node, wanted: boolean): Expression {
    switch (node.kind) {
      case 'and':
      case 'or':
        return this.#combined(node, wanted);
      case 'not':
        return this.#truth(node.of, !wanted);
      case 'comparison':
        if (isNull(node.left) || isNull(node.right)) return literal(false);
        return this.#comparison(node.at, wanted ? node.op : OPPOSITE[node.op], node.left, node.right);
      case 'between':
        return this.#between(node, node.negated !== wanted);
      case 'in': {
        const isIn = node.negated !== wanted;
        const parts = node.list.map((part) => this.#truth({ kind: 'comparison', at: part.at, op: 'eq', left: node.of, right: part }, isIn)); // biome-ignore format: one line
        return joined(isIn ? 'or' : 'and', parts);
      }
      case 'is':
        return this.#is(node, node.negated !== wanted);
      case 'boolean':
        return literal(node.value === wanted);
      case 'null':
        return literal(false);
      default:
        return this.#source.fail(
          node.at,
          'expected a condition here',
          'compare it with something, such as x > 0',
        );
    }
  }

  #combined({ kind, of }: Of<'and' | 'or'>, wanted: boolean): Expression {
    const op = (kind === 'and') === wanted ? 'and' : 'or';
    const parts: Expression[] = [];
    for (let i = 0; i < of.length; i++) {
      const area = op === 'and' && wanted ? this.#area(of[i]!, of[i + 1]) : undefined;
      parts.push(area ?? this.#isTrueOrFalse(of[i]!, wanted));
      if (area) i++;
    }
    return joined(op, parts);
  }

  #isTrueOrFalse(node: Node, wanted: boolean): Expression {
    return this.#typed(node.at, this.#truth(node, wanted));
  }

  /** Latitude and longitude of an end of a trip, each between two numbers: a place in an area. */
  #area(a: Node, b: Node | undefined): Expression | undefined {
    if (a.kind !== 'between' || b?.kind !== 'between' || a.negated || b.negated) return undefined;
    if (a.of.kind !== 'name' || b.of.kind !== 'name') return undefined;
    const [lat, lon] = [this.#names.find(a.of.name), this.#names.find(b.of.name)];
    const end = lat?.op === 'field' ? /^(pickup|dropoff)_lat$/.exec(lat.name)?.[1] : undefined;
    if (!lat || !lon || end === undefined || lon.op !== 'field' || lon.name !== `${end}_lon`)
      return undefined;
    const [south, north, west, east] = [a.low, a.high, b.low, b.high].map(numberIn);
    if (south === undefined || north === undefined || west === undefined || east === undefined)
      return undefined;
    if (south > north || west > east) return undefined;
    return { op: 'within', lat, lon, area: { south, north, west, east } };
  }

  #comparison(at: number, op: Comparison, left: Node, right: Node): Expression {
    const e = { op, left: asWritten(this.value(left)), right: asWritten(this.value(right)) };
    const isLeft = left.kind === 'number' || left.kind === 'string';
    const other = isLeft ? this.#typeOf(right.at, e.right) : this.#typeOf(left.at, e.left);
    return this.#typed(at, e, literalHint(isLeft ? left : right, other));
  }

  #between({ at, of, low, high }: Of<'between'>, isWithin: boolean): Expression {
    const bound = (op: Comparison, side: Node): Expression =>
      isNull(of) || isNull(side) ? literal(false) : this.#comparison(at, op, of, side);
    const parts = isWithin ? [bound('gte', low), bound('lte', high)] : [bound('lt', low), bound('gt', high)];
    return { op: isWithin ? 'and' : 'or', of: parts };
  }

  #is({ of, what }: Of<'is'>, wanted: boolean): Expression {
    const yes = (e: Expression) => (wanted ? e : not(e));
    if (what === 'true') return yes(this.#isTrueOrFalse(of, true));
    if (what === 'false') return yes(this.#isTrueOrFalse(of, false));
    if (isCondition(of)) {
      const known: Expression[] = [this.#isTrueOrFalse(of, true), this.#isTrueOrFalse(of, false)];
      return wanted ? joined('and', known.map(not)) : joined('or', known);
    }
    if (what === 'unknown') return this.#truth(of, wanted);
    if (isNull(of)) return literal(wanted);
    const value = present(this.value(of));
    return wanted ? not(value) : value;
  }

  #value(node: Node): Expression {
    switch (node.kind) {
      case 'number':
        return this.#number(node);
      case 'string':
        return literal(node.value);
      case 'timestamp':
        return this.#timestamp(node);
      case 'name':
        return this.#name(node);
      case 'negative':
        return { op: 'subtract', left: literal(0), right: this.value(node.of) };
      case 'arithmetic':
        return this.#arithmetic(node);
      case 'case':
        return this.#case(node);
      case 'cast':
        return this.#cast(node);
      case 'extract': {
        const part = TIME_PARTS[node.part];
        if (part) return this.#part(part, node.of);
        return this.#source.fail(
          node.partAt,
          `found ${node.part}, expected one of ${Object.keys(TIME_PARTS).join(', ')}`,
        );
      }
      case 'call':
        return this.#call(node);
      case 'null':
        return this.#source.fail(
          node.at,
          'NULL can not be used as a value here',
          'leave it out: a CASE without ELSE is NULL',
        );
      default:
        return this.#source.fail(
          node.at,
          'a condition is no value here',
          'write CASE WHEN … THEN 1 ELSE 0 END',
        );
    }
  }

  /** 2.0 is not a whole number, though it is the same as one. */
  #number({ at, value, isWhole }: Of<'number'>): Expression {
    if (isWhole && !Number.isSafeInteger(value))
      this.#source.fail(at, 'this whole number is too large to be exact', 'write it with a decimal point');
    return isWhole || !Number.isInteger(value) ? literal(value) : fraction(literal(value));
  }

  #name({ at, name, table }: Of<'name'>): Expression {
    if (table !== undefined && !this.#tables.has(table))
      this.#source.fail(at, `there is no table ${table} here`, `write ${name} alone`);
    const found = this.#names.find(name);
    if (found) return found;
    const all = [...this.#names.all];
    const meant = nearest(name.slice(0, 64), all);
    const shown = all.length > 0 ? all.join(', ') : 'none';
    return this.#source.fail(at, `there is no column ${name} here`, `${meant ? `did you mean ${meant}? There are` : 'the columns are'} ${shown}`); // biome-ignore format: one line
  }

  #timestamp({ at, text }: Of<'timestamp'>): Expression {
    const isPlain = /^\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d(?:\.\d+)?)?$/.test(text.trim());
    const ms = isPlain ? parseTime(text.trim()) : Number.NaN;
    if (Number.isNaN(ms))
      this.#source.fail(at, `'${text}' is not a time`, "write TIMESTAMP '2016-01-11 08:30:00'");
    const zone = this.#timeZone === undefined ? undefined : timeZoneOf(this.#timeZone)!;
    return { op: 'instant', ms: zone ? zone.instantOf(ms) : ms };
  }

  #arithmetic({ op, left, right }: Of<'arithmetic'>): Expression {
    const [a, b] = [this.value(left), this.#divisor(op, right)];
    switch (op) {
      case '+':
        return { op: 'add', left: a, right: b };
      case '-':
        return { op: 'subtract', left: a, right: b };
      case '*':
        return { op: 'multiply', left: a, right: b };
      case '%':
        return { op: 'modulo', left: a, right: b };
      case '/': {
        const isWhole = this.type(left, a) === 'integer' && this.type(right, b) === 'integer';
        return isWhole ? wholeQuotient(a, b) : { op: 'divide', left: asWritten(a), right: asWritten(b) };
      }
    }
  }

  /** A division by zero is missing in the view language, as by NULLIF(x, 0) in SQL. */
  #divisor(op: string, node: Node): Expression {
    const isGuarded = op === '/' && node.kind === 'call' && node.name === 'NULLIF' && node.args.length === 2;
    return this.value(isGuarded && numberIn(node.args[1]!) === 0 ? node.args[0]! : node);
  }

  #case({ when, otherwise }: Of<'case'>): Expression {
    const branches = when.map(([condition, value]) => ({
      if: this.isTrue(condition),
      value: this.value(value),
    }));
    const last = otherwise && !isNull(otherwise) ? { otherwise: this.value(otherwise) } : {};
    return { op: 'case', when: branches, ...last };
  }

  #cast({ at, of, type }: Of<'cast'>): Expression {
    const e = this.value(of);
    const from = this.type(of, e);
    const isNumeric = from === 'integer' || from === 'number';
    if (isNumeric && WHOLE_TYPES.includes(type)) return from === 'integer' ? e : { op: 'truncate', of: e };
    if (isNumeric && NUMBER_TYPES.includes(type)) return from === 'number' ? e : fraction(e);
    return this.#source.fail(at, `a ${from} can not be cast as ${type} here`, `numbers can be cast as ${[...WHOLE_TYPES, ...NUMBER_TYPES].join(', ')}`); // biome-ignore format: one line
  }

  #part(part: TimePart, of: Node): Expression {
    const zone = this.#timeZone === undefined ? {} : { time_zone: this.#timeZone };
    return { op: 'extract', part, of: this.value(of), ...zone };
  }

  #call(call: Call): Expression {
    const { name, at, args } = call;
    if (call.over) this.#source.fail(at, 'OVER is not supported here', 'ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY …) ranks the results of a query in FROM'); // biome-ignore format: one line
    if (isAggregate(call)) {
      if (this.#names.aggregate) return this.#names.aggregate(call);
      this.#source.fail(at, `${name} can not be used here: it is an aggregate`);
    }
    if (call.star || call.distinct || call.filter) this.#source.fail(at, `${name} takes neither *, DISTINCT nor FILTER`); // biome-ignore format: one line
    const part = PART_FUNCTIONS[name];
    if (part) return this.#part(part, this.#only(call, 1)[0]!);
    switch (name) {
      case 'ABS':
      case 'FLOOR':
        return { op: name === 'ABS' ? 'abs' : 'floor', of: this.value(this.#only(call, 1)[0]!) };
      case 'CEIL':
      case 'CEILING':
        return { op: 'ceil', of: this.value(this.#only(call, 1)[0]!) };
      case 'MOD': {
        const [left, right] = this.#only(call, 2);
        return { op: 'modulo', left: this.value(left!), right: this.value(right!) };
      }
      case 'IF': {
        const [condition, yes, no] = this.#only(call, 3);
        return this.#case({ kind: 'case', at, when: [[condition!, yes!]], otherwise: no });
      }
      case 'NULLIF': {
        const [a, b] = this.#only(call, 2);
        return { op: 'case', when: [{ if: not(this.#comparison(at, 'eq', a!, b!)), value: this.value(a!) }] };
      }
      case 'COALESCE':
        return this.#coalesce(args, at);
      case 'GEOHASH':
        return this.#geohash(call);
      case 'TIMESTAMPDIFF':
        return this.#timestampDiff(call);
      default:
        return this.#unknown(call);
    }
  }

  #unknown({ name, at }: Call): never {
    const meant = nearest(name, [...SCALARS, ...AGGREGATE_NAMES.keys()]);
    return this.#source.fail(at, `there is no function ${name} here`, `${meant ? `did you mean ${meant}? There are` : 'the functions are'} ${[...SCALARS, 'CAST', 'EXTRACT'].join(', ')}; of many trips ${[...AGGREGATE_NAMES.keys()].join(', ')}`); // biome-ignore format: one line
  }

  #only({ name, at, args }: Call, count: number): readonly Node[] {
    if (args.length === count) return args;
    return this.#source.fail(
      at,
      `${name} takes ${count} argument${count === 1 ? '' : 's'}, not ${args.length}`,
    );
  }

  #coalesce(args: readonly Node[], at: number): Expression {
    const values = args.filter((arg) => !isNull(arg)).map((arg) => this.value(arg));
    const last = values.pop();
    if (last === undefined)
      return this.#source.fail(at, 'COALESCE takes at least one value that is not NULL');
    if (values.length === 0) return last;
    return { op: 'case', when: values.map((value) => ({ if: present(value), value })), otherwise: last };
  }

  #geohash(call: Call): Expression {
    const [lat, lon, precision] = this.#only(call, 3);
    const characters = numberIn(precision!);
    if (characters === undefined)
      this.#source.fail(precision!.at, 'expected the number of characters, from 1 to 10');
    return { op: 'geohash', lat: this.value(lat!), lon: this.value(lon!), precision: characters };
  }

  #timestampDiff(call: Call): Expression {
    const [unit, from, to] = this.#only(call, 3);
    const name = unit!.kind === 'name' ? unit!.name.toUpperCase() : '';
    const ms = UNIT_MS[name];
    if (ms === undefined) this.#source.fail(unit!.at, `expected a unit: ${Object.keys(UNIT_MS).join(', ')}`);
    const between: Expression = { op: 'subtract', left: this.value(to!), right: this.value(from!) };
    for (const side of [from!, to!])
      if (this.type(side, this.value(side)) !== 'time') this.#source.fail(side.at, 'expected a time');
    return ms === 1 ? between : wholeQuotient(between, literal(ms));
  }

  /** An aggregate as the view language has it. */
  aggregate(call: Call): Aggregate {
    const { name, at, star, distinct } = call;
    const fn = distinct && name === 'COUNT' ? 'count_distinct' : AGGREGATE_NAMES.get(name)!;
    if (distinct && name !== 'COUNT')
      this.#source.fail(at, `${name}(DISTINCT …) is not supported`, 'COUNT(DISTINCT x) is');
    const filter = call.filter ? { filter: this.isTrue(call.filter) } : {};
    if (star) {
      if (fn !== 'count') this.#source.fail(at, `${name} needs an expression`);
      return { fn: 'count', ...filter };
    }
    const [operand, share] = this.#only(call, fn === 'percentile' ? 2 : 1);
    const of = this.#operand(fn, operand!);
    if (AGGREGATES[fn].resultType(this.type(operand!, of)) === undefined)
      this.#source.fail(operand!.at, `${name} can not be taken of a ${this.type(operand!, of)}`);
    if (fn !== 'percentile') return { fn, of, ...filter };
    const p = numberIn(share!);
    if (p === undefined || p < 0 || p > 1)
      this.#source.fail(share!.at, 'expected a share from 0 to 1, such as 0.95');
    return { fn, of, p, ...filter };
  }

  /** Averages are of fractions here, and Flink cuts off those of whole numbers: a cast that says so changes nothing. */
  #operand(fn: AggregateFunction, node: Node): Expression {
    if (fn !== 'avg' || node.kind !== 'cast' || !NUMBER_TYPES.includes(node.type)) return this.value(node);
    const inner = this.value(node.of);
    return this.type(node.of, inner) === 'integer' ? inner : this.value(node);
  }

  #typed(at: number, e: Expression, hint?: string): Expression {
    this.#typeOf(at, this.#limited(at, e), hint);
    return e;
  }

  #typeOf(at: number, e: Expression, hint?: string): ValueType {
    try {
      return typeOf(e, this.#names.scope, '@');
    } catch (error) {
      if (!(error instanceof TaxiflowError)) throw error;
      return this.#source.fail(at, error.message.replace(/^@[^:]*: /, ''), error.hint === SEE_VIEWS ? hint : error.hint); // biome-ignore format: one line
    }
  }
}

/** How a literal is written to be compared with a value of another type. */
function literalHint(node: Node, other: ValueType): string | undefined {
  if (node.kind === 'number')
    return other === 'string' ? `write '${node.value}', as the other side is a string` : undefined;
  if (node.kind !== 'string') return undefined;
  if (other === 'time') return `write TIMESTAMP '${node.value}'`;
  return other === 'string' ? undefined : 'write a number, without quotes';
}

/** Names of the columns of trips, or of a query of them. */
export function columnNames(columns: ReadonlyMap<string, Expression>): Names {
  return { find: (name) => columns.get(name), all: columns.keys(), scope: TRIP_SCOPE };
}

/** A whole number that was cast only so that its quotient is a fraction, which it is anyway. */
function asWritten(e: Expression): Expression {
  return e.op === 'divide' && e.right.op === 'literal' && e.right.value === 1 ? e.left : e;
}

function joined(op: 'and' | 'or', of: readonly Expression[]): Expression {
  return of.length === 1 ? of[0]! : { op, of };
}

const isNull = ({ kind }: Node) => kind === 'null';

const CONDITIONS: readonly Node['kind'][] = [
  'and',
  'or',
  'not',
  'comparison',
  'between',
  'in',
  'is',
  'boolean',
];

const isCondition = ({ kind }: Node) => CONDITIONS.includes(kind);

export function numberIn(node: Node): number | undefined {
  return node.kind === 'number' ? node.value : undefined;
}
