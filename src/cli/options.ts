/**
 * Options as data: one table per command, from which the parser, the help, the completions, the schema of the
 * configuration file and the type of the handler's arguments are derived. Keys are in camel case; on the command line they
 * are `--kebab-case` (camel case works too).
 */
import { statSync } from 'node:fs';
import { systemCode, TaxiflowError, usageError } from '../errors.ts';
import { parseTime } from '../events/times.ts';
import { didYouMean } from '../suggest.ts';
import { duration, MAX_DURATION_DAYS } from '../views/durations.ts';

/** A value before it is read: a text, the state of a switch, or a list of arguments. */
export type Written = string | boolean | readonly string[];

/** What a shell completes a value to. */
export type Completion = 'stream' | 'app' | 'view' | 'order' | 'file' | 'folder';

/** An option with a value of type T. */
export interface Option<T> {
  /** Number of words it takes: none (a switch), one, at most one, or any number (only as an argument). */
  readonly takes: 'none' | 'one' | 'maybe' | 'many';
  readonly describe: string;
  readonly default?: string | number | boolean;
  readonly required?: boolean;
  /** All valid values. */
  readonly choices?: readonly string[];
  /** Some of the valid values, for a shell to offer. */
  readonly offers?: readonly string[];
  readonly completes?: Completion;
  /** JSON Schema of its value in the configuration file. */
  readonly schema: Readonly<Record<string, unknown>>;
  /** Reads a value, or the default if there is none; errors call it `name`, such as `--limit`. Throws `usage`. */
  readonly read: (written: Written | undefined, name: string) => T;
}

export type OptionTable = Readonly<Record<string, Option<unknown>>>;

/** The arguments of a handler with these options. */
export type Values<O extends OptionTable> = {
  readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never;
};

interface About {
  readonly describe: string;
  readonly completes?: Completion;
  readonly offers?: readonly string[];
}

/** The value is always defined if the option is required or has a default. */
type Given<T, A> = A extends { readonly default: unknown } | { readonly required: true } ? T : T | undefined;

/** `dataDir` → `data-dir`. */
export function flagName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

interface Kind {
  readonly takes?: 'one' | 'maybe';
  readonly choices?: readonly string[];
  readonly schema?: Readonly<Record<string, unknown>>;
}

function option<T, A extends About>(
  about: A & { readonly default?: string | number; readonly required?: boolean },
  { takes = 'one', choices, schema = { type: 'string' } }: Kind,
  read: (text: string, name: string) => T,
): Option<Given<T, A>> {
  const { describe, default: byDefault, required = false, completes, offers } = about;
  return {
    takes,
    describe,
    required,
    schema,
    ...(byDefault === undefined ? {} : { default: byDefault }),
    ...(choices === undefined ? {} : { choices }),
    ...(offers === undefined ? {} : { offers }),
    ...(completes === undefined ? {} : { completes }),
    read: (written = byDefault === undefined ? undefined : String(byDefault), name) =>
      (written === undefined ? undefined : read(String(written), name)) as Given<T, A>,
  };
}

/** A switch, off unless `default` says otherwise. */
export function flag(describe: string, byDefault = false): Option<boolean> {
  return {
    takes: 'none',
    describe,
    default: byDefault,
    schema: { type: 'boolean' },
    read: (written = byDefault) => written === true,
  };
}

/** A switch that may be left as something else has it: undefined if it isn't given. */
export function flagOrNot(describe: string): Option<boolean | undefined> {
  return {
    takes: 'none',
    describe,
    schema: { type: 'boolean' },
    read: (written) => (written === undefined ? undefined : written === true),
  };
}

export function text<const A extends About & { readonly default?: string; readonly required?: true }>(
  about: A,
): Option<Given<string, A>> {
  return option(about, {}, String);
}

/** A folder, which may be missing. Throws `cannot-open` if the path is something else. */
export function folder<const A extends About & { readonly default: string }>(about: A): Option<string> {
  return option({ ...about, completes: 'folder' }, {}, (path, name) => {
    if (isFolderOrMissing(path)) return path;
    throw new TaxiflowError('cannot-open', `${name} is not a folder: ${path}`, {
      hint: `name a folder, or omit it for ${about.default}`,
    });
  });
}

function isFolderOrMissing(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? true;
  } catch (error) {
    // ENOTDIR: a folder above it is a file. Other errors are reported by what opens the files in it.
    return systemCode(error) !== 'ENOTDIR';
  }
}

/** A text whose value may be omitted: `--name` alone reads as ''. */
export function optionalText(describe: string, completes?: Completion): Option<string | undefined> {
  return option({ describe, ...(completes ? { completes } : {}) }, { takes: 'maybe' }, String);
}

