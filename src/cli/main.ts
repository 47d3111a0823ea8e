/** The command line. Options are data in `commands/`; a handler is loaded only when it runs. */
import { readFileSync } from 'node:fs';
import { EXIT, TaxiflowError } from '../errors.ts';
import { asksFor, asksForJsonLog, calledBy, readArguments, refuseMissing } from './arguments.ts';
import type { Settings } from './command.ts';
import { configured, mistypedVariables } from './configuration.ts';
import { completed } from './hints.ts';
import { BUG, logAsJson, tellError } from './log.ts';
import { endQuietlyWithThePipe, say } from './terminal.ts';

const LEAVE_MS = 500;

/** Runs a command line and sets the exit code. Never throws. */
export async function main(argv: readonly string[]): Promise<void> {
  endQuietlyWithThePipe();
  // Mistakes in the command line are told as JSON too.
  if (asksForJsonLog(argv)) logAsJson();
  process.once('beforeExit', endWithoutVerdict);
  try {
    process.exitCode = await run(argv);
  } catch (error) {
    report(error, argv);
  }
  process.off('beforeExit', endWithoutVerdict);
  if (process.exitCode === EXIT.interrupted) leaveSoon();
}

async function run(argv: readonly string[]): Promise<number> {
  if (argv[0] === COMPLETE) return complete(argv.slice(1));
  const asked = asksFor(argv);
  if (asked) return answer(asked, argv);
  // `help COMMAND` is `COMMAND --help`.
  if (argv[0] === 'help') return answer('help', argv.slice(1));
  const line = await readArguments(argv);
  const { command } = line;
  const settings = configured(line, line.settings);
  if (settings.get('log')?.written === 'json') logAsJson();
  for (const mistyped of mistypedVariables()) say(`note: ${mistyped}`);
  refuseMissing(line, settings);
  try {
    return await command.run(settings, { completed: (text) => completed(text, settings) });
  } catch (error) {
    report(error, argv, settings);
    return Number(process.exitCode);
  }
}

/** The first argument in calls from the shell scripts of `taxiflow completion`. */
const COMPLETE = '--complete';

async function complete(words: readonly string[]): Promise<number> {
  const { offerFor, offerText } = await import('./complete.ts');
  process.stdout.write(offerText(await offerFor(words)));
  return EXIT.done;
}

/** Prints help or the version. */
async function answer(asked: 'help' | 'version', argv: readonly string[]): Promise<number> {
  if (asked === 'version') process.stdout.write(`${packageVersion()}\n`);
  else {
    const { helpText } = await import('./help.ts');
    process.stdout.write(`${helpText(calledBy(argv), process.stdout.columns)}\n`);
  }
  return EXIT.done;
}

/** The version in package.json, which is next to dist/. */
function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** The event loop is empty but the command has not ended: it awaits something that never settles. */
function endWithoutVerdict(): void {
  tellError(
    'no-verdict',
    'the command stopped before it was done: it waited for something that never happened (no-verdict)',
    'run it again; committed work is kept. This is a bug in taxiflow, please report it',
  );
  process.exit(EXIT.failed);
}

/** Open handles of an interrupted command, such as a DNS lookup, must not delay the exit. */
function leaveSoon(): void {
  setTimeout(() => process.exit(), LEAVE_MS).unref();
}

function report(error: unknown, argv: readonly string[], settings: Settings = new Map()): void {
  const known = error instanceof TaxiflowError;
  const message = error instanceof Error ? error.message : String(error);
  const from = known && error.exitCode === EXIT.usage ? originsOf(message, settings) : '';
  const usage = known && error.exitCode === EXIT.usage ? helpOf(argv) : undefined;
  const hint = known ? (error.hint ?? usage) : 'this is a bug in taxiflow; please report it with these lines';
  const stack = known || !(error instanceof Error) ? undefined : error.stack;
  tellError(
    known ? error.code : BUG,
    `${message}${from}`,
    hint && (known ? completed(hint, settings) : hint),
    stack,
  );
  process.exitCode = known ? error.exitCode : EXIT.failed;
}

/** Where the options in a message were set, unless it was on the command line. */
function originsOf(message: string, settings: Settings): string {
  const flags = new Set(message.match(/--[a-z][a-z-]*/g));
  const origins = [...flags].flatMap((flag) => {
    const name = settings.get(flag.slice(2))?.name ?? flag;
    return name === flag ? [] : [`${flag} is set by ${name}`];
  });
  return origins.length === 0 ? '' : ` (${origins.join(', ')})`;
}

function helpOf(argv: readonly string[]): string {
  return `see "${['taxiflow', ...calledBy(argv).names, '--help'].join(' ')}"`;
}
