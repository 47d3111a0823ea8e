/** The command line: options as data in `commands/`, handlers loaded only when they run. */
import { readFileSync } from 'node:fs';
import yargs, { type PositionalOptions } from 'yargs';
import { EXIT, TaxiflowError, usageError } from '../errors.ts';
import type { Command } from './command.ts';
import { COMMANDS } from './commands/index.ts';
import { commandOf, completed } from './hints.ts';
import { flagName } from './options.ts';
import { say } from './terminal.ts';

const LEAVE_MS = 500;

/** Runs a command line and sets the exit code. Never throws. */
export async function main(argv: readonly string[]): Promise<void> {
  endQuietlyWithThePipe();
  process.once('beforeExit', endWithoutVerdict);
  try {
    const flags = normaliseFlags(helpLast(argv));
    refuseValues(flags);
    await parser(flags).parseAsync();
  } catch (error) {
    report(error, argv);
  }
  process.off('beforeExit', endWithoutVerdict);
  if (process.exitCode === EXIT.interrupted) leaveSoon();
}

/** Nothing is left to wait for, but the command has not ended: something it waited for never comes. */
function endWithoutVerdict(): void {
  process.stderr.write(
    'Error: the command ended in the middle: what it waited for never came (no-verdict)\n' +
      'Try: run it again, what was committed is kept; this is a fault of taxiflow, please report it\n',
  );
  process.exit(EXIT.failed);
}

/** What an interrupted command leaves behind, such as the search for a host name, must not hold it up. */
function leaveSoon(): void {
  setTimeout(() => process.exit(), LEAVE_MS).unref();
}

/** What yargs knows of a command line: arguments by the names of their flags. */
type Arguments = Readonly<Record<string, unknown>>;

/**
 * yargs takes every value of a switch but `true` for false, and an empty text for a value, without a word: an unset
 * variable in a script would then mean the default.
 */
function refuseValues(flags: readonly string[]): void {
  const { options } = commandOf(flags);
  for (const [i, flag] of flags.entries()) {
    if (flag === '') {
      const before = /^--([a-zA-Z-]+)$/.exec(flags[i - 1] ?? '')?.[1];
      throw misuse(before ? `--${flagName(before)} was given an empty value` : 'an argument is empty', flags);
    }
    const [, given, value = ''] = /^--(?:no-)?([a-zA-Z-]+)=(.*)$/s.exec(flag) ?? [];
    if (given === undefined) continue;
    const name = flagName(given);
    if (value === '') throw misuse(`--${name} was given an empty value`, flags);
    if (options.get(name)?.yargs.type === 'boolean' && !/^(?:true|false)$/.test(value))
      throw misuse(`--${name} is a switch: it takes no value such as ${value}`, flags);
  }
}

/** `help COMMAND` is `COMMAND --help`. */
function helpLast(argv: readonly string[]): readonly string[] {
  return argv[0] === 'help' && argv.length > 1 ? [...argv.slice(1), '--help'] : argv;
}

/** Stands before what yargs would take for a flag, or drop, and is taken off again once it has parsed. */
const PLAIN = '\u0001';

/** Flags with one dash are taken as with two, `-noWatermark` as `--no-watermark`; `-` and what follows `--` are no flags. */
export function normaliseFlags(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  const flags = end < 0 ? argv : argv.slice(0, end);
  const plain = end < 0 ? [] : argv.slice(end + 1);
  return [...flags.map(normaliseFlag), ...plain.map((argument) => PLAIN + argument)];
}

function normaliseFlag(argument: string): string {
  if (argument === '-') return PLAIN + argument;
  const flag = /^-[a-zA-Z][a-zA-Z-]+(=|$)/.test(argument) ? `-${argument}` : argument;
  return flag.replace(/^--no([A-Z])/, (_, first: string) => `--no-${first.toLowerCase()}`);
}

/** Arguments without the mark; of an option that was given twice, the last one counts. */
function settled(args: Arguments, command: Command): Arguments {
  const options = new Set(Object.keys(command.options).map(flagName));
  const plain = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(plain);
    return typeof value === 'string' && value.startsWith(PLAIN) ? value.slice(PLAIN.length) : value;
  };
  return Object.fromEntries(
    Object.entries(args).map(([name, value]) => [
      name,
      plain(options.has(name) && Array.isArray(value) ? value.at(-1) : value),
    ]),
  );
}

