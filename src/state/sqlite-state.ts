/**
 * The state of one processor: one SQLite file under the data directory.
 *
 *  C1 a checkpoint is one transaction; there is no second file to disagree with it.
 *  C3 `firings` is the outbox: results are numbered in the order they are written, and each sink has a cursor.
 *  C4 the lock is a second SQLite file, held for as long as the process lives and let go by whatever ends it. A state
 *     has one name only, and one that loses it while it is in use takes no further commit.
 *  C5 a state of another stream, other views or a newer format is refused.
 * What is read back is checked against its CRC, which covers the row with its key, so that a damaged file is never
 * taken for a result.
 */
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import {
  countByReason,
  DEAD_LETTER_SCHEMA,
  type DeadLetterBuffer,
  DeadLetterTable,
} from '../dead-letters.ts';
import type { Checkpoint, Counters, StateIdentity, StateStore, StoredState } from '../engine/checkpoint.ts';
import type { DuplicateChanges, StoredTrips } from '../engine/duplicates.ts';
import type { BlockPlace, DistinctRow, Key, Kind, PaneBlock, PaneRow } from '../engine/pane-runs.ts';
import type { SinkStatus } from '../engine/run.ts';
import type { LateTrip, PageRecord, SeenRange } from '../engine/seen-trips.ts';
import type { ShardProgress } from '../engine/watermarks.ts';
import { systemCode, TaxiflowError, translate, translating } from '../errors.ts';
import { withoutSecrets } from '../printable.ts';
import { ensureFile, refuseLinks } from '../private-files.ts';
import { Database, openSqlite, type Sqlite, type Statement, transaction } from '../sqlite.ts';

const FORMAT = 3;
const LOCK_PATIENCE_MS = 200;

/** Where a sink's results go, in its own words; made when it is missing, so that older states of this format go on. */
const DESTINATIONS_SCHEMA = `
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

const SCHEMA = `
CREATE TABLE identity (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
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
  part INTEGER NOT NULL,
  kind TEXT NOT NULL,
  block INTEGER NOT NULL,
  first_key TEXT,
  crc INTEGER NOT NULL,
  rows TEXT NOT NULL,
  PRIMARY KEY (view, window_start, part, kind, block)
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
CREATE VIEW results (number, view, window_start, doc) AS
  SELECT f.first + d.key, f.view, f.window_start, d.value FROM firings f, json_each(f.docs) d;
CREATE TABLE cursors (
  sink TEXT PRIMARY KEY,
  delivered INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  crc INTEGER NOT NULL
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
${DEAD_LETTER_SCHEMA}
PRAGMA user_version = ${FORMAT};
`;

/** The part of a checkpoint that is small and written whole. */
interface CheckpointState {
  watermark: number | null;
  counters: Counters;
  shards: (Omit<ShardProgress, 'watermark' | 'latest' | 'idle'> & {
    watermark: number | null;
    latest: number | null;
  })[];
  nextResult: number;
}

/** A piece of a firing, as it lies in the outbox: `docs` is a JSON array, a document a line. */
export interface StoredFiring {
  /** Number of its first result. */
  readonly first: number;
  readonly count: number;
  readonly view: string;
  readonly windowStart: number;
  readonly correction: boolean;
  readonly docs: string;
}

type StoredRow = Omit<StoredFiring, 'correction'> & { readonly crc: number; readonly correction: number };

export interface Cursor {
  /** Results with lower numbers are delivered. */
  readonly delivered: number;
  /** How long the output was then, for sinks that are files; below which result refusals are told, for OpenSearch. */
  readonly bytes: number;
}

/** How the processor is doing, for readers of the state; no result depends on it. */
export interface RunStatus {
  readonly pid: number;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly notedAt: string;
  /** Ms between checkpoints. */
  readonly checkpointInterval: number;
  /** Of the last checkpoint; bytes of what it wrote. */
  readonly checkpoint: { readonly durationMs: number; readonly bytes: number };
  readonly openWindows: number;
  /** A second, over the last ten or so. */
  readonly rates: { readonly records: number; readonly results: number };
  /** By shard: ms since the last record read arrived, 0 at the tip. */
  readonly lags: Readonly<Record<string, number>>;
  readonly sinks: readonly SinkStatus[];
}

const APP = /^[a-zA-Z0-9_.-]{1,128}$/;

export function statePath(dataDir: string, app: string): string {
  if (!APP.test(app) || app.startsWith('.')) {
    throw new TaxiflowError('bad-app-name', `"${app}" can't name an app`, {
      hint: 'use letters, digits, "_", "-" and ".", 128 at most',
      exitCode: 2,
    });
  }
  return join(dataDir, 'apps', `${app}.sqlite`);
}

