import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type DuplicateChanges,
  Duplicates,
  type PageRecord,
  type SeenRange,
} from '../../src/engine/duplicates.ts';

const PAGE = 32_768;

/** What checkpoints wrote, as a file keeps it. */
class Kept {
  readonly pages = new Map<string, PageRecord>();
  readonly ranges = new Map<string, SeenRange[]>();

  take(changes: DuplicateChanges): void {
    const { pages, closed, ranges } = structuredClone(changes);
    for (const { replay, page } of closed) this.pages.delete(`${replay} ${page}`);
    for (const page of pages) this.pages.set(`${page.replay} ${page.page}`, page);
    for (const { replay, ranges: seen } of ranges) this.ranges.set(replay, seen);
  }

  open(): Duplicates {
    const duplicates = new Duplicates();
    duplicates.restore(
      structuredClone([...this.pages.values()]),
      structuredClone([...this.ranges].map(([replay, ranges]) => ({ replay, ranges }))),
    );
    return duplicates;
  }
}

/** Ids that meet: around the borders of a few pages, single and in runs. */
const ids = fc.oneof(
  fc.nat(60).map((id) => [id]),
  fc.tuple(fc.nat(2), fc.integer({ min: -3, max: 3 })).map(([page, d]) => [Math.max(0, page * PAGE + d)]),
  fc.tuple(fc.nat(3 * PAGE), fc.nat(300)).map(([from, n]) => Array.from({ length: n }, (_, i) => from + i)),
);
const steps = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: fc.record({ do: fc.constant('add' as const), replay: fc.constantFrom('a', 'b'), ids }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('page' as const), page: fc.nat(2) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('checkpoint' as const), watermark: fc.integer({ min: -10, max: 3 * PAGE }) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
  ),
  { maxLength: 40, size: 'max' },
); // biome-ignore format: a step a line

describe('trips seen before (W7)', () => {
  it('are those of a set, over closed pages and restarts at any point', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const kept = new Kept();
        let duplicates = new Duplicates();
        let seen = new Set<string>();
        let committed = new Set<string>();
        let watermark = Number.NEGATIVE_INFINITY;
        const add = (replay: string, id: number) => {
          const fresh = !seen.has(`${replay} ${id}`);
          seen.add(`${replay} ${id}`);
          // Drop-off times go with the ids, and are behind the watermark now and then.
          assert.equal(duplicates.of(replay).add(id, id), fresh, `trip ${id} of ${replay}`);
        };
        for (const step of all) {
          if (step.do === 'add') for (const id of step.ids) add(step.replay, id);
          else if (step.do === 'page') for (let i = 0; i < PAGE; i++) add('a', step.page * PAGE + i);
          else if (step.do === 'checkpoint') {
            watermark = Math.max(watermark, step.watermark);
            kept.take(duplicates.takeChanges(watermark));
            committed = new Set(seen);
          } else {
            duplicates = kept.open();
            seen = new Set(committed);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  it('are written once when they change, and leave their pages once the watermark passes them', () => {
    const duplicates = new Duplicates();
    const add = (from: number, to: number) => {
      for (let id = from; id < to; id++) duplicates.of('a').add(id, id);
    };
    add(0, 100);
    add(PAGE, PAGE + 10);
    const first = duplicates.takeChanges(50);
    assert.deepEqual(first.pages.map(({ page, latest }) => [page, latest]), [[0, 99], [1, PAGE + 9]]); // biome-ignore format: one line
    assert.deepEqual([first.closed, first.ranges], [[], []]);
    assert.deepEqual(duplicates.takeChanges(50), { pages: [], closed: [], ranges: [] }, 'nothing changed');
    duplicates.of('a').add(7, 7);
    assert.deepEqual(duplicates.takeChanges(50).pages, [], 'a duplicate changes nothing');
    const second = duplicates.takeChanges(99);
    assert.deepEqual(second, { pages: [], closed: [{ replay: 'a', page: 0 }], ranges: [{ replay: 'a', ranges: [[0, 100]] }] }); // biome-ignore format: one line
    add(100, PAGE);
    const third = duplicates.takeChanges(99);
    assert.deepEqual(third.closed, [{ replay: 'a', page: 0 }], 'a full page needs no bits any more');
    assert.deepEqual(third.ranges, [{ replay: 'a', ranges: [[0, PAGE]] }]);
    add(PAGE + 10, PAGE + 20);
    assert.deepEqual(duplicates.takeChanges(2 * PAGE).ranges, [{ replay: 'a', ranges: [[0, PAGE + 20]] }], 'one range'); // biome-ignore format: one line
  });
});
