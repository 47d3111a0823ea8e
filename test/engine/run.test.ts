import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import { type ProcessOptions, type ProcessOutcome, runProcess } from '../../src/engine/run.ts';
import type { Sink } from '../../src/engine/sink.ts';
import type { Counters } from '../../src/engine/state-store.ts';
import { TaxiflowError } from '../../src/errors.ts';
import type { Trip } from '../../src/events/trip.ts';
import { checkViews } from '../../src/views/check.ts';
import * as l from '../../src/views/language.ts';
import { TestClock } from '../clock.ts';
import { groupBy } from '../views/model.ts';
import { type Document, MemoryReader, MemoryStore } from './memory.ts';

const NOON = Date.UTC(2016, 0, 1, 12);
const SECOND = 1_000;
const iso = (ms: number) => new Date(ms).toISOString();
const tripAt = (seconds: number, more: Partial<Trip> = {}) =>
  `${JSON.stringify({ type: 'trip', ...more, dropoff_datetime: iso(NOON + seconds * SECOND) })}\n`;
const watermarkAt = (seconds: number) =>
  `${JSON.stringify({ type: 'watermark', watermark: iso(NOON + seconds * SECOND) })}\n`;

const counted = l.view({ name: 'counted', by: {}, window: l.tumbling('10s'), aggregates: { n: l.count() } });
const byVendor = l.view({
  name: 'by_vendor',
  where: l.not(l.eq(l.field('passenger_count'), 0)),
  by: { vendor: l.field('vendor_id') },
  window: l.sliding('30s', '10s'),
  aggregates: {
    n: l.count(),
    total: l.sum(l.field('total_amount')),
    zones: l.countDistinct(l.field('pickup_zone')),
  },
  having: l.gte(l.aggregate('n'), 2),
});
checkViews([counted, byVendor]);

type Wanted = Partial<Omit<ProcessOptions, 'reader' | 'store'>>;

async function run(reader: MemoryReader, store: MemoryStore, wanted: Wanted = {}): Promise<ProcessOutcome> {
  const outcome = await runProcess({
    reader,
    store: store.reopen(),
    views: [counted],
    deadLetters: new DeadLetterBuffer(1_000),
    sinks: [],
    clock: new TestClock({ tick: 1 }),
    from: { at: 'trim-horizon' },
    eventTime: 'dropoff',
    allowedLateness: 0,
    checkpointInterval: 5,
    pollInterval: 100,
    untilEnd: () => true,
    drain: true,
    signal: new AbortController().signal,
    ...wanted,
  });
  assertReconciled(outcome.counters);
  assertReconciled(outcome.totals);
  return outcome;
}

/** C7 */
function assertReconciled({ read, watermarks, processed, filtered, duplicate, late, dead }: Counters): void {
  assert.equal(
    read,
    watermarks + processed + filtered + duplicate + late + dead,
    'every record is something (C7)',
  );
}

const lines = (docs: readonly Document[]) =>
  docs.map((doc) => JSON.stringify(doc, Object.keys(doc).sort())).sort();
const plain = (docs: readonly Document[]) => JSON.parse(JSON.stringify(docs)) as Document[];
/** Window starts in seconds, with their counts. */
const counts = (store: MemoryStore) =>
  store.documents.map((doc) => [(Date.parse(String(doc['window_start'])) - NOON) / SECOND, doc['n']]);

const GARBAGE = ['', '\n', '{}', 'x\n', '{"type":"trip"}\n', '{"type":"trip","trip_id":', '[]\n', '{"type":"watermark","watermark":"soon"}\n', 'null', '{"type":"trip","dropoff_datetime":7}']; // biome-ignore format: one list

const trips: fc.Arbitrary<Trip[]> = fc
  .array(
    fc.record({
      gap: fc.oneof(fc.constant(0), fc.nat(4_000)),
      vendor: fc.constantFrom('CMT', 'VTS', undefined),
      amount: fc.integer({ min: -500, max: 9_999 }),
      zone: fc.constantFrom(1, 2, undefined),
      riders: fc.nat(3),
    }),
    { minLength: 1, maxLength: 60, size: 'max' },
  )
  .map((all) => {
    let ms = NOON;
    return all.map(({ gap, vendor, amount, zone, riders }, id) => {
      ms += gap;
      return {
        trip_id: id,
        replay: 'r',
        dropoff_datetime: iso(ms),
        ...(vendor === undefined ? {} : { vendor_id: vendor }),
        ...(zone === undefined ? {} : { pickup_zone: zone }),
        passenger_count: riders,
        total_amount: amount / 100,
      };
    });
  });

const events = fc.array(
  fc.record({
    do: fc.constantFrom('send', 'send', 'send', 'send', 'watermark', 'again', 'garbage', 'split', 'merge'),
    n: fc.nat(1_000),
  }),
  { minLength: 20, maxLength: 150, size: 'max' },
);
type Events = typeof events extends fc.Arbitrary<infer E> ? E : never;

interface Written {
  readonly reader: MemoryReader;
  readonly watermarks: number;
  readonly garbage: number;
  readonly again: number;
}

