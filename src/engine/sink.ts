/** The Sink port: where results go. */

/** How a sink stands. */
export interface SinkStatus {
  readonly name: string;
  /** Results it is done with, and committed results still to come. */
  readonly delivered: number;
  readonly pending: number;
  /** Results it is done with and refused for good, in all runs; they are dead letters. */
  readonly rejected: number;
  readonly retries: number;
  /** What keeps it from going on, in words; undefined when nothing does. */
  readonly trouble: string | undefined;
  /** ISO 8601: since when. */
  readonly since?: string | undefined;
}

/** Fed from what is committed, at its own pace, with its own cursor in the state (C3). */
export interface Sink {
  readonly name: string;
  /** Prepares what results go to, before the first `wake`; returns early when `stop` aborts. */
  open?(stop: AbortSignal): Promise<void>;
  /** Says that something was committed. Returns at once; throws when the run can't go on like this. */
  wake(): void;
  status(): SinkStatus;
  /** Delivers the rest, or only what is on its way when the run was interrupted. Called once. */
  close(interrupted: boolean): Promise<void> | void;
  /** The run is interrupted while `close` delivers the rest. */
  interrupt?(): void;
}
