/**
 * Trips that a producer's retry wrote twice count once (W7). Since `trip_id` is a dense rank in drop-off order,
 * one bit a trip tells, between the watermark and the head; behind the watermark, ranges are enough.
 */

/** Trips a page: 4 KiB of bits. */
const PAGE = 32_768;

interface Page {
  readonly bits: Uint8Array;
  seen: number;
  /** Latest drop-off in it, epoch ms: once the watermark passes it, the page is closed. */
  latest: number;
  dirty: boolean;
}

/** A page of one replay as a checkpoint keeps it; no bits when the page is closed. */
export interface PageRecord {
  readonly replay: string;
  readonly page: number;
  readonly latest: number;
  readonly bits: Uint8Array;
}

/** Trips [from, to) of a replay were seen: the closed part. */
export type SeenRange = [from: number, to: number];

export class SeenTrips {
  readonly pages = new Map<number, Page>();
  /** Closed pages: what was seen in them, as ranges in order that don't touch. */
  ranges: SeenRange[] = [];
  rangesDirty = false;
  #page: Page | undefined;
  #number = -1;

  /** Notes a trip; false when it was seen before. */
  add(id: number, dropoff: number): boolean {
    const number = Math.floor(id / PAGE);
    if (number !== this.#number) {
      this.#page = this.pages.get(number) ?? this.#openPage(number);
      this.#number = number;
    }
    const page = this.#page!;
    const at = id - number * PAGE;
    const bit = 1 << (at & 7);
    const byte = page.bits[at >> 3]!;
    if ((byte & bit) !== 0) return false;
    page.bits[at >> 3] = byte | bit;
    page.seen++;
    if (dropoff > page.latest) page.latest = dropoff;
    page.dirty = true;
    return true;
  }

  /** A page that was closed comes back with what was seen of it. */
  #openPage(number: number): Page {
    const page: Page = {
      bits: new Uint8Array(PAGE / 8),
      seen: 0,
      latest: Number.NEGATIVE_INFINITY,
      dirty: false,
    };
    const start = number * PAGE;
    for (const [from, to] of this.ranges) {
      for (let id = Math.max(from, start); id < Math.min(to, start + PAGE); id++) {
        page.bits[(id - start) >> 3]! |= 1 << ((id - start) & 7);
        page.seen++;
      }
    }
    this.pages.set(number, page);
    return page;
  }

  /** Closes the pages the watermark has passed; returns their numbers. */
  close(watermark: number): number[] {
    const closed: number[] = [];
    for (const [number, page] of this.pages) {
      if (page.seen < PAGE && page.latest > watermark) continue;
      this.#mergeRanges(number * PAGE, page);
      this.pages.delete(number);
      closed.push(number);
    }
    if (closed.length > 0) {
      this.rangesDirty = true;
      this.#number = -1;
    }
    return closed;
  }

  #mergeRanges(start: number, page: Page): void {
    const own: SeenRange[] = [];
    if (page.seen === PAGE) own.push([start, start + PAGE]);
    else {
      for (let i = 0; i < PAGE; i++) {
        if ((page.bits[i >> 3]! & (1 << (i & 7))) === 0) continue;
        const last = own.at(-1);
        if (last && last[1] === start + i) last[1]++;
        else own.push([start + i, start + i + 1]);
      }
    }
    const merged: SeenRange[] = [];
    for (const [from, to] of [...this.ranges, ...own].sort((a, b) => a[0] - b[0])) {
      const last = merged.at(-1);
      if (last && from <= last[1]) last[1] = Math.max(last[1], to);
      else merged.push([from, to]);
    }
    this.ranges = merged;
  }
}

export interface DuplicateChanges {
  readonly pages: PageRecord[];
  readonly closed: { replay: string; page: number }[];
  readonly ranges: { replay: string; ranges: SeenRange[] }[];
}

/** What was seen of every replay. */
export class Duplicates {
  readonly #replays = new Map<string, SeenTrips>();
  readonly #closed: { replay: string; page: number }[] = [];

  /** The trips seen of one replay. */
  of(replay: string): SeenTrips {
    let seen = this.#replays.get(replay);
    if (!seen) {
      seen = new SeenTrips();
      this.#replays.set(replay, seen);
    }
    return seen;
  }

  /** What changed since the last call, after closing what the watermark has passed. */
  takeChanges(watermark: number): DuplicateChanges {
    const pages: PageRecord[] = [];
    const ranges: { replay: string; ranges: SeenRange[] }[] = [];
    for (const [replay, seen] of this.#replays) {
      for (const page of seen.close(watermark)) this.#closed.push({ replay, page });
      for (const [number, page] of seen.pages) {
        if (page.dirty) pages.push({ replay, page: number, latest: page.latest, bits: page.bits });
        page.dirty = false;
      }
      if (seen.rangesDirty) ranges.push({ replay, ranges: seen.ranges });
      seen.rangesDirty = false;
    }
    return { pages, closed: this.#closed.splice(0), ranges };
  }

  restore(pages: readonly PageRecord[], ranges: readonly { replay: string; ranges: SeenRange[] }[]): void {
    for (const { replay, ranges: seen } of ranges) this.of(replay).ranges = seen;
    for (const { replay, page, latest, bits } of pages) {
      let seen = 0;
      for (const byte of bits) for (let b = byte; b !== 0; b &= b - 1) seen++;
      this.of(replay).pages.set(page, { bits: Uint8Array.from(bits), seen, latest, dirty: false });
    }
  }
}
