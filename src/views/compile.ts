/**
 * Views → functions over columns of trips. Strings are handled as whole-number codes of a domain: −1 is
 * missing. Numbers and times are doubles: NaN is missing, so that comparisons with it are false by themselves; what is no
 * finite number, such as something divided by zero, is missing too.
 */
import { Dictionary, type TripColumns } from '../events/columns.ts';
import { type StringField, TRIP_FIELD_NAMES, TRIP_FIELDS } from '../events/trip.ts';
import { TRIP_SCOPE, typeOf, type ValueType } from './check.ts';
import { cell, cell6, cellCode, cellText } from './geohash.ts';
import type { Aggregate, Expression, View, Window } from './language.ts';

/** The strings of one expression as codes. */
export interface Domain {
  /** How many codes there can be; Infinity when it isn't known beforehand. */
  readonly size: number;
  encode(value: string): number;
  decode(code: number): string;
}

/** What became of a trip, added up over the views: bits. One that is `partly` late is in other windows of the view. */
export const OUTCOME = { skip: 1, used: 2, late: 4, partly: 8 } as const;

/** One pane column a piece of an aggregate's state. */
export interface AggregateState {
  readonly name: string;
  readonly aggregate: Aggregate;
  /** First of its numbers in a pane, and how many it has. */
  readonly offset: number;
  readonly width: number;
  /** Its place among the distinct counts of a pane; −1 for any other aggregate. */
  readonly distinct: number;
  /** How a distinct value is told from another once it leaves memory. */
  readonly domain: Domain | undefined;
  /** Of its result. */
  readonly type: ValueType;
}

export interface KeyPart {
  readonly name: string;
  readonly type: ValueType;
  readonly domain: Domain | undefined;
}

/** Panes lie in arrays of 2^12. */
export const CHUNK_BITS = 12;
const CHUNK_MASK = (1 << CHUNK_BITS) - 1;

/** The open window a trip belongs to; what the compiled code needs of it. */
export interface OpenWindow {
  readonly start: number;
  readonly end: number;
  /** Pane numbers, `width` a pane, 2^12 panes an array. */
  readonly panes: { readonly numbers: readonly Float64Array[] };
  /** The pane of a key, marked as changed, and opened when need be. */
  pane(key: Float64Array): number;
  /** Notes a value of a distinct count; false when the pane has it already. */
  addDistinct(pane: number, distinct: number, value: number): boolean;
}

/** The open windows of a view. */
export interface OpenWindows {
  /** The window that starts here, opened when need be; undefined when its last trip has come. */
  windowAt(start: number): OpenWindow | undefined;
}

export interface CompiledView {
  readonly view: View;
  readonly key: readonly KeyPart[];
  readonly states: readonly AggregateState[];
  /** Numbers a pane has, and distinct counts, each of which is one of the numbers too. */
  readonly width: number;
  readonly distincts: number;
  /** Fills a new pane's numbers at `base`. */
  initial(numbers: Float64Array, base: number): void;
  /** Takes rows [from, to) whose outcome isn't `skip` into the windows of `time` (epoch ms), noting outcomes. */
  accumulate(from: number, to: number, time: Float64Array, outcomes: Uint8Array, windows: OpenWindows): void;
  /** The aggregates of a pane in the order of `states`: NaN stands for "no value". */
  values(numbers: Float64Array, base: number): number[];
  /** Adds the numbers of another pane of the same key, but for distinct counts, which need the values. */
  merge(into: Float64Array, at: number, from: Float64Array, base: number): void;
  /** Whether a pane's result matters. */
  having(values: readonly number[]): boolean;
}

class StringCodes implements Domain {
  readonly #dictionary: Dictionary;
  readonly #bounded: boolean;

  constructor(dictionary: Dictionary, bounded: boolean) {
    this.#dictionary = dictionary;
    this.#bounded = bounded;
  }

  get size(): number {
    return this.#bounded ? this.#dictionary.words.length : Number.POSITIVE_INFINITY;
  }

  encode(value: string): number {
    return this.#dictionary.code(value);
  }

  decode(code: number): string {
    return this.#dictionary.words[code]!;
  }
}

/** JSON, and so a state and a result, has no other numbers. */
const finiteOrMissing = (x: number): number => (x - x === 0 ? x : Number.NaN);

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

/** Expression → JavaScript source, with what the source refers to. */
class Source {
  readonly refs = new Map<string, unknown>();
  readonly #columns: TripColumns;
  /** Source of a field, for `having`. */
  readonly #fields: ReadonlyMap<string, string> | undefined;

