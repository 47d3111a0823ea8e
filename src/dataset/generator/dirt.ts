/** The faults of real TLC files, one kind per dirty row. */
import { ZONE } from './city.ts';
import type { Random } from './random.ts';
import type { Trip } from './trip.ts';

export type Dirt = (typeof DIRT)[number];

/** Kinds of dirt. A `foreign-time` is a valid trip of another month or year. */
export const DIRT = [
  'no-position',
  'far-position',
  'zero-duration',
  'negative-duration',
  'endless',
  'negative-fare',
  'no-passengers',
  'cut-short',
  'unreadable-time',
  'extra-fields',
  'blank-line',
  'foreign-time',
] as const;

const KIND_SHARES: Readonly<Record<Dirt, number>> = {
  'no-position': 6,
  'far-position': 2,
  'zero-duration': 3,
  'negative-duration': 2,
  endless: 2,
  'negative-fare': 2,
  'no-passengers': 2,
  'cut-short': 1.5,
  'unreadable-time': 2,
  'extra-fields': 1.5,
  'blank-line': 1,
  // Few: one trip of 2088 moves a watermark made from trips to 2088.
  'foreign-time': 0.4,
};
const ALL_SHARES = DIRT.reduce((sum, kind) => sum + KIND_SHARES[kind], 0);

const DAY = 86_400;
/** Days that clocks fall back or jump to: 2001-01-01, 2008-12-31, 2088-01-24. */
const FOREIGN_DAYS = [11_323, 14_244, 43_122];
/** Wrong places: sign lost, decimal point misplaced, the Atlantic, another state. */
const FAR_POSITIONS = [
  [40.7512, 73.9879],
  [4.0751, -7.3987],
  [39.0183, -69.6012],
  [41.6612, -72.7804],
] as const;
const UNREADABLE_TIMES = ['', '0000-00-00 00:00:00', 'unknown', '2015-02-30 25:61:00'] as const;

/** Makes a trip dirty. Faults of the text, such as a row cut short, are left to the layout. */
export function soil(trip: Trip, random: Random): void {
  const kind = drawKind(random);
  trip.dirt = kind;
  trip.dirtDraw = random.next();
  const part = random.next();
  SOIL[kind]?.(trip, part);
}

/** The text in place of a time, for a row of the kind `unreadable-time`. */
export function unreadableTime({ dirtDraw }: Trip): string {
  return UNREADABLE_TIMES[Math.floor(dirtDraw * 2 * UNREADABLE_TIMES.length) % UNREADABLE_TIMES.length]!;
}

function drawKind(random: Random): Dirt {
  let rest = random.next() * ALL_SHARES;
  for (const kind of DIRT) {
    rest -= KIND_SHARES[kind];
    if (rest < 0) return kind;
  }
  return 'blank-line';
}

/** Removes the positions of one or both ends; zones become unknown or missing. */
function losePositions(trip: Trip, part: number): void {
  const zone = trip.dirtDraw < 0.6 ? ZONE.unknown : 0;
  if (part < 0.8) {
    trip.from.lat = 0;
    trip.from.lon = 0;
    trip.fromZone = zone;
  }
  if (part >= 0.2) {
    trip.to.lat = 0;
    trip.to.lon = 0;
    trip.toZone = zone;
  }
}

function goFar(trip: Trip, part: number): void {
  const [lat, lon] = FAR_POSITIONS[Math.floor(part * FAR_POSITIONS.length)]!;
  const end = trip.dirtDraw < 0.5 ? trip.from : trip.to;
  end.lat = lat;
  end.lon = lon;
  if (end === trip.from) trip.fromZone = ZONE.outside;
  else trip.toZone = ZONE.outside;
}

function refund(trip: Trip): void {
  trip.fare = -trip.fare;
  trip.extra = -trip.extra;
  trip.tax = -trip.tax;
  trip.surcharge = -trip.surcharge;
  trip.tolls = 0;
  trip.tip = 0;
  trip.total = trip.fare + trip.extra + trip.tax + trip.surcharge;
}

/** Usually the same day 31 days earlier; otherwise the day of a clock that was never set. */
function foreignDay(trip: Trip, part: number): number {
  if (part < 0.7) return Math.floor(trip.pickup / DAY) - 31;
  return FOREIGN_DAYS[Math.floor(((part - 0.7) / 0.3) * FOREIGN_DAYS.length)]!;
}

function moveToDay(trip: Trip, day: number): void {
  const shift = (day - Math.floor(trip.pickup / DAY)) * DAY;
  trip.pickup += shift;
  trip.dropoff += shift;
}

/** Changes to the trip, by kind of dirt; `part` is uniform in [0, 1). */
const SOIL: Partial<Record<Dirt, (trip: Trip, part: number) => void>> = {
  'no-position': losePositions,
  'far-position': goFar,
  'zero-duration': (trip) => {
    trip.dropoff = trip.pickup;
  },
  'negative-duration': (trip, part) => {
    trip.dropoff = trip.pickup - 1 - Math.floor(part * 3600);
  },
  // 12 to 24 hours: a meter that kept running.
  endless: (trip, part) => {
    trip.dropoff = trip.pickup + DAY / 2 + 1 + Math.floor(part * (DAY / 2));
  },
  'negative-fare': refund,
  'no-passengers': (trip) => {
    trip.passengers = 0;
  },
  'foreign-time': (trip, part) => moveToDay(trip, foreignDay(trip, part)),
};
