/** The entry of the page: composes results, job and queries, and keeps its address and its state up to date. */
import type { FeatureCollection } from 'geojson';
import { addressOf, type Choice, readAddress, TABS } from './address.ts';
import { processCommand } from './command.ts';
import { Connection } from './connection.ts';
import { byId, setText } from './elements.ts';
import { Embedded } from './embedded.ts';
import { age, instant, stamp, useZone } from './format.ts';
import { Job } from './job.ts';
import { Keys } from './keys.ts';
import type { Place } from './places.ts';
import { askServer, QueryBox } from './query.ts';
import { Results } from './results.ts';
import type { Listener, Source } from './source.ts';
import type { History, JobStatus, Settings } from './wire.ts';
import { loadZones, type StoredZones, shoresOf } from './zones.ts';

/** Without a checkpoint for this long, a running processor is shown as waiting for trips. */
const IDLE_MS = 10_000;
/** Trips of a day end within it, or soon after. */
const MOST_OF_A_DAY = 30 * 3_600_000;
/** Characters of an address that are repeated, at most. */
const MOST_NONSENSE = 300;

type State =
  | 'connecting'
  | 'live'
  | 'waiting'
  | 'done'
  | 'stopped'
  | 'failed'
  | 'killed'
  | 'empty'
  | 'offline'
  | 'crowded'
  | 'no-job'
  | 'exported';

const PILLS: Readonly<Record<State, string>> = {
  connecting: 'Connecting',
  live: 'Live',
  waiting: 'Waiting for trips',
  done: 'Finished',
  stopped: 'Stopped',
  failed: 'Failed',
  killed: 'Ended',
  empty: 'No results yet',
  offline: 'No connection',
  crowded: 'Paused',
  'no-job': 'No such job',
  exported: 'Exported',
};

const ENDS = { 'all-read': 'done', stopped: 'stopped', failed: 'failed', killed: 'killed' } as const;

let status: JobStatus | undefined;
let heardAt = 0;
let connected: boolean | undefined;
let crowded = false;
let missing: string | undefined;
let announced = '';
/** Whether the user has chosen something. */
let isTouched = false;
/** Whether the user chose the view that is being opened, so that its address blames no one. */
let isOwnView = false;

const listener: Listener = {
  history: (history) => begin(history),
  changes: (changes) => {
    results.take(changes);
    render();
  },
  status: (now) => {
    const isFirst = status === undefined;
    const isOver = status?.running === true && !now.running && !isTouched;
    status = now;
    heardAt = Date.now();
    const grows = now.running && source.isLive;
    results.grows = grows;
    if ((isFirst || isOver) && !grows && choice.at === undefined) results.showBusiest();
    job.show(now);
    render();
  },
  connected: (yes) => {
    connected = yes;
    render();
  },
  crowded: (yes) => {
    crowded = yes;
    render();
  },
  noJob: (app) => {
    missing = app;
    render();
  },
};

const source: Source = Embedded.isHere ? new Embedded(listener) : new Connection(listener);
/** Queries need a server. */
const tabs = TABS.filter((tab) => source.isLive || tab !== 'sql');
let { choice, nonsense } = readAddress(location.hash, tabs);
const [places, stored] = await Promise.all([
  source.fetch<Place[]>('/places.json'),
  source.fetch<StoredZones>('/zones.json'),
]);
const zones = loadZones(stored);
const results = new Results({
  places,
  zones,
  source,
  onChoice: (isNew) => {
    isTouched = true;
    keep({ ...here(), ...results.choice }, isNew);
    render();
  },
  onView: (view, at) => {
    [isTouched, isOwnView] = [true, true];
    keep({ ...here(), pins: [], filter: new Map(), view, ...(at === undefined ? {} : { at }) }, true);
    source.open(choice.app, view);
  },
  onUnknown: (codes) => {
    const told = codes.map((code) => `no results are of the area “${code}”`);
    nonsense = [...new Set([...nonsense, ...told])];
    render();
  },
});
const job = new Job({
  isLive: source.isLive,
  details: () => source.fetch('/api/job'),
  jobs: () => source.fetch('/api/jobs'),
  deadLetters: (reason) => source.fetch('/api/dead-letters', { reason }),
});
const queryBox = new QueryBox(byId('query'), (sql, signal) => {
  if (sql !== '') keep({ ...choice, sql }, true);
  return askServer(sql, signal, choice.app);
});