/** One of several values, which may be omitted: `--name` alone reads as ''. */
export function optionalChoice<const C extends readonly string[]>(
  choices: C,
  describe: string,
): Option<C[number] | '' | undefined> {
  const schema = { enum: ['', ...choices] };
  return option({ describe }, { takes: 'maybe', choices, schema }, (value, name): C[number] | '' => {
    if (value === '' || choices.includes(value)) return value;
    throw usageError(`${name} ${value} is not one of ${choices.join(', ')}`);
  });
}

/** Any number of arguments. */
export function texts(describe: string, completes?: Completion): Option<readonly string[]> {
  return {
    takes: 'many',
    describe,
    schema: { type: 'array', items: { type: 'string' } },
    ...(completes ? { completes } : {}),
    read: (written) => (Array.isArray(written) ? written : []),
  };
}

export function choice<
  const C extends readonly string[],
  const A extends About & { readonly default?: C[number]; readonly required?: true },
>(choices: C, about: A): Option<Given<C[number], A>> {
  return option(about, { choices, schema: { enum: choices } }, (value, name): C[number] => {
    if (choices.includes(value)) return value;
    throw usageError(`${name} ${value} is not one of ${choices.join(', ')}`);
  });
}

/** Some of several names, with commas between them, or `all`; the `suffix` of a name may be left out. */
export function names<const C extends readonly string[]>(
  known: C,
  { describe, suffix }: { readonly describe: string; readonly suffix: string },
): Option<readonly C[number][] | undefined> {
  return option({ describe, offers: [...known, 'all'] }, {}, (value, name): readonly C[number][] => {
    if (value === 'all') return known;
    const wanted = value.split(',').filter((part) => part.trim() !== '');
    const found = wanted.map((part) => {
      const word = part.trim().toLowerCase();
      const match = known.find((one) => one === word || one === word + suffix);
      if (match !== undefined) return match as C[number];
      throw usageError(`${name} ${part.trim()} is not one of ${known.join(', ')}${didYouMean(word, known)}`);
    });
    return known.filter((one) => found.includes(one));
  });
}

/** A whole number from `least` to `most`; `why` explains the upper bound in the error. */
export function whole<
  const A extends About & {
    readonly least: number;
    readonly most?: number;
    readonly why?: string;
    readonly default?: number;
    readonly required?: true;
  },
>(about: A): Option<Given<number, A>> {
  const { least, most = Number.MAX_SAFE_INTEGER, why } = about;
  const schema = { type: 'integer', minimum: least, maximum: most };
  return option(about, { schema }, (value, name) => wholeOf(value, name, least, most, why));
}

function wholeOf(text: string, name: string, least: number, most: number, why?: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least)
    throw usageError(`${name} needs a whole number of at least ${least}`);
  if (value > most)
    throw usageError(`${name} takes ${most.toLocaleString('en-US')} at most${why ? `: ${why}` : ''}`);
  return value;
}

/** A count of at least 1, or Infinity for `all`. */
export function countOrAll<const A extends About>(about: A): Option<Given<number, A>> {
  const schema = { anyOf: [{ type: 'integer', minimum: 1 }, { const: 'all' }] };
  return option({ ...about, offers: ['all'] }, { schema }, (text, name) => {
    if (text === 'all') return Number.POSITIVE_INFINITY;
    const value = Number(text);
    if (Number.isInteger(value) && value >= 1) return value;
    throw usageError(`${name} ${text} is neither a whole number of at least 1 nor all`);
  }) as Option<Given<number, A>>;
}

/** Above Amazon's default quota; the most an embedded stream can serve. */
export const MOST_SHARDS = 10_000;
export const WHY_SHARDS =
  'each shard is read and checkpointed and gets watermarks on its own, so cost grows with the number of shards';

/** A port to listen on; 0 is any free port. */
export function port<const A extends About & { readonly default: number }>(about: A): Option<number> {
  const schema = { type: 'integer', minimum: 0, maximum: 65_535 };
  return option(about, { schema }, (text, name) => {
    const value = wholeOf(text, name, 0, Number.MAX_SAFE_INTEGER);
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
  return option(about, { schema: { type: 'number' } }, (text, name) => {
    const value = Number(text);
    if (accepts(value)) return value;
    throw usageError(`${name} needs ${what}`);
  });
}

/** A time or a day, read as epoch ms. */
export function time<const A extends About & { readonly default?: string; readonly required?: true }>(
  about: A,
): Option<Given<number, A>> {
  return option(about, {}, timeOf);
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
  return option(about, {}, (value, name) => {
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
  const schema = { anyOf: [{ type: 'number', exclusiveMinimum: 0 }, { const: 'max' }] };
  return option({ describe, default: byDefault, offers: ['max'] }, { schema }, (given, name) => {
    const factor = given === 'max' ? Number.POSITIVE_INFINITY : Number(given);
    if (factor > 0) return factor;
    throw usageError(`${name} ${given} is neither a positive number nor max`);
  });
}
