/** The demand for taxis by hour of the week. All times are seconds since 1970 in local time. */
import type { Random } from './random.ts';

const HOUR = 3600;
const SLICE = 600;
/** 1970-01-01 was a Thursday; weeks here begin on Sunday. */
const EPOCH_HOUR_OF_WEEK = 4 * 24;

// Trips per hour, in thousands, by hour of day: the shape of the TLC's counts of 2015.
// biome-ignore format: twelve hours a line
const WORKDAY = [
  11, 7, 4.5, 3.2, 3, 4.5, 11, 18, 22.5, 22, 20.5, 20.5,
  21.5, 21, 21.5, 20, 17.5, 21, 26, 27, 25, 24, 22, 18,
];
// biome-ignore format: twelve hours a line
const FRIDAY = [
  13, 9, 6, 4, 3.2, 4.5, 10.5, 17, 21.5, 21, 20, 20,
  21, 21, 21.5, 20, 18, 22, 27, 28, 26, 26, 27, 26,
];
// biome-ignore format: twelve hours a line
const SATURDAY = [
  24, 20, 15.5, 11, 7, 3.5, 4.5, 6.5, 11, 15, 19, 21.5,
  23, 23, 23, 23, 21, 23, 26.5, 26, 23, 23, 25.5, 26,
];
// biome-ignore format: twelve hours a line
const SUNDAY = [
  25, 22, 17.5, 13, 8.5, 4, 3.5, 5, 8.5, 13, 18, 20.5,
  22, 22, 21.5, 21, 19, 20, 20.5, 18.5, 17, 15.5, 13.5, 10,
];
const WEEK = new Float64Array([
  ...SUNDAY,
  ...WORKDAY,
  ...WORKDAY,
  ...WORKDAY,
  ...WORKDAY,
  ...FRIDAY,
  ...SATURDAY,
]);

/** 0 is Sunday 00:00–00:59, 167 Saturday 23:00–23:59. */
export function hourOfWeek(time: number): number {
  return (Math.floor(time / HOUR) + EPOCH_HOUR_OF_WEEK) % 168;
}

/** Pick-ups per hour at `time`, in thousands; interpolated linearly between hours. */
export function pickupRate(time: number): number {
  const hour = hourOfWeek(time);
  const part = (time % HOUR) / HOUR;
  return WEEK[hour]! * (1 - part) + WEEK[(hour + 1) % 168]! * part;
}

export interface PickupSpan {
  /** Whole seconds since 1970. */
  readonly from: number;
  readonly hours: number;
  readonly trips: number;
}

/** Pick-up times of exactly `trips` trips in [from, from + hours), ascending, distributed by `pickupRate`. */
export class PickupTimes {
  private readonly span: PickupSpan;
  private readonly random: Random;
  private readonly seconds: number;
  private readonly total: number;
  private slice = 0;
  private sliceWeight: number;
  private before = 0;
  private made = 0;

  constructor(span: PickupSpan, random: Random) {
    this.span = span;
    this.random = random;
    this.seconds = span.hours * HOUR;
    let total = 0;
    for (let slice = 0; slice * SLICE < this.seconds; slice++) total += this.weight(slice);
    this.total = total;
    this.sliceWeight = this.weight(0);
  }

  /** The next pick-up; call it `trips` times. */
  next(): number {
    const target = ((this.made++ + this.random.next()) / this.span.trips) * this.total;
    while (target >= this.before + this.sliceWeight && (this.slice + 1) * SLICE < this.seconds) {
      this.before += this.sliceWeight;
      this.sliceWeight = this.weight(++this.slice);
    }
    const inside = ((target - this.before) / this.sliceWeight) * this.length(this.slice);
    const offset = Math.floor(this.slice * SLICE + inside);
    // Rounding may carry the last trip onto the end of the span, which isn't part of it.
    return this.span.from + Math.min(offset, Math.ceil(this.seconds) - 1);
  }

  private length(slice: number): number {
    return Math.min(SLICE, this.seconds - slice * SLICE);
  }

  private weight(slice: number): number {
    const length = this.length(slice);
    return pickupRate(this.span.from + slice * SLICE + length / 2) * length;
  }
}