/** What yargs calls the mistakes a user makes, and what we call them. */
const MISTAKES: readonly (readonly [RegExp, string])[] = [
  [/^Not enough arguments following: (.*)$/, '--$1 needs a value'],
  [/^Missing required arguments?: (.*)$/, '--$1 is needed'],
  [/^Not enough non-option arguments: .*$/, 'an argument is missing: USAGE'],
  [/^Unknown commands?: (.*)$/, 'unknown command $1'],
  [/^Unknown arguments?: (.*)$/, 'unknown option $1'],
  [/^Did you mean (.*)\?$/, 'unknown command; did you mean $1?'],
  [/^Invalid values:\s+Argument: (.*), Given: "(.*)", Choices: (.*)$/s, '--$1 $2 is none of $3'],
];

function misuse(message: string, argv: readonly string[]): TaxiflowError {
  const [pattern, words] = MISTAKES.find(([known]) => known.test(message)) ?? [];
  const text =
    pattern && words ? message.replace(pattern, words.replace('USAGE', commandOf(argv).usage)) : message;
  return usageError(text.replaceAll(PLAIN, ''), helpOf(argv));
}

function helpOf(argv: readonly string[]): string {
  return `see "${['taxiflow', ...commandOf(argv).names, '--help'].join(' ')}"`;
}

function parser(argv: string[]) {
  const root = yargs(argv)
    .scriptName('taxiflow')
    .usage(
      '$0 <command> [options]\n\nTaxi trips as a stream: replay them, process them in event time, look at the results.',
    )
    .parserConfiguration({ 'greedy-arrays': false })
    // Messages are in one language, whatever the user's.
    .detectLocale(false)
    .strict()
    .strictCommands()
    .recommendCommands()
    .demandCommand(1, 'name a command')
    .wrap(Math.min(110, process.stderr.columns ?? 100))
    .version(packageVersion())
    .alias('help', 'h')
    .exitProcess(false)
    .fail((message, error) => {
      throw error && error.name !== 'YError' ? error : misuse(error?.message ?? message, argv);
    });
  for (const command of COMMANDS) addCommand(root as never, command, argv);
  return root;
}

/** From package.json, which lies beside dist/. */
function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function addCommand(parent: ReturnType<typeof yargs>, command: Command, argv: readonly string[]): void {
  const { commands, positionals, options, run } = command;
  parent.command(
    command.usage,
    command.summary,
    (inner) => {
      for (const [key, positional] of Object.entries(positionals))
        inner.positional(flagName(key), positional.yargs as PositionalOptions);
      for (const sub of commands) addCommand(inner as never, sub, argv);
      if (commands.length > 0)
        inner.demandCommand(
          1,
          `name what to do: ${commands.map((sub) => sub.usage.split(' ')[0]).join(', ')}`,
        );
      for (const [example, text] of command.examples) inner.example(example, text);
      for (const [key, option] of Object.entries(options)) inner.option(flagName(key), option.yargs);
      return inner;
    },
    async (args) => {
      if (!run) return;
      const given = settled(args as Arguments, command);
      try {
        process.exitCode = await run(given, { completed: (text) => completed(text, given) });
      } catch (error) {
        report(error, argv, given);
      }
    },
  );
}

function report(error: unknown, argv: readonly string[], args: Arguments = {}): void {
  const known = error instanceof TaxiflowError;
  const message = error instanceof Error ? error.message : String(error);
  say(`Error: ${message}`);
  const hint = known ? (error.hint ?? (error.exitCode === EXIT.usage ? helpOf(argv) : undefined)) : undefined;
  if (hint) say(`Try: ${completed(hint, args)}`);
  if (!known) {
    say('Try: this is a fault of taxiflow; please report it with this');
    for (const line of (error instanceof Error ? (error.stack ?? '') : '').split('\n')) say(line);
  }
  process.exitCode = known ? error.exitCode : EXIT.failed;
}

/** The reader of our output may stop reading. */
function endQuietlyWithThePipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.done);
    throw error;
  });
}
