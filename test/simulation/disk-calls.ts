/**
 * What processes of a world ask of their disks: each call of a file or of SQLite goes to a model, which carries it out, refuses it,
 * or lets it be the last one. It must be loaded before anything of taxiflow.
 */
import fs from 'node:fs';
import files from 'node:fs/promises';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { resolve } from 'node:path';
import type BetterSqlite3 from 'better-sqlite3';
import { running } from './surroundings.ts';
import type { Process } from './world.ts';

export interface DiskCall {
  /** `make` is of a file, `name` of a folder or a link. `statement` is of SQLite, and changes nothing that lasts. */
  readonly what: 'commit' | 'statement' | 'close' | 'make' | 'name' | 'rename' | 'remove' | 'open' | 'read' | 'write' | 'cut' | 'sync';
  readonly path: string;
  readonly work: () => unknown;
  /** A write that breaks off. */
  readonly half?: () => unknown;
  /** The new name. */
  readonly to?: string;
  /** A write behind all that is there. */
  readonly appends?: boolean;
  readonly db?: BetterSqlite3.Database;
} // biome-ignore format: a list of kinds

/** What is asked by the processes of a world. */
export interface Disk {
  /** Where its files are; others are none of its business. */
  readonly root: string;
  call(call: DiskCall): unknown;
  /** Pages in the write-ahead log before SQLite carries them over. */
  readonly logPages: number;
}

let disk: Disk | undefined;

/** Puts a model below the file system; undefined takes it away. */
export function answerDisk(given: Disk | undefined): void {
  disk = given;
}

/** The model itself is at work. */
let isAtWork = false;

/** Asks the model, on behalf of the process that runs; one that is killed asks for nothing any more. */
function ask(call: DiskCall): unknown {
  const process = running();
  if (!process || isAtWork || !disk || !call.path.startsWith(disk.root)) return call.work();
  if (!process.alive) throw new Error('killed');
  isAtWork = true;
  try {
    return disk.call(call);
  } finally {
    isAtWork = false;
  }
}

type Method = (this: object, ...args: unknown[]) => unknown;

/** A killed process loses its databases, like anything that the system closes for it. */
function followDatabases(): void {
  // The same choice as in src/sqlite.ts.
  const name = Number(process.versions['napi']) >= 10 ? 'better-sqlite3' : 'better-sqlite3-12';
  const Database = createRequire(import.meta.url)(name) as typeof BetterSqlite3;
  const prototype = Database.prototype as unknown as Record<string, Method>;
  const close = prototype['close']!;
  /** How the last transaction of each was begun. */
  const begun = new WeakMap<object, string>();
  const { pragma } = prototype;
  for (const method of ['exec', 'prepare', 'pragma']) {
    const usual = prototype[method]!;
    prototype[method] = function (...args) {
      const process = running();
      const db = this as BetterSqlite3.Database;
      if (process && !process.alive) close.call(this);
      // Whatever opens one uses it at once.
      else process?.opened.set(this, () => close.call(this));
      const work = () => usual.apply(this, args);
      const text = String(args[0]);
      if (method === 'exec' && text.startsWith('BEGIN')) begun.set(this, text);
      // Others than these leave the file as it is.
      const commits = method === 'exec' && text === 'COMMIT' && begun.get(this) === 'BEGIN IMMEDIATE';
      if (text === 'ROLLBACK') return work();
      const made = ask({ what: commits ? 'commit' : 'statement', path: db.name, work, db });
      if (text === 'journal_mode = WAL' && process && disk)
        pragma!.call(this, `wal_autocheckpoint = ${disk.logPages}`);
      // Nobody else comes to anything meanwhile.
      if (text === 'locking_mode = EXCLUSIVE' && process) pragma!.call(this, 'busy_timeout = 0');
      return made;
    };
  }
  prototype['close'] = function () {
    const process = running();
    const isOpen = process?.opened.has(this);
    const work = () => {
      process?.opened.delete(this);
      return close.call(this);
    };
    const db = this as BetterSqlite3.Database;
    return isOpen && process!.alive ? ask({ what: 'close', path: db.name, work, db }) : work();
  };
  followStatements(new Database(':memory:').prepare('SELECT 1').constructor.prototype);
}

