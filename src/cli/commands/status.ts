import { command } from '../command.ts';
import { flag, type Values } from '../options.ts';
import { dataDir, json, onlyApp } from './shared.ts';

const options = { app: onlyApp, dataDir, watch: flag('Refresh every second until Ctrl-C'), json };

export type StatusArguments = Values<typeof options>;

export const statusCommand = command({
  usage: 'status',
  summary: 'Show the state of a processor: positions, watermark, checkpoints, sinks',
  options,
  examples: [
    ['status', 'the only processor'],
    ['status --app demo --watch', 'again every second'],
  ],
  meant: (word) => `status --app ${word}`,
  load: async () => (await import('../handlers/status.ts')).status,
});
