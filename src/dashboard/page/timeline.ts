/** The slider over all windows: drag, keys, play, pause, follow the newest; a tip with the window under the pointer. */

import { byId, draw, fill, make, setText } from './elements.ts';
import { dayOf, shortDayOf, spanWords } from './format.ts';
import type { Frame } from './frames.ts';
import { INSET, placeOf, ticks } from './window-axis.ts';

export interface TimelineOptions {
  /** The current window is another; `settled` is false while it moves on by itself or is dragged. */
  onChange(settled: boolean): void;
  /** The figure of a window, in words. */
  words(index: number): string;
  /** Whether all of a window is there to be shown; if not, playing waits. */
  isReady(index: number): boolean;
}

const PLAY_MS = 160;
const PLAY = 'M7 4.500v15l12.500-7.500z';
const PAUSE = 'M6.500 5h4v14h-4zM13.500 5h4v14h-4z';
const BARS_HEIGHT = 44;

export class Timeline {
  readonly #slider = byId<HTMLInputElement>('slider');
  readonly #play = byId<HTMLButtonElement>('play');
  readonly #live = byId<HTMLButtonElement>('live');
  readonly #profile = byId<SVGSVGElement>('profile');
  readonly #tip = byId('time-tip');
  readonly #o: TimelineOptions;
  #frames: readonly Frame[] = [];
  #values: Float64Array = new Float64Array();
  #index = 0;
  #following = true;
  #timer: number | undefined;
  #width = 0;
  #bar = 1;

  constructor(options: TimelineOptions) {
    this.#o = options;
    this.#slider.addEventListener('input', () => {
      // Pausing draws the slider where it was.
      const index = Number(this.#slider.value);
      this.#pause();
      this.#go(index, false, false);
    });
    this.#slider.addEventListener('change', () => options.onChange(true));
    this.#play.addEventListener('click', () => this.toggle());
    this.#live.addEventListener('click', () => this.follow());
    this.#slider.addEventListener('pointermove', (event) => this.#point(event.offsetX));
    this.#slider.addEventListener('pointerleave', () => this.#point(undefined));
    new ResizeObserver(([entry]) => {
      this.#width = entry!.contentRect.width;
      this.#drawProfile();
    }).observe(this.#profile.parentElement!);
  }

  /** Index of the current window. */
  get index(): number {
    return this.#index;
  }

  /** Whether the newest window is followed. */
  get isFollowing(): boolean {
    return this.#following;
  }

  get isPlaying(): boolean {
    return this.#timer !== undefined;
  }