/** A producer that keeps W1, on a stream that is resharded meanwhile, with retries and foreign records. */
function write(all: readonly Trip[], shards: number, what: Events, watermarks: boolean): Written {
  const reader = new MemoryReader(shards);
  const seen = { watermarks: 0, garbage: 0, again: 0 };
  let next = 0;
  const put = (n: number, text: string) => reader.put(reader.open[n % reader.open.length]!, text, next);
  const send = (n: number) => put(n, `${JSON.stringify({ type: 'trip', ...all[next++]! })}\n`);
  const tell = (ms: number) => {
    if (!watermarks) return;
    seen.watermarks += reader.open.length;
    reader.broadcast(`${JSON.stringify({ type: 'watermark', watermark: iso(ms) })}\n`);
  };
  for (const { do: step, n } of what) {
    const open = reader.open;
    if (step === 'send' && next < all.length) send(n);
    else if (step === 'watermark' && next < all.length) tell(Date.parse(all[next]!.dropoff_datetime) - 1);
    else if (step === 'again' && next > 0) {
      seen.again++;
      put(n, `${JSON.stringify({ type: 'trip', ...all[n % next]! })}\n`);
    } else if (step === 'garbage') {
      seen.garbage++;
      put(n, GARBAGE[n % GARBAGE.length]!);
    } else if (step === 'split' && open.length < 6) {
      const parent = open[n % open.length]!;
      reader.add([parent]);
      reader.add([parent]);
    } else if (step === 'merge' && open.length > 1) {
      const first = n % open.length;
      reader.add([open[first]!, open[(first + 1) % open.length]!]);
    }
  }
  while (next < all.length) send(next * 7);
  tell(Date.parse(all.at(-1)!.dropoff_datetime));
  return { reader, ...seen };
}

