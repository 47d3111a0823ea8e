/** Lists apps by file names alone, without opening a state: shell completion does it at every Tab. */
import { join } from 'node:path';
import { databaseNames } from '../private-files.ts';

/** Names of the apps that have a state, sorted. */
export function listApps(dataDir: string): string[] {
  return databaseNames(join(dataDir, 'apps'));
}
