/** The table of open windows: blocks of panes, and of the distinct values in them. */
import type { StoredState } from '../engine/state-store.ts';
import type {
  BlockPlace,
  Key,
  Kind,
  PaneBlock,
  StoredPanes,
  WindowSpan,
} from '../engine/windows/pane-runs.ts';
import { rowCrc, type StateRows } from './rows.ts';

const PLACE = 'view = ? AND window_start = ? AND window_end = ? AND part = ? AND kind = ? AND block = ?';

export class PaneTable implements StoredPanes {
  readonly #rows: StateRows;
  readonly #block;
  readonly #firstKey;
  readonly #write;
  readonly #drop;

  constructor(rows: StateRows) {
    this.#rows = rows;
    this.#block = rows.prepare(`SELECT first_key AS first, crc, data FROM panes WHERE ${PLACE}`);
    this.#firstKey = rows.prepare(`SELECT first_key AS first FROM panes WHERE ${PLACE}`);
    this.#write = rows.prepare(
      `INSERT OR REPLACE INTO panes (view, window_start, window_end, part, kind, block, first_key, crc, data)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#drop = rows.prepare('DELETE FROM panes WHERE view = ? AND window_start = ? AND window_end = ?');
  }

  block(place: BlockPlace): Uint8Array | undefined {
    const row = this.#rows.attempt(() => this.#block.get(keyOf(place))) as
      | { first: string | null; crc: number; data: Uint8Array }
      | undefined;
    if (!row) return undefined;
    this.#rows.verify(row.crc, [...keyOf(place), row.first], row.data, `panes of ${place.view}`);
    return row.data;
  }

  firstKey(place: BlockPlace): Key | undefined {
    const row = this.#rows.attempt(() => this.#firstKey.get(keyOf(place))) as
      | { first: string | null }
      | undefined;
    return row?.first ? (JSON.parse(row.first) as Key) : undefined;
  }

  rewrite(blocks: Iterable<PaneBlock>): void {
    this.#rows.transaction(() => this.write(blocks));
  }

  put(blocks: Iterable<PaneBlock>): void {
    this.#rows.attempt(() => this.write(blocks));
  }

  /** Writes blocks inside the caller's transaction; returns how many bytes they have. */
  write(blocks: Iterable<PaneBlock>): number {
    let length = 0;
    for (const { first, data, ...place } of blocks) {
      const key = keyOf(place);
      const firstKey = first === undefined ? null : JSON.stringify(first);
      this.#write.run(key, firstKey, rowCrc([...key, firstKey], data), data);
      length += data.length;
    }
    return length;
  }

  /** Forgets a window, inside the caller's transaction. */
  drop({ view, windowStart, windowEnd }: WindowSpan & { readonly view: string }): void {
    this.#drop.run(view, windowStart, windowEnd);
  }

  /** Checks all rows: the engine goes by which windows and parts there are before it reads them. Throws `damaged`. */
  verify(): void {
    const found = this.#rows
      .prepare('SELECT view, window_start, window_end, part, kind, block, first_key, crc, data FROM panes')
      .raw()
      .iterate();
    for (const row of found as Iterable<
      [...key: PlaceKey, first: string | null, crc: number, data: Uint8Array]
    >) {
      const [view, start, end, part, kind, block, first, crc, data] = row;
      this.#rows.verify(crc, [view, start, end, part, kind, block, first], data, `panes of ${view}`);
    }
  }

  /**
   * The windows there are. A part that isn't in key order was in memory when the last process ended; a part of one block
   * is sorted when it is read.
   */
  windows(): StoredState['windows'] {
    const rows = this.#rows
      .prepare(
        `SELECT view, window_start AS windowStart, window_end AS windowEnd, max(part) + 1 AS parts,
                max(first_key IS NULL AND block > 0) AS unsorted
         FROM panes GROUP BY view, window_start, window_end`,
      )
      .all() as { view: string; windowStart: number; windowEnd: number; parts: number; unsorted: number }[];
    return rows.map((row) => ({ ...row, unsorted: row.unsorted === 1 }));
  }
}

type PlaceKey = [view: string, start: number, end: number, part: number, kind: Kind, block: number];

function keyOf({ view, windowStart, windowEnd, part, kind, block }: BlockPlace): PlaceKey {
  return [view, windowStart, windowEnd, part, kind, block];
}