export function listApps(dataDir: string): string[] {
  const folder = join(dataDir, 'apps');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith('.sqlite'))
    .map((file) => file.slice(0, -'.sqlite'.length))
    .sort();
}

/** Results of one window of a view, as they lie in the outbox. */
export interface StoredWindow {
  readonly windowStart: number;
  /** Number of its first result. */
  readonly first: number;
  /** How many of its results have numbers below the one asked for. */
  readonly count: number;
  readonly corrected: boolean;
}

/** A window whose results a sink sends somewhere else than others. */
export interface WindowDestination {
  readonly view: string;
  readonly windowStart: number;
  readonly destination: string;
}

export interface StateOptions {
  readonly dataDir: string;
  readonly app: string;
  readonly identity: StateIdentity;
}

export class SqliteState implements StateStore {
  readonly path: string;
  readonly stored: StoredState | undefined;
  readonly #db: Sqlite;
  readonly #lock: Sqlite;
  readonly #what: string;
  /** Which file was opened: what is committed to one that was deleted or moved is lost. */
  readonly #inode: bigint | undefined;
  readonly #statements: ReturnType<typeof prepare>;
  readonly #deadLetters: DeadLetterTable;
  /** When the state was made, epoch ms. */
  readonly created: number;
  /** Of the last commit. */
  lastCheckpoint = { durationMs: 0, bytes: 0 };
  #number = 0;
  #nextResult = 1;
  #bytes = 0;

  private constructor(path: string, db: Sqlite, lock: Sqlite, what: string) {
    this.path = path;
    this.#inode = inodeOf(path);
    this.#db = db;
    this.#lock = lock;
    this.#what = what;
    this.#statements = prepare(db);
    this.#deadLetters = new DeadLetterTable(db);
    this.stored = this.#load();
    this.created = this.#readCreated();
    this.#forgetSecrets();
  }

  /** Opens or makes the state of an app and locks it. Throws `app-running`, `other-state`, `damaged`, … */
  static open({ dataDir, app, identity }: StateOptions): SqliteState {
    const path = statePath(dataDir, app);
    const what = `the state of app "${app}"`;
    const isNew = !existsSync(path);
    const db = openSqlite(path, { what });
    let lock: Sqlite | undefined;
    try {
      lock = takeLock(path, app);
      if (db.pragma('user_version', { simple: true }) === 0) create(db, identity);
      checkFormat(db, what);
      if (!isNew) checkIntegrity(db, what, path);
      checkIdentity(db, identity, app);
      db.exec(DESTINATIONS_SCHEMA);
      return new SqliteState(path, db, lock, what);
    } catch (error) {
      lock?.close();
      db.close();
      throw damaged(error, what, path);
    }
  }

  /** The number that the next result gets. */
  get nextResult(): number {
    return this.#nextResult;
  }

