/**
 * The operator of a job: makes savepoints of it while it runs, and restores it from one of them, each in a process of its own that
 * may be killed or lose its power at any moment. What was said to be made is there from then on.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { TaxiflowError, translating } from '../../src/errors.ts';
import { createSavepoint, restoreSavepoint } from '../../src/savepoints/savepoints.ts';
import { statePath } from '../../src/state/files.ts';
import { Broken } from './world.ts';

const APP = 'trips';
const TRAILER_BYTES = 65;
/** There is nothing to make a savepoint of yet, or it was made before the process was killed. */
const NOTHING_TO_DO: ReadonlySet<string> = new Set(['no-app', 'no-checkpoint', 'file-exists']);

export class Operator {
  /** Places of what was made, in order. */
  readonly savepoints: string[] = [];
  readonly #dataDir: string;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  async create(): Promise<void> {
    try {
      const { place } = await createSavepoint({ dataDir: this.#dataDir, s3: {} });
      this.savepoints.push(place);
    } catch (error) {
      if (!(error instanceof TaxiflowError && NOTHING_TO_DO.has(error.code))) throw error;
    }
  }

  /** Whatever was said to be made is there whole: its last line is the checksum of all before it. */
  check(): void {
    for (const place of this.savepoints) {
      const bytes = existsSync(place) ? readFileSync(place) : Buffer.alloc(0);
      const before = bytes.subarray(0, -TRAILER_BYTES);
      if (
        bytes.toString('latin1', before.length) !== `${createHash('sha256').update(before).digest('hex')}\n`
      )
        throw new Broken(`${place} was made, and is not whole`);
    }
  }

  /** Sets a job that is stopped back to a savepoint; called again until it is done. */
  async restore(savepoint: string, isFirst: boolean): Promise<void> {
    const path = statePath(this.#dataDir, APP);
    // What a power cut brings back of the state before is no worse than that state.
    if (isFirst)
      for (const suffix of ['', '-wal', '-shm'])
        translating('the state', path, () => rmSync(path + suffix, { force: true }));
    try {
      await restoreSavepoint({ savepoint, dataDir: this.#dataDir, app: APP, s3: {} });
    } catch (error) {
      const code = error instanceof TaxiflowError ? error.code : '';
      // The process that did it was killed before it could say so.
      if (code === 'app-exists') return;
      if (['no-savepoint', 'not-savepoint'].includes(code))
        throw new Broken(`a savepoint that was made is no more: ${(error as Error).message}`);
      throw error;
    }
  }
}
