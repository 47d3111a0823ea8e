/**
 * Queries in SQL over the results in a state. A query is one statement that changes nothing; SQLite refuses the rest: the file is
 * open for reading only, and a statement that opens another one returns no rows.
 */
import { EXIT, systemCode, TaxiflowError, translate, usageError } from '../errors.ts';
import type { Sqlite, Statement } from '../sqlite.ts';
import { didYouMean } from '../suggest.ts';
import { makeTemporaryViews, type ResultTable } from './result-views.ts';

/** An integer too large for a double is its digits, a blob is its bytes in hex, an infinite number its name. */
export type Value = string | number | null;

export interface Query {
  /** Names of the columns, each another one. */
  readonly columns: readonly string[];
  /** SQLite's types of the values of a row, and the row as it is written. They are read as they are asked for. */
  rows(): Generator<{ readonly values: readonly Value[]; readonly types: readonly ValueKind[] }>;
}

export type ValueKind = 'INTEGER' | 'REAL' | 'TEXT' | 'BLOB' | 'NULL';

export interface QueryOptions {
  /** The state in words, for messages. */
  readonly what: string;
  /** Refuse other tables than those of views, and sort in memory instead of in files. */
  readonly isConfined?: boolean | undefined;
}

/** Prepares a query over the tables of views. Throws `usage` and `bad-query`; so does reading its rows. */
export function prepareQuery(
  db: Sqlite,
  tables: readonly ResultTable[],
  sql: string,
  { what, isConfined = false }: QueryOptions,
): Query {
  const attempt = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw queryError(error, tables, sql, { what, path: db.name });
    }
  };
  refuseOtherStatements(sql);
  const statement = attempt(() => {
    if (isConfined) db.pragma('temp_store = MEMORY');
    makeTemporaryViews(db, tables);
    const prepared = db.prepare(sql);
    if (!prepared.readonly || !prepared.reader)
      throw usageError('the statement would change something', ONLY_QUERIES);
    if (isConfined) refuseOtherTables(db, tables, sql);
    return prepared.bind().raw().safeIntegers();
  });
  return {
    columns: distinctNames(statement.columns().map(({ name }) => name)),
    rows: () => rowsOf(statement, attempt),
  };
}

function* rowsOf(statement: Statement, attempt: <T>(work: () => T) => T): ReturnType<Query['rows']> {
  const found = attempt(() => statement.iterate()) as IterableIterator<unknown[]>;
  try {
    for (;;) {
      const next = attempt(() => found.next());
      if (next.done) return;
      const row = next.value;
      yield attempt(() => ({ values: row.map(plain), types: row.map(kindOf) }));
    }
  } finally {
    found.return?.();
  }
}

function plain(value: unknown): Value {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : (value as string | null);
}

function kindOf(value: unknown): ValueKind {
  if (typeof value === 'bigint') return 'INTEGER';
  if (typeof value === 'number') return 'REAL';
  if (typeof value === 'string') return 'TEXT';
  return value === null ? 'NULL' : 'BLOB';
}

/** `a`, `a` → `a`, `a_2`. */
function distinctNames(names: readonly string[]): string[] {
  const given = new Set(names);
  const used = new Set<string>();
  return names.map((name) => {
    let free = name;
    for (let i = 2; used.has(free); i++) if (!given.has(`${name}_${i}`)) free = `${name}_${i}`;
    used.add(free);
    return free;
  });
}

const ONLY_QUERIES = 'a query is one statement that begins with SELECT, WITH or VALUES, and changes nothing';
/** White space and comments before a statement. */
const BEFORE = /^(?:\s|;|--[^\n]*|\/\*[\s\S]*?\*\/)*/;

function refuseOtherStatements(sql: string): void {
  const [word = ''] = /^\w*/.exec(sql.replace(BEFORE, '')) ?? [];
  if (/^(select|with|values)$/i.test(word)) return;
  if (word === '') throw usageError('there is no query in the text', ONLY_QUERIES);
  throw usageError(`${word.slice(0, 64).toUpperCase()} is not a query`, ONLY_QUERIES);
}

