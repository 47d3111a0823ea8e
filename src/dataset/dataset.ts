/**
 * Trips out of TLC files, in drop-off order, each with its rank.
 *
 * Every row is accounted for: rows = trips + rejected, blank lines apart.
 */
import { join } from 'node:path';
import { TaxiflowError } from '../errors.ts';
import { findInputs, type Input } from './inputs.ts';
import { type TripBatch, TripCollector, TripSorter } from './order.ts';
import { type RowHandler, readRows } from './rows.ts';
import { readHeader } from './schema.ts';
import { type EncodedTrip, type RejectReason, TripEncoder } from './trips.ts';

export type { Input, TripBatch };

/** A row that is no trip. */
export interface Rejection {
  readonly source: string;
  readonly line: number;
  readonly reason: RejectReason;
  readonly raw: string;
}

export interface DatasetOptions {
  /** Files, folders, globs, or `-`. */
  readonly paths: readonly string[];
  /** Folder for what doesn't fit into memory. */
  readonly dataDir: string;
  /** Stream the rows as they are and reject those that step back, instead of sorting. */
  readonly assumeSorted?: boolean;
  /** Stop at the first rejected row. */
  readonly failOnReject?: boolean;
  readonly onReject?: (rejection: Rejection) => void;
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
    return new Dataset(options, await findInputs(options.paths));
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

  /** All trips, in order. Throws `TaxiflowError` for what can't be read or has no usable header. */
  async *batches(): AsyncGenerator<TripBatch> {
    if (this.#options.assumeSorted) {
      const collector = new TripCollector();
      for await (const _ of this.#read((trip) => collector.add(trip))) yield* collector.full();
      yield* collector.rest();
      return;
    }
    const sorter = new TripSorter(join(this.#options.dataDir, 'tmp'));
    try {
      for await (const _ of this.#read((trip) => sorter.add(trip)));
      yield* sorter.batches();
    } finally {
      sorter.close();
    }
  }

  /** Reads every input once; yields now and then. */
  async *#read(take: TakeTrip): AsyncGenerator<void> {
    const total = this.#inputs.reduce<number | undefined>(
      (sum, input) => (sum === undefined || input.size === undefined ? undefined : sum + input.size),
      0,
    );
    for (const input of this.#inputs) {
      const content = input.open((bytes) => {
        this.#bytesRead += bytes;
        this.#options.onProgress?.(this.#bytesRead, total);
      });
      const handler = this.#handlerFor(input.name, take);
      yield* readRows(content, handler);
      handler.finish();
    }
  }

  #handlerFor(source: string, take: TakeTrip): RowHandler & { finish(): void } {
    const { counts } = this;
    let encoder: TripEncoder | undefined;
    const reject = (reason: RejectReason, line: number, raw: string) =>
      this.#reject({ source, line, reason, raw });
    return {
      row: (fields, line, raw) => {
        if (!encoder) {
          encoder = new TripEncoder(readHeader(fields, source));
          return;
        }
        counts.rows++;
        const trip = encoder.encode(fields);
        if (typeof trip === 'string') reject(trip, line, raw);
        else if (!take(trip)) reject('out-of-order', line, raw);
        else counts.trips++;
      },
      blank: () => {
        counts.blank++;
      },
      broken: (_why, line, raw) => {
        counts.rows++;
        reject('not-csv', line, raw);
      },
      finish: () => {
        if (!encoder) readHeader([], source);
        counts.unreadableValues += encoder?.unreadableValues ?? 0;
      },
    };
  }

  #reject(rejection: Rejection): void {
    const { source, line, reason, raw } = rejection;
    if (this.#options.failOnReject) {
      throw new TaxiflowError(
        'row-rejected',
        `line ${line} of ${source} is no trip (${reason}): ${raw.slice(0, 120)}`,
        {
          hint: 'mend the row, or leave out --on-error fail to set such rows aside',
        },
      );
    }
    this.counts.rejected[reason] = (this.counts.rejected[reason] ?? 0) + 1;
    this.#options.onReject?.(rejection);
  }
}
