/** Time zones of the IANA database, as Node.js has them: offsets from UTC, instants of local times, starts of local days. */

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
/** No zone keeps two changes of its offset closer together. */
const PROBE_MS = 7 * DAY_MS;
/** Spans of constant offset that are remembered. */
const MOST_SPANS = 64;

/** Before zones were made, each place had its own time for ever. */
const EARLIEST = Date.UTC(1800, 0, 1);
/** Dates reach so far from 1970, ms; local times a little less. */
const LATEST = 8.64e15 - DAY_MS;

/** A time span with one offset: from ≤ time < to, epoch ms. */
interface Span {
  readonly from: number;
  readonly to: number;
  /** Ms to add to UTC. */
  readonly offset: number;
}

const NOWHERE: Span = { from: Number.POSITIVE_INFINITY, to: Number.NEGATIVE_INFINITY, offset: 0 };

/** What a local time means where clocks were changed: the same twice, or never. */
export type LocalTime = 'once' | 'twice' | 'never';

export class TimeZone {
  readonly name: string;
  readonly #format: Intl.DateTimeFormat;
  #last = NOWHERE;
  #spans: Span[] = [];

  /** Throws `RangeError` for a name that is none. */
  constructor(name: string) {
    this.name = name;
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      calendar: 'iso8601',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  }

  /** Ms to add to UTC at an instant (epoch ms) for local time. */
  offsetAt(instant: number): number {
    const last = this.#last;
    if (instant >= last.from && instant < last.to) return last.offset;
    if (Number.isNaN(instant)) return Number.NaN;
    return this.#spanOf(instant).offset;
  }

  #spanOf(instant: number): Span {
    let span = this.#spans.find(({ from, to }) => instant >= from && instant < to);
    if (!span) {
      const offset = this.#ask(instant);
      span = { from: this.#edge(instant, -1, offset), to: this.#edge(instant, 1, offset), offset };
      this.#spans = [span, ...this.#spans].slice(0, MOST_SPANS);
    }
    this.#last = span;
    return span;
  }

  /** Where the offset of an instant ends in a direction, or how far it was looked. */
  #edge(instant: number, direction: 1 | -1, offset: number): number {
    let same = instant;
    let other = instant;
    for (let looks = 0; looks < 30; looks++) {
      other = same + direction * PROBE_MS;
      if (this.#ask(other) !== offset) break;
      same = other;
    }
    if (same === other) return same;
    while (Math.abs(other - same) > 1) {
      const middle = Math.floor((same + other) / 2);
      if (this.#ask(middle) === offset) same = middle;
      else other = middle;
    }
    return direction > 0 ? other : same;
  }

  #ask(instant: number): number {
    const part: Record<string, string> = {};
    const shown = Math.max(EARLIEST, Math.min(LATEST, instant));
    for (const { type, value } of this.#format.formatToParts(shown)) part[type] = value;
    const date = new Date(0);
    date.setUTCFullYear(Number(part['year']), Number(part['month']) - 1, Number(part['day']));
    const time = (Number(part['hour']) * 60 + Number(part['minute'])) * 60 + Number(part['second']);
    return date.getTime() + time * 1_000 - Math.floor(shown / 1_000) * 1_000;
  }

  /** Local time as if it were UTC, epoch ms. */
  localOf(instant: number): number {
    return instant + this.offsetAt(instant);
  }

  /**
   * The instant of a local time (epoch ms as if it were UTC). Where it comes twice, the first unless the second is asked for; where it is
   * left out, the time that a clock which was not put forward would show it at.
   */
  instantOf(local: number, which: 'first' | 'second' = 'first'): number {
    const [before, after] = this.#offsetsAround(local);
    if (which === 'second' && this.offsetAt(local - after) === after) return local - after;
    const early = local - before;
    // Where clocks were put forward, the offset of before makes an instant after the change.
    if (before === after || this.offsetAt(early) === before) return early;
    const late = local - after;
    return this.offsetAt(late) === after ? late : early;
  }

  /** Whether a local time (epoch ms as if it were UTC) comes once, twice or never. */
  occurrences(local: number): LocalTime {
    const [before, after] = this.#offsetsAround(local);
    if (before === after) return 'once';
    const isEarly = this.offsetAt(local - before) === before;
    const isLate = this.offsetAt(local - after) === after;
    if (isEarly && isLate) return 'twice';
    return isEarly || isLate ? 'once' : 'never';
  }

  /** The offsets a day before and after a local time. */
  #offsetsAround(local: number): readonly [number, number] {
    const { from, to, offset } = this.#last;
    if (local - DAY_MS >= from && local + DAY_MS < to) return [offset, offset];
    return [this.offsetAt(local - DAY_MS), this.offsetAt(local + DAY_MS)];
  }

  /** The first instant of a local day, counted from 1970-01-01. */
  startOfDay(day: number): number {
    const local = day * DAY_MS;
    const [before, after] = this.#offsetsAround(local);
    const early = local - Math.max(before, after);
    if (before === after) return early;
    // The first instant whose local day is this one or a later one.
    let [low, high] = [early - DAY_MS / 2, local - Math.min(before, after) + MINUTE_MS];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.dayOf(middle) >= day) high = middle;
      else low = middle;
    }
    return high;
  }

  /**
   * The day whose span holds an instant, counted from 1970-01-01: from its first instant to that of the next day. It differs from
   * `dayOf` only where clocks were put back across midnight.
   */
  dayAt(instant: number): number {
    let day = this.dayOf(instant);
    while (instant >= this.startOfDay(day + 1)) day++;
    while (instant < this.startOfDay(day)) day--;
    return day;
  }

  /** The local day of an instant, counted from 1970-01-01. */
  dayOf(instant: number): number {
    return Math.floor(this.localOf(instant) / DAY_MS);
  }
}

const known = new Map<string, TimeZone>();

/** The time zone of a name; undefined if there is none. */
export function timeZoneOf(name: string): TimeZone | undefined {
  let zone = known.get(name);
  if (zone) return zone;
  try {
    zone = new TimeZone(name);
  } catch {
    return undefined;
  }
  known.set(name, zone);
  return zone;
}
