/**
 * Writes `src/dataset/zone-centroids.ts` from the centroids of the TLC taxi zones.
 *
 *     node --import tsx scripts/zone-centroids.ts [CENTROIDS.csv]
 *
 * The file has the columns LocationID, zone, borough, lon, lat (degrees, WGS 84).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = new URL('../', import.meta.url);
const SOURCE = new URL('../shared/data/zones/taxi_zone_centroids_wgs84.DERIVED.csv', ROOT);
const TARGET = new URL('src/dataset/zone-centroids.ts', ROOT);
const HEADER = 'LocationID,zone,borough,lon,lat';
const ZONES_PER_LINE = 4;

interface Centroid {
  readonly zone: number;
  readonly lat: string;
  readonly lon: string;
}

// Zone names may hold commas, so the figures are taken from both ends of the line.
const ROW = /^(\d+),.*,(-?\d+\.?\d*),(-?\d+\.?\d*)$/;

function readCentroids(path: string): Centroid[] {
  const [header, ...rows] = readFileSync(path, 'utf8').trimEnd().split(/\r?\n/);
  if (header !== HEADER) throw new Error(`${path}: expected the header ${HEADER}, found ${header}`);
  return rows.map((row) => {
    const [, zone, lon, lat] = ROW.exec(row) ?? [];
    if (!zone || !lon || !lat) throw new Error(`${path}: can't read the row ${row}`);
    return { zone: Number(zone), lat: String(Number(lat)), lon: String(Number(lon)) };
  });
}

function moduleText(centroids: readonly Centroid[]): string {
  const cells = centroids.map(({ zone, lat, lon }) => `${zone}, ${lat}, ${lon},`);
  const lines: string[] = [];
  for (let i = 0; i < cells.length; i += ZONES_PER_LINE) {
    lines.push(`  ${cells.slice(i, i + ZONES_PER_LINE).join(' ')}`);
  }
  return `// Made by scripts/zone-centroids.ts; don't edit.

// biome-ignore format: three figures per zone (number, latitude, longitude), four zones per line
const FIGURES: readonly number[] = [
${lines.join('\n')}
];

/**
 * Latitude and longitude (degrees, WGS 84) of the centroid of each TLC taxi zone, by LocationID; ${centroids.length} zones.
 * The zones 57, 104, 105 (no polygon of their own), 264 and 265 (unknown, outside of NYC) are missing.
 *
 * Source: NYC Taxi & Limousine Commission taxi zones, centroids computed from the zone polygons.
 */
export const ZONE_CENTROIDS: ReadonlyMap<number, readonly [lat: number, lon: number]> = new Map(
  Array.from({ length: FIGURES.length / 3 }, (_, i) => {
    const centroid = [FIGURES[3 * i + 1]!, FIGURES[3 * i + 2]!] as const;
    return [FIGURES[3 * i]!, centroid] as const;
  }),
);
`;
}

const centroids = readCentroids(process.argv[2] ?? fileURLToPath(SOURCE));
writeFileSync(TARGET, moduleText(centroids.sort((a, b) => a.zone - b.zone)));
console.error(`${fileURLToPath(TARGET)}: ${centroids.length} zones`);
