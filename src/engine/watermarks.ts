/**
 * Where event time stands, by shard.
 *
 *  W4 the watermark is the minimum over the shards that are being read; a child starts from its parents'
 *     watermark once they are drained, and until then they stand for it.
 *  W5 without watermark records, a shard that is idle (read to its end, nothing behind) is as far as the others were
 *     when it was asked; what has come since is another matter.
 */
import type { Position } from '../streams/stream.ts';

export interface ShardProgress {
  readonly id: string;
  /** Where to go on reading. */
  position: Position;
  /** Epoch ms; −Infinity when nothing is known yet. */
  watermark: number;
  /** Latest event time read; tells which shard is behind (W6). */
  latest: number;
  /** What it loses before it is read is a gap (C5): something was read of it, or of a shard it came from. */
  owed: boolean;
  /** Closed, and read to its end. */
  ended: boolean;
  /** Read to its end for now. Not part of a checkpoint. */
  idle: boolean;
}

const UNKNOWN = Number.NEGATIVE_INFINITY;

export class ShardWatermarks {
  readonly #shards = new Map<string, ShardProgress>();
  /** Whether the trips make the watermark, so that an idle shard brings none. */
  readonly ofTrips: boolean;
  #value = UNKNOWN;
  /** Drained shards whose child isn't listed yet, or still waits for its other parent. */
  standIns: ReadonlySet<string> = new Set();
  /** A shard waits for its turn that nobody can stand for, as one of its parents was gone before it was known. */
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

  /** Starts to read a shard whose parents, where they are known here, are drained. */
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

  /** The watermark of the whole stream; never goes back. */
  get value(): number {
    if (this.blocked) return this.#value;
    const now = this.#leastOf((shard) => !shard.ended);
    if (now > this.#value) this.#value = now;
    return this.#value;
  }

  /** How far the shards are that are not idle. */
  get reached(): number {
    return this.blocked ? UNKNOWN : this.#leastOf((shard) => !(shard.ended || shard.idle));
  }

  /** Nothing was in a shard, nor behind, when it was asked and the others had `reached` so far (W5). */
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

  /** The shards that hold the watermark back at nothing, as none has come in them. */
  get withoutWatermark(): string[] {
    const unknown = [...this.#shards.values()].filter(({ watermark }) => watermark === UNKNOWN);
    const holding = unknown.filter(({ id, ended }) => this.standIns.has(id) || !ended);
    if (holding.length > 0) return holding.map(({ id }) => id);
    return this.#value === UNKNOWN ? unknown.map(({ id }) => id) : [];
  }

  /** The shard that holds the watermark back; undefined when all are as far. */
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
