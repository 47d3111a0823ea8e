/** The StateStore port: what the engine needs of the place its state lies in. */
import type { DeadLetterBuffer, DeadLetterCount } from '../dead-letters.ts';
import type { DuplicateChanges, StoredTrips } from './duplicates.ts';
import type { ShardProgress } from './watermarks.ts';
import type { StoredWindow } from './windows/aligned.ts';
import type { Firing } from './windows/documents.ts';
import type { PaneBlock, StoredPanes, WindowSpan } from './windows/pane-runs.ts';

/** What every record read turned out to be (C7): read = watermarks + processed + filtered + duplicate + late + dead. */
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

/** What a state is of: another one is refused (C5). */
export interface StateIdentity {
  /** The stream as its reader names and tells it. */
  readonly stream: string;
  /** The views as data. */
  readonly views: string;
  /** What else changes the results: event time, lateness. */
  readonly settings: string;
}

/**
 * Everything that happened since the last checkpoint; it commits as one (C1). What may be large is made as it is read,
 * from what the store still holds: first the firings, then the blocks, then the windows that are gone.
 */
export interface Checkpoint {
  readonly watermark: number;
  /** `results` is right once the firings are read. */
  readonly counters: Counters;
  readonly shards: readonly ShardProgress[];
  readonly firings: Iterable<Firing>;
  readonly blocks: Iterable<PaneBlock>;
  readonly gone: Iterable<WindowSpan & { readonly view: string }>;
  readonly duplicates: DuplicateChanges;
  readonly deadLetters: ReturnType<DeadLetterBuffer['take']>;
}

/** What the engine goes on from. */
export interface StoredState {
  readonly watermark: number;
  readonly counters: Counters;
  readonly shards: readonly ShardProgress[];
  readonly windows: readonly (StoredWindow & { readonly view: string })[];
  readonly seen: StoredTrips;
  readonly deadLetters: readonly DeadLetterCount[];
}

export interface StateStore extends StoredPanes {
  /** The last checkpoint, if there is one. */
  readonly stored: StoredState | undefined;
  commit(checkpoint: Checkpoint): void;
}
