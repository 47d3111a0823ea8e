import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type ShardProgress, ShardWatermarks } from '../../src/engine/watermarks.ts';

const HORIZON = { at: 'trim-horizon' } as const;
const NONE = Number.NEGATIVE_INFINITY;

function started(ofTrips: boolean, ...watermarks: number[]): [ShardWatermarks, ShardProgress[]] {
  const all = new ShardWatermarks(ofTrips);
  const shards = watermarks.map((watermark, i) => {
    const shard = all.add(`${i}`, HORIZON, []);
    shard.watermark = watermark;
    shard.latest = watermark;
    return shard;
  });
  return [all, shards];
}

describe('the watermark of a stream', () => {
  it('is the minimum of the shards being read, and never goes back (W4)', () => {
    const changes = fc.array(
      fc.tuple(fc.nat(4), fc.constantFrom('move', 'end', 'idle', 'busy'), fc.nat(100)),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.boolean(), changes, (count, ofTrips, steps) => {
        const [all, shards] = started(ofTrips, ...new Array<number>(count).fill(NONE));
        // If no shard holds the watermark, everything has been read.
        const least = (holds: (shard: ShardProgress) => boolean) => {
          const holding = shards.filter(holds).map((s) => s.watermark);
          return holding.length > 0 ? Math.min(...holding) : Math.max(...shards.map((s) => s.watermark));
        };
        let highest = NONE;
        for (const [n, what, to] of steps) {
          const shard = shards[n % count]!;
          if (what === 'move') shard.watermark = Math.max(shard.watermark, to);
          else if (what === 'end') shard.ended = true;
          else if (what === 'busy') shard.idle = false;
          else {
            const expected = ofTrips
              ? Math.max(
                  shard.watermark,
                  least((s) => !s.ended && !s.idle),
                )
              : shard.watermark;
            all.foundIdle(shard, all.reached);
            assert.equal(shard.watermark, expected);
          }
          highest = Math.max(
            highest,
            least((s) => !s.ended),
          );
          assert.equal(all.value, highest);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('is unknown while some shard has none, even if the others are far ahead (W4)', () => {
    const [all, [first]] = started(false, NONE, 100);
    assert.equal(all.value, NONE);
    all.foundIdle(first!, all.reached);
    assert.equal(all.value, NONE, 'an idle shard that gets watermark records holds it all the same');
    first!.watermark = 5;
    assert.equal(all.value, 5);
    assert.equal(all.slowest, first);
  });

  it('is not held back by an idle shard if trips make it (W5)', () => {
    const [all, [first, second]] = started(true, NONE, 100);
    assert.equal(all.value, NONE);
    const then = all.reached;
    second!.watermark = 120;
    assert.equal(then, NONE, 'it was not known to be idle then');
    all.foundIdle(first!, then);
    const { reached } = all;
    second!.watermark = 130;
    all.foundIdle(first!, reached);
    assert.equal(all.value, 120, 'as far as the others were when it was asked');
    first!.idle = false;
    first!.watermark = 125;
    assert.equal(all.value, 125);
  });

  it('continues from a checkpoint', () => {
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

  it('of a merge starts from the parent that is behind, also in its newest trip', () => {
    const [all, [low, high]] = started(false, 10, 50);
    low!.ended = true;
    high!.ended = true;
    const child = all.add('2', HORIZON, ['0', '1']);
    assert.deepEqual([child.watermark, child.latest], [10, 10]);
  });

  it('of unknown parents starts without a watermark', () => {
    const [all] = started(false, 10);
    assert.equal(all.add('9', HORIZON, ['7', '8']).watermark, NONE);
    const child = all.add('10', HORIZON, ['7', '0']);
    assert.equal(child.watermark, NONE, 'one that is not known may have been behind');
    assert.equal(child.latest, 10, 'its turn comes as that of the one that is known');
  });

  it('that waits for its other parent is represented by the drained one', () => {
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
