/** The TLC's taxi zones: names, outlines and centroids, from `zones.json`, which `scripts/outline.ts` makes. */
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

/** A zone as stored: centroid in millionths of a degree, label in steps of the grid, and the arcs of each ring. */
export type StoredZone = readonly [
  id: number,
  name: string,
  borough: string,
  centroid: readonly [lon: number, lat: number],
  label: readonly [column: number, row: number],
  rings: readonly (readonly number[])[],
];

export interface StoredZones {
  /** Degrees of the grid's corner and of its steps. */
  readonly west: number;
  readonly south: number;
  readonly stepLon: number;
  readonly stepLat: number;
  /** Steps from corner to corner, columns and rows in turn, the first from the end of the arc before. */
  readonly arcs: readonly (readonly number[])[];
  readonly zones: readonly StoredZone[];
}

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
  const degrees = (column: number, row: number): Position => [
    rounded(west + column * stepLon),
    rounded(south + row * stepLat),
  ];
  const arcs = arcsOf(stored.arcs, degrees);
  const zones = new Map<number, Zone>();
  for (const [id, name, borough, centroid, label, around] of stored.zones) {
    const rings = around.map((numbers) => [ringOf(numbers, arcs)]);
    zones.set(id, {
      id,
      name,
      borough,
      rings,
      label: degrees(label[0], label[1]),
      centroid: [centroid[0] / 1e6, centroid[1] / 1e6],
      bounds: boundsOf(rings.flat(2)),
    });
  }
  for (const [part, whole] of PARTS) {
    const zone = zones.get(whole);
    if (zone) zones.set(part, zone);
  }
  return zones;
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

function arcsOf(
  stored: StoredZones['arcs'],
  degrees: (column: number, row: number) => Position,
): readonly Position[][] {
  let [column, row] = [0, 0];
  return stored.map((steps) => {
    const points: Position[] = [];
    for (let i = 0; i < steps.length; i += 2) {
      column += steps[i]!;
      row += steps[i + 1]!;
      points.push(degrees(column, row));
    }
    return points;
  });
}

/** Joins arcs; each begins where the one before ends. A negative number `~n` is arc n from its end. */
function ringOf(numbers: readonly number[], arcs: readonly Position[][]): Position[] {
  const ring = numbers.flatMap((number) => {
    const points = number < 0 ? arcs[~number]!.toReversed() : arcs[number]!;
    return points.slice(0, -1);
  });
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
