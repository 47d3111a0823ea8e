/** SQL becomes views, or is refused with line, column, what is wrong and what is possible. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TaxiflowError } from '../../src/errors.ts';
import * as l from '../../src/views/language.ts';
import { sqlOfViews } from '../../src/views/sql/print.ts';
import { viewsOfSql } from '../../src/views/sql/views.ts';
import { taxiViews } from '../../src/views/taxi.ts';

const FROM = "FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '1' HOUR))";

/** A view that selects and groups by this. */
function view(columns: string, rest = '', group = '', from = FROM): l.View {
  const sql = `CREATE VIEW v AS SELECT window_start, window_end, ${columns} ${from} ${rest.startsWith('HAVING') ? '' : rest} GROUP BY window_start, window_end${group} ${rest.startsWith('HAVING') ? rest : ''}`;
  return viewsOfSql(sql, 'v.sql')[0]!;
}

function refusal(sql: string): TaxiflowError {
  try {
    viewsOfSql(sql, 'v.sql');
  } catch (error) {
    assert.ok(error instanceof TaxiflowError, String(error));
    return error;
  }
  return assert.fail(`accepted: ${sql}`);
}

const x = l.field('total_amount');
const zone = l.field('pickup_zone');
const summed = (sql: string) => (view(`SUM(${sql}) AS s`).aggregates['s'] as { of: l.Expression }).of;
const condition = (sql: string) => view('COUNT(*) AS n', `WHERE ${sql}`).where;

