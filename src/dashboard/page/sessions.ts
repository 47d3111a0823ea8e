/** Sessions as bars over time, a row for each key. */
import { draw, fill, make } from './elements.ts';
import { age, count, shortDayOf, stamp, timeOf } from './format.ts';
import type { Frame, Frames } from './frames.ts';
import type { Metric } from './metrics.ts';
import { nameOfRow } from './ranked.ts';
import type { ViewShape } from './wire.ts';

export interface Session {
  readonly name: string;
  /** Epoch ms. */
  readonly start: number;
  readonly end: number;
  readonly value: number;
}

/** All sessions that are loaded. */
export function sessionsOf(frames: Frames, shape: ViewShape, { at }: Metric): Session[] {
  return frames.list.flatMap(({ rows }) => {
    if (!rows?.spans) return [];
    const { spans, values } = rows;
    return Array.from({ length: rows.count }, (_, row) => ({
      name: nameOfRow({ frames, shape }, rows, row),
      start: spans[0][row]!,
      end: spans[1][row]!,
      value: values[at]![row]!,
    }));
  });
}

export interface SessionOptions {
  /** A value as text. */
  text(value: number): string;
  /** The step of a value on the colour scale. */
  step(value: number): number;
  onPick(name: string): void;
}

const ROW = 24;
const TOP = 24;
const NAME_WIDTH = 150;
const GLYPH = 6.6;
/** Keys with a row of their own: those with the most sessions. */
const MOST_ROWS = 60;
const DAY = 86_400_000;
const TICKS = [5, 10, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080].map((minutes) => minutes * 60_000);

export class Sessions {
  readonly #box: HTMLElement;
  readonly #svg = draw('svg', { 'aria-hidden': 'true' });
  readonly #note = make('p', { class: 'quiet' });
  readonly #tip = make('div', { class: 'tip chart-tip' });
  readonly #o: SessionOptions;
  #rows: readonly (readonly [name: string, sessions: readonly Session[]])[] = [];
  #now: Frame | undefined;
  #span: readonly [from: number, to: number] = [0, 1];
  #width = 0;
  #left = NAME_WIDTH;

