/** A chart of figures over event time: lines, bands of percentiles, single points, and the window under the pointer. */

import { type Content, draw, fill, make } from './elements.ts';
import type { Series } from './figures.ts';
import { shortDayOf, spanWords } from './format.ts';
import type { Frame } from './frames.ts';
import { axisOf, INSET, placeOf, steps, ticks } from './window-axis.ts';

export interface Line extends Series {
  /** Number of its colour, from 1. */
  readonly colour: number;
}

export interface Picked {
  /** With the index of the window that was clicked. */
  onPick(index: number): void;
  /** A value as text. */
  text(value: number): string;
}

const TOP = 12;
const BOTTOM = 24;
const RIGHT = 12;
const NAME_HEIGHT = 13;
const GLYPH = 6.4;
/** Characters of a name at the end of a line. */
const NAME_LENGTH = 16;

export class Lines {
  readonly #svg = draw('svg', { 'aria-hidden': 'true' });
  readonly #tip = make('div', { class: 'tip chart-tip' });
  readonly #o: Picked;
  #frames: readonly Frame[] = [];
  #lines: readonly Line[] = [];
  #isTime = false;
  #index = 0;
  #pointed: number | undefined;
  #width = 0;
  #height = 0;
  #left = 30;
  #right = RIGHT;
  #range: readonly [low: number, high: number] = [0, 1];

