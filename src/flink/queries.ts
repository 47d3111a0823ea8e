/**
 * Views as queries of Flink. A source table has the records of the stream, with watermarks from its watermark records; of it,
 * a view has each trip once (W7), and the queries group those.
 */
import { type TimeZone, timeZoneOf } from '../events/time-zones.ts';
import { TRIP_FIELD_NAMES, TRIP_FIELDS, type TripField } from '../events/trip.ts';
import { AGGREGATES } from '../views/aggregates.ts';
import { fieldsOf, TRIP_SCOPE, typeOf } from '../views/check.ts';
import type { Top, ValueType, View, Window } from '../views/language.ts';
import { timeZoneOfView } from '../views/sql/print.ts';
import { interval } from '../views/sql/print-expressions.ts';
import { type Cells, FlinkExpressions, isoSql, refused, SQL_TYPES } from './expressions.ts';

/** Copies of a trip arrive at different times, so by arrival nothing would find them. */
export type FlinkTime = 'dropoff' | 'pickup';

/** A table of the stream's records. A job reads the stream once for each. */
export interface SourceTable {
  readonly name: string;
  readonly time: FlinkTime;
  /** Ms by which its times are earlier than they are. */
  readonly earlier: number;
}

/** A result of a view, as a row: `columns` are those of a document, in its order. */
export interface ResultQuery {
  readonly view: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** Names of the columns that tell results of the view apart. */
  readonly key: readonly string[];
  readonly query: string;
}

export interface Queries {
  readonly timeZone: string | undefined;
  readonly sources: readonly SourceTable[];
  /** CREATE TEMPORARY VIEW …, in order, after the tables. */
  readonly views: readonly string[];
  readonly results: readonly ResultQuery[];
}

export const EVENT_TIME = 'event_time';
const TIME_COLUMNS = {
  dropoff: 'dropoff_datetime',
  pickup: 'pickup_datetime',
} as const;

/** Any name may be one that Flink reserves. */
function nameSql(name: string): string {
  return `\`${name}\``;
}

/** Throws `no-flink-sql` for what Flink can't do, with what is nearest to it. */
export function queriesOf(views: readonly View[], eventTime: 'dropoff' | 'arrival'): Queries {
  const byArrival = views.find(
    ({ time }) => time === 'arrival' || (time === undefined && eventTime === 'arrival'),
  );
  if (byArrival)
    throw refused(
      byArrival.name,
      'it goes by arrival, and Flink would count a trip that was written twice twice',
      'go by drop-off or pick-up, or use the embedded engine',
    );
  const zones = new Set(views.map((view) => timeZoneOfView(view)));
  if (zones.size > 1) {
    const names = (zone: string | undefined) =>
      views
        .filter((view) => timeZoneOfView(view) === zone)
        .map(({ name }) => name)
        .join(', ');
    const groups = [...zones].map((zone) => `${zone ?? 'UTC'} (${names(zone)})`).join(' and ');
    throw refused(
      views.find((view) => timeZoneOfView(view) !== timeZoneOfView(views[0]!))!.name,
      `a job of Flink has one time zone, and the views go by ${groups}`,
      'put them into files of their own, and run these as two apps',
    );
  }
  const [timeZone] = zones;
  const printer = new QueryPrinter(timeZone === undefined ? undefined : timeZoneOf(timeZone));
  const results = views.map((view) => printer.result(view));
  return { timeZone, sources: printer.sources, views: printer.views(), results };
}

/** Trips of one source table, each once, as far as the views need them. */
interface Trips {
  readonly name: string;
  readonly source: SourceTable;
  readonly isSession: boolean;
  /** Ms: windows begin and end only at multiples of it. */
  slice: number;
  readonly fields: Set<TripField>;
  readonly cells: Map<string, Cells>;
}

class QueryPrinter {
  readonly sources: SourceTable[] = [];
  readonly #zone: TimeZone | undefined;
  readonly #trips: Trips[] = [];
  /** Of sessions, with their keys. */
  readonly #keyed: string[] = [];

  constructor(zone: TimeZone | undefined) {
    this.#zone = zone;
  }

