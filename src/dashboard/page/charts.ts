/**
 * Charts with axes, drawn anew in place. Each can be read by pointer and by keyboard: it is a slider through its points, and says the
 * one that it stands on.
 */
import { type Content, draw, make, renew, setText } from './elements.ts';

/** Where the drawing lies within a chart, in pixels. */
export interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export interface Drawing {
  readonly content: Content;
  /** Where the points lie, and what each says. */
  readonly points: readonly { readonly x: number; readonly text: string }[];
  /** In one sentence, for those who don't see it. */
  readonly label: string;
}

const LEFT = 76;
const RIGHT = 12;
const TOP = 22;
const BOTTOM = 24;
const LEAST_WIDTH = 200;

export class Chart {
  readonly element: HTMLElement;
  readonly #svg: SVGSVGElement;
  readonly #readout: HTMLElement;
  readonly #height: number;
  readonly #draw: (frame: Frame) => Drawing;
  #points: Drawing['points'] = [];
  #chosen: number | undefined;

  constructor(height: number, drawn: (frame: Frame) => Drawing) {
    this.#height = height;
    this.#draw = drawn;
    this.#svg = draw('svg', { class: 'chart', height, tabindex: 0, role: 'slider', 'aria-valuemin': 0 });
    this.#readout = make('p', { class: 'readout', 'aria-hidden': 'true' });
    this.element = make('div', { class: 'chart-box' }, this.#svg, this.#readout);
    this.#svg.addEventListener('pointermove', ({ offsetX }) => this.#choose(this.#nearest(offsetX)));
    this.#svg.addEventListener('pointerleave', () => this.#choose(undefined));
    this.#svg.addEventListener('keydown', (event) => this.#key(event));
    this.#svg.addEventListener('blur', () => this.#choose(undefined));
    this.#svg.addEventListener('focus', () => this.#choose(this.#points.length - 1));
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  draw(): void {
    const width = Math.max(LEAST_WIDTH, this.element.clientWidth);
    const frame = { left: LEFT, right: width - RIGHT, top: TOP, bottom: this.#height - BOTTOM };
    const { content, points, label } = this.#draw(frame);
    this.#svg.setAttribute('viewBox', `0 0 ${width} ${this.#height}`);
    this.#svg.setAttribute('width', String(width));
    this.#svg.setAttribute('aria-label', label);
    this.#svg.setAttribute('aria-valuemax', String(Math.max(0, points.length - 1)));
    this.#points = points;
    renew(this.#svg, content, draw('line', { class: 'at-point', y1: TOP, y2: this.#height - BOTTOM }));
    this.#choose(this.#chosen);
  }

  #nearest(x: number): number | undefined {
    let best: number | undefined;
    this.#points.forEach((point, i) => {
      if (best === undefined || Math.abs(point.x - x) < Math.abs(this.#points[best]!.x - x)) best = i;
    });
    return best;
  }

  #key(event: KeyboardEvent): void {
    const last = this.#points.length - 1;
    const now = this.#chosen ?? last;
    const next = {
      ArrowLeft: now - 1,
      ArrowDown: now - 1,
      ArrowRight: now + 1,
      ArrowUp: now + 1,
      PageUp: now + 10,
      PageDown: now - 10,
      Home: 0,
      End: last,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    // The page has keys of its own.
    event.stopPropagation();
    this.#choose(Math.max(0, Math.min(last, next)));
  }

  #choose(index: number | undefined): void {
    const at = index === undefined ? undefined : Math.min(index, this.#points.length - 1);
    this.#chosen = at !== undefined && at < 0 ? undefined : at;
    const point = this.#chosen === undefined ? this.#points.at(-1) : this.#points[this.#chosen];
    this.#svg.setAttribute('aria-valuenow', String(this.#chosen ?? Math.max(0, this.#points.length - 1)));
    this.#svg.setAttribute('aria-valuetext', point?.text ?? 'nothing yet');
    setText(this.#readout, this.#chosen === undefined ? '' : (point?.text ?? ''));
    const cursor = this.#svg.querySelector('.at-point');
    cursor?.setAttribute('x1', (point?.x ?? 0).toFixed(1));
    cursor?.setAttribute('x2', (point?.x ?? 0).toFixed(1));
    cursor?.classList.toggle('shown', this.#chosen !== undefined);
  }
}

/** Lines across at values, with their names at the side. */
export function sideAxis(
  frame: Frame,
  ticks: readonly { readonly y: number; readonly text: string }[],
): Content {
  return ticks.map(({ y, text }) => [
    draw('line', { class: 'grid', x1: frame.left, x2: frame.right, y1: y.toFixed(1), y2: y.toFixed(1) }),
    draw(
      'text',
      { class: 'scale-text', x: frame.left - 8, y: (y + 4).toFixed(1), 'text-anchor': 'end' },
      text,
    ),
  ]);
}

export function lowerAxis(
  frame: Frame,
  ticks: readonly { readonly x: number; readonly text: string }[],
): Content {
  return ticks.map(({ x, text }) => [
    draw('line', {
      class: 'mark',
      x1: x.toFixed(1),
      x2: x.toFixed(1),
      y1: frame.bottom,
      y2: frame.bottom + 4,
    }),
    draw(
      'text',
      { class: 'scale-text', x: x.toFixed(1), y: frame.bottom + 17, 'text-anchor': 'middle' },
      text,
    ),
  ]);
}

/** A dot with its words, which stay within the frame. */
export function peakMark(frame: Frame, x: number, y: number, text: string): Content {
  const middle = (frame.left + frame.right) / 2;
  const side = x > middle ? 'end' : 'start';
  const away = x > middle ? -7 : 7;
  return [
    draw('circle', { class: 'peak', cx: x.toFixed(1), cy: y.toFixed(1), r: 3.5 }),
    draw(
      'text',
      {
        class: 'peak-text',
        x: (x + away).toFixed(1),
        y: Math.max(frame.top - 8, y - 7).toFixed(1),
        'text-anchor': side,
      },
      text,
    ),
  ];
}
