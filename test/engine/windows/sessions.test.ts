/** Sessions and tops, across spills and restarts, against models that keep all trips. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Trip } from '../../../src/events/trip.ts';
import { checkViews } from '../../../src/views/check.ts';
import { OUTCOME } from '../../../src/views/javascript/compiled-view.ts';
import * as l from '../../../src/views/language.ts';
import { evaluate, groupBy, type ModelTotals, totalsOf, windowsOf } from '../../views/model.ts';
import { type Document, documentsOf, MemoryPanes, totalsIn } from '../memory.ts';
import { Process } from './process.ts';

const MINUTE = 60_000;
const NOON = Date.UTC(2016, 0, 1, 12);
const iso = (ms: number) => new Date(ms).toISOString();
const amount = l.field('total_amount');

const AGGREGATES = {
  n: l.count(),
  total: l.sum(amount),
  median: l.percentile(amount, 0.5),
  replays: l.countDistinct(l.field('replay')),
  low: l.min(amount),
  begun: l.first(amount),
};
const SESSIONS = [
  l.view({ name: 'by_vendor', by: { vendor: l.field('vendor_id') }, window: l.session('7m'), aggregates: AGGREGATES, having: l.not(l.eq(l.aggregate('n'), 2)) }),
  l.view({ name: 'of_all', by: {}, window: l.session('2m'), aggregates: AGGREGATES }),
  l.view({ name: 'by_zone', where: l.gt(amount, 0), by: { vendor: l.field('vendor_id'), zone: l.field('pickup_zone') }, window: l.session('90s'), aggregates: { n: l.count() } }),
]; // biome-ignore format: a view a line
const TOPS = [
  l.view({ name: 'best', by: { zone: l.field('pickup_zone'), vendor: l.field('vendor_id') }, window: l.tumbling('10m', { offset: '3m' }), aggregates: { n: l.count(), median: l.percentile(amount, 0.5) }, top: { n: 2, order: [{ name: 'n', descending: true }, { name: 'median' }], rank: 'place' } }),
  l.view({ name: 'each', by: { zone: l.field('pickup_zone'), vendor: l.field('vendor_id') }, window: l.tumbling('10m'), aggregates: { least: l.min(amount) }, having: l.present(l.aggregate('least')), top: { n: 1, by: ['zone'], order: [{ name: 'least' }] } }),
]; // biome-ignore format: a view a line
checkViews([...SESSIONS, ...TOPS]);

const trip: fc.Arbitrary<Trip> = fc.record(
  {
    dropoff_datetime: fc.oneof(fc.nat(60).map((n) => iso(NOON + n * MINUTE)), fc.nat(60 * MINUTE).map((ms) => iso(NOON + ms))),
    vendor_id: fc.constantFrom('CMT', 'VTS', 'é|1'),
    replay: fc.constantFrom('one', 'two'),
    total_amount: fc.integer({ min: -500, max: 9_999 }).map((cents) => cents / 100),
    pickup_zone: fc.constantFrom(1, 2),
  },
  { requiredKeys: ['dropoff_datetime'] },
); // biome-ignore format: a field a line
const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('trip' as const), trip }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('advance' as const), by: fc.nat(6 * MINUTE) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('checkpoint' as const), leaves: fc.nat(15) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const) }) },
);

const timeOf = ({ dropoff_datetime }: Trip) => Date.parse(dropoff_datetime);
const lines = (docs: readonly Document[]) =>
  docs.map((doc) => JSON.stringify(doc, Object.keys(doc).sort())).sort();

/** Results with the watermark that brings them, of all trips that were in time. */
type Results = (view: l.View, lateness: number, trips: readonly Trip[]) => { due: number; doc: Document }[];
type Totals = (
  view: l.View,
  lateness: number,
  trips: readonly Trip[],
) => { due: number; totals: ModelTotals }[];

interface Session {
  readonly gap: number;
  /** Times of the first and the last trip, epoch ms. */
  readonly first: number;
  readonly last: number;
  readonly due: number;
  readonly own: readonly Trip[];
}

function sessionsIn(view: l.View, lateness: number, trips: readonly Trip[]): Session[] {
  const { gap_ms: gap } = view.window as { gap_ms: number };
  const byKey = new Map<string, Trip[]>();
  for (const one of trips) {
    const key = JSON.stringify(
      Object.values(view.by).map((e) => evaluate(e, (name) => one[name as 'vendor_id'])),
    );
    byKey.set(key, [...(byKey.get(key) ?? []), one]);
  }
  const found: Session[] = [];
  for (const own of byKey.values()) {
    own.sort((a, b) => timeOf(a) - timeOf(b));
    for (let from = 0; from < own.length; ) {
      let to = from + 1;
      while (to < own.length && timeOf(own[to]!) - timeOf(own[to - 1]!) <= gap) to++;
      const [first, last] = [timeOf(own[from]!), timeOf(own[to - 1]!)];
      const due = (Math.floor(last / gap) + 2) * gap - 1 + lateness;
      found.push({ gap, first, last, due, own: own.slice(from, to) });
      from = to;
    }
  }
  return found;
}

function sessionsOf(view: l.View, lateness: number, trips: readonly Trip[]): ReturnType<Results> {
  return sessionsIn(view, lateness, trips).flatMap(({ gap, first, last, due, own }) => {
    // What a session holds is what one long window of its trips holds.
    const [doc] = groupBy({ ...view, window: l.tumbling('36500d') }, own) as Document[];
    const times = { window_start: iso(first), window_end: iso(last + gap), timestamp: iso(last + gap - 1) };
    return doc ? [{ due, doc: { ...doc, ...times } }] : [];
  });
}

