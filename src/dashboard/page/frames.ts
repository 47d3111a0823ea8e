/** The windows that the page knows, in event-time order. */
import type { Cells } from './cells.ts';
import { undiffed, type WindowUpdate } from './wire.ts';

export interface Airport {
  readonly trips: number;
  readonly minutes: number;
}

/** A window: pick-ups by cell, and the trips to the airports. Times are epoch ms. */
export interface Frame {
  readonly start: number;
  readonly end: number;
  /** Cell numbers, and the pick-ups of each. */
  cells: readonly number[];
  counts: readonly number[];
  total: number;
  /** By airport code. */
  airports: ReadonlyMap<string, Airport>;
  /** By airport code and cell. */
  airportCells: ReadonlyMap<string, ReadonlyMap<number, Airport>>;
}

const MOST_FRAMES = 4_000;
const DAY_MS = 86_400_000;

export class Frames {
  readonly cells: Cells;
  readonly #frames = new Map<number, Frame>();
  /** By start. Gaps of at most a day are filled with empty windows. */
  list: readonly Frame[] = [];
  /** The most pick-ups of a cell in any window. */
  most = 0;

  constructor(cells: Cells) {
    this.cells = cells;
  }

  /** Adds windows, or replaces known ones. */
  take(updates: readonly WindowUpdate[]): void {
    for (const update of updates) this.#take(update);
    this.#order();
  }

  clear(): void {
    this.#frames.clear();
    this.list = [];
    this.most = 0;
  }

  /** Index of the window that starts at `start` (epoch ms), or of the last one before it. */
  indexOf(start: number): number {
    let [low, high] = [0, this.list.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.list[middle]!.start <= start) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  #take(update: WindowUpdate): void {
    const { start, end, precision } = update;
    const known = this.#frames.get(start);
    const frame = known?.end === end ? known : empty(start, end);
    this.#frames.set(start, frame);
    const cells = [...undiffed(update.cells)].map((code) => this.cells.numberOf(code, precision));
    if (update.view === 'pickup_count') {
      frame.cells = cells;
      frame.counts = update.counts;
      frame.total = 0;
      for (const picked of update.counts) {
        frame.total += picked;
        if (picked > this.most) this.most = picked;
      }
      return;
    }
    const byAirport = new Map<string, Map<number, Airport>>();
    const sums = new Map<string, { trips: number; minutes: number }>();
    update.airports.forEach((airport, i) => {
      const figures = { trips: update.trips[i]!, minutes: update.minutes[i]! };
      const sum = sums.get(airport) ?? { trips: 0, minutes: 0 };
      sum.trips += figures.trips;
      sum.minutes += figures.minutes;
      sums.set(airport, sum);
      const ofCells = byAirport.get(airport) ?? new Map<number, Airport>();
      byAirport.set(airport, ofCells.set(cells[i]!, figures));
    });
    frame.airports = sums;
    frame.airportCells = byAirport;
  }

  #order(): void {
    let starts = [...this.#frames.keys()].sort((a, b) => a - b);
    for (const start of starts.slice(0, -MOST_FRAMES)) this.#frames.delete(start);
    starts = starts.slice(-MOST_FRAMES);
    const step = smallestStep(starts);
    const list: Frame[] = [];
    for (const start of starts) {
      const last = list.at(-1);
      const frame = this.#frames.get(start)!;
      if (last && start - last.start <= DAY_MS) {
        const size = frame.end - frame.start;
        for (let missing = last.start + step; missing < start; missing += step)
          list.push(empty(missing, missing + size));
      }
      list.push(frame);
    }
    this.list = list;
  }
}

function empty(start: number, end: number): Frame {
  return { start, end, cells: [], counts: [], total: 0, airports: new Map(), airportCells: new Map() };
}

function smallestStep(starts: readonly number[]): number {
  let step = DAY_MS;
  for (let i = 1; i < starts.length; i++) step = Math.min(step, starts[i]! - starts[i - 1]!);
  return step;
}
