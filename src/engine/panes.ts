/**
 * The open windows of one view and their panes.
 *
 *  P1 a window fires once its last millisecond is at or before the watermark, and is kept until the allowed
 *     lateness has passed too; what comes after that is late.
 *  P2 a firing holds each key's result once; after the first, only the keys that changed since (corrections). One that
 *     `having` turns away now and did not before is taken back.
 *  P3 panes are kept in blocks, and a checkpoint takes only the blocks that changed since the last one (C2).
 */
import type { CompiledView, OpenWindow, OpenWindows } from '../views/compile.ts';
import { RETRACTED } from '../views/language.ts';

/** Panes a block: what a checkpoint writes when one of them changed. */
const BLOCK = 256;

/** Results of one window of one view, leaving together. */
export interface Firing {
  readonly view: string;
  readonly windowStart: number;
  readonly windowEnd: number;
  /** Result documents as JSON, in key order, joined by `,` and a newline. */
  readonly docs: string;
  readonly count: number;
  /** True when the window had fired before. */
  readonly correction: boolean;
}

/** One pane in portable form: key values, numbers, and distinct values where there are any. */
export type PaneRecord = [key: (string | number)[], numbers: (number | null)[], sets?: (string | number)[][]];

/** A block of panes of one window, as a checkpoint keeps it. */
export interface PaneBlock {
  readonly view: string;
  readonly windowStart: number;
  readonly block: number;
  readonly fired: boolean;
  readonly panes: PaneRecord[];
}

/** Where the panes of windows that are not in memory are. */
export interface StoredPanes {
  load(view: string, windowStart: number): PaneBlock[];
}

class PaneWindow implements OpenWindow {
  readonly start: number;
  readonly end: number;
  numbers: Float64Array;
  sets: Set<number>[][] = [];
  count = 0;
  fired = false;
  /** When it was last looked for, in accesses. */
  lastUsed = 0;
  /** Whether a checkpoint holds panes of it. */
  stored = false;
  readonly #view: CompiledView;
  readonly #panes = new Map<number | string, number>();
  readonly #keyWidth: number;
  #keys: Float64Array;
  #dirtyBlocks = new Uint8Array(1);
  /** Panes that changed since the last firing, and whether that one had a result of theirs; kept once the window fired. */
  readonly #corrected = new Map<number, boolean>();

  constructor(view: CompiledView, start: number) {
    this.#view = view;
    this.start = start;
    this.end = start + view.view.window.size_ms;
    this.#keyWidth = view.key.length;
    this.numbers = new Float64Array(64 * view.width);
    this.#keys = new Float64Array(64 * this.#keyWidth);
  }

