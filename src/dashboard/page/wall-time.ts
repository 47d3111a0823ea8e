/** Times of the clock on the wall, in the browser's zone, which is named where they are shown. Event time is in `format.ts`. */
const options = { hourCycle: 'h23' } as const;
const clock = new Intl.DateTimeFormat('en-GB', {
  ...options,
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
});
const minute = new Intl.DateTimeFormat('en-GB', { ...options, hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const year = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });

/** The browser's zone, as people of this trade name it: `Europe/Berlin`. */
export const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** `14:02:31`. */
export function wallClock(ms: number): string {
  return clock.format(ms);
}

/** `14:02`. */
export function wallMinute(ms: number): string {
  return minute.format(ms);
}

/** `3 Feb`. */
export function wallDay(ms: number): string {
  return day.format(ms);
}

/** `14:02:31`, with the day unless that is the day of `now`. */
export function wallStamp(ms: number, now: number): string {
  return year.format(ms) === year.format(now) ? clock.format(ms) : `${year.format(ms)}, ${clock.format(ms)}`;
}
