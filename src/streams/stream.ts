/**
 * The Stream port: what replay and engine need of a sharded stream, with the semantics of Amazon Kinesis.
 */
import type { RecordBytes } from '../events/decode.ts';

/** The shard space: hash keys are 0 … 2^128 − 1. */
export const HASH_KEYS = 1n << 128n;

export interface Shard {
  /** `shardId-000000000000`. */
  readonly id: string;
  /** Shards this one came from by a split (one) or a merge (two); a parent that is gone is still named. */
  readonly parents: readonly string[];
  readonly firstHashKey: bigint;
  readonly lastHashKey: bigint;
  /** False once it was split or merged: what it holds can be read, nothing is added. */
  readonly open: boolean;
}

/**
 * Where to read a shard from. `arrival`, where the stream tells it: whatever came between this place and that time,
 * epoch ms, has been read; if it is older than the retention, there is a gap.
 */
export type Position =
  | { readonly at: 'trim-horizon'; readonly arrival?: number }
  | { readonly at: 'latest' }
  /** The first record that arrived at this time (epoch ms) or later. */
  | { readonly at: 'time'; readonly ms: number; readonly arrival?: number }
  | { readonly at: 'after'; readonly sequence: string; readonly arrival?: number };

/** Records of one shard, in order. */
export interface RecordBatch extends RecordBytes {
  /** Arrival time of each record, epoch ms. */
  readonly arrivals: Float64Array;
  /** Where to go on: after the last record, or where this read began when there was none. */
  readonly next: Position;
  /** True when nothing was behind this batch at the time it was read. */
  readonly atTip: boolean;
  /** True when the shard is closed and everything in it has been read. */
  readonly ended: boolean;
  /**
   * What fell out of the stream's retention between the position asked for and this batch, in words. From
   * `trim-horizon`: what the shard ever held and holds no more, where the stream can tell.
   */
  readonly lost: string | undefined;
  /** Sequence number of a record, for people; `/n` behind it where it is the n-th of several under one number. */
  sequenceOf(row: number): string;
}

export interface StreamReader {
  /** How the stream is named to the user: `local:taxi-trip-events`. */
  readonly name: string;
  /** Tells this stream from another of the same name: one that is deleted and made again differs. */
  readonly identity: string;
  shards(): Promise<readonly Shard[]>;
  /**
   * At most `limit` records from `position` on; an empty batch when there are none yet. Throws `no-shard` for a
   * shard that has left the stream, which the list may be slower to say.
   */
  read(shardId: string, position: Position, limit: number): Promise<RecordBatch>;
  close(): Promise<void>;
}

/** Records on their way into a stream. */
export interface OutgoingBatch extends RecordBytes {
  /** The upper 32 bits of each record's hash key. */
  readonly hashes: Uint32Array;
}

export interface PutResult {
  readonly acknowledged: number;
  /** Records the stream refused for good, by reason. */
  readonly refused: Readonly<Record<string, number>>;
}

export interface StreamWriter {
  readonly name: string;
  readonly identity: string;
  /** Resolves when every record is settled: stored, or refused for good. Throws `TaxiflowError` when it can't go on. */
  put(batch: OutgoingBatch): Promise<PutResult>;
  /** One record to every open shard, by explicit hash key. */
  broadcast(recordFor: (shardId: string) => Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** What `taxiflow stream describe` tells of a shard; the figures where the stream tells them. */
export interface ShardDescription {
  readonly shard: string;
  readonly open: boolean;
  readonly parents: readonly string[];
  readonly first_hash_key: string;
  readonly last_hash_key: string;
  readonly first_sequence?: number;
  readonly next_sequence?: number;
  readonly records?: number;
  readonly bytes?: number;
  readonly last_arrival?: string | null;
}

/** Making, looking at and resharding a stream; each call returns when the stream is ready again. */
export interface StreamAdmin {
  readonly name: string;
  /** `shards` undefined: as many as it takes, on demand. */
  create(shards: number | undefined): Promise<void>;
  describe(): Promise<ShardDescription[]>;
  /** Returns the shards opened; `at` is the first hash key of the second half. */
  split(shardId: string, at?: bigint): Promise<string[]>;
  merge(shardId: string, otherId: string): Promise<string[]>;
  /** Brings the stream to this many open shards of even size. */
  reshard(shards: number): Promise<string[]>;
  /** Forgets records that arrived before `ms`; returns how many. */
  trim(ms: number, shardId?: string): Promise<number>;
  delete(): Promise<void>;
  close(): void;
}

export function shardIdOf(index: number): string {
  return `shardId-${String(index).padStart(12, '0')}`;
}

/** `count` equal hash key ranges that cover the shard space, in order. */
export function evenRanges(count: number): [first: bigint, last: bigint][] {
  const n = BigInt(count);
  return Array.from({ length: count }, (_, i) => [
    (HASH_KEYS * BigInt(i)) / n,
    (HASH_KEYS * BigInt(i + 1)) / n - 1n,
  ]);
}
