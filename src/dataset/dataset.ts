/**
 * Reads the trips of TLC files in drop-off order, each with its rank.
 *
 * Every row is accounted for: rows = trips + rejected. Blank lines are not rows.
 */
import { join } from 'node:path';
import { TaxiflowError } from '../errors.ts';
import { timeZoneOf } from '../events/time-zones.ts';
import type { ExtraField } from '../events/trip.ts';
import type { S3Options } from '../s3/object-store.ts';
import { builtInTrips } from './built-in.ts';
import { readCsv } from './csv.ts';
import { byContent, contentHash } from './input-order.ts';
import { findInputs, type Input, kindOf, type OnBytes } from './inputs.ts';
import { BATCH_TRIPS, type TripBatch, TripCollector, TripSorter } from './order.ts';
import type { ReadOptions, RowSink } from './sink.ts';
import { Timeline } from './timeline.ts';
import { PLACE, type RejectReason, type SourceTrip, type SourceTrips, TRIP_WIDTH } from './trips.ts';

export type { Input, TripBatch };

/** A row that is not a trip. */
export interface Rejection {
  readonly source: string;
  /** The line of a CSV file, or the row of a Parquet file, counted from 1. */
  readonly line: number;
  readonly reason: RejectReason;
  /** The line as it is in the file; of a Parquet row, the columns that were read, as JSON. */
  readonly raw: string;
  /** What is wrong with the row, in words. Call it only inside `onReject`. */
  readonly detail: () => string;
}

export interface DatasetOptions {
  /** Files, folders, globs, `s3://` URLs, or `-`; none are the built-in trips. */
  readonly paths: readonly string[];
  /** How to reach S3. */
  readonly s3?: S3Options;
  /** Trips that don't fit into memory are spilled to a folder in it. */
  readonly dataDir: string;
  /** Instead of sorting, stream the rows as they are and reject those that are out of order. */
  readonly assumeSorted?: boolean;
  /** Order of day and month in dates such as 3/4/2016; by default the dates of each file decide. */
  readonly dateOrder?: 'mdy' | 'dmy' | undefined;
  /** Times without a zone are local times in this one; without it, they are taken as they stand, as UTC. */
  readonly timeZone?: string | undefined;
  /** Fields that ride along. */
  readonly fields?: readonly ExtraField[] | undefined;
  /** Stop at the first rejected row. */
  readonly failOnReject?: boolean;
  readonly onReject?: (rejection: Rejection) => void;
  /** Gets each thing the user should know about the input, once, in words. */
  readonly onNote?: (note: string) => void;
  /** Stops reading early; the rows read so far are counted. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (bytesRead: number, bytesTotal: number | undefined) => void;
}

export interface DatasetCounts {
  /** Lines of CSV files: headers + blank + continued + rows of CSV files. */
  lines: number;
  headers: number;
  /** Lines and rows without any value. */
  blank: number;
  /** Lines that continue the row of the line before. */
  continued: number;
  /** Rows: trips + rejected. */
  rows: number;
  trips: number;
  rejected: Partial<Record<RejectReason, number>>;
  /** The first rejected row of each reason, in words: where it is and what is wrong with it. */
  rejectedExamples: Partial<Record<RejectReason, string>>;
  /** Values left out of trips because they can't be read. */
  unreadableValues: number;
  /** The first of them, in words. */
  unreadableExample: string | undefined;
  /** With a time zone: times of trips that came twice, and that never came, since clocks were changed. */
  timesTwice: number;
  timesNever: number;
}

/** Takes many trips. */
type TakeTrips = (trips: SourceTrips) => void;

/** Takes a trip; false if it is out of order. */
type TakeTrip = (trip: SourceTrip) => boolean;

export class Dataset {
  readonly counts: DatasetCounts = {
    lines: 0,
    headers: 0,
    blank: 0,
    continued: 0,
    rows: 0,
    trips: 0,
    rejected: {},
    rejectedExamples: {},
    unreadableValues: 0,
    unreadableExample: undefined,
    timesTwice: 0,
    timesNever: 0,
  };
  /** When the trips end that were read so far. */
  readonly timeline = new Timeline();
  /** How many trips the next batches have, where they are sorted. */
  batchTrips = BATCH_TRIPS;
  readonly #options: DatasetOptions;
  /** In the order they were named. */
  readonly #inputs: readonly Input[];
  /** In the order they are read; undefined until that is known. */
  #ordered: readonly Input[] | undefined;
  readonly #identities = new Map<Input, string>();
  /** SHA-256 of the content of CSV files that were read. */
  readonly #hashes = new Map<Input, string>();
  #bytesRead = 0;
  #times: readonly number[] = [];
  #from = Number.NEGATIVE_INFINITY;
  #until = Number.POSITIVE_INFINITY;
  /** Trips read so far at or before each of the times given to `countUpTo`. */
  upTo: number[] = [];
  /** Trips read so far in the span given to `countUpTo`. */
  wanted = 0;

  private constructor(options: DatasetOptions, inputs: readonly Input[]) {
    this.#options = options;
    this.#inputs = inputs;
  }