  views(): string[] {
    return [...this.#trips.flatMap((trips) => this.#tripViews(trips)), ...this.#keyed];
  }

  result(view: View): ResultQuery {
    const { name, by, aggregates, top, window } = view;
    refuseWindow(view);
    const trips = this.#tripsOf(view);
    const sql = new FlinkExpressions(name, this.#zone, this.#timeColumn(view), trips.cells);
    const inner = this.#grouped(view, trips, sql);
    const ranked = top ? this.#ranked(view, top, inner) : inner;
    const typed: [string, ValueType][] = [
      ...Object.entries(by).map(([key, e]): [string, ValueType] => [key, typeOf(e, TRIP_SCOPE, key)]),
      ...Object.entries(aggregates).map(([key, { fn, of }]): [string, ValueType] => [
        key,
        AGGREGATES[fn].resultType(of && typeOf(of, TRIP_SCOPE, key))!,
      ]),
      ...(top?.rank === undefined ? [] : [[top.rank, 'integer'] as [string, ValueType]]),
    ];
    const { earlier } = trips.source;
    const later = earlier === 0 ? '' : ` + ${interval(earlier)}`;
    const time = (column: string, plus = '') =>
      isoSql(`CAST(${column}${later}${plus} AS TIMESTAMP_LTZ(3))`, this.#zone);
    const document: [string, ValueType, string][] = [
      ['view', 'string', `'${name}'`],
      ['window_start', 'string', time('window_start')],
      ['window_end', 'string', time('window_end')],
      ['timestamp', 'string', time('window_end', " - INTERVAL '0.001' SECOND")],
      ...typed.map(([column, type]): [string, ValueType, string] =>
        type === 'time'
          ? [column, 'string', isoSql(nameSql(column), this.#zone)]
          : [column, type, nameSql(column)],
      ),
    ];
    const select = document.map(([column, type, text]) =>
      text === column ? text : `CAST(${text} AS ${SQL_TYPES[type]}) AS \`${column}\``,
    );
    return {
      view: name,
      columns: document.map(([column, type]) => ({ name: column, type: SQL_TYPES[type] })),
      key: [
        'view',
        'window_start',
        ...(window.kind === 'cumulating' ? ['window_end'] : []),
        ...Object.keys(by),
      ],
      query: `SELECT ${select.join(', ')}\nFROM (\n${ranked}\n)`,
    };
  }

  #timeColumn({ time }: View): string {
    return TIME_COLUMNS[time === 'pickup' ? 'pickup' : 'dropoff'];
  }

  /** All views of one source go by the same trips, so that a trip is looked at for copies once; sessions know no slices. */
  #tripsOf(view: View): Trips {
    const source = this.#sourceOf(view);
    const isSession = view.window.kind === 'session';
    let trips = this.#trips.find((other) => other.source === source && other.isSession === isSession);
    if (!trips) {
      const name = `trips${this.#trips.length === 0 ? '' : `_${this.#trips.length + 1}`}`;
      trips = { name, source, isSession, slice: 0, fields: new Set(), cells: new Map() };
      this.#trips.push(trips);
    }
    trips.slice = greatestDivisor(sliceOf(view.window), trips.slice);
    for (const field of [...fieldsOf(view), 'dropoff_datetime'] as const) trips.fields.add(field);
    return trips;
  }

  #sourceOf({ time: given, window }: View): SourceTable {
    const time: FlinkTime = given === 'pickup' ? 'pickup' : 'dropoff';
    const earlier = window.kind === 'session' ? 0 : (window.offset_ms ?? 0);
    const known = this.sources.find((source) => source.time === time && source.earlier === earlier);
    if (known) return known;
    const name = `events${this.sources.length === 0 ? '' : `_${this.sources.length + 1}`}`;
    const source = { name, time, earlier };
    this.sources.push(source);
    return source;
  }

  /**
   * A trip's columns travel as one through what keeps each once, so that one such step serves all views. The copies of a trip have the
   * same time, so windows as long as a slice find them, and their state goes as soon as the slice has passed.
   */
  #tripViews({ name, source, slice, fields, cells }: Trips): string[] {
    const columns = [
      ...TRIP_FIELD_NAMES.filter((field) => fields.has(field)).map(
        (field) => [field, SQL_TYPES[TRIP_FIELDS[field].type], field] as const,
      ),
      ...[...cells.values()].flatMap(
        (cell) =>
          [
            [`${cell.name}_x`, 'INT', cell.x],
            [`${cell.name}_y`, 'INT', cell.y],
          ] as const,
      ),
    ];
    const row = `CAST(ROW(${columns.map(([, , sql]) => sql).join(', ')}) AS ROW<${columns.map(([column, type]) => `${column} ${type}`).join(', ')}>)`;
    const records = `${name}_with_copies`;
    return [
      [
        `CREATE TEMPORARY VIEW ${records} AS`,
        `SELECT ${EVENT_TIME}, replay, trip_id, CASE WHEN replay IS NULL OR trip_id IS NULL THEN UUID() END AS no_id,`,
        `  ${row} AS trip`,
        `FROM ${source.name}`,
        `WHERE \`type\` = 'trip' AND dropoff_datetime IS NOT NULL AND ${TIME_COLUMNS[source.time]} IS NOT NULL`,
      ].join('\n'),
      [
        `CREATE TEMPORARY VIEW ${name} AS`,
        `SELECT window_time AS ${EVENT_TIME}, ${columns.map(([column]) => `trip.${column} AS ${column}`).join(', ')}`,
        `FROM (SELECT window_time, trip, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, replay, trip_id, no_id ORDER BY ${EVENT_TIME}) AS copy`,
        `  FROM TABLE(TUMBLE(TABLE ${records}, DESCRIPTOR(${EVENT_TIME}), ${interval(slice)})))`,
        'WHERE copy = 1',
      ].join('\n'),
    ];
  }

  /** The results of a view, of trips that have all parts of its key. */
  #grouped(view: View, trips: Trips, sql: FlinkExpressions): string {
    const { by, window, aggregates, having } = view;
    const keys = Object.keys(by).map((name, i) => [`key_${i + 1}`, nameSql(name)] as const);
    const results = Object.entries(aggregates).map(
      ([name, one]) => `${sql.aggregate(one)} AS ${nameSql(name)}`,
    );
    const after = having ? [`HAVING ${sql.condition(having, aggregates)}`] : [];
    // After these are printed, all cells that they use are known.
    const from = this.#keyedTrips(view, trips, sql);
    // Flink finds one column to part sessions by, so that of several keys is made of all of them.
    const isParted = window.kind === 'session' && keys.length > 1;
    const grouping = isParted ? ['session_key'] : keys.map(([key]) => key);
    const columns = [
      'window_start',
      'window_end',
      ...keys.map(([key, name]) => `${isParted ? `MIN(${key})` : key} AS ${name}`),
      ...results,
    ];
    return [
      `SELECT ${columns.join(', ')}`,
      `FROM TABLE(${windowSql(window, from, grouping[0])})`,
      `GROUP BY ${['window_start', 'window_end', ...grouping].join(', ')}`,
      ...after,
    ].join('\n');
  }

  /** Makes a view of the trips that a view of the user's takes, with its key as columns. */
  #keyedTrips({ name, window, where, by }: View, trips: Trips, sql: FlinkExpressions): string {
    const keys = Object.values(by).map((e) => sql.value(e));
    const names = keys.map((_, i) => `key_${i + 1}`);
    const columns = [
      EVENT_TIME,
      ...TRIP_FIELD_NAMES.filter((field) => trips.fields.has(field)),
      ...[...trips.cells.values()].flatMap(({ name: cell }) => [`${cell}_x`, `${cell}_y`]),
      ...keys.map((key, i) => `${key} AS ${names[i]}`),
    ];
    const lengthened = names.map(
      (key) => `CAST(CHAR_LENGTH(CAST(${key} AS STRING)) AS STRING) || ':' || CAST(${key} AS STRING)`,
    );
    const isParted = window.kind === 'session' && keys.length > 1;
    const lines = [
      `SELECT *${isParted ? `, ${lengthened.join(' || ')} AS session_key` : ''} FROM (`,
      `  SELECT ${columns.join(', ')}`,
      `  FROM ${trips.name}${where ? `\n  WHERE ${sql.condition(where)}` : ''}`,
      `)${keys.length > 0 ? ` WHERE ${names.map((key) => `${key} IS NOT NULL`).join(' AND ')}` : ''}`,
    ];
    const view = `trips_of_${name}`;
    this.#keyed.push(`CREATE TEMPORARY VIEW ${view} AS\n${lines.join('\n')}`);
    return view;
  }

