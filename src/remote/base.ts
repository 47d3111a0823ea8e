/** Copies of a whole state, made in a thread of their own. */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type PlainError, thrownAgain } from '../errors.ts';

/** Always the compiled file: a worker thread can't load TypeScript. */
const THREAD = fileURLToPath(new URL('../../dist/remote/base-worker.js', import.meta.url));

export interface Task {
  /** Path of the state. */
  readonly state: string;
  readonly app: string;
  /** Where the savepoint goes. */
  readonly path: string;
}

type Said = { readonly done: true } | { readonly error: PlainError };

/** Makes a savepoint of a state as it is at some time between the call and its end. */
export function copyInThread(task: Task): Promise<void> {
  const thread = new Worker(THREAD, { workerData: task });
  return new Promise<void>((resolve, reject) => {
    thread.on('message', (said: Said) => {
      if ('error' in said) reject(thrownAgain(said.error));
      else resolve();
    });
    thread.on('error', reject);
    thread.on('exit', () => reject(new Error('the thread that copies the state ended too early')));
  }).finally(() => thread.terminate());
}
