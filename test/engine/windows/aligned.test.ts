import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Firing } from '../../../src/engine/windows/documents.ts';
import { PaneRows } from '../../../src/engine/windows/pane-blocks.ts';
import type { Trip } from '../../../src/events/trip.ts';
import { checkViews } from '../../../src/views/check.ts';
import { OUTCOME } from '../../../src/views/javascript/compiled-view.ts';
import * as l from '../../../src/views/language.ts';
import { type Random, randomNumbers } from '../../random.ts';
import { groupBy, totalsOf } from '../../views/model.ts';
import { type Document, documentsOf, MemoryPanes, totalsIn } from '../memory.ts';
import { Process } from './process.ts';

const MINUTE = 60_000;
const NOON = Date.UTC(2016, 0, 1, 12);
const iso = (ms: number) => new Date(ms).toISOString();

const views = [
  l.view({
    name: 'rich',
    where: l.not(l.eq(l.field('vendor_id'), 'none')),
    by: {
      vendor: l.field('vendor_id'),
      far: l.choose([[l.gt(l.field('trip_distance'), 3), 'far']], 'near'),
    },
    window: l.tumbling('10m'),
    aggregates: {
      n: l.count(),
      total: l.sum(l.field('total_amount')),
      mean: l.avg(l.field('total_amount')),
      first: l.min(l.field('pickup_datetime')),
      most: l.max(l.field('trip_distance')),
      places: l.countDistinct(l.geohash('pickup', 5)),
      replays: l.countDistinct(l.field('replay')),
      miles: l.countDistinct(l.field('trip_distance')),
    },
  }),
  l.view({
    name: 'sliding',
    by: { zone: l.field('pickup_zone'), hour: l.truncate(l.divide(l.field('trip_distance'), 2)) },
    window: l.sliding('20m', '5m'),
    aggregates: { n: l.count(), total: l.sum(l.field('total_amount')) },
    having: l.gte(l.aggregate('n'), 2),
  }),
  // One more trip may remove a result, or bring it back; an empty result would pass.
  l.view({
    name: 'fickle',
    by: { zone: l.field('pickup_zone') },
    window: l.tumbling('10m'),
    aggregates: { n: l.count(), total: l.sum(l.field('total_amount')) },
    having: l.any(l.lt(l.aggregate('total'), 40), l.eq(l.truncate(l.divide(l.aggregate('n'), 2)), 1), l.lt(l.aggregate('n'), 1)),
  }),
  // A division by zero is missing, before and after a restart.
  l.view({
    name: 'rates',
    by: { each: l.divide(l.field('trip_distance'), l.subtract(l.field('pickup_zone'), 1)) },
    window: l.tumbling('10m'),
    aggregates: {
      most: l.max(l.divide(l.field('total_amount'), l.subtract(l.field('trip_distance'), 2))),
      rates: l.countDistinct(l.divide(l.field('total_amount'), l.subtract(l.field('trip_distance'), 2))),
    },
    having: l.not(l.gt(l.aggregate('most'), 60)),
  }),
  l.view({
    name: 'ranks',
    by: { zone: l.field('pickup_zone') },
    window: l.cumulating('20m', '5m', { offset: '3m' }),
    aggregates: {
      near: l.count({ filter: l.lt(l.field('trip_distance'), 5) }),
      total: l.sum(l.field('total_amount'), { filter: l.eq(l.field('vendor_id'), 'CMT') }),
      median: l.percentile(l.field('total_amount'), 0.5),
      high: l.percentile(l.field('total_amount'), 0.9, { filter: l.gt(l.field('trip_distance'), 1) }),
      first: l.first(l.field('total_amount')),
      last: l.last(l.field('pickup_datetime')),
      vendors: l.countDistinct(l.field('vendor_id')),
    },
    having: l.not(l.gt(l.aggregate('median'), 60)),
  }),
  l.view({ name: 'offset', by: {}, window: l.sliding('9m', '4m', { offset: -MINUTE }), aggregates: { n: l.count(l.field('total_amount')) } }),
  l.view({ name: 'whole', by: {}, window: l.tumbling('7m'), aggregates: { n: l.count(), low: l.min(l.field('total_amount')) } }),
]; // biome-ignore format: a part a line
checkViews(views);

