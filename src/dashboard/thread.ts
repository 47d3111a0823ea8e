/** The worker thread that serves the page beside a processor. */
import { parentPort, workerData } from 'node:worker_threads';
import type { TaxiflowError } from '../errors.ts';
import type { Said } from './dashboard.ts';
import { type DashboardOptions, serveDashboard } from './server.ts';

const say = (said: Said) => parentPort?.postMessage(said);

try {
  const dashboard = await serveDashboard(workerData as DashboardOptions);
  parentPort?.once('message', () => {
    dashboard.close().finally(() => parentPort?.close());
  });
  say({ url: dashboard.url });
} catch (error) {
  const { message, code = 'no-page', hint } = error as Partial<TaxiflowError> & Error;
  say({ error: { code, message, hint } });
}