  commit(checkpoint: Checkpoint): void {
    const started = performance.now();
    this.#bytes = 0;
    try {
      transaction(this.#db, () => this.#write(checkpoint));
      this.#refuseGone();
    } catch (error) {
      throw translate(error, this.#what, this.path);
    }
    this.lastCheckpoint = { durationMs: performance.now() - started, bytes: this.#bytes };
  }

  /** Notes how the processor is doing. */
  note(status: RunStatus): void {
    try {
      this.#statements.note.run(JSON.stringify(status));
    } catch (error) {
      throw translate(error, this.#what, this.path);
    }
  }

  rows({ view, windowStart, part, kind, block }: BlockPlace): (PaneRow | DistinctRow)[] | undefined {
    const row = this.#reading(() => this.#statements.block.get(view, windowStart, part, kind, block)) as
      | { first: string | null; crc: number; rows: string }
      | undefined;
    if (!row) return undefined;
    const key = [view, windowStart, part, kind, block, row.first];
    this.#verify(row.crc, key, row.rows, `panes of ${view}`);
    return JSON.parse(row.rows) as (PaneRow | DistinctRow)[];
  }

  firstKey({ view, windowStart, part, kind, block }: BlockPlace): Key | undefined {
    const first = this.#reading(() => this.#statements.firstKey.get(view, windowStart, part, kind, block)) as
      | { first: string | null }
      | undefined;
    return first?.first ? (JSON.parse(first.first) as Key) : undefined;
  }

  rewrite(blocks: Iterable<PaneBlock>): void {
    try {
      transaction(this.#db, () => this.#writeBlocks(blocks));
    } catch (error) {
      throw translate(error, this.#what, this.path);
    }
  }

  /** Where a sink stands; undefined when it is new. */
  cursor(sink: string): Cursor | undefined {
    const row = this.#reading(() => this.#statements.cursor.get(sink)) as
      | (Cursor & { crc: number })
      | undefined;
    if (!row) return undefined;
    const { crc, delivered, bytes } = row;
    this.#verify(crc, [sink, delivered, bytes], '', `the cursor of ${sink}`);
    return { delivered, bytes };
  }

  /** How many results a sink has refused in all runs. */
  refused(sink: string): number {
    const counts = this.#reading(() => new DeadLetterTable(this.#db, sink).counts());
    return counts.reduce((sum, { count }) => sum + count, 0);
  }

  /** What the sink refused of the results it passes goes with the cursor, in one transaction. */
  moveCursor(
    sink: string,
    { delivered, bytes }: Cursor,
    refused?: ReturnType<DeadLetterBuffer['take']>,
  ): void {
    const move = () =>
      this.#statements.moveCursor.run(sink, delivered, bytes, rowCrc([sink, delivered, bytes], ''));
    try {
      if (!refused || refused.counts.size === 0) move();
      else
        transaction(this.#db, () => {
          move();
          new DeadLetterTable(this.#db, sink).write(refused, new Date().toISOString());
        });
      this.#refuseGone();
    } catch (error) {
      throw translate(error, this.#what, this.path);
    }
  }

  /** The firings with results from `from` on that are committed, in order. */
  *firingsFrom(from: number): Generator<StoredFiring> {
    for (let next = from; ; ) {
      const rows = this.#reading(() => this.#statements.firings.all({ from: next })) as StoredRow[];
      if (rows.length === 0) return;
      for (const row of rows) {
        yield this.#firing(row);
        next = row.first + row.count;
      }
    }
  }

  /** The number of the first result of a window; undefined when it has none. */
  firstOf(view: string, windowStart: number): number | undefined {
    const row = this.#reading(() => this.#statements.firstOf.get(view, windowStart)) as {
      first: number | null;
    };
    return row.first ?? undefined;
  }

  /** The windows of a view with results below the number `before`. */
  windowsBefore(view: string, before: number): StoredWindow[] {
    const rows = this.#reading(() => this.#statements.windows.all({ view, before })) as (Omit<
      StoredWindow,
      'corrected'
    > & { corrected: number })[];
    return rows.map((row) => ({ ...row, corrected: row.corrected === 1 }));
  }

  /** The firings of a window, in order. */
  firingsOf(view: string, windowStart: number): StoredFiring[] {
    const rows = this.#reading(() => this.#statements.firingsOf.all(view, windowStart)) as StoredRow[];
    return rows.map((row) => this.#firing(row));
  }

  /** What a sink noted of where its results go; undefined when it is new. */
  destinations(sink: string): string | undefined {
    const row = this.#reading(() => this.#statements.destinations.get(sink)) as
      | { crc: number; destinations: string }
      | undefined;
    if (!row) return undefined;
    this.#verify(row.crc, [sink], row.destinations, `the destinations of ${sink}`);
    return row.destinations;
  }

  setDestinations(sink: string, destinations: string): void {
    try {
      this.#statements.setDestinations.run(sink, rowCrc([sink], destinations), destinations);
    } catch (error) {
      throw translate(error, this.#what, this.path);
    }
  }

  /** The windows whose results go elsewhere than `destinations` says. */
  windowDestinations(sink: string): WindowDestination[] {
    const rows = this.#reading(() => this.#statements.windowDestinations.all(sink)) as (WindowDestination & {
      crc: number;
    })[];
    return rows.map(({ crc, ...row }) => {
      this.#verify(crc, [sink, row.view, row.windowStart], row.destination, `the destinations of ${sink}`);
      return row;
    });
  }

  addWindowDestinations(sink: string, added: readonly WindowDestination[]): void {
    const write = this.#statements.addWindowDestination;
    try {
      transaction(this.#db, () => {
        for (const { view, windowStart, destination } of added)
          write.run(sink, view, windowStart, rowCrc([sink, view, windowStart], destination), destination);
      });
    } catch (error) {
      throw translate(error, this.#what, this.path);
    }
  }

  close(): void {
    this.#db.close();
    this.#lock.close();
  }

  #refuseGone(): void {
    if (inodeOf(this.path) === this.#inode) return;
    throw new TaxiflowError(
      'state-gone',
      `${this.#what} was deleted or moved while it was in use: ${this.path}`,
      {
        hint: 'put it back, with the files -wal and -shm beside it, or run the same command again to begin afresh',
      },
    );
  }

  #firing({ crc, correction, ...firing }: StoredRow): StoredFiring {
    this.#verify(crc, firingKey({ ...firing, correction }), firing.docs, `results of ${firing.view}`);
    return { ...firing, correction: Boolean(correction) };
  }

  #write(checkpoint: Checkpoint): void {
    const s = this.#statements;
    // Firings are made of what is still stored of their windows, so they come first.
    for (const { docs, view, windowStart, count, correction } of checkpoint.firings) {
      const text = `[${docs}]`;
      const row = { first: this.#nextResult, count, view, windowStart, correction: correction ? 1 : 0 };
      const crc = rowCrc(firingKey(row), text);
      s.writeFiring.run(row.first, count, view, windowStart, row.correction, crc, text);
      this.#nextResult += count;
      this.#bytes += text.length;
    }
    this.#writeBlocks(checkpoint.blocks);
    for (const { view, windowStart } of checkpoint.gone) s.dropPanes.run(view, windowStart);
    this.#writeSeen(checkpoint.duplicates);
    const at = new Date().toISOString();
    this.#deadLetters.write(checkpoint.deadLetters, at);
    const state: CheckpointState = {
      watermark: finite(checkpoint.watermark),
      counters: checkpoint.counters,
      shards: checkpoint.shards.map(({ id, position, watermark, latest, owed, ended }) => ({
        id,
        position,
        watermark: finite(watermark),
        latest: finite(latest),
        owed,
        ended,
      })),
      nextResult: this.#nextResult,
    };
    const text = JSON.stringify(state);
    this.#bytes += text.length;
    s.writeCheckpoint.run(++this.#number, at, rowCrc([], text), text);
  }

  #writeBlocks(blocks: Iterable<PaneBlock>): void {
    for (const { view, windowStart, part, kind, block, first, rows } of blocks) {
      const text = JSON.stringify(rows);
      const firstKey = first === undefined ? null : JSON.stringify(first);
      const crc = rowCrc([view, windowStart, part, kind, block, firstKey], text);
      this.#statements.writeBlock.run(view, windowStart, part, kind, block, firstKey, crc, text);
      this.#bytes += text.length;
    }
  }

  #writeSeen(changes: DuplicateChanges): void {
    const { gonePages, goneRanges, goneChunks, goneLate, pages, ranges, chunks, late } = changes;
    const s = this.#statements;
    for (const { replay, id } of goneLate) s.dropLate.run(replay, id);
    for (const { replay, id, time, judge, outcome } of late)
      s.writeLate.run(replay, id, time, judge, outcome, rowCrc([replay, id, time, judge, outcome], ''));
    for (const { replay, page } of gonePages) s.dropPage.run(replay, page);
    for (const { replay, from } of goneRanges) s.dropRange.run(replay, from);
    for (const chunk of goneChunks) s.dropIds.run(chunk);
    for (const { replay, page, latest, bits } of pages) {
      s.writePage.run(replay, page, latest, rowCrc([replay, page, latest], bits), bytesOf(bits));
      this.#bytes += bits.length;
    }
    for (const { replay, from, to } of ranges)
      s.writeRange.run(replay, from, to, rowCrc([replay, from, to], ''));
    for (const { chunk, latest, replays, ids } of chunks) {
      const bytes = bytesOf(ids);
      const names = JSON.stringify(replays);
      s.writeIds.run(chunk, latest, names, rowCrc([chunk, latest, names], bytes), bytes);
      this.#bytes += bytes.length;
    }
  }

  #load(): StoredState | undefined {
    const row = this.#db.prepare('SELECT number, crc, state FROM checkpoint').get() as
      | { number: number; crc: number; state: string }
      | undefined;
    if (!row) return undefined;
    this.#verify(row.crc, [], row.state, 'the checkpoint');
    const state = JSON.parse(row.state) as CheckpointState;
    this.#number = row.number;
    this.#nextResult = state.nextResult;
    this.#verifyPanes();
    return {
      watermark: state.watermark ?? Number.NEGATIVE_INFINITY,
      counters: state.counters,
      shards: state.shards.map((shard) => ({
        ...shard,
        watermark: shard.watermark ?? Number.NEGATIVE_INFINITY,
        latest: shard.latest ?? Number.NEGATIVE_INFINITY,
        idle: false,
      })),
      windows: this.#loadWindows(),
      seen: this.#loadSeen(),
      deadLetters: countByReason(this.#db),
    };
  }

  /** A part that is not in key order was in memory when the last process ended; a single block is sorted when it is read. */
  #loadWindows(): StoredState['windows'] {
    const rows = this.#db
      .prepare(
        `SELECT view, window_start AS windowStart, max(part) + 1 AS parts,
                max(first_key IS NULL AND block > 0) AS unsorted FROM panes GROUP BY view, window_start`,
      )
      .all() as { view: string; windowStart: number; parts: number; unsorted: number }[];
    return rows.map((row) => ({ ...row, unsorted: row.unsorted === 1 }));
  }

  #loadSeen(): StoredTrips {
    const all = <Row>(sql: string) => this.#db.prepare(sql).all() as (Row & { crc: number })[];
    const pages = all<PageRecord>('SELECT replay, page, latest, crc, bits FROM seen_pages');
    for (const { crc, replay, page, latest, bits } of pages)
      this.#verify(crc, [replay, page, latest], bits, 'the trips seen');
    const ranges = all<SeenRange>(
      'SELECT replay, first AS "from", behind AS "to", crc FROM seen_ranges ORDER BY replay, first',
    );
    for (const { crc, replay, from, to } of ranges)
      this.#verify(crc, [replay, from, to], '', 'the trips seen');
    const chunks = all<{ chunk: number; latest: number; replays: string; ids: Uint8Array }>(
      'SELECT chunk, latest, replays, crc, ids FROM seen_ids ORDER BY chunk',
    );
    for (const { crc, chunk, latest, replays, ids } of chunks)
      this.#verify(crc, [chunk, latest, replays], ids, 'the trips seen');
    const late = all<LateTrip>('SELECT replay, id, time, judge, outcome, crc FROM seen_late');
    for (const { crc, replay, id, time, judge, outcome } of late)
      this.#verify(crc, [replay, id, time, judge, outcome], '', 'the trips seen');
    return {
      pages,
      ranges,
      late,
      chunks: chunks.map(({ chunk, latest, replays, ids }) => ({
        chunk,
        latest,
        replays: JSON.parse(replays) as [string, number][],
        ids: new Float64Array(Uint8Array.from(ids).buffer),
      })),
    };
  }

  #readCreated(): number {
    const row = this.#db.prepare('SELECT created, crc FROM run').get() as
      | { created: number; crc: number }
      | undefined;
    if (!row) throw damage(this.#what, this.path, 'when it was made is missing');
    this.#verify(row.crc, [row.created], '', 'when it was made');
    return row.created;
  }

  /** Sinks were once named by the whole of their URL: what may be secret in it leaves the state, the cursor stays. */
  #forgetSecrets(): void {
    const names = this.#db.prepare('SELECT sink FROM cursors').pluck().all() as string[];
    for (const old of names) {
      const name = withoutSecrets(old);
      if (name !== old) transaction(this.#db, () => this.#renameSink(old, name));
    }
  }

  #renameSink(old: string, name: string): void {
    const { delivered, bytes } = this.cursor(old)!;
    // Of two for one server, nothing is left out; what goes twice makes no second document.
    const other = this.cursor(name) ?? { delivered, bytes };
    this.moveCursor(name, {
      delivered: Math.min(delivered, other.delivered),
      bytes: Math.max(bytes, other.bytes),
    });
    this.#db.prepare('DELETE FROM cursors WHERE sink = ?').run(old);
    this.#db.prepare('UPDATE dead_letters SET scope = ? WHERE scope = ?').run(name, old);
    this.#db
      .prepare(
        `INSERT INTO dead_letter_counts SELECT ?, reason, count, kept FROM dead_letter_counts WHERE scope = ?
         ON CONFLICT DO UPDATE SET count = count + excluded.count, kept = kept + excluded.kept`,
      )
      .run(name, old);
    this.#db.prepare('DELETE FROM dead_letter_counts WHERE scope = ?').run(old);
    this.#db.prepare('UPDATE run SET status = NULL').run();
  }

