/** Geohash cells as whole numbers, 5 bits per character, in the order of their strings. Also runs in the page. */

const ALPHABET = '0123456789bcdefghjkmnpqrstuvwxyz';
export const MAX_PRECISION = 10;

/** Spreads the lower 16 bits of `x` over the even bits. */
function spreadBits(x: number): number {
  let s = x & 0xffff;
  s = (s | (s << 8)) & 0x00ff00ff;
  s = (s | (s << 4)) & 0x0f0f0f0f;
  s = (s | (s << 2)) & 0x33333333;
  return (s | (s << 1)) & 0x55555555;
}

/**
 * Index of the part of [low, low + span) that contains a value, of so many equal parts, as repeated bisection finds it.
 * Edges of parts are exact in doubles, so comparing with them corrects the rounded guess.
 */
function part(value: number, low: number, span: number, parts: number): number {
  const width = span / parts;
  let index = Math.floor((value - low) / width);
  if (index >= parts) index = parts - 1;
  if (value < low + index * width) index--;
  else if (index < parts - 1 && value >= low + (index + 1) * width) index++;
  return index;
}

/** The cell of 6 characters, the usual precision: 15 bits per axis. −1 if there are no coordinates. */
export function cell6(lat: number, lon: number): number {
  if (!(lat >= -90 && lat <= 90 && lon >= -180 && lon <= 180)) return -1;
  return (spreadBits(part(lon, -180, 360, 1 << 15)) << 1) | spreadBits(part(lat, -90, 180, 1 << 15));
}

/** The cell of `precision` characters that contains a point in degrees; −1 if there are no coordinates. */
export function cell(lat: number, lon: number, precision: number): number {
  if (precision === 6) return cell6(lat, lon);
  if (!(lat >= -90 && lat <= 90 && lon >= -180 && lon <= 180)) return -1;
  const bits = precision * 5;
  const lonBits = Math.ceil(bits / 2);
  const latBits = bits - lonBits;
  const x = part(lon, -180, 360, 1 << lonBits);
  const y = part(lat, -90, 180, 1 << latBits);
  // The first bit is one of longitude, so of an odd number of bits the last one is too.
  return lonBits > latBits ? interleaved(y, x) : interleaved(x, y);
}

/** The bits of two numbers of at most 25 bits in turn; the last one is of `even`. */
function interleaved(odd: number, even: number): number {
  const low = ((spreadBits(odd) << 1) | spreadBits(even)) >>> 0;
  const high = (spreadBits(odd >>> 16) << 1) | spreadBits(even >>> 16);
  return high * 2 ** 32 + low;
}

/** The geohash string of a cell. */
export function cellText(code: number, precision: number): string {
  let text = '';
  let rest = code;
  for (let i = 0; i < precision; i++) {
    text = ALPHABET[rest % 32]! + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}

/** The cell of a geohash string; −1 if the string is not a geohash. */
export function cellCode(text: string): number {
  let code = 0;
  for (const character of text) {
    const digit = ALPHABET.indexOf(character);
    if (digit < 0) return -1;
    code = code * 32 + digit;
  }
  return code;
}

/** Edges of a cell, in degrees. */
export interface Bounds {
  readonly west: number;
  readonly south: number;
  readonly east: number;
  readonly north: number;
}

export function cellBounds(code: number, precision: number): Bounds {
  const bits = precision * 5;
  let [south, north, west, east] = [-90, 90, -180, 180];
  for (let i = 0; i < bits; i++) {
    const upper = Math.floor(code / 2 ** (bits - 1 - i)) % 2 === 1;
    if (i % 2 === 0) {
      if (upper) west = (west + east) / 2;
      else east = (west + east) / 2;
    } else if (upper) south = (south + north) / 2;
    else north = (south + north) / 2;
  }
  return { west, south, east, north };
}

/** The middle of a cell, in degrees. */
export function cellCenter(text: string): { lat: number; lon: number } {
  const { west, south, east, north } = cellBounds(cellCode(text), text.length);
  return { lat: (south + north) / 2, lon: (west + east) / 2 };
}
