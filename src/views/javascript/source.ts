/** Compiles expressions to JavaScript source over the columns of a batch. */
import { Dictionary, type TripColumns } from '../../events/columns.ts';
import type { StringField } from '../../events/trip.ts';
import { type Scope, TRIP_SCOPE, typeOf } from '../check.ts';
import { cell, cell6, cellCode, cellText } from '../geohash.ts';
import type { Expression, ValueType } from '../language.ts';
import { type Domain, StringCodes } from './domain.ts';
import { timePart } from './time-parts.ts';

/** Infinity becomes NaN, which is missing: states and results are JSON, which has only finite numbers. */
export const finiteOrMissing = (x: number): number => (x - x === 0 ? x : Number.NaN);

/** A comparison with a missing value is false. */
const differ = (x: number, y: number): boolean => x < y || x > y;

const isOtherWord = (word: number, literal: number): boolean => word !== literal && word >= 0;

const isWithin = (
  lat: number,
  lon: number,
  south: number,
  north: number,
  west: number,
  east: number,
): boolean => lat >= south && lat <= north && lon >= west && lon <= east;

const MOST_CHAINED = 8;

/** Compiles expressions, and collects the columns and constants that their source refers to. */
export class Source {
  readonly refs = new Map<string, unknown>();
  readonly #columns: TripColumns;
  /** Source of a field, for `having`. */
  readonly #fields: ReadonlyMap<string, string> | undefined;

  readonly #scope: Scope;

  /** `fields` are the sources of aggregates, for `having`, and `scope` their types. */
  constructor(columns: TripColumns, fields?: ReadonlyMap<string, string>, scope: Scope = TRIP_SCOPE) {
    this.#columns = columns;
    this.#fields = fields;
    this.#scope = scope;
  }

  ref(prefix: string, value: unknown): string {
    for (const [name, known] of this.refs) if (known === value) return name;
    const name = `${prefix}${this.refs.size}`;
    this.refs.set(name, value);
    return name;
  }

