/** What the server tells the page, and how it is written down. Runs on both sides. */
import type { ErrorCode } from '../../error-codes.ts';

/** A window of `pickup_count`: counts by cell. */
export interface PickupWindow {
  readonly view: 'pickup_count';
  /** Epoch ms. */
  readonly start: number;
  readonly end: number;
  /** Characters of a geohash. */
  readonly precision: number;
  /** Cells in ascending order, each as its difference from the one before. */
  readonly cells: readonly number[];
  readonly counts: readonly number[];
}

/** A window of `trip_duration`: trips and their whole minutes by cell and airport. */
export interface DurationWindow {
  readonly view: 'trip_duration';
  readonly start: number;
  readonly end: number;
  readonly precision: number;
  readonly cells: readonly number[];
  readonly airports: readonly string[];
  readonly trips: readonly number[];
  readonly minutes: readonly number[];
}

export type WindowUpdate = PickupWindow | DurationWindow;

/** All windows the server keeps, and where to go on listening. */
export interface History {
  readonly id: string;
  readonly windows: readonly WindowUpdate[];
}

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

export function* undiffed(differences: readonly number[]): Generator<number> {
  let value = 0;
  for (const difference of differences) {
    value += difference;
    yield value;
  }
}
