/**
 * The interruption matrix, in process: however the line is stopped, resumed and resharded, the same bytes.
 *
 *  C1, C3 a run that goes on from a checkpoint loses no result and writes none twice; W3, W4 resharding makes
 *  nothing late; W7 trips that were sent again count once; C2 panes that were spilled come back as they were.
 */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import type { ProcessOutcome } from '../../src/engine/run.ts';
import { StateReader } from '../../src/state/reader.ts';
import { fixture, temporaryFolder } from '../files.ts';
import { randomNumbers } from '../random.ts';
import { Line, LOST, type ProcessStep, sameLines, totalsIn } from './line.ts';
import { comparable, expectedLines, type OracleOptions, type OracleResult } from './oracle.ts';

interface Case {
  readonly file: string;
  readonly windows: OracleOptions;
}

const CASES: Readonly<Record<string, Case>> = {
  coordinates: { file: fixture('yellow-2015.csv'), windows: {} },
  'zones in sliding windows': {
    file: fixture('yellow-2017.csv'),
    windows: { windowMinutes: 15, slideMinutes: 5 },
  },
  'dirty rows': { file: fixture('green-2013-dirty.csv'), windows: {} },
};

const oracles = new Map<string, Promise<OracleResult>>();
function oracleOf(name: string): Promise<OracleResult> {
  const { file, windows } = CASES[name]!;
  const known = oracles.get(name) ?? expectedLines([file], windows);
  oracles.set(name, known);
  return known;
}

/** Small steps, so that there is something to interrupt. */
const SMALL: ProcessStep = { batchRecords: 7, checkpointInterval: 0 };
const MOST_RUNS = 2_000;

/** Runs again and again, each time stopped after `k` batches, until a run comes to the end by itself. */
async function processStopping(
  line: Line,
  windows: OracleOptions,
  step: ProcessStep,
  k: number,
): Promise<number> {
  for (let runs = 1; runs < MOST_RUNS; runs++) {
    const { interrupted } = await line.process(windows, { ...step, stopAfter: k });
    if (!interrupted) return runs;
  }
  assert.fail(`no end after ${MOST_RUNS} runs`);
}

/** What must hold at the end of any schedule. */
async function same(line: Line, name: string, { totals }: ProcessOutcome, duplicates = 0): Promise<void> {
  const oracle = await oracleOf(name);
  sameLines(comparable(line.output()), oracle.lines, `the output of ${name}`);
  sameLines(storedResults(line), comparable(line.output()), `the results stored of ${name}`);
  sameLines(totalsIn(line.folder, 'app'), oracle.totals, `the totals of ${name}`);
  const { read, watermarks, processed, filtered, duplicate, late, dead, results } = totals;
  assert.deepEqual(
    { late, dead, duplicate },
    { late: 0, dead: 0, duplicate: duplicates },
    'what was refused',
  );
  assert.equal(processed + filtered, oracle.trips, 'each trip is processed or filtered once');
  assert.equal(read, watermarks + processed + filtered + duplicate, 'C7: everything read is accounted for');
  assert.equal(results, oracle.lines.length, 'results counted');
}

function storedResults(line: Line): string[] {
  const reader = new StateReader(line.folder, 'app');
  try {
    return comparable([...reader.results()].map((doc) => JSON.stringify(doc)).join('\n'));
  } finally {
    reader.close();
  }
}

const lineOf = (t: TestContext, name: string, shards?: number): Line =>
  new Line(temporaryFolder(t), [CASES[name]!.file], shards);

