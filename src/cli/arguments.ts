/**
 * Parses a command line by the tables of `commands/`. yargs reads the values; the words are checked before, because yargs
 * takes an empty value and any value of a switch without a word, and can't say what a stray word was taken for.
 */
import { type TaxiflowError, usageError } from '../errors.ts';
import { didYouMean } from '../suggest.ts';
import { type Command, nameOf, optionsOf, type Setting } from './command.ts';
import { COMMANDS } from './commands/index.ts';
import { flagName, type Option, text } from './options.ts';

/** Options of every command. */
export const COMMON = {
  config: text({
    describe: 'File with settings  [default: taxiflow.config.json, if it exists]',
    completes: 'file',
  }),
};

/** A command, and the words that select it. */
export interface Called {
  /** Undefined for taxiflow itself. */
  readonly command: Command | undefined;
  readonly names: readonly string[];
}

export interface NamedCommand extends Called {
  readonly command: Command;
}

export interface CommandLine {
  readonly command: Command & { readonly run: NonNullable<Command['run']> };
  readonly names: readonly string[];
  /** Values by the name of their flag or argument. If an option was given twice, the last value counts. */
  readonly settings: ReadonlyMap<string, Setting>;
}

/** A flag, with one dash or two. A negative number and a lone dash are values. */
export const FLAG = /^--?([a-zA-Z][\w-]*)(?:=(.*))?$/s;

/** Flags that replace running the command. */
const ASKS: Readonly<Record<string, 'help' | 'version'>> = {
  h: 'help',
  help: 'help',
  v: 'version',
  V: 'version',
  version: 'version',
};

/** Whether a command line asks for help or the version. */
export function asksFor(argv: readonly string[]): 'help' | 'version' | undefined {
  const end = argv.indexOf('--');
  for (const word of end < 0 ? argv : argv.slice(0, end)) {
    const asked = ASKS[FLAG.exec(word)?.[1] ?? ''];
    if (asked) return asked;
  }
  if (argv.length === 1 && (argv[0] === 'help' || argv[0] === 'version')) return argv[0];
  return undefined;
}

/** Whether a command line asks for `--log json`, as far as it can be read without checking it. */
export function asksForJsonLog(argv: readonly string[]): boolean {
  const { command, rest } = calledBy(argv);
  if (!optionsOf(command).has('log')) return false;
  const end = rest.indexOf('--');
  const words = end < 0 ? rest : rest.slice(0, end);
  const last = words.findLastIndex((word) => FLAG.exec(word)?.[1] === 'log');
  return last >= 0 && (FLAG.exec(words[last]!)![2] ?? words[last + 1]) === 'json';
}

/** The command that a command line selects, as far as it is known, and the remaining words. */
export function calledBy(argv: readonly string[]): Called & { readonly rest: readonly string[] } {
  const names: string[] = [];
  const rest: string[] = [];
  let command: Command | undefined;
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    const flag = FLAG.exec(word);
    const next = (command?.commands ?? COMMANDS).find((known) => nameOf(known) === word);
    if (next && !flag) {
      command = next;
      names.push(word);
    } else if (flag && word !== '--') {
      rest.push(word);
      // The value of an option before its command.
      if (flag[2] === undefined && takesValue(flag[1]!, command) && i + 1 < argv.length)
        rest.push(argv[++i]!);
    } else {
      return { command, names, rest: [...rest, ...argv.slice(i)] };
    }
  }
  return { command, names, rest };
}

function takesValue(given: string, command: Command | undefined): boolean {
  const name = flagName(given);
  const known = command?.run ? [command] : everyCommand().map((each) => each.command);
  return name in COMMON || known.some((each) => optionsOf(each).get(name)?.takes === 'one');
}

/** All commands that run, including subcommands. */
export function everyCommand(
  commands: readonly Command[] = COMMANDS,
  above: readonly string[] = [],
): NamedCommand[] {
  return commands.flatMap((command) => {
    const names = [...above, nameOf(command)];
    return command.run ? [{ command, names }] : everyCommand(command.commands, names);
  });
}

