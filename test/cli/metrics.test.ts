/** `--metrics emf` with the real binary: what the lines add up to is what happened, however runs end. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { checkedEmf, emfIn, sums } from '../emf.ts';
import { fixture, temporaryFolder } from '../files.ts';
import { createStream, faulty, startKinesis } from '../services/kinesis.ts';
import { following, taxiflow } from '../taxiflow.ts';
import { until } from '../until.ts';
import { PARALLEL, putRecords, recordsOf, run, YELLOW } from './model.ts';

const MAX = ['--speedup', 'max'];
const EMF = ['--metrics', 'emf', '--json'];

interface Outcome {
  command: string;
  read: number;
  results: number;
  late: number;
  dead: number;
  totals: Record<string, number>;
}

/** The counts of an outcome that metrics have too. */
const countsIn = ({ read, results, late, dead }: Pick<Outcome, 'read' | 'results' | 'late' | 'dead'>) => ({
  records: read,
  results,
  late,
  dead_letters: dead,
});

/** The same counts by the lines of metrics. */
function countsOf(stdout: string): ReturnType<typeof countsIn> {
  const { records = 0, results = 0, late = 0, dead_letters = 0 } = sums(emfIn(stdout));
  return { records, results, late, dead_letters };
}

const totalsOf = (outcome: Outcome) => countsIn(outcome.totals as unknown as Outcome);

describe('process --metrics emf', PARALLEL, () => {
  test('adds up to the outcome, which is the last line', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['replay', YELLOW, ...MAX], { cwd });
    // Trips of an earlier year are late from here on.
    await run(['process', '--until-end', '--drain'], { cwd });
    await putRecords(join(cwd, '.taxiflow'), 'taxi-trip-events', ['no trip\n', 'nor this\n']);
    for (const year of ['2009', '2017'])
      await run(['replay', fixture(`yellow-${year}.csv`), ...MAX], { cwd });
    const ran = await run(['process', '--until-end', '--drain', ...EMF], { cwd });
    const lines = ran.stdout.trimEnd().split('\n');
    assert.equal(lines.length, 3, 'one at the start, one at the end, and the outcome');
    const first = checkedEmf(lines[0]!);
    assert.deepEqual(first.dimensions, { stream: 'local:taxi-trip-events', app: 'taxi-trip-events' });
    const outcome = ran.json<Outcome>();
    assert.deepEqual(countsOf(ran.stdout), countsIn(outcome));
    assert.equal(first.metrics['records'], 0, 'totals of earlier runs are not counted again');
    assert.ok(
      outcome.read > 0 && outcome.results > 0 && outcome.dead === 2 && outcome.late >= 1,
      'the case is one',
    );
    const { checkpoint_age_seconds: age, checkpoint_duration_seconds: took } = checkedEmf(lines[1]!).metrics;
    assert.ok(age! >= 0 && took! > 0);
  });

  test('of a run that is interrupted and one that goes on, together they add up to the totals', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['replay', YELLOW, ...MAX], { cwd });
    const at = join(cwd, '.taxiflow');
    const first = following(t, ['process', '--data-dir', at, ...EMF]);
    await first.until('a checkpoint', async () => {
      const { code, json } = await taxiflow(['status', '--data-dir', at, '--json']);
      return code === 0 && (json<Outcome>().totals?.['read'] ?? 0) > 0;
    });
    await run(['replay', fixture('yellow-2017.csv'), ...MAX, '--data-dir', at]);
    const one = await first.interrupt();
    assert.equal(one.code, 130, one.stderr);
    const two = await run(['process', '--until-end', '--drain', '--data-dir', at, ...EMF]);
    assert.deepEqual(countsOf(one.stdout), countsIn(one.json<Outcome>()));
    assert.deepEqual(countsOf(one.stdout + two.stdout), totalsOf(two.json<Outcome>()));
  });

  test('of a run that is killed, no record is counted twice; what came since its last line is missing', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['replay', YELLOW, ...MAX], { cwd });
    let kill = () => {};
    const killed = taxiflow(['process', ...EMF], {
      cwd,
      onStart: (child) => {
        kill = () => child.kill('SIGKILL');
      },
    });
    await until('a checkpoint', async () => {
      const { code, json } = await taxiflow(['status', '--json'], { cwd });
      return code === 0 && (json<Outcome>().totals?.['read'] ?? 0) > 0;
    });
    kill();
    const one = await killed;
    const two = await run(['process', '--until-end', '--drain', ...EMF], { cwd });
    const outcome = two.json<Outcome>();
    assert.deepEqual(countsOf(two.stdout), countsIn(outcome), 'the second begins at 0');
    const missing = totalsOf(outcome).records - countsOf(one.stdout + two.stdout).records;
    // Its only line was printed when nothing was read yet.
    assert.equal(emfIn(one.stdout).length, 1);
    assert.equal(missing, outcome.totals['read']! - outcome.read);
  });

  test('goes on without a reader of stdout, and says so once', async (t) => {
    const cwd = temporaryFolder(t);
    const at = join(cwd, '.taxiflow');
    await run(['replay', YELLOW, ...MAX], { cwd });
    const children: ChildProcess[] = [];
    const going = taxiflow(['process', '--data-dir', at, ...EMF], {
      onStart: (child) => {
        child.stdout?.destroy();
        children.push(child);
      },
    });
    t.after(() => children[0]!.kill('SIGKILL'));
    const records = (await recordsOf(at)).length;
    await until('everything is read all the same', async () => {
      const { code, json } = await taxiflow(['status', '--data-dir', at, '--json']);
      return code === 0 && json<Outcome>().totals?.['read'] === records;
    });
    children[0]!.kill('SIGINT');
    const { code, stderr } = await going;
    assert.equal(code, 130, stderr);
    assert.equal(stderr.match(/stdout can't be written/g)?.length, 1);
  });

  test('is refused where stdout carries results, and for a job of Flink', async (t) => {
    const cwd = temporaryFolder(t);
    const both = await run(['process', '--metrics', 'emf', '--output', '-'], { cwd, code: 2 });
    assert.match(both.stderr, /^Error: --metrics and --output - both write to stdout$/m);
    const gateway = ['--engine', 'flink', '--flink-gateway', 'http://127.0.0.1:9'];
    const flink = await run(['process', '--stream', 'x', ...gateway, '--metrics', 'emf'], { cwd, code: 2 });
    assert.match(flink.stderr, /^Error: --metrics is for the embedded engine/m);
  });
});