const trip: fc.Arbitrary<Trip> = fc.record(
  {
    dropoff_datetime: fc.nat(60 * MINUTE).map((ms) => iso(NOON + ms)),
    vendor_id: fc.constantFrom('CMT', 'VTS', 'é|1', '', 'none'),
    replay: fc.constantFrom('one', 'two'),
    pickup_datetime: fc.nat(3).map((n) => iso(NOON - n * MINUTE)),
    trip_distance: fc.constantFrom(0.5, 2, 7.25),
    total_amount: fc.integer({ min: -500, max: 9_999 }).map((cents) => cents / 100),
    pickup_lat: fc.constantFrom(40.7, 40.75),
    pickup_lon: fc.constantFrom(-74, -73.9),
    pickup_zone: fc.constantFrom(1, 2),
  },
  { requiredKeys: ['dropoff_datetime'] },
);
const step = fc.oneof(
  { weight: 10, arbitrary: fc.record({ do: fc.constant('trip' as const), trip }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('advance' as const), by: fc.nat(9 * MINUTE) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('checkpoint' as const), leaves: fc.nat(15) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const) }) },
);

const lines = (docs: readonly Document[]) =>
  docs.map((doc) => JSON.stringify(doc, Object.keys(doc).sort())).sort();
const endOf = (doc: Document) => Date.parse(String(doc['window_end']));

/** P1 and P2 without panes: keeps all trips and groups them again for each firing. */
class Model {
  trips: Trip[] = [];
  watermark = Number.NEGATIVE_INFINITY;
  readonly #view: l.View;
  readonly #lateness: number;
  /** Windows that fired, and trips that changed them since. */
  #fired = new Map<number, Trip[]>();
  /** Totals of the windows that `fire` fired, by end. */
  totals = new Map<number, unknown>();
  /** The results visible after the last firing of a window. */
  #shown = new Map<number, Document[]>();

  constructor(view: l.View, lateness: number) {
    this.#view = view;
    this.#lateness = lateness;
  }

