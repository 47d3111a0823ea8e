import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  cell,
  cell6,
  cellBounds,
  cellCenter,
  cellCode,
  cellText,
  MAX_PRECISION,
} from '../../src/views/geohash.ts';

const ALPHABET = '0123456789bcdefghjkmnpqrstuvwxyz';

/** Geohash as it is defined: halve the box again and again, longitude first. */
function bisected(lat: number, lon: number, precision: number): string {
  const box = { lat: [-90, 90], lon: [-180, 180] } as const satisfies Record<
    string,
    readonly [number, number]
  >;
  const [south, north, west, east] = [0, 1, 2, 3] as const;
  const edges: [number, number, number, number] = [...box.lat, ...box.lon];
  let text = '';
  for (let bits = 0, digit = 0, n = 0; n < precision * 5; n++) {
    const [low, high, value] = n % 2 === 0 ? ([west, east, lon] as const) : ([south, north, lat] as const);
    const middle = (edges[low] + edges[high]) / 2;
    digit = digit * 2 + (value >= middle ? 1 : 0);
    edges[value >= middle ? low : high] = middle;
    if (++bits === 5) {
      text += ALPHABET[digit];
      bits = 0;
      digit = 0;
    }
  }
  return text;
}

const precisions = fc.integer({ min: 1, max: MAX_PRECISION });

/** A number, or the doubles next to it. */
const nudged = (values: fc.Arbitrary<number>) =>
  fc.tuple(values, fc.integer({ min: -2, max: 2 })).map(([value, ulps]) => {
    const bits = new DataView(new ArrayBuffer(8));
    bits.setFloat64(0, value);
    bits.setBigInt64(0, bits.getBigInt64(0) + BigInt(ulps));
    const near = bits.getFloat64(0);
    return Number.isFinite(near) ? near : value;
  });
/** Borders of cells of every size. */
const borders = (low: number, span: number) =>
  fc
    .integer({ min: 0, max: 25 })
    .chain((bits) => fc.nat(2 ** bits).map((part) => low + (span * part) / 2 ** bits));
const latitudes = fc.oneof(
  fc.double({ min: -90, max: 90, noNaN: true }),
  fc.double({ min: 40.5, max: 40.9, noNaN: true }),
  nudged(borders(-90, 180)).filter((lat) => lat >= -90 && lat <= 90),
  fc.constantFrom(-90, 90, 0, -0, 45, Number.MIN_VALUE, -Number.MIN_VALUE),
);
const longitudes = fc.oneof(
  fc.double({ min: -180, max: 180, noNaN: true }),
  fc.double({ min: -74.1, max: -73.7, noNaN: true }),
  nudged(borders(-180, 360)).filter((lon) => lon >= -180 && lon <= 180),
  fc.constantFrom(-180, 180, 0, -0, -73.125, Number.MIN_VALUE, -Number.MIN_VALUE),
);

describe('geohash cells', () => {
  it('are those repeated bisection finds, also on their borders and next to them', () => {
    fc.assert(
      fc.property(latitudes, longitudes, precisions, (lat, lon, precision) => {
        assert.equal(cellText(cell(lat, lon, precision), precision), bisected(lat, lon, precision));
        assert.equal(cellText(cell6(lat, lon), 6), bisected(lat, lon, 6));
      }),
      { numRuns: 10_000 },
    );
  });

  it('are the well-known ones', () => {
    // The examples of the original service, and Times Square.
    assert.equal(cellText(cell(57.64911, 10.40744, 10), 10), 'u4pruydqqv');
    assert.equal(cellText(cell(42.6, -5.6, 5), 5), 'ezs42');
    assert.equal(cellText(cell6(40.758, -73.9855), 6), 'dr5ru7');
  });

  it('are none where there are no coordinates', () => {
    const outside: [number, number][] = [
      [Number.NaN, 0],
      [0, Number.NaN],
      [90.0001, 0],
      [-90.0001, 0],
      [0, 180.0001],
      [0, -180.0001],
      [Number.POSITIVE_INFINITY, 0],
      [0, Number.NEGATIVE_INFINITY],
    ];
    for (const [lat, lon] of outside) {
      assert.equal(cell6(lat, lon), -1, `${lat}, ${lon}`);
      assert.equal(cell(lat, lon, 5), -1, `${lat}, ${lon}`);
    }
  });

  it('come back from their text, in the order of their texts', () => {
    fc.assert(
      fc.property(
        latitudes,
        longitudes,
        latitudes,
        longitudes,
        precisions,
        (lat, lon, lat2, lon2, precision) => {
          const [a, b] = [cell(lat, lon, precision), cell(lat2, lon2, precision)];
          assert.equal(cellCode(cellText(a, precision)), a);
          assert.equal(a < b, cellText(a, precision) < cellText(b, precision));
        },
      ),
      { numRuns: 2_000 },
    );
    for (const text of ['a', 'dr5rul', 'DR5', 'i', 'o', ' ']) {
      assert.equal(cellCode(text) >= 0, /^[0-9b-hjkmnp-z]+$/.test(text), text);
    }
  });

  it('hold their middle', () => {
    fc.assert(
      fc.property(latitudes, longitudes, precisions, (lat, lon, precision) => {
        const text = bisected(lat, lon, precision);
        const middle = cellCenter(text);
        assert.equal(bisected(middle.lat, middle.lon, precision), text);
      }),
      { numRuns: 2_000 },
    );
  });

  it('have what is in them between their edges', () => {
    fc.assert(
      fc.property(latitudes, longitudes, precisions, (lat, lon, precision) => {
        const { west, south, east, north } = cellBounds(cell(lat, lon, precision), precision);
        assert.ok(west <= lon && (lon < east || east === 180), `${west} <= ${lon} < ${east}`);
        assert.ok(south <= lat && (lat < north || north === 90), `${south} <= ${lat} < ${north}`);
        assert.equal((east - west) * 2 ** Math.ceil(precision * 2.5), 360);
        assert.equal((north - south) * 2 ** Math.floor(precision * 2.5), 180);
      }),
      { numRuns: 2_000 },
    );
  });
});