/** Parses a command line. Throws `usage`. */
export async function readArguments(argv: readonly string[]): Promise<CommandLine> {
  const called = calledBy(argv);
  const { command, names } = called;
  const words = new Words(called);
  words.check(called.rest);
  if (!command) throw misuse(called, 'no command given');
  if (!command.run)
    throw misuse(
      called,
      `no subcommand given; choose one of ${command.commands.map((each) => nameOf(each)).join(', ')}`,
    );
  return { command: { ...command, run: command.run }, names, settings: await valuesOf(words) };
}

/** A mistake in a command line; the hint is the help of its command unless there is a better one. */
export function misuse({ names }: Pick<Called, 'names'>, message: string, hint?: string): TaxiflowError {
  return usageError(message, hint ?? `see "${['taxiflow', ...names, '--help'].join(' ')}"`);
}

/** Reads the values of checked words. */
async function valuesOf({ flags, positionals, options }: Words): Promise<Map<string, Setting>> {
  // Loaded only here: help, version and completions take half the time without it.
  const { default: yargs } = await import('yargs');
  const parser = yargs([...flags])
    .parserConfiguration(PLAIN_PARSER)
    .detectLocale(false)
    .help(false)
    .version(false)
    .exitProcess(false)
    .fail(false);
  for (const [name, { takes }] of options)
    parser.option(name, { type: takes === 'none' ? 'boolean' : 'string' });
  const read = (await parser.parseAsync()) as Readonly<Record<string, unknown>>;
  const settings = new Map(positionals);
  for (const name of options.keys()) {
    const written = read[name];
    if (typeof written === 'string' || typeof written === 'boolean')
      settings.set(name, { written, name: `--${name}` });
  }
  return settings;
}

/** Names and values as they are written; of an option that was given twice, the last value counts. */
const PLAIN_PARSER = {
  'boolean-negation': false,
  'camel-case-expansion': false,
  'dot-notation': false,
  'duplicate-arguments-array': false,
  'parse-numbers': false,
};

/** The words of a command line behind the name of its command. */
class Words {
  /** The options, each as `--name=value`. */
  readonly flags: string[] = [];
  /** The arguments, by name. */
  readonly positionals = new Map<string, Setting>();
  readonly options: ReadonlyMap<string, Option<unknown>>;
  readonly #called: Called;
  #words: readonly string[] = [];

  constructor(called: Called) {
    this.#called = called;
    this.options = new Map([...optionsOf(called.command), ...Object.entries(COMMON)]);
  }

  check(words: readonly string[]): void {
    this.#words = words;
    const plain: string[] = [];
    let i = 0;
    while (i < words.length && words[i] !== '--') {
      const flag = FLAG.exec(words[i]!);
      if (flag) i += this.#flag(flag, i);
      else plain.push(words[i++]!);
    }
    this.#arguments([...plain, ...words.slice(i + 1)]);
  }

