/** The entry of the page: composes city and job, and shows whether they are up to date. */
import { City } from './city.ts';
import { command, processCommand } from './command.ts';
import { Connection } from './connection.ts';
import { byId, setText } from './elements.ts';
import { age } from './format.ts';
import { Job } from './job.ts';
import type { Place } from './places.ts';
import type { JobStatus } from './wire.ts';

/** Without a checkpoint for this long, a running processor is shown as waiting for trips. */
const IDLE_MS = 10_000;

type State = 'connecting' | 'live' | 'waiting' | 'stopped' | 'empty' | 'offline' | 'crowded';

const PILLS: Readonly<Record<State, string>> = {
  connecting: 'Connecting',
  live: 'Live',
  waiting: 'Waiting for trips',
  stopped: 'Stopped',
  empty: 'No results yet',
  offline: 'No connection',
  crowded: 'Paused',
};

const places = (await (await fetch('/places.json')).json()) as Place[];
const city = new City(places);
const job = new Job();
let status: JobStatus | undefined;
let heardAt = 0;
let connected: boolean | undefined;
let crowded = false;
let announced = '';

const connection = new Connection({
  history: (windows) => {
    city.history(windows);
    render();
  },
  windows: (windows) => {
    city.take(windows);
    render();
  },
  status: (now) => {
    if (!status && !now.running) city.showBusiest();
    status = now;
    heardAt = Date.now();
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
});

function stateNow(): State {
  if (crowded) return 'crowded';
  if (connected === false) return 'offline';
  if (!status) return 'connecting';
  if (status.trouble) return 'empty';
  if (!status.running) return 'stopped';
  if (city.isEmpty && !status.totals) return 'empty';
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
  const [text, hint] = notice(state);
  byId('notice').hidden = text === '';
  byId('notice').dataset['state'] = state;
  setText(byId('notice-text'), text);
  setText(byId('notice-hint'), hint);
  city.explain(status && !status.trouble && city.isEmpty ? noResults().join(' ') : '');
  if (announced !== state) {
    announced = state;
    setText(byId('announcer'), `${PILLS[state]}. ${hint}`);
  }
}

function notice(state: State): readonly [text: string, hint: string] {
  if (state === 'offline') {
    const since = heardAt > 0 ? `; figures are from ${age(Date.now() - heardAt)} ago` : '';
    return [
      `No connection to the server${since}.`,
      'The page reconnects by itself when “taxiflow dashboard” runs again.',
    ];
  }
  if (state === 'crowded') {
    return [
      `Five newer pages are open; figures are from ${age(Date.now() - heardAt)} ago.`,
      'A browser keeps only five pages connected. Click here to resume this one.',
    ];
  }
  if (state === 'empty') {
    const { message, hint } = status?.trouble ?? {
      message: 'No results yet',
      hint: 'run "taxiflow replay" to send trips',
    };
    return [`${sentence(message)}.`, hint ? `${sentence(hint)}.` : ''];
  }
  if (state === 'stopped') {
    const figures = status?.checkpoint
      ? `figures are from ${age(sinceCheckpoint())} ago`
      : 'it has written nothing yet';
    return [
      `The processor is stopped; ${figures}.`,
      `To continue, run ${status ? processCommand(status) : 'it'} with the same options.`,
    ];
  }
  if ((state === 'live' || state === 'waiting') && city.isEmpty) return noResults();
  return ['', ''];
}

function noResults(): readonly [string, string] {
  if (!status) return ['', ''];
  const { views } = status;
  if (!views.includes('pickup_count') && !views.includes('trip_duration')) {
    return [
      'This page can’t draw the views of this job.',
      `${command('results', status)} prints ${views.join(' and ')}.`,
    ];
  }
  if (!status.totals?.read) return ['No trips yet.', 'Run “taxiflow replay” to send some.'];
  if (status.watermark === null)
    return ['No window has fired yet.', 'A window fires when the watermark passes its end.'];
  return [
    'No results yet.',
    'Results appear when the watermark passes the end of a window with trips in the city.',
  ];
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Shows the page that the address names. */
function turn(): void {
  const name = location.hash === '#job' ? 'job' : 'city';
  for (const page of ['city', 'job']) {
    byId(page).hidden = page !== name;
    const link = document.querySelector(`nav a[href="#${page}"]`);
    if (page === name) link?.setAttribute('aria-current', 'page');
    else link?.removeAttribute('aria-current');
  }
}

addEventListener('hashchange', turn);
turn();
setInterval(render, 1_000);
connection.open();
city.drawMap();
