/**
 * Outlines of the TLC zones for the page's map, as `loadZones` in `src/dashboard/page/zones.ts` reads them: borders between
 * junctions ("arcs"), which two neighbours share, and for each zone the numbers of the arcs around it.
 */
import type { StoredZone, StoredZones } from '../src/dashboard/page/zones.ts';
import { ZONE_CENTROIDS } from '../src/dataset/zone-centroids.ts';
import { type Corner, type GridSize, Raster, type Ring, SOUTH, WEST } from './raster.ts';

const GRID: GridSize = { stepLon: 0.00011867, stepLat: 0.00009, metres: 10, columns: 4860, rows: 4800 };
/** Metres that a border between zones may be off; it follows streets, and blocks are 80 m wide. */
const BORDER_TOLERANCE = 28;
/** Metres that a shore may be off. */
const SHORE_TOLERANCE = 60;
/** Square metres: smaller islands are left out, and smaller ponds filled. The smallest zone is a fourth of it larger. */
const LEAST_AREA = 45_000;
/** Cracks between zones are up to two cells on either side. */
const CRACK = 3;
const PIER = 4;
/** A label stands as near to the centroid as it can without being nearer to a border than this part of the most. */
const INSIDE = 0.7;

export interface ZoneFeature {
  readonly properties: { readonly LocationID: number; readonly zone: string; readonly borough: string };
  readonly geometry:
    | { readonly type: 'Polygon'; readonly coordinates: readonly Ring[] }
    | { readonly type: 'MultiPolygon'; readonly coordinates: readonly (readonly Ring[])[] };
}

/** The rings of each polygon. */
export function polygonsOf(geometry: ZoneFeature['geometry']): readonly (readonly Ring[])[] {
  return geometry.type === 'Polygon' ? [geometry.coordinates] : geometry.coordinates;
}

export function zoneOutlines(features: readonly ZoneFeature[]): StoredZones {
  const raster = new Raster(GRID);
  for (const { properties, geometry } of features)
    for (const rings of polygonsOf(geometry)) raster.fill(rings, properties.LocationID);
  for (let i = 0; i < CRACK; i++) raster.closeCracks();
  raster.removePiers(PIER);
  raster.removeSpecks(LEAST_AREA);
  const arcs = new Arcs(raster);
  const labels = labelsOf(raster);
  const zones = new Map<number, StoredZone>();
  for (const { properties } of features) {
    const { LocationID: id, zone: name, borough } = properties;
    if (zones.has(id)) continue;
    zones.set(id, [id, name, borough, centroidOf(id), labels.get(id)!, arcs.around(id)]);
  }
  const { stepLon, stepLat } = GRID;
  return { west: WEST, south: SOUTH, stepLon, stepLat, arcs: arcs.all, zones: [...zones.values()] };
}

/** The borders of all zones, simplified, each once. */
class Arcs {
  /** Steps from corner to corner, columns and rows in turn, the first from the end of the arc before. */
  readonly all: number[][] = [];
  readonly #raster: Raster;
  readonly #junctions: ReadonlySet<Corner>;
  readonly #rings: ReadonlyMap<number, Corner[][]>;
  readonly #numbers = new Map<string, number>();
  #end: Corner = 0;

  constructor(raster: Raster) {
    this.#raster = raster;
    this.#junctions = raster.junctions();
    this.#rings = raster.rings();
  }

  /** Numbers of the arcs of each ring around a zone, the largest ring first; `~number` is the arc from its end. */
  around(zone: number): number[][] {
    const rings = this.#rings.get(zone) ?? [];
    if (rings.some((ring) => this.#raster.area(ring) < 0)) throw new Error(`zone ${zone} has a hole`);
    return rings
      .toSorted((a, b) => this.#raster.area(b) - this.#raster.area(a))
      .map((ring) =>
        this.#raster.sections(ring, this.#junctions).map((section) => this.#numberOf(ring, section)),
      );
  }

  #numberOf(ring: readonly Corner[], section: readonly Corner[]): number {
    // A corner beside the start tells borders between the same junctions apart.
    const key = `${section[0]} ${section[1]}`;
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.all.length;
    this.#numbers.set(key, number);
    this.#numbers.set(`${section.at(-1)} ${section.at(-2)}`, ~number);
    const tolerance = this.#raster.isShore(section[0]!, section[1]!) ? SHORE_TOLERANCE : BORDER_TOLERANCE;
    this.all.push(this.#steps(this.#raster.simplify(section, this.#raster.islandTolerance(ring, tolerance))));
    return number;
  }

  #steps(corners: readonly Corner[]): number[] {
    return corners.flatMap((corner) => {
      const from = this.#end;
      this.#end = corner;
      return [
        this.#raster.columnOf(corner) - this.#raster.columnOf(from),
        this.#raster.rowOf(corner) - this.#raster.rowOf(from),
      ];
    });
  }
}

function centroidOf(id: number): [lon: number, lat: number] {
  const [lat, lon] = ZONE_CENTROIDS.get(id)!;
  return [Math.round(lon * 1e6), Math.round(lat * 1e6)];
}

/** Column and row of a place for each zone's name: well inside, and near the centroid. */
function labelsOf(raster: Raster): Map<number, [column: number, row: number]> {
  const depths = raster.depths();
  const deepest = new Map<number, number>();
  raster.cells.forEach((label, i) => {
    if (label !== 0 && depths[i]! > (deepest.get(label) ?? 0)) deepest.set(label, depths[i]!);
  });
  const found = new Map<number, { at: [number, number]; distance: number }>();
  raster.cells.forEach((label, i) => {
    if (label === 0 || depths[i]! < INSIDE * deepest.get(label)!) return;
    const [lat, lon] = ZONE_CENTROIDS.get(label)!;
    const at: [number, number] = [i % GRID.columns, Math.floor(i / GRID.columns)];
    const distance = Math.hypot(
      at[0] + 0.5 - (lon - WEST) / GRID.stepLon,
      at[1] + 0.5 - (lat - SOUTH) / GRID.stepLat,
    );
    if (distance < (found.get(label)?.distance ?? Number.POSITIVE_INFINITY))
      found.set(label, { at, distance });
  });
  return new Map([...found].map(([label, { at }]) => [label, at]));
}
