/**
 * A sharded stream that behaves like Kinesis, in memory and deterministic: a plan of writes, splits, merges and trims
 * advances by a piece before each of the reader's calls.
 *
 *  - a split or merge closes its parents; a closed shard ends once it is read to its end
 *  - reads return 0…limit records; more records may follow an empty read
 *  - the last records of a shard that was closed since it was listed may look as if more could follow
 *  - the list of shards lags by a call; empty closed shards leave it, parents first
 */
import { TaxiflowError } from '../../src/errors.ts';
import type { Position, RecordBatch, Shard } from '../../src/streams/ports.ts';
import { shardIdOf } from '../../src/streams/shards.ts';
import { packed } from '../engine/memory.ts';

/** Hash keys are 0…255 here, times 2^120. */
export const SLOTS = 256;
export const slotKey = (slot: number) => BigInt(slot) << 120n;

export interface ModelRecord {
  readonly text: string;
  /** Number of the trip; undefined for a watermark. */
  readonly trip: number | undefined;
  readonly slot: number;
  readonly arrival: number;
}

export interface ModelShard extends Shard {
  open: boolean;
  readonly firstSlot: number;
  readonly lastSlot: number;
  /** Records with lower numbers fell out of retention. */
  trimmed: number;
  /** Left the list of shards. */
  gone: boolean;
  readonly records: ModelRecord[];
}

/** What the reader gets; each list repeats. */
export interface Moods {
  /** The limit of each read; 0 is an empty read. */
  readonly sizes: readonly number[];
  /** Whether a list of shards is that of the call before. */
  readonly lags: readonly boolean[];
  /** Whether the last records of a closed shard come without its end. */
  readonly endsApart: readonly boolean[];
}

export class ModelStream {
  readonly name: string = 'model';
  readonly identity = 'model-1';
  /** Every shard there ever was. */
  readonly all: ModelShard[] = [];
  /** Arrival time; an action takes a millisecond. */
  now = 1;
  readonly #moods: Moods;
  readonly #turns = new Map<readonly unknown[], number>();
  #before: Shard[] | undefined;
  /** Shards that were closed when they were listed last. */
  #closed: ReadonlySet<string> = new Set();

  constructor(shards: number, moods: Moods) {
    this.#moods = moods;
    for (let i = 0; i < shards; i++)
      this.#add([], Math.floor((i * SLOTS) / shards), Math.floor(((i + 1) * SLOTS) / shards) - 1);
  }

  shard(id: string): ModelShard {
    return this.all.find((shard) => shard.id === id)!;
  }

  /** By hash key. */
  get open(): ModelShard[] {
    return this.all.filter((shard) => shard.open).sort((a, b) => a.firstSlot - b.firstSlot);
  }

  put(slot: number, trips: readonly { trip: number; text: string }[]): void {
    const shard = this.open.find(({ firstSlot, lastSlot }) => firstSlot <= slot && slot <= lastSlot)!;
    for (const { trip, text } of trips) shard.records.push({ text, trip, slot, arrival: this.now });
  }

  broadcast(textFor: (shardId: string) => string): void {
    for (const shard of this.open)
      shard.records.push({
        text: textFor(shard.id),
        trip: undefined,
        slot: shard.firstSlot,
        arrival: this.now,
      });
  }

  split(parent: ModelShard, at: number): void {
    this.#add([parent], parent.firstSlot, at - 1);
    this.#add([parent], at, parent.lastSlot);
  }

  merge(low: ModelShard, high: ModelShard): void {
    this.#add([low, high], low.firstSlot, high.lastSlot);
  }

  /** Drops about `count` records; those that arrived together go together. Returns the arrival of the first one kept. */
  trim(shard: ModelShard, count: number): number {
    const first = shard.records[Math.min(shard.trimmed + count, shard.records.length)];
    const kept = first?.arrival ?? this.now;
    while (shard.trimmed < shard.records.length && shard.records[shard.trimmed]!.arrival < kept)
      shard.trimmed++;
    return kept;
  }

  /** Closed shards that hold nothing leave the list, parents before children. */
  expire(): void {
    for (const shard of this.all) {
      const empty = !shard.open && shard.trimmed === shard.records.length;
      if (empty && shard.parents.every((parent) => this.shard(parent).gone)) shard.gone = true;
    }
  }

  listed(): Shard[] {
    const now = this.all.filter((shard) => !shard.gone).map((shard) => ({ ...shard }));
    const answer = this.#next(this.#moods.lags) ? (this.#before ?? now) : now;
    this.#before = now;
    this.#closed = new Set(now.filter((shard) => !shard.open).map(({ id }) => id));
    return answer;
  }

  /** The number of the first record after a position. */
  indexAt(shard: ModelShard, position: Position): number {
    if (position.at === 'trim-horizon') return 0;
    if (position.at === 'latest') return shard.records.length;
    if (position.at === 'after') return Number(position.sequence) + 1;
    const found = shard.records.findIndex(({ arrival }) => arrival >= position.ms);
    return found < 0 ? shard.records.length : found;
  }

  read(shardId: string, position: Position, limit: number): RecordBatch {
    const shard = this.shard(shardId);
    if (shard.gone) throw new TaxiflowError('no-shard', `${shardId} is gone`);
    const asked = this.indexAt(shard, position);
    const from = Math.max(asked, shard.trimmed);
    const size = this.#next(this.#moods.sizes);
    const taken = shard.records.slice(from, from + Math.min(size, limit));
    const next = from + taken.length;
    const apart = taken.length > 0 && !shard.open && this.#next(this.#moods.endsApart);
    const last = size > 0 && next === shard.records.length;
    const ended = last && !shard.open && !apart;
    // A shard that was closed since it was listed looks like an open one at its tip.
    const atTip = ended || (last && (shard.open || !this.#closed.has(shardId)));
    return {
      ...packed(taken.map(({ text }) => text)),
      arrivals: Float64Array.from(taken, ({ arrival }) => arrival),
      next:
        next === asked && position.at !== 'latest'
          ? position
          : next === 0
            ? { at: 'trim-horizon' }
            : { at: 'after', sequence: String(next - 1) },
      atTip,
      ended,
      lost: from > asked ? `${from - asked} records` : undefined,
      sequenceOf: (row) => String(from + row),
    };
  }

  #next<T>(round: readonly T[]): T {
    const turn = this.#turns.get(round) ?? 0;
    this.#turns.set(round, turn + 1);
    return round[turn % round.length]!;
  }

  #add(parents: readonly ModelShard[], firstSlot: number, lastSlot: number): void {
    for (const parent of parents) parent.open = false;
    this.all.push({
      id: shardIdOf(this.all.length),
      parents: parents.map(({ id }) => id),
      firstHashKey: slotKey(firstSlot),
      lastHashKey: slotKey(lastSlot + 1) - 1n,
      firstSlot,
      lastSlot,
      open: true,
      trimmed: 0,
      gone: false,
      records: [],
    });
  }
}
