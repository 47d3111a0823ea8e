/** The "Job" page: the line and what waits in it, the job's past, shards, sinks, refused records, savepoints and settings. */
import { addressOf } from './address.ts';
import { Checkpoints } from './checkpoints.ts';
import { command } from './command.ts';
import { add, byId, type Content, draw, fill, make, renew, setText, table } from './elements.ts';
import { blockedWords, endWords } from './flow.ts';
import { age, bytes, clockOf, count, dayOf, rate, stamp } from './format.ts';
import { graphOf } from './job-graph.ts';
import { PastCharts } from './past-charts.ts';
import { wallStamp, ZONE } from './wall-time.ts';
import type { DeadLetterSample, JobDetails, JobStatus, JobSummary, ShardStatus } from './wire.ts';

const KINDS = [
  ['processed', 'processed'],
  ['filtered', 'filtered, in no view'],
  ['watermarks', 'watermarks'],
  ['duplicate', 'duplicates'],
  ['late', 'late'],
  ['dead', 'unreadable'],
] as const;

const POSITION_SHOWN = 16;
/** Ms between two requests for the past while the page shows it; more where its points are longer. */
const DETAILS_MS = 2_000;
const MOST_DETAILS_MS = 60_000;
/** Ms between two requests for the list of jobs. */
const JOBS_MS = 10_000;

const REASONS: Readonly<Record<string, string>> = {
  late: 'arrived after all its windows had fired',
  'late-in-a-view': 'late in one view, in time in another',
  'not-readable': 'not a readable trip',
  'opensearch-rejected': 'results that OpenSearch refused',
  'opensearch-too-large': 'results too large for OpenSearch',
};

/** What the page asks its server for, beside the status that it is sent. */
export interface JobSource {
  /** Whether the job is told of as it goes on, and others beside it. */
  readonly isLive: boolean;
  /** Null where no state can be read. */
  details(): Promise<JobDetails | null>;
  jobs(): Promise<readonly JobSummary[]>;
  deadLetters(reason: string): Promise<readonly DeadLetterSample[]>;
}

type Card = readonly [
  kind: string,
  title: string,
  content: (status: JobStatus, details: JobDetails | undefined) => readonly Content[],
];

const GRAPH: Card = ['whole-line', 'The line', graphOf];
const FIGURES: readonly Card[] = [
  ['event-time', 'Event time', eventTime],
  ['rate', 'Trips in', tripsIn],
  ['rate', 'Results out', resultsOut],
  ['checkpoint', 'Checkpoint', checkpointFacts],
];
const TABLES: readonly Card[] = [
  ['shards', 'Shards', shardTable],
  ['records', 'Records', recordTable],
  ['sinks', 'Sinks', sinkTable],
];
const SETTINGS: readonly Card[] = [
  ['failures', 'Runs that failed', failureTable],
  ['savepoints', 'Savepoints', savepointTable],
  ['settings', 'Configuration', settings],
];
const CARDS = [GRAPH, ...FIGURES, ...TABLES, ...SETTINGS];

export class Job {
  readonly #source: JobSource;
  readonly #cards = byId('cards');
  readonly #bodies: readonly Element[];
  readonly #refused: Element;
  readonly #jobs: Element;
  readonly #past = new PastCharts();
  readonly #checkpoints = new Checkpoints();
  #status: JobStatus | undefined;
  #details: JobDetails | undefined;
  /** When details were asked for, epoch ms, and of which checkpoint they are. */
  #askedAt = 0;
  #askedOf = '';
  #askedJobsAt = 0;
  #later: number | undefined;
  /** The server's clock minus the browser's, ms. */
  #offset = 0;
  #shownLetters = '';

