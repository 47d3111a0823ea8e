/** The row of the running processor: when the state was made, and how the run is doing. */
import type { SinkStatus } from '../engine/sink.ts';
import type { StateRows } from './rows.ts';

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
