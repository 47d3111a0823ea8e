/** The tables of trips seen, by which duplicates are known (W7). */
import type { DuplicateChanges, StoredTrips } from '../engine/duplicates.ts';
import type { LateTrip, PageRecord, SeenRange } from '../engine/seen-trips.ts';
import { rowCrc, type StateRows } from './rows.ts';

const PART = 'the trips seen';

export class SeenTripTables {
  readonly #rows: StateRows;
  readonly #s: ReturnType<typeof prepare>;

  constructor(rows: StateRows) {
    this.#rows = rows;
    this.#s = prepare(rows);
  }

  /** Writes what changed inside the caller's transaction; returns how many bytes of ids there are. */
  write(changes: DuplicateChanges): number {
    const { gonePages, goneRanges, goneChunks, goneLate, pages, ranges, chunks, late } = changes;
    const s = this.#s;
    let size = 0;
    for (const { replay, id } of goneLate) s.dropLate.run(replay, id);
    for (const { replay, id, time, judge, outcome } of late)
      s.writeLate.run(replay, id, time, judge, outcome, rowCrc([replay, id, time, judge, outcome], ''));
    for (const { replay, page } of gonePages) s.dropPage.run(replay, page);
    for (const { replay, from } of goneRanges) s.dropRange.run(replay, from);
    for (const chunk of goneChunks) s.dropIds.run(chunk);
    for (const { replay, page, latest, bits } of pages) {
      s.writePage.run(replay, page, latest, rowCrc([replay, page, latest], bits), bytesOf(bits));
      size += bits.length;
    }
    for (const { replay, from, to } of ranges)
      s.writeRange.run(replay, from, to, rowCrc([replay, from, to], ''));
    for (const { chunk, latest, replays, ids } of chunks) {
      const bytes = bytesOf(ids);
      const names = JSON.stringify(replays);
      s.writeIds.run(chunk, latest, names, rowCrc([chunk, latest, names], bytes), bytes);
      size += bytes.length;
    }
    return size;
  }

  /** All trips seen. Throws `damaged`. */
  load(): StoredTrips {
    const all = <Row>(sql: string) => this.#rows.prepare(sql).all() as (Row & { crc: number })[];
    const pages = all<PageRecord>('SELECT replay, page, latest, crc, bits FROM seen_pages');
    for (const { crc, replay, page, latest, bits } of pages)
      this.#rows.verify(crc, [replay, page, latest], bits, PART);
    const ranges = all<SeenRange>(
      'SELECT replay, first AS "from", behind AS "to", crc FROM seen_ranges ORDER BY replay, first',
    );
    for (const { crc, replay, from, to } of ranges) this.#rows.verify(crc, [replay, from, to], '', PART);
    const chunks = all<{ chunk: number; latest: number; replays: string; ids: Uint8Array }>(
      'SELECT chunk, latest, replays, crc, ids FROM seen_ids ORDER BY chunk',
    );
    for (const { crc, chunk, latest, replays, ids } of chunks)
      this.#rows.verify(crc, [chunk, latest, replays], ids, PART);
    const late = all<LateTrip>('SELECT replay, id, time, judge, outcome, crc FROM seen_late');
    for (const { crc, replay, id, time, judge, outcome } of late)
      this.#rows.verify(crc, [replay, id, time, judge, outcome], '', PART);
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
}

function prepare(rows: StateRows) {
  return {
    writePage: rows.prepare(
      'INSERT OR REPLACE INTO seen_pages (replay, page, latest, crc, bits) VALUES (?, ?, ?, ?, ?)',
    ),
    dropPage: rows.prepare('DELETE FROM seen_pages WHERE replay = ? AND page = ?'),
    writeRange: rows.prepare(
      'INSERT OR REPLACE INTO seen_ranges (replay, first, behind, crc) VALUES (?, ?, ?, ?)',
    ),
    dropRange: rows.prepare('DELETE FROM seen_ranges WHERE replay = ? AND first = ?'),
    writeIds: rows.prepare('INSERT INTO seen_ids (chunk, latest, replays, crc, ids) VALUES (?, ?, ?, ?, ?)'),
    dropIds: rows.prepare('DELETE FROM seen_ids WHERE chunk = ?'),
    writeLate: rows.prepare(
      'INSERT OR REPLACE INTO seen_late (replay, id, time, judge, outcome, crc) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    dropLate: rows.prepare('DELETE FROM seen_late WHERE replay = ? AND id = ?'),
  };
}

function bytesOf(array: Uint8Array | Float64Array): Buffer {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength);
}