for (const [name, { windows }] of Object.entries(CASES)) {
  describe(`interruption matrix, ${name}`, () => {
    for (const shards of [1, 2, 8]) {
      it(`straight through, ${shards} shards`, async (t) => {
        const line = lineOf(t, name, shards);
        const replayed = await line.replay();
        assert.ok(
          replayed.watermarks > 5,
          `only ${replayed.watermarks} watermarks: nothing fires on the way`,
        );
        await same(line, name, await line.process(windows, { drain: true }));
      });
    }

    it('C1: a checkpoint after every batch of 7 records', async (t) => {
      const line = lineOf(t, name);
      await line.replay();
      const outcome = await line.process(windows, { ...SMALL, drain: true });
      assert.ok(outcome.checkpoints > 50, `only ${outcome.checkpoints} checkpoints`);
      await same(line, name, outcome);
    });

    for (const k of [1, 2, 5, 13]) {
      it(`C1, C3: stopped after every ${k} batches of 7 records and resumed`, async (t) => {
        const line = lineOf(t, name, 2);
        await line.replay();
        // There are no checkpoints on the way: the stop itself makes the one that the next run starts from.
        const step = { batchRecords: 7, ...(k % 2 === 0 ? { checkpointInterval: 0 } : {}) };
        const runs = await processStopping(line, windows, step, k);
        assert.ok(runs > 30 / k, `only ${runs} runs: hardly anything was interrupted`);
        await same(line, name, await line.process(windows, { drain: true }));
      });
    }

    it('stopped, resumed, and drained only in a last run that finds nothing new', async (t) => {
      const line = lineOf(t, name);
      await line.replay();
      await line.process(windows, SMALL);
      const before = line.output();
      const again = await line.process(windows, SMALL);
      assert.equal(again.counters.read, 0, 'nothing new to read');
      assert.equal(line.output(), before, 'nothing new to write');
      await same(line, name, await line.process(windows, { drain: true }));
    });

    it('C2: with memory for a few panes, the others are spilled and read back', async (t) => {
      const line = lineOf(t, name, 2);
      await line.replay();
      await same(line, name, await line.process(windows, { ...SMALL, memoryLimit: 10_000, drain: true }));
    });

    it('C2: spilled, stopped after every 4 batches and resumed', async (t) => {
      const line = lineOf(t, name, 2);
      await line.replay();
      await processStopping(line, windows, { ...SMALL, memoryLimit: 0 }, 4);
      await same(line, name, await line.process(windows, { drain: true, memoryLimit: 0 }));
    });

    it('W3, W4: split in the middle of the replay, before it is processed', async (t) => {
      const line = lineOf(t, name, 2);
      await line.replay({ limit: 60 });
      await line.reshard('split', 0);
      await line.replay({ limit: 120, resume: true });
      await line.reshard('split', 0.99);
      await line.replay({ resume: true });
      await same(line, name, await line.process(windows, { ...SMALL, drain: true }));
    });

    it('W3, W4: merged in the middle of the replay, between runs of the processor', async (t) => {
      const line = lineOf(t, name, 3);
      await line.replay({ limit: 60 });
      await line.process(windows, SMALL);
      await line.reshard('merge', 0);
      await line.replay({ limit: 120, resume: true });
      await line.process(windows, SMALL);
      await line.reshard('merge', 0);
      await line.replay({ resume: true });
      await same(line, name, await line.process(windows, { ...SMALL, drain: true }));
    });

    it('W3, W4: split and merged while the replay sends', async (t) => {
      const line = lineOf(t, name, 2);
      const pending: Promise<void>[] = [];
      const kinds = ['split', 'merge', 'split', 'split', 'merge', 'merge'] as const;
      await line.replay({
        beforePut: (put) => {
          const kind = kinds[Math.floor(put / 3)];
          if (put % 3 === 0 && kind) pending.push(line.reshard(kind, put / 20));
        },
      });
      await Promise.all(pending);
      assert.ok(pending.length >= 4, `only ${pending.length} changes of the shards`);
      await same(line, name, await line.process(windows, { ...SMALL, drain: true }));
    });

    for (const seed of [1, 2, 3]) {
      it(`W4: resharded at random while replay and processing go on (seed ${seed})`, async (t) => {
        const line = lineOf(t, name, 2);
        const random = randomNumbers(seed);
        const pending: Promise<void>[] = [];
        const beforeRead = (read: number) => {
          if (read % 5 === 0 && pending.length < 12)
            pending.push(line.reshard(random() < 0.6 ? 'split' : 'merge', random()));
        };
        for (const limit of [40, 80, 120, 160, 10_000]) {
          await line.replay({ limit, resume: limit > 40 });
          await line.process(windows, { ...SMALL, beforeRead, ...(random() < 0.5 ? { stopAfter: 3 } : {}) });
        }
        await Promise.all(pending);
        assert.ok(pending.length >= 5, `only ${pending.length} changes of the shards`);
        await same(line, name, await line.process(windows, { drain: true }));
      });
    }

    it('C3: several runs to the end, without drain, while the replay goes on in pieces', async (t) => {
      const line = lineOf(t, name);
      const { lines } = await oracleOf(name);
      const dropoffs = [...new Set(lines.map((text) => Date.parse(JSON.parse(text).window_start)))];
      for (const [i, until] of dropoffs.entries()) {
        await line.replay({ until, resume: i > 0 });
        await line.process(windows, i % 2 === 0 ? SMALL : {});
        // A window that fired without drain is final: by the watermark, none of its trips is missing.
        assertPart(comparable(line.output()), lines);
      }
      await line.replay({ resume: true });
      await line.process(windows, {});
      await same(line, name, await line.process(windows, { drain: true }));
    });

    it('W7: replayed twice, and once more in part: each trip counts once', async (t) => {
      const line = lineOf(t, name);
      const { trips } = await oracleOf(name);
      await line.replay();
      await line.process(windows, SMALL);
      await line.replay();
      await line.process(windows, SMALL);
      await line.replay({ limit: 50 });
      await same(line, name, await line.process(windows, { drain: true }), trips + 50);
    });

    it('W1: puts that overlap and settle out of order make nothing late', async (t) => {
      const line = lineOf(t, name);
      const random = randomNumbers(7);
      const { watermarks } = await line.replay({ turns: () => Math.floor(random() * 12) });
      assert.ok(watermarks > 5, `only ${watermarks} watermarks`);
      await same(line, name, await line.process(windows, { ...SMALL, drain: true }));
    });

    it('W3: a replay that failed before its last watermark sends it with --resume', async (t) => {
      const line = lineOf(t, name);
      const atOnce = { speedup: Number.POSITIVE_INFINITY };
      await assert.rejects(line.replay({ ...atOnce, loseWatermark: true }), { message: LOST });
      const resumed = await line.replay({ ...atOnce, resume: true });
      assert.equal(resumed.sent, 0, 'trips sent again, though all were acknowledged');
      const outcome = await line.process(windows);
      const straight = lineOf(t, name);
      await straight.replay(atOnce);
      const { watermark } = await straight.process(windows);
      assert.equal(outcome.watermark, watermark, 'the watermark at the end');
      await same(line, name, await line.process(windows, { drain: true }));
    });

    it('W7: acknowledgements are lost and the replay is resumed: each trip counts once', async (t) => {
      const line = lineOf(t, name);
      const { trips } = await oracleOf(name);
      for (const loseAcknowledgement of [4, 3, 5, 2]) {
        await assert.rejects(line.replay({ resume: true, loseAcknowledgement }), { message: LOST });
        await line.process(windows, SMALL);
      }
      await line.replay({ resume: true });
      const outcome = await line.process(windows, { drain: true });
      const stored = outcome.totals.read - outcome.totals.watermarks;
      assert.ok(stored > trips, 'no trip was sent twice');
      await same(line, name, outcome, stored - trips);
    });
  });
}