  /** Checks a flag and returns the number of words it uses. */
  #flag([flag, given, value]: RegExpExecArray, at: number): number {
    const { name, negated } = this.#named(given!, flag);
    const option = this.options.get(name)!;
    const shown = `--${name}`;
    if (value === '') throw this.#emptyValue(name, option);
    if (option.takes === 'none') {
      if (value !== undefined && !/^(?:true|false)$/.test(value))
        throw this.#misuse(`${shown} is a switch and takes no value, but got ${value}`);
      this.flags.push(`${shown}=${(value !== 'false') !== negated}`);
      return 1;
    }
    const next = this.#words[at + 1];
    const follows = value === undefined && next !== undefined && next !== '--' && !FLAG.test(next);
    if (follows && next === '') throw this.#emptyValue(name, option);
    if (value === undefined && !follows && option.takes === 'one')
      throw this.#misuse(`${shown} needs a value`);
    this.flags.push(`${shown}=${value ?? (follows ? next : '')}`);
    return follows ? 2 : 1;
  }

  /** The option of a flag; `--noX` and `--no-x` turn the switch x off. */
  #named(given: string, flag: string): { name: string; negated: boolean } {
    const name = flagName(given);
    if (this.options.has(name)) return { name, negated: false };
    const positive = name.replace(/^no-/, '');
    if (this.options.get(positive)?.takes === 'none') return { name: positive, negated: true };
    throw this.#unknown(name, flag.replace(/=.*$/s, ''));
  }

  #unknown(name: string, flag: string): TaxiflowError {
    const { command } = this.#called;
    const flags = [...this.options.keys(), ...Object.keys(ASKS).filter((word) => word.length > 1)];
    const shown = `--${flag.replace(/^-+/, '')}`;
    if (!command)
      return this.#misuse(`unknown option ${shown}${didYouMean(name, flags, (found) => `--${found}`)}`);
    const others = everyCommand().filter((each) => optionsOf(each.command).has(name));
    if (others.length > 0 && command.run)
      return this.#misuse(
        `${this.#shownName} has no ${shown}; ${others.map(({ names }) => names.join(' ')).join(', ')} ${others.length > 1 ? 'have' : 'has'}`,
      );
    return this.#misuse(`unknown option ${shown}${didYouMean(name, flags, (found) => `--${found}`)}`);
  }

  /** Assigns words to the positionals of the command, in order. */
  #arguments(words: readonly string[]): void {
    if (words.includes('')) throw this.#misuse('an argument is empty', 'check for an unset variable');
    const { command } = this.#called;
    let left = words;
    for (const [key, positional] of Object.entries(command?.positionals ?? {})) {
      if (left.length === 0) break;
      const many = positional.takes === 'many';
      const name = flagName(key);
      this.positionals.set(name, { written: many ? left : left[0]!, name });
      left = many ? [] : left.slice(1);
    }
    if (left.length > 0) throw this.#stray(left[0]!);
  }

  /** The error for a word that is neither a command nor an argument. */
  #stray(word: string): TaxiflowError {
    const { command } = this.#called;
    if (!command?.run) {
      const known = (command?.commands ?? COMMANDS).map(nameOf);
      const full = command ? `${this.#shownName} ${word}` : word;
      const shown = (found: string) => `"taxiflow ${command ? `${this.#shownName} ` : ''}${found}"`;
      return this.#misuse(`unknown command "${full}"${didYouMean(word, known, shown)}`);
    }
    const none = Object.keys(command.positionals).length === 0;
    const taken = `${this.#shownName} takes no ${none ? '' : 'further '}arguments, and "${word}" was taken for one`;
    return this.#misuse(taken, command.meant && `"taxiflow ${command.meant(word)}"`);
  }

  #emptyValue(name: string, { default: byDefault }: Option<unknown>): TaxiflowError {
    const otherwise = byDefault === undefined || byDefault === '' ? '' : ` for ${String(byDefault)}`;
    return this.#misuse(
      `the value of --${name} is empty`,
      `check for an unset variable, or omit --${name}${otherwise}`,
    );
  }

  get #shownName(): string {
    return this.#called.names.join(' ');
  }

  #misuse(message: string, hint?: string): TaxiflowError {
    return misuse(this.#called, message, hint);
  }
}

/** Refuses a command line without a required argument or option. Throws `usage`. */
export function refuseMissing(called: NamedCommand, settings: ReadonlyMap<string, Setting>): void {
  const { command } = called;
  for (const [key, { required }] of Object.entries(command.positionals))
    if (required && !settings.has(flagName(key)))
      throw misuse(called, `an argument is missing: ${command.usage}`);
  for (const [name, { required }] of optionsOf(command))
    if (required && !settings.has(name)) throw misuse(called, `--${name} is required`);
}