  constructor(box: HTMLElement, options: SessionOptions) {
    this.#box = box;
    this.#o = options;
    this.#tip.hidden = true;
    box.append(this.#note, this.#svg, this.#tip);
    new ResizeObserver(([entry]) => {
      this.#width = entry!.contentRect.width;
      this.#draw();
    }).observe(box);
    this.#svg.addEventListener('pointermove', (event) => this.#point(event));
    this.#svg.addEventListener('pointerleave', () => {
      this.#tip.hidden = true;
    });
    this.#svg.addEventListener('click', (event) => {
      const row = this.#rows[Math.floor((event.offsetY - TOP) / ROW)];
      if (row) options.onPick(row[0]);
    });
  }

  show(sessions: readonly Session[], now: Frame | undefined): void {
    const rows = new Map<string, Session[]>();
    for (const session of sessions) {
      const row = rows.get(session.name) ?? [];
      rows.set(session.name, row);
      row.push(session);
    }
    const busiest = [...rows].sort(([, a], [, b]) => b.length - a.length).slice(0, MOST_ROWS);
    this.#rows = busiest.sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
    let [from, to] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const { start, end } of sessions) [from, to] = [Math.min(from, start), Math.max(to, end)];
    this.#span = from < to ? [from, to] : [0, 1];
    this.#now = now;
    const more = rows.size - this.#rows.length;
    const cut = more > 0 ? `; those ${count(this.#rows.length)} with the most sessions are drawn` : '';
    fill(this.#note, `${count(sessions.length)} sessions of ${count(rows.size)} keys${cut}`);
    this.#draw();
  }

  /** Marks the current window. */
  mark(now: Frame | undefined): void {
    this.#now = now;
    this.#drawNow();
  }

  #x(time: number): number {
    const [from, to] = this.#span;
    return this.#left + ((time - from) / (to - from)) * Math.max(1, this.#width - this.#left - 12);
  }

  #draw(): void {
    if (this.#width === 0) return;
    const longest = this.#rows.reduce((most, [name]) => Math.max(most, name.length), 0);
    this.#left = Math.min(NAME_WIDTH, this.#width * 0.3, 14 + longest * GLYPH);
    const height = TOP + this.#rows.length * ROW + 8;
    this.#svg.setAttribute('width', String(this.#width));
    this.#svg.setAttribute('height', String(height));
    const most = Math.floor((this.#left - 14) / GLYPH);
    const bars = new Map<number, string>();
    this.#rows.forEach(([, sessions], row) => {
      const y = TOP + row * ROW + 5;
      for (const { start, end, value } of sessions) {
        const x = this.#x(start);
        const step = this.#o.step(value);
        const wide = Math.max(2, this.#x(end) - x - 0.6);
        bars.set(
          step,
          `${bars.get(step) ?? ''}M${x.toFixed(1)} ${y}h${wide.toFixed(1)}v${ROW - 10}h${(-wide).toFixed(1)}z`,
        );
      }
    });
    fill(
      this.#svg,
      this.#ticks().map(({ x, text }) => [
        draw('path', { class: 'rule', d: `M${x} ${TOP - 4}V${height}` }),
        draw('text', { class: 'tick', x, y: 14 }, text),
      ]),
      draw('rect', { class: 'now-span', y: TOP - 4, height: height - TOP }),
      this.#rows.map(([name], row) => {
        const shown = name.length > most ? `${name.slice(0, most - 1)}…` : name;
        return draw('text', { class: 'row-name', x: 4, y: TOP + row * ROW + 16 }, shown);
      }),
      [...bars].map(([step, d]) => draw('path', { class: `session step-${Math.max(1, step)}`, d })),
    );
    this.#drawNow();
  }

  #drawNow(): void {
    const band = this.#svg.querySelector('.now-span');
    if (!band || !this.#now) return;
    const within = (x: number) => Math.max(this.#left, Math.min(x, this.#width));
    const from = within(this.#x(this.#now.start));
    band.setAttribute('x', from.toFixed(1));
    band.setAttribute('width', Math.max(1, within(this.#x(this.#now.end)) - from).toFixed(1));
  }

  #ticks(): { x: string; text: string }[] {
    const [from, to] = this.#span;
    const most = Math.max(1, Math.floor((this.#width - this.#left) / 76));
    const every =
      TICKS.find((size) => (to - from) / size <= most) ?? Math.ceil((to - from) / most / DAY) * DAY;
    const found: { x: string; text: string }[] = [];
    for (let time = Math.ceil(from / every) * every; time <= to; time += every) {
      const text = time % DAY === 0 ? shortDayOf(time) : timeOf(time);
      found.push({ x: this.#x(time).toFixed(1), text });
    }
    return found;
  }

  #point(event: PointerEvent): void {
    const row = this.#rows[Math.floor((event.offsetY - TOP) / ROW)];
    const found = row?.[1].find(({ start, end }) => {
      const x = event.offsetX;
      return x >= this.#x(start) - 2 && x <= Math.max(this.#x(end), this.#x(start) + 4);
    });
    this.#tip.hidden = !found;
    if (!found) return;
    const { name, start, end, value } = found;
    fill(
      this.#tip,
      make('p', { class: 'where' }, make('b', {}, name)),
      make('p', {}, `${stamp(start)} – ${timeOf(end)} (${age(end - start)})`),
      make('p', { class: 'picked' }, make('b', {}, this.#o.text(value))),
    );
    const box = this.#box.getBoundingClientRect();
    const left = Math.min(event.clientX - box.left + 12, this.#width - this.#tip.offsetWidth);
    const top = event.clientY - box.top + this.#box.scrollTop + 14;
    this.#tip.style.transform = `translate(${Math.round(Math.max(0, left))}px, ${Math.round(top)}px)`;
  }
}
