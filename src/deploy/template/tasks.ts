/** Containers: the processor as a service, and the replay as a task that is started on request. */
import { STATE_PREFIX, TRIPS_PREFIX } from './access.ts';
import { LOG_METADATA } from './archive.ts';
import {
  att,
  isEqual,
  join,
  not,
  type Output,
  type Parameter,
  type Part,
  type Resource,
  ref,
  sub,
  subJson,
  type Value,
  when,
} from './cloudformation.ts';
import { publicIpOf, subnetsOf } from './network.ts';
import { dashboardsUrl, searchUrl } from './search.ts';
import type { StackShape } from './shape.ts';

const DATA = '/data';
/** A task that stops commits its state first. */
const STOP_SECONDS = 90;

const PARAMETERS: Readonly<Record<string, Parameter>> = {
  Image: {
    Type: 'String',
    AllowedPattern: '[^@\\s]+@sha256:[0-9a-f]{64}',
    ConstraintDescription: 'must name an image by its digest, NAME@sha256:…',
    Description: 'Container image of taxiflow for ARM64, by its digest',
  },
  Cpu: {
    Type: 'String',
    Default: '1024',
    AllowedValues: ['512', '1024', '2048', '4096'],
    Description: 'CPU units of a task; 1024 is one core',
  },
  Memory: {
    Type: 'String',
    Default: '4096',
    AllowedValues: ['2048', '4096', '8192', '16384'],
    Description: 'MiB of a task; 2 to 8 for each CPU unit',
  },
  Desired: {
    Type: 'Number',
    Default: 1,
    AllowedValues: [0, 1],
    Description: 'Whether the processor runs',
  },
  TripsBucket: {
    Type: 'String',
    Default: '',
    Description: 'Bucket with trip files for the replay; empty = the built-in week',
  },
  TripsPrefix: { Type: 'String', Default: '', Description: 'Where in that bucket they are' },
  Speedup: {
    Type: 'String',
    Default: '1440',
    AllowedPattern: 'max|[0-9]*[1-9][0-9]*(\\.[0-9]+)?|0?\\.[0-9]*[1-9][0-9]*',
    ConstraintDescription: 'must be a number above 0, or max',
    Description: 'Event time divided by wall time, or max',
  },
};

/** Memory that Fargate has for so much CPU. */
const SIZES: Readonly<Record<string, readonly string[]>> = {
  '512': ['2048', '4096'],
  '1024': ['2048', '4096', '8192'],
  '2048': ['4096', '8192', '16384'],
  '4096': ['8192', '16384'],
};

/** Refused before anything is made: a service is made last, after a domain that takes twenty minutes. */
const TASK_SIZE = {
  Assertions: [
    {
      Assert: {
        'Fn::Or': Object.entries(SIZES).map(([cpu, sizes]) => ({
          'Fn::And': [isEqual(ref('Cpu'), cpu), { 'Fn::Contains': [sizes, ref('Memory')] }],
        })),
      },
      AssertDescription: 'Fargate has no task of this Cpu with this Memory',
    },
  ],
};

export function tasksPart(shape: StackShape): Part {
  return {
    parameters: PARAMETERS,
    rules: { TaskSize: TASK_SIZE },
    conditions: {
      HasTrips: not(isEqual(ref('TripsBucket'), '')),
      Running: not(isEqual(ref('Desired'), '0')),
    },
    resources: {
      Cluster: {
        Type: 'AWS::ECS::Cluster',
        Metadata: {
          checkov: {
            skip: [{ id: 'CKV_AWS_65', comment: 'The metrics of taxiflow itself say more, and cost less' }],
          },
        },
        Properties: {
          ClusterName: ref('Name'),
          ClusterSettings: [{ Name: 'containerInsights', Value: 'disabled' }],
        },
      },
      TaskLog: {
        Type: 'AWS::Logs::LogGroup',
        DeletionPolicy: 'Delete',
        UpdateReplacePolicy: 'Delete',
        Metadata: LOG_METADATA,
        Properties: { LogGroupName: sub`/${ref('Name')}/tasks`, RetentionInDays: 30 },
      },
      ProcessTask: taskDefinition('process', 'ProcessRole', processCommand(shape), HEALTH),
      ProcessService: service(shape),
      ReplayTask: taskDefinition('replay', 'ReplayRole', REPLAY_COMMAND),
    },
    outputs: taskOutputs(shape),
  };
}

const SEEN = ['--metrics', 'emf', '--log', 'json'];

function processCommand(shape: StackShape): Value[] {
  const url = searchUrl(shape);
  return [
    'process',
    '--stream',
    ref('Stream'),
    '--data-dir',
    DATA,
    '--state',
    sub`s3://${ref('StateBucket')}/${STATE_PREFIX}`,
    ...(url === undefined ? [] : ['--opensearch', url, '--aws-sigv4']),
    '--archive',
    sub`s3://${ref('ArchiveBucket')}/${TRIPS_PREFIX}`,
    ...SEEN,
  ];
}

const REPLAY_COMMAND: readonly Value[] = [
  'replay',
  '--stream',
  ref('Stream'),
  '--data-dir',
  DATA,
  '--speedup',
  ref('Speedup'),
  ...SEEN,
  when('HasTrips', sub`s3://${ref('TripsBucket')}/${ref('TripsPrefix')}`),
];

/** Arguments of the task that prepares the search service, run as the processor; undefined where there is none. */
export function setupCommand(shape: StackShape): Value[] | undefined {
  const url = searchUrl(shape);
  return url === undefined ? undefined : setupArguments(url, dashboardsUrl(shape));
}

