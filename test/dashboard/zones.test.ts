/** The outlines of the TLC zones: whole, small, and one border between neighbours. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it, test } from 'node:test';
import fc from 'fast-check';
import { OUTLINES_OF_ZONES, readZones } from '../../scripts/outline.ts';
import { polygonsOf } from '../../scripts/zone-outlines.ts';
import { compress } from '../../src/dashboard/assets.ts';
import {
  loadZones,
  numbersOf,
  numbersText,
  type Position,
  type StoredZones,
  type Zone,
  zoneName,
  zonesOfCell,
} from '../../src/dashboard/page/zones.ts';
import { ZONE_CENTROIDS } from '../../src/dataset/zone-centroids.ts';
import { cell, cellText, MAX_PRECISION } from '../../src/views/geohash.ts';
import { withoutSamples } from '../files.ts';
import { inside } from './inside.ts';

/** Metres a degree, in New York. */
const [METRES_LON, METRES_LAT] = [84_270, 111_100];

const bytes = readFileSync(OUTLINES_OF_ZONES);
const zones = loadZones(JSON.parse(bytes.toString()) as StoredZones);
const all = [...new Set(zones.values())];

test('the file is small, also on the way to the browser', async () => {
  assert.ok(bytes.length < 36_000, `${bytes.length} bytes`);
  const sent = (await compress(bytes, 'br')).bytes.length;
  assert.ok(sent < 18_200, `${sent} bytes compressed`);
});

test('each zone that trips can lie in has an outline, and each number a name', () => {
  assert.deepEqual(
    all.map(({ id }) => id),
    [...ZONE_CENTROIDS.keys()],
  );
  for (const [part, whole] of [
    [57, 'Corona'],
    [104, "Governor's Island/Ellis Island/Liberty Island"],
    [105, "Governor's Island/Ellis Island/Liberty Island"],
  ] as const)
    assert.equal(zones.get(part)?.name, whole);
  for (const [id, name] of [
    [132, 'JFK Airport'],
    [264, 'Unknown'],
    [265, 'Outside of NYC'],
    [999, 'Zone 999'],
  ] as const)
    assert.equal(zoneName(zones, id), name);
});

test('rings are closed, run counterclockwise and lie within the bounds; the largest is the first', () => {
  for (const { id, rings, bounds } of all) {
    assert.ok(rings.length > 0, `zone ${id}`);
    const sizes = rings.map(([ring]) => area(ring!));
    assert.equal(sizes[0], Math.max(...sizes), `zone ${id}`);
    for (const [ring] of rings) {
      assert.deepEqual(ring![0], ring!.at(-1), `zone ${id}`);
      assert.ok(area(ring!) > 25_000, `zone ${id} has a part of ${area(ring!)} m²`);
      for (const [lon, lat] of ring!) {
        assert.ok(lon >= bounds.west && lon <= bounds.east, `zone ${id}`);
        assert.ok(lat >= bounds.south && lat <= bounds.north, `zone ${id}`);
      }
    }
  }
});

test("a zone's label is well inside its largest part", () => {
  for (const { id, rings, label } of all) {
    const ring = rings[0]![0]!;
    assert.ok(inside(ring, ...label), `zone ${id}`);
    const room = Math.min(...edgesOf(ring).map(([a, b]) => metres(label, a, b)));
    // Half of what a square of this size would give, and less for the long ones.
    assert.ok(room > 0.12 * Math.sqrt(area(ring)), `zone ${id}: ${room} m to the border`);
  }
});

test('neighbours share one border: outlines never cross, and each edge has one zone on a side', () => {
  const sides = new Map<string, number>();
  const edges: [Position, Position][] = [];
  for (const { id, rings } of all) {
    for (const [a, b] of rings.flat().flatMap(edgesOf)) {
      assert.equal(sides.get(`${a} ${b}`), undefined, `zone ${id} covers an edge of another one`);
      sides.set(`${a} ${b}`, id);
      if (!sides.has(`${b} ${a}`)) edges.push([a, b]);
    }
  }
  const shared = sides.size - edges.length;
  assert.ok(shared > 2_000, `${shared} edges have zones on both sides`);
  edges.sort(([a, b], [c, d]) => Math.min(a[0], b[0]) - Math.min(c[0], d[0]));
  edges.forEach(([a, b], i) => {
    for (let k = i + 1; k < edges.length; k++) {
      const [c, d] = edges[k]!;
      if (Math.min(c[0], d[0]) > Math.max(a[0], b[0])) break;
      assert.ok(!cross(a, b, c, d), `edges cross at ${a}`);
    }
  });
});

test('a cell stands for the zones whose trips replay puts there', () => {
  for (let precision = 1; precision <= MAX_PRECISION; precision++) {
    const cells = zonesOfCell(zones, precision);
    for (const [id, [lat, lon]] of ZONE_CENTROIDS)
      assert.ok(cells.get(cellText(cell(lat, lon, precision), precision))?.includes(id), `zone ${id}`);
    assert.equal([...cells.values()].flat().length, ZONE_CENTROIDS.size, 'each zone once');
  }
});

