/**
 * The disks of the machines. A call may be the last one of its process, fail, or be the moment in which a machine loses its power.
 * Then a disk has what was synced, and of the rest what the sectors happen to hold: bytes and names that were never synced may be
 * as they were before, half there, zeros or rubbish. A killed process leaves the logs of its databases as they are.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type BetterSqlite3 from 'better-sqlite3';
import type { Random } from '../random.ts';
import type { Disk, DiskCall } from './disk-calls.ts';
import type { Faults, KINDS } from './faults.ts';
import { running } from './surroundings.ts';
import type { Machine, Process, World } from './world.ts';

type Kind = (typeof KINDS.disk)[number];

const ENDS: readonly Kind[] = ['killed-before', 'killed-after', 'power-cut'];
/** By what is asked for. */
const POSSIBLE: Readonly<Record<DiskCall['what'], readonly Kind[]>> = {
  commit: [...ENDS, 'full', 'io-error'],
  statement: ['statement-fails'],
  close: ENDS,
  make: [...ENDS, 'full', 'too-many-files'],
  name: [...ENDS, 'full'],
  rename: [...ENDS, 'io-error'],
  remove: [...ENDS, 'io-error'],
  open: ['too-many-files', 'io-error'],
  read: ['io-error'],
  write: [...ENDS, 'full', 'io-error'],
  cut: [...ENDS, 'io-error'],
  sync: [...ENDS, 'full', 'io-error'],
};

/** Of SQLite, for a statement; those that can't happen to a read are last. */
const STATEMENT_CODES = ['SQLITE_IOERR_READ', 'SQLITE_CORRUPT', 'SQLITE_BUSY', 'SQLITE_FULL', 'SQLITE_IOERR_WRITE']; // biome-ignore format: one list

/** With which codes a run may end that met an error. */
const EXCUSES: Readonly<Record<string, readonly string[]>> = {
  EIO: ['io-error', 'input-unreadable'],
  EMFILE: ['too-many-files', 'input-unreadable'],
  SQLITE_IOERR_READ: ['io-error'],
  SQLITE_BUSY: ['busy'],
  SQLITE_CORRUPT: ['corrupt', 'damaged'],
};

const SECTOR = 512;
/** `PRAGMA synchronous`, from which on each commit is synced. */
const SYNCED = 2;
/** The header of a write-ahead log, which is synced before anything is written behind it. */
const LOG_HEADER = 32;

/** A database and its log; undefined where there is none. */
interface Image {
  readonly path: string;
  readonly data: Buffer | undefined;
  readonly log: Buffer | undefined;
}

/** A name that is not safe before its folder is synced. */
interface Name {
  readonly path: string;
  readonly undo: () => void;
}

/** What a machine has not synced. */
interface Unsynced {
  /** Of a file, what it is sure to hold; where it only grew, how many bytes of it. */
  readonly files: Map<string, Buffer | number>;
  names: Name[];
}

export interface DisksOptions {
  readonly world: World;
  readonly faults: Faults;
  readonly root: string;
  readonly logPages: number;
  readonly processes: ReadonlySet<Process>;
  /** Ends a process, or all of a machine; who runs them starts them again. */
  readonly onKill: (process: Process, details: Random) => void;
  readonly onCut: (machine: Machine, details: Random) => void;
}

export class Disks implements Disk {
  readonly root: string;
  readonly logPages: number;
  readonly #o: DisksOptions;
  readonly #unsynced = new Map<Machine, Unsynced>();
  /** Codes of the errors that each process has met. */
  readonly #met = new WeakMap<Process, string[]>();
  /** Connections that have synced the folder of their log. */
  readonly #settled = new WeakSet<object>();
  readonly #lazy = new WeakMap<object, boolean>();
  /** Databases as a power cut leaves them that comes in the middle of a commit. */
  #torn: Image | undefined;

  constructor(options: DisksOptions) {
    this.root = options.root;
    this.logPages = options.logPages;
    this.#o = options;
  }

  /** Whether a process may end with an error of this code, for what happened to it. */
  excuses(process: Process, code: string): boolean {
    return this.#met.get(process)?.some((met) => EXCUSES[met]?.includes(code)) ?? false;
  }

  call(call: DiskCall): unknown {
    const { faults } = this.#o;
    const process = running()!;
    const request = `disk ${call.what}`;
    const fault = faults.of('disk', request, POSSIBLE[call.what]);
    if (fault === undefined) return this.#carryOut(call, process);
    const details = faults.details(request);
    if (fault === 'killed-before' || fault === 'killed-after' || fault === 'power-cut')
      return this.#end(fault, call, process, details);
    if (call.half) this.#carryOut({ ...call, work: call.half }, process);
    const error = errorOf(fault, call, details);
    this.#met.set(process, [...(this.#met.get(process) ?? []), error.code]);
    throw error;
  }

