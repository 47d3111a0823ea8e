/** Shards: their names, and the space of hash keys that they divide. */

/** Hash keys are 0 … 2^128 − 1. */
export const HASH_KEYS = 1n << 128n;

/** `shardId-000000000000` and so on. */
export function shardIdOf(index: number): string {
  return `shardId-${String(index).padStart(12, '0')}`;
}

/** `count` equal hash key ranges that cover the shard space, in order; both ends belong to a range. */
export function evenRanges(count: number): [first: bigint, last: bigint][] {
  const n = BigInt(count);
  return Array.from({ length: count }, (_, i) => [
    (HASH_KEYS * BigInt(i)) / n,
    (HASH_KEYS * BigInt(i + 1)) / n - 1n,
  ]);
}
