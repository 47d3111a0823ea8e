/**
 * The results of each view as a table of its own: an SQL view over the outbox that any SQLite tool can read. A result is
 * there once, in its latest version. Other code reads results in `results.ts`; nothing but queries depends on these.
 */
import type { Sqlite } from '../sqlite.ts';
import { resultTypes } from '../views/check.ts';
import { RETRACTED, type ValueType, type View, type Window } from '../views/language.ts';

/** The SQL view of a view of the job. */
export interface ResultTable {
  readonly name: string;
  /** Name of the view. */
  readonly view: string;
  readonly columns: readonly { readonly name: string; readonly type: ColumnType }[];
  /** Its statement, as SQLite stores it. */
  readonly sql: string;
}

type ColumnType = 'INTEGER' | 'REAL' | 'TEXT';

const TYPES: Readonly<Record<ValueType, ColumnType>> = {
  integer: 'INTEGER',
  number: 'REAL',
  string: 'TEXT',
  time: 'TEXT',
  // The checker lets no key or aggregate be a boolean.
  boolean: 'TEXT',
};

/** Tells these SQL views from those that somebody else made in the file. */
const MARK = '/* made by taxiflow */';
/** Names that SQLite keeps to itself, or that statements on a state need in their usual meaning. */
const KEPT_NAMES = /^(sqlite_|pragma_|jsonb?_(each|tree)$)/;

/** The tables of the views of a job, by their names: that of the view, with `_results` behind it where it is taken. */
export function resultTables(db: Sqlite, views: readonly View[]): ResultTable[] {
  const foreign = db.prepare('SELECT lower(name) FROM sqlite_schema WHERE instr(sql, ?) = 0 OR sql IS NULL');
  const taken = new Set(foreign.pluck().all(MARK) as string[]);
  const isFree = (name: string) => !taken.has(name) && !KEPT_NAMES.test(name) && !isWord(db, name);
  const names = new Map<string, string>();
  const give = (view: string, name: string) => {
    names.set(view, name);
    taken.add(name);
  };
  // A view that can have its own name has it, whatever another one gets.
  for (const { name } of views) if (isFree(name)) give(name, name);
  for (const { name } of views) {
    if (names.has(name)) continue;
    const base = `${name.replace(KEPT_NAMES, 'view_$&')}_results`;
    let free = base;
    for (let i = 2; !isFree(free); i++) free = `${base}_${i}`;
    give(name, free);
  }
  return views.map((view) => tableOf(view, names.get(view.name)!));
}

/** Whether SQL takes a name for one of its words, such as `order`. */
function isWord(db: Sqlite, name: string): boolean {
  try {
    db.prepare(`WITH ${name} AS (SELECT 1) SELECT 1 FROM ${name}`);
    return false;
  } catch {
    return true;
  }
}

/** Makes the SQL views in the file of a state; those that are as they should be are left alone. */
export function makeResultViews(db: Sqlite, views: readonly View[]): void {
  const wanted = new Map(resultTables(db, views).map(({ name, sql }) => [name, sql]));
  const found = madeViews(db);
  if (found.size === wanted.size && [...wanted].every(([name, sql]) => found.get(name) === sql)) return;
  db.transaction(() => {
    dropResultViews(db);
    for (const sql of wanted.values()) db.exec(sql);
  })();
}

/** Takes the SQL views out of a file: tables that a migration makes may need their names, and a copy has no use for them. */
export function dropResultViews(db: Sqlite): void {
  for (const name of madeViews(db).keys()) db.exec(`DROP VIEW ${quoted(name)}`);
}

/** Makes the SQL views for this connection alone, which may be read-only. */
export function makeTemporaryViews(db: Sqlite, tables: readonly ResultTable[]): void {
  for (const { name, sql } of tables) {
    db.exec(`DROP VIEW IF EXISTS temp.${quoted(name)}`);
    db.exec(sql.replace('CREATE', 'CREATE TEMP'));
  }
}

function madeViews(db: Sqlite): Map<string, string> {
  const rows = db.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'view' AND instr(sql, ?) > 0");
  return new Map((rows.all(MARK) as { name: string; sql: string }[]).map(({ name, sql }) => [name, sql]));
}

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;

