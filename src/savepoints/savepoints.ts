/**
 * Savepoints: portable copies of a state, as it was at one checkpoint. They are made beside a running processor, which goes on:
 * a read transaction of SQLite is a snapshot.
 */
import { existsSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TaxiflowError, translate, translating } from '../errors.ts';
import { syncFolder, tidyAway } from '../private-files.ts';
import type { S3Options } from '../s3/object-store.ts';
import { Database, formatOf, openSqlite, type Sqlite } from '../sqlite.ts';
import { detachArchive } from '../state/archive.ts';
import { noteRestored, readCheckpoint } from '../state/checkpoint-row.ts';
import { chooseApp, statePath, takeLock } from '../state/files.ts';
import { streamName } from '../state/identity.ts';
import { migrate } from '../state/migrations.ts';
import { dropResultViews } from '../state/result-views.ts';
import { rowCrc, StateRows } from '../state/rows.ts';
import { refuseUnknownFormat } from '../state/schema.ts';
import { verifyState } from '../state/verify.ts';
import { packSavepoint, readHead, type SavepointHead, unpackSavepoint } from './file.ts';
import {
  placeFor,
  putSavepoint,
  removeSavepoint,
  SUFFIX,
  savepointsIn,
  usualFolder,
  withSavepoint,
  withScratch,
} from './places.ts';
import { type StateSummary, summaryOf } from './summary.ts';

/** Versions in OpenSearch count quarters of a second. */
const QUARTER_MS = 250;
/** A database and the files that SQLite keeps beside it. */
const SIDES = ['', '-wal', '-shm', '-journal'];

export interface CreateOptions {
  readonly dataDir: string;
  readonly app?: string | undefined;
  /** A file, a folder (existing, or with `/` at its end) or an `s3://` URL; by default `savepoints` in the data directory. */
  readonly to?: string | undefined;
  readonly s3: S3Options;
}

export interface Created {
  readonly place: string;
  readonly head: SavepointHead;
}

/** Makes a savepoint of an app's last checkpoint. Throws `no-app`, `no-checkpoint`, `file-exists`, … */
export async function createSavepoint(options: CreateOptions): Promise<Created> {
  const { dataDir, s3 } = options;
  const app = chooseApp(dataDir, options.app);
  return withScratch(
    async (folder) => {
      const copy = join(folder, 'state.sqlite');
      const head = snapshot(statePath(dataDir, app), app, copy);
      const to = options.to ?? `${usualFolder(dataDir)}/`;
      const place = placeFor(to, nameOf(head));
      await putSavepoint(place, s3, (path) => packSavepoint(copy, head, path));
      return { place, head };
    },
    join(dataDir, 'tmp'),
  );
}

/** Makes a savepoint file of the state file `state`, which may be in use. Throws `no-checkpoint`. */
export async function copyState(state: string, app: string, path: string): Promise<void> {
  const copy = `${path}.sqlite`;
  try {
    await packSavepoint(copy, snapshot(state, app, copy), path);
  } finally {
    tidyAway(copy);
  }
}

function nameOf({ app, checkpoint, at }: SavepointHead): string {
  return `${app}-${String(checkpoint).padStart(8, '0')}-${at.replace(/\.\d+/, '').replaceAll(/[-:]/g, '')}${SUFFIX}`;
}

/** Copies a state as its last commit left it, without what is of this run only. Returns what it is. */
function snapshot(path: string, app: string, copy: string): SavepointHead {
  const what = `the state of app "${app}"`;
  const db = openSqlite(path, { what, readonly: true });
  try {
    translating(what, path, () => {
      if (formatOf(db) === 0) throw noCheckpoint(app);
      refuseUnknownFormat(db, what);
      db.prepare('VACUUM INTO ?').run(copy);
    });
  } finally {
    db.close();
  }
  return translating(`the copy of ${what}`, copy, () => {
    const own = new Database(copy);
    try {
      own.exec('UPDATE run SET status = NULL');
      // A savepoint with any statement in it is refused; the processor makes them again.
      dropResultViews(own);
      return headOf(own, app);
    } finally {
      own.close();
    }
  });
}

function noCheckpoint(app: string): TaxiflowError {
  return new TaxiflowError('no-checkpoint', `app "${app}" has made no checkpoint yet`, {
    hint: 'wait a second, or run "taxiflow process" first',
  });
}

function headOf(db: Sqlite, app: string): SavepointHead {
  const checkpoint = readCheckpoint(db);
  if (!checkpoint) throw noCheckpoint(app);
  const one = (sql: string) => db.prepare(sql).pluck().get();
  return {
    app,
    stream: streamName(String(one("SELECT value FROM identity WHERE name = 'stream'"))),
    state_format: formatOf(db),
    checkpoint: checkpoint.number,
    at: checkpoint.at,
    watermark: checkpoint.watermark === null ? null : new Date(checkpoint.watermark).toISOString(),
    results: checkpoint.nextResult - 1,
    created: new Date().toISOString(),
    bytes: Number(one('SELECT page_count * page_size FROM pragma_page_count, pragma_page_size')),
  };
}

