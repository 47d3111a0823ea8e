/**
 * Writes what the maps are drawn from: the outline of New York's land and of the counties around it, finer for the live
 * page and coarser for the saved dashboard of OpenSearch, the outlines of the TLC zones, and the names of the city's places.
 *
 *     node --import tsx scripts/outline.ts
 *
 * Neighbouring TLC zones don't share exact edges, so their borders can't be joined. The script draws the zones on a fine
 * grid, then traces and simplifies the edges of each borough; a shared border comes out the same for both boroughs. The
 * outlines of the zones are made in the same way, in `zone-outlines.ts`.
 * The land around comes from the Census Bureau's counties in the package us-atlas: coarse, but enough for a background.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { merge } from 'topojson-client';
import type { GeometryCollection, MultiPolygon, Polygon, Topology } from 'topojson-specification';
import { nearest, type Place } from '../src/dashboard/page/places.ts';
import { numbersOf, type StoredZones } from '../src/dashboard/page/zones.ts';
import { type Corner, type GridSize, Raster, SOUTH, WEST } from './raster.ts';
import { polygonsOf, type ZoneFeature, zoneOutlines } from './zone-outlines.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
export const ZONES = join(ROOT, '..', 'shared', 'data', 'zones');
export const OUTLINE = join(ROOT, 'src', 'dashboard', 'page', 'outline.json');
export const SAVED_LAND = join(ROOT, 'src', 'opensearch', 'land.json');
export const OUTLINES_OF_ZONES = join(ROOT, 'src', 'dashboard', 'page', 'zones.json');
export const PLACES = join(ROOT, 'src', 'dashboard', 'page', 'places.json');

/** Narrower land, such as a pier, is left out: steps from the middle of the least square to its sides. */
const PIER = 2;
const GRID: GridSize = { stepLon: 0.000356, stepLat: 0.00027, metres: 30, columns: 1620, rows: 1600 };

/** How fine an outline is. */
export interface Detail {
  /** Metres that the outline may be off the shore. */
  readonly tolerance: number;
  /** Square metres; smaller islands are left out. */
  readonly leastArea: number;
}

/** For the live page, on which people zoom in. */
const FINE: Detail = { tolerance: 110, leastArea: 400_000 };
/** For the saved dashboard: the outline is part of a text that people edit. */
export const COARSE: Detail = { tolerance: 220, leastArea: 400_000 };

/** The area that the map can show, and a little more. */
const AROUND = { west: -75, south: 40, east: -73, north: 41.4 };
const CITY = {
  manhattan: '36061',
  bronx: '36005',
  queens: '36081',
  brooklyn: '36047',
  statenIsland: '36085',
};
const [NEW_YORK, NEW_JERSEY] = ['36', '34'];
/**
 * Shifts of the borders between a county of the city and a state, metres east and north: in the Hudson to the other
 * shore, on land under the city's own outline, which is finer.
 */
const MOVED = [
  [CITY.manhattan, NEW_JERSEY, -530, 290],
  [CITY.bronx, NEW_JERSEY, -530, 290],
  [CITY.bronx, NEW_YORK, 0, -600],
  [CITY.queens, NEW_YORK, -600, 0],
] as const;
const BOROUGHS = ['Manhattan', 'Brooklyn', 'Queens', 'Bronx', 'Staten Island'];

export interface Outline {
  readonly type: 'FeatureCollection';
  readonly features: readonly {
    readonly type: 'Feature';
    readonly properties: { readonly name: string };
    readonly geometry: { readonly type: 'MultiPolygon'; readonly coordinates: number[][][][] };
  }[];
}

