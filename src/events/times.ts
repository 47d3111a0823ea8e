/**
 * Parses times, by one rule for CSV cells, Parquet texts, records and options (docs/input.md, "Times").
 * A time has a date and a time of day. Without a zone it is read as UTC.
 */

/** How to read `3/4/2016`. `mixed`: month first, unless only day first gives a valid date. */
export type DateOrder = 'mdy' | 'dmy' | 'mixed';

const starts = new Map<string, number>();

/** Start of a day `YYYY-MM-DD` in epoch ms; NaN if there is no such day. */
export function dayStart(day: string): number {
  let start = starts.get(day);
  if (start === undefined) {
    start = Date.parse(`${day}T00:00:00.000Z`);
    // Date.parse reads 31 February as 3 March.
    if (!Number.isNaN(start) && !new Date(start).toISOString().startsWith(day)) start = Number.NaN;
    if (starts.size > 10_000) starts.clear();
    starts.set(day, start);
  }
  return start;
}

function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at) - 48;
  const ones = text.charCodeAt(at + 1) - 48;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN;
}

/** Whether a valid time has the form `YYYY-MM-DD HH:MM:SS`, with a space or a `T` in the middle. */
export function isPlainTime(text: string): boolean {
  return text.length === 19 && beginsPlain(text) && isDigit(text, 9) && isDigit(text, 11);
}

function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at) - 48;
  return code >= 0 && code <= 9;
}

/** Whether `text` has the separators of `YYYY-MM-DD HH:MM:SS`. */
function beginsPlain(text: string): boolean {
  if (text.charCodeAt(4) !== 45) return false;
  const separator = text.charCodeAt(10);
  return (separator === 32 || separator === 84) && text.charCodeAt(13) === 58 && text.charCodeAt(16) === 58;
}

const FRACTION = /^\.\d+Z?$|^Z$/;

const YEAR_FIRST = String.raw`(?<year>\d{4})(?<mark>[-/])(?<month>\d{1,2})\k<mark>(?<day>\d{1,2})`;
const YEAR_LAST = String.raw`(?<first>\d{1,2})/(?<second>\d{1,2})/(?<lastYear>\d{4}|\d\d)`;
const CLOCK = String.raw`(?<hour>\d{1,2}):(?<minute>\d\d)(?::(?<seconds>\d\d)(?:\.(?<fraction>\d+))?)?`;
const ZONE = String.raw`(?<utc>Z|UTC)|(?<sign>[+-])(?<zoneHour>\d\d)(?::?(?<zoneMinute>\d\d))?`;
const TIME = new RegExp(
  `^(?:${YEAR_FIRST}|${YEAR_LAST})(?:,? +|T)${CLOCK}(?: *(?<half>[AP])M)?(?: *(?:${ZONE}))?$`,
  'i',
);
/** As in Excel, two-digit years below this belong to this century. */
const THIS_CENTURY_BELOW = 30;
/** First and last time in the years that ISO 8601 writes with four digits, epoch ms. */
export const FIRST_TIME = Date.parse('0000-01-01T00:00:00.000Z');
export const LAST_TIME = Date.parse('9999-12-31T23:59:59.999Z');

/** `ms` (epoch ms) unchanged, or NaN if ISO 8601 would need more than four digits for its year. */
export function inFourDigitYears(ms: number): number {
  return ms >= FIRST_TIME && ms < LAST_TIME + 1 ? ms : Number.NaN;
}

