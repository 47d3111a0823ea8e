/**
 * The processor's loop: shards → engine → checkpoints → sinks.
 *
 *  W6 the next batch is always that of the shard that is furthest behind in event time.
 *  C3 sinks are told only of what is committed.
 */
import type { Clock } from '../clock.ts';
import type { DeadLetterBuffer } from '../dead-letters.ts';
import { TaxiflowError } from '../errors.ts';
import type { Position, RecordBatch, Shard, StreamReader } from '../streams/stream.ts';
import type { View } from '../views/language.ts';
import type { Counters, StateStore } from './checkpoint.ts';
import { Engine } from './engine.ts';
import { Feed } from './feed.ts';
import type { ShardProgress } from './watermarks.ts';

/** How a sink stands. */
export interface SinkStatus {
  readonly name: string;
  /** Results it is done with, and those that are committed and still to come. */
  readonly delivered: number;
  readonly pending: number;
  /** Those of the results it is done with that it refused for good, in all runs; they are dead letters. */
  readonly rejected: number;
  readonly retries: number;
  /** What keeps it from going on, in words; undefined when nothing does. */
  readonly trouble: string | undefined;
  /** ISO 8601: since when. */
  readonly since?: string | undefined;
}

/** Where results go: fed from what is committed, each at its own pace, with its own cursor in the state (C3). */
export interface Sink {
  readonly name: string;
  /** Makes ready what results go to, before the first `wake`; returns early when `stop` aborts. */
  open?(stop: AbortSignal): Promise<void>;
  /** Something was committed. Holds nobody up; throws when the run can't go on like this. */
  wake(): void;
  status(): SinkStatus;
  /** Delivers the rest; only what is on its way when the run was interrupted. Called once. */
  close(interrupted: boolean): Promise<void> | void;
  /** The run is interrupted while `close` delivers the rest. */
  interrupt?(): void;
}

export interface ProcessOptions {
  readonly reader: StreamReader;
  readonly store: StateStore;
  readonly views: readonly View[];
  readonly deadLetters: DeadLetterBuffer;
  readonly sinks: readonly Sink[];
  readonly clock: Clock;
  /** Where a first run begins. */
  readonly from: Position;
  readonly eventTime: 'dropoff' | 'arrival';
  readonly maxDisorder?: number | undefined;
  readonly allowedLateness: number;
  /** Ms between checkpoints. */
  readonly checkpointInterval: number;
  /** Stop when everything that is there has been read; may be switched on while running. */
  readonly untilEnd: () => boolean;
  /** Fire the open windows at the end too. */
  readonly drain: boolean;
  /** Go on when records fell out of the stream's retention before they were read. */
  readonly allowGap?: boolean;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** No watermark has come in these shards, so no window can fire (W5). Told once of each shard. */
  readonly onNoWatermark?: (shards: readonly string[]) => void;
  /** Bytes that open windows may take in memory, 256 MiB without it (C9). */
  readonly memoryLimit?: number;
  /** Records a read. */
  readonly batchRecords?: number;
}

export interface Progress {
  readonly counters: Counters;
  /** Epoch ms; −Infinity before the first. */
  readonly watermark: number;
  readonly openWindows: number;
  readonly slowestShard: string | undefined;
  /** By shard: ms since the last record read arrived, 0 at the tip. */
  readonly lags: ReadonlyMap<string, number>;
  readonly atTip: boolean;
  /** The run is over: everything is committed, and the sinks are closed. */
  readonly ended: boolean;
}

export interface ProcessOutcome {
  /** Of this run. */
  readonly counters: Counters;
  /** Of all runs of this state. */
  readonly totals: Counters;
  readonly watermark: number;
  readonly openWindows: number;
  readonly checkpoints: number;
  readonly interrupted: boolean;
  /** Records that fell out of retention unread (`allowGap`). */
  readonly lost: readonly string[];
  /** Shards that hold the windows back, as no watermark has come in them. */
  readonly noWatermark: readonly string[];
}

