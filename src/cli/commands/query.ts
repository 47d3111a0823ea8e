import { command } from '../command.ts';
import { countOrAll, flag, optionalText, text, type Values } from '../options.ts';
import { dataDir, format, onlyApp } from './shared.ts';

const positionals = {
  sql: text({
    describe: 'One SELECT, in quotes; - reads it from stdin  [default: list the tables]',
  }),
};

const options = {
  app: onlyApp,
  dataDir,
  limit: countOrAll({
    describe: 'Print at most this many rows, or all  [default: 40 on a terminal, else all]',
  }),
  chart: optionalText('Print a table with a bar for this column  [default: the first column of numbers]'),
  format,
  json: flag('Print all rows as one JSON array; without a query, the tables as one JSON object'),
};

export type QueryArguments = Values<typeof positionals & typeof options>;

export const queryCommand = command({
  usage: 'query [sql]',
  summary: 'Query the results of a processor in SQL: each view is a table',
  positionals,
  options,
  examples: [
    ['query', 'the tables and their columns'],
    [
      'query "SELECT location, sum(pickup_count) AS pickups FROM pickup_count GROUP BY 1 ORDER BY 2 DESC LIMIT 10"',
      'the ten busiest cells of all time',
    ],
    [
      'query "SELECT window_start, sum(pickup_count) AS pickups FROM pickup_count GROUP BY 1" --chart',
      'a day, with bars',
    ],
    ['query --format csv - < query.sql', 'a query in a file'],
  ],
  meant: () => "query 'SELECT …'",
  load: async () => (await import('../handlers/query.ts')).query,
});
