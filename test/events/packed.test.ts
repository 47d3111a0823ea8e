/** Trips as packed columns: every value comes back as it was, and no bytes are believed that can't be right. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TripColumns } from '../../src/events/columns.ts';
import { decoderOf, recordBytes } from '../../src/events/decode.ts';
import { PackedTrips, packTrips } from '../../src/events/packed.ts';
import {
  NUMERIC_FIELDS,
  type NumericField,
  STRING_FIELDS,
  TRIP_FIELD_NAMES,
  TRIP_FIELDS,
  type TripField,
} from '../../src/events/trip.ts';
import { PackedColumns, packColumns } from '../../src/packed-columns.ts';

type Row = Record<TripField, number | string | undefined>;

const day = Date.UTC(2016, 0, 11);
const times = fc.oneof(
  fc.nat(86_400).map((second) => day + second * 1_000),
  fc.nat(86_400_000).map((ms) => day + ms),
  fc.constantFrom(Date.parse('0000-01-01T00:00:00.000Z'), Date.parse('9999-12-31T23:59:59.999Z'), -1, 0),
);
const ids = fc.oneof(fc.nat(300), fc.nat(100_000), fc.maxSafeNat());
const integers = fc.oneof(fc.integer({ min: 1, max: 265 }), fc.integer(), fc.constantFrom(0, -0, 2 ** 53));
const numbers = fc.oneof(
  fc.nat(10_000).map((cents) => cents / 100),
  fc.integer({ min: -74_100_000, max: -73_700_000 }).map((micro) => micro / 1e6),
  fc.float({ min: -75, max: 41, noNaN: true }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(0, -0, 5e-324, Number.MAX_VALUE, 2 ** 32, -(2 ** 52), 0.1, 1e-7, 123456.1234567),
);
const words = fc.oneof(fc.constantFrom('1', '2', 'VTS', ''), fc.string({ unit: 'binary', maxLength: 5 }));

function valuesOf(field: TripField): fc.Arbitrary<number | string> {
  if (field === 'trip_id') return ids;
  return { string: words, time: times, integer: integers, number: numbers }[TRIP_FIELDS[field].type];
}

/** A column of values that are alike, which is what packing goes by, or of any. */
function column(field: TripField, count: number): fc.Arbitrary<(number | string | undefined)[]> {
  const any = valuesOf(field);
  const missing = fc.option(any, { nil: undefined, freq: 4 });
  const fill = (value: fc.Arbitrary<number | string | undefined>) =>
    fc.array(value, { minLength: count, maxLength: count });
  const alike = any.map((value) => new Array<number | string | undefined>(count).fill(value));
  const none = fc.constant(new Array<undefined>(count).fill(undefined));
  const steps =
    TRIP_FIELDS[field].type === 'string'
      ? fill(any)
      : any.map((first) => Array.from({ length: count }, (_, i) => Number(first) + i));
  return fc.oneof(fill(any), fill(missing), alike, none, steps);
}

const batches = fc
  .integer({ min: 1, max: 400 })
  .chain((count) =>
    fc
      .record(Object.fromEntries(TRIP_FIELD_NAMES.map((field) => [field, column(field, count)])))
      .map((columns) =>
        Array.from(
          { length: count },
          (_, i) => Object.fromEntries(TRIP_FIELD_NAMES.map((field) => [field, columns[field]![i]])) as Row,
        ),
      ),
  );

function columnsOf(rows: readonly Row[]): TripColumns {
  const columns = new TripColumns(rows.length);
  for (const [i, row] of rows.entries()) {
    for (const field of NUMERIC_FIELDS) columns.numbers[field][i] = (row[field] as number) ?? Number.NaN;
    for (const field of STRING_FIELDS) {
      const word = row[field] as string | undefined;
      columns.words[field][i] = word === undefined ? -1 : columns.dictionaries[field].code(word);
    }
  }
  return columns;
}

function rowOf(columns: TripColumns, row: number): Row {
  const number = (field: NumericField) => {
    const value = columns.numbers[field][row]!;
    return Number.isNaN(value) ? undefined : value;
  };
  return Object.fromEntries([
    ...STRING_FIELDS.map((field) => [field, columns.dictionaries[field].words[columns.words[field][row]!]]),
    ...NUMERIC_FIELDS.map((field) => [field, number(field)]),
  ]) as Row;
}

const inOrder = (count: number) => Uint32Array.from({ length: count }, (_, i) => i);

describe('packed columns', () => {
  it('are as many as a view may have numbers, and of as many rows as are asked for', () => {
    const columns = Array.from({ length: 700 }, (_, id) => Float64Array.of(id, id / 3));
    const bytes = packColumns(2, columns);
    const read = PackedColumns.read(bytes, 2)!;
    const into = new Float64Array(2);
    for (const [id, column] of columns.entries()) {
      read.numbers(id, 0, into);
      assert.deepEqual(into, column);
    }
    assert.equal(PackedColumns.read(bytes, 1), undefined);
    assert.equal(PackedColumns.read(Buffer.from([255, 255, 255, 255, 0, 0, 0, 0])), undefined);
  });
});

