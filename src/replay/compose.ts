/** Turns trips into records: adds their ids and replay, shifts their times if asked, and hashes their ids for the shards. */
import type { TripBatch } from '../dataset/dataset.ts';
import { PLACE, TRIP_WIDTH } from '../dataset/trips.ts';
import type { Dictionary, TripColumns } from '../events/columns.ts';
import type { Trips } from '../events/decode.ts';
import { FIRST_TIME, LAST_TIME } from '../events/times.ts';
import {
  EXTRA_FIELDS,
  type ExtraField,
  SOURCE_FIELDS,
  type SourceField,
  type TripField,
} from '../events/trip.ts';
import type { OutgoingBatch } from '../streams/ports.ts';
import { spread } from '../streams/routing.ts';

const NOTHING = Buffer.alloc(0);

/** Maps a trip's drop-off to the shift of its times; epoch ms and ms. */
export type ShiftOf = (dropoff: number) => number;

/** Records of the trips [from, to) of a batch, as values. */
export function composeRecords(
  replay: string,
  batch: TripBatch,
  from: number,
  to: number,
  shiftOf?: ShiftOf,
): OutgoingBatch {
  const count = to - from;
  const hashes = new Uint32Array(count);
  for (let i = 0; i < count; i++) hashes[i] = spread(batch.firstId + from + i);
  const trips = new ComposedTrips(replay, batch, shiftOf);
  return {
    count,
    data: NOTHING,
    ends: new Uint32Array(count),
    packed: [{ row: 0, trips, from, count }],
    hashes,
  };
}

/** `time` (epoch ms) shifted by `shift` ms, kept within the years 0000 to 9999, which ISO 8601 writes with four digits. */
export function moved(time: number, shift: number): number {
  return Math.min(LAST_TIME, Math.max(FIRST_TIME, time + shift));
}

class ComposedTrips implements Trips {
  readonly #replay: string;
  readonly #batch: TripBatch;
  readonly #shiftOf: ShiftOf | undefined;
  /** Number of values of a trip. */
  readonly #width: number;

  constructor(replay: string, batch: TripBatch, shiftOf: ShiftOf | undefined) {
    this.#replay = replay;
    this.#batch = batch;
    this.#shiftOf = shiftOf;
    this.#width = TRIP_WIDTH + batch.extras.length;
  }

  unpack(from: number, count: number, columns: TripColumns, row: number, fields: Iterable<TripField>): void {
    const wanted = new Set(fields);
    const { dictionaries, numbers, words } = columns;
    if (wanted.has('replay')) words.replay.fill(dictionaries.replay.code(this.#replay), row, row + count);
    if (wanted.has('vendor_id'))
      this.#vendors(from, words.vendor_id.subarray(row, row + count), dictionaries.vendor_id);
    if (wanted.has('trip_id')) {
      const first = this.#batch.firstId + from;
      for (let i = 0; i < count; i++) numbers.trip_id[row + i] = first + i;
    }
    for (const field of SOURCE_FIELDS)
      if (field !== 'vendor_id' && wanted.has(field))
        this.#numbers(field, from, numbers[field].subarray(row, row + count));
    for (const field of EXTRA_FIELDS)
      if (wanted.has(field))
        this.#copy(this.#placeOf(field), from, numbers[field].subarray(row, row + count));
  }

  /** Place of an extra field in a trip; −1 where it doesn't ride along. */
  #placeOf(field: ExtraField): number {
    const extra = this.#batch.extras.indexOf(field);
    return extra < 0 ? -1 : TRIP_WIDTH + extra;
  }

  #copy(place: number, from: number, into: Float64Array): void {
    const { values } = this.#batch;
    const width = this.#width;
    if (place < 0) into.fill(Number.NaN);
    else for (let i = 0, at = from * width + place; i < into.length; i++, at += width) into[i] = values[at]!;
  }

  #numbers(field: Exclude<SourceField, 'vendor_id'>, from: number, into: Float64Array): void {
    const { dropoffs } = this.#batch;
    this.#copy(PLACE[field], from, into);
    const shiftOf = this.#shiftOf;
    if (!shiftOf || (field !== 'pickup_datetime' && field !== 'dropoff_datetime')) return;
    for (let i = 0; i < into.length; i++) into[i] = moved(into[i]!, shiftOf(dropoffs[from + i]!));
  }

  #vendors(from: number, into: Int32Array, dictionary: Dictionary): void {
    const { values, vendors } = this.#batch;
    let last = Number.NaN;
    let code = -1;
    const width = this.#width;
    let at = from * width + PLACE.vendor_id;
    for (let i = 0; i < into.length; i++, at += width) {
      const vendor = values[at]!;
      if (Number.isNaN(vendor)) into[i] = -1;
      else {
        // Neighbours are often of one vendor.
        if (vendor !== last) code = dictionary.code(vendors(vendor));
        last = vendor;
        into[i] = code;
      }
    }
  }
}
