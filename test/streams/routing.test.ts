import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Shard } from '../../src/streams/ports.ts';
import { hashKeyOf, Router, spread } from '../../src/streams/routing.ts';
import { evenRanges, HASH_KEYS, shardIdOf } from '../../src/streams/shards.ts';

type Range = [first: bigint, last: bigint];

/** Splits the shard space at random keys, some of them next to each other and next to multiples of 2^96. */
const ranges: fc.Arbitrary<Range[]> = fc
  .array(
    fc.oneof(
      fc.bigInt({ min: 1n, max: HASH_KEYS - 1n }),
      fc
        .tuple(fc.nat(0xffff_fffe), fc.bigInt({ min: -2n, max: 2n }))
        .map(([n, d]) => (BigInt(n + 1) << 96n) + d),
      fc.bigInt({ min: 1n, max: 5n }),
      fc.bigInt({ min: HASH_KEYS - 5n, max: HASH_KEYS - 1n }),
    ),
    { maxLength: 12 },
  )
  .map((cuts) => {
    const firsts = [0n, ...new Set(cuts)].sort((a, b) => (a < b ? -1 : 1));
    return firsts.map((first, i): Range => [first, (firsts[i + 1] ?? HASH_KEYS) - 1n]);
  });

const shardsOf = (all: readonly Range[], open = true): Shard[] =>
  all.map(([firstHashKey, lastHashKey], i) => ({
    id: shardIdOf(i + (open ? 100 : 0)),
    parents: [],
    firstHashKey,
    lastHashKey,
    open,
  }));

describe('hash keys', () => {
  it('are the MD5 (RFC 1321) of the partition key', () => {
    const known: [string, string][] = [
      ['', 'd41d8cd98f00b204e9800998ecf8427e'],
      ['a', '0cc175b9c0f1b6a831c399e269772661'],
      ['abc', '900150983cd24fb0d6963f7d28e17f72'],
      ['message digest', 'f96b697d7cb7938d525a2f31aaf161d0'],
      ['abcdefghijklmnopqrstuvwxyz', 'c3fcd3d76192e4007dfb496cca67e13b'],
    ];
    for (const [text, md5] of known) assert.equal(hashKeyOf(text), BigInt(`0x${md5}`), text);
    const bytes = createHash('md5')
      .update(Buffer.from([0xc3, 0xa9]))
      .digest('hex');
    assert.equal(hashKeyOf('é'), BigInt(`0x${bytes}`), 'in UTF-8');
  });
});

describe('the router', () => {
  it('finds the shard whose range holds a hash key, over any shard map', () => {
    fc.assert(
      fc.property(
        ranges,
        ranges,
        fc.array(fc.oneof(fc.nat(0xffff_ffff), fc.constantFrom(0, 1, 2, 0xffff_ffff)), { minLength: 1 }),
        fc.infiniteStream(fc.nat()),
        (open, closed, hashes, noise) => {
          const shards = shardsOf(open);
          const mixed = [...shardsOf(closed, false), ...shards]
            .map((shard) => ({ shard, at: noise.next().value! }))
            .sort((a, b) => a.at - b.at)
            .map(({ shard }) => shard);
          const router = new Router(mixed);
          // The borders, and a key on either side of each.
          const borders = open.flatMap(([first]) => [-1, 0, 1].map((d) => Number(first >> 96n) + d));
          for (const hash of [...hashes, ...borders.filter((h) => h >= 0 && h <= 0xffff_ffff)]) {
            const key = BigInt(hash) << 96n;
            const expected = shards.find((shard) => shard.firstHashKey <= key && key <= shard.lastHashKey);
            assert.equal(router.shards[router.indexOf(hash)]?.id, expected?.id, `hash ${hash}`);
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('has the open shards in the order of their hash keys', () => {
    const shards = shardsOf(evenRanges(7)).reverse();
    assert.deepEqual(
      new Router([...shards, ...shardsOf(evenRanges(2), false)]).shards.map(({ id }) => id),
      shards.map(({ id }) => id).reverse(),
    );
  });
});

describe('trip ids', () => {
  it('spread evenly over the shards, consecutive or not', () => {
    const sequences: [string, (i: number) => number][] = [
      ['consecutive', (i) => i],
      ['every 8th', (i) => i * 8],
      ['every 4096th', (i) => i * 4_096],
      ['far out', (i) => 2 ** 40 + i],
      ['beyond 32 bits only', (i) => i * 2 ** 32],
    ];
    for (const [name, id] of sequences) {
      for (const count of [2, 3, 8, 64]) {
        const router = new Router(shardsOf(evenRanges(count)));
        const seen = new Uint32Array(count);
        const n = 20_000;
        for (let i = 0; i < n; i++) seen[router.indexOf(spread(id(i)))]!++;
        // Six standard deviations of a fair throw.
        const slack = 6 * Math.sqrt((n / count) * (1 - 1 / count));
        for (const c of seen) {
          assert.ok(Math.abs(c - n / count) < slack, `${name} over ${count} shards: ${[...seen].join(' ')}`);
        }
      }
    }
  });

  it('have hashes of full 32 bits', () => {
    for (const id of [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      const hash = spread(id);
      assert.ok(Number.isInteger(hash) && hash >= 0 && hash < 2 ** 32, `${id} → ${hash}`);
    }
  });
});

describe('even ranges', () => {
  it('cover the shard space without gap or overlap', () => {
    for (const count of [1, 2, 3, 7, 8, 1_000]) {
      const all = evenRanges(count);
      assert.equal(all[0]![0], 0n);
      assert.equal(all.at(-1)![1], HASH_KEYS - 1n);
      for (let i = 1; i < count; i++) assert.equal(all[i]![0], all[i - 1]![1] + 1n);
      const sizes = all.map(([first, last]) => last - first + 1n);
      assert.ok(
        sizes.every((size) => size - sizes[0]! <= 1n && sizes[0]! - size <= 1n),
        'of the same size but for one',
      );
    }
  });
});
