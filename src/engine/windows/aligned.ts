/**
 * The windows of one view, and their panes. A window is identified by its end. Sessions are put together from windows as long as their
 * gap: what a key has in one of them is in one session (`sessions.ts`).
 *
 *  P1 a window fires once its last millisecond is at or before the watermark, and is kept until the allowed lateness has
 *     passed too; trips after that are late. Firings leave with a checkpoint.
 *  P2 a firing holds each key's result once; every firing after the first holds only the keys changed since
 *     (corrections). A result that was shown and no longer satisfies `having` is retracted.
 *  P3 panes are kept in blocks, and a checkpoint writes only the blocks that changed since the last one (C2).
 *  P4 a window that leaves memory stays in the store as a part in key order; later trips go into another part. The parts
 *     are merged when the window fires, with one block of each in memory (C9).
 */
import type { CompiledView, OpenSlice, OpenWindows } from '../../views/javascript/compiled-view.ts';
import type { Top } from '../../views/language.ts';
import { PICKUP_LAG_MS, type WindowTimes, windowTimes } from '../../views/windows.ts';
import { Documents, type Firing, inPieces } from './documents.ts';
import { Heap } from './heap.ts';
import type { MemoryCount } from './key-table.ts';
import {
  byKey,
  mergePanes,
  type Occurring,
  type PaneBlock,
  type Run,
  type StoredPanes,
  StoredRun,
  type WindowSpan,
} from './pane-runs.ts';
import { MemoryRun, type Pane, PaneWindow } from './pane-window.ts';
import { SessionJoin } from './sessions.ts';
import { Ranking } from './top.ts';
import { type SetAside, Totals } from './totals.ts';

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

/** The parts of a window that are in the store, added up. */
interface Rest {
  readonly sums: SetAside;
  /** How many panes of the part in memory were looked for in the store, and how many are there too. */
  looked: number;
  shared: number;
}

interface StoredParts {
  readonly span: WindowSpan;
  readonly parts: number;
}

const isEarlier = (a: number, b: number) => a < b;

/** The windows of a view that may still take trips or fire. */
export class AlignedWindows implements OpenWindows {
  readonly view: CompiledView;
  readonly #totals: Totals;
  readonly #times: WindowTimes;
  readonly #lateness: number;
  /** Ms by which this view's watermark is behind that of the stream. */
  readonly #lag: number;
  /** Ms after its end that a window fires: at once, or when nothing of it can be corrected any more. */
  readonly #delay: number;
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
  /** Of parts in memory, once they are corrected: the other parts of their windows. */
  readonly #rests = new WeakMap<PaneWindow, Rest>();
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
  /** Windows up to this end fire without a watermark. */
  #completedUpTo = Number.NEGATIVE_INFINITY;
  #lastEnd = Number.NEGATIVE_INFINITY;

  constructor(view: CompiledView, lateness: number, stored: StoredPanes, memory: WindowMemory) {
    this.view = view;
    this.#totals = new Totals(view, stored);
    const { window, top, time } = view.view;
    this.#times = windowTimes(window);
    this.#lateness = lateness;
    this.#lag = time === 'pickup' ? PICKUP_LAG_MS : 0;
    // A session may go on in the next window. The results of a top, or of sessions, depend on each other.
    const gap = window.kind === 'session' ? window.gap_ms : 0;
    this.#delay = gap > 0 || top ? gap + lateness : 0;
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

  /** Whether windows fire later than the watermark of the stream passes their end. */
  get isDelayed(): boolean {
    return this.#delay + this.#lag > 0;
  }

  /** Up to this end, no window opens again. */
  get closedUpTo(): number {
    return this.#closedUpTo;
  }

  /** Completes all open windows, whatever the watermark; they never open again. */
  complete(): void {
    this.#completedUpTo = this.lastEnd;
    this.#closedUpTo = Math.max(this.#closedUpTo, this.lastEnd);
  }

  sliceAt(time: number): OpenSlice {
    const { from, to, ends } = this.#times.sliceAt(time);
    const windows: PaneWindow[] = [];
    let missed = false;
    for (const end of ends) {
      const isLate = this.#isOver(end, this.#judgedBy);
      missed ||= isLate;
      if (!isLate && this.#isOver(end, this.#copyOf)) windows.push(this.#used(end));
    }
    return { from, to, windows, missed };
  }

  /** A window that is about to change. */
  #used(end: number): PaneWindow {
    const window = this.#windows.get(end) ?? this.#open(end);
    window.lastUsed = ++this.#memory.uses;
    this.#change(window);
    if (window.fired) this.#corrected.add(window);
    return window;
  }

  /** Notes that a checkpoint is to write what changed in a window. */
  #change(window: PaneWindow): void {
    if (window.isChanged) return;
    window.isChanged = true;
    this.#changed.push(window);
  }