  #end(fault: Kind, call: DiskCall, process: Process, details: Random): never {
    const { work, half } = call;
    const isDone = fault === 'killed-after' || (fault === 'power-cut' && details() < 0.5);
    if (call.db && fault === 'power-cut') this.#torn = this.#tear(call, details);
    else if (isDone) this.#carryOut({ ...call, work }, process);
    else if (half) this.#carryOut({ ...call, work: half }, process);
    if (fault === 'power-cut') this.#o.onCut(process.machine, details);
    else this.#o.onKill(process, details);
    throw new Error('killed');
  }

  /** Does what is asked for, and notes what of it is safe. */
  #carryOut(call: DiskCall, { machine }: Process): unknown {
    const { what, path, to, work, db } = call;
    const unsynced = this.#of(machine);
    const { files } = unsynced;
    if (what === 'make' || what === 'name') unsynced.names.push({ path, undo: () => rmSync(path, REMOVE) });
    else if (what === 'rename' && to !== undefined) noteRename(unsynced, path, to);
    else if (what === 'remove') noteRemoval(unsynced, path);
    else if (what === 'write') noteWrite(files, call);
    else if (what === 'cut') files.set(path, contentOf(files, path));
    if (what === 'commit' && db && this.#isUnsynced(db)) noteWrite(files, { ...call, path: `${path}-wal` });
    const done = work();
    if (what === 'sync') {
      files.delete(path);
      unsynced.names = unsynced.names.filter((name) => dirname(name.path) !== path);
    } else if (what === 'commit' && db && !this.#settled.has(db)) {
      // With the first sync of its log, SQLite syncs the folder.
      this.#settled.add(db);
      unsynced.names = unsynced.names.filter((name) => dirname(name.path) !== dirname(path));
    }
    return done;
  }

  /** Whether SQLite leaves the log of a database to the system. */
  #isUnsynced(db: BetterSqlite3.Database): boolean {
    let is = this.#lazy.get(db);
    if (is === undefined) {
      is = (db.pragma('synchronous', { simple: true }) as number) < SYNCED;
      this.#lazy.set(db, is);
    }
    return is;
  }

  #of(machine: Machine): Unsynced {
    let unsynced = this.#unsynced.get(machine);
    if (unsynced) return unsynced;
    unsynced = { files: new Map(), names: [] };
    this.#unsynced.set(machine, unsynced);
    return unsynced;
  }

  /** Commits or closes, and says what would be there if the power failed meanwhile. */
  #tear({ path, work }: DiskCall, random: Random): Image {
    const was = imageOf(path);
    try {
      work();
    } catch {
      // It is the last thing anyway.
    }
    const is = imageOf(path);
    const isCarriedOver = !same(was.data, is.data);
    // First the log is written and synced, then the database, and then the log may go.
    if (!isCarriedOver || random() < 0.5)
      return { path, data: was.data, log: tornLog(was.log, is.log, random) };
    return { path, data: torn(was.data, is.data, random), log: is.log ?? was.log };
  }

  /** Kills a process; the logs of its databases stay as they are. */
  kill(process: Process): void {
    const others = new Set(
      [...this.#o.processes].filter((one) => one !== process && one.alive).flatMap(databasesOf),
    );
    const images = databasesOf(process)
      .filter((path) => !others.has(path))
      .map(imageOf);
    this.#o.world.kill(process);
    for (const image of images) putBack(image);
  }

  /** Kills all processes of a machine, whose disk keeps what is safe on it. */
  cut(machine: Machine, random: Random): void {
    const { world, processes } = this.#o;
    const alive = [...processes].filter((one) => one.alive && one.machine === machine);
    const images = [...new Set(alive.flatMap(databasesOf))].map((path) =>
      path === this.#torn?.path ? this.#torn : imageOf(path),
    );
    this.#torn = undefined;
    for (const process of alive) world.kill(process);
    const { files, names } = this.#of(machine);
    this.#unsynced.delete(machine);
    // What is under way in this moment ends first.
    world.soon(undefined, `the power of ${machine.name} is gone`, () => {
      for (const image of images) putBack(image, random);
      for (const [path, safe] of files) {
        if (!existsSync(path)) continue;
        const is = readFileSync(path);
        writeFileSync(path, torn(typeof safe === 'number' ? is.subarray(0, safe) : safe, is, random));
      }
      const share = random();
      for (const { undo } of names.reverse()) if (random() < share) undo();
    });
  }
}

const REMOVE = { recursive: true, force: true };

function errorOf(fault: Kind, { what, db }: DiskCall, details: Random): Error & { code: string } {
  const failed = (code: string) => Object.assign(new Error(`${code}: ${fault}`), { code });
  if (fault === 'full') return failed(what === 'commit' ? 'SQLITE_FULL' : 'ENOSPC');
  if (fault === 'too-many-files') return failed('EMFILE');
  if (fault === 'io-error') return failed(what === 'commit' ? 'SQLITE_IOERR_WRITE' : 'EIO');
  const possible = STATEMENT_CODES.slice(0, db?.inTransaction ? STATEMENT_CODES.length : 3);
  const code = possible[Math.floor(details() * possible.length)]!;
  // SQLite may end the transaction too.
  if (db?.inTransaction && details() < 0.5) db.exec('ROLLBACK');
  return failed(code);
}

