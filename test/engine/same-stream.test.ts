/**
 * The same stream gives the same results, however many records a read returns, whichever shard is read first, and
 * wherever the run is interrupted (W5, W7, C7). Each run is compared with a model without reads and runs.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import { type ProcessOptions, type ProcessOutcome, runProcess } from '../../src/engine/run.ts';
import type { Trip } from '../../src/events/trip.ts';
import { checkViews } from '../../src/views/check.ts';
import * as l from '../../src/views/language.ts';
import { TestClock } from '../clock.ts';
import { groupBy } from '../views/model.ts';
import { type Document, MemoryReader, MemoryStore } from './memory.ts';

const NOON = Date.UTC(2016, 0, 1, 12);
const SECOND = 1_000;
const iso = (ms: number) => new Date(ms).toISOString();

const VIEWS = checkViews([
  l.view({
    name: 'by_zone',
    by: { zone: l.field('pickup_zone') },
    window: l.tumbling('10s'),
    aggregates: { n: l.count(), vendors: l.countDistinct(l.field('vendor_id')) },
    having: l.not(l.eq(l.aggregate('n'), 2)),
  }),
  l.view({
    name: 'far',
    where: l.gt(l.field('trip_distance'), 1),
    by: {},
    window: l.sliding('30s', '7s'),
    aggregates: { n: l.count(), total: l.sum(l.field('total_amount')) },
  }),
]);

/** What makes the watermark. */
type Mode = { readonly eventTime: 'dropoff' | 'arrival'; readonly maxDisorder?: number };

const modes: readonly Mode[] = [
  { eventTime: 'dropoff' },
  { eventTime: 'dropoff', maxDisorder: 0 },
  { eventTime: 'dropoff', maxDisorder: 12 * SECOND },
  { eventTime: 'arrival' },
];

const event = fc.record({
  do: fc.constantFrom('trip', 'trip', 'trip', 'trip', 'trip', 'watermark', 'again', 'garbage', 'split', 'merge'),
  shard: fc.nat(99),
  /** How far behind, and which kind of trip. */
  back: fc.oneof(fc.constant(0), fc.nat(60)),
  n: fc.nat(99),
}); // biome-ignore format: a part a line

const stream = fc.record({
  shards: fc.integer({ min: 1, max: 3 }),
  events: fc.array(event, { minLength: 5, maxLength: 90, size: 'max' }),
  mode: fc.constantFrom(...modes),
  allowedLateness: fc.constantFrom(0, 0, 15 * SECOND),
});
type Plan = typeof stream extends fc.Arbitrary<infer P> ? P : never;

const reading = fc.record({
  batchRecords: fc.integer({ min: 1, max: 50 }),
  checkpointInterval: fc.constantFrom(0, 5, 50),
  pollInterval: fc.constant(100),
  memoryLimit: fc.constantFrom(0, 20_000, 1 << 20),
  /** Number of events before each run, and how the run ends. */
  ends: fc.array(
    fc.record({
      events: fc.oneof(fc.constant(0), fc.nat(40)),
      by: fc.constantFrom('commit', 'read', 'stop', 'end'),
      after: fc.integer({ min: 1, max: 12 }),
    }),
    { maxLength: 6 },
  ),
  /** Whether the first run finds the whole stream. */
  atOnce: fc.boolean(),
}); // biome-ignore format: a setting a line
type Reading = typeof reading extends fc.Arbitrary<infer R> ? R : never;

/** A copy of a trip in a shard. */
interface Copy {
  readonly trip: Trip;
  /** The same for copies of one trip. */
  readonly identity: string;
  readonly time: number;
  readonly judge: number;
}

