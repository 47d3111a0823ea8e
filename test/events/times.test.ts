import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseTime } from '../../src/events/times.ts';
import { naiveTime } from './time-model.ts';

const pad = (n: number) => String(n).padStart(2, '0');
const leap = (year: number) => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;

function daysIn(year: number, month: number): number {
  return [31, leap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1] ?? 0;
}

/** Epoch ms of a time, NaN if the calendar has no such time. */
function epoch(
  [year, month, day]: readonly [number, number, number],
  [h, m, s]: readonly [number, number, number],
) {
  const real = day >= 1 && day <= daysIn(year, month) && h < 24 && m < 60 && s < 60;
  return real ? Date.UTC(year, month - 1, day, h, m, s) : Number.NaN;
}

const date = fc.tuple(
  fc.integer({ min: 1970, max: 2100 }),
  fc.integer({ min: 0, max: 13 }),
  fc.integer({ min: 0, max: 32 }),
);
const clock = fc.tuple(fc.nat(25), fc.nat(61), fc.nat(61));
const around = fc.constantFrom('', ' ', '\t');

describe('times of TLC files', () => {
  it('reads every valid ISO time, and no other', () => {
    fc.assert(
      fc.property(
        date,
        clock,
        fc.constantFrom(' ', 'T'),
        fc.constantFrom('', 'Z'),
        around,
        (d, c, t, z, space) => {
          const text = `${d[0]}-${pad(d[1])}-${pad(d[2])}${t}${c.map(pad).join(':')}${z}`;
          assert.equal(parseTime(space + text + space), epoch(d, c), text);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('reads a fraction of a second down to the millisecond', () => {
    for (let ms = 0; ms < 1_000; ms++) {
      const digits = String(ms).padStart(3, '0');
      for (const more of ['', '9', '999999', '000Z']) {
        assert.equal(parseTime(`1970-01-01 00:00:00.${digits}${more}`), ms, digits + more);
      }
    }
    assert.equal(parseTime('1970-01-01T00:00:00.5'), 500);
    assert.equal(parseTime('1970-01-01T00:00:00.'), Number.NaN);
  });

  it('reads US times with and without a comma, seconds, leading zeros, and AM or PM', () => {
    fc.assert(
      fc.property(
        date,
        clock,
        fc.boolean(),
        fc.boolean(),
        fc.boolean(),
        fc.constantFrom('AM', 'PM', 'pm', ''),
        ([year, month, day], [hour, minute, second], comma, seconds, zeros, half) => {
          const n = (x: number) => (zeros ? pad(x) : String(x));
          const s = seconds ? second : 0;
          const text =
            `${n(month)}/${n(day)}/${year}${comma ? ',' : ''} ${n(hour)}:${pad(minute)}` +
            `${seconds ? `:${pad(second)}` : ''}${half && ` ${half}`}`;
          const inHalf = half === '' || (hour >= 1 && hour <= 12);
          const h = half === '' ? hour : (hour % 12) + (half.toUpperCase() === 'PM' ? 12 : 0);
          const expected = inHalf ? epoch([year, month, day], [h, minute, s]) : Number.NaN;
          assert.equal(parseTime(text), expected, text);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('reads the forms of other tools, times with a zone, and two-digit years as Excel does', () => {
    const three = Date.UTC(2016, 2, 1, 15, 4);
    for (const text of [
      '2016-03-01 15:04:00 UTC',
      '2016-03-01 15:04:00.000000 UTC',
      '2016-03-01T15:04:00Z',
      '2016-03-01 15:04:00+00:00',
      '2016-03-01 15:04:00+00',
      '2016-03-01 10:04:00-05:00',
      '2016-03-01T20:34:00+0530',
      '2016-03-01 15:04',
      '2016-03-01 3:04:00 PM',
      '2016-03-01 03:04 pm',
      '2016/03/01 15:04:00',
      '2016/3/1 15:04',
      '3/1/16 15:04',
      '3/1/2016 3:04PM',
      '3/1/2016, 3:04:00 PM',
    ]) {
      assert.equal(parseTime(text), three, text);
    }
    assert.equal(parseTime('3/1/29 0:00'), Date.UTC(2029, 2, 1));
    assert.equal(parseTime('3/1/30 0:00'), Date.UTC(1930, 2, 1));
    assert.equal(parseTime('1/3/2016 15:04', 'dmy'), three);
    assert.equal(parseTime('31/3/2016 15:04', 'mixed'), Date.UTC(2016, 2, 31, 15, 4));
    assert.equal(parseTime('31/3/2016 15:04'), Number.NaN);
    assert.equal(parseTime('3/31/2016 15:04', 'dmy'), Number.NaN);
  });

  it('agrees with the naive reader on anything that looks like a time', () => {
    const digits = fc.constantFrom('0', '1', '2', '9', '12', '13', '24', '30', '31', '59', '60', '00', '02', '29', '2016', '1900', '0000', '9999'); // biome-ignore format: one list
    const marks = fc.constantFrom('-', '/', ':', ' ', 'T', ',', '.', 'Z', ' UTC', '+', ' AM', 'PM', 't', '');
    const ordinary = fc
      .tuple(
        fc.constantFrom('2016-02-', '2015-02-', '2016/02/', '2/', '13/', '12/', '0000-01-', '9999-12-'),
        fc.constantFrom('29', '30', '31', '1', '01', '3/2016', '13/16', '31/1999'),
        fc.constantFrom(' ', 'T', ', ', '  ', ''),
        fc.constantFrom('00:00', '0:00', '23:59:59', '24:00:00', '12:00:00', '12:60', '1:2:3', '12:00:00.5'),
        fc.constantFrom('', ' AM', 'pm', ' P', ' XM'),
        fc.constantFrom('', 'Z', ' UTC', '+00:00', '-05:00', '+15:59', '-16:00', '+0530', '+5', ' EST'),
      )
      .map((parts) => parts.join(''));
    const odd = fc
      .array(fc.tuple(digits, marks), { minLength: 3, maxLength: 8 })
      .map((parts) => parts.flat().join(''));
    fc.assert(
      fc.property(fc.oneof(ordinary, odd), fc.constantFrom('mdy', 'dmy', 'mixed'), (text, order) => {
        assert.equal(parseTime(text, order), naiveTime(text, order), text);
      }),
      { numRuns: 20_000 },
    );
  });

  it('reads nothing else as a time', () => {
    const others = [
      '',
      '-',
      'x',
      '2016',
      '2016-01-01',
      '3/1/2016',
      '2016-02-30 00:00:00',
      '2016-01-01 24:00:00',
      '2016-01-01 00:00:60',
      '2016-01-01 00:00:00 ET',
      '2016-01-01 00:00:00+99:00',
      '2016-01-01x00:00:00',
      '2016-01-01 0a:00:00',
      '20160-1-01 00:00:00',
      '2016-01-011 00:00:00',
      '1/1/2016 1:0:00 AM',
      '1/1/2016 13:00:00 XM',
      '1/1/2016 13:00:00 AM',
      '1/1/016 13:00:00',
      '0000-01-01 00:00:00+01:00',
      '9999-12-31 23:59:59-01:00',
      '1451606400000',
    ];
    for (const text of others) assert.equal(parseTime(text), Number.NaN, text);
  });

  it('stays right beyond the days it caches', () => {
    for (let day = 0; day < 25_000; day += 1) {
      const at = day * 86_400_000 + 1_000;
      assert.equal(parseTime(new Date(at).toISOString().slice(0, 19)), at);
    }
  });
});
