/** The status of a job, shared by `taxiflow status`, `/metrics` and the live page. Plain data; the browser uses it too. */
import type { SinkStatus } from '../engine/sink.ts';
import type { ErrorCode } from '../error-codes.ts';
import type { Past, PastCheckpoint, PastFailure, PastPoint } from '../state/run-past.ts';
import type { LoadShares, RemoteStatus } from '../state/run-row.ts';

export type { LoadShares, Past, PastCheckpoint, PastFailure, PastPoint, RemoteStatus, SinkStatus };

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

/** The run that goes on, or the last one. Times are epoch ms. */
export interface RunFacts {
  readonly pid: number;
  readonly startedAt: number;
  /** When its processor last said how it is. */
  readonly notedAt: number;
  /** How it ended; undefined while it runs, and where it was killed. */
  readonly end?: 'all-read' | 'stopped' | 'failed' | undefined;
  /** Everything is read, and only the sinks are still at work. */
  readonly delivering: boolean;
  /** Ms. */
  readonly checkpointInterval: number;
  readonly versions?: { readonly taxiflow: string; readonly node: string } | undefined;
}

export interface JobStatus {
  /** The server's clock, epoch ms; the reference for ages. */
  readonly now: number;
  readonly app: string | null;
  readonly dataDir: string;
  /** What a shell where the status is made calls taxiflow: `taxiflow` or `npx taxiflow`. */
  readonly command: string;
  readonly stream?: string | undefined;
  readonly views: readonly string[];
  /** Whether a processor is running on the state. */
  readonly running: boolean;
  /** Whether a processor waits here to take the job over. */
  readonly standby: boolean;
  readonly run?: RunFacts | undefined;
  /** Where the time of the processor goes; only while it runs. */
  readonly load?: LoadShares | undefined;
  /** The head in S3 that covers the state, as its processor last knew it. */
  readonly remote?: RemoteStatus | undefined;
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
  /** Why there is nothing to show. */
  readonly trouble?:
    | { readonly code: ErrorCode; readonly message: string; readonly hint?: string }
    | undefined;
}

/** What a page asks for when it shows the job, and then once in a while: it is larger than a status, or seldom changes. */
export interface JobDetails {
  readonly past: Past;
  readonly views: readonly ViewFacts[];
  readonly settings: {
    readonly eventTime: 'dropoff' | 'arrival';
    /** Ms. */
    readonly allowedLateness: number;
  };
  readonly savepoints: {
    /** Those of this app in the data directory, the newest first, and how many there are of them and those not shown. */
    readonly shown: readonly SavepointFacts[];
    readonly count: number;
  };
}

export interface ViewFacts {
  readonly name: string;
  /** Its windows in words. */
  readonly windows: string;
  readonly keys: readonly string[];
  readonly aggregates: readonly string[];
}

export interface SavepointFacts {
  readonly file: string;
  readonly checkpoint: number;
  /** When that checkpoint was made, epoch ms. */
  readonly at: number;
  readonly watermark: number | null;
  readonly results: number;
  readonly bytes: number;
}

/** A job of a data directory, for a list of them. */
export interface JobSummary {
  readonly app: string;
  readonly stream: string | null;
  readonly running: boolean;
  readonly standby: boolean;
  /** As in `RunFacts`. */
  readonly end: RunFacts['end'] | null;
  /** Epoch ms. */
  readonly watermark: number | null;
  readonly results: number | null;
  readonly checkpointAt: number | null;
  /** Why its state can't be read. */
  readonly trouble: string | null;
}

export interface DeadLetterSample {
  readonly reason: string;
  readonly source: string;
  readonly position: string;
  readonly detail: string;
  readonly at: string;
  readonly raw: string;
}
