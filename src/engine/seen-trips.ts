/** The trips seen of one replay: bits, ranges and single ids. See `duplicates.ts`. */
import { SeenIds } from './seen-ids.ts';

/** Ids per page: 4 KiB of bits. */
const PAGE = 32_768;
/** Ids that pay for a page, so that bits take at most 8 bytes per id; also for a range, so that ranges stay few. */
const PAGE_PRICE = 512;
/** Pages that are free of charge. */
const FREE_PAGES = 64;

interface Page {
  readonly bits: Uint8Array;
  seen: number;
  /** Of the ids seen, those that are also in ranges. */
  readonly inRanges: number;
  /** Latest drop-off in the page, epoch ms; the page closes when the watermark passes it. */
  latest: number;
  dirty: boolean;
  /** The watermark has passed the page, and it has too many gaps for ranges. */
  closed: boolean;
}

/** A page of one replay, as a checkpoint stores it. */
export interface PageRecord {
  readonly replay: string;
  readonly page: number;
  readonly latest: number;
  readonly bits: Uint8Array;
}

/** Trips [from, to) of a replay were seen. */
export interface SeenRange {
  readonly replay: string;
  readonly from: number;
  readonly to: number;
}

/** Single ids seen between two checkpoints, grouped by replay. */
export interface SeenChunk {
  readonly chunk: number;
  /** Their latest drop-off, epoch ms. */
  readonly latest: number;
  readonly replays: readonly (readonly [replay: string, ids: number])[];
  readonly ids: Float64Array;
}

/**
 * A trip that was late for some window. Another shard may still have a copy, which counts in the windows it is in time
 * for.
 */
export interface LateTrip {
  readonly replay: string;
  readonly id: number;
  /** Event time, epoch ms. */
  readonly time: number;
  /** The watermark that judged it, epoch ms. */
  readonly judge: number;
  /** Its outcome: bits of `OUTCOME`. */
  readonly outcome: number;
}

/** State shared by all replays. */
export class Shared {
  /** Ids seen that can pay for pages, minus the cost of pages so far. */
  credit = FREE_PAGES * PAGE_PRICE;
  pages = 0;
  readonly singles = new SeenIds();
  /** Replays that may have pages to close or changes to write. */
  readonly active = new Set<SeenTrips>();
  /** Single ids since the last checkpoint, by owner. */
  fresh = new Map<SeenTrips, number[]>();
  freshLatest = Number.NEGATIVE_INFINITY;
  freshCount = 0;
  chunk = 1;
  /** Replays with late trips. */
  readonly withLate = new Set<SeenTrips>();
}

/** The trips seen of one replay. */
export class SeenTrips {
  readonly replay: string;
  readonly #owner: number;
  readonly #shared: Shared;
  readonly #pages = new Map<number, Page>();
  /** Ranges in order; no two touch. */
  readonly #froms: number[] = [];
  readonly #tos: number[] = [];
  /** Ranges changed since the last checkpoint: start → end, or undefined if removed. */
  readonly #changedRanges = new Map<number, number | undefined>();
  /** Late trips by id, and the ids of those changed since the last checkpoint. */
  #late: Map<number, LateTrip> | undefined;
  readonly #changedLate = new Set<number>();
  #page: Page | undefined;
  #number = -1;

  constructor(replay: string, owner: number, shared: Shared) {
    this.replay = replay;
    this.#owner = owner;
    this.#shared = shared;
  }

  /** Adds a trip; false if it was seen before. */
  add(id: number, dropoff: number): boolean {
    const number = Math.floor(id / PAGE);
    if (number !== this.#number) {
      const page = this.#pages.get(number);
      if (!page) return this.#addElsewhere(id, number, dropoff);
      this.#page = page;
      this.#number = number;
    }
    return this.#addTo(this.#page!, id, id - number * PAGE, dropoff);
  }

