/** How a job is doing: what `taxiflow status`, `/metrics` and the live page share. Plain data, also for the browser. */
import type { ErrorCode } from '../error-codes.ts';

export interface ShardStatus {
  readonly id: string;
  readonly position: string;
  /** Epoch ms; null when nothing is known yet. */
  readonly watermark: number | null;
  readonly latest: number | null;
  readonly ended: boolean;
  /** Ms since the last record read arrived, 0 at the tip; while the processor runs. */
  readonly lagMs?: number | undefined;
}

export interface SinkStatus {
  readonly name: string;
  /** Results delivered and still to be delivered. */
  readonly delivered: number;
  readonly pending: number;
  /** Results it refused for good. */
  readonly rejected: number;
  readonly retries: number;
  /** What keeps it from going on, in words, and since when, in ISO 8601. */
  readonly trouble?: string | undefined;
  readonly since?: string | undefined;
}

/** Totals of all runs of a state. */
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

/** A second of the job's past: what it had read and written by then. */
export interface Sample {
  /** Epoch ms. */
  readonly at: number;
  readonly trips: number;
  readonly results: number;
}

export interface JobStatus {
  /** The server's clock, epoch ms: ages are told by it. */
  readonly now: number;
  readonly app: string | null;
  readonly dataDir: string;
  readonly stream?: string | undefined;
  readonly views: readonly string[];
  /** Whether a processor holds the state now. */
  readonly running: boolean;
  readonly watermark: number | null;
  readonly totals?: Totals | undefined;
  readonly shards: readonly ShardStatus[];
  /** Id of the shard that holds the watermark back. */
  readonly slowest?: string | undefined;
  readonly checkpoint?: CheckpointStatus | undefined;
  readonly stateBytes?: number | undefined;
  readonly openWindows?: number | undefined;
  readonly sinks: readonly SinkStatus[];
  readonly deadLetters: readonly { readonly reason: string; readonly count: number; readonly kept: number }[];
  /** A second: trips read and results written, over the last ten. */
  readonly rates: { readonly trips: number; readonly results: number };
  readonly samples: readonly Sample[];
  /** Why there is nothing to show, in words a user can act on. */
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
