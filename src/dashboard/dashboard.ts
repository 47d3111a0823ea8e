/** Serves the page beside a processor, in its own thread so that it doesn't use the engine's event loop. */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type ErrorCode, TaxiflowError } from '../errors.ts';
import type { Dashboard, DashboardOptions } from './server.ts';

/** Always the compiled file: a worker thread can't load TypeScript. */
const THREAD = fileURLToPath(new URL('../../dist/dashboard/thread.js', import.meta.url));

export type Said =
  | { readonly url: string }
  | {
      readonly error: {
        readonly code: ErrorCode;
        readonly message: string;
        readonly hint?: string | undefined;
      };
    };

/**
 * Serves the page of an app until `close`. A later failure of the server goes to `onFailure` and doesn't stop the
 * processor. Throws `cannot-listen` and `no-page`.
 */
export async function startDashboard(
  options: DashboardOptions,
  onFailure: (error: Error) => void,
): Promise<Dashboard> {
  const thread = new Worker(THREAD, { workerData: options });
  const ended = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
  const [said] = (await once(thread, 'message')) as [Said];
  if ('error' in said) {
    await thread.terminate();
    throw new TaxiflowError(
      said.error.code,
      said.error.message,
      said.error.hint ? { hint: said.error.hint } : {},
    );
  }
  thread.on('error', onFailure);
  return {
    url: said.url,
    close: async () => {
      thread.postMessage('close');
      await ended;
    },
  };
}