  /** Finds the inputs. Throws `no-input`. */
  static async open(options: DatasetOptions): Promise<Dataset> {
    const onTwice = (name: string) => options.onNote?.(`${name} is named twice; it is read once`);
    const { paths, s3 } = options;
    return new Dataset(options, paths.length === 0 ? [builtInTrips()] : await findInputs(paths, s3, onTwice));
  }

  /** Whether trips are handed out while they are read, not after everything is read. */
  get assumesSorted(): boolean {
    return this.#options.assumeSorted === true;
  }

  get names(): string[] {
    return this.#inputs.map((input) => input.name);
  }

  /**
   * Identifies the content. Names and compression of the files don't matter; the order in which they are named matters
   * only with `assumeSorted`. Standard input has a fingerprint only after `batches` has read it.
   */
  async fingerprint(): Promise<string> {
    const { assumeSorted, dateOrder, timeZone, fields = [] } = this.#options;
    const parts: string[] = [];
    for (const input of await this.#inOrder()) parts.push(await this.#identity(input));
    return [
      ...parts,
      assumeSorted ? 'as-is' : 'sorted',
      ...(dateOrder ? [dateOrder] : []),
      ...(timeZone ? [timeZone] : []),
      ...fields,
    ].join('\n');
  }

  async #identity(input: Input): Promise<string> {
    let identity = this.#identities.get(input);
    if (identity === undefined) {
      if (input.once) throw notRepeatable(input);
      identity = await contentHash(input);
      this.#identities.set(input, identity);
    }
    return identity;
  }

  /** The inputs in the order they are read: by content, so that ties don't depend on file names (`input-order.ts`). */
  async #inOrder(): Promise<readonly Input[]> {
    if (!this.#ordered) {
      const unpacked: Input[] = [];
      for (const input of this.#inputs) for (const file of await this.#unpack(input)) unpacked.push(file);
      this.#ordered = this.#options.assumeSorted
        ? unpacked
        : await byContent(
            unpacked,
            (input) => this.#identity(input),
            (again, first) =>
              this.#note(`${again.name} has the same content as ${first.name}; it is read once`),
          );
    }
    return this.#ordered;
  }

