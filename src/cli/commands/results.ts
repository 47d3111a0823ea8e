import { command } from '../command.ts';
import { flag, text, time, type Values } from '../options.ts';
import { dataDir, format, onlyApp } from './shared.ts';

const options = {
  app: onlyApp,
  dataDir,
  view: text({ describe: 'Only results of this view' }),
  since: time({ describe: 'Only windows that start at or after this time' }),
  format,
  json: flag('Print all results as one JSON array'),
};

export type ResultsArguments = Values<typeof options>;

export const resultsCommand = command({
  usage: 'results',
  summary: 'Print the results of a processor',
  options,
  examples: [
    ['results', 'all results of the only processor'],
    ['results --view trip_duration --format csv', 'one view, for a spreadsheet'],
  ],
  meant: (word) => `results --view ${word}`,
  load: async () => (await import('../handlers/results.ts')).results,
});
