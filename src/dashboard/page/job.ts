/** The job: how far it is, how fast, and what it refused. */
import { byId, type Content, draw, make, renew, setText } from './elements.ts';
import { age, bytes, clockOf, count, dayOf, rate, stamp } from './format.ts';
import type { DeadLetterSample, JobStatus, Sample, ShardStatus } from './wire.ts';

const KINDS = [
  ['processed', 'processed'],
  ['filtered', 'filtered, in no view'],
  ['watermarks', 'watermarks'],
  ['duplicate', 'duplicates'],
  ['late', 'late'],
  ['dead', 'unreadable'],
] as const;

const REASONS: Readonly<Record<string, string>> = {
  late: 'came when its windows had all fired',
  'late-in-a-view': 'late in one view, in time in another',
  'not-readable': 'not a trip that can be read',
};

export class Job {
  readonly #cards = byId('cards');
  readonly #clock = card('clock', 'Event time');
  readonly #in = card('rate', 'Trips in');
  readonly #out = card('rate', 'Results out');
  readonly #checkpoint = card('checkpoint', 'Checkpoint');
  readonly #records = card('records', 'Records');
  readonly #shards = card('shards', 'Shards');
  readonly #refused = card('refused', 'Refused records');
  readonly #sinks = card('sinks', 'Sinks');
  #status: JobStatus | undefined;
  #offset = 0;
  #counts = '';

  constructor() {
    this.#cards.append(
      ...[
        this.#clock,
        this.#in,
        this.#out,
        this.#checkpoint,
        this.#shards,
        this.#records,
        this.#refused,
        this.#sinks,
      ],
    );
    setInterval(() => this.#drawAges(), 1_000);
  }

  show(status: JobStatus): void {
    this.#status = status;
    this.#offset = status.now - Date.now();
    this.#drawClock(status);
    drawRate(
      this.#in,
      status.rates.trips,
      status.samples,
      ({ trips }) => trips,
      status.totals && `${count(status.totals.read - status.totals.watermarks)} trips in all`,
    );
    drawRate(
      this.#out,
      status.rates.results,
      status.samples,
      ({ results }) => results,
      status.totals && `${count(status.totals.results)} results in all`,
    );
    this.#drawCheckpoint(status);
    this.#drawRecords(status);
    this.#drawShards(status);
    this.#drawRefused(status);
    this.#drawSinks(status);
    this.#drawAges();
  }

