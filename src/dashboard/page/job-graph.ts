/** The line of a job as a graph: stream, views, state and sinks, with what passes and what waits between them. */
import { command } from './command.ts';
import { type Content, draw, make } from './elements.ts';
import { type Edge, type Flow, flowOf, type Part, percent } from './flow.ts';
import { bytes, count } from './format.ts';
import type { JobDetails, JobStatus, SinkStatus } from './wire.ts';

const ACTIVITIES = [
  ['processing', 'filling windows'],
  ['committing', 'committing'],
  ['reading', 'reading the stream'],
  ['others', 'sinks and other work'],
  ['idle', 'waiting for trips'],
] as const;

const STATE_WORDS: Readonly<Record<Edge['state'], string>> = {
  flows: 'flows',
  waits: 'waits',
  behind: 'behind',
  blocked: 'blocked',
  rests: 'at rest',
};

export function graphOf(status: JobStatus, details: JobDetails | undefined): Content[] {
  const flow = flowOf(status);
  const outputs = flow.sinks.map(({ sink, edge }) =>
    make('li', { class: 'output' }, edgeBox(edge), sinkBox(sink, isSlow(flow, { sink: sink.name }))),
  );
  return [
    make('p', { class: `summary ${flow.holdsUp.length > 0 ? 'held' : ''}` }, flow.summary),
    make(
      'ol',
      { class: 'flow' },
      make('li', {}, streamBox(status, isSlow(flow, 'stream'))),
      make('li', {}, edgeBox(flow.read)),
      make('li', {}, processorBox(status, details, isSlow(flow, 'processor'))),
      make('li', {}, edgeBox(flow.commit)),
      make('li', {}, stateBox(status)),
      outputs.length > 0 ? make('li', { class: 'outputs' }, make('ul', {}, outputs)) : [],
    ),
  ];
}

function isSlow({ holdsUp }: Flow, part: Part): boolean {
  return holdsUp.some((found) =>
    typeof found === 'object' && typeof part === 'object' ? found.sink === part.sink : found === part,
  );
}

function box(kind: string, title: Content, slow: boolean, ...content: Content[]): HTMLElement {
  const mark = slow
    ? make('strong', { class: 'slow-mark' }, kind === 'sink' ? 'holds up its results' : 'holds the line up')
    : [];
  return make(
    'div',
    { class: `node ${kind}${slow ? ' slow-part' : ''}` },
    make('h3', {}, title),
    mark,
    content,
  );
}

function line(text: string): HTMLElement {
  return make('p', {}, text);
}

function edgeBox({ state, rate, words }: Edge): HTMLElement {
  return make(
    'div',
    { class: `edge ${state}` },
    make('p', { class: 'passes' }, rate === '' ? STATE_WORDS[state] : rate),
    arrow(),
    make('p', { class: 'words' }, words),
  );
}

function arrow(): SVGElement {
  const attributes = { class: 'arrow', viewBox: '0 0 24 12', 'aria-hidden': 'true' };
  return draw('svg', attributes, draw('path', { d: 'M0 6 H20 M15 1 L21 6 L15 11' }));
}

function streamBox({ stream, shards }: JobStatus, slow: boolean): HTMLElement {
  const open = shards.filter(({ ended }) => !ended).length;
  const ended = shards.length - open;
  const parts =
    shards.length === 0 ? 'no shard read yet' : `${count(open)} open shard${open === 1 ? '' : 's'}`;
  return box(
    'stream',
    'Stream',
    slow,
    make('p', { class: 'node-name' }, stream?.replace(/ \(.*\)$/, '') ?? '–'),
    line(ended > 0 ? `${parts}, ${count(ended)} read to the end` : parts),
  );
}

function processorBox(status: JobStatus, details: JobDetails | undefined, slow: boolean): HTMLElement {
  const known = details?.views ?? status.views.map((name) => ({ name, windows: '' }));
  const views = known.map(({ name, windows }) =>
    make('li', {}, make('b', {}, name), windows === '' ? '' : ` ${windows}`),
  );
  const { openWindows } = status;
  return box(
    'processor',
    status.views.length === 1 ? 'View' : 'Views',
    slow,
    make('ul', { class: 'views' }, views),
    openWindows === undefined ? [] : line(`${count(openWindows)} open window${openWindows === 1 ? '' : 's'}`),
    loadBar(status),
  );
}

/** Where the time goes, as a bar and in words. */
function loadBar({ load }: JobStatus): Content {
  if (!load) return [];
  let x = 0;
  const parts = ACTIVITIES.map(([activity]) => {
    const width = load[activity] * 100;
    const rect = draw('rect', { class: activity, x: x.toFixed(2), width: width.toFixed(2), height: 8 });
    x += width;
    return rect;
  });
  const words = ACTIVITIES.filter(([activity]) => load[activity] >= 0.005)
    .sort(([a], [b]) => load[b] - load[a])
    .map(([activity, does]) => `${percent(load[activity])} ${does}`)
    .join(', ');
  const bar = { class: 'load', viewBox: '0 0 100 8', preserveAspectRatio: 'none', 'aria-hidden': 'true' };
  return [draw('svg', bar, parts), make('p', { class: 'load-words' }, words)];
}

function stateBox(status: JobStatus): HTMLElement {
  const { totals, stateBytes, remote, sinks } = status;
  const results = totals ? `${count(totals.results)} results` : 'no results yet';
  const size = stateBytes === undefined ? '' : `, ${bytes(stateBytes)}`;
  return box(
    'state',
    'State',
    false,
    line(`${results}${size}`),
    remote ? line(`in S3, epoch ${count(remote.epoch)}, up to checkpoint ${count(remote.checkpoint)}`) : [],
    sinks.length === 0 ? line(`No sink: ${command('results', status)} prints the results.`) : [],
  );
}

function sinkBox({ name, unit, delivered, rejected }: SinkStatus, slow: boolean): HTMLElement {
  const [kind = name] = name.split(/[ :]/);
  const place = name.slice(kind.length + 1);
  const things = unit ?? 'results';
  return box(
    'sink',
    kind,
    slow,
    place === '' ? [] : make('p', { class: 'node-name' }, place),
    line(`${count(delivered)} ${things} delivered`),
    rejected > 0 ? line(`${count(rejected)} of them refused`) : [],
  );
}