  #reading<T>(work: () => T): T {
    return translating(this.#what, this.path, work);
  }

  /** Which windows and parts there are is gone by before their panes are read, so they are checked before. */
  #verifyPanes(): void {
    const found = this.#db
      .prepare('SELECT view, window_start, part, kind, block, first_key, crc, rows FROM panes')
      .raw()
      .iterate();
    for (const row of found as Iterable<
      [string, number, number, Kind, number, string | null, number, string]
    >) {
      const [view, windowStart, part, kind, block, first, crc, rows] = row;
      this.#verify(crc, [view, windowStart, part, kind, block, first], rows, `panes of ${view}`);
    }
  }

  #verify(crc: number, key: RowKey, content: string | Uint8Array, part: string): void {
    if (rowCrc(key, content) === crc) return;
    throw damage(this.#what, this.path, `${part} differ from their checksum`);
  }
}

/** A checkpoint as it lies in the file. */
export type StoredCheckpoint = CheckpointState & { readonly number: number; readonly at: string };

/** Throws as SQLite does of a damaged page. */
export function readCheckpoint(db: Sqlite): StoredCheckpoint | undefined {
  const row = db.prepare('SELECT number, at, crc, state FROM checkpoint').get() as
    | { number: number; at: string; crc: number; state: string }
    | undefined;
  if (!row) return undefined;
  if (rowCrc([], row.state) !== row.crc)
    throw Object.assign(new Error('checksum'), { code: 'SQLITE_CORRUPT' });
  return { ...(JSON.parse(row.state) as CheckpointState), number: row.number, at: row.at };
}