  #drawClock({ watermark, stream, app, openWindows }: JobStatus): void {
    body(
      this.#clock,
      make('p', { class: 'big' }, watermark === null ? '–' : clockOf(watermark)),
      make('p', { class: 'quiet' }, watermark === null ? 'no watermark yet' : dayOf(watermark)),
      facts([
        ['app', app ?? '–'],
        ['stream', stream?.replace(/ \(.*\)$/, '') ?? '–'],
        ...(openWindows === undefined ? [] : [['open windows', count(openWindows)] as const]),
      ]),
    );
  }

  #drawCheckpoint({ checkpoint, stateBytes }: JobStatus): void {
    body(
      this.#checkpoint,
      make('p', { class: 'big', id: 'checkpoint-age' }, '–'),
      make('p', { class: 'quiet' }, checkpoint ? 'since the last one' : 'none yet'),
      facts([
        ['number', checkpoint ? count(checkpoint.number) : '–'],
        ...(checkpoint?.durationMs === undefined
          ? []
          : [['took', `${rate(checkpoint.durationMs)} ms`] as const]),
        ...(checkpoint?.bytes === undefined ? [] : [['wrote', bytes(checkpoint.bytes)] as const]),
        ['state', stateBytes === undefined ? '–' : bytes(stateBytes)],
      ]),
    );
  }

  #drawRecords({ totals }: JobStatus): void {
    if (!totals) return body(this.#records, nothing('No record has been read yet.'));
    const rows = KINDS.map(([kind, label]) => [label, count(totals[kind]), share(totals[kind], totals.read)]);
    body(
      this.#records,
      table(
        'Records read, by what became of them',
        ['What became of them', 'Records', ''],
        [
          ...rows.map(([label, figure, part]) => [label!, figure!, part!]),
          ['read in all', count(totals.read), ''],
        ],
        [1, 2],
      ),
    );
    this.#records.querySelector('tr:last-child')?.classList.add('sum');
  }

  #drawShards({ shards, slowest }: JobStatus): void {
    if (shards.length === 0) return body(this.#shards, nothing('No shard has been read yet.'));
    const ahead = Math.max(...shards.map(({ watermark }) => watermark ?? Number.NEGATIVE_INFINITY));
    const open = shards.filter(({ ended }) => !ended);
    const behind = open.length > 0 ? Math.max(...open.map((shard) => ahead - (shard.watermark ?? ahead))) : 0;
    const held = shards.find(({ id }) => id === slowest);
    const note =
      held?.watermark === null
        ? `${shortId(held.id)} has no watermark yet and holds all windows back.`
        : held && behind > 0
          ? `${shortId(held.id)} holds the watermark back, ${age(ahead - held.watermark!)} of event time behind the first.`
          : 'All shards are at the same watermark.';
    body(
      this.#shards,
      make('p', { class: 'quiet', id: 'slowest' }, note),
      table(
        'Shards',
        ['Shard', 'Watermark', 'Behind', 'Position'],
        shards.map((shard) => [
          shortId(shard.id),
          shard.ended ? 'read to its end' : shard.watermark === null ? 'none yet' : stamp(shard.watermark),
          lag(shard, ahead, behind),
          shard.position,
        ]),
        [3],
      ),
    );
    this.#shards.querySelectorAll('tbody tr').forEach((row, i) => {
      row.classList.toggle('slow', behind > 0 && shards[i]!.id === slowest);
    });
  }

  #drawRefused({ deadLetters, totals }: JobStatus): void {
    const key = JSON.stringify([deadLetters, totals?.duplicate]);
    if (key === this.#counts) return;
    this.#counts = key;
    if (deadLetters.length === 0)
      return body(this.#refused, nothing('None: every record could be read and came in time.'));
    const open = new Set(
      [...this.#refused.querySelectorAll('details[open]')].map((found) => found.getAttribute('data-reason')),
    );
    this.#refused.querySelector('.body')!.replaceChildren(
      ...deadLetters.map(({ reason, count: number, kept }) => {
        const samples = make('div', { class: 'samples' });
        const details = make(
          'details',
          { 'data-reason': reason },
          make(
            'summary',
            {},
            make('b', {}, reason),
            ` ${REASONS[reason] ?? ''} `,
            make('span', { class: 'figure' }, count(number)),
          ),
          samples,
        );
        details.addEventListener('toggle', () => {
          if (details.open) showSamples(samples, reason, kept);
        });
        if (open.has(reason)) details.open = true;
        return details;
      }),
    );
  }

  #drawSinks({ sinks, views }: JobStatus): void {
    if (sinks.length === 0)
      return body(
        this.#sinks,
        nothing(
          `None: results of ${views.join(' and ') || 'the views'} are kept in the state. “taxiflow results” prints them.`,
        ),
      );
    body(
      this.#sinks,
      table(
        'Sinks',
        ['Sink', 'Delivered', 'Pending', 'Retries', 'Errors'],
        sinks.map((sink) => [
          sink.name,
          count(sink.delivered),
          count(sink.pending),
          sink.retries === undefined ? '–' : count(sink.retries),
          sink.lastError ?? count(sink.errors ?? 0),
        ]),
        [1, 2, 3, 4],
      ),
    );
  }

  #drawAges(): void {
    const at = this.#status?.checkpoint?.at;
    const shown = document.getElementById('checkpoint-age');
    if (shown) setText(shown, at === undefined ? '–' : age(Date.now() + this.#offset - at));
  }
}

function card(kind: string, title: string): HTMLElement {
  const id = `card-${title.toLowerCase().replaceAll(' ', '-')}`;
  return make(
    'section',
    { class: `card ${kind}`, 'aria-labelledby': id },
    make('h2', { id }, title),
    make('div', { class: 'body' }),
  );
}

function body(of: HTMLElement, ...content: Content[]): void {
  renew(of.querySelector('.body')!, ...content);
}

