/** The commands of `deploy` that talk to AWS. */
import { command } from '../command.ts';
import { flag, text, type Values } from '../options.ts';
import { parameterOptions, stackShape } from './deploy-options.ts';
import { endpointUrl, json, region } from './shared.ts';

const place = {
  name: text({ default: 'taxiflow', describe: 'Name of the stack, and prefix of all that is made' }),
  region,
  endpointUrl,
};
const yes = flag('Do it without asking, for scripts');

const upOptions = {
  ...place,
  ...stackShape,
  ...parameterOptions,
  setup: flag('After it, run es-setup as a task, and wait for its end'),
  replay: flag('After that, start a replay as a task'),
  yes,
  dryRun: flag('Only show what would be changed'),
  json,
};
export type UpArguments = Values<typeof upOptions>;

export const upCommand = command({
  usage: 'up',
  summary: 'Create the stack on AWS, or change it; what is not given stays as it is',
  options: upOptions,
  examples: [
    ['deploy up --image ghcr.io/me/taxiflow@sha256:… --setup --replay', 'everything, to the map'],
    ['deploy up --shards 16 --yes', 'change one thing, without being asked'],
    ['deploy up --dry-run --json', 'what would be changed, for programs'],
  ],
  load: async () => (await import('../handlers/deploy-up.ts')).up,
});

const statusOptions = { ...place, json };
export type StatusArguments = Values<typeof statusOptions>;

export const statusCommand = command({
  usage: 'status',
  summary: 'Show the stack, its tasks and alarms, and what earlier stacks left',
  options: statusOptions,
  examples: [['deploy status --json', 'for programs']],
  load: async () => (await import('../handlers/deploy-status.ts')).status,
});

const downOptions = {
  ...place,
  withData: flag('Also empty and delete the buckets, with all versions; also those of earlier stacks'),
  yes,
  dryRun: flag('Only show what would be deleted'),
  json,
};
export type DownArguments = Values<typeof downOptions>;

export const downCommand = command({
  usage: 'down',
  summary: 'Delete the stack; its buckets, which hold the state and the archive, are kept',
  options: downOptions,
  examples: [
    ['deploy down', 'all that costs by the hour'],
    ['deploy down --with-data --yes', 'the data too, without being asked'],
  ],
  load: async () => (await import('../handlers/deploy-down.ts')).down,
});
