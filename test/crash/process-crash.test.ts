/**
 * The real processes, killed at each point where data becomes durable, and started again until they end.
 *
 *  C1, C3 no result is lost or doubled, whichever commit, write or cursor a kill hits; W3, W7 a
 *  replay that goes on ends with its last watermark, and its trips count once.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { generateCsv } from '../../src/dataset/generator/generate.ts';
import { ROOT, temporaryFolder } from '../files.ts';
import { Line, sameLines, totalsIn } from '../golden/line.ts';
import { comparable, expectedLines, type OracleResult } from '../golden/oracle.ts';
import { type Ran, taxiflow } from '../taxiflow.ts';

const PRELOAD = ['--import', pathToFileURL(join(ROOT, 'test', 'crash', 'kill-at-commit.mjs')).href];
/** More trips than one read brings, so that there are several checkpoints. */
const TRIPS = 3_000;
const MOST_RUNS = 200;

const scratch = mkdtempSync(join(tmpdir(), 'taxiflow-crash-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const input = join(scratch, 'trips.csv');
let expected: OracleResult;
before(async () => {
  const options = { from: '2016-01-11', hours: 8, seed: 3, layout: 'yellow-2015', dirty: 0 } as const;
  writeFileSync(input, [...generateCsv({ trips: TRIPS, ...options })].join(''));
  expected = await expectedLines([input]);
});

/** Runs a command that dies at the given point, or ends by itself if it doesn't reach it. */
function runUntil(kill: string, args: readonly string[]): Promise<Ran> {
  return taxiflow(args, { node: PRELOAD, env: { TAXIFLOW_KILL: kill } });
}

/** Repeats runs with `killOf(run)` until one ends by itself; returns that run and the number killed. */
async function runThrough(args: readonly string[], killOf: (run: number) => string): Promise<[Ran, number]> {
  for (let run = 1; run < MOST_RUNS; run++) {
    const ran = await runUntil(killOf(run), args);
    if (ran.signal === null) {
      assert.equal(ran.code, 0, `after ${killOf(run)}: ${ran.stderr}`);
      return [ran, run - 1];
    }
    assert.equal(ran.signal, 'SIGKILL', ran.stderr);
  }
  assert.fail(`not at its end after ${MOST_RUNS} runs`);
}

/** A stream with watermarks all along, so that results leave at many checkpoints. */
async function streamOf(t: TestContext): Promise<Line> {
  const line = new Line(temporaryFolder(t), [input], 2);
  const { watermarks } = await line.replay({ speedup: 6_000 });
  assert.ok(watermarks > 10, `only ${watermarks} watermarks`);
  return line;
}

interface Processed {
  reconciled: boolean;
  totals: {
    read: number;
    watermarks: number;
    processed: number;
    filtered: number;
    duplicate: number;
    late: number;
  };
}

async function survives(t: TestContext, killOf: (run: number) => string, leastKills: number): Promise<void> {
  const line = await streamOf(t);
  const output = join(line.folder, 'out.ndjson');
  const flow = ['process', '--data-dir', line.folder, '--app', 'app', '--output', output];
  const args = [...flow, '--checkpoint-interval', '0ms', '--until-end', '--drain', '--json'];
  const [ran, kills] = await runThrough(args, killOf);
  assert.ok(kills >= leastKills, `killed only ${kills} times`);
  const { lines, trips } = expected;
  sameLines(comparable(readFileSync(output, 'utf8')), lines, `the output after ${kills} kills`);
  const stored = await taxiflow(['results', '--data-dir', line.folder, '--app', 'app', '--format', 'ndjson']);
  sameLines(comparable(stored.stdout), lines, `the results stored after ${kills} kills`);
  sameLines(totalsIn(line.folder, 'app'), expected.totals, `the totals after ${kills} kills`);
  const { totals, reconciled } = ran.json<Processed>();
  assert.equal(reconciled, true, 'C7: everything read is accounted for');
  assert.equal(totals.processed + totals.filtered, trips, 'each trip is counted once over all runs');
  assert.equal(totals.late + totals.duplicate, 0, 'nothing late, nothing twice');
}

/** 1, 2, 3, 4, 6, 9, …: the first kills come early in a run; a run that reaches the point less often ends by itself. */
const inTurn = (run: number): number => (run <= 3 ? run : Math.floor(4 * 1.5 ** (run - 4)));

describe('process, killed again and again', { concurrency: 2 }, () => {
  const points = {
    'C1: before a commit': 'commit:before',
    'C1: after a commit': 'commit:after',
    'C3: before lines are written': 'write:before',
    'C3: with half of the lines written': 'write:half',
    'C3: after the lines are written': 'write:after',
    'C3: after the lines are on the disk, before the cursor moves': 'cursor:before',
    'C3: after the cursor moved': 'cursor:after',
  };
  for (const [what, point] of Object.entries(points)) {
    it(what, (t) => survives(t, (run) => `${point}:${inTurn(run)}`, 3));
  }

  for (const when of ['before', 'after']) {
    it(`C3: ${when} half-written lines of a killed run are cut off`, (t) =>
      survives(t, (run) => (run % 2 === 1 ? `write:half:${inTurn((run + 1) / 2)}` : `cut:${when}:1`), 4));
  }

  it('C1, C3: at each point in turn', (t) => {
    const all = [...Object.values(points), 'sync:before', 'sync:after'];
    return survives(t, (run) => `${all[run % all.length]}:${inTurn(run)}`, 3);
  });
});

describe('replay, killed at each of its commits in turn', { concurrency: 2 }, () => {
  for (const when of ['before', 'after']) {
    it(`W3, W7: ${when} each commit`, async (t) => {
      const folder = temporaryFolder(t);
      const args = ['replay', input, '--data-dir', folder, '--speedup', 'max', '--resume', '--json'];
      // A resumed run makes fewer commits than a first one, so some runs reach each number.
      const [, kills] = await runThrough(args, (run) => `commit:${when}:${run}`);
      assert.ok(kills >= 4, `killed only ${kills} times`);
      const flow = ['process', '--data-dir', folder, '--until-end', '--json'];
      const ran = await taxiflow(flow);
      const { totals, reconciled } = ran.json<Processed>();
      const { trips, lines } = expected;
      assert.equal(totals.processed + totals.filtered, trips, 'each trip counts once');
      assert.equal(
        totals.duplicate,
        totals.read - totals.watermarks - trips,
        'what was sent again is a duplicate',
      );
      assert.deepEqual([totals.late, reconciled], [0, true], 'nothing late, everything accounted for');
      assert.equal(
        ran.json<{ watermark: string }>().watermark,
        await lastDropoff(t),
        'W3: the last watermark came',
      );
      await taxiflow([...flow, '--drain']);
      const { stdout } = await taxiflow(['results', '--data-dir', folder, '--format', 'ndjson']);
      sameLines(comparable(stdout), lines, `the results after ${kills} kills`);
    });
  }

  async function lastDropoff(t: TestContext): Promise<string> {
    const args = ['replay', input, '--data-dir', temporaryFolder(t), '--dry-run', '--json'];
    return (await taxiflow(args)).json<{ last_dropoff: string }>().last_dropoff;
  }
});
