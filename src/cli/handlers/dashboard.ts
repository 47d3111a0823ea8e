import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';
import { type Dashboard, type DashboardOptions, serveDashboard } from '../../dashboard/server.ts';
import { EXIT, usageError } from '../../errors.ts';
import { shownUrl } from '../../printable.ts';
import { listApps } from '../../state/apps.ts';
import { chooseApp } from '../../state/files.ts';
import { type DashboardArguments, dashboardCommand } from '../commands/dashboard.ts';
import { interruption, isoShort, printJson, say, several, show } from '../terminal.ts';

/** Reachable only from this machine. */
export const LOOPBACK = '127.0.0.1';
/** The origin goes unescaped into the page's content security policy, so only a plain host is allowed. */
const TILES = /^https?:\/\/(?:[a-z\d.-]+|\[[a-f\d:.]+\])(?::\d+)?\/.*\{z\}/i;

export async function dashboard(args: DashboardArguments): Promise<number> {
  if (args.export !== undefined) return exported(args, args.export);
  const options = readOptions(args);
  const { signal, done } = interruption();
  const page = await serveDashboard(options);
  try {
    announce(args, options, page);
    if (!signal.aborted) await once(signal, 'abort');
  } finally {
    await page.close();
    done();
  }
  return EXIT.done;
}

/** Writes the page into a file. */
async function exported(args: DashboardArguments, file: string): Promise<number> {
  refuseServing(args);
  if (file === '' || file === '-')
    throw usageError('--export writes a file, not to stdout', 'name one, for example --export day.html');
  const app = chooseApp(args.dataDir, args.app);
  const { exportPage } = await import('../../dashboard/export.ts');
  const { signal, done } = interruption();
  try {
    const found = await exportPage({ dataDir: args.dataDir, app, file, now: Date.now, signal });
    const { bytes, views, windows, results } = found;
    const [from, to] = [found.from, found.to].map((ms) => new Date(ms).toISOString());
    if (args.json) printJson({ command: 'dashboard', file, bytes, app, views, windows, results, from, to });
    else show(`${file}\n`);
    const span = `${isoShort(found.from)} to ${isoShort(found.to)}`;
    const size = `${(bytes / 1e6).toFixed(1)} MB`;
    say(
      `${several(results, 'result')} of app "${app}" from ${span}, ${size}; it opens in a browser without a server`,
    );
  } finally {
    done();
  }
  if (args.open) openBrowser(pathToFileURL(file).href);
  return EXIT.done;
}

/** Options of a server say nothing of a file. */
function refuseServing({ tiles, host, port }: DashboardArguments): void {
  const { options } = dashboardCommand;
  const given = [
    ...(tiles === undefined ? [] : ['--tiles']),
    ...(host === options['host']?.default ? [] : ['--host']),
    ...(port === options['port']?.default ? [] : ['--port']),
  ];
  if (given[0])
    throw usageError(`--export serves no page, and ${given[0]} is about serving it`, `omit ${given[0]}`);
}

function readOptions(args: DashboardArguments): DashboardOptions {
  const dataDir = args.dataDir;
  const port = args.port;
  const tiles = args.tiles;
  if (tiles !== undefined && !TILES.test(tiles)) {
    throw usageError(
      `--tiles ${shownUrl(tiles)} is not a tile URL`,
      'write for example https://tiles.example/{z}/{x}/{y}.png',
    );
  }
  const app = args.app;
  // Without any state yet, the page waits for one; with several, the user must choose.
  const found = app ?? (listApps(dataDir).length > 0 ? chooseApp(dataDir, undefined) : undefined);
  return { dataDir, app: found, host: args.host, port, tiles };
}

function announce(args: DashboardArguments, options: DashboardOptions, page: Dashboard): void {
  const { host, port, app, dataDir } = options;
  const url = new URL(page.url);
  if (args.json) printJson({ command: 'dashboard', url: page.url, app: app ?? null, data_dir: dataDir });
  else process.stdout.write(`${page.url}\n`);
  if (port !== 0 && Number(url.port) !== port) say(`port ${port} is taken; this is the next free one`);
  if (!['127.0.0.1', 'localhost', '::1'].includes(host))
    say(`note: anyone who can reach ${host} can see this page; it has no password`);
  if (app === undefined) say(`waiting for a processor in ${dataDir}`);
  else if (!listApps(dataDir).includes(app)) say(`waiting for app "${app}" in ${dataDir}`);
  say('serving the live page; Ctrl-C stops it', 'page');
  if (args.open) openBrowser(page.url);
}

/** Reports that the page failed; the run it shows continues. */
export function tellPageFailed(error: Error): void {
  say(`the live page failed: ${error.message}; "taxiflow dashboard" serves it again`, 'page-failed');
}

/** Opens the page in a browser, if there is one. */
export function openBrowser(url: string): void {
  const [command, ...rest] = BROWSERS[process.platform] ?? ['xdg-open'];
  const child = spawn(command!, [...rest, url], { stdio: 'ignore', detached: true });
  child.on('error', () => say(`could not open a browser; the page is at ${url}`));
  child.unref();
}

const BROWSERS: Readonly<Record<string, readonly string[]>> = {
  darwin: ['open'],
  win32: ['cmd', '/c', 'start', ''],
};
