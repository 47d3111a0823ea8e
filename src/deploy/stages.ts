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
  Logs: 'tasks',
  Scheduler: 'tasks',
  Events: 'tasks',
  OpenSearchService: 'search',
  OpenSearchServerless: 'search',
  KinesisFirehose: 'archive',
  Glue: 'archive',
  Athena: 'archive',
  S3: 'archive',
  CloudWatch: 'alarms',
  SNS: 'alarms',
  EC2: 'network',
  IAM: 'access',
};

/** The stage of a resource by its name and its type, such as `AWS::Kinesis::Stream`. */
export function stageOf({ id, type }: { readonly id: string; readonly type: string }): Stage {
  if (id.startsWith('Archive')) return 'archive';
  if (id.startsWith('State')) return 'tasks';
  return OF_SERVICE[type.split('::')[1] ?? ''] ?? 'other';
}
