/** The last checkpoints: how long each took and what it wrote, as bars, in figures and as a table. */

import { Chart, type Drawing, type Frame, peakMark, sideAxis } from './charts.ts';
import { type Content, draw, make, renew, table } from './elements.ts';
import { bytes, count, rate } from './format.ts';
import { roundTicks } from './wall-axis.ts';
import { wallStamp, ZONE } from './wall-time.ts';
import type { PastCheckpoint } from './wire.ts';

const HEIGHT = 240;
/** Pixels of the lower part, and between both. */
const BYTES_HEIGHT = 62;
const BETWEEN = 26;

const milliseconds = (ms: number) => `${rate(ms)} ms`;

export class Checkpoints {
  readonly element: HTMLElement;
  readonly #chart = new Chart(HEIGHT, (frame) => drawing(frame, this.#checkpoints));
  readonly #summary = make('div');
  readonly #table = make('div');
  readonly #details: HTMLDetailsElement;
  #checkpoints: readonly PastCheckpoint[] = [];

  constructor() {
    this.#details = make(
      'details',
      { class: 'as-table' },
      make('summary', {}, 'Checkpoints as a table'),
      this.#table,
    );
    this.#details.addEventListener('toggle', () => this.#drawTable());
    const caption = make('figcaption', {}, make('b', {}, 'Duration'), ' and, below, bytes written');
    this.element = make(
      'div',
      {},
      make('figure', {}, caption, this.#chart.element),
      this.#summary,
      this.#details,
    );
  }

  show(checkpoints: readonly PastCheckpoint[]): void {
    this.#checkpoints = checkpoints;
    this.element.hidden = checkpoints.length === 0;
    this.#chart.draw();
    renew(this.#summary, summaryOf(checkpoints));
    this.#drawTable();
  }

  #drawTable(): void {
    if (!this.#details.open) return;
    const last = this.#checkpoints.at(-1)?.at ?? 0;
    const rows = this.#checkpoints
      .toReversed()
      .map(({ number, at, durationMs, bytes: written }) => [
        count(number),
        wallStamp(at, last),
        milliseconds(durationMs),
        bytes(written),
      ]);
    renew(this.#table, table('Checkpoints', ['Number', `At (${ZONE})`, 'Took', 'Wrote'], rows, [0, 2, 3]));
  }
}

function drawing(frame: Frame, checkpoints: readonly PastCheckpoint[]): Drawing {
  if (checkpoints.length === 0) return { content: [], points: [], label: 'no checkpoints yet' };
  const lower = { ...frame, top: frame.bottom - BYTES_HEIGHT };
  const upper = { ...frame, bottom: lower.top - BETWEEN };
  const width = (frame.right - frame.left) / Math.max(12, checkpoints.length);
  const last = checkpoints.at(-1)!.at;
  const x = (i: number) => frame.left + (i + 0.5) * width;
  const took = bars(
    upper,
    checkpoints.map(({ durationMs }) => durationMs),
    width,
    milliseconds,
    3,
  );
  const wrote = bars(
    lower,
    checkpoints.map(({ bytes: written }) => written),
    width,
    bytes,
    2,
  );
  const most = checkpoints.reduce((best, found) => (found.durationMs > best.durationMs ? found : best));
  const first = checkpoints[0]!;
  return {
    content: [
      took,
      wrote,
      ...[
        [0, first.number],
        [checkpoints.length - 1, checkpoints.at(-1)!.number],
      ]
        .slice(0, checkpoints.length)
        .map(([i, number]) =>
          draw(
            'text',
            {
              class: 'scale-text',
              x: x(i!).toFixed(1),
              y: frame.bottom + 17,
              'text-anchor': i === 0 ? 'start' : 'end',
            },
            `no. ${count(number!)}`,
          ),
        ),
    ],
    points: checkpoints.map(({ number, at, durationMs, bytes: written }, i) => ({
      x: x(i),
      text: `checkpoint ${count(number)} at ${wallStamp(at, last)}: ${milliseconds(durationMs)}, ${bytes(written)}`,
    })),
    label: `The last ${count(checkpoints.length)} checkpoints, peak ${milliseconds(most.durationMs)} at number ${count(most.number)}`,
  };
}

function bars(
  frame: Frame,
  values: readonly number[],
  width: number,
  text: (value: number) => string,
  ticks: number,
): Content {
  const peak = values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);
  const levels = roundTicks(Math.max(0.1, values[peak]!), ticks);
  const scale = (frame.bottom - frame.top) / levels.at(-1)!;
  return [
    sideAxis(
      frame,
      levels.map((value) => ({ y: frame.bottom - value * scale, text: text(value) })),
    ),
    values.map((value, i) =>
      draw('rect', {
        class: 'bar',
        x: (frame.left + i * width + width * 0.12).toFixed(1),
        width: (width * 0.76).toFixed(1),
        y: (frame.bottom - value * scale).toFixed(1),
        height: Math.max(0.5, value * scale).toFixed(1),
      }),
    ),
    peakMark(
      frame,
      frame.left + (peak + 0.5) * width,
      frame.bottom - values[peak]! * scale,
      `peak ${text(values[peak]!)}`,
    ),
  ];
}

/** The least, middle and most of what is shown. */
function summaryOf(checkpoints: readonly PastCheckpoint[]): Content {
  if (checkpoints.length === 0) return [];
  const row = (name: string, values: readonly number[], text: (value: number) => string) => {
    const sorted = [...values].sort((a, b) => a - b);
    const at = (share: number) =>
      text(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!);
    const mean = sorted.reduce((sum, value) => sum + value, 0) / sorted.length;
    return [name, at(0), text(mean), at(0.5), at(0.95), at(1)];
  };
  return table(
    `Summary of the last ${count(checkpoints.length)}`,
    ['', 'Least', 'Mean', 'Median', '95 %', 'Most'],
    [
      row(
        'took',
        checkpoints.map(({ durationMs }) => durationMs),
        milliseconds,
      ),
      row(
        'wrote',
        checkpoints.map(({ bytes: written }) => written),
        (value) => bytes(Math.round(value)),
      ),
    ],
    [1, 2, 3, 4, 5],
  );
}
