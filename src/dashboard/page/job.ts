/** The "Job" page: progress, rates, shards, sinks and refused records. */
import { commandOf as command } from './command.ts';
import { add, byId, type Content, draw, fill, make, renew, setText, table } from './elements.ts';
import { age, bytes, clockOf, count, dayOf, rate, stamp } from './format.ts';
import type { Source } from './source.ts';
import type { DeadLetterSample, JobStatus, ShardStatus } from './wire.ts';

const KINDS = [
  ['processed', 'processed'],
  ['filtered', 'filtered, in no view'],
  ['watermarks', 'watermarks'],
  ['duplicate', 'duplicates'],
  ['late', 'late'],
  ['dead', 'unreadable'],
] as const;

const POSITION_SHOWN = 16;

const REASONS: Readonly<Record<string, string>> = {
  late: 'arrived after all its windows had fired',
  'late-in-a-view': 'late in one view, in time in another',
  'not-readable': 'not a readable trip',
  'opensearch-rejected': 'results that OpenSearch refused',
  'opensearch-too-large': 'results too large for OpenSearch',
};

const CARDS: readonly (readonly [
  kind: string,
  title: string,
  content: (status: JobStatus) => readonly Content[],
])[] = [
  ['event-time', 'Event time', eventTime],
  ['rate', 'Trips in', tripsIn],
  ['rate', 'Results out', resultsOut],
  ['checkpoint', 'Checkpoint', checkpointFacts],
  ['shards', 'Shards', shardTable],
  ['records', 'Records', recordTable],
  ['sinks', 'Sinks', sinkTable],
];

export class Job {
  readonly #source: Source;
  readonly #bodies: readonly Element[];
  readonly #refused: Element;
  #status: JobStatus | undefined;
  /** The server's clock minus the browser's, ms. */
  #offset = 0;
  #shownLetters = '';

