/** Files for the time of a run, which nobody else can open and which go with the process, however that ends. */

import { randomUUID } from 'node:crypto';
import { closeSync, constants, mkdirSync, openSync, readSync, rmSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { translating } from '../errors.ts';

const { O_RDWR, O_CREAT, O_EXCL } = constants;
/** Windows doesn't have it. */
const O_NOFOLLOW: number = constants.O_NOFOLLOW ?? 0;

export class ScratchFile {
  readonly #what: string;
  readonly #path: string;
  readonly #file: number;

  /** `what` names it in errors. */
  constructor(folder: string, what: string) {
    this.#what = what;
    this.#path = join(folder, `${process.pid}-${randomUUID()}`);
    this.#file = translating(what, folder, () => {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      return openSync(this.#path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    });
    // Without a name the file goes with the process.
    if (process.platform !== 'win32') unlinkSync(this.#path);
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
