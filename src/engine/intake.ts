/**
 * Takes records in: decodes a batch of a shard, judges its trips, and counts them into the windows of all views.
 *
 *  W5 a trip is judged by the watermark that the records before it in its shard have made. Whether it is late therefore
 *     never depends on how many records a read returned, or on which shard was read first.
 *  C7 every record read is counted as exactly one of watermark, processed, filtered, duplicate, late or dead.
 */
import type { DeadLetterBuffer } from '../dead-letters.ts';
import { type Dictionary, KIND, type TripColumns } from '../events/columns.ts';
import { type DecodeBatch, decoderOf, recordText } from '../events/decode.ts';
import type { TripField } from '../events/trip.ts';
import type { RecordBatch } from '../streams/ports.ts';
import { MOST_ROWS } from '../streams/unpack.ts';
import { OUTCOME } from '../views/javascript/compiled-view.ts';
import type { Duplicates } from './duplicates.ts';
import type { KeptTrips } from './kept-trips.ts';
import type { SeenTrips } from './seen-trips.ts';
import type { Counters } from './state-store.ts';
import type { ShardProgress, ShardWatermarks } from './watermarks.ts';
import type { AlignedWindows } from './windows/aligned.ts';

export interface IntakeOptions {
  readonly columns: TripColumns;
  /** Fields that the views read. */
  readonly fields: readonly TripField[];
  /** The windows of each view. */
  readonly views: readonly AlignedWindows[];
  readonly shards: ShardWatermarks;
  readonly counters: Counters;
  readonly duplicates: Duplicates;
  readonly deadLetters: DeadLetterBuffer;
  /** Name of the stream, for dead letters. */
  readonly stream: string;
  readonly eventTime: 'dropoff' | 'arrival';
  /** W5: watermark = newest drop-off − this many ms, instead of watermark records. */
  readonly maxDisorder?: number | undefined;
  /** Gets each trip that is no copy, where trips are archived. */
  readonly kept?: KeptTrips | undefined;
}

/** Reasons of dead letters. A trip that is `late-in-a-view` is in time for another view or window. */
const LATE = 'late';
const LATE_IN_A_VIEW = 'late-in-a-view';

/** Fields that the engine itself needs. */
const ALWAYS_READ: readonly TripField[] = ['trip_id', 'replay', 'dropoff_datetime'];