/** Writes the stream, an event at a time. */
function* writing({ events, mode }: Plan, reader: MemoryReader): Generator<void> {
  const sent: string[] = [];
  const trip = (ms: number, kind: number, ids: Partial<Trip>): string => {
    const own: Trip = {
      ...ids,
      dropoff_datetime: iso(ms),
      pickup_zone: kind % 2,
      vendor_id: `${kind % 3}`,
      trip_distance: kind % 4,
      total_amount: kind,
    };
    return `${JSON.stringify({ type: 'trip', ...own })}\n`;
  };
  for (const shard of reader.list) reader.put(shard, trip(NOON - 60 * SECOND, 1, {}), NOON - 60 * SECOND);
  for (const [i, { do: what, shard: n, back, n: kind }] of events.entries()) {
    const shard = reader.open[n % reader.open.length]!;
    const now = NOON + i * SECOND;
    // Arrival times are slightly out of order too.
    const arrival = now - (kind % 3) * 4 * SECOND;
    if (what === 'trip') {
      const ids = kind % 5 === 0 ? {} : { trip_id: i * (kind % 2 === 0 ? 1 : 1e9), replay: 'r' };
      const text = trip(now - back * SECOND, kind, ids);
      if ('trip_id' in ids) sent.push(text);
      reader.put(shard, text, arrival);
    } else if (what === 'again' && sent.length > 0 && mode.eventTime !== 'arrival')
      // Copies with different arrival times: the copy read first counts.
      reader.put(shard, sent[n % sent.length]!, arrival);
    else if (what === 'watermark')
      reader.put(
        shard,
        `${JSON.stringify({ type: 'watermark', watermark: iso(now - back * SECOND) })}\n`,
        arrival,
      );
    else if (what === 'garbage') reader.put(shard, 'x\n', arrival);
    else if (what === 'split' && reader.open.length < 4)
      for (const parent of [shard, shard]) reader.add([parent]);
    else if (what === 'merge' && reader.open.length > 1)
      reader.add([shard, reader.open.find((other) => other !== shard)!]);
    yield;
  }
}

/** Every copy of every trip, with the watermark that judges it: that of the records before it in its shard. */
function judged(reader: MemoryReader, mode: Mode): Copy[] {
  const ends = new Map<string, number>();
  const copies: Copy[] = [];
  for (const { id, parents, records } of reader.list) {
    const starts = parents.map((parent) => ends.get(parent)!);
    let judge = starts.length > 0 ? Math.min(...starts) : Number.NEGATIVE_INFINITY;
    for (const { text, arrival } of records) {
      if (text === 'x\n') continue;
      const { type, watermark, ...trip } = JSON.parse(text) as Trip & { type: string; watermark: string };
      const ofRecords = mode.eventTime === 'dropoff' && mode.maxDisorder === undefined;
      if (type === 'watermark') {
        if (ofRecords) judge = Math.max(judge, Date.parse(watermark));
        continue;
      }
      const identity = trip.trip_id === undefined ? `${copies.length} of none` : `${trip.trip_id}`;
      const time = mode.eventTime === 'arrival' ? arrival : Date.parse(trip.dropoff_datetime);
      copies.push({ trip, identity, time, judge });
      if (mode.eventTime === 'arrival') judge = Math.max(judge, time - 1);
      else if (mode.maxDisorder !== undefined) judge = Math.max(judge, time - mode.maxDisorder);
    }
    ends.set(id, judge);
  }
  return copies;
}

const startOf = (doc: Document) => Date.parse(String(doc['window_start']));

/** The expected outcome, whatever the reads and runs. */
function expected(copies: readonly Copy[], allowedLateness: number) {
  const counts = { processed: 0, late: 0, filtered: 0, duplicate: 0 };
  const accepted = new Map<string, Trip[]>();
  const byIdentity = new Map<string, Copy[]>();
  for (const copy of copies) byIdentity.set(copy.identity, [...(byIdentity.get(copy.identity) ?? []), copy]);
  for (const same of byIdentity.values()) {
    counts.duplicate += same.length - 1;
    const { trip, time } = same[0]!;
    const inWindows = { ...trip, dropoff_datetime: iso(time) };
    let [isWanted, isUsed] = [false, false];
    for (const view of VIEWS) {
      const every = { ...view, having: undefined } as unknown as l.View;
      for (const doc of groupBy(every, [inWindows])) {
        isWanted = true;
        const lastMs = Date.parse(String(doc['window_end'])) - 1;
        if (!same.some(({ judge }) => lastMs + allowedLateness > judge)) continue;
        isUsed = true;
        const key = `${view.name} ${startOf(doc)}`;
        accepted.set(key, [...(accepted.get(key) ?? []), inWindows]);
      }
    }
    counts[isUsed ? 'processed' : isWanted ? 'late' : 'filtered']++;
  }
  const results = VIEWS.flatMap((view) =>
    [...accepted].flatMap(([key, trips]) =>
      groupBy(view, trips).filter((doc) => key === `${view.name} ${startOf(doc)}`),
    ),
  );
  return { counts, results };
}

