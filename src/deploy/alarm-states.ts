/** Alarms of a stack that have gone off. */
import { CloudWatchClient, DescribeAlarmsCommand } from '@aws-sdk/client-cloudwatch';
import { type AwsPlace, ask, clientSettings } from './requests.ts';

export interface Alarm {
  readonly name: string;
  readonly reason: string;
  /** When it went off. */
  readonly since: string | null;
}

/** What one request may name. */
const PAGE = 100;

/** Those of the alarms named that are in the state ALARM. */
export async function ringing(place: AwsPlace, names: readonly string[]): Promise<Alarm[]> {
  const client = new CloudWatchClient(clientSettings(place));
  const found: Alarm[] = [];
  try {
    for (let from = 0; from < names.length; from += PAGE) {
      const AlarmNames = names.slice(from, from + PAGE);
      const { MetricAlarms = [] } = await ask(place, 'cloudwatch:DescribeAlarms', () =>
        client.send(new DescribeAlarmsCommand({ AlarmNames, StateValue: 'ALARM', MaxRecords: PAGE })),
      );
      for (const alarm of MetricAlarms)
        found.push({
          name: alarm.AlarmName ?? '',
          reason: (alarm.StateReason ?? '').replace(/\s+/g, ' ').trim(),
          since: alarm.StateUpdatedTimestamp?.toISOString() ?? null,
        });
    }
    return found;
  } finally {
    client.destroy();
  }
}
