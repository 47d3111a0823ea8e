/**
 * Trips as Parquet files, one for each day of drop-off, in the order of drop-off. Every file has all columns of `TRIP_FIELDS`, so
 * that tables over many files have one form.
 */
import * as zlib from 'node:zlib';
import type { SchemaElement } from 'hyparquet';
import { ByteWriter, type ColumnSource, ParquetWriter } from 'hyparquet-writer';
import { TripColumns } from '../../events/columns.ts';
import { PackedTrips } from '../../events/packed.ts';
import {
  type NumericField,
  type StringField,
  TRIP_FIELD_NAMES,
  TRIP_FIELDS,
  type TripField,
} from '../../events/trip.ts';

import { OTHER_VALUES } from './columns.ts';

export interface DayFile {
  /** `YYYY-MM-DD` of its trips' drop-offs. */
  readonly day: string;
  readonly count: number;
  readonly bytes: Uint8Array;
}

const DAY_MS = 86_400_000;
const ROW_GROUP = 100_000;
const CREATED_BY = 'taxiflow';

/** Node.js can compress by zstd from 22.15 on. */
type Zstd = (bytes: Uint8Array) => Buffer;
const { zstdCompressSync } = zlib as { zstdCompressSync?: Zstd };
const COMPRESSION = zstdCompressSync
  ? { codec: 'ZSTD' as const, compressors: { ZSTD: zstdCompressSync } }
  : {
      codec: 'GZIP' as const,
      compressors: { GZIP: (bytes: Uint8Array) => zlib.gzipSync(bytes, { level: 3 }) },
    };

/** The files of trips, packed as `packTrips` does, in the order of days. The same trips give the same files. */
export function dayFiles(chunks: readonly Uint8Array[]): DayFile[] {
  const columns = unpacked(chunks);
  const { dropoff_datetime: time } = columns.numbers;
  const order = Uint32Array.from({ length: columns.count }, (_, row) => row);
  // A typed array sorts stably, so ties keep the order in which they were read.
  order.sort((a, b) => time[a]! - time[b]!);
  const files: DayFile[] = [];
  for (let from = 0; from < order.length; ) {
    const day = Math.floor(time[order[from]!]! / DAY_MS);
    let to = from + 1;
    while (to < order.length && time[order[to]!]! < (day + 1) * DAY_MS) to++;
    const rows = order.subarray(from, to);
    files.push({ day: dayText(day), count: rows.length, bytes: parquetOf(columns, rows) });
    from = to;
  }
  return files;
}

function dayText(day: number): string {
  return new Date(day * DAY_MS).toISOString().split('T')[0]!;
}

function unpacked(chunks: readonly Uint8Array[]): TripColumns {
  const all = chunks.map((chunk) => {
    const trips = PackedTrips.read(chunk);
    if (!trips) throw new Error('trips for the archive are no packed trips');
    return trips;
  });
  const columns = new TripColumns(all.reduce((sum, { count }) => sum + count, 0));
  let row = 0;
  for (const trips of all) {
    trips.unpack(0, trips.count, columns, row, TRIP_FIELD_NAMES);
    row += trips.count;
  }
  columns.count = row;
  return columns;
}

/** How a type of the wire form lies in a file. Times have no zone, as in the files of the TLC. */
const STORED: Readonly<Record<(typeof TRIP_FIELDS)[TripField]['type'], Omit<SchemaElement, 'name'>>> = {
  integer: { type: 'INT64' },
  number: { type: 'DOUBLE' },
  string: { type: 'BYTE_ARRAY', converted_type: 'UTF8' },
  time: {
    type: 'INT64',
    converted_type: 'TIMESTAMP_MILLIS',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: false, unit: 'MILLIS' },
  },
};

const SCHEMA: SchemaElement[] = [
  { name: 'trips', num_children: TRIP_FIELD_NAMES.length + 1 },
  ...TRIP_FIELD_NAMES.map((name) => ({
    name,
    repetition_type: 'OPTIONAL' as const,
    ...STORED[TRIP_FIELDS[name].type],
  })),
  { name: OTHER_VALUES, repetition_type: 'OPTIONAL', ...STORED.string },
];

function parquetOf(columns: TripColumns, rows: Uint32Array): Uint8Array {
  const writer = new ByteWriter();
  const file = new ParquetWriter({ writer, schema: SCHEMA, createdBy: CREATED_BY, ...COMPRESSION });
  for (let from = 0; from < rows.length; from += ROW_GROUP)
    file.write({
      columnData: columnData(columns, rows.subarray(from, from + ROW_GROUP)),
      rowGroupSize: ROW_GROUP,
    });
  file.finish();
  return writer.getBytes();
}

/** The values of a row group. */
function columnData(columns: TripColumns, rows: Uint32Array): ColumnSource[] {
  const others: (string | null)[] = new Array(rows.length).fill(null);
  const onOther = (name: string) => (i: number, value: number) => {
    others[i] = JSON.stringify({ ...(JSON.parse(others[i] ?? '{}') as object), [name]: value });
  };
  const data = (name: TripField): unknown[] => {
    const { type } = TRIP_FIELDS[name];
    if (type === 'string') return words(columns, name as StringField, rows);
    const values = columns.numbers[name as NumericField];
    return type === 'number' ? doubles(values, rows) : wholes(values, rows, onOther(name));
  };
  const sources = TRIP_FIELD_NAMES.map((name) => ({ name, data: data(name), ...encodingOf(name) }));
  return [...sources, { name: OTHER_VALUES, data: others }];
}

/** What hardly repeats is stored as differences: a dictionary would only be tried. */
function encodingOf(name: TripField): { encoding?: 'DELTA_BINARY_PACKED' } {
  return name === 'trip_id' || TRIP_FIELDS[name].type === 'time' ? { encoding: 'DELTA_BINARY_PACKED' } : {};
}

function words(columns: TripColumns, name: StringField, rows: Uint32Array): (string | null)[] {
  const codes = columns.words[name];
  const { words } = columns.dictionaries[name];
  return Array.from(rows, (row) => words[codes[row]!] ?? null);
}

function doubles(values: Float64Array, rows: Uint32Array): (number | null)[] {
  const found: (number | null)[] = new Array(rows.length);
  for (let i = 0; i < rows.length; i++) {
    const value = values[rows[i]!]!;
    found[i] = Number.isNaN(value) ? null : value;
  }
  return found;
}

function wholes(
  values: Float64Array,
  rows: Uint32Array,
  onOther: (i: number, value: number) => void,
): (bigint | null)[] {
  const found: (bigint | null)[] = new Array(rows.length);
  for (let i = 0; i < rows.length; i++) {
    const value = values[rows[i]!]!;
    const isWhole = Number.isSafeInteger(value);
    if (!isWhole && !Number.isNaN(value)) onOther(i, value);
    found[i] = isWhole ? BigInt(value) : null;
  }
  return found;
}
