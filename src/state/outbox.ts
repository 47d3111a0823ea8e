/**
 * The outbox (C3): results numbered in the order they are written, in pieces of a firing, and a cursor for each sink that
 * says how far it has delivered them.
 */
import { type DeadLetterChanges, DeadLetterTable } from '../dead-letters.ts';
import type { Firing } from '../engine/windows/documents.ts';
import { DestinationTables } from './destinations.ts';
import { type RowKey, rowCrc, type StateRows } from './rows.ts';

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

/** A row of the table. */
export type FiringRow = Omit<StoredFiring, 'correction'> & {
  readonly crc: number;
  readonly correction: number;
};

/** Where a sink stands. */
export interface Cursor {
  /** Results with lower numbers are delivered. */
  readonly delivered: number;
  /** What else the sink needs to go on from there. The sink writes and reads it; nothing else looks into it. */
  readonly position: string;
}

/** Results of one window of a view, as they lie in the outbox. */
export interface StoredWindow {
  readonly windowStart: number;
  /** Number of its first result. */
  readonly first: number;
  /** How many of its results have numbers below the one asked for. */
  readonly count: number;
  /** The number after its last result. */
  readonly end: number;
  readonly corrected: boolean;
}

/** The part of a firing's key that its checksum covers. */
export function firingKey(row: Omit<StoredFiring, 'docs' | 'correction'> & { correction: number }): RowKey {
  return [row.first, row.count, row.view, row.windowStart, row.correction];
}

/** What sinks need of a state. */
export class Outbox extends DestinationTables {
  /** When the state was made, epoch ms. */
  readonly created: number;
  readonly #rows: StateRows;
  readonly #s: ReturnType<typeof prepare>;
  #nextResult = 1;
  #covered = Number.POSITIVE_INFINITY;
  #trimmed = 0;

  constructor(rows: StateRows, created: number) {
    super(rows);
    this.#rows = rows;
    this.created = created;
    this.#s = prepare(rows);
  }

  /** The number that the next result gets. */
  get nextResult(): number {
    return this.#nextResult;
  }

