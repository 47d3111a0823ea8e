import type { Dataset } from '../dataset/dataset.ts';
import { Timeline } from '../dataset/timeline.ts';
import { Pace } from './pace.ts';

const SHARD_RECORDS_PER_SECOND = 1_000;

/**
 * Size and rates of a replay. Times are epoch ms, NaN without trips; rates are trips per second of wall time. Rates and
 * duration are undefined at speedup max.
 */
export interface ReplayPlan {
  readonly trips: number;
  readonly first: number;
  readonly last: number;
  /** Wall ms. */
  readonly duration: number | undefined;
  readonly meanRate: number | undefined;
  /** In the busiest second. */
  readonly peakRate: number | undefined;
  readonly shardsNeeded: number | undefined;
  /** When the trips end. */
  readonly timeline: Timeline;
}

/** Reads all trips and computes the plan; sends nothing. */
export async function planReplay(
  dataset: Dataset,
  speedup: number,
  seek = Number.NEGATIVE_INFINITY,
  until = Number.POSITIVE_INFINITY,
  limit = Number.POSITIVE_INFINITY,
): Promise<ReplayPlan> {
  let trips = 0;
  let first = Number.NaN;
  let last = Number.NaN;
  const pace = new Pace(speedup);
  let duration = 0;
  let second = -1;
  let inSecond = 0;
  let peak = 0;
  const timeline = new Timeline();
  dataset.countUpTo([], seek, until);
  for await (const batch of dataset.batches()) {
    for (const dropoff of batch.dropoffs) {
      if (dropoff < seek || dropoff >= until || trips >= limit) continue;
      if (trips === 0) first = dropoff;
      last = dropoff;
      trips++;
      timeline.add(dropoff);
      duration = pace.due(dropoff);
      const now = Math.floor(duration / 1000);
      inSecond = now === second ? inSecond + 1 : 1;
      second = now;
      peak = Math.max(peak, inSecond);
    }
  }
  if (!Number.isFinite(speedup) || trips === 0) {
    return {
      trips,
      first,
      last,
      duration: undefined,
      meanRate: undefined,
      peakRate: undefined,
      shardsNeeded: undefined,
      timeline,
    };
  }
  return {
    trips,
    first,
    last,
    duration,
    meanRate: trips / Math.max(1, duration / 1000),
    peakRate: peak,
    shardsNeeded: Math.max(1, Math.ceil(peak / SHARD_RECORDS_PER_SECOND)),
    timeline,
  };
}