/** Whether a processor holds the lock of a state now. */
export function isRunning(dataDir: string, app: string): boolean {
  const path = `${statePath(dataDir, app)}.lock`;
  if (!existsSync(path)) return false;
  const lock = translating('the lock of the state', path, () => {
    return new Database(path, { readonly: true, timeout: 0 });
  });
  try {
    lock.prepare('SELECT count(*) FROM sqlite_schema').get();
    return false;
  } catch (error) {
    return systemCode(error)?.startsWith('SQLITE_BUSY') ?? false;
  } finally {
    lock.close();
  }
}

/** Removes a state. Throws `app-running` while a processor has it. */
export function removeState(dataDir: string, app: string): void {
  const path = statePath(dataDir, app);
  if (!existsSync(path)) return;
  const lock = translating('the state', path, () => takeLock(path, app));
  try {
    for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
  } finally {
    lock.close();
  }
}

type RowKey = readonly (string | number | null)[];

/** Checksum of a row: its key and what goes with it, then its content. */
export function rowCrc(key: RowKey, content: string | Uint8Array): number {
  return crc32(content, crc32(JSON.stringify(key)));
}

/** What the checksum of results covers beside them. */
export function firingKey(row: Omit<StoredFiring, 'docs' | 'correction'> & { correction: number }): RowKey {
  return [row.first, row.count, row.view, row.windowStart, row.correction];
}