function begin(history: History): void {
  missing = undefined;
  const zones = new Set(
    history.shapes.map(({ window }) => ('time_zone' in window ? window.time_zone : undefined)),
  );
  useZone(zones.size === 1 ? [...zones][0] : undefined);
  const isAsked = choice.view === undefined || history.view === null || choice.view === history.view;
  const unknown = isAsked ? [] : [`this job has no view “${choice.view}”`];
  // A page that begins anew has told it already.
  const told = results.begin(history, choice);
  if (isOwnView) keep({ ...here(), ...results.choice }, false);
  else nonsense = [...new Set([...nonsense, ...unknown, ...told])];
  isOwnView = false;
  render();
}

/** The tab and the job that are shown. */
function here(): Pick<Choice, 'tab' | 'app'> {
  const { tab, app } = choice;
  return { tab, ...(app === undefined ? {} : { app }) };
}

/** Puts a choice into the address; `isNew`: the way back leads to the one before. */
function keep(next: Choice, isNew: boolean): void {
  choice = next;
  nonsense = [];
  link();
  const address = addressOf(next);
  if (address === addressOf(readAddress(location.hash, tabs).choice)) return;
  if (isNew) history.pushState(null, '', address);
  else history.replaceState(null, '', address);
}

/** Shows what the address says. */
function follow(): void {
  const before = choice;
  const read = readAddress(location.hash, tabs);
  choice = read.choice;
  nonsense = read.nonsense;
  if (choice.app !== before.app) {
    status = undefined;
    isTouched = false;
    results.leave();
  }
  const isOther = (choice.view ?? results.firstView) !== results.view;
  if (choice.app !== before.app || isOther) source.open(choice.app, choice.view);
  else nonsense = [...nonsense, ...results.choose(choice)];
  turn();
}

function stateNow(): State {
  if (missing !== undefined) return 'no-job';
  if (!source.isLive && status && !status.trouble) return 'exported';
  if (crowded) return 'crowded';
  if (connected === false) return 'offline';
  if (!status) return 'connecting';
  if (status.trouble) return 'empty';
  if (!status.running) return status.run ? ENDS[status.run.end ?? 'killed'] : 'stopped';
  if (results.isEmpty && !status.totals) return 'empty';
  return sinceCheckpoint() > IDLE_MS ? 'waiting' : 'live';
}

/** Ms since the last checkpoint, by the server's clock. */
function sinceCheckpoint(): number {
  if (!status?.checkpoint) return 0;
  return status.now + (Date.now() - heardAt) - status.checkpoint.at;
}

/** Shows the state of the page, and announces a change to screen readers. */
function render(): void {
  const state = stateNow();
  const pill = byId('pill');
  pill.dataset['state'] = state;
  setText(byId('pill-text'), PILLS[state]);
  setText(byId('app'), status?.app ?? '');
  document.title = status?.app ? `${status.app} – taxiflow` : 'taxiflow';
  const [text, hint] = nonsense.length > 0 ? nonsenseNotice() : notice(state);
  byId('notice').hidden = text === '';
  byId('notice').dataset['state'] = nonsense.length > 0 ? 'nonsense' : state;
  setText(byId('notice-text'), text);
  setText(byId('notice-hint'), hint);
  results.explain(status && !status.trouble && results.isEmpty ? noResults().join(' ') : '');
  if (announced !== `${state} ${text}`) {
    announced = `${state} ${text}`;
    setText(byId('announcer'), `${PILLS[state]}. ${nonsense.length > 0 ? text : ''} ${hint}`);
  }
}

function nonsenseNotice(): readonly [text: string, hint: string] {
  const words = nonsense.join('; ');
  const said = words.length > MOST_NONSENSE ? `${words.slice(0, MOST_NONSENSE)}…` : `${words}.`;
  return [`In the address, ${said}`, 'The rest of it is shown.'];
}

const ENDED = {
  stopped: 'No processor runs',
  failed: 'The last run failed: the page “Job” says why',
  killed: 'The processor ended without a word, as if it was killed',
} as const;

function notice(state: State): readonly [text: string, hint: string] {
  const figures = status?.checkpoint
    ? `figures are from ${age(sinceCheckpoint())} ago`
    : 'it has written nothing yet';
  switch (state) {
    case 'exported':
      return exportNotice();
    case 'no-job':
      return [
        `There is no job “${missing}” here.`,
        source.isLive ? 'The list of jobs is on the page “Job”.' : 'This file has the results of one job.',
      ];
    case 'offline': {
      const since = heardAt > 0 ? `; figures are from ${age(Date.now() - heardAt)} ago` : '';
      return [
        `No connection to the server${since}.`,
        `The page reconnects by itself when “${status?.command ?? 'taxiflow'} dashboard${
          status?.app ? ` --app ${status.app}` : ''
        }” runs again.`,
      ];
    }
    case 'crowded':
      return [
        `Five newer pages are open; figures are from ${age(Date.now() - heardAt)} ago.`,
        'A browser keeps only five pages connected. Click here to resume this one.',
      ];
    case 'empty': {
      const { message, hint } = status?.trouble ?? {
        message: 'No results yet',
        hint: `run “${status?.command ?? 'taxiflow'} replay” to send trips`,
      };
      return [`${sentence(message)}.`, hint ? `${sentence(hint)}.` : ''];
    }
    case 'done':
      return results.isEmpty ? noResults() : isTouched || choice.tab !== 'results' ? ['', ''] : overNotice();
    case 'stopped':
    case 'failed':
    case 'killed':
      return [
        `${ENDED[state]}; ${figures}.`,
        `${status ? processCommand(status) : 'Its processor'}, with the same options, goes on where it was.`,
      ];
    default:
      return (state === 'live' || state === 'waiting') && results.isEmpty ? noResults() : ['', ''];
  }
}

