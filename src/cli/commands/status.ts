import { command } from '../command.ts';
import { flag, milliseconds, type Values } from '../options.ts';
import { dataDir, json, onlyApp } from './shared.ts';

const options = {
  app: onlyApp,
  dataDir,
  watch: flag('Refresh every second until Ctrl-C'),
  maxAge: milliseconds({
    least: 1_000,
    describe:
      'Health check: fail if no processor runs, or its last checkpoint is older than this, such as 2m',
  }),
  json,
};

export type StatusArguments = Values<typeof options>;

export const statusCommand = command({
  usage: 'status',
  summary: 'Show the state of a processor: positions, watermark, checkpoints, sinks',
  options,
  examples: [
    ['status', 'the only processor'],
    ['status --app demo --watch', 'again every second'],
    ['status --app job --max-age 2m', 'for the health check of a container'],
  ],
  meant: (word) => `status --app ${word}`,
  load: async () => async (args) => {
    // A health check runs every few seconds, so it loads as little as it can.
    if (args.maxAge !== undefined) return (await import('../handlers/health.ts')).health(args);
    return (await import('../handlers/status.ts')).status(args);
  },
});
