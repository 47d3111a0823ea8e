/** U1: rows read as bytes become the trips that the exact way makes of them, whatever stands in their fields. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { readCsv } from '../../src/dataset/csv.ts';
import type { Input } from '../../src/dataset/inputs.ts';
import { TripSorter } from '../../src/dataset/order.ts';
import type { LineCounts, RowSink } from '../../src/dataset/sink.ts';
import type { SourceTrips } from '../../src/dataset/trips.ts';
import { fixture, fixtureFiles, temporaryFolder } from '../files.ts';
import { plainTrip, plainTrips, tripsOfBatch } from './source-trips.ts';

interface Read {
  readonly trips: string[];
  readonly rejects: string[];
  readonly leftOut: unknown[];
  readonly lines: LineCounts | undefined;
  /** Trips that were taken as bytes. */
  readonly usual: number;
}

async function read(text: Buffer, pieceSize: number, inBytes: boolean): Promise<Read> {
  const input: Input = {
    name: 'x.csv',
    size: text.length,
    found: false,
    open: async function* () {
      yield text.subarray(0, 8);
      for (let at = 8; at < text.length; at += pieceSize) yield text.subarray(at, at + pieceSize);
    },
  };
  const read = { trips: [] as string[], rejects: [] as string[], leftOut: [] as unknown[], usual: 0 };
  let lines: LineCounts | undefined;
  const sink: RowSink = {
    trip: (trip) => read.trips.push(inspect(plainTrip(trip))) > 0,
    reject: (reason, line, raw, detail) => void read.rejects.push([reason, line, raw, detail()].join(' ')),
    leftOut: (count, first) => void read.leftOut.push(count, first),
    lines: (counts) => {
      lines = counts;
    },
    ...(inBytes
      ? {
          trips: (trips) => {
            read.usual += trips.count;
            // Unlike JSON, it tells −0 from 0.
            for (const trip of plainTrips(trips)) read.trips.push(inspect(trip));
          },
        }
      : {}),
  };
  const options = { dateOrder: 'mdy', folder: '', onBytes() {}, onDigest() {}, onNote() {} } as const;
  for await (const _ of readCsv(input, sink, options));
  return { ...read, lines };
}

async function bothWays(text: Buffer, pieceSize = 1_000): Promise<Read> {
  const [usual, exact] = [await read(text, pieceSize, true), await read(text, pieceSize, false)];
  assert.equal(exact.usual, 0);
  assert.deepEqual({ ...usual, usual: 0 }, exact);
  return usual;
}

const TIMES = [
  ...['2016-01-11 08:00:00', '2016-01-11 08:00:01', '2015-12-31 23:59:59', '2016-02-29 00:00:00'],
  ...[
    '2016-02-30 00:00:00',
    '2016-01-11T08:00:00',
    '2016-01-11 08:00',
    '2016-01-11 24:00:00',
    '0000-01-01 00:00:00',
  ],
  ...[
    '2016-01-11 08:60:00',
    '2016/01/11 08:00:00',
    '1/11/2016 8:00',
    '2016-01-11 08:00:0x',
    ' 2016-01-11 08:00:00',
    '',
  ],
  ...[
    '9999-12-31 23:59:59',
    '2016-1-111 08:00:00',
    '+016-01-11 08:00:00',
    '2016-01-11 08:00:00.5',
    '2016-01-11 0a:00:00',
  ],
];
const NUMBERS = [
  ...[
    '1',
    '0',
    '-0',
    '1.5',
    '-73.98',
    '40.7127',
    '0.50',
    '.5',
    '.50',
    '.0',
    '.000001',
    '.0000001',
    '-.5',
    '.',
    '-',
    '+1',
  ],
  ...[
    '01',
    '1.',
    '1e3',
    'x',
    ' 1',
    '1 ',
    '',
    'NULL',
    '0x10',
    '١',
    '-73.98765432109876543',
    '9'.repeat(50),
    '--1',
    '1-',
    '1.2.3',
  ],
];
const WORDS = [
  '1',
  '2',
  'VTS',
  'CMT',
  'a_b',
  'null',
  'None',
  'N',
  'n1',
  'é',
  'a b',
  ' a',
  'a.b',
  '-',
  '\\N',
  '',
  'x'.repeat(50),
];
const ZONES = [
  '1',
  '132',
  '138',
  '57',
  '264',
  '265',
  '999',
  '0',
  '007',
  '1000',
  '1.0',
  '132.0',
  '-1',
  'x',
  '',
  ' 7',
];

