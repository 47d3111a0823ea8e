import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type AutoscaleOptions,
  type Decision,
  decide,
  type Look,
  SHARD_TAKES,
} from '../../../src/streams/autoscale/decide.ts';
import type { MinuteOfWrites } from '../../../src/streams/ports.ts';
import { START } from '../../clock.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const OPTIONS: AutoscaleOptions = { min: 1, max: 64, target: 0.6 };

/** A minute that ended so many minutes ago, in which as much was written as `load` shards take. */
function minute(ago: number, load: number, more: Partial<MinuteOfWrites> = {}): MinuteOfWrites {
  const start = START - (ago + 1) * MINUTE;
  const records = load * SHARD_TAKES.records * 60;
  return { start, bytes: records, records, throttled: 0, settled: true, ...more };
}

/** The last `count` minutes, each with the same load. */
function minutes(count: number, load: number): MinuteOfWrites[] {
  return Array.from({ length: count }, (_, i) => minute(count - 1 - i, load));
}

function look(shards: number, of: readonly MinuteOfWrites[], more: Partial<Look> = {}): Look {
  return { now: START, shards, minutes: of, changedAt: START - 2 * HOUR, reshards: [], ...more };
}

function step(found: Look, options: Partial<AutoscaleOptions> = {}): string {
  const { action, shards, to, wanted } = decide(found, { ...OPTIONS, ...options });
  return action === 'hold' ? 'hold' : `${action} ${shards} → ${to} of ${wanted}`;
}

describe('a step up', () => {
  it('is taken as soon as one of the newest two minutes is above the target', () => {
    assert.equal(step(look(4, [...minutes(15, 1), minute(0, 2.41)])), 'up 4 → 6 of 6');
    assert.equal(step(look(4, [minute(1, 3), minute(0, 1)])), 'up 4 → 6 of 6');
    assert.equal(step(look(4, [minute(0, 2.4)])), 'hold', 'the target itself is not above it');
    assert.equal(step(look(4, [minute(2, 9), minute(1, 1), minute(0, 1)])), 'hold', 'the third is over');
  });

  it('goes where it must, at most twice as many at once, and up to max', () => {
    assert.equal(step(look(2, minutes(2, 4.5))), 'up 2 → 4 of 8');
    assert.equal(step(look(4, minutes(2, 4.5))), 'up 4 → 8 of 8');
    assert.equal(step(look(2, minutes(2, 99))), 'up 2 → 4 of 64');
    assert.equal(step(look(60, minutes(2, 99))), 'up 60 → 64 of 64');
    assert.equal(step(look(64, minutes(2, 99))), 'hold');
    assert.match(decide(look(64, minutes(2, 99)), OPTIONS).why, /155 % .* but --max is 64$/);
  });

  it('adds half at least, since a day has only ten', () => {
    assert.equal(step(look(20, minutes(2, 12.1))), 'up 20 → 30 of 30');
    assert.equal(step(look(20, minutes(2, 12.1)), { max: 22 }), 'up 20 → 22 of 22');
  });

  it('goes by bytes or by records, whichever is more', () => {
    const of = (bytes: number, records: number) => [
      minute(0, 0, { bytes: bytes * 60, records: records * 60 }),
    ];
    assert.equal(step(look(1, of(0.61 * 1_048_576, 10))), 'up 1 → 2 of 2');
    assert.equal(step(look(1, of(10, 601))), 'up 1 → 2 of 2');
    assert.equal(step(look(1, of(0.59 * 1_048_576, 599))), 'hold');
    const { use } = decide(look(2, of(2_097_152, 500)), OPTIONS);
    assert.deepEqual(use, { bytes: 2_097_152, records: 500, perShard: 1, throttled: 0 });
  });

  it('takes throttled writes for full use, by the shards that throttled them', () => {
    const throttled = [minute(0, 0.1, { throttled: 1 })];
    assert.equal(step(look(4, throttled)), 'up 4 → 7 of 7');
    assert.match(decide(look(4, throttled), OPTIONS).why, /^100 % .* writes were throttled/);
    const since = (ms: number) => ({ changedAt: START - ms });
    assert.equal(step(look(4, throttled, since(MINUTE))), 'up 4 → 7 of 7', 'all of the minute');
    assert.equal(
      step(look(4, throttled, since(MINUTE - 1))),
      'hold',
      'fewer shards may have turned them away',
    );
  });

  it('is taken right after another change, and after ten in a day', () => {
    const reshards = Array.from({ length: 10 }, (_, i) => START - (10 - i) * MINUTE);
    assert.equal(step(look(4, minutes(2, 4), { changedAt: START - 1, reshards })), 'up 4 → 7 of 7');
  });

  it('brings a stream to min, with figures or without', () => {
    assert.equal(step(look(3, []), { min: 8 }), 'up 3 → 6 of 8');
    assert.equal(step(look(7, minutes(20, 0)), { min: 8 }), 'up 7 → 8 of 8');
    assert.equal(step(look(3, minutes(2, 9)), { min: 8 }), 'up 3 → 6 of 18');
  });

  it('is not taken on old figures', () => {
    assert.equal(step(look(1, [minute(5, 9)])), 'up 1 → 2 of 15');
    assert.equal(step(look(1, [minute(6, 9)])), 'hold');
  });
});

