/**
 * States of older formats, brought up to the present one when a processor opens them. A migration is one transaction:
 * rows are checked against their checksums before, and get new ones. What is damaged is refused, and nothing is changed.
 */
import { packPanes, packValues } from '../engine/windows/pane-blocks.ts';
import { withoutSecrets } from '../printable.ts';
import { formatOf, type Sqlite, transaction } from '../sqlite.ts';
import { writeIdentity } from './identity.ts';
import { dropResultViews } from './result-views.ts';
import { rowCrc, type StateRows } from './rows.ts';
import { FORMAT } from './schema.ts';

/** By the format that each begins at. */
const MIGRATIONS: Readonly<Record<number, (rows: StateRows) => void>> = {
  3: fromFormat3,
  4: fromFormat4,
  5: fromFormat5,
  6: fromFormat6,
};

/** Inside the lock of the state. Throws `damaged`. */
export function migrate(rows: StateRows): void {
  if (formatOf(rows.db) === FORMAT) return;
  // Secrets that leave the tables must not stay in free pages.
  rows.db.pragma('secure_delete = ON');
  transaction(rows.db, () => {
    // A new table may have the name of one, and renaming a table would rewrite them.
    dropResultViews(rows.db);
    for (let format = formatOf(rows.db); format < FORMAT; format++) MIGRATIONS[format]!(rows);
    rows.db.pragma(`user_version = ${FORMAT}`);
  });
}

/**
 * In format 3 the end of a window was derived from the size of its view. All sinks shared a column `bytes`, which meant the length of a file to one and a number of results to another;
 * the tables of destinations were made when they were first needed; and a sink could be named by the whole of its URL.
 */
function fromFormat3(rows: StateRows): void {
  rows.db.exec(TABLES_OF_DESTINATIONS);
  addWindowEnds(rows);
  moveCursors(rows);
}

const PANES_OF_FORMAT_4 = `
ALTER TABLE panes RENAME TO panes_of_format_3;
CREATE TABLE panes (
  view TEXT NOT NULL,
  window_start INTEGER NOT NULL,
  window_end INTEGER NOT NULL,
  part INTEGER NOT NULL,
  kind TEXT NOT NULL,
  block INTEGER NOT NULL,
  first_key TEXT,
  crc INTEGER NOT NULL,
  rows TEXT NOT NULL,
  PRIMARY KEY (view, window_start, window_end, part, kind, block)
) STRICT;
`;

type Format3Pane = readonly [
  id: number,
  view: string,
  start: number,
  part: number,
  kind: string,
  block: number,
  first: string | null,
  crc: number,
  rows: string,
];

const PANES_AT_ONCE = 256;

/** Panes may be more than memory holds, so they are copied some at a time. */
function addWindowEnds(rows: StateRows): void {
  const sizes = windowSizes(rows);
  rows.db.exec(PANES_OF_FORMAT_4);
  const some = rows.db
    .prepare(
      `SELECT rowid, view, window_start, part, kind, block, first_key, crc, rows FROM panes_of_format_3
       WHERE rowid > ? ORDER BY rowid LIMIT ${PANES_AT_ONCE}`,
    )
    .raw();
  const insert = rows.prepare('INSERT INTO panes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)');
  for (let last = Number.MIN_SAFE_INTEGER; ; ) {
    const found = some.all(last) as Format3Pane[];
    if (found.length === 0) break;
    for (const [id, view, start, part, kind, block, first, crc, content] of found) {
      rows.verify(crc, [view, start, part, kind, block, first], content, `panes of ${view}`);
      const size = sizes.get(view);
      if (size === undefined) throw rows.damage(`there is no view ${view}`);
      const key = [view, start, start + size, part, kind, block, first];
      insert.run(key, rowCrc(key, content), content);
      last = id;
    }
  }
  rows.db.exec('DROP TABLE panes_of_format_3');
}

const PANES_OF_FORMAT_5 = `
ALTER TABLE panes RENAME TO panes_of_format_4;
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
`;

type Format4Pane = readonly [id: number, ...key: (string | number | null)[], crc: number, rows: string];

/** In format 4 the blocks of panes were JSON. */
function fromFormat4(rows: StateRows): void {
  rows.db.exec(PANES_OF_FORMAT_5);
  const some = rows.db
    .prepare(
      `SELECT rowid, view, window_start, window_end, part, kind, block, first_key, crc, rows FROM panes_of_format_4
       WHERE rowid > ? ORDER BY rowid LIMIT ${PANES_AT_ONCE}`,
    )
    .raw();
  const insert = rows.prepare('INSERT INTO panes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)');
  for (let last = Number.MIN_SAFE_INTEGER; ; ) {
    const found = some.all(last) as Format4Pane[];
    if (found.length === 0) break;
    for (const row of found) {
      const [id] = row;
      const key = row.slice(1, -2) as (string | number | null)[];
      const [crc, content] = row.slice(-2) as [number, string];
      rows.verify(crc, key, content, `panes of ${key[0]}`);
      const data =
        key[4] === 'panes' ? packedPanes(JSON.parse(content)) : packedDistinct(JSON.parse(content));
      insert.run(key, rowCrc(key, data), data);
      last = id;
    }
  }
  rows.db.exec('DROP TABLE panes_of_format_4');
}

/** Format 5 had no archive. */
function fromFormat5(rows: StateRows): void {
  rows.db.exec(TABLES_OF_ARCHIVE);
}

