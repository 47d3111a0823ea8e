/**
 * The past of a job, in the note of its processor: the last checkpoints, and its course over time in a bounded number of points. When
 * they are full, each two become one, so that hours are covered; the greatest rates and lags stay as they were. A note says nothing
 * that a result depends on, so one that can't be read is a past that is not known.
 */

/** A checkpoint that was committed; `at` is epoch ms. */
export interface PastCheckpoint {
  readonly number: number;
  readonly at: number;
  readonly durationMs: number;
  readonly bytes: number;
}

/** A run that ended with an error; `at` is epoch ms. */
export interface PastFailure {
  readonly at: number;
  readonly code: string;
  readonly message: string;
}

/** The job at the end of an interval, which began with the point before. */
export interface PastPoint {
  /** Epoch ms. */
  readonly at: number;
  /** A run began here: before it, no processor ran. */
  readonly begins: boolean;
  /** Trips read and results written by then, over all runs. */
  readonly trips: number;
  readonly results: number;
  /** The greatest rates of the interval, per second. */
  readonly mostTrips: number;
  readonly mostResults: number;
  /** Epoch ms; null before the first. */
  readonly watermark: number | null;
  /** The most that a shard was behind in the interval, ms. */
  readonly lagMs: number;
  /** The most that waited for a sink in the interval. */
  readonly pending: number;
}

export interface Past {
  /** Ms that a point stands for, at least. */
  readonly step: number;
  readonly points: readonly PastPoint[];
  readonly checkpoints: readonly PastCheckpoint[];
  /** The oldest first. */
  readonly failures: readonly PastFailure[];
}

/** As it is noted: columns of differences, which are short in JSON. */
export interface PackedPast {
  readonly step: number;
  /** Indexes of points at which a run began. */
  readonly begins: readonly number[];
  readonly at: readonly number[];
  readonly trips: readonly number[];
  readonly results: readonly number[];
  readonly most_trips: readonly number[];
  readonly most_results: readonly number[];
  readonly watermark: readonly (number | null)[];
  readonly lag: readonly number[];
  readonly pending: readonly number[];
  /** Numbers, times, tenths of ms and bytes of checkpoints. */
  readonly checkpoints: readonly (readonly number[])[];
  readonly failures: readonly PastFailure[];
}

/** What a processor knows of itself at a moment. */
export type Sample = Pick<PastPoint, 'trips' | 'results' | 'watermark' | 'lagMs' | 'pending'>;

const MOST_POINTS = 240;
const MOST_CHECKPOINTS = 60;
const MOST_FAILURES = 10;
const LONGEST_MESSAGE = 400;
const FIRST_STEP = 1_000;
/** Ms; a past of a longer step is not one of ours. */
const LONGEST_STEP = 2 ** 40;
/** An interval may be so much longer than the step: samples are never quite as far apart as they are meant to be. */
const PLAY = 1.25;
/** A rate is over a second at least, so that a moment is no peak. */
const LEAST_SECONDS = 1;

/** The past that a running processor keeps. */
export class RunPast {
  #step: number;
  #points: PastPoint[];
  #checkpoints: PastCheckpoint[];
  #failures: PastFailure[];
  /** The last sample: points may be longer ago. */
  #last: { readonly at: number; readonly trips: number; readonly results: number };

  /** Goes on from what an earlier run noted; `now` is epoch ms, when this run begins with what `sample` says. */
  constructor(earlier: Past, now: number, sample: Sample) {
    this.#step = earlier.step;
    // A clock that was set back leaves nothing in the future.
    this.#points = earlier.points.filter(({ at }) => at < now);
    this.#checkpoints = earlier.checkpoints.filter(({ at }) => at <= now);
    this.#failures = [...earlier.failures];
    this.#last = { at: now, ...sample };
    this.#points.push({ at: now, begins: true, ...sample, mostTrips: 0, mostResults: 0 });
    this.#shorten();
  }

  /** When it was last told how the job is, epoch ms. */
  get sampledAt(): number {
    return this.#last.at;
  }