describe('a step down', () => {
  it('is taken when fewer shards would have been enough for 15 minutes, to half at most', () => {
    assert.equal(step(look(8, minutes(15, 0.9))), 'down 8 → 4 of 2');
    assert.equal(
      step(look(8, [minute(14, 2.4), ...minutes(14, 0)])),
      'down 8 → 5 of 5',
      'the busiest counts',
    );
    assert.equal(step(look(8, [minute(15, 9), ...minutes(15, 0)])), 'down 8 → 4 of 1', 'before them doesn’t');
    assert.equal(step(look(5, minutes(15, 0))), 'down 5 → 3 of 1', 'half, rounded up');
    assert.equal(step(look(1, minutes(15, 0))), 'hold');
  });

  it('leaves a margin, so that it is not taken back', () => {
    assert.equal(step(look(4, minutes(15, 0.96))), 'down 4 → 2 of 2', '48 % of two');
    assert.equal(step(look(4, minutes(15, 0.961))), 'down 4 → 3 of 3');
    assert.equal(step(look(4, minutes(15, 1.45))), 'hold', 'between the two');
  });

  it('is a quarter at least, but for the last one to min', () => {
    assert.equal(step(look(20, minutes(15, 7.3))), 'hold', '16 would be enough');
    assert.equal(step(look(20, minutes(15, 7.2))), 'down 20 → 15 of 15');
    assert.equal(step(look(20, minutes(15, 1)), { min: 19 }), 'down 20 → 19 of 19');
  });

  it('is not taken while figures are missing', () => {
    const all = minutes(20, 0);
    assert.equal(step(look(8, all.slice(6))), 'hold', 'fourteen are too few');
    assert.equal(
      step(
        look(
          8,
          all.filter((_, i) => i !== 12),
        ),
      ),
      'hold',
      'one is missing between them',
    );
    assert.equal(step(look(8, [])), 'hold');
    assert.match(decide(look(8, all.slice(6)), OPTIONS).why, /14 of the last 15 minutes/);
    const older = (by: number) => ({ now: START + by * MINUTE });
    assert.equal(step(look(8, all, older(5))), 'down 8 → 4 of 1', 'the newest is five minutes old');
    assert.equal(step(look(8, all, older(6))), 'hold', 'it is older');
    const late = all.map((one, i) => (i < 18 ? one : { ...one, settled: false }));
    assert.equal(step(look(8, late)), 'down 8 → 4 of 1', 'fifteen are settled');
    assert.equal(step(look(8, late.slice(4))), 'hold', 'only fourteen are');
    const busy = late.map((one, i) => (i < 19 ? one : { ...one, records: 4 * 60_000 }));
    assert.equal(step(look(8, busy)), 'hold', 'figures that may still grow count already');
  });

  it('is not taken after a minute with throttled writes', () => {
    const of = minutes(15, 0).map((one, i) => (i === 3 ? { ...one, throttled: 5 } : one));
    assert.equal(step(look(8, of)), 'hold');
    assert.equal(step(look(8, of, { changedAt: START - 15 * MINUTE })), 'hold');
  });

  it('waits 15 minutes after any change, and tells until when', () => {
    const changedAt = START - 15 * MINUTE + 1;
    const soon = decide(look(8, minutes(15, 0), { changedAt }), OPTIONS);
    assert.deepEqual([soon.action, soon.wanted, soon.nextDown], ['hold', 1, START + 1]);
    assert.match(soon.why, /1 shard would have been enough .* too young/);
    assert.equal(step(look(8, minutes(15, 0), { changedAt: changedAt - 1 })), 'down 8 → 4 of 1');
  });

  it('leaves four of the ten changes of a day for steps up', () => {
    const reshards = Array.from({ length: 6 }, (_, i) => START - (20 - i) * HOUR);
    const sixth = decide(look(8, minutes(15, 0), { reshards }), OPTIONS);
    assert.deepEqual([sixth.action, sixth.nextDown], ['hold', START + 4 * HOUR]);
    assert.match(sixth.why, /6 times within 24 hours/);
    assert.equal(step(look(8, minutes(15, 0), { reshards: reshards.slice(1) })), 'down 8 → 4 of 1');
  });

  it('brings a stream to max, also when more is needed, or nothing is known', () => {
    assert.equal(step(look(9, minutes(15, 7)), { max: 8 }), 'down 9 → 8 of 8');
    assert.equal(step(look(40, []), { max: 8 }), 'down 40 → 20 of 8');
    assert.equal(step(look(40, [], { changedAt: START }), { max: 8 }), 'hold');
  });
});

