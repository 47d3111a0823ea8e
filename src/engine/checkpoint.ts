/** The StateStore port: what the engine needs of the place its state lies in. */
import type { DeadLetterBuffer, DeadLetterCount } from '../dead-letters.ts';
import type { DuplicateChanges, PageRecord, SeenRange } from './duplicates.ts';
import type { Firing, PaneBlock, StoredPanes } from './panes.ts';
import type { ShardProgress } from './watermarks.ts';

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

/** Everything that happened since the last checkpoint; it commits as one (C1). */
export interface Checkpoint {
  readonly watermark: number;
  readonly counters: Counters;
  readonly shards: readonly ShardProgress[];
  readonly blocks: readonly PaneBlock[];
  readonly gone: readonly { view: string; windowStart: number }[];
  readonly firings: readonly Firing[];
  readonly duplicates: DuplicateChanges;
  readonly deadLetters: ReturnType<DeadLetterBuffer['take']>;
}

/** What the engine goes on from. */
export interface StoredState {
  readonly watermark: number;
  readonly counters: Counters;
  readonly shards: readonly ShardProgress[];
  readonly windows: readonly { view: string; windowStart: number; fired: boolean }[];
  readonly pages: readonly PageRecord[];
  readonly ranges: readonly { replay: string; ranges: SeenRange[] }[];
  readonly deadLetters: readonly DeadLetterCount[];
}

export interface StateStore extends StoredPanes {
  /** The last checkpoint, if there is one. */
  readonly stored: StoredState | undefined;
  commit(checkpoint: Checkpoint): void;
}