/** A savepoint in a list; `trouble` says why its head can't be read. */
export interface Listed {
  readonly place: string;
  /** Of the file, bytes. */
  readonly size: number;
  readonly head?: SavepointHead;
  readonly trouble?: string;
}

/** The savepoints in a folder or under an S3 prefix, by name. Those in S3 are listed without their heads. */
export async function listSavepoints(folder: string, s3: S3Options): Promise<Listed[]> {
  const listed: Listed[] = [];
  for (const { place, size } of await savepointsIn(folder, s3)) {
    if (place.startsWith('s3:')) listed.push({ place, size });
    else {
      try {
        listed.push({ place, size, head: await readHead(place) });
      } catch (error) {
        listed.push({ place, size, trouble: error instanceof Error ? error.message : String(error) });
      }
    }
  }
  return listed;
}

export interface Inspected {
  readonly place: string;
  readonly head: SavepointHead;
  readonly summary: StateSummary;
}

/** Checks a savepoint row by row, and says what it holds. Throws `damaged`, `no-savepoint`, `newer-format`, … */
export function inspectSavepoint(place: string, s3: S3Options): Promise<Inspected> {
  return withSavepoint(place, s3, (path) =>
    withScratch(async (folder) => {
      const state = join(folder, 'state.sqlite');
      const head = await unpackSavepoint(path, state);
      return checked(state, place, (rows) => ({ place, head, summary: summaryOf(rows) }));
    }),
  );
}

/** Brings the unpacked state of a savepoint up to date, checks it, and runs `work` on it. */
function checked<T>(state: string, place: string, work: (rows: StateRows) => T): T {
  const what = `the state in ${place}`;
  return translating(what, place, () => {
    const db = new Database(state);
    try {
      refuseUnknownFormat(db, what);
      const rows = new StateRows(db, what, state);
      migrate(rows);
      if (!verifyState(rows)) throw rows.damage('it has no checkpoint');
      return work(rows);
    } finally {
      db.close();
    }
  });
}

export interface RestoreOptions {
  readonly savepoint: string;
  readonly dataDir: string;
  /** Name of the new app. */
  readonly app: string;
  readonly s3: S3Options;
}

/**
 * Makes a new app of a savepoint. It goes on from the positions of the checkpoint; sinks begin with the first result, under versions
 * above those of the app it came from. Throws `app-exists` and as `inspectSavepoint`; nothing is left of a failure.
 */
export function restoreSavepoint({ savepoint, dataDir, app, s3 }: RestoreOptions): Promise<Inspected> {
  const path = statePath(dataDir, app);
  return withSavepoint(savepoint, s3, async (file) => {
    const what = `the state of app "${app}"`;
    const lock = translating(what, path, () => takeLock(path, app));
    const unpacked = `${path}.restoring`;
    try {
      // What a restore that was killed left behind; the lock is ours.
      for (const suffix of SIDES) rmSync(unpacked + suffix, { force: true });
      if (existsSync(path)) {
        throw new TaxiflowError('app-exists', `there is an app "${app}" in ${dataDir} already`, {
          hint: `restore it under another name, or remove ${path} first, with the files -wal and -shm beside it`,
        });
      }
      const head = await unpackSavepoint(file, unpacked);
      const summary = checked(unpacked, savepoint, (rows) => {
        beginAnew(rows);
        noteRestored(rows.db, { from: savepoint });
        return summaryOf(rows);
      });
      giveName(unpacked, path);
      return { place: savepoint, head, summary };
    } catch (error) {
      throw translate(error, what, path);
    } finally {
      for (const suffix of SIDES) tidyAway(unpacked + suffix);
      lock.close();
    }
  });
}

/** Puts a state in its place, to last. */
function giveName(unpacked: string, path: string): void {
  // A log that was left beside an earlier state of this name is not that of this one, nor is its place in S3.
  for (const suffix of ['-wal', '-shm', '-journal', '.remote']) rmSync(path + suffix, { force: true });
  syncFolder(dirname(path));
  renameSync(unpacked, path);
  syncFolder(dirname(path));
}

/** A new life of a state: what its sinks have taken is theirs no more, and its versions are above those of the life before. */
function beginAnew(rows: StateRows): void {
  rows.transaction(() => {
    for (const table of ['cursors', 'destinations', 'window_destinations'])
      rows.db.exec(`DELETE FROM ${table}`);
    rows.db.exec(
      "DELETE FROM dead_letters WHERE scope <> ''; DELETE FROM dead_letter_counts WHERE scope <> ''",
    );
    detachArchive(rows);
    const before = rows.prepare('SELECT created FROM run').pluck().get() as number;
    const created = Math.max(Date.now(), before + QUARTER_MS);
    rows.prepare('UPDATE run SET created = ?, crc = ?, status = NULL').run(created, rowCrc([created], ''));
  });
}

/** Deletes a savepoint; refuses a file that is none. */
export async function deleteSavepoint(place: string, s3: S3Options): Promise<void> {
  await withSavepoint(place, s3, readHead);
  await removeSavepoint(place, s3);
}
