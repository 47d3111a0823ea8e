/**
 * The windows of one view and their panes.
 *
 *  P1 a window fires once its last millisecond is at or before the watermark, and is kept until the allowed
 *     lateness has passed too; what comes after that is late. Firings leave with a checkpoint.
 *  P2 a firing holds each key's result once; after the first, only the keys that changed since (corrections). One that
 *     `having` turns away now and did not before is taken back.
 *  P3 panes are kept in blocks, and a checkpoint takes only the blocks that changed since the last one (C2).
 *  P4 a window that is put away stays in the store as a part in key order; what comes later is in another part. Its
 *     parts are merged when it fires, a block of each in memory (C9).
 */
import type { CompiledView, OpenWindow, OpenWindows } from '../views/javascript/compiled-view.ts';
import { Documents, type Firing, inPieces } from './documents.ts';
import { Heap } from './heap.ts';
import type { MemoryCount } from './key-table.ts';
import { byKey, mergePanes, type PaneBlock, type Run, type StoredPanes, StoredRun } from './pane-runs.ts';
import { MemoryRun, PaneWindow } from './pane-window.ts';

/** A window with panes in the store. */
export interface StoredWindow {
  readonly windowStart: number;
  readonly parts: number;
  /** Its last part has several blocks and is not in key order. */
  readonly unsorted: boolean;
}

/** Memory of all open windows. */
export interface WindowMemory extends MemoryCount {
  /** Look-ups so far, which tell the window that was used longest ago. */
  uses: number;
}

const isEarlier = (a: number, b: number) => a < b;

/** The windows of a view that may still take trips or fire. */
export class Panes implements OpenWindows {
  readonly view: CompiledView;
  readonly #size: number;
  readonly #slide: number;
  readonly #lateness: number;
  readonly #stored: StoredPanes;
  readonly #memory: WindowMemory;
  /** What is in memory, by start. */
  readonly #windows = new Map<number, PaneWindow>();
  /** How many parts there are in the store beside that, by start. */
  readonly #parts = new Map<number, number>();
  /** Starts of the windows that have not fired, and of those that have. */
  readonly #unfired = new Heap(isEarlier);
  readonly #fired = new Heap(isEarlier);
  readonly #corrected = new Set<PaneWindow>();
  /** Windows that changed since the last checkpoint, and those that leave memory with the next one. */
  #changed: PaneWindow[] = [];
  #leaving: PaneWindow[] = [];
  /** Windows that are gone for good and still in the last checkpoint. */
  #gone: number[] = [];
  /** Up to here all windows have fired. */
  #firedUpTo = Number.NEGATIVE_INFINITY;
  #watermark = Number.NEGATIVE_INFINITY;
  /** What the next trips are judged by. */
  #judgedBy = Number.NEGATIVE_INFINITY;
  #copyOf = Number.POSITIVE_INFINITY;
  #last = Number.NEGATIVE_INFINITY;

  constructor(view: CompiledView, lateness: number, stored: StoredPanes, memory: WindowMemory) {
    const { window } = view.view;
    this.view = view;
    this.#size = window.size_ms;
    this.#slide = window.kind === 'sliding' ? window.slide_ms : window.size_ms;
    this.#lateness = lateness;
    this.#stored = stored;
    this.#memory = memory;
  }

  /** Windows that have not fired yet. */
  get unfired(): number {
    return this.#unfired.size;
  }

  /** The windows that have panes in memory. */
  get inMemory(): Iterable<PaneWindow> {
    return this.#windows.values();
  }

  /** End of the last open window, −Infinity when there is none. */
  get lastEnd(): number {
    const open = this.#windows.size + this.#parts.size > 0;
    return open ? this.#last + this.#size : Number.NEGATIVE_INFINITY;
  }

