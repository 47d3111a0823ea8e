/** Slices and windows of every kind, in every zone: contiguous, holding their times, and each known by its end and its label. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { timeZoneOf } from '../../src/events/time-zones.ts';
import { checkViews } from '../../src/views/check.ts';
import * as l from '../../src/views/language.ts';
import { hasOwnStarts, windowTimes } from '../../src/views/windows.ts';

const HOUR = 3_600_000;
/** Zones whose clocks changed by an hour, by half an hour, across midnight, by a day, or never. */
const ZONES = ['America/New_York', 'Australia/Lord_Howe', 'America/St_Johns', 'Antarctica/Casey', 'Pacific/Apia', 'Asia/Kolkata', 'UTC', 'America/Sao_Paulo']; // biome-ignore format: one list
const CHANGES = ['2016-03-13T07:00:00Z', '2016-11-06T06:00:00Z', '2010-11-07T02:31:00Z', '2010-03-04T15:00:00Z', '2011-12-30T10:00:00Z', '2016-10-01T15:30:00Z', '2016-10-16T03:00:00Z', '0000-06-01T00:00:00Z'].map((text) => Date.parse(text)); // biome-ignore format: one list

const zoned = (make: (timeZone: string) => l.Window) => fc.constantFrom(...ZONES).map(make);
const windows: fc.Arbitrary<l.Window> = fc.oneof(
  fc.constantFrom(
    l.tumbling('10m'),
    l.tumbling('7d', { offset: '4d' }),
    l.sliding('1h', '25m', { offset: -HOUR / 4 }),
    l.sliding('1h', '15m'),
    l.cumulating('1d', '2h', { offset: '5h' }),
    l.session('9m'),
  ),
  zoned((timeZone) => l.tumbling('1d', { timeZone })),
  zoned((timeZone) => l.tumbling('7d', { timeZone, offset: '4d' })),
  zoned((timeZone) => l.sliding('3d', '1d', { timeZone })),
  zoned((timeZone) => l.sliding('7d', '2d', { timeZone, offset: '1d' })),
  zoned((timeZone) => l.cumulating('1d', '1h', { timeZone })),
  zoned((timeZone) => l.cumulating('1d', '6h', { timeZone })),
  zoned((timeZone) => l.cumulating('7d', '1d', { timeZone, offset: '4d' })),
  zoned((timeZone) => l.cumulating('2d', '8h', { timeZone })),
);
const times = fc.oneof(
  fc.integer({ min: Date.UTC(2008, 0, 1), max: Date.UTC(2026, 0, 1) }),
  fc.tuple(fc.constantFrom(...CHANGES), fc.integer({ min: -50 * HOUR, max: 50 * HOUR })).map(([change, ms]) => change + ms),
); // biome-ignore format: a kind a line

describe('windows', () => {
  it('hold the times of their slices, and slices follow each other', () => {
    fc.assert(
      fc.property(windows, times, (window, time) => {
        checkViews([{ name: 'v', by: {}, window, aggregates: { n: l.count() } }]);
        const found = windowTimes(window);
        const { from, to, ends } = found.sliceAt(time);
        assert.ok(from <= time && time < to, `${from} ${time} ${to}`);
        assert.ok(ends.length > 0);
        assert.deepEqual([...new Set(ends)].sort((a, b) => a - b), ends, 'ascending, each once');
        for (const end of ends) assert.ok(found.startOf(end) <= from && to <= end, `${found.startOf(end)} … ${end}`);
        for (const other of [from, to - 1]) assert.deepEqual(found.sliceAt(other), { from, to, ends });
        assert.equal(found.sliceAt(to).from, to, 'no time is between slices');
        assert.equal(found.sliceAt(from - 1).to, from);
        // Some ends before and behind.
        const near = [...found.sliceAt(from - 1).ends, ...ends, ...found.sliceAt(to).ends];
        const labels = new Map(near.map((end) => [end, found.labelOf(end)]));
        assert.equal(new Set(labels.values()).size, labels.size, 'a label means one window');
        if (!hasOwnStarts(window)) for (const [end, label] of labels) assert.equal(label, found.startOf(end));
      }), // biome-ignore format: one property
      { numRuns: 3_000 },
    );
  });

  it('that grow over several local days begin together and end by the local clock', () => {
    const zone = timeZoneOf('America/New_York')!;
    const times = windowTimes(l.cumulating('7d', '1d', { timeZone: 'America/New_York' }));
    // The week of epoch weeks that holds 13 March 2016, when clocks were put forward.
    const at = Date.UTC(2016, 2, 11, 12);
    const { ends } = times.sliceAt(at);
    assert.deepEqual(new Set(ends.map((end) => times.startOf(end))).size, 1);
    for (const end of ends) assert.equal((zone.localOf(end) / HOUR) % 24, 0, 'at local midnight');
    assert.equal(ends.at(-1)! - times.startOf(ends[0]!), 7 * 24 * HOUR - HOUR, 'a week without an hour');
  });
});
