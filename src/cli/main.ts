/** The command line: options as data in `commands.ts`, handlers loaded only when they run. */
import yargs from 'yargs';
import { EXIT, TaxiflowError, usageError } from '../errors.ts';
import { type Arguments, COMMANDS, type CommandSpec } from './commands.ts';

/** Runs a command line and sets the exit code. Never throws. */
export async function main(argv: readonly string[]): Promise<void> {
  endQuietlyWithThePipe();
  try {
    await parser(normaliseFlags(argv)).parseAsync();
  } catch (error) {
    report(error);
  }
}

/** Flags with one dash are taken as with two, as the reference's own commands are written. */
export function normaliseFlags(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  return argv.map((argument, i) =>
    (end < 0 || i < end) && /^-[a-zA-Z][a-zA-Z-]+(=|$)/.test(argument) ? `-${argument}` : argument,
  );
}

function parser(argv: string[]) {
  const root = yargs(argv)
    .scriptName('taxiflow')
    .usage(
      '$0 <command> [options]\n\nTaxi trips as a stream: replay them, process them in event time, look at the results.',
    )
    .parserConfiguration({ 'greedy-arrays': false, 'duplicate-arguments-array': false })
    .strict()
    .recommendCommands()
    .demandCommand(1, 'name a command')
    .wrap(Math.min(110, process.stderr.columns ?? 100))
    .version(false)
    .option('version', { type: 'boolean', describe: 'Show the version', global: false })
    .alias('help', 'h')
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? usageError(message, 'see "taxiflow --help", or "taxiflow COMMAND --help"');
    });
  for (const command of COMMANDS) addCommand(root as never, command);
  return root.middleware(() => {}, true);
}

function addCommand(parent: ReturnType<typeof yargs>, command: CommandSpec): void {
  parent.command(
    command.usage,
    command.summary,
    (inner) => {
      for (const [name, positional] of Object.entries(command.positionals ?? {}))
        inner.positional(name, positional);
      for (const sub of command.commands ?? []) addCommand(inner as never, sub);
      if (command.commands)
        inner.demandCommand(
          1,
          `name what to do: ${command.commands.map((sub) => sub.usage.split(' ')[0]).join(', ')}`,
        );
      for (const [example, text] of command.examples ?? []) inner.example(example, text);
      return inner.options(command.options);
    },
    async (args) => {
      if (!command.load) return;
      const handler = await command.load();
      process.exitCode = await handler(args as Arguments);
    },
  );
}

function report(error: unknown): void {
  const known = error instanceof TaxiflowError;
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`Error: ${message}\n`);
  if (known && error.hint) process.stderr.write(`Try: ${error.hint}\n`);
  if (!known)
    process.stderr.write(
      `Try: this is a fault of taxiflow; please report it with this\n${error instanceof Error ? error.stack : ''}\n`,
    );
  process.exitCode = known ? error.exitCode : EXIT.failed;
}

/** Whoever reads our output may stop reading. */
function endQuietlyWithThePipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.done);
    throw error;
  });
}