const POLL_MS = 100;
/** How far shards go on without one that has been asked again. */
const ANSWER_MS = 1_000;
/** A replay sends a watermark every 5 s. */
const WATERMARK_PATIENCE_MS = 15_000;
/** By how long a list of shards may lag behind what reads say. */
const LIST_LAG_MS = 10_000;
/** How long a run that is to stop waits for the records it asked for. */
const STOP_MS = 1_000;
const BATCH_RECORDS = 4_000;
/** Panes that the records of a read may change, so that memory is looked at often enough. */
const BATCH_PANES = 250_000;
const MEMORY_LIMIT = 256 << 20;

/** Runs until stopped, or until the end of the stream. Throws `TaxiflowError`; what was committed stays. */
export async function runProcess(options: ProcessOptions): Promise<ProcessOutcome> {
  const run = new ProcessRun(options);
  return run.run();
}

/** Fewer where each record is in many windows. */
function recordsAtOnce(views: readonly View[]): number {
  const windows = views.reduce(
    (sum, { window }) => sum + (window.kind === 'sliding' ? Math.ceil(window.size_ms / window.slide_ms) : 1),
    0,
  );
  return Math.max(1, Math.min(BATCH_RECORDS, Math.floor(BATCH_PANES / windows)));
}

class ProcessRun {
  readonly #o: ProcessOptions;
  readonly #engine: Engine;
  readonly #feeds = new Map<string, Feed>();
  readonly #before: Counters;
  /** Sinks that are not closed yet. */
  readonly #open: Set<Sink>;
  /** Shards with nothing to read until they are asked again. */
  readonly #atTip = new Set<string>();
  /** Those of them that are being asked, and since when. */
  readonly #polled = new Map<string, number>();
  /** Shards whose tip was reached since `untilEnd` was asked for. */
  readonly #finished = new Set<string>();
  /** All shards had reached their tips, and were asked once more. */
  #askedAgain = false;
  #listed: readonly Shard[] = [];
  #listedAt = Number.NEGATIVE_INFINITY;
  #polledAt = Number.NEGATIVE_INFINITY;
  /** A shard was read to its end, and the list doesn't have its children yet. */
  #childless = false;
  readonly #over = new AbortController();
  #giveUp = () => {};
  #checkpoints = 0;
  readonly #started: number;
  #lastCheckpoint: number;
  readonly #lost: string[] = [];
  readonly #lags = new Map<string, number>();
  /** Shards that were told of as having no watermark. */
  readonly #noted = new Set<string>();
  readonly #batchRecords: number;