  /** Mounts the page in `#cards`. */
  constructor(source: JobSource) {
    this.#source = source;
    const made = new Map(CARDS.map((found) => [found, card(found[0], found[1])] as const));
    const [past, checkpoints, refused, jobs] = (
      [
        ['course', 'Over time'],
        ['checkpoints', 'Checkpoints'],
        ['refused', 'Refused records'],
        ['jobs', 'Jobs in this folder'],
      ] as const
    ).map(([kind, title]) => card(kind, title));
    const of = (cards: readonly Card[]) => cards.map((found) => made.get(found)!);
    add(this.#cards, [
      of([GRAPH]),
      of(FIGURES),
      past!,
      checkpoints!,
      of(TABLES),
      refused!,
      of(SETTINGS),
      ...(source.isLive ? [jobs!] : []),
    ]);
    this.#bodies = of(CARDS).map((found) => found.lastElementChild!);
    past!.lastElementChild!.append(this.#past.element);
    checkpoints!.lastElementChild!.append(this.#checkpoints.element);
    this.#refused = refused!.lastElementChild!;
    this.#jobs = jobs!.lastElementChild!;
    if (source.isLive) setInterval(() => this.#renderAge(), 1_000);
    new IntersectionObserver(() => this.#ask()).observe(this.#cards);
  }

  show(status: JobStatus): void {
    if (status.app !== this.#status?.app) this.#details = undefined;
    this.#status = status;
    this.#offset = status.now - Date.now();
    this.#render();
    this.#showRefused(status);
    this.#ask();
  }

  /** Shows what changes seldom, or is large. */
  details(details: JobDetails): void {
    this.#details = details;
    this.#past.show(details.past, details.settings.eventTime);
    this.#checkpoints.show(details.past.checkpoints);
    this.#render();
  }

  /** Shows the jobs of the data directory. */
  jobs(jobs: readonly JobSummary[]): void {
    renew(this.#jobs, jobList(jobs, this.#status?.app ?? null));
  }

  #render(): void {
    const status = this.#status;
    if (!status) return;
    CARDS.forEach(([, , content], i) => {
      renew(this.#bodies[i]!, content(status, this.#details));
    });
    this.#renderAge();
  }

  /** Asks for the past and the jobs where the page is shown and something is new. */
  async #ask(): Promise<void> {
    clearTimeout(this.#later);
    const { app, checkpoint, run, running } = this.#status ?? {};
    if (!this.#status || this.#cards.clientWidth === 0 || document.hidden) return;
    const of = JSON.stringify([app, checkpoint?.number, run?.notedAt, running]);
    if (of === this.#askedOf) return;
    // What a run did last is shown at once.
    const step = running ? (this.#details?.past.step ?? 0) : 0;
    const wait = this.#askedAt + Math.min(MOST_DETAILS_MS, Math.max(DETAILS_MS, step)) - Date.now();
    if (this.#details && wait > 0) {
      this.#later = window.setTimeout(() => this.#ask(), wait);
      return;
    }
    this.#askedAt = Date.now();
    this.#askedOf = of;
    try {
      const details = await this.#source.details();
      if (details) this.details(details);
      if (!this.#source.isLive || (this.#askedAt - this.#askedJobsAt < JOBS_MS && running)) return;
      this.#askedJobsAt = this.#askedAt;
      this.jobs(await this.#source.jobs());
    } catch {
      // The status says that the server is away; the next one asks again.
      this.#askedOf = '';
    }
  }

  /** Redraws only on a change, so that an open sample stays open. */
  #showRefused(status: JobStatus): void {
    const { deadLetters } = status;
    const letters = JSON.stringify([status.app, deadLetters]);
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
    const { now = 0, checkpoint } = this.#status ?? {};
    const shown = document.getElementById('checkpoint-age');
    // An exported page shows how old it was at the export.
    const until = this.#source.isLive ? Date.now() + this.#offset : now;
    if (shown) setText(shown, checkpoint ? age(until - checkpoint.at) : '–');
  }
}

function card(kind: string, title: string): HTMLElement {
  const id = `card-${title.toLowerCase().replaceAll(' ', '-')}`;
  const heading = make('h2', { id }, title);
  return make('section', { class: `card ${kind}`, 'aria-labelledby': id }, heading, make('div'));
}

function eventTime(
  { watermark, movedOn, openWindows, totals }: JobStatus,
  details: JobDetails | undefined,
): Content[] {
  const zone = details?.settings.eventTime === 'arrival' ? 'arrival time, UTC' : 'trip time, as in the files';
  return [
    make('p', { class: 'big' }, watermark === null ? '–' : clockOf(watermark)),
    quiet(watermark === null ? 'no watermark yet' : dayOf(watermark)),
    quiet(zone),
    movedOn ? quiet('moved on beyond the trips that were read') : [],
    facts([
      ['open windows', openWindows === undefined ? undefined : count(openWindows)],
      ['late trips', totals && count(totals.late)],
    ]),
  ];
}

function tripsIn({ rates, totals }: JobStatus, details: JobDetails | undefined): Content[] {
  const all = totals ? totals.read - totals.watermarks : 0;
  return rateContent(rates.trips, `${count(all)} trips in all`, mostOf(details, 'mostTrips'));
}

function resultsOut({ rates, totals }: JobStatus, details: JobDetails | undefined): Content[] {
  return rateContent(
    rates.results,
    `${count(totals?.results ?? 0)} results in all`,
    mostOf(details, 'mostResults'),
  );
}

function rateContent(value: number, note: string, most: number): Content[] {
  return [
    make('p', { class: 'big' }, rate(value), make('small', {}, ' /s')),
    quiet(note),
    facts([['peak', most > 0 ? `${rate(most)} /s` : undefined]]),
  ];
}

/** The greatest rate that is known. */
function mostOf(details: JobDetails | undefined, rate: 'mostTrips' | 'mostResults'): number {
  return (details?.past.points ?? []).reduce((most, point) => Math.max(most, point[rate]), 0);
}

function checkpointFacts({ checkpoint, stateBytes, remote, standby }: JobStatus): Content[] {
  const { number, durationMs, bytes: written } = checkpoint ?? {};
  return [
    make('p', { class: 'big', id: 'checkpoint-age' }, '–'),
    quiet(checkpoint ? 'since the last one' : 'none yet'),
    facts([
      ['number', number === undefined ? '–' : count(number)],
      ['took', durationMs === undefined ? undefined : `${rate(durationMs)} ms`],
      ['wrote', written === undefined ? undefined : bytes(written)],
      ['state', stateBytes === undefined ? '–' : bytes(stateBytes)],
      ['in S3 up to', remote && count(remote.checkpoint)],
      ['epoch', remote && count(remote.epoch)],
      ['standby', standby ? 'waits here' : undefined],
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
  const troubles = sinks.filter(({ trouble }) => trouble);
  return [
    table('Sinks', ['Sink', 'Delivered', 'Pending', 'Retries', 'Refused'], rows, [1, 2, 3, 4]),
    troubles.map((sink) => {
      const since =
        sink.since === undefined ? '' : ` Since ${wallStamp(Date.parse(sink.since), status.now)} (${ZONE}).`;
      return make('p', { class: 'trouble' }, `${sink.name} is ${blockedWords(sink, status.now)}.${since}`);
    }),
  ];
}

function failureTable({ now }: JobStatus, details: JobDetails | undefined): Content[] {
  const { failures = [] } = details?.past ?? {};
  if (failures.length === 0) return [quiet('None: no run has ended with an error.')];
  const rows = failures.toReversed().map(({ at, code, message }) => [wallStamp(at, now), code, message]);
  return [table('Runs that failed', [`At (${ZONE})`, 'Code', 'Why'], rows, [])];
}

function savepointTable(status: JobStatus, details: JobDetails | undefined): Content[] {
  const { shown = [], count: number = 0 } = details?.savepoints ?? {};
  if (shown.length === 0)
    return [quiet(`None in this folder. ${command('savepoint create', status)} makes one.`)];
  const rows = shown.map(({ file, checkpoint, at, watermark, results, bytes: size }) => [
    make('span', { class: 'file' }, file),
    count(checkpoint),
    wallStamp(at, status.now),
    watermark === null ? '–' : stamp(watermark),
    count(results),
    bytes(size),
  ]);
  const head = ['File', 'Checkpoint', `Of (${ZONE})`, 'Watermark', 'Results', 'Size'];
  return [
    table('Savepoints', head, rows, [1, 4, 5]),
    number > shown.length ? quiet(`The newest ${count(shown.length)} of ${count(number)}.`) : [],
  ];
}

function settings(status: JobStatus, details: JobDetails | undefined): Content[] {
  const { run, now, stream, dataDir, remote, app } = status;
  const views = details?.views ?? [];
  const { eventTime: time, allowedLateness } = details?.settings ?? {};
  const at = (ms: number) => `${wallStamp(ms, now)} (${ZONE})`;
  return [
    facts([
      ['app', app ?? '–'],
      ['stream', stream],
      ...views.map(({ name, windows, keys, aggregates }) => {
        const by = keys.length === 0 ? '' : ` by ${keys.join(', ')}`;
        return [`view ${name}`, `${windows}${by}: ${aggregates.join(', ')}`] as const;
      }),
      ['event time', time && (time === 'arrival' ? 'arrival in the stream' : 'drop-off of the trip')],
      [
        'allowed lateness',
        allowedLateness === undefined ? undefined : allowedLateness === 0 ? 'none' : age(allowedLateness),
      ],
      [
        'checkpoints',
        run &&
          `every ${run.checkpointInterval < 1_000 ? `${run.checkpointInterval} ms` : age(run.checkpointInterval)}`,
      ],
      ['head in S3', remote?.head],
      ['folder', dataDir],
      [status.running ? 'process' : 'last process', run && count(run.pid).replaceAll(',', '')],
      ['started', run && at(run.startedAt)],
      ['ended', run && !status.running ? `${endWords(status)}, ${at(run.notedAt)}` : undefined],
      ['taxiflow', run?.versions?.taxiflow],
      ['Node.js', run?.versions?.node],
    ]),
  ];
}

/** The jobs of the folder; the address of each is that of its page. */
function jobList(jobs: readonly JobSummary[], shown: string | null): Content {
  if (jobs.length === 0) return quiet('None yet.');
  const rows = jobs.map(({ app, running, standby, end, watermark, results, trouble }) => {
    const here = app === shown;
    const href = addressOf({ tab: 'job', app, pins: [], filter: new Map() });
    const link = make('a', { href, ...(here ? { 'aria-current': 'true' } : {}) }, app);
    const ended = end === 'all-read' ? 'finished' : end === 'failed' ? 'failed' : 'stopped';
    const stopped = standby ? 'standby' : ended;
    return [
      here ? [link, ' (shown)'] : link,
      trouble ?? (running ? 'running' : stopped),
      watermark === null ? '–' : stamp(watermark),
      results === null ? '–' : count(results),
    ];
  });
  return table('Jobs', ['Job', 'State', 'Watermark', 'Results'], rows, [3]);
}

function letterDetails(
  source: JobSource,
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
  source: JobSource,
  status: JobStatus,
  reason: string,
  kept: number,
): Promise<void> {
  try {
    const letters = await source.deadLetters(reason);
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
