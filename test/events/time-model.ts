/** A naive reader of times, piece by piece: the oracle of the tests. */
export function naiveTime(value: unknown, order: 'mdy' | 'dmy' | 'mixed' = 'mdy'): number {
  if (typeof value !== 'string') return Number.NaN;
  let rest = value.trim();
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    const match = pattern.exec(rest);
    if (match) rest = rest.slice(match[0].length);
    return match ?? undefined;
  };
  const iso = take(/^(\d{4})(?:-(\d{1,2})-(\d{1,2})|\/(\d{1,2})\/(\d{1,2}))(?!\d)/);
  const other = iso ? undefined : take(/^(\d{1,2})\/(\d{1,2})\/(\d{4}|\d\d)(?!\d)/);
  const days: [year: number, month: number, day: number][] = [];
  if (iso) days.push([Number(iso[1]), Number(iso[2] ?? iso[4]), Number(iso[3] ?? iso[5])]);
  if (other) {
    const short = Number(other[3]);
    const year = other[3]!.length === 4 ? short : short < 30 ? 2000 + short : 1900 + short;
    const [a, b] = [Number(other[1]), Number(other[2])];
    if (order !== 'dmy') days.push([year, a, b]);
    if (order !== 'mdy') days.push([year, b, a]);
  }
  const day = days.find(([y, m, d]) => m >= 1 && m <= 12 && d >= 1 && d <= lengthOf(y, m));
  if (!day || !take(/^(?:T|,? +)/i)) return Number.NaN;
  const clock = take(/^(\d{1,2}):(\d\d)/);
  if (!clock) return Number.NaN;
  let hour = Number(clock[1]);
  const seconds = take(/^:(\d\d)/);
  const fraction = seconds && take(/^\.(\d+)/);
  const half = take(/^ *([AP])M/i);
  if (half && (hour < 1 || hour > 12)) return Number.NaN;
  if (half) hour = (hour === 12 ? 0 : hour) + (half[1]!.toUpperCase() === 'P' ? 12 : 0);
  const offset = take(/^ *([+-])(\d\d)(?::?(\d\d))?/);
  if (!offset) take(/^ *(?:Z|UTC)/i);
  const [minute, second] = [Number(clock[2]), Number(seconds?.[1] ?? 0)];
  if (rest !== '' || hour > 23 || minute > 59 || second > 59) return Number.NaN;
  const [zoneHour, zoneMinute] = [Number(offset?.[2] ?? 0), Number(offset?.[3] ?? 0)];
  if (zoneHour > 15 || zoneMinute > 59) return Number.NaN;
  const east = (zoneHour * 60 + zoneMinute) * (offset?.[1] === '-' ? -1 : 1);
  const date = new Date(0);
  date.setUTCFullYear(day[0], day[1] - 1, day[2]);
  date.setUTCHours(hour, minute - east, second, Number((fraction?.[1] ?? '').slice(0, 3).padEnd(3, '0')));
  const year = date.getUTCFullYear();
  return year >= 0 && year <= 9999 ? date.getTime() : Number.NaN;
}

function lengthOf(year: number, month: number): number {
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  return [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]!;
}
