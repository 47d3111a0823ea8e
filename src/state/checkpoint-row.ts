/** The row of the last checkpoint: the part that is small and written whole. */
import type { Checkpoint, Counters, Restored, StoredState } from '../engine/state-store.ts';
import type { ShardProgress } from '../engine/watermarks.ts';
import type { Sqlite } from '../sqlite.ts';
import { corruptRow, rowCrc } from './rows.ts';

/** JSON has no −Infinity: null stands for a time that was never reached. */
interface CheckpointState {
  readonly watermark: number | null;
  readonly counters: Counters;
  readonly shards: readonly (Omit<ShardProgress, 'watermark' | 'latest' | 'idle'> & {
    readonly watermark: number | null;
    readonly latest: number | null;
  })[];
  readonly nextResult: number;
  /** Results that were removed since no one needs them; missing in states of earlier days. */
  readonly trimmed?: number;
  /** As in `StoredState`; missing where nothing was ever changed. */
  readonly closedUpTo?: Readonly<Record<string, number>>;
  /** As in `StoredState`. */
  readonly restored?: Restored;
}

/** A checkpoint as it lies in the file; `at` is ISO 8601. */
export type StoredCheckpoint = CheckpointState & { readonly number: number; readonly at: string };

/** The last checkpoint; undefined before the first. Throws as SQLite does of a damaged page. */
export function readCheckpoint(db: Sqlite): StoredCheckpoint | undefined {
  const row = db.prepare('SELECT number, at, crc, state FROM checkpoint').get() as
    | { number: number; at: string; crc: number; state: string }
    | undefined;
  if (!row) return undefined;
  if (rowCrc([], row.state) !== row.crc) throw corruptRow('the checkpoint differs from its checksum');
  return { ...(JSON.parse(row.state) as CheckpointState), number: row.number, at: row.at };
}

/** Number and time (epoch ms) of the last checkpoint, without looking at what it holds; undefined before the first. */
export function lastCommit(db: Sqlite): { readonly number: number; readonly at: number } | undefined {
  // A state that is being made is still without tables.
  if (!db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'checkpoint'").get()) return undefined;
  const row = db.prepare('SELECT number, at FROM checkpoint').get() as
    | { number: number; at: string }
    | undefined;
  return row && { number: row.number, at: Date.parse(row.at) };
}

/** Writes parts of the last checkpoint anew; it keeps its number. */
export function amendCheckpoint(db: Sqlite, { number, at, ...state }: StoredCheckpoint): void {
  const text = JSON.stringify(state);
  db.prepare('UPDATE checkpoint SET number = ?, at = ?, crc = ?, state = ?').run(
    number,
    at,
    rowCrc([], text),
    text,
  );
}

/** Notes in a checkpoint where its state comes from; the next one does not say it any more. */
export function noteRestored(db: Sqlite, from: Pick<Restored, 'from' | 'epoch'>): void {
  const checkpoint = readCheckpoint(db);
  if (!checkpoint) return;
  const { number, at } = checkpoint;
  amendCheckpoint(db, { ...checkpoint, restored: { ...from, checkpoint: number, at } });
}

/** A checkpoint as the text that is stored. */
export function checkpointText(
  checkpoint: Checkpoint,
  rest: Pick<CheckpointState, 'nextResult' | 'trimmed'>,
): string {
  const state: CheckpointState = {
    watermark: finite(checkpoint.watermark),
    counters: checkpoint.counters,
    shards: checkpoint.shards.map(({ id, position, watermark, latest, owed, ended }) => ({
      id,
      position,
      watermark: finite(watermark),
      latest: finite(latest),
      owed,
      ended,
    })),
    closedUpTo: checkpoint.closedUpTo,
    ...rest,
  };
  return JSON.stringify(state);
}

/** What the engine goes on from. */
export function progressIn(state: CheckpointState): Pick<StoredState, 'watermark' | 'counters' | 'shards'> {
  return {
    watermark: state.watermark ?? Number.NEGATIVE_INFINITY,
    counters: state.counters,
    shards: state.shards.map((shard) => ({
      ...shard,
      watermark: shard.watermark ?? Number.NEGATIVE_INFINITY,
      latest: shard.latest ?? Number.NEGATIVE_INFINITY,
      idle: false,
    })),
  };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
