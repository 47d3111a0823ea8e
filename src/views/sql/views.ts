/**
 * Views from SQL in Flink's dialect: a window table-valued function over `trips`, GROUP BY, aggregates, HAVING, and the first n of a
 * window by ROW_NUMBER. A view without a window stands for its columns, and is no result.
 */
import { timeZoneOf } from '../../events/time-zones.ts';
import { TRIP_FIELD_NAMES } from '../../events/trip.ts';
import { nearest } from '../../suggest.ts';
import { AGGREGATES } from '../aggregates.ts';
import { checkViews, SEE_VIEWS, TRIP_SCOPE, typeOf } from '../check.ts';
import type { Aggregate, EventTime, Expression, Top, ValueType, View, Window } from '../language.ts';
import { columnNames, Expressions, isAggregate, type Names, numberIn } from './expressions.ts';
import { parseStatements } from './parse.ts';
import { SqlSource } from './source.ts';
import type { Call, Interval, Item, Node, Query, WindowFunction } from './syntax.ts';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const TABLE = 'trips';
const TIME_ZONE = 'table.local-time-zone';

/** Times that windows can go by, by the column of the descriptor. */
const TIMES: Readonly<Record<string, EventTime | undefined>> = {
  dropoff_datetime: undefined,
  pickup_datetime: 'pickup',
  arrival_time: 'arrival',
};

const WINDOW_COLUMNS = ['window_start', 'window_end', 'window_time'];

/** Columns of trips that a query selects, and what it selects the trips by. */
interface Rows {
  readonly kind: 'rows';
  readonly columns: ReadonlyMap<string, Expression>;
  readonly where: readonly Expression[];
}

interface Results {
  readonly kind: 'results';
  readonly view: View;
}

/** Results with the rank of each. */
interface RankedResults {
  readonly kind: 'ranked';
  readonly at: number;
  readonly view: View;
  readonly rank: string;
  readonly top: Omit<Top, 'n' | 'rank'>;
}

type Meaning = Rows | Results | RankedResults;

/** The views that a text of SQL defines, checked. Throws `bad-view` with the place of the first mistake. */
export function viewsOfSql(text: string, path: string): View[] {
  const source = new SqlSource(path, text);
  try {
    return viewsIn(source);
  } catch (error) {
    if (error instanceof RangeError) source.fail(0, 'nested too deep', 'split it into several views');
    throw error;
  }
}

function viewsIn(source: SqlSource): View[] {
  const { text } = source;
  const file = new SqlFile(source);
  for (const statement of parseStatements(source)) {
    if (statement.kind === 'view') file.define(statement);
    else file.set(statement);
  }
  if (file.views.length === 0)
    source.fail(
      text.trimEnd().length,
      'there is no view with a window here',
      "CREATE VIEW busy AS SELECT window_start, window_end, COUNT(*) AS trips FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '10' MINUTE)) GROUP BY window_start, window_end;",
    );
  return checkViews(file.views);
}

class SqlFile {
  readonly views: View[] = [];
  readonly #source: SqlSource;
  readonly #defined = new Map<string, Meaning>();
  #timeZone: string | undefined;

  constructor(source: SqlSource) {
    this.#source = source;
    const columns = new Map(
      TRIP_FIELD_NAMES.map((name): [string, Expression] => [name, { op: 'field', name }]),
    );
    this.#defined.set(TABLE, { kind: 'rows', columns, where: [] });
  }

