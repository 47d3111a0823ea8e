/** The data that the server sends to the page. Used on both sides. */

/** A window of `pickup_count`: counts by cell. */
export interface PickupWindow {
  readonly view: 'pickup_count';
  /** Epoch ms. */
  readonly start: number;
  readonly end: number;
  /** Length of the geohashes. */
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

/** All windows that the server keeps, and the event id after which to listen. */
export interface History {
  readonly id: string;
  readonly windows: readonly WindowUpdate[];
}

export type {
  DeadLetterSample,
  JobDetails,
  JobStatus,
  JobSummary,
  Past,
  PastCheckpoint,
  PastPoint,
  ShardStatus,
  SinkStatus,
} from '../../status/model.ts';

export function* undiffed(differences: readonly number[]): Generator<number> {
  let value = 0;
  for (const difference of differences) {
    value += difference;
    yield value;
  }
}
