import { command, group } from '../command.ts';
import type { Values } from '../options.ts';
import { dataDir, json, onlyApp } from './shared.ts';

const options = { dataDir, app: onlyApp, json };
export type CompactArguments = Values<typeof options>;

const compact = command({
  usage: 'compact',
  summary: 'Give the space of removed results and windows back to the disk',
  options,
  examples: [['state compact --app job', 'of a processor that is stopped']],
  load: async () => (await import('../handlers/state.ts')).compact,
});

export const stateCommand = group(
  'state',
  'Look after the states of processors',
  [['state compact', 'make the file of a state smaller']],
  [compact],
);
