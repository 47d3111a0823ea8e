/** Lists apps by file names alone, without opening a state: shell completion does it at every Tab. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const SUFFIX = '.sqlite';

/** Names of the apps that have a state, sorted. */
export function listApps(dataDir: string): string[] {
  const folder = join(dataDir, 'apps');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith(SUFFIX))
    .map((file) => file.slice(0, -SUFFIX.length))
    .sort();
}