function prepare(db: Sqlite) {
  const p = (sql: string): Statement => db.prepare(sql);
  return {
    block: p(
      `SELECT first_key AS first, crc, rows FROM panes
       WHERE view = ? AND window_start = ? AND part = ? AND kind = ? AND block = ?`,
    ),
    firstKey: p(
      `SELECT first_key AS first FROM panes
       WHERE view = ? AND window_start = ? AND part = ? AND kind = ? AND block = ?`,
    ),
    writeBlock: p(
      `INSERT OR REPLACE INTO panes (view, window_start, part, kind, block, first_key, crc, rows)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    dropPanes: p('DELETE FROM panes WHERE view = ? AND window_start = ?'),
    writeFiring: p(
      'INSERT INTO firings (first, count, view, window_start, correction, crc, docs) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ),
    firings: p(
      `SELECT first, count, view, window_start AS windowStart, correction, crc, docs FROM firings
       WHERE first >= coalesce((SELECT max(first) FROM firings WHERE first <= :from), :from)
       AND first + count > :from
       ORDER BY first LIMIT 64`,
    ),
    firstOf: p('SELECT min(first) AS first FROM firings WHERE view = ? AND window_start = ?'),
    windows: p(
      `SELECT window_start AS windowStart, min(first) AS first, max(correction) AS corrected,
         sum(max(0, min(count, :before - first))) AS count
       FROM firings WHERE view = :view GROUP BY window_start HAVING min(first) < :before`,
    ),
    firingsOf: p(
      `SELECT first, count, view, window_start AS windowStart, correction, crc, docs FROM firings
       WHERE view = ? AND window_start = ? ORDER BY first`,
    ),
    destinations: p('SELECT crc, destinations FROM destinations WHERE sink = ?'),
    windowDestinations: p(
      'SELECT view, window_start AS windowStart, crc, destination FROM window_destinations WHERE sink = ?',
    ),
    addWindowDestination: p(
      'INSERT OR REPLACE INTO window_destinations (sink, view, window_start, crc, destination) VALUES (?, ?, ?, ?, ?)',
    ),
    setDestinations: p('INSERT OR REPLACE INTO destinations (sink, crc, destinations) VALUES (?, ?, ?)'),
    writePage: p(
      'INSERT OR REPLACE INTO seen_pages (replay, page, latest, crc, bits) VALUES (?, ?, ?, ?, ?)',
    ),
    dropPage: p('DELETE FROM seen_pages WHERE replay = ? AND page = ?'),
    writeRange: p('INSERT OR REPLACE INTO seen_ranges (replay, first, behind, crc) VALUES (?, ?, ?, ?)'),
    dropRange: p('DELETE FROM seen_ranges WHERE replay = ? AND first = ?'),
    writeIds: p('INSERT INTO seen_ids (chunk, latest, replays, crc, ids) VALUES (?, ?, ?, ?, ?)'),
    writeLate: p(
      'INSERT OR REPLACE INTO seen_late (replay, id, time, judge, outcome, crc) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    dropLate: p('DELETE FROM seen_late WHERE replay = ? AND id = ?'),
    dropIds: p('DELETE FROM seen_ids WHERE chunk = ?'),
    writeCheckpoint: p(
      'INSERT OR REPLACE INTO checkpoint (id, number, at, crc, state) VALUES (1, ?, ?, ?, ?)',
    ),
    note: p('UPDATE run SET status = ?'),
    cursor: p('SELECT delivered, bytes, crc FROM cursors WHERE sink = ?'),
    moveCursor: p('INSERT OR REPLACE INTO cursors (sink, delivered, bytes, crc) VALUES (?, ?, ?, ?)'),
  };
}

function bytesOf(array: Uint8Array | Float64Array): Buffer {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength);
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function create(db: Sqlite, identity: StateIdentity): void {
  transaction(db, () => {
    db.exec(SCHEMA);
    const insert = db.prepare('INSERT INTO identity (name, value) VALUES (?, ?)');
    for (const [name, value] of Object.entries(identity)) insert.run(name, value);
    const now = Date.now();
    db.prepare('INSERT INTO run (id, created, crc) VALUES (1, ?, ?)').run(now, rowCrc([now], ''));
  });
}

function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}

function takeLock(path: string, app: string): Sqlite {
  refuseLinks(`${path}.lock`, `the lock of app "${app}"`);
  ensureFile(`${path}.lock`);
  // Not at once: whoever asks whether a processor runs holds it for a moment.
  const lock = new Database(`${path}.lock`, { timeout: LOCK_PATIENCE_MS });
  try {
    lock.pragma('locking_mode = EXCLUSIVE');
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch (error) {
    lock.close();
    if (!systemCode(error)?.startsWith('SQLITE_BUSY')) throw error;
    throw new TaxiflowError('app-running', `app "${app}" is being run by another process`, {
      hint: 'stop that one first, or give this one a name of its own with --app NAME',
    });
  }
}

export function checkFormat(db: Sqlite, what: string): void {
  const format = db.pragma('user_version', { simple: true }) as number;
  if (format === FORMAT) return;
  throw new TaxiflowError('newer-format', `${what} has format ${format}, this taxiflow reads ${FORMAT}`, {
    hint: 'use the taxiflow that wrote it, or start afresh with another --app',
  });
}

/** `quick_check` would not see an index that differs from its table, and hides rows. */
export function checkIntegrity(db: Sqlite, what: string, path: string): void {
  const found = db.pragma('integrity_check(1)', { simple: true });
  if (found !== 'ok') throw damage(what, path, String(found));
}

function checkIdentity(db: Sqlite, identity: StateIdentity, app: string): void {
  const rows = db.prepare('SELECT name, value FROM identity').all() as {
    name: keyof StateIdentity;
    value: string;
  }[];
  for (const { name, value } of rows) {
    if (identity[name] === value) continue;
    if (name === 'stream') refuseOtherStream(value, identity.stream, app, db.name);
    const detail = name === 'views' ? '' : `: it has ${value}, this is ${identity[name]}`;
    throw new TaxiflowError('other-state', `the state of app "${app}" was made with other ${name}${detail}`, {
      hint: 'run it as it was made, or give this job a name of its own with --app NAME',
    });
  }
}

/** A state made with one stream goes on with no other, also if that has its name. Throws `other-state`. */
export function refuseOtherStream(made: string, found: string, app: string, path: string): void {
  if (made === found) return;
  const [before, now] = [streamName(made), streamName(found)];
  const otherName = before !== now;
  const elsewhere = now.startsWith('local:') ? '' : ', or lies in another region or account';
  const detail = otherName ? `it has ${before}, this is ${now}` : `${now} was made anew since${elsewhere}`;
  throw new TaxiflowError(
    'other-state',
    `the state of app "${app}" was made with another stream: ${detail}`,
    {
      hint: otherName
        ? 'run it as it was made, or give this job a name of its own with --app NAME'
        : `give this job a name of its own with --app NAME, or remove ${path} to begin afresh`,
    },
  );
}

/** How a state has its stream: what tells it from another of its name goes with it. */
export function streamIdentity(stream: { readonly name: string; readonly identity: string }): string {
  return `${stream.name} (${stream.identity})`;
}

/** A stream without what tells it from another of its name, which is not for people. */
export function streamName(identity: string): string {
  return identity.replace(/ \(.*\)$/, '');
}

function damage(what: string, path: string, detail: string): TaxiflowError {
  return new TaxiflowError('damaged', `${what} is damaged (${detail}): ${path}`, {
    hint: 'nothing was changed; put back a copy of the file, or move it away and process the stream again from its start',
  });
}

function damaged(error: unknown, what: string, path: string): unknown {
  const code = systemCode(error) ?? '';
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB' || code === 'SQLITE_ERROR')
    return damage(what, path, (error as Error).message);
  return translate(error, what, path);
}
