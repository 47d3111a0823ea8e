/**
 * Writes what the maps are drawn from: the outline of New York's land and of the counties around it, finer for the live
 * page and coarser for the saved dashboard of OpenSearch, and the names of the city's places.
 *
 *     node --import tsx scripts/outline.ts
 *
 * Neighbouring TLC zones don't share exact edges, so their borders can't be joined. The script draws the zones on a fine
 * grid, then traces and simplifies the edges of each borough; a shared border comes out the same for both boroughs.
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

const ROOT = fileURLToPath(new URL('../', import.meta.url));
export const ZONES = join(ROOT, '..', 'shared', 'data', 'zones');
export const OUTLINE = join(ROOT, 'src', 'dashboard', 'page', 'outline.json');
export const SAVED_LAND = join(ROOT, 'src', 'opensearch', 'land.json');
export const PLACES = join(ROOT, 'src', 'dashboard', 'page', 'places.json');

/** Degrees per grid step; 30 m in both directions. */
const STEP_LAT = 0.00027;
const STEP_LON = 0.000356;
const WEST = -74.27;
const SOUTH = 40.485;
const COLUMNS = 1620;
const ROWS = 1600;
const METRES_PER_STEP = 30;
/** Steps in each direction: narrower land, such as a pier, is left out. */
const PIER = 2;

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

type Ring = readonly (readonly number[])[];

interface Zone {
  readonly properties: { readonly borough: string };
  readonly geometry:
    | { readonly type: 'Polygon'; readonly coordinates: readonly Ring[] }
    | { readonly type: 'MultiPolygon'; readonly coordinates: readonly (readonly Ring[])[] };
}

export interface Outline {
  readonly type: 'FeatureCollection';
  readonly features: readonly {
    readonly type: 'Feature';
    readonly properties: { readonly name: string };
    readonly geometry: { readonly type: 'MultiPolygon'; readonly coordinates: number[][][][] };
  }[];
}

/** A corner of the grid: `row * (COLUMNS + 1) + column`. */
type Corner = number;

const WIDTH = COLUMNS + 1;
const columnOf = (corner: Corner) => corner % WIDTH;
const rowOf = (corner: Corner) => Math.floor(corner / WIDTH);

/** The land around the city, named `around`, and the boroughs. */
export function outline(zones: readonly Zone[], { tolerance, leastArea }: Detail = FINE): Outline {
  const grid = new Uint8Array(COLUMNS * ROWS);
  for (const { properties, geometry } of zones) {
    const label = BOROUGHS.indexOf(properties.borough) + 1;
    if (label === 0) continue;
    const polygons = geometry.type === 'Polygon' ? [geometry.coordinates] : geometry.coordinates;
    for (const rings of polygons) fill(grid, rings, label);
  }
  closeCracks(grid);
  removePiers(grid);
  const junctions = findJunctions(grid);
  return {
    type: 'FeatureCollection',
    features: [
      named('around', neighbours()),
      ...BOROUGHS.map((name, i) =>
        named(
          name,
          edges(grid, i + 1)
            .filter((ring) => area(ring) >= leastArea)
            .map((ring) => simplifyRing(ring, junctions, Math.min(tolerance, breadth(ring) / ISLAND)))
            .sort((a, b) => area(b) - area(a))
            .map((ring) => [...ring, ring[0]!].map(degrees)),
        ),
      ),
    ],
  };
}

/** A narrow island would become a line: its outline may be off by this part of its breadth at most. */
const ISLAND = 5.5;

