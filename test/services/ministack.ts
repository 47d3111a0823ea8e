/** A real emulator of S3 and Kinesis, from PyPI, kept in a cache folder outside the checkout. */
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { answers, freePort, installed, kill, step, withoutCache } from './service.ts';

const VERSION = '1.5.33';
const WINDOWS = process.platform === 'win32';
const PYTHON = (WINDOWS ? ['python', 'py'] : ['python3']).find(
  (python) => spawnSync(python, ['-m', 'venv', '--help'], { stdio: 'ignore' }).status === 0,
);

/** For node:test's `skip`: why the emulator can't run here, or false. With CI=true it has to run. */
export const withoutMinistack: string | false =
  process.env['CI'] === 'true'
    ? false
    : PYTHON === undefined
      ? 'needs Python 3 with venv, which is not here'
      : withoutCache;

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
  t.after(() => kill(child));
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
  const folder = installed(`ministack-${VERSION}`, (folder) => {
    if (PYTHON === undefined) throw new Error('ministack needs Python 3 with venv');
    step(PYTHON, ['-m', 'venv', folder]);
    const python = join(folder, WINDOWS ? 'Scripts/python.exe' : 'bin/python');
    step(python, ['-m', 'pip', 'install', '--quiet', `ministack==${VERSION}`]);
  });
  return join(folder, WINDOWS ? 'Scripts/ministack.exe' : 'bin/ministack');
}
