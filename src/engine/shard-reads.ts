/**
 * Chooses which shards are read and in what order, and detects lost records.
 *
 *  W4 a child shard is read once its parents are drained.
 *  W6 the next batch comes from the shard that is furthest behind in event time.
 *  C5 records that expire before they are read are a gap, which stops the run unless gaps are allowed.
 */
import { type Clock, hasPassed } from '../clock.ts';
import { TaxiflowError } from '../errors.ts';
import type { Position, RecordBatch, Shard, StreamReader } from '../streams/ports.ts';
import { Feed } from './feed.ts';
import type { ShardProgress, ShardWatermarks } from './watermarks.ts';

export interface ShardReadsOptions {
  readonly reader: StreamReader;
  readonly shards: ShardWatermarks;
  readonly clock: Clock;
  /** Where the first run begins. */
  readonly from: Position;
  /** Stop after reading everything in the stream; may become true during the run. */
  readonly untilEnd: () => boolean;
  readonly allowGap: boolean;
  /** Ms between two looks at a shard that is at its tip. */
  readonly pollInterval: number;
  /** Records per read. */
  readonly batchRecords: number;
  readonly signal: AbortSignal;
  /** Awaits work of the stream; once the run is stopping, resolves to undefined after a short wait. */
  unlessStopped<T>(work: Promise<T>): Promise<T | undefined>;
}

/** How long, in ms, other shards are preferred to one whose new read has not answered. */
const ANSWER_MS = 1_000;
/** Ms by which a list of shards may lag behind the reads. */
const LIST_LAG_MS = 10_000;

export class ShardReads {
  /** Records that expired unread, in words. */
  readonly lost: string[] = [];
  /** Per shard: ms since the arrival of the last record read; 0 at the tip. */
  readonly lags = new Map<string, number>();
  readonly #o: ShardReadsOptions;
  readonly #feeds = new Map<string, Feed>();
  /** Shards at their tips, with nothing to read until they are polled. */
  readonly #atTip = new Set<string>();
  /** Shards being polled, and since when, in clock ms. */
  readonly #polled = new Map<string, number>();
  /** Shards whose tip was reached since `untilEnd` became true. */
  readonly #finished = new Set<string>();
  /** All shards had reached their tips and were polled once more. */
  #askedAgain = false;
  #listed: readonly Shard[] = [];
  #listedAt = Number.NEGATIVE_INFINITY;
  #polledAt = Number.NEGATIVE_INFINITY;
  /** A shard was read to its end, and its children are not listed yet. */
  #childless = false;
  /** When this run first knew of each shard, clock ms. */
  readonly #knownSince = new Map<string, number>();
  /** Drained shards that left the list. An older list may have one once more, as if nobody had read it. */
  readonly #forgotten = new Set<string>();
  /** Shards that a read has not found. */
  readonly #notFound = new Set<string>();

  constructor(options: ShardReadsOptions) {
    this.#o = options;
  }

  /** Whether the shards of the stream are known. */
  get hasList(): boolean {
    return this.#listedAt > Number.NEGATIVE_INFINITY;
  }

  get feeds(): Iterable<Feed> {
    return this.#feeds.values();
  }