  #open(end: number): PaneWindow {
    const stored = this.#parts.get(end);
    const span = stored?.span ?? { windowStart: this.#times.startOf(end), windowEnd: end };
    const window = new PaneWindow(this.view, span, stored?.parts ?? 0, this.#memory);
    if (stored) window.fired = isDue(end + this.#delay, this.#firedUpTo);
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
    this.#judgedBy = Math.max(watermark - this.#lag, this.#watermark);
    this.#copyOf = copyOf - this.#lag;
  }

  /** Whether a trip of this time is late for all of its windows. */
  isPast(time: number, watermark: number): boolean {
    // No trip is picked up later than it ends.
    return this.#isOver(this.#times.sliceAt(time).ends.at(-1)!, watermark - this.#lag);
  }

  /** The least watermark above a given one at which a further window stops accepting trips. */
  nextOver(watermark: number): number {
    if (!Number.isFinite(watermark)) return watermark;
    const beyond = this.#lateness + this.#lag - 1;
    return this.#times.sliceAt(watermark - beyond).ends[0]! + beyond;
  }

  /** Advances the watermark of the stream; windows it completes fire with the next checkpoint. */
  advance(watermark: number): void {
    this.#watermark = Math.max(this.#watermark, watermark - this.#lag);
  }

  /** Ends of the windows that are due, ascending. The caller must fire each, then call `endFiring`. */
  takeDue(): number[] {
    const due = Array.from(this.#corrected, ({ end }) => end);
    this.#corrected.clear();
    for (let next = this.#unfired.least; next !== undefined; next = this.#unfired.least) {
      if (next > this.#completedUpTo && !isDue(next + this.#delay, this.#watermark)) break;
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
    const named = { view: view.view.name, windowStart: this.#times.labelOf(end), windowEnd: end, correction };
    this.#totals.begin();
    yield* inPieces(named, this.#results(end, window, documents), () => this.#totals.take());
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
    const { having, view } = this.view;
    if (window?.fired) {
      yield* this.#corrections(window, documents);
      this.#addUp(end, window);
      return;
    }
    const panes = this.#panes(end, window);
    if (view.top) yield* this.#top(view.top, panes, documents);
    else
      for (const { key, values, span } of panes)
        if (having(values)) yield documents.result(key, values, span);
  }

  /** Adds up all panes of a window again; without values to keep, those in the store only once as long as a part is in memory. */
  #addUp(end: number, window: PaneWindow): void {
    const totals = this.#totals;
    if (!this.#parts.has(end)) totals.addAll(window);
    else if (this.view.lists > 0) for (const _ of this.#merged(end, window, totals));
    else {
      const rest = this.#rests.get(window) ?? this.#addUpRest(end, window);
      const added = new MemoryRun(this.view, window, window.inKeyOrder(rest.looked));
      const stored = this.#storedRuns(end);
      for (; added.key; added.next()) if (stored.some((run) => run.seek(added.key!))) rest.shared++;
      rest.looked = window.panes.count;
      totals.addAside(rest.sums);
      totals.addAll(window, rest.shared);
    }
  }

  #addUpRest(end: number, window: PaneWindow): Rest {
    for (const _ of this.#merged(end, undefined, this.#totals));
    const rest = { sums: this.#totals.setAside(), looked: 0, shared: 0 };
    this.#rests.set(window, rest);
    this.#totals.begin();
    return rest;
  }

  *#top(top: Top, panes: Iterable<Pane>, documents: Documents): Generator<string> {
    const ranking = new Ranking(this.view, top);
    for (const pane of panes) if (this.view.having(pane.values)) ranking.offer(pane);
    for (const { key, values, span, rank } of ranking.ranked())
      yield documents.result(key, values, span, rank);
  }

  /** The panes of a window in key order, all of which go into its totals; for sessions, those that end in it. */
  #panes(end: number, window: PaneWindow | undefined): Iterable<Pane> {
    if (this.view.sessionAt >= 0) return this.#sessions(end, window);
    if (!window || this.#parts.has(end)) return this.#merged(end, window, this.#totals);
    this.#totals.addAll(window);
    return this.view.counted ? this.#merged(end, window) : inMemory(window);
  }

  *#merged(end: number, window: PaneWindow | undefined, totals?: Totals): Generator<Pane> {
    const { view } = this;
    const stored = this.#storedRuns(end);
    const own = window && new MemoryRun(view, window, window.inKeyOrder());
    const numbers = new Float64Array(view.width);
    for (const same of byKey(own ? [...stored, own] : stored)) {
      const key = same[0]!.key!;
      totals?.at(key);
      mergePanes(view, same, numbers, totals?.keep);
      totals?.add(numbers, 0);
      const values = view.values(numbers, 0);
      if (window && !window.fired && own && same.includes(own)) {
        if (stored.length > 0) window.noteShown(own.pane, view.having(values));
        else if (view.counted) this.#settle(window, own.pane, numbers);
      }
      yield { key, values };
    }
  }

  /** Keeps what was made of a pane's values with its numbers: a correction asks what has been shown. */
  #settle(window: PaneWindow, pane: number, numbers: Float64Array): void {
    window.settle(pane, numbers);
    this.#change(window);
  }

  *#sessions(end: number, window: PaneWindow | undefined): Generator<Pane> {
    const { view } = this;
    const { windowStart, windowEnd } = this.#spanOf(end);
    const next = windowEnd + (windowEnd - windowStart);
    const own = window && new MemoryRun(view, window, window.inKeyOrder());
    const joining = new SessionJoin(view, this.#windows.get(next), this.#storedRuns(next));
    const numbers = new Float64Array(view.width);
    const values: Occurring[][] = Array.from({ length: view.lists }, () => []);
    const keep = (list: number, value: Occurring) => values[list]!.push(value);
    for (const same of byKey(own ? [...this.#storedRuns(end), own] : this.#storedRuns(end))) {
      const key = same[0]!.key!;
      for (const list of values) list.length = 0;
      mergePanes(view, same, numbers, keep);
      if (joining.goesOn(key, numbers)) {
        this.#usedBySession(next).add(joining.codes(key), numbers, values);
        continue;
      }
      this.#totals.addPane(key, numbers, values);
      yield { key, values: view.values(numbers, 0), span: joining.spanOf(numbers) };
    }
  }

  /** The next window of a session, which takes over what it has so far. */
  #usedBySession(end: number): PaneWindow {
    const window = this.#windows.get(end) ?? this.#open(end);
    this.#change(window);
    return window;
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
      else if (view.counted) this.#settle(window, pane, numbers);
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
    this.#watermark = this.#firedUpTo = watermark - this.#lag;
    this.#closedUpTo = closedUpTo;
    for (const { windowStart, windowEnd, parts, unsorted } of windows) {
      const span = { windowStart, windowEnd };
      const fired = isDue(windowEnd + this.#delay, this.#watermark);
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

function* inMemory(window: PaneWindow): Generator<Pane> {
  for (const pane of window.inKeyOrder()) yield { key: window.keyOf(pane), values: window.values(pane) };
}

/** Whether the watermark has passed the last millisecond of a window. */
function isDue(end: number, watermark: number): boolean {
  return end - 1 <= watermark;
}
