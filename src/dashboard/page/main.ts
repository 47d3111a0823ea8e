/** The page: the city and the job, and whether what they show is fresh. */
import { City } from './city.ts';
import { command, processCommand } from './command.ts';
import { Connection } from './connection.ts';
import { byId, setText } from './elements.ts';
import { age } from './format.ts';
import { Job } from './job.ts';
import type { Place } from './places.ts';
import type { JobStatus } from './wire.ts';

/** A processor that has read nothing for this long waits for trips. */
const IDLE_MS = 10_000;

type State = 'connecting' | 'live' | 'waiting' | 'stopped' | 'empty' | 'offline' | 'crowded';

const PILLS: Readonly<Record<State, string>> = {
  connecting: 'Connecting',
  live: 'Live',
  waiting: 'Waiting for trips',
  stopped: 'Stopped',
  empty: 'No results yet',
  offline: 'No connection',
  crowded: 'Waiting for you',
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
    tell();
  },
  windows: (windows) => {
    city.take(windows);
    tell();
  },
  status: (now) => {
    if (!status && !now.running) city.showBusiest();
    status = now;
    heardAt = Date.now();
    job.show(now);
    tell();
  },
  connected: (yes) => {
    connected = yes;
    tell();
  },
  crowded: (yes) => {
    crowded = yes;
    tell();
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

/** Ms, by the server's clock. */
function sinceCheckpoint(): number {
  if (!status?.checkpoint) return 0;
  return status.now + (Date.now() - heardAt) - status.checkpoint.at;
}

/** Says what state the page is in: in sight always, aloud when it changes. */
function tell(): void {
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
      'The page comes back by itself when “taxiflow dashboard” runs again.',
    ];
  }
  if (state === 'crowded') {
    return [
      `Five newer pages listen; figures are from ${age(Date.now() - heardAt)} ago.`,
      'A browser lets no more of them listen at once. Click here, and this one goes on.',
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
      `${status ? processCommand(status) : 'It'}, with the options it had, goes on from there.`,
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
      'This job has other views than the page draws.',
      `${command('results', status)} prints ${views.join(' and ')}.`,
    ];
  }
  if (!status.totals?.read) return ['No trips yet.', 'Run “taxiflow replay” to send some.'];
  if (status.watermark === null)
    return ['No window has fired yet.', 'One does when the watermark passes its end.'];
  return [
    'No results yet.',
    'They come when the watermark passes the end of a window with trips in the city.',
  ];
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Which of the two pages is shown. */
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
setInterval(tell, 1_000);
connection.open();
city.drawMap();
