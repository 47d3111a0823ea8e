/** The command line. Options are data in `commands/`; a handler is loaded only when it runs. */
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

/** The event loop is empty but the command has not ended: it awaits something that never settles. */
function endWithoutVerdict(): void {
  process.stderr.write(
    'Error: the command stopped before it was done: it waited for something that never happened (no-verdict)\n' +
      'Try: run it again; committed work is kept. This is a bug in taxiflow, please report it\n',
  );
  process.exit(EXIT.failed);
}

/** Open handles of an interrupted command, such as a DNS lookup, must not delay the exit. */
function leaveSoon(): void {
  setTimeout(() => process.exit(), LEAVE_MS).unref();
}

/** Arguments as yargs parsed them, by flag name. */
type Arguments = Readonly<Record<string, unknown>>;

/**
 * Refuses empty values and values of switches. yargs silently reads any value of a switch except `true` as false, and
 * accepts an empty text, so an unset variable in a script would select the default.
 */
function refuseValues(flags: readonly string[]): void {
  const { options } = commandOf(flags);
  for (const [i, flag] of flags.entries()) {
    if (flag === '') {
      const before = /^--([a-zA-Z-]+)$/.exec(flags[i - 1] ?? '')?.[1];
      throw misuse(before ? `the value of --${flagName(before)} is empty` : 'an argument is empty', flags);
    }
    const [, given, value = ''] = /^--(?:no-)?([a-zA-Z-]+)=(.*)$/s.exec(flag) ?? [];
    if (given === undefined) continue;
    const name = flagName(given);
    if (value === '') throw misuse(`the value of --${name} is empty`, flags);
    if (options.get(name)?.yargs.type === 'boolean' && !/^(?:true|false)$/.test(value))
      throw misuse(`--${name} is a switch and takes no value, but got ${value}`, flags);
  }
}

/** `help COMMAND` becomes `COMMAND --help`. */
function helpLast(argv: readonly string[]): readonly string[] {
  return argv[0] === 'help' && argv.length > 1 ? [...argv.slice(1), '--help'] : argv;
}

/** Prefix that keeps yargs from reading an argument as a flag or dropping it; removed after parsing. */
const PLAIN = '\u0001';

/** Turns one dash into two and `-noWatermark` into `--no-watermark`; `-` and everything after `--` are not flags. */
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

/** Arguments without the prefix. If an option was given twice, the last value counts. */
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

/** yargs' messages for a user's mistakes, and ours. */
const MISTAKES: readonly (readonly [RegExp, string])[] = [
  [/^Not enough arguments following: (.*)$/, '--$1 needs a value'],
  [/^Missing required arguments?: (.*)$/, '--$1 is required'],
  [/^Not enough non-option arguments: .*$/, 'an argument is missing: USAGE'],
  [/^Unknown commands?: (.*)$/, 'unknown command $1'],
  [/^Unknown arguments?: (.*)$/, 'unknown option $1'],
  [/^Did you mean (.*)\?$/, 'unknown command; did you mean $1?'],
  [/^Invalid values:\s+Argument: (.*), Given: "(.*)", Choices: (.*)$/s, '--$1 $2 is not one of $3'],
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
      '$0 <command> [options]\n\nTaxi trips as a stream: replay them, process them in event time, see the results.',
    )
    .parserConfiguration({ 'greedy-arrays': false })
    // Messages are always in English.
    .detectLocale(false)
    .strict()
    .strictCommands()
    .recommendCommands()
    .demandCommand(1, 'no command given')
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

/** The version in package.json, which is next to dist/. */
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
          `no subcommand given; choose one of ${commands.map((sub) => sub.usage.split(' ')[0]).join(', ')}`,
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
    say('Try: this is a bug in taxiflow; please report it with these lines');
    for (const line of (error instanceof Error ? (error.stack ?? '') : '').split('\n')) say(line);
  }
  process.exitCode = known ? error.exitCode : EXIT.failed;
}

/** Exits quietly when the reader of stdout closes the pipe, as `head` does. */
function endQuietlyWithThePipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.done);
    throw error;
  });
}
