/**
 * The embedded stream: a sharded, durable log in one SQLite file that several processes write and read at once.
 *
 * A row of `batches` holds all records that one put brought to one shard, so that reading and writing cost one
 * row a batch: trips packed as columns (events/packed.ts, `ends` is empty), or records as they came. Sequence numbers count
 * the records of a shard from 0. `PRAGMA user_version` is the format; in format 1, no trips were packed. A file of an earlier
 * checkout has no `openings` until it is resharded.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { type Clock, hasPassed } from '../../clock.ts';
import { TaxiflowError, translate, translating } from '../../errors.ts';
import { KIND, TripColumns } from '../../events/columns.ts';
import { type PackedRows, recordBytes, usualTripDecoder } from '../../events/decode.ts';
import { PackedTrips, packTrips } from '../../events/packed.ts';
import {
  formatOf,
  openSqlite,
  refuseNewerFormat,
  type Sqlite,
  type Statement,
  transaction,
} from '../../sqlite.ts';
import type {
  MinuteOfWrites,
  OutgoingBatch,
  Position,
  PutResult,
  RecordBatch,
  Shard,
  ShardDescription,
  StreamReader,
  StreamWriter,
} from '../ports.ts';
import { Router } from '../routing.ts';
import { evenRanges, shardIdOf } from '../shards.ts';
import { listLocalStreams, localStreamPath } from './files.ts';

const FORMAT = 2;
/** A row's id is shard × 2^40 + the sequence number of its first record, so a shard's rows lie together. */
const SEQUENCES = 2 ** 40;
/** Longer puts are cut, so that a reader can take a part without holding the rest. */
const ROW_RECORDS = 2_000;
/** Records of a put beyond which they are stored as they came: columns for more would take too much memory. */
const MOST_PACKED = 1 << 17;
const MINUTE = 60_000;
/** Ms between two removals of old records. */
const TRIM_INTERVAL = 1_000;
/** Words of packed trips to remember from one put to the next, bytes. */
const MOST_WORD_BYTES = 1 << 20;
/** Rows are put together until a batch has this many records; a row that has them goes as it is, without a copy. */
const ENOUGH = 256;

/** When shards were made. */
const OPENINGS =
  'CREATE TABLE IF NOT EXISTS openings (shard INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;';

const SCHEMA = `
CREATE TABLE stream (identity TEXT NOT NULL) STRICT;
CREATE TABLE shards (
  shard INTEGER PRIMARY KEY,
  parents TEXT NOT NULL,
  first_hash_key TEXT NOT NULL,
  last_hash_key TEXT NOT NULL,
  open INTEGER NOT NULL CHECK (open IN (0, 1)),
  first_seq INTEGER NOT NULL DEFAULT 0,
  next_seq INTEGER NOT NULL DEFAULT 0,
  last_arrival INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE batches (
  id INTEGER PRIMARY KEY,
  count INTEGER NOT NULL,
  arrival INTEGER NOT NULL,
  ends BLOB NOT NULL,
  data BLOB NOT NULL
) STRICT;
${OPENINGS}
PRAGMA user_version = ${FORMAT};
`;

interface ShardRow {
  shard: number;
  parents: string;
  first_hash_key: string;
  last_hash_key: string;
  open: number;
  first_seq: number;
  next_seq: number;
  last_arrival: number;
  bytes: number;
}

interface OpeningRow {
  shard: number;
  at: number;
}

/** The writes of one shard in one minute. */
interface MinuteRow {
  /** Counted from the epoch. */
  minute: number;
  records: number;
  bytes: number;
  oldest: number;
}

/** Records of one shard, as a row of `batches` holds them. */
interface Piece {
  readonly count: number;
  readonly ends: Uint32Array;
  readonly data: Buffer;
}

interface BatchRow {
  id: number;
  count: number;
  arrival: number;
  ends: Buffer;
  data: Buffer;
}

