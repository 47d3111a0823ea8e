/** What is done to the state of a processor that is stopped. */
import { statSync } from 'node:fs';
import { TaxiflowError, translating } from '../errors.ts';
import { openSqlite, type Sqlite, transaction } from '../sqlite.ts';
import { archiveSink, archiveStatus, forgetArchive } from './archive.ts';
import { statePath, takeLock } from './files.ts';
import { refuseOtherFormat } from './schema.ts';

/** Rewrites the file without the free space in it. Bytes of the file before and after. Throws `app-running`, `not-state`, … */
export function compactState(dataDir: string, app: string): { before: number; after: number } {
  return withState(dataDir, app, (db, path) => {
    db.pragma('wal_checkpoint(TRUNCATE)');
    const before = statSync(path).size;
    db.exec('VACUUM');
    db.pragma('wal_checkpoint(TRUNCATE)');
    return { before, after: statSync(path).size };
  });
}

/**
 * Gives a sink up: results need not be kept for it any more. Returns the number of results that it has not got. If it is
 * used again, it gets all results that there are then. Throws `no-sink`, `app-running`, …
 */
export function forgetSink(dataDir: string, app: string, sink: string): { missing: number } {
  return withState(dataDir, app, (db) => {
    const archive = archiveStatus(db);
    if (archive && sink === archiveSink(archive.place))
      return { missing: transaction(db, () => forgetArchive(db)) };
    const { delivered } = (db.prepare('SELECT delivered FROM cursors WHERE sink = ?').get(sink) ?? {}) as {
      delivered?: number;
    };
    if (delivered === undefined) {
      const sinks = db.prepare('SELECT sink FROM cursors ORDER BY sink').pluck().all() as string[];
      const known = archive ? [...sinks, archiveSink(archive.place)] : sinks;
      throw new TaxiflowError('no-sink', `app "${app}" has no sink "${sink}"`, {
        hint: known.length > 0 ? `it has ${known.map((name) => `"${name}"`).join(', ')}` : 'it has none',
      });
    }
    const missing = db
      .prepare('SELECT coalesce(sum(first + count - max(first, ?)), 0) FROM firings WHERE first + count > ?')
      .pluck()
      .get(delivered, delivered) as number;
    db.transaction(() => {
      for (const table of ['cursors', 'destinations', 'window_destinations'])
        db.prepare(`DELETE FROM ${table} WHERE sink = ?`).run(sink);
    })();
    return { missing };
  });
}

/** The command that gives a sink up, for hints. */
export function forgetting(sink: string, app: string): string {
  return `"taxiflow state forget '${sink.replaceAll("'", "'\\''")}' --app ${app}"`;
}

function withState<T>(dataDir: string, app: string, work: (db: Sqlite, path: string) => T): T {
  const path = statePath(dataDir, app);
  const what = `the state of app "${app}"`;
  const lock = translating(what, path, () => takeLock(path, app));
  try {
    const db = openSqlite(path, { what, mustExist: true });
    try {
      return translating(what, path, () => {
        refuseOtherFormat(db, what, app);
        return work(db, path);
      });
    } finally {
      db.close();
    }
  } finally {
    lock.close();
  }
}
