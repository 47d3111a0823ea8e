/** Files for the time of a run, which nobody else can open and which go with the process, however that ends. */

import { randomUUID } from 'node:crypto';
import { closeSync, readdirSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { systemCode, translating } from '../errors.ts';
import { makeFile, makeFolder } from '../private-files.ts';

export class ScratchFile {
  readonly #what: string;
  readonly #path: string;
  readonly #file: number;

  /** `what` names it in errors. */
  constructor(folder: string, what: string) {
    this.#what = what;
    this.#path = join(folder, `${process.pid}-${randomUUID()}`);
    this.#file = translating(what, folder, () => {
      makeFolder(folder);
      removeStale(folder);
      return makeFile(this.#path);
    });
    // Without a name the file goes with the process.
    if (process.platform !== 'win32') rmSync(this.#path, { force: true });
  }

  /** Writes all of `data` behind what was written before. */
  append(data: Buffer): void {
    translating(this.#what, this.#path, () => {
      for (let at = 0; at < data.length; ) at += writeSync(this.#file, data, at, data.length - at);
    });
  }

  /** Fills `target` from `offset` on with what lies at `position`; how many bytes there were. */
  read(target: Buffer, offset: number, position: number): number {
    return readSync(this.#file, target, offset, target.length - offset, position);
  }

  close(): void {
    closeSync(this.#file);
    if (process.platform === 'win32') rmSync(this.#path, { force: true });
  }
}

/** Folders in which this process has looked for what others left. */
const looked = new Set<string>();

/** Removes what processes left behind that are gone: on Windows, or when one was killed at the wrong moment. */
function removeStale(folder: string): void {
  if (looked.has(folder)) return;
  looked.add(folder);
  for (const name of readdirSync(folder)) {
    const pid = Number(/^(?:sort-)?(\d+)-[0-9a-f-]+$/.exec(name)?.[1]);
    if (!(pid > 0) || isAlive(pid)) continue;
    try {
      rmSync(join(folder, name), { force: true });
    } catch {
      // It is somebody else's.
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
