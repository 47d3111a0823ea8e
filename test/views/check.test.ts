import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TaxiflowError } from '../../src/errors.ts';
import { TripColumns } from '../../src/events/columns.ts';
import { checkViews, fieldsOf, TRIP_SCOPE, typeOf } from '../../src/views/check.ts';
import { explainViews } from '../../src/views/explain.ts';
import { compileView } from '../../src/views/javascript/compile.ts';
import * as l from '../../src/views/language.ts';
import { taxiViews } from '../../src/views/taxi.ts';

const vendor = l.field('vendor_id');
const miles = l.field('trip_distance');
const pickup = l.field('pickup_datetime');
const dropoff = l.field('dropoff_datetime');

const sound = () => ({
  name: 'sound',
  where: l.gt(miles, 1) as unknown,
  by: { location: l.geohash('pickup', 6) } as Record<string, unknown>,
  window: l.tumbling('10m') as unknown,
  aggregates: { trips: l.count(), miles: l.sum(miles), first: l.min(pickup) } as Record<string, unknown>,
  having: l.gt(l.aggregate('trips'), 1) as unknown,
});
type Draft = ReturnType<typeof sound>;

/** Conditions in conditions. */
function nested(depth: number): l.Expression {
  let condition = l.gt(miles, 1);
  for (let i = 0; i < depth; i++) condition = l.not(condition);
  return condition;
}

function inItself(): unknown {
  const condition: Record<string, unknown> = { op: 'not' };
  condition['of'] = condition;
  return condition;
}

/** One object, met 2^levels times. */
function doubled(levels: number): l.Expression {
  let sum: l.Expression = miles;
  for (let i = 0; i < levels; i++) sum = l.add(sum, sum);
  return sum;
}

