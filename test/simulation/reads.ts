/**
 * What a state has read of the stream, by its commits, each of which is of a process that got certain records. A state that is
 * restored from an earlier commit goes on from what that one had read.
 *
 *  K1 no record is passed over that was there to be read
 *  C5 records that expire before they are read are a gap, which is told; without leave to go on, the run ends
 */
import type { Checkpoint } from '../../src/engine/state-store.ts';
import type { TaxiflowError } from '../../src/errors.ts';
import type { Position } from '../../src/streams/ports.ts';
import type { KinesisModel, KinesisRecord, KinesisShard } from './kinesis-model.ts';
import { Broken, type Process, type World } from './world.ts';

/** A reader that began at the oldest records may lose some to their expiry without a word, as long as it is so close to it. */
const EDGE_MS = 65_000;
/** Positions are older than told by the time that a record takes to be seen, and whole seconds. */
const UNSURE_MS = 3_000;

/** What is read from "latest" on may have arrived so long before the process began. */
const LATEST_MS = 12_000;

type Stored = Pick<Checkpoint, 'shards' | 'counters'>;

/** What was read up to a commit. */
interface Account {
  /** By shard: how many of its records are behind the state. */
  readonly passed: ReadonlyMap<string, number>;
  /** Of these, the ones that were never read. */
  readonly skipped: ReadonlySet<KinesisRecord>;
  /** By shard: its position in the stream, for the time up to which it is known to be read. */
  readonly positions: ReadonlyMap<string, Position>;
  /** Records that arrived earlier need not be read, epoch ms. */
  readonly since: number;
}

const NOTHING: Account = { passed: new Map(), skipped: new Set(), positions: new Map(), since: 0 };

/** What a process did to its state. */
interface Life {
  readonly started: number;
  readonly received: Set<KinesisRecord>;
  /** Shards that it began to read, not a process before it. */
  readonly begun: Set<string>;
  /** Shards of which it has lost records that it must tell of. */
  readonly lost: Set<string>;
  account: Account | undefined;
}

export interface ReadsOptions {
  readonly world: World;
  readonly kinesis: KinesisModel;
  /** Where a new state begins; a time is epoch ms. */
  readonly from: 'trim-horizon' | 'latest' | number;
}

export class Reads {
  readonly #o: ReadsOptions;
  readonly #lives = new WeakMap<Process, Life>();
  readonly #accounts = new Map<string, Account>();

  readonly #began: number;

  constructor(options: ReadsOptions) {
    this.#o = options;
    this.#began = options.world.now;
    options.kinesis.onReceived = (of, records) => {
      const { received } = this.#life(of);
      for (const record of records) received.add(record);
    };
  }

  /** A process begins. */
  starts(of: Process): void {
    this.#life(of);
  }