describe('a processor', () => {
  const settings = fc.record({
    shards: fc.integer({ min: 1, max: 4 }),
    batchRecords: fc.integer({ min: 1, max: 20 }),
    checkpointInterval: fc.constantFrom(0, 1, 7, 50),
    memoryLimit: fc.constantFrom(0, 10_000, 1_000_000),
    crashes: fc.array(fc.record({ at: fc.constantFrom('commit', 'read'), n: fc.integer({ min: 1, max: 12 }) }), { maxLength: 4 }),
  }); // biome-ignore format: a setting a line

  it('counts every trip once, across splits and merges, retries, noise and crashes (W4, W7, C1, C7)', async () => {
    await fc.assert(
      fc.asyncProperty(trips, events, settings, async (all, what, { crashes, shards, ...options }) => {
        const { reader, watermarks, garbage, again } = write(all, shards, what, true);
        const store = new MemoryStore();
        const views = [counted, byVendor];
        for (const { at, n } of crashes) {
          let countdown = n;
          const crash = (where: string) => () => {
            if (where === at && --countdown === 0) throw new Error('crash');
          };
          store.beforeCommit = crash('commit');
          reader.beforeRead = crash('read');
          try {
            await run(reader, store, { views, ...options });
          } catch (error) {
            assert.equal((error as Error).message, 'crash', String((error as Error).stack));
          }
        }
        store.beforeCommit = () => {};
        reader.beforeRead = () => {};
        const { totals, openWindows } = await run(reader, store, { views, ...options });
        const expected = views.flatMap((view) => groupBy(view, all));
        assert.deepEqual(lines(store.documents), lines(plain(expected)), 'each result exactly once');
        assert.deepEqual(
          {
            watermarks: totals.watermarks,
            dead: totals.dead,
            duplicate: totals.duplicate,
            late: totals.late,
          },
          { watermarks, dead: garbage, duplicate: again, late: 0 },
        );
        assert.equal(totals.processed + totals.filtered, all.length);
        assert.equal(totals.results, expected.length);
        assert.deepEqual(store.letters, garbage > 0 ? { 'not-readable': garbage } : {});
        assert.deepEqual([openWindows, store.blocks], [0, 0], 'nothing is left of windows that fired');
      }),
      { numRuns: 200 },
    );
  });

  it('counts late trips as late in any order, and loses none of the others (C7)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof({ weight: 4, arbitrary: fc.nat(100) }, fc.constantFrom('watermark', 'garbage')), { maxLength: 60, size: 'max' }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom(0, 15 * SECOND),
        async (what, shards, batchRecords, allowedLateness) => {
          const reader = new MemoryReader(shards);
          let sent = 0;
          for (const [i, event] of what.entries()) {
            const to = reader.list[i % shards]!;
            if (event === 'garbage') reader.put(to, GARBAGE[i % GARBAGE.length]!);
            else if (event === 'watermark') reader.broadcast(watermarkAt(i * 2));
            else {
              reader.put(to, tripAt(event as number));
              sent++;
            }
          }
          const store = new MemoryStore();
          const { totals } = await run(reader, store, { batchRecords, allowedLateness });
          assert.equal(totals.processed + totals.late, sent);
          assert.equal(store.letters['late'] ?? 0, totals.late, 'every late trip is a dead letter');
          // The last result of each window counts.
          const latest = new Map(store.documents.map((doc) => [doc['window_start'], Number(doc['n'])]));
          assert.equal([...latest.values()].reduce((sum, n) => sum + n, 0), totals.processed);
        },
      ),
      { numRuns: 200 },
    ); // biome-ignore format: one property
  });

  it('says which trips are late in one view only, and which lack the key of a view', async () => {
    const reader = new MemoryReader(1);
    const [shard] = reader.list;
    const long = l.view({ ...counted, name: 'long', window: l.tumbling('1m') });
    reader.put(shard!, tripAt(1, { vendor_id: 'CMT' }));
    reader.put(shard!, tripAt(2));
    reader.broadcast(watermarkAt(10));
    // Late for the window of 0 to 10 s, in time for that of a minute; then one late for both.
    reader.put(shard!, tripAt(3));
    reader.broadcast(watermarkAt(60));
    reader.put(shard!, tripAt(4, { vendor_id: 'VTS' }));
    const store = new MemoryStore();
    const { lateInAView, keyless, counters } = await run(reader, store, { views: [counted, long, byVendor] });
    assert.deepEqual([lateInAView, counters.late, counters.processed], [1, 1, 3]);
    assert.deepEqual(store.letters, { late: 1, 'late-in-a-view': 1 });
    assert.deepEqual(keyless, { [byVendor.name]: 2 });
  });

  it('that is stopped leaves its windows open in the state, and the next one continues them', async () => {
    const reader = new MemoryReader(2);
    reader.put(reader.list[0]!, tripAt(1));
    reader.broadcast(watermarkAt(2));
    const store = new MemoryStore();
    const stop = new AbortController();
    const first = await run(reader, store, {
      drain: false,
      untilEnd: () => false,
      signal: stop.signal,
      onProgress: ({ counters }) => {
        if (counters.read === 3) stop.abort();
      },
    });
    assert.deepEqual([first.interrupted, first.openWindows, store.documents], [true, 1, []]);
    reader.put(reader.list[1]!, tripAt(3));
    reader.broadcast(watermarkAt(10));
    const second = await run(reader, store, { drain: false });
    assert.deepEqual([second.interrupted, second.counters.read, second.totals.read], [false, 3, 6]);
    assert.deepEqual(counts(store), [[0, 2]]);
  });

  it('that started at the latest records continues from there, even if none had arrived yet', async () => {
    const reader = new MemoryReader(2);
    for (const shard of reader.list) reader.put(shard, tripAt(1));
    const store = new MemoryStore();
    store.beforeCommit = (commit) => {
      if (commit === 2) throw new Error('crash');
    };
    const options = { from: { at: 'latest' } as const, checkpointInterval: 0, drain: false };
    await run(reader, store, options).catch((error: Error) => assert.equal(error.message, 'crash'));
    store.beforeCommit = () => {};
    for (const shard of reader.list) reader.put(shard, tripAt(3));
    assert.equal((await run(reader, store, options)).totals.read, 2);
  });

  it('that is stopped while it begins at many shards waits for them once, without a warning', async (t) => {
    const warnings: string[] = [];
    const listen = ({ name }: Error) => warnings.push(name);
    process.on('warning', listen);
    t.after(() => process.off('warning', listen));
    const reader = new MemoryReader(50);
    const stop = new AbortController();
    reader.beforeRead = (read) => {
      if (read === 1) stop.abort();
    };
    const options = { drain: false, untilEnd: () => false, signal: stop.signal };
    const { interrupted } = await run(reader, new MemoryStore(), options);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([interrupted, warnings], [true, []]);
  });

  it('that is stopped before it knows its shards has read nothing, lost nothing and fired nothing', async () => {
    const reader = new MemoryReader(2);
    const [first, second] = reader.list;
    reader.put(first!, tripAt(1), 10);
    reader.put(first!, tripAt(11), 20);
    for (const shard of reader.list) reader.put(shard, watermarkAt(4), 20);
    const store = new MemoryStore();
    const options = { from: { at: 'time', ms: 15 } as const, drain: false, allowGap: true };
    const listed = reader.shards;
    const stopped = async () => {
      const stop = new AbortController();
      reader.shards = () => {
        setImmediate(() => stop.abort());
        return new Promise(() => {});
      };
      const { lost } = await run(reader, store, { ...options, signal: stop.signal });
      reader.shards = listed;
      assert.deepEqual(lost, []);
    };
    await stopped();
    // One shard is split and drained; the records in its children hold the windows back.
    reader.put(second!, watermarkAt(30), 30);
    reader.add([first!]);
    await run(reader, store, { ...options, batchRecords: 1 });
    const before = counts(store);
    await stopped();
    reader.put(reader.list[2]!, tripAt(12), 40);
    reader.put(reader.list[2]!, watermarkAt(30), 40);
    const { totals } = await run(reader, store, options);
    assert.deepEqual([before, counts(store), totals.late], [[], [[10, 2]], 0]);
  });

  it('that starts at a time reads nothing earlier, even of shards whose parents ended before it', async () => {
    const reader = new MemoryReader(1);
    const parent = reader.list[0]!;
    reader.put(parent, tripAt(1), 10);
    const [a, b] = [reader.add([parent]), reader.add([parent])];
    for (const [at, arrival] of [[2, 20], [3, 30], [4, 40]] as const) reader.put(a, tripAt(at), arrival); // biome-ignore format: one line
    reader.put(reader.add([a, b]), tripAt(5), 50);
    const store = new MemoryStore();
    const { totals } = await run(reader, store, { from: { at: 'time', ms: 30 } });
    assert.deepEqual([totals.read, counts(store)], [3, [[0, 3]]]);
  });

  it('reads to the end as of the moment it is asked to, not as of the read before', async () => {
    const reader = new MemoryReader(1);
    reader.put(reader.list[0]!, tripAt(1));
    let ending = false;
    // Records that arrive between a read and the taking of its batch.
    reader.beforeRead = (read) => {
      if (read !== 3) return;
      queueMicrotask(() => {
        reader.put(reader.list[0]!, tripAt(2));
        ending = true;
      });
    };
    const outcome = await run(reader, new MemoryStore(), { untilEnd: () => ending });
    assert.equal(outcome.counters.read, 2);
  });

  it('that fails closes its sinks, since a waiting sink would keep the process alive', async () => {
    const reader = new MemoryReader(1);
    reader.put(reader.list[0]!, tripAt(1));
    const closed: [string, boolean][] = [];
    const sinkOf = (name: string, failure?: Error): Sink => ({
      name,
      wake: () => {
        if (failure) throw failure;
      },
      status: () => ({ name, delivered: 0, pending: 0, rejected: 0, retries: 0, trouble: undefined }),
      close: (interrupted) => {
        closed.push([name, interrupted]);
        if (failure) throw new Error('once more');
      },
    });
    const sinks = [sinkOf('a', new Error('full')), sinkOf('b')];
    await assert.rejects(run(reader, new MemoryStore(), { sinks }), { message: 'full' });
    assert.deepEqual(closed, [['a', true], ['b', true]]); // biome-ignore format: one line
  });

  it('continues to commit when the clock is set back', async () => {
    const reader = new MemoryReader(1);
    const store = new MemoryStore();
    const clock = new TestClock({ tick: 1 });
    let read = 0;
    reader.beforeRead = (number) => {
      read = number;
      if (number === 50) clock.advance(-3_600_000);
      reader.put(reader.list[0]!, tripAt(number));
    };
    await run(reader, store, { clock, checkpointInterval: SECOND, untilEnd: () => read > 200 });
    const longest = store.commits.map(
      ({ counters }, i, all) => counters.read - (all[i - 1]?.counters.read ?? 0),
    );
    assert.ok(Math.max(...longest) < 60, `${longest} records from commit to commit`);
  });

  for (const [checkpointInterval, within] of [
    [50, 60],
    [1_000, 1_100],
  ] as const)
    it(`hands a result on within ${within} ms of its record, with a checkpoint every ${checkpointInterval}`, async () => {
      const reader = new MemoryReader(1);
      const store = new MemoryStore();
      const clock = new TestClock();
      const taken: number[] = [];
      let firings = 0;
      const sink: Sink = {
        name: 'clock',
        wake: () => {
          if (store.commits.flatMap((commit) => commit.firings).length > firings) {
            taken.push(clock.time);
            firings = store.commits.flatMap((commit) => commit.firings).length;
          }
        },
        close: () => {},
        status: () => ({
          name: 'clock',
          delivered: 0,
          pending: 0,
          rejected: 0,
          retries: 0,
          trouble: undefined,
        }),
      };
      const put: number[] = [];
      for (let i = 1; i <= 20; i++)
        clock.after(i * 1_237, () => {
          put.push(clock.time);
          reader.put(reader.list[0]!, tripAt(i * 10));
          reader.broadcast(watermarkAt(i * 10 + 9.999));
        });
      const { results } = (
        await run(reader, store, {
          clock,
          checkpointInterval,
          pollInterval: undefined,
          sinks: [sink],
          untilEnd: () => taken.length >= 19,
        })
      ).counters;
      assert.ok(results >= 19);
      const waits = taken.slice(0, 19).map((time, i) => time - put[i]!);
      assert.ok(Math.max(...waits) <= within, `${waits} ms`);
    });

  it('fires the open windows at the end only when it is asked to drain', async () => {
    for (const drain of [false, true]) {
      const reader = new MemoryReader(1);
      reader.put(reader.list[0]!, tripAt(1));
      reader.broadcast(watermarkAt(1));
      const store = new MemoryStore();
      const outcome = await run(reader, store, { drain });
      assert.deepEqual(counts(store), drain ? [[0, 1]] : []);
      assert.equal(outcome.openWindows, drain ? 0 : 1);
    }
  });

  it('fires the open windows once no record has come for so long; what comes for them later is late', async () => {
    const reader = new MemoryReader(2);
    reader.put(reader.list[0]!, tripAt(1));
    reader.broadcast(watermarkAt(1));
    const store = new MemoryStore();
    let ending = false;
    const closed: [windows: number, by: string][] = [];
    const outcome = await run(reader, store, {
      drain: true,
      closeIdle: 5_000,
      untilEnd: () => ending,
      onClosing: (windows, _, by) => {
        closed.push([windows, by]);
        ending = closed.length === 2;
        if (closed.length > 1) return;
        // The window of 0 to 10 s has fired; that of the second trip is open.
        reader.put(reader.list[1]!, tripAt(9));
        reader.put(reader.list[1]!, tripAt(12));
      },
    });
    assert.deepEqual(closed, [[1, 'closeIdle'], [1, 'closeIdle']]); // biome-ignore format: one line
    assert.deepEqual(counts(store), [[0, 1], [10, 1]]); // biome-ignore format: one line
    assert.deepEqual([outcome.counters.late, outcome.openWindows], [1, 0]);
  });

  it('completes views that fire later by themselves: the others go on as if they were alone', async () => {
    const long = l.view({ ...counted, name: 'long', time: 'pickup' });
    const best = l.view({
      ...counted,
      name: 'best',
      by: { vendor: l.field('vendor_id') },
      window: l.session('30s'),
    });
    checkViews([counted, long, best]);
    const reader = new MemoryReader(1);
    const picked = (seconds: number) => tripAt(seconds, { pickup_datetime: iso(NOON + seconds * SECOND), vendor_id: 'a' }); // biome-ignore format: one line
    for (const at of [1, 12]) reader.put(reader.list[0]!, picked(at));
    reader.broadcast(watermarkAt(11));
    const store = new MemoryStore();
    const views = [counted, long, best];
    const first = await run(reader, store, { views, drain: true });
    assert.equal(first.openWindows, 0);
    // In time for a new window of the first view; for the others it would open a window that is gone.
    for (const at of [13, 25]) reader.put(reader.list[0]!, picked(at));
    reader.broadcast(watermarkAt(40));
    const second = await run(reader, store, { views, drain: true });
    const of = (name: string) => store.documents.filter(({ view }) => view === name).map((doc) => [(Date.parse(String(doc['window_start'])) - NOON) / SECOND, doc['n']]); // biome-ignore format: one line
    assert.deepEqual(of('counted'), [[0, 1], [10, 1], [20, 1]]); // biome-ignore format: one line
    assert.deepEqual(of('long'), [[0, 1], [10, 1], [20, 1]]); // biome-ignore format: one line
    assert.deepEqual(of('best'), [[1, 2]]);
    assert.deepEqual([second.counters.late, second.counters.processed], [1, 1]);
  });

  it('starts at the latest records if told to', async () => {
    const reader = new MemoryReader(1);
    reader.put(reader.list[0]!, tripAt(1));
    reader.add([reader.list[0]!]);
    reader.put(reader.list[1]!, tripAt(2));
    const store = new MemoryStore();
    let reads = 0;
    reader.beforeRead = (read) => {
      reads = read;
      // A record arrives after the processor has started.
      if (read === 2) reader.put(reader.list[1]!, tripAt(3));
    };
    const outcome = await run(reader, store, {
      from: { at: 'latest' },
      untilEnd: () => reads > 3,
    });
    assert.deepEqual([outcome.counters.read, counts(store)], [1, [[0, 1]]]);
  });
});

