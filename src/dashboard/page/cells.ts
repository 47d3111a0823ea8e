/** All cells seen in results, numbered in order of appearance, with the names of their places. */
import { type Bounds, cellBounds, cellText } from '../../views/geohash.ts';
import { nearest, type Place } from './places.ts';

export interface Cell {
  /** Counted from 0. */
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
    const bounds = cellBounds(code, precision);
    const [name, borough] = nearest(
      this.#places,
      (bounds.south + bounds.north) / 2,
      (bounds.west + bounds.east) / 2,
    );
    const index = this.all.length;
    this.all.push({ index, geohash: cellText(code, precision), bounds, name, borough });
    this.#numbers.set(key, index);
    return index;
  }
}
