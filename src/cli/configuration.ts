/** Settings from the configuration file and the environment. Flags win over the environment, and that over the file. */
import { existsSync, readFileSync } from 'node:fs';
import { systemCode, TaxiflowError, translating, usageError } from '../errors.ts';
import { parseJson } from '../source-place.ts';
import { didYouMean, nearest } from '../suggest.ts';
import { COMMON, everyCommand, type NamedCommand } from './arguments.ts';
import { optionsOf, type Setting, type Settings } from './command.ts';
import type { Option, Written } from './options.ts';

/** Read if it is in the current folder and no other file is named. */
export const CONFIG_FILE = 'taxiflow.config.json';
const PREFIX = 'TAXIFLOW_';

type Environment = Readonly<Record<string, string | undefined>>;

/** `data-dir` → `TAXIFLOW_DATA_DIR`. */
export function variableOf(name: string): string {
  return PREFIX + name.toUpperCase().replaceAll('-', '_');
}

/**
 * Completes the settings of a command line with those of the environment and of the configuration file. `names` are the
 * words that select the command. Throws `usage` for an unknown key, and for a value of the wrong type.
 */
export function configured(
  { command, names }: NamedCommand,
  flags: Settings,
  environment: Environment = process.env,
): Map<string, Setting> {
  const options = optionsOf(command);
  const path =
    flags.get('config') ?? fromEnvironment(new Map([['config', COMMON.config]]), environment).get('config');
  return new Map([
    ...fromFile(path, names.join(' '), options),
    ...fromEnvironment(options, environment),
    ...flags,
  ]);
}

type Options = ReadonlyMap<string, Option<unknown>>;

function fromEnvironment(options: Options, environment: Environment): Map<string, Setting> {
  const settings = new Map<string, Setting>();
  for (const [key, option] of options) {
    const name = variableOf(key);
    const text = environment[name];
    if (text === undefined) continue;
    if (text === '') throw usageError(`the value of ${name} is empty`, `set it, or unset ${name}`);
    const isSwitch = option.takes === 'none';
    if (isSwitch && !/^(?:true|false)$/.test(text))
      throw usageError(`${name} is a switch, but its value is ${text}`, 'use true or false');
    settings.set(key, { written: isSwitch ? text === 'true' : text, name });
  }
  return settings;
}

/** Variables that look like a mistyped option, each with the right name. */
export function mistypedVariables(environment: Environment = process.env): string[] {
  const known = [
    ...new Set(everyCommand().flatMap(({ command }) => [...optionsOf(command).keys()])),
    'config',
  ];
  const variables = new Set(known.map(variableOf));
  return Object.keys(environment).flatMap((name) => {
    if (!name.startsWith(PREFIX) || variables.has(name)) return [];
    const meant = nearest(name.slice(PREFIX.length), known);
    return meant === undefined ? [] : [`${name} is not an option; did you mean ${variableOf(meant)}?`];
  });
}

/** The settings in a file for a command: keys on their own for every command, then those in its section. */
function fromFile(given: Setting | undefined, called: string, options: Options): Map<string, Setting> {
  const path = given === undefined ? CONFIG_FILE : String(given.written);
  if (given === undefined && !existsSync(path)) return new Map();
  const settings = new Map<string, Setting>();
  const take = (key: string, value: unknown, section = '') => {
    const option = options.get(key);
    const name = `${path}: ${section}${key}`;
    if (option) settings.set(key, { written: writtenOf(value, option, name), name });
  };
  const content = contentOf(path, given?.name);
  for (const [key, value] of Object.entries(content)) if (!isObject(value)) take(key, value);
  const section = content[called];
  if (isObject(section)) for (const [key, value] of Object.entries(section)) take(key, value, `${called}.`);
  return settings;
}

/** Reads a file and refuses keys that no command has. `setBy` is the flag or variable that names the file. */
function contentOf(path: string, setBy = '--config'): Record<string, unknown> {
  const text = textOf(path, setBy);
  let content: unknown;
  try {
    content = parseJson(text, path);
  } catch (error) {
    throw wrong((error as Error).message, 'fix the file; see docs/configuration.md');
  }
  if (!isObject(content)) throw wrong(`${path}: not a JSON object`, 'write for example {"data-dir": "data"}');
  const commands = new Map(everyCommand().map(({ command, names }) => [names.join(' '), command]));
  const all = new Set([...commands.values()].flatMap((command) => [...optionsOf(command).keys()]));
  for (const [key, value] of Object.entries(content)) {
    const section = isObject(value) ? commands.get(key) : undefined;
    if (section)
      refuseUnknown(Object.keys(value as object), [...optionsOf(section).keys()], path, ` in "${key}"`);
    else if (isObject(value) && all.has(key)) throw wrong(`${path}: ${key} needs a value, not an object`);
    else if (key !== '$schema') refuseUnknown([key], isObject(value) ? [...commands.keys()] : [...all], path);
  }
  return content;
}

function textOf(path: string, setBy: string): string {
  const read = () => {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      const code = systemCode(error);
      const problem = code === 'EISDIR' ? 'the configuration is a folder' : 'there is no configuration file';
      if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EISDIR') throw error;
      throw new TaxiflowError('cannot-open', `${problem}: ${path}`, {
        hint: `check the path in ${setBy}; without it, ${CONFIG_FILE} is read if it exists`,
        cause: error,
      });
    }
  };
  // Editors on Windows may put a byte order mark before the text.
  return translating('the configuration', path, read, setBy).replace(/^\uFEFF/, '');
}

function refuseUnknown(keys: readonly string[], known: readonly string[], path: string, where = ''): void {
  for (const key of keys)
    if (!known.includes(key))
      throw wrong(`${path}: unknown key "${key}"${where}${didYouMean(key, known, (found) => `"${found}"`)}`);
}

/** A value as the flag would have it. */
function writtenOf(value: unknown, option: Option<unknown>, name: string): Written {
  if (option.takes === 'none') {
    if (typeof value === 'boolean') return value;
    throw wrong(`${name} is a switch, but its value is ${JSON.stringify(value)}`, 'use true or false');
  }
  if (value === '') throw wrong(`${name} is empty`, 'set it, or omit the key');
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  throw wrong(`${name} needs a text or a number, not ${JSON.stringify(value)}`);
}

function wrong(message: string, hint = 'see docs/configuration.md'): TaxiflowError {
  return usageError(message, hint);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