  windowAt(time: number): OpenWindow | undefined {
    const start = Math.floor(time / this.#slide) * this.#slide;
    if (this.#isOver(start, this.#judgedBy) || !this.#isOver(start, this.#copyOf)) return undefined;
    const window = this.#windows.get(start) ?? this.#open(start);
    window.lastUsed = ++this.#memory.uses;
    if (!window.isChanged) {
      window.isChanged = true;
      this.#changed.push(window);
    }
    if (window.fired) this.#corrected.add(window);
    return window;
  }

  #open(start: number): PaneWindow {
    const parts = this.#parts.get(start) ?? 0;
    const window = new PaneWindow(this.view, start, parts, this.#memory);
    if (parts > 0) window.fired = this.#isDue(start, this.#firedUpTo);
    else this.#unfired.push(start);
    if (start > this.#last) this.#last = start;
    this.#windows.set(start, window);
    return window;
  }

  #isDue(start: number, watermark: number): boolean {
    return start + this.#size - 1 <= watermark;
  }

  /** Whether a window takes no trip any more, not even a late one. */
  #isOver(start: number, watermark: number): boolean {
    return start + this.#size - 1 + this.#lateness <= watermark;
  }

  /**
   * The watermark that the next trips are judged by. Of a copy of a trip that was judged by a later one, `copyOf`, only
   * those windows are wanted which that was late for.
   */
  judgeBy(watermark: number, copyOf = Number.POSITIVE_INFINITY): void {
    this.#judgedBy = Math.max(watermark, this.#watermark);
    this.#copyOf = copyOf;
  }

  /** Whether a trip of this time is late for all of its windows. */
  isPast(time: number, watermark: number): boolean {
    return this.#isOver(Math.floor(time / this.#slide) * this.#slide, watermark);
  }

  /** The least watermark beyond a given one at which one more window takes no trips any more. */
  nextOver(watermark: number): number {
    const span = this.#size - 1 + this.#lateness;
    return (Math.floor((watermark - span) / this.#slide) + 1) * this.#slide + span;
  }

  endOf(start: number): number {
    return start + this.#size;
  }

  /** The watermark of the stream; the windows it completes fire with the next checkpoint. */
  advance(watermark: number): void {
    this.#watermark = Math.max(this.#watermark, watermark);
  }

  /** Starts of the windows that are to fire, in their order; each has to be fired then, and `fired` told. */
  takeDue(): number[] {
    const due = Array.from(this.#corrected, ({ start }) => start);
    this.#corrected.clear();
    for (let next = this.#unfired.least; next !== undefined; next = this.#unfired.least) {
      if (!this.#isDue(next, this.#watermark)) break;
      due.push(next);
      this.#unfired.pop();
    }
    return due.sort((a, b) => a - b);
  }

  /** The results of a window, made as they are asked for; with the last of them, the window may be gone. */
  *fire(start: number): Generator<Firing> {
    const { view } = this;
    const window = this.#windows.get(start);
    const end = start + this.#size;
    const correction = window?.fired ?? false;
    const documents = new Documents(view, start, end);
    const found =
      window && correction ? this.#corrections(window, documents) : this.#results(start, window, documents);
    yield* inPieces({ view: view.view.name, windowStart: start, windowEnd: end, correction }, found);
    if (this.#isOver(start, this.#watermark)) this.#forget(start);
    else if (!correction) {
      this.#fired.push(start);
      if (window) window.fired = true;
    }
  }

  /** All that were due have fired: those that are over are forgotten. */
  endFiring(): void {
    this.#firedUpTo = this.#watermark;
    for (let next = this.#fired.least; next !== undefined; next = this.#fired.least) {
      if (!this.#isOver(next, this.#watermark)) break;
      this.#forget(next);
      this.#fired.pop();
    }
  }

  #forget(start: number): void {
    const window = this.#windows.get(start);
    window?.release();
    if (window?.stored || this.#parts.has(start)) this.#gone.push(start);
    this.#windows.delete(start);
    this.#parts.delete(start);
  }

  *#results(start: number, window: PaneWindow | undefined, documents: Documents): Generator<string> {
    const { view } = this;
    const stored = this.#storedRuns(start);
    if (window && stored.length === 0) {
      for (const pane of window.inKeyOrder()) {
        const values = window.values(pane);
        if (view.having(values)) yield documents.result(window.keyOf(pane), values);
      }
      return;
    }
    const own = window && new MemoryRun(view, window, window.inKeyOrder());
    const numbers = new Float64Array(view.width);
    for (const same of byKey(own ? [...stored, own] : stored)) {
      mergePanes(view, same, numbers);
      const values = view.values(numbers, 0);
      const shown = view.having(values);
      if (window && own && same.includes(own)) window.noteShown(own.pane, shown);
      if (shown) yield documents.result(same[0]!.key!, values);
    }
  }

  *#corrections(window: PaneWindow, documents: Documents): Generator<string> {
    const { view } = this;
    const stored = this.#storedRuns(window.start);
    const corrected = window.takeCorrected();
    const own = new MemoryRun(
      view,
      window,
      Int32Array.from(corrected, ({ pane }) => pane),
    );
    const numbers = new Float64Array(view.width);
    const merged = (runs: readonly Run[]) => {
      mergePanes(view, runs, numbers);
      return view.values(numbers, 0);
    };
    for (const { pane, shown } of corrected) {
      const key = own.key!;
      const before = stored.filter((run) => run.seek(key));
      const wasShown = shown ?? (before.length > 0 && view.having(merged(before)));
      const values = merged([...before, own]);
      const isShown = view.having(values);
      if (stored.length > 0) window.noteShown(pane, isShown);
      if (isShown) yield documents.result(key, values);
      else if (wasShown) yield documents.retraction(key);
      own.next();
    }
  }

  #storedRuns(start: number): StoredRun[] {
    const parts = this.#parts.get(start) ?? 0;
    return Array.from({ length: parts }, (_, part) => new StoredRun(this.view, this.#stored, start, part));
  }

  /** A window leaves memory with the next checkpoint. */
  putAway(window: PaneWindow): void {
    this.#leaving.push(window);
  }

  /** What changed since the last checkpoint, made as it is asked for, once all that was due has fired. */
  *changes(): Generator<PaneBlock> {
    const leaving = new Set(this.#leaving);
    for (const window of this.#changed) {
      window.isChanged = false;
      if (leaving.has(window) || this.#windows.get(window.start) !== window) continue;
      yield* window.changedBlocks();
    }
    this.#changed = [];
    for (const window of leaving) yield* window.isSmall ? window.changedBlocks() : window.sortedBlocks();
  }

  /** Windows that are gone for good since the last call. */
  takeGone(): number[] {
    const gone = this.#gone;
    this.#gone = [];
    return gone;
  }

  /** The checkpoint is committed: what was to leave memory does. */
  committed(): void {
    for (const window of this.#leaving) {
      this.#windows.delete(window.start);
      this.#parts.set(window.start, window.part + 1);
      window.release();
    }
    this.#leaving = [];
  }

  /** Takes up where a checkpoint left off: nothing is read before it is needed. */
  restore(watermark: number, windows: Iterable<StoredWindow>): void {
    this.#watermark = this.#firedUpTo = watermark;
    for (const { windowStart, parts, unsorted } of windows) {
      this.#parts.set(windowStart, parts);
      (this.#isDue(windowStart, watermark) ? this.#fired : this.#unfired).push(windowStart);
      if (windowStart > this.#last) this.#last = windowStart;
      if (unsorted) this.#sort(windowStart, parts - 1);
    }
  }

  /** Puts a part in key order that was in memory when the last process ended. */
  #sort(windowStart: number, part: number): void {
    const window = new PaneWindow(this.view, windowStart, part, this.#memory);
    for (const kind of ['panes', 'distinct'] as const) {
      for (let block = 0; ; block++) {
        const rows = this.#stored.rows({ view: this.view.view.name, windowStart, part, kind, block });
        if (!rows) break;
        window.restore(kind, rows);
      }
    }
    this.#stored.rewrite(window.sortedBlocks());
    window.release();
  }
}
