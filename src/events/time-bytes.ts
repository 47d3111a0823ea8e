/** Days and times of day read from bytes, for the two hottest loops: rows of files and records of streams. */
import { dayStart } from './times.ts';

const ZERO = 0x30;
const COLON = 0x3a;

let day0 = 0;
let day1 = 0;
let day2 = 0;
let today = Number.NaN;

/** Start of the day `YYYY-MM-DD` at `p`, epoch ms; NaN if there is no such day. The last day is remembered: trips share it. */
export function dayAt(b: Buffer, v: DataView, p: number): number {
  const w0 = v.getInt32(p, true);
  const w1 = v.getInt32(p + 4, true);
  const w2 = v.getInt16(p + 8, true);
  if (w0 !== day0 || w1 !== day1 || w2 !== day2) {
    today = dayStart(b.toString('latin1', p, p + 10));
    day0 = w0;
    day1 = w1;
    day2 = w2;
  }
  return today;
}

/** Ms since midnight of `HH:MM:SS` at `p`; −1 for anything else. */
export function clockAt(b: Buffer, p: number): number {
  const h1 = b[p]! - ZERO;
  const h0 = b[p + 1]! - ZERO;
  const m1 = b[p + 3]! - ZERO;
  const m0 = b[p + 4]! - ZERO;
  const s1 = b[p + 6]! - ZERO;
  const s0 = b[p + 7]! - ZERO;
  const hour = h1 * 10 + h0;
  const range =
    h1 | (9 - h0) | h0 | (23 - hour) | m1 | (5 - m1) | m0 | (9 - m0) | s1 | (5 - s1) | s0 | (9 - s0);
  if (range < 0 || ((b[p + 2]! ^ COLON) | (b[p + 5]! ^ COLON)) !== 0) return -1;
  return (hour * 3600 + (m1 * 10 + m0) * 60 + s1 * 10 + s0) * 1000;
}
