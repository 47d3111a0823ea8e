/** Parses SQL in Flink's dialect: the part of it that views can be written in. Everything else is refused where it stands. */
import type { SqlSource, Token } from './source.ts';
import {
  type Call,
  type Comparison,
  type Interval,
  type Item,
  type Node,
  type Ordered,
  type Query,
  type Source,
  type Statement,
  UNIT_MS,
  type WindowFunction,
} from './syntax.ts';

/** Deepest nesting of brackets, conditions and queries. */
const MOST_NESTED = 400;
/** Longest chain of sums or products; each is nested in the next. */
const LONGEST_CHAIN = 250;

const COMPARISONS: Readonly<Record<string, Comparison>> = {
  '=': 'eq',
  '<>': 'ne',
  '!=': 'ne',
  '<': 'lt',
  '<=': 'lte',
  '>': 'gt',
  '>=': 'gte',
};

/** Functions of GROUP BY in older versions of Flink. */
const GROUP_WINDOWS = /^(?:TUMBLE|HOP|SESSION)(?:_START|_END|_ROWTIME|_PROCTIME)?$/;

/** The arguments of each window function behind the table, in order. */
const WINDOW_ARGUMENTS: Readonly<Record<WindowFunction['name'], readonly string[]>> = {
  TUMBLE: ['SIZE', 'OFFSET'],
  HOP: ['SLIDE', 'SIZE', 'OFFSET'],
  CUMULATE: ['STEP', 'SIZE', 'OFFSET'],
  SESSION: ['GAP'],
};
const WINDOW_FUNCTIONS = Object.keys(WINDOW_ARGUMENTS) as WindowFunction['name'][];

/** Words that can't be names without backticks, since they go on with a query. */
export const RESERVED = new Set(
  'AND AS BETWEEN BY CASE CAST CREATE CROSS DESC DISTINCT ELSE END EXISTS EXTRACT FALSE FROM FULL GROUP HAVING IN INNER INTERSECT INTERVAL INTO IS JOIN LEFT LIKE LIMIT NOT NULL OFFSET ON OR ORDER OUTER OVER PARTITION RIGHT SELECT SET TABLE THEN TRUE UNION UNKNOWN VIEW WHEN WHERE WITH'.split(
    ' ',
  ),
);

export function parseStatements(source: SqlSource): Statement[] {
  return new Parser(source).statements();
}

class Parser {
  readonly #source: SqlSource;
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(source: SqlSource) {
    this.#source = source;
    this.#tokens = source.tokens();
  }