const TABLES_OF_ARCHIVE = `
CREATE TABLE archive (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  crc INTEGER NOT NULL,
  archive TEXT NOT NULL
) STRICT;
CREATE TABLE archive_trips (
  file INTEGER NOT NULL,
  chunk INTEGER NOT NULL,
  count INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  trips BLOB NOT NULL,
  PRIMARY KEY (file, chunk)
) STRICT;
`;

/** Format 6 had no totals; windows that have fired stay without them. What a state is made of had no checksum. */
function fromFormat6(rows: StateRows): void {
  rows.db.exec(TABLE_OF_TOTALS);
  const identity = rows.prepare('SELECT name, value FROM identity').all() as {
    name: string;
    value: string;
  }[];
  rows.db.exec(IDENTITY_OF_FORMAT_7);
  writeIdentity(rows.db, Object.fromEntries(identity.map(({ name, value }) => [name, value])));
}

const IDENTITY_OF_FORMAT_7 = `
DROP TABLE identity;
CREATE TABLE identity (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;

const TABLE_OF_TOTALS = `
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
`;

type Value = string | number;

/** Null stood for NaN. */
function packedPanes(rows: readonly (readonly [key: Value[], numbers: (number | null)[]])[]): Buffer {
  const [[key, numbers]] = rows as [[Value[], (number | null)[]]];
  return packPanes(
    rows.length,
    key.map((first, part) => {
      const values = rows.map(([own]) => own[part]!);
      if (typeof first === 'number') return Float64Array.from(values as number[]);
      return { codes: [...values.keys()], word: (row: number) => values[row] as string };
    }),
    numbers.map((_, i) => Float64Array.from(rows, ([, own]) => own[i] ?? Number.NaN)),
  );
}

function packedDistinct(rows: readonly (readonly [owner: number, value: Value])[]): Buffer {
  const isNumber = (value: Value) => typeof value === 'number';
  return packValues(
    Float64Array.from(rows, ([owner]) => owner),
    Float64Array.from(rows, ([, value]) => (isNumber(value) ? (value as number) : Number.NaN)),
    {
      codes: rows.map(([, value], row) => (isNumber(value) ? -1 : row)),
      word: (row) => rows[row]![1] as string,
    },
    undefined,
  );
}

/** Ms, by view. */
function windowSizes(rows: StateRows): ReadonlyMap<string, number> {
  const text = rows.prepare("SELECT value FROM identity WHERE name = 'views'").pluck().get() as string;
  const views = JSON.parse(text) as { name: string; window: { size_ms: number } }[];
  return new Map(views.map(({ name, window }) => [name, window.size_ms]));
}

function moveCursors(rows: StateRows): void {
  const cursors = cursorsOfFormat3(rows);
  rows.db.exec(CURSORS_OF_FORMAT_4);
  const insert = rows.prepare('INSERT INTO cursors (sink, delivered, position, crc) VALUES (?, ?, ?, ?)');
  for (const [sink, { delivered, bytes }] of cursors) {
    const position = JSON.stringify(sink.startsWith('opensearch') ? { told: bytes } : { bytes });
    insert.run(sink, delivered, position, rowCrc([sink, delivered, position], ''));
  }
}

const TABLES_OF_DESTINATIONS = `
CREATE TABLE IF NOT EXISTS destinations (
  sink TEXT PRIMARY KEY,
  crc INTEGER NOT NULL,
  destinations TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS window_destinations (
  sink TEXT NOT NULL,
  view TEXT NOT NULL,
  window_start INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  destination TEXT NOT NULL,
  PRIMARY KEY (sink, view, window_start)
) STRICT, WITHOUT ROWID;
`;

const CURSORS_OF_FORMAT_4 = `
DROP TABLE cursors;
CREATE TABLE cursors (
  sink TEXT PRIMARY KEY,
  delivered INTEGER NOT NULL,
  position TEXT NOT NULL,
  crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;

interface Format3Cursor {
  readonly delivered: number;
  readonly bytes: number;
}

/** By the name of the sink, without what may be secret in it. */
function cursorsOfFormat3(rows: StateRows): Map<string, Format3Cursor> {
  const cursors = new Map<string, Format3Cursor>();
  const found = rows.prepare('SELECT sink, delivered, bytes, crc FROM cursors ORDER BY sink').all();
  for (const { sink, delivered, bytes, crc } of found as (Format3Cursor & { sink: string; crc: number })[]) {
    rows.verify(crc, [sink, delivered, bytes], '', `the cursor of ${withoutSecrets(sink)}`);
    const name = withoutSecrets(sink);
    if (name !== sink) renameRefusals(rows.db, sink, name);
    // Two sinks may get one name. The one that is behind counts: a document that is sent twice is one document.
    const other = cursors.get(name) ?? { delivered, bytes };
    cursors.set(name, {
      delivered: Math.min(delivered, other.delivered),
      bytes: Math.max(bytes, other.bytes),
    });
  }
  return cursors;
}

function renameRefusals(db: Sqlite, old: string, name: string): void {
  db.prepare('UPDATE dead_letters SET scope = ? WHERE scope = ?').run(name, old);
  db.prepare(
    `INSERT INTO dead_letter_counts SELECT ?, reason, count, kept FROM dead_letter_counts WHERE scope = ?
     ON CONFLICT DO UPDATE SET count = count + excluded.count, kept = kept + excluded.kept`,
  ).run(name, old);
  db.prepare('DELETE FROM dead_letter_counts WHERE scope = ?').run(old);
  // It has the old name too, and the next run writes another.
  db.prepare('UPDATE run SET status = NULL').run();
}
