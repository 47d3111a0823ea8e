/**
 * The computation: batches of records in, firings and checkpoints out. It uses no clock, disk or network.
 *
 *  W4 in watermarks.ts · W5, C7 in intake.ts · W7 in duplicates.ts · P1–P4 in windows/aligned.ts · C9 in checkpointer.ts
 */
import type { DeadLetterBuffer } from '../dead-letters.ts';
import { TripColumns } from '../events/columns.ts';
import { TRIP_FIELD_NAMES } from '../events/trip.ts';
import type { RecordBatch } from '../streams/ports.ts';
import { unpacked } from '../streams/unpack.ts';
import { fieldsOf } from '../views/check.ts';
import { compileView } from '../views/javascript/compile.ts';
import type { View } from '../views/language.ts';
import { Checkpointer } from './checkpointer.ts';
import { Duplicates } from './duplicates.ts';
import { Intake } from './intake.ts';
import { KeptTrips } from './kept-trips.ts';
import { type Counters, NO_COUNTS, type StateStore } from './state-store.ts';
import { type ShardProgress, ShardWatermarks } from './watermarks.ts';
import { AlignedWindows, type WindowMemory } from './windows/aligned.ts';

export interface EngineOptions {
  readonly views: readonly View[];
  readonly store: StateStore;
  readonly deadLetters: DeadLetterBuffer;
  /** Name of the stream, for dead letters. */
  readonly stream: string;
  readonly eventTime: 'dropoff' | 'arrival';
  /** W5: watermark = newest drop-off − this many ms, instead of watermark records. */
  readonly maxDisorder?: number | undefined;
  /** Ms after a window's end during which trips still correct its results. */
  readonly allowedLateness: number;
  /** Bytes that open windows, words and dead letters may take in memory. */
  readonly memoryLimit: number;
  /** Event time (epoch ms) that the watermark does not pass by the records. */
  readonly upTo?: number | undefined;
  /** Hand every trip on to the archive. */
  readonly archives?: boolean | undefined;
}

export class Engine {
  readonly shards: ShardWatermarks;
  readonly counters: Counters;
  readonly #options: EngineOptions;
  readonly #views: readonly AlignedWindows[];
  readonly #intake: Intake;
  readonly #checkpointer: Checkpointer;

  /** Continues from the store's last checkpoint, if there is one. */
  constructor(options: EngineOptions) {
    this.#options = options;
    const { views, store, allowedLateness, eventTime, maxDisorder } = options;
    const { stored } = store;
    const memory: WindowMemory = { bytes: 0, uses: 0 };
    const columns = new TripColumns();
    const duplicates = new Duplicates();
    this.shards = new ShardWatermarks(eventTime === 'arrival' || maxDisorder !== undefined);
    this.counters = { ...(stored?.counters ?? NO_COUNTS) };
    this.#views = views.map(
      (view) => new AlignedWindows(compileView(view, columns), allowedLateness, store, memory),
    );
    const kept = options.archives ? new KeptTrips(columns) : undefined;
    const parts = { views: this.#views, shards: this.shards, counters: this.counters, duplicates, kept };
    const fields = kept ? TRIP_FIELD_NAMES : views.flatMap(fieldsOf);
    this.#intake = new Intake({ ...options, ...parts, columns, fields });
    this.#checkpointer = new Checkpointer(
      { ...options, ...parts, memory, intake: this.#intake },
      stored?.watermark ?? Number.NEGATIVE_INFINITY,
    );
    if (!stored) return;
    this.shards.restore(stored.shards, stored.watermark);
    duplicates.restore(stored.seen);
    this.#followStoredTrips();
    for (const windows of this.#views) {
      const { name } = windows.view.view;
      windows.restore(
        stored.watermark,
        stored.windows.filter((window) => window.view === name),
        stored.closedUpTo[name],
      );
    }
  }

  /** Where trips make the watermark, the trips a state has already seen count too (W5). */
  #followStoredTrips(): void {
    const { eventTime, maxDisorder } = this.#options;
    if (eventTime !== 'dropoff' || maxDisorder === undefined) return;
    for (const shard of this.shards.all)
      shard.watermark = Math.max(shard.watermark, shard.latest - maxDisorder);
  }

  get watermark(): number {
    return this.#checkpointer.watermark;
  }

  /** Watermark records read in this run. */
  get watermarksSeen(): number {
    return this.#intake.watermarksSeen;
  }

  /** Trips of this run that are late in a view or window, and in time in another. */
  get lateInAView(): number {
    return this.#intake.lateInAView;
  }

  /** Trips of this run that are in no window of a view, as they lack a part of its key or its time; only views that have some. */
  get keyless(): Record<string, number> {
    const counts = this.#intake.keyless;
    const entries = this.#views.map(({ view }, i): [string, number] => [view.view.name, counts[i]!]);
    return Object.fromEntries(entries.filter(([, count]) => count > 0));
  }

  /** End of the last open window, epoch ms; −Infinity if none is open. */
  get lastEnd(): number {
    return this.#views.reduce((last, windows) => Math.max(last, windows.lastEnd), Number.NEGATIVE_INFINITY);
  }

  /** Number of windows that have not fired. */
  get openWindows(): number {
    return this.#views.reduce((sum, windows) => sum + windows.unfired, 0);
  }

  /** Takes the next records of a shard, including those that share one record of the stream. */
  process(shard: ShardProgress, batch: RecordBatch): void {
    if (this.#intake.take(shard, batch, this.watermark)) this.advance();
    else for (const part of unpacked(batch)) this.process(shard, part);
  }

  /** Advances the watermark to that of the shards; windows it completes fire with the next checkpoint. */
  advance(): void {
    this.#checkpointer.advance();
  }

  /** Completes every open window, as if the watermark had passed them all. */
  drain(): void {
    this.#checkpointer.drain();
  }

  /** Moves the watermark to an event time, as if the records had. */
  reach(time: number): void {
    this.#checkpointer.reach(time);
  }

  /** Whether memory is so full that a checkpoint is due at once. */
  get isFull(): boolean {
    return this.#checkpointer.isFull;
  }

  /** Commits everything since the last checkpoint in one transaction; `isLast` of a run. */
  checkpoint(isLast = false): void {
    this.#checkpointer.commit(isLast);
  }
}
