/**
 * The state of one processor: one SQLite file under the data directory.
 *
 *  C1 a checkpoint is one transaction; there is no second file to disagree with it.
 *  C3 results are an outbox: numbered in the order they are written, with a cursor for each sink (`outbox.ts`).
 *     The archive's files are decided by the checkpoint too (C11, `archive.ts`).
 *  C4 one processor at a time has a state, by a lock (`files.ts`). A state has one name, and one that loses it while it is
 *     in use takes no further commit.
 *  C5 a state of another stream, other views or a newer format is refused (`identity.ts`, `schema.ts`); one of an older
 *     format is brought up to date (`migrations.ts`).
 */
import { existsSync } from 'node:fs';
import { countByReason, DeadLetterTable } from '../dead-letters.ts';
import type { Checkpoint, StateIdentity, StateStore, StoredState } from '../engine/state-store.ts';
import type { BlockPlace, Key, PaneBlock, WindowSpan } from '../engine/windows/pane-runs.ts';
import { openSqlite, type Sqlite } from '../sqlite.ts';
import { ArchiveTables } from './archive.ts';
import { checkpointText, progressIn, readCheckpoint } from './checkpoint-row.ts';
import { statePath, takeLock } from './files.ts';
import { checkIdentity } from './identity.ts';
import { migrate } from './migrations.ts';
import { Outbox } from './outbox.ts';
import { PaneTable } from './panes.ts';
import { makeResultViews } from './result-views.ts';
import { openingError, rowCrc, StateRows } from './rows.ts';
import { type Past, unpackPast } from './run-past.ts';
import { type RunStatus, readCreated, readRunStatus } from './run-row.ts';
import { checkIntegrity, createTables, refuseUnknownFormat } from './schema.ts';
import { SeenTripTables } from './seen-trips.ts';
import { TotalsTable } from './totals.ts';
import { changeViews, type PlannedChanges, storedViews } from './view-changes.ts';

/** Characters: notes are padded to multiples of it, since SQLite writes only the pages that differ where the length is the same. */
const NOTE_SIZE = 1_024;

export interface StateOptions {
  readonly dataDir: string;
  readonly app: string;
  readonly identity: StateIdentity;
  /** What becomes of a state that was made with other views, in another order or with less lateness; without it, it is refused. */
  readonly planned?: PlannedChanges | undefined;
}

export class SqliteState implements StateStore {
  readonly path: string;
  readonly stored: StoredState | undefined;
  /** Results on their way to the sinks. */
  readonly outbox: Outbox;
  /** Trips on their way to the archive. */
  readonly archive: ArchiveTables;
  /** Of the last commit; `bytes` is what it wrote. */
  lastCheckpoint = { durationMs: 0, bytes: 0 };
  /** For what copies the state. */
  readonly db: Sqlite;
  readonly #rows: StateRows;
  readonly #lock: Sqlite;
  readonly #panes: PaneTable;
  readonly #totals: TotalsTable;
  readonly #seen: SeenTripTables;
  readonly #deadLetters: DeadLetterTable;
  readonly #writeCheckpoint;
  readonly #note;
  #number = 0;
  #checkpointAt: number | undefined;
  #retained:
    | {
        readonly ms: number;
        readonly views: readonly { readonly name: string; readonly size: number }[];
        readonly sinks: readonly string[];
      }
    | undefined;