/** Of the sessions whose last trips are in one slice; no key has two there. */
const totalsOfSessions: Totals = (view, lateness, trips) => {
  const slices = new Map<number, { due: number; trips: Trip[] }>();
  for (const { last, gap, due, own } of sessionsIn(view, lateness, trips)) {
    const end = (Math.floor(last / gap) + 1) * gap;
    slices.set(end, { due, trips: [...(slices.get(end)?.trips ?? []), ...own] });
  }
  return [...slices].flatMap(([end, { due, trips: all }]) =>
    totalsOf({ ...view, window: l.tumbling('36500d') }, all).map((totals) => ({
      due,
      totals: { ...totals, end },
    })),
  );
};

const totalsOfTops: Totals = (view, lateness, trips) =>
  totalsOf(view, trips).map((totals) => ({ due: totals.end - 1 + lateness, totals }));

function topsOf(view: l.View, lateness: number, trips: readonly Trip[]): ReturnType<Results> {
  const { n, by = [], order, rank } = view.top!;
  const groups = new Map<string, Document[]>();
  for (const doc of groupBy(view, trips) as Document[]) {
    const group = JSON.stringify([doc['window_end'], ...by.map((name) => doc[name])]);
    groups.set(group, [...(groups.get(group) ?? []), doc]);
  }
  const value = (doc: Document, name: string) => doc[name] ?? Number.NEGATIVE_INFINITY;
  return [...groups.values()].flatMap((docs) => {
    docs.sort((a, b) => {
      for (const { name, descending } of [
        ...order,
        ...Object.keys(view.by).map((key) => ({ name: key, descending: false })),
      ]) {
        const [x, y] = [value(a, name), value(b, name)];
        if (x !== y) return (x < y ? -1 : 1) * (descending ? -1 : 1);
      }
      return 0;
    });
    return docs.slice(0, n).map((doc, i) => ({
      due: Date.parse(String(doc['window_end'])) - 1 + lateness,
      doc: rank === undefined ? doc : { ...doc, [rank]: i + 1 },
    }));
  });
}

/** Whether a trip counts in a view at all. */
const isIn = (view: l.View, one: Trip) =>
  groupBy({ ...view, window: l.tumbling('36500d'), having: { op: 'literal', value: true } }, [one]).length >
  0;

function agrees(views: readonly l.View[], resultsOf: Results, totalsFor: Totals, isLate: (view: l.View, one: Trip, watermark: number) => boolean) {
  return fc.property(
    fc.constantFrom(...views),
    fc.constantFrom(0, 0, 3 * MINUTE),
    fc.array(step, { maxLength: 120, size: 'max' }),
    (view, lateness, steps) => {
      const stored = new MemoryPanes();
      let process = new Process(view, lateness, stored);
      let [trips, watermark, committed] = [[] as Trip[], Number.NEGATIVE_INFINITY, { trips: [] as Trip[], watermark: Number.NEGATIVE_INFINITY }];
      let moved = NOON;
      const checkpoint = (leaves: number) => {
        const leave = (start: number) => ((leaves >> (Math.floor(start / MINUTE) & 3)) & 1) === 1;
        const expected = resultsOf(view, lateness, trips).filter(({ due }) => due <= watermark && due > committed.watermark);
        const { firings } = process.checkpoint(leave);
        const totals = totalsFor(view, lateness, trips).filter(({ due }) => due <= watermark && due > committed.watermark);
        assert.deepEqual([...totalsIn(firings)].sort(), totals.map(({ totals: { end, ...rest } }) => [end, JSON.parse(JSON.stringify(rest))]).sort());
        assert.deepEqual(lines(firings.flatMap(documentsOf)), lines(JSON.parse(JSON.stringify(expected.map(({ doc }) => doc))) as Document[]));
        assert.deepEqual(process.checkpoint(), { firings: [], blocks: [] }, 'nothing changed since');
        committed = { trips: [...trips], watermark };
      };
      for (const s of steps) {
        if (s.do === 'trip') {
          const late = isIn(view, s.trip) && isLate(view, s.trip, watermark - lateness);
          const outcome = process.add(s.trip);
          assert.equal((outcome & OUTCOME.used) === 0 && outcome !== 0, late);
          if (isIn(view, s.trip) && !late) trips.push(s.trip);
        } else if (s.do === 'advance') {
          moved += s.by;
          watermark = moved;
          process.advance(moved);
        } else if (s.do === 'checkpoint') checkpoint(s.leaves);
        else {
          trips = [...committed.trips];
          watermark = committed.watermark;
          process = new Process(view, lateness, stored, watermark);
          moved = Math.max(NOON, watermark);
        }
      }
      watermark = NOON + 1_000 * MINUTE;
      process.advance(watermark);
      checkpoint(0);
      assert.equal(stored.size, 0, 'nothing is kept of windows that are over');
      assert.deepEqual([process.memory.bytes, process.panes.unfired], [0, 0]);
    },
  );
} // biome-ignore format: one property

describe('sessions and tops', () => {
  it('sessions are those of all trips that were in time, however they came, left memory and were restored', () => {
    const isLate = (view: l.View, one: Trip, watermark: number) => {
      const { gap_ms: gap } = view.window as { gap_ms: number };
      return (Math.floor(timeOf(one) / gap) + 1) * gap - 1 <= watermark;
    };
    fc.assert(agrees(SESSIONS, sessionsOf, totalsOfSessions, isLate), { numRuns: 500 });
  });

  it('tops are the first of what all panes of a window make', () => {
    const trips: Results = (view, lateness, all) => topsOf(view, lateness, all);
    const isLate = (view: l.View, one: Trip, watermark: number) =>
      windowsOf(view.window, timeOf(one))[0]![1] - 1 <= watermark;
    fc.assert(agrees(TOPS, trips, totalsOfTops, isLate), { numRuns: 500 });
  });
});