/** What is wrong with the second of two views, and where that is said to be. */
const mistakes: [what: string, change: (view: Draft) => unknown, message: RegExp][] = [
  ['no object', () => 7, /^views\[1\]: not a view/],
  ['null', () => null, /^views\[1\]: not a view/],
  ['an unknown part', (v) => ({ ...v, wher: v.where }), /^views\[1\]\.wher: a view has no such part/],
  ['no name', ({ name: _, ...v }) => v, /^views\[1\]\.name: undefined is not a valid name/],
  ['a bad name', (v) => ({ ...v, name: 'My View' }), /^views\[1\]\.name: "My View" is not a valid name/],
  ['a name taken', (v) => ({ ...v, name: 'first' }), /^views\[1\]\.name: two views are named first/],
  ['a where that is a number', (v) => ({ ...v, where: miles }), /^views\[1\]\.where: expected a boolean, but this is a number/],
  ['an unknown field', (v) => ({ ...v, where: l.gt({ op: 'field', name: 'fare' }, 1) }), /^views\[1\]\.where\.left: there is no field "fare"/],
  ['an unknown operation', (v) => ({ ...v, where: { op: 'xor' } }), /^views\[1\]\.where\.op: "xor" is not an operation/],
  ['no expression', (v) => ({ ...v, where: 'trip_distance > 1' }), /^views\[1\]\.where: not an expression/],
  ['types that differ', (v) => ({ ...v, where: l.eq(vendor, 1) }), /^views\[1\]\.where: cannot compare a string with an integer/],
  ['times with numbers', (v) => ({ ...v, where: l.gt(pickup, 5) }), /^views\[1\]\.where: cannot compare a time with an integer/],
  ['conditions compared', (v) => ({ ...v, where: l.eq(l.gt(miles, 1), true) }), /^views\[1\]\.where: conditions cannot be compared/],
  ['strings in order', (v) => ({ ...v, where: l.lt(vendor, 'CMT') }), /^views\[1\]\.where: strings can be compared only with eq and ne/],
  ['two string fields', (v) => ({ ...v, where: l.eq(vendor, l.field('replay')) }), /^views\[1\]\.where: a string can be compared only with a literal/],
  ['two string literals', (v) => ({ ...v, where: l.eq('a', 'b') }), /^views\[1\]\.where: a string can be compared only with a literal/],
  ['an empty and', (v) => ({ ...v, where: l.all() }), /^views\[1\]\.where\.of: not a list of conditions/],
  ['a number among conditions', (v) => ({ ...v, where: l.any(l.gt(miles, 1), miles) }), /^views\[1\]\.where\.of\[1\]: expected a boolean, but this is a number/],
  ['not of a number', (v) => ({ ...v, where: l.not(miles) }), /^views\[1\]\.where\.of: expected a boolean, but this is a number/],
  ['a literal of nothing', (v) => ({ ...v, where: l.eq(miles, { op: 'literal', value: null as never }) }), /^views\[1\]\.where\.right: a literal must be/],
  ['an area inside out', (v) => ({ ...v, where: l.within('pickup', { south: 2, north: 1, west: 0, east: 1 }) }), /^views\[1\]\.where\.area: not a box/],
  ['an area of words', (v) => ({ ...v, where: l.within('pickup', 'NYC' as never) }), /^views\[1\]\.where\.area: not an area/],
  ['a point of words', (v) => ({ ...v, where: { op: 'within', lat: vendor, lon: miles, area: {} } }), /^views\[1\]\.where\.lat: not a number/],
  ['no keys', ({ by: _, ...v }) => v, /^views\[1\]\.by: not an object/],
  ['too many keys', (v) => ({ ...v, by: Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`k${i}`, vendor])) }), /^views\[1\]\.by: more than 8/],
  ['a bad key name', (v) => ({ ...v, by: { 'a b': vendor } }), /^views\[1\]\.by\.a b: "a b" is not a valid name/],
  ['a reserved key name', (v) => ({ ...v, by: { timestamp: vendor } }), /^views\[1\]\.by\.timestamp: timestamp is part of every result/],
  ['a condition as key', (v) => ({ ...v, by: { far: l.gt(miles, 5) } }), /^views\[1\]\.by\.far: a key must be a number, a time or a string/],
  ['a precision too high', (v) => ({ ...v, by: { at: l.geohash('pickup', 11) } }), /^views\[1\]\.by\.at\.precision: 11 is not a precision/],
  ['a broken precision', (v) => ({ ...v, by: { at: l.geohash('pickup', 2.5) } }), /^views\[1\]\.by\.at\.precision/],
  ['a window of ages', (v) => ({ ...v, window: l.tumbling('36501d') }), /^views\[1\]\.window\.size_ms: longer than 36500 days/],
  ['a window of no date', (v) => ({ ...v, window: l.tumbling(Number.MAX_SAFE_INTEGER) }), /^views\[1\]\.window\.size_ms: longer than/],
  ['a window without end', (v) => ({ ...v, window: l.tumbling(Number.POSITIVE_INFINITY) }), /^views\[1\]\.window\.size_ms: not a duration/],
  ['a literal without end', (v) => ({ ...v, where: l.gt(miles, Number.POSITIVE_INFINITY) }), /^views\[1\]\.where\.right: a literal must be a finite number/],
  ['what is nested too deep', (v) => ({ ...v, where: nested(3_000) }), /^views\[1\]: nested more than 300 deep/],
  ['what is in itself', (v) => ({ ...v, where: inItself() }), /^views\[1\]: nested more than 300 deep/],
  ['what doubles at each level', (v) => ({ ...v, aggregates: { s: l.sum(doubled(40)) } }), /^views\[1\]: more than 100,000 parts/],
  ['a number JSON has not', (v) => ({ ...v, window: { kind: 1n } }), /^views\[1\]: a view must be plain data/],
  ['a key that is a prototype', (v) => ({ ...v, by: Object.create({ location: vendor }) as object }), /^views\[1\]: a view must be plain data/],
  ['an aggregate like a key', (v) => ({ ...v, by: { constructor: vendor }, aggregates: { constructor: l.count() } }), /^views\[1\]\.aggregates\.constructor: a key field has that name/],
  ['no window', ({ window: _, ...v }) => v, /^views\[1\]\.window: not a window/],
  ['an unknown window', (v) => ({ ...v, window: { kind: 'hopping', size_ms: 1 } }), /^views\[1\]\.window\.kind: "hopping" is not a window/],
  ['a duration that is none', (v) => ({ ...v, window: l.tumbling('ten minutes') }), /^views\[1\]\.window\.size_ms: not a duration/],
  ['a duration of nothing', (v) => ({ ...v, window: l.tumbling(0) }), /^views\[1\]\.window\.size_ms/],
  ['a broken duration', (v) => ({ ...v, window: l.tumbling(0.5) }), /^views\[1\]\.window\.size_ms/],
  ['a slide that leaves gaps', (v) => ({ ...v, window: l.sliding('10m', '11m') }), /^views\[1\]\.window\.slide_ms: longer than the window/],
  ['far too many slides', (v) => ({ ...v, window: l.sliding('1d', 1) }), /^views\[1\]\.window\.slide_ms: a trip would be in more than/],
  ['no aggregates', (v) => ({ ...v, aggregates: {} }), /^views\[1\]\.aggregates: not an object of at least one/],
  ['an aggregate that is none', (v) => ({ ...v, aggregates: { n: 'count' } }), /^views\[1\]\.aggregates\.n: not an aggregate/],
  ['an unknown aggregate', (v) => ({ ...v, aggregates: { n: { fn: 'median', of: miles } } }), /^views\[1\]\.aggregates\.n\.fn: "median" is not an aggregate function/],
  ['a sum of strings', (v) => ({ ...v, aggregates: { n: l.sum(vendor) } }), /^views\[1\]\.aggregates\.n\.of: sum needs a number, but this is a string/],
  ['an average of times', (v) => ({ ...v, aggregates: { n: l.avg(pickup) } }), /^views\[1\]\.aggregates\.n\.of: avg needs a number, but this is a time/],
  ['the least of strings', (v) => ({ ...v, aggregates: { n: l.min(vendor) } }), /^views\[1\]\.aggregates\.n\.of: min needs a number/],
  ['a sum of times added', (v) => ({ ...v, aggregates: { n: l.sum(l.add(pickup, dropoff)) } }), /^views\[1\]\.aggregates\.n\.of\.left: add needs numbers, but this is a time/],
  ['a sum of nothing', (v) => ({ ...v, aggregates: { n: { fn: 'sum' } } }), /^views\[1\]\.aggregates\.n\.of: not an expression/],
  ['an aggregate named as a key', (v) => ({ ...v, aggregates: { location: l.count() } }), /^views\[1\]\.aggregates\.location: a key field has that name/],
  ['an aggregate named as what is there', (v) => ({ ...v, aggregates: { window_end: l.count() } }), /^views\[1\]\.aggregates\.window_end: window_end is part/],
  ['having over a field', (v) => ({ ...v, having: l.gt(miles, 1) }), /^views\[1\]\.having\.left: there is no field "trip_distance"/],
  ['having that is a number', (v) => ({ ...v, having: l.aggregate('trips') }), /^views\[1\]\.having: expected a boolean/],
  ['a case without branches', (v) => ({ ...v, by: { k: l.choose([]) } }), /^views\[1\]\.by\.k\.when: not a list of branches/],
  ['a branch that is none', (v) => ({ ...v, by: { k: { op: 'case', when: [null] } } }), /^views\[1\]\.by\.k\.when\[0\]/],
  ['a branch without a condition', (v) => ({ ...v, by: { k: { op: 'case', when: [{ value: miles }] } } }), /^views\[1\]\.by\.k\.when\[0\]\.if/],
  ['branches of two types', (v) => ({ ...v, by: { k: l.choose([[l.gt(miles, 1), 'far']], 0) } }), /^views\[1\]\.by\.k: its branches are of different types: string, integer/],
  ['a string branch that is no literal', (v) => ({ ...v, by: { k: l.choose([[l.gt(miles, 1), vendor]]) } }), /^views\[1\]\.by\.k\.when\[0\]\.value: a string in a case must be a literal/],
  ['a condition as branch', (v) => ({ ...v, by: { k: l.choose([[l.gt(miles, 1), 1]], l.gt(miles, 2)) } }), /^views\[1\]\.by\.k\.otherwise: the value of a case/],
  ['a literal that is no finite number', (v) => ({ ...v, where: l.gt(miles, Number.POSITIVE_INFINITY) }), /^views\[1\]\.where\.right: a literal must be a finite number/],
  ['an offset as long as the window', (v) => ({ ...v, window: { kind: 'tumbling', size_ms: 1, offset_ms: 1 } }), /^views\[1\]\.window\.offset_ms: not a duration of whole milliseconds shorter/],
  ['an offset that is none', (v) => ({ ...v, window: l.tumbling('1h', { offset: 'noon' }) }), /^views\[1\]\.window\.offset_ms: not a duration/],
  ['an offset of a session', (v) => ({ ...v, window: { kind: 'session', gap_ms: 1, offset_ms: 1 } }), /^views\[1\]\.window\.offset_ms: a window has no such part/],
  ['a session without a gap', (v) => ({ ...v, window: l.session(0) }), /^views\[1\]\.window\.gap_ms: not a duration/],
  ['steps that leave a rest', (v) => ({ ...v, window: l.cumulating('1h', '7m') }), /^views\[1\]\.window\.step_ms: the window is not a whole number of steps/],
  ['far too many steps', (v) => ({ ...v, window: l.cumulating('1d', 1) }), /^views\[1\]\.window\.step_ms: a trip would be in more than/],
  ['hours in a time zone', (v) => ({ ...v, window: l.tumbling('6h', { timeZone: 'America/New_York' }) }), /^views\[1\]\.window\.size_ms: not a number of days/],
  ['a slide of hours in a time zone', (v) => ({ ...v, window: l.sliding('2d', '12h', { timeZone: 'America/New_York' }) }), /^views\[1\]\.window\.slide_ms: not a number of days/],
  ['a time zone that is none', (v) => ({ ...v, window: l.tumbling('1d', { timeZone: 'America/Gotham' }) }), /^views\[1\]\.window\.time_zone: "America\/Gotham" is not a time zone/],
  ['a part of no time', (v) => ({ ...v, by: { h: l.extract('hour', miles) } }), /^views\[1\]\.by\.h\.of: not a time/],
  ['an unknown part of a time', (v) => ({ ...v, by: { h: l.extract('era' as never, pickup) } }), /^views\[1\]\.by\.h\.part: "era" is no part of a time/],
  ['a moment that is none', (v) => ({ ...v, where: l.gt(pickup, l.instant('noon')) }), /^views\[1\]\.where\.right\.ms: not a time/],
  ['a filter that is no condition', (v) => ({ ...v, aggregates: { n: l.count({ filter: miles }) } }), /^views\[1\]\.aggregates\.n\.filter: expected a boolean/],
  ['a percentile beyond', (v) => ({ ...v, aggregates: { n: l.percentile(miles, 95) } }), /^views\[1\]\.aggregates\.n\.p: 95 is not a share/],
  ['a percentile of words', (v) => ({ ...v, aggregates: { n: l.percentile(vendor, 0.5) } }), /^views\[1\]\.aggregates\.n\.of: percentile needs a number/],
  ['a share of a sum', (v) => ({ ...v, aggregates: { n: { ...l.sum(miles), p: 0.5 } } }), /^views\[1\]\.aggregates\.n\.p: an aggregate has no such part/],
  ['the first of words', (v) => ({ ...v, aggregates: { n: l.first(vendor) } }), /^views\[1\]\.aggregates\.n\.of: first needs a number/],
  ['a time of a view that is none', (v) => ({ ...v, time: 'noon' }), /^views\[1\]\.time: "noon" is not one of dropoff, pickup, arrival/],
  ['a top of none', (v) => ({ ...v, top: { n: 0, order: [{ name: 'trips' }] } }), /^views\[1\]\.top\.n: 0 is not a number from 1/],
  ['a top without an order', (v) => ({ ...v, top: { n: 1 } }), /^views\[1\]\.top\.order: not a list/],
  ['a top by nothing known', (v) => ({ ...v, top: { n: 1, order: [{ name: 'tripz' }] } }), /^views\[1\]\.top\.order\[0\]\.name: "tripz" is no key field/],
  ['a top of each aggregate', (v) => ({ ...v, top: { n: 1, by: ['trips'], order: [{ name: 'trips' }] } }), /^views\[1\]\.top\.by\[0\]: "trips" is not a key field/],
  ['an unknown part of a top', (v) => ({ ...v, top: { n: 1, order: [{ name: 'trips', desc: true }] } }), /^views\[1\]\.top\.order\[0\]\.desc: a field of an order has no such part/],
  ['a rank named as a field', (v) => ({ ...v, top: { n: 1, order: [{ name: 'trips' }], rank: 'trips' } }), /^views\[1\]\.top\.rank: a field of the result has that name/],
  ['a slide of a tumbling window', (v) => ({ ...v, window: { kind: 'tumbling', size_ms: 1, slide_ms: 1 } }), /^views\[1\]\.window\.slide_ms: a window has no such part/],
  ['a condition of an aggregate', (v) => ({ ...v, aggregates: { n: { fn: 'count', where: l.gt(miles, 1) } } }), /^views\[1\]\.aggregates\.n\.where: an aggregate has no such part/],
  ['a count of a condition', (v) => ({ ...v, aggregates: { n: l.count(l.gt(miles, 1)) } }), /^views\[1\]\.aggregates\.n\.of: a condition is never missing/],
  ['a count of something undefined', (v) => ({ ...v, aggregates: { n: l.count(undefined as never) } }), /^views\[1\]\.aggregates\.n\.of: not an expression/],
]; // biome-ignore format: a mistake a line

