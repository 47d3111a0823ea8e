import { command } from '../command.ts';
import { flag, number, text, time, type Values, whole } from '../options.ts';

const options = {
  trips: whole({ least: 1, default: 100_000, describe: 'Number of rows' }),
  from: time({ default: '2016-01-11', describe: 'First pick-up time' }),
  hours: number((value) => value > 0, 'a positive number', {
    default: 24,
    describe: 'Hours the pick-ups span',
  }),
  seed: whole({ least: 0, default: 1, describe: 'The same seed gives the same file' }),
  schema: text({
    default: 'yellow-2015',
    describe:
      'Layout of the file: yellow-2009, -2010, -2014, -2015 (2015–16, coordinates) or -2017 (zones), green-2013, -2015 or -2017',
  }),
  dirty: number((value) => value >= 0 && value <= 1, 'a ratio from 0 to 1', {
    default: 0,
    describe: 'Share of rows with errors as in real files, 0 to 1',
  }),
  out: text({
    default: '-',
    describe: 'Output file (.gz is compressed), or - for stdout',
    completes: 'file',
  }),
  json: flag('Print the outcome as one JSON object on stdout, or on stderr when stdout has the trips'),
};

export type GenerateArguments = Values<typeof options>;

export const generateCommand = command({
  usage: 'generate',
  summary: 'Generate realistic trips in the layout of TLC files',
  options,
  examples: [
    ['generate --out trips.csv', 'a hundred thousand trips in one day'],
    ['generate --trips 1e6 --hours 168 --out week.csv.gz', 'a week, compressed'],
    ['generate --schema green-2015 --dirty 0.02 --seed 7', 'to stdout, with errors as in real files'],
  ],
  meant: (word) => `generate --out ${word}`,
  load: async () => (await import('../handlers/generate.ts')).generate,
});
