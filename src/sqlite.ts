/** SQLite as taxiflow opens it, with its errors in words a user can act on. */
import { rmSync } from 'node:fs';
import type BetterSqlite3 from 'better-sqlite3';
import { systemCode, TaxiflowError, translate, translating } from './errors.ts';
import { ensureFile, refuseLinks } from './private-files.ts';

// Version 13 needs Node-API 10 (Node.js 22.14) and crashes without a word on an older one; version 12, compiled for
// Node.js 24.19 or newer, aborts when a statement is collected.
const VERSION = Number(process.versions['napi']) >= 10 ? 'better-sqlite3' : 'better-sqlite3-12';

/** For what `openSqlite` doesn't do, such as locks; better-sqlite3 is imported here and nowhere else. */
export const Database: typeof BetterSqlite3 = await import(VERSION).then(
  (module) => module.default,
  (error) => {
    throw translate(error, 'better-sqlite3', VERSION);
  },
);

export type Sqlite = BetterSqlite3.Database;
export type Statement = BetterSqlite3.Statement;

export interface OpenOptions {
  /** What the file is, for messages: `the stream "x"`. */
  readonly what: string;
  readonly readonly?: boolean;
  /** Refuse a file that isn't there instead of making it. */
  readonly mustExist?: boolean;
  readonly pageSize?: number;
}

/** Opens a database in WAL mode, commits synced to disk; one it makes is its owner's alone. Throws `TaxiflowError`. */
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
    // An empty file would be taken for what it was made for.
    if (isMade) rmSync(path, { force: true });
    throw error;
  }
}

/** Where no index of the write-ahead log lies beside a file, a reader makes one. */
function unreadable(what: string, path: string): TaxiflowError {
  return new TaxiflowError(
    'not-writable',
    `SQLite can't even read ${what} in a folder that it can't write to: ${path}`,
    { hint: 'check the permissions of the folder, or copy it and name the copy with --data-dir' },
  );
}

/** Runs `work` in one write transaction that takes the write lock at once. */
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
