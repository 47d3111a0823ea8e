/** Loads views from a user's file. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { TaxiflowError } from '../errors.ts';
import { parseJson, placed, shownPath } from '../source-place.ts';
import { checkViews } from './check.ts';
import * as language from './language.ts';

/**
 * Loads views from `.js` or `.mjs` (exporting `views`: a list, or a function from the language to a list), `.json` (a list) or `.sql`. Throws `no-views` if there is no file, `bad-view` with the place of the first mistake.
 */
export async function loadViews(path: string): Promise<language.View[]> {
  if (!existsSync(path)) {
    throw new TaxiflowError('no-views', `there is no ${path}`, {
      hint: 'name a module that exports views; see docs/views.md',
    });
  }
  if (path.endsWith('.sql')) return readSql(path);
  const found = path.endsWith('.json') ? await readJson(path) : await importViews(path);
  const views = typeof found === 'function' ? called(path, found as MakeViews) : found;
  try {
    return checkViews(views);
  } catch (error) {
    // A getter or a proxy of a module may throw anything.
    throw error instanceof TaxiflowError ? error : unusable(path, error);
  }
}

type MakeViews = (words: typeof language) => unknown;

function called(path: string, make: MakeViews): unknown {
  try {
    return make(language);
  } catch (error) {
    throw unusable(path, error);
  }
}

async function readSql(path: string): Promise<language.View[]> {
  const { viewsOfSql } = await import('./sql/views.ts');
  try {
    return viewsOfSql(await readFile(path, 'utf8'), path);
  } catch (error) {
    throw error instanceof TaxiflowError ? error : unusable(path, error);
  }
}

async function readJson(path: string): Promise<unknown> {
  try {
    return parseJson(await readFile(path, 'utf8'), path);
  } catch (error) {
    throw unusable(path, error);
  }
}

async function importViews(path: string): Promise<unknown> {
  let module: Record<string, unknown>;
  try {
    module = await import(pathToFileURL(resolve(path)).href);
  } catch (error) {
    throw unusable(path, error instanceof SyntaxError ? withPlace(error, path) : error);
  }
  const views = module['views'] ?? module['default'];
  if (views !== undefined) return views;
  throw new TaxiflowError('bad-view', `${path} exports no views`, {
    hint: 'export const views = ({ view, count, tumbling }) => [view({ … })]; see docs/views.md',
    exitCode: 2,
  });
}

function unusable(path: string, error: unknown): TaxiflowError {
  if (error instanceof TaxiflowError)
    return new TaxiflowError(error.code, `${path}: ${error.message}`, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      exitCode: error.exitCode,
      cause: error,
    });
  const where = error instanceof Error && !(error instanceof SyntaxError) ? placeIn(error) : '';
  return new TaxiflowError(
    'bad-view',
    `cannot load ${path}: ${error instanceof Error ? error.message : error}${where}`,
    {
      hint: 'fix the file; see docs/views.md',
      exitCode: 2,
      cause: error,
    },
  );
}

/** Time limit for finding the place of a syntax error. */
const LOOK_MS = 10_000;

/**
 * Adds the place to a syntax error. Node.js prints it only when the error ends a process, so a second process imports the
 * module. No module runs there, because a syntax error stops the import before that.
 */
function withPlace(error: SyntaxError, path: string): SyntaxError {
  const load = [
    '--input-type=module',
    '-e',
    'await import(process.argv[1])',
    pathToFileURL(resolve(path)).href,
  ];
  const { stderr } = spawnSync(process.execPath, load, { encoding: 'utf8', timeout: LOOK_MS });
  const [, file, line, text = '', caret = ''] =
    /^(file:\/\/\S+|\/.*|[A-Z]:\\.*):(\d+)\n(.*)\n( *\^)?/m.exec(stderr) ?? [];
  if (file === undefined) return error;
  const where = file.startsWith('file:') ? fileURLToPath(file) : file;
  const place = placed(
    where === resolve(path) ? path : where,
    Number(line),
    caret.length || 1,
    error.message,
    text,
  );
  return new SyntaxError(place, { cause: error });
}

/** ` (file:line:column)` of the first stack frame in the user's own module; empty if there is none. */
function placeIn(error: Error): string {
  const own = new URL('..', import.meta.url).href;
  for (const [, url, place] of (error.stack ?? '').matchAll(/(file:\/\/[^\s)]+?)(:\d+:\d+)\)?$/gm))
    if (!url!.startsWith(own)) return ` (${shownPath(fileURLToPath(url!))}${place})`;
  return '';
}
