/** Completes the commands in a hint so that they can be pasted: same data folder, region and server. */
import { shownUrl } from '../printable.ts';
import type { Command } from './command.ts';
import { COMMANDS } from './commands/index.ts';
import { flagName, type Option } from './options.ts';

/** Options that say where things are and what they are about, and the name another command gives them. */
const PLACES = {
  'data-dir': 'data-dir',
  region: 'region',
  'endpoint-url': 'endpoint-url',
  endpoint: 'opensearch',
  dashboards: 'dashboards',
  'index-prefix': 'index-prefix',
  views: 'views',
  'aws-sigv4': 'aws-sigv4',
  ca: 'ca',
  insecure: 'insecure',
} as const;

const NAMED = /"taxiflow ([^"]*)"/g;

/** Adds the places of `args` to each `"taxiflow …"` in `text` that accepts them and names none itself. */
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

/** The command that a command line begins with, as far as it is known, and its options by flag name. */
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

/** Keeps the secrets of a URL out of the hint. */
function shownValue(name: string, value: string): string {
  return ['endpoint', 'endpoint-url', 'dashboards'].includes(name) ? shownUrl(value) : value;
}

/** Quoted for a shell. */
function quoted(value: string): string {
  return /^[\w./:@%+=,-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
