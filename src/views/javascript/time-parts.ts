/** Parts of times as compiled views read them: NaN of a missing time. */
import { timeZoneOf } from '../../events/time-zones.ts';
import type { TimePart } from '../language.ts';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

/** Part of a local time as if it were UTC, epoch ms. */
type ReadPart = (local: number) => number;

const within = (local: number, span: number, unit: number) =>
  Math.floor((local - Math.floor(local / span) * span) / unit);

/** Day of the week, 0 for Sunday: 1970-01-01 was a Thursday. */
const weekday = (local: number) => (((Math.floor(local / DAY_MS) + 4) % 7) + 7) % 7;

const startOfYear = (local: number) => {
  const date = new Date(local);
  date.setUTCMonth(0, 1);
  date.setUTCHours(0, 0, 0, 0);
  return date.getTime();
};

const dayOfYear = (local: number) => Math.floor((local - startOfYear(local)) / DAY_MS) + 1;

/** Week of ISO 8601: the one with the year's first Thursday is the first. */
function week(local: number): number {
  const isoDay = weekday(local) || 7;
  const thursday = Math.floor(local / DAY_MS) * DAY_MS + (4 - isoDay) * DAY_MS;
  return Math.floor((dayOfYear(thursday) - 1) / 7) + 1;
}

const PARTS: Readonly<Record<TimePart, ReadPart>> = {
  year: (local) => new Date(local).getUTCFullYear(),
  quarter: (local) => Math.floor(new Date(local).getUTCMonth() / 3) + 1,
  month: (local) => new Date(local).getUTCMonth() + 1,
  week,
  day: (local) => new Date(local).getUTCDate(),
  doy: dayOfYear,
  dow: (local) => weekday(local) + 1,
  isodow: (local) => weekday(local) || 7,
  hour: (local) => within(local, DAY_MS, HOUR_MS),
  minute: (local) => within(local, HOUR_MS, MINUTE_MS),
  second: (local) => within(local, MINUTE_MS, 1_000),
};

/** Reads a part of a time, epoch ms, in a time zone or else in UTC. One function for each, so that a compiled view refers to it once. */
export function timePart(part: TimePart, zoneName?: string): (time: number) => number {
  const name = `${part} ${zoneName ?? ''}`;
  let found = readers.get(name);
  if (!found) {
    const read = PARTS[part];
    const zone = zoneName === undefined ? undefined : timeZoneOf(zoneName)!;
    const local = zone ? (time: number) => read(zone.localOf(time)) : read;
    found = (time) => (Number.isNaN(time) ? time : local(time));
    readers.set(name, found);
  }
  return found;
}

const readers = new Map<string, (time: number) => number>();
