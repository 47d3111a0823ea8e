/**
 * Trips out of TLC files, in drop-off order, each with its rank.
 *
 * Every row is accounted for: rows = trips + rejected, blank lines apart.
 */
import { join } from 'node:path';
import { TaxiflowError } from '../errors.ts';
import { type ByteRanges, findInputs, type Input, isParquet, type OnBytes, unreadable } from './inputs.ts';
import { type TripBatch, TripCollector, TripSorter } from './order.ts';
import { type RowHandler, readRows } from './rows.ts';
import type { S3Options } from './s3.ts';
import { readHeader, usedColumns } from './schema.ts';
import { type Cell, type EncodedTrip, type RejectReason, TripEncoder } from './trips.ts';

export type { Input, TripBatch };

/** A row that is no trip. */
export interface Rejection {
  readonly source: string;
  /** Of a CSV file the line, of a Parquet file the row, from 1 on. */
  readonly line: number;
  readonly reason: RejectReason;
  /** The line as it is, or the columns of the row that were read as JSON. */
  readonly raw: string;
  /** What is wrong with it, in words. To be asked while the rejection is being told. */
  readonly detail: () => string;
}

export interface DatasetOptions {
  /** Files, folders, globs, `s3://` URLs, or `-`. */
  readonly paths: readonly string[];
  /** How to reach S3. */
  readonly s3?: S3Options;
  /** Folder for what doesn't fit into memory. */
  readonly dataDir: string;
  /** Stream the rows as they are and reject those that step back, instead of sorting. */
  readonly assumeSorted?: boolean;
  /** Stop at the first rejected row. */
  readonly failOnReject?: boolean;
  readonly onReject?: (rejection: Rejection) => void;
  /** Ends the reading early; what was read by then is counted. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (bytesRead: number, bytesTotal: number | undefined) => void;
}

export interface DatasetCounts {
  /** Rows that are not blank, headers apart. */
  rows: number;
  blank: number;
  trips: number;
  rejected: Partial<Record<RejectReason, number>>;
  /** Values left out of trips because they are no number. */
  unreadableValues: number;
}

/** Takes a trip; false when it steps back. */
type TakeTrip = (trip: EncodedTrip) => boolean;

export class Dataset {
  readonly counts: DatasetCounts = { rows: 0, blank: 0, trips: 0, rejected: {}, unreadableValues: 0 };
  readonly #options: DatasetOptions;
  readonly #inputs: readonly Input[];
  #bytesRead = 0;

  private constructor(options: DatasetOptions, inputs: readonly Input[]) {
    this.#options = options;
    this.#inputs = inputs;
  }

  /** Finds the inputs. Throws `no-input`. */
  static async open(options: DatasetOptions): Promise<Dataset> {
    return new Dataset(options, await findInputs(options.paths, options.s3));
  }

  /** Trips come as they are read, not when all have been. */
  get assumesSorted(): boolean {
    return this.#options.assumeSorted === true;
  }

  get names(): string[] {
    return this.#inputs.map((input) => input.name);
  }

