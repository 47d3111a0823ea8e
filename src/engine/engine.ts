/**
 * The computation: batches of records in, firings and checkpoints out. It knows no clock, no disk, no network.
 *
 *  W4 in watermarks.ts · W7 in duplicates.ts · P1–P4 in panes.ts
 *  W5 a trip is judged by the watermark that the records before it in its shard have made, so what is late never
 *     depends on how many records a read returned, or on which shard was read first.
 *  C7 every record read is counted as exactly one of watermark, processed, filtered, duplicate, late or dead.
 *  C9 open windows take no more memory than they are allowed: beyond it, a checkpoint puts away those used longest ago.
 */
import type { DeadLetterBuffer } from '../dead-letters.ts';
import { type Dictionary, KIND, TripColumns } from '../events/columns.ts';
import { decoderOf } from '../events/decode.ts';
import type { TripField } from '../events/trip.ts';
import type { RecordBatch } from '../streams/stream.ts';
import { MOST_ROWS, unpacked } from '../streams/unpack.ts';
import { fieldsOf } from '../views/check.ts';
import { compileView } from '../views/javascript/compile.ts';
import { OUTCOME } from '../views/javascript/compiled-view.ts';
import type { View } from '../views/language.ts';
import { type Checkpoint, type Counters, NO_COUNTS, type StateStore } from './checkpoint.ts';
import type { Firing } from './documents.ts';
import { Duplicates } from './duplicates.ts';
import type { PaneBlock } from './pane-runs.ts';
import { Panes, type WindowMemory } from './panes.ts';
import type { SeenTrips } from './seen-trips.ts';
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
  /** Bytes that open windows, words and dead letters may take in memory. */
  readonly memoryLimit: number;
}