describe('packed trips', () => {
  it('are what was packed: any rows, in any order, in part or as a whole', () => {
    fc.assert(
      fc.property(batches, fc.nat(), fc.nat(), fc.boolean(), (rows, a, b, reversed) => {
        const chosen = reversed ? inOrder(rows.length).reverse() : inOrder(rows.length);
        const packed = PackedTrips.read(packTrips(columnsOf(rows), chosen))!;
        assert.equal(packed.count, rows.length);
        const from = a % rows.length;
        const count = 1 + (b % (rows.length - from));
        const columns = new TripColumns(count + 3);
        packed.unpack(from, count, columns, 3, TRIP_FIELD_NAMES);
        for (let i = 0; i < count; i++) assert.deepEqual(rowOf(columns, 3 + i), rows[chosen[from + i]!]);
      }),
      { numRuns: 400 },
    );
  });

  it('come back with the same values through JSON too', () => {
    fc.assert(
      fc.property(batches, (rows) => {
        // The wire form has neither a trip without a drop-off nor numbers that ids and times can't be.
        const sound = rows.map((row) => ({
          ...row,
          dropoff_datetime: row.dropoff_datetime ?? day,
          trip_id: row.trip_id === undefined ? undefined : Math.min(Number(row.trip_id), 2 ** 53 - 1),
          ...Object.fromEntries(
            (['pickup_datetime', 'dropoff_datetime'] as const).flatMap((field) =>
              row[field] === undefined || Math.abs(Number(row[field]) - day) < 1e12 ? [] : [[field, day]],
            ),
          ),
        })) as Row[];
        const trips = PackedTrips.read(packTrips(columnsOf(sound), inOrder(sound.length)))!;
        const count = sound.length;
        const packed = [{ row: 0, trips, from: 0, count }];
        const { data, ends } = recordBytes({
          count,
          data: Buffer.alloc(0),
          ends: new Uint32Array(count),
          packed,
        });
        const columns = new TripColumns();
        assert.ok(decoderOf(TRIP_FIELD_NAMES)({ count, data, ends }, columns));
        assert.deepEqual(columns.dead, []);
        for (let i = 0; i < count; i++) assert.deepEqual(rowOf(columns, i), sound[i]);
        assert.ok(
          data.every((byte) => byte === 0x0a || (byte >= 0x20 && byte < 0x7f)),
          'in ASCII',
        );
      }),
      { numRuns: 200 },
    );
  });

  it('are small: 40 bytes for a trip as TLC files have them', () => {
    const count = 1_000;
    const columns = columnsOf(
      Array.from(
        { length: count },
        (_, i) =>
          ({
            trip_id: 5_000 + 8 * i,
            replay: '0123456789ab',
            vendor_id: String(1 + (i % 2)),
            pickup_datetime: day + ((i * 7) % 3_000) * 1_000,
            dropoff_datetime: day + 3_000_000 + i * 1_000,
            passenger_count: 1 + (i % 6),
            trip_distance: (i % 1_700) / 100,
            pickup_lat: Math.fround(40.7 + i * 1e-5),
            pickup_lon: Math.fround(-73.9 - i * 1e-5),
            dropoff_lat: 40.7 + i / 1e6,
            dropoff_lon: -73.9 - i / 1e6,
            total_amount: (i % 5_000) / 100,
          }) as Row,
      ),
    );
    const bytes = packTrips(columns, inOrder(count)).length / count;
    assert.ok(bytes < 40, `${bytes} bytes`);
  });

  it('are refused, or read within their bytes, whatever is damaged', () => {
    fc.assert(
      fc.property(
        batches,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        fc.nat(),
        fc.boolean(),
        (rows, changes, cut, inHead) => {
          const bytes = packTrips(columnsOf(rows), inOrder(rows.length));
          for (const [at, value] of changes)
            bytes[at % (inHead ? Math.min(250, bytes.length) : bytes.length)] = value;
          const shown = cut % 3 === 0 ? bytes.subarray(0, cut % bytes.length) : bytes;
          const packed = PackedTrips.read(shown);
          if (packed?.count !== rows.length) return;
          const columns = new TripColumns(rows.length);
          packed.unpack(0, rows.length, columns, 0, TRIP_FIELD_NAMES);
          for (const field of STRING_FIELDS)
            for (const code of columns.words[field].subarray(0, rows.length))
              assert.ok(code >= -1 && code < columns.dictionaries[field].words.length);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('are read from memory of any alignment', () => {
    const rows = [1, 2, 3].map((n) => ({ dropoff_datetime: day, total_amount: n / 3, trip_id: n }) as Row);
    const bytes = packTrips(columnsOf(rows), inOrder(3));
    for (let shift = 0; shift < 9; shift++) {
      const moved = Buffer.concat([Buffer.alloc(shift), bytes]).subarray(shift);
      const columns = new TripColumns();
      PackedTrips.read(moved)!.unpack(0, 3, columns, 0, TRIP_FIELD_NAMES);
      assert.deepEqual([...columns.numbers.total_amount.subarray(0, 3)], [1 / 3, 2 / 3, 1]);
    }
  });
});