  /** Sets the windows, with a figure of each; stays at the current one, or follows the newest. */
  show(frames: readonly Frame[], values: Float64Array, indexOf: (label: number) => number): void {
    const at = this.#frames[this.#index]?.label;
    this.#frames = frames;
    this.#values = values;
    const last = frames.length - 1;
    // A new state may end before the current window; then follow its newest.
    if (at === undefined || at > (frames[last]?.label ?? Number.NEGATIVE_INFINITY)) this.#following = true;
    this.#index = this.#following || at === undefined ? Math.max(0, last) : indexOf(at);
    this.#slider.max = String(Math.max(0, last));
    for (const control of [this.#slider, this.#play, this.#live]) control.disabled = frames.length === 0;
    this.#drawProfile();
    this.#render();
  }

  /** Goes to a window, or to the newest and on with it, without the user's doing. */
  turnTo(index: number | 'newest'): void {
    this.#pause();
    const last = this.#frames.length - 1;
    this.#go(index === 'newest' ? last : index, index === 'newest', false);
  }

  goTo(index: number): void {
    this.#pause();
    this.#go(index, false, true);
  }

  /** Moves by so many windows. */
  step(windows: number): void {
    this.goTo(this.#index + windows);
  }

  /** Goes to the newest window and on with it. */
  follow(): void {
    this.#pause();
    this.#go(this.#frames.length - 1, true, true);
  }

  toggle(): void {
    if (this.isPlaying) {
      this.#pause();
      this.#o.onChange(true);
      return;
    }
    const last = this.#frames.length - 1;
    if (last < 1) return;
    if (this.#index >= last) this.#go(0, false, false);
    this.#timer = window.setInterval(() => this.#advance(), PLAY_MS);
    this.#render();
  }

  #advance(): void {
    const next = this.#index + 1;
    if (!this.#o.isReady(next)) return;
    const isLast = next >= this.#frames.length - 1;
    if (isLast) this.#pause();
    this.#go(next, isLast, isLast);
  }

  #go(index: number, following: boolean, settled: boolean): void {
    this.#index = Math.max(0, Math.min(index, this.#frames.length - 1));
    this.#following = following;
    this.#render();
    this.#o.onChange(settled);
  }

  #pause(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#render();
  }

  #render(): void {
    this.#slider.value = String(this.#index);
    setText(this.#play.querySelector('span')!, this.isPlaying ? 'Pause' : 'Play');
    this.#play.querySelector('path')!.setAttribute('d', this.isPlaying ? PAUSE : PLAY);
    this.#live.setAttribute('aria-pressed', String(this.#following));
    const frame = this.#frames[this.#index];
    if (!frame) return;
    const text = `${dayOf(frame.start)}, ${spanWords(frame.start, frame.end).replace(' – ', ' to ')}: ${this.#o.words(this.#index)}`;
    this.#slider.setAttribute('aria-valuetext', text);
    this.#profile.querySelector('.done')?.setAttribute('width', String(this.#doneWidth));
  }

  /** Width up to the end of the bar of the current window. */
  get #doneWidth(): number {
    return placeOf(this.#index, this.#frames.length, this.#width) + this.#bar / 2;
  }

  #point(x: number | undefined): void {
    const last = this.#frames.length - 1;
    const share = ((x ?? 0) - INSET) / Math.max(1, this.#width - 2 * INSET);
    const index = Math.max(0, Math.min(last, Math.round(share * last)));
    const frame = x === undefined ? undefined : this.#frames[index];
    this.#tip.hidden = !frame;
    if (!frame) return;
    fill(
      this.#tip,
      make('b', {}, `${shortDayOf(frame.start)}, ${spanWords(frame.start, frame.end)}`),
      ` ${this.#o.words(index)}`,
    );
    const at = placeOf(index, this.#frames.length, this.#width) - this.#tip.offsetWidth / 2;
    const left = Math.max(0, Math.min(at, this.#width - this.#tip.offsetWidth));
    this.#tip.style.transform = `translateX(${Math.round(left)}px)`;
  }

  /** Draws the figure of each window behind the slider, and the times below it. */
  #drawProfile(): void {
    const frames = this.#frames;
    this.#profile.setAttribute('viewBox', `0 0 ${this.#width} 64`);
    const most = this.#values.reduce((greatest, value) => (value > greatest ? value : greatest), 0);
    const step = frames.length > 1 ? (this.#width - 2 * INSET) / (frames.length - 1) : 0;
    this.#bar = Math.max(1, step * 0.72);
    const bars = this.#bars(most);
    const clip = draw(
      'clipPath',
      { id: 'done' },
      draw('rect', { class: 'done', x: 0, y: 0, height: 64, width: this.#doneWidth }),
    );
    fill(
      this.#profile,
      clip,
      draw('path', { class: 'bars', d: bars }),
      draw('path', { class: 'bars past', d: bars, 'clip-path': 'url(#done)' }),
      ticks(frames, this.#width).map(({ x, text, isDay }) =>
        draw('text', { x, y: 60, class: isDay ? 'tick day' : 'tick' }, text),
      ),
    );
  }

  #bars(most: number): string {
    let bars = '';
    // Of bars in one pixel, the highest is drawn.
    let [pixel, tallest] = [Number.NEGATIVE_INFINITY, 0];
    this.#values.forEach((value, i) => {
      if (!(value > 0) || most === 0) return;
      const x = placeOf(i, this.#frames.length, this.#width) - this.#bar / 2;
      const tall = Math.max(1, (value / most) * BARS_HEIGHT);
      if (Math.round(x) === pixel && tall <= tallest) return;
      [pixel, tallest] = [Math.round(x), tall];
      bars += `M${x.toFixed(1)} ${BARS_HEIGHT}v${(-tall).toFixed(1)}h${this.#bar.toFixed(1)}v${tall.toFixed(1)}z`;
    });
    return bars;
  }
}