  constructor(source: Source) {
    this.#source = source;
    const cards = CARDS.map(([kind, title]) => card(kind, title));
    const refused = card('refused', 'Refused records');
    add(byId('cards'), [cards.slice(0, -1), refused, cards.slice(-1)]);
    this.#bodies = cards.map((found) => found.lastElementChild!);
    this.#refused = refused.lastElementChild!;
    // An exported page shows how old things were when it was made.
    if (source.isLive) setInterval(() => this.#renderAge(), 1_000);
  }

  show(status: JobStatus): void {
    this.#status = status;
    this.#offset = status.now - Date.now();
    CARDS.forEach(([, , content], i) => {
      renew(this.#bodies[i]!, content(status));
    });
    this.#showRefused(status);
    this.#renderAge();
  }

  /** Redraws only on a change, so that an open sample stays open. */
  #showRefused(status: JobStatus): void {
    const { deadLetters } = status;
    const letters = JSON.stringify(deadLetters);
    if (letters === this.#shownLetters) return;
    this.#shownLetters = letters;
    if (deadLetters.length === 0) {
      renew(this.#refused, quiet('None: every record was readable and on time.'));
      return;
    }
    const open = [...this.#refused.querySelectorAll('details[open]')].map((found) =>
      found.getAttribute('data-reason'),
    );
    fill(
      this.#refused,
      deadLetters.map(({ reason, count: number, kept }) => {
        const details = letterDetails(this.#source, status, reason, number, kept);
        details.open = open.includes(reason);
        return details;
      }),
    );
  }

  #renderAge(): void {
    const at = this.#status?.checkpoint?.at;
    const shown = document.getElementById('checkpoint-age');
    if (shown) setText(shown, at === undefined ? '–' : age(Date.now() + this.#offset - at));
  }
}

function card(kind: string, title: string): HTMLElement {
  const id = `card-${title.toLowerCase().replaceAll(' ', '-')}`;
  const heading = make('h2', { id }, title);
  return make('section', { class: `card ${kind}`, 'aria-labelledby': id }, heading, make('div'));
}

function eventTime({ watermark, stream, app, openWindows }: JobStatus): Content[] {
  return [
    make('p', { class: 'big' }, watermark === null ? '–' : clockOf(watermark)),
    quiet(watermark === null ? 'no watermark yet' : dayOf(watermark)),
    facts([
      ['app', app ?? '–'],
      ['stream', stream?.replace(/ \(.*\)$/, '') ?? '–'],
      ['open windows', openWindows === undefined ? undefined : count(openWindows)],
    ]),
  ];
}

function tripsIn({ rates, samples, totals }: JobStatus): Content[] {
  const all = totals ? totals.read - totals.watermarks : 0;
  return rateContent(
    rates.trips,
    `${count(all)} trips in all`,
    samples.map(({ at, trips }) => [at, trips]),
  );
}

function resultsOut({ rates, samples, totals }: JobStatus): Content[] {
  return rateContent(
    rates.results,
    `${count(totals?.results ?? 0)} results in all`,
    samples.map(({ at, results }) => [at, results]),
  );
}

function rateContent(value: number, note: string, past: readonly (readonly [number, number])[]): Content[] {
  return [
    make('p', { class: 'big' }, rate(value), make('small', {}, ' /s')),
    quiet(note),
    ...sparkline(past),
  ];
}

/** A chart of the rates between checkpoints; empty if there are fewer than two. */
function sparkline(past: readonly (readonly [at: number, total: number])[]): SVGElement[] {
  const box = { class: 'spark', viewBox: '0 0 240 40', preserveAspectRatio: 'none', 'aria-hidden': 'true' };
  const svg = draw('svg', box);
  const rates = past.slice(1).map(([at, total], i) => {
    const [before, least] = past[i]!;
    return { at, value: (total - least) / Math.max(0.05, (at - before) / 1000) };
  });
  if (rates.length < 2) return [];
  const [first, last] = [rates[0]!.at, rates.at(-1)!.at];
  const most = rates.reduce((greatest, { value }) => Math.max(greatest, value), 1);
  const points = rates
    .map(({ at, value }) => {
      const x = ((at - first) / Math.max(1, last - first)) * 240;
      return `${x.toFixed(1)},${(38 - (value / most) * 36).toFixed(1)}`;
    })
    .join(' ');
  svg.append(draw('polygon', { points: `0,40 ${points} 240,40` }), draw('polyline', { points }));
  return [svg];
}

function checkpointFacts({ checkpoint, stateBytes }: JobStatus): Content[] {
  const { number, durationMs, bytes: written } = checkpoint ?? {};
  return [
    make('p', { class: 'big', id: 'checkpoint-age' }, '–'),
    quiet(checkpoint ? 'since the last one' : 'none yet'),
    facts([
      ['number', number === undefined ? '–' : count(number)],
      ['took', durationMs === undefined ? undefined : `${rate(durationMs)} ms`],
      ['wrote', written === undefined ? undefined : bytes(written)],
      ['state', stateBytes === undefined ? '–' : bytes(stateBytes)],
    ]),
  ];
}

function shardTable({ shards, slowest }: JobStatus): Content[] {
  if (shards.length === 0) return [quiet('No shard has been read yet.')];
  const ahead = shards.reduce(
    (most, { watermark }) => Math.max(most, watermark ?? Number.NEGATIVE_INFINITY),
    Number.NEGATIVE_INFINITY,
  );
  const behind = shards.reduce((most, shard) => Math.max(most, shard.ended ? 0 : behindOf(shard, ahead)), 0);
  const rows = shards.map((shard) => [
    shortId(shard.id),
    watermarkText(shard),
    shard.ended || shard.watermark === null ? '' : lagBar(behindOf(shard, ahead), behind),
    lagText(shard),
    positionText(shard),
  ]);
  const found = table('Shards', ['Shard', 'Watermark', 'Behind', 'Lag', 'Position'], rows, [3, 4]);
  found.querySelectorAll('tbody tr').forEach((row, i) => {
    if (behind > 0 && shards[i]!.id === slowest) row.classList.add('slow');
  });
  return [quiet(slowestText(shards, slowest, behind)), found];
}

function behindOf({ watermark }: ShardStatus, ahead: number): number {
  return watermark === null ? 0 : ahead - watermark;
}

function watermarkText({ ended, watermark }: ShardStatus): string {
  if (ended) return 'read to its end';
  return watermark === null ? 'none yet' : stamp(watermark);
}

/** Kinesis sequence numbers have 56 digits and differ in the last ones, so those are shown. */
function positionText({ position }: ShardStatus): Content {
  if (position.length <= POSITION_SHOWN) return position;
  return make('span', { title: position }, `…${position.slice(-POSITION_SHOWN)}`);
}

/** Time since the last record read arrived. */
function lagText({ lagMs, ended }: ShardStatus): string {
  if (ended || lagMs === undefined) return '–';
  return lagMs === 0 ? 'none' : age(lagMs);
}

function slowestText(shards: readonly ShardStatus[], slowest: string | undefined, behind: number): string {
  const open = shards.filter(({ ended }) => !ended);
  if (open.length === 0) return 'All shards are read to their end.';
  if (open.every(({ watermark }) => watermark === null)) return 'No shard has a watermark yet.';
  const held = open.find(({ id }) => id === slowest);
  if (!held) return 'All shards are at the same watermark.';
  const name = shortId(held.id);
  if (held.watermark === null) return `${name} has no watermark yet and holds all windows back.`;
  if (behind === 0) return 'All shards are at the same watermark.';
  return `${name} holds the watermark back: ${age(behind)} of event time behind the first.`;
}

/** A bar for the lag of a shard, relative to the largest lag. */
function lagBar(behind: number, most: number): HTMLElement {
  const box = { class: 'lag', viewBox: '0 0 100 8', preserveAspectRatio: 'none', 'aria-hidden': 'true' };
  const bar = draw('rect', { width: most > 0 ? (behind / most) * 100 : 0, height: 8 });
  return make('span', { class: 'behind' }, draw('svg', box, bar), age(behind));
}

function recordTable({ totals }: JobStatus): Content[] {
  if (!totals) return [quiet('No record has been read yet.')];
  const rows = KINDS.map(([kind, label]) => [label, count(totals[kind]), share(totals[kind], totals.read)]);
  const head = ['Outcome', 'Records', ''];
  const found = table('Records read', head, [...rows, ['read in all', count(totals.read), '']], [1, 2]);
  found.querySelector('tbody tr:last-child')!.classList.add('sum');
  return [found];
}

function sinkTable(status: JobStatus): Content[] {
  const { sinks, views } = status;
  if (sinks.length === 0) {
    const kept = views.length > 0 ? `results of ${views.join(' and ')} are` : 'results are';
    return [quiet(`None: ${kept} kept in the state. ${command('results', status)} prints them.`)];
  }
  const rows = sinks.map(({ name, delivered, pending, retries, rejected }) => [
    name,
    ...[delivered, pending, retries, rejected].map(count),
  ]);
  const troubles = sinks.flatMap(({ name, trouble, since }) =>
    trouble ? [`${name} has been waiting${since ? ` since ${since}` : ''}: ${trouble}`] : [],
  );
  return [
    table('Sinks', ['Sink', 'Delivered', 'Pending', 'Retries', 'Refused'], rows, [1, 2, 3, 4]),
    ...troubles.map((text) => make('p', { class: 'trouble' }, text)),
  ];
}

function letterDetails(
  source: Source,
  status: JobStatus,
  reason: string,
  number: number,
  kept: number,
): HTMLDetailsElement {
  const samples = make('div', { class: 'samples' });
  const figure = make('span', { class: 'figure' }, count(number));
  const summary = make('summary', {}, make('b', {}, reason), ` ${REASONS[reason] ?? ''} `, figure);
  const details = make('details', { 'data-reason': reason }, summary, samples);
  details.addEventListener('toggle', () => {
    if (details.open) showSamples(samples, source, status, reason, kept);
  });
  return details;
}

async function showSamples(
  box: HTMLElement,
  source: Source,
  status: JobStatus,
  reason: string,
  kept: number,
): Promise<void> {
  try {
    const letters = await source.fetch<DeadLetterSample[]>('/api/dead-letters', { reason });
    const items = letters.map(({ source, position, detail, raw }) => {
      const where = `${source}, ${position}${detail ? `: ${detail}` : ''}`;
      return make('li', {}, make('p', {}, where), make('code', {}, raw));
    });
    const note = `${count(letters.length)} of ${count(kept)} kept records; ${command(`dead-letters --reason ${reason}`, status)} prints all of them.`;
    fill(box, quiet(note), make('ul', {}, items));
  } catch {
    box.replaceChildren(quiet('These records can’t be loaded now; open this again in a moment.'));
  }
}

function quiet(text: string): HTMLElement {
  return make('p', { class: 'quiet' }, text);
}

/** A list of names and values; rows without a value are left out. */
function facts(rows: readonly (readonly [name: string, value: string | undefined])[]): HTMLElement {
  const known = rows.filter(([, value]) => value !== undefined);
  const items = known.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value!)));
  return make('dl', { class: 'facts' }, items);
}

function share(part: number, whole: number): string {
  if (whole === 0 || part === 0) return '';
  const percent = (part / whole) * 100;
  return percent < 0.1 ? '< 0.1 %' : `${percent.toFixed(1)} %`;
}

/** `shardId-000000000003` is shard 3. */
function shortId(id: string): string {
  const number = /^shardId-0*(\d+)$/.exec(id)?.[1];
  return number === undefined ? id : `shard ${number}`;
}
