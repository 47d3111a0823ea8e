/** Completes the commands in a hint so that they can be pasted: same data folder, region and server. */
import { shownUrl } from '../printable.ts';
import { calledBy } from './arguments.ts';
import { optionsOf, type Settings } from './command.ts';

/** Options that say where things are and what they are about, and the name another command gives them. */
const PLACES = {
  'data-dir': 'data-dir',
  name: 'name',
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

/** Adds the places of `settings` to each `"taxiflow …"` in `text` that accepts them and names none itself. */
export function completed(text: string, settings: Settings): string {
  return text.replace(NAMED, (_, line: string) => {
    const options = optionsOf(calledBy(line.split(' ')).command);
    // Help is the same everywhere.
    const asksHelp = line.endsWith('--help');
    const places = Object.entries(PLACES).flatMap(([name, alias]) => {
      const option = options.get(name);
      const written = (settings.get(name) ?? settings.get(alias))?.written;
      const meant =
        !option || asksHelp || !written || written === option.default || line.includes(`--${name} `);
      return meant
        ? []
        : [written === true ? `--${name}` : `--${name} ${quoted(shownValue(name, String(written)))}`];
    });
    return `"${['taxiflow', line, ...places].join(' ')}"`;
  });
}

/** Keeps the secrets of a URL out of the hint. */
function shownValue(name: string, value: string): string {
  return ['endpoint', 'endpoint-url', 'dashboards'].includes(name) ? shownUrl(value) : value;
}

/** Quoted for a shell. */
function quoted(value: string): string {
  return /^[\w./:@%+=,-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
