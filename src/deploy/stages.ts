/** The stages of the line that the resources of a stack belong to. */

/** In the order in which they are shown. */
export const STAGES = [
  'stream',
  'tasks',
  'search',
  'archive',
  'alarms',
  'network',
  'access',
  'other',
] as const;
export type Stage = (typeof STAGES)[number];

const OF_SERVICE: Readonly<Record<string, Stage>> = {
  Kinesis: 'stream',
  ECS: 'tasks',
  Scheduler: 'tasks',
  Events: 'tasks',
  OpenSearchService: 'search',
  OpenSearchServerless: 'search',
  KinesisFirehose: 'archive',
  Glue: 'archive',
  Athena: 'archive',
  CloudWatch: 'alarms',
  SNS: 'alarms',
  EC2: 'network',
  IAM: 'access',
};

/** The stage of a resource by its type, such as `AWS::Kinesis::Stream`; of a bucket or a log, by its name. */
export function stageOf({ id, type }: { readonly id: string; readonly type: string }): Stage {
  const service = type.split('::')[1] ?? '';
  if (service === 'S3' || service === 'Logs') return /^(?:Archive|Firehose)/.test(id) ? 'archive' : 'tasks';
  return OF_SERVICE[service] ?? 'other';
}
