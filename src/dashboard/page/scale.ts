/** The colour scale of figures. It is the same for all windows, so that they can be compared, and it stays while a job runs. */

export const STEPS = 7;

export interface Scale {
  /** The lowest value of each step, ascending. */
  readonly least: readonly number[];
}

/** A scale is kept until a value is above its last step by this factor. */
const ROOM = 6;
/** While a job runs, so many times as much is expected, and so much at least: the night is no measure for the day. */
const EXPECTED = 3;
const EXPECTED_LEAST = 100;
/** Share of the values on each side that a scale of other figures than counts leaves out. */
const OUTER = 0.04;

/** The range of some values. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/**
 * A scale for counts: round numbers, evenly spaced on a logarithmic scale. `grows`: the job goes on, and more is to come.
 */
export function countScale({ low, high }: Range, grows: boolean): Scale {
  const first = Math.max(1, low);
  const top = Math.max(first * 8, grows ? Math.max(high * EXPECTED, EXPECTED_LEAST) : high);
  const least: number[] = [];
  for (let i = 0; i < STEPS; i++) {
    const even = first * (top / first) ** (i / STEPS);
    least.push(Math.max(roundish(even), (least.at(-1) ?? first - 1) + 1));
  }
  return { least };
}

/** The range of values without the outermost ones; undefined if there are none. */
export function coreRange(values: readonly number[]): Range | undefined {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length === 0) return undefined;
  return {
    low: sorted[Math.floor(sorted.length * OUTER)]!,
    high: sorted[Math.floor(sorted.length * (1 - OUTER))]!,
  };
}

/** A scale for other figures: round numbers at even distances. */
export function evenScale({ low, high }: Range): Scale {
  const every = Math.max(roundStep((high - low) / STEPS), Number.MIN_VALUE * 1e6);
  const first = Math.floor(low / every) * every;
  return { least: Array.from({ length: STEPS }, (_, i) => Number((first + i * every).toPrecision(15))) };
}

/** Whether a scale shows a range well enough to be kept. Of times, only the distance between them counts. */
export function fits({ least }: Scale, { low, high }: Range, isTime = false): boolean {
  const [first, last] = [least[0]!, least.at(-1)!];
  if (isTime) return high <= last + (last - first) * ROOM;
  if (high <= 0) return low >= first - (last - first);
  return high <= Math.max(last, last - first) * ROOM;
}

/** The step of a value, from 1; 0 without one. */
export function stepOf(value: number, { least }: Scale): number {
  if (Number.isNaN(value)) return 0;
  let step = 1;
  while (step < least.length && value >= least[step]!) step++;
  return step;
}

function roundish(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const digits = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];
  const nearest = digits.reduce((best, digit) =>
    Math.abs(digit - value / power) < Math.abs(best - value / power) ? digit : best,
  );
  return Math.round(nearest * power);
}

/** The least round step that is at least so large. */
export function roundStep(least: number): number {
  if (!(least > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 2.5, 5, 10].map((digit) => digit * power).find((step) => step >= least) ?? 10 * power;
}