describe('the watermark of a run', () => {
  it('waits for every shard, even one without records (W4)', async () => {
    const reader = new MemoryReader(2);
    const [first, second] = reader.list;
    reader.put(first!, tripAt(1));
    reader.put(first!, watermarkAt(100));
    const store = new MemoryStore();
    const outcome = await run(reader, store, { drain: false });
    assert.deepEqual([outcome.watermark, store.documents], [Number.NEGATIVE_INFINITY, []]);
    reader.put(second!, tripAt(2));
    reader.put(second!, watermarkAt(50));
    await run(reader, store, { drain: false });
    assert.deepEqual(counts(store), [[0, 2]], 'the trip of the slow shard is in');
  });

  it('is not passed by a shard while the child of another waits for it (W4)', async () => {
    const reader = new MemoryReader(2);
    const [a, b] = reader.list;
    reader.put(a!, tripAt(5));
    for (let at = 5; at <= 100; at += 5) reader.put(b!, tripAt(at));
    const child = reader.add([a!, b!]);
    reader.put(child, tripAt(7));
    const store = new MemoryStore();
    const outcome = await run(reader, store, { maxDisorder: 0, batchRecords: 1, drain: true });
    assert.equal(outcome.counters.late, 0, 'the child starts from the parent that was behind');
    assert.equal(counts(store)[0]![1], 3);
  });

  it('waits for the children of a shard that ended before they are listed (W4)', async () => {
    for (const hidden of [1, 3, 10]) {
      const reader = new MemoryReader(2);
      const [a, b] = reader.list;
      reader.put(a!, tripAt(1));
      reader.put(a!, watermarkAt(2));
      for (let at = 5; at <= 100; at += 5) reader.put(b!, tripAt(at));
      reader.put(b!, watermarkAt(100));
      for (const child of [reader.add([a!]), reader.add([a!])]) reader.put(child, tripAt(7));
      let lists = 0;
      const all = reader.shards.bind(reader);
      reader.shards = async () => (++lists > hidden ? all() : (await all()).slice(0, 2));
      const store = new MemoryStore();
      const outcome = await run(reader, store, { batchRecords: 1 });
      assert.deepEqual([outcome.counters.processed, outcome.counters.late], [23, 0]);
      assert.deepEqual(counts(store)[0], [0, 4]);
    }
  });

  it('is unknown for a merged shard if one of its parents was gone before the first read (W4)', async () => {
    const reader = new MemoryReader(3);
    const [a, b, other] = reader.list;
    reader.put(b!, watermarkAt(100));
    for (let at = 50; at < 99; at++) reader.put(other!, tripAt(at));
    reader.put(other!, watermarkAt(100));
    const child = reader.add([a!, b!]);
    for (const text of [tripAt(5), tripAt(95), watermarkAt(100)]) reader.put(child, text);
    reader.list.shift();
    const store = new MemoryStore();
    const outcome = await run(reader, store, { batchRecords: 1 });
    assert.deepEqual([outcome.counters.processed, outcome.counters.late], [51, 0]);
    assert.deepEqual(counts(store)[0], [0, 1], 'the trips of the parent that is gone were behind');
  });

  it('of a child follows its own trips, not those of the parent that was ahead (W4, W5)', async () => {
    const reader = new MemoryReader(2);
    const [a, b] = reader.list;
    reader.put(a!, tripAt(5));
    reader.put(b!, tripAt(100));
    const child = reader.add([a!, b!]);
    for (const at of [7, 8, 9, 100]) reader.put(child, tripAt(at));
    const store = new MemoryStore();
    const outcome = await run(reader, store, { maxDisorder: 0, batchRecords: 1 });
    assert.equal(outcome.counters.late, 0);
    assert.deepEqual(counts(store), [[0, 4], [100, 2]]); // biome-ignore format: one line
  });

  it('of a child follows its parent, not those that were ahead when the parent was found at its end (W4, W5)', async () => {
    const TRIPS = 2_000;
    const reader = new MemoryReader(2);
    const [quiet, busy] = reader.list;
    let next = 0;
    let splits = 0;
    let parent = quiet!;
    const write = (count: number) => {
      for (let i = 0; i < count && next < TRIPS; i++) reader.put(busy!, tripAt(++next));
    };
    let read = 0;
    reader.beforeRead = (_, id) => {
      if (id === busy!.id) read++;
      // The engine keeps up, except at the moment of a split.
      if (read === next && read % 250 === 249) {
        // The quiet shard is split; its child has a trip earlier than all later trips in the other.
        const children = [reader.add([parent]), reader.add([parent])];
        parent = children[0]!;
        reader.put(children[0]!, tripAt(next));
        splits++;
        write(100);
      } else if (read >= next) write(1);
    };
    const options = { maxDisorder: 0, batchRecords: 1, untilEnd: () => next === TRIPS };
    const { counters } = await run(reader, new MemoryStore(), options);
    assert.deepEqual([counters.processed, counters.late], [TRIPS + splits, 0]);
    assert.ok(splits > 3);
  });

  it('is reported missing, by shard, if only some shards have none (W5)', async () => {
    const reader = new MemoryReader(3);
    const [first, second, third] = reader.list;
    for (const shard of reader.list) reader.put(shard, tripAt(1));
    reader.put(first!, watermarkAt(2));
    const clock = new TestClock({ tick: 1 });
    const began = clock.now();
    const told: (readonly string[])[] = [];
    const options = {
      drain: false,
      clock,
      onNoWatermark: (shards: readonly string[]) => told.push(shards),
      untilEnd: () => clock.now() - began > 60_000,
    };
    const outcome = await run(reader, new MemoryStore(), options);
    assert.deepEqual(told, [[second!.id, third!.id]], 'once, and those that hold the windows back');
    assert.deepEqual(outcome.noWatermark, [second!.id, third!.id]);
    const drained = await run(reader, new MemoryStore(), { drain: true });
    assert.deepEqual(drained.noWatermark, [], 'all windows have fired');
  });

  it('is reported missing in a stream that never reaches its tip (W5)', async () => {
    const reader = new MemoryReader(1);
    const clock = new TestClock({ tick: 1 });
    const stop = new AbortController();
    reader.beforeRead = (read) => {
      for (let i = 0; i < 3; i++) reader.put(reader.list[0]!, tripAt(read));
      clock.advance(50);
      if (read === 2_000) stop.abort();
    };
    let told = 0;
    const options = { drain: false, clock, batchRecords: 2, untilEnd: () => false, signal: stop.signal };
    await run(reader, new MemoryStore(), { ...options, onNoWatermark: () => told++ });
    assert.equal(told, 1);
  });

  it('is reported missing if neither records nor trips provide one (W5)', async () => {
    const reader = new MemoryReader(1);
    reader.put(reader.list[0]!, tripAt(1));
    const clock = new TestClock({ tick: 1 });
    const began = clock.now();
    const told: number[] = [];
    const options = {
      drain: false,
      clock,
      onNoWatermark: () => told.push(clock.now() - began),
      untilEnd: () => clock.now() - began > 60_000,
    };
    const outcome = await run(reader, new MemoryStore(), options);
    assert.deepEqual([told.length, outcome.noWatermark], [1, [reader.list[0]!.id]]);
    assert.ok(told[0]! >= 15_000, 'a replay has its time to send the first one');
    for (const other of [{ maxDisorder: 5 }, { eventTime: 'arrival' as const }]) {
      const { noWatermark } = await run(reader, new MemoryStore(), { ...other, drain: false });
      assert.deepEqual(noWatermark, [], 'not where the trips make it');
    }
    reader.broadcast(watermarkAt(1));
    assert.deepEqual((await run(reader, new MemoryStore(), { drain: false })).noWatermark, []);
  });

  it('comes from the trips, that many ms behind the newest trip of the slowest shard with trips (W5)', async () => {
    const reader = new MemoryReader(3);
    const [first, second] = reader.list;
    for (const at of [1, 12, 31]) reader.put(first!, tripAt(at));
    for (const at of [2, 25]) reader.put(second!, tripAt(at));
    reader.put(second!, watermarkAt(1_000));
    const store = new MemoryStore();
    const outcome = await run(reader, store, { maxDisorder: 5 * SECOND, drain: false, batchRecords: 1 });
    assert.equal(outcome.counters.late, 0);
    assert.ok(outcome.watermark <= NOON + 26 * SECOND, 'watermark records do not count then');
    assert.deepEqual(counts(store), [[0, 2], [10, 1]]); // biome-ignore format: one line
  });

  it('comes from arrival times if told to, and so do the windows (W5)', async () => {
    const reader = new MemoryReader(2);
    const [first, second] = reader.list;
    reader.put(first!, tripAt(-500), NOON + SECOND);
    reader.put(first!, tripAt(900), NOON + SECOND);
    reader.put(second!, tripAt(3), NOON + 11 * SECOND);
    reader.put(first!, tripAt(-9), NOON + 21 * SECOND);
    const store = new MemoryStore();
    await run(reader, store, { eventTime: 'arrival', drain: false });
    assert.deepEqual(counts(store), [[0, 2], [10, 1]]); // biome-ignore format: one line
  });
});

