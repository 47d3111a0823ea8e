/** Imports point along the line that docs/design.md draws. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from './files.ts';

const SRC = join(ROOT, 'src');
/** What a user of the package imports: it hands on what lies anywhere. */
const ENTRIES = ['index.ts', 'views.ts'];

/** The rooms of the house, each after all that it may import, as docs/design.md has them. */
function rooms(): string[] {
  const design = readFileSync(join(ROOT, 'docs', 'design.md'), 'utf8');
  const [, order = ''] = /## Who imports whom\n[\s\S]*?```\n([^`]+)```/.exec(design) ?? [];
  return order.split(/[\s→]+/).filter(Boolean);
}

const roomOf = (path: string) => path.split('/')[0]!.replace(/\.ts$/, '');

/** The files that a file names in imports of any kind, below src. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(SRC, file), 'utf8');
  const found = text.matchAll(/(?:\bfrom\s*|\bimport\s*\(\s*|\bimport\s+)'(\.{1,2}\/[^']+)'/g);
  return [...found].map(([, path = '']) => join(file, '..', path)).filter((path) => path.endsWith('.ts'));
}

test('no import points against the line', () => {
  const order = rooms();
  const files = (readdirSync(SRC, { recursive: true }) as string[]).filter((file) => file.endsWith('.ts'));
  const used = new Set(files.filter((file) => !ENTRIES.includes(file)).map(roomOf));
  assert.deepEqual(
    [...used].sort(),
    [...order].sort(),
    'docs/design.md names every folder and file of src once',
  );
  const against: string[] = [];
  let arrows = 0;
  for (const file of files) {
    if (ENTRIES.includes(file)) continue;
    for (const target of importsOf(file)) {
      const [from, to] = [roomOf(file), roomOf(target)];
      if (from !== to) arrows++;
      if (from !== to && order.indexOf(to) >= order.indexOf(from)) against.push(`${file} → ${target}`);
    }
  }
  assert.ok(arrows > 200, `imports are found: ${arrows}`);
  assert.deepEqual(against, []);
});