  /** The same for the same content in the same order. For standard input only after `batches` has ended its reading. */
  async fingerprint(): Promise<string> {
    const parts: string[] = [];
    for (const input of this.#inputs) parts.push(await input.fingerprint());
    return [...parts, this.#options.assumeSorted ? 'as-is' : 'sorted'].join('\n');
  }

  /** All trips, in order; none any more once the reading was stopped. Throws `TaxiflowError` for what can't be read or has no usable header. */
  async *batches(): AsyncGenerator<TripBatch> {
    if (this.#options.assumeSorted) {
      const collector = new TripCollector();
      for await (const _ of this.#read((trip) => collector.add(trip))) {
        if (this.#stopped) return;
        yield* collector.full();
      }
      yield* collector.rest();
      return;
    }
    const sorter = new TripSorter(join(this.#options.dataDir, 'tmp'));
    try {
      for await (const _ of this.#read((trip) => sorter.add(trip))) if (this.#stopped) return;
      yield* sorter.batches();
    } finally {
      sorter.close();
    }
  }

  get #stopped(): boolean {
    return this.#options.signal?.aborted === true;
  }

  /** Reads every input once; yields now and then. */
  async *#read(take: TakeTrip): AsyncGenerator<void> {
    const total = this.#inputs.reduce<number | undefined>(
      (sum, input) => (sum === undefined || input.size === undefined ? undefined : sum + input.size),
      0,
    );
    const onBytes = (bytes: number) => {
      this.#bytesRead += bytes;
      this.#options.onProgress?.(this.#bytesRead, total);
    };
    for (const input of this.#inputs) {
      const ranges = await parquetRanges(input, onBytes);
      if (ranges) yield* this.#readParquet(input.name, ranges, take);
      else yield* this.#readCsv(input, onBytes, take);
    }
  }

  async *#readParquet(source: string, ranges: ByteRanges, take: TakeTrip): AsyncGenerator<void> {
    const { readTable } = await import('./parquet.ts');
    let names: string[] = [];
    let used: readonly number[] = [];
    let encoder: TripEncoder | undefined;
    try {
      yield* readTable(ranges, {
        columns: (found) => {
          names = found;
          const schema = readHeader(names, source);
          encoder = new TripEncoder(schema);
          used = usedColumns(schema);
          return used;
        },
        row: (cells, row) => {
          const reader = encoder!;
          const reason = this.#take(reader, cells, take);
          if (!reason) return;
          const detail = () => reader.explain(cells, reason);
          this.#reject({ source, line: row, reason, raw: rowAsJson(names, used, reader, cells), detail });
        },
      });
    } catch (error) {
      throw unreadable(source, error);
    } finally {
      await ranges.close();
    }
    this.counts.unreadableValues += encoder?.unreadableValues ?? 0;
  }

  async *#readCsv(input: Input, onBytes: OnBytes, take: TakeTrip): AsyncGenerator<void> {
    const source = input.name;
    let encoder: TripEncoder | undefined;
    let unreadable = false;
    const handler: RowHandler = {
      row: (fields, line, raw) => {
        if (!encoder) {
          encoder = new TripEncoder(readHeader(fields, source));
          return;
        }
        const reader = encoder;
        const reason = this.#take(reader, fields, take);
        if (reason) this.#reject({ source, line, reason, raw, detail: () => reader.explain(fields, reason) });
      },
      blank: () => {
        this.counts.blank++;
      },
      broken: (why, line, raw) => {
        unreadable ||= !encoder;
        this.counts.rows++;
        this.#reject({ source, line, reason: 'not-csv', raw, detail: () => why });
      },
    };
    yield* readRows(input.open(onBytes), handler);
    if (!encoder && unreadable) {
      throw new TaxiflowError('unknown-header', `${source} has no line that can be read as a header`, {
        hint: 'the first line has to be the header of a TLC file; packed files are read if they are gzip or zstd',
      });
    }
    if (!encoder) readHeader([], source);
    this.counts.unreadableValues += encoder?.unreadableValues ?? 0;
  }

  /** Counts a row, and takes it if it is a trip; else says why not. */
  #take(encoder: TripEncoder, cells: readonly Cell[], take: TakeTrip): RejectReason | undefined {
    this.counts.rows++;
    const trip = encoder.encode(cells);
    if (typeof trip === 'string') return trip;
    if (!take(trip)) return 'out-of-order';
    this.counts.trips++;
    return undefined;
  }

  #reject(rejection: Rejection): void {
    const { source, line, reason, raw, detail } = rejection;
    if (this.#options.failOnReject) {
      throw new TaxiflowError(
        'row-rejected',
        `line ${line} of ${source} is no trip (${reason}): ${detail()}: ${raw.slice(0, 120)}`,
        {
          hint: 'mend the row, or leave out --on-error fail to set such rows aside',
        },
      );
    }
    this.counts.rejected[reason] = (this.counts.rejected[reason] ?? 0) + 1;
    this.#options.onReject?.(rejection);
  }
}

/** The bytes of an input if it is Parquet, to be closed by the caller. */
async function parquetRanges(input: Input, onBytes: OnBytes): Promise<ByteRanges | undefined> {
  let told = false;
  // A look at how it begins is no progress: those bytes are read again.
  const ranges = await input.ranges?.((bytes) => told && onBytes(bytes));
  if (!ranges) return undefined;
  try {
    told = await isParquet(ranges);
    if (told) return ranges;
  } catch (error) {
    await ranges.close();
    throw unreadable(input.name, error);
  }
  await ranges.close();
  return undefined;
}

/** What was read of a row, times as ISO 8601. */
function rowAsJson(
  names: readonly string[],
  used: readonly number[],
  encoder: TripEncoder,
  cells: readonly Cell[],
): string {
  return JSON.stringify(Object.fromEntries(used.map((i) => [names[i], encoder.readable(cells, i)])));
}