const first = { ...sound(), name: 'first' };

describe('checking views', () => {
  it('lets sound ones through as they are', () => {
    const views = [first, sound()];
    assert.equal(checkViews(views), views);
    assert.deepEqual(checkViews(taxiViews()), taxiViews());
    assert.deepEqual(checkViews(JSON.parse(JSON.stringify(views))), views, 'also as data');
  });

  for (const [what, change, message] of mistakes) {
    it(`finds ${what}, and says where`, () => {
      assert.throws(
        () => checkViews([first, change(sound())]),
        (error: unknown) => {
          assert.ok(error instanceof TaxiflowError, `a TaxiflowError, not ${String(error)}`);
          assert.deepEqual([error.code, error.exitCode], ['bad-view', 2]);
          assert.match(error.message, message);
          assert.ok(error.hint, 'says what to do next');
          return true;
        },
      );
    });
  }

  it('refuses any part that no node has, at every depth, by its name', () => {
    const views = JSON.parse(JSON.stringify([
      {
        ...sound(),
        by: { k: l.choose([[l.within('pickup', { south: 1, north: 2, west: 1, east: 2 }), 'in']], 'out'), g: l.geohash('pickup', 3) },
        where: l.any(l.not(l.present(vendor)), l.eq(l.truncate(l.add(miles, 1)), 2), l.all(l.ne(vendor, 'x'))),
        window: l.sliding('1h', '10m'),
        aggregates: { n: l.count(), m: l.count(vendor), s: l.sum(l.divide(miles, 2)) },
        having: l.gt(l.aggregate('n'), 1),
      },
    ])); // biome-ignore format: a view
    checkViews(views);
    let tried = 0;
    const walk = (node: unknown, path: string): void => {
      if (typeof node !== 'object' || node === null) return;
      for (const [name, part] of Object.entries(node))
        walk(part, Array.isArray(node) ? `${path}[${name}]` : path === '' ? name : `${path}.${name}`);
      // In a list, or among names that one chooses, any name is another matter.
      if (Array.isArray(node) || /\.(by|aggregates)$/.test(path)) return;
      for (const unknown of ['grid', 'wehre', '__proto__', 'toString']) {
        Object.defineProperty(node, unknown, { value: 1, enumerable: true, configurable: true });
        assert.throws(
          () => checkViews(views),
          (error: TaxiflowError) => {
            assert.equal(error.message.split(': ')[0], `${path}.${unknown}`);
            assert.match(error.message, /has no such part$/);
            assert.match(error.hint!, /the parts are /i);
            return true;
          },
        );
        Reflect.deleteProperty(node, unknown);
        tried++;
      }
    };
    walk(views, 'views');
    assert.ok(tried > 100, `${tried}`);
    checkViews(views);
  });

  it('says what was likely meant', () => {
    for (const [change, hint] of [
      [(v: Draft) => ({ ...v, wehre: v.where }), /^did you mean where\? The parts are name/],
      [
        (v: Draft) => ({ ...v, window: { kind: 'sliding', size_ms: 1, slide_msec: 1 } }),
        /^did you mean slide_ms\?/,
      ],
      [(v: Draft) => ({ ...v, where: { op: 'eq', left: miles, rigth: miles } }), /^did you mean right\?/],
      [
        (v: Draft) => ({ ...v, where: l.gt(l.field('pickup_latt' as never), 1) }),
        /^did you mean pickup_lat\?/,
      ],
      [(v: Draft) => ({ ...v, timezone: 'UTC' }), /^the parts are/],
    ] as const)
      assert.throws(() => checkViews([change(sound())]), { hint });
  });

  it('counts the arguments of every word, and looks at those that it takes apart', () => {
    const [condition, area] = [l.gt(miles, 1), { south: 1, north: 2, west: 1, east: 2 }];
    /** Each word with the arguments it takes, and how many of them may be left out. */
    const words: Record<string, [args: unknown[], optional?: number]> = {
      field: [['trip_distance']],
      aggregate: [['n']],
      ...Object.fromEntries(
        ['add', 'subtract', 'multiply', 'divide', 'modulo', 'eq', 'ne', 'lt', 'lte', 'gt', 'gte'].map(
          (name) => [name, [[miles, 1]]],
        ),
      ),
      ...Object.fromEntries(['truncate', 'floor', 'ceil', 'abs'].map((name) => [name, [[miles]]])),
      extract: [['hour', pickup, { timeZone: 'UTC' }], 1],
      instant: [['2016-01-11T00:00:00Z']],
      not: [[condition]],
      present: [[miles]],
      choose: [[[[condition, 1]], 2], 1],
      within: [['pickup', area]],
      geohash: [['pickup', 6]],
      minutesBetween: [[pickup, dropoff]],
      count: [[vendor, { filter: condition }], 2],
      ...Object.fromEntries(
        [
          'sum',
          'avg',
          'min',
          'max',
          'countDistinct',
          'stddev',
          'stddevSample',
          'variance',
          'varianceSample',
          'first',
          'last',
        ].map(
          // biome-ignore format: one line
          (name) => [name, [[miles, { filter: condition }], 1]],
        ),
      ),
      percentile: [[miles, 0.5, { filter: condition }], 1],
      tumbling: [['1d', { offset: '1h' }], 1],
      sliding: [['1d', '1h', { offset: '1h' }], 1],
      cumulating: [['1d', '1h', { timeZone: 'UTC' }], 1],
      session: [['1h']],
      view: [[sound()]],
    };
    const others = ['all', 'any', 'duration', 'RETRACTED'];
    assert.deepEqual([...Object.keys(words), ...others].sort(), Object.keys(l).sort(), 'no word is left out');
    for (const [name, [args, optional = 0]] of Object.entries(words)) {
      const make = (l as unknown as Record<string, (...args: unknown[]) => unknown>)[name]!;
      for (let n = 0; n <= args.length + 2; n++) {
        const given = [...args, '5h', undefined].slice(0, n);
        if (n >= args.length - optional && n <= args.length) make(...given);
        else
          assert.throws(() => make(...given), {
            code: 'bad-view',
            exitCode: 2,
            message: new RegExp(`^${name}\\(.*\\): it takes .* arguments?, not ${n}$`),
          });
      }
    }
    const wrong: [() => unknown, RegExp][] = [
      [() => l.within('pick' as never, area), /"pick" is not an end of a trip/],
      [() => l.geohash(miles as never, 6), /is not an end of a trip/],
      [() => l.choose(condition as never), /must be a list of branches/],
      [() => l.choose([condition] as never), /a branch must be a list of two/],
      [() => l.choose([[condition, 1, 2]] as never), /a branch must be a list of two/],
      [() => l.choose([[condition]] as never), /a branch must be a list of two/],
      [() => l.tumbling('1d', '5h' as never), /the last argument must be an object of offset, timeZone/],
      [() => l.tumbling('1d', { zone: 'UTC' } as never), /there is no zone; there is offset, timeZone/],
      [() => l.count(miles, condition as never), /the last argument must be an object of filter/],
      [() => l.count({ where: condition } as never), /there is no where; there is filter/],
      [
        () => l.count({ filter: condition }, { filter: condition }),
        /the first of two arguments must be an expression/,
      ],
    ];
    for (const [call, message] of wrong) assert.throws(call, { code: 'bad-view', message });
    // What has a wrong type otherwise is found in its place, and never a crash.
    for (const junk of [
      undefined,
      null,
      7,
      Number.NaN,
      '',
      'x',
      true,
      [],
      [1],
      {},
      () => 1,
      Symbol('x'),
      5n,
    ]) {
      const one = junk as never;
      for (const window of [() => l.tumbling(one), () => l.sliding(one, one)]) {
        if (junk === 7) continue;
        assert.throws(() => checkViews([{ ...sound(), window: window() }]), {
          code: 'bad-view',
          message: /window\.size_ms: not a duration/,
        });
      }
      for (const aggregate of [() => l.sum(one), () => l.count(one), () => l.countDistinct(one)])
        assert.throws(() => checkViews([{ ...sound(), aggregates: { n: aggregate() }, having: undefined }]), {
          code: 'bad-view',
        });
      for (const where of [
        l.not(one),
        l.all(one),
        l.present(one),
        l.gt(miles, l.field(one)),
        l.within('pickup', one),
      ])
        assert.throws(() => checkViews([{ ...sound(), where }]), { code: 'bad-view' });
      if (junk !== 7)
        assert.throws(() => checkViews([{ ...sound(), by: { g: l.geohash('pickup', one) } }]), {
          code: 'bad-view',
        });
    }
  });

  it('wants a list of at least one', () => {
    for (const value of [undefined, null, {}, [], 'views', 7]) {
      assert.throws(() => checkViews(value), { code: 'bad-view', message: /^views: not a list/ });
    }
  });

  it('lets nothing through that the compiler or --explain can not take, whatever is in its way', () => {
    const rich = [
      ...taxiViews(),
      sound(),
      {
        name: 'rich',
        where: l.not(l.all(l.present(vendor), l.ne(vendor, 'CMT'))),
        by: { vendor, far: l.choose([[l.gt(miles, 5), 'far']], 'near'), hour: l.truncate(l.divide(l.subtract(dropoff, pickup), 3.6e6)) },
        window: l.sliding('1h', '10m'),
        aggregates: { n: l.countDistinct(vendor), last: l.max(dropoff), mean: l.avg(l.multiply(miles, 2)) },
        having: l.any(l.present(l.aggregate('last')), l.lte(l.aggregate('n'), 3)),
      },
    ]; // biome-ignore format: a view
    const text = JSON.stringify(rich);
    const nodes: (string | number)[][] = [];
    const walk = (value: unknown, path: (string | number)[]): void => {
      if (path.length > 0) nodes.push(path);
      if (typeof value !== 'object' || value === null) return;
      for (const [key, part] of Object.entries(value))
        walk(part, [...path, Array.isArray(value) ? Number(key) : key]);
    };
    walk(rich, []);
    const junk = fc.oneof(
      fc.constantFrom<unknown>(null, undefined, 0, -1, Number.POSITIVE_INFINITY, '', 'x', true, [], {}, [null], [[]], { op: null }),
      fc.constantFrom<unknown>({ op: 'field' }, { op: 'field', name: 'vendor_id' }, { op: 'literal' }, { op: 'literal', value: 'x' }),
      fc.constantFrom<unknown>({ op: 'and' }, { op: 'case' }, { op: 'within' }, { op: 'geohash' }, { op: 'add', left: null }, { fn: 'sum' }, { kind: 'tumbling' }, { op: 'toString' }),
      fc.constantFrom(...nodes).map((path) => path.reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], rich)),
    ); // biome-ignore format: kinds of junk
    let sane = 0;
    fc.assert(
      fc.property(fc.constantFrom(...nodes), junk, fc.boolean(), (path, value, away) => {
        const views = JSON.parse(text) as unknown;
        const at = path.slice(0, -1).reduce<unknown>((v, key) => (v as Record<string, unknown>)[key], views);
        const last = path.at(-1)!;
        if (away && Array.isArray(at)) at.splice(Number(last), 1);
        else if (away) delete (at as Record<string, unknown>)[last];
        else (at as Record<string, unknown>)[last] = value;
        try {
          checkViews(views);
        } catch (error) {
          assert.ok(error instanceof TaxiflowError, `${path.join('.')}: ${String(error)}`);
          assert.equal(error.code, 'bad-view');
          assert.match(error.message, /^views/, 'names its place');
          return;
        }
        sane++;
        for (const view of checkViews(views)) compileView(view, new TripColumns());
        assert.match(explainViews(checkViews(views), 'x'), /^view /);
      }),
      { numRuns: 2_000 },
    );
    assert.ok(sane > 50, `${sane} of the changed ones were sound`);
  });
});

