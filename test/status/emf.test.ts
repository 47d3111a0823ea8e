/** Lines of metrics: as CloudWatch wants them, with counts that add up, whatever the figures are. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MetricLines } from '../../src/cli/metrics.ts';
import { NO_COUNTS } from '../../src/engine/state-store.ts';
import { EmfLines, type ProcessFigures, processFigures, replayFigures } from '../../src/status/emf.ts';
import { START, TestClock } from '../clock.ts';
import { checkedEmf, sums } from '../emf.ts';
import { randomNumbers } from '../random.ts';

const NOTHING: ProcessFigures = {
  progress: undefined,
  sinks: [],
  refused: 0,
  checkpointAt: undefined,
  checkpointMs: undefined,
};

function progressOf(read: number, more: Partial<NonNullable<ProcessFigures['progress']>> = {}) {
  const counters = { ...NO_COUNTS, read, results: 2 * read, late: 3, dead: 4 };
  return { counters, watermark: START, newest: START + 90_000, lags: new Map<string, number>(), ...more };
}

const sink = { name: 's', delivered: 5, rejected: 0 };

describe('a line of metrics', () => {
  it('has the figures of a processor in their units', () => {
    const now = START + 60_000;
    const figures = processFigures(now, START, {
      progress: progressOf(100, { lags: new Map([...Object.entries({ a: 1_500, b: 0, c: 7_000 })]) }),
      sinks: [
        { ...sink, pending: 6, retries: 1 },
        { ...sink, pending: 7, retries: 2, trouble: 'no', since: new Date(now - 30_500).toISOString() },
      ],
      refused: 5,
      checkpointAt: now - 2_250,
      checkpointMs: 12.5,
    });
    const line = checkedEmf(new EmfLines({ stream: 'local:x', app: 'x' }).next(figures, now), now);
    assert.equal(line.namespace, 'taxiflow');
    assert.deepEqual(line.dimensionSets, [['stream', 'app']]);
    assert.deepEqual(line.dimensions, { stream: 'local:x', app: 'x' });
    assert.equal(line.at, now);
    assert.deepEqual(line.metrics, {
      records: 100,
      results: 200,
      late: 3,
      dead_letters: 9,
      sink_retries: 3,
      sink_pending: 13,
      watermark_lag_seconds: 90,
      read_lag_seconds: 7,
      checkpoint_age_seconds: 2.25,
      checkpoint_duration_seconds: 0.0125,
      sink_behind_seconds: 30.5,
    });
    for (const [name, unit] of Object.entries(line.units))
      assert.equal(unit, name.endsWith('_seconds') ? 'Seconds' : 'Count', name);
  });

  it('leaves out what is not known, and is never empty', () => {
    const lines = new EmfLines({ stream: 's', app: 'a' });
    const known = (run: Partial<ProcessFigures>) =>
      checkedEmf(lines.next(processFigures(START, START, { ...NOTHING, ...run }), START), START).metrics;
    const first = known({});
    assert.equal(first['checkpoint_age_seconds'], 0, 'since the run began, where there is no checkpoint');
    for (const name of ['watermark_lag_seconds', 'read_lag_seconds', 'checkpoint_duration_seconds'])
      assert.ok(!(name in first), name);
    const never = Number.NEGATIVE_INFINITY;
    for (const [watermark, newest] of [
      [never, START],
      [never, never],
      [START, never],
    ] as const) {
      const { watermark_lag_seconds: lag } = known({ progress: progressOf(1, { watermark, newest }) });
      assert.equal(lag, newest === never && watermark === START ? 0 : undefined);
    }
    const { checkpoint_age_seconds: age } = known({ checkpointAt: START + 5_000 });
    assert.equal(age, 0, 'a clock that was set back makes no negative age');
  });

  it('is right for any name of a stream', () => {
    const names = ['', ' ', 'x'.repeat(5_000), 'Straße 🚕', 'two\nlines', '\u001b[2J', '\u2028', '"', '\\'];
    for (const stream of names) {
      const line = new EmfLines({ stream, app: 'a' }).next(processFigures(START, START, NOTHING), START);
      checkedEmf(line, START);
    }
  });

  it('has of a replay how far it is behind its plan, unless it has none', () => {
    const progress = { acknowledged: 10, refused: 1, lag: 2_500 };
    const written = { records: 14, retries: 3, throttled: 2 };
    const lineOf = (paced: boolean) =>
      checkedEmf(
        new EmfLines({ stream: 's' }).next(replayFigures({ progress, written, rejected: 4, paced }), START),
        START,
      );
    const counts = { trips: 10, records: 14, retries: 3, throttled: 2, rejected: 5 };
    assert.deepEqual(lineOf(true).metrics, { ...counts, watermark_lag_seconds: 2.5 });
    assert.deepEqual(lineOf(false).metrics, counts);
    assert.deepEqual(lineOf(true).dimensionSets, [['stream']]);
  });
});

/** Lines driven by a clock, to a reader that is as slow as the test wants. */
function driven(figures: (now: number) => ProcessFigures) {
  const clock = new TestClock();
  const printed: string[] = [];
  const out = {
    writable: true,
    writableNeedDrain: false,
    write: (text: string) => {
      printed.push(...text.trimEnd().split('\n'));
      return true;
    },
  };
  const metrics = new MetricLines({
    dimensions: { stream: 's', app: 'a' },
    figures: (now) => processFigures(now, START, figures(now)),
    clock,
    out,
  });
  const lines = () => printed.map((line) => checkedEmf(line, START));
  return { clock, out, metrics, lines };
}