export interface LocalStreamOptions {
  readonly dataDir: string;
  readonly name: string;
  readonly clock: Clock;
  /** Makes the stream with this many shards when it isn't there; without it, a missing stream is an error. */
  readonly createShards?: number;
  /** Ms after its arrival that a record is kept: puts of this handle remove older ones. */
  readonly retention?: number | undefined;
}

function makeTables(db: Sqlite, shards: number, now: number): void {
  // Another process was faster.
  if (formatOf(db) !== 0) return;
  db.exec(SCHEMA);
  db.prepare('INSERT INTO stream (identity) VALUES (?)').run(randomUUID());
  insertShards(db, 0, evenRanges(shards), [], now);
}

function noStream({ dataDir, name }: LocalStreamOptions): TaxiflowError {
  // Its own name is among them where its file has no tables.
  const others = listLocalStreams(dataDir).flatMap((other) => (other === name ? [] : `local:${other}`));
  const choose = others.length > 0 ? `choose one of ${others.join(', ')}; or ` : '';
  return new TaxiflowError('no-stream', `there is no stream local:${name} in ${dataDir}`, {
    hint: `${choose}create it with "taxiflow stream create local:${name}", or fill it with "taxiflow replay FILES --stream local:${name}"`,
  });
}

export class LocalStream implements StreamReader, StreamWriter {
  readonly name: string;
  readonly identity: string;
  readonly path: string;
  readonly recordsPerShard = 2 * ROW_RECORDS;
  readonly counts = { records: 0, retries: 0, throttled: 0 };
  readonly #db: Sqlite;
  readonly #clock: Clock;
  readonly #what: string;
  /** Which file was opened: once it is deleted, what is written there is lost, and nothing new comes from it. */
  readonly #inode: number | undefined;
  readonly #insert: Statement;
  readonly #advance: Statement;
  readonly #shardRow: Statement;
  readonly #lastArrival: Statement;
  readonly #rowAt: Statement;
  readonly #rowBefore: Statement;
  /** Changes whenever another connection changed the file: then the shards are read again. */
  #shardsVersion = -1;
  #router = new Router([]);
  readonly #retention: number | undefined;
  #trimmedAt = Number.NEGATIVE_INFINITY;
  readonly #columns = new TripColumns();
  readonly #decodeTrips = usualTripDecoder();

