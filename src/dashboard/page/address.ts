/**
 * What the page shows, as the fragment of its address: `#results?view=fares&figure=trips&at=2016-01-14T18:40&area=dr5ru7`.
 * Anything in it that makes no sense is left out and told.
 */

export const TABS = ['results', 'job', 'sql'] as const;
export type Tab = (typeof TABS)[number];

export interface Choice {
  readonly tab: Tab;
  readonly app?: string;
  readonly view?: string;
  /** An aggregate of the view. */
  readonly figure?: string;
  /** Label of a window, epoch ms. Without one, a running job shows its newest window and another one its busiest. */
  readonly at?: number | 'newest';
  /** Codes of pinned areas, or names of pinned keys. */
  readonly pins: readonly string[];
  /** Chosen words by key field. */
  readonly filter: ReadonlyMap<string, string>;
  /** What is in the box for queries. */
  readonly sql?: string;
}

export interface Read {
  readonly choice: Choice;
  /** What in the address makes no sense, in words. */
  readonly nonsense: readonly string[];
}

export const MOST_PINS = 6;
const FILTER = 'key.';
/** Earlier names of tabs. */
const ALIASES: ReadonlyMap<string, Tab> = new Map([
  ['city', 'results'],
  ['', 'results'],
]);
const KNOWN = ['app', 'view', 'figure', 'at', 'area', 'sql'];

/** Reads an address of a page that has some tabs. */
export function readAddress(hash: string, tabs: readonly Tab[] = TABS): Read {
  const [name = '', query = ''] = hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const nonsense: string[] = [];
  const tab = tabs.find((known) => known === name) ?? ALIASES.get(name);
  if (!tab) nonsense.push(`there is no page “${name}”`);
  const given = new URLSearchParams(query);
  const text = (key: string) => given.get(key) || undefined;
  const at = timeIn(given.get('at'), nonsense);
  const filter = new Map<string, string>();
  for (const [key, value] of given) {
    if (key.startsWith(FILTER)) filter.set(key.slice(FILTER.length), value);
    else if (!KNOWN.includes(key)) nonsense.push(`“${key}” means nothing here`);
  }
  const pins = [...new Set(given.getAll('area').filter((pin) => pin !== ''))];
  if (pins.length > MOST_PINS) nonsense.push(`only ${MOST_PINS} areas can be compared`);
  return {
    choice: {
      tab: tab ?? 'results',
      ...partOf('app', text('app')),
      ...partOf('view', text('view')),
      ...partOf('figure', text('figure')),
      ...partOf('at', at),
      pins: pins.slice(0, MOST_PINS),
      filter,
      ...partOf('sql', text('sql')),
    },
    nonsense,
  };
}

export function addressOf({ tab, app, view, figure, at, pins, filter, sql }: Choice): string {
  const query = new URLSearchParams();
  if (app !== undefined) query.set('app', app);
  if (view !== undefined) query.set('view', view);
  if (figure !== undefined) query.set('figure', figure);
  if (at !== undefined) query.set('at', at === 'newest' ? at : timeText(at));
  for (const pin of pins) query.append('area', pin);
  for (const [key, word] of filter) query.set(`${FILTER}${key}`, word);
  if (sql !== undefined && tab === 'sql') query.set('sql', sql);
  const text = query.toString().replaceAll('%3A', ':');
  return `#${tab}${text === '' ? '' : `?${text}`}`;
}

function partOf<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: V };
}

function timeIn(text: string | null, nonsense: string[]): Choice['at'] {
  if (text === null || text === '') return undefined;
  if (text === 'newest') return text;
  const ms = /^[+-]?\d{4,6}-\d\d-\d\dT[\d:.]+$/.test(text) ? Date.parse(`${text}Z`) : Number.NaN;
  if (!Number.isNaN(ms)) return ms;
  nonsense.push(`“${text}” is no time`);
  return undefined;
}

/** Without zone and without zeros at the end. */
function timeText(ms: number): string {
  return new Date(ms)
    .toISOString()
    .replace(/(?::00)?(?:\.000)?Z$/, '')
    .replace(/Z$/, '');
}
