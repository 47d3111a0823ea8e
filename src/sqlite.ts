/** SQLite as taxiflow opens it, with its errors in words a user can act on. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import { systemCode, TaxiflowError } from './errors.ts';

export type Sqlite = Database.Database;
export type Statement = Database.Statement;

export interface OpenOptions {
  /** What the file is, for messages: `the stream "x"`. */
  readonly what: string;
  readonly readonly?: boolean;
  /** Refuse a file that isn't there instead of making it. */
  readonly mustExist?: boolean;
  readonly pageSize?: number;
}

/** Opens a database in WAL mode, commits synced to disk. Throws `TaxiflowError`. */
export function openSqlite(path: string, options: OpenOptions): Sqlite {
  return translating(options.what, path, () => {
    if (!options.readonly && !options.mustExist) mkdirSync(dirname(path), { recursive: true });
    const db = new Database(path, {
      readonly: options.readonly ?? false,
      fileMustExist: options.readonly || options.mustExist || false,
      timeout: 15_000,
    });
    try {
      if (!options.readonly) {
        if (options.pageSize) db.pragma(`page_size = ${options.pageSize}`);
        db.pragma('journal_mode = WAL');
        db.pragma('synchronous = FULL');
      }
      db.prepare('SELECT count(*) FROM sqlite_schema').get();
    } catch (error) {
      db.close();
      throw error;
    }
    return db;
  });
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

/** Runs `work`; an error of SQLite or the file system comes out as a `TaxiflowError` about `what`. */
export function translating<T>(what: string, path: string, work: () => T, option?: string): T {
  try {
    return work();
  } catch (error) {
    throw translate(error, what, path, option);
  }
}

/** `option` is the one that says where `what` lies. */
export function translate(error: unknown, what: string, path: string, option = '--data-dir'): unknown {
  if (error instanceof TaxiflowError) return error;
  const code = systemCode(error) ?? '';
  const failure = (id: string, message: string, hint: string) =>
    new TaxiflowError(id, `${message}: ${path}`, { hint, cause: error });
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') {
    return failure(
      'corrupt',
      `${what} is damaged`,
      'put back a copy of the file, or move it away and start afresh',
    );
  }
  if (code === 'SQLITE_FULL' || code === 'ENOSPC' || code === 'EDQUOT' || code === 'SQLITE_IOERR_WRITE') {
    return failure(
      'disk-full',
      `no room on the disk for ${what}`,
      'free some space; what was committed is kept, then run the same command again',
    );
  }
  if (code.startsWith('SQLITE_READONLY') || code === 'EROFS' || code === 'EACCES' || code === 'EPERM') {
    return failure(
      'not-writable',
      `${what} can't be written`,
      `check the permissions, or choose another place with ${option}`,
    );
  }
  if (
    code.startsWith('SQLITE_CANTOPEN') ||
    code === 'ENOENT' ||
    code === 'ENOTDIR' ||
    code === 'EEXIST' ||
    code === 'EISDIR'
  ) {
    return failure(
      'cannot-open',
      `${what} can't be opened`,
      `check that the folder exists and may be written, or choose another with ${option}`,
    );
  }
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return failure('busy', `${what} is locked by another process`, 'wait for the other process to finish');
  }
  if (code.startsWith('SQLITE_IOERR')) {
    return failure('io-error', `${what} can't be read or written (${code})`, 'check the disk');
  }
  return error;
}
