/**
 * Options as data: one table per command, from which yargs' options, the help and the type of the handler's arguments
 * are derived. Keys are in camel case; on the command line they are `--kebab-case` (camel case works too).
 */
import type { Options } from 'yargs';
import { usageError } from '../errors.ts';
import { parseTime } from '../events/times.ts';
import { MAX_DURATION_DAYS } from '../views/check.ts';
import { duration } from '../views/language.ts';

/** An option with a value of type T. */
export interface Option<T> {
  readonly yargs: Options;
  /** Reads the value that yargs parsed; `flag` is `--name`. Throws `usage`. */
  readonly read: (given: unknown, flag: string) => T;
}

export type OptionTable = Readonly<Record<string, Option<unknown>>>;

/** The arguments of a handler with these options. */
export type Values<O extends OptionTable> = {
  readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never;
};

interface About {
  readonly describe: string;
}

/** The value is always defined if the option is required or has a default. */
type Given<T, A> = A extends { readonly default: unknown } | { readonly required: true } ? T : T | undefined;

/** `dataDir` → `data-dir`. */
export function flagName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function option<T, A extends About>(
  { describe, ...about }: A & { readonly default?: unknown; readonly required?: boolean },
  type: Options,
  read: (given: unknown, flag: string) => T,
): Option<Given<T, A>> {
  return {
    yargs: {
      requiresArg: true,
      ...type,
      describe,
      ...(about.default === undefined ? {} : { default: about.default }),
      ...(about.required ? { demandOption: true } : {}),
    },
    read: (given, flag) => (given === undefined ? undefined : read(given, flag)) as Given<T, A>,
  };
}

/** A switch, off unless `default` says otherwise. */
export function flag(describe: string, byDefault = false): Option<boolean> {
  return {
    yargs: { type: 'boolean', default: byDefault, describe },
    read: (given) => given === true,
  };
}

export function text<const A extends About & { readonly default?: string; readonly required?: true }>(
  about: A,
): Option<Given<string, A>> {
  return option(about, { type: 'string' }, String);
}

/** A text whose value may be omitted: `--name` alone reads as ''. */
export function optionalText(describe: string): Option<string | undefined> {
  return option({ describe }, { type: 'string', requiresArg: false }, String);
}

/** Any number of arguments. */
export function texts(describe: string): Option<readonly string[]> {
  return {
    yargs: { type: 'string', array: true, describe },
    read: (given) => (Array.isArray(given) ? given.map(String) : []),
  };
}

export function choice<
  const C extends readonly string[],
  const A extends About & { readonly default?: C[number] },
>(choices: C, about: A): Option<Given<C[number], A>> {
  return option(about, { choices }, (given) => given as C[number]);
}

/** A whole number from `least` to `most`. */
export function whole<
  const A extends About & {
    readonly least: number;
    readonly most?: number;
    readonly default?: number;
    readonly required?: true;
  },
>(about: A): Option<Given<number, A>> {
  const { least, most } = about;
  return option(about, { type: 'number' }, (given, name) => {
    return wholeOf(given, name, least, most);
  });
}

function wholeOf(given: unknown, name: string, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (typeof given !== 'number' || !Number.isInteger(given) || given < least)
    throw usageError(`${name} needs a whole number of at least ${least}`);
  if (given > most) throw usageError(`${name} takes ${most.toLocaleString('en-US')} at most`);
  return given;
}

/** Above Amazon's default quota; the most an embedded stream can serve. */
export const MOST_SHARDS = 10_000;

/** A port to listen on; 0 is any free port. */
export function port<const A extends About & { readonly default: number }>(about: A): Option<number> {
  return option(about, { type: 'number' }, (given, name) => {
    const value = wholeOf(given, name, 0);
    if (value <= 65_535) return value;
    throw usageError(
      `${name} ${value} is not a valid port`,
      'choose one from 1 to 65535, or 0 for any free port',
    );
  });
}

/** A number for which `accepts` holds; `what` describes those numbers in the error. */
export function number<const A extends About & { readonly default: number }>(
  accepts: (value: number) => boolean,
  what: string,
  about: A,
): Option<number> {
  return option(about, { type: 'number' }, (given, name) => {
    if (typeof given === 'number' && accepts(given)) return given;
    throw usageError(`${name} needs ${what}`);
  });
}

/** A time or a day, read as epoch ms. */
export function time<const A extends About & { readonly default?: string; readonly required?: true }>(
  about: A,
): Option<Given<number, A>> {
  return option(about, { type: 'string' }, (given, name) => timeOf(String(given), name));
}

/** Epoch ms of a time or a day. Throws `usage`. */
export function timeOf(value: string, name: string): number {
  const isDay = /^\d{4}-\d\d-\d\d$/.test(value);
  const ms = parseTime(isDay ? `${value}T00:00:00Z` : value);
  if (!Number.isNaN(ms)) return ms;
  throw usageError(`${name} ${value} is not a valid time`, 'write 2016-01-11 or 2016-01-11T08:30:00Z');
}

/** A duration such as 500ms or 10m, read as ms; at most 100 years. Only 0 may omit its unit. */
export function milliseconds<const A extends About & { readonly default?: string; readonly least?: number }>(
  about: A,
): Option<Given<number, A>> {
  const { least = 0 } = about;
  return option(about, { type: 'string' }, (given, name) => {
    const value = String(given);
    const ms = duration(value);
    if (Number(value) > 0)
      throw usageError(`${name} ${value} has no unit`, `write ${value}m, ${value}s or ${value}ms`);
    if (!Number.isFinite(ms) || ms < 0)
      throw usageError(`${name} ${value} is not a duration`, 'write for instance 500ms, 10s, 5m or 1h');
    if (ms < least) throw usageError(`${name} ${value} is shorter than ${least} ms`);
    if (ms <= MAX_DURATION_DAYS * 86_400_000) return ms;
    throw usageError(
      `${name} ${value} is longer than ${MAX_DURATION_DAYS} days`,
      'write for example 10s, 5m or 1h',
    );
  });
}

/** Event time divided by wall time: a positive number, or Infinity for `max`. */
export function speedup(byDefault: string, describe: string): Option<number> {
  return option({ describe, default: byDefault }, { type: 'string' }, (given, name) => {
    const factor = given === 'max' ? Number.POSITIVE_INFINITY : Number(given);
    if (factor > 0) return factor;
    throw usageError(`${name} ${String(given)} is neither a positive number nor max`);
  });
}