/** Each result in its last version. */
function latest(documents: readonly Document[]): Document[] {
  const last = new Map<string, Document>();
  for (const doc of documents) last.set(JSON.stringify([doc['view'], doc['window_start'], doc['zone']]), doc);
  return [...last.values()].filter((doc) => !doc['retracted']);
}

class Crash extends Error {}

/** Reads everything, in runs that end as scripted and a last one that drains. */
async function read(reader: MemoryReader, plan: Plan, { ends, atOnce, ...how }: Reading) {
  const { mode, allowedLateness } = plan;
  const store = new MemoryStore();
  const events = writing(plan, reader);
  const write = (count: number) => {
    for (let i = 0; i < count && !events.next().done; i++);
  };
  // Where trips make the watermark, an idle shard counts as having reached the others (W5), so no shard may be idle.
  const alone = plan.shards === 1 && plan.events.every((event) => event.do !== 'split');
  const ofTrips = mode.eventTime === 'arrival' || mode.maxDisorder !== undefined;
  if (atOnce || (ofTrips && !alone)) write(Number.POSITIVE_INFINITY);
  const live = async (end: Reading['ends'][number] | undefined): Promise<ProcessOutcome | undefined> => {
    const stop = new AbortController();
    let left = end?.after ?? 0;
    const at = (what: string) => () => {
      if (end && (end.by === 'stop' ? 'read' : end.by) === what && --left === 0) {
        if (end.by !== 'stop') throw new Crash();
        stop.abort();
      }
    };
    store.beforeCommit = at('commit');
    reader.beforeRead = at('read');
    const options: ProcessOptions = {
      reader,
      store: store.reopen(),
      views: VIEWS,
      deadLetters: new DeadLetterBuffer(1_000),
      sinks: [],
      clock: new TestClock({ tick: 1 }),
      from: { at: 'trim-horizon' },
      ...mode,
      allowedLateness,
      untilEnd: () => true,
      drain: end === undefined,
      signal: stop.signal,
      ...how,
    };
    return runProcess(options).catch((error: unknown) => {
      if (error instanceof Crash) return undefined;
      throw error;
    });
  };
  for (const end of ends) {
    write(end.events);
    await live(end);
  }
  write(Number.POSITIVE_INFINITY);
  const { totals } = (await live(undefined))!;
  return { store, totals };
}

const lines = (docs: readonly Document[]) =>
  docs.map((doc) => JSON.stringify(doc, Object.keys(doc).sort())).sort();

describe('the same stream', () => {
  it('gives the same results and counts however it is read and interrupted (W5, W7, C7)', async () => {
    await fc.assert(
      fc.asyncProperty(stream, fc.array(reading, { minLength: 2, maxLength: 2 }), async (plan, readings) => {
        for (const how of readings) {
          const reader = new MemoryReader(plan.shards);
          const { store, totals } = await read(reader, plan, how);
          const { counts, results } = expected(judged(reader, plan.mode), plan.allowedLateness);
          const { processed, late, filtered, duplicate } = totals;
          assert.deepEqual(lines(latest(store.documents)), lines(JSON.parse(JSON.stringify(results))));
          assert.deepEqual({ processed, late, filtered, duplicate }, counts);
          assert.equal(store.letters['late'] ?? 0, late, 'every late trip is a dead letter');
        }
      }),
      { numRuns: 300, endOnFailure: true },
    );
  });
});
