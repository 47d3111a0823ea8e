import { command } from '../command.ts';
import { flag, text, type Values } from '../options.ts';
import { dataDir, format } from './shared.ts';

const options = {
  app: text({ describe: 'Only of this processor  [default: of all, and rows that replays refused]' }),
  dataDir,
  reason: text({ describe: 'Only with this reason' }),
  format,
  output: text({ describe: 'Export to a file' }),
  json: flag('Counts and letters as one JSON object'),
};

export type DeadLettersArguments = Values<typeof options>;

export const deadLettersCommand = command({
  usage: 'dead-letters',
  summary: 'List what was refused, why and from where',
  options,
  load: async () => (await import('../handlers/dead-letters.ts')).deadLetters,
});
