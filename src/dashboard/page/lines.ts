/** The chart of average minutes to each airport over event time. */
import { byId, draw, fill, make, setText } from './elements.ts';
import { decimal, timeOf } from './format.ts';
import type { Frame } from './frames.ts';
import { INSET, placeOf, ticks } from './timeline.ts';

export const AIRPORTS = ['JFK', 'LGA'] as const;
const HEIGHT = 190;
const TOP = 10;
const BOTTOM = 24;
const LEFT = 26;
/** Room for the names at the line ends. */
const RIGHT = 24;
const NAME_HEIGHT = 13;
/** Half the width of a time label. */
const WHEN_WIDTH = 18;

export function minutesOf(frame: Frame, airport: string): number | undefined {
  const sum = frame.airports.get(airport);
  return sum && sum.minutes / sum.trips;
}

export class Lines {
  readonly #box = byId('lines');
  readonly #key = byId('minutes-key');
  readonly #svg = draw('svg', { height: HEIGHT });
  readonly #onPick: (index: number) => void;
  #frames: readonly Frame[] = [];
  #index = 0;
  #pointed: number | undefined;
  #width = 0;
  #top = 60;

  constructor(onPick: (index: number) => void) {
    this.#onPick = onPick;
    this.#box.append(this.#svg);
    for (const airport of AIRPORTS) {
      this.#key.append(make('span', { class: `airport ${airport}` }, `${airport} `, make('b', {}, '–')));
    }
    new ResizeObserver(([entry]) => {
      this.#width = entry!.contentRect.width;
      this.#draw();
    }).observe(this.#box);
    this.#box.addEventListener('pointermove', (event) => this.#point(this.#at(event.offsetX)));
    this.#box.addEventListener('pointerleave', () => this.#point(undefined));
    this.#box.addEventListener('click', (event) => this.#onPick(this.#at(event.offsetX)));
  }

  show(frames: readonly Frame[]): void {
    this.#frames = frames;
    byId('minutes').hidden = !frames.some(({ airports }) => airports.size > 0);
    this.#draw();
  }

  /** Marks the current window and shows its figures. */
  mark(index: number): void {
    this.#index = index;
    this.#render();
  }

  /** Width of the axis. */
  get #span(): number {
    return Math.max(0, this.#width - LEFT - RIGHT);
  }

  #at(x: number): number {
    const share = (x - LEFT - INSET) / Math.max(1, this.#span - 2 * INSET);
    return Math.max(0, Math.min(this.#frames.length - 1, Math.round(share * (this.#frames.length - 1))));
  }

  #point(index: number | undefined): void {
    if (index === this.#pointed) return;
    this.#pointed = index;
    this.#render();
  }

  #render(): void {
    const index = this.#pointed ?? this.#index;
    const frame = this.#frames[index];
    AIRPORTS.forEach((airport, i) => {
      const minutes = frame && minutesOf(frame, airport);
      setText(this.#key.children[i]!.querySelector('b')!, minutes === undefined ? '–' : decimal(minutes));
    });
    const x = this.#x(index);
    const cursor = this.#svg.querySelector('.cursor');
    cursor?.setAttribute('d', `M${x.toFixed(1)} ${TOP}V${HEIGHT - BOTTOM}`);
    const label = this.#svg.querySelector('.when');
    if (label) {
      setText(label, frame && this.#pointed !== undefined ? timeOf(frame.start) : '');
      label.setAttribute('x', String(Math.min(x, this.#width - WHEN_WIDTH)));
    }
    this.#svg.querySelectorAll<SVGCircleElement>('circle').forEach((dot, i) => {
      const minutes = frame && minutesOf(frame, AIRPORTS[i]!);
      dot.setAttribute('cx', String(x));
      dot.setAttribute('cy', String(minutes === undefined ? -10 : this.#y(minutes)));
    });
  }

  #x(index: number): number {
    return LEFT + placeOf(index, this.#frames.length, this.#span);
  }

  #y(minutes: number): number {
    return HEIGHT - BOTTOM - (minutes / this.#top) * (HEIGHT - BOTTOM - TOP);
  }

  #draw(): void {
    if (this.#width === 0) return;
    const frames = this.#frames;
    this.#svg.setAttribute('width', String(this.#width));
    let most = 0;
    for (const frame of frames)
      for (const airport of AIRPORTS) most = Math.max(most, minutesOf(frame, airport) ?? 0);
    this.#top = Math.max(30, Math.ceil(most / 15) * 15);
    const every = this.#top > 150 ? 60 : this.#top > 75 ? 30 : 15;
    const grid: SVGElement[] = [];
    for (let minutes = 0; minutes <= this.#top; minutes += every) {
      const y = this.#y(minutes);
      grid.push(draw('path', { class: 'rule', d: `M${LEFT} ${y}h${this.#span}` }));
      grid.push(draw('text', { class: 'tick side', x: LEFT - 6, y: y + 4 }, String(minutes)));
    }
    fill(
      this.#svg,
      grid,
      ticks(frames, this.#span).map(({ x, text }) =>
        draw('text', { class: 'tick', x: LEFT + x, y: HEIGHT - 6 }, text),
      ),
      draw('path', { class: 'cursor' }),
      AIRPORTS.map((airport) => draw('path', { class: `line ${airport}`, d: this.#path(airport) })),
      AIRPORTS.map((airport) => draw('circle', { class: airport, r: 3.5, cy: -10 })),
      this.#names(),
      draw('text', { class: 'tick when', y: TOP }),
    );
    this.#render();
  }

  /** Names at the line ends, so that the lines can be told apart without colours. */
  #names(): SVGElement[] {
    const ends = AIRPORTS.flatMap((airport) => {
      const last = this.#frames.findLastIndex(({ airports }) => airports.has(airport));
      if (last < 0) return [];
      return { airport, x: this.#x(last) + 5, y: this.#y(minutesOf(this.#frames[last]!, airport)!) + 4 };
    }).sort((a, b) => a.y - b.y);
    const [upper, lower] = ends;
    const overlap = upper && lower ? NAME_HEIGHT - (lower.y - upper.y) : 0;
    return ends.map(({ airport, x, y }, i) => {
      const moved = overlap > 0 ? y + (i === 0 ? -overlap / 2 : overlap / 2) : y;
      return draw('text', { class: `end ${airport}`, x, y: moved }, airport);
    });
  }

  /** A line through neighbouring windows, broken where a window has no trips. */
  #path(airport: string): string {
    let path = '';
    let broken = true;
    this.#frames.forEach((frame, i) => {
      const minutes = minutesOf(frame, airport);
      if (minutes === undefined) {
        broken = true;
        return;
      }
      const point = `${this.#x(i).toFixed(1)} ${this.#y(minutes).toFixed(1)}`;
      // A window whose neighbours have no trips is a dot.
      path += broken ? `M${point}h.01` : `L${point}`;
      broken = false;
    });
    return path;
  }
}