describe('replay --metrics emf', PARALLEL, () => {
  test('adds up to the trips acknowledged and to the records of the stream', async (t) => {
    const cwd = temporaryFolder(t);
    const dirty = fixture('yellow-2015-dirty.csv');
    const ran = await run(['replay', dirty, '--speedup', '1e9', ...EMF], { cwd });
    const lines = emfIn(ran.stdout);
    const outcome = ran.json<{ acknowledged: number; rejected: number }>();
    const { trips, records, rejected, retries } = sums(lines);
    assert.ok(outcome.acknowledged > 0 && outcome.rejected > 0, 'the case is one');
    assert.deepEqual([trips, rejected, retries], [outcome.acknowledged, outcome.rejected, 0]);
    assert.equal(records, (await recordsOf(join(cwd, '.taxiflow'))).length);
    assert.deepEqual(lines.at(-1)!.dimensions, { stream: 'local:taxi-trip-events' });
    assert.ok(lines.at(-1)!.metrics['watermark_lag_seconds']! >= 0);
    const again = await run(['replay', dirty, ...MAX, '--resume', ...EMF], { cwd });
    assert.equal(sums(emfIn(again.stdout))['trips'], 0, 'what an earlier run sent is not counted again');
    assert.ok(!('watermark_lag_seconds' in emfIn(again.stdout).at(-1)!.metrics), 'there is no plan');
  });

  test('counts what Kinesis turned away and what was sent again', async (t) => {
    const emulator = await startKinesis(t);
    await createStream(emulator, 'trips', 2);
    // The SDK tries a request twice.
    const faults = ['partial', 'throttled', 'throttled'] as const;
    const { env } = await faulty(t, emulator, 0, 0, async (target, nth) =>
      target === 'PutRecords' ? faults[nth - 1] : undefined,
    );
    const ran = await run(['replay', YELLOW, ...MAX, '--stream', 'trips', ...EMF], { env });
    const outcome = ran.json<{ acknowledged: number; watermarks: number }>();
    const { trips, records, retries, throttled } = sums(emfIn(ran.stdout));
    assert.equal(trips, outcome.acknowledged);
    assert.equal(records, outcome.acknowledged + 2 * outcome.watermarks);
    // All trips fit into one request: half of them were turned away, and then the other request with them.
    assert.equal(throttled, 2 * Math.floor(outcome.acknowledged / 2));
    assert.equal(retries, throttled);
    assert.deepEqual(emfIn(ran.stdout)[0]!.dimensions, { stream: 'trips' });
  });
});
