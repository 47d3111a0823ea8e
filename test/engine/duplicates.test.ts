import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Duplicates } from '../../src/engine/duplicates.ts';
import { randomNumbers } from '../random.ts';
import { MemoryTrips } from './memory.ts';

const PAGE = 32_768;
/** The greatest possible id. */
const LAST = Number.MAX_SAFE_INTEGER;
const NEVER = Number.NEGATIVE_INFINITY;
const never = () => false;

function reopened(kept: MemoryTrips): Duplicates {
  const duplicates = new Duplicates();
  duplicates.restore(kept.stored);
  return duplicates;
}

const range = (count: number, id: (i: number) => number) => Array.from({ length: count }, (_, i) => id(i));

/** Ids of every kind: around page borders, single and in runs, with gaps, far apart, and at the end of the range. */
const ids = fc.oneof(
  fc.nat(60).map((id) => [id]),
  fc.tuple(fc.nat(2), fc.integer({ min: -3, max: 3 })).map(([page, d]) => [Math.max(0, page * PAGE + d)]),
  fc.tuple(fc.nat(3 * PAGE), fc.nat(300)).map(([from, n]) => range(n, (i) => from + i)),
  fc.tuple(fc.nat(9), fc.nat(2_000)).map(([from, n]) => range(n, (i) => from * 12_000 + i)),
  fc.tuple(fc.nat(9), fc.constantFrom(2, 8, 60, PAGE, PAGE + 1, 1e9)).map(([from, gap]) => range(700, (i) => from + i * gap)),
  fc.array(fc.maxSafeNat(), { maxLength: 40 }),
  fc.nat(3 * PAGE).map((id) => [LAST - id]),
  fc.tuple(fc.nat(2 ** 31), fc.nat(900)).map(([seed, n]) => {
    const random = randomNumbers(seed % 5);
    return range(n, () => Math.floor(random() * LAST));
  }),
); // biome-ignore format: a kind a line
const replay = fc.constantFrom('a', 'b', 'c');
const steps = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: fc.record({ do: fc.constant('add' as const), replay, ids }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('page' as const), page: fc.nat(2) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('checkpoint' as const), watermark: fc.oneof(fc.integer({ min: -10, max: 3 * PAGE }), fc.maxSafeNat()) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
  ),
  { maxLength: 40, size: 'max' },
); // biome-ignore format: a step a line

