/**
 * The windows of one view whose times are the same for all keys (tumbling, sliding), and their panes. A window is
 * identified by its end.
 *
 *  P1 a window fires once its last millisecond is at or before the watermark, and is kept until the allowed lateness has
 *     passed too; trips after that are late. Firings leave with a checkpoint.
 *  P2 a firing holds each key's result once; every firing after the first holds only the keys changed since
 *     (corrections). A result that was shown and no longer satisfies `having` is retracted.
 *  P3 panes are kept in blocks, and a checkpoint writes only the blocks that changed since the last one (C2).
 *  P4 a window that leaves memory stays in the store as a part in key order; later trips go into another part. The parts
 *     are merged when the window fires, with one block of each in memory (C9).
 */
import type { CompiledView, OpenWindow, OpenWindows } from '../../views/javascript/compiled-view.ts';
import type { Window } from '../../views/language.ts';
import { Documents, type Firing, inPieces } from './documents.ts';
import { Heap } from './heap.ts';
import type { MemoryCount } from './key-table.ts';
import {
  byKey,
  mergePanes,
  type PaneBlock,
  type Run,
  type StoredPanes,
  StoredRun,
  type WindowSpan,
} from './pane-runs.ts';
import { MemoryRun, PaneWindow } from './pane-window.ts';

/** A window with panes in the store. */
export interface StoredWindow extends WindowSpan {
  readonly parts: number;
  /** The last part has several blocks and is not in key order. */
  readonly unsorted: boolean;
}

/** Memory of all open windows. */
export interface WindowMemory extends MemoryCount {
  /** Number of look-ups so far; shows which window was used longest ago. */
  uses: number;
}

/** Start and end times of windows, epoch ms. */
class Alignment {
  readonly #size: number;
  readonly #slide: number;

  constructor(window: Window) {
    this.#size = window.size_ms;
    this.#slide = window.kind === 'sliding' ? window.slide_ms : window.size_ms;
  }

