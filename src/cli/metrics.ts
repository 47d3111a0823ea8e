/** `--metrics emf`: figures of a run on stdout, as long as it runs, whether or not anything happens. */
import type { Writable } from 'node:stream';
import { type Clock, hasPassed, systemClock } from '../clock.ts';
import { EmfLines, type Figures } from '../status/emf.ts';
import { outliveReader } from './terminal.ts';

/** Between two lines. */
const PERIOD_MS = 10_000;
const LOOK_MS = 1_000;

/** What prints lines. */
export interface Metrics {
  /** Prints the last line; calls after the first do nothing. */
  stop(): void;
}

/** Prints lines until `stop`: the first at once, one every ten seconds, and the last at the end. */
export function startMetrics(
  dimensions: Readonly<Record<string, string>>,
  figures: (now: number) => Figures,
): Metrics {
  // The work goes elsewhere.
  outliveReader();
  const lines = new MetricLines({ dimensions, figures, clock: systemClock, out: process.stdout });
  // Figures are not worth keeping a process alive that waits for nothing else.
  const timer = setInterval(() => lines.tick(), LOOK_MS).unref();
  return {
    stop: () => {
      clearInterval(timer);
      lines.stop();
    },
  };
}

export interface MetricOptions {
  readonly dimensions: Readonly<Record<string, string>>;
  /** The figures now, epoch ms. */
  readonly figures: (now: number) => Figures;
  readonly clock: Clock;
  readonly out: Pick<Writable, 'write' | 'writable' | 'writableNeedDrain'>;
}

export class MetricLines implements Metrics {
  readonly #o: MetricOptions;
  readonly #lines: EmfLines;
  #last: number;
  #stopped = false;

  /** Prints the first line. */
  constructor(options: MetricOptions) {
    this.#o = options;
    this.#lines = new EmfLines(options.dimensions);
    this.#last = options.clock.now();
    this.#print();
  }

  /** Prints a line if it is time. While the reader is slow, none is printed, and the next one has all of the counts. */
  tick(): void {
    const { clock, out } = this.#o;
    if (!hasPassed(clock, this.#last, PERIOD_MS) || out.writableNeedDrain) return;
    this.#last = clock.now();
    this.#print();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#print();
  }

  #print(): void {
    const { clock, figures, out } = this.#o;
    if (!out.writable) return;
    const now = clock.now();
    let line: string;
    try {
      line = this.#lines.next(figures(now), now);
    } catch {
      // A state that can't be read ends the run at its next checkpoint, with the reason.
      return;
    }
    out.write(`${line}\n`);
  }
}
