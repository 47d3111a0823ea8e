/** The StateStore port: what the engine requires of its state store. */
import type { DeadLetterBuffer, DeadLetterCount } from '../dead-letters.ts';
import type { DuplicateChanges, StoredTrips } from './duplicates.ts';
import type { TripChunk } from './kept-trips.ts';
import type { ShardProgress } from './watermarks.ts';
import type { StoredWindow } from './windows/aligned.ts';
import type { Firing } from './windows/documents.ts';
import type { PaneBlock, StoredPanes, WindowSpan } from './windows/pane-runs.ts';

/** Records by outcome (C7): read = watermarks + processed + filtered + duplicate + late + dead. */
export interface Counters {
  read: number;
  watermarks: number;
  processed: number;
  filtered: number;
  duplicate: number;
  late: number;
  dead: number;
  results: number;
}

export const NO_COUNTS: Counters = {
  read: 0,
  watermarks: 0,
  processed: 0,
  filtered: 0,
  duplicate: 0,
  late: 0,
  dead: 0,
  results: 0,
};

/** What a state was made from; a run with another identity is refused (C5). */
export interface StateIdentity {
  /** The stream's name and identity, as its reader reports them. */
  readonly stream: string;
  /** The views as data. */
  readonly views: string;
  /** Other settings that change the results: event time, lateness. */
  readonly settings: string;
}

/**
 * Everything since the last checkpoint; commits as one transaction (C1). Large parts are generated while they are read,
 * from data still in the store, so read them in this order: firings, blocks, windows that are gone.
 */
export interface Checkpoint {
  readonly watermark: number;
  /** `results` is complete only after the firings have been read. */
  readonly counters: Counters;
  readonly shards: readonly ShardProgress[];
  readonly firings: Iterable<Firing>;
  readonly blocks: Iterable<PaneBlock>;
  readonly gone: Iterable<WindowSpan & { readonly view: string }>;
  readonly duplicates: DuplicateChanges;
  readonly deadLetters: ReturnType<DeadLetterBuffer['take']>;
  /** As in `StoredState`. */
  readonly closedUpTo: StoredState['closedUpTo'];
  /** Trips for the archive: the processed, filtered and late ones, if there is an archive. */
  readonly trips?: readonly TripChunk[];
  /** Whether the run ends with it. */
  readonly isLast?: boolean;
}

/** Where a state was restored from. */
export interface Restored {
  /** A savepoint or a head in S3. */
  readonly from: string;
  /** Which take-over of the state in S3 this was. */
  readonly epoch?: number;
  readonly checkpoint: number;
  /** When the checkpoint was made, ISO 8601. */
  readonly at: string;
}

/** The checkpoint that the engine continues from. */
export interface StoredState {
  readonly watermark: number;
  readonly counters: Counters;
  readonly shards: readonly ShardProgress[];
  readonly windows: readonly (StoredWindow & { readonly view: string })[];
  readonly seen: StoredTrips;
  readonly deadLetters: readonly DeadLetterCount[];
  /** Ends (epoch ms), by view, up to which windows stay closed, since the job once allowed less lateness, began the view later, or completed it. */
  readonly closedUpTo: Readonly<Record<string, number>>;
  /** Set until the first checkpoint after a restore. */
  readonly restored?: Restored | undefined;
}

export interface StateStore extends StoredPanes {
  /** The last checkpoint, if there is one. */
  readonly stored: StoredState | undefined;
  commit(checkpoint: Checkpoint): void;
  /** Waits until results of all that is committed may leave, where that is not so at once. Throws if they never may. */
  flush?(): Promise<void>;
}
