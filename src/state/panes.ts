/** The table of open windows: blocks of panes, and of the distinct values in them. */
import type { StoredState } from '../engine/checkpoint.ts';
import type {
  BlockPlace,
  DistinctRow,
  Key,
  Kind,
  PaneBlock,
  PaneRow,
  StoredPanes,
} from '../engine/pane-runs.ts';
import { rowCrc, type StateRows } from './rows.ts';

const PLACE = 'view = ? AND window_start = ? AND part = ? AND kind = ? AND block = ?';

export class PaneTable implements StoredPanes {
  readonly #rows: StateRows;
  readonly #block;
  readonly #firstKey;
  readonly #write;
  readonly #drop;

  constructor(rows: StateRows) {
    this.#rows = rows;
    this.#block = rows.prepare(`SELECT first_key AS first, crc, rows FROM panes WHERE ${PLACE}`);
    this.#firstKey = rows.prepare(`SELECT first_key AS first FROM panes WHERE ${PLACE}`);
    this.#write = rows.prepare(
      `INSERT OR REPLACE INTO panes (view, window_start, part, kind, block, first_key, crc, rows)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#drop = rows.prepare('DELETE FROM panes WHERE view = ? AND window_start = ?');
  }

  rows({ view, windowStart, part, kind, block }: BlockPlace): (PaneRow | DistinctRow)[] | undefined {
    const row = this.#rows.attempt(() => this.#block.get(view, windowStart, part, kind, block)) as
      | { first: string | null; crc: number; rows: string }
      | undefined;
    if (!row) return undefined;
    const key = [view, windowStart, part, kind, block, row.first];
    this.#rows.verify(row.crc, key, row.rows, `panes of ${view}`);
    return JSON.parse(row.rows) as (PaneRow | DistinctRow)[];
  }

  firstKey({ view, windowStart, part, kind, block }: BlockPlace): Key | undefined {
    const row = this.#rows.attempt(() => this.#firstKey.get(view, windowStart, part, kind, block)) as
      | { first: string | null }
      | undefined;
    return row?.first ? (JSON.parse(row.first) as Key) : undefined;
  }

  rewrite(blocks: Iterable<PaneBlock>): void {
    this.#rows.transaction(() => this.write(blocks));
  }

  /** Writes blocks inside the caller's transaction; returns how many characters they have. */
  write(blocks: Iterable<PaneBlock>): number {
    let length = 0;
    for (const { view, windowStart, part, kind, block, first, rows } of blocks) {
      const text = JSON.stringify(rows);
      const firstKey = first === undefined ? null : JSON.stringify(first);
      const crc = rowCrc([view, windowStart, part, kind, block, firstKey], text);
      this.#write.run(view, windowStart, part, kind, block, firstKey, crc, text);
      length += text.length;
    }
    return length;
  }

  /** Forgets a window, inside the caller's transaction. */
  drop(view: string, windowStart: number): void {
    this.#drop.run(view, windowStart);
  }

  /** Checks all rows: the engine goes by which windows and parts there are before it reads them. Throws `damaged`. */
  verify(): void {
    const found = this.#rows
      .prepare('SELECT view, window_start, part, kind, block, first_key, crc, rows FROM panes')
      .raw()
      .iterate();
    for (const row of found as Iterable<
      [string, number, number, Kind, number, string | null, number, string]
    >) {
      const [view, windowStart, part, kind, block, first, crc, rows] = row;
      this.#rows.verify(crc, [view, windowStart, part, kind, block, first], rows, `panes of ${view}`);
    }
  }

  /**
   * The windows there are. A part that isn't in key order was in memory when the last process ended; a part of one block
   * is sorted when it is read.
   */
  windows(): StoredState['windows'] {
    const rows = this.#rows
      .prepare(
        `SELECT view, window_start AS windowStart, max(part) + 1 AS parts,
                max(first_key IS NULL AND block > 0) AS unsorted FROM panes GROUP BY view, window_start`,
      )
      .all() as { view: string; windowStart: number; parts: number; unsorted: number }[];
    return rows.map((row) => ({ ...row, unsorted: row.unsorted === 1 }));
  }
}
