/** The Dockerfile and its context, without building them; container.test.ts runs a built image. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { everyCommand, readArguments } from '../../src/cli/arguments.ts';
import { flagName } from '../../src/cli/options.ts';
import { ROOT, temporaryFolder } from '../files.ts';
import { contextFiles, contextFilter, execForm, stages } from './dockerfile.ts';

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  version: string;
  license: string;
  bin: { taxiflow: string };
  optionalDependencies: Record<string, string>;
};
const all = stages();
const last = all.at(-1)!;
const texts = (keyword: string, of = last) =>
  of.instructions.filter((one) => one.keyword === keyword).map((one) => one.text);

test('all stages come from one image, whose Node.js has the SQLite that comes compiled', () => {
  const names = all.map(({ name }) => name);
  const outside = all.filter(({ from }, at) => !names.slice(0, at).includes(from));
  assert.equal(outside.length, 1);
  assert.match(outside[0]!.from, /^node:22(\.(1[4-9]|[2-9]\d)\.\d+)?-\w+-slim(@sha256:[0-9a-f]{64})?$/);
  assert.ok(manifest.optionalDependencies['better-sqlite3-12'], 'the Dockerfile takes it out');
  all.forEach(({ instructions }, at) => {
    for (const { text } of instructions) {
      const [, from] = /^--from=(\S+)/.exec(text) ?? [];
      assert.ok(from === undefined || names.slice(0, at).includes(from), `a stage before it: ${text}`);
    }
  });
});

test('the instructions are those that linters ask for', () => {
  const known = ['ARG', 'CMD', 'COPY', 'ENTRYPOINT', 'ENV', 'HEALTHCHECK', 'LABEL', 'RUN', 'STOPSIGNAL'];
  for (const stage of all) {
    for (const { keyword, text } of stage.instructions) {
      assert.ok([...known, 'USER', 'VOLUME', 'WORKDIR'].includes(keyword), keyword);
      if (keyword === 'WORKDIR') assert.match(text, /^\//);
      if (keyword !== 'RUN') continue;
      assert.doesNotMatch(text, /(^|&& )(sudo|curl|wget|cd|apt) |\bnpm install [^-]|[^|]\|[^|]/, text);
      if (!/apt-get/.test(text)) continue;
      assert.match(text, /^apt-get update && apt-get install --yes --no-install-recommends (\w+=\S+ )+&& /);
      assert.match(text, /rm -rf [^&]*\/var\/lib\/apt\/lists\/\*/, 'no lists stay behind in its layer');
    }
  }
  const keywords = last.instructions.map(({ keyword }) => keyword);
  for (const once of ['USER', 'WORKDIR', 'ENTRYPOINT', 'CMD', 'HEALTHCHECK', 'VOLUME']) {
    assert.equal(keywords.filter((keyword) => keyword === once).length, 1, once);
  }
  assert.ok(keywords.lastIndexOf('RUN') < keywords.indexOf('VOLUME'), 'what a RUN does to a volume is lost');
  assert.ok(keywords.lastIndexOf('RUN') < keywords.indexOf('USER'));
  const [uid, gid] = /^(\d+):(\d+)$/.exec(texts('USER')[0]!)?.slice(1).map(Number) ?? [];
  assert.ok(
    uid! >= 10_000 && gid! >= 10_000,
    'by number, for a check that it is not root; no user of a host',
  );
  assert.ok(texts('RUN').some((text) => text.includes(`chown ${uid}:${gid} /data`)));
});