  #addTo(page: Page, id: number, at: number, dropoff: number): boolean {
    const shared = this.#shared;
    const bit = 1 << (at & 7);
    const byte = page.bits[at >> 3]!;
    if ((byte & bit) !== 0) return false;
    if (shared.singles.size > 0 && shared.singles.has(id, this.#owner)) return false;
    page.bits[at >> 3] = byte | bit;
    page.seen++;
    shared.credit++;
    if (dropoff > page.latest) page.latest = dropoff;
    if (!page.dirty) {
      page.dirty = true;
      shared.active.add(this);
    }
    return true;
  }

  /** Adds an id that has no page yet. */
  #addElsewhere(id: number, number: number, dropoff: number): boolean {
    if (this.#isInRange(id)) return false;
    const { credit } = this.#shared;
    if (credit >= PAGE_PRICE) {
      this.#page = this.#openPage(number);
      this.#number = number;
      return this.#addTo(this.#page, id, id - number * PAGE, dropoff);
    }
    if (!this.#addSingle(id, dropoff)) return false;
    this.#shared.credit++;
    return true;
  }

  #addSingle(id: number, dropoff: number): boolean {
    const shared = this.#shared;
    if (!shared.singles.add(id, this.#owner, shared.chunk)) return false;
    const fresh = shared.fresh.get(this);
    if (fresh) fresh.push(id);
    else shared.fresh.set(this, [id]);
    shared.freshCount++;
    if (dropoff > shared.freshLatest) shared.freshLatest = dropoff;
    return true;
  }

  /** Opens a page, filled with the ids that ranges already hold. */
  #openPage(number: number): Page {
    const bits = new Uint8Array(PAGE / 8);
    const start = number * PAGE;
    let seen = 0;
    for (let i = this.#rangeAt(start); i < this.#froms.length && this.#froms[i]! < start + PAGE; i++) {
      const from = Math.max(0, this.#froms[i]! - start);
      const to = Math.min(PAGE, this.#tos[i]! - start);
      if (to > from) seen += setBits(bits, from, to);
    }
    const page = {
      bits,
      seen,
      inRanges: seen,
      latest: Number.NEGATIVE_INFINITY,
      dirty: false,
      closed: false,
    };
    this.#pages.set(number, page);
    this.#shared.active.add(this);
    this.#shared.credit -= PAGE_PRICE;
    this.#shared.pages++;
    return page;
  }

  /** The last range that begins at or before an id; the first range if there is none. */
  #rangeAt(id: number): number {
    let [low, high] = [0, this.#froms.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#froms[middle]! <= id) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  #isInRange(id: number): boolean {
    const i = this.#rangeAt(id);
    return i < this.#froms.length && this.#froms[i]! <= id && id < this.#tos[i]!;
  }

  /** Closes pages that are full or behind the watermark; returns the numbers of the pages that were dissolved. */
  close(watermark: number): number[] {
    const gone: number[] = [];
    let open = false;
    for (const [number, page] of this.#pages) {
      if (page.closed && !page.dirty) continue;
      const isOver = page.seen === PAGE || page.latest <= watermark;
      if (isOver && this.#closePage(number, page)) gone.push(number);
      else open ||= !page.closed;
    }
    for (const number of gone) this.#pages.delete(number);
    this.#shared.pages -= gone.length;
    if (gone.length > 0) this.#number = -1;
    if (!open) this.#shared.active.delete(this);
    return gone;
  }

  /** True if the page's ids are now kept elsewhere. */
  #closePage(number: number, page: Page): boolean {
    const shared = this.#shared;
    const start = number * PAGE;
    if (shared.singles.size > 0) this.#takeSingles(start, page);
    const runs = runsOf(page.bits, page.seen / PAGE_PRICE);
    if (runs) {
      for (const [from, to] of runs) this.#addRange(start + from, start + to);
      shared.credit += PAGE_PRICE - (page.seen - page.inRanges);
      return true;
    }
    page.closed = page.seen >= PAGE_PRICE;
    if (page.closed || shared.pages <= FREE_PAGES) return false;
    for (const [from, to] of runsOf(page.bits, PAGE)!)
      for (let i = from; i < to; i++) this.#addSingle(start + i, page.latest);
    return true;
  }

  /** Moves single ids seen before the page began into it, so that they leave no gaps in its ranges. */
  #takeSingles(start: number, page: Page): void {
    const { bits } = page;
    const take = (i: number) => {
      if (i < 0 || i === PAGE || isSet(bits, i) || !this.#shared.singles.has(start + i, this.#owner))
        return false;
      bits[i >> 3]! |= 1 << (i & 7);
      page.seen++;
      page.dirty = true;
      return true;
    };
    for (const [from, to] of runsOf(bits, PAGE)!) {
      for (let i = from - 1; take(i); ) i--;
      for (let i = to; take(i); ) i++;
    }
  }

  #addRange(from: number, to: number): void {
    const [froms, tos] = [this.#froms, this.#tos];
    let first = this.#rangeAt(from);
    if (first < froms.length && tos[first]! < from) first++;
    let last = first;
    let [low, high] = [from, to];
    for (; last < froms.length && froms[last]! <= to; last++) {
      low = Math.min(low, froms[last]!);
      high = Math.max(high, tos[last]!);
    }
    if (last === first + 1 && froms[first] === low && tos[first] === high) return;
    for (let i = first; i < last; i++) this.#changedRanges.set(froms[i]!, undefined);
    this.#changedRanges.set(low, high);
    froms.splice(first, last - first, low);
    tos.splice(first, last - first, high);
  }

  /** The changes since the last call. */
  takeChanges(): { pages: PageRecord[]; goneRanges: SeenRange[]; ranges: SeenRange[] } {
    const { replay } = this;
    const pages: PageRecord[] = [];
    for (const [page, found] of this.#pages) {
      if (found.dirty) pages.push({ replay, page, latest: found.latest, bits: found.bits });
      found.dirty = false;
    }
    const changed = Array.from(this.#changedRanges, ([from, to]) => ({ replay, from, to: to ?? Number.NaN }));
    this.#changedRanges.clear();
    return {
      pages,
      goneRanges: changed.filter(({ to }) => Number.isNaN(to)),
      ranges: changed.filter(({ to }) => !Number.isNaN(to)),
    };
  }

  /** How a trip was late, if a copy of it may still be in time. */
  lateTrip(id: number): LateTrip | undefined {
    return this.#late?.get(id);
  }

  noteLate(trip: Omit<LateTrip, 'replay'>): void {
    this.restoreLate({ ...trip, replay: this.replay });
    this.#changedLate.add(trip.id);
  }

  /** Changes of the late trips since the last call; drops trips that are past, as no copy can be in time. */
  takeLate(isPast: (time: number) => boolean): {
    late: LateTrip[];
    goneLate: { replay: string; id: number }[];
  } {
    const goneLate: { replay: string; id: number }[] = [];
    for (const [id, { time }] of this.#late ?? []) {
      if (!isPast(time)) continue;
      this.#late?.delete(id);
      goneLate.push({ replay: this.replay, id });
    }
    const late = Array.from(this.#changedLate, (id) => this.#late?.get(id)).filter(
      (trip) => trip !== undefined,
    );
    this.#changedLate.clear();
    if (this.#late?.size === 0) this.#shared.withLate.delete(this);
    return { late, goneLate };
  }

  restoreLate(trip: LateTrip): void {
    this.#late ??= new Map();
    this.#late.set(trip.id, trip);
    this.#shared.withLate.add(this);
  }

  restorePage({ page, latest, bits }: PageRecord): void {
    let seen = 0;
    for (const byte of bits) for (let b = byte; b !== 0; b &= b - 1) seen++;
    this.#pages.set(page, {
      bits: Uint8Array.from(bits),
      seen,
      inRanges: 0,
      latest,
      dirty: false,
      closed: false,
    });
    this.#shared.active.add(this);
    this.#shared.credit += seen - PAGE_PRICE;
    this.#shared.pages++;
  }

  restoreRange({ from, to }: SeenRange): void {
    this.#froms.push(from);
    this.#tos.push(to);
  }

  restoreSingle(id: number, chunk: number): void {
    if (this.#shared.singles.add(id, this.#owner, chunk)) this.#shared.credit++;
  }
}

function isSet(bits: Uint8Array, i: number): boolean {
  return (bits[i >> 3]! & (1 << (i & 7))) !== 0;
}

/** Returns how many of the bits [from, to) were not set before. */
function setBits(bits: Uint8Array, from: number, to: number): number {
  let set = 0;
  for (let i = from; i < to; ) {
    if ((i & 7) === 0 && i + 8 <= to && bits[i >> 3] === 0) {
      bits[i >> 3] = 0xff;
      set += 8;
      i += 8;
      continue;
    }
    const bit = 1 << (i & 7);
    if ((bits[i >> 3]! & bit) === 0) set++;
    bits[i >> 3]! |= bit;
    i++;
  }
  return set;
}

/** The runs [from, to) of set bits; undefined if there are more than `most`. */
function runsOf(bits: Uint8Array, most: number): [from: number, to: number][] | undefined {
  const runs: [number, number][] = [];
  let from = -1;
  for (let i = 0; i <= PAGE; i++) {
    const byte = bits[i >> 3];
    // Skips a byte in which no run begins or ends.
    if ((i & 7) === 0 && byte === (from < 0 ? 0 : 0xff)) {
      i += 7;
      continue;
    }
    const set = byte !== undefined && (byte & (1 << (i & 7))) !== 0;
    if (set === from >= 0) continue;
    if (set) from = i;
    else {
      runs.push([from, i]);
      from = -1;
      if (runs.length > most) return undefined;
    }
  }
  return runs;
}
