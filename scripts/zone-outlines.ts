/**
 * Outlines of the TLC zones for the page's map, as `loadZones` in `src/dashboard/page/zones.ts` reads them: borders between
 * junctions ("arcs"), which two neighbours share, and for each zone the numbers of the arcs around it.
 */
import { type Numbers, numbersText, type StoredZone, type StoredZones } from '../src/dashboard/page/zones.ts';
import { ZONE_CENTROIDS } from '../src/dataset/zone-centroids.ts';
import { type Corner, type GridSize, Raster, type Ring, SOUTH, WEST } from './raster.ts';

const GRID: GridSize = { stepLon: 0.00011867, stepLat: 0.00009, metres: 10, columns: 4860, rows: 4800 };
/** Metres that a border between zones may be off; it follows streets, and blocks are 80 m wide. */
const BORDER_TOLERANCE = 26;
/** Metres that a shore may be off. */
const SHORE_TOLERANCE = 54;
/** Square metres: smaller islands are left out, and smaller waters filled. Liberty Island has 59,000. */
const LEAST_AREA = 45_000;
/** Cells that a crack between zones is wide at most. */
const CRACK = 3;
/** Narrower land, such as a pier, is left out: steps from the middle of the least square to its sides. */
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
    zones.set(id, [id, name, borough, placesOf(id, labels.get(id)!), arcs.around(id)]);
  }
  const { stepLon, stepLat } = GRID;
  return { west: WEST, south: SOUTH, stepLon, stepLat, arcs: arcs.all, zones: [...zones.values()] };
}

/** The borders of all zones, simplified, each once. */
class Arcs {
  readonly all: Numbers[] = [];
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

  /** The arcs of each ring around a zone, the largest ring first. */
  around(zone: number): Numbers[] {
    const rings = this.#rings.get(zone) ?? [];
    if (rings.some((ring) => this.#raster.area(ring) < 0)) throw new Error(`zone ${zone} has a hole`);
    return rings
      .toSorted((a, b) => this.#raster.area(b) - this.#raster.area(a))
      .map((ring) => {
        let before = -1;
        const steps = this.#raster.sections(ring, this.#junctions).map((section) => {
          const number = this.#numberOf(ring, section);
          const step = number - before - 1;
          before = number;
          return step;
        });
        return numbersText(steps);
      });
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

  #steps(corners: readonly Corner[]): Numbers {
    const steps = corners.flatMap((corner) => {
      const from = this.#end;
      this.#end = corner;
      return [
        this.#raster.columnOf(corner) - this.#raster.columnOf(from),
        this.#raster.rowOf(corner) - this.#raster.rowOf(from),
      ];
    });
    return numbersText(steps);
  }
}

/** Centroid and label, as `StoredZone` says. */
function placesOf(id: number, label: readonly [columns: number, rows: number]): Numbers {
  const [lat, lon] = ZONE_CENTROIDS.get(id)!;
  return numbersText([Math.round((lon - WEST) * 1e6), Math.round((lat - SOUTH) * 1e6), ...label]);
}

/** Steps from each zone's centroid to a place for its name: well inside, and near the centroid. */
function labelsOf(raster: Raster): Map<number, [columns: number, rows: number]> {
  const depths = raster.depths();
  const deepest = new Map<number, number>();
  raster.cells.forEach((label, i) => {
    if (label !== 0 && depths[i]! > (deepest.get(label) ?? 0)) deepest.set(label, depths[i]!);
  });
  const nearest = new Map<number, [columns: number, rows: number]>();
  raster.cells.forEach((label, i) => {
    if (label === 0 || depths[i]! < INSIDE * deepest.get(label)!) return;
    const [lat, lon] = ZONE_CENTROIDS.get(label)!;
    const columns = (i % GRID.columns) - Math.floor((lon - WEST) / GRID.stepLon);
    const rows = Math.floor(i / GRID.columns) - Math.floor((lat - SOUTH) / GRID.stepLat);
    const found = nearest.get(label);
    if (!found || Math.hypot(columns, rows) < Math.hypot(found[0], found[1]))
      nearest.set(label, [columns, rows]);
  });
  return nearest;
}
