import type { Options, PositionalOptions } from 'yargs';

/** What yargs read of a command line. */
export type Arguments = Record<string, unknown>;
/** Runs a command and says its exit code. */
export type Handler = (args: Arguments) => Promise<number>;

/** A command as data. */
export interface CommandSpec {
  readonly usage: string;
  readonly summary: string;
  readonly positionals?: Readonly<Record<string, PositionalOptions>>;
  readonly options: Record<string, Options>;
  readonly examples?: readonly (readonly [string, string])[];
  readonly commands?: readonly CommandSpec[];
  readonly load?: () => Promise<Handler>;
}
