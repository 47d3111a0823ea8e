/**
 * The computation: batches of records in, firings and checkpoints out. It knows no clock, no disk, no network.
 *
 *  W4, W5 in watermarks.ts · W7 in duplicates.ts · P1–P3 in panes.ts
 *  C7 every record read is counted as exactly one of watermark, processed, filtered, duplicate, late or dead.
 */
import type { DeadLetterBuffer } from '../dead-letters.ts';
import { KIND, TripColumns } from '../events/columns.ts';
import { decoderOf } from '../events/decode.ts';
import type { TripField } from '../events/trip.ts';
import type { RecordBatch } from '../streams/stream.ts';
import { MOST_ROWS, unpacked } from '../streams/unpack.ts';
import { fieldsOf } from '../views/check.ts';
import { compileView, OUTCOME } from '../views/compile.ts';
import type { View } from '../views/language.ts';
import { type Checkpoint, type Counters, NO_COUNTS, type StateStore } from './checkpoint.ts';
import { Duplicates, type SeenTrips } from './duplicates.ts';
import { type Firing, Panes } from './panes.ts';
import { type ShardProgress, ShardWatermarks } from './watermarks.ts';

export interface EngineOptions {
  readonly views: readonly View[];
  readonly store: StateStore;
  readonly deadLetters: DeadLetterBuffer;
  /** Name of the stream, for dead letters. */
  readonly stream: string;
  readonly eventTime: 'dropoff' | 'arrival';
  /** W5: watermark = newest drop-off − this many ms, in place of watermark records. */
  readonly maxDisorder?: number | undefined;
  /** Ms after a window's end in which trips still correct its results. */
  readonly allowedLateness: number;
  /** Panes kept in memory between checkpoints. */
  readonly maxPanes: number;
}

/** Fields the engine itself goes by. */
const ALWAYS_READ: readonly TripField[] = ['trip_id', 'replay', 'dropoff_datetime'];

export class Engine {
  readonly shards: ShardWatermarks;
  readonly counters: Counters;
  /** Watermark records met in this run. */
  watermarksSeen = 0;
  readonly #options: EngineOptions;
  readonly #columns = new TripColumns();
  readonly #decode: ReturnType<typeof decoderOf>;
  readonly #views: Panes[];
  readonly #duplicates = new Duplicates();
  /** Trips seen, by code of the replay's name. */
  readonly #seenByReplay: SeenTrips[] = [];
  #outcomes = new Uint8Array(0);
  #firings: Firing[] = [];
  #firedUpTo = Number.NEGATIVE_INFINITY;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#decode = decoderOf([...ALWAYS_READ, ...options.views.flatMap(fieldsOf)]);
    this.shards = new ShardWatermarks(options.eventTime === 'arrival' || options.maxDisorder !== undefined);
    this.#views = options.views.map(
      (view) => new Panes(compileView(view, this.#columns), options.allowedLateness, options.store),
    );
    const { stored } = options.store;
    this.counters = { ...(stored?.counters ?? NO_COUNTS) };
    if (!stored) return;
    this.shards.restore(stored.shards, stored.watermark);
    this.#firedUpTo = stored.watermark;
    this.#duplicates.restore(stored.pages, stored.ranges);
    this.#followStoredTrips();
    for (const panes of this.#views) {
      panes.restore(
        stored.watermark,
        stored.windows.filter((window) => window.view === panes.view.view.name),
      );
    }
  }

  get watermark(): number {
    return this.#firedUpTo;
  }

  /** Windows that have not fired. */
  get openWindows(): number {
    return this.#views.reduce((sum, panes) => sum + panes.unfired, 0);
  }

  /** Takes the next records of a shard, those that share a record of the stream too. */
  process(shard: ShardProgress, batch: RecordBatch): void {
    const { count } = batch;
    const columns = this.#columns;
    if (count > MOST_ROWS || !this.#decode(batch, columns)) {
      for (const part of unpacked(batch)) this.process(shard, part);
      return;
    }
    if (this.#outcomes.length < count) this.#outcomes = new Uint8Array(columns.capacity);
    this.#markSkipped(shard, batch);
    const time = this.#options.eventTime === 'arrival' ? batch.arrivals : columns.numbers.dropoff_datetime;
    let from = 0;
    for (const [i, row] of columns.watermarkRows.entries()) {
      this.#accumulate(from, row, time);
      from = row;
      if (!this.#watermarksFromRecords) continue;
      shard.watermark = Math.max(shard.watermark, columns.watermarks[i]!);
      this.advance();
    }
    this.#accumulate(from, count, time);
    this.#settle(shard, batch);
    this.#followTrips(shard, count, time);
    shard.position = batch.next;
    this.advance();
  }

  get #watermarksFromRecords(): boolean {
    return this.#options.eventTime === 'dropoff' && this.#options.maxDisorder === undefined;
  }

  /** Rows that are no trip, or one seen before. */
  #markSkipped(shard: ShardProgress, batch: RecordBatch): void {
    const { kind, replay, numbers, replays, dead, watermarkRows } = this.#columns;
    const { trip_id, dropoff_datetime } = numbers;
    const { counters } = this;
    const outcomes = this.#outcomes;
    let duplicates = 0;
    for (let row = 0; row < batch.count; row++) {
      if (kind[row] !== KIND.trip) {
        outcomes[row] = OUTCOME.skip;
        continue;
      }
      outcomes[row] = 0;
      const code = replay[row]!;
      const id = trip_id[row]!;
      if (code < 0 || Number.isNaN(id)) continue;
      let seen = this.#seenByReplay[code];
      if (seen === undefined) {
        seen = this.#duplicates.of(replays.words[code]!);
        this.#seenByReplay[code] = seen;
      }
      if (seen.add(id, dropoff_datetime[row]!)) continue;
      outcomes[row] = OUTCOME.skip;
      duplicates++;
    }
    counters.read += batch.count;
    counters.watermarks += watermarkRows.length;
    this.watermarksSeen += watermarkRows.length;
    counters.duplicate += duplicates;
    counters.dead += dead.length;
    for (const { row, why } of dead) this.#bury('not-readable', why, shard, batch, row);
  }