  find(key: number | string): number {
    const pane = this.#panes.get(key);
    if (pane === undefined) return -1;
    if (this.fired && !this.#corrected.has(pane))
      this.#corrected.set(pane, this.#view.having(this.#values(pane)));
    this.#dirtyBlocks[Math.floor(pane / BLOCK)] = 1;
    return pane;
  }

  open(key: number | string, parts: readonly number[]): number {
    const pane = this.count++;
    const { width, sets } = this.#view;
    if (this.count * width > this.numbers.length) this.numbers = grown(this.numbers);
    if (this.count * this.#keyWidth > this.#keys.length) this.#keys = grown(this.#keys);
    if (pane / BLOCK >= this.#dirtyBlocks.length) this.#dirtyBlocks = grown(this.#dirtyBlocks);
    this.#view.initial(this.numbers, pane * width);
    for (let i = 0; i < this.#keyWidth; i++) this.#keys[pane * this.#keyWidth + i] = parts[i]!;
    if (sets > 0) this.sets.push(Array.from({ length: sets }, () => new Set<number>()));
    this.#panes.set(key, pane);
    if (this.fired) this.#corrected.set(pane, false);
    this.#dirtyBlocks[Math.floor(pane / BLOCK)] = 1;
    return pane;
  }

  #values(pane: number): readonly number[] {
    return this.#view.values(this.numbers, pane * this.#view.width, this.sets[pane]);
  }

  get dirty(): boolean {
    return this.#dirtyBlocks.includes(1);
  }

  get corrected(): boolean {
    return this.#corrected.size > 0;
  }

  /** The results that are due, and remembers that they left. */
  fire(): Firing {
    const correction = this.fired;
    const panes = correction ? [...this.#corrected.keys()] : Array.from({ length: this.count }, (_, i) => i);
    if (!this.fired) this.#dirtyBlocks.fill(1, 0, Math.max(1, Math.ceil(this.count / BLOCK)));
    this.fired = true;
    const { view } = this.#view;
    const docs: string[] = [];
    const head = documentHead(view.name, this.start, this.end);
    for (const pane of this.#inKeyOrder(panes)) {
      const values = this.#values(pane);
      if (this.#view.having(values)) docs.push(`${head}${this.#keyOf(pane)}${this.#aggregates(values)}}`);
      else if (this.#corrected.get(pane)) docs.push(`${head}${this.#keyOf(pane)},"${RETRACTED}":true}`);
    }
    this.#corrected.clear();
    // Joined at once: thousands of small strings that wait for a checkpoint cost more than all else.
    return {
      view: view.name,
      windowStart: this.start,
      windowEnd: this.end,
      docs: docs.join(',\n'),
      count: docs.length,
      correction,
    };
  }

  #keyOf(pane: number): string {
    let text = '';
    for (const [i, part] of this.#view.key.entries()) {
      const code = this.#keys[pane * this.#keyWidth + i]!;
      const value = part.domain ? JSON.stringify(part.domain.decode(code)) : jsonNumber(code, part.type);
      text += `,"${part.name}":${value}`;
    }
    return text;
  }

  #aggregates(values: readonly number[]): string {
    let text = '';
    for (const [i, { name, type }] of this.#view.states.entries()) {
      text += `,"${name}":${jsonNumber(values[i]!, type)}`;
    }
    return text;
  }

  /** Codes of whole-number domains sort as their strings do, but for words met on the way. */
  #inKeyOrder(panes: number[]): number[] {
    const width = this.#keyWidth;
    const compare = this.#view.key.map((part, i) => {
      const code = (pane: number) => this.#keys[pane * width + i]!;
      if (part.domain && part.domain.size === Number.POSITIVE_INFINITY) {
        const word = part.domain.decode;
        return (a: number, b: number) =>
          word.call(part.domain, code(a)) < word.call(part.domain, code(b)) ? -1 : 1;
      }
      return (a: number, b: number) => code(a) - code(b);
    });
    return panes.sort((a, b) => {
      for (const [i, by] of compare.entries()) {
        if (this.#keys[a * width + i] !== this.#keys[b * width + i]) return by(a, b);
      }
      return 0;
    });
  }

  /** The blocks that changed since they were last taken. */
  takeChanges(): PaneBlock[] {
    const blocks: PaneBlock[] = [];
    for (let block = 0; block < this.#dirtyBlocks.length; block++) {
      if (this.#dirtyBlocks[block] === 0) continue;
      const panes: PaneRecord[] = [];
      for (let pane = block * BLOCK; pane < Math.min(this.count, (block + 1) * BLOCK); pane++)
        panes.push(this.#record(pane));
      blocks.push({ view: this.#view.view.name, windowStart: this.start, block, fired: this.fired, panes });
    }
    this.#dirtyBlocks.fill(0);
    this.stored ||= blocks.length > 0;
    return blocks;
  }

  #record(pane: number): PaneRecord {
    const { key, width, states } = this.#view;
    const values = key.map((part, i) => {
      const code = this.#keys[pane * this.#keyWidth + i]!;
      return part.domain ? part.domain.decode(code) : code;
    });
    // NaN has no JSON: null stands for it.
    const numbers = Array.from(this.numbers.subarray(pane * width, (pane + 1) * width), (x) =>
      Number.isNaN(x) ? null : x,
    );
    if (this.sets.length === 0) return [values, numbers];
    const distinct = states.filter((state) => state.set >= 0);
    return [
      values,
      numbers,
      distinct.map((state) =>
        [...this.sets[pane]![state.set]!].map((x) => (state.domain ? state.domain.decode(x) : x)),
      ),
    ];
  }

  restore(blocks: readonly PaneBlock[]): void {
    const { key, states } = this.#view;
    const distinct = states.filter((state) => state.set >= 0);
    for (const block of [...blocks].sort((a, b) => a.block - b.block)) {
      this.fired = false;
      for (const [values, numbers, sets] of block.panes) {
        const parts = key.map((part, i) =>
          part.domain ? part.domain.encode(String(values[i])) : Number(values[i]),
        );
        const pane = this.open(this.#view.keyOf(parts), parts);
        for (const [i, x] of numbers.entries()) this.numbers[pane * this.#view.width + i] = x ?? Number.NaN;
        for (const [i, state] of distinct.entries()) {
          for (const x of sets?.[i] ?? [])
            this.sets[pane]![state.set]!.add(state.domain ? state.domain.encode(String(x)) : Number(x));
        }
      }
    }
    this.fired = blocks.some((block) => block.fired);
    this.stored = true;
    this.#dirtyBlocks.fill(0);
  }
}

function grown<T extends Float64Array | Uint8Array>(array: T): T {
  const next = new (array.constructor as new (length: number) => T)(array.length * 2);
  next.set(array as never);
  return next;
}

function jsonNumber(value: number, type: string): string {
  if (!Number.isFinite(value)) return 'null';
  return type === 'time' ? `"${new Date(value).toISOString()}"` : String(value);
}

function documentHead(view: string, start: number, end: number): string {
  const iso = (ms: number) => new Date(ms).toISOString();
  return `{"view":"${view}","window_start":"${iso(start)}","window_end":"${iso(end)}","timestamp":"${iso(end - 1)}"`;
}

/** The windows of a view that may still take trips or fire. */
export class Panes implements OpenWindows {
  readonly view: CompiledView;
  readonly #lateness: number;
  readonly #stored: StoredPanes;
  readonly #windows = new Map<number, PaneWindow>();
  /** Windows whose panes are only in the store: start, and whether they fired. */
  readonly #spilled = new Map<number, { fired: boolean }>();
  /** Windows that are gone for good and still in the last checkpoint. */
  #gone: number[] = [];
  #watermark = Number.NEGATIVE_INFINITY;
  #uses = 0;

  constructor(view: CompiledView, lateness: number, stored: StoredPanes) {
    this.view = view;
    this.#lateness = lateness;
    this.#stored = stored;
  }

  /** Panes in memory. */
  get panes(): number {
    let count = 0;
    for (const window of this.#windows.values()) count += window.count;
    return count;
  }

  /** Windows that have not fired yet. */
  get unfired(): number {
    const waiting = (windows: Iterable<{ fired: boolean }>) =>
      [...windows].filter((window) => !window.fired).length;
    return waiting(this.#windows.values()) + waiting(this.#spilled.values());
  }

  windowAt(start: number): OpenWindow | undefined {
    if (this.#over(start)) return undefined;
    let window = this.#windows.get(start);
    if (!window) {
      window = this.#spilled.has(start) ? this.#load(start) : new PaneWindow(this.view, start);
      this.#windows.set(start, window);
    }
    window.lastUsed = ++this.#uses;
    return window;
  }

  /** Windows whose last trip has come, in order of their ends. */
  advance(watermark: number): Firing[] {
    this.#watermark = Math.max(this.#watermark, watermark);
    const firings = this.#fireDue();
    for (const [start, window] of this.#windows) {
      if (!this.#over(start)) continue;
      this.#windows.delete(start);
      if (window.stored) this.#gone.push(start);
    }
    for (const start of this.#spilled.keys()) {
      if (this.#over(start) && this.#spilled.delete(start)) this.#gone.push(start);
    }
    return firings;
  }

  /** Whether a window takes no trip any more, not even a late one. */
  #over(start: number): boolean {
    return start + this.view.view.window.size_ms - 1 + this.#lateness <= this.#watermark;
  }

  /** End of the last open window, −Infinity when there is none. */
  get lastEnd(): number {
    const starts = [...this.#windows.keys(), ...this.#spilled.keys()];
    return Math.max(Number.NEGATIVE_INFINITY, ...starts) + this.view.view.window.size_ms;
  }

  #fireDue(): Firing[] {
    const size = this.view.view.window.size_ms;
    const due = (start: number) => start + size - 1 <= this.#watermark;
    for (const [start, { fired }] of this.#spilled) {
      if (!fired && due(start)) this.#windows.set(start, this.#load(start));
    }
    return [...this.#windows.values()]
      .filter((window) => due(window.start) && (!window.fired || window.corrected))
      .sort((a, b) => a.start - b.start)
      .map((window) => window.fire())
      .filter((firing) => firing.count > 0);
  }

  /** What changed since the last call, for a checkpoint, and the windows that are gone for good. */
  takeChanges(): { blocks: PaneBlock[]; gone: number[] } {
    const gone = this.#gone;
    this.#gone = [];
    return { blocks: [...this.#windows.values()].flatMap((window) => window.takeChanges()), gone };
  }

  /** After a checkpoint: drops the windows used longest ago from memory until `limit` panes are left (C2). */
  spill(limit: number): void {
    let count = this.panes;
    for (const window of [...this.#windows.values()].sort((a, b) => a.lastUsed - b.lastUsed)) {
      if (count <= limit) return;
      if (window.dirty || window.corrected) continue;
      this.#windows.delete(window.start);
      this.#spilled.set(window.start, { fired: window.fired });
      count -= window.count;
    }
  }

  /** Takes up where a checkpoint left off: nothing is read before it is needed. */
  restore(watermark: number, windows: readonly { windowStart: number; fired: boolean }[]): void {
    this.#watermark = watermark;
    for (const { windowStart, fired } of windows) this.#spilled.set(windowStart, { fired });
  }

  #load(start: number): PaneWindow {
    const window = new PaneWindow(this.view, start);
    window.restore(this.#stored.load(this.view.view.name, start));
    this.#spilled.delete(start);
    return window;
  }
}
