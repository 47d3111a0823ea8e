/**
 * Sorts trips by drop-off time, ties in input order, in bounded memory: sorts runs of a quarter of a million trips in
 * memory, spills them to disk if there is more than one, and merges them.
 */
import { ScratchFile } from './scratch.ts';
import type { EncodedTrip, EncodedTrips } from './trips.ts';

/** Trips in order. Trip i has the id `firstId` + i, and its body (see `EncodedTrip`) is `data[starts[i]…ends[i])`. */
export interface TripBatch {
  readonly count: number;
  readonly firstId: number;
  /** Epoch ms. */
  readonly dropoffs: Float64Array;
  readonly data: Buffer;
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
}

const RUN_TRIPS = 1 << 18;
const RUN_BYTES = 128 << 20;
/** Eight full PutRecords requests. */
export const BATCH_TRIPS = 4_000;
const MOST_BATCH_TRIPS = 32_000;
/** A batch of long bodies holds fewer trips. */
const BATCH_BYTES = 16 << 20;
const READ_BYTES = 1 << 19;
/** A spilled trip: drop-off time (float64), length of its body (uint32), body. */
const SPILL_HEAD = 12;

/** Trips of one run, in the order they were added. */
class Run {
  readonly dropoffs: Float64Array;
  readonly ends: Uint32Array;
  count = 0;
  #data = Buffer.allocUnsafe(1 << 20);
  #bytes = 0;
  #pending = '';

  constructor(capacity: number) {
    this.dropoffs = new Float64Array(capacity);
    this.ends = new Uint32Array(capacity);
  }

  add(trip: EncodedTrip): void {
    this.dropoffs[this.count] = trip.dropoff;
    this.#pending += trip.body;
    this.ends[this.count++] = this.#bytes + this.#pending.length;
    // Strings are written several at a time: one call per trip costs more than the copy.
    if (this.#pending.length > 16_384) this.#flush();
  }

  /** Adds trips [from, to) of a batch, for which there must be room. */
  addAll({ dropoffs, ends, data }: EncodedTrips, from: number, to: number): void {
    this.#flush();
    const start = from === 0 ? 0 : ends[from - 1]!;
    const bytes = ends[to - 1]! - start;
    this.#reserve(bytes);
    data.copy(this.#data, this.#bytes, start, start + bytes);
    this.dropoffs.set(dropoffs.subarray(from, to), this.count);
    const shift = this.#bytes - start;
    for (let i = from; i < to; i++) this.ends[this.count++] = ends[i]! + shift;
    this.#bytes += bytes;
  }

  get bytes(): number {
    return this.#bytes + this.#pending.length;
  }

  /** How many trips still fit. */
  get room(): number {
    return this.dropoffs.length - this.count;
  }

  get full(): boolean {
    return this.count === this.dropoffs.length || this.bytes > RUN_BYTES;
  }

  get data(): Buffer {
    this.#flush();
    return this.#data;
  }

  clear(): void {
    this.count = 0;
    this.#bytes = 0;
    this.#pending = '';
  }

  /** Indexes of the trips by drop-off time, ties in the order they were added. */
  order(): Float64Array | Uint32Array {
    const { dropoffs, count } = this;
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < count; i++) {
      const t = dropoffs[i]!;
      if (t < low) low = t;
      if (t > high) high = t;
    }
    const places = 2 ** Math.ceil(Math.log2(Math.max(2, count)));
    if ((high - low + 1) * places < Number.MAX_SAFE_INTEGER) {
      // With time and index in one number, the typed array sorts without a comparison callback.
      const keys = new Float64Array(count);
      for (let i = 0; i < count; i++) keys[i] = (dropoffs[i]! - low) * places + i;
      keys.sort();
      for (let i = 0; i < count; i++) keys[i] = keys[i]! % places;
      return keys;
    }
    return Uint32Array.from({ length: count }, (_, i) => i).sort(
      (a, b) => dropoffs[a]! - dropoffs[b]! || a - b,
    );
  }

  #flush(): void {
    if (this.#pending === '') return;
    this.#reserve(this.#pending.length);
    this.#bytes += this.#data.write(this.#pending, this.#bytes, 'latin1');
    this.#pending = '';
  }

  #reserve(bytes: number): void {
    const needed = this.#bytes + bytes;
    if (needed <= this.#data.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#data.length * 2));
    this.#data.copy(grown, 0, 0, this.#bytes);
    this.#data = grown;
  }
}

/** Copies trips into batches. */
class BatchBuilder {
  readonly #dropoffs = new Float64Array(MOST_BATCH_TRIPS);
  readonly #ends = new Uint32Array(MOST_BATCH_TRIPS);
  #data = Buffer.allocUnsafe(BATCH_TRIPS * 400);
  #count = 0;
  #bytes = 0;
  #firstId = 0;

