/** The thread that copies a large state into a savepoint while its processor goes on. */
import { parentPort, workerData } from 'node:worker_threads';
import { toPlainError } from '../errors.ts';
import { copyState } from '../savepoints/savepoints.ts';
import type { Task } from './base.ts';

const { state, app, path } = workerData as Task;
copyState(state, app, path).then(
  () => parentPort!.postMessage({ done: true }),
  (error: unknown) => parentPort!.postMessage({ error: toPlainError(error) }),
);
