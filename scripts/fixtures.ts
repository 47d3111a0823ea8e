/**
 * Remakes the trip files in `fixtures/`, byte for byte.
 *
 *     node --import tsx scripts/fixtures.ts [--check]
 *
 * With `--check` it writes nothing, names the files that differ and exits with 1.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type GenerateOptions, generateCsv } from '../src/dataset/generator/generate.ts';

export interface Fixture extends GenerateOptions {
  /** File name in `fixtures/`. */
  readonly file: string;
}

const FIXTURES_DIR = new URL('../fixtures/', import.meta.url);

/**
 * All have some 25 trips in ten minutes. The seeds are chosen so that both default views have results: cells with two
 * pick-ups, and a cell with two trips to the same airport, in one window.
 */
export const FIXTURES: readonly Fixture[] = [
  fixture('yellow-2009', { from: '2009-01-09T17:00:00', hours: 1.5, trips: 220, seed: 719 }),
  fixture('yellow-2010', { from: '2013-05-06T07:00:00', hours: 1.5, trips: 220, seed: 287 }),
  fixture('yellow-2014', { from: '2014-09-14T23:15:00', hours: 1.5, trips: 220, seed: 52 }),
  fixture('yellow-2015', { from: '2016-01-05T16:00:00', hours: 3, trips: 450, seed: 3 }),
  fixture('yellow-2017', { from: '2017-03-09T16:30:00', hours: 3, trips: 450, seed: 12 }),
  fixture('green-2013', { from: '2013-11-04T06:00:00', hours: 1.5, trips: 220, seed: 76 }),
  fixture('green-2015', { from: '2015-07-31T23:00:00', hours: 1.5, trips: 220, seed: 42 }),
  fixture('green-2017', { from: '2017-03-31T04:30:00', hours: 1.5, trips: 220, seed: 7 }),
  fixture('yellow-2015', { from: '2015-06-02T05:00:00', hours: 1.5, trips: 220, seed: 13, dirty: 0.1 }),
  fixture('green-2013', { from: '2014-02-28T15:00:00', hours: 1.5, trips: 220, seed: 840, dirty: 0.1 }),
  fixture('yellow-2017', { from: '2018-01-01T14:00:00', hours: 1.5, trips: 220, seed: 99, dirty: 0.1 }),
];

/** The text of a fixture. */
export function fixtureText(options: Fixture): string {
  return [...generateCsv(options)].join('');
}

/** The text on disk; undefined if the file doesn't exist. */
export function fixtureOnDisk({ file }: Fixture): string | undefined {
  const path = new URL(file, FIXTURES_DIR);
  return existsSync(path) ? readFileSync(path, 'latin1') : undefined;
}

function fixture(
  layout: GenerateOptions['layout'],
  options: Omit<GenerateOptions, 'layout' | 'dirty'> & { readonly dirty?: number },
): Fixture {
  const { dirty = 0 } = options;
  return { ...options, layout, dirty, file: `${layout}${dirty > 0 ? '-dirty' : ''}.csv` };
}

function write(): void {
  mkdirSync(FIXTURES_DIR, { recursive: true });
  for (const each of FIXTURES) writeFileSync(new URL(each.file, FIXTURES_DIR), fixtureText(each), 'latin1');
  console.error(`${fileURLToPath(FIXTURES_DIR)}: ${FIXTURES.length} files`);
}

function check(): void {
  const different = FIXTURES.filter((each) => fixtureOnDisk(each) !== fixtureText(each));
  for (const { file } of different) console.error(`fixtures/${file} differs from the generator's output`);
  if (different.length === 0) return;
  console.error('Try: npm run fixtures');
  process.exitCode = 1;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  if (process.argv.includes('--check')) check();
  else write();
}
