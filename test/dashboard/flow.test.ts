/** What waits for what, in words, and the axes of the charts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { flowOf } from '../../src/dashboard/page/flow.ts';
import { roundTicks, TimeAxis, timeTicks } from '../../src/dashboard/page/wall-axis.ts';
import type { JobStatus, PastPoint, SinkStatus } from '../../src/dashboard/page/wire.ts';

const NOW = Date.UTC(2026, 0, 1, 12);
const IDLE = { idle: 1, reading: 0, processing: 0, committing: 0, others: 0 };
const SINK: SinkStatus = { name: 'opensearch http://x', delivered: 10, pending: 0, rejected: 0, retries: 0 };
const RUN = {
  pid: 1,
  startedAt: NOW,
  notedAt: NOW,
  end: undefined,
  delivering: false,
  checkpointInterval: 1_000,
};
const STATUS: JobStatus = {
  now: NOW,
  app: 'a',
  dataDir: '.taxiflow',
  command: 'npx taxiflow',
  views: ['pickup_count'],
  running: true,
  standby: false,
  run: RUN,
  load: IDLE,
  watermark: 0,
  totals: { read: 21, watermarks: 1, processed: 20, filtered: 0, duplicate: 0, late: 0, dead: 0, results: 7 },
  shards: [
    { id: 's0', position: '1', watermark: 1, latest: 2, ended: false, lagMs: 0 },
    { id: 's1', position: '1', watermark: 1, latest: 2, ended: false, lagMs: 0 },
  ],
  checkpoint: { number: 12, at: NOW, durationMs: 4, bytes: 100 },
  sinks: [SINK],
  deadLetters: [],
  rates: { trips: 12_400, results: 30 },
};

const behind = (lagMs: number) => STATUS.shards.map((shard, i) => ({ ...shard, lagMs: i === 1 ? lagMs : 0 }));

describe('the line in words', () => {
  it('names what the stream waits for', () => {
    const slow = (load: Partial<typeof IDLE>, lagMs = 125_000) =>
      flowOf({ ...STATUS, shards: behind(lagMs), load: { ...IDLE, idle: 0, ...load } });
    const processor = slow({ processing: 0.9, committing: 0.07, reading: 0.03 });
    assert.equal(processor.read.rate, '12,400 trips/s');
    assert.equal(processor.read.words, '2 min behind: waits for the processor (busy 97 %)');
    assert.deepEqual(processor.holdsUp, ['processor']);
    const commits = slow({ processing: 0.2, committing: 0.6, reading: 0.2 });
    assert.match(commits.read.words, /\(busy 80 %, mostly with checkpoints\)$/);
    const stream = slow({ processing: 0.2, reading: 0.8 });
    assert.equal(stream.read.words, '2 min behind: waits for the stream (80 % of the time)');
    assert.deepEqual(stream.holdsUp, ['stream']);
    const lent = slow({ processing: 0.2, others: 0.6, reading: 0.2 });
    assert.match(
      lent.read.words,
      /waits for the processor \(60 % of its time goes to sinks and other work\)$/,
    );
    const small = slow({ processing: 1 }, 1_500);
    assert.deepEqual([small.read.words, small.holdsUp], ['caught up', []], 'a batch is no backlog');
  });

  it('says that nothing is held up where it is not', () => {
    const { read, commit, summary, holdsUp } = flowOf(STATUS);
    assert.deepEqual([read.words, summary, holdsUp], ['caught up', 'Nothing holds the line up.', []]);
    assert.equal(commit.words, 'a checkpoint every 1 s; the last took 4.0 ms, 100 B');
    const quiet = flowOf({ ...STATUS, rates: { trips: 0, results: 0 } });
    assert.equal(quiet.read.words, 'caught up, waits for trips');
  });

  it('says since when and why a sink is blocked, and that only its results wait', () => {
    const since = new Date(NOW - 120_000).toISOString();
    const sink = { ...SINK, pending: 3_000, trouble: 'connection refused', since };
    const { sinks, summary, holdsUp } = flowOf({ ...STATUS, sinks: [{ ...SINK, name: 'ndjson:/x' }, sink] });
    assert.equal(sinks[1]!.edge.words, '3,000 results wait, blocked for 2 min: connection refused');
    assert.deepEqual(holdsUp, [{ sink: SINK.name }]);
    assert.equal(summary, 'opensearch http://x holds up its own results; the rest of the line goes on.');
    assert.deepEqual([sinks[0]!.edge.state, sinks[0]!.edge.words], ['flows', 'has all results so far']);
  });

  it('has nothing of a failure after a run that is over, whatever is left', () => {
    for (const end of ['all-read', 'stopped', undefined] as const)
      for (const pending of [0, 5]) {
        const { load: _, ...rest } = STATUS;
        const over = flowOf({ ...rest, running: false, run: { ...RUN, end }, sinks: [{ ...SINK, pending }] });
        const edges = [over.read, over.commit, ...over.sinks.map(({ edge }) => edge)];
        const text = [over.summary, ...edges.map(({ words }) => words)].join('\n');
        assert.deepEqual(over.holdsUp, []);
        assert.doesNotMatch(text, /fail|error|block|behind|hold|lost|kill|crash/i, text);
        assert.match(over.read.words, end === 'all-read' ? /^everything was read$/ : /goes on from here$/);
      }
  });
});

function pointsOf(steps: readonly { after: number; begins: boolean }[]): PastPoint[] {
  let at = NOW;
  return [{ after: 0, begins: true }, ...steps].map(({ after, begins }) => {
    at += after;
    return {
      at,
      begins,
      trips: 0,
      results: 0,
      mostTrips: 0,
      mostResults: 0,
      watermark: null,
      lagMs: 0,
      pending: 0,
    };
  });
}

describe('an axis of time', () => {
  it('keeps the order of time, and gives what is no run little room', () => {
    const steps = fc.array(fc.record({ after: fc.integer({ min: 1, max: 1e9 }), begins: fc.boolean() }), { minLength: 1, maxLength: 60 }); // biome-ignore format: one line
    fc.assert(
      fc.property(steps, fc.integer({ min: 100, max: 2_000 }), (found, right) => {
        const points = pointsOf(found);
        const axis = new TimeAxis(points, 50, right);
        const xs = points.map(({ at }) => axis.x(at));
        xs.forEach((x, i) => {
          assert.ok(x >= 50 - 1e-6 && x <= Math.max(50, right) + 1e-6 && (i === 0 || x >= xs[i - 1]! - 1e-6));
        });
        assert.equal(axis.gaps.length, found.filter(({ begins }) => begins).length);
        const gaps = axis.gaps.reduce((sum, { x1, x2 }) => sum + x2 - x1, 0);
        if (found.some(({ begins }) => !begins))
          assert.ok(gaps <= (right - 50) / 3 + 1e-6, `${gaps} of ${right - 50} pixels`);
        const ticks = axis.ticks(80);
        ticks.forEach(({ x }, i) => {
          assert.ok(i === 0 || x - ticks[i - 1]!.x >= 80 - 1e-6, 'names have room');
        });
      }),
    );
  });

  it('names a few values that reach the greatest', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.001, max: 1e12, noNaN: true }), (most) => {
        const ticks = roundTicks(most);
        assert.ok(ticks.at(-1)! >= most && ticks.length <= 6 && ticks[0] === 0, `${ticks}`);
      }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e11 }), (span) => {
        assert.ok(timeTicks(0, span, 5).length <= 6);
      }),
    );
  });
});
