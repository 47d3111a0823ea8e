/**
 * A real Flink from Maven Central on loopback, kept in a cache outside the checkout: a job manager, a task manager
 * and a SQL gateway, which takes plain SQL. It needs a JDK of 17 and Maven.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { ROOT } from '../files.ts';
import { java, jdkOf, MAVEN } from './java.ts';
import { answers, freePort, installed, kill, step, withoutCache } from './service.ts';

const POM = join(ROOT, 'test', 'services', 'flink', 'pom.xml');

export const FLINK_VERSION = '1.20.3';
const JAVA_NEEDED = 17;

/** For node:test's `skip`: why no Flink can run here, or false. With CI=true it has to run. */
export const withoutFlink: string | false = process.env['CI'] === 'true' ? false : unavailable();

function unavailable(): string | false {
  if (jdkOf(JAVA_NEEDED) === undefined) return `needs a JDK of ${JAVA_NEEDED} or newer, which is not here`;
  return MAVEN ? withoutCache : 'needs Maven, which is not here';
}

/** What Flink's own start scripts open to its code, for Java 17. */
const OPENED = [
  '--add-exports=java.base/sun.net.util=ALL-UNNAMED',
  '--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED',
  '--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED',
  ...[
    'lang',
    'net',
    'io',
    'nio',
    'lang.reflect',
    'text',
    'time',
    'util',
    'util.concurrent',
    'util.concurrent.atomic',
    'util.concurrent.locks',
  ].map((name) => `--add-opens=java.base/java.${name}=ALL-UNNAMED`),
  '--add-opens=java.base/sun.nio.ch=ALL-UNNAMED',
];

/** Emulators of Kinesis speak JSON only. */
const EMULATED = ['-Dorg.apache.flink.kinesis.shaded.com.amazonaws.sdk.disableCbor=true'];

/** MB. The task manager's memory is given part by part, or Flink would size it by the machine. */
const TASK_MEMORY = {
  'task.heap.size': '1024m',
  'framework.heap.size': '128m',
  'framework.off-heap.size': '128m',
  'task.off-heap.size': '128m',
  // Each window operator of each subtask takes a share of it.
  'managed.size': '1536m',
  'network.min': '256m',
  'network.max': '256m',
  'jvm-metaspace.size': '256m',
  'jvm-overhead.min': '192m',
  'jvm-overhead.max': '192m',
};

export interface FinishedJob {
  /** From when the job ran to its end, by the job manager. */
  readonly durationMs: number;
}

export interface Flink {
  /** URLs of the SQL gateway and of the job manager. */
  readonly gateway: string;
  readonly manager: string;
  /** Kills the task manager and starts another one; its jobs go on from their last checkpoints. */
  restartTasks(): Promise<void>;
  /** CPU that the job manager and the task manager have used so far; Linux only. */
  cpuSeconds(): number;
  /** Kills the SQL gateway. */
  stopGateway(): Promise<void>;
  /**
   * Runs statements one after another in a session of their own; the last one is an INSERT over bounded input,
   * whose job is waited for. Throws with what Flink says when a statement or the job fails.
   */
  run(statements: readonly string[]): Promise<FinishedJob>;
}

export interface FlinkSettings {
  /** Added to the environment of its processes. */
  readonly env?: Readonly<Record<string, string>>;
  /** Names of jars, as they begin, that it has to do without. */
  readonly without?: readonly string[];
}

/** Starts it on free ports of this machine alone; it stops with the test. Throws if it doesn't come up. */
export async function startFlink(
  t: Pick<TestContext, 'after'>,
  { env = {}, without = [] }: FlinkSettings = {},
): Promise<Flink> {
  const jdk = jdkOf(JAVA_NEEDED);
  if (jdk === undefined) throw new Error(`Flink ${FLINK_VERSION} needs a JDK of ${JAVA_NEEDED} or newer`);
  const mark = createHash('sha256').update(readFileSync(POM)).digest('hex').slice(0, 8);
  const jars = installed(`flink-${FLINK_VERSION}-${mark}`, (folder) =>
    step(
      'mvn',
      [
        '-B',
        '-q',
        '-f',
        POM,
        'dependency:copy-dependencies',
        `-Dflink.version=${FLINK_VERSION}`,
        `-DoutputDirectory=${folder}`,
        '-DincludeScope=runtime',
      ],
      { JAVA_HOME: jdk.home },
    ),
  );
  const home = mkdtempSync(join(tmpdir(), 'taxiflow-flink-'));
  const children: ChildProcess[] = [];
  t.after(async () => {
    for (const child of children) await kill(child);
    rmSync(home, { recursive: true, force: true });
  });
  const manager = await freePort();
  const gateway = await freePort();
  configure(home, manager, gateway, await freePort());
  const lib = without.length === 0 ? jars : join(home, 'lib');
  if (lib !== jars) {
    mkdirSync(lib);
    for (const jar of readdirSync(jars).filter((name) => !without.some((one) => name.startsWith(one))))
      symlinkSync(join(jars, jar), join(lib, jar));
  }
  const begin = (name: string, mainClass: string, heap: string, args: readonly string[]) => {
    const log = openSync(join(home, `${name}.log`), 'a');
    const child = spawn(
      java(jdk, 'java'),
      [...OPENED, ...EMULATED, `-Xmx${heap}`, '-cp', join(lib, '*'), mainClass, ...args],
      {
        stdio: ['ignore', log, log],
        env: {
          ...process.env,
          ...env,
          FLINK_CONF_DIR: join(home, 'conf'),
          FLINK_LIB_DIR: lib,
          FLINK_OPT_DIR: lib,
          FLINK_PLUGINS_DIR: join(home, 'plugins'),
        },
      },
    );
    children.push(child);
    return child;
  };
  const conf = ['--configDir', join(home, 'conf')];
  const entry = 'org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint';
  const jobs = begin('jobs', entry, '512m', [...conf, '--executionMode', 'cluster']);
  const beginTasks = () =>
    begin('tasks', 'org.apache.flink.runtime.taskexecutor.TaskManagerRunner', '1152m', [
      ...conf,
      '-D',
      'taskmanager.cpu.cores=2',
      ...Object.entries(TASK_MEMORY).flatMap(([name, size]) => ['-D', `taskmanager.memory.${name}=${size}`]),
    ]);
  let tasks = beginTasks();
  const sql = begin('gateway', 'org.apache.flink.table.gateway.SqlGateway', '512m', []);
  const at = { manager: `http://127.0.0.1:${manager}`, gateway: `http://127.0.0.1:${gateway}` };
  try {
    await answers(`${at.manager}/overview`, jobs);
    await answers(`${at.gateway}/v1/info`, sql);
    await hasTasks(at.manager);
  } catch (error) {
    const said = ['jobs', 'tasks', 'gateway'].map((name) => readFileSync(join(home, `${name}.log`), 'utf8'));
    throw new Error(`Flink didn't start: ${error}\n${said.join('\n')}`, { cause: error });
  }
  return {
    ...at,
    run: (statements) => run(at, statements),
    async restartTasks() {
      await kill(tasks);
      tasks = beginTasks();
    },
    cpuSeconds: () => cpuOf(jobs) + cpuOf(tasks),
    stopGateway: () => kill(sql),
  };
}