describe('lines of metrics', () => {
  it('come at the start, every ten seconds though nothing happens, and at the end', () => {
    const { clock, metrics, lines } = driven(() => ({ ...NOTHING, checkpointAt: START }));
    assert.equal(lines().length, 1);
    for (let second = 1; second <= 60; second++) {
      clock.advance(1_000);
      metrics.tick();
    }
    const ages = lines().map(({ metrics }) => metrics['checkpoint_age_seconds']);
    assert.deepEqual(ages, [0, 10, 20, 30, 40, 50, 60], 'the age of a checkpoint grows while a run hangs');
    metrics.stop();
    metrics.stop();
    assert.equal(lines().length, 8);
  });

  it('add up to the counts, however slow the reader is, and no line is kept for it', () => {
    const random = randomNumbers(5);
    let read = 0;
    const { clock, out, metrics, lines } = driven(() => ({ ...NOTHING, progress: progressOf(read) }));
    for (let second = 0; second < 600; second++) {
      read += Math.floor(random() * 100);
      out.writableNeedDrain = random() < 0.7;
      clock.advance(1_000);
      const before = lines().length;
      metrics.tick();
      if (out.writableNeedDrain) assert.equal(lines().length, before);
    }
    metrics.stop();
    assert.ok(lines().length > 10);
    const { records, results, late, dead_letters } = sums(lines());
    assert.deepEqual([records, results, late, dead_letters], [read, 2 * read, 3, 4]);
  });

  it('end with the reader, and the run does not', () => {
    const { clock, out, metrics, lines } = driven(() => NOTHING);
    out.writable = false;
    clock.advance(60_000);
    metrics.tick();
    metrics.stop();
    assert.equal(lines().length, 1);
  });

  it('take back a trip that was late, when a copy of it turns out to be in time', () => {
    let late = 5;
    const counters = () => ({ ...NO_COUNTS, late });
    const { clock, metrics, lines } = driven(() => ({
      ...NOTHING,
      progress: progressOf(0, { counters: counters() }),
    }));
    late = 3;
    clock.advance(10_000);
    metrics.tick();
    assert.equal(sums(lines())['late'], 3);
  });
});
