/** Commands of packages from PyPI, each in a virtual environment of its own in the cache folder. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { installed, step, withoutCache } from './service.ts';

const WINDOWS = process.platform === 'win32';
const PYTHON = (WINDOWS ? ['python', 'py'] : ['python3']).find(
  (python) => spawnSync(python, ['-m', 'venv', '--help'], { stdio: 'ignore' }).status === 0,
);

/** For node:test's `skip`: why no such command can run here, or false. With CI=true they have to run. */
export const withoutPython: string | false =
  process.env['CI'] === 'true'
    ? false
    : PYTHON === undefined
      ? 'needs Python 3 with venv, which is not here'
      : withoutCache;

/** The path of a command, `python` among them, of one version of a package, which is installed the first time. */
export function pythonCommand(name: string, version: string, command = name): string {
  const folder = installed(`${name}-${version}`, (folder) => {
    if (PYTHON === undefined) throw new Error(`${name} needs Python 3 with venv`);
    step(PYTHON, ['-m', 'venv', folder]);
    const python = join(folder, WINDOWS ? 'Scripts/python.exe' : 'bin/python');
    step(python, ['-m', 'pip', 'install', '--quiet', `${name}==${version}`]);
  });
  return join(folder, WINDOWS ? `Scripts/${command}.exe` : `bin/${command}`);
}
