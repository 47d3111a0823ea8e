/** Files that tests read, and folders that they write to. */
import './aws-settings.ts';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
export const FIXTURES = join(ROOT, 'fixtures');
/** Real TLC samples beside the checkout; not everybody has them. */
export const SHARED_DATA = join(ROOT, '..', 'shared', 'data');

/** For node:test's `skip`: why a test that needs the samples can't run, or false. */
export const withoutSamples: string | false = existsSync(SHARED_DATA)
  ? false
  : 'needs ../shared/data, which is not here';

export function fixture(name: string): string {
  return join(FIXTURES, name);
}

export function fixtureFiles(): string[] {
  return readdirSync(FIXTURES)
    .filter((file) => file.endsWith('.csv'))
    .sort();
}

/** A folder that goes with the test. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
