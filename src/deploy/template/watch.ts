/** Alarms, and the topic that tells of them. Names and dimensions of taxiflow's own metrics are those of `--metrics emf`. */
import { isEqual, not, type Part, type Resource, ref, sub, type Value } from './cloudformation.ts';
import { SEARCH_DOMAIN } from './search.ts';
import type { StackShape } from './shape.ts';

export interface Metric {
  readonly namespace: string;
  readonly name: string;
  readonly dimensions: Readonly<Record<string, Value>>;
}

/** Metrics of the processor. Its app has the name of the stream. */
export const ofProcess = (name: string): Metric => ({
  namespace: 'taxiflow',
  name,
  dimensions: { stream: ref('Stream'), app: ref('Stream') },
});
export const ofReplay = (name: string): Metric => ({
  namespace: 'taxiflow',
  name,
  dimensions: { stream: ref('Stream') },
});
export const ofStream = (name: string): Metric => ({
  namespace: 'AWS/Kinesis',
  name,
  dimensions: { StreamName: ref('Stream') },
});
export const ofFirehose = (name: string): Metric => ({
  namespace: 'AWS/Firehose',
  name,
  dimensions: { DeliveryStreamName: ref('Firehose') },
});
export const ofSearch = (name: string): Metric => ({
  namespace: 'AWS/ES',
  name,
  dimensions: { DomainName: ref(SEARCH_DOMAIN), ClientId: ref('AWS::AccountId') },
});

interface Alarm {
  readonly what: string;
  readonly metric: Metric;
  readonly statistic: 'Maximum' | 'Sum';
  /** It goes off above this. */
  readonly above: number;
  /** So many minutes in a row. */
  readonly minutes: number;
  readonly missing: 'breaching' | 'notBreaching';
  readonly condition?: string;
}

const ALARMS: Readonly<Record<string, Alarm>> = {
  BehindStream: {
    what: 'The processor is more than 5 minutes behind the stream',
    metric: ofStream('GetRecords.IteratorAgeMilliseconds'),
    statistic: 'Maximum',
    above: 300_000,
    minutes: 5,
    missing: 'notBreaching',
  },
  NoCheckpoint: {
    what: 'No checkpoint for 5 minutes, or no processor at all',
    metric: ofProcess('checkpoint_age_seconds'),
    statistic: 'Maximum',
    above: 300,
    minutes: 5,
    missing: 'breaching',
    condition: 'Running',
  },
  Throttled: {
    what: 'The stream refuses writes: it has too few shards for this speed-up',
    metric: ofStream('WriteProvisionedThroughputExceeded'),
    statistic: 'Sum',
    above: 0,
    minutes: 5,
    missing: 'notBreaching',
  },
  DeadLetters: {
    what: 'Something was refused; "taxiflow dead-letters" on the state has the reasons',
    metric: ofProcess('dead_letters'),
    statistic: 'Sum',
    above: 0,
    minutes: 1,
    missing: 'notBreaching',
  },
  ArchiveStale: {
    what: 'The newest record in the archive of events is half an hour old',
    metric: ofFirehose('DeliveryToS3.DataFreshness'),
    statistic: 'Maximum',
    above: 1_800,
    minutes: 10,
    missing: 'notBreaching',
  },
};

const SINK_BEHIND: Alarm = {
  what: 'Results have waited for the search service for 5 minutes',
  metric: ofProcess('sink_behind_seconds'),
  statistic: 'Maximum',
  above: 300,
  minutes: 5,
  missing: 'notBreaching',
};
const SEARCH_RED: Alarm = {
  what: 'The search domain lacks shards, so results can be neither written nor found',
  metric: ofSearch('ClusterStatus.red'),
  statistic: 'Maximum',
  above: 0,
  minutes: 2,
  missing: 'notBreaching',
};

export function watchPart({ search }: StackShape): Part {
  const alarms = {
    ...ALARMS,
    ...(search === 'none' ? {} : { SinkBehind: SINK_BEHIND }),
    ...(search === 'domain' || search === 'public' ? { SearchRed: SEARCH_RED } : {}),
  };
  return {
    parameters: {
      AlarmEmail: {
        Type: 'String',
        Default: '',
        AllowedPattern: '|[^@\\s]+@[^@\\s]+',
        ConstraintDescription: 'must be an address, NAME@HOST',
        Description: 'Address that is told of alarms; empty = none',
      },
    },
    conditions: { HasEmail: not(isEqual(ref('AlarmEmail'), '')) },
    resources: {
      Alarms: {
        Type: 'AWS::SNS::Topic',
        Metadata: {
          checkov: {
            skip: [
              {
                id: 'CKV_AWS_26',
                comment: 'CloudWatch may not use the key of AWS, and an alarm holds no secret',
              },
            ],
          },
        },
        Properties: { TopicName: sub`${ref('Name')}-alarms` },
      },
      AlarmMail: {
        Type: 'AWS::SNS::Subscription',
        Condition: 'HasEmail',
        Properties: { TopicArn: ref('Alarms'), Protocol: 'email', Endpoint: ref('AlarmEmail') },
      },
      ...Object.fromEntries(Object.entries(alarms).map(([id, alarm]) => [id, alarmResource(id, alarm)])),
    },
    outputs: { AlarmTopic: { Description: 'Topic that tells of alarms', Value: ref('Alarms') } },
  };
}

function alarmResource(id: string, alarm: Alarm): Resource {
  const { what, metric, statistic, above, minutes, missing, condition } = alarm;
  const name = id.replace(/(?!^)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
  return {
    Type: 'AWS::CloudWatch::Alarm',
    ...(condition === undefined ? {} : { Condition: condition }),
    Properties: {
      AlarmName: sub`${ref('Name')}-${name}`,
      AlarmDescription: what,
      Namespace: metric.namespace,
      MetricName: metric.name,
      Dimensions: Object.entries(metric.dimensions).map(([Name, Value]) => ({ Name, Value })),
      Statistic: statistic,
      Period: 60,
      EvaluationPeriods: minutes,
      Threshold: above,
      ComparisonOperator: 'GreaterThanThreshold',
      TreatMissingData: missing,
      AlarmActions: [ref('Alarms')],
      OKActions: [ref('Alarms')],
    },
  };
}
