/** Loads views from a user's file. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { TaxiflowError } from '../errors.ts';
import { checkViews } from './check.ts';
import * as language from './language.ts';

/**
 * Loads views from `.js` or `.mjs` (exporting `views`: a list, or a function from the language to a list) or `.json` (a
 * list). Throws `no-views` if there is no file, `bad-view` with the place of the first mistake.
 */
export async function loadViews(path: string): Promise<language.View[]> {
  if (!existsSync(path)) {
    throw new TaxiflowError('no-views', `there is no ${path}`, {
      hint: 'name a module that exports views; see docs/views.md',
    });
  }
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

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw unusable(path, error);
  }
}

async function importViews(path: string): Promise<unknown> {
  let module: Record<string, unknown>;
  try {
    module = await import(pathToFileURL(resolve(path)).href);
  } catch (error) {
    throw unusable(path, error);
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
  return new TaxiflowError(
    'bad-view',
    `cannot load ${path}: ${error instanceof Error ? error.message : error}`,
    {
      hint: 'fix the file; see docs/views.md',
      exitCode: 2,
      cause: error,
    },
  );
}
