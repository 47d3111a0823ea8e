/**
 * Dead letters: input that can't be used, in a table of its owner's SQLite file, with the reason. All are counted; up to
 * a limit per reason are kept.
 */
import type { Sqlite } from './sqlite.ts';

export const DEFAULT_DEAD_LETTER_LIMIT = 100_000;

export interface DeadLetter {
  /** Stable code: `late`, `not-readable`, `short-row`, … */
  readonly reason: string;
  /** The file, or the stream and shard, that it came from. */
  readonly source: string;
  /** Line number or sequence number. */
  readonly position: string;
  readonly detail: string;
  readonly raw: string;
}

export interface KeptDeadLetter extends DeadLetter {
  /** The owner: the key of a replay, the name of a sink, or empty. */
  readonly scope: string;
  /** ISO 8601. */
  readonly at: string;
}

export interface DeadLetterCount {
  readonly scope: string;
  readonly reason: string;
  readonly count: number;
  readonly kept: number;
}

export const DEAD_LETTER_SCHEMA = `
CREATE TABLE dead_letters (
  id INTEGER PRIMARY KEY,
  scope TEXT NOT NULL,
  reason TEXT NOT NULL,
  source TEXT NOT NULL,
  position TEXT NOT NULL,
  detail TEXT NOT NULL,
  raw TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
CREATE TABLE dead_letter_counts (
  scope TEXT NOT NULL,
  reason TEXT NOT NULL,
  count INTEGER NOT NULL,
  kept INTEGER NOT NULL,
  PRIMARY KEY (scope, reason)
) STRICT, WITHOUT ROWID;
`;

/** Changes for the table. */
export interface DeadLetterChanges {
  /** Counts by reason, without the withdrawn ones. */
  readonly counts: ReadonlyMap<string, number>;
  readonly letters: readonly DeadLetter[];
  /** Letters to remove from the table, if they are in it. */
  readonly withdrawn: readonly Pick<DeadLetter, 'reason' | 'raw'>[];
}

/** Overhead of a letter in bytes. */
const LETTER_BYTES = 300;

/** Collects dead letters for the table: a count per reason, and the letters to keep. */
export class DeadLetterBuffer {
  readonly #limit: number;
  readonly #kept = new Map<string, number>();
  #counts = new Map<string, number>();
  #letters: DeadLetter[] = [];
  #withdrawn: Pick<DeadLetter, 'reason' | 'raw'>[] = [];
  /** Approximate memory of the letters in bytes. */
  bytes = 0;

  /** Keeps at most `limit` letters per reason; `known` are the counts in the table, each reason once. */
  constructor(limit: number, known: Iterable<DeadLetterCount> = []) {
    this.#limit = limit;
    for (const { reason, kept } of known) this.#kept.set(reason, kept);
  }

  /** Counts a letter. `letter` is called only if it is kept. */
  add(reason: string, letter: () => Omit<DeadLetter, 'reason'>): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
    const kept = this.#kept.get(reason) ?? 0;
    if (kept >= this.#limit) return;
    this.#kept.set(reason, kept + 1);
    const made = { reason, ...letter() };
    this.#letters.push(made);
    this.bytes += LETTER_BYTES + 2 * (made.raw.length + made.detail.length);
  }

  /** Takes back a letter, identified by its raw text, that turned out to be usable. */
  withdraw(reason: string, raw: string): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) - 1);
    const at = this.#letters.findLastIndex((letter) => letter.reason === reason && letter.raw === raw);
    if (at < 0) this.#withdrawn.push({ reason, raw });
    else {
      this.#letters.splice(at, 1);
      this.#kept.set(reason, this.#kept.get(reason)! - 1);
    }
  }

  get pending(): number {
    return this.#letters.length;
  }

  take(): DeadLetterChanges {
    const taken = { counts: this.#counts, letters: this.#letters, withdrawn: this.#withdrawn };
    this.#counts = new Map();
    this.#letters = [];
    this.#withdrawn = [];
    this.bytes = 0;
    return taken;
  }
}

