/** The names on the map stand on what they name, with room around them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { OUTLINE, OUTLINES_OF_ZONES, type Outline } from '../../scripts/outline.ts';
import { NAMES, type Name } from '../../src/dashboard/page/names.ts';
import { loadZones, type StoredZones } from '../../src/dashboard/page/zones.ts';
import { cell, cellBounds } from '../../src/views/geohash.ts';
import { JFK, LGA } from '../../src/views/taxi.ts';
import { inside } from './inside.ts';

const land = JSON.parse(readFileSync(OUTLINE, 'utf8')) as Outline;
const zones = loadZones(JSON.parse(readFileSync(OUTLINES_OF_ZONES, 'utf8')) as StoredZones);

/** Pixels of a letter, as the page draws it, and of a line. */
const LETTER: Readonly<Record<Name['kind'], number>> = {
  borough: 9.2,
  around: 6.1,
  airport: 8.5,
  area: 6.1,
  water: 6.6,
};
const LINE = 12;

/** Whether a borough's finer outline, made of its zones, has a point. */
function isIn(borough: string, lon: number, lat: number): boolean {
  const own = [...zones.values()].filter((zone) => zone.borough === borough);
  return own.some(({ rings }) => rings.some(([ring]) => inside(ring!, lon, lat)));
}

/** The land that a point is on, as the map draws it: the boroughs over the land around. */
function landAt(lon: number, lat: number): string {
  const found = land.features.findLast(({ geometry }) =>
    geometry.coordinates.some(([ring]) => inside(ring!, lon, lat)),
  );
  return found?.properties.name ?? 'water';
}

/** Points along the middle of a text, two pixels apart, at a zoom level. */
function along({ text, kind, lon, lat, anchor, rotation }: Name, zoom: number): [lon: number, lat: number][] {
  const half = (text.length * LETTER[kind]) / 2;
  const degrees = 360 / (512 * 2 ** zoom);
  const turn = (rotation * Math.PI) / 180;
  const up = anchor === 'bottom' ? LINE / 2 : 0;
  return Array.from({ length: Math.ceil(half) + 1 }, (_, i) => {
    const x = -half + 2 * i;
    const squeeze = Math.cos((lat * Math.PI) / 180);
    return [lon + x * Math.cos(turn) * degrees, lat + (up - x * Math.sin(turn)) * degrees * squeeze];
  });
}

test('boroughs and lands around have their names on them, as long as these are', () => {
  for (const name of NAMES) {
    for (const zoom of [name.minZoom, name.minZoom + 1, 14]) {
      for (const [lon, lat] of along(name, zoom)) {
        const where = `${name.text} at ${lon}, ${lat}, zoom ${zoom}`;
        if (name.kind === 'borough') assert.ok(isIn(name.text.replace('The ', ''), lon, lat), where);
        if (name.kind === 'around' || name.kind === 'water') assert.equal(landAt(lon, lat), name.kind, where);
        if (name.kind === 'area') assert.notEqual(landAt(lon, lat), 'water', where);
      }
    }
  }
  for (const text of ['Manhattan', 'Brooklyn', 'Queens', 'The Bronx', 'Staten Island', 'New Jersey'])
    assert.ok(
      NAMES.some((name) => name.text === text),
      text,
    );
});

test('names never overlap', () => {
  // Later on they are only farther apart.
  const gap = (a: Name, b: Name, zoom: number) => {
    const pixels = (512 * 2 ** zoom) / 360;
    const squeeze = Math.cos((a.lat * Math.PI) / 180);
    const others = along(b, zoom);
    const gaps = along(a, zoom).map(([lon, lat]) =>
      Math.min(...others.map((to) => Math.hypot(to[0] - lon, (to[1] - lat) / squeeze) * pixels)),
    );
    return Math.min(...gaps);
  };
  NAMES.forEach((a, i) => {
    for (const b of NAMES.slice(i + 1)) {
      const room = gap(a, b, Math.max(a.minZoom, b.minZoom));
      assert.ok(room > LINE + 3, `${a.text} and ${b.text}: ${room} pixels between their middles`);
    }
  });
});

test("an airport's name ends above the cells of its trips", () => {
  for (const [area, text] of [
    [JFK, 'JFK'],
    [LGA, 'LGA'],
  ] as const) {
    const { lon, lat, anchor } = NAMES.find((name) => name.text === text)!;
    assert.equal(anchor, 'bottom');
    assert.ok(lat > cellBounds(cell(area.north, area.west, 6), 6).north, text);
    assert.ok(lon > area.west && lon < area.east, text);
  }
});
