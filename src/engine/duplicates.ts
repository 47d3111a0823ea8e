/**
 * Counts a trip once even if a producer's retry wrote it twice (W7), whatever the ids look like:
 *
 *  - Ids that are close together, as in a replay, are bits in pages of 32,768 ids.
 *  - Once the watermark has passed a page, its ids become ranges, or stay bits if there are many gaps.
 *  - Ids that are far apart are kept singly: beyond the first 64 pages, a new page starts only when enough ids have been
 *    seen to pay for it.
 *
 * Memory per id is one bit in a dense replay, and less behind the watermark; at most 8 bytes where there are gaps; about
 * 40 bytes for a single id. Of the single ids, the newest million is kept, and every id whose copy could still change a
 * result; a copy of a forgotten id is reported as late, not as duplicate.
 */
import {
  type LateTrip,
  type PageRecord,
  type SeenChunk,
  type SeenRange,
  SeenTrips,
  Shared,
} from './seen-trips.ts';

/** Single ids to keep although no result depends on them any more. */
const SINGLES_KEPT = 1_000_000;

/** The trips seen, as stored by checkpoints. */
export interface StoredTrips {
  readonly pages: readonly PageRecord[];
  /** In order. */
  readonly ranges: readonly SeenRange[];
  /** In order. */
  readonly chunks: readonly SeenChunk[];
  readonly late: readonly LateTrip[];
}

/** Changes of the trips seen; removals must be applied first. */
export interface DuplicateChanges extends StoredTrips {
  readonly gonePages: readonly { replay: string; page: number }[];
  readonly goneRanges: readonly { replay: string; from: number }[];
  readonly goneChunks: readonly number[];
  readonly goneLate: readonly { replay: string; id: number }[];
}

/** The trips seen of every replay. */
export class Duplicates {
  readonly #shared = new Shared();
  readonly #replays = new Map<string, SeenTrips>();
  /** Chunks of the single ids that are kept, in order. */
  #chunks: { readonly chunk: number; readonly latest: number; readonly ids: number }[] = [];

  /** The trips seen of one replay. */
  of(replay: string): SeenTrips {
    let seen = this.#replays.get(replay);
    if (!seen) {
      seen = new SeenTrips(replay, this.#replays.size, this.#shared);
      this.#replays.set(replay, seen);
    }
    return seen;
  }

  /**
   * Closes pages that the watermark has passed and returns the changes since the last call. A trip whose event time
   * `isPast` is late in every view, so no result depends on whether it was seen.
   */
  takeChanges(watermark: number, isPast: (time: number) => boolean): DuplicateChanges {
    const changes = {
      pages: [] as PageRecord[],
      ranges: [] as SeenRange[],
      late: [] as LateTrip[],
      gonePages: [] as { replay: string; page: number }[],
      goneRanges: [] as { replay: string; from: number }[],
      goneLate: [] as { replay: string; id: number }[],
    };
    for (const seen of this.#shared.active) {
      for (const page of seen.close(watermark)) changes.gonePages.push({ replay: seen.replay, page });
      const { pages, ranges, goneRanges } = seen.takeChanges();
      for (const page of pages) changes.pages.push(page);
      for (const range of ranges) changes.ranges.push(range);
      for (const { replay, from } of goneRanges) changes.goneRanges.push({ replay, from });
    }
    for (const seen of this.#shared.withLate) {
      const { late, goneLate } = seen.takeLate(isPast);
      for (const trip of late) changes.late.push(trip);
      for (const trip of goneLate) changes.goneLate.push(trip);
    }
    const chunks = this.#takeSingles();
    return { ...changes, chunks, goneChunks: this.#forgetSingles(isPast) };
  }

  #takeSingles(): SeenChunk[] {
    const shared = this.#shared;
    if (shared.freshCount === 0) return [];
    const ids = new Float64Array(shared.freshCount);
    const replays: [string, number][] = [];
    let at = 0;
    for (const [{ replay }, own] of shared.fresh) {
      ids.set(own, at);
      at += own.length;
      replays.push([replay, own.length]);
    }
    const chunk = { chunk: shared.chunk++, latest: shared.freshLatest, replays, ids };
    this.#chunks.push({ chunk: chunk.chunk, latest: chunk.latest, ids: ids.length });
    shared.fresh = new Map();
    shared.freshCount = 0;
    shared.freshLatest = Number.NEGATIVE_INFINITY;
    return [chunk];
  }

  /** Forgets the oldest single ids that no result depends on, many at a time; returns their chunks. */
  #forgetSingles(isPast: (time: number) => boolean): number[] {
    const { singles } = this.#shared;
    const tooMany = singles.size - SINGLES_KEPT;
    if (tooMany < SINGLES_KEPT) return [];
    const gone = new Set<number>();
    let ids = 0;
    for (const chunk of this.#chunks) {
      if (ids >= tooMany) break;
      if (!isPast(chunk.latest)) continue;
      gone.add(chunk.chunk);
      ids += chunk.ids;
    }
    if (ids * 2 < tooMany) return [];
    singles.forget(gone);
    this.#chunks = this.#chunks.filter(({ chunk }) => !gone.has(chunk));
    return [...gone];
  }

  restore({ pages, ranges, chunks, late }: StoredTrips): void {
    for (const range of ranges) this.of(range.replay).restoreRange(range);
    for (const page of pages) this.of(page.replay).restorePage(page);
    for (const { chunk, latest, replays, ids } of chunks) {
      let at = 0;
      for (const [replay, count] of replays) {
        const seen = this.of(replay);
        for (const id of ids.subarray(at, at + count)) seen.restoreSingle(id, chunk);
        at += count;
      }
      this.#chunks.push({ chunk, latest, ids: ids.length });
      this.#shared.chunk = chunk + 1;
    }
    for (const trip of late) this.of(trip.replay).restoreLate(trip);
  }
}
