import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { type TripBatch, TripCollector, TripSorter } from '../../src/dataset/order.ts';
import { temporaryFolder } from '../files.ts';
import { type PlainTrip, sourceTrip, sourceTrips, tripsOfBatch } from './source-trips.ts';

const tripsIn = (batches: Iterable<TripBatch>): PlainTrip[] => {
  const trips: PlainTrip[] = [];
  for (const batch of batches) {
    assert.equal(batch.firstId, trips.length, 'ids are dense');
    assert.ok(batch.count > 0, 'no batch is empty');
    const own = tripsOfBatch(batch);
    assert.deepEqual(
      own.map((trip) => trip.dropoff_datetime),
      [...batch.dropoffs],
    );
    trips.push(...own);
  }
  return trips;
};

/** `Array.prototype.sort` is stable. */
const sorted = (trips: readonly PlainTrip[]) =>
  [...trips].sort((a, b) => a.dropoff_datetime! - b.dropoff_datetime!);

const tripsOf = (dropoff: fc.Arbitrary<number>, maxLength = 60): fc.Arbitrary<PlainTrip[]> =>
  fc
    .array(fc.tuple(dropoff, fc.constantFrom(undefined, 'CMT', 'VTS', 'é')), { maxLength, size: 'max' })
    .map((rows) =>
      rows.map(([dropoff_datetime, vendor_id], i) => ({
        ...(vendor_id ? { vendor_id } : {}),
        dropoff_datetime,
        total_amount: i,
      })),
    );
const times = fc.oneof(
  tripsOf(fc.nat(4)),
  tripsOf(fc.integer({ min: -5_000, max: 5_000 })),
  // So far apart that a time and its position don't fit into one number.
  tripsOf(fc.oneof(fc.nat(2), fc.integer({ min: -(2 ** 52), max: 2 ** 52 }))),
);

/** Spill files this process holds open, by name. */
function openSpills(): string[] {
  if (!existsSync('/proc/self/fd')) return [];
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.includes(`/${process.pid}-`) ? [path] : [];
    } catch {
      return [];
    }
  });
}

/** `together`: how many trips are added at once, after which one is added by itself. */
function sort(
  folder: string,
  runTrips: number,
  trips: readonly PlainTrip[],
  together = 0,
  batchTrips?: number,
): PlainTrip[] {
  const sorter = new TripSorter(folder, runTrips);
  try {
    for (let i = 0; i < trips.length; ) {
      const some = trips.slice(i, i + together);
      if (some.length > 0) sorter.addAll(sourceTrips(some));
      i += some.length;
      if (i < trips.length)
        assert.equal(sorter.add(sourceTrip(trips[i++]!)), true, 'a sorter takes every trip');
    }
    return tripsIn(sorter.batches(batchTrips === undefined ? undefined : () => batchTrips));
  } finally {
    sorter.close();
  }
}

function assertNothingLeft(folder: string): void {
  assert.deepEqual(existsSync(folder) ? readdirSync(folder) : [], [], 'no spill file is left');
  assert.deepEqual(openSpills(), [], 'none is held open');
}

describe('spill files', { skip: !existsSync('/proc/self/fd') }, () => {
  it('are readable by their owner only, and those of dead processes are removed', (t: TestContext) => {
    const folder = join(temporaryFolder(t), 'tmp');
    mkdirSync(folder);
    const precious = join(folder, 'precious');
    // Linux gives no process a number this high.
    const [gone, link, alive] = ['4194305-0', 'sort-4194306-a', `${process.ppid}-0`];
    for (const name of ['precious', gone, alive]) writeFileSync(join(folder, name), 'x');
    symlinkSync(precious, join(folder, link));
    const sorter = new TripSorter(folder, 1);
    for (let i = 0; i < 3; i++) sorter.add(sourceTrip({ dropoff_datetime: 3 - i }));
    const modes = readdirSync('/proc/self/fd').flatMap((fd) => {
      const at = `/proc/self/fd/${fd}`;
      const found = statSync(at, { throwIfNoEntry: false });
      return found && readlinkSync(at).includes(`/${process.pid}-`) ? [found.mode & 0o777] : [];
    });
    assert.ok(modes.length >= 2 && modes.every((mode) => mode === 0o600), modes.join());
    assert.deepEqual(readdirSync(folder).sort(), ['precious', alive].sort());
    sorter.close();
  });
});