  /** The number behind the last result that is there: later ones may have been removed. */
  get end(): number {
    return (this.#rows.attempt(() => this.#s.end.get()) as number | null) ?? 1;
  }

  /** How many results from a number on were removed. */
  removedFrom(from: number): number {
    const kept = this.#rows.attempt(() => this.#s.keptFrom.get(from)) as number;
    return this.#nextResult - from - kept;
  }

  /** Results that were removed by `trim`, in all runs. */
  get trimmed(): number {
    return this.#trimmed;
  }

  /** Numbers results from here on, after so many were trimmed. */
  continueAt(nextResult: number, trimmed: number): void {
    this.#nextResult = nextResult;
    this.#trimmed = trimmed;
  }

  /** Removes results of a view's windows that start before a time (epoch ms), once all of these sinks have passed them. */
  trim(view: string, before: number, sinks: readonly string[]): void {
    // Sinks that this run does without are to find what they have not got yet.
    const behind = this.#s.leastDelivered.get() as number | null;
    let passed = Math.min(this.#nextResult, this.#covered, behind ?? Number.POSITIVE_INFINITY);
    for (const sink of sinks) passed = Math.min(passed, this.cursor(sink)?.delivered ?? 1);
    const old = { view, before, passed };
    this.#trimmed += this.#s.trimmable.get(old) as number;
    this.#s.trim.run(old);
  }

  /** Holds back results from this number on, until it is raised: they are not committed everywhere yet. */
  cover(before: number): void {
    this.#covered = before;
  }

  /** Writes the results of a firing inside the caller's transaction; returns how many characters they have. */
  write({ docs, view, windowStart, count, correction }: Firing): number {
    if (count === 0) return 0;
    const text = `[${docs}]`;
    const row = { first: this.#nextResult, count, view, windowStart, correction: correction ? 1 : 0 };
    const crc = rowCrc(firingKey(row), text);
    this.#s.writeFiring.run(row.first, count, view, windowStart, row.correction, crc, text);
    this.#nextResult += count;
    return text.length;
  }

  /** The sinks that results are kept for. */
  get sinks(): string[] {
    return this.#rows.attempt(() => this.#s.sinks.all()) as string[];
  }

  /** Where a sink stands; undefined when it is new. */
  cursor(sink: string): Cursor | undefined {
    const row = this.#rows.attempt(() => this.#s.cursor.get(sink)) as (Cursor & { crc: number }) | undefined;
    if (!row) return undefined;
    const { crc, delivered, position } = row;
    this.#rows.verify(crc, [sink, delivered, position], '', `the cursor of ${sink}`);
    return { delivered, position };
  }

  /** How many results a sink has refused in all runs. */
  refused(sink: string): number {
    const counts = this.#rows.attempt(() => new DeadLetterTable(this.#rows.db, sink).counts());
    return counts.reduce((total, { count }) => total + count, 0);
  }

  /** The results that a sink has refused, as far as they were kept. */
  *refusedDocuments(sink: string): Iterable<string> {
    const table = new DeadLetterTable(this.#rows.db, sink);
    for (let after = 0; ; ) {
      const letters = this.#rows.attempt(() => table.lettersAfter(after));
      for (const { raw } of letters) yield raw;
      if (letters.length === 0) return;
      after = letters.at(-1)!.id;
    }
  }

  /** Moves a cursor; what the sink refused of the results it passes is written in the same transaction. */
  moveCursor(sink: string, { delivered, position }: Cursor, refused?: DeadLetterChanges): void {
    const move = () =>
      this.#s.moveCursor.run(sink, delivered, position, rowCrc([sink, delivered, position], ''));
    if (!refused || refused.counts.size === 0) this.#rows.attempt(move);
    else
      this.#rows.transaction(() => {
        move();
        new DeadLetterTable(this.#rows.db, sink).write(refused, new Date().toISOString());
      });
    this.#rows.refuseGone();
  }

  /** The firings with results from `from` on that are committed, in order. */
  *firingsFrom(from: number): Generator<StoredFiring> {
    for (let next = from; ; ) {
      const rows = this.#rows.attempt(() => this.#s.firings.all({ from: next })) as FiringRow[];
      if (rows.length === 0) return;
      for (const row of rows) {
        if (row.first + row.count > this.#covered) return;
        yield this.#firing(row);
        next = row.first + row.count;
      }
    }
  }

  /** The number of the first result of a window; undefined when it has none. */
  firstOf(view: string, windowStart: number): number | undefined {
    const row = this.#rows.attempt(() => this.#s.firstOf.get(view, windowStart)) as { first: number | null };
    return row.first ?? undefined;
  }

  /** The windows of a view with results below the number `before`. */
  windowsBefore(view: string, before: number): StoredWindow[] {
    const rows = this.#rows.attempt(() => this.#s.windows.all({ view, before })) as (Omit<
      StoredWindow,
      'corrected'
    > & { corrected: number })[];
    return rows.map((row) => ({ ...row, corrected: row.corrected === 1 }));
  }

  /** The firings of a window, in order. */
  *firingsOf(view: string, windowStart: number): Iterable<StoredFiring> {
    for (let next = 0; ; ) {
      const asked = { view, windowStart, next };
      const rows = this.#rows.attempt(() => this.#s.firingsOf.all(asked)) as FiringRow[];
      for (const row of rows) yield this.#firing(row);
      if (rows.length === 0) return;
      next = rows.at(-1)!.first + 1;
    }
  }

  #firing({ crc, correction, ...firing }: FiringRow): StoredFiring {
    this.#rows.verify(crc, firingKey({ ...firing, correction }), firing.docs, `results of ${firing.view}`);
    return { ...firing, correction: Boolean(correction) };
  }
}

/** Selects `FiringRow`s. */
export const FIRING =
  'SELECT first, count, view, window_start AS windowStart, correction, crc, docs FROM firings';

function prepare(rows: StateRows) {
  return {
    writeFiring: rows.prepare(
      'INSERT INTO firings (first, count, view, window_start, correction, crc, docs) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ),
    firings: rows.prepare(
      `${FIRING} WHERE first >= coalesce((SELECT max(first) FROM firings WHERE first <= :from), :from)
       AND first + count > :from ORDER BY first LIMIT 64`,
    ),
    firstOf: rows.prepare('SELECT min(first) AS first FROM firings WHERE view = ? AND window_start = ?'),
    windows: rows.prepare(
      `SELECT window_start AS windowStart, min(first) AS first, max(correction) AS corrected,
         sum(max(0, min(count, :before - first))) AS count, max(first + count) AS "end"
       FROM firings WHERE view = :view GROUP BY window_start HAVING min(first) < :before`,
    ),
    firingsOf: rows.prepare(
      `${FIRING} WHERE view = :view AND window_start = :windowStart AND first >= :next ORDER BY first LIMIT 64`,
    ),
    keptFrom: rows.prepare('SELECT coalesce(sum(count), 0) FROM firings WHERE first >= ?').pluck(),
    end: rows.prepare('SELECT first + count FROM firings ORDER BY first DESC LIMIT 1').pluck(),
    sinks: rows.prepare('SELECT sink FROM cursors ORDER BY sink').pluck(),
    leastDelivered: rows.prepare('SELECT min(delivered) FROM cursors').pluck(),
    trimmable: rows
      .prepare(
        'SELECT coalesce(sum(count), 0) FROM firings WHERE view = :view AND window_start < :before AND first + count <= :passed',
      )
      .pluck(),
    trim: rows.prepare(
      'DELETE FROM firings WHERE view = :view AND window_start < :before AND first + count <= :passed',
    ),
    cursor: rows.prepare('SELECT delivered, position, crc FROM cursors WHERE sink = ?'),
    moveCursor: rows.prepare(
      'INSERT OR REPLACE INTO cursors (sink, delivered, position, crc) VALUES (?, ?, ?, ?)',
    ),
  };
}