test('entry point, health check, variables and labels are those of this taxiflow', async () => {
  assert.deepEqual(execForm(texts('ENTRYPOINT')[0]!), ['tini', '--', 'taxiflow']);
  assert.deepEqual(execForm(texts('CMD')[0]!), ['--help']);
  assert.deepEqual(execForm(texts('VOLUME')[0]!), ['/data', '/tmp']);
  assert.ok(
    texts('RUN').some((text) =>
      text.includes(`ln -s /opt/taxiflow/${manifest.bin.taxiflow} /usr/local/bin/taxiflow`),
    ),
  );

  const [check = ''] = texts('HEALTHCHECK');
  const [command, ...args] = execForm(check);
  assert.equal(command, 'taxiflow');
  assert.deepEqual((await readArguments(args)).names, ['status']);
  const [, timeout, start] = /--timeout=(\d+)s --start-period=(\d+)s /.exec(check) ?? [];
  assert.ok(Number(timeout) >= 10 && Number(start) >= 60, 'a small machine starts Node.js slowly');

  const options = everyCommand().flatMap(({ command: { options } }) => Object.keys(options).map(flagName));
  const variables = texts('ENV').flatMap((text) => [...text.matchAll(/(\S+)=(\S+)/g)]);
  const own = variables.filter(([, name]) => name!.startsWith('TAXIFLOW_'));
  assert.deepEqual(
    own.map(([, name, value]) => `${name}=${value}`),
    ['TAXIFLOW_DATA_DIR=/data'],
  );
  for (const [, name] of own) {
    assert.ok(options.includes(name!.slice('TAXIFLOW_'.length).toLowerCase().replaceAll('_', '-')), name);
  }

  assert.deepEqual(texts('ARG'), [`VERSION=${manifest.version}`]);
  const [labels = ''] = texts('LABEL');
  assert.match(labels, /org\.opencontainers\.image\.version="\$\{VERSION\}"/);
  assert.ok(labels.includes(`org.opencontainers.image.licenses="${manifest.license}"`));
  assert.match(labels, /org\.opencontainers\.image\.source="https:\/\/github\.com\/taxiflow\/taxiflow"/);
});

test('nothing private gets into the build, nor what does not make the package', () => {
  const isIn = contextFilter();
  const kept = [
    'package.json',
    'package-lock.json',
    'src/index.ts',
    'bin/taxiflow.js',
    'src/a/b/c.ts',
    'LICENSE',
  ];
  assert.deepEqual(
    kept.filter((path) => !isIn(path)),
    [],
  );
  const secret = ['.env', '.env.local', '.npmrc', '.aws/credentials', '.git/config', 'server.key', 'ca.pem'];
  const other = [
    '.taxiflow/apps/demo.sqlite',
    'node_modules/yaml/index.js',
    'taxiflow-0.1.0.tgz',
    'taxiflow.config.json',
  ];
  const top = [
    'trips.csv',
    'dist/index.js',
    'test/files.ts',
    'fixtures/a.csv',
    'Dockerfile',
    'what-nobody-thought-of',
  ];
  const out = [
    ...secret,
    ...other,
    ...top,
    ...[...secret, ...other].flatMap((path) => [`docs/${path}`, `src/a/${path}`]),
  ];
  assert.deepEqual(out.filter(isIn), []);
});

test('what gets into the build makes the package that the checkout makes', (t) => {
  const folder = temporaryFolder(t);
  for (const file of contextFiles()) cpSync(join(ROOT, file), join(folder, file));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: folder, shell: process.platform === 'win32' });
  rmSync(join(folder, 'node_modules'));
  const packed = (cwd: string) => {
    const printed = execFileSync('npm', ['pack', '--ignore-scripts', '--dry-run', '--json'], {
      cwd,
      env: { ...process.env, npm_config_cache: `${folder}-npm` },
      encoding: 'utf8',
      shell: process.platform === 'win32',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [{ files }] = Object.values(JSON.parse(printed)) as [{ files: { path: string; size: number }[] }];
    return files.filter(({ path }) => path !== 'dist/.built').map(({ path, size }) => `${path} ${size}`);
  };
  t.after(() => rmSync(`${folder}-npm`, { recursive: true, force: true }));
  const built = packed(folder);
  assert.ok(built.length > 100, `${built.length} files`);
  assert.deepEqual(built, packed(ROOT));
});

test('the SBOM is that of the lock file, without what only develops taxiflow', () => {
  const printed = execFileSync('npm', ['run', '--silent', 'sbom'], {
    cwd: ROOT,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  const { packages } = JSON.parse(printed) as {
    packages: { name: string; versionInfo: string; licenseDeclared: string }[];
  };
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; name?: string; version: string }>;
  };
  const named = (path: string) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const expected = Object.entries(lock.packages)
    .filter(([path, { dev }]) => path !== '' && !dev)
    .map(([path, { name, version }]) => `${name ?? named(path)} ${version}`);
  assert.deepEqual(
    packages.map(({ name, versionInfo }) => `${name} ${versionInfo}`).sort(),
    [...new Set([...expected, `taxiflow ${manifest.version}`])].sort(),
  );
  for (const { name, licenseDeclared } of packages) assert.notEqual(licenseDeclared, 'NOASSERTION', name);
});
