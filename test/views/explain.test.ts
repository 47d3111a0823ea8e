import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explainExpression, explainViews } from '../../src/views/explain.ts';
import * as l from '../../src/views/language.ts';
import { taxiViews } from '../../src/views/taxi.ts';

describe('views in words', () => {
  it('say all that the default views are made of', () => {
    const text = explainViews(taxiViews(), 'drop-off time');
    const [pickups = '', durations = ''] = text.split('\n\n');
    assert.deepEqual(pickups.split('\n'), [
      'view pickup_count',
      '  window     tumbling 10m on drop-off time',
      '  where      ((pickup_lat, pickup_lon) in 40.56…40.878, -74.054…-73.722 and (dropoff_lat, dropoff_lon) in 40.56…40.878, -74.054…-73.722)',
      '  by         location = geohash(pickup_lat, pickup_lon, 6)',
      '  aggregate  pickup_count = count()',
      '  having     (pickup_count ≥ 2)',
    ]);
    for (const part of [
      "then 'JFK'",
      "then 'LGA'",
      'dropoff_zone = 132',
      'not dropoff_lat is present',
      'sum_trip_duration = sum(truncate(((dropoff_datetime − pickup_datetime) ÷ 60000)))',
      '(trip_count > 1)',
    ]) {
      assert.ok(durations.includes(part), `${part} in:\n${durations}`);
    }
  });

  it('read as one would write them', () => {
    const expressions: [l.Expression, string][] = [
      [l.add(l.field('trip_distance'), 1), '(trip_distance + 1)'],
      [l.multiply(2, l.subtract(l.field('total_amount'), 0.5)), '(2 × (total_amount − 0.5))'],
      [l.ne(l.field('vendor_id'), 'CMT'), "(vendor_id ≠ 'CMT')"],
      [l.any(l.lt(1, 2), l.lte(1, 2)), '((1 < 2) or (1 ≤ 2))'],
      [l.not(l.present(l.field('replay'))), 'not replay is present'],
      [l.choose([[l.gt(1, 2), 3]], 4), 'case when (1 > 2) then 3 else 4 end'],
      [l.choose([[l.gt(1, 2), 3]]), 'case when (1 > 2) then 3 end'],
    ];
    for (const [expression, text] of expressions) assert.equal(explainExpression(expression), text);
  });

  it('tell the windows and what they go by', () => {
    const of = (window: l.Window) =>
      explainViews(
        [l.view({ name: 'v', by: {}, window, aggregates: { n: l.count() } })],
        'arrival time',
      ).split('\n')[1];
    assert.equal(of(l.tumbling('90m')), '  window     tumbling 90m on arrival time');
    assert.equal(of(l.tumbling('2d')), '  window     tumbling 2d on arrival time');
    assert.equal(of(l.sliding('1h', '1500ms')), '  window     sliding 1h every 1500ms on arrival time');
  });
});

describe('durations', () => {
  it('are written as numbers with a unit', () => {
    const texts: [string | number, number][] = [
      ['500ms', 500],
      ['90s', 90_000],
      ['10m', 600_000],
      ['10 min', 600_000],
      ['1.5h', 5_400_000],
      ['2d', 172_800_000],
      [' 7s ', 7_000],
      ['0', 0],
      [42, 42],
    ];
    for (const [text, ms] of texts) assert.equal(l.duration(text), ms, String(text));
    for (const text of ['', 'x', '10', '600000', '10 x', '-1m', 'm', '1h30m'])
      assert.equal(l.duration(text), Number.NaN, text);
  });
});
