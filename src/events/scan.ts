/** Numbers read from bytes, for the two hottest loops: rows of files and records of streams. */

const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;

const POWERS_OF_TEN = Float64Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));

/** Where the last scan stopped; −1 if it found something unusual. */
export const scan = { stop: 0 };

/** The number of four digits at `p`, −1 if they aren't digits. Combines the bytes in pairs, then the pairs. */
function fourDigits(v: DataView, p: number): number {
  const x = v.getInt32(p, true);
  if ((((x & 0xf0f0f0f0) ^ 0x30303030) | (((x + 0x06060606) & 0xf0f0f0f0) ^ 0x30303030)) !== 0) return -1;
  const pairs = ((x & 0x0f000f00) >>> 8) + Math.imul(x & 0x000f000f, 10);
  return Math.imul(pairs & 0xff, 100) + (pairs >>> 16);
}

/**
 * The number at `start` up to the first byte that can't belong to it, as JSON writes numbers without an exponent; correctly
 * rounded. Up to 15 digits one division is enough, since both operands are exact. Up to
 * 17 the quotient is corrected by its exact remainder. Longer numbers go to `Number`.
 */
export function scanNumber(b: Buffer, v: DataView, start: number): number {
  let p = start;
  const negative = b[p] === MINUS;
  if (negative) p++;
  const first = p;
  let whole = 0;
  let d = b[p]! - ZERO;
  while (d >= 0 && d <= 9) {
    whole = whole * 10 + d;
    d = b[++p]! - ZERO;
  }
  const wholeDigits = p - first;
  if (wholeDigits === 0 || wholeDigits > 15 || (wholeDigits > 1 && b[first] === ZERO)) return unusualNumber();
  if (d !== DOT - ZERO) {
    scan.stop = p;
    return negative ? -whole : whole;
  }
  return scanFraction(b, v, start, p + 1, whole, wholeDigits, negative);
}

function unusualNumber(): number {
  scan.stop = -1;
  return Number.NaN;
}

/** Scans the decimals of a number; its point is at `from` − 1. */
export function scanFraction(
  b: Buffer,
  v: DataView,
  start: number,
  from: number,
  whole: number,
  wholeDigits: number,
  negative: boolean,
): number {
  const last = b.length - 4;
  let p = from;
  let high = whole;
  let low = 0;
  let lowDigits = 0;
  let four = p <= last ? fourDigits(v, p) : -1;
  if (four >= 0) {
    p += 4;
    high = high * 10_000 + four;
    four = p <= last ? fourDigits(v, p) : -1;
    if (four >= 0) {
      p += 4;
      high = high * 10_000 + four;
      four = p <= last ? fourDigits(v, p) : -1;
      if (four >= 0) {
        p += 4;
        low = four;
        lowDigits = 4;
      }
    }
  }
  let d = b[p]! - ZERO;
  while (d >= 0 && d <= 9) {
    if (lowDigits < 9) low = low * 10 + d;
    lowDigits++;
    d = b[++p]! - ZERO;
  }
  const scale = p - from;
  if (scale === 0) return unusualNumber();
  scan.stop = p;
  const digits = wholeDigits + scale;
  // With more digits the products below are not exact.
  if (digits > 17 || scale > 15 || lowDigits > 7 || (digits > 15 && wholeDigits > 4)) {
    return Number(b.toString('latin1', start, p));
  }
  const power = POWERS_OF_TEN[scale]!;
  const shifted = high * POWERS_OF_TEN[lowDigits]!;
  let value = (shifted + low) / power;
  if (digits > 15) value += remainder(value, power, shifted, low) / power;
  return negative ? -value : value;
}

const SPLITTER = 134217729;

/** (shifted + tail) − quotient × divisor, exactly, by Dekker's product with its rounding error. */
function remainder(quotient: number, divisor: number, shifted: number, tail: number): number {
  const product = quotient * divisor;
  const a = SPLITTER * quotient;
  const aHigh = a - (a - quotient);
  const aLow = quotient - aHigh;
  const d = SPLITTER * divisor;
  const dHigh = d - (d - divisor);
  const dLow = divisor - dHigh;
  const error = aLow * dLow - (product - aHigh * dHigh - aLow * dHigh - aHigh * dLow);
  return shifted - product + tail - error;
}
