/** Composes a replay from trips, stream and ledger. The command line, the demo and the library all open it here. */

import { type Clock, systemClock } from '../clock.ts';
import { Dataset, type DatasetCounts } from '../dataset/dataset.ts';
import type { Timeline } from '../dataset/timeline.ts';
import { DEFAULT_DEAD_LETTER_LIMIT, DeadLetterBuffer } from '../dead-letters.ts';
import { TaxiflowError, usageError } from '../errors.ts';
import { timeZoneOf } from '../events/time-zones.ts';
import type { ExtraField } from '../events/trip.ts';
import { ReplayLedger } from '../replay/ledger.ts';
import { planReplay, type ReplayPlan } from '../replay/plan.ts';
import { type ReplayOutcome, type ReplayOptions as RunOptions, runReplay } from '../replay/run.ts';
import type { S3Options } from '../s3/object-store.ts';
import {
  DEFAULT_DATA_DIR,
  DEFAULT_SHARDS,
  lacks,
  missingStream,
  nameOf,
  openWriter,
  parseTarget,
} from '../streams/connectors.ts';
import type { StreamWriter } from '../streams/ports.ts';

/** Most characters kept of a rejected row. */
const RAW_KEPT = 10_000;

type RunEvents = Pick<
  RunOptions,
  'onProgress' | 'onStart' | 'onStrays' | 'onGap' | 'onBehind' | 'onJump' | 'watermarkInterval'
>;

export interface ReplayOptions extends RunEvents {
  /** TLC files, folders, globs, `s3://` URLs, or `-` for standard input; none are the built-in trips. */
  readonly paths?: readonly string[];
  /** `local:NAME` is an embedded stream; `NAME`, `kinesis:NAME` or an ARN is Amazon Kinesis. By default an embedded stream. */
  readonly stream?: string | undefined;
  /** Folder of embedded streams, states and results; `.taxiflow` by default. */
  readonly dataDir?: string;
  readonly region?: string | undefined;
  /** AWS endpoint, for an emulator. */
  readonly endpointUrl?: string | undefined;
  readonly s3?: Pick<S3Options, 'signRequest' | 'requestPayer'>;
  /** Number of shards, if an embedded stream is created. */
  readonly shards?: number | undefined;
  /** Kinesis only: many trips per record, in the format of the Kinesis Producer Library. */
  readonly aggregate?: boolean;
  /** Event time divided by wall time; Infinity, the default, sends as fast as the stream accepts. */
  readonly speedup?: number;
  /** Skip trips that end before this, epoch ms. */
  readonly seek?: number | undefined;
  /** Stop at the first trip that ends at this time or later, epoch ms. */
  readonly until?: number | undefined;
  /** Most trips to send. */
  readonly limit?: number | undefined;
  readonly adaptTime?: RunOptions['adaptTime'];
  /** Send watermarks; true by default. */
  readonly watermarks?: boolean;
  /** Read rows in file order, without sorting; rows that are out of drop-off order are rejected. */
  readonly assumeSorted?: boolean;
  readonly dateOrder?: 'mdy' | 'dmy' | undefined;
  /** Fields that ride along in the records of trips; none by default. */
  readonly fields?: readonly ExtraField[] | undefined;
  /** IANA time zone that times without one are local times in; by default they are taken as they stand, as UTC. */
  readonly timeZone?: string | undefined;
  /** Stop at the first rejected row. */
  readonly failOnReject?: boolean;
  /** Ms after its arrival that the embedded stream keeps a record; for ever by default. Kinesis has a period of its own. */
  readonly retention?: number | undefined;
  /** Rejected rows kept per reason. */
  readonly deadLetterLimit?: number;
  /** Continue where this replay was interrupted. */
  readonly resume?: boolean;
  /** Stops the replay; `resume` continues it. */
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  /** Gets what the user should know about the input, in words. */
  readonly onNote?: (note: string) => void;
  /** Gets the bytes of input read so far, and the total if known. */
  readonly onRead?: (bytes: number, of: number | undefined) => void;
}

export interface ReplaySummary extends ReplayOutcome {
  /** Lines, rows and trips read. */
  readonly counts: Readonly<DatasetCounts>;
  /** Wall ms. */
  readonly duration: number;
}

/** Finds the input; reads nothing else yet. Throws `TaxiflowError`: `no-input`, `usage`, … */
export async function openReplay(options: ReplayOptions): Promise<Replay> {
  const { dataDir = DEFAULT_DATA_DIR, region, endpointUrl, s3, onNote, onRead } = options;
  const { deadLetterLimit = DEFAULT_DEAD_LETTER_LIMIT } = options;
  const instead = options.retention === undefined ? undefined : lacks(parseTarget(options.stream), 'trim');
  if (instead !== undefined) throw usageError('retention is for embedded streams', instead);
  parseTarget(options.stream);
  if (options.timeZone !== undefined && timeZoneOf(options.timeZone) === undefined)
    throw usageError(
      `${options.timeZone} is not a time zone`,
      'name one of the IANA database, such as America/New_York',
    );
  const rejected = new DeadLetterBuffer(deadLetterLimit);
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const dataset = await Dataset.open({
    paths: options.paths ?? [],
    signal,
    dataDir,
    s3: { region, endpointUrl, ...s3 },
    assumeSorted: options.assumeSorted ?? false,
    dateOrder: options.dateOrder,
    timeZone: options.timeZone,
    fields: options.fields ?? [],
    failOnReject: options.failOnReject ?? false,
    onReject: ({ reason, source, line, raw, detail }) =>
      rejected.add(reason, () => ({
        source,
        position: String(line),
        detail: detail(),
        raw: raw.slice(0, RAW_KEPT),
      })),
    ...(onNote ? { onNote } : {}),
    ...(onRead ? { onProgress: onRead } : {}),
  });
  return new Replay(options, dataset, rejected, stop, signal);
}