test('numbers come back from their text', () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), (numbers) => {
      assert.deepEqual(numbersOf(numbersText(numbers)), numbers);
    }),
  );
  assert.equal(numbersText([0, -1, 15, -16, 16]).length, 6, 'small numbers take one character');
});

describe('against the polygons of the TLC', { skip: withoutSamples }, () => {
  /** Metres: the tolerance of a shore, a pier's half breadth, and a step of the grid. */
  const OFF = 110;
  /** Square metres: smaller parts are left out, or go to the zone beside them. */
  const SMALL = 50_000;

  const parts = withoutSamples
    ? []
    : readZones().flatMap(({ properties: { LocationID: id }, geometry }) =>
        polygonsOf(geometry).map(([ring]) => ({ id, ring: ring as Position[] })),
      );

  it('every place on land is in the zone that it was in, except close to a border', () => {
    let [checked, offLand] = [0, 0];
    for (const { id, ring } of parts) {
      if (Math.abs(area(ring)) < SMALL) continue;
      for (const point of pointsIn(ring, 40)) {
        checked++;
        const zone = all.find((other) => covers(other, point));
        if (zone?.id === id) continue;
        const away = distanceTo(zones.get(id)!, point);
        if (zone) assert.ok(away < 45, `${point} of zone ${id} is in zone ${zone.id}, ${away} m off`);
        else if (away > OFF) offLand++;
      }
    }
    assert.ok(checked > 10_000, `${checked} points`);
    assert.ok(offLand < checked / 500, `${offLand} of ${checked} points, of long piers, are left out`);
  });

  it('a zone keeps its size', () => {
    for (const { id, rings } of all) {
      const own = parts.filter((part) => part.id === id);
      const before = own.reduce((sum, { ring }) => sum + Math.abs(area(ring)), 0);
      const kept = rings.reduce((sum, [ring]) => sum + area(ring!), 0) / before;
      // The waterfronts lose their piers.
      assert.ok(kept > 0.82 && kept < 1.08, `zone ${id} has ${kept} of its size`);
    }
  });
});

function edgesOf(ring: readonly Position[]): [Position, Position][] {
  return ring.slice(1).map((point, i) => [ring[i]!, point]);
}

/** Square metres; positive if the ring runs counterclockwise. */
function area(ring: readonly Position[]): number {
  const twice = edgesOf(ring).reduce((sum, [a, b]) => sum + a[0] * b[1] - b[0] * a[1], 0);
  return (twice / 2) * METRES_LON * METRES_LAT;
}

/** Metres from a point to an edge. */
function metres(point: Position, a: Position, b: Position): number {
  const [x, y] = [(b[0] - a[0]) * METRES_LON, (b[1] - a[1]) * METRES_LAT];
  const [px, py] = [(point[0] - a[0]) * METRES_LON, (point[1] - a[1]) * METRES_LAT];
  const along = Math.max(0, Math.min(1, (px * x + py * y) / (x * x + y * y)));
  return Math.hypot(px - along * x, py - along * y);
}

function distanceTo({ rings }: Zone, point: Position): number {
  const distances = rings
    .flat()
    .map((ring) => Math.min(...edgesOf(ring).map(([a, b]) => metres(point, a, b))));
  return Math.min(...distances);
}

function covers({ rings, bounds }: Zone, [lon, lat]: Position): boolean {
  if (lon < bounds.west || lon > bounds.east || lat < bounds.south || lat > bounds.north) return false;
  return rings.some(([ring]) => inside(ring!, lon, lat));
}

/** Whether two edges cross within; edges that meet at an end don't. */
function cross(a: Position, b: Position, c: Position, d: Position): boolean {
  const side = (p: Position, q: Position, r: Position) =>
    Math.sign((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]));
  const meet = [c, d].some((end) => [a, b].some((other) => String(end) === String(other)));
  return !meet && side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0;
}

/** Points of a grid over a ring's box that are inside it. */
function pointsIn(ring: readonly Position[], count: number): Position[] {
  const [lons, lats] = [ring.map(([lon]) => lon), ring.map(([, lat]) => lat)];
  const low: Position = [lons.reduce((a, b) => Math.min(a, b)), lats.reduce((a, b) => Math.min(a, b))];
  const high: Position = [lons.reduce((a, b) => Math.max(a, b)), lats.reduce((a, b) => Math.max(a, b))];
  const side = Math.ceil(Math.sqrt(count * 2));
  return Array.from({ length: side * side }, (_, i): Position => {
    const [x, y] = [(i % side) + 0.5, Math.floor(i / side) + 0.5];
    return [low[0] + (x / side) * (high[0] - low[0]), low[1] + (y / side) * (high[1] - low[1])];
  }).filter(([lon, lat]) => inside(ring, lon, lat));
}