  constructor(box: HTMLElement, options: Picked) {
    this.#o = options;
    this.#tip.hidden = true;
    box.append(this.#svg, this.#tip);
    new ResizeObserver(([entry]) => {
      this.#width = entry!.contentRect.width;
      this.#height = entry!.contentRect.height;
      this.#draw();
    }).observe(box);
    box.addEventListener('pointermove', (event) => this.#point(this.#at(event.offsetX)));
    box.addEventListener('pointerleave', () => this.#point(undefined));
    box.addEventListener('click', (event) => options.onPick(this.#at(event.offsetX)));
  }

  /** `isTime`: values are times, so that the axis doesn't begin at 0. */
  show(frames: readonly Frame[], lines: readonly Line[], isTime = false): void {
    this.#frames = frames;
    this.#lines = lines;
    this.#isTime = isTime;
    this.#draw();
  }

  /** Marks the current window. */
  mark(index: number): void {
    this.#index = index;
    this.#render();
  }

  get #span(): number {
    return Math.max(0, this.#width - this.#left - this.#right);
  }

  #at(x: number): number {
    const share = (x - this.#left - INSET) / Math.max(1, this.#span - 2 * INSET);
    return Math.max(0, Math.min(this.#frames.length - 1, Math.round(share * (this.#frames.length - 1))));
  }

  #point(index: number | undefined): void {
    if (index === this.#pointed) return;
    this.#pointed = index;
    this.#render();
  }

  #render(): void {
    const index = this.#pointed ?? this.#index;
    const x = index < 0 ? -10 : this.#x(index);
    const bottom = this.#height - BOTTOM;
    this.#svg.querySelector('.cursor')?.setAttribute('d', `M${x.toFixed(1)} ${TOP}V${bottom}`);
    this.#svg.querySelectorAll<SVGCircleElement>('circle').forEach((dot, i) => {
      const value = this.#lines[i]?.values[index] ?? Number.NaN;
      dot.setAttribute('cx', x.toFixed(1));
      dot.setAttribute('cy', Number.isNaN(value) ? '-10' : this.#y(value).toFixed(1));
    });
    this.#renderTip(x);
  }

  #renderTip(x: number): void {
    const frame = this.#pointed === undefined ? undefined : this.#frames[this.#pointed];
    this.#tip.hidden = !frame;
    if (!frame) return;
    const rows = this.#lines.flatMap((line) => this.#tipRow(line));
    fill(
      this.#tip,
      make('p', { class: 'where' }, `${shortDayOf(frame.start)}, ${spanWords(frame.start, frame.end)}`),
      rows,
    );
    const left = x > this.#width / 2 ? x - this.#tip.offsetWidth - 12 : x + 12;
    this.#tip.style.transform = `translate(${Math.round(Math.max(0, left))}px, 4px)`;
  }

  #tipRow({ name, values, band, of, colour }: Line): Content[] {
    const at = this.#pointed!;
    const value = values[at]!;
    if (Number.isNaN(value)) return [];
    const text = (of: number) => this.#o.text(of);
    const range = band ? ` (${text(band[0][at]!)} – ${text(band[1][at]!)})` : '';
    const n = of?.[at];
    const made = n !== undefined && !Number.isNaN(n) && n !== value ? ` n ${this.#o.text(n)}` : '';
    const figure = make('b', {}, text(value));
    return [make('p', { class: `series s${colour}` }, `${name} `, figure, `${range}${made}`)];
  }

  #x(index: number): number {
    return this.#left + placeOf(index, this.#frames.length, this.#span);
  }

  #y(value: number): number {
    const [low, high] = this.#range;
    return this.#height - BOTTOM - ((value - low) / (high - low)) * (this.#height - BOTTOM - TOP);
  }

  #draw(): void {
    if (this.#width === 0 || this.#height === 0) return;
    const [low, high, every] = axisOf(this.#lines, Math.max(2, Math.floor(this.#height / 56)), this.#isTime);
    this.#range = [low, high];
    const values = steps(low, high, every);
    const names = values.map((value) => this.#o.text(value));
    this.#left = 12 + names.reduce((most, { length }) => Math.max(most, length), 0) * GLYPH;
    const ends = this.#lines.map(({ name }) =>
      this.#lines.length > 1 ? Math.min(name.length, NAME_LENGTH) : 0,
    );
    this.#right =
      RIGHT + Math.min(this.#width / 4, ends.reduce((most, length) => Math.max(most, length), 0) * GLYPH);
    this.#svg.setAttribute('width', String(this.#width));
    this.#svg.setAttribute('height', String(this.#height));
    fill(
      this.#svg,
      values.map((value, i) => {
        const y = this.#y(value).toFixed(1);
        return [
          draw('path', { class: 'rule', d: `M${this.#left} ${y}h${this.#span}` }),
          draw('text', { class: 'tick side', x: this.#left - 6, y: Number(y) + 4 }, names[i]!),
        ];
      }),
      ticks(this.#frames, this.#span).map(({ x, text, isDay }) =>
        draw('text', { class: isDay ? 'tick day' : 'tick', x: this.#left + x, y: this.#height - 6 }, text),
      ),
      this.#lines.map((line) => this.#drawBand(line)),
      draw('path', { class: 'cursor' }),
      this.#lines.map((line) => this.#drawLine(line)),
      this.#lines.map(({ colour }) => draw('circle', { class: `s${colour}`, r: 3.5, cy: -10 })),
      this.#lines.length > 1 ? this.#drawNames() : [],
    );
    this.#render();
  }

  #drawLine({ values, colour }: Line): SVGElement[] {
    let [path, points] = ['', ''];
    for (let i = 0; i < values.length; i++) {
      if (Number.isNaN(values[i]!)) continue;
      const place = `${this.#x(i).toFixed(1)} ${this.#y(values[i]!).toFixed(1)}`;
      const isFirst = i === 0 || Number.isNaN(values[i - 1]!);
      const isLast = i === values.length - 1 || Number.isNaN(values[i + 1]!);
      // A window whose neighbours have no value is a point.
      if (isFirst && isLast) points += `M${place}h.01`;
      else path += `${isFirst ? 'M' : 'L'}${place}`;
    }
    return [
      draw('path', { class: `line s${colour}`, d: path }),
      draw('path', { class: `points s${colour}`, d: points }),
    ];
  }

  #drawBand({ values, band, colour }: Line): SVGElement[] {
    if (!band) return [];
    let d = '';
    for (let from = 0; from < values.length; from++) {
      if (Number.isNaN(band[0][from]!)) continue;
      let to = from;
      while (to + 1 < values.length && !Number.isNaN(band[0][to + 1]!)) to++;
      const point = (end: 0 | 1, i: number) =>
        `${this.#x(i).toFixed(1)} ${this.#y(band[end][i]!).toFixed(1)}`;
      const upper = Array.from({ length: to - from + 1 }, (_, i) => point(1, from + i));
      const lower = Array.from({ length: to - from + 1 }, (_, i) => point(0, to - i));
      d += `M${[...upper, ...lower].join('L')}z`;
      from = to;
    }
    return [draw('path', { class: `band s${colour}`, d })];
  }

  /** Names at the line ends, so that the lines can be told apart without colours. */
  #drawNames(): SVGElement[] {
    const ends = this.#lines.flatMap(({ name, values, colour }) => {
      const last = values.findLastIndex((value) => !Number.isNaN(value));
      return last < 0 ? [] : [{ name, colour, x: this.#x(last) + 6, y: this.#y(values[last]!) + 4 }];
    });
    ends.sort((a, b) => a.y - b.y);
    let least = TOP;
    for (const end of ends) {
      end.y = Math.max(end.y, least);
      least = end.y + NAME_HEIGHT;
    }
    const beyond = least - NAME_HEIGHT - (this.#height - BOTTOM);
    if (beyond > 0) for (const end of ends) end.y -= beyond;
    return ends.map(({ name, colour, x, y }) =>
      draw('text', { class: `end s${colour}`, x, y: y.toFixed(1) }, short(name)),
    );
  }
}

function short(name: string): string {
  return name.length > NAME_LENGTH ? `${name.slice(0, NAME_LENGTH - 1)}…` : name;
}

/** The key of a chart: names, colours, and the figures of a window. */
export function chartKey(
  lines: readonly Line[],
  index: number,
  text: (value: number) => string,
): HTMLElement[] {
  return lines.map(({ name, values, of, band, colour }) => {
    const value = values[index] ?? Number.NaN;
    const n = of?.[index] ?? Number.NaN;
    const made = Number.isNaN(n) || n === value ? '' : ` n ${text(n)}`;
    const figure = make('b', {}, Number.isNaN(value) ? '–' : text(value));
    const range =
      band && !Number.isNaN(value) ? ` (${text(band[0][index]!)} – ${text(band[1][index]!)})` : '';
    return make(
      'span',
      { class: `series s${colour}` },
      `${name} `,
      figure,
      make('small', {}, `${range}${made}`),
    );
  });
}