  /** The trip files in an archive; any other input unchanged. */
  async #unpack(input: Input): Promise<Input[]> {
    if ((await kindOf(input)) !== 'zip') return [input];
    try {
      return await (await import('./zip.ts')).tripFilesIn(input);
    } catch (error) {
      if (!input.found || !(error instanceof TaxiflowError) || error.code !== 'unknown-header') throw error;
      this.#note(`${error.message}: skipped`);
      return [];
    }
  }

  #note(note: string): void {
    this.#options.onNote?.(note);
  }

  /**
   * Counts, while trips are read, how many of [from, until) end at or before each of `times`; all epoch ms. Call it before
   * `batches`.
   */
  countUpTo(
    times: readonly number[],
    from = Number.NEGATIVE_INFINITY,
    until = Number.POSITIVE_INFINITY,
  ): void {
    this.#times = times;
    this.#from = from;
    this.#until = until;
    this.upTo = times.map(() => 0);
  }

  #countTrip(dropoff: number): void {
    if (dropoff < this.#from || dropoff >= this.#until) return;
    this.wanted++;
    for (let i = 0; i < this.#times.length; i++) if (dropoff <= this.#times[i]!) this.upTo[i]!++;
  }

  /**
   * All trips, in order; ends early once `signal` is aborted. Throws `TaxiflowError` if a file can't be read or has no
   * usable header.
   */
  async *batches(): AsyncGenerator<TripBatch> {
    if (this.#options.assumeSorted) {
      const collector = new TripCollector(this.#folder, this.#options.fields);
      try {
        for await (const _ of this.#read((trip) => collector.add(trip))) {
          if (this.#stopped) return;
          yield* collector.full();
        }
        yield* collector.rest();
      } finally {
        collector.close();
      }
      return;
    }
    const sorter = new TripSorter(this.#folder, undefined, this.#options.fields);
    try {
      const take: TakeTrip = (trip) => sorter.add(trip);
      for await (const _ of this.#read(take, (trips) => sorter.addAll(trips))) if (this.#stopped) return;
      this.#refuseSameContent();
      yield* sorter.batches(() => this.batchTrips);
    } finally {
      sorter.close();
    }
  }

  /** The content of standard input is known once it is read; then its trips can't be left out any more. Throws `same-input`. */
  #refuseSameContent(): void {
    for (const [input, hash] of this.#hashes) {
      if (!input.once) continue;
      const [other] = [...this.#hashes].find(([each, same]) => each !== input && same === hash) ?? [];
      if (!other) continue;
      throw new TaxiflowError('same-input', `${input.name} has the same content as ${other.name}`, {
        hint: 'name one of them only; nothing was sent',
      });
    }
  }

  /** For files that this run writes and removes. */
  get #folder(): string {
    return join(this.#options.dataDir, 'tmp');
  }

  get #stopped(): boolean {
    return this.#options.signal?.aborted === true;
  }

  /** Reads every input once; yields after every piece. */
  async *#read(take: TakeTrip, takeAll?: TakeTrips): AsyncGenerator<void> {
    const inputs = await this.#inOrder();
    const total = inputs.reduce<number | undefined>(
      (sum, input) => (sum === undefined || input.size === undefined ? undefined : sum + input.size),
      0,
    );
    const onBytes = (bytes: number) => {
      this.#bytesRead += bytes;
      this.#options.onProgress?.(this.#bytesRead, total);
    };
    const others: TaxiflowError[] = [];
    const { signal } = this.#options;
    for (const input of inputs) {
      // Standard input may send nothing for a long time.
      const stop = () => input.cancel?.();
      signal?.addEventListener('abort', stop);
      try {
        yield* this.#readFile(input, this.#sinkFor(input.name, take, takeAll), onBytes);
      } catch (error) {
        if (this.#stopped && input.once) return;
        // A folder may hold other tables beside trips.
        if (!input.found || !(error instanceof TaxiflowError) || error.code !== 'unknown-header') throw error;
        others.push(error);
      } finally {
        signal?.removeEventListener('abort', stop);
      }
    }
    if (others.length === inputs.length) throw others[0] ?? noTrips();
    for (const { message } of others) this.#note(`${message}: skipped`);
  }

  async *#readFile(input: Input, sink: RowSink, onBytes: OnBytes): AsyncGenerator<void> {
    const { dateOrder, timeZone } = this.#options;
    const options: ReadOptions = {
      dateOrder,
      timeZone: timeZone === undefined ? undefined : timeZoneOf(timeZone),
      extras: this.#options.fields ?? [],
      folder: this.#folder,
      onBytes,
      onDigest: (digest) => {
        this.#hashes.set(input, digest);
        if (!this.#identities.has(input)) this.#identities.set(input, digest);
      },
      onNote: (note) => this.#note(note),
    };
    if ((await kindOf(input)) === 'parquet') {
      // Imported here so that CSV doesn't pay for loading it.
      yield* (await import('./parquet-trips.ts')).readParquet(input, sink, options);
      return;
    }
    yield* readCsv(input, sink, options);
  }

  #sinkFor(source: string, take: TakeTrip, takeAll: TakeTrips | undefined): RowSink {
    return {
      ...(takeAll ? { trips: (trips: SourceTrips) => this.#takeAll(trips, takeAll) } : {}),
      trip: (trip) => {
        if (!take(trip)) return false;
        this.counts.rows++;
        this.counts.trips++;
        const dropoff = trip.values[PLACE.dropoff_datetime]!;
        this.timeline.add(dropoff);
        this.#countTrip(dropoff);
        return true;
      },
      reject: (reason, line, raw, detail) => {
        this.counts.rows++;
        this.#reject({ source, line, reason, raw, detail });
      },
      leftOut: (count, first) => {
        this.counts.unreadableValues += count;
        if (first)
          this.counts.unreadableExample ??= `${first.column} ${JSON.stringify(String(first.value))} in line ${first.line} of ${source}`;
      },
      localTimes: (twice, never) => {
        this.counts.timesTwice += twice;
        this.counts.timesNever += never;
      },
      lines: ({ lines, headers, blank, continued }) => {
        this.counts.lines += lines;
        this.counts.headers += headers;
        this.counts.blank += blank;
        this.counts.continued += continued;
      },
    };
  }

  #takeAll(trips: SourceTrips, take: TakeTrips): void {
    const { count, values } = trips;
    take(trips);
    this.counts.rows += count;
    this.counts.trips += count;
    const width = TRIP_WIDTH + (this.#options.fields?.length ?? 0);
    for (let at = PLACE.dropoff_datetime; at < count * width; at += width) {
      this.timeline.add(values[at]!);
      this.#countTrip(values[at]!);
    }
  }

  #reject(rejection: Rejection): void {
    const { source, line, reason, raw, detail } = rejection;
    if (this.#options.failOnReject) {
      throw new TaxiflowError(
        'row-rejected',
        `line ${line} of ${source} is not a trip (${reason}): ${detail()}: ${raw.slice(0, 120)}`,
        {
          hint: 'fix the row, or leave out --on-error fail to set such rows aside',
        },
      );
    }
    this.counts.rejectedExamples[reason] ??= `line ${line} of ${source}: ${detail()}`;
    this.counts.rejected[reason] = (this.counts.rejected[reason] ?? 0) + 1;
    this.#options.onReject?.(rejection);
  }
}

function notRepeatable({ name }: Input): TaxiflowError {
  return new TaxiflowError(
    'not-repeatable',
    `the content of ${name} is known only after it is read to its end`,
    {
      hint: 'name a file, or leave out --assume-sorted',
    },
  );
}

/** Only archives without trip files were found. */
function noTrips(): TaxiflowError {
  return new TaxiflowError('no-input', 'the inputs hold no CSV or Parquet file', {
    hint: 'name a TLC file, or a folder or archive of them',
  });
}
