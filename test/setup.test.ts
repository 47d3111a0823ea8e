/** What a fresh clone meets before the program itself runs: the binary's own checks, and the set-up. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { fixture, fixtureFiles, ROOT, temporaryFolder } from './files.ts';
import { taxiflow } from './taxiflow.ts';

/** For `--import`: the process takes itself for another Node.js. */
const pretending = (version: string): string[] => {
  const script = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`;
  return ['--import', `data:text/javascript,${encodeURIComponent(script)}`];
};

const withoutShell = process.platform === 'win32' && 'needs a shell script in place of npm';

function run(folder: string, script: string, options: { node?: string[]; env?: NodeJS.ProcessEnv } = {}) {
  const args = [...(options.node ?? []), join(folder, script)];
  const env = { ...process.env, ...options.env };
  return spawnSync(process.execPath, args, { cwd: folder, env, encoding: 'utf8' });
}

function saysOneError(ran: { status: number | null; stdout: string; stderr: string }, ...words: RegExp[]) {
  assert.equal(ran.status, 1, ran.stderr);
  assert.equal(ran.stdout, '');
  assert.match(ran.stderr, /^(setting up: .*\n)?Error: .+\nTry: .+\n$/);
  for (const word of words) assert.match(ran.stderr, word);
}

/** A checkout of the parts that come before the program, and an npm that only notes what it is asked for. */
function clone(folder: string) {
  for (const file of ['bin/taxiflow.js', 'scripts/setup.js', 'scripts/page.js', 'package.json']) {
    cpSync(join(ROOT, file), join(folder, file));
  }
  for (const file of ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json']) {
    writeFileSync(join(folder, file), '{}');
  }
  mkdirSync(join(folder, 'src'));
  writeFileSync(join(folder, 'src', 'index.ts'), '');
  const modules = join(folder, 'node_modules');
  const asked = join(folder, 'asked.txt');
  const tools = join(folder, 'tools');
  mkdirSync(tools);
  writeFileSync(
    join(tools, 'npm'),
    `#!/bin/sh
echo "$1 $2 nodedir=$npm_config_nodedir cache=$npm_config_cache" >> '${asked}'
[ "$1" = ci ] && [ -z "$OFFLINE" ] || exit 0
for name in better-sqlite3 better-sqlite3-12; do
  mkdir -p "${modules}/$name"
  echo '{"main":"index.js"}' > "${modules}/$name/package.json"
  cat > "${modules}/$name/index.js" <<END
module.exports = class { constructor() { if (process.env.BROKEN) throw new Error('another NODE_MODULE_VERSION\\nmore'); } close() {} };
END
done
`,
    { mode: 0o755 },
  );
  const PATH = `${tools}${delimiter}${process.env['PATH']}`;
  return {
    setUp: (env: NodeJS.ProcessEnv = {}) => run(folder, 'scripts/setup.js', { env: { PATH, ...env } }),
    /** What npm was asked for since the last time. */
    asked: (): string[] => {
      const lines = existsSync(asked) ? readFileSync(asked, 'utf8').trim().split('\n') : [];
      rmSync(asked, { force: true });
      return lines;
    },
  };
}

test('the binary of an unbuilt clone says how to build it', (t) => {
  const folder = temporaryFolder(t);
  clone(folder);
  saysOneError(run(folder, 'bin/taxiflow.js'), /not built/, /npm run demo/, /npm run build/);
  // Any other missing file is not explained away.
  cpSync(join(ROOT, 'dist', 'cli', 'main.js'), join(folder, 'dist', 'cli', 'main.js'));
  assert.match(run(folder, 'bin/taxiflow.js').stderr, /ERR_MODULE_NOT_FOUND/);
});

test('an old Node.js is refused by the binary, and by the set-up before it installs anything', (t) => {
  const folder = temporaryFolder(t);
  const { asked } = clone(folder);
  for (const version of ['18.20.8', '20.18.3']) {
    for (const script of ['bin/taxiflow.js', 'scripts/setup.js']) {
      const ran = run(folder, script, { node: pretending(version) });
      saysOneError(ran, /20\.19 or newer/, new RegExp(version.replaceAll('.', '\\.')));
    }
  }
  for (const version of ['20.19.0', '22.0.0', '24.1.0']) {
    const ran = run(folder, 'bin/taxiflow.js', { node: pretending(version) });
    saysOneError(ran, /not built/);
  }
  assert.deepEqual(asked(), []);
});

test('the set-up installs once, and again for another lock file or another Node.js; builds what is newer', {
  skip: withoutShell,
}, (t) => {
  const folder = temporaryFolder(t);
  const { setUp, asked } = clone(folder);
  const names = () => asked().map((line) => line.split(' ')[0]);
  const ready = () => {
    const ran = setUp();
    assert.equal(ran.status, 0, ran.stderr);
    assert.equal(ran.stdout, '', 'stdout is for the data of what runs after it');
    return names();
  };
  assert.deepEqual(ready(), ['ci', 'run']);
  assert.deepEqual(ready(), []);
  utimesSync(join(folder, 'src', 'index.ts'), new Date(), new Date(Date.now() + 60_000));
  assert.deepEqual(ready(), ['run']);
  utimesSync(join(folder, 'src', 'index.ts'), new Date(0), new Date(0));
  writeFileSync(join(folder, 'package-lock.json'), '{ }');
  assert.deepEqual(ready(), ['ci']);
  const marker = join(folder, 'node_modules', '.taxiflow-installed');
  writeFileSync(marker, 'what another Node.js left');
  assert.deepEqual(ready(), ['ci']);
  assert.deepEqual(ready(), []);
});

test('a native part that does not load is told, and installed again by the next run', {
  skip: withoutShell,
}, (t) => {
  const folder = temporaryFolder(t);
  const { setUp, asked } = clone(folder);
  saysOneError(setUp({ BROKEN: '1' }), /better-sqlite3/, /another NODE_MODULE_VERSION$/m);
  assert.equal(setUp().status, 0);
  assert.deepEqual(
    asked().map((line) => line.split(' ')[0]),
    ['ci', 'ci', 'run'],
  );
});

test('one that npm left out is told as that, and installed by the next run', { skip: withoutShell }, (t) => {
  const { setUp } = clone(temporaryFolder(t));
  saysOneError(
    setUp({ OFFLINE: '1' }),
    /npm did not install better-sqlite3/,
    /Try: run the same command again/,
  );
  assert.equal(setUp().status, 0);
});

test("it is compiled with this Node's own headers if they are there, whatever nodedir the user has", {
  skip: withoutShell,
}, (t) => {
  const { setUp, asked } = clone(temporaryFolder(t));
  const prefix = join(process.execPath, '..', '..');
  const expected = existsSync(join(prefix, 'include', 'node', 'node.h')) ? prefix : '/another/node';
  assert.equal(setUp({ npm_config_nodedir: '/another/node' }).status, 0);
  assert.ok(asked()[0]!.includes(` nodedir=${expected} `), 'the headers that npm is given');
});

test('npm gets a cache of its own for the set-up where the one of the user cannot be made', {
  skip: withoutShell,
}, (t) => {
  const folder = temporaryFolder(t);
  const { setUp, asked } = clone(folder);
  const marker = join(folder, 'node_modules', '.taxiflow-installed');
  for (const [cache, expected] of [
    [join(folder, 'cache'), /^$/],
    [join(folder, 'package.json', 'cache'), /taxiflow-npm-/],
  ] as const) {
    rmSync(marker, { force: true });
    const ran = setUp({ npm_config_cache: cache });
    assert.equal(ran.status, 0, ran.stderr);
    const given = asked()[0]!.split(' cache=')[1]!;
    assert.match(given === cache ? '' : given, expected);
    assert.equal(existsSync(given), given === cache, 'a cache of its own is gone afterwards');
  }
});

test('a native part that is missing or was built for another Node.js is told by the commands', async (t) => {
  const folder = temporaryFolder(t);
  const [trips] = fixtureFiles();
  const failing = (code: string) =>
    `process.dlopen = () => { throw Object.assign(new Error('no'), { code: '${code}' }); }`;
  // The one for another Node.js was installed, not the one for this.
  const resolve = `export const resolve = async (name, context, next) => {
    if (name.startsWith('better-sqlite3')) throw Object.assign(new Error('no'), { code: 'ERR_MODULE_NOT_FOUND' });
    return next(name, context);
  };`;
  mkdirSync(join(folder, 'streams'));
  writeFileSync(join(folder, 'streams', 'there.sqlite'), '');
  const hook = `data:text/javascript,${encodeURIComponent(resolve)}`;
  const absent = `import { register } from 'node:module'; register(${JSON.stringify(hook)});`;
  for (const script of [failing('ERR_DLOPEN_FAILED'), failing('MODULE_NOT_FOUND'), absent]) {
    const node = ['--import', `data:text/javascript,${encodeURIComponent(script)}`];
    for (const args of [
      ['replay', fixture(trips!)],
      ['process', '--stream', 'local:there'],
      ['stream', 'create', 'local:x'],
      ['demo'],
    ]) {
      const ran = await taxiflow([...args, '--data-dir', folder], { node });
      assert.equal(ran.code, 1, ran.stderr);
      assert.match(
        ran.stderr,
        /Error: the native part of better-sqlite3 .*\nTry: "npm install" and "npm rebuild" with this Node\.js.*\n$/,
      );
    }
  }
});
