/** The table of totals: what the aggregates of a window are over all of its panes, written with each of its firings. */
import type { Firing } from '../engine/windows/documents.ts';
import type { Sqlite } from '../sqlite.ts';
import { corruptRow, type RowKey, rowCrc, type StateRows } from './rows.ts';

/** Aggregates by name. */
export interface Sums {
  /** As in a result: times are ISO 8601, and null is no value. */
  readonly values: Readonly<Record<string, number | string | null>>;
  /** How many trips a value is made of; null where its aggregate doesn't tell. */
  readonly of: Readonly<Record<string, number | null>>;
}

/** Totals of one window of a view, from before its `having` and `top`. */
export interface WindowTotals {
  readonly view: string;
  /** What lists know the window by, epoch ms; as in `Firing`. */
  readonly start: number;
  readonly end: number;
  /** Number of keys; of a view by sessions, number of sessions. */
  readonly keys: number;
  readonly all: Sums;
  /** By the key fields that are not places, in their order; empty if there are none, null if there are too many groups. */
  readonly groups: readonly ({ readonly key: readonly (string | number)[] } & Sums)[] | null;
}

/** A row of the table. */
export interface TotalsRow {
  readonly view: string;
  readonly windowStart: number;
  readonly windowEnd: number;
  /** Number of the checkpoint that wrote it. */
  readonly checkpoint: number;
  readonly totals: string;
}

type StoredRow = TotalsRow & { readonly crc: number };

const TOTALS =
  'SELECT view, window_start AS windowStart, window_end AS windowEnd, checkpoint, crc, totals FROM totals';

function keyOf({ view, windowStart, windowEnd, checkpoint }: TotalsRow): RowKey {
  return [view, windowStart, windowEnd, checkpoint];
}

export class TotalsTable {
  readonly #rows: StateRows;
  readonly #write;
  readonly #trim;

  constructor(rows: StateRows) {
    this.#rows = rows;
    this.#write = rows.prepare(
      `INSERT OR REPLACE INTO totals (view, window_start, window_end, checkpoint, crc, totals)
       VALUES (?, ?, ?, ?, ?, ?)`,
    );
    this.#trim = rows.prepare(
      `DELETE FROM totals WHERE view = :view AND window_start < :before AND NOT EXISTS
         (SELECT 1 FROM firings f WHERE f.view = totals.view AND f.window_start = totals.window_start)`,
    );
  }

  /** Writes the totals of a firing, if it has some, inside the caller's transaction; returns how many characters they have. */
  write(firing: Pick<Firing, 'view' | 'windowStart' | 'windowEnd' | 'totals'>, checkpoint: number): number {
    const { view, windowStart, windowEnd, totals } = firing;
    if (totals === undefined) return 0;
    const key = keyOf({ view, windowStart, windowEnd, checkpoint, totals });
    this.#write.run(key, rowCrc(key, totals), totals);
    return totals.length;
  }

  /** Removes totals of a view's windows that start before a time (epoch ms), once their results are removed. */
  trim(view: string, before: number): void {
    this.#trim.run({ view, before });
  }

  *all(): Generator<TotalsRow> {
    for (const row of this.#rows.prepare(TOTALS).iterate() as Iterable<StoredRow>) {
      this.#rows.verify(row.crc, keyOf(row), row.totals, `totals of ${row.view}`);
      yield row;
    }
  }

  /** Throws `damaged`. */
  verify(): void {
    for (const _ of this.all());
  }
}

/** Totals of a view's windows with a start from `since` (epoch ms) on, by start. Windows that fired in states of earlier formats have none. */
export function* storedTotals(db: Sqlite, view: string, since?: number): Generator<WindowTotals> {
  const next = db.prepare(
    `${TOTALS} WHERE view = :view AND window_start >= :from ORDER BY window_start LIMIT 256`,
  );
  for (let from = since ?? Number.MIN_SAFE_INTEGER; ; ) {
    const rows = next.all({ view, from }) as StoredRow[];
    for (const row of rows) yield totalsOf(row);
    if (rows.length === 0) return;
    from = rows.at(-1)!.windowStart + 1;
  }
}

function totalsOf(row: StoredRow): WindowTotals {
  if (rowCrc(keyOf(row), row.totals) !== row.crc) throw corruptRow('checksum');
  const { view, windowStart: start, windowEnd: end, totals } = row;
  return { view, start, end, ...(JSON.parse(totals) as Pick<WindowTotals, 'keys' | 'all' | 'groups'>) };
}

/** Windows whose totals were written by a later checkpoint. */
export function totalsSince(db: Sqlite, checkpoint: number): { view: string; start: number }[] {
  return db
    .prepare(
      'SELECT view, window_start AS start FROM totals WHERE checkpoint > ? ORDER BY view, window_start',
    )
    .all(checkpoint) as { view: string; start: number }[];
}
