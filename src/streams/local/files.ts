/** Where embedded streams lie: one SQLite file each under the data directory. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { TaxiflowError } from '../../errors.ts';
import { databaseNames } from '../../private-files.ts';

const NAME = /^[a-zA-Z0-9_.-]{1,128}$/;

/** Path of a stream. Throws `bad-stream-name`. */
export function localStreamPath(dataDir: string, name: string): string {
  if (!NAME.test(name) || name.startsWith('.')) {
    throw new TaxiflowError('bad-stream-name', `"${name}" can't name a stream`, {
      hint: 'use letters, digits, "_", "-" and ".", 128 at most',
      exitCode: 2,
    });
  }
  return join(dataDir, 'streams', `${name}.sqlite`);
}

export function localStreamExists(dataDir: string, name: string): boolean {
  return existsSync(localStreamPath(dataDir, name));
}

/** Removes a stream and all its records. */
export function deleteLocalStream(dataDir: string, name: string): void {
  const path = localStreamPath(dataDir, name);
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
}

/** Names of the streams there are, sorted. */
export function listLocalStreams(dataDir: string): string[] {
  return databaseNames(join(dataDir, 'streams'));
}
