/**
 * The Stream ports: what replay, engine and commands need of a sharded stream, with the semantics of Amazon Kinesis. Reader,
 * writer and admin are opened apart; `connectors.ts` opens them.
 */
import type { RecordBytes } from '../events/decode.ts';

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
 * Where to read a shard from. Some streams tell `arrival`, epoch ms: everything that came between this place and that time
 * has been read. If `arrival` is older than the retention, there is a gap.
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

/** A stream that is open, for reading or for writing. */
export interface OpenStream {
  /** How the stream is named to the user: `local:taxi-trip-events`. */
  readonly name: string;
  /** Tells this stream from another of the same name: one that is deleted and made again differs. */
  readonly identity: string;
  shards(): Promise<readonly Shard[]>;
  close(): Promise<void>;
}

export interface StreamReader extends OpenStream {
  /**
   * At most `limit` records from `position` on; an empty batch when there are none yet. Throws `no-shard` for a
   * shard that has left the stream, which the list may be slower to say.
   */
  read(shardId: string, position: Position, limit: number): Promise<RecordBatch>;
  /** How many records follow a position now, where the stream counts them. */
  remaining?(shardId: string, position: Position): number;
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

/** What a writer has done since it was opened. */
export interface WriteCounts {
  /** Records stored, watermarks too; an aggregated record holds many trips. */
  readonly records: number;
  /** Records that were sent again. */
  readonly retries: number;
  /** Of those, records that the stream turned away because their shard was at its limit. */
  readonly throttled: number;
}

export interface StreamWriter extends OpenStream {
  readonly counts: WriteCounts;
  /** Records for each shard in a put, where the stream prefers many; else a few hundred. */
  readonly recordsPerShard?: number;
  /** Resolves when every record is settled: stored, or refused for good. Throws `TaxiflowError` when it can't go on. */
  put(batch: OutgoingBatch): Promise<PutResult>;
  /** One record to every open shard, by explicit hash key. */
  broadcast(recordFor: (shardId: string) => Uint8Array): Promise<void>;
}

/** What `taxiflow stream describe` tells of a shard; the figures where the stream tells them. */
export interface ShardDescription {
  readonly shard: string;
  readonly open: boolean;
  readonly parents: readonly string[];
  readonly first_hash_key: string;
  readonly last_hash_key: string;
  /** When it was made: with the stream, by a split or by a merge. Left out where nobody can tell. */
  readonly opened_at?: string;
  readonly first_sequence?: number;
  readonly next_sequence?: number;
  readonly records?: number;
  readonly bytes?: number;
  readonly last_arrival?: string | null;
}

/** What was written to a stream in one minute, by time of arrival. */
export interface MinuteOfWrites {
  /** Where it begins, epoch ms. */
  readonly start: number;
  readonly bytes: number;
  readonly records: number;
  /** Records that the stream turned away because a shard had taken all it takes. */
  readonly throttled: number;
  /** No more is going to be added to these figures. */
  readonly settled: boolean;
}

/**
 * Making, looking at and resharding a stream; each call returns when the stream is ready again. What only some streams can
 * do is optional.
 */
export interface StreamAdmin {
  readonly name: string;
  create(shards: number): Promise<void>;
  /** Makes a stream that has as many shards as it takes. */
  createOnDemand?(): Promise<void>;
  describe(): Promise<ShardDescription[]>;
  /** Returns the shards opened; `at` is the first hash key of the second half. */
  split(shardId: string, at?: bigint): Promise<string[]>;
  merge(shardId: string, otherId: string): Promise<string[]>;
  /** Brings the stream to this many open shards of even size. */
  reshard(shards: number): Promise<string[]>;
  /** Whether somebody's change is going on, where that takes time: the shards are then those of a moment. */
  isChanging?(): Promise<boolean>;
  /**
   * The whole minutes from `since` to `until`, oldest first; those that are not known, or not yet, are left out.
   * Throws `no-figures` where the stream has none.
   */
  written(since: number, until: number): Promise<MinuteOfWrites[]>;
  /** Forgets records that arrived before `ms`; returns how many. */
  trim?(ms: number, shardId?: string): Promise<number>;
  delete(): Promise<void>;
  close(): void;
}

/** What `taxiflow doctor` tells of a stream. */
export interface StreamFacts {
  readonly name: string;
  readonly identity: string;
  readonly openShards: number;
  /** Records that it holds, where it tells. */
  readonly records?: number;
  /** How long it keeps records, ms; Infinity where it forgets nothing by itself. */
  readonly retentionMs: number;
  /** It took credentials to look at it. */
  readonly credentials: boolean;
  /** A shard takes so many records a second, and no more. */
  readonly limited: boolean;
  /** The stream chooses the number of its shards. */
  readonly onDemand: boolean;
  /** The stream spreads records over its shards by itself, so watermarks can't be put into each. */
  readonly spreads: boolean;
}

/** What some streams can do and others can't. */
export type Capability = 'trim' | 'on-demand' | 'fan-out' | 'flink';

export interface InspectOptions {
  /** Folder of embedded streams. */
  readonly dataDir: string;
  readonly region?: string | undefined;
  /** AWS endpoint, for an emulator. */
  readonly endpointUrl?: string | undefined;
}

export interface ReaderOptions extends InspectOptions {
  /** Make the stream with this many shards if it isn't there, where the kind of stream allows that. */
  readonly createShards?: number;
  /** Read by enhanced fan-out, as the consumer of this name. */
  readonly fanOut?: string | undefined;
}

export interface WriterOptions extends Omit<ReaderOptions, 'fanOut'> {
  /** Pack trips in the Kinesis Producer Library's format. */
  readonly aggregate?: boolean;
  /** Watermarks are going to be written. */
  readonly watermarks?: boolean;
  /** Ms after its arrival that a record is kept, where the writer decides that; for ever by default. */
  readonly retention?: number | undefined;
}

export interface AdminOptions extends InspectOptions {
  /** Told of the state of a stream that takes its time. */
  readonly onWait?: (status: string) => void;
}

/** One kind of stream. What it takes to use it is loaded when something is opened. All that opens throws `TaxiflowError`. */
export interface Connector {
  /** Streams of this kind, for messages: `embedded streams`. */
  readonly streams: string;
  /** What these streams can't do, and what to do instead. */
  readonly lacks: Readonly<Partial<Record<Capability, string>>>;
  /** The name of the stream that a text means; undefined where it means none of this kind. */
  parse(text: string): string | undefined;
  /** How the stream is named to the user: `local:trips`. */
  nameOf(name: string): string;
  /** The stream in words, for the line that says which one a command uses. */
  describe(
    name: string,
    place: { readonly dataDir: string; readonly endpointUrl?: string | undefined },
  ): string;
  /** How a stream is named to the user that isn't there yet, so that opening it makes it. Left out where a stream has to be there. */
  missing?(name: string, dataDir: string): string | undefined;
  openReader(name: string, options: ReaderOptions): Promise<StreamReader>;
  openWriter(name: string, options: WriterOptions): Promise<StreamWriter>;
  openAdmin(name: string, options: AdminOptions): Promise<StreamAdmin>;
  inspect(name: string, options: InspectOptions): Promise<StreamFacts>;
  /** Names of the streams of this kind, sorted. */
  list(options: InspectOptions): Promise<string[]>;
}
