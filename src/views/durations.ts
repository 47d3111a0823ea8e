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

/** Milliseconds of `500ms`, `90s`, `10m`, `1h`, `2d` or a plain number of ms; NaN for anything else. */
export function duration(text: number | string): number {
  if (typeof text !== 'string') return typeof text === 'number' ? text : Number.NaN;
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?$/.exec(text.trim());
  return match ? Number(match[1]) * UNITS[match[2] ?? 'ms']! : Number.NaN;
}
