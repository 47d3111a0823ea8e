/**
 * Trips that a producer's retry wrote twice count once (W7), whatever their ids:
 *
 *  - Ids that lie close together, as those of a replay do, are bits in pages of 32,768 ids.
 *  - Once the watermark has passed a page, what was seen of it becomes ranges, or stays as bits where it has many gaps.
 *  - Ids that lie far apart are kept one by one: beyond the first 64, a page only begins when there have been ids enough
 *    to pay for it.
 *
 * So memory is a bit for each trip of a dense replay, and less behind the watermark; 8 bytes at most for each id where
 * there are gaps; and some 40 bytes for each id that stands alone. Of those, the newest million is kept, and all whose
 * copies could still change a result; a copy of another one is told as late, not as duplicate.
 */
import {
  type LateTrip,
  type PageRecord,
  type SeenChunk,
  type SeenRange,
  SeenTrips,
  Shared,
} from './seen-trips.ts';

/** Single ids that are kept though no result depends on them any more. */
const SINGLES_KEPT = 1_000_000;

/** The trips seen, as checkpoints have kept them. */
export interface StoredTrips {
  readonly pages: readonly PageRecord[];
  /** In order. */
  readonly ranges: readonly SeenRange[];
  /** In order. */
  readonly chunks: readonly SeenChunk[];
  readonly late: readonly LateTrip[];
}

/** What changed of the trips seen; what is gone goes first. */
export interface DuplicateChanges extends StoredTrips {
  readonly gonePages: readonly { replay: string; page: number }[];
  readonly goneRanges: readonly { replay: string; from: number }[];
  readonly goneChunks: readonly number[];
  readonly goneLate: readonly { replay: string; id: number }[];
}

/** What was seen of every replay. */
export class Duplicates {
  readonly #shared = new Shared();
  readonly #replays = new Map<string, SeenTrips>();
  /** Of the single ids that are kept, in order. */
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
   * What changed since the last call, after closing what the watermark has passed. Trips whose event time is past are
   * late in every view, so no result depends on whether they were seen.
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

  /** Forgets the oldest single ids that no result depends on, many at once; returns their chunks. */
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
