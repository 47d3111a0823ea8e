/** The past that a processor notes: bounded, over hours and restarts, with its peaks. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { NO_PAST, type Past, packPast, RunPast, type Sample, unpackPast } from '../../src/state/run-past.ts';

const START = Date.UTC(2026, 0, 1);
const EVENT = Date.UTC(2016, 0, 14);
const NOTHING: Sample = { trips: 0, results: 0, watermark: null, lagMs: 0, pending: 0 };
const MOST_POINTS = 240;
/** Bytes: two pages of a state more than it took without a past. */
const MOST_BYTES = 12_000;

interface Step {
  readonly after: number;
  readonly trips: number;
  readonly results: number;
  readonly lagMs: number;
  readonly pending: number;
  /** The processor is killed, and another one starts so many ms later. */
  readonly restart: number | undefined;
}

const step: fc.Arbitrary<Step> = fc.record({
  after: fc.integer({ min: 900, max: 3_000 }),
  trips: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 100_000 })),
  results: fc.integer({ min: 0, max: 2_000 }),
  lagMs: fc.integer({ min: 0, max: 500_000 }),
  pending: fc.integer({ min: 0, max: 100_000 }),
  restart: fc.oneof(
    { weight: 99, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.integer({ min: 1_000, max: 86_400_000 }) },
  ),
});

/** What was told, and the past that is left of it, each restart from what was noted. */
function told(steps: readonly Step[]) {
  let now = START;
  let sample = NOTHING;
  let kept = new RunPast(NO_PAST, now, sample);
  const begins = [now];
  const most = { trips: 0, results: 0, lagMs: 0, pending: 0 };
  for (const { after, restart, lagMs, pending, ...more } of steps) {
    now += after;
    const watermark = EVENT + (now - START);
    sample = {
      trips: sample.trips + more.trips,
      results: sample.results + more.results,
      ...{ watermark, lagMs, pending },
    };
    kept.sample(now, sample);
    const seconds = Math.max(1, after / 1_000);
    most.trips = Math.max(most.trips, more.trips / seconds);
    most.results = Math.max(most.results, more.results / seconds);
    most.lagMs = Math.max(most.lagMs, lagMs);
    most.pending = Math.max(most.pending, pending);
    if (restart === undefined) continue;
    now += restart;
    sample = { ...sample, lagMs: 0, pending: 0 };
    kept = new RunPast(unpackPast(JSON.parse(JSON.stringify(packPast(kept.past)))), now, sample);
    begins.push(now);
  }
  return { past: kept.past, now, sample, begins, most };
}

const greatest = ({ points }: Past, of: 'mostTrips' | 'mostResults' | 'lagMs' | 'pending') =>
  points.reduce((most, point) => Math.max(most, point[of]), 0);

