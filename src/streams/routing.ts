import { createHash } from 'node:crypto';
import type { Shard } from './ports.ts';

/** The hash key of a partition key, as Kinesis computes it: its MD5 as a 128-bit number. */
export function hashKeyOf(partitionKey: string): bigint {
  return BigInt(`0x${createHash('md5').update(partitionKey, 'utf8').digest('hex')}`);
}

/** Spreads consecutive ids evenly over the shard space: the upper 32 bits of an explicit hash key. */
export function spread(id: number): number {
  let h = (id ^ Math.floor(id / 0x1_0000_0000)) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Finds the open shard of a hash key by its upper 32 bits. */
export class Router {
  readonly shards: readonly Shard[];
  /** The least upper half that belongs to each shard, ascending. */
  readonly #starts: Float64Array;

  constructor(shards: readonly Shard[]) {
    this.shards = shards
      .filter((shard) => shard.open)
      .sort((a, b) => (a.firstHashKey < b.firstHashKey ? -1 : 1));
    const low = (1n << 96n) - 1n;
    this.#starts = Float64Array.from(this.shards, (shard) => Number((shard.firstHashKey + low) >> 96n));
  }

  /** Index into `shards`. */
  indexOf(hash: number): number {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#starts[middle]! <= hash) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
