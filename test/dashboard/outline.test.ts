/** A script makes the map's land from the TLC zones and the Census Bureau's counties, reproducibly. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it, test } from 'node:test';
import {
  COARSE,
  OUTLINE,
  OUTLINES_OF_ZONES,
  type Outline,
  outline,
  PLACES,
  readPlaces,
  readZones,
  SAVED_LAND,
  zonesText,
} from '../../scripts/outline.ts';
import { zoneOutlines } from '../../scripts/zone-outlines.ts';
import { withoutSamples } from '../files.ts';
import { inside } from './inside.ts';

const land = JSON.parse(readFileSync(OUTLINE, 'utf8')) as Outline;
/** What the saved dashboard of OpenSearch is drawn from. */
const saved = JSON.parse(readFileSync(SAVED_LAND, 'utf8')) as Outline;

describe('from the zones', { skip: withoutSamples }, () => {
  it('the script reproduces the stored outlines', () => {
    const zones = readZones();
    assert.deepEqual(outline(zones), land);
    assert.deepEqual(outline(zones, COARSE), saved);
  });

  it('the script reproduces the stored outlines of the zones', () => {
    assert.equal(readFileSync(OUTLINES_OF_ZONES, 'utf8'), zonesText(zoneOutlines(readZones())));
  });

  it('the script reproduces the stored places', () => {
    assert.deepEqual(JSON.parse(readFileSync(PLACES, 'utf8')), readPlaces());
  });
});

for (const [which, outlines, least, most] of [
  ["the page's", land, 700, 1_500],
  ["the saved dashboard's", saved, 300, 700],
] as const) {
  test(`${which} outline is small and closed, and has five boroughs and the surrounding land`, () => {
    assert.deepEqual(
      outlines.features.map(({ properties }) => properties.name),
      ['around', 'Manhattan', 'Brooklyn', 'Queens', 'Bronx', 'Staten Island'],
    );
    const rings = outlines.features.flatMap(({ geometry }) => geometry.coordinates.flat());
    const points = rings.flat().length;
    assert.ok(points > least && points < most, `${points} points`);
    for (const ring of rings) {
      assert.deepEqual(ring[0], ring.at(-1), 'closed');
      assert.ok(ring.length >= 4, 'has an inside');
    }
  });

  test(`places are on the land of their borough in ${which} outline, and rivers are not on land`, () =>
    placesAreOn(outlines));
}

function placesAreOn(outlines: Outline): void {
  const on = (lon: number, lat: number) =>
    outlines.features.findLast(({ geometry }) =>
      geometry.coordinates.some(([ring]) => inside(ring!, lon, lat)),
    )?.properties.name;
  for (const [name, lon, lat, borough] of [
    ['Times Square', -73.9855, 40.758, 'Manhattan'],
    ['Inwood', -73.921, 40.8677, 'Manhattan'],
    ['Roosevelt Island', -73.95, 40.7614, 'Manhattan'],
    ['JFK', -73.7822, 40.6441, 'Queens'],
    ['LaGuardia', -73.872, 40.7735, 'Queens'],
    ['Rockaway Beach', -73.82, 40.587, 'Queens'],
    ['Prospect Park', -73.969, 40.6602, 'Brooklyn'],
    ['Yankee Stadium', -73.9262, 40.8296, 'Bronx'],
    ['St George', -74.078, 40.643, 'Staten Island'],
    ['Jersey City', -74.05, 40.72, 'around'],
    ['Newark', -74.172, 40.735, 'around'],
    ['Yonkers', -73.87, 40.94, 'around'],
    ['Great Neck', -73.73, 40.79, 'around'],
    // Here the coarse border of a county runs beside the finer one of a borough.
    ['Mount Vernon', -73.837, 40.9115, 'around'],
    ['Floral Park', -73.702, 40.724, 'around'],
    ['the Hudson', -74.015, 40.76, undefined],
    ['the East River', -73.966, 40.74, undefined],
    ['the Upper Bay', -74.04, 40.66, undefined],
    ['the Atlantic', -73.85, 40.55, undefined],
  ] as const) {
    assert.equal(on(lon, lat), borough, name);
  }
}