/** The land around the city, named `around`, and the boroughs. */
export function outline(zones: readonly ZoneFeature[], { tolerance, leastArea }: Detail = FINE): Outline {
  const raster = new Raster(GRID);
  for (const { properties, geometry } of zones) {
    const label = BOROUGHS.indexOf(properties.borough) + 1;
    if (label === 0) continue;
    for (const rings of polygonsOf(geometry)) raster.fill(rings, label);
  }
  raster.closeCracks();
  raster.removePiers(PIER);
  const [junctions, rings] = [raster.junctions(), raster.rings()];
  const simplified = (ring: readonly Corner[]) =>
    raster
      .sections(ring, junctions)
      .flatMap((section) => raster.simplify(section, raster.islandTolerance(ring, tolerance)).slice(0, -1));
  const degrees = (corner: Corner) => [
    round(WEST + raster.columnOf(corner) * GRID.stepLon),
    round(SOUTH + raster.rowOf(corner) * GRID.stepLat),
  ];
  return {
    type: 'FeatureCollection',
    features: [
      named('around', neighbours()),
      ...BOROUGHS.map((name, i) =>
        named(
          name,
          rings
            .get(i + 1)!
            .filter((ring) => raster.area(ring) >= leastArea)
            .map(simplified)
            .sort((a, b) => raster.area(b) - raster.area(a))
            .map((ring) => [...ring, ring[0]!].map(degrees)),
        ),
      ),
    ],
  };
}

function named(name: string, rings: readonly number[][][]): Outline['features'][number] {
  const geometry = { type: 'MultiPolygon', coordinates: rings.map((ring) => [ring]) } as const;
  return { type: 'Feature', properties: { name }, geometry };
}

/** Rings of the land around the city; the city is drawn over them. */
function neighbours(): number[][][] {
  const atlas = createRequire(import.meta.url)('us-atlas/counties-10m.json') as Topology<{
    counties: GeometryCollection;
  }>;
  const counties = atlas.objects.counties.geometries as (Polygon | MultiPolygon)[];
  const city = new Set(Object.values(CITY));
  const near = counties
    .filter(({ id }) => !city.has(String(id)))
    .filter((county) => touches(pointsOf(atlas, county)));
  const moved = new Map<string, readonly [lon: number, lat: number]>();
  for (const [of, state, east, north] of MOVED) {
    const [county] = counties.filter(({ id }) => id === of);
    const own = new Set(pointsOf(atlas, county!).map(String));
    const theirs = near
      .filter(({ id }) => String(id).startsWith(state))
      .flatMap((other) => pointsOf(atlas, other));
    for (const point of theirs)
      if (own.has(String(point)))
        moved.set(String(point), [(east / GRID.metres) * GRID.stepLon, (north / GRID.metres) * GRID.stepLat]);
  }
  const rings = merge(atlas, near).coordinates.map(([outer]) =>
    outer!.map((point) => {
      const [east, north] = moved.get(String(point)) ?? [0, 0];
      return [round(point[0]! + east), round(point[1]! + north)];
    }),
  );
  return rings.filter(touches);
}

function pointsOf(atlas: Topology, county: Polygon | MultiPolygon): number[][] {
  return merge(atlas, [county]).coordinates.flat(2);
}

function touches(points: readonly (readonly number[])[]): boolean {
  const [lons, lats] = [points.map(([lon]) => lon!), points.map(([, lat]) => lat!)];
  const { west, south, east, north } = AROUND;
  return (
    Math.max(...lons) > west &&
    Math.min(...lons) < east &&
    Math.max(...lats) > south &&
    Math.min(...lats) < north
  );
}

function round(value: number): number {
  return Math.round(value * 1e4) / 1e4;
}

