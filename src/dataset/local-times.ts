/**
 * Turns local times of trips into instants. A time that comes twice, when clocks are put back, is the one that makes the trip
 * shorter, and else the first; one that never comes, when they are put forward, is what a clock that was not put forward would show.
 */
import type { LocalTime, TimeZone } from '../events/time-zones.ts';

export class LocalTimes {
  /** The instants of the last trip, epoch ms. */
  pickup = Number.NaN;
  dropoff = Number.NaN;
  /** Times of trips that came twice, and that never came. */
  twice = 0;
  never = 0;
  readonly #zone: TimeZone;

  constructor(zone: TimeZone) {
    this.#zone = zone;
  }

  /** Takes the times of a trip, epoch ms as if local time were UTC; false if the trip ends before it begins. */
  take(pickup: number, dropoff: number): boolean {
    const [from, to] = [this.#zone.occurrences(pickup), this.#zone.occurrences(dropoff)];
    this.pickup = this.#zone.instantOf(pickup);
    this.dropoff = this.#zone.instantOf(dropoff);
    if (from === 'twice' && to !== 'twice') this.pickup = this.#latest(pickup, this.dropoff);
    if (to === 'twice' && this.dropoff < this.pickup) this.dropoff = this.#zone.instantOf(dropoff, 'second');
    if (!(this.dropoff >= this.pickup)) return false;
    this.#count(from);
    this.#count(to);
    return true;
  }

  /** The instant of a single local time of a trip, epoch ms. */
  takeOne(local: number): number {
    this.#count(this.#zone.occurrences(local));
    return this.#zone.instantOf(local);
  }

  #count(occurrences: LocalTime): void {
    if (occurrences === 'twice') this.twice++;
    if (occurrences === 'never') this.never++;
  }

  /** The second occurrence of a local time, if it is not after another instant; else the first. */
  #latest(local: number, atMost: number): number {
    const second = this.#zone.instantOf(local, 'second');
    return second <= atMost ? second : this.#zone.instantOf(local);
  }
}

const ZONE = /(?:\d|\s|M)(?:Z|UTC|[+-]\d\d(?::?\d\d)?)\s*$/i;

/** Whether a time says its own zone. */
export function hasZone(text: string): boolean {
  return ZONE.test(text);
}
