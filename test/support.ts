/** What tests share: where the samples are, folders of their own, and the real binary. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

// Tests say themselves which AWS they mean: a profile or an endpoint of the developer's would be asked instead.
for (const name of Object.keys(process.env)) {
  if (name.startsWith('AWS_') && !name.startsWith('AWS_SDK_JS_')) delete process.env[name];
}

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
export const BIN = join(ROOT, 'bin', 'taxiflow.js');
export const FIXTURES = join(ROOT, 'fixtures');
/** Real TLC samples beside the checkout; not everybody has them. */
export const SHARED_DATA = join(ROOT, '..', 'shared', 'data');

/** What never comes is given up after this; nothing takes so long, on however slow and busy a machine. */
export const PATIENCE_MS = 300_000;

/** For node:test's `skip`: why a test that needs the samples can't run, or false. */
export const withoutSamples: string | false = existsSync(SHARED_DATA)
  ? false
  : 'needs ../shared/data, which is not here';

export function fixture(name: string): string {
  return join(FIXTURES, name);
}

export function fixtureFiles(): string[] {
  return readdirSync(FIXTURES)
    .filter((file) => file.endsWith('.csv'))
    .sort();
}

/** A folder that goes with the test. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface Ran {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The last line of stdout as JSON. */
  json<T = Record<string, unknown>>(): T;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly input?: string | Buffer;
  readonly env?: Record<string, string>;
  /** Node flags before the binary. */
  readonly node?: readonly string[];
  /** Told of the process once it runs. */
  readonly onStart?: (child: ChildProcess) => void;
}

/** Runs the real binary to its end. */
export function taxiflow(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...(options.node ?? []), BIN, ...args], {
      cwd: options.cwd ?? ROOT,
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const text = Buffer.concat(stdout).toString();
      resolve({
        code,
        signal,
        stdout: text,
        stderr: Buffer.concat(stderr).toString(),
        json: <T>() => JSON.parse(text.trim().split('\n').at(-1) ?? '') as T,
      });
    });
    options.onStart?.(child);
  });
}

export interface Following {
  /** What it has printed on stderr. */
  said(): string;
  /** Returns once `condition` holds; throws if the process ends before, or after `PATIENCE_MS`. */
  until(what: string, condition: () => boolean | Promise<boolean>): Promise<void>;
  /** Interrupts it as Ctrl-C does, and waits for its end. */
  interrupt(): Promise<Ran>;
}

/** Starts a command that goes on until it is interrupted; it is killed with the test. */
export function following(t: TestContext, args: readonly string[], options: RunOptions = {}): Following {
  let child: ChildProcess | undefined;
  let said = '';
  let last: Ran | undefined;
  const ended = taxiflow(args, {
    ...options,
    onStart: (started) => {
      child = started;
      started.stderr?.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
    },
  }).then((ran) => {
    last = ran;
    return ran;
  });
  t.after(async () => {
    child?.kill('SIGKILL');
    await ended;
  });
  return {
    said: () => said,
    until: (what, condition) =>
      until(what, async () => {
        if (last !== undefined) throw new Error(`it ended before ${what}: ${said}`);
        return await condition();
      }).catch((error: unknown) => {
        throw new Error(`${error instanceof Error ? error.message : error}\n${said}`);
      }),
    interrupt: () => {
      child?.kill('SIGINT');
      return ended;
    },
  };
}

/** Looks again and again until `condition` holds; throws after `PATIENCE_MS`. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; !(await condition()); await wait(20)) {
    if (Date.now() > deadline) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
  }
}

/** Runs the binary and kills it so many ms after it said `word`, by default its first, unless it ends before. */
export async function killedAfter(
  ms: number,
  args: readonly string[],
  env: Record<string, string> = {},
  word = /./,
): Promise<Ran> {
  let timer: NodeJS.Timeout | undefined;
  const ran = await taxiflow(args, {
    env,
    onStart: (child) => {
      let said = '';
      child.stderr?.on('data', (chunk: Buffer) => {
        said += chunk;
        if (word.test(said)) timer ??= setTimeout(() => child.kill('SIGKILL'), ms);
      });
    },
  });
  clearTimeout(timer);
  return ran;
}
