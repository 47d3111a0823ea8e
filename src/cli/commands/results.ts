import { command } from '../command.ts';
import { countOrAll, flag, optionalText, text, time, type Values } from '../options.ts';
import { dataDir, format, onlyApp } from './shared.ts';

const options = {
  app: onlyApp,
  dataDir,
  view: text({ describe: 'Only results of this view', completes: 'view' }),
  from: time({ describe: 'Only windows that start at or after this time' }),
  since: time({ describe: 'The same as --from' }),
  to: time({ describe: 'Only windows that start before this time' }),
  limit: countOrAll({
    describe: 'Print at most this many of the latest results, or all  [default: 40 on a terminal, else all]',
  }),
  sort: text({
    describe: 'Order by FIELD or FIELD:desc instead of by time; --limit then takes the first results',
    completes: 'order',
  }),
  chart: optionalText('Print a table with a bar for this number  [default: the first number of the view]'),
  format,
  json: flag('Print all results as one JSON array'),
};

export type ResultsArguments = Values<typeof options>;

export const resultsCommand = command({
  usage: 'results',
  summary: 'Print the results of a processor',
  options,
  examples: [
    ['results', 'the latest results on a terminal, all of them elsewhere'],
    ['results --view pickup_count --sort pickup_count:desc --limit 10', 'the ten busiest cells and windows'],
    ['results --view pickup_count --from 2016-01-14 --to 2016-01-15 --chart', 'a day, with bars'],
    ['results --view trip_duration --format csv', 'one view, for a spreadsheet'],
  ],
  meant: (word) => `results --view ${word}`,
  load: async () => (await import('../handlers/results.ts')).results,
});
