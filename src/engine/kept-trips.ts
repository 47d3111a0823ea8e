/** Trips on their way to the archive: each one that is no copy of another, packed, from one checkpoint to the next. */
import { TripColumns } from '../events/columns.ts';
import { packTrips } from '../events/packed.ts';
import { NUMERIC_FIELDS, STRING_FIELDS } from '../events/trip.ts';
import { OUTCOME } from '../views/javascript/compiled-view.ts';

/** Trips as `packTrips` writes them. */
export interface TripChunk {
  readonly count: number;
  readonly trips: Buffer;
}

/** Trips of a chunk: many batches of a quiet stream share one. */
const CHUNK = 16_384;
const ALL_ROWS = Uint32Array.from({ length: CHUNK }, (_, row) => row);

export class KeptTrips {
  /** Approximate memory of the packed trips, in bytes. */
  bytes = 0;
  readonly #filling: TripColumns;
  #count = 0;
  /** Rows of a batch that are kept. */
  #rows = new Uint32Array(0);
  #chunks: TripChunk[] = [];

  /** `columns` are those that `add` is called with. */
  constructor({ dictionaries }: TripColumns) {
    this.#filling = new TripColumns(CHUNK);
    // The copied codes are of the words there.
    Object.assign(this.#filling.dictionaries, dictionaries);
  }

  /** Takes the trips of a batch, all but those to be skipped. */
  add(columns: TripColumns, count: number, outcomes: Uint8Array): void {
    if (this.#rows.length < count) this.#rows = new Uint32Array(count);
    let kept = 0;
    for (let row = 0; row < count; row++) if (outcomes[row] !== OUTCOME.skip) this.#rows[kept++] = row;
    for (let from = 0; from < kept; ) {
      const to = Math.min(kept, from + CHUNK - this.#count);
      this.#copy(columns, this.#rows.subarray(from, to));
      from = to;
      if (this.#count === CHUNK) this.#pack();
    }
  }

  /** Everything since the last call. */
  take(): readonly TripChunk[] {
    if (this.#count > 0) this.#pack();
    const chunks = this.#chunks;
    this.#chunks = [];
    this.bytes = 0;
    return chunks;
  }

  #copy(columns: TripColumns, rows: Uint32Array): void {
    const { numbers, words } = this.#filling;
    const at = this.#count;
    for (const field of NUMERIC_FIELDS) {
      const [from, into] = [columns.numbers[field], numbers[field]];
      for (let i = 0; i < rows.length; i++) into[at + i] = from[rows[i]!]!;
    }
    for (const field of STRING_FIELDS) {
      const [from, into] = [columns.words[field], words[field]];
      for (let i = 0; i < rows.length; i++) into[at + i] = from[rows[i]!]!;
    }
    this.#count += rows.length;
  }

  #pack(): void {
    const trips = packTrips(this.#filling, ALL_ROWS.subarray(0, this.#count));
    this.#chunks.push({ count: this.#count, trips });
    this.bytes += trips.length;
    this.#count = 0;
  }
}
