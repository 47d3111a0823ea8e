import { command, type Example, group } from '../command.ts';
import { flag, MOST_SHARDS, number, text, type Values, WHY_SHARDS, whole } from '../options.ts';
import { dataDir, endpointUrl, json, region, streamName } from './shared.ts';

const name = streamName;
const place = { dataDir, region, endpointUrl };
const shard = text({ required: true, describe: 'Id of an open shard, or its number' });

/** The arguments of every stream command. */
export type StreamArguments = Values<typeof place & { name: typeof name; json: typeof json }>;

const createOptions = {
  ...place,
  shards: whole({ least: 1, most: MOST_SHARDS, why: WHY_SHARDS, describe: 'Number of shards  [default: 8]' }),
  onDemand: flag('Kinesis: on-demand mode, in which Kinesis chooses the number of shards'),
  json,
};
export type CreateArguments = StreamArguments & Values<typeof createOptions>;

const create = command({
  usage: 'create [name]',
  summary: 'Create a stream',
  positionals: { name },
  options: createOptions,
  examples: [
    ['stream create', 'the embedded stream that replay and process use by default'],
    ['stream create trips --shards 4 --region us-east-1', 'an Amazon Kinesis stream'],
  ],
  load: async () => (await import('../handlers/stream.ts')).create,
});

const describe = command({
  usage: 'describe [name]',
  summary: 'Show the shards of a stream',
  positionals: { name },
  options: { ...place, json },
  examples: [
    ['stream describe', 'the embedded stream'],
    ['stream describe trips --region us-east-1 --json', 'a Kinesis stream, for programs'],
  ],
  load: async () => (await import('../handlers/stream.ts')).describe,
});

const listOptions = {
  ...place,
  kinesis: flag('Also list the Kinesis streams of the account in the region'),
  json,
};
export type ListArguments = Values<typeof listOptions>;

const list = command({
  usage: 'list',
  summary: 'List the embedded streams',
  options: listOptions,
  examples: [
    ['stream list', 'the embedded streams'],
    ['stream list --kinesis --region us-east-1', 'those of Amazon Kinesis too'],
  ],
  meant: (word) => `stream describe ${word}`,
  load: async () => (await import('../handlers/stream-list.ts')).list,
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
  examples: [
    ['stream split 0', 'the first shard, in the middle'],
    ['stream split 3 local:t1', 'a shard of another stream'],
  ],
  load: async () => (await import('../handlers/stream.ts')).split,
});

const mergePositionals = {
  shard,
  other: text({ required: true, describe: 'Id or number of a neighbouring open shard' }),
  name,
};
export type MergeArguments = Values<typeof mergePositionals> & StreamArguments;

const merge = command({
  usage: 'merge <shard> <other> [name]',
  summary: 'Merge two neighbouring shards',
  positionals: mergePositionals,
  options: { ...place, json },
  examples: [['stream merge 0 1', 'two neighbours in the embedded stream']],
  load: async () => (await import('../handlers/stream.ts')).merge,
});

const reshardOptions = {
  ...place,
  shards: whole({
    least: 1,
    most: MOST_SHARDS,
    why: WHY_SHARDS,
    required: true,
    describe: 'Number of open shards',
  }),
  json,
};
export type ReshardArguments = StreamArguments & Values<typeof reshardOptions>;

const reshard = command({
  usage: 'reshard [name]',
  summary: 'Split and merge until a stream has this many equal shards',
  positionals: { name },
  options: reshardOptions,
  examples: [
    ['stream reshard --shards 16', 'the embedded stream'],
    [
      'stream reshard trips --shards 8 --region us-east-1',
      'a Kinesis stream, in the steps that Amazon allows',
    ],
  ],
  load: async () => (await import('../handlers/stream.ts')).reshard,
});

const shardBound = (byDefault: number, describe: string) =>
  whole({ least: 1, most: MOST_SHARDS, why: WHY_SHARDS, default: byDefault, describe });
const autoscaleOptions = {
  ...place,
  min: shardBound(1, 'Fewest shards'),
  max: shardBound(64, 'Most shards'),
  target: number((value) => value > 0 && value <= 1, 'a number above 0, 1 at most', {
    default: 0.6,
    describe: 'Part of what the shards take that is to be used; above it, shards are added',
  }),
  once: flag('Look once, take a step if one is due, and exit: for a scheduled task'),
  dryRun: flag('Look once, and only say what would be done'),
  json: flag('Print each decision as one JSON object on stdout'),
};
export type AutoscaleArguments = Values<typeof autoscaleOptions & { name: typeof name }>;

const autoscale = command({
  usage: 'autoscale [name]',
  summary: 'Add and take away shards as the stream is used, until Ctrl-C',
  positionals: { name },
  options: autoscaleOptions,
  examples: [
    [
      'stream autoscale trips --region us-east-1 --min 2 --max 16',
      'a Kinesis stream, by its figures in CloudWatch',
    ],
    ['stream autoscale local:t1 --dry-run', 'what would be done with an embedded stream'],
  ],
  load: async () => (await import('../handlers/stream-autoscale.ts')).runAutoscale,
});

const trimOptions = {
  ...place,
  before: text({ required: true, describe: 'Delete records that arrived before this time; now deletes all' }),
  shard: text({ describe: 'Only in this shard' }),
  json,
};
export type TrimArguments = StreamArguments & Values<typeof trimOptions>;

const trim = command({
  usage: 'trim [name]',
  summary: 'Delete the oldest records',
  positionals: { name },
  options: trimOptions,
  examples: [
    ['stream trim --before now', 'all records'],
    ['stream trim local:t1 --before 2026-01-01', 'records that arrived before 2026'],
  ],
  load: async () => (await import('../handlers/stream.ts')).trim,
});

const remove = command({
  usage: 'delete <name>',
  summary: 'Delete a stream and all its records',
  // The name has no default here: a delete must say what it deletes.
  positionals: { name: text({ required: true, describe: 'Stream, as for --stream', completes: 'stream' }) },
  options: { ...place, json },
  examples: [['stream delete local:t1', 'an embedded stream and its records']],
  load: async () => (await import('../handlers/stream.ts')).remove,
});

const EXAMPLES: readonly Example[] = [
  ['stream create local:t1 --shards 4', 'create an embedded stream'],
  ['stream list', 'list the embedded streams'],
  ['stream describe local:t1', 'show its shards'],
];

export const streamCommand = group('stream', 'Create, describe and reshard streams', EXAMPLES, [
  create,
  list,
  describe,
  split,
  merge,
  reshard,
  autoscale,
  trim,
  remove,
]);
