// Runs the tests with node:test, and lists the skipped ones at the end.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const wanted = process.argv.slice(2);
const files = readdirSync('test', { recursive: true })
  .map((file) => join('test', String(file)))
  .filter(
    (file) =>
      file.endsWith('.test.ts') && (wanted.length === 0 || wanted.some((part) => file.includes(part))),
  )
  .sort();

const reporter = ['--test-reporter=spec', '--test-reporter-destination=stdout'];
const { status } = spawnSync(
  process.execPath,
  [
    '--import',
    'tsx',
    '--test',
    // Much of the time of a test goes to waiting for processes and servers.
    `--test-concurrency=${Math.max(2, availableParallelism() - 1)}`,
    ...reporter,
    '--test-reporter=./scripts/skipped.js',
    '--test-reporter-destination=stderr',
    ...files,
  ],
  { stdio: 'inherit' },
);
process.exit(status ?? 1);
