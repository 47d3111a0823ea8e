import { command } from '../command.ts';
import { flag, text, time, type Values } from '../options.ts';
import { dataDir, format, onlyApp } from './shared.ts';

const options = {
  app: onlyApp,
  dataDir,
  view: text({ describe: 'Only of this view' }),
  since: time({ describe: 'Only windows that start at this time or later' }),
  format,
  json: flag('All results as one JSON array'),
};

export type ResultsArguments = Values<typeof options>;

export const resultsCommand = command({
  usage: 'results',
  summary: 'Print results',
  options,
  load: async () => (await import('../handlers/results.ts')).results,
});