  statements(): Statement[] {
    const statements: Statement[] = [];
    for (;;) {
      while (this.#takeMark(';')) {}
      if (this.#isEnd()) return statements;
      statements.push(this.#statement());
      if (!this.#isEnd() && !this.#isMark(';')) this.#unexpected('";" between statements');
    }
  }

  #statement(): Statement {
    const { at } = this.#token;
    if (this.#takeWord('SET')) return this.#set(at);
    if (!this.#takeWord('CREATE'))
      this.#unexpected('CREATE VIEW … AS SELECT …, or SET', 'put CREATE VIEW name AS before the query');
    this.#takeWord('TEMPORARY');
    this.#needWord('VIEW');
    if (this.#takeWord('IF')) {
      this.#needWord('NOT');
      this.#needWord('EXISTS');
    }
    const name = this.#name('the name of a view');
    if (this.#isMark('('))
      this.#fail(
        this.#token.at,
        'a list of columns here is not supported',
        'name the columns with AS in SELECT',
      );
    this.#needWord('AS');
    return { kind: 'view', at, name, query: this.#query() };
  }

  #set(at: number): Statement {
    const name = this.#need('string', "the name of a setting in '…'").text;
    this.#needMark('=');
    const value = this.#need('string', "a value in '…'");
    return { kind: 'set', at, name, value: value.text, valueAt: value.at };
  }

  #query(): Query {
    return this.#nested(() => {
      const at = this.#needWord('SELECT').at;
      if (this.#isWord('DISTINCT'))
        this.#fail(this.#token.at, 'SELECT DISTINCT is not supported', 'use GROUP BY');
      this.#takeWord('ALL');
      const items = this.#list(() => this.#item());
      this.#needWord('FROM');
      const from = this.#from();
      this.#refuse(
        ['JOIN', 'CROSS', 'INNER', 'LEFT', 'RIGHT', 'FULL'],
        'joins are not supported: a view is of trips',
      );
      if (this.#isMark(',')) this.#fail(this.#token.at, 'joins are not supported: a view is of trips');
      const where = this.#takeWord('WHERE') ? this.#condition() : undefined;
      const group = this.#takeWord('GROUP') ? this.#groupBy() : undefined;
      const having = this.#takeWord('HAVING') ? this.#condition() : undefined;
      this.#refuse(['ORDER', 'LIMIT', 'OFFSET', 'FETCH'], 'results have no order and no end', 'for the first n of a window: ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY …), and WHERE rownum <= n outside'); // biome-ignore format: one line
      this.#refuse(
        ['UNION', 'INTERSECT', 'EXCEPT', 'MINUS'],
        'set operations are not supported',
        'write two views',
      );
      this.#refuse(['QUALIFY', 'WINDOW'], 'this clause is not supported');
      return { at, items, from, where, group, having };
    });
  }

  #groupBy(): readonly Node[] {
    this.#needWord('BY');
    this.#refuse(['ROLLUP', 'CUBE', 'GROUPING'], 'grouping sets are not supported', 'write a view for each');
    return this.#list(() => this.#value());
  }

  #item(): Item {
    const { at } = this.#token;
    if (this.#takeMark('*')) return { at, of: undefined, alias: undefined };
    const of = this.#condition();
    const isNamed = this.#takeWord('AS') || this.#isName();
    return { at, of, alias: isNamed ? this.#name('a name') : undefined };
  }

  #from(): Source {
    const source = this.#fromWhat();
    return this.#takeWord('AS') || this.#isName() ? { ...source, alias: this.#name('an alias') } : source;
  }

  #fromWhat(): Source {
    const { at } = this.#token;
    if (this.#takeMark('(')) {
      const query = this.#query();
      this.#needMark(')');
      return { kind: 'query', at, query };
    }
    const isWrapped = this.#isWord('TABLE');
    if (isWrapped) {
      this.#take();
      this.#needMark('(');
    }
    const name = WINDOW_FUNCTIONS.find((known) => this.#isWord(known));
    const isCall = name !== undefined && this.#tokens[this.#next + 1]?.text === '(';
    if (isWrapped && !isCall) this.#unexpected(`a window function: ${WINDOW_FUNCTIONS.join(', ')}`);
    if (!isCall) return { kind: 'table', at, name: this.#name('a table, such as trips') };
    const source = this.#windowFunction(name);
    if (isWrapped) this.#needMark(')');
    return source;
  }

  #windowFunction(name: WindowFunction['name']): WindowFunction {
    const { at } = this.#take();
    this.#needMark('(');
    this.#argument(['DATA']);
    this.#needWord('TABLE');
    const tableAt = this.#token.at;
    const table = this.#name('a table, such as trips');
    const partition = this.#partition();
    if (partition.length > 0 && name !== 'SESSION')
      this.#fail(
        partition[0]!.at,
        `${name} has no PARTITION BY`,
        'only SESSION has; name the key in GROUP BY',
      );
    this.#needMark(',');
    this.#argument(['TIMECOL']);
    this.#needWord('DESCRIPTOR');
    this.#needMark('(');
    const time = this.#value();
    this.#needMark(')');
    const intervals = this.#intervals(name);
    this.#needMark(')');
    return { kind: 'window', at, name, table, tableAt, partition, time, intervals };
  }

