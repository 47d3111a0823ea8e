/** A command as data; one table of options gives the type of its handler's arguments. */
import { flagName, type OptionTable, type Values, type Written } from './options.ts';

/** What a handler gets besides its options. */
export interface Invocation {
  /** Adds this command line's data folder, region and server to each `"taxiflow …"` in a text. */
  completed(text: string): string;
}

/** Runs a command and resolves to its exit code. */
export type Handler<V> = (args: V, invocation: Invocation) => Promise<number>;

/** The value of an option as it was written, and the name errors give it, such as `--limit`. */
export interface Setting {
  readonly written: Written;
  readonly name: string;
}

/** Settings by the name of their flag or argument. */
export type Settings = ReadonlyMap<string, Setting>;

export type Example = readonly [line: string, text: string];

export interface Command {
  /** Its name and arguments: `split <shard> [name]`. */
  readonly usage: string;
  readonly summary: string;
  readonly positionals: OptionTable;
  readonly options: OptionTable;
  readonly examples: readonly Example[];
  readonly commands: readonly Command[];
  /** The command line that the user probably meant by an unexpected word, such as `generate --out WORD`. */
  readonly meant: ((word: string) => string) | undefined;
  /** Reads the settings and runs the command. Undefined for a group of commands. */
  readonly run: ((settings: Settings, invocation: Invocation) => Promise<number>) | undefined;
}

interface CommandSpec<P extends OptionTable, O extends OptionTable> {
  readonly usage: string;
  readonly summary: string;
  readonly positionals?: P;
  readonly options: O;
  readonly examples: readonly Example[];
  readonly meant?: (word: string) => string;
  /** Imports the handler, which may be heavy, only when the command runs. */
  readonly load: () => Promise<Handler<Values<NoInfer<P>> & Values<NoInfer<O>>>>;
}

// biome-ignore lint/complexity/noBannedTypes: a command without positionals adds nothing to its handler's arguments
export function command<P extends OptionTable = {}, O extends OptionTable = {}>(
  spec: CommandSpec<P, O>,
): Command {
  const { usage, summary, positionals = {}, options, examples, meant, load } = spec;
  return {
    usage,
    summary,
    positionals,
    options,
    examples,
    commands: [],
    meant,
    run: async (settings, invocation) => {
      const values: Record<string, unknown> = {};
      // Every option is read first, so a mistake is reported before the command changes anything.
      for (const [key, option] of Object.entries({ ...positionals, ...options })) {
        const name = flagName(key);
        const setting = settings.get(name);
        values[key] = option.read(
          setting?.written,
          setting?.name ?? (key in positionals ? name : `--${name}`),
        );
      }
      const handler = await load();
      return handler(values as Values<P> & Values<O>, invocation);
    },
  };
}

/** A command with subcommands, such as `stream create`. */
export function group(
  usage: string,
  summary: string,
  examples: readonly Example[],
  commands: readonly Command[],
): Command {
  const none = { positionals: {}, options: {}, meant: undefined, run: undefined };
  return { usage, summary, examples, commands, ...none };
}

/** The word that selects a command. */
export function nameOf({ usage }: Command): string {
  return usage.split(' ', 1)[0]!;
}

/** Options of a command by the names of their flags. */
export function optionsOf(command: Command | undefined) {
  return new Map(Object.entries(command?.options ?? {}).map(([key, option]) => [flagName(key), option]));
}