  private constructor(db: Sqlite, path: string, options: LocalStreamOptions) {
    this.#db = db;
    this.path = path;
    this.name = `local:${options.name}`;
    this.#what = `the stream ${this.name}`;
    this.#clock = options.clock;
    this.#retention = options.retention;
    this.#inode = inodeOf(path);
    this.identity = (db.prepare('SELECT identity FROM stream').get() as { identity: string }).identity;
    this.#insert = db.prepare('INSERT INTO batches (id, count, arrival, ends, data) VALUES (?, ?, ?, ?, ?)');
    this.#advance = db.prepare(
      'UPDATE shards SET next_seq = ?, last_arrival = ?, bytes = bytes + ? WHERE shard = ?',
    );
    this.#shardRow = db.prepare('SELECT * FROM shards WHERE shard = ?');
    this.#lastArrival = db.prepare('SELECT max(last_arrival) FROM shards').pluck();
    this.#rowAt = db.prepare('SELECT * FROM batches WHERE id >= ? AND id < ? ORDER BY id LIMIT 1');
    this.#rowBefore = db.prepare('SELECT * FROM batches WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1');
  }

  /** Opens a stream. Throws `no-stream` where there is none and `createShards` isn't given. */
  static open(options: LocalStreamOptions): LocalStream {
    const path = localStreamPath(options.dataDir, options.name);
    const what = `the stream local:${options.name}`;
    if (!existsSync(path) && options.createShards === undefined) throw noStream(options);
    const db = openSqlite(path, { what, pageSize: 32_768 });
    try {
      return translating(what, path, () => {
        if (formatOf(db) === 0) {
          const { createShards, clock } = options;
          // The maker of a file without tables was killed, or is about to make them.
          if (createShards === undefined) throw noStream(options);
          transaction(db, () => makeTables(db, createShards, clock.now()));
        }
        refuseNewerFormat(db, what, FORMAT, 'name another stream');
        if (formatOf(db) < FORMAT) db.pragma(`user_version = ${FORMAT}`);
        return new LocalStream(db, path, options);
      });
    } catch (error) {
      db.close();
      throw error;
    }
  }

  async shards(): Promise<readonly Shard[]> {
    return this.#translating(() => {
      this.#refuseDeleted();
      return this.#shards();
    });
  }

  async put(batch: OutgoingBatch): Promise<PutResult> {
    this.#translating(() => {
      transaction(this.#db, () => this.#append(batch));
      this.#refuseDeleted();
    });
    this.#forgetOld();
    this.counts.records += batch.count;
    return { acknowledged: batch.count, refused: {} };
  }

  #forgetOld(): void {
    if (this.#retention === undefined || !hasPassed(this.#clock, this.#trimmedAt, TRIM_INTERVAL)) return;
    this.#trimmedAt = this.#clock.now();
    this.trim(this.#trimmedAt - this.#retention);
  }

  async broadcast(recordFor: (shardId: string) => Uint8Array): Promise<void> {
    this.#translating(() => {
      const { shards } = transaction(this.#db, () => {
        const arrival = this.#arrival();
        const router = this.#currentRouter();
        for (const shard of router.shards) {
          const data = Buffer.from(recordFor(shard.id));
          this.#appendTo(indexOf(shard.id), [{ count: 1, data, ends: Uint32Array.of(data.length) }], arrival);
        }
        return router;
      });
      this.#refuseDeleted();
      this.counts.records += shards.length;
    });
  }

  async read(shardId: string, position: Position, limit: number): Promise<RecordBatch> {
    // One snapshot: another process may trim or reshard between two statements.
    const snapshot = this.#db.transaction(() => {
      const shard = this.#shardRow.get(indexOf(shardId)) as ShardRow | undefined;
      if (!shard) throw this.#noShard(shardId);
      return this.#readFrom(shard, this.#sequenceAt(shard, position), limit);
    });
    return this.#translating(() => snapshot());
  }

  remaining(shardId: string, position: Position): number {
    return this.#translating(() => {
      const shard = this.#shardRow.get(indexOf(shardId)) as ShardRow | undefined;
      if (!shard) return 0;
      const next = Math.max(shard.first_seq, this.#sequenceAt(shard, position));
      return Math.max(0, shard.next_seq - next);
    });
  }

  async close(): Promise<void> {
    this.#db.close();
  }

  describe(): ShardDescription[] {
    return this.#translating(() => {
      const openings = this.#openings();
      return this.#rows().map((row) => ({
        shard: shardIdOf(row.shard),
        open: row.open === 1,
        parents: (JSON.parse(row.parents) as number[]).map(shardIdOf),
        first_hash_key: row.first_hash_key,
        last_hash_key: row.last_hash_key,
        ...openedAt(openings.get(row.shard)),
        first_sequence: row.first_seq,
        next_sequence: row.next_seq,
        records: row.next_seq - row.first_seq,
        bytes: row.bytes,
        last_arrival: row.last_arrival === 0 ? null : new Date(row.last_arrival).toISOString(),
      }));
    });
  }

  /** What came in whole minutes between two times, epoch ms. Of minutes before the oldest record that is kept, nothing is known. */
  written(since: number, until: number): MinuteOfWrites[] {
    // One snapshot, in which no shard is trimmed between two statements.
    const snapshot = this.#db.transaction(() => {
      const sums = new Map<number, { bytes: number; records: number }>();
      let from = Math.ceil(since / MINUTE) * MINUTE;
      for (const row of this.#rows()) from = Math.max(from, this.#addWrites(row, from, until, sums));
      return minutesOf(sums, Math.ceil(from / MINUTE) * MINUTE, until);
    });
    return this.#translating(() => snapshot());
  }

  /** Adds a shard's writes by the minute; returns the time from which they are all known. */
  #addWrites(
    row: ShardRow,
    since: number,
    until: number,
    sums: Map<number, { bytes: number; records: number }>,
  ): number {
    const [start, end] = [row.shard * SEQUENCES, (row.shard + 1) * SEQUENCES];
    if (row.last_arrival < since) return since;
    // Arrivals never go back within a shard, so the newest row from before is found from the end.
    const before = this.#db
      .prepare('SELECT id FROM batches WHERE id >= ? AND id < ? AND arrival < ? ORDER BY id DESC LIMIT 1')
      .get(start, end, since) as { id: number } | undefined;
    const found = this.#db
      .prepare(
        `SELECT arrival / ${MINUTE} AS minute, sum(count) AS records, sum(length(data)) AS bytes, min(arrival) AS oldest
         FROM batches WHERE id > ? AND id < ? AND arrival < ? GROUP BY 1 ORDER BY 1`,
      )
      .all(before?.id ?? start - 1, end, until) as MinuteRow[];
    for (const { minute, records, bytes } of found) {
      const sum = sums.get(minute * MINUTE) ?? { bytes: 0, records: 0 };
      sums.set(minute * MINUTE, { bytes: sum.bytes + bytes, records: sum.records + records });
    }
    if (before || row.first_seq === 0) return since;
    return found[0]?.oldest ?? row.last_arrival + 1;
  }

  #openings(): Map<number, number> {
    const has = this.#db
      .prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'openings'")
      .get();
    const rows = has ? (this.#db.prepare('SELECT shard, at FROM openings').all() as OpeningRow[]) : [];
    return new Map(rows.map(({ shard, at }) => [shard, at]));
  }

  /** Closes a shard and opens two in its place; `at` is the first hash key of the second, by default the middle. */
  split(shardId: string, at?: bigint): string[] {
    return this.#reshard(() => {
      const shard = this.#openShard(shardId);
      const [first, last] = [BigInt(shard.first_hash_key), BigInt(shard.last_hash_key)];
      const middle = at ?? first + (last - first + 1n) / 2n;
      if (middle <= first || middle > last) {
        throw new TaxiflowError('bad-hash-key', `hash key ${middle} doesn't divide ${shardId}`, {
          hint: `choose one above ${first}, ${last} at most`,
          exitCode: 2,
        });
      }
      return this.#replace(
        [shard.shard],
        [
          [first, middle - 1n],
          [middle, last],
        ],
      );
    });
  }

  /** Closes two neighbouring shards and opens one in their place. */
  merge(shardId: string, otherId: string): string[] {
    return this.#reshard(() => {
      const pair = [this.#openShard(shardId), this.#openShard(otherId)].sort((a, b) =>
        BigInt(a.first_hash_key) < BigInt(b.first_hash_key) ? -1 : 1,
      );
      const [low, high] = pair as [ShardRow, ShardRow];
      if (low.shard === high.shard || BigInt(low.last_hash_key) + 1n !== BigInt(high.first_hash_key)) {
        throw new TaxiflowError('not-adjacent', `${shardId} and ${otherId} are not neighbours`, {
          hint: `see the hash keys in "taxiflow stream describe ${this.name}"`,
        });
      }
      return this.#replace(
        [low.shard, high.shard],
        [[BigInt(low.first_hash_key), BigInt(high.last_hash_key)]],
      );
    });
  }

  /** Forgets the records that arrived before `ms` (of one shard, or of all); returns how many. */
  trim(before: number, shardId?: string): number {
    return this.#translating(() =>
      transaction(this.#db, () => {
        if (shardId !== undefined && !this.#shardRow.get(indexOf(shardId))) throw this.#noShard(shardId);
        let trimmed = 0;
        for (const row of this.#rows()) {
          if (shardId !== undefined && shardIdOf(row.shard) !== shardId) continue;
          const keep = this.#sequenceAt(row, { at: 'time', ms: before });
          const from = row.shard * SEQUENCES;
          const removed = this.#db
            .prepare('SELECT coalesce(sum(length(data)), 0) AS bytes FROM batches WHERE id >= ? AND id < ?')
            .get(from, from + keep) as { bytes: number };
          this.#db.prepare('DELETE FROM batches WHERE id >= ? AND id < ?').run(from, from + keep);
          this.#db
            .prepare('UPDATE shards SET first_seq = ?, bytes = bytes - ? WHERE shard = ?')
            .run(keep, removed.bytes, row.shard);
          trimmed += keep - row.first_seq;
        }
        return trimmed;
      }),
    );
  }

  #refuseDeleted(): void {
    if (inodeOf(this.path) === this.#inode) return;
    throw new TaxiflowError('no-stream', `${this.#what} was deleted while it was in use`, {
      hint: 'its records are gone with it; replay them again, and process them with an --app of its own',
    });
  }

  #translating<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw translate(error, this.#what, this.path);
    }
  }

  #rows(): ShardRow[] {
    return this.#db.prepare('SELECT * FROM shards ORDER BY shard').all() as ShardRow[];
  }

  #shards(): Shard[] {
    return this.#rows().map((row) => ({
      id: shardIdOf(row.shard),
      parents: (JSON.parse(row.parents) as number[]).map(shardIdOf),
      firstHashKey: BigInt(row.first_hash_key),
      lastHashKey: BigInt(row.last_hash_key),
      open: row.open === 1,
    }));
  }

  /** The router of the shards as they are now. Inside a write transaction, so nobody reshards under it. */
  #currentRouter(): Router {
    const version = this.#db.pragma('data_version', { simple: true }) as number;
    if (version !== this.#shardsVersion) {
      this.#router = new Router(this.#shards());
      this.#shardsVersion = version;
    }
    return this.#router;
  }

  #append(batch: OutgoingBatch): void {
    const router = this.#currentRouter();
    const { count, hashes } = batch;
    const shardOf = new Uint16Array(count);
    const counts = new Uint32Array(router.shards.length);
    for (let i = 0; i < count; i++) {
      const shard = router.indexOf(hashes[i]!);
      shardOf[i] = shard;
      counts[shard]!++;
    }
    const rows = Array.from(counts, (own) => new Uint32Array(own));
    counts.fill(0);
    for (let i = 0; i < count; i++) {
      const shard = shardOf[i]!;
      rows[shard]![counts[shard]!++] = i;
    }
    const trips = this.#tripsOf(batch);
    const arrival = this.#arrival();
    for (const [s, own] of rows.entries()) {
      if (own.length === 0) continue;
      const pieces: Piece[] = [];
      const length = Math.ceil(own.length / Math.ceil(own.length / ROW_RECORDS));
      for (let from = 0; from < own.length; from += length) {
        const some = own.subarray(from, from + length);
        pieces.push(trips && canPack(trips, some) ? packedPiece(trips, some) : pieceOf(batch, some));
      }
      this.#appendTo(indexOf(router.shards[s]!.id), pieces, arrival);
    }
  }

  /** The records that are trips in the usual form; undefined for a batch that is too large to be unpacked. */
  #tripsOf(batch: OutgoingBatch): TripColumns | undefined {
    if (batch.count > MOST_PACKED) return undefined;
    const columns = this.#columns;
    for (const words of Object.values(columns.dictionaries))
      if (words.bytes > MOST_WORD_BYTES) words.forgetAfter(0);
    this.#decodeTrips(batch, columns);
    return columns;
  }

  /** Now; a clock that was set back would have one shard's records arrive before what another's readers have seen. */
  #arrival(): number {
    return Math.max(this.#clock.now(), this.#lastArrival.get() as number);
  }

  #appendTo(shard: number, pieces: readonly Piece[], arrival: number): void {
    const row = this.#shardRow.get(shard) as ShardRow;
    let next = row.next_seq;
    let bytes = 0;
    for (const { count, data, ends } of pieces) {
      const own = Buffer.from(ends.buffer, ends.byteOffset, ends.byteLength);
      this.#insert.run(shard * SEQUENCES + next, count, arrival, own, data);
      next += count;
      bytes += data.length;
    }
    this.#advance.run(next, arrival, bytes, shard);
  }

  /** The sequence number of the first record at or after a position. */
  #sequenceAt(shard: ShardRow, position: Position): number {
    if (position.at === 'trim-horizon') return 0;
    if (position.at === 'latest') return shard.next_seq;
    if (position.at === 'after') return Number(position.sequence) + 1;
    const start = shard.shard * SEQUENCES;
    const row = this.#db
      .prepare('SELECT id FROM batches WHERE id >= ? AND id < ? AND arrival >= ? ORDER BY id LIMIT 1')
      .get(start, start + SEQUENCES, position.ms) as { id: number } | undefined;
    return row ? row.id - start : shard.next_seq;
  }

  #readFrom(shard: ShardRow, asked: number, limit: number): RecordBatch {
    if (asked > shard.next_seq) {
      throw new TaxiflowError(
        'position-ahead',
        `${this.#what} ends before the position asked for (${shardIdOf(shard.shard)}, record ${asked} of ${shard.next_seq})`,
        { hint: 'the stream was deleted and made again: start afresh with another --app' },
      );
    }
    const from = Math.max(asked, shard.first_seq);
    const shardStart = shard.shard * SEQUENCES;
    const rows: BatchRow[] = [];
    let have = 0;
    for (let next = from; have < Math.min(limit, ENOUGH) && next < shard.next_seq; ) {
      const row = this.#rowHolding(shardStart, next);
      if (!row) break;
      rows.push(row);
      next = row.id - shardStart + row.count;
      have += row.count;
    }
    const batch = this.#gather(rows, from - ((rows[0]?.id ?? 0) - shardStart), limit);
    const next = from + batch.count;
    const atTip = next >= shard.next_seq;
    return {
      ...batch,
      next: next === 0 ? { at: 'trim-horizon' } : { at: 'after', sequence: String(next - 1) },
      atTip,
      ended: atTip && shard.open === 0,
      lost: from > asked ? `${from - asked} records` : undefined,
      sequenceOf: (row) => String(from + row),
    };
  }

  /** The row that holds a record, or the first one after it. */
  #rowHolding(shardStart: number, sequence: number): BatchRow | undefined {
    const row = this.#rowAt.get(shardStart + sequence, shardStart + SEQUENCES) as BatchRow | undefined;
    if (row?.id === shardStart + sequence) return row;
    const before = this.#rowBefore.get(shardStart, shardStart + sequence) as BatchRow | undefined;
    return before && before.id + before.count > shardStart + sequence ? before : row;
  }

  /** Rows as one batch, without their first `skip` records and with `limit` at most. One row is not copied. */
  #gather(rows: readonly BatchRow[], skip: number, limit: number) {
    const total = rows.reduce((sum, row) => sum + row.count, 0);
    const count = Math.max(0, Math.min(limit, total - skip));
    const ends = new Uint32Array(count);
    const arrivals = new Float64Array(count);
    const pieces: Buffer[] = [];
    const packed: PackedRows[] = [];
    let filled = 0;
    let bytes = 0;
    let from = skip;
    for (const row of rows) {
      const until = Math.min(row.count, from + count - filled);
      if (until > from) {
        arrivals.fill(row.arrival, filled, filled + until - from);
        if (row.ends.length === 0) {
          packed.push({ row: filled, trips: this.#packedIn(row), from, count: until - from });
          ends.fill(bytes, filled, filled + until - from);
        } else {
          const piece = addRecords(row, from, until, ends, filled, bytes);
          pieces.push(piece);
          bytes += piece.length;
        }
        filled += until - from;
      }
      from = 0;
    }
    const data = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    return { count, data, ends, arrivals, ...(packed.length > 0 ? { packed } : {}) };
  }

  #packedIn(row: BatchRow): PackedTrips {
    const trips = PackedTrips.read(row.data);
    if (trips?.count === row.count) return trips;
    throw new TaxiflowError('corrupt', `${this.#what} is damaged`, {
      hint: 'restore a backup of the file, or move it away and start over',
    });
  }

  #reshard(change: () => number[]): string[] {
    const made = this.#translating(() => transaction(this.#db, change));
    this.#shardsVersion = -1;
    return made.map(shardIdOf);
  }

  #openShard(shardId: string): ShardRow {
    const row = this.#shardRow.get(indexOf(shardId)) as ShardRow | undefined;
    if (!row || row.open === 0) throw this.#noShard(`open ${shardId}`);
    return row;
  }

  #noShard(which: string): TaxiflowError {
    return new TaxiflowError('no-shard', `${this.#what} has no ${which}`, {
      hint: `see "taxiflow stream describe ${this.name}"`,
    });
  }

  #replace(parents: number[], ranges: [bigint, bigint][]): number[] {
    for (const parent of parents) this.#db.prepare('UPDATE shards SET open = 0 WHERE shard = ?').run(parent);
    const { next } = this.#db.prepare('SELECT max(shard) + 1 AS next FROM shards').get() as { next: number };
    return insertShards(this.#db, next, ranges, parents, this.#clock.now());
  }
}