const anyOptions = fc
  .record({
    a: fc.integer({ min: 1, max: 80 }),
    b: fc.integer({ min: 1, max: 80 }),
    target: fc.integer({ min: 1, max: 100 }),
  })
  .map(({ a, b, target }) => ({ min: Math.min(a, b), max: Math.max(a, b), target: target / 100 }));

const anyMinute = fc.record({
  ago: fc.nat(24),
  bytes: fc.nat({ max: 6_000_000_000 }),
  records: fc.nat({ max: 6_000_000 }),
  throttled: fc.oneof(fc.constant(0), fc.nat(1_000)),
  settled: fc.boolean(),
});

const anyLook = fc.record({
  shards: fc.integer({ min: 1, max: 200 }),
  changed: fc.nat(40 * MINUTE),
  reshards: fc.array(fc.nat(30 * HOUR), { maxLength: 12 }),
  minutes: fc.oneof(
    fc.uniqueArray(anyMinute, { selector: ({ ago }) => ago, maxLength: 25 }),
    fc
      .array(anyMinute, { minLength: 25, maxLength: 25 })
      .map((all) => all.map((one, ago) => ({ ...one, ago }))),
  ),
});
type AnyLook = typeof anyLook extends fc.Arbitrary<infer T> ? T : never;

function lookOf({ shards, changed, reshards, minutes: of }: AnyLook): Look {
  return {
    now: START,
    shards,
    changedAt: START - changed,
    reshards: reshards.map((ago) => START - ago).sort((a, b) => a - b),
    minutes: of
      .map(({ ago, ...figures }) => ({ start: START - (ago + 1) * MINUTE, ...figures }))
      .sort((a, b) => a.start - b.start),
  };
}

