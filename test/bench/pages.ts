/** What a hundred open pages cost the processor they look at. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { startDashboard } from '../../dist/dashboard/dashboard.js';
import { removeState } from '../../dist/state/files.js';
import { compare } from './measure.ts';

const PAGES = 100;
const FLOOR = 0.9;

/** `processAll` runs a whole stream into the state of an app. */
export async function pagesBench(
  dataDir: string,
  processAll: (dataDir: string, app: string) => Promise<void>,
): Promise<boolean> {
  const dashboard = await startDashboard({ dataDir, app: 'watched', host: '127.0.0.1', port: 0 }, (error) => {
    throw error;
  });
  const script = fileURLToPath(new URL('page-clients.ts', import.meta.url));
  const clients = spawn(process.execPath, ['--import', 'tsx', script, dashboard.url, String(PAGES)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const afresh = async (app: string) => {
    removeState(dataDir, app);
    await processAll(dataDir, app);
  };
  try {
    await once(clients.stdout, 'data');
    return await compare(
      `process with ${PAGES} open pages / without`,
      FLOOR,
      () => afresh('watched'),
      () => afresh('unwatched'),
    );
  } finally {
    clients.kill();
    await dashboard.close();
  }
}
