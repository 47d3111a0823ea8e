import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Firing, type PaneBlock, Panes } from '../../src/engine/panes.ts';
import { TripColumns } from '../../src/events/columns.ts';
import { decoderOf } from '../../src/events/decode.ts';
import type { Trip } from '../../src/events/trip.ts';
import { checkViews, fieldsOf } from '../../src/views/check.ts';
import { compileView, OUTCOME } from '../../src/views/compile.ts';
import * as l from '../../src/views/language.ts';
import { groupBy } from '../views/model.ts';
import { type Document, documentsOf, packed } from './memory.ts';

const MINUTE = 60_000;
const NOON = Date.UTC(2016, 0, 1, 12);
const iso = (ms: number) => new Date(ms).toISOString();

/** The blocks of checkpoints, as a file keeps them. */
class Blocks {
  readonly kept = new Map<string, PaneBlock>();
  loads = 0;

  take({ blocks, gone }: { blocks: PaneBlock[]; gone: number[] }): void {
    for (const start of gone) {
      for (const [key, block] of this.kept) if (block.windowStart === start) this.kept.delete(key);
    }
    for (const block of blocks) {
      this.kept.set(`${block.windowStart} ${block.block}`, JSON.parse(JSON.stringify(block)) as PaneBlock);
    }
  }

  load(_view: string, start: number): PaneBlock[] {
    this.loads++;
    return [...this.kept.values()].filter((block) => block.windowStart === start);
  }

  get windows(): { windowStart: number; fired: boolean }[] {
    const starts = new Set([...this.kept.values()].map((block) => block.windowStart));
    return [...starts].map((windowStart) => ({
      windowStart,
      fired: this.load('', windowStart).some((block) => block.fired),
    }));
  }
}

/** Panes of a view with columns of their own, as a process has them. */
class Process {
  readonly panes: Panes;
  readonly #columns = new TripColumns();
  readonly #decode: ReturnType<typeof decoderOf>;

  constructor(view: l.View, lateness: number, blocks: Blocks, watermark?: number) {
    this.#decode = decoderOf(fieldsOf(view));
    // Words met before, so that codes differ from those of the process before.
    if (watermark !== undefined) for (const word of ['x', 'VTS', 'y']) this.#columns.vendors.code(word);
    this.panes = new Panes(compileView(view, this.#columns), lateness, blocks);
    if (watermark !== undefined) this.panes.restore(watermark, blocks.windows);
  }

  /** Takes a trip; its outcome. */
  add(trip: Trip): number {
    this.#decode(packed([JSON.stringify({ type: 'trip', ...trip })]), this.#columns);
    const outcomes = new Uint8Array(1);
    this.panes.view.accumulate(0, 1, this.#columns.numbers.dropoff_datetime, outcomes, this.panes);
    return outcomes[0]!;
  }
}

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
  // A trip more may take a result away, and bring it back; one of no trips would pass.
  l.view({
    name: 'fickle',
    by: { zone: l.field('pickup_zone') },
    window: l.tumbling('10m'),
    aggregates: { n: l.count(), total: l.sum(l.field('total_amount')) },
    having: l.any(l.lt(l.aggregate('total'), 40), l.eq(l.truncate(l.divide(l.aggregate('n'), 2)), 1), l.lt(l.aggregate('n'), 1)),
  }),
  // Nothing that is divided by zero is a number, before a restart nor after it.
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
  { weight: 2, arbitrary: fc.record({ do: fc.constant('checkpoint' as const), limit: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const) }) },
);

const lines = (docs: readonly Document[]) =>
  docs.map((doc) => JSON.stringify(doc, Object.keys(doc).sort())).sort();
const startOf = (doc: Document) => Date.parse(String(doc['window_start']));

/** What P1 and P2 ask for, without panes: all trips so far are kept and grouped anew for each firing. */
class Model {
  trips: Trip[] = [];
  watermark = Number.NEGATIVE_INFINITY;
  readonly #view: l.View;
  readonly #lateness: number;
  /** Windows that fired, and trips that changed them since. */
  #fired = new Map<number, Trip[]>();
  /** What the last firing of a window left there to see. */
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
    return groupBy(every, [trip]).map(startOf);
  }

