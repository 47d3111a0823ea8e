/** A command as data, with its options typed from one table. */
import { flagName, type OptionTable, type Values } from './options.ts';

/** What a handler is given beside its options. */
export interface Invocation {
  /** A text with each `"taxiflow …"` in it completed, so that it means the same places as this command line. */
  completed(text: string): string;
}

/** Runs a command and says its exit code. */
export type Handler<V> = (args: V, invocation: Invocation) => Promise<number>;

export interface Command {
  /** As yargs writes it: `split <shard> [name]`. */
  readonly usage: string;
  readonly summary: string;
  readonly positionals: OptionTable;
  readonly options: OptionTable;
  readonly examples: readonly (readonly [string, string])[];
  readonly commands: readonly Command[];
  /** Reads the options of a command line, by their flag names, and runs the command. Undefined for a group of commands. */
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
  /** Loads the handler, which may be heavy, once it is needed. */
  readonly load: () => Promise<Handler<Values<NoInfer<P>> & Values<NoInfer<O>>>>;
}

// biome-ignore lint/complexity/noBannedTypes: a command without positionals adds nothing to what its handler gets
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
      // All are read before the handler is loaded, so that a mistake in one is told before anything is made.
      for (const [key, option] of Object.entries({ ...positionals, ...options })) {
        const name = flagName(key);
        values[key] = option.read(given[name], key in positionals ? name : `--${name}`);
      }
      const handler = await load();
      return handler(values as Values<P> & Values<O>, invocation);
    },
  };
}

/** Commands under one word, such as `stream create`. */
export function group(usage: string, summary: string, commands: readonly Command[]): Command {
  return { usage, summary, positionals: {}, options: {}, examples: [], commands, run: undefined };
}
