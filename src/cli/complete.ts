/** Completions for a shell. They are computed at every Tab, so file names must do; only views and fields are read from a state. */
import { listApps } from '../state/apps.ts';
import type { StateReader } from '../state/reader.ts';
import { DEFAULT_DATA_DIR } from '../streams/connectors.ts';
import { listLocalStreams } from '../streams/local/files.ts';
import { type Called, COMMON, calledBy, FLAG } from './arguments.ts';
import { type Command, nameOf, optionsOf, type Setting } from './command.ts';
import { COMMANDS } from './commands/index.ts';
import { configured } from './configuration.ts';
import { flagName, type Option } from './options.ts';

/** `words`, or `files` or `folders` for the shell to complete. */
export interface Offer {
  readonly kind: 'words' | 'files' | 'folders';
  /** Each with a description. All start with the word at the cursor. */
  readonly words: readonly (readonly [word: string, text: string])[];
}

/** `words` are the words after `taxiflow` up to the cursor; the last one is incomplete and may be empty. */
export async function offerFor(words: readonly string[]): Promise<Offer> {
  const current = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const called = calledBy(before);
  const place = { called, before };
  const assigned = FLAG.exec(current);
  if (assigned?.[2] !== undefined) {
    const option = optionNamed(assigned[1]!, called.command);
    return starting(current, await valuesOf(option, place), current.slice(0, current.indexOf('=') + 1));
  }
  const isPlain = before.includes('--');
  if (current.startsWith('-') && !isPlain)
    return starting(current, flagsOf(place, /^-[^-]/.test(current) ? '-' : '--'));
  const flag = isPlain ? undefined : FLAG.exec(before.at(-1) ?? '');
  const option = flag && flag[2] === undefined ? optionNamed(flag[1]!, called.command) : undefined;
  if (option && option.takes !== 'none') return starting(current, await valuesOf(option, place));
  if (!called.command?.run) return starting(current, asWords(commandsUnder(called.command)));
  return starting(current, await valuesOf(argumentAt(called), place));
}

interface Place {
  readonly called: Called & { readonly rest: readonly string[] };
  readonly before: readonly string[];
}

const asWords = (words: Offer['words']): Offer => ({ kind: 'words', words });

/** The words, each with `prefix`, that start with the word at the cursor. */
function starting(current: string, { kind, words }: Offer, prefix = ''): Offer {
  const full = words.map(([word, text]) => [prefix + word, text] as const);
  return { kind, words: full.filter(([word]) => word.startsWith(current)) };
}

function commandsUnder(command: Command | undefined): Offer['words'] {
  return (command?.commands ?? COMMANDS).map((each) => [nameOf(each), each.summary]);
}

/** Flags of the command that are not on the line yet. */
function flagsOf({ called, before }: Place, dashes: string): Offer {
  const options = [...optionsOf(called.command), ...Object.entries(COMMON)];
  const given = new Set(before.map((word) => flagName(FLAG.exec(word)?.[1] ?? '')));
  const flags = called.command?.run ? options : [];
  const offered = flags.flatMap(([name, { describe, default: byDefault }]) => {
    const shown = byDefault === true ? `no-${name}` : name;
    return given.has(name) || given.has(shown) ? [] : [[dashes + shown, describe] as const];
  });
  const help = [`${dashes}help`, 'Show the help'] as const;
  return asWords([
    ...offered,
    help,
    ...(called.command ? [] : [[`${dashes}version`, 'Show the version'] as const]),
  ]);
}

function optionNamed(given: string, command: Command | undefined): Option<unknown> | undefined {
  const name = flagName(given);
  return optionsOf(command).get(name) ?? (name === 'config' ? COMMON.config : undefined);
}

/** The argument that the next word would be. */
function argumentAt({ command, rest }: Place['called']): Option<unknown> | undefined {
  const positionals = Object.values(command?.positionals ?? {});
  let count = 0;
  for (let i = 0; i < rest.length; i++) {
    const flag = FLAG.exec(rest[i]!);
    if (!flag) count += rest[i] === '--' ? 0 : 1;
    else if (flag[2] === undefined && takesNext(optionNamed(flag[1]!, command), rest[i + 1])) i++;
  }
  return positionals[count] ?? positionals.findLast(({ takes }) => takes === 'many');
}

function takesNext(option: Option<unknown> | undefined, next = '--'): boolean {
  return option?.takes === 'one' || (option?.takes === 'maybe' && !FLAG.test(next) && next !== '--');
}

async function valuesOf(option: Option<unknown> | undefined, place: Place): Promise<Offer> {
  const said = [...(option?.choices ?? []), ...(option?.offers ?? [])].map((word) => [word, ''] as const);
  const names = (list: (dataDir: string) => string[], prefix: string, what: string) =>
    asWords([...said, ...list(dataDirOf(place)).map((name) => [prefix + name, what] as const)]);
  switch (option?.completes) {
    case 'file':
      return { kind: 'files', words: [] };
    case 'folder':
      return { kind: 'folders', words: [] };
    case 'stream':
      return names(listLocalStreams, 'local:', 'embedded stream');
    case 'app':
      return names(listApps, '', 'app');
    case 'view':
      return asWords(await fromState(place, (state) => state.views().map((name) => [name, 'view'])));
    case 'order':
      return asWords(
        await fromState(place, (state) =>
          state.columns(settingOf(place, 'view')).flatMap((field) => [
            [field, 'ascending'],
            [`${field}:desc`, 'descending'],
          ]),
        ),
      );
    default:
      return asWords(said);
  }
}

/** Words from the state of the app of the line; none if it can't be read. */
async function fromState(
  place: Place,
  read: (state: StateReader) => Offer['words'],
): Promise<Offer['words']> {
  // The packages that open a state are loaded only for these words.
  const [{ chooseApp }, { StateReader }] = await Promise.all([
    import('../state/files.ts'),
    import('../state/reader.ts'),
  ]);
  let state: StateReader | undefined;
  try {
    const dataDir = dataDirOf(place);
    state = new StateReader(dataDir, chooseApp(dataDir, settingOf(place, 'app')));
    return read(state);
  } catch {
    // The command itself will report what is wrong with the state.
    return [];
  } finally {
    state?.close();
  }
}

function dataDirOf(place: Place): string {
  return settingOf(place, 'data-dir') ?? DEFAULT_DATA_DIR;
}

/** The value of an option on the line, as far as it is written, or in the configuration. */
function settingOf({ called: { command, names }, before }: Place, wanted: string): string | undefined {
  const flags = new Map<string, Setting>();
  for (const [i, word] of before.entries()) {
    const [, given = '', value = before[i + 1]] = FLAG.exec(word) ?? [];
    if (value) flags.set(flagName(given), { written: value, name: given });
  }
  const flag = flags.get(wanted);
  if (flag || !command) return flag && String(flag.written);
  try {
    const setting = configured({ command, names }, flags).get(wanted);
    return setting && String(setting.written);
  } catch {
    // The command itself will report the mistake in the configuration.
    return undefined;
  }
}

/** The format that the shell scripts read: the kind, then one word per line, a tab and its description. */
export function offerText({ kind, words }: Offer): string {
  return [kind, ...words.map(([word, text]) => `${word}\t${text.split('  [')[0]}`), ''].join('\n');
}