  set({ at, name, value, valueAt }: { at: number; name: string; value: string; valueAt: number }): void {
    if (name.toLowerCase() !== TIME_ZONE)
      this.#source.fail(
        at,
        `the setting ${name} is not supported`,
        `there is '${TIME_ZONE}', for days by local time`,
      );
    if (timeZoneOf(value) === undefined)
      this.#source.fail(valueAt, `${value} is not a time zone`, 'name one such as America/New_York');
    this.#timeZone = ['UTC', 'Etc/UTC'].includes(value) ? undefined : value;
  }

  define({ at, name, query }: { at: number; name: string; query: Query }): void {
    if (this.#defined.has(name)) this.#source.fail(at, `there is a ${name} already`, 'choose another name');
    const meaning = this.#query(query, name);
    if (meaning.kind === 'ranked')
      this.#source.fail(
        meaning.at,
        'a rank alone selects nothing',
        `put this query in brackets: SELECT * FROM (…) WHERE ${meaning.rank} <= 10`,
      );
    this.#defined.set(name, meaning);
    if (meaning.kind === 'results') this.views.push(this.#checked(meaning.view, at));
  }

  /** What is wrong with a whole view is told at its name. */
  #checked(view: View, at: number): View {
    try {
      return checkViews([view])[0]!;
    } catch (error) {
      const { message, hint } = error as Error & { hint?: string };
      return this.#source.fail(
        at,
        message.replace(/^views\[0\](?:\.|: )?/, ''),
        hint === SEE_VIEWS ? undefined : hint,
      );
    }
  }

  #query(query: Query, name: string): Meaning {
    const { from } = query;
    if (from.kind === 'window') return this.#aggregation(query, from, name);
    const inner = from.kind === 'query' ? this.#query(from.query, name) : this.#table(from.name, from.at);
    if (inner.kind === 'rows') return this.#selection(query, inner);
    if (query.group)
      this.#source.fail(query.at, 'results can not be grouped again', 'group trips by the larger window');
    if (query.having) this.#source.fail(query.having.at, 'HAVING is for a query with GROUP BY');
    return inner.kind === 'results' ? this.#ranking(query, inner.view, name) : this.#top(query, inner, name);
  }

  #table(name: string, at: number): Meaning {
    const found = this.#defined.get(name);
    if (found) return found;
    const meant = nearest(name, this.#defined.keys());
    return this.#source.fail(
      at,
      `there is no table ${name}`,
      `${meant ? `did you mean ${meant}? ` : ''}there is ${[...this.#defined.keys()].join(', ')}`,
    );
  }

  #expressions(names: Names, tables: Iterable<string | undefined>): Expressions {
    return new Expressions(this.#source, names, this.#timeZone, tables);
  }

  /** A query without a window: columns, and a selection of trips. */
  #selection({ items, from, where, group, having, at }: Query, { columns, where: before }: Rows): Rows {
    if (group ?? having)
      this.#source.fail(
        at,
        'a query with GROUP BY needs a window',
        "FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '10' MINUTE))",
      );
    const tables = [from.alias, from.kind === 'table' ? from.name : undefined];
    const expressions = this.#expressions(columnNames(columns), tables);
    const selected = new Map<string, Expression>();
    for (const item of items) {
      const found: [string, Expression][] = item.of
        ? [[this.#nameOf(item, item.of), expressions.value(item.of)]]
        : [...columns];
      for (const [name, e] of found) {
        if (WINDOW_COLUMNS.includes(name))
          this.#source.fail(item.at, `${name} is a column of windows`, 'choose another name');
        if (selected.has(name))
          this.#source.fail(item.at, `two columns are named ${name}`, 'give one of them another name');
        selected.set(name, e);
      }
    }
    return {
      kind: 'rows',
      columns: selected,
      where: where ? [...before, expressions.isTrue(where)] : before,
    };
  }

  #nameOf({ alias, at }: Item, of: Node): string {
    if (alias !== undefined) return alias;
    if (of.kind === 'name') return of.name;
    return this.#source.fail(at, 'this column needs a name', 'write … AS name');
  }

  #aggregation(query: Query, from: WindowFunction, name: string): Results {
    const rows = this.#table(from.table, from.tableAt);
    if (rows.kind !== 'rows') return this.#source.fail(from.tableAt, `${from.table} is no table of trips`);
    const expressions = this.#expressions(columnNames(rows.columns), [from.alias, from.table]);
    const where = query.where ? [...rows.where, expressions.isTrue(query.where)] : rows.where;
    if (!query.group)
      this.#source.fail(query.at, 'a query of windows needs GROUP BY', 'GROUP BY window_start, window_end');
    const { by, aggregates } = this.#items(query, query.group, expressions, rows.columns);
    if (from.name === 'SESSION') this.#checkPartition(from, by, expressions);
    const time = this.#time(from.time, rows.columns);
    return {
      kind: 'results',
      view: {
        name,
        ...(where.length === 0 ? {} : { where: where.length === 1 ? where[0]! : { op: 'and', of: where } }),
        by,
        window: this.#window(from),
        aggregates,
        ...(query.having
          ? { having: this.#having(query.having, aggregates, expressions, [from.alias, from.table]) }
          : {}),
        ...(time === undefined ? {} : { time }),
      },
    };
  }

  /** Key fields and aggregates, from what is selected and what it is grouped by. */
  #items(
    { items, at }: Query,
    group: readonly Node[],
    expressions: Expressions,
    columns: ReadonlyMap<string, Expression>,
  ): Pick<View, 'by' | 'aggregates'> {
    const by: Record<string, Expression> = {};
    const aggregates: Record<string, Aggregate> = {};
    const places = new Map<string, number>();
    for (const item of items) {
      const { of } = item;
      if (!of)
        return this.#source.fail(item.at, 'found *, expected the key fields and the aggregates by name');
      const name = this.#nameOf(item, of);
      const column = windowColumn(of);
      if (column !== undefined) {
        if (name !== column)
          this.#source.fail(item.at, `${column} can have no other name: every result has it`);
        continue;
      }
      if (Object.hasOwn(by, name) || Object.hasOwn(aggregates, name))
        this.#source.fail(item.at, `two columns are named ${name}`);
      if (of.kind === 'call' && isAggregate(of)) aggregates[name] = expressions.aggregate(of);
      else {
        by[name] = this.#keyField(of, expressions);
        places.set(name, item.at);
      }
    }
    if (Object.keys(aggregates).length === 0)
      this.#source.fail(at, 'no aggregate is selected', 'add COUNT(*) AS trips');
    this.#checkGroup(group, { by, places, at }, expressions, columns);
    return { by, aggregates };
  }

  #keyField(of: Node, expressions: Expressions): Expression {
    const inner = firstAggregate(of);
    if (inner)
      this.#source.fail(
        inner.at,
        `${inner.name} is part of an expression here`,
        'select its parts as columns of their own, such as SUM(x) AS total and COUNT(*) AS trips, and divide where the results are used',
      );
    return expressions.value(of);
  }

  /** Each key field must be grouped by, and what is grouped by selected. */
  #checkGroup(
    group: readonly Node[],
    {
      by,
      places,
      at,
    }: { by: Readonly<Record<string, Expression>>; places: ReadonlyMap<string, number>; at: number },
    expressions: Expressions,
    columns: ReadonlyMap<string, Expression>,
  ): void {
    const missing = new Set(WINDOW_COLUMNS.slice(0, 2));
    const left = new Map(Object.entries(by).map(([name, e]) => [JSON.stringify(e), name]));
    for (const node of group) {
      if (missing.delete(windowColumn(node) ?? '') || windowColumn(node) !== undefined) continue;
      if (node.kind === 'number')
        this.#source.fail(node.at, 'GROUP BY a number is not supported', 'repeat the expression');
      const isAlias = node.kind === 'name' && !columns.has(node.name) && Object.hasOwn(by, node.name);
      const text = JSON.stringify(isAlias ? by[node.name] : expressions.value(node));
      if (!Object.values(by).some((e) => JSON.stringify(e) === text))
        this.#source.fail(node.at, 'what is grouped by must be selected too, with a name');
      left.delete(text);
    }
    const [other] = left.values();
    if (other !== undefined)
      this.#source.fail(
        places.get(other)!,
        `${other} is neither an aggregate nor in GROUP BY`,
        'add it to GROUP BY, or select an aggregate of it',
      );
    const [column] = missing;
    if (column !== undefined)
      this.#source.fail(
        group[0]?.at ?? at,
        `GROUP BY lacks ${column}`,
        'GROUP BY window_start, window_end, …',
      );
  }

  #checkPartition(
    from: WindowFunction,
    by: Readonly<Record<string, Expression>>,
    expressions: Expressions,
  ): void {
    const keys = new Set(Object.values(by).map((e) => JSON.stringify(e)));
    for (const node of from.partition) {
      if (!keys.delete(JSON.stringify(expressions.value(node))))
        this.#source.fail(node.at, 'sessions are of the keys in GROUP BY, and this is none of them');
    }
    if (keys.size > 0)
      this.#source.fail(
        from.tableAt,
        'sessions are of the keys in GROUP BY',
        `SESSION(TABLE ${from.table} PARTITION BY …, DESCRIPTOR(…), …) with all of them`,
      );
  }

  #time(node: Node, columns: ReadonlyMap<string, Expression>): EventTime | undefined {
    const name = node.kind === 'name' ? node.name : '';
    const column = columns.get(name);
    const field = column?.op === 'field' ? column.name : name === 'arrival_time' ? name : undefined;
    if (field !== undefined && Object.hasOwn(TIMES, field)) return TIMES[field];
    return this.#source.fail(
      node.at,
      `windows can not go by ${name || 'this'}`,
      `DESCRIPTOR takes ${Object.keys(TIMES).join(', ')}`,
    );
  }

  #window(from: WindowFunction): Window {
    const { SIZE: size, SLIDE: slide, STEP: step, GAP: gap, OFFSET: offset } = from.intervals;
    if (from.name === 'SESSION') return { kind: 'session', gap_ms: gap!.ms };
    const aligned = { size_ms: size!.ms, ...(offset && offset.ms !== 0 ? { offset_ms: offset.ms } : {}) };
    const zoned = { ...aligned, ...this.#zoned(from) };
    if (from.name === 'TUMBLE') return { kind: 'tumbling', ...zoned };
    if (from.name === 'HOP') return { kind: 'sliding', ...zoned, slide_ms: slide!.ms };
    if (step!.ms > size!.ms)
      this.#source.fail(
        from.at,
        'the step of CUMULATE is longer than the window',
        'the step comes first, then the longest window',
      );
    return { kind: 'cumulating', ...zoned, step_ms: step!.ms };
  }

  /** Windows of whole days follow local time; shorter ones are the same in every zone that is whole hours from UTC. */
  #zoned({ intervals: { SIZE: size, SLIDE: slide }, at, name }: WindowFunction): { time_zone?: string } {
    const zone = this.#timeZone;
    if (zone === undefined) return {};
    const isDays = (interval: Interval | undefined) => interval === undefined || interval.ms % DAY_MS === 0;
    if (isDays(size) && isDays(slide)) return { time_zone: zone };
    const isSameEverywhere = [size, slide].every(
      (interval) => interval === undefined || (HOUR_MS % interval.ms === 0 && isEven(zone, interval.ms)),
    );
    if (isSameEverywhere) return {};
    return this.#source.fail(
      at,
      `${name} in ${zone} needs whole days, or parts of an hour that its offsets are whole numbers of`,
      `SET '${TIME_ZONE}' = 'UTC'; before this view`,
    );
  }

  #having(
    node: Node,
    aggregates: Readonly<Record<string, Aggregate>>,
    expressions: Expressions,
    tables: readonly (string | undefined)[],
  ): Expression {
    const scope = new Map<string, ValueType>(
      Object.entries(aggregates).map(([name, { fn, of }]) => [
        name,
        AGGREGATES[fn].resultType(of && typeOf(of, TRIP_SCOPE, name))!,
      ]),
    );
    const names: Names = {
      find: (name) => (Object.hasOwn(aggregates, name) ? { op: 'field', name } : undefined),
      all: Object.keys(aggregates),
      scope,
      aggregate: (call) => {
        const text = JSON.stringify(expressions.aggregate(call));
        const found = Object.entries(aggregates).find(([, aggregate]) => JSON.stringify(aggregate) === text);
        if (found) return { op: 'field', name: found[0] };
        return this.#source.fail(
          call.at,
          'HAVING takes aggregates that are selected too',
          `select ${call.name}(…) AS name`,
        );
      },
    };
    return this.#expressions(names, tables).isTrue(node);
  }

  /** Results of a query with ROW_NUMBER over them. */
  #ranking({ items, where, at }: Query, view: View, name: string): Meaning {
    const ranks = items.filter((item) => item.of?.kind === 'call' && item.of.name === 'ROW_NUMBER');
    if (where)
      this.#source.fail(
        where.at,
        'results can not be selected here',
        'use HAVING in the query with GROUP BY',
      );
    if (view.top) this.#source.fail(at, 'the first of results can not be ranked again');
    const [rank] = ranks;
    if (!rank || ranks.length > 1)
      return this.#source.fail(
        at,
        'expected ROW_NUMBER() OVER (…) AS rownum, once, over the results of a query',
      );
    this.#checkColumns(
      items.filter((item) => item !== rank),
      view,
      [],
    );
    const call = rank.of as Call;
    if (!call.over || call.args.length > 0 || call.filter)
      this.#source.fail(
        call.at,
        'write ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY …)',
      );
    const names = [...Object.keys(view.by), ...Object.keys(view.aggregates)];
    const missing = new Set(WINDOW_COLUMNS.slice(0, 2));
    const by: string[] = [];
    for (const node of call.over.partition) {
      if (missing.delete(windowColumn(node) ?? '')) continue;
      if (node.kind === 'name' && Object.hasOwn(view.by, node.name)) by.push(node.name);
      else this.#source.fail(node.at, 'PARTITION BY takes window_start, window_end and key fields');
    }
    const [column] = missing;
    if (column !== undefined)
      this.#source.fail(
        call.at,
        `PARTITION BY lacks ${column}`,
        'the first of all windows would never be known',
      );
    if (call.over.order.length === 0) this.#source.fail(call.at, 'ORDER BY is missing in OVER (…)');
    const order = call.over.order.map(({ of, descending }) => {
      if (of.kind !== 'name' || !names.includes(of.name))
        return this.#source.fail(
          of.at,
          'ORDER BY takes columns of the query',
          `there are ${names.join(', ')}`,
        );
      return { name: of.name, ...(descending ? { descending } : {}) };
    });
    const top = { ...(by.length > 0 ? { by } : {}), order };
    return {
      kind: 'ranked',
      at: call.at,
      view: { ...view, name },
      rank: rank.alias ?? this.#nameOf(rank, call),
      top,
    };
  }

  #top({ items, where, at }: Query, { view, rank, top }: RankedResults, name: string): Results {
    if (!where) return this.#source.fail(at, 'the first n of each window need WHERE', `WHERE ${rank} <= 10`);
    const n = this.#limit(where, rank);
    const isRanked = this.#checkColumns(items, view, [rank]);
    return { kind: 'results', view: { ...view, name, top: { n, ...top, ...(isRanked ? { rank } : {}) } } };
  }

  /** n of `rank <= n`. */
  #limit(where: Node, rank: string): number {
    if (where.kind === 'comparison') {
      const [isLeft, isRight] = [where.left, where.right].map(
        (side) => side.kind === 'name' && side.name === rank,
      );
      const n = numberIn(isLeft ? where.right : where.left);
      const op = isLeft ? where.op : ({ gte: 'lte', gt: 'lt', eq: 'eq' } as const)[where.op as 'gte'];
      if ((isLeft || isRight) && n !== undefined && Number.isInteger(n)) {
        if (op === 'lte' || (op === 'eq' && n === 1)) return n;
        if (op === 'lt') return n - 1;
      }
    }
    return this.#source.fail(where.at, `expected ${rank} <= n, with a number`);
  }

  /** Refuses a selection that is not all columns of a view; whether it has the rank too. */
  #checkColumns(items: readonly Item[], view: View, ranks: readonly string[]): boolean {
    const columns = new Set([...Object.keys(view.by), ...Object.keys(view.aggregates)]);
    let isRanked = false;
    for (const { of, alias, at } of items) {
      const isRenamed = alias !== undefined && !(of?.kind === 'name' && of.name === alias);
      if (of && (of.kind !== 'name' || isRenamed))
        this.#source.fail(at, 'expected * or columns of the query, as they are');
      if (!of) columns.clear();
      if (!of || (of.kind === 'name' && ranks.includes(of.name))) isRanked = true;
      else if (of.kind === 'name' && !columns.delete(of.name) && windowColumn(of) === undefined)
        this.#source.fail(at, `there is no column ${of.name} here, or it is selected twice`);
    }
    const [left] = columns;
    if (left !== undefined)
      this.#source.fail(
        items[0]?.at ?? 0,
        `all columns must be selected, and ${left} is not`,
        'write SELECT *',
      );
    return isRanked && ranks.length > 0;
  }
}

/** Whether a zone was always a whole number of such spans from UTC, in the years of the files. */
function isEven(zone: string, ms: number): boolean {
  const times = Array.from({ length: 2 * 25 }, (_, half) => Date.UTC(2008, 6 * half, 1));
  return times.every((time) => timeZoneOf(zone)!.offsetAt(time) % ms === 0);
}

/** The name of a column that every result has; undefined for anything else. */
function windowColumn(node: Node): string | undefined {
  return node.kind === 'name' && WINDOW_COLUMNS.includes(node.name) ? node.name : undefined;
}

/** An aggregate within an expression. */
function firstAggregate(node: unknown): Call | undefined {
  if (Array.isArray(node)) {
    for (const part of node) {
      const found = firstAggregate(part);
      if (found) return found;
    }
    return undefined;
  }
  if (typeof node !== 'object' || node === null) return undefined;
  if ('kind' in node && node.kind === 'call' && isAggregate(node as Call)) return node as Call;
  return firstAggregate(Object.values(node));
}
