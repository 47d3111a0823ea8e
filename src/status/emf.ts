/**
 * CloudWatch's embedded metric format: a run's figures as JSON lines that a log group turns into metrics. Counts are since
 * the line before, so that their sum over any time is right.
 */
import type { Progress } from '../engine/run.ts';
import type { SinkStatus } from '../engine/sink.ts';
import { escaped } from '../printable.ts';
import type { ReplayProgress } from '../replay/run.ts';
import type { WriteCounts } from '../streams/ports.ts';

const NAMESPACE = 'taxiflow';
/** The most that CloudWatch takes, in characters. */
const LONGEST_DIMENSION = 1_024;

export interface Figures {
  /** Counts since the run began. */
  readonly counts: Readonly<Record<string, number>>;
  /** What is there now; what isn't known is left out of a line. */
  readonly levels: Readonly<Record<string, number | undefined>>;
  /** Times in ms; a line has seconds. */
  readonly times: Readonly<Record<string, number | undefined>>;
}

/** How a processor is doing. */
export interface ProcessFigures {
  /** As of the last checkpoint of this run; undefined before it. */
  readonly progress: Pick<Progress, 'counters' | 'watermark' | 'newest' | 'lags'> | undefined;
  readonly sinks: readonly SinkStatus[];
  /** Results that sinks refused for good in this run. */
  readonly refused: number;
  /** When the checkpoint was committed that the next run would go on from, epoch ms; undefined if there is none. */
  readonly checkpointAt: number | undefined;
  /** What the last checkpoint of this run took, ms. */
  readonly checkpointMs: number | undefined;
}

/** `now` and `started`, when the run began, are epoch ms. */
export function processFigures(now: number, started: number, run: ProcessFigures): Figures {
  const { progress, sinks, refused, checkpointAt = started, checkpointMs } = run;
  const { read = 0, results = 0, late = 0, dead = 0 } = progress?.counters ?? {};
  const waiting = sinks.map(({ since }) => (since === undefined ? 0 : now - Date.parse(since)));
  return {
    counts: {
      records: read,
      results,
      late,
      dead_letters: dead + refused,
      sink_retries: sum(sinks.map(({ retries }) => retries)),
    },
    levels: { sink_pending: sum(sinks.map(({ pending }) => pending)) },
    times: {
      watermark_lag_seconds: progress && atLeastZero(progress.newest - progress.watermark),
      read_lag_seconds: progress && most(progress.lags.values()),
      checkpoint_age_seconds: atLeastZero(now - checkpointAt),
      checkpoint_duration_seconds: checkpointMs,
      sink_behind_seconds: most(waiting),
    },
  };
}

/** How a replay is doing; `paced` unless it sends as fast as the stream takes it. */
export interface ReplayFigures {
  readonly progress: Pick<ReplayProgress, 'acknowledged' | 'refused' | 'lag'> | undefined;
  readonly written: WriteCounts | undefined;
  /** Rows of the input that were rejected. */
  readonly rejected: number;
  readonly paced: boolean;
}

export function replayFigures({ progress, written, rejected, paced }: ReplayFigures): Figures {
  const { acknowledged = 0, refused = 0, lag = 0 } = progress ?? {};
  const { records = 0, retries = 0, throttled = 0 } = written ?? {};
  return {
    counts: { trips: acknowledged, records, retries, throttled, rejected: rejected + refused },
    levels: {},
    times: { watermark_lag_seconds: paced && progress ? atLeastZero(lag) : undefined },
  };
}

/** The lines of one run, in the order they are asked for. */
export class EmfLines {
  readonly #dimensions: Readonly<Record<string, string>>;
  #told: Readonly<Record<string, number>> = {};

  constructor(dimensions: Readonly<Record<string, string>>) {
    this.#dimensions = Object.fromEntries(
      Object.entries(dimensions).map(([name, value]) => [name, dimensionOf(value)]),
    );
  }

  /** The line for what came since the one before, without a line end; `now` is epoch ms. */
  next({ counts, levels, times }: Figures, now: number): string {
    const metrics: [name: string, unit: 'Count' | 'Seconds', value: number][] = [];
    for (const [name, count] of Object.entries(counts))
      metrics.push([name, 'Count', count - (this.#told[name] ?? 0)]);
    for (const [name, level] of Object.entries(levels))
      if (isKnown(level)) metrics.push([name, 'Count', level]);
    for (const [name, ms] of Object.entries(times))
      if (isKnown(ms)) metrics.push([name, 'Seconds', ms / 1_000]);
    this.#told = counts;
    const line = {
      _aws: {
        Timestamp: Math.round(now),
        CloudWatchMetrics: [
          {
            Namespace: NAMESPACE,
            Dimensions: [Object.keys(this.#dimensions)],
            Metrics: metrics.map(([Name, Unit]) => ({ Name, Unit })),
          },
        ],
      },
      ...this.#dimensions,
      ...Object.fromEntries(metrics.map(([name, , value]) => [name, value])),
    };
    return escaped(JSON.stringify(line));
  }
}

/**
 * CloudWatch takes dimensions in ASCII, with at least one visible character. Its own metrics have a stream of Kinesis under the
 * plain name.
 */
function dimensionOf(value: string): string {
  const ascii = value
    .replace(/^kinesis:/, '')
    .replace(/[^ -~]/gu, '?')
    .slice(0, LONGEST_DIMENSION);
  return ascii.trim() === '' ? '?' : ascii;
}

function isKnown(value: number | undefined): value is number {
  return value !== undefined && Number.isFinite(value);
}

/** A clock that was set back makes no negative age. */
function atLeastZero(ms: number): number {
  return Math.max(0, ms);
}

function most(values: Iterable<number>): number {
  let most = 0;
  for (const value of values) most = Math.max(most, value);
  return most;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
