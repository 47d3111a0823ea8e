/** Rewrites the file of a state without the free space in it. */
import { statSync } from 'node:fs';
import { translating } from '../errors.ts';
import { openSqlite } from '../sqlite.ts';
import { statePath, takeLock } from './files.ts';

/** Bytes of the file before and after. Throws `app-running` while a processor has the state. */
export function compactState(dataDir: string, app: string): { before: number; after: number } {
  const path = statePath(dataDir, app);
  const what = `the state of app "${app}"`;
  const lock = translating(what, path, () => takeLock(path, app));
  try {
    const db = openSqlite(path, { what, mustExist: true });
    try {
      return translating(what, path, () => {
        db.pragma('wal_checkpoint(TRUNCATE)');
        const before = statSync(path).size;
        db.exec('VACUUM');
        db.pragma('wal_checkpoint(TRUNCATE)');
        return { before, after: statSync(path).size };
      });
    } finally {
      db.close();
    }
  } finally {
    lock.close();
  }
}