export class Intake {
  /** Watermark records read in this run. */
  watermarksSeen = 0;
  /** Trips read in this run without a part of the key, or the time, of each view. */
  readonly keyless: number[];
  /** Trips of this run that are late in a view or window, and in time in another. */
  lateInAView = 0;
  readonly #options: IntakeOptions;
  readonly #columns: TripColumns;
  readonly #decode: DecodeBatch;
  /** Trips seen, by code of the replay's name. */
  readonly #seenByReplay: SeenTrips[] = [];
  /** Rows of the batch that are copies of trips that were late. */
  readonly #copies: number[] = [];
  /** Number of words in each dictionary that come from the views. */
  readonly #fixedWords: readonly (readonly [Dictionary, number])[];
  #outcomes = new Uint8Array(0);
  /** The watermark up to which windows have fired. */
  #firedUpTo = Number.NEGATIVE_INFINITY;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.keyless = options.views.map(() => 0);
    this.#columns = options.columns;
    this.#decode = decoderOf([...ALWAYS_READ, ...options.fields]);
    const dictionaries = Object.values(options.columns.dictionaries);
    this.#fixedWords = dictionaries.map((words) => [words, words.words.length] as const);
  }

  /**
   * Takes the next records of a shard; `firedUpTo` is the watermark up to which windows have fired. Returns false, and
   * takes nothing, if the batch must be unpacked first (D4).
   */
  take(shard: ShardProgress, batch: RecordBatch, firedUpTo: number): boolean {
    const { count } = batch;
    const { eventTime, shards } = this.#options;
    const columns = this.#columns;
    if (count > MOST_ROWS || !this.#decode(batch, columns)) return false;
    this.#firedUpTo = firedUpTo;
    if (this.#outcomes.length < count) this.#outcomes = new Uint8Array(columns.capacity);
    this.#markSkipped(shard, batch);
    const time = eventTime === 'arrival' ? batch.arrivals : columns.numbers.dropoff_datetime;
    const before = shard.watermark;
    if (shards.ofTrips) this.#judgeByTrips(shard, count, time);
    else this.#judgeByRecords(shard, count, time);
    this.#settle(shard, batch, before, time);
    this.#options.kept?.add(columns, count, this.#outcomes);
    if (this.#copies.length > 0) this.#takeCopies(shard, batch, before, time);
    shard.position = batch.next;
    return true;
  }

  /**
   * Takes the rows in pieces. A new piece begins where the shard's watermark completes a window, as only there the
   * judgement of trips changes.
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

  /** Like `#judgeByRecords`, for a watermark that moves with each trip. */
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
      // A trip's own time never makes it late.
      this.#accumulate(from, row + 1, time);
      from = row + 1;
      next = this.#judgeBy(Math.max(shard.watermark, at - lag));
    }
    this.#accumulate(from, count, time);
    shard.watermark = Math.max(shard.watermark, latest - lag);
    shard.latest = Math.max(latest, shard.watermark);
  }

  /** Ms from the newest trip back to the watermark, where trips make it. Arrival times tie, so the newest may recur. */
  get #lag(): number {
    return this.#options.eventTime === 'arrival' ? 1 : this.#options.maxDisorder!;
  }

  /** Sets the watermark that judges the next trips; returns the least watermark that would change the judgement. */
  #judgeBy(watermark: number): number {
    const judge = Math.max(watermark, this.#firedUpTo);
    let next = Number.POSITIVE_INFINITY;
    for (const windows of this.#options.views) {
      windows.judgeBy(judge);
      next = Math.min(next, windows.nextOver(judge));
    }
    return next;
  }

  /** Marks the rows that are not trips, or are trips seen before (W7). */
  #markSkipped(shard: ShardProgress, batch: RecordBatch): void {
    const { kind, numbers, dead, watermarkRows } = this.#columns;
    const { trip_id, dropoff_datetime } = numbers;
    const { counters } = this.#options;
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
    for (const [i, windows] of this.#options.views.entries())
      this.keyless[i]! += windows.view.accumulate(from, to, time, this.#outcomes, windows);
  }

  /** Counts the outcomes of the trips; `before` is the shard's watermark before them. */
  #settle(shard: ShardProgress, batch: RecordBatch, before: number, time: Float64Array): void {
    const outcomes = this.#outcomes;
    const { counters } = this.#options;
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
    if (reason === LATE_IN_A_VIEW) this.lateInAView++;
    if (reason !== undefined) this.#bury(reason, detail, shard, batch, row);
  }

  /** Notes a trip that is late for some window: another shard may have a copy of it that is in time. */
  #noteLate(row: number, time: number, judge: number, outcome: number): void {
    // With arrival times, each copy has its own event time.
    const { eventTime, shards, views } = this.#options;
    if (eventTime === 'arrival' || views.every((windows) => windows.isPast(time, shards.value))) return;
    this.#seenOf(row)?.noteLate({ id: this.#columns.numbers.trip_id[row]!, time, judge, outcome });
  }

  /**
   * Takes the copies of trips that were late. A trip counts in a window if one of its copies is in time in its own
   * shard, whichever copy is read first.
   */
  #takeCopies(shard: ShardProgress, batch: RecordBatch, watermark: number, time: Float64Array): void {
    const { counters, deadLetters } = this.#options;
    const judges = this.#judgesOf(batch.count, watermark, time);
    for (const row of this.#copies) {
      const seen = this.#seenOf(row)!;
      const late = seen.lateTrip(this.#columns.numbers.trip_id[row]!)!;
      const judge = judges[row]!;
      if (judge >= late.judge || time[row] !== late.time) continue;
      for (const windows of this.#options.views) windows.judgeBy(judge, late.judge);
      this.#outcomes[row] = 0;
      for (const windows of this.#options.views)
        windows.view.accumulate(row, row + 1, time, this.#outcomes, windows);
      const isUsed = ((this.#outcomes[row]! | late.outcome) & OUTCOME.used) !== 0;
      const isLate = this.#options.views.some((windows) => windows.isPast(late.time, judge));
      const outcome = isUsed ? OUTCOME.used | (isLate ? late.outcome & OUTCOME.late : 0) : late.outcome;
      seen.noteLate({ ...late, judge, outcome });
      const [before, now] = [lateReason(late.outcome), lateReason(outcome)];
      if (before === now) continue;
      if (before === LATE_IN_A_VIEW) this.lateInAView--;
      if (before !== undefined) deadLetters.withdraw(before, recordText(batch, row));
      this.#buryLate(outcome, judge, shard, batch, row);
      if (before !== LATE) continue;
      // The copy that was late is the duplicate.
      counters.late--;
      counters.processed++;
    }
    this.#copies.length = 0;
  }

  /** The trips seen of a row's replay; undefined for a row without an id. */
  #seenOf(row: number): SeenTrips | undefined {
    const { words, dictionaries, numbers } = this.#columns;
    const code = words.replay[row]!;
    if (code < 0 || Number.isNaN(numbers.trip_id[row])) return undefined;
    let seen = this.#seenByReplay[code];
    if (seen === undefined) {
      seen = this.#options.duplicates.of(dictionaries.replay.words[code]!);
      this.#seenByReplay[code] = seen;
    }
    return seen;
  }

  /** The watermark that judged each row of the batch. */
  #judgesOf(count: number, before: number, time: Float64Array): Float64Array {
    const { kind, watermarkRows, watermarks } = this.#columns;
    const found = new Float64Array(count);
    let watermark = Math.max(before, this.#firedUpTo);
    let next = 0;
    for (let row = 0; row < count; row++) {
      found[row] = watermark;
      if (watermarkRows[next] === row) {
        if (!this.#options.shards.ofTrips) watermark = Math.max(watermark, watermarks[next]!);
        next++;
      } else if (this.#options.shards.ofTrips && kind[row] === KIND.trip)
        watermark = Math.max(watermark, time[row]! - this.#lag);
    }
    return found;
  }

  #bury(reason: string, detail: string, shard: ShardProgress, batch: RecordBatch, row: number): void {
    this.#options.deadLetters.add(reason, () => ({
      source: `${this.#options.stream} ${shard.id}`,
      position: batch.sequenceOf(row),
      detail,
      raw: recordText(batch, row),
    }));
  }

  /** Bytes of the words in the dictionaries. */
  get wordBytes(): number {
    return this.#fixedWords.reduce((sum, [{ bytes }]) => sum + bytes, 0);
  }

  /** Forgets all words except those of the views; no window in memory may use the codes of forgotten words. */
  forgetWords(): void {
    for (const [words, count] of this.#fixedWords) words.forgetAfter(count);
    this.#seenByReplay.length = 0;
  }
}

/** The dead-letter reason of an outcome; undefined if it is none. */
function lateReason(outcome: number): typeof LATE | typeof LATE_IN_A_VIEW | undefined {
  if ((outcome & OUTCOME.late) === 0) return undefined;
  return (outcome & OUTCOME.used) === 0 ? LATE : LATE_IN_A_VIEW;
}

function isoTime(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toISOString() : 'none';
}