/** Looks at which tables and indexes the program of a query opens. */
function refuseOtherTables(db: Sqlite, tables: readonly ResultTable[], sql: string): void {
  const program = db
    .prepare(`EXPLAIN ${sql.replace(BEFORE, '')}`)
    .bind()
    .all() as {
    opcode: string;
    p2: number;
    p3: number;
  }[];
  const roots = db.prepare("SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'firings' AND rootpage > 0");
  const read = new Set([SCHEMA_ROOT, ...(roots.pluck().all() as number[])]);
  const other = program.find(
    ({ opcode, p2, p3 }) => /^(Open(Read|Write)|ReopenIdx)$/.test(opcode) && p3 === MAIN && !read.has(p2),
  );
  if (other)
    throw new TaxiflowError('bad-query', 'only the tables of views can be read here', {
      hint: `the tables are ${listed(tables)}; "taxiflow query" reads the others too`,
      exitCode: EXIT.usage,
    });
}

/** The root page of `sqlite_schema`, and the number of the file among those of a connection. */
const SCHEMA_ROOT = 1;
const MAIN = 0;

const listed = (tables: readonly ResultTable[]) => tables.map(({ name }) => name).join(', ');

/** An error of a query as one that its author can act on. */
function queryError(
  error: unknown,
  tables: readonly ResultTable[],
  sql: string,
  file: { readonly what: string; readonly path: string },
): unknown {
  if (error instanceof TaxiflowError || !(error instanceof Error)) return error;
  const code = systemCode(error) ?? '';
  if (code === 'ERR_STRING_TOO_LONG' || code === 'SQLITE_TOOBIG')
    return badQuery('a value of the query is too long', 'take a part of it with substr()');
  if (code === 'SQLITE_NOMEM')
    return badQuery('the query needs more memory than there is', 'select fewer rows or columns');
  if (code === '') return misuse(error);
  if (!/^SQLITE_(ERROR|MISMATCH|RANGE|CONSTRAINT)/.test(code)) return translate(error, file.what, file.path);
  return mistake(error.message, tables, sql);
}

/** Of better-sqlite3, which has no codes for them. */
function misuse(error: Error): unknown {
  if (/more than one statement/.test(error.message))
    return usageError('there is more than one statement', ONLY_QUERIES);
  if (/no statements/.test(error.message)) return usageError('there is no query in the text', ONLY_QUERIES);
  if (/parameter/i.test(error.message))
    return usageError('the query has parameters, which have no values here', 'write the values into it');
  return error;
}

function mistake(message: string, tables: readonly ResultTable[], sql: string): TaxiflowError {
  const [, table] = /^no such table: (?:main\.|temp\.)?(.*)$/s.exec(message) ?? [];
  if (table !== undefined) {
    const meant = didYouMean(
      table,
      tables.map(({ name }) => name),
    );
    return badQuery(`there is no table ${table}${meant}`, `the tables are ${listed(tables)}`);
  }
  const [, word] = /^near "(\w+)": syntax error$/.exec(message) ?? [];
  if (word !== undefined) return badQuery(message, `if ${word} is meant as a name, put it in double quotes`);
  const [, column] = /^no such column: (?:\w+\.)?"?(\w+)/.exec(message) ?? [];
  if (column === undefined) return badQuery(message, `the tables are ${listed(tables)}`);
  const words = new Set(sql.toLowerCase().match(/\w+/g));
  const named = tables.filter(({ name }) => words.has(name));
  const columns = [...new Set((named.length > 0 ? named : tables).flatMap((one) => one.columns))].map(
    ({ name }) => name,
  );
  const known = [...new Set(columns)];
  return badQuery(`${message}${didYouMean(column, known)}`, `the columns are ${known.join(', ')}`);
}

function badQuery(message: string, hint: string): TaxiflowError {
  return new TaxiflowError('bad-query', message, { hint, exitCode: EXIT.usage });
}