describe('a producer in drop-off order, while shards are read to their tips and others are busy', () => {
  const TRIPS = 600;

  /** Writes four trips per read to two shards in turn, after the first was found empty. */
  function producer(watermarks: boolean): { reader: MemoryReader; over: () => boolean } {
    const reader = new MemoryReader(2);
    const [first, second] = reader.list;
    let next = 0;
    const write = (shard: typeof first) => reader.put(shard!, tripAt(next++), next * SECOND);
    while (next < 20) write(second);
    reader.beforeRead = (read) => {
      if (read < 3) return;
      for (let i = 0; i < 4 && next < TRIPS; i++) write(next % 2 === 0 ? first : second);
      if (watermarks) reader.broadcast(watermarkAt(next - 1));
    };
    return { reader, over: () => next === TRIPS };
  }

  for (const [what, options] of [
    ['drop-off times', { maxDisorder: 0 }],
    ['arrival times', { eventTime: 'arrival' }],
  ] as const) {
    it(`has no late trips if the watermark comes from ${what} (W5)`, async () => {
      const { reader, over } = producer(false);
      const { counters } = await run(reader, new MemoryStore(), {
        ...options,
        batchRecords: 2,
        untilEnd: over,
      });
      assert.deepEqual([counters.read, counters.late], [TRIPS, 0]);
    });

    it(`has no late trips across runs if the watermark comes from ${what} (W5)`, async () => {
      const { reader, over } = producer(false);
      const store = new MemoryStore();
      for (let runs = 0; !over() || runs < 2; runs++)
        await run(reader, store, { ...options, batchRecords: 3, drain: false });
      const { totals } = await run(reader, store, options);
      assert.deepEqual([totals.read, totals.late, totals.processed], [TRIPS, 0, TRIPS]);
    });
  }

  it('keeps few windows open if it writes watermarks (W6)', async () => {
    const { reader, over } = producer(true);
    let most = 0;
    await run(reader, new MemoryStore(), {
      batchRecords: 2,
      untilEnd: over,
      checkpointInterval: 0,
      onProgress: ({ openWindows }) => {
        most = Math.max(most, openWindows);
      },
    });
    assert.ok(most > 0 && most < 30, `${most} windows of 10 s were open at once`);
  });
});