const sometimes = (usual: readonly string[], odd: readonly string[], weight: number) =>
  fc.oneof(
    { weight, arbitrary: fc.constantFrom(...usual) },
    { weight: 1, arbitrary: fc.constantFrom(...odd) },
  );

/** Values of a column by its name, mostly such as the TLC writes. */
function columnValue(column: string): fc.Arbitrary<string> {
  if (/date_?time/i.test(column)) return sometimes(TIMES.slice(0, 3), TIMES, 30);
  if (/vendor/i.test(column)) return sometimes(['1', 'VTS'], WORDS, 30);
  if (/location_?id/i.test(column)) return sometimes(['132', '7'], ZONES, 30);
  return sometimes(['1', '-73.98', '.94', ''], NUMBERS, 40);
}

describe('usual rows (U1)', () => {
  for (const name of fixtureFiles().filter((file) => file.endsWith('.csv')))
    test(`of ${name} are the same trips as the exact way makes`, async () => {
      const whole = readFileSync(fixture(name));
      const { usual, trips } = await bothWays(whole);
      assert.ok(usual > trips.length / 2, `${usual} of ${trips.length} trips are taken as bytes`);
      const header = whole.toString('latin1', 0, whole.indexOf(10)).trim();
      const row = fc
        .tuple(...header.split(',').map(columnValue), fc.constantFrom('', '', '', ',', ',,', ',x'))
        .map((values) => values.slice(0, -1).join(',') + values.at(-1));
      let taken = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(row, fc.constantFrom('\n', '\n', '\r\n', '\n\n', '\r')), {
            maxLength: 30,
            size: 'max',
          }),
          fc.integer({ min: 1, max: 500 }),
          async (rows, pieceSize) => {
            const text = `${header}\n${rows.map(([text, end]) => text + end).join('')}`;
            taken += (await bothWays(Buffer.from(text), pieceSize)).usual;
          },
        ),
        { numRuns: 60 },
      );
      assert.ok(taken > 50, `${taken} random rows are usual`);
    });

  test('have their own vendor, however many there are', async (t) => {
    const header = 'vendor_id,pickup_datetime,dropoff_datetime,total_amount\n';
    const vendors = Array.from(
      { length: 20_000 },
      (_, i) => `V${String((i * 7_919) % 20_000).padStart(5, '0')}`,
    );
    const text =
      header + vendors.map((vendor) => `${vendor},2016-01-11 08:00:00,2016-01-11 08:10:00,1\n`).join('');
    const sorter = new TripSorter(temporaryFolder(t));
    const sink = { trips: (trips: SourceTrips) => sorter.addAll(trips), leftOut() {}, lines() {} };
    const options = { dateOrder: 'mdy', folder: '', onBytes() {}, onDigest() {}, onNote() {} } as const;
    const input = { name: 'x.csv', size: text.length, found: false, open: async function* () { yield Buffer.from(text); } }; // biome-ignore format: one line
    for await (const _ of readCsv(input, sink as unknown as RowSink, options));
    const read = [...sorter.batches()].flatMap((batch) => tripsOfBatch(batch).map((trip) => trip.vendor_id));
    sorter.close();
    assert.deepEqual(read, vendors);
  });

  test('long lines, and rows that no batch ends with, are not lost', async () => {
    const header = 'vendor_id,pickup_datetime,dropoff_datetime,total_amount,note\n';
    const row = (note: string) => `1,2016-01-11 08:00:00,2016-01-11 08:10:00,1.5,${note}\n`;
    const lengths = [0, 10, 65_000, 66_000, 131_000, 300_000, 1_000_000, 1_048_000, 1_049_000];
    const long = lengths.map((length) => row('x'.repeat(length))).join('');
    const text = Buffer.from(header + row('n').repeat(10_000) + long + row('n').repeat(3));
    for (const size of [1 << 14, 1 << 18, text.length]) {
      const { trips, rejects } = await bothWays(text, size);
      assert.deepEqual([trips.length, rejects.length], [10_000 + lengths.length - 1 + 3, 1]);
    }
  });
});
