/**
 * Event time per shard, and the watermark of the stream.
 *
 *  W4 the watermark is the minimum over the shards being read. A child starts from its parents' watermark once they are
 *     drained; until then, they hold the minimum in its place.
 *  W5 without watermark records, an idle shard (read to its tip, nothing left) has reached the event time that the others
 *     had when it was asked; records that arrived later are judged on their own.
 */
import type { Position } from '../streams/ports.ts';

export interface ShardProgress {
  readonly id: string;
  /** Where reading continues. */
  position: Position;
  /** Epoch ms; −Infinity if unknown. */
  watermark: number;
  /** Latest event time read, epoch ms; shows which shard is behind (W6). */
  latest: number;
  /** Unread records that expire are a gap (C5), because this shard or an ancestor was read before. */
  owed: boolean;
  /** Closed, and read to its end. */
  ended: boolean;
  /** Read to its tip, with nothing left. Not part of a checkpoint. */
  idle: boolean;
}

const UNKNOWN = Number.NEGATIVE_INFINITY;

export class ShardWatermarks {
  readonly #shards = new Map<string, ShardProgress>();
  /** Whether the watermark comes from the trips, so that an idle shard brings none. */
  readonly ofTrips: boolean;
  #value = UNKNOWN;
  /** Drained shards with a child that isn't listed yet or still waits for its other parent. */
  standIns: ReadonlySet<string> = new Set();
  /** A waiting shard has no stand-in, because a parent of it was gone before this state knew it. */
  blocked = false;

  constructor(ofTrips: boolean) {
    this.ofTrips = ofTrips;
  }

  get all(): IterableIterator<ShardProgress> {
    return this.#shards.values();
  }

  get(id: string): ShardProgress | undefined {
    return this.#shards.get(id);
  }

  /** Starts a shard whose known parents are drained. */
  add(id: string, position: Position, parents: readonly string[]): ShardProgress {
    const known = parents.map((parent) => this.#shards.get(parent)).filter((parent) => parent !== undefined);
    const shard: ShardProgress = {
      id,
      position,
      watermark: known.length === parents.length ? least(known.map(({ watermark }) => watermark)) : UNKNOWN,
      latest: least(known.map(({ latest }) => latest)),
      owed: known.some((parent) => parent.owed),
      ended: false,
      idle: false,
    };
    this.#shards.set(id, shard);
    return shard;
  }

  forget(id: string): void {
    this.#shards.delete(id);
  }

  restore(shards: readonly ShardProgress[], watermark: number): void {
    for (const shard of shards) this.#shards.set(shard.id, { ...shard });
    this.#value = watermark;
  }

  /** The watermark of the whole stream, epoch ms; never goes back. */
  get value(): number {
    if (this.blocked) return this.#value;
    const now = this.#leastOf((shard) => !shard.ended);
    if (now > this.#value) this.#value = now;
    return this.#value;
  }

  /** The event time that all shards with records have reached, epoch ms. */
  get reached(): number {
    return this.blocked ? UNKNOWN : this.#leastOf((shard) => !(shard.ended || shard.idle));
  }

  /** Notes that a shard had no records left when it was asked, while the others had `reached` this time (W5). */
  foundIdle(shard: ShardProgress, reached: number): void {
    shard.idle = true;
    if (this.ofTrips) shard.watermark = Math.max(shard.watermark, reached);
  }

  #leastOf(holds: (shard: ShardProgress) => boolean): number {
    let least = Number.POSITIVE_INFINITY;
    let greatest = UNKNOWN;
    let held = false;
    for (const shard of this.#shards.values()) {
      greatest = Math.max(greatest, shard.watermark);
      if (!this.standIns.has(shard.id) && !holds(shard)) continue;
      held = true;
      least = Math.min(least, shard.watermark);
    }
    return held ? least : greatest;
  }

  /** Latest event time read in any shard, epoch ms; −Infinity before the first. */
  get newest(): number {
    let newest = UNKNOWN;
    for (const { latest } of this.#shards.values()) newest = Math.max(newest, latest);
    return newest;
  }

  /** The shards that keep the watermark unknown, because none has arrived in them. */
  get withoutWatermark(): string[] {
    const unknown = [...this.#shards.values()].filter(({ watermark }) => watermark === UNKNOWN);
    const holding = unknown.filter(({ id, ended }) => this.standIns.has(id) || !ended);
    if (holding.length > 0) return holding.map(({ id }) => id);
    return this.#value === UNKNOWN ? unknown.map(({ id }) => id) : [];
  }

  /** The shard that holds the watermark back; undefined if all have reached the same time. */
  get slowest(): ShardProgress | undefined {
    let slowest: ShardProgress | undefined;
    let furthest = UNKNOWN;
    for (const shard of this.#shards.values()) {
      if (shard.ended) continue;
      if (!slowest || shard.watermark < slowest.watermark) slowest = shard;
      furthest = Math.max(furthest, shard.watermark);
    }
    return slowest && slowest.watermark < furthest ? slowest : undefined;
  }
}

function least(times: readonly number[]): number {
  return times.length > 0 ? times.reduce((least, time) => Math.min(least, time)) : UNKNOWN;
}
