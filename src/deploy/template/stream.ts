/** The stream. It costs by the hour and the archive has its records, so it goes with the stack. */
import { isEqual, NOTHING, type Part, ref, sub, when } from './cloudformation.ts';

export function streamPart(): Part {
  return {
    parameters: {
      Shards: {
        Type: 'Number',
        Default: 8,
        MinValue: 0,
        MaxValue: 10_000,
        Description: 'Shards of the stream, each for 1,000 trips/s; 0 = on demand',
      },
      RetentionHours: {
        Type: 'Number',
        Default: 24,
        MinValue: 24,
        MaxValue: 8_760,
        Description: 'How long the stream keeps records; more than 24 costs extra',
      },
    },
    conditions: { OnDemand: isEqual(ref('Shards'), '0') },
    resources: {
      Stream: {
        Type: 'AWS::Kinesis::Stream',
        DeletionPolicy: 'Delete',
        UpdateReplacePolicy: 'Delete',
        Properties: {
          Name: sub`${ref('Name')}-trip-events`,
          ShardCount: when('OnDemand', NOTHING, ref('Shards')),
          StreamModeDetails: { StreamMode: when('OnDemand', 'ON_DEMAND', 'PROVISIONED') },
          RetentionPeriodHours: ref('RetentionHours'),
          StreamEncryption: { EncryptionType: 'KMS', KeyId: 'alias/aws/kinesis' },
        },
      },
    },
    outputs: { StreamName: { Description: 'Stream of trips', Value: ref('Stream') } },
  };
}