  /** Whether it has as many trips as a batch is to have, or as many bytes as it may. */
  isFull(trips: number): boolean {
    return this.#count >= trips || this.#bytes >= BATCH_BYTES;
  }

  get count(): number {
    return this.#count;
  }

  add(dropoff: number, from: Buffer, start: number, end: number): void {
    const needed = this.#bytes + end - start;
    if (needed > this.#data.length) this.#data = Buffer.concat([this.#data, Buffer.allocUnsafe(needed)]);
    from.copy(this.#data, this.#bytes, start, end);
    this.#bytes = needed;
    this.#dropoffs[this.#count] = dropoff;
    this.#ends[this.#count++] = needed;
  }

  take(): TripBatch {
    const starts = new Uint32Array(this.#count);
    starts.set(this.#ends.subarray(0, Math.max(0, this.#count - 1)), this.#count > 0 ? 1 : 0);
    const batch = {
      count: this.#count,
      starts,
      firstId: this.#firstId,
      dropoffs: this.#dropoffs.slice(0, this.#count),
      data: Buffer.from(this.#data.subarray(0, this.#bytes)),
      ends: this.#ends.slice(0, this.#count),
    };
    this.#firstId += this.#count;
    this.#count = 0;
    this.#bytes = 0;
    return batch;
  }
}

/** Sorts any number of trips. `close` removes the spilled runs. */
export class TripSorter {
  readonly #run: Run;
  readonly #spills: Spill[] = [];
  readonly #folder: string;

  /** Spills runs to `folder`; sorts at most `runTrips` trips in memory. */
  constructor(folder: string, runTrips = RUN_TRIPS) {
    this.#folder = folder;
    this.#run = new Run(runTrips);
  }

  /** Takes every trip, in any order. */
  add(trip: EncodedTrip): true {
    if (this.#run.full) this.#spill();
    this.#run.add(trip);
    return true;
  }

  /** Takes a batch of trips, in any order. */
  addAll(trips: EncodedTrips): void {
    for (let from = 0; from < trips.count; ) {
      if (this.#run.full) this.#spill();
      const to = Math.min(trips.count, from + this.#run.room);
      this.#run.addAll(trips, from, to);
      from = to;
    }
  }

  /** All trips, in order; the next batch has `batchTrips()` of them, 32,000 at most. Call it once, after the last `add`. */
  *batches(batchTrips: () => number = () => BATCH_TRIPS): Generator<TripBatch> {
    const most = () => Math.min(MOST_BATCH_TRIPS, batchTrips());
    if (this.#spills.length === 0) yield* fromMemory(this.#run, most);
    else {
      this.#spill();
      yield* merged(this.#spills, most);
    }
  }

  close(): void {
    for (const spill of this.#spills) spill.close();
    this.#spills.length = 0;
  }

  #spill(): void {
    const spill = new Spill(this.#folder);
    this.#spills.push(spill);
    spill.write(this.#run);
    this.#run.clear();
  }
}

/** Builds batches from trips that are in order already; refuses those that aren't. */
export class TripCollector {
  readonly #builder = new BatchBuilder();
  readonly #ready: TripBatch[] = [];
  #last = Number.NEGATIVE_INFINITY;

  /** False if the trip is before the last one. */
  add(trip: EncodedTrip): boolean {
    if (trip.dropoff < this.#last) return false;
    this.#last = trip.dropoff;
    const body = Buffer.from(trip.body, 'latin1');
    this.#builder.add(trip.dropoff, body, 0, body.length);
    if (this.#builder.isFull(BATCH_TRIPS)) this.#ready.push(this.#builder.take());
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
}

/** Batches over the trips of one run, without copying their bodies. */
function* fromMemory(run: Run, batchTrips: () => number): Generator<TripBatch> {
  const order = run.order();
  for (let firstId = 0; firstId < run.count; ) {
    const places = order.subarray(firstId, firstId + batchTrips());
    yield {
      count: places.length,
      firstId,
      dropoffs: Float64Array.from(places, (i) => run.dropoffs[i]!),
      data: run.data,
      starts: Uint32Array.from(places, (i) => (i === 0 ? 0 : run.ends[i - 1]!)),
      ends: Uint32Array.from(places, (i) => run.ends[i]!),
    };
    firstId += places.length;
  }
}

/** A sorted run on disk, read back from its start. */
class Spill {
  readonly #file: ScratchFile;
  #buffer = Buffer.alloc(0);
  #offset = 0;
  #filePosition = 0;
  #size = 0;
  /** The trip at the head of the run. */
  dropoff = 0;
  body = { data: this.#buffer, start: 0, end: 0 };

  constructor(folder: string) {
    this.#file = new ScratchFile(folder, 'the sort folder');
  }

  write(run: Run): void {
    const { dropoffs, ends, data } = run;
    let longest = 0;
    for (let i = 0; i < run.count; i++) longest = Math.max(longest, ends[i]! - (i === 0 ? 0 : ends[i - 1]!));
    this.#size = run.bytes + run.count * SPILL_HEAD;
    const out = Buffer.allocUnsafe(Math.min(this.#size, Math.max(1 << 20, SPILL_HEAD + longest)));
    let filled = 0;
    const flush = () => {
      this.#file.append(out.subarray(0, filled));
      filled = 0;
    };
    for (const i of run.order()) {
      const start = i === 0 ? 0 : ends[i - 1]!;
      const end = ends[i]!;
      if (filled + SPILL_HEAD + end - start > out.length) flush();
      out.writeDoubleLE(dropoffs[i]!, filled);
      out.writeUInt32LE(end - start, filled + 8);
      data.copy(out, filled + SPILL_HEAD, start, end);
      filled += SPILL_HEAD + end - start;
    }
    flush();
  }

  /** Moves to the next trip; false at the end. */
  advance(): boolean {
    if (!this.#have(SPILL_HEAD)) return false;
    this.dropoff = this.#buffer.readDoubleLE(this.#offset);
    const length = this.#buffer.readUInt32LE(this.#offset + 8);
    this.#have(SPILL_HEAD + length);
    const start = this.#offset + SPILL_HEAD;
    this.body = { data: this.#buffer, start, end: start + length };
    this.#offset = start + length;
    return true;
  }

  close(): void {
    this.#file.close();
  }

  #have(bytes: number): boolean {
    if (this.#buffer.length - this.#offset >= bytes) return true;
    const kept = this.#buffer.subarray(this.#offset);
    const ahead = Math.min(this.#size - this.#filePosition, Math.max(READ_BYTES, bytes));
    const next = Buffer.allocUnsafe(kept.length + ahead);
    kept.copy(next);
    const read = this.#file.read(next, kept.length, this.#filePosition);
    this.#filePosition += read;
    this.#buffer = next.subarray(0, kept.length + read);
    this.#offset = 0;
    return this.#buffer.length >= bytes;
  }
}

/** Merges sorted runs. Runs are in input order, so the lower run wins a tie. */
function* merged(spills: readonly Spill[], batchTrips: () => number): Generator<TripBatch> {
  const builder = new BatchBuilder();
  const heap = spills.map((_, run) => run).filter((run) => spills[run]!.advance());
  const before = (a: number, b: number) => spills[a]!.dropoff - spills[b]!.dropoff || a - b;
  heap.sort(before);
  while (heap.length > 0) {
    const spill = spills[heap[0]!]!;
    builder.add(spill.dropoff, spill.body.data, spill.body.start, spill.body.end);
    if (builder.isFull(batchTrips())) yield builder.take();
    if (!spill.advance()) {
      heap[0] = heap.at(-1)!;
      heap.pop();
    }
    sink(heap, before);
  }
  if (builder.count > 0) yield builder.take();
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