function tableOf(view: View, name: string): ResultTable {
  const fields = resultTypes(view).map(([field, type]) => ({ name: field, type: TYPES[type] }));
  const times = ['window_start', 'window_end', 'timestamp'].map((time) => ({
    name: time,
    type: 'TEXT' as const,
  }));
  return { name, view: view.name, columns: [...times, ...fields], sql: statementOf(view, name, fields) };
}

/**
 * The latest version of a result is that of the last correction with its key; most windows have none. A time that follows
 * from what lists know the window by is computed from that: a condition on it then leaves whole windows unread.
 */
function statementOf(view: View, name: string, fields: ResultTable['columns']): string {
  const valueIn = (doc: string, field: string) => `json_extract(${doc}, ${literal(`$."${field}"`)})`;
  const columnsOf = (label: string, doc: string, uncast?: string) =>
    [
      ...Object.entries(timesOf(view.window, label)).map(([time, ms]) => {
        const text = ms === undefined ? valueIn(doc, time) : isoText(ms);
        return `${time === uncast ? text : `CAST(${text} AS TEXT)`} AS ${quoted(time)}`;
      }),
      ...fields.map((field) => `CAST(${valueIn(doc, field.name)} AS ${field.type}) AS ${quoted(field.name)}`),
    ].join(',\n  ');
  const keys = Object.keys(view.by).map((field) => valueIn('d.value', field));
  const key = `json_array(${['f.window_start', ...keys].join(', ')})`;
  const firings = `FROM firings f, json_each(f.docs) d WHERE f.view = ${literal(view.name)}`;
  // Of one column the two parts differ in affinity, which keeps SQLite from joining tables part by part: it has no index for parts.
  const corrected = columnsOf('label', 'doc', 'timestamp');
  return `CREATE VIEW ${quoted(name)} AS ${MARK}
WITH corrected AS MATERIALIZED (
  SELECT f.window_start AS label, ${key} AS key, max(f.first + d.key) AS number, d.value AS doc
  ${firings} AND f.correction = 1 GROUP BY 2
)
SELECT
  ${columnsOf('f.window_start', 'd.value')}
${firings} AND f.correction = 0
  AND (f.window_start NOT IN (SELECT label FROM corrected) OR ${key} NOT IN (SELECT key FROM corrected))
UNION ALL SELECT
  ${corrected}
FROM corrected WHERE ${valueIn('doc', RETRACTED)} IS NULL`;
}

/** The times of a window as SQL for epoch ms, from what lists know it by; undefined where only its results have them. */
function timesOf(window: Window, label: string) {
  const [start, end] = boundsOf(window, label);
  return { window_start: start, window_end: end, timestamp: end && `${end} - 1` };
}

function boundsOf(window: Window, label: string): [start: string | undefined, end: string | undefined] {
  if (window.kind === 'session') return [undefined, undefined];
  const { offset_ms = 0, size_ms, time_zone } = window;
  if (window.kind !== 'cumulating')
    return [label, time_zone === undefined ? `${label} + ${size_ms}` : undefined];
  if (time_zone !== undefined) return [undefined, undefined];
  // The remainder of what is before the offset is negative.
  const since = `((${label} - (${offset_ms})) % ${size_ms} + ${size_ms}) % ${size_ms}`;
  return [`${label} - ${since}`, `${label} + ${window.step_ms}`];
}

/** The years from 0000 to 9999, in which SQLite knows times, and the span after which the calendar repeats itself; ms. */
const FIRST_MS = -62_167_219_200_000;
const LAST_MS = 253_402_300_799_999;
const CYCLE_MS = 146_097 * 86_400_000;
const CYCLE_YEARS = 400;

/** ISO 8601 as results have it: other years have a sign and six digits. */
function isoText(ms: string): string {
  const at = (format: string, of: string) => `strftime('${format}', (${of}) / 1000.0, 'unixepoch')`;
  const inCycle = `((${ms}) % ${CYCLE_MS} + ${CYCLE_MS}) % ${CYCLE_MS}`;
  const year = `${at('%Y', inCycle)} + ${CYCLE_YEARS} * ((${ms} - ${inCycle}) / ${CYCLE_MS})`;
  return `CASE WHEN ${ms} BETWEEN ${FIRST_MS} AND ${LAST_MS} THEN ${at('%Y-%m-%dT%H:%M:%fZ', ms)}
    ELSE printf('%+07d', ${year}) || ${at('-%m-%dT%H:%M:%fZ', inCycle)} END`;
}