  #over(start: number): boolean {
    return start + this.#view.window.size_ms - 1 + this.#lateness <= this.watermark;
  }

  add(trip: Trip): number {
    const windows = this.#windowsOf(trip);
    if (windows.length === 0) return 0;
    const open = windows.filter((start) => !this.#over(start));
    if (open.length === 0) return OUTCOME.late;
    // A trip that is too late for some of its windows counts in the others only.
    this.trips.push({ ...trip, open } as Trip);
    for (const start of open) this.#fired.get(start)?.push(trip);
    return OUTCOME.used;
  }

  #results(start: number, trips: readonly Trip[]): Document[] {
    const own = trips.filter((t) => (t as Trip & { open: number[] }).open.includes(start));
    return groupBy(this.#view, own).filter((doc) => startOf(doc) === start);
  }

  advance(watermark: number): Document[] {
    this.watermark = Math.max(this.watermark, watermark);
    const starts = new Set(this.trips.flatMap((t) => (t as Trip & { open: number[] }).open));
    const docs: Document[] = [];
    for (const start of starts) {
      if (start + this.#view.window.size_ms - 1 > this.watermark) continue;
      const changed = this.#fired.get(start);
      const before = this.#shown.get(start) ?? [];
      this.#fired.set(start, []);
      const all = this.#results(start, this.trips);
      this.#shown.set(start, all);
      if (changed === undefined) docs.push(...all);
      else {
        const every = { ...this.#view, having: undefined } as unknown as l.View;
        const keyOf = (doc: Document) => JSON.stringify(Object.keys(this.#view.by).map((name) => doc[name]));
        const keys = new Set(groupBy(every, changed).filter((doc) => startOf(doc) === start).map(keyOf)); // biome-ignore format: one step
        docs.push(...all.filter((doc) => keys.has(keyOf(doc))));
        const still = new Set(all.map(keyOf));
        docs.push(...before.filter((doc) => !still.has(keyOf(doc))).map((doc) => this.#retracted(doc)));
      }
    }
    return docs;
  }
}

function assertFirings(firings: readonly Firing[], expected: readonly Document[]): void {
  const starts = firings.map((firing) => firing.windowStart);
  assert.deepEqual(starts, [...starts].sort((a, b) => a - b), 'in the order of their ends'); // biome-ignore format: one line
  assert.deepEqual(
    lines(firings.flatMap(documentsOf)),
    lines(JSON.parse(JSON.stringify(expected)) as Document[]),
  );
}

describe('panes', () => {
  it('fire as windows end and are corrected until the lateness is over, whatever spills and restarts (P1, P2, P3)', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...views),
        fc.constantFrom(0, 0, MINUTE, 15 * MINUTE),
        fc.array(step, { maxLength: 80, size: 'max' }),
        (view, lateness, steps) => {
          const blocks = new Blocks();
          let process = new Process(view, lateness, blocks);
          let model = new Model(view, lateness);
          let committed = model.copy();
          let watermark = NOON;
          const advance = (to: number) => assertFirings(process.panes.advance(to), model.advance(to));
          for (const s of steps) {
            if (s.do === 'trip') assert.equal(process.add(s.trip), model.add(s.trip), JSON.stringify(s.trip));
            else if (s.do === 'advance') {
              watermark += s.by;
              advance(watermark);
            } else if (s.do === 'checkpoint') {
              // As the engine does, so that no correction waits over a checkpoint.
              advance(watermark);
              blocks.take(process.panes.takeChanges());
              process.panes.spill(s.limit);
              assert.deepEqual(
                process.panes.takeChanges(),
                { blocks: [], gone: [] },
                'nothing changed since',
              );
              committed = model.copy();
            } else {
              model = committed.copy();
              process = new Process(view, lateness, blocks, model.watermark);
              watermark = Math.max(NOON, model.watermark);
            }
          }
          advance(Number.MAX_SAFE_INTEGER);
          blocks.take(process.panes.takeChanges());
          assert.equal(blocks.kept.size, 0, 'nothing is kept of windows that are over');
          assert.deepEqual([process.panes.panes, process.panes.unfired], [0, 0]);
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
    const { panes, add } = bound(counting, 0, new Blocks());
    add(at(3));
    assert.deepEqual(panes.advance(NOON + 10 * MINUTE - 2), []);
    const [firing] = panes.advance(NOON + 10 * MINUTE - 1);
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
      },
    );
    assert.equal(add(at(9)), OUTCOME.late);
    assert.equal(add(at(10)), OUTCOME.used);
  });

  it('take a late trip up to the very end of the lateness (P1)', () => {
    const { panes, add } = bound(counting, MINUTE, new Blocks());
    add(at(3));
    panes.advance(NOON + 11 * MINUTE - 2);
    assert.equal(add(at(4)), OUTCOME.used);
    const [correction] = panes.advance(NOON + 11 * MINUTE - 2);
    assert.deepEqual([correction!.correction, correction!.count], [true, 1]);
    panes.advance(NOON + 11 * MINUTE - 1);
    assert.equal(add(at(4)), OUTCOME.late);
  });

  it('are written by block, only where they changed (P3)', () => {
    const { panes, add } = bound(counting, 0, new Blocks());
    for (let id = 0; id < 600; id++) add(at(1, id));
    add(at(11, 7));
    const written = () =>
      panes.takeChanges().blocks.map((b) => [b.windowStart - NOON, b.block, b.panes.length]);
    assert.deepEqual(written(), [[0, 0, 256], [0, 1, 256], [0, 2, 88], [10 * MINUTE, 0, 1]]); // biome-ignore format: one line
    assert.deepEqual(written(), []);
    add(at(2, 300));
    assert.deepEqual(written(), [[0, 1, 256]]);
    add(at(2, 600));
    assert.deepEqual(written(), [[0, 2, 89]]);
  });

  it('that spilled are read back only when they are needed, and the least used spill first', () => {
    const blocks = new Blocks();
    const { panes, add } = bound(counting, 0, blocks);
    for (const minute of [1, 11, 21]) for (let id = 0; id < 4; id++) add(at(minute, id));
    panes.spill(0);
    assert.equal(panes.panes, 12, 'what no checkpoint has stays');
    blocks.take(panes.takeChanges());
    panes.spill(8);
    assert.deepEqual([panes.panes, panes.unfired, blocks.loads], [8, 3, 0]);
    add(at(12, 9));
    assert.equal(blocks.loads, 0, 'that one was in memory');
    add(at(2, 9));
    assert.deepEqual([panes.panes, blocks.loads], [14, 1]);
    panes.spill(0);
    assert.equal(panes.panes, 10, 'only what did not change goes');
    assert.deepEqual(panes.advance(Number.POSITIVE_INFINITY).map(({ count }) => count), [5, 5, 4]); // biome-ignore format: one line
  });

  function bound(view: l.View, lateness: number, blocks: Blocks) {
    const process = new Process(view, lateness, blocks);
    return { panes: process.panes, add: (trip: Trip) => process.add(trip) };
  }
});
