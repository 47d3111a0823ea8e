/** How this taxiflow was called, so that commands that are quoted can be pasted; and which one it is. */
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BIN = join(ROOT, 'bin', 'taxiflow.js');

export interface Surroundings {
  /** The program that runs. */
  readonly bin: string;
  readonly path: string;
  readonly cwd: string;
}

/**
 * What a shell in this folder calls this program: `taxiflow` where it is on the path, `npx taxiflow` in its clone and where it is a
 * package of the folder, else its file.
 */
export function invocation(found: Partial<Surroundings> = {}): string {
  const { bin = BIN, path = process.env['PATH'] ?? '', cwd = process.cwd() } = found;
  // npx and scripts of npm add folders to the path that a shell doesn't have.
  const own = path
    .split(delimiter)
    .filter((folder) => folder !== '' && !folder.includes(join('node_modules', '.bin')));
  if (own.some((folder) => leadsTo(folder, bin))) return 'taxiflow';
  for (let folder = cwd; ; folder = dirname(folder)) {
    const isClone =
      existsSync(join(folder, 'package.json')) && isSame(join(folder, 'bin', 'taxiflow.js'), bin);
    if (isClone || leadsTo(join(folder, 'node_modules', '.bin'), bin)) return 'npx taxiflow';
    if (folder === dirname(folder)) break;
  }
  return `node ${quoted(near(bin, cwd))}`;
}

let known: string | undefined;

/** Of taxiflow. */
export function version(): string {
  known ??= String(
    (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version,
  );
  return known;
}

/** Whether a folder has a `taxiflow` that is this program; on Windows, a script of npm beside it. */
function leadsTo(folder: string, bin: string): boolean {
  if (isSame(join(folder, 'taxiflow'), bin)) return true;
  const script = join(folder, 'taxiflow.cmd');
  return existsSync(script) && existsSync(join(folder, 'node_modules', 'taxiflow'));
}

function isSame(path: string, bin: string): boolean {
  try {
    return realpathSync(path) === realpathSync(bin);
  } catch {
    return false;
  }
}

/** A path that is shorter seen from here, if there is one. */
function near(path: string, cwd: string): string {
  const from = relative(cwd, path);
  return from.startsWith(`..${sep}..`) || from.length > path.length ? path : from;
}

function quoted(text: string): string {
  return /^[\w./:\\-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