describe('types of expressions', () => {
  const types: [l.Expression, string][] = [
    [miles, 'number'],
    [l.field('pickup_zone'), 'integer'],
    [vendor, 'string'],
    [pickup, 'time'],
    [l.subtract(dropoff, pickup), 'integer'],
    [l.divide(4, 2), 'number'],
    [l.multiply(4, 2), 'integer'],
    [l.add(4, 0.5), 'number'],
    [l.truncate(miles), 'integer'],
    [l.geohash('pickup', 1), 'string'],
    [l.choose([[l.gt(1, 2), 1]], 0.5), 'number'],
    [l.choose([[l.gt(1, 2), pickup]], dropoff), 'time'],
    [l.present(vendor), 'boolean'],
  ];
  for (const [expression, type] of types) {
    it(`${JSON.stringify(expression).slice(0, 70)} is a ${type}`, () => {
      assert.equal(typeOf(expression, TRIP_SCOPE, 'here'), type);
    });
  }
});

describe('a view at the limits', () => {
  it('may be nested almost as deep as is allowed, and have names that every object has', () => {
    const view = l.view({
      name: 'constructor',
      where: nested(290),
      by: { valueof: vendor },
      window: l.tumbling('36500d'),
      aggregates: { constructor: l.count() },
      having: l.gte(l.aggregate('constructor'), 1),
    });
    compileView(checkViews([view])[0]!, new TripColumns());
    assert.match(explainViews([view], 'drop-off time'), /^view constructor/);
  });

  it('compiles to source that grows with it, not with 2 to its depth', () => {
    let value: l.Expression = miles;
    for (let i = 0; i < 60; i++)
      value = l.choose([[i % 2 === 0 ? l.ne(value, i) : l.not(l.ne(i, value)), l.add(miles, i)]], 1);
    const many = l.choose(
      Array.from({ length: 5_000 }, (_, i) => [l.gt(miles, 5_000 - i), `over ${5_000 - i}`] as const),
      'under 1',
    );
    const view = { ...sound(), by: { value, many } } as l.View;
    compileView(checkViews([view])[0]!, new TripColumns());
  });
});

describe('the fields of a view', () => {
  it('are all it reads of a trip, and none of its aggregates', () => {
    const [pickups, durations] = taxiViews();
    assert.deepEqual(fieldsOf(pickups!).sort(), ['dropoff_lat', 'dropoff_lon', 'pickup_lat', 'pickup_lon']);
    assert.deepEqual(fieldsOf(durations!).sort(), [
      'dropoff_datetime',
      'dropoff_lat',
      'dropoff_lon',
      'dropoff_zone',
      'pickup_datetime',
      'pickup_lat',
      'pickup_lon',
    ]);
  });
});
