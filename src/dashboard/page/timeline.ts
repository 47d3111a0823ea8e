/** The slider over all windows: drag, keys, play, pause, follow the newest. */
import { byId, draw, fill, setText } from './elements.ts';
import { count, dayOf, shortDayOf, timeOf } from './format.ts';
import type { Frame } from './frames.ts';

const PLAY_MS = 160;
const PLAY = 'M7 4.500v15l12.500-7.500z';
const PAUSE = 'M6.500 5h4v14h-4zM13.500 5h4v14h-4z';
/** Least distance of the thumb's centre from the ends of the track, in pixels. */
export const INSET = 9;
const LABEL_WIDTH = 44;
const ROOMY_LABEL_WIDTH = 64;
const MINUTE = 60_000;
const TICKS = [10, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080].map((minutes) => minutes * MINUTE);

export class Timeline {
  readonly #slider = byId<HTMLInputElement>('slider');
  readonly #play = byId<HTMLButtonElement>('play');
  readonly #live = byId<HTMLButtonElement>('live');
  readonly #profile = byId<SVGSVGElement>('profile');
  readonly #onChange: () => void;
  #frames: readonly Frame[] = [];
  #index = 0;
  #following = true;
  #timer: number | undefined;
  #width = 0;
  #bar = 1;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
    this.#slider.addEventListener('input', () => {
      this.goTo(Number(this.#slider.value));
    });
    this.#slider.addEventListener('keydown', (event) => {
      if (event.key !== ' ') return;
      event.preventDefault();
      this.#toggle();
    });
    this.#play.addEventListener('click', () => this.#toggle());
    this.#live.addEventListener('click', () => {
      this.#pause();
      this.#go(this.#frames.length - 1, true);
    });
    new ResizeObserver(([entry]) => {
      this.#width = entry!.contentRect.width;
      this.#drawProfile();
    }).observe(this.#profile.parentElement!);
  }

  /** Index of the current window. */
  get index(): number {
    return this.#index;
  }

  /** Sets the windows; stays at the current one, or follows the newest. */
  show(frames: readonly Frame[], indexOf: (start: number) => number): void {
    const at = this.#frames[this.#index]?.start;
    this.#frames = frames;
    const last = frames.length - 1;
    // A new state may end before the current window; then follow its newest.
    if (at === undefined || at > (frames[last]?.start ?? Number.NEGATIVE_INFINITY)) this.#following = true;
    this.#index = this.#following || at === undefined ? Math.max(0, last) : indexOf(at);
    this.#slider.max = String(Math.max(0, last));
    for (const control of [this.#slider, this.#play, this.#live]) control.disabled = frames.length === 0;
    this.#drawProfile();
    this.#render();
  }

  /** Goes to a window unless the user has chosen one. */
  suggest(index: number): void {
    if (this.#following) this.#go(index, false);
  }

  goTo(index: number): void {
    this.#pause();
    this.#go(index, false);
  }

  #go(index: number, following: boolean): void {
    this.#index = Math.max(0, Math.min(index, this.#frames.length - 1));
    this.#following = following;
    this.#render();
    this.#onChange();
  }

  #toggle(): void {
    if (this.#timer !== undefined) {
      this.#pause();
      return;
    }
    const last = this.#frames.length - 1;
    if (this.#index >= last) this.#go(0, false);
    this.#following = false;
    this.#timer = window.setInterval(() => this.#step(), PLAY_MS);
    this.#render();
  }

  #step(): void {
    const last = this.#frames.length - 1;
    if (this.#index + 1 >= last) this.#pause();
    this.#go(this.#index + 1, this.#index + 1 >= last);
  }

  #pause(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#render();
  }

  #render(): void {
    const playing = this.#timer !== undefined;
    this.#slider.value = String(this.#index);
    setText(this.#play.querySelector('span')!, playing ? 'Pause' : 'Play');
    this.#play.querySelector('path')!.setAttribute('d', playing ? PAUSE : PLAY);
    this.#live.setAttribute('aria-pressed', String(this.#following));
    const frame = this.#frames[this.#index];
    if (!frame) return;
    const text = `${dayOf(frame.start)}, ${timeOf(frame.start)} to ${timeOf(frame.end)}: ${count(frame.total)} pick-ups`;
    this.#slider.setAttribute('aria-valuetext', text);
    this.#profile.querySelector('.done')?.setAttribute('width', String(this.#doneWidth));
  }

  /** Width up to the end of the bar of the current window. */
  get #doneWidth(): number {
    return placeOf(this.#index, this.#frames.length, this.#width) + this.#bar / 2;
  }

  /** Draws the pick-ups of each window behind the slider, and the times below it. */
  #drawProfile(): void {
    const height = 44;
    const frames = this.#frames;
    this.#profile.setAttribute('viewBox', `0 0 ${this.#width} 64`);
    const most = frames.reduce((greatest, { total }) => Math.max(greatest, total), 1);
    const step = frames.length > 1 ? (this.#width - 2 * INSET) / (frames.length - 1) : 0;
    const bar = Math.max(1, step * 0.72);
    this.#bar = bar;
    let bars = '';
    frames.forEach(({ total }, i) => {
      if (total === 0) return;
      const x = placeOf(i, frames.length, this.#width) - bar / 2;
      const tall = Math.max(1, (total / most) * height);
      bars += `M${x.toFixed(1)} ${height}v${(-tall).toFixed(1)}h${bar.toFixed(1)}v${tall.toFixed(1)}z`;
    });
    const clip = draw(
      'clipPath',
      { id: 'done' },
      draw('rect', {
        class: 'done',
        x: 0,
        y: 0,
        height: 64,
        width: this.#doneWidth,
      }),
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
}

/** Position of a window on an axis of all windows, in pixels. */
export function placeOf(index: number, windows: number, width: number): number {
  return windows > 1 ? INSET + (index / (windows - 1)) * Math.max(0, width - 2 * INSET) : width / 2;
}

export interface Tick {
  readonly index: number;
  readonly x: number;
  readonly text: string;
  readonly isDay: boolean;
}

/** Round times with enough room for their labels. */
export function ticks(frames: readonly Frame[], width: number): Tick[] {
  if (frames.length < 2 || width < 2 * INSET + LABEL_WIDTH) return [];
  const room = width > 600 ? ROOMY_LABEL_WIDTH : LABEL_WIDTH;
  const step = frames[1]!.start - frames[0]!.start;
  const perLabel = (room / (width - 2 * INSET)) * (frames.length - 1) * step;
  const every = TICKS.find((size) => size >= perLabel && size >= step) ?? TICKS.at(-1)!;
  const found: Tick[] = [];
  frames.forEach(({ start }, index) => {
    const x = placeOf(index, frames.length, width);
    if (start % every !== 0 || x < 16 || x > width - 16) return;
    if (x - (found.at(-1)?.x ?? -room) < room * 0.8) return;
    const isDay = start % TICKS[7]! === 0;
    found.push({ index, x, text: isDay ? shortDayOf(start) : timeOf(start), isDay });
  });
  return found;
}