  #intervals(name: WindowFunction['name']): WindowFunction['intervals'] {
    const names = WINDOW_ARGUMENTS[name];
    const intervals: Record<string, Interval> = {};
    for (let i = 0; this.#isMark(','); i++) {
      const { at } = this.#take();
      const argument = this.#argument(names) ?? names[i];
      if (argument === undefined || intervals[argument])
        this.#fail(at, `${name} takes ${names.join(', ')} behind the descriptor, each once`);
      intervals[argument] = this.#interval();
    }
    for (const needed of names)
      if (needed !== 'OFFSET' && !intervals[needed])
        this.#unexpected(`", INTERVAL '…' …" for the ${needed} of ${name}`);
    return intervals;
  }

  /** The name of a named argument, `NAME =>`. */
  #argument(names: readonly string[]): string | undefined {
    if (this.#tokens[this.#next + 1]?.text !== '=>') return undefined;
    const name = names.find((known) => this.#isWord(known));
    if (name === undefined) this.#unexpected(`an argument called ${names.join(' or ')}`);
    this.#take();
    this.#take();
    return name;
  }

  #partition(): readonly Node[] {
    if (!this.#takeWord('PARTITION')) return [];
    this.#needWord('BY');
    if (!this.#takeMark('(')) return this.#list(() => this.#value(), () => this.#tokens[this.#next + 1]?.text.toUpperCase() !== 'DESCRIPTOR' && this.#tokens[this.#next + 2]?.text !== '=>'); // biome-ignore format: one line
    const by = this.#list(() => this.#value());
    this.#needMark(')');
    return by;
  }

  #interval(): Interval {
    const { at } = this.#token;
    const isNegative = this.#takeMark('-');
    this.#needWord('INTERVAL');
    const amount = this.#need('string', "an amount in '…', such as '10'");
    if (!/^-?\d+(?:\.\d+)?$/.test(amount.text))
      this.#fail(amount.at, `'${amount.text}' is not an amount`, "write INTERVAL '90' MINUTE");
    const unit = this.#token.text.toUpperCase().replace(/S$/, '');
    const size = UNIT_MS[unit];
    if (this.#token.kind !== 'word' || size === undefined)
      this.#unexpected(`a unit: ${Object.keys(UNIT_MS).join(', ')}`);
    this.#take();
    if (this.#takeMark('(')) {
      this.#need('number', 'a precision');
      this.#needMark(')');
    }
    this.#refuse(['TO'], 'an interval has one unit', "write INTERVAL '90' MINUTE");
    return { at, ms: Math.round(Number(amount.text) * size) * (isNegative ? -1 : 1) };
  }

  #condition(): Node {
    return this.#nested(() => this.#chain('OR', () => this.#chain('AND', () => this.#not())));
  }

  #chain(word: 'AND' | 'OR', part: () => Node): Node {
    const first = part();
    if (!this.#isWord(word)) return first;
    const of = [first];
    while (this.#takeWord(word)) of.push(part());
    return { kind: word === 'AND' ? 'and' : 'or', at: first.at, of };
  }

  #not(): Node {
    const { at } = this.#token;
    if (!this.#takeWord('NOT')) return this.#predicate();
    return this.#nested(() => ({ kind: 'not', at, of: this.#not() }));
  }

  #predicate(): Node {
    let left = this.#value();
    const { at } = left;
    const op = this.#token.kind === 'mark' ? COMPARISONS[this.#token.text] : undefined;
    if (op) {
      this.#take();
      left = { kind: 'comparison', at, op, left, right: this.#value() };
    } else {
      const negated = this.#isWord('NOT') && this.#takeWord('NOT');
      if (this.#takeWord('BETWEEN')) left = this.#between(left, negated);
      else if (this.#takeWord('IN')) left = this.#in(left, negated);
      else {
        this.#refuse(
          ['LIKE', 'SIMILAR', 'RLIKE'],
          'patterns are not supported',
          "compare with = or IN ('…', '…')",
        );
        if (negated) this.#unexpected('BETWEEN or IN');
      }
    }
    while (this.#takeWord('IS')) left = this.#is(left);
    return left;
  }

  #between(of: Node, negated: boolean): Node {
    this.#refuse(['SYMMETRIC', 'ASYMMETRIC'], 'BETWEEN has two bounds, the lower one first');
    const low = this.#value();
    this.#needWord('AND');
    return { kind: 'between', at: of.at, of, low, high: this.#value(), negated };
  }

  #in(of: Node, negated: boolean): Node {
    this.#needMark('(');
    this.#refuse(['SELECT'], 'queries in IN are not supported', 'write the values');
    const list = this.#list(() => this.#value());
    this.#needMark(')');
    return { kind: 'in', at: of.at, of, list, negated };
  }

  #is(of: Node): Node {
    const negated = this.#takeWord('NOT');
    for (const what of ['null', 'true', 'false', 'unknown'] as const)
      if (this.#takeWord(what.toUpperCase())) return { kind: 'is', at: of.at, of, what, negated };
    return this.#unexpected('NULL, TRUE, FALSE or UNKNOWN');
  }

  #value(): Node {
    return this.#nested(() =>
      this.#operations(['+', '-'], () => this.#operations(['*', '/', '%'], () => this.#sign())),
    );
  }

  #operations(ops: readonly ('+' | '-' | '*' | '/' | '%')[], part: () => Node): Node {
    let left = part();
    for (let length = 1; ; length++) {
      const op = ops.find((mark) => this.#isMark(mark));
      if (op === undefined) break;
      if (length > LONGEST_CHAIN)
        this.#fail(
          this.#token.at,
          `more than ${LONGEST_CHAIN} operations in a row`,
          'split them with a view without a window',
        );
      this.#take();
      left = { kind: 'arithmetic', at: left.at, op, left, right: part() };
    }
    if (this.#isMark('||'))
      this.#fail(this.#token.at, 'texts can not be joined here', 'use them as two keys');
    return left;
  }

  #sign(): Node {
    const { at } = this.#token;
    if (this.#takeMark('+')) return this.#sign();
    if (!this.#takeMark('-')) return this.#primary();
    const of = this.#nested(() => this.#sign());
    return of.kind === 'number' ? { ...of, at, value: -of.value } : { kind: 'negative', at, of };
  }

  #primary(): Node {
    const { kind, text, at } = this.#token;
    if (kind === 'number') {
      this.#take();
      return { kind: 'number', at, value: Number(text), isWhole: /^\d+$/.test(text) };
    }
    if (kind === 'string') {
      this.#take();
      return { kind: 'string', at, value: text };
    }
    if (this.#takeMark('(')) {
      if (this.#isWord('SELECT')) this.#fail(at, 'queries in expressions are not supported');
      const inner = this.#condition();
      this.#needMark(')');
      return inner;
    }
    return this.#wordly(at);
  }

  #wordly(at: number): Node {
    for (const [
      word,
      node,
    ] of Object.entries({ TRUE: { kind: 'boolean', value: true }, FALSE: { kind: 'boolean', value: false }, NULL: { kind: 'null' } } as const)) // biome-ignore format: one line
      if (this.#takeWord(word)) return { ...node, at };
    if (this.#takeWord('CASE')) return this.#case(at);
    if (this.#takeWord('CAST')) return this.#cast(at);
    if (this.#takeWord('EXTRACT')) return this.#extract(at);
    const following = this.#tokens[this.#next + 1];
    if (this.#isWord('TIMESTAMP') && following?.kind === 'string') {
      this.#take();
      return { kind: 'timestamp', at, text: this.#take().text };
    }
    if (this.#isWord('INTERVAL'))
      this.#fail(at, 'intervals can not be reckoned with', 'use TIMESTAMPDIFF, and INTERVAL in windows only');
    if (this.#token.kind === 'word' && following?.text === '(') return this.#call(at);
    const name = this.#name('an expression');
    if (!this.#takeMark('.')) return { kind: 'name', at, name };
    return { kind: 'name', at, table: name, name: this.#name('a column') };
  }

  #case(at: number): Node {
    const subject = this.#isWord('WHEN') ? undefined : this.#condition();
    const when: [Node, Node][] = [];
    while (this.#takeWord('WHEN')) {
      const test = this.#condition();
      const condition: Node = subject
        ? { kind: 'comparison', at: test.at, op: 'eq', left: subject, right: test }
        : test;
      this.#needWord('THEN');
      when.push([condition, this.#condition()]);
    }
    if (when.length === 0) this.#unexpected('WHEN');
    const otherwise = this.#takeWord('ELSE') ? this.#condition() : undefined;
    this.#needWord('END');
    return { kind: 'case', at, when, otherwise };
  }

  #cast(at: number): Node {
    this.#needMark('(');
    const of = this.#condition();
    this.#needWord('AS');
    const type = this.#need('word', 'a type').text.toUpperCase();
    this.#needMark(')');
    return { kind: 'cast', at, of, type };
  }

  #extract(at: number): Node {
    this.#needMark('(');
    const part = this.#need('word', 'a part of a time, such as HOUR');
    this.#needWord('FROM');
    const of = this.#value();
    this.#needMark(')');
    return { kind: 'extract', at, part: part.text.toUpperCase(), partAt: part.at, of };
  }

  #call(at: number): Call {
    const name = this.#take().text.toUpperCase();
    if (GROUP_WINDOWS.test(name))
      this.#fail(at, `${name} is not a function of trips here`, "FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '10' MINUTE)) … GROUP BY window_start, window_end"); // biome-ignore format: one line
    this.#needMark('(');
    const star = this.#takeMark('*');
    const distinct = !star && this.#takeWord('DISTINCT');
    const args = star || this.#isMark(')') ? [] : this.#list(() => this.#condition());
    this.#needMark(')');
    return { kind: 'call', at, name, args, star, distinct, filter: this.#filter(), over: this.#over() };
  }

  #filter(): Node | undefined {
    if (!this.#takeWord('FILTER')) return undefined;
    this.#needMark('(');
    this.#needWord('WHERE');
    const filter = this.#condition();
    this.#needMark(')');
    return filter;
  }

  #over(): Call['over'] {
    if (!this.#takeWord('OVER')) return undefined;
    this.#needMark('(');
    let partition: readonly Node[] = [];
    if (this.#takeWord('PARTITION')) {
      this.#needWord('BY');
      partition = this.#list(() => this.#value());
    }
    let order: readonly Ordered[] = [];
    if (this.#takeWord('ORDER')) {
      this.#needWord('BY');
      order = this.#list(() => this.#ordered());
    }
    this.#needMark(')');
    return { partition, order };
  }

  #ordered(): Ordered {
    const of = this.#value();
    const descending = this.#takeWord('DESC');
    if (!descending) this.#takeWord('ASC');
    this.#refuse(['NULLS'], 'where missing values stand can not be chosen', 'they are the least');
    return { of, descending };
  }

  #list<T>(part: () => T, goesOn: () => boolean = () => true): T[] {
    const list = [part()];
    while (this.#isMark(',') && goesOn()) {
      this.#take();
      list.push(part());
    }
    return list;
  }

  #nested<T>(work: () => T): T {
    if (++this.#depth > MOST_NESTED)
      this.#fail(this.#token.at, 'nested too deep', 'split it into several views');
    const found = work();
    this.#depth--;
    return found;
  }

  get #token(): Token {
    return this.#tokens[this.#next]!;
  }

  #take(): Token {
    const token = this.#token;
    if (token.kind !== 'end') this.#next++;
    return token;
  }

  #isEnd(): boolean {
    return this.#token.kind === 'end';
  }

  #isMark(mark: string): boolean {
    return this.#token.kind === 'mark' && this.#token.text === mark;
  }

  #isWord(word: string): boolean {
    return this.#token.kind === 'word' && this.#token.text.toUpperCase() === word;
  }

  #takeMark(mark: string): boolean {
    const is = this.#isMark(mark);
    if (is) this.#next++;
    return is;
  }

  #takeWord(word: string): boolean {
    const is = this.#isWord(word);
    if (is) this.#next++;
    return is;
  }

  #isName(): boolean {
    const { kind, text } = this.#token;
    return kind === 'quoted' || (kind === 'word' && !RESERVED.has(text.toUpperCase()) && !this.#isClause());
  }

  /** Words that go on with a query and that Flink takes as names too. */
  #isClause(): boolean {
    return ['FILTER', 'FETCH', 'EXCEPT', 'MINUS', 'QUALIFY', 'WINDOW'].some((word) => this.#isWord(word));
  }

  #name(what: string): string {
    if (!this.#isName()) this.#unexpected(what);
    return this.#take().text;
  }

  #need(kind: Token['kind'], what: string): Token {
    if (this.#token.kind !== kind) this.#unexpected(what);
    return this.#take();
  }

  #needMark(mark: string): void {
    if (!this.#takeMark(mark)) this.#unexpected(`"${mark}"`);
  }

  #needWord(word: string): Token {
    if (!this.#isWord(word)) this.#unexpected(word);
    return this.#take();
  }

  #refuse(words: readonly string[], problem: string, hint?: string): void {
    const word = words.find((refused) => this.#isWord(refused));
    if (word !== undefined) this.#fail(this.#token.at, `found ${word}: ${problem}`, hint);
  }

  #unexpected(expected: string, hint?: string): never {
    const { kind, text, at } = this.#token;
    const found = kind === 'end' ? 'the end' : kind === 'string' ? `'${text}'` : text;
    return this.#fail(at, `found ${found.slice(0, 60)}, expected ${expected}`, hint);
  }

  #fail(at: number, problem: string, hint?: string): never {
    return this.#source.fail(at, problem, hint);
  }
}
