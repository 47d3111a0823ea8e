/**
 * Sorts trips by drop-off time, ties in input order, in bounded memory: sorts runs of half a million trips in memory, spills
 * them to disk if there is more than one, and merges them.
 */
import type { ExtraField } from '../events/trip.ts';
import { ScratchFile } from './scratch.ts';
import { PLACE, type SourceTrip, type SourceTrips, TRIP_WIDTH } from './trips.ts';
import { Vendors } from './vendors.ts';

/** Trips in order. Trip i has the id `firstId` + i. */
export interface TripBatch {
  readonly count: number;
  readonly firstId: number;
  /** Epoch ms. */
  readonly dropoffs: Float64Array;
  /** Values for each trip, by `PLACE`, then the extra fields; a vendor is a number, and its text by `vendors`. */
  readonly values: Float64Array;
  readonly extras: readonly ExtraField[];
  readonly vendors: (code: number) => string;
}

const RUN_TRIPS = 1 << 19;
/** Eight full PutRecords requests. */
export const BATCH_TRIPS = 4_000;
const MOST_BATCH_TRIPS = 128_000;
/** Trips of a spilled run that are written or read at once. */
const PIECE_TRIPS = 1 << 13;
const LEAST_PIECE_TRIPS = 1 << 8;
/** Trips of all runs together in memory while they are merged. */
const MERGE_TRIPS = 1 << 19;
const NOTHING = new Float64Array(0);
const { dropoff_datetime: DROPOFF, vendor_id: VENDOR } = PLACE;

/** Trips of one run, in the order they were added. */
class Run {
  readonly capacity: number;
  count = 0;
  #values: Float64Array;

  readonly #width: number;

  /** `width` is the number of values of a trip. */
  constructor(capacity: number, width: number) {
    this.capacity = capacity;
    this.#width = width;
    this.#values = new Float64Array(Math.min(capacity, PIECE_TRIPS) * width);
  }

  get values(): Float64Array {
    return this.#values;
  }

  get full(): boolean {
    return this.count === this.capacity;
  }

  add({ values }: SourceTrip, vendor: number): void {
    this.#reserve(this.count + 1);
    const at = this.count++ * this.#width;
    this.#values.set(values, at);
    this.#values[at + VENDOR] = vendor;
  }

  /** Adds trips from `from` on, as many as fit; returns how many. */
  addAll({ count, values }: SourceTrips, from: number, vendorOf: (place: number) => number): number {
    const own = Math.min(count - from, this.capacity - this.count);
    this.#reserve(this.count + own);
    const start = this.count * this.#width;
    this.#values.set(values.subarray(from * this.#width, (from + own) * this.#width), start);
    this.count += own;
    for (let at = start + VENDOR; at < this.count * this.#width; at += this.#width) {
      const vendor = this.#values[at]!;
      if (!Number.isNaN(vendor)) this.#values[at] = vendorOf(vendor);
    }
    return own;
  }

  clear(): void {
    this.count = 0;
  }

  /** Indexes of the trips by drop-off time, ties in the order they were added. */
  order(): Float64Array | Uint32Array {
    const { values, count } = this;
    const dropoffs = new Float64Array(count);
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < count; i++) {
      const t = values[i * this.#width + DROPOFF]!;
      dropoffs[i] = t;
      if (t < low) low = t;
      if (t > high) high = t;
    }
    const places = 2 ** Math.ceil(Math.log2(Math.max(2, count)));
    if ((high - low + 1) * places < Number.MAX_SAFE_INTEGER) {
      // With time and index in one number, the typed array sorts without a comparison callback.
      const keys = dropoffs;
      for (let i = 0; i < count; i++) keys[i] = (keys[i]! - low) * places + i;
      keys.sort();
      for (let i = 0; i < count; i++) keys[i] = keys[i]! % places;
      return keys;
    }
    return Uint32Array.from({ length: count }, (_, i) => i).sort(
      (a, b) => dropoffs[a]! - dropoffs[b]! || a - b,
    );
  }

