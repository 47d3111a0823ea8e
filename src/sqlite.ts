/** Opens SQLite databases and translates their errors. */
import { rmSync } from 'node:fs';
import type BetterSqlite3 from 'better-sqlite3';
import { systemCode, TaxiflowError, translate, translating } from './errors.ts';
import { ensureFile, refuseLinks } from './private-files.ts';

// Version 13 needs Node-API 10 (Node.js 22.14) and silently crashes on an older one. Version 12, compiled for Node.js
// 24.19 or newer, aborts when a statement is garbage-collected.
const VERSION = Number(process.versions['napi']) >= 10 ? 'better-sqlite3' : 'better-sqlite3-12';

/** For uses that `openSqlite` doesn't cover, such as locks. This is the only import of better-sqlite3. */
export const Database: typeof BetterSqlite3 = await import(VERSION).then(
  (module) => module.default,
  (error) => {
    throw translate(error, 'better-sqlite3', VERSION);
  },
);

export type Sqlite = BetterSqlite3.Database;
export type Statement = BetterSqlite3.Statement;

export interface OpenOptions {
  /** The file's name in messages: `the stream "x"`. */
  readonly what: string;
  readonly readonly?: boolean;
  /** Refuse a missing file instead of creating it. */
  readonly mustExist?: boolean;
  /** Bytes. */
  readonly pageSize?: number;
}

/** The format number that a database says it has; 0 for one that is new. */
export function formatOf(db: Sqlite): number {
  return db.pragma('user_version', { simple: true }) as number;
}

/** Refuses a database of a later format than `known`. Throws `newer-format`. */
export function refuseNewerFormat(db: Sqlite, what: string, known: number, instead: string): void {
  const format = formatOf(db);
  if (format <= known) return;
  throw new TaxiflowError('newer-format', `${what} has format ${format}, this taxiflow reads ${known}`, {
    hint: `use the taxiflow that wrote it, or ${instead}`,
  });
}

/** Opens a database in WAL mode with commits synced to disk. A new one is private to its owner. Throws `TaxiflowError`. */
export function openSqlite(path: string, options: OpenOptions): Sqlite {
  return translating(options.what, path, () => {
    refuseLinks(path, options.what);
    const isMade = !options.readonly && !options.mustExist && ensureFile(path);
    const db = opened(path, options, isMade);
    try {
      if (!options.readonly) {
        if (options.pageSize) db.pragma(`page_size = ${options.pageSize}`);
        db.pragma('journal_mode = WAL');
        db.pragma('synchronous = FULL');
      }
      db.prepare('SELECT count(*) FROM sqlite_schema').get();
    } catch (error) {
      db.close();
      throw systemCode(error) === 'SQLITE_READONLY_DIRECTORY' && options.readonly
        ? unreadable(options.what, path)
        : error;
    }
    return db;
  });
}

function opened(path: string, { readonly = false, mustExist = false }: OpenOptions, isMade: boolean): Sqlite {
  try {
    return new Database(path, { readonly, fileMustExist: readonly || mustExist, timeout: 15_000 });
  } catch (error) {
    // Don't leave an empty file that looks like a database.
    if (isMade) rmSync(path, { force: true });
    throw error;
  }
}

/** A reader creates the index of the write-ahead log if there is none, which fails in a read-only folder. */
function unreadable(what: string, path: string): TaxiflowError {
  return new TaxiflowError(
    'not-writable',
    `SQLite can't even read ${what} in a folder that it can't write to: ${path}`,
    { hint: 'check the permissions of the folder, or set --data-dir to a copy of it' },
  );
}

/** Runs `work` in one transaction that takes the write lock at once. */
export function transaction<T>(db: Sqlite, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    if (db.inTransaction) db.exec('ROLLBACK');
    throw error;
  }
}