describe('shards that are far apart', () => {
  it('are read in event time, so that few windows are open at once (W6)', async () => {
    const reader = new MemoryReader(3);
    // Shards far apart, as if each had its own producer.
    for (const [n, shard] of reader.list.entries()) {
      for (let at = n; at < 2_000; at += 3) {
        reader.put(shard, tripAt(at));
        if (at % 30 < 3) reader.put(shard, watermarkAt(at - 1));
      }
      reader.put(shard, watermarkAt(2_000));
    }
    let most = 0;
    const store = new MemoryStore();
    await run(reader, store, {
      batchRecords: 10,
      checkpointInterval: 0,
      onProgress: ({ openWindows }) => {
        most = Math.max(most, openWindows);
      },
    });
    assert.equal(store.documents.length, 200);
    assert.ok(most > 0 && most <= 12, `${most} windows of 10 s were open at once`);
  });
});

describe('a drained shard', () => {
  it('is forgotten once it has left the list and its children have begun, so that the state stays small', async () => {
    const reader = new MemoryReader(2);
    const store = new MemoryStore();
    reader.put(reader.list[0]!, tripAt(0));
    for (let at = 1; at < 30; at++) {
      const merged = reader.add(reader.open);
      for (const parent of [merged, merged]) reader.add([parent]);
      for (const shard of reader.open) reader.put(shard, tripAt(at));
      await run(reader, store, { drain: false });
      reader.list.splice(0, reader.list.length - 3);
    }
    const { totals } = await run(reader, store);
    assert.deepEqual([totals.read, totals.late], [59, 0]);
    const inState = store.commits.map(({ shards }) => shards.length);
    assert.ok(Math.max(...inState) <= 9, `${Math.max(...inState)} shards in a state, 5 in the list at most`);
  });
});

