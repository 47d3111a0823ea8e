/** What a reader of one file is given: where its rows go, and what it may use. */
import type { DateOrder } from '../events/times.ts';
import type { OnBytes } from './inputs.ts';
import type { EncodedTrip, LeftOut, RejectReason } from './trips.ts';

/** Takes what is read of one file. */
export interface RowSink {
  /** Takes a trip; false when it steps back. */
  trip(trip: EncodedTrip): boolean;
  /** `detail` says in words what is wrong; to be asked while the rejection is being told. */
  reject(reason: RejectReason, line: number, raw: string, detail: () => string): void;
  /** Once, at the end: values left out of trips, and the first of them with its line. */
  leftOut(count: number, first: (LeftOut & { readonly line: number }) | undefined): void;
  /** Once, at the end of a CSV file. */
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
  /** Order of day and month, where the user has said it. */
  readonly dateOrder: DateOrder | undefined;
  /** For what is written for the time of this run. */
  readonly folder: string;
  readonly onBytes: OnBytes;
  /** Told of the content of a text, unpacked, as it is read. */
  readonly onContent: (chunk: Buffer) => void;
  readonly onNote: (note: string) => void;
}
