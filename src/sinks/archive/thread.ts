/** Parquet files made in a thread of their own. */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type PlainError, thrownAgain } from '../../errors.ts';
import type { DayFile } from './files.ts';

/** Always the compiled file: a worker thread can't load TypeScript. */
const THREAD = fileURLToPath(new URL('../../../dist/sinks/archive/worker.js', import.meta.url));

export type Said = { readonly files: readonly DayFile[] } | { readonly error: PlainError };

/** Makes one set of files at a time; the thread starts with the first. */
export class FileMaker {
  #thread: Worker | undefined;

  /** As `dayFiles`. */
  make(chunks: readonly Uint8Array[]): Promise<readonly DayFile[]> {
    this.#thread ??= this.#started();
    const thread = this.#thread;
    return new Promise<readonly DayFile[]>((resolve, reject) => {
      const ended = () => reject(new Error('the thread that makes the archive ended too early'));
      const done = (said: Said) => {
        thread.off('error', reject).off('exit', ended);
        if ('error' in said) reject(thrownAgain(said.error));
        else resolve(said.files);
      };
      thread.once('message', done).once('error', reject).once('exit', ended);
      thread.postMessage(chunks);
    });
  }

  #started(): Worker {
    const thread = new Worker(THREAD);
    // An end between two sets is told by the next one, which starts another thread.
    return thread
      .on('error', () => {})
      .on('exit', () => {
        if (this.#thread === thread) this.#thread = undefined;
      });
  }

  async close(): Promise<void> {
    await this.#thread?.terminate();
  }
}
