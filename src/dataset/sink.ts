/** The interface between `Dataset` and the reader of one file. */
import type { TimeZone } from '../events/time-zones.ts';
import type { DateOrder } from '../events/times.ts';
import type { ExtraField } from '../events/trip.ts';
import type { OnBytes } from './inputs.ts';
import type { LeftOut, RejectReason, SourceTrip, SourceTrips } from './trips.ts';

/** Takes the rows and counts of one file. */
export interface RowSink {
  /** Takes a trip; false if it is out of order. */
  trip(trip: SourceTrip): boolean;
  /** Takes many trips, which are valid only during the call. A sink that may find a trip out of order has none. */
  readonly trips?: (trips: SourceTrips) => void;
  /** Takes a rejected row. `detail` says in words what is wrong; it may be called only before `reject` returns. */
  reject(reason: RejectReason, line: number, raw: string, detail: () => string): void;
  /** Called once, at the end: how many values were left out of trips, and the first of them with its line. */
  leftOut(count: number, first: (LeftOut & { readonly line: number }) | undefined): void;
  /** Called once, at the end: how many local times of trips came twice, and how many never came. */
  localTimes?(twice: number, never: number): void;
  /** Called once, at the end of a CSV file. */
  lines(counts: LineCounts): void;
}

/** lines = headers + blank + continued + rows */
export interface LineCounts {
  readonly lines: number;
  readonly headers: number;
  readonly blank: number;
  readonly continued: number;
}

export interface ReadOptions {
  /** Order of day and month, if the user gave it. */
  readonly dateOrder: DateOrder | undefined;
  /** Times without a zone are local times in this one; without it, they are taken as they stand, as UTC. */
  readonly timeZone?: TimeZone | undefined;
  /** Fields that ride along. */
  readonly extras?: readonly ExtraField[];
  /** For temporary files of this run. */
  readonly folder: string;
  readonly onBytes: OnBytes;
  /** Gets the SHA-256 of the decompressed content of a CSV file, once it is read. */
  readonly onDigest: (digest: string) => void;
  readonly onNote: (note: string) => void;
}
