/**
 * Writes results as lines of a file, each exactly once. The cursor stores the length of the file; on start, anything
 * beyond it is the rest of a crashed run and is cut off.
 *
 *  F1 lines go only to the file under the given name: a file that is deleted, moved or replaced ends the run, and the
 *     cursor never passes lines written to a file that lost the name. The next run writes all results again.
 *  F2 a file that was shortened is written again from the first result, with a note to the user.
 */

import {
  accessSync,
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isatty } from 'node:tty';
import type { Sink, SinkStatus } from '../engine/sink.ts';
import { TaxiflowError, translating } from '../errors.ts';
import { escaped } from '../printable.ts';
import { syncFolder } from '../private-files.ts';
import type { Cursor, Outbox as StateOutbox, StoredFiring } from '../state/outbox.ts';

const STDOUT = 1;

/** The part of the state that the sink uses: the outbox and its own cursor. */
export type Outbox = Pick<StateOutbox, 'cursor' | 'moveCursor' | 'firingsFrom' | 'end' | 'removedFrom'>;

/** What the cursor remembers: how long the file was, in bytes, once the results before it were delivered. */
interface Position {
  readonly bytes: number;
}

/** Throws the same error as opening the file, but creates nothing. */
export function checkOutput(path: string): void {
  if (path === '-') return;
  const look = () => {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found?.isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' });
    accessSync(found ? path : dirname(path), constants.W_OK);
  };
  translating('the output', path, look, '--output');
}

export class NdjsonSink implements Sink {
  readonly name: string;
  readonly #outbox: Outbox;
  readonly #path: string;
  readonly #file: number;
  readonly #regular: boolean;
  /** On a terminal, control characters in the data are escaped. */
  readonly #terminal: boolean;
  readonly #tell: (note: string) => void;
  #delivered: number;
  #bytes: number;
  /** A write failed: the file may end in a partial line, which the next run cuts off. */
  #failed = false;
  #closed = false;

