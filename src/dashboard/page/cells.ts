/** The cells results have been in, numbered as they come, with the names of their places. */
import { type Bounds, geohashBounds, geohashText } from './wire.ts';

/** Name, borough, longitude and latitude of the middle. */
export type Place = readonly [name: string, borough: string, lon: number, lat: number];

export interface Cell {
  /** Its number, from 0. */
  readonly index: number;
  readonly geohash: string;
  readonly bounds: Bounds;
  readonly name: string;
  readonly borough: string;
}

export class Cells {
  readonly all: Cell[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #places: readonly Place[];

  constructor(places: readonly Place[]) {
    this.#places = places;
  }

  numberOf(code: number, precision: number): number {
    const key = `${code}/${precision}`;
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const bounds = geohashBounds(code, precision);
    const [name, borough] = this.#nearest(bounds);
    const index = this.all.length;
    this.all.push({ index, geohash: geohashText(code, precision), bounds, name, borough });
    this.#numbers.set(key, index);
    return index;
  }

  /** The place whose middle is nearest. */
  #nearest({ west, south, east, north }: Bounds): readonly [name: string, borough: string] {
    const lon = (west + east) / 2;
    const lat = (south + north) / 2;
    let nearest: Place | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const place of this.#places) {
      const distance = ((place[2] - lon) * 0.758) ** 2 + (place[3] - lat) ** 2;
      if (distance < least) [nearest, least] = [place, distance];
    }
    return nearest ? [nearest[0], nearest[1]] : ['', ''];
  }
}
