/** The Sink port: where results go. */

/** The state of a sink. */
export interface SinkStatus {
  readonly name: string;
  /** What it counts, if not results. */
  readonly unit?: 'trips';
  /** Results the sink has settled, and committed results still pending. */
  readonly delivered: number;
  readonly pending: number;
  /** Of the settled results, those refused for good, over all runs; they are dead letters. */
  readonly rejected: number;
  readonly retries: number;
  /** Why results are waiting, in words; undefined if none are. */
  readonly trouble?: string | undefined;
  /** Since when results are waiting, ISO 8601. */
  readonly since?: string | undefined;
}

/** Delivers committed results at its own pace, with its own cursor in the state (C3). */
export interface Sink {
  readonly name: string;
  /** Prepares the destination before the first `wake`; returns early when `stop` aborts. */
  open?(stop: AbortSignal): Promise<void>;
  /** Signals that results were committed. Returns at once; throws if the sink has failed and the run must end. */
  wake(): void;
  status(): SinkStatus;
  /** Delivers the rest; if `interrupted`, only waits for results in flight. Called once. */
  close(interrupted: boolean): Promise<void> | void;
  /** Tells a `close` in progress that the run was interrupted. */
  interrupt?(): void;
}