  /**
   * `path` is a file, or `-` for standard output, which cannot be cut back: there only the cursor counts. `tell`
   * receives notes for the user. Throws `output-in-use` if the file holds bytes of another writer.
   */
  constructor(outbox: Outbox, path: string, tell: (note: string) => void = () => {}) {
    this.#outbox = outbox;
    this.#tell = tell;
    this.#terminal = path === '-' && isatty(STDOUT);
    this.#path = path === '-' ? 'standard output' : path;
    this.name = path === '-' ? 'ndjson:-' : `ndjson:${resolve(path)}`;
    this.#file = path === '-' ? STDOUT : this.#translating(() => openSync(path, 'a'));
    this.#regular = path !== '-' && fstatSync(this.#file).isFile();
    try {
      const cursor = outbox.cursor(this.name);
      this.#delivered = cursor?.delivered ?? 1;
      this.#bytes = cursor ? lengthIn(cursor) : 0;
      if (this.#regular) this.#translating(() => this.#takeUp(cursor === undefined));
    } catch (error) {
      if (this.#file !== STDOUT) closeSync(this.#file);
      throw error;
    }
  }

  /** Goes on with the file as the last run left it. */
  #takeUp(isNew: boolean): void {
    // The cursor must not outlive the name of the file.
    syncFolder(dirname(this.#path));
    if (isNew) this.#refuseForeign();
    this.#refuseReplaced();
    this.#cutBack();
  }

  wake(): void {
    const before = this.#delivered;
    try {
      this.#translating(() => this.#write());
    } catch (error) {
      this.#failed = true;
      throw error;
    }
    if (this.#delivered > before) this.#moveCursor();
  }

  status(): SinkStatus {
    const delivered = this.#delivered - 1;
    const pending = Math.max(0, this.#outbox.end - this.#delivered);
    return { name: this.name, delivered, pending, rejected: 0, retries: 0, trouble: undefined };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (!this.#failed) this.wake();
    } finally {
      if (this.#file !== STDOUT) closeSync(this.#file);
    }
  }

  #write(): void {
    if (this.#regular) {
      this.#lookAtName();
      this.#lookAtLength();
    }
    const before = this.#delivered;
    for (const firing of this.#outbox.firingsFrom(this.#delivered)) {
      const lines = this.#terminal
        ? Buffer.from(escaped(linesOf(firing), '\n'))
        : Buffer.from(linesOf(firing));
      for (let at = 0; at < lines.length; ) at += this.#writeSome(lines, at);
      this.#bytes += lines.length;
      this.#delivered = firing.first + firing.count;
    }
    if (!this.#regular || this.#delivered === before) return;
    // The lines must be on disk, under this name, before the cursor passes them.
    fdatasyncSync(this.#file);
    this.#lookAtName();
    const { size } = fstatSync(this.#file);
    if (size !== this.#bytes)
      throw size > this.#bytes ? this.#foreign(size - this.#bytes) : this.#gone('shortened');
  }

  /** F1 */
  #lookAtName(): void {
    const named = statSync(this.#path, { bigint: true, throwIfNoEntry: false });
    if (named === undefined) throw this.#gone('deleted or moved');
    const own = fstatSync(this.#file, { bigint: true });
    if (named.ino !== own.ino || named.dev !== own.dev) throw this.#gone('replaced by another file');
  }

  #gone(how: string): TaxiflowError {
    return new TaxiflowError('output-gone', `${this.#path} was ${how} while results were written to it`, {
      hint: 'run the same command again: it writes all results to a new file; move or rotate the file only between runs',
    });
  }

  /** Refuses a file that does not end in the last results written: it was replaced. */
  #refuseReplaced(): void {
    if (this.#bytes === 0 || fstatSync(this.#file).size < this.#bytes) return;
    const [last] = this.#outbox.firingsFrom(this.#delivered - 1);
    if (last === undefined || last.first + last.count !== this.#delivered) return;
    const lines = Buffer.from(linesOf(last));
    if (lines.length > this.#bytes) return;
    const found = Buffer.alloc(lines.length);
    const file = openSync(this.#path, 'r');
    try {
      readSync(file, found, 0, found.length, this.#bytes - lines.length);
    } finally {
      closeSync(file);
    }
    if (found.equals(lines)) return;
    throw this.#foreign(statSync(this.#path).size);
  }

  /** Refuses a file with bytes of another writer, rather than cutting them off. */
  #refuseForeign(): void {
    const { size } = fstatSync(this.#file);
    if (size > 0) throw this.#foreign(size);
  }

  #foreign(bytes: number): TaxiflowError {
    return new TaxiflowError(
      'output-in-use',
      `${this.#path} holds ${bytes.toLocaleString('en-US')} bytes that this app did not write`,
      { hint: 'choose another name for --output, or remove that file first' },
    );
  }

  #cutBack(): void {
    const { size } = fstatSync(this.#file);
    const removed = this.#outbox.removedFrom(size < this.#bytes ? 1 : this.#delivered);
    // Lines of results that are gone from the state would be gone for good.
    if (removed > 0 && size > 0 && size !== this.#bytes) throw this.#irreplaceable(removed);
    if (removed > 0 && size === 0)
      this.#tell(
        `${this.#path} is without ${removed.toLocaleString('en-US')} results that --retain has removed`,
      );
    if (size < this.#bytes) {
      // F2
      this.#tell(`${this.#path} is shorter than the last run left it: all results are written to it again`);
      this.#delivered = 1;
      this.#bytes = 0;
    }
    if (size > this.#bytes) ftruncateSync(this.#file, this.#bytes);
    this.#moveCursor();
  }

  #irreplaceable(removed: number): TaxiflowError {
    return new TaxiflowError(
      'output-in-use',
      `${this.#path} is not as the last run left it, and ${removed.toLocaleString('en-US')} results can't be written to it again: --retain has removed them`,
      { hint: 'choose another name for --output; the file is left as it is' },
    );
  }

  #moveCursor(): void {
    const position: Position = { bytes: this.#bytes };
    this.#outbox.moveCursor(this.name, { delivered: this.#delivered, position: JSON.stringify(position) });
  }

  /** Detects another writer since our last lines: its bytes would be cut off by the next run. */
  #lookAtLength(): void {
    const { size } = fstatSync(this.#file);
    if (size > this.#bytes) throw this.#foreign(size - this.#bytes);
    if (size < this.#bytes) this.#cutBack();
  }

  #writeSome(lines: Buffer, at: number): number {
    try {
      return writeSync(this.#file, lines, at, lines.length - at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      // The pipe is full; give its reader a moment.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      return 0;
    }
  }

  #translating<T>(work: () => T): T {
    return translating('the output', this.#path, work, '--output');
  }
}

function lengthIn({ position }: Cursor): number {
  return (JSON.parse(position) as Position).bytes;
}

/** A firing's results as lines; the outbox holds them as a JSON array, one document per line. */
function linesOf({ docs }: Pick<StoredFiring, 'docs'>): string {
  return `${docs.slice(1, -1).replaceAll(',\n', '\n')}\n`;
}
