/**
 * Trips as packed columns, one a field: about 30 bytes a trip, a tenth of their JSON. The embedded stream keeps trips in this
 * form. It holds values rather than text, so `0.50` comes back as `0.5`. A column's id is the place of its field in
 * `TRIP_FIELDS`.
 */
import { PackedColumns, packColumns } from '../packed-columns.ts';
import type { TripColumns } from './columns.ts';
import type { Trips } from './decode.ts';
import {
  EXTRA_FIELDS,
  type ExtraField,
  type NumericField,
  type StringField,
  TRIP_FIELD_NAMES,
  TRIP_FIELDS,
  type TripField,
} from './trip.ts';

const IDS = new Map(TRIP_FIELD_NAMES.map((field, id) => [field, id]));

/** The fields of a batch, without the extra ones at the end that no trip has: a column that is left out is missing. */
function presentFields({ numbers }: TripColumns, rows: Uint32Array): readonly TripField[] {
  let count = TRIP_FIELD_NAMES.length;
  while (count > USUAL_FIELDS && isMissing(numbers[TRIP_FIELD_NAMES[count - 1] as ExtraField], rows)) count--;
  return TRIP_FIELD_NAMES.slice(0, count);
}

const USUAL_FIELDS = TRIP_FIELD_NAMES.length - EXTRA_FIELDS.length;

function isMissing(values: Float64Array, rows: Uint32Array): boolean {
  for (let i = 0; i < rows.length; i++) if (!Number.isNaN(values[rows[i]!])) return false;
  return true;
}

/** The trips in these rows of a batch. */
export function packTrips(columns: TripColumns, rows: Uint32Array): Buffer {
  const packed = presentFields(columns, rows).map((name) => {
    if (TRIP_FIELDS[name].type === 'string') {
      const all = columns.words[name as StringField];
      const codes = new Int32Array(rows.length);
      for (let i = 0; i < rows.length; i++) codes[i] = all[rows[i]!]!;
      const { words } = columns.dictionaries[name as StringField];
      return { codes, word: (code: number) => words[code]! };
    }
    const all = columns.numbers[name as NumericField];
    const values = new Float64Array(rows.length);
    for (let i = 0; i < rows.length; i++) values[i] = all[rows[i]!]!;
    return values;
  });
  return packColumns(rows.length, packed);
}

/** Trips as `packTrips` wrote them. */
export class PackedTrips implements Trips {
  readonly #columns: PackedColumns;

  private constructor(columns: PackedColumns) {
    this.#columns = columns;
  }

  /** Undefined for bytes that can't be such trips. */
  static read(bytes: Uint8Array): PackedTrips | undefined {
    const columns = PackedColumns.read(bytes);
    return columns && new PackedTrips(columns);
  }

  get count(): number {
    return this.#columns.count;
  }

  unpack(from: number, count: number, columns: TripColumns, row: number, fields: Iterable<TripField>): void {
    const packed = this.#columns;
    for (const name of fields) {
      const id = IDS.get(name)!;
      if (TRIP_FIELDS[name].type === 'string') {
        const dictionary = columns.dictionaries[name as StringField];
        const codes = packed.words(id)?.map((word) => dictionary.code(word)) ?? [];
        packed.codes(id, codes, from, columns.words[name as StringField].subarray(row, row + count));
      } else packed.numbers(id, from, columns.numbers[name as NumericField].subarray(row, row + count));
    }
  }
}
