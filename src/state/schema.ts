/** The tables of a state, and the number of their format. */
import { DEAD_LETTER_SCHEMA } from '../dead-letters.ts';
import type { StateIdentity } from '../engine/state-store.ts';
import { TaxiflowError } from '../errors.ts';
import { formatOf, refuseNewerFormat, type Sqlite, transaction } from '../sqlite.ts';
import { ARCHIVE_SCHEMA } from './archive.ts';
import { writeIdentity } from './identity.ts';
import { damage, rowCrc } from './rows.ts';

/** `PRAGMA user_version` of a state; `migrations.ts` brings older ones up to it. */
export const FORMAT = 7;
/** States of older formats can't be brought up to date. */
const OLDEST_FORMAT = 3;

const SCHEMA = `
CREATE TABLE identity (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoint (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  number INTEGER NOT NULL,
  at TEXT NOT NULL,
  crc INTEGER NOT NULL,
  state TEXT NOT NULL
) STRICT;
CREATE TABLE panes (
  view TEXT NOT NULL,
  window_start INTEGER NOT NULL,
  window_end INTEGER NOT NULL,
  part INTEGER NOT NULL,
  kind TEXT NOT NULL,
  block INTEGER NOT NULL,
  first_key TEXT,
  crc INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (view, window_start, window_end, part, kind, block)
) STRICT;
CREATE TABLE firings (
  first INTEGER PRIMARY KEY,
  count INTEGER NOT NULL,
  view TEXT NOT NULL,
  window_start INTEGER NOT NULL,
  correction INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  docs TEXT NOT NULL
) STRICT;
CREATE INDEX firings_by_window ON firings (view, window_start);
CREATE TABLE totals (
  view TEXT NOT NULL,
  window_start INTEGER NOT NULL,
  window_end INTEGER NOT NULL,
  checkpoint INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  totals TEXT NOT NULL,
  PRIMARY KEY (view, window_start)
) STRICT;
CREATE INDEX totals_by_checkpoint ON totals (checkpoint);
CREATE VIEW results (number, view, window_start, doc) AS
  SELECT f.first + d.key, f.view, f.window_start, d.value FROM firings f, json_each(f.docs) d;
CREATE TABLE cursors (
  sink TEXT PRIMARY KEY,
  delivered INTEGER NOT NULL,
  position TEXT NOT NULL,
  crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE destinations (
  sink TEXT PRIMARY KEY,
  crc INTEGER NOT NULL,
  destinations TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE window_destinations (
  sink TEXT NOT NULL,
  view TEXT NOT NULL,
  window_start INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  destination TEXT NOT NULL,
  PRIMARY KEY (sink, view, window_start)
) STRICT, WITHOUT ROWID;
CREATE TABLE run (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  created INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  status TEXT
) STRICT;
CREATE TABLE seen_pages (
  replay TEXT NOT NULL,
  page INTEGER NOT NULL,
  latest REAL NOT NULL,
  crc INTEGER NOT NULL,
  bits BLOB NOT NULL,
  PRIMARY KEY (replay, page)
) STRICT;
CREATE TABLE seen_ranges (
  replay TEXT NOT NULL,
  first INTEGER NOT NULL,
  behind INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (replay, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE seen_ids (
  chunk INTEGER PRIMARY KEY,
  latest REAL NOT NULL,
  replays TEXT NOT NULL,
  crc INTEGER NOT NULL,
  ids BLOB NOT NULL
) STRICT;
CREATE TABLE seen_late (
  replay TEXT NOT NULL,
  id INTEGER NOT NULL,
  time REAL NOT NULL,
  judge REAL NOT NULL,
  outcome INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  PRIMARY KEY (replay, id)
) STRICT, WITHOUT ROWID;
${DEAD_LETTER_SCHEMA}${ARCHIVE_SCHEMA}
PRAGMA user_version = ${FORMAT};
`;

/** Makes the tables in a file that has none. */
export function createTables(db: Sqlite, identity: StateIdentity): void {
  if (formatOf(db) === 0) create(db, identity);
}

function create(db: Sqlite, identity: StateIdentity): void {
  transaction(db, () => {
    db.exec(SCHEMA);
    writeIdentity(db, identity);
    const now = Date.now();
    db.prepare('INSERT INTO run (id, created, crc) VALUES (1, ?, ?)').run(now, rowCrc([now], ''));
  });
}

/** Throws `newer-format` or `older-format` where a state can't even be brought up to date. */
export function refuseUnknownFormat(db: Sqlite, what: string): void {
  refuseNewerFormat(db, what, FORMAT, 'begin anew with another --app');
  const format = formatOf(db);
  if (format < OLDEST_FORMAT) {
    throw new TaxiflowError(
      'older-format',
      `${what} has format ${format}, which this taxiflow doesn't read any more`,
      { hint: 'process the stream again into another --app or --data-dir' },
    );
  }
}

/** For readers, which change nothing: throws `newer-format`, `older-format` or `no-app` unless the format is the present one. */
export function refuseOtherFormat(db: Sqlite, what: string, app: string): void {
  const format = formatOf(db);
  if (format === 0) {
    throw new TaxiflowError('no-app', `${what} holds nothing yet`, {
      hint: `run "taxiflow process --app ${app}" with its options first`,
    });
  }
  refuseUnknownFormat(db, what);
  if (format === FORMAT) return;
  throw new TaxiflowError('older-format', `${what} has format ${format}, this taxiflow reads ${FORMAT}`, {
    hint: `run "taxiflow process --app ${app}" with its options: it brings the state up to date first`,
  });
}

/** Looks through the whole file. `quick_check` would miss an index that differs from its table, which hides rows. */
export function checkIntegrity(db: Sqlite, what: string, path: string): void {
  const found = db.pragma('integrity_check(1)', { simple: true });
  if (found !== 'ok') throw damage(what, path, String(found));
}
