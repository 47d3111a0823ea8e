/** Why an input is of no use, as replay and doctor say it. */
import type { DatasetCounts } from '../dataset/dataset.ts';
import type { Timeline } from '../dataset/timeline.ts';
import type { RejectReason } from '../dataset/trips.ts';
import { isoShort, thousands } from './terminal.ts';

export interface Unused {
  readonly problem: string;
  readonly remedy: string;
}

interface Input {
  readonly counts: Readonly<DatasetCounts>;
  readonly timeline: Timeline;
  /** Trips that end in the time asked for. */
  readonly wanted: number;
}

/** Why hardly any of an input was used; undefined if it was. */
export function whyUnused({ counts, timeline, wanted }: Input): Unused | undefined {
  if (counts.rows - counts.trips > counts.rows / 2) {
    const [reason, count] = mostFrequent(counts.rejected);
    const share = counts.trips === 0 ? 'no row could be used' : 'most rows could not be used';
    return {
      problem: `${share}: ${thousands(count)} ${reason}, the first in ${counts.rejectedExamples[reason]}`,
      remedy: REMEDIES[reason],
    };
  }
  if (counts.trips === 0 || wanted > 0) return undefined;
  return {
    problem: `no trip ends in the time asked for: the trips end from ${isoShort(timeline.first)} to ${isoShort(timeline.last)}`,
    remedy: 'choose --seek and --until in that time',
  };
}

function mostFrequent(counts: DatasetCounts['rejected']): [RejectReason, number] {
  const entries = Object.entries(counts) as [RejectReason, number][];
  return entries.reduce((most, entry) => (entry[1] > most[1] ? entry : most));
}

/** What to do about rows of each kind. */
const REMEDIES: Readonly<Record<RejectReason, string>> = {
  'short-row': 'check that each row has a value for each column of the header',
  'unreadable-time':
    'write times as 2016-03-01 15:04:05, 2016-03-01T15:04:05Z, 2016/03/01 15:04 or 3/1/2016 3:04 PM (--date-order dmy: 1/3/2016)',
  'dropoff-before-pickup': 'check which column is the pick-up and which the drop-off, and --date-order',
  'out-of-order': 'leave --assume-sorted out: the rows are not in drop-off order',
  'not-csv': 'check the quotes: RFC 4180 is understood',
  'line-too-long': 'check that the file has line ends',
};
