// Makes a fresh clone ready: installs packages when the lock file changed, builds when the sources did.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  stop(`Node.js 20.19 or newer is needed, this is ${process.versions.node}`, 'install a current Node.js');
}
const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

const lockHash = createHash('sha256')
  .update(readFileSync('package-lock.json'))
  .update(process.versions.modules)
  .digest('hex');
const installed = join('node_modules', '.taxiflow-installed');
// As src/sqlite.ts has it: version 13 comes compiled and needs no script, version 12 does.
const sqlite = Number(process.versions.napi) >= 10 ? 'better-sqlite3' : 'better-sqlite3-12';
if (read(installed) !== lockHash) {
  const compiles = sqlite === 'better-sqlite3-12';
  console.error(
    `setting up: installing packages (once${compiles ? '; better-sqlite3 may be compiled, which takes two minutes' : ''})`,
  );
  const cache = temporaryCache();
  const scripts = compiles ? [] : ['--ignore-scripts'];
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error', ...scripts], {
    ...compileEnvironment(),
    ...(cache ? { npm_config_cache: cache } : {}),
  });
  if (cache) rmSync(cache, { recursive: true, force: true });
  await checkNative();
  writeFileSync(installed, lockHash);
}
const built = join('dist', '.built');
if (!existsSync(built) || newest('src') > statSync(built).mtimeMs) {
  console.error('setting up: building');
  run('npm', ['run', '--silent', 'build']);
  mkdirSync('dist', { recursive: true });
  writeFileSync(built, '');
}

/**
 * Headers that came with this Node let the native part be compiled without a download. They go before a `nodedir` of the
 * user's, which npm hands down: it may be another Node's, and what is compiled with that doesn't load.
 */
function compileEnvironment() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include', 'node', 'node.h')) ? { npm_config_nodedir: prefix } : {};
}

/** A cache for npm where the user's can't be written, as in a container with a read-only home. */
function temporaryCache() {
  const cache = process.env.npm_config_cache;
  if (!cache) return undefined;
  try {
    mkdirSync(cache, { recursive: true });
    accessSync(cache, constants.W_OK);
    return undefined;
  } catch {
    return mkdtempSync(join(tmpdir(), 'taxiflow-npm-'));
  }
}

/** A native part that doesn't load is told here, and the next run installs again. */
async function checkNative() {
  try {
    const { default: Database } = await import(sqlite);
    new Database(':memory:').close();
  } catch (error) {
    if (error.code === 'ERR_MODULE_NOT_FOUND') {
      stop(
        'npm left better-sqlite3 out, as it does without a word with an optional package that it could not fetch or compile',
        'the same command again, with a network that reaches the npm registry; for compiling, Python 3 and a C++ toolchain',
      );
    }
    const [reason] = error.message.split('\n');
    stop(
      `better-sqlite3 was installed, but does not run on Node.js ${process.versions.node}: ${reason}`,
      'see that npm uses this Node.js, that "npm config get nodedir" is not another\'s and that scripts are not ignored',
    );
  }
}

function read(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

function newest(folder) {
  let time = Math.max(
    ...['tsconfig.json', 'tsconfig.build.json', 'package.json', 'scripts/page.js'].map(
      (file) => statSync(file).mtimeMs,
    ),
  );
  for (const entry of readdirSync(folder, { recursive: true })) {
    time = Math.max(time, statSync(join(folder, entry)).mtimeMs);
  }
  return time;
}

function run(command, args, environment = {}) {
  const { status, error } = spawnSync(command, args, {
    // Stdout is for the data of what runs after this.
    stdio: ['ignore', 2, 2],
    env: { ...process.env, ...environment },
    shell: process.platform === 'win32',
  });
  if (status === 0) return;
  stop(
    `"${command} ${args.join(' ')}" failed${error ? `: ${error.message}` : ''}`,
    'a network that reaches the npm registry, and for compiling Python 3 and a C++ toolchain',
  );
}

function stop(message, hint) {
  console.error(`Error: ${message}\nTry: ${hint}`);
  process.exit(1);
}
