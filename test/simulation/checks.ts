/** The invariants, each checked where it can be seen; what does not hold names itself. */
import type { Checkpoint, Counters } from '../../src/engine/state-store.ts';
import type { Trip } from '../../src/events/trip.ts';
import { piecesOf } from '../../src/streams/kinesis/aggregation.ts';
import type { KinesisModel, KinesisRecord, KinesisShard } from './kinesis-model.ts';
import { placeOf } from './reads.ts';
import type { JudgedTrip } from './workload.ts';
import { Broken, type Process, type World } from './world.ts';

const UNKNOWN = Number.NEGATIVE_INFINITY;
/** Blocks of panes that a record may change: of some views, in the windows of each that it lies in, and its session's. */
const MOST_BLOCKS = 24;

type Event = Trip & { readonly type: 'trip' | 'watermark'; readonly watermark?: string };

/** What is in a stream: its trips, each once, and how many records are no event. */
export interface Contents {
  readonly trips: readonly JudgedTrip[];
  readonly dead: number;
  /** Nothing was lost. */
  readonly isWhole: boolean;
}

export class StreamChecks {
  readonly #world: World;
  readonly #kinesis: KinesisModel;
  /** Drop-offs of all trips by rank, epoch ms. */
  readonly #dropoffs: readonly number[];
  /** Ranks of the trips that are stored. */
  readonly #stored = new Set<number>();
  #leastMissing = 0;
  #watermark = Number.NEGATIVE_INFINITY;
  readonly #committed = new WeakMap<object, number>();
  readonly #events = new WeakMap<KinesisRecord, readonly (Event | undefined)[]>();
  /** Records read by the last commit of each state. */
  readonly #wrote = new WeakMap<object, { readonly read: number; readonly watermark: number }>();
  #lastWatermarks = new Map<string, number>();

  constructor(world: World, kinesis: KinesisModel, trips: readonly Trip[]) {
    this.#world = world;
    this.#kinesis = kinesis;
    this.#dropoffs = trips.map((trip) => Date.parse(trip.dropoff_datetime)).sort((a, b) => a - b);
    kinesis.onPut = (data, of) => this.#sent(data, of);
    kinesis.onStored = (data, shard) => this.#store(data, shard);
  }

