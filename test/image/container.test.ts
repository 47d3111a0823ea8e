/** A built image, run by Docker or Podman: `docker build -t taxiflow . && TAXIFLOW_TEST_IMAGE=taxiflow npm test -- image`. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { ROOT, temporaryFolder } from '../files.ts';
import { comparable, expectedLines } from '../golden/oracle.ts';
import { taxiflow } from '../taxiflow.ts';
import { until } from '../until.ts';

const IMAGE = process.env['TAXIFLOW_TEST_IMAGE'] ?? '';
const ENGINE = ['docker', 'podman'].find(
  (name) => IMAGE !== '' && spawnSync(name, ['image', 'inspect', IMAGE], { stdio: 'ignore' }).status === 0,
);
const without =
  IMAGE === '' ? 'needs an image in Docker or Podman, which TAXIFLOW_TEST_IMAGE names; docs/aws.md' : false;

/** As little as a container can have. */
const BARE = ['--network=none', '--cap-drop=ALL', '--security-opt=no-new-privileges', '--no-healthcheck'];
const READ_ONLY = [...BARE, '--read-only'];

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function engine(...args: string[]): Ended {
  if (ENGINE === undefined) throw new Error(`neither Docker nor Podman has the image ${IMAGE}`);
  const { status, stdout, stderr } = spawnSync(ENGINE, args, { encoding: 'utf8', maxBuffer: 1e9 });
  return { code: status, stdout, stderr };
}

/** Standard output of what must succeed. */
function done(...args: string[]): string {
  const { code, stdout, stderr } = engine(...args);
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
}

function volume(t: TestContext): string {
  const name = `taxiflow-test-${randomUUID()}`;
  done('volume', 'create', name);
  t.after(() => engine('volume', 'rm', '--force', name));
  return name;
}

/** Starts a container in the background; it goes with the test. */
function started(t: TestContext, ...args: string[]): string {
  const name = `taxiflow-test-${randomUUID()}`;
  t.after(() => engine('rm', '--force', '--volumes', name));
  done('run', '--detach', '--name', name, ...args);
  return name;
}

/** Runs JavaScript in a container and parses the JSON that it prints. */
function inside<T>(script: string, ...options: string[]): T {
  return JSON.parse(done('run', '--rm', ...options, '--entrypoint=node', IMAGE, '--eval', script)) as T;
}

interface Inspected {
  readonly Size: number;
  readonly Config: {
    readonly Labels: Record<string, string>;
    readonly Healthcheck?: Healthcheck;
  };
  /** Where Podman has it. */
  readonly Healthcheck?: Healthcheck;
}

interface Healthcheck {
  readonly Test: readonly string[];
}

function config(): Inspected {
  const [one] = JSON.parse(done('image', 'inspect', IMAGE)) as Inspected[];
  return one!;
}

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };

interface Locked {
  readonly version: string;
  readonly dependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
}

/** The version by folder of what the lock file installs for running on Node.js 22, found as Node.js resolves names. */
function locked(): Record<string, string> {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Locked>;
  };
  const found: Record<string, string> = {};
  const visit = (from: string) => {
    const { dependencies, optionalDependencies } = packages[from]!;
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      if (name === 'better-sqlite3-12') continue;
      const above = from
        .split('/node_modules/')
        .map((_, at, parts) => parts.slice(0, at + 1).join('/node_modules/'));
      const folders = ['', ...above.filter((folder) => folder !== '')].map((folder) =>
        join(folder, 'node_modules', name),
      );
      const folder = folders.findLast((candidate) => packages[candidate]);
      if (folder === undefined) throw new Error(`the lock file lacks ${name} of ${from}`);
      if (found[folder] !== undefined) continue;
      found[folder] = packages[folder]!.version;
      visit(folder);
    }
  };
  visit('');
  return found;
}