/** User and system time of a process, in seconds. */
function cpuOf({ pid }: ChildProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function hasTasks(manager: string): Promise<void> {
  while ((await ask<{ taskmanagers: number }>('GET', `${manager}/overview`)).taskmanagers === 0)
    await wait(50);
}

function configure(home: string, manager: number, gateway: number, rpc: number): void {
  for (const name of ['conf', 'plugins', 'tmp', 'checkpoints'])
    mkdirSync(join(home, name), { recursive: true });
  const settings = {
    'jobmanager.rpc.address': '127.0.0.1',
    'jobmanager.bind-host': '127.0.0.1',
    'jobmanager.rpc.port': rpc,
    'jobmanager.memory.process.size': '1024m',
    'taskmanager.bind-host': '127.0.0.1',
    'taskmanager.host': '127.0.0.1',
    'taskmanager.numberOfTaskSlots': 16,
    'rest.address': '127.0.0.1',
    'rest.bind-address': '127.0.0.1',
    'rest.port': manager,
    'classloader.resolve-order': 'parent-first',
    'execution.checkpointing.interval': '1 s',
    'execution.checkpointing.dir': `file://${join(home, 'checkpoints')}`,
    'execution.checkpointing.savepoint-dir': `file://${join(home, 'savepoints')}`,
    // By default its figures are ten seconds old, and a lost task manager is missed after fifty.
    'metrics.fetcher.update-interval': 500,
    'heartbeat.interval': 500,
    'heartbeat.timeout': 5000,
    'restart-strategy.type': 'fixed-delay',
    'restart-strategy.fixed-delay.attempts': 1000,
    'restart-strategy.fixed-delay.delay': '200 ms',
    'io.tmp.dirs': join(home, 'tmp'),
    'sql-gateway.endpoint.rest.address': '127.0.0.1',
    'sql-gateway.endpoint.rest.bind-address': '127.0.0.1',
    'sql-gateway.endpoint.rest.port': gateway,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}: ${value}\n`);
  writeFileSync(join(home, 'conf', 'config.yaml'), lines.join(''));
}

interface Fetched {
  readonly resultType: 'NOT_READY' | 'PAYLOAD' | 'EOS';
  readonly jobID?: string;
}

interface Job {
  readonly state: string;
  readonly duration: number;
}

async function run(
  at: { readonly manager: string; readonly gateway: string },
  statements: readonly string[],
): Promise<FinishedJob> {
  const sessions = `${at.gateway}/v1/sessions`;
  const { sessionHandle } = await ask<{ sessionHandle: string }>('POST', sessions, {});
  const session = `${sessions}/${sessionHandle}`;
  try {
    let job: string | undefined;
    for (const statement of statements) {
      const posted = { statement };
      const { operationHandle } = await ask<{ operationHandle: string }>(
        'POST',
        `${session}/statements`,
        posted,
      );
      for (;;) {
        const fetched = await ask<Fetched>(
          'GET',
          `${session}/operations/${operationHandle}/result/0?rowFormat=JSON`,
        );
        job = fetched.jobID ?? job;
        if (fetched.resultType !== 'NOT_READY') break;
        await wait(20);
      }
    }
    if (job === undefined) throw new Error('no statement started a job');
    return await finished(at.manager, job);
  } finally {
    await ask('DELETE', session);
  }
}

async function finished(manager: string, job: string): Promise<FinishedJob> {
  for (;;) {
    const { state, duration } = await ask<Job>('GET', `${manager}/jobs/${job}`);
    if (state === 'FINISHED') return { durationMs: duration };
    if (state === 'FAILED' || state === 'CANCELED')
      throw new Error(
        `the job is ${state}: ${JSON.stringify(await ask('GET', `${manager}/jobs/${job}/exceptions`))}`,
      );
    await wait(50);
  }
}

async function ask<T>(method: string, url: string, body?: unknown): Promise<T> {
  const response = await fetch(url, {
    method,
    ...(body === undefined
      ? {}
      : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  const text = await response.text();
  // The root cause comes last, behind a hundred lines of stack.
  const causes = text.match(/Caused by: [^\\]+/g) ?? [text.slice(0, 4_000)];
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${causes.at(-1)}`);
  return JSON.parse(text) as T;
}