  #accumulate(from: number, to: number, time: Float64Array): void {
    if (to <= from) return;
    for (const panes of this.#views) panes.view.accumulate(from, to, time, this.#outcomes, panes);
  }

  /** Counts what became of the trips. */
  #settle(shard: ShardProgress, batch: RecordBatch): void {
    const outcomes = this.#outcomes;
    let used = 0;
    let late = 0;
    let filtered = 0;
    for (let row = 0; row < batch.count; row++) {
      const outcome = outcomes[row]!;
      if (outcome === OUTCOME.used) used++;
      else if (outcome === 0) filtered++;
      else if (outcome === OUTCOME.skip) continue;
      else if ((outcome & OUTCOME.used) !== 0) {
        used++;
        this.#bury('late-in-a-view', 'in time for another view', shard, batch, row);
      } else {
        late++;
        this.#bury('late', `behind the watermark ${isoTime(this.#firedUpTo)}`, shard, batch, row);
      }
    }
    this.counters.processed += used;
    this.counters.late += late;
    this.counters.filtered += filtered;
  }

  #bury(reason: string, detail: string, shard: ShardProgress, batch: RecordBatch, row: number): void {
    this.#options.deadLetters.add(reason, () => ({
      source: `${this.#options.stream} ${shard.id}`,
      position: batch.sequenceOf(row),
      detail,
      raw: batch.data.toString('utf8', row === 0 ? 0 : batch.ends[row - 1]!, batch.ends[row]!).trimEnd(),
    }));
  }

  /** The newest event time of the shard, and its watermark where the trips make it (W5). */
  #followTrips(shard: ShardProgress, count: number, time: Float64Array): void {
    const { kind } = this.#columns;
    let latest = shard.latest;
    for (let row = 0; row < count; row++)
      if (kind[row] === KIND.trip && time[row]! > latest) latest = time[row]!;
    shard.latest = Math.max(latest, shard.watermark);
    const { eventTime, maxDisorder } = this.#options;
    // Arrival times tie, so the newest one may come again.
    if (eventTime === 'arrival') shard.watermark = Math.max(shard.watermark, latest - 1);
    else if (maxDisorder !== undefined) shard.watermark = Math.max(shard.watermark, latest - maxDisorder);
  }

  /** The trips a state has seen make its watermark too, once that is asked for (W5). */
  #followStoredTrips(): void {
    const { eventTime, maxDisorder } = this.#options;
    if (eventTime !== 'dropoff' || maxDisorder === undefined) return;
    for (const shard of this.shards.all)
      shard.watermark = Math.max(shard.watermark, shard.latest - maxDisorder);
  }

  /** Fires what the watermark completes. */
  advance(): void {
    const { value } = this.shards;
    const corrections = this.#options.allowedLateness > 0;
    if (value <= this.#firedUpTo && !corrections) return;
    this.#firedUpTo = Math.max(this.#firedUpTo, value);
    for (const panes of this.#views) this.#firings.push(...panes.advance(this.#firedUpTo));
  }

  /** Fires every open window, as if the watermark had passed them all; it then stands at the end of the last. */
  drain(): void {
    this.#firedUpTo = Math.max(this.#firedUpTo, ...this.#views.map((panes) => panes.lastEnd - 1));
    for (const panes of this.#views) this.#firings.push(...panes.advance(this.#firedUpTo));
  }

  /** Everything since the last checkpoint, committed as one. */
  checkpoint(): void {
    const firings = this.#firings.sort(byWindowEnd);
    this.#firings = [];
    for (const firing of firings) this.counters.results += firing.count;
    const changes = this.#views.map((panes) => ({ view: panes.view.view.name, ...panes.takeChanges() }));
    this.#options.store.commit({
      watermark: this.#firedUpTo,
      counters: this.counters,
      shards: [...this.shards.all],
      blocks: changes.flatMap(({ blocks }) => blocks),
      gone: changes.flatMap(({ view, gone }) => gone.map((windowStart) => ({ view, windowStart }))),
      firings,
      duplicates: this.#duplicates.takeChanges(this.#firedUpTo),
      deadLetters: this.#options.deadLetters.take(),
    } satisfies Checkpoint);
    for (const panes of this.#views) panes.spill(this.#options.maxPanes);
  }
}

function byWindowEnd(a: Firing, b: Firing): number {
  return a.windowEnd - b.windowEnd;
}

function isoTime(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toISOString() : 'none';
}
