/** The row of the running processor: when the state was made, and how the run is doing. */
import type { Activity } from '../engine/load.ts';
import type { SinkStatus } from '../engine/sink.ts';
import type { Sqlite } from '../sqlite.ts';
import type { StateRows } from './rows.ts';
import type { PackedPast } from './run-past.ts';

/** The head in S3 that covers a state. */
export interface RemoteStatus {
  /** Its address. */
  readonly head: string;
  /** Raised by each take-over. */
  readonly epoch: number;
  /** Number of the checkpoint that it covers, and when that was made, ISO 8601; null before the first. */
  readonly checkpoint: number;
  readonly at: string | null;
}

/** Parts of the time of the last ten seconds or so, by what the processor did; together 1. */
export type LoadShares = Readonly<Record<Activity, number>>;

/** How the processor is doing, for readers of the state. No result depends on it. */
export interface RunStatus {
  readonly pid: number;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly notedAt: string;
  /** Ms between checkpoints. */
  readonly checkpointInterval: number;
  /** The last checkpoint; `bytes` is what it wrote. */
  readonly checkpoint: { readonly durationMs: number; readonly bytes: number };
  readonly openWindows: number;
  /** Per second, over the last ten or so. */
  readonly rates: { readonly records: number; readonly results: number };
  /** By shard: ms since the last record that was read arrived; 0 at the tip. */
  readonly lags: Readonly<Record<string, number>>;
  readonly sinks: readonly SinkStatus[];
  /** Missing before there is a second to speak of, and where Flink computes. */
  readonly load?: LoadShares | undefined;
  /** Everything is read, and only the sinks are still at work. */
  readonly delivering?: boolean;
  /** How the run ended; missing while it runs, and after one that was killed. */
  readonly end?: 'all-read' | 'stopped' | 'failed' | undefined;
  readonly remote?: RemoteStatus | undefined;
  readonly versions?: { readonly taxiflow: string; readonly node: string };
  /** Checkpoints and course of this run and those before; `unpackPast` reads it. */
  readonly past?: PackedPast;
}

/** What the last processor noted; undefined if there is nothing that can be read. */
export function readRunStatus(db: Sqlite): RunStatus | undefined {
  const row = db.prepare('SELECT status FROM run').get() as { status: string | null } | undefined;
  return row?.status ? (JSON.parse(row.status) as RunStatus) : undefined;
}

/** When a state was made, epoch ms. Throws `damaged`. */
export function readCreated(rows: StateRows): number {
  const row = rows.prepare('SELECT created, crc FROM run').get() as
    | { created: number; crc: number }
    | undefined;
  if (!row) throw rows.damage('when it was made is missing');
  rows.verify(row.crc, [row.created], '', 'when it was made');
  return row.created;
}
