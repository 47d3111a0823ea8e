import assert from 'node:assert/strict';
import { it } from 'node:test';
import * as l from '../../src/views/language.ts';
import { groupFields, isPlace } from '../../src/views/places.ts';
import { taxiViews } from '../../src/views/taxi.ts';

it('places are cells and zones as they are; what is made of them is none', () => {
  const zone = l.field('pickup_zone');
  for (const place of [l.geohash('pickup', 6), l.geohash('dropoff', 3), zone, l.field('dropoff_zone')])
    assert.equal(isPlace(place), true);
  for (const other of [l.field('vendor_id'), l.field('pickup_lat'), l.truncate(l.divide(zone, 2)), l.choose([[l.eq(zone, 132), 'JFK']], 'other')]) // biome-ignore format: one line
    assert.equal(isPlace(other), false);
  assert.deepEqual(taxiViews().map(groupFields), [[], ['airport_code']]);
});
