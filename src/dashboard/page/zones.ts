/**
 * The TLC's taxi zones: names, outlines and centroids, from `zones.json`, which `scripts/outline.ts` makes.
 *
 * Source: NYC Taxi & Limousine Commission taxi zones, outlines computed from the zone polygons.
 */
import { type Bounds, cell, cellText } from '../../views/geohash.ts';

/** Degrees. */
export type Position = [lon: number, lat: number];

export interface Zone {
  /** The TLC's LocationID. */
  readonly id: number;
  readonly name: string;
  readonly borough: string;
  /** Coordinates of a MultiPolygon, the largest polygon first. Neighbours share the points of their border. */
  readonly rings: Position[][][];
  /** A place for the name, well inside. */
  readonly label: Position;
  /** Where `replay` puts the trips of the zone. */
  readonly centroid: Position;
  readonly bounds: Bounds;
}

/** Whole numbers as text, by `numbersText`. */
export type Numbers = string;

/**
 * A zone as stored. Its places are the centroid, in millionths of a degree from the grid's corner, and the label, in steps
 * from the centroid. A ring is numbers of arcs, each less one more than the one before; `~n` is arc n from its end.
 */
export type StoredZone = readonly [
  id: number,
  name: string,
  borough: string,
  places: Numbers,
  rings: readonly Numbers[],
];

export interface StoredZones {
  /** Degrees of the grid's corner and of its steps. */
  readonly west: number;
  readonly south: number;
  readonly stepLon: number;
  readonly stepLat: number;
  /** Steps from corner to corner, columns and rows in turn, the first from the end of the arc before. */
  readonly arcs: readonly Numbers[];
  readonly zones: readonly StoredZone[];
}

const MILLION = 1e6;
const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_';
/** Values of a digit; one of the upper half says that more follow. */
const BASE = 32;

/** Numbers that the TLC lists by the name of another zone, of which its map makes them a part. */
const PARTS: ReadonlyMap<number, number> = new Map([
  [57, 56],
  [104, 103],
  [105, 103],
]);
/** Numbers without a place on the map. */
const NOWHERE: ReadonlyMap<number, string> = new Map([
  [264, 'Unknown'],
  [265, 'Outside of NYC'],
]);

/** Zones by number. 57, 104 and 105 lead to the zones that they are parts of, so a zone's own number is its `id`. */
export function loadZones(stored: StoredZones): ReadonlyMap<number, Zone> {
  const { west, south, stepLon, stepLat } = stored;
  const arcs = arcsOf(stored);
  const zones = new Map<number, Zone>();
  for (const [id, name, borough, places, around] of stored.zones) {
    const [east, north, columns, rows] = numbersOf(places) as [number, number, number, number];
    const centroid: Position = [
      (Math.round(west * MILLION) + east) / MILLION,
      (Math.round(south * MILLION) + north) / MILLION,
    ];
    const label: Position = [rounded(centroid[0] + columns * stepLon), rounded(centroid[1] + rows * stepLat)];
    const rings = around.map((numbers) => [ringOf(numbersOf(numbers), arcs)]);
    zones.set(id, { id, name, borough, rings, label, centroid, bounds: boundsOf(rings.flat(2)) });
  }
  for (const [part, whole] of PARTS) {
    const zone = zones.get(whole);
    if (zone) zones.set(part, zone);
  }
  return zones;
}

/** Lines along the water and the city's edge: the arcs that only one zone has. */
export function shoresOf(stored: StoredZones): Position[][] {
  const uses = new Map<number, number>();
  for (const [, , , , around] of stored.zones) {
    for (const numbers of around) {
      let arc = -1;
      for (const step of numbersOf(numbers)) {
        arc += 1 + step;
        const own = arc < 0 ? ~arc : arc;
        uses.set(own, (uses.get(own) ?? 0) + 1);
      }
    }
  }
  return arcsOf(stored).filter((_, arc) => uses.get(arc) === 1);
}

/** The name of any zone number. */
export function zoneName(zones: ReadonlyMap<number, Zone>, id: number): string {
  return zones.get(id)?.name ?? NOWHERE.get(id) ?? `Zone ${id}`;
}

/**
 * Numbers of the zones whose trips lie in a cell of `precision` characters, ascending: files with zones only have no
 * coordinates, and `replay` puts their trips at the centroids.
 */
export function zonesOfCell(
  zones: ReadonlyMap<number, Zone>,
  precision: number,
): ReadonlyMap<string, readonly number[]> {
  const found = new Map<string, number[]>();
  for (const { id, centroid } of new Set(zones.values())) {
    const geohash = cellText(cell(centroid[1], centroid[0], precision), precision);
    const ids = found.get(geohash);
    if (ids) ids.push(id);
    else found.set(geohash, [id]);
  }
  return found;
}

/** Whole numbers of any sign as text, small ones in one character. */
export function numbersText(numbers: readonly number[]): Numbers {
  let text = '';
  for (const number of numbers) {
    let rest = number < 0 ? -2 * number - 1 : 2 * number;
    for (; rest >= BASE; rest = Math.floor(rest / BASE)) text += DIGITS[BASE + (rest % BASE)];
    text += DIGITS[rest];
  }
  return text;
}

export function numbersOf(text: Numbers): number[] {
  const numbers: number[] = [];
  let [value, place] = [0, 1];
  for (const character of text) {
    const digit = DIGITS.indexOf(character);
    value += (digit % BASE) * place;
    place *= BASE;
    if (digit >= BASE) continue;
    numbers.push(value % 2 === 1 ? -(value + 1) / 2 : value / 2);
    [value, place] = [0, 1];
  }
  return numbers;
}

function arcsOf({ arcs, west, south, stepLon, stepLat }: StoredZones): readonly Position[][] {
  let [column, row] = [0, 0];
  return arcs.map((text) => {
    const steps = numbersOf(text);
    const points: Position[] = [];
    for (let i = 0; i < steps.length; i += 2) {
      column += steps[i]!;
      row += steps[i + 1]!;
      points.push([rounded(west + column * stepLon), rounded(south + row * stepLat)]);
    }
    return points;
  });
}

/** Joins arcs; each begins where the one before ends. */
function ringOf(numbers: readonly number[], arcs: readonly Position[][]): Position[] {
  const ring: Position[] = [];
  let arc = -1;
  for (const step of numbers) {
    arc += 1 + step;
    const points = arc < 0 ? arcs[~arc]!.toReversed() : arcs[arc]!;
    for (const point of points.slice(0, -1)) ring.push(point);
  }
  return [...ring, ring[0]!];
}

function boundsOf(points: readonly Position[]): Bounds {
  let [west, south, east, north] = [180, 90, -180, -90];
  for (const [lon, lat] of points) {
    [west, east] = [Math.min(west, lon), Math.max(east, lon)];
    [south, north] = [Math.min(south, lat), Math.max(north, lat)];
  }
  return { west, south, east, north };
}

/** Degrees to a metre. */
function rounded(value: number): number {
  return Math.round(value * 1e5) / 1e5;
}