describe('whatever is found', () => {
  it('A1 no step leaves min..max, or is more than double or less than half', () => {
    fc.assert(
      fc.property(anyLook, anyOptions, (found, options) => {
        const { action, shards, to, wanted, why } = decide(lookOf(found), options);
        assert.ok(Number.isInteger(to) && to >= 1 && why !== '');
        assert.ok(to <= 2 * shards && to >= shards / 2, `${shards} → ${to}`);
        assert.equal(Math.sign(to - shards), { up: 1, down: -1, hold: 0 }[action]);
        if (action === 'hold') return;
        assert.ok(wanted >= options.min && wanted <= options.max, 'the end is within the bounds');
        const [low, high] = [Math.min(shards, options.min), Math.max(shards, options.max)];
        assert.ok(to >= low && to <= high, 'no step leads away from the bounds');
      }),
      { numRuns: 3_000 },
    );
  });

  it('A2 more use never means fewer shards', () => {
    const more = fc.record({
      which: fc.nat(24),
      bytes: fc.nat({ max: 4e9 }),
      records: fc.nat({ max: 4e6 }),
      throttled: fc.nat(9),
    });
    fc.assert(
      fc.property(anyLook, anyOptions, more, (found, options, { which, ...added }) => {
        const before = lookOf(found);
        const busier = before.minutes.map((one, i) =>
          i === which % Math.max(1, before.minutes.length)
            ? {
                ...one,
                bytes: one.bytes + added.bytes,
                records: one.records + added.records,
                throttled: one.throttled + added.throttled,
              }
            : one,
        );
        const [less, much] = [before, { ...before, minutes: busier }].map((one) => decide(one, options));
        assert.ok(much!.to >= less!.to, `${less!.to} → ${much!.to}`);
        if (less!.action !== 'hold' && much!.action !== 'hold') assert.ok(much!.wanted >= less!.wanted);
      }),
      { numRuns: 3_000 },
    );
  });

  it('A4 figures that are missing take no shard away', () => {
    fc.assert(
      fc.property(anyLook, anyOptions, fc.nat(24), (found, options, which) => {
        const all = lookOf(found);
        if (decide(all, options).action === 'down') return;
        const fewer = { ...all, minutes: all.minutes.filter((_, i) => i !== which) };
        const { action, shards } = decide(fewer, options);
        // Without its busiest minutes a stream may look idle, but for that 15 others have to be known.
        const newest = fewer.minutes.filter(({ settled }) => settled).slice(-15);
        const known = newest.length === 15 && newest.at(-1)!.start - newest[0]!.start === 14 * MINUTE;
        if (action === 'down') assert.ok(known || shards > options.max);
      }),
      { numRuns: 3_000 },
    );
  });

  it('A3 under constant use it gets where it is right, stays there, and takes no change back', () => {
    const use = fc.record({
      load: fc.double({ min: 0, max: 90, noNaN: true }),
      shards: fc.integer({ min: 1, max: 64 }),
    });
    fc.assert(
      fc.property(use, anyOptions, ({ load, shards: first }, options) => {
        const changes = follow(first, options, 9 * 60, () => load);
        const directions = new Set(changes.map(({ action }) => action));
        assert.ok(directions.size <= 1, `${changes.map(({ shards, to }) => `${shards}→${to}`)}`);
        assert.ok(changes.length <= 12, `${changes.length} changes`);
        const last = changes.at(-1)?.to ?? first;
        assert.ok(last >= options.min && last <= options.max);
        if (last < options.max) assert.ok(load / last <= options.target + 1e-9, `${load} on ${last}`);
      }),
      { numRuns: 150 },
    );
  });

  it('a day with a rush hour in the morning and one in the evening takes no more than Amazon allows', () => {
    const rush = (at: number) =>
      Math.exp(-(((at % 1_440) - 8 * 60) ** 2) / 8_000) + Math.exp(-(((at % 1_440) - 18 * 60) ** 2) / 8_000);
    const changes = follow(4, OPTIONS, 3 * 1_440, (at) => 1 + 20 * rush(at));
    for (const { at } of changes) {
      const within = changes.filter((other) => other.at <= at && other.at > at - 1_440).length;
      assert.ok(within <= 10, `${within} changes within a day`);
    }
    const shards = (at: number) => changes.findLast((change) => change.at <= at)?.to ?? 4;
    assert.ok(shards(8 * 60) >= 35 && shards(2 * 1_440 + 18 * 60) >= 35, 'enough in each rush hour');
    assert.ok(
      changes.some(({ at, to }) => at > 1_440 && to <= 20),
      'few in between',
    );
  });
});

/** Looks each minute, for so many minutes, while `loadAt` shards' worth is written; throttled once they can't take it. */
function follow(first: number, options: AutoscaleOptions, lasts: number, loadAt: (minute: number) => number) {
  const changes: (Decision & { at: number })[] = [];
  const written: MinuteOfWrites[] = [];
  let shards = first;
  let changedAt = START - HOUR;
  for (let at = 0; at < lasts; at++) {
    const now = START + at * MINUTE;
    const load = loadAt(at);
    const records = load * SHARD_TAKES.records * 60;
    written.push({ start: now - MINUTE, bytes: 0, records, throttled: load > shards ? 1 : 0, settled: true });
    const reshards = changes.map((change) => START + change.at * MINUTE);
    for (let goesOn = true; goesOn; ) {
      const decision = decide({ now, shards, minutes: written.slice(-20), changedAt, reshards }, options);
      goesOn = decision.action === 'up' && decision.to < decision.wanted;
      if (decision.action === 'hold') continue;
      changes.push({ ...decision, at });
      shards = decision.to;
      changedAt = now;
    }
  }
  return changes;
}