  #retracted(doc: Document): Document {
    const kept = ['view', 'window_start', 'window_end', 'timestamp', ...Object.keys(this.#view.by)];
    return { ...Object.fromEntries(kept.map((name) => [name, doc[name]])), retracted: true };
  }

  copy(): Model {
    const model = new Model(this.#view, this.#lateness);
    model.trips = [...this.trips];
    model.watermark = this.watermark;
    model.#shown = new Map(this.#shown);
    model.#fired = new Map([...this.#fired].map(([start, changed]) => [start, [...changed]]));
    return model;
  }

  #windowsOf(trip: Trip): number[] {
    const every = { ...this.#view, having: undefined } as unknown as l.View;
    return groupBy(every, [trip]).map(endOf);
  }

  #over(end: number): boolean {
    return end - 1 + this.#lateness <= this.watermark;
  }

  add(trip: Trip): number {
    const windows = this.#windowsOf(trip);
    if (windows.length === 0) return 0;
    const open = windows.filter((end) => !this.#over(end));
    if (open.length === 0) return OUTCOME.late;
    // A trip too late for some of its windows counts only in the others.
    this.trips.push({ ...trip, open } as Trip);
    for (const end of open) this.#fired.get(end)?.push(trip);
    return open.length === windows.length ? OUTCOME.used : OUTCOME.used | OUTCOME.partly;
  }

  #tripsOf(end: number, trips: readonly Trip[]): Trip[] {
    return trips.filter((t) => (t as Trip & { open: number[] }).open.includes(end));
  }

  #results(end: number, trips: readonly Trip[]): Document[] {
    return groupBy(this.#view, this.#tripsOf(end, trips)).filter((doc) => endOf(doc) === end);
  }

  #addUp(end: number): void {
    const { end: _, ...totals } = totalsOf(this.#view, this.#tripsOf(end, this.trips)).find((one) => one.end === end)!; // biome-ignore format: one line
    this.totals.set(end, JSON.parse(JSON.stringify(totals)));
  }

  advance(watermark: number): void {
    this.watermark = Math.max(this.watermark, watermark);
  }

  fire(): Document[] {
    const ends = new Set(this.trips.flatMap((t) => (t as Trip & { open: number[] }).open));
    const docs: Document[] = [];
    this.totals = new Map();
    for (const end of ends) {
      if (end - 1 > this.watermark) continue;
      const changed = this.#fired.get(end);
      const before = this.#shown.get(end) ?? [];
      if (changed?.length !== 0) this.#addUp(end);
      this.#fired.set(end, []);
      const all = this.#results(end, this.trips);
      this.#shown.set(end, all);
      if (changed === undefined) docs.push(...all);
      else {
        const every = { ...this.#view, having: undefined } as unknown as l.View;
        const keyOf = (doc: Document) => JSON.stringify(Object.keys(this.#view.by).map((name) => doc[name]));
        const keys = new Set(groupBy(every, changed).filter((doc) => endOf(doc) === end).map(keyOf)); // biome-ignore format: one step
        docs.push(...all.filter((doc) => keys.has(keyOf(doc))));
        const still = new Set(all.map(keyOf));
        docs.push(...before.filter((doc) => !still.has(keyOf(doc))).map((doc) => this.#retracted(doc)));
      }
    }
    return docs;
  }
}

function assertFirings(
  view: l.View,
  firings: readonly Firing[],
  expected: readonly Document[],
  totals: Model['totals'],
): void {
  const ends = firings.map((firing) => firing.windowEnd);
  assert.deepEqual(ends, [...ends].sort((a, b) => a - b), 'in the order of their ends'); // biome-ignore format: one line
  for (const end of new Set(ends)) {
    const docs = firings.filter(({ windowEnd }) => windowEnd === end).flatMap(documentsOf);
    const keys = docs.map((doc) => Object.keys(view.by).map((name) => doc[name] as string | number));
    for (const [i, key] of keys.slice(1).entries())
      assert.ok(isBefore(keys[i]!, key), `${keys[i]} before ${key}`);
  }
  assert.deepEqual(
    lines(firings.flatMap(documentsOf)),
    lines(JSON.parse(JSON.stringify(expected)) as Document[]),
  );
  const found = totalsIn(firings);
  assert.deepEqual(new Set(found.keys()), new Set(totals.keys()));
  for (const [end, total] of totals) assert.deepEqual(found.get(end), total);
}

function isBefore(a: readonly (string | number)[], b: readonly (string | number)[]): boolean {
  const i = a.findIndex((value, part) => value !== b[part]);
  return i >= 0 && a[i]! < b[i]!;
}

describe('panes', () => {
  it('fire as windows end and are corrected until the lateness is over, across spills and restarts (P1, P2, P3, P5)', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...views),
        fc.constantFrom(0, 0, MINUTE, 15 * MINUTE),
        fc.array(step, { maxLength: 80, size: 'max' }),
        (view, lateness, steps) => {
          const stored = new MemoryPanes();
          let process = new Process(view, lateness, stored);
          let model = new Model(view, lateness);
          let committed = model.copy();
          let watermark = NOON;
          const checkpoint = (leaves: number) => {
            const leave = (start: number) => ((leaves >> ((start / MINUTE) & 3)) & 1) === 1;
            assertFirings(view, process.checkpoint(leave).firings, model.fire(), model.totals);
            assert.deepEqual(process.checkpoint(), { firings: [], blocks: [] }, 'nothing changed since');
            committed = model.copy();
          };
          for (const s of steps) {
            if (s.do === 'trip') assert.equal(process.add(s.trip), model.add(s.trip), JSON.stringify(s.trip));
            else if (s.do === 'advance') {
              watermark += s.by;
              process.advance(watermark);
              model.advance(watermark);
            } else if (s.do === 'checkpoint') checkpoint(s.leaves);
            else {
              model = committed.copy();
              process = new Process(view, lateness, stored, model.watermark);
              watermark = Math.max(NOON, model.watermark);
            }
          }
          process.advance(Number.MAX_SAFE_INTEGER);
          model.advance(Number.MAX_SAFE_INTEGER);
          checkpoint(0);
          assert.equal(stored.size, 0, 'nothing is kept of windows that are over');
          assert.deepEqual([process.memory.bytes, process.panes.unfired], [0, 0]);
        },
      ),
      { numRuns: 500 },
    );
  });

  const counting = l.view({ name: 'counting', by: { id: l.field('trip_id') }, window: l.tumbling('10m'), aggregates: { n: l.count() } }); // biome-ignore format: one view
  const at = (minute: number, id = 0): Trip => ({
    dropoff_datetime: iso(NOON + minute * MINUTE),
    trip_id: id,
  });

  it('fire at the last millisecond of their window, not before (P1)', () => {
    const process = new Process(counting, 0, new MemoryPanes());
    process.add(at(3));
    process.advance(NOON + 10 * MINUTE - 2);
    assert.deepEqual(process.checkpoint().firings, []);
    process.advance(NOON + 10 * MINUTE - 1);
    const [firing] = process.checkpoint().firings;
    assert.deepEqual(
      { ...firing, docs: JSON.parse(firing!.docs) as unknown },
      {
        view: 'counting',
        windowStart: NOON,
        windowEnd: NOON + 10 * MINUTE,
        docs: {
          view: 'counting',
          window_start: iso(NOON),
          window_end: iso(NOON + 10 * MINUTE),
          timestamp: iso(NOON + 10 * MINUTE - 1),
          id: 0,
          n: 1,
        },
        count: 1,
        correction: false,
        totals:
          '{"keys":1,"all":{"values":{"n":1},"of":{"n":1}},"groups":[{"key":[0],"values":{"n":1},"of":{"n":1}}]}',
      },
    );
    assert.equal(process.add(at(9)), OUTCOME.late);
    assert.equal(process.add(at(10)), OUTCOME.used);
  });

  it('accept a late trip until exactly the end of the lateness (P1)', () => {
    const process = new Process(counting, MINUTE, new MemoryPanes());
    process.add(at(3));
    process.advance(NOON + 11 * MINUTE - 2);
    process.checkpoint();
    assert.equal(process.add(at(4)), OUTCOME.used);
    const [correction] = process.checkpoint().firings;
    assert.deepEqual([correction!.correction, correction!.count], [true, 1]);
    process.advance(NOON + 11 * MINUTE - 1);
    assert.equal(process.add(at(4)), OUTCOME.late);
  });

  it('are written per block, and only changed blocks (P3)', () => {
    const process = new Process(counting, 0, new MemoryPanes());
    process.addAll(Array.from({ length: 600 }, (_, id) => at(1, id)));
    process.add(at(11, 7));
    const written = () =>
      process
        .checkpoint()
        .blocks.map((b) => [b.windowStart - NOON, b.block, new PaneRows(b.data, 1, 1).count]);
    assert.deepEqual(written(), [[0, 0, 256], [0, 1, 256], [0, 2, 88], [10 * MINUTE, 0, 1]]); // biome-ignore format: one line
    assert.deepEqual(written(), []);
    process.add(at(2, 300));
    assert.deepEqual(written(), [[0, 1, 256]]);
    process.add(at(2, 600));
    assert.deepEqual(written(), [[0, 2, 89]]);
  });

  it('that were put away are read when they fire, not when trips arrive (P4)', () => {
    const stored = new MemoryPanes();
    const process = new Process(counting, 0, stored);
    for (const minute of [1, 11, 21]) for (let id = 0; id < 4; id++) process.add(at(minute, id));
    assert.equal(process.count, 12);
    process.checkpoint((start) => start < NOON + 20 * MINUTE);
    assert.deepEqual([process.count, process.panes.unfired, stored.loads], [4, 3, 0]);
    process.add(at(22, 9));
    process.add(at(2, 9));
    process.add(at(2, 0));
    assert.deepEqual([process.count, process.panes.unfired, stored.loads], [7, 3, 0]);
    process.advance(Number.MAX_SAFE_INTEGER);
    assert.deepEqual(process.checkpoint().firings.map(({ count }) => count), [5, 4, 5]); // biome-ignore format: one line
    assert.equal(stored.size, 0);
  });

  it('remember whether a firing showed a key that was only in memory, beside parts in the store (P2, P4)', () => {
    const stored = new MemoryPanes();
    const few = { ...counting, having: l.lt(l.aggregate('n'), 3) };
    const process = new Process(few, MINUTE, stored);
    process.add(at(1, 1));
    process.checkpoint(() => true);
    for (let i = 0; i < 2; i++) process.add(at(2, 2));
    process.advance(NOON + 10 * MINUTE);
    assert.deepEqual(process.checkpoint().firings.map(({ count }) => count), [2]); // biome-ignore format: one line
    process.add(at(3, 2));
    const [retraction] = process.checkpoint().firings.flatMap(documentsOf);
    assert.deepEqual([retraction!['id'], retraction!['retracted']], [2, true]);
  });

  it('of a window in many parts of many blocks are merged, and corrected without reading all of it (P2, P4)', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...large),
        fc.array(bulk, { minLength: 3, maxLength: 12, size: 'max' }),
        fc.nat(),
        (view, steps, seed) => {
          const stored = new MemoryPanes();
          const lateness = 60 * MINUTE;
          let process = new Process(view, lateness, stored);
          const model = new Model(view, lateness);
          const random = randomNumbers(seed);
          for (const [i, step] of steps.entries()) {
            const trips = Array.from({ length: step.trips }, () => someTrip(random, step.keys));
            assert.deepEqual(process.addAll(trips), trips.map((trip) => model.add(trip))); // biome-ignore format: one line
            if (i >= 2) {
              process.advance(NOON + 10 * MINUTE);
              model.advance(NOON + 10 * MINUTE);
            }
            const { firings } = process.checkpoint(() => step.end === 'leave');
            assertFirings(view, firings, model.fire(), model.totals);
            if (step.end === 'crash') process = new Process(view, lateness, stored, model.watermark);
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});

/** Views with thousands of keys or distinct values. */
const large = [
  l.view({
    name: 'keys',
    by: { vendor: l.field('vendor_id'), id: l.field('trip_id') },
    window: l.tumbling('10m'),
    aggregates: {
      n: l.count(),
      total: l.sum(l.field('total_amount')),
      low: l.min(l.field('total_amount')),
      zones: l.countDistinct(l.field('pickup_zone')),
    },
    having: l.not(l.eq(l.aggregate('n'), 3)),
  }),
  l.view({
    name: 'values',
    by: { zone: l.field('pickup_zone') },
    window: l.tumbling('10m'),
    aggregates: { ids: l.countDistinct(l.field('trip_id')), vendors: l.countDistinct(l.field('vendor_id')) },
  }),
];
checkViews(large);

const bulk = fc.record({
  trips: fc.constantFrom(1, 5, 300, 900),
  keys: fc.constantFrom(20, 700, 3_000),
  end: fc.constantFrom('leave', 'leave', 'crash', 'stay'),
});

function someTrip(random: Random, keys: number): Trip {
  const id = Math.floor(random() * keys);
  return {
    dropoff_datetime: iso(NOON + Math.floor(random() * 10 * MINUTE)),
    trip_id: id,
    // The order differs from that of the numbers.
    vendor_id: `${(id * 7919) % 13}é`,
    pickup_zone: Math.floor(random() * 4),
    total_amount: Math.floor(random() * 1_000) / 100,
  };
}
