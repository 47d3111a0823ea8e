import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { Dataset } from '../../src/dataset/dataset.ts';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { recordText } from '../../src/events/decode.ts';
import { ReplayLedger } from '../../src/replay/ledger.ts';
import { type ReplayOptions, type ReplayOutcome, runReplay } from '../../src/replay/run.ts';
import type { OutgoingBatch, PutResult, StreamWriter } from '../../src/streams/ports.ts';
import { START, TestClock } from '../clock.ts';
import { temporaryFolder } from '../files.ts';

const NOON = Date.UTC(2016, 0, 1, 12);
const MINUTE = 60_000;

interface Sent {
  readonly id: number;
  readonly replay: string;
  readonly pickup: number;
  readonly dropoff: number;
  /** When it was put, epoch ms. */
  readonly at: number;
  settled: boolean;
}

interface WriterOptions {
  /** Ms until a put is settled. */
  readonly latency?: (put: number) => number;
  /** How many records of a put are refused for good. */
  readonly refuse?: (put: number, count: number) => number;
  /** Told before a put is taken, counted from 1; what it throws is the stream's failure. */
  readonly onPut?: (put: number) => void;
  readonly onBroadcast?: (broadcast: number) => void;
}

/** A stream in memory that checks W1 and W2 at every watermark. */
class MemoryWriter implements StreamWriter {
  readonly name = 'memory';
  readonly identity = 'memory-1';
  readonly counts = { records: 0, retries: 0, throttled: 0 };
  readonly sent: Sent[] = [];
  readonly watermarks: { ms: number; at: number; after: number }[] = [];
  readonly #clock: TestClock;
  readonly #options: WriterOptions;
  #puts = 0;
  inFlight = 0;
  mostInFlight = 0;

  constructor(clock: TestClock, options: WriterOptions = {}) {
    this.#clock = clock;
    this.#options = options;
  }

  async shards(): Promise<[]> {
    return [];
  }

