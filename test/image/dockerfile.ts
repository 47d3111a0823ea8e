/** The Dockerfile as instructions, and the files that .dockerignore lets into the build. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../files.ts';

export interface Instruction {
  readonly keyword: string;
  /** On one line, without the keyword. */
  readonly text: string;
}

export interface Stage {
  readonly from: string;
  readonly name: string | undefined;
  readonly instructions: readonly Instruction[];
}

/** Throws for a line that is no instruction. */
export function stages(): Stage[] {
  const lines = readFileSync(join(ROOT, 'Dockerfile'), 'utf8')
    .split('\n')
    .filter((line) => !/^\s*(#|$)/.test(line))
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n');
  const found: (Stage & { readonly instructions: Instruction[] })[] = [];
  for (const line of lines) {
    const [, keyword, text] = /^([A-Z]+) (\S.*)$/.exec(line) ?? [];
    if (keyword === undefined || text === undefined) throw new Error(`not an instruction: ${line}`);
    const [, from, , name] = keyword === 'FROM' ? (/^(\S+)( AS (\S+))?$/.exec(text) ?? []) : [];
    if (from !== undefined) found.push({ from, name, instructions: [] });
    else if (found.length > 0) found.at(-1)!.instructions.push({ keyword, text });
    else throw new Error(`before the first FROM: ${line}`);
  }
  return found;
}

/** The list of an instruction in exec form; `HEALTHCHECK` has its own after `CMD`. Throws for the shell's form. */
export function execForm(text: string): string[] {
  return JSON.parse(text.slice(text.indexOf('['))) as string[];
}

/** Whether a path goes into the build: the last pattern that fits it or a folder above it decides. */
export function contextFilter(): (path: string) => boolean {
  const rules = readFileSync(join(ROOT, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const pattern = line.replace(/^!/, '');
      const source = pattern
        .split('/')
        .map((part) =>
          part === '**' ? '(.*/)?' : `${part.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}/`,
        )
        .join('')
        .replace(/\/$/, '');
      return { isIn: line.startsWith('!'), fits: new RegExp(`^${source}(/.*)?$`, 's') };
    });
  return (path) => rules.findLast(({ fits }) => fits.test(path))?.isIn ?? true;
}

/** The files of the checkout that go into the build. */
export function contextFiles(): string[] {
  const isIn = contextFilter();
  return readdirSync(ROOT)
    .filter(isIn)
    .flatMap((name) =>
      statSync(join(ROOT, name)).isDirectory()
        ? (readdirSync(join(ROOT, name), { recursive: true }) as string[]).map(
            (file) => `${name}/${file.replaceAll('\\', '/')}`,
          )
        : [name],
    )
    .filter((file) => isIn(file) && statSync(join(ROOT, file)).isFile());
}