  constructor(columns: TripColumns, fields?: ReadonlyMap<string, string>) {
    this.#columns = columns;
    this.#fields = fields;
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
        return this.#arithmetic(e);
      case 'truncate':
        return `Math.trunc(${this.of(e.of)})`;
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
        // Only a field may stand in the source twice, or nested expressions would double it again and again.
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
    const scope = this.#fields
      ? new Map([...this.#fields.keys()].map((name) => [name, 'number' as const]))
      : TRIP_SCOPE;
    return typeOf(e, scope, 'view');
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

  #arithmetic(e: Extract<Expression, { op: 'add' | 'subtract' | 'multiply' | 'divide' }>): string {
    const sign = { add: '+', subtract: '-', multiply: '*', divide: '/' }[e.op];
    const result = `(${this.of(e.left)} ${sign} ${this.of(e.right)})`;
    // What times are apart, and what is divided by 1 or more, is finite without a look.
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
      // In the order of the words, so that results come in it.
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
    // A chain of conditions is nested for the parser, which goes only so deep.
    if (branches.length > MOST_CHAINED)
      return `(() => { ${branches.map(([condition, result]) => `if (${condition}) return ${result};`).join(' ')} return ${otherwise}; })()`;
    return `(${branches.map(([condition, result]) => `${condition} ? ${result} : `).join('')}${otherwise})`;
  }
}

/** Builds a function of `source` in which the columns and what the source refers to are constants. */
function build<T>(
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

/** Compiles a checked view for batches in `columns`. */
export function compileView(view: View, columns: TripColumns): CompiledView {
  const source = new Source(columns);
  const key = Object.entries(view.by).map(([name, e]) => ({
    name,
    type: source.type(e),
    domain: source.domain(e),
    e,
  }));
  const { states, width, distincts } = layOut(view, source);
  const body = accumulateSource(view, key, states, width, source);
  const hoisted = TRIP_FIELD_NAMES.filter((name) => body.includes(`c_${name}[`))
    .map(
      (name) => `const c_${name} = c.${TRIP_FIELDS[name].type === 'string' ? 'words' : 'numbers'}.${name};`,
    )
    .join('\n');
  const make = build<CompiledView['accumulate']>(
    'from, to, time, outcomes, windows',
    body,
    hoisted,
    source.refs,
  );
  return {
    view,
    key: key.map(({ name, type, domain }) => ({ name, type, domain })),
    states,
    width,
    distincts,
    initial: (numbers, base) => {
      numbers.fill(0, base, base + width);
      for (const { aggregate, offset } of states) {
        if (aggregate.fn === 'min' || aggregate.fn === 'max') numbers[base + offset] = Number.NaN;
      }
    },
    accumulate: make(columns, [...source.refs.values()]),
    values: (numbers, base) => states.map((state) => finiteOrMissing(aggregateValue(state, numbers, base))),
    merge: (into, at, from, base) => {
      for (const state of states) mergeAggregate(state, into, at + state.offset, from, base + state.offset);
    },
    having: compileHaving(view, columns),
  };
}

function layOut(view: View, source: Source): Pick<CompiledView, 'states' | 'width' | 'distincts'> {
  let width = 0;
  let distincts = 0;
  const states = Object.entries(view.aggregates).map(([name, aggregate]) => {
    const own = { count: 1, sum: 3, avg: 3, min: 1, max: 1, count_distinct: 1 }[aggregate.fn];
    const distinct = aggregate.fn === 'count_distinct';
    const state = {
      name,
      aggregate,
      offset: width,
      width: own,
      distinct: distinct ? distincts : -1,
      domain: distinct ? source.domain(aggregate.of) : undefined,
      type:
        aggregate.fn === 'min' || aggregate.fn === 'max' ? source.type(aggregate.of) : ('number' as const),
    };
    width += own;
    if (distinct) distincts++;
    return state;
  });
  return { states, width, distincts };
}

function aggregateValue(state: AggregateState, numbers: Float64Array, base: number): number {
  const at = base + state.offset;
  switch (state.aggregate.fn) {
    case 'sum':
      return numbers[at + 2] === 0 ? Number.NaN : numbers[at]! + numbers[at + 1]!;
    case 'avg':
      return (numbers[at]! + numbers[at + 1]!) / numbers[at + 2]!;
    default:
      return numbers[at]!;
  }
}

function mergeAggregate(
  { aggregate }: AggregateState,
  into: Float64Array,
  at: number,
  from: Float64Array,
  base: number,
): void {
  const [x, y] = [into[at]!, from[base]!];
  switch (aggregate.fn) {
    case 'count_distinct':
      return;
    case 'count':
      into[at] = x + y;
      return;
    case 'min':
      if (y < x || Number.isNaN(x)) into[at] = y;
      return;
    case 'max':
      if (y > x || Number.isNaN(x)) into[at] = y;
      return;
    default: {
      // Two sums in two doubles each, added by Knuth's two-sum.
      const s = x + y;
      const b = s - x;
      const e = x - (s - b) + (y - b) + into[at + 1]! + from[base + 1]!;
      into[at] = s + e;
      into[at + 1] = e - (s + e - s);
      into[at + 2] = into[at + 2]! + from[base + 2]!;
    }
  }
}

interface KeySource extends KeyPart {
  readonly e: Expression;
}

function accumulateSource(
  view: View,
  key: readonly KeySource[],
  states: readonly AggregateState[],
  width: number,
  source: Source,
): string {
  const where = view.where ? `if (!${source.of(view.where)}) continue;` : '';
  const keys = key
    .map(
      ({ e, domain }, k) =>
        `const k${k} = ${source.of(e)}; if (${domain ? `k${k} < 0` : `Number.isNaN(k${k})`}) continue; key[${k}] = k${k};`,
    )
    .join('\n');
  const keyArray = source.ref('f', new Float64Array(key.length));
  const update = `
    const pane = window.pane(key);
    const a = window.panes.numbers[pane >>> ${CHUNK_BITS}], base = (pane & ${CHUNK_MASK}) * ${width};
    ${states.map((state) => updateSource(state, source)).join('\n')}
    outcomes[i] |= ${OUTCOME.used};`;
  return `
  const key = ${keyArray};
  let window = { start: Infinity, end: -Infinity };
  for (let i = from; i < to; i++) {
    if ((outcomes[i] & ${OUTCOME.skip}) !== 0) continue;
    ${where}
    ${keys}
    const t = time[i];
    ${windowSource(view.window, update)}
  }`;
}

function windowSource(window: Window, update: string): string {
  if (window.kind === 'tumbling') {
    return `
    if (!(t >= window.start && t < window.end)) {
      window = windows.windowAt(Math.floor(t / ${window.size_ms}) * ${window.size_ms});
      if (window === undefined) {
        window = { start: Infinity, end: -Infinity };
        outcomes[i] |= ${OUTCOME.late};
        continue;
      }
    }
    ${update}`;
  }
  return `
    let open = false, missed = false;
    for (let start = Math.floor(t / ${window.slide_ms}) * ${window.slide_ms}; start > t - ${window.size_ms}; start -= ${window.slide_ms}) {
      window = windows.windowAt(start);
      if (window === undefined) { missed = true; continue; }
      open = true;
      ${update}
    }
    if (!open) outcomes[i] |= ${OUTCOME.late};
    else if (missed) outcomes[i] |= ${OUTCOME.partly};`;
}

function updateSource(state: AggregateState, source: Source): string {
  const { aggregate, offset } = state;
  const slot = (n: number) => `a[base + ${offset + n}]`;
  if (aggregate.fn === 'count' && aggregate.of === undefined) return `${slot(0)} += 1;`;
  const of = aggregate.of!;
  const value = source.of(of);
  const present = source.type(of) === 'string' ? 'x >= 0' : 'x === x';
  switch (aggregate.fn) {
    case 'count':
      return `{ const x = ${value}; if (${present}) ${slot(0)} += 1; }`;
    case 'count_distinct':
      return `{ const x = ${value}; if ((${present}) && window.addDistinct(pane, ${state.distinct}, x)) ${slot(0)} += 1; }`;
    case 'min':
      return `{ const x = ${value}; if (x < ${slot(0)} || (x === x && ${slot(0)} !== ${slot(0)})) ${slot(0)} = x; }`;
    case 'max':
      return `{ const x = ${value}; if (x > ${slot(0)} || (x === x && ${slot(0)} !== ${slot(0)})) ${slot(0)} = x; }`;
    default:
      if (source.type(of) === 'integer') {
        return `{ const x = ${value}; if (x === x) { ${slot(0)} += x; ${slot(2)} += 1; } }`;
      }
      // A sum in two doubles (Knuth's two-sum): its rounded value doesn't depend on the order of the trips.
      return `{ const x = ${value}; if (x === x) {
        const s = ${slot(0)} + x, b = s - ${slot(0)};
        const e = (${slot(0)} - (s - b)) + (x - b) + ${slot(1)};
        ${slot(0)} = s + e; ${slot(1)} = e - (${slot(0)} - s); ${slot(2)} += 1;
      } }`;
  }
}

function compileHaving(view: View, columns: TripColumns): CompiledView['having'] {
  if (!view.having) return () => true;
  const names = Object.keys(view.aggregates);
  const source = new Source(columns, new Map(names.map((name, i) => [name, `v[${i}]`])));
  const test = source.of(view.having);
  const make = build<CompiledView['having']>('v', `return ${test};`, '', source.refs);
  return make(columns, [...source.refs.values()]);
}