function followStatements(prototype: Record<string, Method>): void {
  for (const method of ['run', 'get', 'all', 'iterate']) {
    const usual = prototype[method]!;
    prototype[method] = function (...args) {
      const { database: db, reader } = this as BetterSqlite3.Statement;
      const commits = method === 'run' && !reader && !db.inTransaction && !db.readonly;
      const work = () => usual.apply(this, args);
      const made = ask({ what: commits ? 'commit' : 'statement', path: db.name, work, db });
      return method === 'iterate' ? followed(made as IterableIterator<unknown>) : made;
    };
  }
}

/** A database can't be closed while rows of it are read. */
function followed(rows: IterableIterator<unknown>): IterableIterator<unknown> {
  const of = running();
  of?.opened.set(rows, () => rows.return?.());
  return {
    next: () => {
      const next = rows.next();
      if (next.done) of?.opened.delete(rows);
      return next;
    },
    return: () => {
      of?.opened.delete(rows);
      return rows.return!();
    },
    [Symbol.iterator]() {
      return this;
    },
  };
}

/** A file that is open: by whom, and under which path it was opened. */
interface Open {
  readonly of: Process;
  readonly key: object;
  readonly path: string;
  readonly appends: boolean;
}

const opened = new Map<number, Open>();

const isNew = (path: string) => !fs.existsSync(path);

/** A killed process loses its files too. */
function followFiles(): void {
  const { openSync, closeSync, close } = fs;
  fs.openSync = (...args) => {
    const [given, flags] = args;
    const path = resolve(String(given));
    const of = running();
    if (!of) return openSync(...args);
    const makes =
      typeof flags === 'number' ? (flags & fs.constants.O_CREAT) !== 0 : /[wa]/.test(flags ?? 'r');
    const what = makes && isNew(path) ? 'make' : 'open';
    const file = ask({ what, path, work: () => openSync(...args) }) as number;
    const key = { path };
    opened.set(file, { of, key, path, appends: flags === 'a' });
    of.opened.set(key, () => fs.closeSync(file));
    return file;
  };
  const forget = (file: number) => {
    const known = opened.get(file);
    known?.of.opened.delete(known.key);
    opened.delete(file);
    streamed.delete(file);
  };
  fs.closeSync = (file) => {
    forget(file);
    closeSync(file);
  };
  // Streams close the file that they were given.
  fs.close = ((file: number, done?: () => void) => {
    forget(file);
    close(file, done);
  }) as typeof fs.close;
}

/** What is written to open files, and read from them. */
function followContents(): void {
  const { writeSync, ftruncateSync, readSync } = fs;
  const of = (file: number) => opened.get(file) ?? { path: '', appends: false };
  fs.writeSync = ((file: number, bytes: Uint8Array, at: number, length: number) => {
    const write = (length: number) => writeSync(file, bytes, at, length);
    const half = () => write(length >> 1);
    return ask({ what: 'write', ...pick(of(file)), work: () => write(length), half });
  }) as never;
  fs.ftruncateSync = (file, length) => {
    ask({ what: 'cut', path: of(file).path, work: () => ftruncateSync(file, length) });
  };
  fs.readSync = ((...args: Parameters<typeof readSync>) =>
    ask({ what: 'read', path: of(args[0]).path, work: () => readSync(...args) })) as never;
  for (const name of ['fsyncSync', 'fdatasyncSync'] as const) {
    const usual = fs[name];
    fs[name] = (file) => {
      ask({ what: 'sync', path: of(file).path, work: () => usual(file) });
    };
  }
  // Of streams; `args` ends with what is to be called.
  const calls = { write: 'write', writev: 'write', read: 'read', fsync: 'sync' } as const;
  for (const [name, what] of Object.entries(calls)) {
    const usual = fs[name as keyof typeof calls] as (...args: unknown[]) => void;
    (fs as unknown as Record<string, unknown>)[name] = (file: number, ...args: unknown[]) => {
      const done = args.at(-1) as (error: unknown) => void;
      telling(done, (begun) => {
        const work = () => {
          begun();
          usual(file, ...args);
        };
        ask({ what, path: streamed.get(file) ?? of(file).path, work });
      });
    };
  }
}

