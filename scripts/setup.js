// Makes a fresh clone ready: installs packages when the lock file changed, builds when the sources did.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

const lockHash = createHash('sha256')
  .update(readFileSync('package-lock.json'))
  .update(process.versions.modules)
  .digest('hex');
const installed = join('node_modules', '.taxiflow-installed');
if (read(installed) !== lockHash) {
  console.error(
    'setting up: installing packages (once; better-sqlite3 may be compiled, which takes two minutes)',
  );
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], compileEnvironment());
  writeFileSync(installed, lockHash);
}
const built = join('dist', '.built');
if (!existsSync(built) || newest('src') > statSync(built).mtimeMs) {
  console.error('setting up: building');
  run('npm', ['run', '--silent', 'build']);
  mkdirSync('dist', { recursive: true });
  writeFileSync(built, '');
}

/** Headers that came with Node let the native part be compiled without a download. */
function compileEnvironment() {
  const prefix = dirname(dirname(process.execPath));
  const headers = existsSync(join(prefix, 'include', 'node', 'node.h'));
  return headers && !process.env.npm_config_nodedir ? { npm_config_nodedir: prefix } : {};
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
  console.error(`Error: "${command} ${args.join(' ')}" failed${error ? `: ${error.message}` : ''}`);
  console.error('Try: Node.js 20.19 or newer, npm, and for compiling Python 3 and a C++ toolchain');
  process.exit(1);
}