/** Epoch ms of a time in any supported form; NaN if it isn't one. */
export function parseTime(raw: string, order: DateOrder = 'mdy'): number {
  const text = raw.trim();
  if (beginsPlain(text)) {
    const rest = text.slice(19);
    if (rest === '' || FRACTION.test(rest)) {
      const clock = clockTime(twoDigits(text, 11), twoDigits(text, 14), twoDigits(text, 17));
      const time = dayStart(text.slice(0, 10)) + clock;
      if (!Number.isNaN(time)) return rest.startsWith('.') ? time + milliseconds(rest.slice(1)) : time;
    }
  }
  const parts = TIME.exec(text)?.groups;
  if (!parts) return Number.NaN;
  const { year, month, day, first, second, lastYear, half, fraction = '', sign } = parts;
  const start =
    year === undefined
      ? yearLast(Number(lastYear), lastYear!.length, Number(first), Number(second), order)
      : dayOf(Number(year), Number(month), Number(day));
  const clock = clockTime(
    hourOf(Number(parts['hour']), half),
    Number(parts['minute']),
    Number(parts['seconds'] ?? 0),
  );
  const [zoneHour, zoneMinute] = [Number(parts['zoneHour'] ?? 0), Number(parts['zoneMinute'] ?? 0)];
  // ISO 8601 and PostgreSQL have no zones beyond these.
  if (zoneHour > 15 || zoneMinute > 59) return Number.NaN;
  const ahead = (zoneHour * 60 + zoneMinute) * 60_000;
  return inFourDigitYears(start + clock + milliseconds(fraction) - (sign === '-' ? -ahead : ahead));
}

/** A fraction of a second in ms, truncated. */
function milliseconds(digits: string): number {
  return Number(digits.replace(/\D.*/, '').slice(0, 3).padEnd(3, '0'));
}

function hourOf(hour: number, half: string | undefined): number {
  if (!half) return hour;
  if (hour < 1 || hour > 12) return Number.NaN;
  return (hour % 12) + (half.toUpperCase() === 'P' ? 12 : 0);
}

function yearLast(year: number, digits: number, first: number, second: number, order: DateOrder): number {
  const full = digits === 4 ? year : year + (year < THIS_CENTURY_BELOW ? 2000 : 1900);
  if (order === 'dmy') return dayOf(full, second, first);
  const monthFirst = dayOf(full, first, second);
  return order === 'mixed' && Number.isNaN(monthFirst) ? dayOf(full, second, first) : monthFirst;
}

function dayOf(year: number, month: number, day: number): number {
  return dayStart(
    `${String(year).padStart(4, '0')}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`,
  );
}

function clockTime(hour: number, minute: number, second: number): number {
  if (!(hour < 24 && minute < 60 && second < 60)) return Number.NaN;
  return ((hour * 60 + minute) * 60 + second) * 1000;
}

const SLASHED = /^\s*(\d{1,2})\/(\d{1,2})\/(?:\d{4}|\d\d)\b/;

/** The order of day and month that a time shows: `either` if both are possible, undefined if it has no such date. */
export function dateOrderOf(text: string): 'mdy' | 'dmy' | 'either' | undefined {
  // Cheap exit: a date with a dash here begins with its year.
  if (text.charCodeAt(4) === 45) return undefined;
  const match = SLASHED.exec(text);
  if (!match) return undefined;
  const [first, second] = [Number(match[1]), Number(match[2])];
  if (first > 31 || second > 31 || (first > 12 && second > 12)) return undefined;
  if (first > 12) return 'dmy';
  return second > 12 ? 'mdy' : 'either';
}

const DAY_MS = 86_400_000;
const twoFigures = Array.from({ length: 60 }, (_, i) => String(i).padStart(2, '0'));
const dayTexts = new Map<number, string>();

/** Same as `toISOString`, several times faster. `ms` is a whole number, epoch ms, in the years 0 to 9999. */
export function formatIso(ms: number): string {
  const day = Math.floor(ms / DAY_MS);
  let text = dayTexts.get(day);
  if (text === undefined) {
    text = new Date(ms).toISOString().slice(0, 11);
    if (dayTexts.size > 10_000) dayTexts.clear();
    dayTexts.set(day, text);
  }
  const rest = ms - day * DAY_MS;
  const seconds = Math.floor(rest / 1000);
  const minutes = Math.floor(seconds / 60);
  const fraction = rest - seconds * 1000;
  return (
    `${text}${twoFigures[Math.floor(minutes / 60)]}:${twoFigures[minutes % 60]}:${twoFigures[seconds % 60]}` +
    (fraction === 0 ? '.000Z' : `.${String(fraction).padStart(3, '0')}Z`)
  );
}