  /** Ties go by key. */
  #ranked({ by, aggregates }: View, { n, by: groups = [], order, rank }: Top, inner: string): string {
    const partition = ['window_start', 'window_end', ...groups.map(nameSql)].join(', ');
    const ordered = order.map(({ name, descending }) => `${nameSql(name)}${descending ? ' DESC' : ''}`);
    const ties = Object.keys(by)
      .filter((name) => !order.some((one) => one.name === name))
      .map(nameSql);
    const name = nameSql(rank ?? freeName([...Object.keys(by), ...Object.keys(aggregates)]));
    return `SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY ${partition} ORDER BY ${[...ordered, ...ties].join(', ')}) AS ${name} FROM (\n${inner}\n)) WHERE ${name} <= ${n}`;
  }
}

function freeName(taken: readonly string[]): string {
  let name = 'place';
  while (taken.includes(name)) name += '_';
  return name;
}

function windowSql(window: Window, trips: string, partition: string | undefined): string {
  const time = `DESCRIPTOR(${EVENT_TIME})`;
  if (window.kind === 'session')
    return `SESSION(TABLE ${trips}${partition === undefined ? '' : ` PARTITION BY ${partition}`}, ${time}, ${interval(window.gap_ms)})`;
  const size = interval(window.size_ms);
  if (window.kind === 'tumbling') return `TUMBLE(TABLE ${trips}, ${time}, ${size})`;
  const [name, step] =
    window.kind === 'sliding' ? (['HOP', window.slide_ms] as const) : (['CUMULATE', window.step_ms] as const);
  return `${name}(TABLE ${trips}, ${time}, ${interval(step)}, ${size})`;
}

/** The longest span that windows are made of, ms. */
function sliceOf(window: Window): number {
  if (window.kind === 'session') return 1;
  return window.kind === 'sliding'
    ? window.slide_ms
    : window.kind === 'cumulating'
      ? window.step_ms
      : window.size_ms;
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

function refuseWindow({ name, window }: View): void {
  if (window.kind === 'session') return;
  if (window.kind === 'sliding' && window.size_ms % window.slide_ms !== 0)
    throw refused(name, "Flink's HOP takes a size of whole slides", 'choose a slide that divides the size');
  if (window.offset_ms && window.time_zone !== undefined)
    throw refused(
      name,
      'Flink loses trips of windows with an offset, which can only be got around in UTC',
      'leave out the offset or the time zone',
    );
}