  async put(batch: OutgoingBatch): Promise<PutResult> {
    const put = ++this.#puts;
    const records = this.#take(batch);
    this.sent.push(...records);
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight);
    try {
      this.#options.onPut?.(put);
      await this.#clock.sleep(this.#options.latency?.(put) ?? 0);
    } finally {
      this.inFlight--;
    }
    for (const record of records) record.settled = true;
    const refused = this.#options.refuse?.(put, batch.count) ?? 0;
    return { acknowledged: batch.count - refused, refused: refused > 0 ? { 'too-large': refused } : {} };
  }

  #take(batch: OutgoingBatch): Sent[] {
    return Array.from({ length: batch.count }, (_, i) => {
      const text = recordText(batch, i);
      const trip = JSON.parse(text) as Record<string, string> & { trip_id: number };
      const dropoff = Date.parse(trip['dropoff_datetime']!);
      const last = this.watermarks.at(-1)?.ms ?? Number.NEGATIVE_INFINITY;
      assert.ok(dropoff > last, `trip ${trip.trip_id} at ${dropoff} is behind the watermark ${last} (W1)`);
      return {
        id: trip.trip_id,
        replay: trip['replay']!,
        pickup: Date.parse(trip['pickup_datetime']!),
        dropoff,
        at: this.#clock.time,
        settled: false,
      };
    });
  }

  async broadcast(recordFor: (shardId: string) => Uint8Array): Promise<void> {
    this.#options.onBroadcast?.(this.watermarks.length + 1);
    const records = ['shardId-000000000000', 'shardId-000000000007'].map((shard) => {
      const record = JSON.parse(Buffer.from(recordFor(shard)).toString()) as Record<string, string>;
      assert.deepEqual([record['type'], record['shard']], ['watermark', shard]);
      return Date.parse(record['watermark']!);
    });
    const [ms] = records as [number, number];
    assert.equal(records[1], ms, 'every shard is told the same');
    for (const trip of this.sent) {
      if (!trip.settled)
        assert.ok(trip.dropoff > ms, `${ms} is ahead of unacknowledged trip ${trip.id} (W1)`);
    }
    assert.ok(ms >= (this.watermarks.at(-1)?.ms ?? ms), 'the watermark never goes back (W2)');
    this.watermarks.push({ ms, at: this.#clock.time, after: this.sent.length });
  }

  async close(): Promise<void> {}

  get ids(): number[] {
    return this.sent.map(({ id }) => id);
  }
}

/** A file of trips that end at these minutes after noon, each a quarter of an hour long. */
function fileOf(t: TestContext, dropoffs: readonly number[]): string {
  const folder = temporaryFolder(t);
  const text = (ms: number) => new Date(ms).toISOString().slice(0, 23);
  const rows = dropoffs.map((ms) => `${text(ms - 15 * MINUTE)},${text(ms)}\n`);
  writeFileSync(join(folder, 'trips.csv'), `pickup_datetime,dropoff_datetime\n${rows.join('')}`);
  return folder;
}

interface Replayed {
  readonly outcome: ReplayOutcome;
  readonly writer: MemoryWriter;
  readonly clock: TestClock;
}

interface Wanted extends Partial<Omit<ReplayOptions, 'writer' | 'clock'>>, WriterOptions {
  readonly clock?: TestClock;
  readonly assumeSorted?: boolean;
}

async function replay(folder: string, wanted: Wanted = {}): Promise<Replayed> {
  const { clock = new TestClock(), assumeSorted = false, ...options } = wanted;
  const writer = new MemoryWriter(clock, wanted);
  const { ledger } = { ledger: new ReplayLedger(folder, clock) };
  try {
    const outcome = await runReplay({
      dataset: await Dataset.open({ paths: [join(folder, 'trips.csv')], dataDir: folder, assumeSorted }),
      writer,
      ledger: () => ledger,
      rejected: new DeadLetterBuffer(10),
      clock,
      speedup: Number.POSITIVE_INFINITY,
      adaptTime: 'original',
      watermarks: true,
      resume: false,
      signal: new AbortController().signal,
      ...options,
    });
    assert.equal(writer.inFlight, 0, 'every put is settled when a replay ends');
    return { outcome, writer, clock };
  } finally {
    ledger.close();
  }
}

function assertReconciled({ sent, acknowledged, refused, skipped, notSent }: ReplayOutcome, trips: number) {
  const total = (counts: Record<string, number>) => Object.values(counts).reduce((sum, n) => sum + n, 0);
  assert.equal(sent, acknowledged + total(refused), 'sent = acknowledged + refused');
  assert.equal(trips, sent + total(skipped) + notSent, 'trips = sent + not asked for + not sent');
}

/** Drop-offs in order, with ties, from seconds to hours apart. */
const dropoffs = fc
  .array(fc.oneof(fc.constant(0), fc.nat(5_000), fc.nat(600_000)), {
    minLength: 1,
    maxLength: 60,
    size: 'max',
  })
  .map((gaps) => {
    let ms = NOON;
    return gaps.map((gap) => {
      ms += gap;
      return ms;
    });
  });
const speedups = fc.constantFrom(60, 600, 6_000, Number.POSITIVE_INFINITY);
const latencies = fc.array(fc.nat(3_000), { minLength: 1, maxLength: 9 });

describe('a replay', () => {
  it('sends every trip once, not before its time, with watermarks behind unacknowledged trips (W1, W2, W3)', async (t) => {
    await fc.assert(
      fc.asyncProperty(
        dropoffs,
        speedups,
        latencies,
        fc.nat(3),
        fc.boolean(),
        async (trips, speedup, waits, odd, assumeSorted) => {
          const { outcome, writer } = await replay(fileOf(t, trips), {
            speedup,
            latency: (put) => waits[put % waits.length]!,
            refuse: (put, count) => (put % 5 === odd ? Math.min(2, count) : 0),
            assumeSorted,
          });
          assert.deepEqual(writer.ids, trips.map((_, id) => id), 'each trip once, in order'); // biome-ignore format: one step
          assert.deepEqual(writer.sent.map(({ dropoff }) => dropoff), trips); // biome-ignore format: one step
          assert.ok(
            writer.sent.every(({ pickup, dropoff }) => dropoff - pickup === 15 * MINUTE),
            'times as they are in the file',
          );
          const first = writer.sent[0]!.at;
          for (const { at, dropoff, id } of writer.sent) {
            assert.ok(
              at - first >= (dropoff - trips[0]!) / speedup,
              `trip ${id} is not sent before its time`,
            );
          }
          assert.equal(
            writer.watermarks.at(-1)!.ms,
            trips.at(-1),
            'the last watermark is the last drop-off (W3)',
          );
          assert.equal(writer.watermarks.at(-1)!.after, trips.length, 'and comes after all trips');
          const times = [first, ...writer.watermarks.map(({ at }) => at)];
          const slowest = Math.max(...waits);
          for (let i = 1; i < times.length; i++) {
            assert.ok(times[i]! - times[i - 1]! <= 5_000 + slowest, 'a watermark every 5 s (W3)');
          }
          assert.ok(writer.mostInFlight <= 8, 'a few puts at a time');
          assertReconciled(outcome, trips.length);
          assert.deepEqual(
            [outcome.watermarks, outcome.lastWatermark, outcome.firstDropoff, outcome.lastDropoff],
            [writer.watermarks.length, trips.at(-1), trips[0], trips.at(-1)],
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  it('keeps its pace: a trip is at most a moment late', async (t) => {
    const trips = Array.from({ length: 50 }, (_, i) => NOON + i * i * 1_000);
    const { writer } = await replay(fileOf(t, trips), { speedup: 10 });
    const first = writer.sent[0]!.at;
    for (const { at, dropoff } of writer.sent) {
      const late = at - first - (dropoff - NOON) / 10;
      assert.ok(late >= 0 && late <= 50, `${late} ms late`);
    }
  });

  it('jumps over gaps of more than a day and reports them', async (t) => {
    const day = 24 * 60 * MINUTE;
    const trips = [-3_650 * day, 0, 10 * MINUTE, day + 10 * MINUTE, 400 * day].map((ms) => NOON + ms);
    const jumps: { from: number; to: number }[] = [];
    const { writer } = await replay(fileOf(t, trips), { speedup: 600, onJump: (jump) => jumps.push(jump) });
    assert.deepEqual(jumps, [
      { from: trips[0], to: trips[1] },
      { from: trips[3], to: trips[4] },
    ]);
    const at = writer.sent.map((trip) => Math.round((trip.at - writer.sent[0]!.at) / 1_000));
    assert.deepEqual(at, [0, 0, 1, 145, 145]);
  });

  it('sends the watermark every 5 s of wall time, also while no trip is due (W3)', async (t) => {
    const { writer } = await replay(fileOf(t, [NOON, NOON + 10 * MINUTE]), { speedup: 10 });
    const [first] = writer.sent;
    const times = writer.watermarks.map(({ at }) => at - first!.at);
    assert.deepEqual(times.slice(0, -1), [5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 35_000, 40_000, 45_000, 50_000, 55_000, 60_000].slice(0, times.length - 1)); // biome-ignore format: one list
    assert.ok(times.length >= 12, `${times.length} watermarks in a minute`);
    for (const { ms } of writer.watermarks.slice(0, -1)) {
      assert.equal(ms, NOON + 10 * MINUTE - 1, 'just before the next trip');
    }
  });

  it('sends the watermark every 100,000 trips, however fast they go (W3)', async (t) => {
    const count = 250_000;
    const { writer } = await replay(
      fileOf(
        t,
        Array.from({ length: count }, (_, i) => NOON + Math.floor(i / 3)),
      ),
      {
        latency: (put) => put % 3,
      },
    );
    const places = [0, ...writer.watermarks.map(({ after }) => after)];
    for (let i = 1; i < places.length; i++) {
      assert.ok(places[i]! - places[i - 1]! <= 100_000, `${places.join(', ')}`);
    }
    assert.equal(places.at(-1), count);
    assert.ok(places.length <= 5, 'and not much more often');
  });

  it('sends no watermarks if asked not to', async (t) => {
    const { writer, outcome } = await replay(fileOf(t, [NOON, NOON + 1]), { watermarks: false });
    assert.deepEqual([writer.watermarks, outcome.watermarks, writer.ids], [[], 0, [0, 1]]);
  });

  it('of no trips at all sends nothing', async (t) => {
    const { writer, outcome } = await replay(fileOf(t, []));
    assert.deepEqual([writer.sent, writer.watermarks, outcome.sent], [[], [], 0]);
  });

  it('gives the same ids and name to the same input, and another name to another input', async (t) => {
    const folder = fileOf(t, [NOON, NOON + 1, NOON + 2]);
    const nameOf = async (where: string, options: Wanted = {}) =>
      new Set((await replay(where, options)).writer.sent.map((trip) => trip.replay));
    const [name] = await nameOf(folder);
    assert.match(name!, /^[0-9a-f]{12}$/);
    assert.deepEqual(await nameOf(folder, { seek: NOON + 1, speedup: 10 }), new Set([name]));
    assert.deepEqual(
      await nameOf(fileOf(t, [NOON, NOON + 1, NOON + 2])),
      new Set([name]),
      'in another folder',
    );
    assert.notDeepEqual(await nameOf(fileOf(t, [NOON, NOON + 1])), new Set([name]));
    assert.notDeepEqual(await nameOf(folder, { adaptTime: 'ingestion' }), new Set([name]));
  });
});

describe('seek, until and limit', () => {
  it('select exactly their trips, with the ids of the whole input, and every trip is accounted for', async (t) => {
    await fc.assert(
      fc.asyncProperty(
        dropoffs,
        fc.option(fc.nat(120)),
        fc.option(fc.nat(120)),
        fc.option(fc.nat(70)),
        fc.boolean(),
        async (trips, seekAt, untilAt, limit, assumeSorted) => {
          // A time on, before or after some trip.
          const near = (n: number | null) =>
            n === null ? undefined : trips[Math.floor(n / 2) % trips.length]! + (n % 2);
          const [seek, until] = [near(seekAt), near(untilAt)];
          const { outcome, writer } = await replay(fileOf(t, trips), {
            seek,
            until,
            limit: limit ?? undefined,
            assumeSorted,
          });
          const wanted = trips
            .map((dropoff, id) => ({ dropoff, id }))
            .filter(({ dropoff }) => dropoff >= (seek ?? 0) && dropoff < (until ?? Number.POSITIVE_INFINITY))
            .slice(0, limit ?? trips.length);
          assert.deepEqual(writer.sent.map(({ id, dropoff }) => ({ dropoff, id })), wanted); // biome-ignore format: one step
          assertReconciled(outcome, trips.length);
          assert.equal(outcome.skipped.before_seek, trips.filter((dropoff) => dropoff < (seek ?? 0)).length);
          assert.equal(outcome.notSent, 0);
          if (wanted.length === 0) return;
          // A later run may still send a trip that was left out and ties with the last one.
          const { dropoff: end, id } = wanted.at(-1)!;
          assert.equal(
            outcome.lastWatermark,
            trips[id + 1] === end ? end - 1 : end,
            'the last watermark (W1, W3)',
          );
        },
      ),
      { numRuns: 80 },
    );
  });

  it('stop reading a sorted input once nothing more is needed', async (t) => {
    const trips = Array.from({ length: 30_000 }, (_, i) => NOON + i * 100);
    const { writer, outcome } = await replay(fileOf(t, trips), { assumeSorted: true, limit: 5 });
    assert.deepEqual(writer.ids, [0, 1, 2, 3, 4]);
    assert.ok(outcome.skipped.over_limit < 30_000, 'the rest of the file was never read');
  });
});

describe('adapted times', () => {
  const trips = [0, 5, 5, 60, 61, 300].map((minutes) => NOON + minutes * MINUTE);

  it('by invocation shift all trips alike, so that the first ends when the replay began', async (t) => {
    for (const wanted of [{}, { seek: NOON + MINUTE }, { limit: 3 }, { until: NOON + 61 * MINUTE }]) {
      const { writer, outcome } = await replay(fileOf(t, trips), { ...wanted, adaptTime: 'invocation' });
      const ids = writer.ids;
      const shift = START - trips[ids[0]!]!;
      assert.deepEqual(writer.sent.map(({ dropoff }) => dropoff), ids.map((id) => trips[id]! + shift)); // biome-ignore format: one step
      assert.ok(
        writer.sent.every(({ pickup, dropoff }) => dropoff - pickup === 15 * MINUTE),
        'pick-ups move along',
      );
      assert.equal(
        outcome.lastWatermark,
        trips[ids.at(-1)!]! + shift,
        `the last watermark is the last drop-off (W3): ${JSON.stringify(wanted)}`,
      );
      assertReconciled(outcome, trips.length);
    }
  });

  it('by invocation ignore stray trips when they choose the shift, and report them', async (t) => {
    const DAY = 24 * 60 * MINUTE;
    const group = fc.record({ years: fc.nat(20), count: fc.constantFrom(1, 1, 2, 3, 7, 40, 120, 250), within: fc.nat(DAY) });
    await fc.assert(
      fc.asyncProperty(fc.array(group, { minLength: 1, maxLength: 5 }), fc.boolean(), async (groups, assumeSorted) => {
        const all = groups
          .flatMap(({ years, count, within }) =>
            Array.from({ length: count }, (_, i) => NOON - years * 365 * DAY + Math.floor((i * within) / count)),
          )
          .sort((a, b) => a - b);
        // The rule in naive form: groups are more than a day apart and have 100 trips or more than half of the largest.
        const found = all.reduce<number[][]>((lists, ms, i) => {
          if (i === 0 || ms - all[i - 1]! > DAY) lists.push([]);
          lists.at(-1)!.push(ms);
          return lists;
        }, []);
        const largest = Math.max(...found.map((list) => list.length));
        const at = found.findIndex((list) => list.length >= 100 || list.length > largest / 2);
        const before = found.slice(0, at).flat();
        const told: unknown[] = [];
        const gaps: number[] = [];
        const { writer, outcome } = await replay(fileOf(t, all), {
          adaptTime: 'invocation',
          assumeSorted,
          onStrays: (strays, first) => told.push({ ...strays, meant: first }),
          onGap: ({ to }, ends) => gaps.push(to, ends),
        });
        const shift = START - found[at]![0]!;
        assert.deepEqual(writer.sent.map(({ dropoff }) => dropoff), all.map((ms) => ms + shift));
        assert.deepEqual(
          told,
          at === 0 ? [] : [{ count: before.length, first: before[0], last: before.at(-1), meant: found[at]![0] }],
        );
        assert.deepEqual(gaps, found.slice(at + 1).flatMap(([first]) => [first, first! + shift]));
        assert.equal(outcome.lastWatermark, all.at(-1)! + shift);
      }),
      { numRuns: 40 },
    );
  }); // biome-ignore format: a step a line

  it('by invocation start from the trip that --seek finds, stray or not, also when a replay is resumed', async (t) => {
    const YEAR = 365 * 24 * 60 * MINUTE;
    const all = [NOON - 14 * YEAR, NOON - 10 * YEAR, ...trips, NOON + 70 * YEAR];
    const told: unknown[] = [];
    const onStrays = (strays: unknown) => told.push(strays);
    const folder = fileOf(t, all);
    const sought = await replay(folder, { adaptTime: 'invocation', seek: NOON - 12 * YEAR, onStrays });
    assert.deepEqual(sought.writer.sent.map(({ dropoff }) => dropoff), all.slice(1).map((ms) => ms - all[1]! + START)); // biome-ignore format: one step
    assert.deepEqual(told, []);
    const first = await replay(folder, { adaptTime: 'invocation', limit: 4, onStrays });
    await first.clock.sleep(1_000_000);
    const second = await replay(folder, {
      adaptTime: 'invocation',
      resume: true,
      clock: first.clock,
      onStrays,
    });
    const sent = [...first.writer.sent, ...second.writer.sent];
    assert.deepEqual(sent.map(({ dropoff }) => dropoff), all.map((ms) => ms - NOON + START)); // biome-ignore format: one step
    assert.equal(told.length, 2);
  });

  it('by invocation stay within the years that can be written', async (t) => {
    const all = [...trips, Date.UTC(9999, 11, 31), Date.UTC(9999, 11, 31, 23, 59)];
    const { writer, outcome } = await replay(fileOf(t, all), { adaptTime: 'invocation' });
    assert.deepEqual(
      writer.ids,
      all.map((_, id) => id),
    );
    const latest = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
    assert.deepEqual(writer.sent.slice(-2).map(({ dropoff }) => dropoff), [latest, latest]); // biome-ignore format: one step
    assert.equal(outcome.lastWatermark, latest);
  });

  it('by invocation keep the shift of the first run when a replay is resumed', async (t) => {
    const folder = fileOf(t, trips);
    const first = await replay(folder, { adaptTime: 'invocation', limit: 4 });
    await first.clock.sleep(1_000_000);
    const second = await replay(folder, { adaptTime: 'invocation', resume: true, clock: first.clock });
    const sent = [...first.writer.sent, ...second.writer.sent];
    assert.deepEqual(sent.map(({ id }) => id), [0, 1, 2, 3, 4, 5]); // biome-ignore format: one step
    assert.deepEqual(sent.map(({ dropoff }) => dropoff), trips.map((ms) => ms - NOON + START)); // biome-ignore format: one step
    assert.equal(new Set(sent.map((trip) => trip.replay)).size, 1);
  });

  it('by ingestion are the time of sending, and so is the last watermark (W1, W3)', async (t) => {
    for (const clock of [new TestClock(), new TestClock({ tick: 1 })]) {
      for (const wanted of [{}, { limit: 4 }]) {
        const { writer, outcome } = await replay(fileOf(t, trips), {
          ...wanted,
          adaptTime: 'ingestion',
          speedup: 600,
          latency: (put) => (put % 3) * 2_000,
          clock,
        });
        assert.equal(writer.sent.length, wanted.limit ?? trips.length);
        for (const [i, { dropoff, pickup, at }] of writer.sent.entries()) {
          assert.ok(dropoff <= at && at - dropoff <= 5, `sent at ${at} as of ${dropoff}`);
          assert.equal(dropoff - pickup, 15 * MINUTE);
          assert.ok(i === 0 || dropoff >= writer.sent[i - 1]!.dropoff, 'in order');
        }
        assert.equal(
          outcome.lastWatermark,
          writer.sent.at(-1)!.dropoff,
          'the last watermark is the last drop-off',
        );
      }
    }
  });
});

describe('a clock that is set back', () => {
  const trips = [0, 5, 5, 60, 61, 300].map((minutes) => NOON + minutes * MINUTE);

  it("doesn't make the replay send a trip behind a watermark, in this run or the next (W1)", async (t) => {
    const folder = fileOf(t, trips);
    const options = { adaptTime: 'ingestion', speedup: 600 } as const;
    const clock = new TestClock();
    const onBroadcast = (broadcast: number) => {
      if (broadcast === 1) clock.advance(-10 * MINUTE);
    };
    const first = await replay(folder, { ...options, clock, limit: 5, onBroadcast });
    assert.ok(first.writer.watermarks.length > 1, 'trips were sent after a watermark');
    clock.advance(-10 * MINUTE);
    for (const resume of [true, false]) {
      const next = await replay(folder, { ...options, clock, resume });
      assert.equal(next.writer.sent.length, resume ? 1 : 6);
      for (const { dropoff } of next.writer.sent)
        assert.ok(dropoff > first.outcome.lastWatermark!, `${dropoff} after ${first.outcome.lastWatermark}`);
    }
  });
});

describe('a replay that is stopped', () => {
  it('waits for the puts in flight, and the next run sends exactly the rest', async (t) => {
    await fc.assert(
      fc.asyncProperty(
        dropoffs,
        speedups,
        latencies,
        fc.integer({ min: 1, max: 12 }),
        async (trips, speedup, waits, stopAt) => {
          const folder = fileOf(t, trips);
          const stop = new AbortController();
          const clock = new TestClock();
          const first = await replay(folder, {
            speedup,
            clock,
            latency: (put) => waits[put % waits.length]!,
            onPut: (put) => {
              if (put === stopAt) stop.abort();
            },
            signal: stop.signal,
          });
          assertReconciled(first.outcome, trips.length);
          assert.equal(first.outcome.interrupted, stop.signal.aborted);
          assert.equal(first.outcome.notSent, trips.length - first.outcome.sent);
          const second = await replay(folder, { speedup, clock, resume: true });
          assert.deepEqual([...first.writer.ids, ...second.writer.ids], trips.map((_, id) => id)); // biome-ignore format: one step
          assert.equal(second.outcome.skipped.already_sent, first.outcome.sent);
          assertReconciled(second.outcome, trips.length);
          assert.equal(second.outcome.lastWatermark, trips.at(-1));
          const last = first.outcome.lastWatermark ?? Number.NEGATIVE_INFINITY;
          for (const { id, dropoff } of second.writer.sent) {
            assert.ok(dropoff > last, `trip ${id} comes after the watermark of the first run (W1)`);
          }
          assert.ok(
            second.writer.watermarks.every(({ ms }) => ms >= last),
            'the watermark goes on (W2)',
          );
        },
      ),
      { numRuns: 50 },
    );
  });

  it('before it began sends nothing', async (t) => {
    const { outcome, writer } = await replay(fileOf(t, [NOON, NOON + 1]), { signal: AbortSignal.abort() });
    assert.deepEqual([writer.sent, outcome.interrupted, outcome.notSent], [[], true, 2]);
  });

  it("while it reads the trips sends nothing and isn't recorded", async (t) => {
    const folder = fileOf(t, [NOON, NOON + 1]);
    const stop = new AbortController();
    const dataset = await Dataset.open({
      paths: [join(folder, 'trips.csv')],
      dataDir: folder,
      signal: stop.signal,
      onProgress: () => stop.abort(),
    });
    const { outcome, writer } = await replay(folder, { dataset, signal: stop.signal });
    assert.deepEqual(
      [writer.sent, writer.watermarks, outcome.replay, outcome.interrupted, outcome.notSent],
      [[], [], null, true, 2],
    );
    const whole = await replay(folder, { resume: true });
    assert.equal(whole.outcome.sent, 2);
  });

  it('during a long wait ends at once', async (t) => {
    const stop = new AbortController();
    const { outcome, clock } = await replay(fileOf(t, [NOON, NOON + 60 * MINUTE]), {
      speedup: 1,
      onBroadcast: (broadcast) => {
        if (broadcast === 2) stop.abort();
      },
      signal: stop.signal,
    });
    assert.equal(outcome.sent, 1);
    assert.ok(clock.time - START <= 10_000, 'no wait for the second trip');
  });

  it('sends everything again under the same ids without --resume', async (t) => {
    const folder = fileOf(t, [NOON, NOON + 1, NOON + 2]);
    await replay(folder, { limit: 2 });
    const again = await replay(folder);
    assert.deepEqual(again.writer.ids, [0, 1, 2]);
    const third = await replay(folder, { resume: true });
    assert.deepEqual(third.writer.ids, [], 'nothing is left to send');
    assert.equal(third.outcome.skipped.already_sent, 3);
    assert.equal(
      third.outcome.lastWatermark,
      NOON + 2,
      'its last watermark comes again, should it have been lost',
    );
  });
});

describe('a stream that fails', () => {
  const failure = new TaxiflowError('disk-full', 'no room');

  it('ends the replay with its error once all puts are settled, and the next run loses nothing (W7)', async (t) => {
    await fc.assert(
      fc.asyncProperty(dropoffs, latencies, fc.integer({ min: 1, max: 8 }), async (trips, waits, failAt) => {
        const folder = fileOf(t, trips);
        const clock = new TestClock();
        const writer: { first?: MemoryWriter } = {};
        let failed = false;
        const first = replay(folder, {
          clock,
          speedup: 6_000,
          watermarkInterval: 500,
          latency: (put) => waits[put % waits.length]!,
          onPut: (put) => {
            if (put !== failAt) return;
            failed = true;
            throw failure;
          },
        });
        try {
          writer.first = (await first).writer;
        } catch (error) {
          assert.equal(error, failure);
        }
        const second = await replay(folder, { clock, resume: true });
        const ids = second.writer.ids;
        assert.deepEqual(ids, trips.map((_, id) => id).slice(trips.length - ids.length), 'an end of the input'); // biome-ignore format: one step
        assert.equal(ids.length > 0, failed, 'what was not acknowledged comes again');
        assertReconciled(second.outcome, trips.length);
        assert.equal(second.outcome.lastWatermark, trips.at(-1));
      }),
      { numRuns: 40 },
    );
  });

  it('at a watermark also ends it, after all puts', async (t) => {
    const folder = fileOf(
      t,
      Array.from({ length: 20 }, (_, i) => NOON + i * MINUTE),
    );
    await assert.rejects(
      replay(folder, {
        speedup: 60,
        onBroadcast: (broadcast) => {
          if (broadcast === 2) throw failure;
        },
      }),
      (error) => error === failure,
    );
    const second = await replay(folder, { resume: true });
    assert.ok(second.writer.ids.length < 20, 'what was acknowledged stays noted');
    assert.equal(second.writer.ids.at(-1), 19);
  });
});
