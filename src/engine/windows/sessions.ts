/**
 * Sessions: trips of a key with no more than a gap between one and the next. Times are cut into windows as long as the gap, so all that a
 * key has in one of them is in one session, and only the next window can go on with it. When both are complete, the pane moves on
 * into the next window, or the session is over.
 */
import type { CompiledView, OpenWindow } from '../../views/javascript/compiled-view.ts';
import type { Key, StoredRun, WindowSpan } from './pane-runs.ts';

/** A window in memory, as far as a session looks into it. */
export interface NextWindow extends OpenWindow {
  readonly panes: OpenWindow['panes'] & {
    find(key: Float64Array): number;
    numbersOf(row: number): Float64Array;
    baseOf(row: number): number;
  };
}

/** Tells which sessions go on in the next window. */
export class SessionJoin {
  readonly #view: CompiledView;
  readonly #gap: number;
  readonly #next: NextWindow | undefined;
  readonly #stored: readonly StoredRun[];
  readonly #codes: Float64Array;

  /** `next` and `stored` are the parts of the next window. */
  constructor(view: CompiledView, next: NextWindow | undefined, stored: readonly StoredRun[]) {
    const { window } = view.view;
    if (window.kind !== 'session') throw new Error('a view without sessions');
    this.#view = view;
    this.#gap = window.gap_ms;
    this.#next = next;
    this.#stored = stored;
    this.#codes = new Float64Array(view.key.length);
  }

  /** Whether the next window has a trip of a key soon enough. Keys must come in order. */
  goesOn(key: Key, numbers: Float64Array): boolean {
    const at = this.#view.sessionAt;
    return this.#firstInNext(key) <= numbers[at + 1]! + this.#gap;
  }

  #firstInNext(key: Key): number {
    const at = this.#view.sessionAt;
    let first = Number.POSITIVE_INFINITY;
    for (const run of this.#stored) if (run.seek(key)) first = Math.min(first, run.numbers[at]!);
    const panes = this.#next?.panes;
    const pane = panes?.find(this.codes(key)) ?? -1;
    return pane < 0 ? first : Math.min(first, panes!.numbersOf(pane)[panes!.baseOf(pane) + at]!);
  }

  /** A key as codes; valid until the next call. */
  codes(key: Key): Float64Array {
    for (const [i, { domain }] of this.#view.key.entries())
      this.#codes[i] = domain ? domain.encode(String(key[i])) : Number(key[i]);
    return this.#codes;
  }

  /** From its first trip to a gap behind the last one. */
  spanOf(numbers: Float64Array): WindowSpan {
    const at = this.#view.sessionAt;
    return { windowStart: numbers[at]!, windowEnd: numbers[at + 1]! + this.#gap };
  }
}