/** Every line is among the others, and none occurs twice. */
function assertPart(lines: readonly string[], of: readonly string[]): void {
  const all = new Set(of);
  assert.equal(new Set(lines).size, lines.length, 'a result is there twice');
  const wrong = lines.filter((text) => !all.has(text));
  assert.equal(wrong.length, 0, `${wrong.length} results left too early, the first: ${wrong[0]}`);
}

type Action =
  | { readonly do: 'replay'; readonly trips: number; readonly turns: readonly number[] }
  | { readonly do: 'replay-again'; readonly trips: number }
  | { readonly do: 'lose'; readonly put: number }
  | {
      readonly do: 'process';
      readonly batches: number;
      readonly records: number;
      readonly memory: number;
      readonly interval: number;
    }
  | { readonly do: 'process-to-the-end' }
  | { readonly do: 'reshard'; readonly kind: 'split' | 'merge'; readonly choice: number }
  | {
      readonly do: 'reshard-while-processing';
      readonly read: number;
      readonly kind: 'split' | 'merge';
      readonly choice: number;
    };

const fraction = fc.integer({ min: 0, max: 99 }).map((n) => n / 100);
const kind = fc.constantFrom('split', 'merge');
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('replay'),
      trips: fc.integer({ min: 1, max: 120 }),
      turns: fc.array(fc.integer({ min: 0, max: 8 }), { minLength: 1, maxLength: 5 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('replay-again'), trips: fc.integer({ min: 1, max: 120 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lose'), put: fc.integer({ min: 1, max: 12 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('process'),
      batches: fc.integer({ min: 1, max: 30 }),
      records: fc.integer({ min: 1, max: 40 }),
      memory: fc.constantFrom(0, 5_000, 50_000, 1 << 28),
      interval: fc.constantFrom(0, 3, 20, 1_000_000),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('process-to-the-end') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('reshard'), kind, choice: fraction }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('reshard-while-processing'),
      read: fc.integer({ min: 1, max: 20 }),
      kind,
      choice: fraction,
    }),
  },
) as fc.Arbitrary<Action>;

