import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseTlcTime } from '../../src/dataset/times.ts';

const pad = (n: number) => String(n).padStart(2, '0');
const leap = (year: number) => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;

function daysIn(year: number, month: number): number {
  return [31, leap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1] ?? 0;
}

/** A time by the calendar, NaN when there is no such time. */
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
  it('reads every real ISO time, and no other', () => {
    fc.assert(
      fc.property(
        date,
        clock,
        fc.constantFrom(' ', 'T'),
        fc.constantFrom('', 'Z'),
        around,
        (d, c, t, z, space) => {
          const text = `${d[0]}-${pad(d[1])}-${pad(d[2])}${t}${c.map(pad).join(':')}${z}`;
          assert.equal(parseTlcTime(space + text + space), epoch(d, c), text);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('reads a fraction of a second down to the millisecond', () => {
    for (let ms = 0; ms < 1_000; ms++) {
      const digits = String(ms).padStart(3, '0');
      for (const more of ['', '9', '999999', '000Z']) {
        assert.equal(parseTlcTime(`1970-01-01 00:00:00.${digits}${more}`), ms, digits + more);
      }
    }
    assert.equal(parseTlcTime('1970-01-01T00:00:00.5'), 500);
    assert.equal(parseTlcTime('1970-01-01T00:00:00.'), Number.NaN);
  });

  it('reads US times with and without a comma, seconds, zeros in front, and half of the day', () => {
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
          assert.equal(parseTlcTime(text), expected, text);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('takes nothing else for a time', () => {
    const others = [
      '',
      '-',
      'x',
      '2016',
      '2016-01-01',
      '2016-01-01 00:00',
      '2016-1-1 00:00:00',
      '2016-01-01  0:00:00',
      '2016-01-01 00:00:00 ET',
      '2016-01-01 00:00:00+01:00',
      '2016-01-01x00:00:00',
      '2016-01-01 0a:00:00',
      '20160-1-01 00:00:00',
      '2016-01-011 00:00:00',
      '1/1/16 1:00:00 AM',
      '1/1/2016',
      '1/1/2016 1:0:00 AM',
      '1/1/2016 13:00:00 XM',
      '1451606400000',
    ];
    for (const text of others) assert.equal(parseTlcTime(text), Number.NaN, text);
  });

  it('stays right past the days it remembers', () => {
    for (let day = 0; day < 25_000; day += 1) {
      const at = day * 86_400_000 + 1_000;
      assert.equal(parseTlcTime(new Date(at).toISOString().slice(0, 19)), at);
    }
  });
});
