/** Joins a state that views were filled in, from the start of their stream, to the state that goes on with them. */
import type { LateTrip } from '../engine/seen-trips.ts';
import { TaxiflowError } from '../errors.ts';
import { Database } from '../sqlite.ts';
import { OUTCOME } from '../views/javascript/compiled-view.ts';
import { amendCheckpoint, readCheckpoint } from './checkpoint-row.ts';
import { FIRING, type FiringRow, firingKey } from './outbox.ts';
import { corruptRow, rowCrc, StateRows } from './rows.ts';
import { SeenTripTables } from './seen-trips.ts';
import { TotalsTable } from './totals.ts';

/** A state of some views alone, which has read what another one had read at a checkpoint. */
export interface FilledViews {
  /** Its file. */
  readonly path: string;
  readonly views: ReadonlySet<string>;
  /** Number of the other state's checkpoint. */
  readonly checkpoint: number;
  /** Removes its file. */
  remove(): void;
}

/** Adds the windows and results of filled views inside the caller's transaction. Throws `state-changed`. */
export function joinFilled(rows: StateRows, { path, checkpoint }: FilledViews): void {
  const now = readCheckpoint(rows.db);
  if (now?.number !== checkpoint) {
    throw new TaxiflowError('state-changed', `${rows.what} went on while its new views were filled`, {
      hint: 'run the same command again; nothing was changed',
    });
  }
  const db = new Database(path, { readonly: true });
  try {
    const filled = new StateRows(db, 'the state of the filled views', path);
    copyPanes(filled, rows);
    const results = copyFirings(filled, rows, now.nextResult);
    copyTotals(filled, rows, now.number + 1);
    joinSeen(filled, rows);
    amendCheckpoint(rows.db, {
      ...now,
      nextResult: now.nextResult + results,
      counters: { ...now.counters, results: now.counters.results + results },
    });
  } finally {
    db.close();
  }
}

function copyPanes(from: StateRows, to: StateRows): void {
  const columns = 'view, window_start, window_end, part, kind, block, first_key, crc, data';
  const write = to.prepare(`INSERT INTO panes (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`);
  for (const row of from.prepare(`SELECT ${columns} FROM panes`).raw().iterate()) write.run(row);
}

/** Returns how many results there are. */
function copyFirings(from: StateRows, to: StateRows, next: number): number {
  const write = to.prepare(
    'INSERT INTO firings (first, count, view, window_start, correction, crc, docs) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const found = from.prepare(`${FIRING} ORDER BY first`);
  let results = 0;
  for (const row of found.iterate() as Iterable<FiringRow>) {
    if (rowCrc(firingKey(row), row.docs) !== row.crc) throw corruptRow('results of a filled view');
    const moved = { ...row, first: next + results };
    const { first, count, view, windowStart, correction, docs } = moved;
    write.run(first, count, view, windowStart, correction, rowCrc(firingKey(moved), docs), docs);
    results += count;
  }
  return results;
}

/** `checkpoint` is one that no reader of the state knows yet. */
function copyTotals(from: StateRows, to: StateRows, checkpoint: number): void {
  const table = new TotalsTable(to);
  for (const totals of new TotalsTable(from).all()) table.write(totals, checkpoint);
}

/**
 * The state forgets a trip once its own views can't count a copy of it, which a filled view still might: what that one has seen
 * is kept too.
 */
function joinSeen(from: StateRows, to: StateRows): void {
  const tables = new SeenTripTables(to);
  const [ours, theirs] = [tables.load(), new SeenTripTables(from).load()];
  const lateHere = new Map(ours.late.map((trip) => [`${trip.id} ${trip.replay}`, trip]));
  const late = theirs.late.map((trip): LateTrip => {
    const here = lateHere.get(`${trip.id} ${trip.replay}`);
    // A trip that was not late here was used, or is in no view: either way, its count stands.
    return here
      ? { ...here, outcome: here.outcome | trip.outcome }
      : { ...trip, outcome: trip.outcome | OUTCOME.used };
  });
  const last = ours.chunks.at(-1)?.chunk ?? 0;
  tables.write({
    pages: [],
    ranges: [],
    late,
    chunks: theirs.chunks.map((chunk, i) => ({ ...chunk, chunk: last + 1 + i })),
    gonePages: [],
    goneRanges: [],
    goneChunks: [],
    goneLate: [],
  });
}