/** Of when the figures of an exported page are. */
function exportNotice(): readonly [text: string, hint: string] {
  const { watermark, now, running } = status!;
  const until = watermark === null ? '' : `As of ${stamp(watermark)} by trip time, `;
  return [
    `${until}exported on ${instant(now)}.`,
    running ? 'The job was running; windows that fired later are not here.' : '',
  ];
}

function overNotice(): readonly [string, string] {
  const what = results.span <= MOST_OF_A_DAY ? 'The day is over' : 'All of it is processed';
  return [
    `${what}: drag the time, or press play.`,
    choice.at === undefined ? 'This is its busiest window.' : '',
  ];
}

function noResults(): readonly [string, string] {
  if (!status) return ['', ''];
  if (!status.totals?.read)
    return ['No trips yet.', `They appear as they come; “${status.command} replay” sends some.`];
  if (status.watermark === null)
    return ['No window has fired yet.', 'A window fires when the watermark passes its end.'];
  return [
    'No results yet.',
    'Results appear when the watermark passes the end of a window with trips that the view is of.',
  ];
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Shows the tab that the address names. */
function turn(): void {
  for (const name of TABS) {
    byId(name).hidden = name !== choice.tab;
    const tab = byId(`tab-${name}`);
    tab.hidden = !tabs.includes(name);
    if (name === choice.tab) tab.setAttribute('aria-current', 'page');
    else tab.removeAttribute('aria-current');
  }
  if (choice.tab === 'sql') {
    // A link fills the box, and the user runs it.
    if (choice.sql !== undefined && choice.sql !== queryBox.sql) queryBox.offer(choice.sql);
    void queryBox.show();
  }
  link();
}

/** Makes the tabs lead to the same view and job. */
function link(): void {
  for (const tab of tabs) byId(`tab-${tab}`).setAttribute('href', addressOf({ ...choice, tab }));
}

function open(tab: Choice['tab']): void {
  keep({ ...choice, tab }, true);
  turn();
}

const { timeline } = results;
new Keys([
  { key: ' ', shown: 'Space', does: 'play or pause', run: () => timeline.toggle() },
  { key: 'ArrowLeft', shown: '←', does: 'one window back or on', run: () => timeline.step(-1) },
  { key: 'ArrowRight', shown: '→', does: 'one window back or on', run: () => timeline.step(1) },
  { key: 'Home', shown: 'Home', does: 'the first or the last window', run: () => timeline.goTo(0) },
  {
    key: 'End',
    shown: 'End',
    does: 'the first or the last window',
    run: () => timeline.step(Number.MAX_SAFE_INTEGER),
  },
  { key: 'l', shown: 'L', does: 'follow the newest window', run: () => timeline.follow() },
  { key: 'Escape', shown: 'Esc', does: 'let go of what is compared', run: () => results.clearPins() },
  { key: 'f', shown: 'F', does: 'show all of the data on the map', run: () => results.fit() },
  { key: '/', shown: '/', does: 'find an area', run: () => results.search.focus() },
  ...tabs.map((tab, i) => ({
    key: String(i + 1),
    shown: String(i + 1),
    does: tabs.join(', ').replace('sql', 'SQL'),
    run: () => open(tab),
  })),
]);
byId('skip').addEventListener('click', (event) => {
  // The fragment is the address of what is shown.
  event.preventDefault();
  byId('content').focus();
});
addEventListener('popstate', follow);
turn();
setInterval(render, 1_000);
source.open(choice.app, choice.view);
await results.drawMap(async () => ({
  library: await source.library(),
  land: {
    around: await source.fetch<FeatureCollection>('/outline.json'),
    zones: [...new Set(zones.values())],
    shores: shoresOf(stored),
  },
  tiles: (await source.fetch<Settings>('/api/settings')).tiles,
}));