function noteWrite(files: Map<string, Buffer | number>, { path, appends }: DiskCall): void {
  if (files.has(path) || !existsSync(path)) return;
  const content = readFileSync(path);
  files.set(path, appends ? content.length : content);
}

function contentOf(files: ReadonlyMap<string, Buffer | number>, path: string): Buffer {
  const safe = files.get(path);
  if (typeof safe === 'object') return safe;
  const is = readFileSync(path);
  return safe === undefined ? is : is.subarray(0, safe);
}

function noteRename({ files, names }: Unsynced, path: string, to: string): void {
  const [moved, before] = [readFileSync(path), existsSync(to) ? readFileSync(to) : undefined];
  names.push({
    path: to,
    undo: () => {
      if (!existsSync(dirname(path))) return;
      writeFileSync(path, moved);
      if (before) writeFileSync(to, before);
      else rmSync(to, REMOVE);
    },
  });
  const safe = files.get(path);
  files.delete(path);
  files.delete(to);
  if (safe !== undefined) files.set(to, safe);
}

function noteRemoval({ files, names }: Unsynced, path: string): void {
  files.delete(path);
  let content: Buffer;
  try {
    content = readFileSync(path);
  } catch {
    // What becomes of a folder that is no more doesn't matter.
    return;
  }
  const undo = () => {
    if (existsSync(dirname(path)) && !existsSync(path)) writeFileSync(path, content);
  };
  names.push({ path, undo });
}

/** Paths of the databases that a process has open and that have a log. */
function databasesOf({ opened }: Process): string[] {
  return [...opened.keys()]
    .filter((one): one is BetterSqlite3.Database => 'inTransaction' in one)
    .map(({ name }) => name)
    .filter((path) => existsSync(`${path}-wal`));
}

const readIf = (path: string) => (existsSync(path) ? readFileSync(path) : undefined);

function imageOf(path: string): Image {
  return { path, data: readIf(path), log: readIf(`${path}-wal`) };
}

/** The index of a log is made anew by whoever opens it first; after a power cut there may be anything in it. */
function putBack({ path, data, log }: Image, rubbish?: Random): void {
  rmSync(`${path}-shm`, REMOVE);
  if (data) writeFileSync(path, data);
  if (log) writeFileSync(`${path}-wal`, log);
  else rmSync(`${path}-wal`, REMOVE);
  if (log && rubbish && rubbish() < 0.3) writeFileSync(`${path}-shm`, Buffer.alloc(32_768, rubbish() * 256));
}

const same = (a: Buffer | undefined, b: Buffer | undefined) => (a && b ? a.equals(b) : a === b);

/** A log that begins anew has its new header on the disk before the first page that is written over. */
function tornLog(was: Buffer | undefined, is: Buffer | undefined, random: Random): Buffer | undefined {
  if (!was || !is || was.length < LOG_HEADER) return torn(was, is, random);
  const [before, after] = [was.subarray(0, LOG_HEADER), is.subarray(0, LOG_HEADER)];
  if (before.equals(after)) return torn(was, is, random);
  if (random() < 0.3) return Buffer.concat([torn(before, after, random), was.subarray(LOG_HEADER)]);
  return Buffer.concat([after, torn(was.subarray(LOG_HEADER), is.subarray(LOG_HEADER), random)]);
}

/** What there may be of bytes that were on their way to the disk: by sector, from nothing to all of it. Equal bytes stay. */
function torn(was: Buffer | undefined, is: Buffer | undefined, random: Random): Buffer {
  const [before, after] = [was ?? Buffer.alloc(0), is ?? Buffer.alloc(0)];
  const longest = Math.max(before.length, after.length);
  const style = random();
  const share = random();
  const length = [before.length, after.length, Math.floor(before.length + (after.length - before.length) * random())][Math.floor(random() * 3)]!; // biome-ignore format: one list
  const [old, made] = [Buffer.alloc(longest), Buffer.alloc(longest)];
  before.copy(old);
  after.copy(made);
  for (let at = 0; at < longest; at += SECTOR) {
    const isNew = style < 0.4 ? at < share * longest : random() < share;
    const sector = made.subarray(at, at + SECTOR);
    if (isNew || sector.equals(old.subarray(at, at + SECTOR))) continue;
    const what = style < 0.2 ? 0 : random();
    for (let i = at; i < Math.min(longest, at + SECTOR); i++) {
      if (old[i] === made[i]) continue;
      made[i] = what < 0.6 ? old[i]! : what < 0.8 ? 0 : Math.floor(random() * 256);
    }
  }
  return made.subarray(0, length);
}