  of(e: Expression): string {
    switch (e.op) {
      case 'field':
        return this.#fields?.get(e.name) ?? `c_${e.name}[i]`;
      case 'literal':
        return typeof e.value === 'string' ? String(this.#literals(e).code(e.value)) : String(e.value);
      case 'add':
      case 'subtract':
      case 'multiply':
      case 'divide':
      case 'modulo':
        return this.#arithmetic(e);
      case 'truncate':
        return `Math.trunc(${this.of(e.of)})`;
      case 'floor':
      case 'ceil':
      case 'abs':
        return `Math.${e.op}(${this.of(e.of)})`;
      case 'extract':
        return `${this.ref('f', timePart(e.part, e.time_zone))}(${this.of(e.of)})`;
      case 'instant':
        return String(e.ms);
      case 'eq':
      case 'ne':
      case 'lt':
      case 'lte':
      case 'gt':
      case 'gte':
        return this.#comparison(e);
      case 'and':
        return `(${e.of.map((part) => this.of(part)).join(' && ')})`;
      case 'or':
        return `(${e.of.map((part) => this.of(part)).join(' || ')})`;
      case 'not':
        return `!${this.of(e.of)}`;
      case 'present':
        return this.present(e.of);
      case 'within': {
        const { south, north, west, east } = e.area;
        const [lat, lon] = [this.of(e.lat), this.of(e.lon)];
        // Only a field may appear twice in the source; otherwise, nesting would double its length at every level.
        if (e.lat.op !== 'field' || e.lon.op !== 'field')
          return `${this.ref('f', isWithin)}(${lat}, ${lon}, ${south}, ${north}, ${west}, ${east})`;
        return `(${lat} >= ${south} && ${lat} <= ${north} && ${lon} >= ${west} && ${lon} <= ${east})`;
      }
      case 'geohash': {
        const [lat, lon] = [this.of(e.lat), this.of(e.lon)];
        if (e.precision === 6) return `${this.ref('f', cell6)}(${lat}, ${lon})`;
        return `${this.ref('f', cell)}(${lat}, ${lon}, ${e.precision})`;
      }
      case 'case':
        return this.#case(e);
    }
  }

  /** Whether an expression has a value. */
  present(e: Expression): string {
    const type = this.type(e);
    if (type === 'boolean') return 'true';
    return type === 'string' ? `(${this.of(e)} >= 0)` : `!Number.isNaN(${this.of(e)})`;
  }

  type(e: Expression): ValueType {
    return typeOf(e, this.#scope, 'view');
  }

  /** The domain of a string expression. */
  domain(e: Expression): Domain | undefined {
    if (this.type(e) !== 'string') return undefined;
    if (e.op === 'field') {
      return new StringCodes(this.#columns.dictionaries[e.name as StringField], false);
    }
    if (e.op === 'geohash') {
      const { precision } = e;
      return {
        size: 2 ** (5 * precision),
        encode: (text) => (text.length === precision ? cellCode(text) : -1),
        decode: (code) => cellText(code, precision),
      };
    }
    return new StringCodes(this.#literals(e), true);
  }

  #arithmetic(e: Extract<Expression, { op: 'add' | 'subtract' | 'multiply' | 'divide' | 'modulo' }>): string {
    const sign = { add: '+', subtract: '-', multiply: '*', divide: '/', modulo: '%' }[e.op];
    const result = `(${this.of(e.left)} ${sign} ${this.of(e.right)})`;
    // A difference of times, and a division by 1 or more, is finite without a check.
    const { right } = e;
    const finite =
      e.op === 'divide'
        ? right.op === 'literal' && Math.abs(Number(right.value)) >= 1
        : this.type(right) === 'time';
    return finite ? result : `${this.ref('f', finiteOrMissing)}(${result})`;
  }

  #comparison(e: Extract<Expression, { left: Expression }>): string {
    const sign = { eq: '===', ne: '', lt: '<', lte: '<=', gt: '>', gte: '>=' }[e.op as 'eq'];
    const string = [e.left, e.right].find((side) => side.op !== 'literal' && this.type(side) === 'string');
    const side = (part: Expression) => {
      if (!string || part.op !== 'literal') return this.of(part);
      const code = this.domain(string)!.encode(String(part.value));
      // A value that is not a cell equals no cell, not even a missing one.
      return String(code < 0 ? -2 : code);
    };
    if (e.op !== 'ne') return `(${side(e.left)} ${sign} ${side(e.right)})`;
    if (!string) return `${this.ref('f', differ)}(${side(e.left)}, ${side(e.right)})`;
    const [word, literal] = string === e.left ? [e.left, e.right] : [e.right, e.left];
    return `${this.ref('f', isOtherWord)}(${side(word)}, ${side(literal)})`;
  }

  readonly #caseDictionaries = new Map<Expression, Dictionary>();

  #literals(e: Expression): Dictionary {
    let dictionary = this.#caseDictionaries.get(e);
    if (!dictionary) {
      dictionary = new Dictionary();
      this.#caseDictionaries.set(e, dictionary);
      const branches =
        e.op === 'case'
          ? [...e.when.map((branch) => branch.value), ...(e.otherwise ? [e.otherwise] : [])]
          : [e];
      // Codes follow the order of the words, so that results are in key order.
      for (const word of branches.map((branch) => String((branch as { value: unknown }).value)).sort())
        dictionary.code(word);
    }
    return dictionary;
  }

  #case(e: Extract<Expression, { op: 'case' }>): string {
    const string = this.type(e) === 'string';
    const value = (branch: Expression) =>
      string ? String(this.#literals(e).code(String((branch as { value: unknown }).value))) : this.of(branch);
    const otherwise = e.otherwise ? value(e.otherwise) : string ? '-1' : 'NaN';
    const branches = e.when.map((branch) => [this.of(branch.if), value(branch.value)] as const);
    // The parser nests a chain of conditions, and its depth is limited.
    if (branches.length > MOST_CHAINED)
      return `(() => { ${branches.map(([condition, result]) => `if (${condition}) return ${result};`).join(' ')} return ${otherwise}; })()`;
    return `(${branches.map(([condition, result]) => `${condition} ? ${result} : `).join('')}${otherwise})`;
  }
}

/** Builds a function from source that refers to columns, and to named values as constants. */
export function build<T>(
  parameters: string,
  body: string,
  columns: string,
  refs: ReadonlyMap<string, unknown>,
): (c: TripColumns, refs: readonly unknown[]) => T {
  const names = [...refs.keys()].join(', ');
  return new Function(
    'c',
    'refs',
    `const [${names}] = refs;\nreturn function (${parameters}) {\n${columns}\n${body}\n}`,
  ) as never;
}
