/** Names of places, the same wherever an area is named: `places.json`, made by `scripts/outline.ts`. */

/** Name, borough, longitude and latitude of the middle. */
export type Place = readonly [name: string, borough: string, lon: number, lat: number];

/** A degree of longitude in degrees of latitude, at New York's. */
const LON_SCALE = 0.758;

/** The place whose middle is nearest; one without a name where there are no places. */
export function nearest(places: readonly Place[], lat: number, lon: number): Place {
  let found: Place = ['', '', 0, 0];
  let least = Number.POSITIVE_INFINITY;
  for (const place of places) {
    const distance = ((place[2] - lon) * LON_SCALE) ** 2 + (place[3] - lat) ** 2;
    if (distance < least) [found, least] = [place, distance];
  }
  return found;
}
