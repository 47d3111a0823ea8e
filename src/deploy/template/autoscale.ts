/** A task that looks every few minutes whether the stream has the right number of shards. */
import { att, not, type Parameter, type Part, ref, sub, type Value } from './cloudformation.ts';
import { publicIpOf, subnetsOf } from './network.ts';
import type { StackShape } from './shape.ts';
import { taskDefinition, wayOutOf } from './tasks.ts';

/** Fargate's smallest, as it only asks and decides. */
const SMALL = { Cpu: '256', Memory: '512' };

const PARAMETERS: Readonly<Record<string, Parameter>> = {
  ShardsMin: { Type: 'Number', Default: 1, MinValue: 1, Description: 'Fewest shards of the stream' },
  ShardsMax: { Type: 'Number', Default: 64, MinValue: 1, Description: 'Most shards of the stream' },
  ShardsTarget: {
    Type: 'String',
    Default: '0.6',
    AllowedPattern: '0?\\.[0-9]+|1',
    Description: 'Share of what a shard carries that is to be used',
  },
};

const COMMAND: readonly Value[] = [
  'stream',
  'autoscale',
  ref('Stream'),
  '--min',
  ref('ShardsMin'),
  '--max',
  ref('ShardsMax'),
  '--target',
  ref('ShardsTarget'),
  '--once',
];

export function autoscalePart(shape: StackShape): Part {
  if (!shape.autoscale) return { resources: {} };
  return {
    parameters: PARAMETERS,
    conditions: { Provisioned: not({ Condition: 'OnDemand' }) },
    resources: {
      AutoscaleTask: taskDefinition('autoscale', 'AutoscaleRole', COMMAND, {}, SMALL),
      AutoscaleSchedule: {
        Type: 'AWS::Scheduler::Schedule',
        // A stream on demand looks after its shards itself.
        Condition: 'Provisioned',
        ...(wayOutOf(shape).length === 0 ? {} : { DependsOn: wayOutOf(shape) }),
        Properties: {
          Name: sub`${ref('Name')}-autoscale`,
          Description: 'Looks whether the stream has the right number of shards',
          ScheduleExpression: 'rate(5 minutes)',
          FlexibleTimeWindow: { Mode: 'OFF' },
          Target: {
            Arn: att('Cluster', 'Arn'),
            RoleArn: att('ScheduleRole', 'Arn'),
            // What was missed is overtaken by the next look.
            RetryPolicy: { MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 60 },
            EcsParameters: {
              TaskDefinitionArn: ref('AutoscaleTask'),
              LaunchType: 'FARGATE',
              TaskCount: 1,
              NetworkConfiguration: {
                AwsvpcConfiguration: {
                  AssignPublicIp: publicIpOf(shape),
                  SecurityGroups: [att('TaskGroup', 'GroupId')],
                  Subnets: subnetsOf(shape),
                },
              },
            },
          },
        },
      },
    },
  };
}