  #reserve(trips: number): void {
    const needed = trips * this.#width;
    if (needed <= this.#values.length) return;
    const grown = new Float64Array(
      Math.min(this.capacity * this.#width, Math.max(needed, this.#values.length * 2)),
    );
    grown.set(this.#values);
    this.#values = grown;
  }
}

function copyTrip(from: Float64Array, at: number, to: Float64Array, into: number, width: number): void {
  for (let i = 0; i < width; i++) to[into + i] = from[at + i]!;
}

/** Copies trips into batches. */
class BatchBuilder {
  readonly #vendors: Vendors;
  readonly #extras: readonly ExtraField[];
  readonly #width: number;
  #values: Float64Array;
  #count = 0;
  #firstId = 0;

  constructor(vendors: Vendors, extras: readonly ExtraField[]) {
    this.#vendors = vendors;
    this.#extras = extras;
    this.#width = TRIP_WIDTH + extras.length;
    this.#values = new Float64Array(BATCH_TRIPS * this.#width);
  }

  get count(): number {
    return this.#count;
  }

  /** Adds the trip whose values begin at `at`. */
  add(values: Float64Array, at: number): void {
    const into = this.#count++ * this.#width;
    if (into === this.#values.length) {
      const grown = new Float64Array(2 * into);
      grown.set(this.#values);
      this.#values = grown;
    }
    copyTrip(values, at, this.#values, into, this.#width);
  }

  take(): TripBatch {
    const count = this.#count;
    const values = this.#values.slice(0, count * this.#width);
    const dropoffs = new Float64Array(count);
    const codes: number[] = [];
    for (let i = 0; i < count; i++) {
      dropoffs[i] = values[i * this.#width + DROPOFF]!;
      if (values[i * this.#width + VENDOR]! < 0) codes.push(values[i * this.#width + VENDOR]!);
    }
    const vendors = this.#vendors.reader(codes);
    const batch = { count, firstId: this.#firstId, dropoffs, values, extras: this.#extras, vendors };
    this.#firstId += count;
    this.#count = 0;
    return batch;
  }
}

/** Sorts any number of trips. `close` removes what was spilled. */
export class TripSorter {
  readonly #run: Run;
  readonly #spills: Spill[] = [];
  readonly #folder: string;
  readonly #vendors: Vendors;
  readonly #extras: readonly ExtraField[];
  readonly #width: number;
  /** The numbers of the vendors in a list. */
  #codes: { readonly list: readonly string[]; readonly codes: number[] } = { list: [], codes: [] };

  /** Spills to `folder`; sorts at most `runTrips` trips in memory, which have these extra fields. */
  constructor(folder: string, runTrips = RUN_TRIPS, extras: readonly ExtraField[] = []) {
    this.#folder = folder;
    this.#extras = extras;
    this.#width = TRIP_WIDTH + extras.length;
    this.#run = new Run(runTrips, this.#width);
    this.#vendors = new Vendors(folder);
  }

  /** Takes every trip, in any order. */
  add(trip: SourceTrip): true {
    if (this.#run.full) this.#spill();
    this.#run.add(trip, trip.vendor === undefined ? Number.NaN : this.#vendors.code(trip.vendor));
    return true;
  }

  /** Takes a batch of trips, in any order. */
  addAll(trips: SourceTrips): void {
    const list = trips.vendors;
    if (this.#codes.list !== list) this.#codes = { list, codes: [] };
    const { codes } = this.#codes;
    const vendorOf = (place: number) => {
      codes[place] ??= this.#vendors.code(list[place]!);
      return codes[place]!;
    };
    for (let from = 0; from < trips.count; ) {
      if (this.#run.full) this.#spill();
      from += this.#run.addAll(trips, from, vendorOf);
    }
  }

  /** All trips, in order; the next batch has `batchTrips()` of them, 128,000 at most. Call it once, after the last `add`. */
  *batches(batchTrips: () => number = () => BATCH_TRIPS): Generator<TripBatch> {
    const most = () => Math.min(MOST_BATCH_TRIPS, batchTrips());
    const builder = new BatchBuilder(this.#vendors, this.#extras);
    if (this.#spills.length === 0) {
      for (const i of this.#run.order()) {
        builder.add(this.#run.values, i * this.#width);
        if (builder.count >= most()) yield builder.take();
      }
    } else {
      this.#spill();
      yield* merged(this.#spills, builder, most);
    }
    if (builder.count > 0) yield builder.take();
  }

  close(): void {
    for (const spill of this.#spills) spill.close();
    this.#spills.length = 0;
    this.#vendors.close();
  }

  #spill(): void {
    const spill = new Spill(this.#folder, this.#width);
    this.#spills.push(spill);
    spill.write(this.#run);
    this.#run.clear();
  }
}

/** Builds batches from trips that are in order already; refuses those that aren't. */
export class TripCollector {
  readonly #vendors: Vendors;
  readonly #builder: BatchBuilder;
  readonly #ready: TripBatch[] = [];
  readonly #trip: Float64Array;
  #last = Number.NEGATIVE_INFINITY;

  /** Vendors that don't fit into memory go to `folder`. */
  constructor(folder: string, extras: readonly ExtraField[] = []) {
    this.#vendors = new Vendors(folder);
    this.#builder = new BatchBuilder(this.#vendors, extras);
    this.#trip = new Float64Array(TRIP_WIDTH + extras.length);
  }

  /** False if the trip is before the last one. */
  add({ values, vendor }: SourceTrip): boolean {
    const dropoff = values[DROPOFF]!;
    if (dropoff < this.#last) return false;
    this.#last = dropoff;
    this.#trip.set(values);
    this.#trip[VENDOR] = vendor === undefined ? Number.NaN : this.#vendors.code(vendor);
    this.#builder.add(this.#trip, 0);
    if (this.#builder.count === BATCH_TRIPS) this.#ready.push(this.#builder.take());
    return true;
  }

  /** The full batches so far. */
  full(): TripBatch[] {
    return this.#ready.splice(0);
  }

  /** All batches that are left, full or not. */
  rest(): TripBatch[] {
    return this.#builder.count > 0 ? [...this.full(), this.#builder.take()] : this.full();
  }

  close(): void {
    this.#vendors.close();
  }
}

/** A sorted run on disk, read back from its start. */
class Spill {
  readonly #file: ScratchFile;
  #piece = NOTHING;
  #bytes = Buffer.from(NOTHING.buffer);
  /** Numbers in the piece, and where the trip at the head of the run begins. */
  #length = 0;
  #at = 0;
  #filePosition = 0;

  readonly #width: number;

  constructor(folder: string, width: number) {
    this.#width = width;
    this.#file = new ScratchFile(folder, 'the sort folder');
  }

  write(run: Run): void {
    const piece = new Float64Array(PIECE_TRIPS * this.#width);
    const bytes = Buffer.from(piece.buffer);
    let filled = 0;
    for (const i of run.order()) {
      copyTrip(run.values, i * this.#width, piece, filled, this.#width);
      filled += this.#width;
      if (filled < piece.length) continue;
      this.#file.append(bytes);
      filled = 0;
    }
    this.#file.append(bytes.subarray(0, filled * 8));
  }

  /** Reads the first trip, with memory for so many trips; false if there is none. */
  begin(trips: number): boolean {
    this.#piece = new Float64Array(trips * this.#width);
    this.#bytes = Buffer.from(this.#piece.buffer);
    this.#at = this.#length;
    return this.#isAtTrip();
  }

  /** Drop-off of the trip at the head of the run, epoch ms. */
  get dropoff(): number {
    return this.#piece[this.#at + DROPOFF]!;
  }

  /** Moves the trip at the head into a batch; false if it was the last one. */
  moveTo(builder: BatchBuilder): boolean {
    builder.add(this.#piece, this.#at);
    this.#at += this.#width;
    return this.#at < this.#length || this.#isAtTrip();
  }

  close(): void {
    this.#file.close();
  }

  #isAtTrip(): boolean {
    if (this.#at < this.#length) return true;
    let bytes = 0;
    for (let read = -1; read !== 0 && bytes < this.#bytes.length; bytes += read) {
      read = this.#file.read(this.#bytes, bytes, this.#filePosition);
      this.#filePosition += read;
    }
    this.#length = bytes / 8;
    this.#at = 0;
    return bytes > 0;
  }
}

/** Merges sorted runs. Runs are in input order, so the lower run wins a tie. */
function* merged(
  spills: readonly Spill[],
  builder: BatchBuilder,
  batchTrips: () => number,
): Generator<TripBatch> {
  const before = (a: number, b: number) => spills[a]!.dropoff - spills[b]!.dropoff || a - b;
  // All runs are read at the same time: many of them have less memory each.
  const trips = Math.max(LEAST_PIECE_TRIPS, Math.min(PIECE_TRIPS, Math.floor(MERGE_TRIPS / spills.length)));
  const heap = [...spills.keys()].filter((run) => spills[run]!.begin(trips));
  heap.sort(before);
  while (heap.length > 0) {
    const [run] = heap as [number];
    const spill = spills[run]!;
    const next = heap.length > 2 && before(heap[2]!, heap[1]!) < 0 ? heap[2] : heap[1];
    const bound = next === undefined ? Number.POSITIVE_INFINITY : spills[next]!.dropoff;
    // Runs hardly overlap, so most trips come from the run of the one before.
    let isLeft = true;
    do {
      isLeft = spill.moveTo(builder);
      if (builder.count >= batchTrips()) yield builder.take();
    } while (isLeft && (spill.dropoff < bound || (spill.dropoff === bound && run < next!)));
    if (!isLeft) {
      heap[0] = heap.at(-1)!;
      heap.pop();
    }
    sink(heap, before);
  }
}

/** Restores a binary heap whose root may be too large. */
function sink(heap: number[], before: (a: number, b: number) => number): void {
  let at = 0;
  for (;;) {
    let least = at;
    for (let child = 2 * at + 1; child <= 2 * at + 2; child++) {
      if (child < heap.length && before(heap[child]!, heap[least]!) < 0) least = child;
    }
    if (least === at) return;
    [heap[at], heap[least]] = [heap[least]!, heap[at]!];
    at = least;
  }
}
