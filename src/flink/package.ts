/** What Amazon Managed Service for Apache Flink runs: a jar with a main class, the statements, and the jars of connectors. */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TaxiflowError, translating } from '../errors.ts';
import { type JobDefinition, scriptOf, settingsOf, statementSet } from './script.ts';
import { quoted } from './tables.ts';

const MAIN = 'SqlJob';
const SOURCE = fileURLToPath(new URL(`./java/${MAIN}.java`, import.meta.url));
const SEPARATOR = '\n-- next statement\n';
/** What the service sets by itself, from the application's own settings. */
const ITS_OWN = ['parallelism.default', 'execution.savepoint.path', 'execution.checkpointing.interval'];

export interface Packaged {
  readonly path: string;
  /** Jars of connectors in it. */
  readonly jars: readonly string[];
}

/** Compiles and writes it. `jars` is a folder with the jars of connectors. Throws `no-jdk`, `not-readable`, `not-writable`. */
export function packageJob(definition: JobDefinition, to: string, jars: string | undefined): Packaged {
  const folder = mkdtempSync(join(tmpdir(), 'taxiflow-package-'));
  try {
    const script = scriptOf(definition);
    const start = { parallelism: 1, checkpointInterval: undefined, savepoint: undefined };
    const settings = settingsOf(definition.app, script, start)
      .filter(([name]) => !ITS_OWN.includes(name))
      .map(([name, value]) => `SET ${quoted(name)} = ${quoted(value)}`);
    writeFileSync(
      join(folder, 'job.sql'),
      [...settings, ...script.tables, statementSet(script)].join(SEPARATOR),
    );
    run('javac', ['--release', '17', '-d', folder, SOURCE]);
    const added = jars === undefined ? [] : copyJars(jars, join(folder, 'lib'));
    const path = resolve(to);
    translating('the package', path, () => writeFileSync(path, ''), '--output');
    run('jar', ['--create', '--file', path, '--main-class', MAIN, '-C', folder, '.']);
    return { path, jars: added };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Flink looks into lib/ of a jar for more jars. */
function copyJars(from: string, to: string): string[] {
  const found = translating('the folder of jars', from, () => readdirSync(from), '--jars').filter((name) =>
    name.endsWith('.jar'),
  );
  mkdirSync(to);
  for (const name of found) copyFileSync(join(from, name), join(to, basename(name)));
  return found;
}

function run(tool: 'javac' | 'jar', args: readonly string[]): void {
  const home = process.env['JAVA_HOME'];
  const inHome = home === undefined ? undefined : join(home, 'bin', tool);
  const command = inHome !== undefined && existsSync(inHome) ? inHome : tool;
  const ran = spawnSync(command, args, { encoding: 'utf8' });
  if (ran.status === 0) return;
  if (ran.error)
    throw new TaxiflowError('no-jdk', `there is no ${tool} here, which makes the package`, {
      hint: 'install a JDK of 17 or newer, or set JAVA_HOME; "taxiflow flink sql" needs none',
    });
  throw new TaxiflowError('no-jdk', `${tool} has failed: ${ran.stderr.trim().split('\n')[0] ?? ran.status}`, {
    hint: 'use a JDK of 17 or newer',
  });
}
