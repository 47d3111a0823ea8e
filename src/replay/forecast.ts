/** How far a replay is and how long it still takes, by when the trips of its input end. */
import type { Timeline } from '../dataset/timeline.ts';
import { Pace } from './pace.ts';

export interface ForecastOptions {
  readonly timeline: Timeline;
  /** Event time over wall time; Infinity sends as fast as the stream takes. */
  readonly speedup: number;
  /** The trips to send: those that end from `from` up to `until` (epoch ms), `limit` of them at most. */
  readonly from: number;
  readonly until?: number | undefined;
  readonly limit?: number | undefined;
}

/** Where a replay is. */
export interface ReplayPosition {
  /** Trips sent since the forecast was made. */
  readonly sent: number;
  /** Wall ms since then. */
  readonly elapsed: number;
  /** Wall ms the replay is behind its pace. */
  readonly lag: number;
}

export class Forecast {
  /** Trips to send: exact for whole buckets of the timeline, an estimate at its ends. */
  readonly trips: number;
  /** Wall ms they take at the speedup; undefined where the stream sets the pace. */
  readonly duration: number | undefined;

  constructor({ timeline, speedup, from, until, limit = Number.POSITIVE_INFINITY }: ForecastOptions) {
    const pace = new Pace(speedup);
    const first = Math.max(from, timeline.first);
    const behind = Math.min(until ?? Number.POSITIVE_INFINITY, timeline.last + 1);
    let trips = 0;
    let duration = 0;
    for (const bucket of timeline.buckets()) {
      const ends = Math.min(bucket.start + timeline.width, timeline.last + 1);
      const length = ends - Math.max(bucket.start, timeline.first);
      const start = Math.max(bucket.start, first);
      const end = Math.min(ends, behind);
      if (end <= start || trips >= limit) continue;
      const wanted = (bucket.trips * (end - start)) / length;
      const share = Math.min(1, (limit - trips) / wanted);
      pace.due(start);
      duration = pace.due(start + (end - 1 - start) * share);
      trips += wanted * share;
    }
    this.trips = Math.round(trips);
    this.duration = Number.isFinite(speedup) ? duration : undefined;
  }

  /** Wall ms still to go; undefined while nothing can be said. */
  remaining({ sent, elapsed, lag }: ReplayPosition): number | undefined {
    if (this.duration !== undefined) return Math.max(0, this.duration - elapsed) + lag;
    if (sent === 0 || elapsed <= 0) return undefined;
    return (Math.max(0, this.trips - sent) * elapsed) / sent;
  }
}