  /** End of the last window that contains a time. */
  endAt(time: number): number {
    return Math.floor(time / this.#slide) * this.#slide + this.#size;
  }

  startOf(end: number): number {
    return end - this.#size;
  }

  /** The first end after a time. */
  nextEnd(time: number): number {
    return (Math.floor((time - this.#size) / this.#slide) + 1) * this.#slide + this.#size;
  }
}

interface StoredParts {
  readonly span: WindowSpan;
  readonly parts: number;
}

const isEarlier = (a: number, b: number) => a < b;

/** The windows of a view that may still take trips or fire. */
export class AlignedWindows implements OpenWindows {
  readonly view: CompiledView;
  readonly #times: Alignment;
  readonly #lateness: number;
  readonly #stored: StoredPanes;
  readonly #memory: WindowMemory;
  /** The parts in memory, by window end. */
  readonly #windows = new Map<number, PaneWindow>();
  /** The other parts, which are in the store, by window end. */
  readonly #parts = new Map<number, StoredParts>();
  /** Ends of the windows that have not fired, and of those that have. */
  readonly #unfired = new Heap(isEarlier);
  readonly #fired = new Heap(isEarlier);
  readonly #corrected = new Set<PaneWindow>();
  /** Windows changed since the last checkpoint, and windows leaving memory with the next one. */
  #changed: PaneWindow[] = [];
  #leaving: PaneWindow[] = [];
  /** Windows that are gone for good but still in the last checkpoint. */
  #gone: WindowSpan[] = [];
  /** All windows up to this watermark have fired. */
  #firedUpTo = Number.NEGATIVE_INFINITY;
  #watermark = Number.NEGATIVE_INFINITY;
  /** The watermark that judges the next trips. */
  #judgedBy = Number.NEGATIVE_INFINITY;
  #copyOf = Number.POSITIVE_INFINITY;
  /** Windows up to this end never open again, whatever the allowed lateness. */
  #closedUpTo = Number.NEGATIVE_INFINITY;
  #lastEnd = Number.NEGATIVE_INFINITY;

  constructor(view: CompiledView, lateness: number, stored: StoredPanes, memory: WindowMemory) {
    this.view = view;
    this.#times = new Alignment(view.view.window);
    this.#lateness = lateness;
    this.#stored = stored;
    this.#memory = memory;
  }

  /** Number of windows that have not fired yet. */
  get unfired(): number {
    return this.#unfired.size;
  }

  /** The windows with panes in memory. */
  get inMemory(): Iterable<PaneWindow> {
    return this.#windows.values();
  }

  /** End of the last open window; −Infinity if there is none. */
  get lastEnd(): number {
    return this.#windows.size + this.#parts.size > 0 ? this.#lastEnd : Number.NEGATIVE_INFINITY;
  }

  windowAt(time: number): OpenWindow | undefined {
    const end = this.#times.endAt(time);
    if (this.#isOver(end, this.#judgedBy) || !this.#isOver(end, this.#copyOf)) return undefined;
    const window = this.#windows.get(end) ?? this.#open(end);
    window.lastUsed = ++this.#memory.uses;
    if (!window.isChanged) {
      window.isChanged = true;
      this.#changed.push(window);
    }
    if (window.fired) this.#corrected.add(window);
    return window;
  }

  #open(end: number): PaneWindow {
    const stored = this.#parts.get(end);
    const span = stored?.span ?? { windowStart: this.#times.startOf(end), windowEnd: end };
    const window = new PaneWindow(this.view, span, stored?.parts ?? 0, this.#memory);
    if (stored) window.fired = isDue(end, this.#firedUpTo);
    else this.#unfired.push(end);
    if (end > this.#lastEnd) this.#lastEnd = end;
    this.#windows.set(end, window);
    return window;
  }

  /** Whether a window accepts no more trips, not even late ones. */
  #isOver(end: number, watermark: number): boolean {
    return end <= this.#closedUpTo || isDue(end + this.#lateness, watermark);
  }

  /**
   * Sets the watermark that judges the next trips. `copyOf` is the later watermark that judged another copy of the trip;
   * the trip then goes only into the windows that the other copy was late for.
   */
  judgeBy(watermark: number, copyOf = Number.POSITIVE_INFINITY): void {
    this.#judgedBy = Math.max(watermark, this.#watermark);
    this.#copyOf = copyOf;
  }

  /** Whether a trip of this time is late for all of its windows. */
  isPast(time: number, watermark: number): boolean {
    return this.#isOver(this.#times.endAt(time), watermark);
  }

  /** The least watermark above a given one at which a further window stops accepting trips. */
  nextOver(watermark: number): number {
    const beyond = this.#lateness - 1;
    return this.#times.nextEnd(watermark - beyond) + beyond;
  }

  /** Advances the watermark of the stream; windows it completes fire with the next checkpoint. */
  advance(watermark: number): void {
    this.#watermark = Math.max(this.#watermark, watermark);
  }

  /** Ends of the windows that are due, ascending. The caller must fire each, then call `endFiring`. */
  takeDue(): number[] {
    const due = Array.from(this.#corrected, ({ end }) => end);
    this.#corrected.clear();
    for (let next = this.#unfired.least; next !== undefined; next = this.#unfired.least) {
      if (!isDue(next, this.#watermark)) break;
      due.push(next);
      this.#unfired.pop();
    }
    return due.sort((a, b) => a - b);
  }

  /** Generates the results of a window; after the last of them, the window may be gone. */
  *fire(end: number): Generator<Firing> {
    const { view } = this;
    const window = this.#windows.get(end);
    const span = this.#spanOf(end);
    const correction = window?.fired ?? false;
    const documents = new Documents(view, span);
    const found =
      window && correction ? this.#corrections(window, documents) : this.#results(end, window, documents);
    yield* inPieces({ view: view.view.name, ...span, correction }, found);
    if (this.#isOver(end, this.#watermark)) this.#forget(end);
    else if (!correction) {
      this.#fired.push(end);
      if (window) window.fired = true;
    }
  }

  #spanOf(end: number): WindowSpan {
    return this.#windows.get(end)?.span ?? this.#parts.get(end)!.span;
  }

  /** Forgets the windows that are over, once all due windows have fired. */
  endFiring(): void {
    this.#firedUpTo = this.#watermark;
    for (let next = this.#fired.least; next !== undefined; next = this.#fired.least) {
      if (!this.#isOver(next, this.#watermark)) break;
      this.#forget(next);
      this.#fired.pop();
    }
  }

  #forget(end: number): void {
    const window = this.#windows.get(end);
    window?.release();
    if (window?.stored || this.#parts.has(end)) this.#gone.push(this.#spanOf(end));
    this.#windows.delete(end);
    this.#parts.delete(end);
  }

  *#results(end: number, window: PaneWindow | undefined, documents: Documents): Generator<string> {
    const { view } = this;
    const stored = this.#storedRuns(end);
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
    const stored = this.#storedRuns(window.end);
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

  #storedRuns(end: number): StoredRun[] {
    const stored = this.#parts.get(end);
    if (!stored) return [];
    const { span, parts } = stored;
    return Array.from({ length: parts }, (_, part) => new StoredRun(this.view, this.#stored, span, part));
  }

  /** Marks a window to leave memory with the next checkpoint. */
  putAway(window: PaneWindow): void {
    this.#leaving.push(window);
  }

  /** Generates the blocks changed since the last checkpoint; call it after all due windows have fired. */
  *changes(): Generator<PaneBlock> {
    const leaving = new Set(this.#leaving);
    for (const window of this.#changed) {
      window.isChanged = false;
      if (leaving.has(window) || this.#windows.get(window.end) !== window) continue;
      yield* window.changedBlocks();
    }
    this.#changed = [];
    for (const window of leaving) yield* window.isSmall ? window.changedBlocks() : window.sortedBlocks();
  }

  /** Windows gone for good since the last call. */
  takeGone(): WindowSpan[] {
    const gone = this.#gone;
    this.#gone = [];
    return gone;
  }

  /** Drops the windows that were put away from memory, after the checkpoint has committed. */
  committed(): void {
    for (const window of this.#leaving) {
      this.#windows.delete(window.end);
      this.#parts.set(window.end, { span: window.span, parts: window.part + 1 });
      window.release();
    }
    this.#leaving = [];
  }

  /** Restores the windows of a checkpoint; panes are read when they are needed, except those that were in memory. */
  restore(watermark: number, windows: Iterable<StoredWindow>, closedUpTo = Number.NEGATIVE_INFINITY): void {
    this.#watermark = this.#firedUpTo = watermark;
    this.#closedUpTo = closedUpTo;
    for (const { windowStart, windowEnd, parts, unsorted } of windows) {
      const span = { windowStart, windowEnd };
      const fired = isDue(windowEnd, watermark);
      const part = unsorted ? this.#restored(span, parts - 1) : undefined;
      // Corrections of a fired window must tell what its other parts have shown, so this one joins them.
      const joins = part !== undefined && fired && parts > 1;
      const inStore = part && !joins ? parts - 1 : parts;
      if (inStore > 0) this.#parts.set(windowEnd, { span, parts: inStore });
      if (part && joins) {
        this.#stored.rewrite(part.sortedBlocks());
        part.release();
      } else if (part) {
        part.fired = fired;
        this.#windows.set(windowEnd, part);
      }
      (fired ? this.#fired : this.#unfired).push(windowEnd);
      if (windowEnd > this.#lastEnd) this.#lastEnd = windowEnd;
    }
  }

  /** A part as it was in memory when the last process ended. */
  #restored(span: WindowSpan, part: number): PaneWindow {
    const window = new PaneWindow(this.view, span, part, this.#memory);
    for (const kind of ['panes', 'distinct'] as const) {
      for (let block = 0; ; block++) {
        const data = this.#stored.block({ view: this.view.view.name, ...span, part, kind, block });
        if (!data) break;
        window.restore(kind, data);
      }
    }
    window.isRestored();
    return window;
  }
}

/** Whether the watermark has passed the last millisecond of a window. */
function isDue(end: number, watermark: number): boolean {
  return end - 1 <= watermark;
}
