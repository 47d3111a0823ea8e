/** Batches on their way into shards → entries of PutRecords requests. */

import type { OutgoingBatch, Shard } from '../ports.ts';
import { Router } from '../routing.ts';
import { Aggregate } from './aggregation.ts';
import type { Budget } from './budget.ts';
import type { PutEntry } from './wire.ts';

const PUT_RECORDS = 500;
/** Emulators take 5 MB a request, partition keys included, as Kinesis did before it took 10 MiB. */
const PUT_BYTES = 4_800_000;
/** The size up to which the Kinesis Producer Library fills a record. */
const AGGREGATE_BYTES = 51_200;
/** Room for the keys and the frame of an aggregated record beside what is in it. */
const KEYS_BYTES = 256;
/** Trips go by the upper 16 bits of their hash key: as many keys as there are made once. */
const BUCKETS = 65_536;
const BUCKET_SHIFT = 112n;

/** A record on its way, with the budget of the shard it is for. */
export interface Entry {
  readonly record: PutEntry;
  readonly budget: Budget;
}

/** The open shards as of one listing, each with its budget. */
export class Routes {
  readonly router: Router;
  readonly ids: ReadonlySet<string>;
  readonly budgets: readonly Budget[];

  constructor(shards: readonly Shard[], budgetOf: (shard: string) => Budget) {
    this.router = new Router(shards);
    this.ids = new Set(this.router.shards.map(({ id }) => id));
    this.budgets = this.router.shards.map(({ id }) => budgetOf(id));
  }
}

/** Takes what a request needs from the budgets of its shards; ms to wait before it is sent. */
export function spend(entries: readonly Entry[], now: number): number {
  let wait = 0;
  for (const { record, budget } of entries) wait = Math.max(wait, budget.take(1, sizeOf(record), now));
  return wait;
}

function sizeOf({ data, partitionKey }: PutEntry): number {
  return data.length + partitionKey.length;
}

const bucketKeys: string[] = new Array(BUCKETS);

/** The explicit hash key of a bucket; writing 39 digits out for each trip would cost more than all the rest. */
function bucketKey(bucket: number): string {
  bucketKeys[bucket] ??= String(BigInt(bucket) << BUCKET_SHIFT);
  return bucketKeys[bucket];
}

/** Each trip a record. */
export function singly(batches: readonly OutgoingBatch[], { router, budgets }: Routes): Entry[] {
  const entries: Entry[] = [];
  for (const { data, ends, hashes, count } of batches) {
    for (let i = 0, start = 0; i < count; i++) {
      const bucket = hashes[i]! >>> 16;
      const end = ends[i]!;
      const record = {
        partitionKey: bucket.toString(36),
        explicitHashKey: bucketKey(bucket),
        data: data.subarray(start, end),
      };
      entries.push({ record, budget: budgets[router.indexOf(bucket * BUCKETS)]! });
      start = end;
    }
  }
  return entries;
}

/** Trips of one shard together, at its first hash key. */
export function aggregated(batches: readonly OutgoingBatch[], { router, budgets }: Routes): Entry[] {
  const entries: Entry[] = [];
  const keys = router.shards.map(({ id, firstHashKey }) => ({
    partitionKey: id,
    explicitHashKey: String(firstHashKey),
  }));
  const filling: (Aggregate | undefined)[] = keys.map(() => undefined);
  const finish = (shard: number) => {
    const data = filling[shard]?.finish();
    if (data) entries.push({ record: { ...keys[shard]!, data }, budget: budgets[shard]! });
  };
  for (const { data, ends, hashes, count } of batches) {
    for (let i = 0, start = 0; i < count; i++) {
      const end = ends[i]!;
      const shard = router.indexOf(hashes[i]!);
      if (!filling[shard]?.add(data, start, end)) {
        finish(shard);
        const { partitionKey, explicitHashKey } = keys[shard]!;
        const room = Math.max(AGGREGATE_BYTES, end - start + KEYS_BYTES);
        const next = new Aggregate(partitionKey, explicitHashKey, room);
        next.add(data, start, end);
        filling[shard] = next;
      }
      start = end;
    }
  }
  for (const shard of filling.keys()) finish(shard);
  return entries;
}

/** Entries in requests of 500 and 4.8 MB at most. */
export function packed(entries: readonly Entry[]): Entry[][] {
  const requests: Entry[][] = [];
  let bytes = 0;
  for (const entry of entries) {
    const size = sizeOf(entry.record);
    const last = requests.at(-1);
    if (!last || last.length === PUT_RECORDS || bytes + size > PUT_BYTES) {
      requests.push([entry]);
      bytes = size;
    } else {
      last.push(entry);
      bytes += size;
    }
  }
  return requests;
}