/** Metres: the side of a square as large as the ring. */
function breadth(ring: readonly Corner[]): number {
  return Math.sqrt(area(ring));
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
        moved.set(String(point), [(east / METRES_PER_STEP) * STEP_LON, (north / METRES_PER_STEP) * STEP_LAT]);
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

/** Labels the cells whose centre is in a polygon, by the even-odd rule along each row. */
function fill(grid: Uint8Array, rings: readonly Ring[], label: number): void {
  const crossings = new Map<number, number[]>();
  for (const ring of rings) {
    for (let i = 1; i < ring.length; i++) {
      const [x0, y0] = gridPoint(ring[i - 1]!);
      const [x1, y1] = gridPoint(ring[i]!);
      const [low, high] = y0 < y1 ? [y0, y1] : [y1, y0];
      for (let row = Math.ceil(low - 0.5); row + 0.5 < high; row++) {
        const x = x0 + ((row + 0.5 - y0) / (y1 - y0)) * (x1 - x0);
        const found = crossings.get(row);
        if (found) found.push(x);
        else crossings.set(row, [x]);
      }
    }
  }
  for (const [row, found] of crossings) {
    found.sort((a, b) => a - b);
    for (let i = 0; i + 1 < found.length; i += 2) {
      const end = Math.ceil(found[i + 1]! - 0.5);
      grid.fill(label, row * COLUMNS + Math.ceil(found[i]! - 0.5), row * COLUMNS + end);
    }
  }
}

function gridPoint([lon, lat]: readonly number[]): [number, number] {
  return [(lon! - WEST) / STEP_LON, (lat! - SOUTH) / STEP_LAT];
}

/** Fills cells of water between two cells of land: they are cracks between zones. */
function closeCracks(grid: Uint8Array): void {
  const before = grid.slice();
  for (let i = COLUMNS; i < grid.length - COLUMNS; i++) {
    if (before[i] !== 0) continue;
    if (before[i - 1] && before[i + 1]) grid[i] = before[i - 1]!;
    else if (before[i - COLUMNS] && before[i + COLUMNS]) grid[i] = before[i - COLUMNS]!;
  }
}

/** Keeps a cell of land only if a square of land that covers it fits. */
function removePiers(grid: Uint8Array): void {
  const roomy = spread(grid, (found, label) => found === 0 && label !== 0);
  const near = spread(roomy, (found, label) => found !== 0 && label === 0);
  for (let i = 0; i < grid.length; i++) if (near[i] === 0) grid[i] = 0;
}

/** A copy in which each cell takes over values within `PIER` steps, along rows and then columns. */
function spread(grid: Uint8Array, takes: (found: number, label: number) => boolean): Uint8Array {
  let from = grid;
  for (const step of [1, COLUMNS]) {
    const to = from.slice();
    for (let i = 0; i < from.length; i++) {
      for (let k = -PIER; k <= PIER; k++) {
        const found = from[i + k * step];
        if (found !== undefined && takes(found, to[i]!)) to[i] = found;
      }
    }
    from = to;
  }
  return from;
}

/** Corners where more than two edges meet. They stay, so that shared borders are simplified alike. */
function findJunctions(grid: Uint8Array): Set<Corner> {
  const junctions = new Set<Corner>();
  for (let row = 1; row < ROWS; row++) {
    for (let column = 1; column < COLUMNS; column++) {
      const above = row * COLUMNS + column;
      const below = above - COLUMNS;
      const around = [grid[below - 1], grid[below], grid[above], grid[above - 1]];
      const changes = around.filter((label, i) => label !== around[(i + 1) % 4]).length;
      if (changes > 2) junctions.add(row * WIDTH + column);
    }
  }
  return junctions;
}

/** The rings around the cells of a label; the cells are to the left of each edge. */
function edges(grid: Uint8Array, label: number): Corner[][] {
  const is = (row: number, column: number) =>
    row >= 0 && row < ROWS && column >= 0 && column < COLUMNS && grid[row * COLUMNS + column] === label;
  const next = new Map<Corner, Corner[]>();
  const add = (from: Corner, to: Corner) => next.set(from, [...(next.get(from) ?? []), to]);
  for (let row = 0; row < ROWS; row++) {
    for (let column = 0; column < COLUMNS; column++) {
      if (!is(row, column)) continue;
      const corner = row * WIDTH + column;
      if (!is(row - 1, column)) add(corner, corner + 1);
      if (!is(row, column + 1)) add(corner + 1, corner + 1 + WIDTH);
      if (!is(row + 1, column)) add(corner + 1 + WIDTH, corner + WIDTH);
      if (!is(row, column - 1)) add(corner + WIDTH, corner);
    }
  }
  const rings: Corner[][] = [];
  for (const start of next.keys()) {
    while (next.get(start)?.length) {
      const ring: Corner[] = [];
      for (let corner = start; next.get(corner)?.length; ) {
        ring.push(corner);
        corner = next.get(corner)!.pop()!;
      }
      rings.push(ring);
    }
  }
  return rings;
}

/** Square metres; negative for the edge of a hole. */
function area(ring: readonly Corner[]): number {
  let twice = 0;
  for (let i = 0; i < ring.length; i++) {
    const a = ring[i]!;
    const b = ring[(i + 1) % ring.length]!;
    twice += columnOf(a) * rowOf(b) - columnOf(b) * rowOf(a);
  }
  return (twice / 2) * METRES_PER_STEP ** 2;
}

/** Simplifies a ring between its junctions; without junctions, between two corners that are far apart. */
function simplifyRing(ring: readonly Corner[], junctions: ReadonlySet<Corner>, tolerance: number): Corner[] {
  let fixed = ring.filter((corner) => junctions.has(corner));
  if (fixed.length < 2) {
    const first = fixed[0] ?? Math.min(...ring);
    fixed = [first, ring.reduce((far, corner) => (apart(first, corner) > apart(first, far) ? corner : far))];
  }
  const stops = new Set(fixed);
  const start = ring.findIndex((corner) => stops.has(corner));
  const turned = [...ring.slice(start), ...ring.slice(0, start), ring[start]!];
  const result: Corner[] = [];
  let section: Corner[] = [];
  for (const corner of turned) {
    section.push(corner);
    if (section.length > 1 && stops.has(corner)) {
      result.push(...simplifyAlike(section, tolerance).slice(0, -1));
      section = [corner];
    }
  }
  return result;
}

/** Simplifies a section to the same corners in both directions. */
function simplifyAlike(section: readonly Corner[], tolerance: number): Corner[] {
  const backward = section[0]! > section.at(-1)!;
  const kept = simplify(backward ? section.toReversed() : section, tolerance);
  return backward ? kept.reverse() : kept;
}

/** Douglas–Peucker: keeps the farthest corner if it is too far from the straight line. */
function simplify(line: readonly Corner[], tolerance: number): Corner[] {
  const first = line[0]!;
  const last = line.at(-1)!;
  let far = 0;
  let most = tolerance / METRES_PER_STEP;
  for (let i = 1; i < line.length - 1; i++) {
    const distance = fromLine(line[i]!, first, last);
    if (distance > most) [far, most] = [i, distance];
  }
  if (far === 0) return [first, last];
  return [
    ...simplify(line.slice(0, far + 1), tolerance).slice(0, -1),
    ...simplify(line.slice(far), tolerance),
  ];
}

function fromLine(corner: Corner, a: Corner, b: Corner): number {
  const length = apart(a, b);
  if (length === 0) return apart(corner, a);
  const dx = columnOf(b) - columnOf(a);
  const dy = rowOf(b) - rowOf(a);
  return Math.abs(dx * (rowOf(corner) - rowOf(a)) - dy * (columnOf(corner) - columnOf(a))) / length;
}

function apart(a: Corner, b: Corner): number {
  return Math.sqrt((columnOf(a) - columnOf(b)) ** 2 + (rowOf(a) - rowOf(b)) ** 2);
}

function degrees(corner: Corner): [lon: number, lat: number] {
  return [round(WEST + columnOf(corner) * STEP_LON), round(SOUTH + rowOf(corner) * STEP_LAT)];
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

export function readZones(): Zone[] {
  const text = gunzipSync(readFileSync(join(ZONES, 'taxi_zones.geojson.gz'))).toString();
  return (JSON.parse(text) as { features: Zone[] }).features;
}

export function readPlaces(): Place[] {
  return places(readFileSync(join(ZONES, 'taxi_zone_centroids_wgs84.DERIVED.csv'), 'utf8'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const zones = readZones();
  write(OUTLINE, outline(zones));
  write(SAVED_LAND, outline(zones, COARSE));
  writeFileSync(
    PLACES,
    `[\n${readPlaces()
      .map((place) => `  ${JSON.stringify(place)}`)
      .join(',\n')}\n]\n`,
  );
}

function write(file: string, land: Outline): void {
  writeFileSync(file, `${JSON.stringify(land)}\n`);
  const points = land.features.flatMap(({ geometry }) => geometry.coordinates.flat(2)).length;
  console.error(`${file}: ${points} points`);
}