/** Places that are better known than their zones. */
const LANDMARKS: readonly (readonly [name: string, lat: number, lon: number])[] = [
  ['Wall Street', 40.7065, -74.009],
  ['World Trade Center', 40.7127, -74.0134],
  ['Tribeca', 40.7195, -74.0089],
  ['SoHo', 40.7233, -74.003],
  ['Lower East Side', 40.715, -73.9843],
  ['East Village', 40.7265, -73.9815],
  ['Greenwich Village', 40.7336, -74.0027],
  ['Union Square', 40.7359, -73.9911],
  ['Meatpacking District', 40.7409, -74.0075],
  ['Flatiron Building', 40.7411, -73.9897],
  ['Chelsea', 40.7465, -74.0014],
  ['Murray Hill', 40.7479, -73.9757],
  ['Empire State Building', 40.7484, -73.9857],
  ['Penn Station', 40.7506, -73.9935],
  ['Grand Central', 40.7527, -73.9772],
  ['Port Authority', 40.7569, -73.9904],
  ['Times Square', 40.758, -73.9855],
  ['Rockefeller Center', 40.7587, -73.9787],
  ['Turtle Bay', 40.7543, -73.9681],
  ['Columbus Circle', 40.7681, -73.9819],
  ['Lincoln Center', 40.7725, -73.9835],
  ['Upper East Side', 40.7736, -73.9566],
  ['Lenox Hill', 40.7662, -73.9602],
  ['Metropolitan Museum', 40.7794, -73.9632],
  ['Natural History Museum', 40.7813, -73.974],
  ['Upper West Side', 40.787, -73.9754],
  ['Yorkville', 40.7762, -73.9492],
  ['Columbia University', 40.8075, -73.9626],
  ['Harlem', 40.8116, -73.9465],
  ['Williamsburg', 40.7143, -73.9614],
  ['Downtown Brooklyn', 40.6928, -73.9903],
  ['Park Slope', 40.671, -73.9814],
  ['Long Island City', 40.7447, -73.9485],
  ['Astoria', 40.7644, -73.9235],
  ['LaGuardia Airport', 40.7735, -73.8717],
  ['JFK Airport', 40.6441, -73.7822],
];

/** The zones, and the landmarks with the boroughs of their nearest zones. */
export function places(csv: string): Place[] {
  const zones = zonePlaces(csv);
  const names = new Set(zones.map(([name]) => name));
  const landmarks = LANDMARKS.filter(([name]) => !names.has(name));
  return [
    ...zones,
    ...landmarks.map(([name, lat, lon]): Place => [name, nearest(zones, lat, lon)[1], lon, lat]),
  ];
}

function zonePlaces(csv: string): Place[] {
  const rows = csv.trimEnd().split(/\r?\n/).slice(1);
  return rows.map((row) => {
    const [, name, borough, lon, lat] = /^\d+,(.*),([^,]*),(-?[\d.]+),(-?[\d.]+)$/.exec(row) ?? [];
    if (name === undefined || borough === undefined) throw new Error(`can't read the row ${row}`);
    return [name.replaceAll('"', ''), borough, round(Number(lon)), round(Number(lat))];
  });
}

export function readZones(): ZoneFeature[] {
  const text = gunzipSync(readFileSync(join(ZONES, 'taxi_zones.geojson.gz'))).toString();
  return (JSON.parse(text) as { features: ZoneFeature[] }).features;
}

export function readPlaces(): Place[] {
  return places(readFileSync(join(ZONES, 'taxi_zone_centroids_wgs84.DERIVED.csv'), 'utf8'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const zones = readZones();
  write(OUTLINE, outline(zones));
  write(SAVED_LAND, outline(zones, COARSE));
  writeZones(zoneOutlines(zones));
  writeFileSync(
    PLACES,
    `[\n${readPlaces()
      .map((place) => `  ${JSON.stringify(place)}`)
      .join(',\n')}\n]\n`,
  );
}

/** One arc and one zone a line. */
export function zonesText({ arcs, zones, ...grid }: StoredZones): string {
  const lines = (rows: readonly unknown[]) => `[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]`;
  return `${JSON.stringify(grid).slice(0, -1)},\n"arcs":${lines(arcs)},\n"zones":${lines(zones)}}\n`;
}

function writeZones(stored: StoredZones): void {
  writeFileSync(OUTLINES_OF_ZONES, zonesText(stored));
  const points = stored.arcs.reduce((sum, arc) => sum + numbersOf(arc).length / 2, 0);
  console.error(`${OUTLINES_OF_ZONES}: ${points} points`);
}

function write(file: string, land: Outline): void {
  writeFileSync(file, `${JSON.stringify(land)}\n`);
  const points = land.features.flatMap(({ geometry }) => geometry.coordinates.flat(2)).length;
  console.error(`${file}: ${points} points`);
}
