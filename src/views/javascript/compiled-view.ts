/** What the engine and a compiled view need of each other. */
import type { Aggregate, ValueType, View } from '../language.ts';
import type { Domain } from './domain.ts';

/**
 * What became of a trip in the views, as bits: `partly` late is late in some windows of a view and in time for others.
 */
export const OUTCOME = { skip: 1, used: 2, late: 4, partly: 8 } as const;

/** An aggregate's numbers in a pane. */
export interface AggregateState {
  readonly name: string;
  readonly aggregate: Aggregate;
  /** Its first number in a pane, and how many it has. */
  readonly offset: number;
  readonly width: number;
  /** Its place among the distinct counts of a pane; −1 for any other aggregate. */
  readonly distinct: number;
  /** How a distinct value is told from another once it leaves memory. */
  readonly domain: Domain | undefined;
  /** Of its result. */
  readonly type: ValueType;
}

export interface KeyPart {
  readonly name: string;
  readonly type: ValueType;
  readonly domain: Domain | undefined;
}

/** Panes lie in arrays of 2^12. */
export const CHUNK_BITS = 12;
export const CHUNK_MASK = (1 << CHUNK_BITS) - 1;

/** An open window, as far as compiled code goes. */
export interface OpenWindow {
  /** Epoch ms; the window holds start ≤ time < end. */
  readonly start: number;
  readonly end: number;
  /** Numbers of the panes: `width` per pane, 2^12 panes per array. */
  readonly panes: { readonly numbers: readonly Float64Array[] };
  /** The pane of a key, opened when need be, and marked as changed. */
  pane(key: Float64Array): number;
  /** Adds a value to a distinct count; false when the pane has it already. */
  addDistinct(pane: number, distinct: number, value: number): boolean;
}

/** The open windows of a view. */
export interface OpenWindows {
  /**
   * The last window that holds `time` (epoch ms) for `key`, opened when need be; undefined when it takes no more trips.
   * Windows of fixed times hold all keys; a session holds one.
   */
  windowAt(time: number, key: Float64Array): OpenWindow | undefined;
}

export interface CompiledView {
  readonly view: View;
  readonly key: readonly KeyPart[];
  readonly states: readonly AggregateState[];
  /** Numbers of a pane, and how many of them are distinct counts. */
  readonly width: number;
  readonly distincts: number;
  /** Fills a new pane's numbers at `base`. */
  initial(numbers: Float64Array, base: number): void;
  /** Takes rows [from, to) whose outcome isn't `skip` into the windows of `time` (epoch ms), and adds to outcomes. */
  accumulate(from: number, to: number, time: Float64Array, outcomes: Uint8Array, windows: OpenWindows): void;
  /** The aggregates of a pane in the order of `states`; NaN stands for "no value". */
  values(numbers: Float64Array, base: number): number[];
  /** Adds the numbers of another pane of the same key. Distinct counts stay as they are: they need the values. */
  merge(into: Float64Array, at: number, from: Float64Array, base: number): void;
  /** Whether a pane's result matters. */
  having(values: readonly number[]): boolean;
}