/** One replay of some files into a stream. */
export class Replay {
  readonly #o: ReplayOptions;
  readonly #dataset: Dataset;
  readonly #rejected: DeadLetterBuffer;
  readonly #stop: AbortController;
  readonly #signal: AbortSignal;
  #isUsed = false;

  /** Use `openReplay`. */
  constructor(
    options: ReplayOptions,
    dataset: Dataset,
    rejected: DeadLetterBuffer,
    stop: AbortController,
    signal: AbortSignal,
  ) {
    this.#o = options;
    this.#dataset = dataset;
    this.#rejected = rejected;
    this.#stop = stop;
    this.#signal = signal;
  }

  /** Names of the inputs, in the order given. */
  get inputs(): string[] {
    return this.#dataset.names;
  }

  /** The stream as its user names it. */
  get streamName(): string {
    return nameOf(parseTarget(this.#o.stream));
  }

  /** When the trips end that were read so far. */
  get timeline(): Timeline {
    return this.#dataset.timeline;
  }

  /** How many trips were read so far that end in the time asked for. */
  get wanted(): number {
    return this.#dataset.wanted;
  }

  /** Counts of what was read so far. */
  get counts(): Readonly<DatasetCounts> {
    return this.#dataset.counts;
  }

  /** Stops the replay; the acknowledged trips are saved for `resume`. */
  stop(): void {
    this.#stop.abort();
  }

  /** Reads everything and sends nothing; resolves to the size and rates of the replay. */
  plan(): Promise<ReplayPlan> {
    this.#use();
    const { speedup = Number.POSITIVE_INFINITY, seek, until, limit } = this.#o;
    return planReplay(this.#dataset, speedup, seek, until, limit);
  }

  /** Sends the trips. `onOpen` gets the stream before anything is sent. Throws `TaxiflowError`; progress is kept for `resume`. */
  async run(onOpen?: (stream: StreamWriter) => Promise<void> | void): Promise<ReplaySummary> {
    this.#use();
    const { dataDir = DEFAULT_DATA_DIR, clock = systemClock, watermarks = true } = this.#o;
    const started = clock.now();
    let stream: StreamWriter | undefined;
    const open = async () => {
      stream = await this.#openStream();
      await onOpen?.(stream);
      return stream;
    };
    let ledger: ReplayLedger | undefined;
    try {
      const missing = missingStream(parseTarget(this.#o.stream), dataDir);
      const writer = missing === undefined ? await open() : { name: missing, open };
      const { seek, until, limit, onProgress, onStart, onStrays, onGap, onBehind, onJump } = this.#o;
      const outcome = await runReplay({
        dataset: this.#dataset,
        writer,
        ledger: () => {
          ledger = new ReplayLedger(dataDir, clock);
          return ledger;
        },
        rejected: this.#rejected,
        clock,
        speedup: this.#o.speedup ?? Number.POSITIVE_INFINITY,
        seek,
        until,
        limit,
        adaptTime: this.#o.adaptTime ?? 'original',
        watermarks,
        resume: this.#o.resume ?? false,
        signal: this.#signal,
        onStrays,
        onGap,
        onJump,
        ...(onProgress ? { onProgress } : {}),
        ...(onStart ? { onStart } : {}),
        ...(onBehind ? { onBehind } : {}),
        watermarkInterval: this.#o.watermarkInterval,
      });
      return { ...outcome, counts: this.counts, duration: clock.now() - started };
    } finally {
      ledger?.close();
      await stream?.close();
    }
  }

  #openStream(): Promise<StreamWriter> {
    const { dataDir = DEFAULT_DATA_DIR, region, endpointUrl, aggregate = false, watermarks = true } = this.#o;
    return openWriter(parseTarget(this.#o.stream), {
      dataDir,
      region,
      endpointUrl,
      aggregate,
      watermarks,
      retention: this.#o.retention,
      // Its file may be there without its tables, where a process was killed that made it.
      createShards: this.#o.shards ?? DEFAULT_SHARDS,
    });
  }

  /** A replay can be used once, because standard input can be read only once. */
  #use(): void {
    if (this.#isUsed) {
      throw new TaxiflowError('replay-used', 'this replay has already been run or planned', {
        hint: 'open another one with openReplay',
      });
    }
    this.#isUsed = true;
  }
}
