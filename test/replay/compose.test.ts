import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type TripBatch, TripCollector } from '../../src/dataset/order.ts';
import { recordBytes } from '../../src/events/decode.ts';
import { composeRecords } from '../../src/replay/compose.ts';
import type { OutgoingBatch } from '../../src/streams/ports.ts';
import { spread } from '../../src/streams/routing.ts';
import { sourceTrip } from '../dataset/source-trips.ts';

interface Row {
  readonly vendor: string | undefined;
  readonly pickup: number;
  readonly dropoff: number;
  readonly amount: number;
}

const NOON = Date.UTC(2016, 0, 1, 12);
const iso = (ms: number) => new Date(ms).toISOString();

function batchOf(rows: readonly Row[], firstId = 0): TripBatch {
  const collector = new TripCollector('');
  for (const { vendor, pickup, dropoff, amount } of rows) {
    const times = { pickup_datetime: pickup, dropoff_datetime: dropoff };
    collector.add(sourceTrip({ vendor_id: vendor, ...times, total_amount: amount }));
  }
  return { ...collector.rest()[0]!, firstId };
}

function recordsOf(batch: OutgoingBatch): string[] {
  const { count, data, ends } = recordBytes(batch);
  assert.equal(data.length, ends.at(-1) ?? 0, 'and nothing else');
  return Array.from({ length: count }, (_, i) => data.toString('utf8', i === 0 ? 0 : ends[i - 1], ends[i]));
}

const rows: fc.Arbitrary<Row[]> = fc
  .array(
    fc.record({
      // Words that read like the fields of a trip.
      vendor: fc.constantFrom(undefined, 'CMT', '', '"pickup_datetime":"', 'x"dropoff_datetime":"y', '\\"'),
      pickup: fc.nat(86_400_000).map((ms) => NOON - ms),
      dropoff: fc.nat(1_000),
      amount: fc.nat(999),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((all) => {
    let dropoff = NOON;
    return all.map((row) => {
      dropoff += row.dropoff;
      return { ...row, dropoff };
    });
  });

/** Also such as get one more digit within a batch. */
const ids = fc.oneof(fc.nat(2_000_000), fc.constantFrom(0, 5, 95, 99_995, 9_999_999_995));

describe('records of trips', () => {
  it('join the head and the body of each trip, for any part of a batch', () => {
    fc.assert(
      fc.property(rows, fc.nat(11), fc.nat(11), ids, (all, a, b, firstId) => {
        const [from, to] = [a % all.length, Math.min(all.length, (a % all.length) + b)];
        const composed = composeRecords('0123456789ab', batchOf(all, firstId), from, to);
        const records = recordsOf(composed);
        assert.equal(records.length, to - from);
        for (const [i, text] of records.entries()) {
          const { vendor, pickup, dropoff, amount } = all[from + i]!;
          const id = firstId + from + i;
          const expected = {
            type: 'trip',
            trip_id: id,
            replay: '0123456789ab',
            ...(vendor === undefined ? {} : { vendor_id: vendor }),
            pickup_datetime: iso(pickup),
            dropoff_datetime: iso(dropoff),
            total_amount: amount,
          };
          assert.equal(text, `${JSON.stringify(expected)}\n`);
          assert.equal(composed.hashes[i], spread(id));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('have their times shifted, each by its own amount, and nothing else changed', () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: -1_000_000_000, max: 300_000_000_000 }), (all, shift) => {
        const batch = batchOf(all);
        const by = (dropoff: number) => shift + (dropoff % 7);
        const moved = recordsOf(composeRecords('r', batch, 0, all.length, by));
        const still = recordsOf(composeRecords('r', batch, 0, all.length));
        for (const [i, text] of moved.entries()) {
          const { pickup, dropoff } = all[i]!;
          assert.deepEqual(JSON.parse(text), {
            ...(JSON.parse(still[i]!) as object),
            pickup_datetime: iso(pickup + by(dropoff)),
            dropoff_datetime: iso(dropoff + by(dropoff)),
          });
        }
        assert.deepEqual(
          recordsOf(composeRecords('r', batch, 0, all.length)),
          still,
          'the batch itself is as it was',
        );
      }),
      { numRuns: 300 },
    );
  });

  it('write every trip id digit by digit', () => {
    const borders = Array.from({ length: 16 }, (_, n) => 10 ** n).flatMap((p) => [p - 1, p, p + 1]);
    for (const id of [...borders, Number.MAX_SAFE_INTEGER].filter(Number.isSafeInteger)) {
      const [text] = recordsOf(
        composeRecords(
          'r',
          batchOf([{ vendor: undefined, pickup: NOON, dropoff: NOON, amount: 1 }], id),
          0,
          1,
        ),
      );
      assert.ok(text!.startsWith(`{"type":"trip","trip_id":${id},"replay":"r",`), text);
    }
  });

  it('shift times to years of four digits only, however far (W1)', () => {
    const stray = Date.UTC(9999, 11, 31);
    const row = { vendor: 'CMT', pickup: stray, dropoff: stray + 1, amount: 1 };
    for (const [years, expected] of [
      [10, '9999-12-31T23:59:59.999Z'],
      [-10_000, '0000-01-01T00:00:00.000Z'],
    ] as const) {
      const shift = years * 366 * 86_400_000;
      const [record] = recordsOf(composeRecords('r', batchOf([row]), 0, 1, () => shift));
      assert.equal((JSON.parse(record!) as { dropoff_datetime: string }).dropoff_datetime, expected);
    }
  });
});
