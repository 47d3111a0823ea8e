/**
 * Results as lines of a file, each exactly once: the cursor remembers how long the file was, and what a crash
 * left behind that is cut off before it is written again.
 */

import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Sink, SinkStatus } from '../engine/run.ts';
import { TaxiflowError, translating } from '../errors.ts';
import type { SqliteState } from '../state/sqlite-state.ts';

const STDOUT = 1;

/** What the sink needs of the state: the outbox and its own cursor. */
export type Outbox = Pick<SqliteState, 'cursor' | 'moveCursor' | 'firingsFrom' | 'nextResult'>;

export class NdjsonSink implements Sink {
  readonly name: string;
  readonly #outbox: Outbox;
  readonly #path: string;
  readonly #file: number;
  readonly #regular: boolean;
  #delivered: number;
  #bytes: number;
  /** The file may end in part of a line, which the next run cuts off. */
  #failed = false;
  #closed = false;

  /** `path` is a file, or `-` for standard output, which can't be cut back: there only the cursor counts. */
  constructor(outbox: Outbox, path: string) {
    this.#outbox = outbox;
    this.#path = path === '-' ? 'standard output' : path;
    this.name = path === '-' ? 'ndjson:-' : `ndjson:${resolve(path)}`;
    this.#file = path === '-' ? STDOUT : this.#translating(() => openSync(path, 'a'));
    this.#regular = path !== '-' && fstatSync(this.#file).isFile();
    const cursor = outbox.cursor(this.name);
    if (!cursor && this.#regular) this.#refuseForeign();
    this.#delivered = cursor?.delivered ?? 1;
    this.#bytes = cursor?.bytes ?? 0;
    if (this.#regular) this.#cutBack();
  }

  wake(): void {
    const before = this.#delivered;
    try {
      this.#translating(() => this.#write());
    } catch (error) {
      this.#failed = true;
      throw error;
    }
    if (this.#delivered > before)
      this.#outbox.moveCursor(this.name, { delivered: this.#delivered, bytes: this.#bytes });
  }

  status(): SinkStatus {
    const delivered = this.#delivered - 1;
    const pending = this.#outbox.nextResult - this.#delivered;
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
    if (this.#regular && this.#outbox.nextResult > this.#delivered) this.#lookAtLength();
    const before = this.#delivered;
    for (const firing of this.#outbox.firingsFrom(this.#delivered)) {
      const lines = Buffer.from(`${firing.docs.slice(1, -1).replaceAll(',\n', '\n')}\n`);
      for (let at = 0; at < lines.length; ) at += this.#writeSome(lines, at);
      this.#bytes += lines.length;
      this.#delivered = firing.first + firing.count;
    }
    // The lines are on the disk before the cursor says so.
    if (this.#regular && this.#delivered > before) fdatasyncSync(this.#file);
  }

  /** What somebody else wrote is not cut off. */
  #refuseForeign(): void {
    const { size } = fstatSync(this.#file);
    if (size === 0) return;
    closeSync(this.#file);
    throw this.#foreign(size);
  }

  #foreign(bytes: number): TaxiflowError {
    return new TaxiflowError(
      'output-in-use',
      `${this.#path} holds ${bytes.toLocaleString('en-US')} bytes that this app did not write`,
      { hint: 'give --output another name, or remove that file first' },
    );
  }

  #cutBack(): void {
    const { size } = fstatSync(this.#file);
    if (size < this.#bytes) {
      // Somebody took lines away: all that is in the outbox is written anew.
      this.#delivered = 1;
      this.#bytes = 0;
    }
    if (size > this.#bytes) this.#translating(() => ftruncateSync(this.#file, this.#bytes));
    this.#outbox.moveCursor(this.name, { delivered: this.#delivered, bytes: this.#bytes });
  }

  /** Since the last lines: what another writes between ours would be cut off by the next run, or cut it off. */
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
      // A pipe that is full: its reader needs a moment.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      return 0;
    }
  }

  #translating<T>(work: () => T): T {
    return translating('the output', this.#path, work, '--output');
  }
}