/** How `es-setup` is called for a search service and its dashboards. */
export function setupArguments<V>(url: V, dashboards: V | undefined): (V | string)[] {
  const shown = dashboards === undefined ? [] : ['--dashboards', dashboards];
  return ['es-setup', '--endpoint', url, ...shown, '--aws-sigv4', '--wait', '5m'];
}

/** A processor that commits nothing any more is started anew; taking a large state over may last minutes. */
const HEALTH = {
  HealthCheck: {
    Command: ['CMD', 'taxiflow', 'status', '--data-dir', DATA, '--max-age', '2m'],
    Interval: 30,
    Timeout: 10,
    Retries: 3,
    StartPeriod: 300,
  },
};

export function taskDefinition(
  name: string,
  role: string,
  command: readonly Value[],
  more: Readonly<Record<string, Value>> = {},
  size: { readonly Cpu: Value; readonly Memory: Value } = { Cpu: ref('Cpu'), Memory: ref('Memory') },
): Resource {
  return {
    Type: 'AWS::ECS::TaskDefinition',
    Properties: {
      Family: sub`${ref('Name')}-${name}`,
      RequiresCompatibilities: ['FARGATE'],
      NetworkMode: 'awsvpc',
      ...size,
      RuntimePlatform: { CpuArchitecture: 'ARM64', OperatingSystemFamily: 'LINUX' },
      ExecutionRoleArn: att('ExecutionRole', 'Arn'),
      TaskRoleArn: att(role, 'Arn'),
      Volumes: [{ Name: 'data' }],
      ContainerDefinitions: [
        {
          Name: name,
          Image: ref('Image'),
          Essential: true,
          ReadonlyRootFilesystem: true,
          StopTimeout: STOP_SECONDS,
          Command: command,
          Environment: [
            { Name: 'AWS_REGION', Value: ref('AWS::Region') },
            // The rest of the file system is read-only.
            { Name: 'TMPDIR', Value: DATA },
          ],
          MountPoints: [{ SourceVolume: 'data', ContainerPath: DATA, ReadOnly: false }],
          LogConfiguration: {
            LogDriver: 'awslogs',
            Options: {
              'awslogs-group': ref('TaskLog'),
              'awslogs-region': ref('AWS::Region'),
              'awslogs-stream-prefix': name,
            },
          },
          ...more,
        },
      ],
    },
  };
}

/** What tasks need before they can fetch their image. */
export function wayOutOf({ network }: StackShape): string[] {
  return network === 'own' ? ['WayOut', 'RoutesA', 'RoutesB'] : [];
}

function service(shape: StackShape): Resource {
  const after = [...wayOutOf(shape), ...(shape.search === 'serverless' ? ['SearchAccess'] : [])];
  return {
    Type: 'AWS::ECS::Service',
    ...(after.length === 0 ? {} : { DependsOn: after }),
    Properties: {
      ServiceName: sub`${ref('Name')}-process`,
      Cluster: ref('Cluster'),
      TaskDefinition: ref('ProcessTask'),
      LaunchType: 'FARGATE',
      DesiredCount: when('Running', 1, 0),
      // A state has one processor, so the old one stops before the new one starts.
      DeploymentConfiguration: {
        MinimumHealthyPercent: 0,
        MaximumPercent: 100,
        DeploymentCircuitBreaker: { Enable: true, Rollback: true },
      },
      NetworkConfiguration: {
        AwsvpcConfiguration: {
          AssignPublicIp: publicIpOf(shape),
          SecurityGroups: [att('TaskGroup', 'GroupId')],
          Subnets: subnetsOf(shape),
        },
      },
    },
  };
}

/** What a task is started with, and the commands that do it. */
function taskOutputs(shape: StackShape): Record<string, Output> {
  const setup = setupCommand(shape);
  return {
    StateUrl: {
      Description: 'State of the processor',
      Value: sub`s3://${ref('StateBucket')}/${STATE_PREFIX}`,
    },
    ClusterName: { Description: 'Cluster that tasks run in', Value: ref('Cluster') },
    ServiceName: { Description: 'Service of the processor', Value: att('ProcessService', 'Name') },
    ProcessTaskArn: { Description: 'Task definition of the processor', Value: ref('ProcessTask') },
    ReplayTaskArn: { Description: 'Task definition of the replay', Value: ref('ReplayTask') },
    Subnets: { Description: 'Subnets of tasks', Value: join(',', subnetsOf(shape)) },
    TaskGroupId: { Description: 'Security group of tasks', Value: att('TaskGroup', 'GroupId') },
    TaskPublicIp: { Description: 'Whether tasks get public addresses', Value: publicIpOf(shape) },
    ...(setup === undefined
      ? {}
      : {
          SetupCommand: {
            Description: 'Prepares the search service and its dashboard',
            Value: runTask(shape, 'ProcessTask', {
              containerOverrides: [{ name: 'process', command: setup }],
            }),
          },
        }),
    ReplayCommand: { Description: 'Replays trips into the stream', Value: runTask(shape, 'ReplayTask') },
    LogsCommand: {
      Description: 'Shows what tasks print',
      Value: sub`aws logs tail ${ref('TaskLog')} --follow`,
    },
    StatusCommand: {
      Description: 'Shows how the stack is doing',
      Value: sub`taxiflow deploy status --name ${ref('AWS::StackName')}`,
    },
  };
}

function runTask(shape: StackShape, task: string, overrides?: Value): Value {
  const more = overrides === undefined ? '' : sub` --overrides '${subJson(overrides)}'`;
  return sub`aws ecs run-task --cluster ${ref('Cluster')} --task-definition ${ref(task)} --launch-type FARGATE --network-configuration 'awsvpcConfiguration={subnets=[${join(',', subnetsOf(shape))}],securityGroups=[${att('TaskGroup', 'GroupId')}],assignPublicIp=${publicIpOf(shape)}}'${more}`;
}
