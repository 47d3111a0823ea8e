/**
 * Creates and lists taxiflow's own files and folders, which only their owner can read. None is opened through a link, because its
 * target may belong to someone else.
 */
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { systemCode, TaxiflowError } from './errors.ts';

const { O_CREAT, O_EXCL, O_RDWR } = constants;
// Windows lacks the flag, and lets only privileged users create links.
const O_NOFOLLOW = constants.O_NOFOLLOW ?? 0;

/** Creates a folder and its parents, unless they exist; by default for its owner alone. A power cut leaves it where it is. */
export function makeFolder(path: string, mode = 0o700): void {
  // Node's recursive mkdir never ends where the system denies that a folder's parent exists, as in /proc.
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    const parent = dirname(path);
    if (systemCode(error) === 'ENOENT' && parent !== path && !existsSync(parent)) {
      makeFolder(parent, mode);
      mkdirSync(path, { mode });
    } else if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
  syncFolder(dirname(path));
}

/** What a folder can't be synced for: who may not list it, and systems that don't do it. */
const UNSYNCED = new Set(['EACCES', 'EPERM', 'EINVAL', 'EISDIR', 'ENOTSUP']);

/** Makes the names in a folder last through a power cut, as far as the system does that with folders. */
export function syncFolder(path: string): void {
  try {
    const folder = openSync(path, 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch (error) {
    if (!UNSYNCED.has(systemCode(error) ?? '')) throw error;
  }
}

/** Replaces a file whole: after a crash or a power cut, it is the old one or the new one. */
export function replaceFile(path: string, text: string): void {
  const made = `${path}.new`;
  writeSynced(made, text, 0o600);
  renameSync(made, path);
  syncFolder(dirname(path));
}

/** Makes a file whole, unless there is one: then it returns false. Others may read it as the system lets them. */
export function claimFile(path: string, text: string): boolean {
  const made = `${path}.${randomUUID()}`;
  try {
    writeSynced(made, text, 0o666);
    // Unlike a rename, a link never takes the place of another file.
    linkSync(made, path);
    syncFolder(dirname(path));
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  } finally {
    tidyAway(made);
  }
}

/** Removes what nobody needs any more, or leaves it lying: nobody minds it. */
export function tidyAway(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // What it was for is done, or has failed for a reason of its own.
  }
}

function writeSynced(path: string, text: string, mode: number): void {
  const file = openSync(path, 'w', mode);
  try {
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Names of the SQLite files in a folder, sorted, without their suffix; none if there is no such folder. */
export function databaseNames(folder: string): string[] {
  const suffix = '.sqlite';
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length))
    .sort();
}

/** Creates a file that must not exist yet; returns its descriptor, for reading and writing. Throws the system's error. */
export function makeFile(path: string): number {
  return openSync(path, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, 0o600);
}

/** Creates an empty file and its folder, unless the file exists. Returns whether it was created. */
export function ensureFile(path: string): boolean {
  makeFolder(dirname(path));
  try {
    closeSync(makeFile(path));
    return true;
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
    return false;
  }
}

/** Suffixes of a database and of the files that SQLite keeps beside it. */
const BESIDE = ['', '-wal', '-shm', '-journal'];

/**
 * Refuses a database with a second name, by a symbolic link, a hard link or its own mount: SQLite would write two logs
 * for it, and two processors could each hold a lock. Throws `linked-file`.
 */
export function refuseLinks(path: string, what: string): void {
  for (const suffix of BESIDE) {
    const found = lstatSync(path + suffix, { throwIfNoEntry: false });
    if (!found) continue;
    if (found.isSymbolicLink()) throw linked(what, path + suffix, 'is a symbolic link');
    if (found.isFile() && found.nlink > 1) throw linked(what, path + suffix, 'has another name, a hard link');
  }
  if (isMount(path)) throw linked(what, path, 'is a mount of its own');
}

function linked(what: string, path: string, how: string): TaxiflowError {
  return new TaxiflowError('linked-file', `${what} ${how}: ${path}`, {
    hint: 'a state or stream must be one file with one name: remove the link, or set --data-dir to the folder of the file',
  });
}

/** Whether the file itself is a mount point. Known on Linux only. */
function isMount(path: string): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const escaped = realpathSync(path).replace(
      /[\\ \t\n]/g,
      (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`,
    );
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
    return mounts.some((line) => line.split(' ')[4] === escaped);
  } catch {
    return false;
  }
}