  sample(now: number, sample: Sample): void {
    if (now <= this.#last.at) {
      if (now < this.#last.at) this.#goBack(now, sample);
      return;
    }
    const seconds = Math.max(LEAST_SECONDS, (now - this.#last.at) / 1_000);
    const mostTrips = rounded((sample.trips - this.#last.trips) / seconds);
    const mostResults = rounded((sample.results - this.#last.results) / seconds);
    this.#last = { at: now, ...sample };
    joined(this.#points, { at: now, begins: false, ...sample, mostTrips, mostResults }, this.#step);
    this.#shorten();
  }

  /** A checkpoint; one that is known already is left out. */
  checkpoint(checkpoint: PastCheckpoint): void {
    if (checkpoint.number === this.#checkpoints.at(-1)?.number) return;
    this.#checkpoints.push(checkpoint);
    if (this.#checkpoints.length > MOST_CHECKPOINTS) this.#checkpoints.shift();
  }

  /** The run ends with an error. */
  failure({ at, code, message }: PastFailure): void {
    this.#failures.push({ at, code, message: message.slice(0, LONGEST_MESSAGE) });
    if (this.#failures.length > MOST_FAILURES) this.#failures.shift();
  }

  get past(): Past {
    return {
      step: this.#step,
      points: this.#points,
      checkpoints: this.#checkpoints,
      failures: this.#failures,
    };
  }

  /** The clock was set back: what it says is later did not happen yet. */
  #goBack(now: number, sample: Sample): void {
    this.#points = this.#points.filter(({ at }) => at < now);
    this.#last = { at: now, ...sample };
    this.#points.push({ at: now, begins: true, ...sample, mostTrips: 0, mostResults: 0 });
  }

  #shorten(): void {
    while (this.#points.length > MOST_POINTS) {
      const runs = this.#points.filter(({ begins }) => begins).length;
      // Points of many short runs can't be joined, so the oldest go.
      if (runs > MOST_POINTS / 4) this.#points = this.#points.slice(MOST_POINTS / 4);
      else {
        this.#step *= 2;
        const fewer: PastPoint[] = [];
        for (const point of this.#points) joined(fewer, point, this.#step);
        this.#points = fewer;
      }
    }
  }
}

/** Adds a point, to the last one where both together are not longer than a step. */
function joined(points: PastPoint[], point: PastPoint, step: number): void {
  const last = points.at(-1);
  const before = points.at(-2);
  if (!last || !before || last.begins || point.begins || point.at - before.at > step * PLAY) {
    points.push(point);
    return;
  }
  points[points.length - 1] = {
    ...point,
    mostTrips: Math.max(last.mostTrips, point.mostTrips),
    mostResults: Math.max(last.mostResults, point.mostResults),
    lagMs: Math.max(last.lagMs, point.lagMs),
    pending: Math.max(last.pending, point.pending),
  };
}

/** With a decimal where a whole number would say little. */
function rounded(rate: number): number {
  return rate < 100 ? Math.max(0, Math.round(rate * 10) / 10) : Math.round(rate);
}

export const NO_PAST: Past = { step: FIRST_STEP, points: [], checkpoints: [], failures: [] };

export function packPast({ step, points, checkpoints, failures }: Past): PackedPast {
  const known = points.map(({ watermark }) => watermark);
  return {
    step,
    begins: points.flatMap(({ begins }, i) => (begins ? [i] : [])),
    at: differences(points.map(({ at }) => at)),
    trips: differences(points.map(({ trips }) => trips)),
    results: differences(points.map(({ results }) => results)),
    most_trips: points.map(({ mostTrips }) => mostTrips),
    most_results: points.map(({ mostResults }) => mostResults),
    watermark: known.map((value, i) => (value === null ? null : value - (known[i - 1] ?? 0))),
    lag: points.map(({ lagMs }) => Math.round(lagMs)),
    pending: points.map(({ pending }) => pending),
    checkpoints: [
      differences(checkpoints.map(({ number }) => number)),
      differences(checkpoints.map(({ at }) => at)),
      checkpoints.map(({ durationMs }) => Math.round(durationMs * 10)),
      checkpoints.map(({ bytes }) => bytes),
    ],
    failures,
  };
}

/** What a note holds of the past; none where it holds nothing of the kind. */
export function unpackPast(packed: unknown): Past {
  if (!isPacked(packed)) return NO_PAST;
  const [at, trips, results] = [packed.at, packed.trips, packed.results].map(sums);
  const begins = new Set(packed.begins);
  let watermark: number | null = null;
  const points = at!.map((time, i): PastPoint => {
    const more: number | null = packed.watermark[i]!;
    watermark = more === null ? null : (watermark ?? 0) + more;
    return {
      at: time,
      begins: i === 0 || begins.has(i),
      trips: trips![i]!,
      results: results![i]!,
      mostTrips: packed.most_trips[i]!,
      mostResults: packed.most_results[i]!,
      watermark,
      lagMs: packed.lag[i]!,
      pending: packed.pending[i]!,
    };
  });
  const [numbers, times, tenths, bytes] = packed.checkpoints;
  const written = sums(times!);
  const checkpoints = sums(numbers!).map((number, i) => ({
    number,
    at: written[i]!,
    durationMs: tenths![i]! / 10,
    bytes: bytes![i]!,
  }));
  return { step: packed.step, points, checkpoints, failures: packed.failures };
}

const POINT_COLUMNS = ['at', 'trips', 'results', 'most_trips', 'most_results', 'lag', 'pending'] as const;

function isPacked(value: unknown): value is PackedPast {
  if (typeof value !== 'object' || value === null) return false;
  const { step, begins, at, watermark, checkpoints, failures } = value as Partial<PackedPast>;
  if (!Array.isArray(failures) || failures.length > MOST_FAILURES || !failures.every(isFailure)) return false;
  const packed = value as Readonly<Record<string, unknown>>;
  if (!Number.isInteger(step) || step! < FIRST_STEP || step! > LONGEST_STEP || !Array.isArray(at))
    return false;
  const columns = POINT_COLUMNS.map((name) => packed[name]);
  if (at.length > MOST_POINTS || !columns.every((column) => isNumbers(column, at.length))) return false;
  if (!isNumbers(begins, Array.isArray(begins) ? begins.length : 0)) return false;
  if (
    !Array.isArray(watermark) ||
    !isNumbers(
      watermark.map((one) => one ?? 0),
      at.length,
    )
  )
    return false;
  if (!Array.isArray(checkpoints) || checkpoints.length !== 4 || !Array.isArray(checkpoints[0])) return false;
  const { length } = checkpoints[0];
  return length <= MOST_CHECKPOINTS && checkpoints.every((column) => isNumbers(column, length));
}

function isFailure(value: unknown): boolean {
  const { at, code, message } = (value ?? {}) as Partial<PastFailure>;
  return Number.isFinite(at) && typeof code === 'string' && typeof message === 'string';
}

function isNumbers(value: unknown, length: number): boolean {
  return Array.isArray(value) && value.length === length && value.every((one) => Number.isFinite(one));
}

function differences(values: readonly number[]): number[] {
  return values.map((value, i) => value - (values[i - 1] ?? 0));
}

function sums(values: readonly number[]): number[] {
  let sum = 0;
  return values.map((value) => {
    sum += value;
    return sum;
  });
}
