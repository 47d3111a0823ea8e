/** Names of places, from `places.json`, which `scripts/outline.ts` makes. */

/** Name, borough, longitude and latitude of the centre (degrees). */
export type Place = readonly [name: string, borough: string, lon: number, lat: number];

/** Length of a degree of longitude in degrees of latitude, in New York. */
const LON_SCALE = 0.758;

/** The place with the nearest centre; a nameless one if `places` is empty. */
export function nearest(places: readonly Place[], lat: number, lon: number): Place {
  let found: Place = ['', '', 0, 0];
  let least = Number.POSITIVE_INFINITY;
  for (const place of places) {
    const distance = ((place[2] - lon) * LON_SCALE) ** 2 + (place[3] - lat) ** 2;
    if (distance < least) [found, least] = [place, distance];
  }
  return found;
}
