/** What the services of tests share: a cache outside the checkout, free ports, waiting until one answers, its end. */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, constants, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { systemCode } from '../../src/errors.ts';

const CACHE = process.env['TAXIFLOW_TEST_CACHE'] ?? join(homedir(), '.cache', 'taxiflow-tests');
/** For node:test's `skip`: why nothing can be installed for the tests, or false. */
export const withoutCache: string | false = (() => {
  try {
    mkdirSync(CACHE, { recursive: true });
    accessSync(CACHE, constants.W_OK);
    return false;
  } catch {
    return `needs a folder it may write: ${CACHE}, or TAXIFLOW_TEST_CACHE`;
  }
})();
const STARTS_WITHIN_MS = 300_000;
/** Longer than a download of some hundred megabytes takes. */
const INSTALLED_WITHIN_MS = 1_800_000;

/** The folder `name` of the cache, filled by `make` the first time; one test file makes it, others wait. */
export function installed(name: string, make: (folder: string) => void): string {
  const folder = join(CACHE, name);
  const whole = join(folder, 'whole');
  if (existsSync(whole)) return folder;
  // What is made there may know its own place, so it isn't moved; what marks it whole comes last.
  const lock = `${folder}.lock`;
  for (const deadline = Date.now() + INSTALLED_WITHIN_MS; ; ) {
    try {
      mkdirSync(lock);
      break;
    } catch (error) {
      // No lock of another test's (that may be EPERM on Windows): it would be waited for in vain.
      if (['ENOENT', 'EACCES', 'EROFS'].includes(systemCode(error) ?? '')) throw error;
      if (Date.now() > deadline)
        throw new Error(`another test has held ${lock} for minutes; remove it`, { cause: error });
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    }
  }
  try {
    if (!existsSync(whole)) {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder);
      make(folder);
      writeFileSync(whole, '');
    }
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
  return folder;
}

/** Runs one step of a set-up to its end; throws with what it printed. */
export function step(command: string, args: readonly string[], env: Record<string, string> = {}): void {
  const ran = spawnSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    shell: process.platform === 'win32' && command === 'mvn',
  });
  if (ran.status !== 0)
    throw new Error(
      `${command} ${args.join(' ')}: ${ran.error?.message ?? `code ${ran.status}`}\n${ran.stdout}${ran.stderr}`,
    );
}

/** Below what systems give to those who ask for any port or connect: nobody gets it by chance until a service has it. */
const PORTS = { from: 10_000, to: 32_000 };

/** A port of 127.0.0.1 that is free, also after the service that had it was stopped. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(PORTS.from, PORTS.to);
    const server = createServer().listen(port, '127.0.0.1');
    const free = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!free) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** Returns once `url` is answered with success; throws if the process ends before, or it takes too long. */
export async function answers(url: string, child: ChildProcess): Promise<void> {
  for (const deadline = Date.now() + STARTS_WITHIN_MS; Date.now() < deadline; await wait(50)) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`it ended with ${child.exitCode ?? child.signalCode}`);
    const response = await fetch(url).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.ok) return;
  }
  throw new Error(`no answer at ${url} within ${STARTS_WITHIN_MS} ms`);
}

/** Kills the process and waits for its end. */
export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}