  private constructor(rows: StateRows, lock: Sqlite) {
    this.path = rows.path;
    this.db = rows.db;
    this.#rows = rows;
    this.#lock = lock;
    this.#panes = new PaneTable(rows);
    this.#totals = new TotalsTable(rows);
    this.#seen = new SeenTripTables(rows);
    this.#deadLetters = new DeadLetterTable(rows.db);
    this.outbox = new Outbox(rows, readCreated(rows));
    this.archive = new ArchiveTables(rows);
    this.#writeCheckpoint = rows.prepare(
      'INSERT OR REPLACE INTO checkpoint (id, number, at, crc, state) VALUES (1, ?, ?, ?, ?)',
    );
    this.#note = rows.prepare('UPDATE run SET status = ?');
    this.stored = this.#load();
  }

  /**
   * Opens or makes the state of an app and locks it; one of an older format is brought up to date. Throws `app-running`,
   * `other-state`, `damaged`, `newer-format`, `older-format`, …
   */
  static open({ dataDir, app, identity, planned }: StateOptions): SqliteState {
    const path = statePath(dataDir, app);
    const what = `the state of app "${app}"`;
    const isNew = !existsSync(path);
    const db = openSqlite(path, { what });
    let lock: Sqlite | undefined;
    try {
      lock = takeLock(path, app);
      createTables(db, identity);
      refuseUnknownFormat(db, what);
      if (!isNew) checkIntegrity(db, what, path);
      checkIdentity(db, identity, app, planned !== undefined);
      const rows = new StateRows(db, what, path);
      migrate(rows);
      if (planned) changeViews(rows, identity, planned);
      makeResultViews(db, storedViews(db));
      return new SqliteState(rows, lock);
    } catch (error) {
      lock?.close();
      db.close();
      throw openingError(error, what, path);
    }
  }

  commit(checkpoint: Checkpoint): void {
    const started = performance.now();
    const bytes = this.#rows.transaction(() => this.#write(checkpoint));
    this.#rows.refuseGone();
    this.lastCheckpoint = { durationMs: performance.now() - started, bytes };
  }

  /** Number of the last checkpoint; 0 before the first. */
  get checkpoint(): number {
    return this.#number;
  }

  /** When the last checkpoint was committed, epoch ms; undefined before the first. */
  get checkpointAt(): number | undefined {
    return this.#checkpointAt;
  }

  /**
   * Keeps results of these views (with the sizes of their windows, ms) only until the watermark is so far behind their end (ms of event
   * time), and these sinks have them.
   */
  retainResults(
    ms: number,
    views: readonly { readonly name: string; readonly size: number }[],
    sinks: readonly string[],
  ): void {
    this.#retained = { ms, views, sinks };
  }

  /** The past that processors before this one noted. */
  past(): Past {
    try {
      return unpackPast(readRunStatus(this.db)?.past);
    } catch {
      // A note is no part of the results: one that can't be read is no reason to stop.
      return unpackPast(undefined);
    }
  }

  /** Notes how the processor is doing. */
  note(status: RunStatus): void {
    const text = JSON.stringify(status);
    const padded = text.padEnd(Math.ceil(text.length / NOTE_SIZE) * NOTE_SIZE);
    this.#rows.attempt(() => this.#note.run(padded));
  }

  block(place: BlockPlace): Uint8Array | undefined {
    return this.#panes.block(place);
  }

  firstKey(place: BlockPlace): Key | undefined {
    return this.#panes.firstKey(place);
  }

  rewrite(blocks: Iterable<PaneBlock>): void {
    this.#panes.rewrite(blocks);
  }

  put(blocks: Iterable<PaneBlock>): void {
    this.#panes.put(blocks);
  }

  drop(window: WindowSpan & { readonly view: string }): void {
    this.#panes.drop(window);
  }

  close(): void {
    this.#rows.db.close();
    this.#lock.close();
  }

  /** Returns how much was written, in characters and bytes. */
  #write(checkpoint: Checkpoint): number {
    // Firings are made of what is still stored of their windows, so they come first.
    const number = this.#number + 1;
    let size = 0;
    for (const firing of checkpoint.firings) {
      size += this.outbox.write(firing) + this.#totals.write(firing, number);
    }
    if (this.#retained) {
      const { ms, views, sinks } = this.#retained;
      for (const { name, size } of views) {
        const before = checkpoint.watermark - ms - size;
        this.outbox.trim(name, before, sinks);
        this.#totals.trim(name, before);
      }
    }
    size += this.#panes.write(checkpoint.blocks);
    for (const window of checkpoint.gone) this.#panes.drop(window);
    size += this.#seen.write(checkpoint.duplicates);
    size += this.archive.add(checkpoint.trips ?? [], Date.now(), checkpoint.isLast ?? false);
    const at = new Date().toISOString();
    this.#deadLetters.write(checkpoint.deadLetters, at);
    const { nextResult, trimmed } = this.outbox;
    const text = checkpointText(checkpoint, { nextResult, trimmed });
    this.#number = number;
    this.#writeCheckpoint.run(number, at, rowCrc([], text), text);
    this.#checkpointAt = Date.parse(at);
    return size + text.length;
  }

  #load(): StoredState | undefined {
    const { db } = this.#rows;
    const checkpoint = readCheckpoint(db);
    if (!checkpoint) return undefined;
    this.#number = checkpoint.number;
    this.#checkpointAt = Date.parse(checkpoint.at);
    this.outbox.continueAt(checkpoint.nextResult, checkpoint.trimmed ?? 0);
    this.#panes.verify();
    return {
      ...progressIn(checkpoint),
      windows: this.#panes.windows(),
      seen: this.#seen.load(),
      deadLetters: countByReason(db),
      closedUpTo: checkpoint.closedUpTo ?? {},
      restored: checkpoint.restored,
    };
  }
}