export class DeadLetterTable {
  readonly #db: Sqlite;
  readonly #scope: string;

  constructor(db: Sqlite, scope = '') {
    this.#db = db;
    this.#scope = scope;
  }

  /** Writes the changes of a buffer, inside the caller's transaction; `at` is ISO 8601. */
  write({ counts, letters, withdrawn }: DeadLetterChanges, at: string): void {
    if (counts.size === 0) return;
    const insert = this.#db.prepare(
      'INSERT INTO dead_letters (scope, reason, source, position, detail, raw, at) VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
    const kept = new Map<string, number>();
    for (const { reason, source, position, detail, raw } of letters) {
      insert.run(this.#scope, reason, source, position, detail, raw, at);
      kept.set(reason, (kept.get(reason) ?? 0) + 1);
    }
    for (const { reason, raw } of withdrawn) {
      const { changes } = this.#db
        .prepare(
          `DELETE FROM dead_letters WHERE id =
           (SELECT max(id) FROM dead_letters WHERE scope = ? AND reason = ? AND raw = ?)`,
        )
        .run(this.#scope, reason, raw);
      kept.set(reason, (kept.get(reason) ?? 0) - changes);
    }
    const add = this.#db.prepare(
      `INSERT INTO dead_letter_counts (scope, reason, count, kept) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET count = count + excluded.count, kept = kept + excluded.kept`,
    );
    for (const [reason, count] of counts) add.run(this.#scope, reason, count, kept.get(reason) ?? 0);
    this.#db.prepare('DELETE FROM dead_letter_counts WHERE scope = ? AND count = 0').run(this.#scope);
  }

  /** Removes the letters of this scope. */
  clear(): void {
    this.#db.prepare('DELETE FROM dead_letters WHERE scope = ?').run(this.#scope);
    this.#db.prepare('DELETE FROM dead_letter_counts WHERE scope = ?').run(this.#scope);
  }

  /** The kept letters of this scope with greater ids than `id`, a page of them. */
  lettersAfter(id: number): { readonly id: number; readonly raw: string }[] {
    return this.#db
      .prepare('SELECT id, raw FROM dead_letters WHERE scope = ? AND id > ? ORDER BY id LIMIT 100')
      .all(this.#scope, id) as { id: number; raw: string }[];
  }

  counts(): DeadLetterCount[] {
    return countDeadLetters(this.#db).filter((row) => row.scope === this.#scope);
  }
}

export function countDeadLetters(db: Sqlite): DeadLetterCount[] {
  return db
    .prepare('SELECT scope, reason, count, kept FROM dead_letter_counts ORDER BY scope, reason')
    .all() as DeadLetterCount[];
}

/** Counts per reason, over all scopes. */
export function countByReason(db: Sqlite): DeadLetterCount[] {
  return db
    .prepare(
      `SELECT max(scope) AS scope, reason, sum(count) AS count, sum(kept) AS kept FROM dead_letter_counts
       GROUP BY reason ORDER BY min(scope), reason`,
    )
    .all() as DeadLetterCount[];
}

/** The letters of all scopes in their order: all, or the latest `most`. */
export function listDeadLetters(db: Sqlite, reason?: string, most?: number): Iterable<KeptDeadLetter> {
  const select = `SELECT scope, reason, source, position, detail, raw, at FROM dead_letters
    WHERE :reason IS NULL OR reason = :reason ORDER BY id`;
  if (most === undefined || !Number.isFinite(most))
    return db.prepare(select).iterate({ reason: reason ?? null }) as Iterable<KeptDeadLetter>;
  const latest = db.prepare(`${select} DESC LIMIT :most`).all({ reason: reason ?? null, most });
  return latest.reverse() as KeptDeadLetter[];
}