describe('SQL', () => {
  it('makes of the default views what they are', () => {
    assert.deepEqual(viewsOfSql(sqlOfViews(taxiViews()), 'taxi.sql'), taxiViews());
  });

  it('divides as SQL does: whole numbers are cut off, and a decimal is none', () => {
    const fraction = (of: number) => l.divide({ op: 'literal', value: of }, 1);
    assert.deepEqual(summed('pickup_zone / 2'), l.truncate(l.divide(zone, 2)));
    assert.deepEqual(summed('pickup_zone / 2.0'), l.divide(zone, 2));
    assert.deepEqual(summed('pickup_zone / 2e0'), l.divide(zone, 2));
    assert.deepEqual(summed('7 / 2.0'), l.divide(7, 2));
    assert.deepEqual(summed('pickup_zone * 1.0'), l.multiply(zone, fraction(1)));
    assert.deepEqual(summed('FLOOR(total_amount) / 2'), l.divide(l.floor(x), 2));
    assert.deepEqual(summed('CAST(pickup_zone AS DOUBLE) / 2'), l.divide(zone, 2));
    assert.deepEqual(
      summed('total_amount / NULLIF(trip_distance, 0)'),
      l.divide(x, l.field('trip_distance')),
    );
    assert.deepEqual(view('AVG(CAST(pickup_zone AS DOUBLE)) AS a').aggregates['a'], l.avg(zone));
    assert.deepEqual(
      view('AVG(CAST(total_amount / 3 AS DOUBLE)) AS a').aggregates['a'],
      l.avg(l.divide(x, 3)),
    );
  });

  it('has three truth values where it meets NOT', () => {
    assert.deepEqual(condition('NOT total_amount > 5'), l.lte(x, 5));
    assert.deepEqual(
      condition('NOT (total_amount > 5 AND pickup_zone = 1)'),
      l.any(l.lte(x, 5), l.ne(zone, 1)),
    );
    assert.deepEqual(condition('(total_amount > 5) IS NOT TRUE'), l.not(l.gt(x, 5)));
    assert.deepEqual(condition('total_amount NOT BETWEEN 1 AND 2'), l.any(l.lt(x, 1), l.gt(x, 2)));
    assert.deepEqual(
      condition('(total_amount > 5) IS UNKNOWN'),
      l.all(l.not(l.gt(x, 5)), l.not(l.lte(x, 5))),
    );
    assert.deepEqual(condition('total_amount = NULL'), { op: 'literal', value: false });
    assert.deepEqual(
      condition("NOT vendor_id IN ('a', 'b')"),
      l.all(l.ne(l.field('vendor_id'), 'a'), l.ne(l.field('vendor_id'), 'b')),
    );
  });

  it('reads timestamps and parts of times in the local time zone', () => {
    const sql = `SET 'table.local-time-zone' = 'America/New_York'; CREATE VIEW v AS SELECT window_start, window_end, HOUR(dropoff_datetime) AS h, COUNT(*) AS n
      FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '1' DAY)) WHERE dropoff_datetime > TIMESTAMP '2016-07-01 08:00:00'
      GROUP BY window_start, window_end, HOUR(dropoff_datetime)`;
    const [found] = viewsOfSql(sql, 'v.sql');
    assert.deepEqual(found!.window, l.tumbling('1d', { timeZone: 'America/New_York' }));
    assert.deepEqual(
      found!.by['h'],
      l.extract('hour', l.field('dropoff_datetime'), { timeZone: 'America/New_York' }),
    );
    assert.deepEqual(found!.where, l.gt(l.field('dropoff_datetime'), l.instant('2016-07-01T12:00:00Z')));
  });

  it('prints what reads back as the same, or says that it can not', () => {
    const base = {
      name: 'v',
      by: {},
      window: l.tumbling('1h'),
      aggregates: { n: l.count(), zones: l.count(zone) },
    };
    const same: l.View[] = [
      { ...base, having: l.gt(l.divide(l.aggregate('zones'), l.aggregate('n')), 0.1) },
      { ...base, by: { k: { op: 'literal', value: 0 }, half: { op: 'literal', value: 0.5 } } },
      { ...base, where: l.not(l.present(zone)) },
      { ...base, by: { order: zone, day: l.field('vendor_id') }, aggregates: { count: l.count() } },
      { ...base, aggregates: { s: l.sum(Array.from({ length: 240 }).reduce<l.Expression>((sum) => l.add(sum, 1), x)) } },
      { ...base, where: l.lt(l.subtract(0, x), -5) },
      { ...base, where: l.eq(l.field('vendor_id'), "it's") },
    ]; // biome-ignore format: a view a line
    for (const one of same) assert.deepEqual(viewsOfSql(sqlOfViews([one]), 'printed.sql'), [one]);
    // A condition is never missing.
    assert.match(sqlOfViews([{ ...base, where: l.not(l.present(l.gt(zone, 4))) }]), /WHERE FALSE/);
    const twice = { ...base, window: l.tumbling('1d', { timeZone: 'America/New_York' }) };
    const refused: l.View[] = [
      { ...twice, where: l.gt(l.field('dropoff_datetime'), l.instant('2016-11-06T06:30:00Z')) },
      { ...twice, by: { h: l.extract('hour', l.field('dropoff_datetime')) } },
      { ...base, window: l.tumbling('1d'), by: { h: l.extract('hour', l.field('dropoff_datetime'), { timeZone: 'Asia/Tokyo' }) } },
    ]; // biome-ignore format: a view a line
    for (const one of refused) assert.throws(() => sqlOfViews([one]), { code: 'no-sql' });
    sqlOfViews([{ ...twice, where: l.gt(l.field('dropoff_datetime'), l.instant('2016-11-06T05:30:00Z')) }]);
  });

  it('refuses what it does not have, where it stands', () => {
    const having = (text: string) => `CREATE VIEW v AS SELECT window_start, window_end, MAX(dropoff_datetime) AS m, COUNT(*) AS n ${FROM} GROUP BY window_start, window_end HAVING ${text}`; // biome-ignore format: one line
    const where = (text: string) => `CREATE VIEW v AS SELECT window_start, window_end, COUNT(*) AS n ${FROM} WHERE ${text} GROUP BY window_start, window_end`; // biome-ignore format: one line
    const nested = (name: string, depth: number) => Array.from({ length: depth }).reduce<string>((inner) => `${name}(${inner}, 1)`, 'total_amount'); // biome-ignore format: one line
    const wrong: [sql: string, message: RegExp][] = [
      ['SELECT 1', /^v\.sql:1:1: found SELECT, expected CREATE VIEW/],
      ['CREATE VIEW v AS\nSELECT window_start FROM trip', /^v\.sql:2:26: there is no table trip, in/],
      [where('fare_amout > 1'), /: there is no column fare_amout here/],
      [where('x.total_amount > 5'), /: there is no table x here/],
      [where('pickup_zone = 9007199254740993'), /: this whole number is too large to be exact/],
      [where("dropoff_datetime > TIMESTAMP '2016-01-11 08:00:00Z'"), /: '2016-01-11 08:00:00Z' is not a time/],
      [where("vendor_id LIKE 'a%'"), /: found LIKE: patterns are not supported/],
      [where('total_amount'), /: expected a condition here/],
      [where(`total_amount > 'five'`), /: cannot compare a number with a string/],
      [where('TRUE').replace('GROUP BY window_start, window_end', "GROUP BY TUMBLE(dropoff_datetime, INTERVAL '1' HOUR)"), /: TUMBLE is not a function of trips here/],
      [where('TRUE').replace("TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '1' HOUR)", "CUMULATE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '1' DAY, INTERVAL '1' HOUR)"), /: the step of CUMULATE is longer than the window/],
      [where(`${nested('COALESCE', 25)} > 0`), /: this expression has too many parts/],
      [where(`${nested('NULLIF', 25)} > 0`), /: this expression has too many parts/],
      [where(`total_amount > ${'1 + '.repeat(5_000)}1`), /: more than 250 operations in a row/],
      [having('SUM(total_amount) > 1'), /: HAVING takes aggregates that are selected too/],
      [having('-(MAX(dropoff_datetime)) < 5'), /: subtract needs numbers/],
      [`CREATE VIEW r AS SELECT *, 5 AS trip_distance FROM trips`, /: two columns are named trip_distance/],
      [`CREATE VIEW r AS SELECT *, 5 AS window_start FROM trips`, /: window_start is a column of windows/],
      [`SET 'table.local-time-zone' = 'America/New_York'; ${where('TRUE').replace("'1' HOUR", "'6' HOUR")}`, /: TUMBLE in America\/New_York needs whole days/],
      [`SET 'table.local-time-zone' = 'Asia/Kolkata'; ${where('TRUE')}`, /: TUMBLE in Asia\/Kolkata needs whole days/],
      [`SET 'table.local-time-zone' = 'America/Gotham'`, /^v\.sql:1:31: America\/Gotham is not a time zone/],
      [where('TRUE').replace('GROUP BY window_start, window_end', 'GROUP BY window_start'), /: GROUP BY lacks window_end/],
      [where('TRUE').replace('COUNT(*)', 'SUM(total_amount) / COUNT(*)'), /: SUM is part of an expression here/],
      [where('TRUE').replace('COUNT(*) AS n', 'vendor_id, COUNT(*) AS n'), /: vendor_id is neither an aggregate nor in GROUP BY/],
      [`${where('TRUE')} ORDER BY n`, /: found ORDER: results have no order/],
      [where('TRUE').replace('AS n', ''), /: this column needs a name/],
      [`CREATE VIEW t AS SELECT * FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY n) AS r FROM (${where('TRUE').slice(17)})) WHERE r <= 3`, /: PARTITION BY lacks window_start/],
    ]; // biome-ignore format: a mistake a line
    for (const [sql, message] of wrong) {
      const error = refusal(sql);
      assert.match(error.message, message);
      assert.match(error.message, /^v\.sql:\d+:\d+: /);
      assert.equal(error.exitCode, 2);
      assert.ok(error.hint);
    }
  });

  it('says how a literal is written for what it is compared with', () => {
    const hint = (condition: string) => refusal(`CREATE VIEW v AS SELECT window_start, window_end, COUNT(*) AS n ${FROM} WHERE ${condition} GROUP BY window_start, window_end`).hint; // biome-ignore format: one line
    assert.match(hint('vendor_id = 1')!, /^write '1'/);
    assert.match(hint('2 = vendor_id')!, /^write '2'/);
    assert.equal(hint("pickup_datetime > '2016-01-11 08:00:00'"), "write TIMESTAMP '2016-01-11 08:00:00'");
    assert.match(hint("trip_distance BETWEEN '1' AND 5")!, /without quotes/);
    assert.match(hint('pickup_datetime > 5')!, /"SQL" in docs\/views.md/);
  });

  it('has conditions over aggregates that are times', () => {
    const found = view('MAX(dropoff_datetime) AS m, MIN(dropoff_datetime) AS f', 'HAVING TIMESTAMPDIFF(MINUTE, MIN(dropoff_datetime), MAX(dropoff_datetime)) > 5 AND HOUR(MAX(dropoff_datetime)) IS NOT NULL'); // biome-ignore format: one line
    assert.deepEqual(viewsOfSql(sqlOfViews([found]), 'printed.sql'), [found]);
  });
});
