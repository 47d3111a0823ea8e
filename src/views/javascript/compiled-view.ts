/** The interface between the engine and a compiled view. */
import type { Aggregate, ValueType, View } from '../language.ts';
import type { Domain } from './domain.ts';

/**
 * The outcome of a trip in the views, as bits. A `partly` late trip is late in some windows of a view and in time for
 * others.
 */
export const OUTCOME = { skip: 1, used: 2, late: 4, partly: 8 } as const;

/** An aggregate's numbers in a pane. */
export interface AggregateState {
  readonly name: string;
  readonly aggregate: Aggregate;
  /** Index of its first number in a pane, and number of its numbers. */
  readonly offset: number;
  readonly width: number;
  /** Index among the lists of values that a pane keeps; −1 for an aggregate that keeps none. */
  readonly kept: number;
  /** Domain of the values kept, to decode them when they leave memory. */
  readonly domain: Domain | undefined;
  /** Type of the result. */
  readonly type: ValueType;
}

export interface KeyPart {
  readonly name: string;
  readonly type: ValueType;
  readonly domain: Domain | undefined;
}

/** Panes are stored in arrays of 2^12. */
export const CHUNK_BITS = 12;
export const CHUNK_MASK = (1 << CHUNK_BITS) - 1;

/** An open window, as compiled code sees it. */
export interface OpenWindow {
  /** Epoch ms; the window holds start ≤ time < end. */
  readonly start: number;
  readonly end: number;
  /** Numbers of the panes: `width` per pane, 2^12 panes per array. */
  readonly panes: { readonly numbers: readonly Float64Array[] };
  /** The pane of a key, opened if necessary, and marked as changed. */
  pane(key: Float64Array): number;
  /** Adds a value to one of the pane's lists, or to its count there; false if the list already has it. */
  keep(pane: number, list: number, value: number): boolean;
}

/** A span of times, from ≤ time < to, epoch ms, and the windows that hold it and still take trips. */
export interface OpenSlice {
  readonly from: number;
  readonly to: number;
  readonly windows: readonly OpenWindow[];
  /** Whether other windows hold it too, which take no more trips. */
  readonly missed: boolean;
}

/** The open windows of a view. */
export interface OpenWindows {
  /** The windows that hold a time (epoch ms), opened if necessary; of a view by sessions, the slice that the session lies in. */
  sliceAt(time: number): OpenSlice;
}

/** Two numbers of a pane of a session, behind those of its aggregates: when its first and its last trip were, epoch ms. */
export const SESSION_WIDTH = 2;

export interface CompiledView {
  readonly view: View;
  readonly key: readonly KeyPart[];
  readonly states: readonly AggregateState[];
  /** Number of a pane's numbers, and of the lists of values that it keeps; whether some of those are counted. */
  readonly width: number;
  readonly lists: number;
  readonly counted: boolean;
  /** Where the times of a session are among a pane's numbers; −1 for other windows. */
  readonly sessionAt: number;
  /** Fills a new pane's numbers at `base`. */
  initial(numbers: Float64Array, base: number): void;
  /**
   * Counts rows [from, to) whose outcome isn't `skip` into the windows of `time` (epoch ms), and sets outcome bits. Returns how many
   * trips satisfy `where` but lack a part of the key, or the time that the view goes by.
   */
  accumulate(
    from: number,
    to: number,
    time: Float64Array,
    outcomes: Uint8Array,
    windows: OpenWindows,
  ): number;
  /** The aggregates of a pane in the order of `states`; NaN means no value. */
  values(numbers: Float64Array, base: number): number[];
  /** How many values each aggregate is made of; NaN where its state doesn't tell. */
  madeOf(numbers: Float64Array, base: number): number[];
  /** Adds the numbers of another pane of the same key, except what comes from its lists of values. */
  merge(into: Float64Array, at: number, from: Float64Array, base: number): void;
  /** Whether a result satisfies `having`. */
  having(values: readonly number[]): boolean;
}