function nothing(text: string): HTMLElement {
  return make('p', { class: 'quiet' }, text);
}

function facts(rows: readonly (readonly [string, string])[]): HTMLElement {
  return make(
    'dl',
    { class: 'facts' },
    ...rows.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))),
  );
}

function table(
  caption: string,
  head: readonly string[],
  rows: readonly (readonly Content[])[],
  figures: readonly number[],
): HTMLElement {
  const kind = (i: number): Record<string, string> => (figures.includes(i) ? { class: 'n' } : {});
  return make(
    'div',
    { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    make(
      'table',
      {},
      make('caption', { class: 'unseen' }, caption),
      make(
        'thead',
        {},
        make(
          'tr',
          {},
          ...head.map((text, i) =>
            text === '' ? make('td') : make('th', { scope: 'col', ...kind(i) }, text),
          ),
        ),
      ),
      make(
        'tbody',
        {},
        ...rows.map((row) =>
          make(
            'tr',
            {},
            ...row.map((content, i) =>
              i === 0 ? make('th', { scope: 'row' }, content) : make('td', kind(i), content),
            ),
          ),
        ),
      ),
    ),
  );
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

function lag({ watermark, ended }: ShardStatus, ahead: number, most: number): Content {
  if (ended || watermark === null) return '';
  const behind = ahead - watermark;
  const width = most > 0 ? (behind / most) * 100 : 0;
  const bar = draw(
    'svg',
    { class: 'lag', viewBox: '0 0 100 8', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    draw('rect', { width: Math.max(width, 0), height: 8 }),
  );
  return make('span', { class: 'behind' }, bar, behind === 0 ? '0 s' : age(behind));
}

function drawRate(
  of: HTMLElement,
  value: number,
  samples: readonly Sample[],
  pick: (sample: Sample) => number,
  note: string | undefined,
): void {
  body(
    of,
    make('p', { class: 'big' }, rate(value), make('small', {}, ' /s')),
    make('p', { class: 'quiet' }, note ?? 'none yet'),
    sparkline(samples, pick),
  );
}

/** Rates between checkpoints. */
function sparkline(samples: readonly Sample[], pick: (sample: Sample) => number): SVGElement {
  const rates = samples.slice(1).map((sample, i) => {
    const before = samples[i]!;
    return {
      at: sample.at,
      rate: (pick(sample) - pick(before)) / Math.max(0.05, (sample.at - before.at) / 1000),
    };
  });
  const svg = draw('svg', {
    class: 'spark',
    viewBox: '0 0 240 40',
    preserveAspectRatio: 'none',
    'aria-hidden': 'true',
  });
  if (rates.length < 2) return svg;
  const [first, last] = [rates[0]!.at, rates.at(-1)!.at];
  const most = Math.max(1, ...rates.map(({ rate: value }) => value));
  const points = rates.map(
    ({ at, rate: value }) =>
      `${(((at - first) / (last - first)) * 240).toFixed(1)},${(38 - (value / most) * 36).toFixed(1)}`,
  );
  svg.append(
    draw('polygon', { points: `0,40 ${points.join(' ')} 240,40` }),
    draw('polyline', { points: points.join(' ') }),
  );
  return svg;
}

async function showSamples(box: HTMLElement, reason: string, kept: number): Promise<void> {
  try {
    const response = await fetch(`/api/dead-letters?reason=${encodeURIComponent(reason)}`);
    const letters = (await response.json()) as DeadLetterSample[];
    box.replaceChildren(
      make(
        'p',
        { class: 'quiet' },
        `${count(letters.length)} of ${count(kept)} that are kept; all of them: taxiflow dead-letters --reason ${reason}`,
      ),
      make(
        'ul',
        {},
        ...letters.map(({ source, position, detail, raw }) =>
          make(
            'li',
            {},
            make('p', {}, `${source}, ${position}${detail ? `: ${detail}` : ''}`),
            make('code', {}, raw),
          ),
        ),
      ),
    );
  } catch {
    box.replaceChildren(nothing('They can’t be read now; open this again in a moment.'));
  }
}