/** What the schedule's steps must add up to. */
interface Model {
  /** Trips the replay has sent for sure. */
  sent: number;
}

async function perform(line: Line, windows: OracleOptions, model: Model, step: Action): Promise<void> {
  if (step.do === 'replay') {
    model.sent += step.trips;
    const turns = (put: number) => step.turns[put % step.turns.length]!;
    await line.replay({ limit: model.sent, resume: true, turns });
  } else if (step.do === 'replay-again') {
    // From the start: the replay forgets its progress, the processor still knows the trips that are sent again.
    await line.replay({ limit: step.trips });
    model.sent = step.trips;
  } else if (step.do === 'lose') {
    await line.replay({ resume: true, loseAcknowledgement: step.put }).then(
      () => {
        model.sent = 10_000;
      },
      (error: Error) => assert.equal(error.message, LOST, 'why the replay failed'),
    );
  } else if (step.do === 'process') {
    await line.process(windows, {
      stopAfter: step.batches,
      batchRecords: step.records,
      memoryLimit: step.memory,
      checkpointInterval: step.interval,
    });
  } else if (step.do === 'process-to-the-end') await line.process(windows);
  else if (step.do === 'reshard') await line.reshard(step.kind, step.choice);
  else {
    const pending: Promise<void>[] = [];
    await line.process(windows, {
      ...SMALL,
      beforeRead: (read) => {
        if (read === step.read) pending.push(line.reshard(step.kind, step.choice));
      },
    });
    await Promise.all(pending);
  }
}

describe('any schedule', { concurrency: 2 }, () => {
  for (const name of Object.keys(CASES)) {
    it(`of replays, runs, stops and reshardings gives the same bytes, ${name}`, async (t) => {
      const { windows } = CASES[name]!;
      const { lines, trips } = await oracleOf(name);
      const schedules = fc.tuple(
        fc.constantFrom(1, 2, 3, 8),
        fc.array(action, { minLength: 1, maxLength: 12 }),
      );
      await fc.assert(
        fc.asyncProperty(schedules, async ([shards, steps]) => {
          const line = lineOf(t, name, shards);
          const model: Model = { sent: 0 };
          for (const step of steps) {
            await perform(line, windows, model, step);
            assertPart(comparable(line.output()), lines);
          }
          await line.replay({ resume: true });
          const outcome = await line.process(windows, { drain: true });
          const stored = outcome.totals.read - outcome.totals.watermarks;
          await same(line, name, outcome, stored - trips);
        }),
        { numRuns: Number(process.env['TAXIFLOW_SCHEDULES'] ?? 40) },
      );
    });
  }
});
