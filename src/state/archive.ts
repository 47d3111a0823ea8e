/**
 * The archive's part of a state (C11): trips on their way to files. A checkpoint puts its trips into the open file, and decides
 * whether that is closed, so the number of a trip's file is committed together with the trip. A closed file is written
 * whole under its number, again if need be, and its trips then leave the state.
 */
import { randomBytes } from 'node:crypto';
import type { TripChunk } from '../engine/kept-trips.ts';
import type { Sqlite } from '../sqlite.ts';
import { rowCrc, type StateRows } from './rows.ts';

/** Part of the schema of a state. */
export const ARCHIVE_SCHEMA = `
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

/** When the open file is closed, whichever is first. */
export interface FileLimits {
  readonly trips: number;
  readonly bytes: number;
  /** Since its first trips. */
  readonly ms: number;
}

const MOST_TRIPS = 500_000;
const MOST_BYTES = 24 << 20;
const MOST_MS = 300_000;

/** Where an archive stands, as it lies in the state. */
interface Standing {
  /** What its files are called, with a number behind it; empty until a restored state goes on. */
  readonly name: string;
  readonly place: string;
  /** Number of the open file. */
  readonly file: number;
  /** What it holds. */
  readonly trips: number;
  readonly bytes: number;
  /** When it got its first trips, epoch ms. */
  readonly since: number;
  /** Number of the next file to be written. */
  readonly next: number;
  /** Trips in files that were written to the place. */
  readonly written: number;
}

export interface ArchiveStatus {
  readonly place: string;
  /** Trips in files that are written there, and in files that are closed but not written yet. */
  readonly written: number;
  readonly pending: number;
}

/** Where the trips of a state go; undefined if nowhere. Throws as SQLite does of a damaged page. */
export function archiveStatus(db: Sqlite): ArchiveStatus | undefined {
  const row = db.prepare('SELECT archive FROM archive').pluck().get() as string | undefined;
  if (row === undefined) return undefined;
  const { place, file, written } = JSON.parse(row) as Standing;
  const pending = db
    .prepare('SELECT coalesce(sum(count), 0) FROM archive_trips WHERE file < ?')
    .pluck()
    .get(file) as number;
  return { place, written, pending };
}

/** The name of the archive as a sink. */
export function archiveSink(place: string): string {
  return `archive:${place}`;
}

/** A closed file: what it is called and how many trips it has. */
export interface ClosedFile {
  readonly number: number;
  readonly count: number;
}

export class ArchiveTables {
  readonly #rows: StateRows;
  readonly #s: ReturnType<typeof prepare>;
  #standing: Standing | undefined;
  #name: string | undefined;
  #limits: FileLimits = { trips: MOST_TRIPS, bytes: MOST_BYTES, ms: MOST_MS };
  #chunk: number;
  #covered = Number.POSITIVE_INFINITY;

  constructor(rows: StateRows) {
    this.#rows = rows;
    this.#s = prepare(rows);
    this.#standing = this.#read();
    this.#chunk = (this.#s.lastChunk.get() as number | null) ?? 0;
  }

  /** Where the trips go; undefined if they go nowhere. */
  get place(): string | undefined {
    return this.#standing?.name === '' ? undefined : this.#standing?.place;
  }

  /** What the files are called, before their number; chosen for `app` where they have no name yet. */
  nameFor(app: string): string {
    this.#name ??= this.#standing?.name || `${app}-${randomBytes(4).toString('hex')}`;
    return this.#name;
  }

  /** Number of the open file: those below it are closed. */
  get openFile(): number {
    return this.#standing?.file ?? 1;
  }

  /** Number of the next file to be written: those below it are done. */
  get nextFile(): number {
    return this.#standing?.next ?? 1;
  }

  /**
   * From now on, trips go to `place`, in files closed by these limits. Returns the place that they went to before; the files of a state that
   * was restored get a new name, as those of the state it comes from go on.
   */
  begin(place: string, app: string, limits: Partial<FileLimits> = {}): string | undefined {
    const before = this.#standing;
    this.#limits = { ...this.#limits, ...limits };
    const name = this.nameFor(app);
    const none = { file: 1, trips: 0, bytes: 0, since: 0, next: 1, written: 0 };
    const written = before?.place === place ? before.written : 0;
    this.#rows.transaction(() => this.#write({ ...none, ...before, written, name, place }));
    return before && (before.next > 1 || before.file > 1 || before.trips > 0) ? before.place : undefined;
  }

  /** Where the trips went of the state that this one was restored from, if it goes on with none of its own yet. */
  get formerPlace(): string | undefined {
    return this.#standing?.name === '' ? this.#standing.place : undefined;
  }

  /** Holds back files from this number on, until it is raised: they are not committed everywhere yet. */
  cover(before: number): void {
    this.#covered = before;
  }

  /** Adds a checkpoint's trips inside its transaction; returns their bytes. `at` is epoch ms. */
  add(chunks: readonly TripChunk[], at: number, isLast: boolean): number {
    const before = this.#standing;
    if (!before) return 0;
    let { file, trips, bytes, since } = before;
    if (trips === 0) since = at;
    const { trips: mostTrips, bytes: mostBytes, ms } = this.#limits;
    let added = 0;
    for (const chunk of chunks) {
      if (trips >= mostTrips || bytes >= mostBytes) [file, trips, bytes, since] = [file + 1, 0, 0, at];
      const crc = rowCrc([file, ++this.#chunk, chunk.count], chunk.trips);
      this.#s.add.run(file, this.#chunk, chunk.count, crc, chunk.trips);
      trips += chunk.count;
      bytes += chunk.trips.length;
      added += chunk.trips.length;
    }
    const isOver = at - since >= ms || at < since;
    if (trips > 0 && (isLast || trips >= mostTrips || bytes >= mostBytes || isOver))
      [file, trips, bytes] = [file + 1, 0, 0];
    if (chunks.length > 0 || file > before.file) this.#write({ ...before, file, trips, bytes, since });
    return added;
  }

  /** The next file to be written, if it is closed and committed everywhere. */
  nextClosed(): ClosedFile | undefined {
    const { next, file } = this.#standing ?? { next: 1, file: 1 };
    if (next >= Math.min(file, this.#covered)) return undefined;
    return { number: next, count: this.#rows.attempt(() => this.#s.count.get(next)) as number };
  }

  /** The trips of a file, packed, in their order. Throws `damaged`. */
  tripsOf(file: number): Buffer[] {
    const rows = this.#rows.attempt(() => this.#s.trips.all(file)) as Chunk[];
    return rows.map(({ chunk, count, crc, trips }) => {
      this.#rows.verify(crc, [file, chunk, count], trips, 'trips for the archive');
      return trips;
    });
  }

  /** A file is written: its trips leave the state. */
  passed({ number, count }: ClosedFile): void {
    this.#rows.transaction(() => {
      this.#s.drop.run(number);
      const standing = this.#standing!;
      this.#write({ ...standing, next: number + 1, written: standing.written + count });
    });
    this.#rows.refuseGone();
  }

  /** Trips in files that are written, and in closed ones that are not. */
  status(): Pick<ArchiveStatus, 'written' | 'pending'> {
    if (!this.#standing) return { written: 0, pending: 0 };
    const pending = this.#rows.attempt(() => this.#s.pending.get(this.#standing!.file)) as number;
    return { written: this.#standing.written, pending };
  }

  /** Reads all of it. Throws `damaged`. */
  verify(): void {
    for (const file of this.#s.files.all() as number[]) this.tripsOf(file);
  }

  #write(standing: Standing): void {
    const text = JSON.stringify(standing);
    this.#s.write.run(rowCrc([], text), text);
    this.#standing = standing;
  }

  #read(): Standing | undefined {
    const row = this.#s.read.get() as { crc: number; archive: string } | undefined;
    if (!row) return undefined;
    this.#rows.verify(row.crc, [], row.archive, 'the place of the archive');
    return JSON.parse(row.archive) as Standing;
  }
}

interface Chunk {
  readonly chunk: number;
  readonly count: number;
  readonly crc: number;
  readonly trips: Buffer;
}

function prepare(rows: StateRows) {
  return {
    read: rows.prepare('SELECT crc, archive FROM archive'),
    write: rows.prepare('INSERT OR REPLACE INTO archive (id, crc, archive) VALUES (1, ?, ?)'),
    add: rows.prepare('INSERT INTO archive_trips (file, chunk, count, crc, trips) VALUES (?, ?, ?, ?, ?)'),
    lastChunk: rows.prepare('SELECT max(chunk) FROM archive_trips').pluck(),
    count: rows.prepare('SELECT coalesce(sum(count), 0) FROM archive_trips WHERE file = ?').pluck(),
    pending: rows.prepare('SELECT coalesce(sum(count), 0) FROM archive_trips WHERE file < ?').pluck(),
    trips: rows.prepare('SELECT chunk, count, crc, trips FROM archive_trips WHERE file = ? ORDER BY chunk'),
    files: rows.prepare('SELECT DISTINCT file FROM archive_trips ORDER BY file').pluck(),
    drop: rows.prepare('DELETE FROM archive_trips WHERE file = ?'),
  };
}

/** Removes the archive of a state and the trips on their way to it; returns how many these were. */
export function forgetArchive(db: Sqlite): number {
  const missing = db.prepare('SELECT coalesce(sum(count), 0) FROM archive_trips').pluck().get() as number;
  db.exec('DELETE FROM archive; DELETE FROM archive_trips');
  return missing;
}

/** The files of a state that was restored are to be new ones: those of the state it comes from go on. */
export function detachArchive(rows: StateRows): void {
  const text = rows.prepare('SELECT archive FROM archive').pluck().get() as string | undefined;
  if (text === undefined) return;
  const detached = JSON.stringify({ ...(JSON.parse(text) as Standing), name: '', written: 0 });
  rows.prepare('UPDATE archive SET crc = ?, archive = ?').run(rowCrc([], detached), detached);
}