function openedAt(ms: number | undefined): { opened_at?: string } {
  return ms === undefined ? {} : { opened_at: new Date(ms).toISOString() };
}

/** Every whole minute of a span, also those in which nothing came. */
function minutesOf(
  sums: ReadonlyMap<number, { bytes: number; records: number }>,
  from: number,
  until: number,
): MinuteOfWrites[] {
  const minutes: MinuteOfWrites[] = [];
  for (let start = from; start + MINUTE <= until; start += MINUTE) {
    const { bytes, records } = sums.get(start) ?? { bytes: 0, records: 0 };
    minutes.push({ start, bytes, records, throttled: 0, settled: true });
  }
  return minutes;
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** −1 when it is no shard id. */
function indexOf(shardId: string): number {
  const index = Number(shardId.slice('shardId-'.length));
  return shardIdOf(index) === shardId ? index : -1;
}

function insertShards(
  db: Sqlite,
  first: number,
  ranges: [bigint, bigint][],
  parents: number[],
  now: number,
): number[] {
  db.exec(OPENINGS);
  const opened = db.prepare('INSERT OR REPLACE INTO openings (shard, at) VALUES (?, ?)');
  const insert = db.prepare(
    'INSERT INTO shards (shard, parents, first_hash_key, last_hash_key, open) VALUES (?, ?, ?, ?, 1)',
  );
  return ranges.map(([low, high], i) => {
    insert.run(first + i, JSON.stringify(parents), String(low), String(high));
    opened.run(first + i, now);
    return first + i;
  });
}

function canPack(trips: TripColumns, rows: Uint32Array): boolean {
  for (let i = 0; i < rows.length; i++) if (trips.kind[rows[i]!] !== KIND.trip) return false;
  return true;
}

function packedPiece(trips: TripColumns, rows: Uint32Array): Piece {
  return { count: rows.length, data: packTrips(trips, rows), ends: new Uint32Array(0) };
}

/** The records in these rows of a batch, as they are. */
function pieceOf(batch: OutgoingBatch, rows: Uint32Array): Piece {
  const { data, ends } = batch.packed ? recordBytes(batch) : batch;
  const own = new Uint32Array(rows.length);
  const parts = Array.from(rows, (row, i) => {
    const start = row === 0 ? 0 : ends[row - 1]!;
    own[i] = ends[row]! - start + (i === 0 ? 0 : own[i - 1]!);
    return data.subarray(start, ends[row]!);
  });
  return { count: rows.length, data: Buffer.concat(parts), ends: own };
}

/** Adds records [from, until) of a row to a batch. */
function addRecords(
  row: BatchRow,
  from: number,
  until: number,
  ends: Uint32Array,
  at: number,
  bytes: number,
): Buffer {
  // A copy where the memory isn't aligned for whole numbers.
  const aligned = row.ends.byteOffset % 4 === 0 ? row.ends : Buffer.alloc(row.ends.length, row.ends);
  const own = new Uint32Array(aligned.buffer, aligned.byteOffset, row.count);
  const start = from === 0 ? 0 : own[from - 1]!;
  for (let i = from; i < until; i++) ends[at + i - from] = bytes + own[i]! - start;
  return row.data.subarray(start, own[until - 1]!);
}
