/** A real emulator of S3 and Kinesis, from PyPI, kept in a cache folder outside the checkout. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { ROOT } from '../files.ts';
import { pythonCommand, withoutPython } from './python.ts';
import { answers, freePort, kill } from './service.ts';

const VERSION = '1.5.33';
const START = join(ROOT, 'test', 'services', 'start-ministack.py');
/** For node:test's `skip`: why the emulator can't run here, or false. With CI=true it has to run. */
export const withoutMinistack: string | false = withoutPython;

export interface Ministack {
  /** `http://127.0.0.1:PORT`, for every service. */
  readonly endpoint: string;
  /** Region and credentials, for the environment of a process. */
  readonly env: Record<string, string>;
}

/** Starts an empty emulator on a free port of this machine alone; it stops with the test. Throws if it doesn't answer. */
export async function startMinistack(t: TestContext): Promise<Ministack> {
  const port = await freePort();
  const child = spawn(pythonCommand('ministack', VERSION, 'python'), [START], {
    env: {
      ...process.env,
      GATEWAY_PORT: String(port),
      BIND_HOST: '127.0.0.1',
      PERSIST_STATE: '0',
      IOT_MTLS_ENABLED: '0',
    },
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
