/** Views as SQL in Flink's dialect. Read back, it makes views of the same meaning, and prints as the same text. */
import { TaxiflowError } from '../../errors.ts';
import { timeZoneOf } from '../../events/time-zones.ts';
import type { Top, View, Window } from '../language.ts';
import { ExpressionPrinter, interval, named, nameSql } from './print-expressions.ts';
import { viewsOfSql } from './views.ts';

/** A file with `CREATE VIEW` for each view. Throws `no-sql` for a view with times in several zones. */
export function sqlOfViews(views: readonly View[]): string {
  let timeZone: string | undefined;
  const statements: string[] = [];
  for (const view of views) {
    const own = timeZoneOfView(view);
    if (own !== timeZone) statements.push(setting(own));
    timeZone = own;
    const sql = `CREATE VIEW ${nameSql(view.name)} AS\n${new Printer(own).query(view)};`;
    refuseOtherTimes(view, `${setting(own)}\n${sql}`);
    statements.push(sql);
  }
  return `${statements.join('\n\n')}\n`;
}

/** The time zone of a view that has one. */
export function timeZoneOfView(view: View): string | undefined {
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

const TIME_COLUMNS = {
  dropoff: 'dropoff_datetime',
  pickup: 'pickup_datetime',
  arrival: 'arrival_time',
} as const;

/** Prints a view whose local times are in one zone. */
class Printer {
  readonly #sql: ExpressionPrinter;

  constructor(timeZone: string | undefined) {
    this.#sql = new ExpressionPrinter(timeZone === undefined ? undefined : timeZoneOf(timeZone));
  }

  query(view: View): string {
    const inner = this.#aggregation(view);
    return view.top ? this.#ranked(view, view.top, inner) : inner;
  }

  #aggregation({ where, by, window, aggregates, having, time }: View): string {
    const columns = [
      'window_start',
      'window_end',
      ...Object.entries(by).map(([name, e]) => named(this.#sql.value(e), name)),
      ...Object.entries(aggregates).map(([name, aggregate]) => named(this.#sql.aggregate(aggregate), name)),
    ];
    const lines = [
      `SELECT ${columns.join(', ')}`,
      `FROM TABLE(${this.#windowSql(window, by, time ?? 'dropoff')})`,
      ...(where ? [`WHERE ${this.#sql.condition(where)}`] : []),
      `GROUP BY ${['window_start', 'window_end', ...Object.values(by).map((e) => this.#sql.grouped(e))].join(', ')}`,
      ...(having ? [`HAVING ${this.#sql.condition(having, aggregates)}`] : []),
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

  #windowSql(window: Window, by: View['by'], time: keyof typeof TIME_COLUMNS): string {
    const descriptor = `DESCRIPTOR(${TIME_COLUMNS[time]})`;
    if (window.kind === 'session') {
      const keys = Object.values(by).map((e) => this.#sql.value(e));
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
}

function freeName(taken: readonly string[]): string {
  let name = 'rownum';
  while (taken.includes(name)) name += '_';
  return name;
}