  constructor(options: ProcessOptions) {
    this.#o = options;
    const { views, store, deadLetters, reader, eventTime, maxDisorder, allowedLateness } = options;
    this.#engine = new Engine({
      views,
      store,
      deadLetters,
      stream: reader.name,
      eventTime,
      maxDisorder,
      allowedLateness,
      memoryLimit: options.memoryLimit ?? MEMORY_LIMIT,
    });
    this.#batchRecords = options.batchRecords ?? recordsAtOnce(views);
    this.#before = { ...this.#engine.counters };
    this.#open = new Set(options.sinks);
    this.#started = options.clock.now();
    this.#lastCheckpoint = this.#started;
  }

  async run(): Promise<ProcessOutcome> {
    this.#o.signal.addEventListener('abort', () => void this.#patience(), { signal: this.#over.signal });
    try {
      return await this.#run();
    } catch (error) {
      // A sink that waits for its server would keep the process from ending. The first failure is the one to tell.
      for (const sink of this.#open) await this.#close(sink, true).catch(() => {});
      throw error;
    } finally {
      this.#over.abort();
    }
  }

  async #run(): Promise<ProcessOutcome> {
    const { signal, clock, sinks, store } = this.#o;
    const first = store.stored === undefined;
    await this.#discover(first);
    // A checkpoint has positions that stay where they are: `latest` is now, not when a next run begins.
    if (first) for (const feed of this.#feeds.values()) await this.#step(feed);
    // What an earlier run committed and did not deliver.
    for (const sink of sinks) sink.wake();
    while (!signal.aborted) {
      const feed = this.#furthestBehind();
      if (feed) {
        await this.#step(feed);
        if (this.#childless && this.#isPast(this.#listedAt, POLL_MS)) await this.#discover(false);
        if (this.#isPast(this.#polledAt, POLL_MS)) this.#pollIdle();
        await clock.sleep(0);
      } else {
        if (this.#o.untilEnd() && (await this.#allRead())) break;
        this.#noteMissingWatermark();
        await clock.sleep(POLL_MS, signal);
        await this.#discover(false);
        this.#pollIdle();
      }
      this.#checkpointIfDue();
    }
    for (const feed of this.#feeds.values()) feed.stop();
    if (this.#hasBegun()) {
      this.#engine.advance();
      if (!signal.aborted && this.#o.drain) this.#engine.drain();
      this.#checkpoint();
    }
    for (const sink of sinks) await this.#close(sink, signal.aborted);
    this.#report(true);
    return this.#outcome();
  }

  async #close(sink: Sink, interrupted: boolean): Promise<void> {
    this.#open.delete(sink);
    this.#o.signal.addEventListener('abort', () => sink.interrupt?.(), { signal: this.#over.signal });
    await sink.close(interrupted);
  }

  /** Not if it was stopped before it knew which shards there are, or where "latest" is. */
  #hasBegun(): boolean {
    const searching = [...this.#engine.shards.all].some(
      ({ position, ended }) => position.at === 'latest' && !ended,
    );
    return this.#hasList && !searching;
  }

  get #hasList(): boolean {
    return this.#listedAt > Number.NEGATIVE_INFINITY;
  }

  /** What is under way ends in a moment; but a stream that is away is tried for minutes, which a stop needn't wait for. */
  #unlessStopped<T>(work: Promise<T>): Promise<T | undefined> {
    if (this.#o.signal.aborted) return Promise.race([work, this.#patience()]);
    return new Promise((resolve, reject) => {
      this.#giveUp = () => resolve(undefined);
      work.then(resolve, reject);
    });
  }

  async #patience(): Promise<undefined> {
    await this.#o.clock.sleep(STOP_MS, this.#over.signal);
    this.#giveUp();
  }

  async #step(feed: Feed): Promise<void> {
    const shard = this.#engine.shards.get(feed.shardId)!;
    const batch = await this.#take(feed);
    if (!batch) return;
    const { toEnd, reached } = feed.asked;
    this.#polled.delete(shard.id);
    if (batch.lost) this.#acceptLoss(shard, batch.lost);
    if (batch.count > 0) this.#engine.process(shard, batch);
    else if (!batch.ended) shard.position = batch.next;
    // A shard that waits at its tip is owed what comes next; an end may be all that was left when this state began.
    if (batch.count > 0 || (batch.atTip && !batch.ended)) shard.owed = true;
    if (batch.atTip) {
      this.#atTip.add(shard.id);
      this.#lags.set(shard.id, 0);
    } else if (batch.count > 0) {
      this.#lags.set(shard.id, Math.max(0, this.#o.clock.now() - batch.arrivals[batch.count - 1]!));
    }
    if (toEnd && batch.atTip) this.#finished.add(shard.id);
    // A shard that just gave its last records may have more in a moment; one that had none is idle (W5).
    shard.idle = this.#finished.has(shard.id);
    // One that has ended leaves its watermark to its children, as its own records made it.
    if (batch.atTip && batch.count === 0 && !batch.ended) this.#engine.shards.foundIdle(shard, reached);
    if (batch.ended) {
      // Its children take over before it stops holding the watermark (W4).
      this.#feeds.delete(shard.id);
      this.#lags.delete(shard.id);
      shard.ended = true;
      await this.#discover(false);
    }
    if (batch.atTip) this.#engine.advance();
  }

  /** The next batch; undefined when the run is stopped, or the shard has left the stream since it was listed. */
  async #take(feed: Feed): Promise<RecordBatch | undefined> {
    const { clock, signal } = this.#o;
    for (const since = clock.now(); ; ) {
      try {
        return await this.#unlessStopped(feed.take());
      } catch (error) {
        if (!(error instanceof TaxiflowError) || error.code !== 'no-shard') throw error;
        // The list knows what to do about it (C5).
        await this.#discover(false);
        if (signal.aborted || !this.#feeds.has(feed.shardId)) return undefined;
        if (clock.now() - since > LIST_LAG_MS) throw error;
        await clock.sleep(POLL_MS, signal);
        feed.poll(this.#engine.shards.get(feed.shardId)!.position);
      }
    }
  }

  /** Reads the list of shards and starts those whose turn has come. */
  async #discover(first: boolean): Promise<void> {
    const { shards } = this.#engine;
    const found = await this.#unlessStopped(this.#o.reader.shards());
    if (!found && !this.#hasList) return;
    this.#listed = found ?? this.#listed;
    this.#listedAt = this.#o.clock.now();
    this.#refuseVanished();
    const listed = new Set(this.#listed.map((shard) => shard.id));
    const atOnce = first && this.#o.from.at === 'latest';
    const waiting: Shard[] = [];
    for (const shard of this.#listed) {
      const progress = shards.get(shard.id);
      // Its tip was no end: what followed is in its children.
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
    const { shards } = this.#engine;
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

  /** Drained shards hold the watermark until those that came of them have begun (W4). */
  #standIn(waiting: readonly Shard[], listed: ReadonlySet<string>): void {
    const { shards } = this.#engine;
    const awaited = new Set(waiting.flatMap((shard) => shard.parents));
    shards.blocked = [...awaited].some((parent) => !listed.has(parent) && !shards.get(parent));
    // A list may lag: whoever ended has children, and they come before the parent leaves the list.
    const parents = new Set(this.#listed.flatMap((shard) => shard.parents));
    const childless = this.#listed.filter(({ id }) => shards.get(id)?.ended && !parents.has(id));
    this.#childless = childless.length > 0;
    shards.standIns = new Set([...awaited, ...childless.map(({ id }) => id)]);
  }

  /** Where a shard begins that came later: at its first record, or at the time no parent had a record of. */
  #startOf(shard: Shard): Position {
    const { from } = this.#o;
    const positions = shard.parents.map((parent) => this.#engine.shards.get(parent)?.position ?? from);
    const [time] = positions;
    // What came to it came after what its parents have had.
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
    const now = () => ({ toEnd: untilEnd(), reached: this.#engine.shards.reached });
    this.#feeds.set(shard.id, new Feed(reader, shard.id, shard.position, this.#batchRecords, now));
  }

  /** A shard that was being read and is no longer listed took its records with it (C5). */
  #refuseVanished(): void {
    const listed = new Set(this.#listed.map((shard) => shard.id));
    for (const shard of this.#engine.shards.all) {
      if (shard.ended || listed.has(shard.id)) continue;
      const { position } = shard;
      const since = position.at === 'latest' ? undefined : position.arrival;
      const left = since === undefined ? '' : ` after ${new Date(since).toISOString()}`;
      this.#acceptLoss(shard, `what was left${left}`);
      shard.ended = true;
      this.#feeds.delete(shard.id);
      this.#lags.delete(shard.id);
    }
  }

  /** A later shard whose parents this state never saw: they came and went while nobody read (C5). */
  #unseen({ parents }: Shard, listed: ReadonlySet<string>): boolean {
    const { shards } = this.#engine;
    return parents.length > 0 && parents.every((parent) => !listed.has(parent) && !shards.get(parent));
  }

  #acceptLoss(shard: ShardProgress, lost: string): void {
    // What was gone before a new state began is not lost to it.
    if (shard.owed) this.#acceptGap(lost, shard.id);
  }

  #acceptGap(lost: string, shardId: string): void {
    if (!this.#o.allowGap) {
      throw new TaxiflowError(
        'gap',
        `${this.#o.reader.name} no longer has ${lost} of ${shardId} that this state has not read`,
        { hint: 'go on without them with --allow-gap, or start afresh with another --app' },
      );
    }
    const what = `${lost} of ${shardId}`;
    if (!this.#lost.includes(what)) this.#lost.push(what);
  }

  /** The shard to go on with (W6); one that had nothing is not waited for at once where others have something. */
  #furthestBehind(): Feed | undefined {
    let behind: Feed | undefined;
    let least = Number.POSITIVE_INFINITY;
    let polled: Feed | undefined;
    const patience = this.#o.clock.now() - ANSWER_MS;
    for (const feed of this.#feeds.values()) {
      const shard = this.#engine.shards.get(feed.shardId)!;
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

  /** Asks those again that were at their tips; also while others are busy, or they would fall behind unheard. */
  #pollIdle(): void {
    const now = this.#o.clock.now();
    this.#polledAt = now;
    for (const feed of this.#feeds.values()) {
      const shard = this.#engine.shards.get(feed.shardId)!;
      if (this.#finished.has(shard.id) || !this.#atTip.delete(shard.id)) continue;
      this.#polled.set(shard.id, now);
      feed.poll(shard.position);
    }
  }

  /** Whether all that is there has been read: shards that were split since they were read to their tips have children. */
  async #allRead(): Promise<boolean> {
    // A list may lag by a call.
    for (let lists = 0; lists < 2 && this.#allFinished(); lists++) await this.#discover(false);
    if (!this.#allFinished()) return false;
    if (this.#askedAgain || !this.#engine.shards.ofTrips) return true;
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

  /** Of a quiet stream too: the age of the last checkpoint tells whether a processor is well. */
  #checkpointIfDue(): void {
    if (!this.#engine.isFull && !this.#isPast(this.#lastCheckpoint, this.#o.checkpointInterval)) return;
    this.#checkpoint();
    this.#report();
    this.#noteMissingWatermark();
  }

  /** Whether so many ms have passed since then, or nobody knows, as the clock was set back. */
  #isPast(then: number, ms: number): boolean {
    const passed = this.#o.clock.now() - then;
    return passed >= ms || passed < 0;
  }

  #checkpoint(): void {
    this.#engine.checkpoint();
    this.#forgetGone();
    this.#checkpoints++;
    this.#lastCheckpoint = this.#o.clock.now();
    for (const sink of this.#o.sinks) sink.wake();
  }

  /** Nobody needs a drained shard that left the list, once its children have begun. */
  #forgetGone(): void {
    const { shards } = this.#engine;
    const listed = new Set(this.#listed.map((shard) => shard.id));
    for (const { id, ended } of shards.all)
      if (ended && !listed.has(id) && !shards.standIns.has(id)) shards.forget(id);
  }

  #noteMissingWatermark(): void {
    if (this.#o.clock.now() - this.#started < WATERMARK_PATIENCE_MS) return;
    const shards = this.#withoutWatermark().filter((id) => !this.#noted.has(id));
    if (shards.length === 0) return;
    for (const id of shards) this.#noted.add(id);
    this.#o.onNoWatermark?.(shards);
  }

  /** Shards that hold everything back, as no watermark has come in them. */
  #withoutWatermark(): string[] {
    const { shards, counters } = this.#engine;
    return shards.ofTrips || counters.read === 0 ? [] : shards.withoutWatermark;
  }

  #report(ended = false): void {
    this.#o.onProgress?.({
      counters: this.#since(),
      watermark: this.#engine.watermark,
      openWindows: this.#engine.openWindows,
      slowestShard: this.#engine.shards.slowest?.id,
      lags: this.#lags,
      atTip: this.#furthestBehind() === undefined,
      ended,
    });
  }

  #since(): Counters {
    const entries = Object.entries(this.#engine.counters) as [keyof Counters, number][];
    return Object.fromEntries(
      entries.map(([name, count]) => [name, count - this.#before[name]]),
    ) as unknown as Counters;
  }

  #outcome(): ProcessOutcome {
    const { signal } = this.#o;
    const counters = this.#since();
    const drained = this.#o.drain && !signal.aborted;
    return {
      counters,
      totals: { ...this.#engine.counters },
      watermark: this.#engine.watermark,
      openWindows: this.#engine.openWindows,
      checkpoints: this.#checkpoints,
      interrupted: signal.aborted,
      lost: this.#lost,
      noWatermark: drained ? [] : this.#withoutWatermark(),
    };
  }
}
