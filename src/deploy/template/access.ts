/**
 * The roles, each with what it needs and why. `policyOf` gives the actions as data, so that they can be compared with the
 * calls that are really made.
 */
import {
  arn,
  att,
  type Part,
  type Resource,
  ref,
  type Statement,
  sub,
  type Value,
  WHY,
  when,
} from './cloudformation.ts';
import { searchStatements } from './search.ts';
import type { StackShape } from './shape.ts';

export type Role = 'execution' | 'process' | 'replay' | 'firehose' | 'autoscale' | 'schedule';

/** The prefix of the state in its bucket, and of the exact archive in its. */
export const STATE_PREFIX = 'process';
export const TRIPS_PREFIX = 'trips';
export const EVENTS_PREFIX = 'events';

const objects = (bucket: string, prefix: string) => sub`${att(bucket, 'Arn')}/${prefix}/*`;

/** What `process --archive` does to its bucket. */
const ARCHIVE: readonly Statement[] = [
  {
    why: 'Files of others are found before any is written',
    actions: ['s3:ListBucket'],
    on: att('ArchiveBucket', 'Arn'),
  },
  {
    why: 'The owner of the place is read, files are written, and removed where a state that was set back writes them again',
    actions: ['s3:GetObject', 's3:PutObject', 's3:DeleteObject'],
    on: objects('ArchiveBucket', TRIPS_PREFIX),
  },
];

const PROCESS: readonly Statement[] = [
  {
    why: 'Shards are found and read',
    actions: [
      'kinesis:DescribeStreamSummary',
      'kinesis:ListShards',
      'kinesis:GetShardIterator',
      'kinesis:GetRecords',
    ],
    on: att('Stream', 'Arn'),
  },
  {
    why: 'Old parts of the state are found; without it, a state that is not there yet looks forbidden',
    actions: ['s3:ListBucket'],
    on: att('StateBucket', 'Arn'),
  },
  {
    why: 'The state is committed and taken over, and its old parts are removed',
    actions: ['s3:GetObject', 's3:PutObject', 's3:DeleteObject', 's3:AbortMultipartUpload'],
    on: objects('StateBucket', STATE_PREFIX),
  },
  ...ARCHIVE,
];

const REPLAY: readonly Statement[] = [
  {
    why: 'Trips are sent to the shards',
    actions: ['kinesis:DescribeStreamSummary', 'kinesis:ListShards', 'kinesis:PutRecords'],
    on: att('Stream', 'Arn'),
  },
  {
    why: 'Trip files are found',
    actions: ['s3:ListBucket'],
    on: sub`arn:${ref('AWS::Partition')}:s3:::${ref('TripsBucket')}`,
    when: 'HasTrips',
  },
  {
    why: 'Trip files are read',
    actions: ['s3:GetObject'],
    on: sub`arn:${ref('AWS::Partition')}:s3:::${ref('TripsBucket')}/*`,
    when: 'HasTrips',
  },
];

