import { command, group } from '../command.ts';
import { flag, MOST_SHARDS, text, type Values, whole } from '../options.ts';
import { dataDir, endpointUrl, json, region, streamName } from './shared.ts';

const name = streamName;
const place = { dataDir, region, endpointUrl };
const shard = text({ required: true, describe: 'Id of an open shard, or its number' });

/** What every command on a stream is given. */
export type StreamArguments = Values<typeof place & { name: typeof name; json: typeof json }>;

const createOptions = {
  ...place,
  shards: whole({ least: 1, most: MOST_SHARDS, describe: 'Number of shards  [default: 8]' }),
  onDemand: flag('Kinesis: as many shards as it takes'),
  json,
};
export type CreateArguments = StreamArguments & Values<typeof createOptions>;

const create = command({
  usage: 'create [name]',
  summary: 'Make a stream',
  positionals: { name },
  options: createOptions,
  load: async () => (await import('../handlers/stream.ts')).create,
});

const describe = command({
  usage: 'describe [name]',
  summary: 'Show the shards of a stream',
  positionals: { name },
  options: { ...place, json },
  load: async () => (await import('../handlers/stream.ts')).describe,
});

const splitPositionals = { shard, name };
const splitOptions = {
  ...place,
  at: text({ describe: 'First hash key of the second half  [default: the middle]' }),
  json,
};
export type SplitArguments = Values<typeof splitPositionals> & Values<typeof splitOptions>;

const split = command({
  usage: 'split <shard> [name]',
  summary: 'Split a shard in two',
  positionals: splitPositionals,
  options: splitOptions,
  load: async () => (await import('../handlers/stream.ts')).split,
});

const mergePositionals = { shard, other: text({ required: true, describe: 'Its neighbour' }), name };
export type MergeArguments = Values<typeof mergePositionals> & StreamArguments;

const merge = command({
  usage: 'merge <shard> <other> [name]',
  summary: 'Merge two neighbouring shards',
  positionals: mergePositionals,
  options: { ...place, json },
  load: async () => (await import('../handlers/stream.ts')).merge,
});

const reshardOptions = {
  ...place,
  shards: whole({ least: 1, most: MOST_SHARDS, required: true, describe: 'Number of open shards' }),
  json,
};
export type ReshardArguments = StreamArguments & Values<typeof reshardOptions>;

const reshard = command({
  usage: 'reshard [name]',
  summary: 'Bring a stream to a number of even shards',
  positionals: { name },
  options: reshardOptions,
  load: async () => (await import('../handlers/stream.ts')).reshard,
});

const trimOptions = {
  ...place,
  before: text({ required: true, describe: 'Records that arrived before this time; now for all' }),
  shard: text({ describe: 'Only of this shard' }),
  json,
};
export type TrimArguments = StreamArguments & Values<typeof trimOptions>;

const trim = command({
  usage: 'trim [name]',
  summary: 'Forget the oldest records',
  positionals: { name },
  options: trimOptions,
  load: async () => (await import('../handlers/stream.ts')).trim,
});

const remove = command({
  usage: 'delete <name>',
  summary: 'Remove a stream with all its records',
  // Nothing is taken away by default.
  positionals: { name: text({ required: true, describe: 'Stream, as for --stream' }) },
  options: { ...place, json },
  load: async () => (await import('../handlers/stream.ts')).remove,
});

export const streamCommand = group('stream', 'Make, look at and reshard streams', [
  create,
  describe,
  split,
  merge,
  reshard,
  trim,
  remove,
]);