describe('the image', { skip: without }, () => {
  test('says what it can do unless told what to do, and is labelled as this version', () => {
    const help = done('run', '--rm', ...READ_ONLY, IMAGE);
    assert.match(help, /^taxiflow <command>/);
    assert.equal(done('run', '--rm', ...READ_ONLY, IMAGE, '--version'), `${manifest.version}\n`);
    assert.equal(config().Config.Labels['org.opencontainers.image.version'], manifest.version);
    const { code, stderr } = engine('run', '--rm', ...READ_ONLY, IMAGE, 'proces');
    assert.equal(code, 2, 'the exit code comes through');
    assert.match(stderr, /^Try: /m);
  });

  for (const [what, options] of [
    ['read-only', READ_ONLY],
    ['writable', BARE],
  ] as const) {
    test(`its user is nobody's, and can write to /data and /tmp alone (root ${what})`, () => {
      const seen = inside<{ ids: number[]; writable: string[]; inside: string[] }>(
        `const fs = require('fs'), path = require('path');
        const writable = [];
        const look = (folder) => {
          if (/^.(proc|sys|dev|run)$/.test(folder)) return;
          try { fs.accessSync(folder, fs.constants.W_OK); return void writable.push(folder); } catch {}
          let entries = [];
          try { entries = fs.readdirSync(folder, { withFileTypes: true }); } catch {}
          for (const entry of entries) {
            const at = path.join(folder, entry.name);
            if (entry.isDirectory()) look(at);
            else if (entry.isFile()) try { fs.accessSync(at, fs.constants.W_OK); writable.push(at); } catch {}
          }
        };
        look('/');
        console.log(JSON.stringify({
          ids: [process.getuid(), process.getgid(), ...process.getgroups()],
          writable,
          inside: fs.readdirSync('/data'),
        }))`,
        ...options,
      );
      assert.deepEqual(new Set(seen.ids), new Set([10_001]));
      // Podman lays a scratch file system of its own over /var/tmp.
      const known = ['/data', '/tmp', '/var/tmp'];
      assert.deepEqual(
        seen.writable.filter((path) => !known.includes(path)),
        [],
      );
      assert.ok(seen.writable.includes('/data') && seen.writable.includes('/tmp'));
      assert.deepEqual(seen.inside, []);
    });
  }

  test('replay and process compute with a read-only root what the oracle does', async (t) => {
    const folder = temporaryFolder(t);
    const trips = ['generate', '--trips', '5000', '--hours', '5', '--seed', '7'];
    await taxiflow([...trips, '--out', 'trips.csv'], { cwd: folder });
    const data = volume(t);
    const run = (...args: string[]) =>
      done('run', '--rm', ...READ_ONLY, '--volume', `${data}:/data`, IMAGE, ...args);
    run(...trips, '--out', 'trips.csv');
    run('replay', 'trips.csv', '--speedup', 'max');
    run('process', '--until-end', '--drain', '--output', 'out.ndjson');
    const read = inside<string>(
      `console.log(JSON.stringify(require('fs').readFileSync('out.ndjson', 'utf8')))`,
      ...READ_ONLY,
      `--volume=${data}:/data`,
    );
    const expected = await expectedLines([join(folder, 'trips.csv')]);
    assert.ok(expected.lines.length > 0);
    assert.deepEqual(comparable(read), expected.lines);
    const status = JSON.parse(run('status', '--json')) as { totals: { results: number } };
    assert.equal(status.totals.results, expected.lines.length);
    run('savepoint', 'create', '--to', '/data/savepoints/');
  });

  test('nothing is written outside of its volumes', (t) => {
    const changes = (...args: string[]) => {
      const name = `taxiflow-test-${randomUUID()}`;
      t.after(() => engine('rm', '--force', '--volumes', name));
      done('run', '--name', name, ...BARE, '--volume', `${data}:/data`, IMAGE, ...args);
      return done('diff', name).split('\n').sort();
    };
    const data = volume(t);
    // What the engine itself lays, such as /etc/hosts.
    const nothing = changes('--version');
    assert.deepEqual(changes('replay', '--limit', '20000', '--speedup', 'max'), nothing);
    assert.deepEqual(changes('process', '--until-end', '--drain', '--output', 'out.ndjson'), nothing);
    assert.deepEqual(changes('savepoint', 'create', '--to', '/data/'), nothing);
  });

  test('a processor is healthy while it runs, and ends cleanly when its container is stopped', async (t) => {
    const data = volume(t);
    const place = [...READ_ONLY, '--volume', `${data}:/data`];
    done('run', '--rm', ...place, IMAGE, 'replay', '--limit', '20000', '--speedup', 'max');
    const name = started(t, ...place, IMAGE, 'process', '--output', 'out.ndjson');
    await until('a checkpoint with trips', () => {
      const { code, stdout } = engine('exec', name, 'taxiflow', 'status', '--json');
      return code === 0 && JSON.parse(stdout).totals?.processed > 0 && JSON.parse(stdout).checkpoint !== null;
    });
    const { Config, Healthcheck = Config.Healthcheck } = config();
    const [kind, ...check] = Healthcheck?.Test ?? [];
    assert.equal(kind, 'CMD');
    const healthy = engine('exec', name, ...check);
    assert.equal(healthy.code, 0, healthy.stderr);
    done('stop', '-t', '60', name);
    assert.equal(done('inspect', '--format', '{{.State.ExitCode}}', name).trim(), '130');
    assert.match(engine('logs', name).stderr, /read [\d,]+ = watermarks/, 'it has told what it did');

    done('run', '--rm', ...place, IMAGE, 'process', '--until-end', '--drain', '--output', 'out.ndjson');
    const { totals } = JSON.parse(done('run', '--rm', ...place, IMAGE, 'status', '--json')) as {
      totals: { processed: number; filtered: number; duplicate: number; late: number };
    };
    assert.equal(totals.processed + totals.filtered + totals.late, 20_000);
    assert.equal(totals.duplicate, 0, 'it went on where it was');
  });

  test('a command without a handler for signals ends at once too', async (t) => {
    const wait = ['es-setup', '--endpoint', 'http://127.0.0.1:9', '--wait', '30m'];
    const name = started(t, ...READ_ONLY, IMAGE, ...wait);
    await until('it waits', () => engine('logs', name).stderr !== '');
    done('stop', '-t', '60', name);
    assert.equal(
      done('inspect', '--format', '{{.State.ExitCode}}', name).trim(),
      '143',
      'not killed, which is 137',
    );
  });

  test('it holds the packages of the lock file, which its SBOM lists, and no tool to make or fetch anything', (t) => {
    const { packages, sbom, files, tools } = inside<{
      packages: Record<string, string>;
      sbom: { packages: { name: string; versionInfo: string }[] };
      files: string[];
      tools: string[];
    }>(
      `const fs = require('fs'), path = require('path');
      process.chdir('/opt/taxiflow');
      const packages = {};
      const look = (folder) => {
        for (const name of fs.existsSync(folder) ? fs.readdirSync(folder) : []) {
          if (name.startsWith('.')) continue;
          const at = path.join(folder, name);
          if (name.startsWith('@')) { look(at); continue; }
          packages[at] = JSON.parse(fs.readFileSync(path.join(at, 'package.json'), 'utf8')).version;
          look(path.join(at, 'node_modules'));
        }
      };
      look('node_modules');
      const tools = ['npm', 'npx', 'yarn', 'corepack', 'gcc', 'cc', 'g++', 'make', 'python3', 'git', 'curl', 'wget'];
      console.log(JSON.stringify({
        packages,
        sbom: JSON.parse(fs.readFileSync('/usr/share/doc/taxiflow/sbom.spdx.json', 'utf8')),
        files: fs.readdirSync('.', { recursive: true }),
        tools: process.env.PATH.split(':').flatMap((folder) =>
          tools.map((tool) => path.join(folder, tool))).filter((file) => fs.existsSync(file)),
      }))`,
      ...READ_ONLY,
    );
    const expected = locked();
    assert.ok(Object.keys(expected).length > 50);
    assert.deepEqual(packages, expected);
    const listed = Object.entries(expected).map(
      ([folder, version]) => `${folder.slice(folder.lastIndexOf('node_modules/') + 13)} ${version}`,
    );
    assert.deepEqual(
      new Set(sbom.packages.map(({ name, versionInfo }) => `${name} ${versionInfo}`)),
      new Set([...listed, `taxiflow ${manifest.version}`]),
    );
    assert.deepEqual(tools, []);
    const own = files.filter((file) => !file.startsWith('node_modules/'));
    assert.deepEqual(
      own.filter((file) => /^(src|test|fixtures|scripts)\b|(^|\/)\.(env|npmrc|git|aws)/.test(file)),
      [],
    );
    const compiled = files.filter((file) => file.endsWith('.node'));
    assert.equal(compiled.length, 1, compiled.join(' '));
    assert.ok(own.includes('LICENSE'));
    t.diagnostic(`${(config().Size / 1e6).toFixed(0)} MB, ${Object.keys(packages).length} packages`);
  });
});
