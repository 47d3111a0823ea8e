import { command } from '../command.ts';
import { flag, text, type Values } from '../options.ts';
import { dataDir, format } from './shared.ts';

const options = {
  app: text({ describe: 'Only those of this processor  [default: all processors and all replays]' }),
  dataDir,
  reason: text({ describe: 'Only those with this reason' }),
  format,
  output: text({ describe: 'Write to this file' }),
  json: flag('Print counts and letters as one JSON object'),
};

export type DeadLettersArguments = Values<typeof options>;

export const deadLettersCommand = command({
  usage: 'dead-letters',
  summary: 'List refused records, rows and results, with reason and source',
  options,
  load: async () => (await import('../handlers/dead-letters.ts')).deadLetters,
});