describe('trips in drop-off order', () => {
  it('are the stable sort of what was added, in memory and over any number of spilled runs', (t: TestContext) => {
    const folder = temporaryFolder(t);
    fc.assert(
      fc.property(
        times,
        fc.constantFrom(1, 2, 3, 7, 1_000),
        fc.constantFrom(0, 1, 5, 100),
        fc.constantFrom(undefined, 1, 6, 10 ** 9),
        (trips, runTrips, together, batchTrips) => {
          assert.deepEqual(sort(folder, runTrips, trips, together, batchTrips), sorted(trips));
          assertNothingLeft(folder);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('come in full batches, from memory and from disk', (t) => {
    const folder = temporaryFolder(t);
    const trips = Array.from({ length: 9_000 }, (_, i) => ({
      dropoff_datetime: (i * 7_919) % 5_003,
      total_amount: i,
    }));
    for (const runTrips of [10_000, 4_096, 900])
      assert.deepEqual(sort(folder, runTrips, trips), sorted(trips));
    assertNothingLeft(folder);
  });

  it('keep their vendors, however many and long', (t) => {
    const folder = temporaryFolder(t);
    const trips = Array.from({ length: 20_000 }, (_, i) => ({
      vendor_id: `${'é'.repeat(i % 1_000)}${i}`,
      dropoff_datetime: (i * 7_919) % 5_003,
    }));
    for (const [runTrips, together] of [
      [30_000, 0],
      [3_000, 999],
    ] as const)
      assert.deepEqual(sort(folder, runTrips, trips, together), sorted(trips));
    assertNothingLeft(folder);
  });

  it('go into a batch whole, also while it is read after the end', (t) => {
    const sorter = new TripSorter(temporaryFolder(t));
    const names = Array.from({ length: 20_000 }, (_, i) => `${'x'.repeat(1_000)}${i}`);
    for (const [i, vendor_id] of names.entries()) sorter.add(sourceTrip({ vendor_id, dropoff_datetime: i }));
    const batches = [...sorter.batches()];
    sorter.close();
    assert.deepEqual(
      tripsIn(batches).map((trip) => trip.vendor_id),
      names,
    );
  });

  it('leave no file behind when the reader stops early', (t) => {
    const folder = temporaryFolder(t);
    const sorter = new TripSorter(folder, 2);
    for (let i = 0; i < 9; i++) sorter.add(sourceTrip({ dropoff_datetime: -i }));
    const batches = sorter.batches();
    batches.next();
    sorter.close();
    assertNothingLeft(folder);
  });

  it("need a folder only when they spill, and report when it can't be made", (t) => {
    // A file is in the way.
    const file = join(temporaryFolder(t), 'file');
    writeFileSync(file, '');
    const nowhere = join(file, 'tmp');
    assert.equal(sort(nowhere, 10, [{ dropoff_datetime: 1 }]).length, 1);
    const sorter = new TripSorter(nowhere, 1);
    sorter.add(sourceTrip({ dropoff_datetime: 1 }));
    assert.throws(() => sorter.add(sourceTrip({ dropoff_datetime: 2 })), { code: 'cannot-open' });
    sorter.close();
  });
});

describe('trips taken as they come', () => {
  it('are all kept except those that step back', (t) => {
    const folder = temporaryFolder(t);
    fc.assert(
      fc.property(times, (trips) => {
        const collector = new TripCollector(folder);
        const batches: TripBatch[] = [];
        const expected: PlainTrip[] = [];
        for (const trip of trips) {
          const inOrder = expected.every((earlier) => earlier.dropoff_datetime! <= trip.dropoff_datetime!);
          if (inOrder) expected.push(trip);
          assert.equal(
            collector.add(sourceTrip(trip)),
            inOrder,
            `${trip.dropoff_datetime} is taken if nothing later was`,
          );
          batches.push(...collector.full());
        }
        batches.push(...collector.rest());
        assert.deepEqual(tripsIn(batches), expected);
      }),
      { numRuns: 200 },
    );
  });

  it('are passed on in full batches before the end', (t) => {
    const collector = new TripCollector(temporaryFolder(t));
    const batches: TripBatch[] = [];
    for (let i = 0; i < 10_000; i++) {
      collector.add(sourceTrip({ dropoff_datetime: i, total_amount: i }));
      batches.push(...collector.full());
    }
    assert.equal(batches.length, 2, 'two batches were full');
    batches.push(...collector.rest());
    assert.deepEqual(
      tripsIn(batches).map((trip) => trip.total_amount),
      Array.from({ length: 10_000 }, (_, i) => i),
    );
  });
});