describe('records that are gone', () => {
  function half(): { reader: MemoryReader; store: MemoryStore; first: Promise<ProcessOutcome> } {
    const reader = new MemoryReader(2);
    for (let at = 0; at < 4; at++) reader.put(reader.list[0]!, tripAt(at));
    const store = new MemoryStore();
    return { reader, store, first: run(reader, store, { drain: false }) };
  }

  it('stop the run, or are counted where gaps are allowed (C5)', async () => {
    const { reader, store, first } = half();
    await first;
    for (let at = 4; at < 9; at++) reader.put(reader.list[0]!, tripAt(at));
    reader.list[0]!.trimmed = 7;
    await assert.rejects(run(reader, store), { code: 'gap', message: /3 records/ });
    const { lost, totals } = await run(reader, store, { allowGap: true });
    assert.deepEqual([lost, totals.read], [['3 records of shardId-000000000000'], 6]);
  });

  it('with their whole shard stop the run too (C5)', async () => {
    const { reader, store, first } = half();
    await first;
    reader.list.shift();
    await assert.rejects(run(reader, store), { code: 'gap', message: /shardId-000000000000/ });
    const { totals } = await run(reader, store, { allowGap: true });
    assert.equal(totals.read, 4);
    assert.deepEqual(counts(store), [[0, 4]]);
  });

  it('of a child count from the last records of its parents (C5)', async () => {
    const reader = new MemoryReader(1);
    const [parent] = reader.list;
    reader.put(parent!, tripAt(1), 500);
    const child = reader.add([parent!]);
    const asked: unknown[] = [];
    const read = reader.read.bind(reader);
    reader.read = async (id, position, limit) => {
      if (id === child.id) asked.push(position);
      const batch = await read(id, position, limit);
      return batch.next.at === 'after' ? { ...batch, next: { ...batch.next, arrival: 500 } } : batch;
    };
    await run(reader, new MemoryStore());
    assert.deepEqual(asked[0], { at: 'trim-horizon', arrival: 500 });
  });

  it('with their whole shard stop a run that had listed it, as soon as it can’t be read (C5)', async () => {
    for (const allowGap of [false, true]) {
      const reader = new MemoryReader(2);
      const [staying, leaving] = [reader.list[0]!, reader.list[1]!];
      for (let at = 0; at < 6; at++) for (const shard of reader.list) reader.put(shard, tripAt(at));
      let left = 0;
      reader.beforeRead = (_, id) => {
        // The second half of the shard expires before it is read; its child keeps the later records.
        if (id !== leaving.id || ++left !== 2) return;
        const child = reader.add([leaving]);
        reader.put(child, tripAt(7));
        reader.list.splice(reader.list.indexOf(leaving), 1);
      };
      const done = run(reader, new MemoryStore(), { allowGap, batchRecords: 3 });
      if (!allowGap)
        await assert.rejects(done, { code: 'gap', message: new RegExp(`the rest of ${leaving.id}`) });
      else {
        const { lost, totals } = await done;
        assert.deepEqual(lost, [`the rest of ${leaving.id}`]);
        assert.equal(totals.read, staying.records.length + 3 + 1);
      }
    }
  });

  it('of a shard that is listed but can’t be read end the run with an error', async () => {
    const reader = new MemoryReader(1);
    reader.put(reader.list[0]!, tripAt(1));
    reader.beforeRead = (_, id) => {
      throw new TaxiflowError('no-shard', `there is no ${id}`);
    };
    await assert.rejects(run(reader, new MemoryStore()), { code: 'no-shard' });
  });

  it('of a shard that is listed before it can be read are read', async () => {
    const reader = new MemoryReader(1);
    reader.put(reader.list[0]!, tripAt(1));
    reader.beforeRead = (read, id) => {
      if (read < 3) throw new TaxiflowError('no-shard', `there is no ${id}`);
    };
    assert.equal((await run(reader, new MemoryStore())).totals.read, 1);
  });

  it('of a shard not yet begun are reported if its parents were read (C5)', async () => {
    const { reader, store, first } = half();
    await first;
    const child = reader.add([reader.list[0]!]);
    for (let at = 4; at < 9; at++) reader.put(child, tripAt(at));
    let left = 3;
    store.beforeCommit = () => {
      if (--left === 0) throw new Error('crash');
    };
    await assert.rejects(run(reader, store, { checkpointInterval: 0 }), /crash/);
    store.beforeCommit = () => {};
    const begun = store.commits.at(-1)!.shards.find(({ id }) => id === child.id);
    assert.deepEqual(
      begun?.position,
      { at: 'trim-horizon' },
      'its turn had come, and nothing of it was read',
    );
    child.trimmed = 3;
    await assert.rejects(run(reader, store), {
      code: 'gap',
      message: new RegExp(`3 records of ${child.id} `),
    });
    const { lost, totals } = await run(reader, store, { allowGap: true });
    assert.deepEqual([lost, totals.read], [[`3 records of ${child.id}`], 6]);
  });

  it('of a shard that came and went between runs are reported (C5)', async () => {
    const { reader, store, first } = half();
    await first;
    const [parent] = reader.list;
    const unseen = reader.add([parent!]);
    reader.put(reader.add([unseen]), tripAt(9));
    for (const gone of [parent!, unseen]) reader.list.splice(reader.list.indexOf(gone), 1);
    const { lost, totals } = await run(reader, store, { allowGap: true });
    assert.deepEqual(lost.toSorted(), [`the records of ${unseen.id}`, `the rest of ${parent!.id}`]);
    assert.equal(totals.read, 5);
  });

  it('are none where a list is older than the shard (C5), and what was drained is not read again', async () => {
    for (const before of ['the split', 'the split of its child']) {
      const reader = new MemoryReader(1);
      const lists: (typeof reader.list)[] = [];
      for (let i = 0, shard = reader.list[0]!; i < 2; i++) {
        lists.push(reader.list.map((one) => ({ ...one })));
        reader.put(shard, tripAt(i));
        shard = reader.add([shard]);
      }
      reader.put(reader.list[2]!, tripAt(9));
      const store = new MemoryStore();
      assert.equal((await run(reader, store)).totals.read, 3);
      reader.put(reader.list[2]!, tripAt(10));
      const old = lists[before === 'the split' ? 0 : 1]!;
      let calls = 0;
      const now = reader.shards.bind(reader);
      reader.shards = async () => (++calls < 8 ? old : now());
      const { lost, totals } = await run(reader, store);
      assert.deepEqual([lost, totals.read], [[], 4], before);
      assert.ok(calls >= 8, 'an old list is not the end');
    }
  });

  it('before the first read are not reported', async () => {
    const reader = new MemoryReader(1);
    for (let at = 0; at < 4; at++) reader.put(reader.list[0]!, tripAt(at));
    reader.list[0]!.trimmed = 2;
    const { lost, totals } = await run(reader, new MemoryStore());
    assert.deepEqual([lost, totals.read], [[], 2]);
  });
});
