/**
 * Files and folders of taxiflow's own, which only their owner can read. None of them is opened through a link: what a
 * link leads to belongs to somebody else.
 */
import { closeSync, constants, lstatSync, mkdirSync, openSync, readFileSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { systemCode, TaxiflowError } from './errors.ts';

const { O_CREAT, O_EXCL, O_RDWR } = constants;
// Windows has none, and no links that anybody may make.
const O_NOFOLLOW = constants.O_NOFOLLOW ?? 0;

/** Makes a folder, and those above it, unless they are there. */
export function makeFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
}

/** Makes a file for reading and writing that must not be there yet. Throws the error of the system. */
export function makeFile(path: string): number {
  return openSync(path, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, 0o600);
}

/** Makes an empty file with its folder, unless it is there; whether it was made. */
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

/** What SQLite keeps beside a database. */
const BESIDE = ['', '-wal', '-shm', '-journal'];

/**
 * Refuses a database that has a second name, by a symbolic or hard link or as a mount of its own: SQLite would write
 * two logs for it, and two processors would hold two locks. Throws `linked-file`.
 */
export function refuseLinks(path: string, what: string): void {
  for (const suffix of BESIDE) {
    const found = lstatSync(path + suffix, { throwIfNoEntry: false });
    if (!found) continue;
    if (found.isSymbolicLink()) throw linked(what, path + suffix, 'is a symbolic link');
    if (found.isFile() && found.nlink > 1)
      throw linked(what, path + suffix, 'has another name, by a hard link');
  }
  if (isMount(path)) throw linked(what, path, 'is a mount of its own');
}

function linked(what: string, path: string, how: string): TaxiflowError {
  return new TaxiflowError('linked-file', `${what} ${how}: ${path}`, {
    hint: 'a state or stream is one file with one name: remove the link, or name the folder it lies in with --data-dir',
  });
}

/** Whether something is mounted at this very file. Only Linux tells. */
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
