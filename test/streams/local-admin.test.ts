import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { LocalAdmin } from '../../src/streams/local/admin.ts';
import { evenRanges, HASH_KEYS } from '../../src/streams/shards.ts';
import { temporaryFolder } from '../files.ts';

it('reshards from any shards to even ones, and leaves those that already fit', async (t) => {
  const folder = temporaryFolder(t);
  let streams = 0;
  const plan = fc.record({
    shards: fc.integer({ min: 1, max: 9 }),
    splits: fc.array(fc.record({ which: fc.nat(99), at: fc.bigInt({ min: 1n, max: HASH_KEYS - 1n }) }), {
      maxLength: 5,
    }),
    target: fc.integer({ min: 1, max: 12 }),
  });
  await fc.assert(
    fc.asyncProperty(plan, async ({ shards, splits, target }) => {
      const admin = new LocalAdmin(folder, `s${streams++}`);
      await admin.create(shards);
      const open = async () =>
        (await admin.describe())
          .filter((shard) => shard.open)
          .map((shard) => ({
            id: shard.shard,
            range: [BigInt(shard.first_hash_key), BigInt(shard.last_hash_key)] as [bigint, bigint],
          }))
          .sort((a, b) => (a.range[0] < b.range[0] ? -1 : 1));
      for (const { at } of splits) {
        const crossed = (await open()).find(({ range: [first, last] }) => first < at && at <= last);
        if (crossed) await admin.split(crossed.id, at);
      }
      const before = await open();
      const opened = await admin.reshard(target);
      const after = await open();
      assert.deepEqual(
        after.map(({ range }) => range),
        evenRanges(target),
      );
      const inRange = new Map(before.map(({ id, range }) => [String(range), id]));
      for (const { id, range } of after) {
        const kept = inRange.get(String(range));
        if (kept !== undefined) assert.equal(id, kept, 'a shard that is as it should be stays');
        assert.equal(opened.includes(id), kept === undefined, `${id} is told of if it is new`);
      }
      assert.deepEqual(await admin.reshard(target), [], 'nothing is left to do');
      await admin.delete();
    }),
    { numRuns: 60 },
  );
});
