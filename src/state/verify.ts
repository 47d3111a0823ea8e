/** Reads every row of a state and checks it. */
import { DeadLetterTable } from '../dead-letters.ts';
import { Database, type Sqlite } from '../sqlite.ts';
import { ArchiveTables } from './archive.ts';
import { readCheckpoint, type StoredCheckpoint } from './checkpoint-row.ts';
import { FIRING, type FiringRow, firingKey } from './outbox.ts';
import { PaneTable } from './panes.ts';
import type { StateRows } from './rows.ts';
import { checkIntegrity, createTables } from './schema.ts';
import { SeenTripTables } from './seen-trips.ts';
import { TotalsTable } from './totals.ts';

/** The checkpoint of a state of the present format, all of whose rows are sound; undefined before the first. Throws `damaged`. */
export function verifyState(rows: StateRows): StoredCheckpoint | undefined {
  return rows.attempt(() => {
    checkIntegrity(rows.db, rows.what, rows.path);
    refuseForeignParts(rows);
    const checkpoint = readCheckpoint(rows.db);
    new PaneTable(rows).verify();
    new SeenTripTables(rows).load();
    new DeadLetterTable(rows.db).counts();
    new ArchiveTables(rows).verify();
    new TotalsTable(rows).verify();
    let kept = 0;
    const firings = rows.prepare(`${FIRING} ORDER BY first`);
    for (const row of firings.iterate() as Iterable<FiringRow>) {
      rows.verify(row.crc, firingKey(row), row.docs, 'results');
      kept += row.count;
    }
    const missing = checkpoint ? checkpoint.nextResult - 1 - (checkpoint.trimmed ?? 0) - kept : 0;
    if (missing !== 0) throw rows.damage(`${missing} results are missing`);
    return checkpoint;
  });
}

/** Refuses a file with tables, triggers or anything else that a state does not have: it could make SQLite do what it says. */
export function refuseForeignParts(rows: StateRows): void {
  const list = (db: Sqlite) =>
    db
      .prepare("SELECT type || ' ' || name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")
      .pluck()
      .all() as string[];
  const model = new Database(':memory:');
  try {
    createTables(model, { stream: '', views: '', settings: '' });
    const known = new Set(list(model));
    const foreign = list(rows.db).find((part) => !known.has(part));
    if (foreign !== undefined) throw rows.damage(`it has a part that no state has: ${foreign}`);
  } finally {
    model.close();
  }
}
