/** The colour scale of counts. It is the same for all windows, so that they can be compared. */

export const STEPS = 7;
/** Least pick-ups of a cell in the default view. */
const LEAST = 2;

/** The lowest count of each step: round numbers, evenly spaced on a logarithmic scale up to `most`. */
export function thresholds(most: number): number[] {
  const top = Math.max(LEAST * 8, most);
  const found: number[] = [];
  for (let i = 0; i < STEPS; i++) {
    const even = LEAST * (top / LEAST) ** (i / STEPS);
    found.push(Math.max(roundish(even), (found.at(-1) ?? LEAST - 1) + 1));
  }
  return found;
}

/** The step of a count, from 1; 0 for a count of 0. */
export function stepOf(count: number, scale: readonly number[]): number {
  if (!(count > 0)) return 0;
  let step = 1;
  while (step < scale.length && count >= scale[step]!) step++;
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
