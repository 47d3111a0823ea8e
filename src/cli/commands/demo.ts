import { command } from '../command.ts';
import { flag, speedup, type Values, whole } from '../options.ts';
import { dataDir, json, port } from './shared.ts';

/** More than New York ever had in a day, some gigabytes. */
const MOST_TRIPS = 10_000_000;

const options = {
  dataDir,
  trips: whole({ least: 1, most: MOST_TRIPS, default: 200_000, describe: 'Trips of the day' }),
  seed: whole({ least: 0, default: 1, describe: 'The same seed gives the same day' }),
  speedup: speedup('2880', 'Event time over wall time, or max'),
  port,
  open: flag('Open the live page in a browser'),
  exit: flag('End when the day is over, on a terminal too'),
  json,
};

export type DemoArguments = Values<typeof options>;

export const demoCommand = command({
  usage: 'demo',
  summary: 'See it work: a day of generated trips, replayed and processed at once',
  options,
  load: async () => (await import('../handlers/demo.ts')).demo,
});