/** Reasons of dead letters; a trip that is late in a view only is in time for another one, or another window. */
const LATE = 'late';
const LATE_IN_A_VIEW = 'late-in-a-view';

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
  readonly #memory: WindowMemory = { bytes: 0, uses: 0 };
  readonly #views: Panes[];
  readonly #duplicates = new Duplicates();
  /** Trips seen, by code of the replay's name. */
  readonly #seenByReplay: SeenTrips[] = [];
  /** Rows of the batch that are copies of trips that were late. */
  readonly #copies: number[] = [];
  /** Words that the views are compiled with, by dictionary. */
  readonly #fixedWords: readonly (readonly [Dictionary, number])[];
  #outcomes = new Uint8Array(0);
  #firedUpTo = Number.NEGATIVE_INFINITY;

  constructor(options: EngineOptions) {
    this.#options = options;
    const { views, store, allowedLateness, eventTime, maxDisorder } = options;
    this.#decode = decoderOf([...ALWAYS_READ, ...views.flatMap(fieldsOf)]);
    this.shards = new ShardWatermarks(eventTime === 'arrival' || maxDisorder !== undefined);
    this.#views = views.map(
      (view) => new Panes(compileView(view, this.#columns), allowedLateness, store, this.#memory),
    );
    const dictionaries = Object.values(this.#columns.dictionaries);
    this.#fixedWords = dictionaries.map((words) => [words, words.words.length] as const);
    const { stored } = store;
    this.counters = { ...(stored?.counters ?? NO_COUNTS) };
    if (!stored) return;
    this.shards.restore(stored.shards, stored.watermark);
    this.#firedUpTo = stored.watermark;
    this.#duplicates.restore(stored.seen);
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
    const before = shard.watermark;
    if (this.shards.ofTrips) this.#judgeByTrips(shard, count, time);
    else this.#judgeByRecords(shard, count, time);
    this.#settle(shard, batch, before, time);
    if (this.#copies.length > 0) this.#takeCopies(shard, batch, before, time);
    shard.position = batch.next;
    this.advance();
  }

  /**
   * Takes the rows in pieces: a new one begins where the shard's watermark completes a window, from the next trip on.
   * Between two such rows, no trip would be judged otherwise.
   */
  #judgeByRecords(shard: ShardProgress, count: number, time: Float64Array): void {
    const { kind, watermarkRows, watermarks } = this.#columns;
    let from = 0;
    let next = this.#judgeBy(shard.watermark);
    for (const [i, row] of watermarkRows.entries()) {
      const watermark = watermarks[i]!;
      if (watermark <= shard.watermark) continue;
      shard.watermark = watermark;
      if (watermark < next) continue;
      this.#accumulate(from, row, time);
      from = row;
      next = this.#judgeBy(watermark);
    }
    this.#accumulate(from, count, time);
    let { latest } = shard;
    for (let row = 0; row < count; row++)
      if (kind[row] === KIND.trip && time[row]! > latest) latest = time[row]!;
    shard.latest = Math.max(latest, shard.watermark);
  }

  /** The same where each trip moves the watermark. */
  #judgeByTrips(shard: ShardProgress, count: number, time: Float64Array): void {
    const { kind } = this.#columns;
    const lag = this.#lag;
    let { latest } = shard;
    let from = 0;
    let next = this.#judgeBy(shard.watermark);
    for (let row = 0; row < count; row++) {
      const at = time[row]!;
      if (kind[row] !== KIND.trip || at <= latest) continue;
      latest = at;
      if (at - lag < next) continue;
      // A trip is never late by its own time.
      this.#accumulate(from, row + 1, time);
      from = row + 1;
      next = this.#judgeBy(Math.max(shard.watermark, at - lag));
    }
    this.#accumulate(from, count, time);
    shard.watermark = Math.max(shard.watermark, latest - lag);
    shard.latest = Math.max(latest, shard.watermark);
  }

  /** By how much the watermark is behind the newest trip, where trips make it. Arrival times tie: the newest one may come again. */
  get #lag(): number {
    return this.#options.eventTime === 'arrival' ? 1 : this.#options.maxDisorder!;
  }

  /** The next trips are judged by this watermark of their shard; returns the least at which it matters again. */
  #judgeBy(watermark: number): number {
    const judge = Math.max(watermark, this.#firedUpTo);
    let next = Number.POSITIVE_INFINITY;
    for (const panes of this.#views) {
      panes.judgeBy(judge);
      next = Math.min(next, panes.nextOver(judge));
    }
    return next;
  }

  /** Rows that are no trip, or one seen before. */
  #markSkipped(shard: ShardProgress, batch: RecordBatch): void {
    const { kind, numbers, dead, watermarkRows } = this.#columns;
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
      const seen = this.#seenOf(row);
      if (seen === undefined || seen.add(trip_id[row]!, dropoff_datetime[row]!)) continue;
      outcomes[row] = OUTCOME.skip;
      duplicates++;
      if (seen.lateTrip(trip_id[row]!)) this.#copies.push(row);
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

  /** Counts what became of the trips; `before` is the watermark that the shard had before them. */
  #settle(shard: ShardProgress, batch: RecordBatch, before: number, time: Float64Array): void {
    const outcomes = this.#outcomes;
    const { counters } = this;
    let used = 0;
    let filtered = 0;
    let judges: Float64Array | undefined;
    for (let row = 0; row < batch.count; row++) {
      const outcome = outcomes[row]!;
      if (outcome === OUTCOME.used) used++;
      else if (outcome === 0) filtered++;
      else if (outcome !== OUTCOME.skip) {
        judges ??= this.#judgesOf(batch.count, before, time);
        if ((outcome & OUTCOME.used) !== 0) used++;
        else counters.late++;
        this.#buryLate(outcome, judges[row]!, shard, batch, row);
        this.#noteLate(row, time[row]!, judges[row]!, outcome);
      }
    }
    counters.processed += used;
    counters.filtered += filtered;
  }

  #buryLate(outcome: number, judge: number, shard: ShardProgress, batch: RecordBatch, row: number): void {
    const reason = lateReason(outcome);
    const detail =
      reason === LATE ? `behind the watermark ${isoTime(judge)} of its shard` : 'in time for another view';
    if (reason !== undefined) this.#bury(reason, detail, shard, batch, row);
  }

  /** A trip that is late for some window: another shard may have a copy of it that is in time for that. */
  #noteLate(row: number, time: number, judge: number, outcome: number): void {
    // A copy has a time of arrival of its own.
    if (this.#options.eventTime === 'arrival' || this.#isPast(time, this.shards.value)) return;
    this.#seenOf(row)?.noteLate({ id: this.#columns.numbers.trip_id[row]!, time, judge, outcome });
  }

  /** Whether a trip of this time is late in every view. */
  #isPast(time: number, watermark: number): boolean {
    return this.#views.every((panes) => panes.isPast(time, watermark));
  }

  /**
   * Copies of trips that were late. A trip counts in a window if one of its copies is in time for it in its shard,
   * whichever of them is read first.
   */
  #takeCopies(shard: ShardProgress, batch: RecordBatch, watermark: number, time: Float64Array): void {
    const { counters } = this;
    const { deadLetters } = this.#options;
    const judges = this.#judgesOf(batch.count, watermark, time);
    for (const row of this.#copies) {
      const seen = this.#seenOf(row)!;
      const late = seen.lateTrip(this.#columns.numbers.trip_id[row]!)!;
      const judge = judges[row]!;
      if (judge >= late.judge || time[row] !== late.time) continue;
      for (const panes of this.#views) panes.judgeBy(judge, late.judge);
      this.#outcomes[row] = 0;
      this.#accumulate(row, row + 1, time);
      const isUsed = ((this.#outcomes[row]! | late.outcome) & OUTCOME.used) !== 0;
      const isLate = this.#views.some((panes) => panes.isPast(late.time, judge));
      const outcome = isUsed ? OUTCOME.used | (isLate ? late.outcome & OUTCOME.late : 0) : late.outcome;
      seen.noteLate({ ...late, judge, outcome });
      const [before, now] = [lateReason(late.outcome), lateReason(outcome)];
      if (before === now) continue;
      if (before !== undefined) deadLetters.withdraw(before, textOf(batch, row));
      this.#buryLate(outcome, judge, shard, batch, row);
      if (before !== LATE) continue;
      // The copy that was late is the duplicate.
      counters.late--;
      counters.processed++;
    }
    this.#copies.length = 0;
  }

  /** The trips seen of the replay of a row; undefined where it has no id to be known by. */
  #seenOf(row: number): SeenTrips | undefined {
    const { words, dictionaries, numbers } = this.#columns;
    const code = words.replay[row]!;
    if (code < 0 || Number.isNaN(numbers.trip_id[row])) return undefined;
    let seen = this.#seenByReplay[code];
    if (seen === undefined) {
      seen = this.#duplicates.of(dictionaries.replay.words[code]!);
      this.#seenByReplay[code] = seen;
    }
    return seen;
  }

  /** The watermark that each row of the batch was judged by. */
  #judgesOf(count: number, before: number, time: Float64Array): Float64Array {
    const { kind, watermarkRows, watermarks } = this.#columns;
    const found = new Float64Array(count);
    let watermark = Math.max(before, this.#firedUpTo);
    let next = 0;
    for (let row = 0; row < count; row++) {
      found[row] = watermark;
      if (watermarkRows[next] === row) {
        if (!this.shards.ofTrips) watermark = Math.max(watermark, watermarks[next]!);
        next++;
      } else if (this.shards.ofTrips && kind[row] === KIND.trip)
        watermark = Math.max(watermark, time[row]! - this.#lag);
    }
    return found;
  }

  #bury(reason: string, detail: string, shard: ShardProgress, batch: RecordBatch, row: number): void {
    this.#options.deadLetters.add(reason, () => ({
      source: `${this.#options.stream} ${shard.id}`,
      position: batch.sequenceOf(row),
      detail,
      raw: textOf(batch, row),
    }));
  }

  /** The trips a state has seen make its watermark too, once that is asked for (W5). */
  #followStoredTrips(): void {
    const { eventTime, maxDisorder } = this.#options;
    if (eventTime !== 'dropoff' || maxDisorder === undefined) return;
    for (const shard of this.shards.all)
      shard.watermark = Math.max(shard.watermark, shard.latest - maxDisorder);
  }

  /** The watermark moves to where the shards are; the windows that it completes fire with the next checkpoint. */
  advance(): void {
    this.#moveTo(this.shards.value);
  }

  /** Completes every open window, as if the watermark had passed them all; it then stands at the end of the last. */
  drain(): void {
    for (const panes of this.#views) this.#moveTo(panes.lastEnd - 1);
  }

  #moveTo(watermark: number): void {
    if (watermark <= this.#firedUpTo) return;
    this.#firedUpTo = watermark;
    for (const panes of this.#views) panes.advance(watermark);
  }

  /** Whether so much is in memory that a checkpoint should not wait. */
  get isFull(): boolean {
    return this.#memory.bytes + this.#wordBytes + this.#options.deadLetters.bytes > this.#options.memoryLimit;
  }

  get #wordBytes(): number {
    return this.#fixedWords.reduce((sum, [{ bytes }]) => sum + bytes, 0);
  }

  /** Everything since the last checkpoint, committed as one. */
  checkpoint(): void {
    const { eventTime, store, deadLetters, memoryLimit } = this.#options;
    // One that arrives again may always be in time.
    const isPast = (time: number) => eventTime !== 'arrival' && this.#isPast(time, this.#firedUpTo);
    store.commit({
      watermark: this.#firedUpTo,
      counters: this.counters,
      shards: [...this.shards.all],
      firings: this.#fire(),
      blocks: this.#changes(),
      gone: this.#gone(),
      duplicates: this.#duplicates.takeChanges(this.#firedUpTo, isPast),
      deadLetters: deadLetters.take(),
    } satisfies Checkpoint);
    for (const panes of this.#views) panes.committed();
    if (this.#wordBytes > memoryLimit * WORDS_SHARE) this.#forgetWords();
  }

  /** Results of all windows that are due, in the order of their ends. */
  *#fire(): Generator<Firing> {
    const due = this.#views.flatMap((panes) => panes.takeDue().map((start) => ({ panes, start })));
    due.sort((a, b) => a.panes.endOf(a.start) - b.panes.endOf(b.start));
    for (const { panes, start } of due) {
      for (const firing of panes.fire(start)) {
        this.counters.results += firing.count;
        yield firing;
      }
    }
    for (const panes of this.#views) panes.endFiring();
  }

  *#changes(): Generator<PaneBlock> {
    this.#putAway();
    for (const panes of this.#views) yield* panes.changes();
  }

  *#gone(): Generator<{ view: string; windowStart: number }> {
    for (const panes of this.#views)
      for (const windowStart of panes.takeGone()) yield { view: panes.view.view.name, windowStart };
  }

  /** Too much is in memory: the windows used longest ago leave it with this checkpoint, until half of it is free (C2). */
  #putAway(): void {
    const { memoryLimit } = this.#options;
    const wordsAreMany = this.#wordBytes > memoryLimit * WORDS_SHARE;
    let left = this.#memory.bytes + this.#wordBytes;
    if (left <= memoryLimit && !wordsAreMany) return;
    const windows = this.#views.flatMap((panes) =>
      Array.from(panes.inMemory, (window) => ({ panes, window })),
    );
    windows.sort((a, b) => a.window.lastUsed - b.window.lastUsed);
    for (const { panes, window } of windows) {
      // Whatever has codes of words in it has to go with them.
      if (left * 2 <= memoryLimit && !wordsAreMany) return;
      panes.putAway(window);
      left -= window.bytes;
    }
  }

  /** No window in memory has a code of them. */
  #forgetWords(): void {
    for (const [words, count] of this.#fixedWords) words.forgetAfter(count);
    this.#seenByReplay.length = 0;
  }
}

/** Part of the memory that words may take before they are forgotten. */
const WORDS_SHARE = 1 / 4;

/** Why a trip of this outcome is a dead letter, if it is one. */
function lateReason(outcome: number): typeof LATE | typeof LATE_IN_A_VIEW | undefined {
  if ((outcome & OUTCOME.late) === 0) return undefined;
  return (outcome & OUTCOME.used) === 0 ? LATE : LATE_IN_A_VIEW;
}

function textOf(batch: RecordBatch, row: number): string {
  return batch.data.toString('utf8', row === 0 ? 0 : batch.ends[row - 1]!, batch.ends[row]!).trimEnd();
}

function isoTime(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toISOString() : 'none';
}
