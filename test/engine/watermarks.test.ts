import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type ShardProgress, ShardWatermarks } from '../../src/engine/watermarks.ts';

const HORIZON = { at: 'trim-horizon' } as const;
const NONE = Number.NEGATIVE_INFINITY;

function started(idleHoldsNobody: boolean, ...watermarks: number[]): [ShardWatermarks, ShardProgress[]] {
  const all = new ShardWatermarks(idleHoldsNobody);
  const shards = watermarks.map((watermark, i) => {
    const shard = all.add(`${i}`, HORIZON, []);
    shard.watermark = watermark;
    shard.latest = watermark;
    return shard;
  });
  return [all, shards];
}

describe('the watermark of a stream', () => {
  it('is the least of the shards that are read, and never goes back (W4)', () => {
    const changes = fc.array(
      fc.tuple(fc.nat(4), fc.constantFrom('move', 'end', 'idle', 'busy'), fc.nat(100)),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.boolean(), changes, (count, idleHoldsNobody, steps) => {
        const [all, shards] = started(idleHoldsNobody, ...new Array<number>(count).fill(NONE));
        let highest = NONE;
        for (const [n, what, to] of steps) {
          const shard = shards[n % count]!;
          if (what === 'move') shard.watermark = Math.max(shard.watermark, to);
          else if (what === 'end') shard.ended = true;
          else shard.idle = what === 'idle';
          const holding = shards.filter((s) => !s.ended && !(idleHoldsNobody && s.idle));
          const least = Math.min(...holding.map((s) => s.watermark));
          // Where nobody holds it, all that was there has been read.
          highest = Math.max(
            highest,
            holding.length > 0 ? least : Math.max(...shards.map((s) => s.watermark)),
          );
          assert.equal(all.value, highest);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('is none while some shard has none, though the others are far ahead (W4)', () => {
    const [all, [first]] = started(false, NONE, 100);
    assert.equal(all.value, NONE);
    first!.idle = true;
    assert.equal(all.value, NONE, 'an idle shard that gets watermark records holds it all the same');
    first!.watermark = 5;
    assert.equal(all.value, 5);
    assert.equal(all.slowest, first);
  });

  it('is not held by an idle shard where the trips make it (W5)', () => {
    const [all, [first, second]] = started(true, NONE, 100);
    assert.equal(all.value, NONE);
    first!.idle = true;
    assert.equal(all.value, 100);
    second!.watermark = 120;
    first!.idle = false;
    first!.watermark = 110;
    assert.equal(all.value, 110);
  });

  it('goes on where a checkpoint left it', () => {
    const [all, shards] = started(false, 10, 20);
    assert.equal(all.value, 10);
    const again = new ShardWatermarks(false);
    again.restore(structuredClone(shards), 15);
    assert.equal(again.value, 15, 'not back');
    again.get('0')!.watermark = 30;
    assert.equal(again.value, 20);
    assert.equal(shards[0]!.watermark, 10, 'the state that was read is left alone');
  });
});

describe('a child shard (W4)', () => {
  it('of a split starts from its parent', () => {
    const [all, [parent]] = started(false, 10, 50);
    parent!.ended = true;
    const children = ['2', '3'].map((id) => all.add(id, HORIZON, ['0']));
    assert.deepEqual(children.map(({ watermark, latest }) => [watermark, latest]), [[10, 10], [10, 10]]); // biome-ignore format: one line
    assert.equal(all.value, 10);
    children[0]!.watermark = 40;
    assert.equal(all.value, 10);
    children[1]!.watermark = 30;
    assert.equal(all.value, 30);
  });

  it('of a merge starts from the parent that is behind, in its newest trip too', () => {
    const [all, [low, high]] = started(false, 10, 50);
    low!.ended = true;
    high!.ended = true;
    const child = all.add('2', HORIZON, ['0', '1']);
    assert.deepEqual([child.watermark, child.latest], [10, 10]);
  });

  it('of parents that are not known here starts from nothing', () => {
    const [all] = started(false, 10);
    assert.equal(all.add('9', HORIZON, ['7', '8']).watermark, NONE);
    const child = all.add('10', HORIZON, ['7', '0']);
    assert.equal(child.watermark, NONE, 'one that is not known may have been behind');
    assert.equal(child.latest, 10, 'its turn comes as that of the one that is known');
  });

  it('that waits for its other parent is stood for by the one that is drained', () => {
    for (const idleHoldsNobody of [false, true]) {
      const [all, [drained]] = started(idleHoldsNobody, 10, 50);
      drained!.ended = true;
      drained!.idle = true;
      all.standIns = new Set(['0']);
      assert.equal(all.value, 10, 'the child will start from there');
      all.standIns = new Set();
      assert.equal(all.value, 50);
    }
  });
});
