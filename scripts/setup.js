// Sets up a clone: installs packages if the lock file changed, builds if the sources changed.
import { spawn } from 'node:child_process';
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
// The same choice as in src/sqlite.ts. Version 13 comes compiled; version 12 needs its install script.
const sqlite = Number(process.versions.napi) >= 10 ? 'better-sqlite3' : 'better-sqlite3-12';
if (read(installed) !== lockHash) {
  const compiles = sqlite === 'better-sqlite3-12';
  const step = compiles
    ? {
        what: 'installing packages and compiling SQLite, once',
        time: '4 minutes (30 seconds on Node.js 22.14)',
      }
    : { what: 'installing packages, once', time: '30 seconds' };
  const cache = temporaryCache();
  const scripts = compiles ? [] : ['--ignore-scripts'];
  await run(step, 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error', ...scripts], {
    ...compileEnvironment(),
    ...(cache ? { npm_config_cache: cache } : {}),
  });
  if (cache) rmSync(cache, { recursive: true, force: true });
  await checkNative();
  writeFileSync(installed, lockHash);
}
const built = join('dist', '.built');
if (!existsSync(built) || newest('src') > statSync(built).mtimeMs) {
  await run({ what: 'building', time: '10 seconds' }, 'npm', ['run', '--silent', 'build']);
  mkdirSync('dist', { recursive: true });
  writeFileSync(built, '');
}

/**
 * Compiles native code against the headers of this Node.js, if it has them, which needs no download. They override the
 * user's `nodedir`, which may belong to another Node.js; code compiled against that wouldn't load.
 */
function compileEnvironment() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include', 'node', 'node.h')) ? { npm_config_nodedir: prefix } : {};
}

/** A temporary npm cache, if the user's isn't writable, as in a container with a read-only home. */
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

/** Stops if the native part doesn't load; the next run then installs again. */
async function checkNative() {
  try {
    const { default: Database } = await import(sqlite);
    new Database(':memory:').close();
  } catch (error) {
    if (error.code === 'ERR_MODULE_NOT_FOUND') {
      stop(
        'npm did not install better-sqlite3: it silently skips an optional package that it cannot fetch or compile',
        'run the same command again with access to the npm registry; compiling needs Python 3 and a C++ toolchain',
      );
    }
    const [reason] = error.message.split('\n');
    stop(
      `better-sqlite3 was installed, but does not run on Node.js ${process.versions.node}: ${reason}`,
      'check that npm uses this Node.js, that "npm config get nodedir" fits it, and that install scripts are not ignored',
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

/** Runs a step, and shows what it is, about how long it takes, and how long it has taken so far. */
async function run({ what, time }, command, args, environment = {}) {
  console.error(`setting up: ${what}; takes about ${time}`);
  const started = Date.now();
  const isTerminal = process.stderr.isTTY === true;
  const timer = setInterval(
    () => {
      const seconds = Math.round((Date.now() - started) / 1000);
      const text = `setting up: ${what}: ${seconds} s so far`;
      process.stderr.write(isTerminal ? `\r\x1b[2K${text}` : `${text}\n`);
    },
    isTerminal ? 1_000 : 30_000,
  );
  const child = spawn(command, args, {
    // Stdout is reserved for the data of the command that follows.
    stdio: ['ignore', 2, 2],
    env: { ...process.env, npm_config_progress: 'false', ...environment },
    shell: process.platform === 'win32',
  });
  const { status, error } = await new Promise((resolve) => {
    child.on('error', (failure) => resolve({ status: 1, error: failure }));
    child.on('exit', (code) => resolve({ status: code }));
  });
  clearInterval(timer);
  if (isTerminal) process.stderr.write('\r\x1b[2K');
  if (status === 0) return;
  stop(
    `"${command} ${args.join(' ')}" failed${error ? `: ${error.message}` : ''}`,
    'check the access to the npm registry; compiling needs Python 3 and a C++ toolchain',
  );
}

function stop(message, hint) {
  console.error(`Error: ${message}\nTry: ${hint}`);
  process.exit(1);
}
