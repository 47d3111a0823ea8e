/** A real emulator of S3 and Kinesis, from PyPI, kept in a cache folder outside the checkout. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';

const VERSION = '1.5.33';
const CACHE = process.env['TAXIFLOW_TEST_CACHE'] ?? join(homedir(), '.cache', 'taxiflow-tests');
const STARTS_WITHIN_MS = 60_000;
const WINDOWS = process.platform === 'win32';
const PYTHON = (WINDOWS ? ['python', 'py'] : ['python3']).find(
  (python) => spawnSync(python, ['-m', 'venv', '--help'], { stdio: 'ignore' }).status === 0,
);

/** For node:test's `skip`: why the emulator can't run here, or false. With CI=true it has to run. */
export const withoutMinistack: string | false =
  PYTHON === undefined && process.env['CI'] !== 'true'
    ? 'needs Python 3 with venv, which is not here'
    : false;

export interface Ministack {
  /** `http://127.0.0.1:PORT`, for every service. */
  readonly endpoint: string;
  /** Region and credentials, for the environment of a process. */
  readonly env: Record<string, string>;
}

/** Starts an empty emulator on a free port of this machine alone; it stops with the test. Throws if it doesn't answer. */
export async function startMinistack(t: TestContext): Promise<Ministack> {
  const command = install();
  const port = await freePort();
  const child = spawn(command, [], {
    env: { ...process.env, GATEWAY_PORT: String(port), BIND_HOST: '127.0.0.1', PERSIST_STATE: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const printed: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => printed.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => printed.push(chunk));
  t.after(() => stop(child));
  const endpoint = `http://127.0.0.1:${port}`;
  await answers(`${endpoint}/_ministack/health`, child).catch((error: unknown) => {
    throw new Error(`ministack didn't start: ${error}\n${Buffer.concat(printed)}`);
  });
  return {
    endpoint,
    env: { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' },
  };
}

/** Stores an object, making its bucket where there is none. */
export async function storeObject(
  { endpoint }: Ministack,
  bucket: string,
  key: string,
  body: Buffer | string,
) {
  for (const [path, content] of [
    [bucket, ''],
    [`${bucket}/${key}`, body],
  ] as const) {
    const put = await fetch(`${endpoint}/${path}`, { method: 'PUT', body: content });
    if (!put.ok) throw new Error(`ministack did not store ${path}: ${put.status}`);
  }
}

/** The emulator's command, installed once. */
function install(): string {
  const folder = join(CACHE, `ministack-${VERSION}`);
  if (existsSync(join(folder, 'whole'))) return commandIn(folder);
  if (PYTHON === undefined) throw new Error('ministack needs Python 3 with venv');
  mkdirSync(CACHE, { recursive: true });
  // A venv knows its own place, so it is made there; what marks it whole comes last. Test files run at once.
  const lock = `${folder}.lock`;
  for (const deadline = Date.now() + 300_000; ; ) {
    try {
      mkdirSync(lock);
      break;
    } catch (error) {
      if (Date.now() > deadline)
        throw new Error(`another test has held ${lock} for minutes; remove it`, { cause: error });
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    }
  }
  try {
    if (!existsSync(join(folder, 'whole'))) {
      rmSync(folder, { recursive: true, force: true });
      execFileSync(PYTHON, ['-m', 'venv', folder], { stdio: 'pipe' });
      const python = join(folder, WINDOWS ? 'Scripts/python.exe' : 'bin/python');
      execFileSync(python, ['-m', 'pip', 'install', '--quiet', `ministack==${VERSION}`], { stdio: 'pipe' });
      writeFileSync(join(folder, 'whole'), VERSION);
    }
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
  return commandIn(folder);
}

function commandIn(folder: string): string {
  return join(folder, WINDOWS ? 'Scripts/ministack.exe' : 'bin/ministack');
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  for (const deadline = Date.now() + STARTS_WITHIN_MS; Date.now() < deadline; await wait(50)) {
    if (child.exitCode !== null) throw new Error(`it ended with code ${child.exitCode}`);
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok) return;
  }
  throw new Error(`no answer at ${url} within ${STARTS_WITHIN_MS} ms`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}