/** Tells what a call has thrown, unless it was begun: then that is told. */
function telling(done: (error: unknown) => void, call: (begun: () => void) => void): void {
  let isBegun = false;
  try {
    call(() => {
      isBegun = true;
    });
  } catch (error) {
    if (!isBegun) process.nextTick(done, error);
  }
}

const pick = ({ path, appends }: Pick<Open, 'path' | 'appends'>) => ({ path, appends });

/** Files that streams have opened by themselves. */
const streamed = new Map<number, string>();

/** Names, and what is read or written whole. */
function followNames(): void {
  const { mkdirSync, renameSync, linkSync, rmSync, writeFileSync, readFileSync, open } = fs;
  fs.mkdirSync = ((given: string, options?: fs.MakeDirectoryOptions) => {
    const path = resolve(given);
    const work = () => mkdirSync(given, options);
    return isNew(path) ? ask({ what: 'name', path, work }) : work();
  }) as never;
  fs.renameSync = (from, to) => {
    const [path, name] = [resolve(String(from)), resolve(String(to))];
    ask({ what: 'rename', path, to: name, work: () => renameSync(from, to) });
  };
  fs.linkSync = (from, to) => {
    ask({ what: 'name', path: resolve(String(to)), work: () => linkSync(from, to) });
  };
  fs.rmSync = (path, options) => {
    if (isNew(String(path))) rmSync(path, options);
    else ask({ what: 'remove', path: resolve(String(path)), work: () => rmSync(path, options) });
  };
  fs.writeFileSync = ((given: string | number, text: string, options: fs.WriteFileOptions) => {
    if (typeof given === 'number') return fs.writeSync(given, Buffer.from(text), 0, Buffer.byteLength(text));
    const path = resolve(given);
    const work = (text: string) => () => writeFileSync(given, text, options);
    // It is two calls of the system.
    if (isNew(path)) ask({ what: 'make', path, work: work('') });
    else if ((options as { flag?: string } | undefined)?.flag === 'wx') work(text)();
    const written = () => writeFileSync(given, text, { ...(options as object), flag: 'w' });
    ask({ what: 'write', path, work: written, half: work(text.slice(0, text.length >> 1)) });
  }) as never;
  fs.readFileSync = ((...args: Parameters<typeof readFileSync>) =>
    ask({ what: 'read', path: resolve(String(args[0])), work: () => readFileSync(...args) })) as never;
  fs.open = ((given: string, ...args: unknown[]) => {
    const done = args.pop() as (error: unknown, file?: number) => void;
    const path = resolve(given);
    const noted = (error: unknown, file?: number) => {
      if (file !== undefined) streamed.set(file, path);
      done(error, file);
    };
    telling(done, (begun) => {
      const work = () => {
        begun();
        (open as (...args: unknown[]) => void)(given, ...args, noted);
      };
      ask({ what: /[wa]/.test(String(args[0])) && isNew(path) ? 'make' : 'open', path, work });
    });
  }) as never;
}

/** The files of promises. */
function followHandles(): void {
  const usual = files.open;
  files.open = async (...args) => {
    const of = running();
    if (!of) return usual(...args);
    const path = resolve(String(args[0]));
    const what = /[wa]/.test(String(args[1] ?? 'r')) && isNew(path) ? 'make' : 'open';
    const work = async () => {
      const file = await usual(...args);
      if (of.alive) return file;
      await file.close();
      throw new Error('killed');
    };
    const file = await (ask({ what, path, work }) as ReturnType<typeof work>);
    const close = file.close.bind(file);
    of.opened.set(file, () => void close());
    file.close = () => {
      of.opened.delete(file);
      return close();
    };
    const kinds = { writeFile: 'write', read: 'read', sync: 'sync' } as const;
    for (const [name, what] of Object.entries(kinds)) {
      const method = (file[name as keyof typeof kinds] as Method).bind(file);
      Object.assign(file, {
        [name]: async (...args: unknown[]) =>
          ask({
            what,
            path,
            work: () => method(...args),
            ...(name === 'writeFile' ? { half: () => method((args[0] as Buffer).subarray(0, 100)) } : {}),
          }),
      });
    }
    return file;
  };
}

followDatabases();
followFiles();
followContents();
followNames();
followHandles();
syncBuiltinESMExports();
