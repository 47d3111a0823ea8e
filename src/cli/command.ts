/** A command as data; one table of options gives the type of its handler's arguments. */
import { flagName, type OptionTable, type Values } from './options.ts';

/** What a handler gets besides its options. */
export interface Invocation {
  /** Adds this command line's data folder, region and server to each `"taxiflow …"` in a text. */
  completed(text: string): string;
}

/** Runs a command and resolves to its exit code. */
export type Handler<V> = (args: V, invocation: Invocation) => Promise<number>;

export interface Command {
  /** In yargs' notation: `split <shard> [name]`. */
  readonly usage: string;
  readonly summary: string;
  readonly positionals: OptionTable;
  readonly options: OptionTable;
  readonly examples: readonly (readonly [string, string])[];
  readonly commands: readonly Command[];
  /** Reads the given options, keyed by flag name, and runs the command. Undefined for a group. */
  readonly run:
    | ((given: Readonly<Record<string, unknown>>, invocation: Invocation) => Promise<number>)
    | undefined;
}

interface CommandSpec<P extends OptionTable, O extends OptionTable> {
  readonly usage: string;
  readonly summary: string;
  readonly positionals?: P;
  readonly options: O;
  readonly examples?: readonly (readonly [string, string])[];
  /** Imports the handler, which may be heavy, only when the command runs. */
  readonly load: () => Promise<Handler<Values<NoInfer<P>> & Values<NoInfer<O>>>>;
}

// biome-ignore lint/complexity/noBannedTypes: a command without positionals adds nothing to its handler's arguments
export function command<P extends OptionTable = {}, O extends OptionTable = {}>(
  spec: CommandSpec<P, O>,
): Command {
  const { positionals = {}, options, examples = [], load } = spec;
  return {
    usage: spec.usage,
    summary: spec.summary,
    positionals,
    options,
    examples,
    commands: [],
    run: async (given, invocation) => {
      const values: Record<string, unknown> = {};
      // Every option is read first, so a mistake is reported before the command changes anything.
      for (const [key, option] of Object.entries({ ...positionals, ...options })) {
        const name = flagName(key);
        values[key] = option.read(given[name], key in positionals ? name : `--${name}`);
      }
      const handler = await load();
      return handler(values as Values<P> & Values<O>, invocation);
    },
  };
}

/** A command with subcommands, such as `stream create`. */
export function group(usage: string, summary: string, commands: readonly Command[]): Command {
  return { usage, summary, positionals: {}, options: {}, examples: [], commands, run: undefined };
}
