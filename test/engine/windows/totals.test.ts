import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Totals } from '../../../src/engine/windows/totals.ts';
import { TripColumns } from '../../../src/events/columns.ts';
import { checkViews } from '../../../src/views/check.ts';
import { compileView } from '../../../src/views/javascript/compile.ts';
import type { CompiledView } from '../../../src/views/javascript/compiled-view.ts';
import * as l from '../../../src/views/language.ts';
import { randomNumbers } from '../../random.ts';
import { MemoryPanes } from '../memory.ts';

const amount = l.field('total_amount');

const [view] = checkViews([
  l.view({
    name: 'rich',
    by: { cell: l.geohash('pickup', 6), vendor: l.field('vendor_id'), zone: l.field('pickup_zone'), id: l.field('passenger_count') },
    window: l.tumbling('10m'),
    aggregates: { n: l.count(), total: l.sum(amount), spread: l.stddev(amount), median: l.percentile(amount, 0.5), ids: l.countDistinct(l.field('trip_id')), vendors: l.countDistinct(l.field('vendor_id')), late: l.max(l.field('dropoff_datetime')) },
  }),
]); // biome-ignore format: a part a line

/** Numbers of a pane of the trips with these amounts. */
function numbersOf(compiled: CompiledView, values: readonly number[]): Float64Array {
  const numbers = new Float64Array(compiled.width);
  compiled.initial(numbers, 0);
  numbers[0] = values.length;
  // The sum and its number of values, and those of the percentile.
  numbers[1] = values.reduce((sum, value) => sum + value);
  numbers[3] = values.length;
  numbers[10] = values.length;
  return numbers;
}

/** Totals of panes of so many trips in so many groups, which begin another part after so many bytes. */
function totalsOf({ groups, trips, partBytes }: { groups: number; trips: number; partBytes?: number }) {
  const random = randomNumbers(groups);
  const stored = new MemoryPanes();
  let puts = 0;
  const counting = {
    block: stored.block.bind(stored),
    firstKey: stored.firstKey.bind(stored),
    rewrite: stored.rewrite.bind(stored),
    drop: stored.drop.bind(stored),
    put: (...args: Parameters<MemoryPanes['put']>) => {
      puts++;
      stored.put(...args);
    },
  };
  const compiled = compileView(view!, new TripColumns());
  const totals = new Totals(compiled, counting, partBytes);
  // What one firing leaves behind does not show in the next one.
  totals.begin();
  totals.addPane(['x', 'y', 1, 2], numbersOf(compiled, [3]), [[[3, 1]], [[3, 1]], [['z', 1]]]);
  if (groups % 2 === 0) totals.take();
  totals.begin();
  const all: number[] = [];
  for (let pane = 0; pane * 10 < trips; pane++) {
    const group = pane % groups;
    const values = Array.from({ length: 10 }, () => Math.floor(random() * 5_000) / 4);
    all.push(...values);
    const numbers = numbersOf(compiled, values);
    const key = [`cell${pane}`, `v${group % 7}`, pane, group];
    totals.addPane(key, numbers, [
      values.map((value) => [value, 1] as const),
      values.map((value) => [Math.floor(value), 1] as const),
      [[`v${group}`, 1]],
    ]);
  }
  const text = totals.take();
  assert.equal(stored.size, 0, 'nothing stays in the store');
  return { text, puts, all, parsed: JSON.parse(text!) as Parsed };
}

interface Parsed {
  readonly keys: number;
  readonly all: { values: Record<string, number>; of: Record<string, number> };
  readonly groups: { key: unknown[]; values: Record<string, number>; of: Record<string, number> }[] | null;
}

describe('totals', () => {
  it('are the same in any number of parts, which leave nothing behind (C9)', () => {
    for (const groups of [1, 9, 64, 65, 500]) {
      const whole = totalsOf({ groups, trips: 6_000 });
      assert.equal(whole.puts, 0);
      for (const partBytes of [60_000, 150_000]) {
        const inParts = totalsOf({ groups, trips: 6_000, partBytes });
        assert.ok(inParts.puts > 0, `${inParts.puts} parts of ${groups} groups`);
        assert.equal(inParts.text, whole.text);
      }
    }
  });

  it('are of all values, and by group up to 64 groups', () => {
    for (const groups of [1, 64, 65]) {
      const { parsed, all } = totalsOf({ groups, trips: 6_000 });
      const sorted = all.toSorted((a, b) => a - b);
      const { values, of } = parsed.all;
      assert.deepEqual(
        { keys: parsed.keys, n: values['n'], total: values['total'], median: values['median'], ids: values['ids'], vendors: values['vendors'] },
        { keys: 600, n: 6_000, total: all.reduce((sum, value) => sum + value), median: (sorted[2_999]! + sorted[3_000]!) / 2, ids: new Set(all.map(Math.floor)).size, vendors: groups },
      ); // biome-ignore format: one comparison
      assert.deepEqual(of, { n: 6_000, total: 6_000, spread: 0, median: 6_000, ids: null, vendors: null, late: null }); // biome-ignore format: one line
      assert.deepEqual([values['spread'], values['late']], [null, null], 'no value is null');
      if (groups > 64) {
        assert.equal(parsed.groups, null);
        continue;
      }
      assert.equal(parsed.groups!.length, groups);
      assert.equal(parsed.groups!.reduce((sum, group) => sum + group.values['n']!, 0), 6_000); // biome-ignore format: one line
      assert.deepEqual(parsed.groups![0]!.key, ['v0', 0], 'without the places');
    }
  });
});