  /** The next batch; undefined if the run is stopping or the shard has left the stream since it was listed. */
  async take(feed: Feed): Promise<RecordBatch | undefined> {
    const { clock, signal } = this.#o;
    for (const since = clock.now(); ; ) {
      try {
        const batch = await this.#o.unlessStopped(feed.take());
        this.#notFound.delete(feed.shardId);
        if (batch?.lost) this.#acceptLoss(this.#o.shards.get(feed.shardId)!, batch.lost);
        return batch;
      } catch (error) {
        if (!(error instanceof TaxiflowError) || error.code !== 'no-shard') throw error;
        this.#notFound.add(feed.shardId);
        // The next look at the list handles the loss (C5).
        await this.discover(false);
        if (signal.aborted || !this.#feeds.has(feed.shardId)) return undefined;
        if (clock.now() - since > LIST_LAG_MS) throw error;
        await clock.sleep(this.#o.pollInterval, signal);
        feed.poll(this.#o.shards.get(feed.shardId)!.position);
      }
    }
  }

  /** How many records are there to be read, including shards whose turn comes later; undefined if the stream can't count. */
  get remaining(): number | undefined {
    const { reader, shards, from } = this.#o;
    if (!reader.remaining) return undefined;
    let records = 0;
    for (const { id } of this.#listed) {
      const shard = shards.get(id);
      if (!shard?.ended) records += reader.remaining(id, shard?.position ?? from);
    }
    return records;
  }

  /** Updates the shard from its batch, after the engine has taken the records. */
  async settle(feed: Feed, shard: ShardProgress, batch: RecordBatch): Promise<void> {
    const { toEnd, reached } = feed.asked;
    const { atTip, ended, count } = batch;
    this.#polled.delete(shard.id);
    // A shard at its tip is owed every later record. An ended shard is not: it may have been empty when the state began.
    if (count > 0 || (atTip && !ended)) shard.owed = true;
    if (atTip) {
      this.#atTip.add(shard.id);
      this.lags.set(shard.id, 0);
    } else if (count > 0) {
      this.lags.set(shard.id, Math.max(0, this.#o.clock.now() - batch.arrivals[count - 1]!));
    }
    if (toEnd && atTip) this.#finished.add(shard.id);
    // A shard that just returned records may get more in a moment; a shard that returned none is idle (W5).
    shard.idle = this.#finished.has(shard.id);
    // An ended shard passes its watermark to its children exactly as its own records made it.
    if (atTip && count === 0 && !ended) this.#o.shards.foundIdle(shard, reached);
    if (!ended) return;
    this.#drop(shard);
    // The children take over before the parent stops holding the watermark (W4).
    await this.discover(false);
  }

  /** Drops a shard that was read to its end, or is gone. */
  #drop(shard: ShardProgress): void {
    shard.ended = true;
    this.#feeds.delete(shard.id);
    this.lags.delete(shard.id);
  }

  /** Does what is due while other shards have records: looks for children, polls the shards at their tips. */
  async lookAround(): Promise<void> {
    const { clock } = this.#o;
    if (this.#childless && hasPassed(clock, this.#listedAt, this.#o.pollInterval)) await this.discover(false);
    if (hasPassed(clock, this.#polledAt, this.#o.pollInterval)) this.pollIdle();
  }

  /** Lists the shards and starts those that may be read now. */
  async discover(first: boolean): Promise<void> {
    const { shards } = this.#o;
    const found = await this.#o.unlessStopped(this.#o.reader.shards());
    if (!found && !this.hasList) return;
    this.#listed = found?.filter(({ id }) => !this.#forgotten.has(id)) ?? this.#listed;
    this.#listedAt = this.#o.clock.now();
    for (const { id } of shards.all) if (!this.#knownSince.has(id)) this.#knownSince.set(id, this.#listedAt);
    const listed = new Set(this.#listed.map((shard) => shard.id));
    this.#refuseVanished(listed);
    const atOnce = first && this.#o.from.at === 'latest';
    const waiting: Shard[] = [];
    for (const shard of this.#listed) {
      const progress = shards.get(shard.id);
      // The tip of a closed shard is not the end: later records are in its children.
      if (!shard.open) this.#finished.delete(shard.id);
      const waits = shard.parents.some((parent) => listed.has(parent) && !shards.get(parent)?.ended);
      if (!progress && waits && !atOnce) waiting.push(shard);
      else if (!progress) this.#begin(shard, listed, first);
      else if (!progress.ended && !this.#feeds.has(shard.id)) this.#follow(progress);
    }
    this.#standIn(waiting, listed);
  }

  #begin(shard: Shard, listed: ReadonlySet<string>, first: boolean): void {
    const { from } = this.#o;
    const { shards } = this.#o;
    const atOnce = first && from.at === 'latest';
    const progress = shards.add(shard.id, first ? from : this.#startOf(shard), atOnce ? [] : shard.parents);
    if (atOnce) {
      progress.ended = !shard.open;
      progress.owed = shard.open;
    } else if (!first && this.#unseen(shard, listed)) {
      this.#acceptGap('the records', shard.parents.join(' and '));
      progress.owed = true;
    }
    if (!progress.ended) this.#follow(progress);
  }

  /** Drained shards hold the watermark until their children have begun (W4). */
  #standIn(waiting: readonly Shard[], listed: ReadonlySet<string>): void {
    const { shards } = this.#o;
    const awaited = new Set(waiting.flatMap((shard) => shard.parents));
    shards.blocked = [...awaited].some((parent) => !listed.has(parent) && !shards.get(parent));
    // The list may lag: a shard that ended has children, and they are listed before it leaves.
    const parents = this.#parents;
    const isAwaited = (id: string) => !parents.has(id) && (listed.has(id) || this.#mayBeNewer(id));
    const childless = [...shards.all].filter(({ id, ended }) => ended && isAwaited(id));
    this.#childless = childless.length > 0;
    shards.standIns = new Set([...awaited, ...childless.map(({ id }) => id)]);
  }

  /** Where a later shard begins: at its first record, or at a time that none of its parents had reached. */
  #startOf(shard: Shard): Position {
    const { from } = this.#o;
    const positions = shard.parents.map((parent) => this.#o.shards.get(parent)?.position ?? from);
    const [time] = positions;
    // A child's records arrived after those of its parents.
    const arrivals = positions.flatMap((position) =>
      position.at === 'latest' ? [] : (position.arrival ?? []),
    );
    const earliest = arrivals.reduce((least, arrival) => Math.min(least, arrival), Number.POSITIVE_INFINITY);
    const known = arrivals.length > 0 && arrivals.length === positions.length ? { arrival: earliest } : {};
    return time?.at === 'time' && positions.every(({ at }) => at === 'time')
      ? { at: 'time', ms: time.ms, ...known }
      : { at: 'trim-horizon', ...known };
  }

  #follow(shard: ShardProgress): void {
    const { reader, untilEnd } = this.#o;
    const now = () => ({ toEnd: untilEnd(), reached: this.#o.shards.reached });
    this.#feeds.set(shard.id, new Feed(reader, shard.id, shard.position, this.#o.batchRecords, now));
  }

  /**
   * Handles shards that were being read and are no longer listed: their unread records are gone (C5). A list that has no
   * children of such a shard may be older than the shard, so the shard itself is asked.
   */
  #refuseVanished(listed: ReadonlySet<string>): void {
    const parents = this.#parents;
    for (const shard of this.#o.shards.all) {
      if (shard.ended || listed.has(shard.id)) continue;
      if (!parents.has(shard.id) && !this.#notFound.has(shard.id)) {
        if (!this.#feeds.has(shard.id)) this.#follow(shard);
        continue;
      }
      const { position } = shard;
      const since = position.at === 'latest' ? undefined : position.arrival;
      const left = since === undefined ? '' : ` after ${new Date(since).toISOString()}`;
      this.#acceptLoss(shard, `the rest${left}`);
      this.#drop(shard);
    }
  }

  /** Shards that the list names as parents. */
  get #parents(): ReadonlySet<string> {
    return new Set(this.#listed.flatMap((shard) => shard.parents));
  }

  /** Whether a shard may be missing in the list because the list is older than the shard. */
  #mayBeNewer(id: string): boolean {
    const since = this.#knownSince.get(id);
    return since === undefined || !hasPassed(this.#o.clock, since, LIST_LAG_MS);
  }

  /** Whether this state never saw the parents of a later shard: they came and went between runs (C5). */
  #unseen({ parents }: Shard, listed: ReadonlySet<string>): boolean {
    const { shards } = this.#o;
    return parents.length > 0 && parents.every((parent) => !listed.has(parent) && !shards.get(parent));
  }

  #acceptLoss(shard: ShardProgress, lost: string): void {
    // Records that were gone before this state began are not lost to it.
    if (shard.owed) this.#acceptGap(lost, shard.id);
  }

  #acceptGap(lost: string, shardId: string): void {
    if (!this.#o.allowGap) {
      throw new TaxiflowError(
        'gap',
        `${this.#o.reader.name} no longer has ${lost} of ${shardId} that this state has not read`,
        { hint: 'continue without them with --allow-gap, or start over with another --app' },
      );
    }
    const what = `${lost} of ${shardId}`;
    if (!this.lost.includes(what)) this.lost.push(what);
  }

  /**
   * The shard to read next (W6); undefined if all are at their tips. A polled shard is not waited for while others have
   * records.
   */
  get next(): Feed | undefined {
    let behind: Feed | undefined;
    let least = Number.POSITIVE_INFINITY;
    let polled: Feed | undefined;
    const patience = this.#o.clock.now() - ANSWER_MS;
    for (const feed of this.#feeds.values()) {
      const shard = this.#o.shards.get(feed.shardId)!;
      if (this.#atTip.has(shard.id)) continue;
      const since = this.#polled.get(shard.id);
      if (since !== undefined && since > patience && !feed.ready) polled ??= feed;
      else if (behind === undefined || shard.latest < least) {
        behind = feed;
        least = shard.latest;
      }
    }
    return behind ?? polled;
  }

  /** Polls the shards at their tips, also while others are busy; otherwise they would fall behind. */
  pollIdle(): void {
    const now = this.#o.clock.now();
    this.#polledAt = now;
    for (const feed of this.#feeds.values()) {
      const shard = this.#o.shards.get(feed.shardId)!;
      if (this.#finished.has(shard.id) || !this.#atTip.delete(shard.id)) continue;
      this.#polled.set(shard.id, now);
      feed.poll(shard.position);
    }
  }

  /** Whether everything has been read, including children of shards that were split after reaching their tips. */
  async allRead(): Promise<boolean> {
    // A list may lag by a call.
    for (let lists = 0; lists < 2 && this.#allFinished(); lists++) await this.discover(false);
    if (!this.#allFinished()) return false;
    if (this.#askedAgain || !this.#o.shards.ofTrips) return true;
    // A shard that reached its tip early may have received more since, which must not be late (W5).
    this.#askedAgain = true;
    this.#finished.clear();
    return false;
  }

  #allFinished(): boolean {
    if (this.#childless) return false;
    for (const id of this.#feeds.keys()) if (!this.#finished.has(id)) return false;
    return true;
  }

  /** Forgets drained shards that left the list, once their children have begun. */
  forgetGone(): void {
    const { shards } = this.#o;
    const listed = new Set(this.#listed.map((shard) => shard.id));
    for (const { id, ended } of shards.all) {
      if (!ended || listed.has(id) || shards.standIns.has(id)) continue;
      shards.forget(id);
      this.#knownSince.delete(id);
      this.#forgotten.add(id);
    }
  }
}
