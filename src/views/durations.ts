/** Durations as they are written in views and on the command line. */

/** A hundred years: longer windows could begin or end outside the range of dates. */
export const MAX_DURATION_DAYS = 36_500;

const UNITS: Record<string, number> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds of `500ms`, `90s`, `10m`, `1h`, `2d`, or of a number; NaN for anything else, such as `10` without a unit. */
export function duration(text: number | string): number {
  if (typeof text !== 'string') return typeof text === 'number' ? text : Number.NaN;
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)$/.exec(text.trim());
  if (match) return Number(match[1]) * UNITS[match[2]!]!;
  // Only nothing is the same in every unit.
  return /^0+$/.test(text.trim()) ? 0 : Number.NaN;
}