  #life(of: Process): Life {
    let life = this.#lives.get(of);
    if (!life) {
      life = {
        started: this.#o.world.now,
        received: new Set(),
        begun: new Set(),
        lost: new Set(),
        account: undefined,
      };
      this.#lives.set(of, life);
    }
    return life;
  }

  /** K1, C5: looks at what a commit moves on; `before` is what the state began with. */
  commits(of: Process, before: Stored | undefined, checkpoint: Stored, allowsGap: boolean): void {
    const life = this.#life(of);
    const last = life.account ?? this.#at(before);
    const { from } = this.#o;
    const { now } = this.#o.world;
    const since =
      last !== NOTHING ? last.since : from === 'latest' ? now : from === 'trim-horizon' ? 0 : from;
    // A list of shards may lag, and what is read again begins a little before the newest record.
    const least = last !== NOTHING ? 0 : from === 'latest' ? life.started - LATEST_MS : since;
    const passed = new Map(last.passed);
    const skipped = new Set(last.skipped);
    for (const { id, position, ended } of checkpoint.shards) {
      const shard = this.#o.kinesis.shard(id);
      const passedOf = last.passed.get(id);
      const taken = placeOf(shard, position);
      const to = ended ? shard.records.length : settledIn(shard, position);
      if (passedOf === undefined) this.#begin(life, last, shard, allowsGap);
      if (to < (passedOf ?? 0)) this.#broken(`C1: ${id} goes back from ${passedOf} to ${to}`);
      for (let i = passedOf ?? 0; i < to; i++) {
        const record = shard.records[i]!;
        // What came of a shard that left meanwhile may not have been taken.
        if (i < taken && life.received.has(record)) {
          if (record.arrival < least) this.#broken(`K1: record ${i} of ${id} is from before the beginning`);
          continue;
        }
        skipped.add(record);
        if (record.arrival >= since) this.#skip(life, last, shard, i, allowsGap);
      }
      passed.set(id, Math.max(to, passedOf ?? 0));
    }
    const positions = new Map([
      ...last.positions,
      ...checkpoint.shards.map(({ id, position }): [string, Position] => [id, position]),
    ]);
    life.account = { passed, skipped, positions, since };
    this.#accounts.set(keyOf(checkpoint), life.account);
  }

  #at(before: Stored | undefined): Account {
    if (!before) return NOTHING;
    const found = this.#accounts.get(keyOf(before));
    if (!found) this.#broken('C1: a state that nobody has committed');
    return found ?? NOTHING;
  }

  /** A shard whose parents came and went unread is a gap too. */
  #begin({ begun, lost }: Life, last: Account, { id, parents }: KinesisShard, allowsGap: boolean): void {
    begun.add(id);
    if (last === NOTHING || parents.length === 0) return;
    if (parents.some((parent) => last.passed.has(parent) || begun.has(parent))) return;
    if (parents.some((parent) => this.#o.kinesis.shard(parent).gone === undefined)) return;
    const [parent] = parents;
    lost.add(parent!);
    if (!allowsGap) this.#broken(`C5: ${parent} came and went between runs, without a word`);
  }

  #skip({ begun, lost }: Life, last: Account, shard: KinesisShard, i: number, allowsGap: boolean): void {
    const { world, kinesis } = this.#o;
    if (i >= shard.trimmed) this.#broken(`K1: record ${i} of ${shard.id} is there, and is passed over`);
    const isNew = !this.#wasRead(last, shard);
    const edge = shard.records[i - 1]?.arrival ?? Number.NEGATIVE_INFINITY;
    if (isNew || (begun.has(shard.id) && edge + kinesis.retentionMs < world.now + EDGE_MS)) return;
    lost.add(shard.id);
    if (!allowsGap) this.#broken(`C5: record ${i} of ${shard.id} expired unread, without a word`);
  }

  /** Whether a record of a shard or of one that it came from had been read. */
  #wasRead(account: Account, shard: KinesisShard): boolean {
    const passed = account.passed.get(shard.id) ?? 0;
    const { records, parents } = shard;
    for (let i = 0; i < passed; i++) if (!account.skipped.has(records[i]!)) return true;
    return parents.some((parent) => this.#wasRead(account, this.#o.kinesis.shard(parent)));
  }

  /** C5: a gap that ends a run is one, as far as a reader can know. */
  refused(of: Process, before: Stored | undefined, { message }: TaxiflowError): void {
    const { account } = this.#life(of);
    this.#isGap(account ?? this.#at(before), message);
  }

  #isGap({ positions }: Account, words: string): void {
    const { world, kinesis } = this.#o;
    for (const id of words.match(/shardId-\d{12}/g) ?? []) {
      const shard = kinesis.shard(id);
      const position = positions.get(id);
      const known = position && position.at !== 'latest' ? position.arrival : undefined;
      // A later shard begins with the time of its parents, since nobody tells when it was opened.
      const isOld = (known ?? this.#began) + kinesis.retentionMs < world.now + UNSURE_MS;
      if (shard.gone === undefined && !isOld) this.#broken(`C5: a false gap: ${words}`);
    }
  }

  /** C5: a run that ends tells of what it has lost. */
  ended(of: Process, told: readonly string[]): void {
    const { lost } = this.#life(of);
    for (const id of lost)
      if (!told.some((words) => words.includes(id)))
        this.#broken(`C5: records of ${id} are lost, and the run says only ${JSON.stringify(told)}`);
    // A shard that came from one with a gap may count as one too, since its first records may be older than any that was read.
    const isYoung = this.#o.world.now < this.#began + this.#o.kinesis.retentionMs - UNSURE_MS;
    if (told.length > 0 && isYoung) this.#broken(`C5: nothing is lost, but the run says ${told.join()}`);
  }

  /** K1: at the end, each record has been read, or is gone, or from before the beginning; whether a process had it read. */
  readBy(of: Process): (shard: KinesisShard, i: number) => boolean {
    const account = this.#life(of).account ?? NOTHING;
    const isRead = ({ id, records }: KinesisShard, i: number) =>
      i < (account.passed.get(id) ?? 0) && !account.skipped.has(records[i]!);
    for (const shard of this.#o.kinesis.shards)
      for (const [i, record] of shard.records.entries())
        if (!isRead(shard, i) && i >= shard.trimmed && record.arrival >= account.since)
          throw new Broken(`K1: record ${i} of ${shard.id} is there, and was not read`);
    return isRead;
  }

  /** Whether a state ever had a shard. */
  hadBy(of: Process): (id: string) => boolean {
    const { passed } = this.#life(of).account ?? NOTHING;
    return (id) => passed.has(id);
  }

  #broken(what: string): void {
    this.#o.world.broken(new Broken(what));
  }
}

const keyOf = ({ shards, counters }: Stored) =>
  JSON.stringify([
    counters.read,
    shards.map(({ id, position, ended }) => [id, ended, JSON.stringify(position)]).sort(),
  ]);

/** How many records of a shard are before a position, or expired before the time up to which the shard is known. */
function settledIn(shard: KinesisShard, position: Position): number {
  const { records, trimmed } = shard;
  let place = placeOf(shard, position);
  if (position.at === 'latest' || position.arrival === undefined) return place;
  while (place < trimmed && records[place]!.arrival <= position.arrival) place++;
  return place;
}

/** How many records of a shard are before a position. */
export function placeOf({ records }: KinesisShard, position: Position): number {
  if (position.at === 'trim-horizon') return 0;
  const isBehind = (record: KinesisRecord) => {
    if (position.at === 'time') return record.arrival >= position.ms;
    return position.at === 'after' && BigInt(record.sequence) > BigInt(position.sequence);
  };
  const found = records.findIndex(isBehind);
  return found < 0 ? records.length : found;
}
