/** The invariants, each checked where it can be seen; what does not hold names itself. */
import type { Counters } from '../../src/engine/state-store.ts';
import type { Trip } from '../../src/events/trip.ts';
import { piecesOf } from '../../src/streams/kinesis/aggregation.ts';
import type { KinesisModel, KinesisShard } from './kinesis-model.ts';
import { Broken, type Process, type World } from './world.ts';

interface Event {
  readonly type: 'trip' | 'watermark';
  readonly trip_id?: number;
  readonly dropoff_datetime?: string;
  readonly watermark?: string;
  readonly shard?: string;
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
      if (event.type !== 'watermark' || !of?.alive) continue;
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
      if (event.type === 'trip') this.#stored.add(event.trip_id!);
      else {
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

  counters({ read, watermarks, processed, filtered, duplicate, late, dead }: Counters): void {
    if (read !== watermarks + processed + filtered + duplicate + late + dead)
      this.#broken('C7: a record has no outcome, or two');
  }

  /** A process that has ended leaves nothing open. */
  ended(process: Process): void {
    const left = [
      ...[...process.opened.keys()].map((one) => one.constructor.name),
      ...[...process.timers].map(({ ms, from }) => `a timer of ${ms} ms ${from}`),
    ];
    if (left.length > 0) this.#broken(`${process.name} ends and leaves ${left.join(', ')}`);
  }
}

/** The events in a record, which may be an aggregated one. */
function eventsIn(data: string): Event[] {
  const bytes = Buffer.from(data, 'base64');
  const pieces = piecesOf(bytes, 0, bytes.length) ?? [0, bytes.length];
  const events: Event[] = [];
  for (let i = 0; i < pieces.length; i += 2)
    events.push(JSON.parse(bytes.toString('utf8', pieces[i], pieces[i + 1])) as Event);
  return events;
}
