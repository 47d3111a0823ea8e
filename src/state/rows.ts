/**
 * Rows of a state, checked: what is read back is held against a CRC-32 that covers the row with its key, so that a damaged
 * file is never taken for data.
 */
import { crc32 } from 'node:zlib';
import { systemCode, TaxiflowError, translate, translating } from '../errors.ts';
import { type Sqlite, type Statement, transaction } from '../sqlite.ts';
import { inodeOf } from './files.ts';

export type RowKey = readonly (string | number | null)[];

/** Checksum of a row: its key and what goes with it, then its content. */
export function rowCrc(key: RowKey, content: string | Uint8Array): number {
  return crc32(content, crc32(JSON.stringify(key)));
}

/** Of a row: what SQLite reports of a page. */
export function corruptRow(why: string): Error {
  return Object.assign(new Error(why), { code: 'SQLITE_CORRUPT' });
}

/** One open state file: reads and writes its rows, and says of which state an error is. */
export class StateRows {
  readonly db: Sqlite;
  /** The state in words, for messages. */
  readonly what: string;
  readonly path: string;
  /** Which file was opened: what is committed to one that was deleted or moved is lost. */
  readonly #inode: bigint | undefined;

  constructor(db: Sqlite, what: string, path: string) {
    this.db = db;
    this.what = what;
    this.path = path;
    this.#inode = inodeOf(path);
  }

  prepare(sql: string): Statement {
    return this.db.prepare(sql);
  }

  /** Runs `work`; an error of SQLite comes out as one about this state. */
  attempt<T>(work: () => T): T {
    return translating(this.what, this.path, work);
  }

  /** Runs `work` in one transaction. */
  transaction<T>(work: () => T): T {
    return this.attempt(() => transaction(this.db, work));
  }

  /** Throws `damaged` where a row differs from its checksum. */
  verify(crc: number, key: RowKey, content: string | Uint8Array, part: string): void {
    if (rowCrc(key, content) !== crc) throw this.damage(`${part} differ from their checksum`);
  }

  damage(detail: string): TaxiflowError {
    return damage(this.what, this.path, detail);
  }

  /** Throws `state-gone` once the file has lost its name (C4). */
  refuseGone(): void {
    if (this.#inode !== undefined && inodeOf(this.path) === this.#inode) return;
    throw new TaxiflowError(
      'state-gone',
      `${this.what} was deleted or moved while it was in use: ${this.path}`,
      {
        hint: 'put it back, with the files -wal and -shm beside it, or run the same command again to begin afresh',
      },
    );
  }
}

export function damage(what: string, path: string, detail: string): TaxiflowError {
  return new TaxiflowError('damaged', `${what} is damaged (${detail}): ${path}`, {
    hint: 'nothing was changed; put back a copy of the file, or move it away and process the stream again from its start',
  });
}

/** An error met while a state is opened; damage says that nothing was changed. */
export function openingError(error: unknown, what: string, path: string): unknown {
  const code = systemCode(error) ?? '';
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB' || code === 'SQLITE_ERROR')
    return damage(what, path, (error as Error).message);
  return translate(error, what, path);
}