describe('the past of a run', () => {
  it('keeps peaks, runs and the end, however long it goes on', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 1_000, size: 'max' }), (steps) => {
        const { past, now, sample, begins, most } = told(steps);
        assert.ok(past.points.length <= MOST_POINTS, `${past.points.length} points`);
        const last = past.points.at(-1)!;
        assert.deepEqual(
          [last.at, last.trips, last.results, last.watermark],
          [now, sample.trips, sample.results, sample.watermark],
        );
        for (let i = 1; i < past.points.length; i++)
          assert.ok(past.points[i]!.at > past.points[i - 1]!.at, 'in the order of time');
        // Of more, the oldest are forgotten.
        fc.pre(begins.length <= MOST_POINTS / 4);
        assert.deepEqual(
          past.points.filter((point) => point.begins).map(({ at }) => at),
          begins,
          'each run begins where it began',
        );
        for (const [
          of,
          peak,
        ] of [['mostTrips', most.trips], ['mostResults', most.results], ['lagMs', most.lagMs], ['pending', most.pending]] as const) // biome-ignore format: one line
          assert.ok(Math.abs(greatest(past, of) - peak) <= 0.5, `${of}: ${greatest(past, of)}, not ${peak}`);
        assert.deepEqual(unpackPast(JSON.parse(JSON.stringify(packPast(past)))), past, 'as it was noted');
        assert.ok(JSON.stringify(packPast(past)).length <= MOST_BYTES);
      }),
      { numRuns: 30, endOnFailure: true },
    );
  });

  it('covers a whole day in points of the same length', () => {
    const steps = Array.from({ length: 86_400 }, (_, i): Step => ({ after: 1_000 + (i % 7), trips: 100, results: 1, lagMs: 0, pending: 0, restart: undefined })); // biome-ignore format: one line
    const { past } = told(steps);
    assert.equal(past.points[0]!.at, START);
    assert.ok(past.points.length > MOST_POINTS / 3, `${past.points.length} points are left`);
    const lengths = past.points.slice(1, -1).map(({ at }, i) => at - past.points[i]!.at);
    const [shortest, longest] = [Math.min(...lengths), Math.max(...lengths)];
    assert.ok(longest <= 2.5 * shortest, `${shortest} to ${longest} ms`);
  });

  it('forgets the oldest of very many short runs', () => {
    const steps = Array.from({ length: 1_000 }, (): Step => ({ after: 1_000, trips: 1, results: 1, lagMs: 0, pending: 0, restart: 1_000 })); // biome-ignore format: one line
    const { past, now } = told(steps);
    assert.ok(past.points.length <= MOST_POINTS);
    assert.equal(past.step, 1_000, 'what is left is as fine as it was');
    assert.equal(past.points.at(-1)!.at, now);
  });

  it('has no peak of a moment: a rate is over a second at least', () => {
    const kept = new RunPast(NO_PAST, START, NOTHING);
    kept.sample(START + 10, { ...NOTHING, trips: 500 });
    assert.equal(greatest(kept.past, 'mostTrips'), 500);
  });

  it('begins anew where the clock was set back', () => {
    const kept = new RunPast(NO_PAST, START, NOTHING);
    for (let second = 1; second <= 10; second++)
      kept.sample(START + second * 1_000, { ...NOTHING, trips: second });
    kept.sample(START + 4_500, { ...NOTHING, trips: 11 });
    const { points } = kept.past;
    assert.deepEqual(
      points.map(({ at, begins }) => [(at - START) / 1_000, begins]),
      [[0, true], [1, false], [2, false], [3, false], [4, false], [4.5, true]], // biome-ignore format: one line
    );
  });

  it('has the last 60 checkpoints, each once', () => {
    const kept = new RunPast(NO_PAST, START, NOTHING);
    for (let number = 1; number <= 100; number++)
      for (let times = 0; times < 2; times++)
        kept.checkpoint({ number, at: START + number, durationMs: number / 10, bytes: number * 100 });
    const { checkpoints } = unpackPast(JSON.parse(JSON.stringify(packPast(kept.past))));
    assert.deepEqual(
      checkpoints,
      Array.from({ length: 60 }, (_, i) => i + 41).map((number) => ({ number, at: START + number, durationMs: number / 10, bytes: number * 100 })), // biome-ignore format: one line
    );
  });

  it('is unknown where a note says something else', () => {
    const packed = packPast(told([{ after: 1_000, trips: 1, results: 1, lagMs: 0, pending: 0, restart: undefined }]).past); // biome-ignore format: one line
    assert.equal(unpackPast(packed).points.length, 2);
    for (const changed of [
      ...[undefined, null, 1, 'past', [], {}],
      ...Object.keys(packed).flatMap((name) => [
        { ...packed, [name]: undefined },
        { ...packed, [name]: 'x' },
        { ...packed, [name]: ['x', 'y'] },
        { ...packed, [name]: [Number.NaN, {}] },
      ]),
      { ...packed, at: [...packed.at, 1] },
      { ...packed, step: 0 },
      { ...packed, checkpoints: [[1], [1], [1], []] },
    ])
      assert.deepEqual(unpackPast(changed), NO_PAST, JSON.stringify(changed));
  });
});