describe('trips seen before (W7)', () => {
  it('equal a set for ids of every kind, across closed pages and restarts at any point', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const kept = new MemoryTrips();
        let duplicates = new Duplicates();
        let seen = new Set<string>();
        let committed = new Set<string>();
        let watermark = NEVER;
        const add = (replay: string, id: number) => {
          const fresh = !seen.has(`${replay} ${id}`);
          seen.add(`${replay} ${id}`);
          // Drop-off times grow with the ids, and are sometimes behind the watermark.
          assert.equal(duplicates.of(replay).add(id, id), fresh, `trip ${id} of ${replay}`);
        };
        for (const step of all) {
          if (step.do === 'add') for (const id of step.ids) add(step.replay, id);
          else if (step.do === 'page') for (let i = 0; i < PAGE; i++) add('a', step.page * PAGE + i);
          else if (step.do === 'checkpoint') {
            watermark = Math.max(watermark, step.watermark);
            kept.take(duplicates.takeChanges(watermark, never));
            committed = new Set(seen);
          } else {
            duplicates = reopened(kept);
            seen = new Set(committed);
          }
        }
      }),
      { numRuns: 150 },
    );
  });

  it('are written once when they change, and leave their pages once the watermark passes them', () => {
    const duplicates = new Duplicates();
    const add = (from: number, to: number) => {
      for (let id = from; id < to; id++) duplicates.of('a').add(id, id);
    };
    const changes = (watermark: number) => {
      const { pages, ...rest } = duplicates.takeChanges(watermark, never);
      const changed = Object.entries(rest).filter(([, list]) => list.length > 0);
      return { ...Object.fromEntries(changed), pages: pages.map(({ page, latest }) => [page, latest]) };
    };
    add(0, 1_000);
    add(PAGE, PAGE + 1_000);
    assert.deepEqual(changes(50), { pages: [[0, 999], [1, PAGE + 999]] }); // biome-ignore format: one line
    assert.deepEqual(changes(50), { pages: [] }, 'nothing changed');
    duplicates.of('a').add(7, 7);
    assert.deepEqual(changes(50), { pages: [] }, 'a duplicate changes nothing');
    const closed = [{ replay: 'a', page: 0 }];
    assert.deepEqual(changes(999), { pages: [], gonePages: closed, ranges: [{ replay: 'a', from: 0, to: 1_000 }] }); // biome-ignore format: one line
    add(1_000, PAGE);
    const full = { pages: [], gonePages: closed, ranges: [{ replay: 'a', from: 0, to: PAGE }] };
    assert.deepEqual(changes(999), full, 'a full page needs no bits any more');
    add(PAGE + 1_000, PAGE + 2_000);
    const whole = { pages: [], gonePages: [{ replay: 'a', page: 1 }], ranges: [{ replay: 'a', from: 0, to: PAGE + 2_000 }] }; // biome-ignore format: one line
    assert.deepEqual(changes(2 * PAGE), whole, 'one range');
  });

  it('are written once, not with every checkpoint, if their ids have gaps or are far apart', () => {
    const random = randomNumbers(3);
    const shapes: Record<string, (i: number) => number> = {
      'every eighth': (i) => i * 8,
      'all but every eighth': (i) => i + Math.floor(i / 7),
      'far apart': (i) => i * 1_000_003,
      'at random': () => Math.floor(random() * LAST),
      'the other way round': (i) => 1e9 - i * 40_000,
    };
    for (const [what, id] of Object.entries(shapes)) {
      const duplicates = new Duplicates();
      const seen = duplicates.of('a');
      let bytes = 0;
      for (let i = 0; i < 50_000; i++) {
        assert.ok(seen.add(id(i), i), what);
        if (i % 500 !== 0) continue;
        const { pages, ranges, chunks } = duplicates.takeChanges(i - 5_000, never);
        bytes += pages.length * 4_096 + ranges.length * 16;
        for (const { ids } of chunks) bytes += ids.byteLength;
      }
      // A page being filled is written with each checkpoint: here every eighth of a page.
      assert.ok(bytes < 50_000 * 40, `${what}: ${bytes / 50_000} bytes an id`);
    }
  });

  it('forget single ids once there are millions and nothing depends on them, and no others', () => {
    const [count, past] = [2_200_000, 900_000];
    const kept = new MemoryTrips();
    const idOf = (i: number) => i * 1_000_003;
    const duplicates = new Duplicates();
    for (let i = 0; i < count; i++) {
      duplicates.of('a').add(idOf(i), i);
      if (i % 100_000 === 0) kept.take(duplicates.takeChanges(i, (time) => time <= past));
    }
    for (const again of [reopened(kept), duplicates]) {
      let unknown = 0;
      for (let i = 0; i <= count - 100_000; i += 1_000) {
        if (!again.of('a').add(idOf(i), i)) continue;
        assert.ok(i <= past, `trip ${i} can still change a result`);
        unknown++;
      }
      assert.ok(unknown > 700, `only ${unknown} of 900 were forgotten`);
    }
  });

  it('are written when they arrive late in a page with many gaps', () => {
    const kept = new MemoryTrips();
    const duplicates = new Duplicates();
    for (let i = 0; i < 2_000; i++) duplicates.of('a').add(i * 5, i);
    kept.take(duplicates.takeChanges(5_000, never));
    duplicates.of('a').add(7, 7);
    kept.take(duplicates.takeChanges(5_000, never));
    assert.equal(reopened(kept).of('a').add(7, 7), false);
  });

  it('are in one range where ranges meet', () => {
    const kept = new MemoryTrips();
    const duplicates = new Duplicates();
    for (const [from, to] of [
      [1_000, 2_000],
      [3_000, 4_000],
      [0, 5_000],
    ] as const) {
      for (let i = from; i < to; i++) duplicates.of('a').add(i, i);
      kept.take(duplicates.takeChanges(10_000, never));
    }
    assert.deepEqual(kept.stored.ranges, [{ replay: 'a', from: 0, to: 5_000 }]);
    assert.equal(reopened(kept).of('a').add(4_500, 1), false);
  });

  it('leave no gap for ids seen before their page began', () => {
    const kept = new MemoryTrips();
    const duplicates = new Duplicates();
    const seen = duplicates.of('a');
    // Enough single ids that no page is free.
    for (let i = 0; i < 70; i++) seen.add((i + 10) * 1e9, i);
    for (let i = 0; i < PAGE; i++) seen.add(i, i);
    kept.take(duplicates.takeChanges(PAGE, never));
    assert.deepEqual(kept.stored.ranges, [{ replay: 'a', from: 0, to: PAGE }]);
  });

  it('of very many replays cost little each', () => {
    const duplicates = new Duplicates();
    const kept = new MemoryTrips();
    for (const time of [0, 1]) {
      for (let i = 0; i < 30_000; i++) assert.equal(duplicates.of(`replay ${i}`).add(1, 1), time === 0);
      kept.take(duplicates.takeChanges(NEVER, never));
    }
    const { pages, chunks } = kept.stored;
    assert.ok(pages.length <= 200, `${pages.length} pages`);
    assert.equal(pages.length + chunks.reduce((sum, { ids }) => sum + ids.length, 0), 30_000);
  });
});
