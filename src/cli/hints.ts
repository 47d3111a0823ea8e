/** Commands that a hint names, completed so that they can be pasted: they mean the same place as the one that ran. */
import { shownUrl } from '../printable.ts';
import type { Command } from './command.ts';
import { COMMANDS } from './commands/index.ts';
import { flagName, type Option } from './options.ts';

/** The options that say where, and what another command calls them. */
const PLACES = {
  'data-dir': 'data-dir',
  region: 'region',
  'endpoint-url': 'endpoint-url',
  endpoint: 'opensearch',
  'index-prefix': 'index-prefix',
  'aws-sigv4': 'aws-sigv4',
  ca: 'ca',
  insecure: 'insecure',
} as const;

const NAMED = /"taxiflow ([^"]*)"/g;

/** `text` with the places of `args` in each `"taxiflow …"` that takes them and doesn't name its own. */
export function completed(text: string, args: Readonly<Record<string, unknown>>): string {
  return text.replace(NAMED, (_, line: string) => {
    const { options } = commandOf(line.split(' '));
    const places = Object.entries(PLACES).flatMap(([name, alias]) => {
      const option = options.get(name)?.yargs;
      const value = args[name] ?? args[alias];
      const meant = !option || value === undefined || value === option.default || line.includes(`--${name} `);
      return meant
        ? []
        : [value === true ? `--${name}` : `--${name} ${quoted(shownValue(name, String(value)))}`];
    });
    return `"${['taxiflow', line, ...places].join(' ')}"`;
  });
}

/** The command a command line begins with, as far as there is one, and its options by the names of their flags. */
export function commandOf(line: readonly string[]): {
  readonly names: string[];
  readonly usage: string;
  readonly options: ReadonlyMap<string, Option<unknown>>;
} {
  const names: string[] = [];
  let found: Command | undefined;
  for (const word of line) {
    const next = (found?.commands ?? COMMANDS).find(({ usage }) => usage.split(' ')[0] === word);
    if (!next) break;
    names.push(word);
    found = next;
  }
  const options = Object.entries(found?.options ?? {}).map(
    ([key, option]) => [flagName(key), option] as const,
  );
  return { names, usage: found?.usage ?? '', options: new Map(options) };
}

/** A URL's secrets don't go into a hint. */
function shownValue(name: string, value: string): string {
  return name === 'endpoint' || name === 'endpoint-url' ? shownUrl(value) : value;
}

/** As a shell takes it. */
function quoted(value: string): string {
  return /^[\w./:@%+=,-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
