import { command } from '../command.ts';
import { countOrAll, flag, text, type Values } from '../options.ts';
import { dataDir, format } from './shared.ts';

const options = {
  app: text({
    describe: 'Only those of this processor  [default: all processors and all replays]',
    completes: 'app',
  }),
  dataDir,
  reason: text({ describe: 'Only those with this reason' }),
  limit: countOrAll({
    describe: 'Print at most this many of the latest, or all  [default: 40 on a terminal, else all]',
  }),
  format,
  output: text({ describe: 'Write to this file', completes: 'file' }),
  json: flag('Print counts and letters as one JSON object'),
};

export type DeadLettersArguments = Values<typeof options>;

export const deadLettersCommand = command({
  usage: 'dead-letters',
  summary: 'List refused records, rows and results, with reason and source',
  options,
  examples: [
    ['dead-letters', 'the latest of all processors and replays on a terminal, all of them elsewhere'],
    ['dead-letters --reason late --format csv', 'late trips, for a spreadsheet'],
    ['dead-letters --app taxi-trip-events --output refused.ndjson', 'those of one processor, to a file'],
  ],
  meant: (word) => `dead-letters --reason ${word}`,
  load: async () => (await import('../handlers/dead-letters.ts')).deadLetters,
});
