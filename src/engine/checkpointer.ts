/**
 * Lets results out: advances the watermark, fires windows, and commits everything since the last checkpoint as one.
 *
 *  C9 open windows stay within their memory limit: beyond it, a checkpoint puts away the windows used longest ago.
 */
import type { DeadLetterBuffer } from '../dead-letters.ts';
import type { Duplicates } from './duplicates.ts';
import type { Intake } from './intake.ts';
import type { KeptTrips } from './kept-trips.ts';
import type { Counters, StateStore } from './state-store.ts';
import type { ShardWatermarks } from './watermarks.ts';
import type { AlignedWindows, WindowMemory } from './windows/aligned.ts';
import type { Firing } from './windows/documents.ts';
import type { PaneBlock, WindowSpan } from './windows/pane-runs.ts';

export interface CheckpointerOptions {
  /** The windows of each view, and the memory they take together. */
  readonly views: readonly AlignedWindows[];
  readonly memory: WindowMemory;
  readonly intake: Intake;
  readonly shards: ShardWatermarks;
  readonly counters: Counters;
  readonly duplicates: Duplicates;
  readonly store: StateStore;
  readonly deadLetters: DeadLetterBuffer;
  readonly eventTime: 'dropoff' | 'arrival';
  /** Trips that are to be archived. */
  readonly kept: KeptTrips | undefined;
  /** Bytes that open windows, words, dead letters and trips for the archive may take in memory. */
  readonly memoryLimit: number;
  /** Event time (epoch ms) that the watermark does not pass by the records. */
  readonly upTo?: number | undefined;
}

/** Part of the memory that words may take before they are forgotten. */
const WORDS_SHARE = 1 / 4;

export class Checkpointer {
  readonly #options: CheckpointerOptions;
  #watermark: number;

  /** `watermark` is that of the last checkpoint. */
  constructor(options: CheckpointerOptions, watermark: number) {
    this.#options = options;
    this.#watermark = watermark;
  }

  /** Epoch ms; −Infinity before the first. */
  get watermark(): number {
    return this.#watermark;
  }

  /** Advances the watermark to that of the shards; windows it completes fire with the next checkpoint. */
  advance(): void {
    const { shards, upTo = Number.POSITIVE_INFINITY } = this.#options;
    this.reach(Math.min(shards.value, upTo));
  }

  /**
   * Completes every open window: the watermark moves to the end of the last one. Windows that fire later than that are completed by
   * themselves, so that the others don't close further.
   */
  drain(): void {
    for (const windows of this.#options.views) {
      if (windows.isDelayed) windows.complete();
      else this.reach(windows.lastEnd - 1);
    }
  }

  /** Moves the watermark forward to an event time, epoch ms. */
  reach(watermark: number): void {
    if (watermark <= this.#watermark) return;
    this.#watermark = watermark;
    for (const windows of this.#options.views) windows.advance(watermark);
  }

  /** Whether memory is so full that a checkpoint is due at once. */
  get isFull(): boolean {
    const { memory, intake, deadLetters, kept, memoryLimit } = this.#options;
    return memory.bytes + intake.wordBytes + deadLetters.bytes + (kept?.bytes ?? 0) > memoryLimit;
  }

  /** Commits everything since the last checkpoint; `isLast` of a run. Throws `TaxiflowError` if the store fails. */
  commit(isLast: boolean): void {
    const { views, intake, shards, counters, duplicates, store, deadLetters, kept, eventTime } =
      this.#options;
    // With arrival times, a copy that arrives later may always be in time.
    const isPast = (time: number) =>
      eventTime !== 'arrival' && views.every((windows) => windows.isPast(time, this.#watermark));
    store.commit({
      watermark: this.#watermark,
      counters,
      shards: [...shards.all],
      firings: this.#fire(),
      blocks: this.#changes(),
      gone: this.#gone(),
      duplicates: duplicates.takeChanges(this.#watermark, isPast),
      deadLetters: deadLetters.take(),
      trips: kept?.take() ?? [],
      isLast,
      closedUpTo: Object.fromEntries(
        views
          .filter(({ closedUpTo }) => Number.isFinite(closedUpTo))
          .map(({ view, closedUpTo }) => [view.view.name, closedUpTo]),
      ),
    });
    for (const windows of views) windows.committed();
    if (this.#wordsAreMany) intake.forgetWords();
  }

  get #wordsAreMany(): boolean {
    return this.#options.intake.wordBytes > this.#options.memoryLimit * WORDS_SHARE;
  }

  /** Results of all due windows, in the order of their ends. */
  *#fire(): Generator<Firing> {
    const { views, counters } = this.#options;
    const due = views.flatMap((windows) => windows.takeDue().map((end) => ({ windows, end })));
    due.sort((a, b) => a.end - b.end);
    for (const { windows, end } of due) {
      for (const firing of windows.fire(end)) {
        counters.results += firing.count;
        yield firing;
      }
    }
    for (const windows of views) windows.endFiring();
  }

  *#changes(): Generator<PaneBlock> {
    this.#putAway();
    for (const windows of this.#options.views) yield* windows.changes();
  }

  *#gone(): Generator<WindowSpan & { readonly view: string }> {
    for (const windows of this.#options.views)
      for (const span of windows.takeGone()) yield { view: windows.view.view.name, ...span };
  }

  /** When memory is full, puts away the windows used longest ago until half of it is free (C2). */
  #putAway(): void {
    const { views, memory, intake, memoryLimit } = this.#options;
    const wordsAreMany = this.#wordsAreMany;
    let left = memory.bytes + intake.wordBytes;
    if (left <= memoryLimit && !wordsAreMany) return;
    const all = views.flatMap((windows) => Array.from(windows.inMemory, (window) => ({ windows, window })));
    all.sort((a, b) => a.window.lastUsed - b.window.lastUsed);
    for (const { windows, window } of all) {
      // Windows hold codes of words, so all of them leave before words are forgotten.
      if (left * 2 <= memoryLimit && !wordsAreMany) return;
      windows.putAway(window);
      left -= window.bytes;
    }
  }
}