/** Of ECS itself, before and beside a container. */
const EXECUTION: readonly Statement[] = [
  { why: 'No ARN exists for it', actions: ['ecr:GetAuthorizationToken'], on: '*' },
  {
    why: 'The image is fetched, where it lies in a repository of this account',
    actions: ['ecr:BatchCheckLayerAvailability', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
    on: arn('ecr', 'repository/*'),
  },
  {
    why: 'What a container prints becomes its log',
    actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
    on: att('TaskLog', 'Arn'),
  },
];

const FIREHOSE: readonly Statement[] = [
  {
    why: 'The stream is read',
    actions: [
      'kinesis:DescribeStream',
      'kinesis:GetShardIterator',
      'kinesis:GetRecords',
      'kinesis:ListShards',
    ],
    on: att('Stream', 'Arn'),
  },
  {
    why: 'Firehose looks at the bucket before it writes',
    actions: ['s3:GetBucketLocation', 's3:ListBucket', 's3:ListBucketMultipartUploads'],
    on: att('ArchiveBucket', 'Arn'),
  },
  {
    why: 'Records become objects, and those that fail too',
    actions: ['s3:AbortMultipartUpload', 's3:GetObject', 's3:PutObject'],
    on: [objects('ArchiveBucket', EVENTS_PREFIX), objects('ArchiveBucket', 'errors')],
  },
  {
    why: 'Errors of delivery are logged',
    actions: ['logs:PutLogEvents'],
    on: att('FirehoseLog', 'Arn'),
  },
];

const AUTOSCALE: readonly Statement[] = [
  {
    why: 'Shards are counted, added and taken away',
    actions: ['kinesis:DescribeStreamSummary', 'kinesis:ListShards', 'kinesis:UpdateShardCount'],
    on: att('Stream', 'Arn'),
  },
  {
    why: 'The load of the stream is read; no ARN exists for it',
    actions: ['cloudwatch:GetMetricData'],
    on: '*',
  },
];

const SCHEDULE: readonly Statement[] = [
  {
    why: 'The task that looks at the stream is started, in this cluster alone',
    actions: ['ecs:RunTask'],
    on: ref('AutoscaleTask'),
    condition: { ArnEquals: { 'ecs:cluster': att('Cluster', 'Arn') } },
  },
  {
    why: 'That task is given its roles',
    actions: ['iam:PassRole'],
    on: [att('ExecutionRole', 'Arn'), att('AutoscaleRole', 'Arn')],
    condition: { StringEquals: { 'iam:PassedToService': 'ecs-tasks.amazonaws.com' } },
  },
];

const ROLES: Readonly<Record<Role, { readonly id: string; readonly service: string }>> = {
  execution: { id: 'ExecutionRole', service: 'ecs-tasks' },
  process: { id: 'ProcessRole', service: 'ecs-tasks' },
  replay: { id: 'ReplayRole', service: 'ecs-tasks' },
  firehose: { id: 'FirehoseRole', service: 'firehose' },
  autoscale: { id: 'AutoscaleRole', service: 'ecs-tasks' },
  schedule: { id: 'ScheduleRole', service: 'scheduler' },
};

export function rolesOf({ autoscale }: StackShape): Role[] {
  const scaling: Role[] = autoscale ? ['autoscale', 'schedule'] : [];
  return ['execution', 'process', 'replay', 'firehose', ...scaling];
}

export function statementsOf(role: Role, shape: StackShape): readonly Statement[] {
  const fixed = {
    execution: EXECUTION,
    process: PROCESS,
    replay: REPLAY,
    firehose: FIREHOSE,
    autoscale: AUTOSCALE,
    schedule: SCHEDULE,
  };
  return role === 'process' ? [...fixed[role], ...searchStatements(shape)] : fixed[role];
}

/** The actions that a role may do. */
export function policyOf(role: Role, shape: StackShape): string[] {
  return [...new Set(statementsOf(role, shape).flatMap(({ actions }) => actions))].sort();
}

export function accessPart(shape: StackShape): Part {
  const resources = rolesOf(shape).map((role) => [ROLES[role].id, roleOf(role, shape)] as const);
  return { resources: Object.fromEntries(resources) };
}

function roleOf(role: Role, shape: StackShape): Resource {
  const statements = statementsOf(role, shape).map(printed);
  return {
    Type: 'AWS::IAM::Role',
    Properties: {
      AssumeRolePolicyDocument: policy(trustOf(role, shape)),
      Policies: [{ PolicyName: role, PolicyDocument: policy(statements) }],
    },
  };
}

function policy(Statement: readonly Value[]) {
  return { Version: '2012-10-17', Statement };
}

function printed({ why, actions, on, when: only, condition }: Statement): Value {
  const statement = {
    [WHY]: why,
    Effect: 'Allow',
    Action: actions,
    Resource: on,
    ...(condition === undefined ? {} : { Condition: condition }),
  };
  return only === undefined ? statement : when(only, statement);
}

function trustOf(role: Role, { search }: StackShape): Value[] {
  // Firehose names the account in another way than the others.
  const key = role === 'firehose' ? 'sts:ExternalId' : 'aws:SourceAccount';
  const service = {
    [WHY]: 'The service acts for this account alone',
    Effect: 'Allow',
    Principal: { Service: `${ROLES[role].service}.amazonaws.com` },
    Action: 'sts:AssumeRole',
    Condition: { StringEquals: { [key]: ref('AWS::AccountId') } },
  };
  if (role !== 'process' || (search !== 'domain' && search !== 'public')) return [service];
  const admin = {
    [WHY]: 'A domain knows one master, so whoever looks after it acts as the processor',
    Effect: 'Allow',
    Principal: { AWS: ref('SearchAdmin') },
    Action: 'sts:AssumeRole',
  };
  return [service, when('HasSearchAdmin', admin)];
}
