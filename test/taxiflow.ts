/** The real binary, as users run it. */
import './aws-settings.ts';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ROOT } from './files.ts';
import { until } from './until.ts';

export const BIN = join(ROOT, 'bin', 'taxiflow.js');

const AT_COMMIT = ['--import', pathToFileURL(join(ROOT, 'test', 'crash', 'kill-at-commit.mjs')).href];

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

/** The environment without variables of the tests themselves, such as TAXIFLOW_SEED: taxiflow would read its options from them. */
const ENVIRONMENT = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('TAXIFLOW_')),
);

/** Runs the real binary to its end. */
export function taxiflow(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...(options.node ?? []), BIN, ...args], {
      cwd: options.cwd ?? ROOT,
      env: { ...ENVIRONMENT, ...options.env },
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

/** Runs the binary, which gets a signal after its nth commit, unless it ends before. */
export function signalledAtCommit(
  nth: number,
  args: readonly string[],
  env: Record<string, string> = {},
  signal: NodeJS.Signals = 'SIGKILL',
): Promise<Ran> {
  const at = { TAXIFLOW_KILL: `commit:after:${nth}`, TAXIFLOW_SIGNAL: signal };
  return taxiflow(args, { node: AT_COMMIT, env: { ...env, ...at } });
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
