/** Temporary files of a run. Other processes can't open them, and they vanish with the process, even if it is killed. */

import { randomUUID } from 'node:crypto';
import { closeSync, readdirSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { systemCode, translating } from '../errors.ts';
import { makeFile, makeFolder } from '../private-files.ts';

export class ScratchFile {
  readonly #what: string;
  readonly #path: string;
  readonly #file: number;

  /** Creates a file in `folder`; errors call it `what`. */
  constructor(folder: string, what: string) {
    this.#what = what;
    this.#path = join(folder, `${process.pid}-${randomUUID()}`);
    this.#file = translating(what, folder, () => {
      makeFolder(folder);
      removeStale(folder);
      return makeFile(this.#path);
    });
    // A file without a name vanishes with the process.
    if (process.platform !== 'win32') rmSync(this.#path, { force: true });
  }

  /** Appends all of `data`. */
  append(data: Buffer): void {
    translating(this.#what, this.#path, () => {
      for (let at = 0; at < data.length; ) at += writeSync(this.#file, data, at, data.length - at);
    });
  }

  /** Reads from `position` in the file into `target` from `offset` on; returns the number of bytes read. */
  read(target: Buffer, offset: number, position: number): number {
    return readSync(this.#file, target, offset, target.length - offset, position);
  }

  close(): void {
    closeSync(this.#file);
    if (process.platform === 'win32') rmSync(this.#path, { force: true });
  }
}

/** Folders in which this process has removed stale files. */
const looked = new Set<string>();

/** Removes files of processes that have ended: Windows keeps names, and a process can be killed before it removes one. */
function removeStale(folder: string): void {
  if (looked.has(folder)) return;
  looked.add(folder);
  for (const name of readdirSync(folder)) {
    const pid = Number(/^(?:sort-)?(\d+)-[0-9a-f-]+$/.exec(name)?.[1]);
    if (!(pid > 0) || isAlive(pid)) continue;
    try {
      rmSync(join(folder, name), { force: true });
    } catch {
      // The file belongs to another user.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) !== 'ESRCH';
  }
}