  #broken(what: string): void {
    this.#world.broken(new Broken(what));
  }

  #sent(data: readonly string[], of: Process | undefined): void {
    for (const event of data.flatMap(eventsIn)) {
      if (event?.type !== 'watermark' || !of?.alive) continue;
      const watermark = Date.parse(event.watermark!);
      if (watermark >= this.#dropoffOfNext && this.#stored.size < this.#dropoffs.length)
        this.#broken(`W1: a watermark ${event.watermark} is ahead of a trip that is not stored`);
      // A repetition may arrive after later ones, so only the greatest counts.
      this.#watermark = Math.max(this.#watermark, watermark);
    }
  }

  get #dropoffOfNext(): number {
    while (this.#stored.has(this.#leastMissing)) this.#leastMissing++;
    return this.#dropoffs[this.#leastMissing] ?? Number.POSITIVE_INFINITY;
  }

  #store(data: string, shard: KinesisShard): void {
    for (const event of eventsIn(data)) {
      if (event?.type === 'trip') {
        if (event.replay !== 'foreign' && event.trip_id !== undefined) this.#stored.add(event.trip_id);
      } else if (event) {
        const before = this.#lastWatermarks.get(shard.id) ?? Number.NEGATIVE_INFINITY;
        this.#lastWatermarks.set(shard.id, Math.max(before, Date.parse(event.watermark!)));
      }
    }
  }

  /** K2, K3, W3: all is in the stream. */
  afterReplay(): void {
    if (this.#stored.size !== this.#dropoffs.length)
      throw new Broken(`K2: ${this.#dropoffs.length} trips, and ${this.#stored.size} are in the stream`);
    const last = this.#dropoffs.at(-1)!;
    for (const shard of this.#kinesis.openShards)
      if (this.#watermarkOf(shard) !== last)
        throw new Broken(`W3, K3: the last watermark did not reach ${shard.id}`);
  }

  /** A shard begins with the watermark of its parents. */
  #watermarkOf({ id, parents }: KinesisShard): number {
    const inherited = parents.map((parent) => this.#watermarkOf(this.#kinesis.shard(parent)));
    const own = this.#lastWatermarks.get(id) ?? Number.NEGATIVE_INFINITY;
    return parents.length === 0 ? own : Math.max(own, Math.min(...inherited));
  }

  /** What was read of all shards, each trip with the watermark that its shard has by then. */
  contents(isRead: (shard: KinesisShard, i: number) => boolean, wasBegun: (id: string) => boolean): Contents {
    const [trips, ends] = [new Map<string, JudgedTrip>(), new Map<string, number>()];
    let dead = 0;
    let isWhole = true;
    // Parents were opened before their children.
    for (const shard of this.#kinesis.shards) {
      const { id, parents } = shard;
      const inherited = parents.map((parent) => (wasBegun(parent) ? ends.get(parent)! : UNKNOWN));
      let watermark = parents.length === 0 ? UNKNOWN : Math.min(...inherited);
      const records = shard.records.filter((_, i) => isRead(shard, i));
      isWhole &&= records.length === shard.records.length;
      for (const [i, event] of records.flatMap((record) => this.#eventsOf(record)).entries()) {
        if (!event) dead++;
        else if (event.type === 'watermark') watermark = Math.max(watermark, Date.parse(event.watermark!));
        else {
          const { replay, trip_id } = event;
          const key = replay === undefined ? `${id} ${i}` : `${replay} ${trip_id}`;
          const least = Math.min(watermark, trips.get(key)?.watermark ?? Number.POSITIVE_INFINITY);
          trips.set(key, { trip: trips.get(key)?.trip ?? event, watermark: least });
        }
      }
      ends.set(id, watermark);
    }
    return { trips: [...trips.values()], dead, isWhole };
  }

  /**
   * W2, W4, C1: a committed watermark never goes back, and is before every trip that the positions committed with it leave unread. A trip
   * of which a copy was read may be behind it.
   */
  committed(state: object, { watermark, shards, counters }: Checkpoint, isAlone: boolean): void {
    if (watermark < (this.#committed.get(state) ?? watermark))
      this.#broken('W2: a committed watermark goes back');
    this.#committed.set(state, watermark);
    this.counters(counters);
    // Another producer may write trips that are late.
    if (!isAlone) return;
    const inState = new Map(shards.map((shard) => [shard.id, shard]));
    const read = new Set<number>();
    const unread: Trip[] = [];
    for (const shard of this.#kinesis.shards) {
      const { position, ended = false } = inState.get(shard.id) ?? {};
      const { records, trimmed } = shard;
      const from = ended ? records.length : position ? placeOf(shard, position) : 0;
      for (const [i, record] of records.entries())
        for (const event of this.#eventsOf(record)) {
          if (event?.type !== 'trip') continue;
          if (i < from) read.add(event.trip_id!);
          else if (i >= trimmed) unread.push(event);
        }
    }
    for (const { trip_id, dropoff_datetime } of unread)
      if (Date.parse(dropoff_datetime) <= watermark && !read.has(trip_id!))
        this.#broken(
          `W4, C1: the watermark is ahead of trip ${trip_id} of ${dropoff_datetime}, which is not read`,
        );
  }

  #eventsOf(record: KinesisRecord): readonly (Event | undefined)[] {
    let events = this.#events.get(record);
    if (!events) {
      events = eventsIn(record.data);
      this.#events.set(record, events);
    }
    return events;
  }

  counters({ read, watermarks, processed, filtered, duplicate, late, dead }: Counters): void {
    if (read !== watermarks + processed + filtered + duplicate + late + dead)
      this.#broken('C7: a record has no outcome, or two');
  }

  /**
   * C2: a checkpoint writes panes that records have changed since the last one, in so many windows of so many views, and no
   * others.
   */
  wrote(state: object, { counters, watermark }: Checkpoint, blocks: number): void {
    const before = this.#wrote.get(state);
    this.#wrote.set(state, { read: counters.read, watermark });
    const records = counters.read - (before?.read ?? 0);
    // A run that closes its windows at the end moves the watermark without a record, and windows that may be corrected stay.
    const moves = records + (watermark === before?.watermark ? 0 : 1);
    if (blocks > moves * MOST_BLOCKS)
      this.#broken(`C2: a checkpoint after ${records} records writes ${blocks} blocks of panes`);
  }

  /** A process that has ended leaves nothing open. */
  ended(process: Process): void {
    const left = [
      ...[...process.opened.keys()].map((one) => ('path' in one ? one.path : one.constructor.name)),
      ...[...process.timers].map(({ ms, from }) => `a timer of ${ms} ms ${from}`),
    ];
    if (left.length > 0) this.#broken(`${process.name} ends and leaves ${left.join(', ')}`);
  }
}

/** The events in a record, which may be an aggregated one; undefined for what is none. */
function eventsIn(data: string): (Event | undefined)[] {
  const bytes = Buffer.from(data, 'base64');
  const pieces = piecesOf(bytes, 0, bytes.length) ?? [0, bytes.length];
  const events: (Event | undefined)[] = [];
  for (let i = 0; i < pieces.length; i += 2)
    events.push(eventOf(bytes.toString('utf8', pieces[i], pieces[i + 1])));
  return events;
}

function eventOf(text: string): Event | undefined {
  try {
    const event = JSON.parse(text) as Event;
    if (event.type === 'trip') return event.dropoff_datetime === undefined ? undefined : event;
    return event.type === 'watermark' && !Number.isNaN(Date.parse(event.watermark!)) ? event : undefined;
  } catch {
    return undefined;
  }
}
