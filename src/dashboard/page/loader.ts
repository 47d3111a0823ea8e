/** Loads the results of windows, as many as a page can hold: the window at hand first, then the newest ones. */
import type { Frames } from './frames.ts';
import type { Source } from './source.ts';

export interface LoaderOptions {
  readonly source: Source;
  readonly frames: Frames;
  /** Index of the window at hand, and whether the ones after it are wanted next. */
  readonly at: () => { readonly index: number; readonly isPlaying: boolean };
  /** Something was loaded. */
  onLoaded(): void;
}

/** Ms between drawings while results are loaded. */
const DRAW_MS = 200;
/** Windows ahead of the one at hand that are loaded while it plays. */
const AHEAD = 8;

export class Loader {
  readonly #o: LoaderOptions;
  #view = '';
  /** Grows with each view, so that answers for an earlier one are dropped. */
  #turn = 0;
  #isLoading = false;

  constructor(options: LoaderOptions) {
    this.#o = options;
  }

  /** Drops what is on its way; nothing is loaded until it begins again. */
  hold(): void {
    this.#turn++;
    this.#isLoading = true;
  }

  /** Loads from another view, or the same one anew. */
  begin(view: string): void {
    this.#view = view;
    this.#turn++;
    this.#isLoading = false;
    void this.load();
  }

  /** Loads what is missing, unless that goes on already. */
  async load(): Promise<void> {
    if (this.#isLoading) return;
    const turn = this.#turn;
    this.#isLoading = true;
    const { frames, source, at, onLoaded } = this.#o;
    let drawnAt = Date.now();
    try {
      for (let label = this.#next(); label !== undefined; label = this.#next()) {
        const { windows } = await source.windows(this.#view, label + 1);
        if (turn !== this.#turn) return;
        frames.take(windows, true);
        // What the state has no more is empty.
        if (frames.at(label)?.rows === undefined) frames.takeNone(label);
        const isAtHand = frames.list[at().index]?.label === label;
        if (!isAtHand && Date.now() - drawnAt < DRAW_MS && this.#next() !== undefined) continue;
        onLoaded();
        drawnAt = Date.now();
      }
    } catch {
      // The connection reports the loss, and begins again.
    } finally {
      if (turn === this.#turn) this.#isLoading = false;
    }
  }

  /** Label of the window to load next. */
  #next(): number | undefined {
    const { frames, at } = this.#o;
    const { list } = frames;
    const { index, isPlaying } = at();
    const frame = list[index];
    if (frame && !frame.rows) {
      frames.makeRoom(frame.label);
      return frame.label;
    }
    const ahead = isPlaying
      ? list.slice(index + 1, index + 1 + AHEAD).findLast(({ rows }) => !rows)
      : undefined;
    if (ahead) return ahead.label;
    return frames.hasRoom ? list.findLast(({ rows }) => !rows)?.label : undefined;
  }
}
