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
import type { EncodedTrip, EncodedTrips } from '../../src/dataset/trips.ts';
import { temporaryFolder } from '../files.ts';

const bodiesOf = (batches: Iterable<TripBatch>): EncodedTrip[] => {
  const trips: EncodedTrip[] = [];
  for (const { count, firstId, dropoffs, data, starts, ends } of batches) {
    assert.equal(firstId, trips.length, 'ids are dense');
    assert.ok(count > 0, 'no batch is empty');
    for (let i = 0; i < count; i++) {
      trips.push({ dropoff: dropoffs[i]!, body: data.toString('latin1', starts[i], ends[i]) });
    }
  }
  return trips;
};

/** `Array.prototype.sort` is stable. */
const sorted = (trips: readonly EncodedTrip[]) => [...trips].sort((a, b) => a.dropoff - b.dropoff);

const tripsOf = (dropoff: fc.Arbitrary<number>, maxLength = 60): fc.Arbitrary<EncodedTrip[]> =>
  fc
    .array(fc.tuple(dropoff, fc.nat(30)), { maxLength, size: 'max' })
    .map((rows) => rows.map(([at, n], i) => ({ dropoff: at, body: `,"n":${i}${' '.repeat(n)}}\n` })));
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

/** `together`: how many trips are added as bytes, after which one is added by itself. */
function sort(
  folder: string,
  runTrips: number,
  trips: readonly EncodedTrip[],
  together = 0,
  batchTrips?: number,
): EncodedTrip[] {
  const sorter = new TripSorter(folder, runTrips);
  try {
    for (let i = 0; i < trips.length; ) {
      const some = trips.slice(i, i + together);
      if (some.length > 0) sorter.addAll(inBytes(some));
      i += some.length;
      if (i < trips.length) assert.equal(sorter.add(trips[i++]!), true, 'a sorter takes every trip');
    }
    return bodiesOf(sorter.batches(batchTrips === undefined ? undefined : () => batchTrips));
  } finally {
    sorter.close();
  }
}

function inBytes(trips: readonly EncodedTrip[]): EncodedTrips {
  let end = 0;
  return {
    count: trips.length,
    dropoffs: Float64Array.from(trips, ({ dropoff }) => dropoff),
    ends: Uint32Array.from(trips, ({ body }) => {
      end += body.length;
      return end;
    }),
    data: Buffer.from(trips.map(({ body }) => body).join('')),
  };
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
    for (let i = 0; i < 3; i++) sorter.add({ dropoff: 3 - i, body: ',"n":1}\n' });
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
      dropoff: (i * 7_919) % 5_003,
      body: `,"n":${i}}\n`,
    }));
    for (const runTrips of [10_000, 4_096, 900])
      assert.deepEqual(sort(folder, runTrips, trips), sorted(trips));
    assertNothingLeft(folder);
  });

  it('may be larger than one write', (t) => {
    const folder = temporaryFolder(t);
    const trips = [5, 3, 4, 3].map((dropoff, i) => ({
      dropoff,
      body: `,"vendor_id":"${String(i).repeat(i === 1 ? 3_000_000 : 700_000)}"}\n`,
    }));
    for (const runTrips of [1, 2, 10]) {
      assert.ok(
        sort(folder, runTrips, trips).every((trip, i) => trip.body === sorted(trips)[i]!.body),
        `every body is whole with runs of ${runTrips}`,
      );
    }
  });

  it('leave no file behind when the reader stops early', (t) => {
    const folder = temporaryFolder(t);
    const sorter = new TripSorter(folder, 2);
    for (let i = 0; i < 9; i++) sorter.add({ dropoff: -i, body: '}\n' });
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
    assert.equal(sort(nowhere, 10, [{ dropoff: 1, body: '}\n' }]).length, 1);
    const sorter = new TripSorter(nowhere, 1);
    sorter.add({ dropoff: 1, body: '}\n' });
    assert.throws(() => sorter.add({ dropoff: 2, body: '}\n' }), { code: 'cannot-open' });
    sorter.close();
  });
});

describe('trips taken as they come', () => {
  it('are all kept except those that step back', () => {
    fc.assert(
      fc.property(times, (trips) => {
        const collector = new TripCollector();
        const batches: TripBatch[] = [];
        const expected: EncodedTrip[] = [];
        for (const trip of trips) {
          const inOrder = expected.every((earlier) => earlier.dropoff <= trip.dropoff);
          if (inOrder) expected.push(trip);
          assert.equal(collector.add(trip), inOrder, `${trip.dropoff} is taken if nothing later was`);
          batches.push(...collector.full());
        }
        batches.push(...collector.rest());
        assert.deepEqual(bodiesOf(batches), expected);
      }),
      { numRuns: 200 },
    );
  });

  it('are passed on in full batches before the end', () => {
    const collector = new TripCollector();
    const batches: TripBatch[] = [];
    for (let i = 0; i < 10_000; i++) {
      collector.add({ dropoff: i, body: `,"n":${i}}\n` });
      batches.push(...collector.full());
    }
    assert.equal(batches.length, 2, 'two batches were full');
    batches.push(...collector.rest());
    assert.deepEqual(
      bodiesOf(batches).map((trip) => trip.body),
      Array.from({ length: 10_000 }, (_, i) => `,"n":${i}}\n`),
    );
  });
});
