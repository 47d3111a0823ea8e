import { command } from '../command.ts';
import { flag, speedup, type Values, whole } from '../options.ts';
import { dataDir, json, port } from './shared.ts';

/** Far more than New York has in a day; about two gigabytes of CSV. */
const MOST_TRIPS = 10_000_000;

const options = {
  dataDir,
  trips: whole({ least: 1, most: MOST_TRIPS, default: 200_000, describe: 'Number of trips in the day' }),
  seed: whole({ least: 0, default: 1, describe: 'The same seed gives the same day' }),
  speedup: speedup('2880', 'Event time divided by wall time, or max'),
  port,
  open: flag('Open the live page in a browser'),
  exit: flag('Exit when the day is over, also on a terminal'),
  json,
};

export type DemoArguments = Values<typeof options>;

export const demoCommand = command({
  usage: 'demo',
  summary: 'See taxiflow work: replay and process a day of generated trips',
  options,
  examples: [
    ['demo', 'half a minute, then a live page until Ctrl-C'],
    ['demo --open --speedup 720', 'more slowly, in a browser'],
    ['demo --speedup max --exit --data-dir /tmp/demo', 'as fast as possible, in another folder'],
  ],
  load: async () => (await import('../handlers/demo.ts')).demo,
});
