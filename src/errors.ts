import type { ErrorCode } from './error-codes.ts';

export type { ErrorCode };

/** Exit codes of the command line. */
export const EXIT = { done: 0, failed: 1, usage: 2, rejected: 3, takenOver: 4, interrupted: 130 } as const;

export interface ErrorDetails {
  /** What the user can do next; printed as `Try: …`. */
  readonly hint?: string;
  readonly exitCode?: number;
  readonly cause?: unknown;
}

/** An error that the user can act on: a stable `code`, one clear message, a hint, and the exit code of the command line. */
export class TaxiflowError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly exitCode: number;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'TaxiflowError';
    this.code = code;
    this.hint = details.hint;
    this.exitCode = details.exitCode ?? EXIT.failed;
  }
}

/** An error as it can be sent from one thread to another. */
export interface PlainError {
  /** Undefined for an error that isn't a `TaxiflowError`. */
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly hint: string | undefined;
  readonly exitCode: number;
  readonly stack: string | undefined;
}

export function toPlainError(error: unknown): PlainError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  if (!(error instanceof TaxiflowError))
    return { code: undefined, message, hint: undefined, exitCode: EXIT.failed, stack };
  const { code, hint, exitCode } = error;
  return { code, message, hint, exitCode, stack };
}

/** The error that another thread sent. */
export function thrownAgain({ code, message, hint, exitCode, stack }: PlainError): Error {
  if (code) return new TaxiflowError(code, message, { exitCode, ...(hint === undefined ? {} : { hint }) });
  const error = new Error(message);
  if (stack) error.stack = stack;
  return error;
}

/** An error in how a command or function was called; exit code 2. */
export function usageError(message: string, hint?: string): TaxiflowError {
  return new TaxiflowError('usage', message, { exitCode: EXIT.usage, ...(hint ? { hint } : {}) });
}

/** The system error code (`ENOENT`, `SQLITE_FULL`, …) of an unknown error, if it has one. */
export function systemCode(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}

/** Runs `work`; translates errors of SQLite and the file system (see `translate`). */
export function translating<T>(what: string, path: string, work: () => T, option?: string): T {
  try {
    return work();
  } catch (error) {
    throw translate(error, what, path, option);
  }
}

/** SHMSIZE: no room for the index of the write-ahead log, which even a reader creates. */
const NO_ROOM = new Set(['SQLITE_FULL', 'SQLITE_IOERR_WRITE', 'SQLITE_IOERR_SHMSIZE', 'ENOSPC', 'EDQUOT']);

/** A package that was installed with another Node.js or without its install scripts. */
const UNLOADABLE = new Set(['ERR_DLOPEN_FAILED', 'ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND']);

/**
 * Translates an error of SQLite or the file system to a `TaxiflowError` about `what`; returns other errors unchanged.
 * `option` is the option that sets the location of `what`.
 */
export function translate(error: unknown, what: string, path: string, option = '--data-dir'): unknown {
  if (error instanceof TaxiflowError) return error;
  const code = systemCode(error) ?? '';
  const failure = (id: ErrorCode, message: string, hint: string) =>
    new TaxiflowError(id, `${message}: ${path}`, { hint, cause: error });
  const notFound = error instanceof Error && /^Could not locate the bindings file/.test(error.message);
  if (UNLOADABLE.has(code) || notFound) {
    return new TaxiflowError(
      'native-part',
      `the native part of better-sqlite3 is missing, or was built for another Node.js than this one, ${process.version}`,
      {
        hint: '"npm install" and "npm rebuild" with this Node.js; in a clone "npm run demo" or "npm test"',
        cause: error,
      },
    );
  }
  // All statements are fixed and tested, so SQLITE_ERROR means that the file has another schema.
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB' || code === 'SQLITE_ERROR') {
    return failure(
      'corrupt',
      `${what} is damaged`,
      'restore a backup of the file, or move it away and start over',
    );
  }
  if (NO_ROOM.has(code)) {
    return failure(
      'disk-full',
      `no room on the disk for ${what}`,
      'free some space and run the same command again; everything committed is kept',
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
      `check that the folder exists and is writable, or choose another with ${option}`,
    );
  }
  if (code === 'EPIPE') {
    return failure(
      'not-read',
      `the reader of ${what} has gone away`,
      'run the same command again: it continues after the results that were delivered',
    );
  }
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return failure('busy', `${what} is locked by another process`, 'wait for the other process to finish');
  }
  if (code === 'EMFILE' || code === 'ENFILE') {
    return failure('too-many-files', `${what} would be one open file too many`, 'raise "ulimit -n"');
  }
  if (code.startsWith('SQLITE_IOERR') || code === 'EIO') {
    return failure('io-error', `${what} can't be read or written (${code})`, 'check the disk');
  }
  return error;
}
