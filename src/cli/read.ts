/** Option values read and checked. */
import { usageError } from '../errors.ts';
import { parseTime } from '../events/decode.ts';
import { duration } from '../views/language.ts';
import type { Arguments } from './command.ts';

export function text(args: Arguments, name: string): string | undefined {
  const value = args[name];
  return typeof value === 'string' ? value : undefined;
}

/** Epoch ms of a time or a day; undefined when the option isn't given. */
export function time(args: Arguments, name: string): number | undefined {
  const value = text(args, name);
  if (value === undefined) return undefined;
  const day = /^\d{4}-\d\d-\d\d$/.test(value);
  const ms = parseTime(day ? `${value}T00:00:00Z` : value);
  if (Number.isNaN(ms) || !isDay(value.slice(0, 10)))
    throw usageError(`--${name} ${value} is no time`, 'write 2016-01-11 or 2016-01-11T08:30:00Z');
  return ms;
}

/** Whether there is such a day: 30 February would be taken for the first of March. */
function isDay(value: string): boolean {
  const ms = Date.parse(`${value}T00:00:00Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(value);
}

const MAX_DURATION_DAYS = 36_500;

/** Milliseconds of a duration, a hundred years at most; undefined when the option isn't given. */
export function milliseconds(args: Arguments, name: string): number | undefined {
  const value = text(args, name);
  if (value === undefined) return undefined;
  const ms = duration(value);
  if (!Number.isFinite(ms) || ms < 0)
    throw usageError(`--${name} ${value} is no duration`, 'write for instance 500ms, 10s, 5m or 1h');
  if (ms > MAX_DURATION_DAYS * 86_400_000)
    throw usageError(
      `--${name} ${value} is longer than ${MAX_DURATION_DAYS} days`,
      'write for instance 10s, 5m or 1h',
    );
  return ms;
}

/** A whole number from `least` to `most`. */
export function whole(
  args: Arguments,
  name: string,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): number | undefined {
  const value = args[name];
  if (value === undefined) return undefined;
  const isWhole = typeof value === 'number' && Number.isInteger(value);
  if (!isWhole || value < least) throw usageError(`--${name} needs a whole number of at least ${least}`);
  if (value > most) throw usageError(`--${name} takes ${most.toLocaleString('en-US')} at most`);
  return value;
}

/** More than Amazon allows by itself, and as many as an embedded stream can serve. */
const MOST_SHARDS = 10_000;

export function shardsOf(args: Arguments): number | undefined {
  return whole(args, 'shards', 1, MOST_SHARDS);
}

/** Event time over wall time: a positive number, or Infinity for `max`. */
export function speedup(args: Arguments): number {
  const value = text(args, 'speedup') ?? '';
  const factor = value === 'max' ? Number.POSITIVE_INFINITY : Number(value);
  if (!(factor > 0)) throw usageError(`--speedup ${value} is neither a positive number nor max`);
  return factor;
}

/** 0 for any that is free. */
export function portOf(args: Arguments): number {
  const port = whole(args, 'port', 0)!;
  if (port <= 65_535) return port;
  throw usageError(`--port ${port} is no port`, 'choose one from 1 to 65535, or 0 for any');
}
