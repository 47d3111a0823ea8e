/** Formats numbers and times. Times of trips have no zone and are shown as they are, as UTC, unless a view has a zone. */

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat('en-US', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const hundredth = new Intl.NumberFormat('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const day = new Intl.DateTimeFormat('en-GB', {
  timeZone: 'UTC',
  weekday: 'long',
  day: 'numeric',
  month: 'long',
  year: 'numeric',
});
const moment = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  timeZoneName: 'short',
});
const shortDay = new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', day: 'numeric', month: 'short' });

/** The zone that times are shown in; undefined for times as they stand in the files. */
let zone:
  | { readonly name: string; readonly parts: Intl.DateTimeFormat; readonly offsets: Map<number, number> }
  | undefined;
const HOUR = 3_600_000;

/** Shows times in a time zone from now on, or as they stand in the files. */
export function useZone(name: string | undefined): void {
  if (name === zone?.name) return;
  zone = name === undefined ? undefined : { name, parts: partsIn(name), offsets: new Map() };
}

/** The zone in words. */
export function zoneWords(): string {
  return zone === undefined ? 'time as in the files' : `${zone.name} time`;
}

function partsIn(timeZone: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat('en-GB', { timeZone, dateStyle: 'short', timeStyle: 'medium' });
}

/** The time of the clock in the zone, as if it were UTC. */
export function localMs(ms: number): number {
  if (!zone) return ms;
  const hour = Math.floor(ms / HOUR);
  const known = zone.offsets.get(hour);
  if (known !== undefined) return ms + known;
  const [, day, month, year, clock] =
    /^(\d+)\/(\d+)\/(\d+), (.*)$/.exec(zone.parts.format(hour * HOUR)) ?? [];
  const offset = Date.parse(`${year}-${month}-${day}T${clock}Z`) - hour * HOUR;
  zone.offsets.set(hour, offset);
  return ms + offset;
}

export function count(value: number): string {
  return whole.format(value);
}

/** A fraction, with two digits if it is below 1. */
export function decimal(value: number): string {
  return (Math.abs(value) < 1 ? hundredth : tenth).format(value);
}

/** A rate, with a decimal if it is below 10. */
export function rate(value: number): string {
  return value > 0 && value < 10 ? tenth.format(value) : whole.format(value);
}

function isoOf(ms: number): string {
  return new Date(localMs(ms)).toISOString();
}

export function dayOf(ms: number): string {
  return day.format(localMs(ms));
}

export function shortDayOf(ms: number): string {
  return shortDay.format(localMs(ms));
}

/** `18:40`, with seconds unless they are zero. */
export function timeOf(ms: number): string {
  const text = isoOf(ms);
  return text.slice(17, 19) === '00' ? text.slice(11, 16) : text.slice(11, 19);
}

export function clockOf(ms: number): string {
  return isoOf(ms).slice(11, 19);
}

/** `2016-01-14 18:40`. */
export function stamp(ms: number): string {
  return `${isoOf(ms).slice(0, 10)} ${timeOf(ms)}`;
}

/** A moment by the clock on the wall: `27 Nov 2026, 20:15 UTC`. */
export function instant(ms: number): string {
  return moment.format(ms);
}

const DAY = 86_400_000;

/** From when to when, as on a clock; whole days by their dates. `day` is the time of a day that need not be named. */
export function spanWords(start: number, end: number, day = start): string {
  const [from, to] = [localMs(start), localMs(end)];
  const isOther = Math.floor(from / DAY) !== Math.floor(localMs(day) / DAY);
  if (from % DAY === 0 && to % DAY === 0) {
    const last = shortDayOf(end - 1);
    if (to - from > DAY) return `${shortDayOf(start)} – ${last}`;
    return isOther ? last : 'all day';
  }
  const begins = isOther ? `${shortDayOf(start)} ${timeOf(start)}` : timeOf(start);
  const isLong = to - from > DAY;
  return `${begins} – ${isLong ? `${shortDayOf(end)} ` : ''}${timeOf(end)}`;
}

/** A duration (ms) in its largest unit; hours with minutes. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  const days = Math.floor(seconds / 86_400);
  return `${count(days)} day${days === 1 ? '' : 's'}`;
}

export function bytes(value: number): string {
  if (value < 1_000) return `${value} B`;
  if (value < 1_000_000) return `${decimal(value / 1_000)} kB`;
  return value < 1_000_000_000 ? `${decimal(value / 1_000_000)} MB` : `${decimal(value / 1_000_000_000)} GB`;
}
