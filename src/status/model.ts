/** The status of a job, shared by `taxiflow status`, `/metrics` and the live page. Plain data; the browser uses it too. */
import type { SinkStatus } from '../engine/sink.ts';
import type { ErrorCode } from '../error-codes.ts';

export type { SinkStatus };

export interface ShardStatus {
  readonly id: string;
  readonly position: string;
  /** Epoch ms; null if unknown. */
  readonly watermark: number | null;
  readonly latest: number | null;
  readonly ended: boolean;
  /** Ms since the last record read arrived, 0 at the tip; only while the processor runs. */
  readonly lagMs?: number | undefined;
}

/** Totals over all runs of a state. */
export interface Totals {
  readonly read: number;
  readonly watermarks: number;
  readonly processed: number;
  readonly filtered: number;
  readonly duplicate: number;
  readonly late: number;
  readonly dead: number;
  readonly results: number;
}

export interface CheckpointStatus {
  readonly number: number;
  /** Epoch ms. */
  readonly at: number;
  readonly durationMs?: number | undefined;
  readonly bytes?: number | undefined;
}

/** A point in the job's past: trips read and results written by then. */
export interface Sample {
  /** Epoch ms. */
  readonly at: number;
  readonly trips: number;
  readonly results: number;
}

export interface JobStatus {
  /** The server's clock, epoch ms; the reference for ages. */
  readonly now: number;
  readonly app: string | null;
  readonly dataDir: string;
  readonly stream?: string | undefined;
  readonly views: readonly string[];
  /** Whether a processor is running on the state. */
  readonly running: boolean;
  readonly watermark: number | null;
  /** Whether the watermark is beyond what the shards have brought: it moved on while they were idle, or at the end of a run. */
  readonly movedOn?: boolean;
  readonly totals?: Totals | undefined;
  readonly shards: readonly ShardStatus[];
  /** Id of the shard that holds the watermark back. */
  readonly slowest?: string | undefined;
  readonly checkpoint?: CheckpointStatus | undefined;
  readonly stateBytes?: number | undefined;
  readonly openWindows?: number | undefined;
  readonly sinks: readonly SinkStatus[];
  readonly deadLetters: readonly { readonly reason: string; readonly count: number; readonly kept: number }[];
  /** Trips read and results written per second, over the last ten seconds. */
  readonly rates: { readonly trips: number; readonly results: number };
  readonly samples: readonly Sample[];
  /** Why there is nothing to show. */
  readonly trouble?:
    | { readonly code: ErrorCode; readonly message: string; readonly hint?: string }
    | undefined;
}

export interface DeadLetterSample {
  readonly reason: string;
  readonly source: string;
  readonly position: string;
  readonly detail: string;
  readonly at: string;
  readonly raw: string;
}
