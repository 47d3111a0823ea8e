/** What a processor is made of and told. */
import type { Clock } from '../clock.ts';
import type { Progress } from '../engine/run.ts';
import type { SinkStatus } from '../engine/sink.ts';
import type { Access } from '../opensearch/connection.ts';
import type { StreamTarget } from '../streams/connectors.ts';
import type { View } from '../views/language.ts';

/** Delivery to OpenSearch or Elasticsearch. User name and password come from the environment only. */
export interface OpenSearchOptions extends Partial<Omit<Access, 'url'>> {
  readonly url: string;
  /** Prefix of the names of indices. */
  readonly indexPrefix?: string;
  /** Send all results again, including those already delivered. */
  readonly resend?: boolean;
  /**
   * URL of OpenSearch Dashboards, whose saved dashboard is fitted to the times of the results; by default the one that
   * `es-setup` was given.
   */
  readonly dashboards?: string | undefined;
}

export interface ProcessorOptions {
  /** `local:NAME` is an embedded stream; `NAME`, `kinesis:NAME` or an ARN is Amazon Kinesis. By default an embedded stream. */
  readonly stream?: string | undefined;
  /** Folder of embedded streams, states and results; `.taxiflow` by default. */
  readonly dataDir?: string;
  readonly region?: string | undefined;
  /** AWS endpoint, for an emulator. */
  readonly endpointUrl?: string | undefined;
  /** Kinesis only: shared reads (`polling`) or enhanced fan-out (`efo`). */
  readonly consumer?: 'polling' | 'efo';
  /** Name of the state; by default the name of the stream. */
  readonly app?: string | undefined;
  /** What to compute; the two taxi views by default. */
  readonly views?: readonly View[];
  /** Where a new state begins to read; a number is epoch ms. By default `trim-horizon`. */
  readonly from?: 'trim-horizon' | 'latest' | number;
  /** Stop when everything in the stream has been read; a function is called repeatedly. */
  readonly untilEnd?: boolean | (() => boolean);
  /** At the end, fire the open windows too; needs `untilEnd`. */
  readonly drain?: boolean;
  /** Ms without a record in any shard after which the open windows fire too; what comes for them later is late. Never by default. */
  readonly closeIdle?: number | undefined;
  /** The time that decides a trip's windows; `dropoff` by default. */
  readonly eventTime?: 'dropoff' | 'arrival';
  /** Ms. For streams without watermark records: the watermark is the newest drop-off minus this. */
  readonly maxDisorder?: number | undefined;
  /** Ms after its end during which a window is still corrected; 0 by default. */
  readonly allowedLateness?: number;
  /** Ms between checkpoints; 1,000 by default. */
  readonly checkpointInterval?: number;
  /**
   * Let views whose key, window or functions changed begin anew; without it, such a state is refused. A state in S3 needs it for any
   * other view.
   */
  readonly acceptChanges?: boolean;
  /** Fill views that are added or begin anew with what the stream still holds, instead of beginning them where it is now. */
  readonly backfill?: boolean;
  /** `s3://bucket/prefix`: the state is committed there, and another processor of it can take over. */
  readonly state?: string | undefined;
  /** Ms between commits to S3; 5,000 by default. */
  readonly stateInterval?: number | undefined;
  /** Wait until the processor that has the state has been silent for so many ms, then take over. */
  readonly takeover?: number | undefined;
  /** Continue if records left the stream before they were read. */
  readonly allowGap?: boolean;
  /** Ms of event time behind the watermark for which results are kept, once every sink has them; for ever by default. */
  readonly retain?: number | undefined;
  /** Dead letters kept per reason. */
  readonly deadLetterLimit?: number;
  /** File for results as NDJSON; `-` is standard output. */
  readonly output?: string | undefined;
  readonly opensearch?: OpenSearchOptions | undefined;
  /** A folder or `s3://bucket/prefix`: every trip that is no copy is written there once, as Parquet files by day of drop-off. */
  readonly archive?: string | undefined;
  /** Ms after which a file of the archive is closed; 300,000 by default. */
  readonly archiveInterval?: number | undefined;
  /**
   * A folder or `s3://…` with results that a job of Flink writes: they are taken into the state instead of computed from the stream.
   */
  readonly resultsFrom?: string | undefined;
  /** Create the embedded stream if it doesn't exist; true by default. */
  readonly createStream?: boolean;
  /** Stops the run, which then ends with a checkpoint. */
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  readonly onProgress?: (progress: ProcessorProgress) => void;
  /** Gets what the user should know, in words, as it happens. */
  readonly onNote?: (note: string) => void;
  /** Called if no watermark has arrived in these shards, so that no window can fire. */
  readonly onNoWatermark?: (shards: readonly string[]) => void;
  /** Called if results of a sink are waiting, with the reason; and with undefined when delivery goes on. */
  readonly onTrouble?: (sink: SinkStatus, trouble: string | undefined) => void;
}

export interface ProcessorProgress extends Progress {
  /** Over the last ten seconds or so. */
  readonly recordsPerSecond: number;
  readonly sinks: readonly SinkStatus[];
}

/** The default name of an app: the name of its stream. */
export function appOf(target: StreamTarget): string {
  return target.name.replace(/^.*\//, '');
}
