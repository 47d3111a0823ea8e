/** Options of `deploy` that make a template: its shape, and values of its parameters, each named after its parameter. */
import { choice, flagOrNot, MOST_SHARDS, text, type Values, WHY_SHARDS, whole } from '../options.ts';

/** What a stack is made of. There are no defaults here: `up` keeps what the stack is made of. */
export const stackShape = {
  vpc: text({ describe: 'VPC that tasks run in  [default: a small one is made]' }),
  subnets: text({
    describe: 'With --vpc: two of its subnets, with commas between them, that reach ECR, S3 and Kinesis',
  }),
  search: text({
    describe:
      'Where results go: domain (in the VPC), public (a domain reachable from outside, by IAM), serverless, existing=URL or none  [default: domain]',
    offers: ['domain', 'public', 'serverless', 'existing=', 'none'],
  }),
  autoscale: flagOrNot('Look every few minutes whether the stream has the right number of shards'),
};

export const parameterOptions = {
  image: text({
    describe: 'Container image of taxiflow for ARM64 by its digest, NAME@sha256:…; needed for a new stack',
  }),
  assignPublicIp: choice(['DISABLED', 'ENABLED'], {
    describe: 'With --vpc: whether tasks get public addresses  [default: DISABLED]',
  }),
  shards: whole({
    least: 0,
    most: MOST_SHARDS,
    why: WHY_SHARDS,
    describe: 'Shards of the stream; 0 = on demand  [default: 8]',
  }),
  retentionHours: whole({
    least: 24,
    most: 8_760,
    describe: 'Hours that the stream keeps records  [default: 24]',
  }),
  shardsMin: whole({
    least: 1,
    most: MOST_SHARDS,
    describe: 'With --autoscale: fewest shards  [default: 1]',
  }),
  shardsMax: whole({ least: 1, most: MOST_SHARDS, describe: 'With --autoscale: most shards  [default: 64]' }),
  shardsTarget: text({ describe: 'With --autoscale: use of a shard to aim at  [default: 0.6]' }),
  searchInstance: text({ describe: 'Kind of the search nodes  [default: t3.medium.search]' }),
  searchNodes: whole({ least: 1, most: 2, describe: 'Search nodes; two lie in two zones  [default: 1]' }),
  searchStorage: whole({ least: 10, most: 1_000, describe: 'GiB for each search node  [default: 20]' }),
  searchStandby: choice(['DISABLED', 'ENABLED'], {
    describe: 'With --search serverless: copies in a second zone  [default: DISABLED]',
  }),
  searchArn: text({ describe: 'With --search existing=URL: its ARN' }),
  searchAdmin: text({ describe: 'ARN of a user or role that may see the dashboard, or none' }),
  cpu: text({ describe: 'CPU units of a task; 1024 is one core  [default: 1024]' }),
  memory: text({ describe: 'MiB of a task  [default: 4096]' }),
  desired: whole({ least: 0, most: 1, describe: 'Whether the processor runs, 1 or 0  [default: 1]' }),
  trips: text({
    describe: 'Trip files for the replay, s3://bucket/prefix, or none for the built-in week  [default: none]',
  }),
  speedup: text({ describe: 'Event time divided by wall time of the replay, or max  [default: 1440]' }),
  alarmEmail: text({ describe: 'Address that is told of alarms, or none  [default: none]' }),
};

export type ShapeValues = Values<typeof stackShape>;
export type ParameterValues = Values<typeof parameterOptions>;
