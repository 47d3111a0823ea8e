/** `taxiflow replay` with the real binary: plan, read, send, refuse, resume. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { fixture, temporaryFolder } from '../files.ts';
import { comparable, expectedLines } from '../golden/oracle.ts';
import { taxiflow } from '../taxiflow.ts';
import {
  countByWindow,
  counted,
  DIRTY,
  dirtOf,
  fewMinutes,
  iso,
  lines,
  type NaiveRow,
  PARALLEL,
  readNaively,
  recordsOf,
  run,
  tripsInOrder,
  tripsOf,
  YELLOW,
} from './model.ts';

const MAX = ['--speedup', 'max'];

interface Outcome {
  read: number;
  sent: number;
  acknowledged: number;
  rejected: number;
  rejected_by_reason: Record<string, number>;
  skipped: Record<string, number>;
  blank_lines: number;
  replay: string;
  watermarks: number;
  last_watermark: string | null;
  first_dropoff: string | null;
  last_dropoff: string | null;
  interrupted: boolean;
  reconciled: boolean;
  inputs: string[];
}

const total = (counts: Record<string, number>) => Object.values(counts).reduce((sum, n) => sum + n, 0);

/** The counts add up: every row read has one outcome. */
function assertReconciled(outcome: Outcome): void {
  assert.equal(outcome.read, outcome.sent + outcome.rejected + total(outcome.skipped));
  assert.equal(outcome.sent, outcome.acknowledged);
  assert.equal(outcome.rejected, total(outcome.rejected_by_reason));
  assert.equal(outcome.reconciled, true);
}

/** The example of each reason is the first row that has it. */
function assertFirstOfEach(examples: Record<string, string>): void {
  const { rows } = readNaively(DIRTY);
  assert.deepEqual(Object.keys(examples).sort(), Object.keys(dirtOf(readNaively(DIRTY))).sort());
  for (const [reason, example] of Object.entries(examples)) {
    const first = rows.find((row) => row.rejected === reason)!;
    assert.ok(example.startsWith(`line ${first.line} of ${DIRTY}: `), example);
  }
}

const DAY = 86_400_000;

/** The expected plan for trips in order, computed independently; gaps of more than a day are skipped. */
function planOf(trips: readonly NaiveRow[], speedup: number) {
  const first = trips[0]!.dropoff;
  const last = trips.at(-1)!.dropoff;
  let event = 0;
  const due = trips.map(({ dropoff }, i) => {
    const gap = dropoff - (trips[i - 1] ?? trips[0]!).dropoff;
    event += gap > DAY ? 0 : gap;
    return event / speedup;
  });
  const peak = Math.max(...Object.values(counted(due.map((ms) => String(Math.floor(ms / 1000))))));
  const duration = due.at(-1)!;
  return { trips: trips.length, first, last, duration, peak, mean: trips.length / (duration / 1000) };
}

describe('replay --dry-run', PARALLEL, () => {
  test('figures agree with an independent computation, and nothing is created', async (t) => {
    const cwd = temporaryFolder(t);
    const plan = planOf(tripsInOrder(readNaively(DIRTY)), 720);
    const ran = await run(['replay', DIRTY, '--dry-run', '--speedup', '720', '--json'], { cwd });
    const { mean_rate, rejected_examples, ...figures } = ran.json<{
      mean_rate: number;
      rejected_examples: Record<string, string>;
    }>();
    assertFirstOfEach(rejected_examples);
    assert.deepEqual(figures, {
      command: 'replay',
      dry_run: true,
      inputs: [DIRTY],
      lines: readFileSync(DIRTY, 'utf8').trimEnd().split('\n').length,
      header_lines: 1,
      blank_lines: readNaively(DIRTY).blank,
      continued_lines: 0,
      read: readNaively(DIRTY).rows.length,
      rejected: total(dirtOf(readNaively(DIRTY))),
      rejected_by_reason: dirtOf(readNaively(DIRTY)),
      trips: plan.trips,
      bucket_ms: 3_600_000,
      trips_by_bucket: Object.entries(
        countByWindow(
          tripsInOrder(readNaively(DIRTY)).map(({ dropoff }) => dropoff),
          3_600_000,
        ),
      ),
      first_dropoff: iso(plan.first),
      last_dropoff: iso(plan.last),
      duration_ms: Math.round(plan.duration),
      peak_rate: plan.peak,
      shards_needed: 1,
      unreadable_values: 0,
      unreadable_example: null,
      times_twice: 0,
      times_never: 0,
      notes: [],
    });
    assert.ok(Math.abs(mean_rate - plan.mean) < 1e-6, `mean rate ${mean_rate}, not ${plan.mean}`);
    await run(['stream', 'describe'], { cwd, code: 1 });
  });

  test('people get the same in words', async (t) => {
    const plan = planOf(tripsInOrder(readNaively(DIRTY)), 720);
    const { stdout } = await run(['replay', DIRTY, '--dry-run', '--speedup', '720'], {
      cwd: temporaryFolder(t),
    });
    const short = (ms: number) => iso(ms).replace('.000Z', 'Z');
    const seconds = Math.floor(plan.duration / 1000);
    const told = stdout.split('\n');
    const rejected = told.filter((line) => line.startsWith('rejected'));
    assertFirstOfEach(
      Object.fromEntries(
        rejected.map((line) => {
          const [, count, reason = '', example = ''] =
            /^rejected +(\d+) (\S+), the first in (.*)$/.exec(line) ?? [];
          assert.equal(Number(count), dirtOf(readNaively(DIRTY))[reason]);
          return [reason, example];
        }),
      ),
    );
    const hours = countByWindow(
      tripsInOrder(readNaively(DIRTY)).map(({ dropoff }) => dropoff),
      3_600_000,
    );
    const chart = told.filter((line) => line.startsWith('per 1h'));
    assert.equal(chart.length, 1);
    assert.equal(
      /[▁-█]+/.exec(chart[0]!)?.[0].length,
      Object.keys(hours).length,
      'a bar per hour that has trips',
    );
    assert.match(chart[0]!, new RegExp(`  ${Math.max(...Object.values(hours))} at most$`));
    const others = told.filter((line) => !/^(rejected|per) /.test(line));
    assert.deepEqual(others, [
      `trips          ${plan.trips}`,
      `span           ${short(plan.first)} … ${short(plan.last)}`,
      `duration       ${Math.floor(seconds / 60)}m ${String(seconds % 60).padStart(2, '0')}s at speedup 720`,
      `rate           ${Math.round(plan.mean)} trips/s on average, ${plan.peak} at the peak`,
      'shards needed  1 at 1,000 records/s each',
      '',
    ]);
  });

  test('more than 1,000 trips in a second need more shards; --seek, --until and --limit count', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['generate', '--trips', '5000', '--hours', '1', '--out', 'hour.csv'], { cwd });
    const trips = tripsInOrder(readNaively(join(cwd, 'hour.csv')));
    const all = planOf(trips, 3600);
    const ran = await run(['replay', 'hour.csv', '--dry-run', '--speedup', '3600', '--json'], { cwd });
    assert.equal(ran.json()['peak_rate'], all.peak);
    assert.equal(ran.json()['shards_needed'], Math.ceil(all.peak / 1_000));
    assert.ok(all.peak > 1_000, `the case is one: ${all.peak} at the peak`);
    const [seek, until] = [trips[1_000]!.dropoff, trips[4_000]!.dropoff];
    const part = trips.filter(({ dropoff }) => dropoff >= seek && dropoff < until).slice(0, 2_500);
    const wanted = ['--seek', iso(seek), '--until', iso(until), '--limit', '2500'];
    const cut = await run(['replay', 'hour.csv', '--dry-run', '--json', '--speedup', '60', ...wanted], {
      cwd,
    });
    assert.equal(cut.json()['trips'], part.length);
    assert.equal(cut.json()['last_dropoff'], iso(part.at(-1)!.dropoff));
    assert.equal(cut.json()['peak_rate'], planOf(part, 60).peak);
  });

  test('a gap of years between files does not count', async (t) => {
    const files = [YELLOW, DIRTY, fixture('yellow-2014.csv')];
    const plan = planOf(tripsInOrder(...files.map(readNaively)), 1440);
    const ran = await run(['replay', ...files, '--dry-run', '--json'], { cwd: temporaryFolder(t) });
    assert.equal(ran.json()['duration_ms'], Math.round(plan.duration));
    assert.equal(ran.json()['peak_rate'], plan.peak);
    assert.ok(plan.last - plan.first > 365 * DAY, 'the case is one');
  });

  test('speedup max has no planned duration', async (t) => {
    const cwd = temporaryFolder(t);
    const { stdout } = await run(['replay', YELLOW, '--dry-run', ...MAX], { cwd });
    assert.match(stdout, /duration {7}as fast as the stream accepts records/);
    const json = await run(['replay', YELLOW, '--dry-run', ...MAX, '--json'], { cwd });
    assert.deepEqual([json.json()['duration_ms'], json.json()['shards_needed']], [null, null]);
  });
});

describe('replay reads', PARALLEL, () => {
  for (const name of ['yellow-2015-dirty.csv', 'yellow-2017-dirty.csv', 'green-2013-dirty.csv']) {
    test(`${name}: read = sent = acknowledged + rejected, by reason`, async (t) => {
      const cwd = temporaryFolder(t);
      const naive = readNaively(fixture(name));
      const ran = await run(['replay', fixture(name), ...MAX, '--json', '--on-error', 'report'], {
        cwd,
        code: 3,
      });
      const outcome = ran.json<Outcome>();
      assertReconciled(outcome);
      assert.equal(outcome.read, naive.rows.length);
      assert.equal(outcome.blank_lines, naive.blank);
      assert.deepEqual(outcome.rejected_by_reason, dirtOf(naive));
      assert.ok(outcome.rejected > 0, 'the fixture is dirty');
      const sent = await tripsOf(join(cwd, '.taxiflow'));
      assert.deepEqual(
        sent.map((trip) => [trip.trip_id, trip.dropoff_datetime]),
        tripsInOrder(naive).map(({ dropoff }, rank) => [rank, iso(dropoff)]),
        'the trips are in the stream, ranked in drop-off order',
      );
    });
  }

  test('--on-error keep is the default, keeps the rows and exits 0', async (t) => {
    const cwd = temporaryFolder(t);
    const { stderr } = await run(['replay', DIRTY, ...MAX], { cwd });
    assert.match(stderr, /rejected rows: "taxiflow dead-letters"/);
    const letters = lines<{ position: string }>((await run(['dead-letters'], { cwd })).stdout);
    const rejected = readNaively(DIRTY).rows.filter((row) => row.rejected);
    assert.deepEqual(
      letters.map(({ position }) => position),
      rejected.map(({ line }) => String(line)),
    );
  });

  test('--on-error fail stops at the first bad row, names its line, and sends nothing', async (t) => {
    const cwd = temporaryFolder(t);
    const { stderr, stdout } = await run(['replay', DIRTY, ...MAX, '--on-error', 'fail', '--json'], {
      cwd,
      code: 1,
    });
    const first = readNaively(DIRTY).rows.find((row) => row.rejected)!;
    assert.match(
      stderr,
      new RegExp(`^Error: line ${first.line} of .*yellow-2015-dirty\\.csv .*\\(${first.rejected}\\)`, 'm'),
    );
    assert.match(stderr, /^Try: /m);
    assert.doesNotMatch(stderr, /\n {4}at /, 'no stack');
    assert.equal(stdout, '');
    await run(['stream', 'describe'], { cwd, code: 1 });
  });

  test('standard input, gzip, a folder, a glob and several files give the same trips', async (t) => {
    const cwd = temporaryFolder(t);
    const other = fixture('yellow-2014.csv');
    mkdirSync(join(cwd, 'trips'));
    copyFileSync(other, join(cwd, 'trips', 'a.csv'));
    writeFileSync(join(cwd, 'trips', 'b.csv.gz'), gzipSync(readFileSync(YELLOW)));
    writeFileSync(join(cwd, 'trips', 'notes.md'), 'no trips in here');
    const trips = tripsInOrder(readNaively(other), readNaively(YELLOW)).map(({ dropoff }) => iso(dropoff));
    const ways: [string, string[], Buffer?][] = [
      ['files', [other, YELLOW]],
      ['folder', ['trips']],
      ['glob', ['trips/*.csv*']],
      ['stdin', [other, '-'], readFileSync(YELLOW)],
      ['packed', [other, '-'], gzipSync(readFileSync(YELLOW))],
    ];
    for (const [name, paths, input] of ways) {
      const ran = await run(['replay', ...paths, ...MAX, '--stream', `local:${name}`, '--json'], {
        cwd,
        ...(input ? { input } : {}),
      });
      assert.equal(ran.json<Outcome>().inputs.length, 2, name);
      assertReconciled(ran.json<Outcome>());
      const sent = await tripsOf(join(cwd, '.taxiflow'), name);
      assert.deepEqual(
        sent.map((trip) => trip.dropoff_datetime),
        trips,
        name,
      );
    }
  });

  test('--assume-sorted streams sorted rows unchanged, and rejects rows that step back', async (t) => {
    const cwd = temporaryFolder(t);
    const naive = readNaively(YELLOW);
    const sorted = [naive.header, ...tripsInOrder(naive).map(({ text }) => text), ''].join('\n');
    writeFileSync(join(cwd, 'sorted.csv'), sorted);
    const asked = ['--assume-sorted', ...MAX, '--json'];
    const whole = (await run(['replay', 'sorted.csv', ...asked], { cwd })).json<Outcome>();
    assertReconciled(whole);
    assert.deepEqual([whole.sent, whole.rejected], [naive.rows.length, 0]);
    const unsorted = (
      await run(['replay', YELLOW, ...asked, '--stream', 'local:u'], { cwd, code: 3 })
    ).json<Outcome>();
    let newest = Number.NEGATIVE_INFINITY;
    const steps = naive.rows.filter(({ dropoff }) => {
      if (dropoff < newest) return true;
      newest = dropoff;
      return false;
    });
    assertReconciled(unsorted);
    assert.deepEqual(unsorted.rejected_by_reason, { 'out-of-order': steps.length });
  });

  test('text in place of a header is harmless on a terminal', async (t) => {
    const cwd = temporaryFolder(t);
    writeFileSync(join(cwd, 'odd.csv'), '\u001b[2J\u0007odd,\u009bheader\n1,2\n');
    const { stderr } = await run(['replay', 'odd.csv', '--speedup', 'max'], { cwd, code: 1 });
    assert.match(stderr, /its header is: ·\[2J·odd,·header$/m);
  });

  test('a file that is not a trip file is refused in one message', async (t) => {
    const cwd = temporaryFolder(t);
    writeFileSync(join(cwd, 'empty.csv'), '');
    writeFileSync(join(cwd, 'other.csv'), 'name,age\nanna,7\n');
    const cases: [string[], RegExp][] = [
      [['empty.csv'], /empty\.csv is empty/],
      [['other.csv'], /other\.csv has no pick-up time[\s\S]*pickupdatetime/],
      [['nosuch.csv'], /there is no nosuch\.csv/],
      [['nosuch/*.csv'], /there is no nosuch\/\*\.csv/],
      [['-'], /standard input is empty/],
    ];
    for (const [paths, message] of cases) {
      const { stderr } = await run(['replay', ...paths, ...MAX], { cwd, code: 1 });
      assert.match(stderr, message);
      assert.match(stderr, /^Try: /m);
      assert.doesNotMatch(stderr, /\n {4}at /, 'no stack');
    }
  });
});

describe('replay sends', PARALLEL, () => {
  test('--shards applies to a new stream: an existing one keeps its own, with a note', async (t) => {
    const cwd = temporaryFolder(t);
    const few = ['replay', YELLOW, ...MAX, '--limit', '1', '--stream', 'local:x', '--data-dir', 'D'];
    const first = await run([...few, '--shards', '3'], { cwd });
    const same = await run([...few, '--shards', '3'], { cwd });
    const unsaid = await run(few, { cwd });
    for (const { stderr } of [first, same, unsaid]) assert.doesNotMatch(stderr, /--shards/);
    const other = await run([...few, '--shards', '5'], { cwd });
    const [, command] =
      /note: local:x has 3 open shards; .*"taxiflow (stream reshard [^"]*)"/.exec(other.stderr) ?? [];
    await run(command?.split(' ') ?? [], { cwd });
    const after = await run([...few, '--shards', '5'], { cwd });
    assert.doesNotMatch(after.stderr, /--shards/, 'the command that it names does it');
  });

  test('--seek, --until and --limit choose trips and account for the others', async (t) => {
    const cwd = temporaryFolder(t);
    const trips = tripsInOrder(readNaively(YELLOW));
    const [seek, until] = [trips[100]!.dropoff, trips[300]!.dropoff];
    const before = trips.filter(({ dropoff }) => dropoff < seek).length;
    const span = trips.filter(({ dropoff }) => dropoff >= seek && dropoff < until);
    const wanted = ['--seek', iso(seek), '--until', iso(until)];
    const part = (await run(['replay', YELLOW, ...MAX, ...wanted, '--json'], { cwd })).json<Outcome>();
    assertReconciled(part);
    assert.equal(part.sent, span.length);
    assert.deepEqual(
      [part.skipped['before_seek'], part.skipped['after_until']],
      [before, trips.length - before - span.length],
    );
    assert.deepEqual(
      [part.first_dropoff, part.last_dropoff],
      [iso(span[0]!.dropoff), iso(span.at(-1)!.dropoff)],
    );
    const sent = await tripsOf(join(cwd, '.taxiflow'));
    assert.equal(sent[0]!.trip_id, before, 'the rank of a trip does not depend on where a replay starts');
    const some = ['--limit', '50', '--stream', 'local:l', '--json'];
    const limited = (await run(['replay', YELLOW, ...MAX, ...some], { cwd })).json<Outcome>();
    assertReconciled(limited);
    assert.deepEqual([limited.sent, limited.skipped['over_limit']], [50, trips.length - 50]);
  });

  test('W3: at the end every shard has the last drop-off as its watermark', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['replay', YELLOW, ...MAX, '--shards', '3'], { cwd });
    const last = iso(tripsInOrder(readNaively(YELLOW)).at(-1)!.dropoff);
    const records = await recordsOf(join(cwd, '.taxiflow'));
    for (const shard of new Set(records.map((record) => record.shard))) {
      const own = records.filter((record) => record.shard === shard);
      assert.deepEqual(JSON.parse(own.at(-1)!.text), { type: 'watermark', watermark: last, shard });
    }
    assert.equal(new Set(records.map((record) => record.shard)).size, 3);
  });

  test('--adapt-time invocation shifts all times equally, so that the first trip ends now', async (t) => {
    const cwd = temporaryFolder(t);
    const before = Date.now();
    await run(['replay', YELLOW, ...MAX, '--adapt-time', 'invocation'], { cwd });
    const after = Date.now();
    const sent = await tripsOf(join(cwd, '.taxiflow'));
    const trips = tripsInOrder(readNaively(YELLOW));
    const shift = Date.parse(sent[0]!.dropoff_datetime) - trips[0]!.dropoff;
    assert.ok(
      trips[0]!.dropoff + shift >= before && trips[0]!.dropoff + shift <= after,
      `the first trip ends at ${sent[0]!.dropoff_datetime}`,
    );
    assert.deepEqual(
      sent.map((trip) => [trip.pickup_datetime, trip.dropoff_datetime]),
      trips.map(({ pickup, dropoff }) => [iso(pickup + shift), iso(dropoff + shift)]),
    );
  });

  test('--adapt-time invocation reports strays, and where trips after a gap end', async (t) => {
    const cwd = temporaryFolder(t);
    const row = (at: string) => `1,${at}:00,${at}:30,1,1.1,-73.98,40.75,1,N,-73.99,40.74,1,8,0,0,0,0,0,8\n`;
    const header = readFileSync(YELLOW, 'latin1').split('\n')[0];
    const few = Array.from({ length: 6 }, (_, i) => row(`2015-01-01 00:0${i}`));
    writeFileSync(
      join(cwd, 'x.csv'),
      [`${header}\n`, row('2088-01-24 00:00'), row('2001-01-01 00:00'), ...few].join(''),
    );
    const before = Date.now();
    const { stderr } = await run(['replay', 'x.csv', ...MAX, '--adapt-time', 'invocation'], { cwd });
    const [stray, first] = await tripsOf(join(cwd, '.taxiflow'));
    assert.ok(
      Date.parse(first!.dropoff_datetime) >= before && Date.parse(first!.dropoff_datetime) <= Date.now(),
    );
    assert.ok(Date.parse(stray!.dropoff_datetime) < before - 10 * 365 * 86_400_000);
    assert.match(
      stderr,
      /^note: 1 trip ends .* at 2001-01-01T00:00:30Z, .* 2015-01-01T00:00:30Z ends now; --seek/m,
    );
    assert.match(
      stderr,
      /^note: no trips from 2015-01-01T00:05:30Z to 2088-01-24T00:00:30Z; the trips after that end from 20/m,
    );
  });

  test('--adapt-time ingestion ends each trip when it is sent, and keeps its duration', async (t) => {
    const cwd = temporaryFolder(t);
    const file = fewMinutes(cwd);
    const before = Date.now();
    await run(['replay', file, '--speedup', '720', '--adapt-time', 'ingestion'], { cwd });
    const after = Date.now();
    const sent = await tripsOf(join(cwd, '.taxiflow'));
    const trips = tripsInOrder(readNaively(file));
    assert.equal(sent.length, trips.length);
    for (const [i, trip] of sent.entries()) {
      const [pickup, dropoff] = [Date.parse(trip.pickup_datetime), Date.parse(trip.dropoff_datetime)];
      assert.equal(dropoff - pickup, trips[i]!.dropoff - trips[i]!.pickup);
      assert.ok(dropoff >= before && dropoff <= after, `${trip.dropoff_datetime} is when it was sent`);
      assert.ok(i === 0 || dropoff >= Date.parse(sent[i - 1]!.dropoff_datetime), 'in order');
    }
    const ends = new Set(sent.map((trip) => trip.dropoff_datetime));
    assert.ok(ends.size > 1, 'not all at once: the replay keeps its pace');
  });

  test('W5: without watermarks no window fires; process says so and names both remedies', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['replay', YELLOW, ...MAX, '--no-watermark'], { cwd });
    const ran = await run(['process', '--until-end', '--json'], { cwd });
    assert.deepEqual([ran.json()['results'], ran.json()['watermark']], [0, null]);
    assert.match(ran.stderr, /no watermark.*--max-disorder.*--event-time arrival/);
    const disorder = ['--max-disorder', '5m'];
    const healed = await run(['process', '--until-end', ...disorder, '--output', 'out.ndjson'], { cwd });
    assert.doesNotMatch(healed.stderr, /no watermark/);
    const watermark = tripsInOrder(readNaively(YELLOW)).at(-1)!.dropoff - 5 * 60_000;
    const fired = (await expectedLines([YELLOW])).lines.filter(
      (line) => Date.parse((JSON.parse(line) as { timestamp: string }).timestamp) <= watermark,
    );
    assert.ok(fired.length > 0, 'the case is one');
    assert.deepEqual(
      comparable(readFileSync(join(cwd, 'out.ndjson'), 'utf8')),
      fired,
      'the way out leads on from where the first run stood',
    );
  });

  test('W7: the same input replayed twice counts once', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['replay', YELLOW, ...MAX], { cwd });
    const { stderr } = await run(['replay', YELLOW, ...MAX], { cwd });
    assert.match(
      stderr,
      /note: this input is already in local:taxi-trip-events; a processor counts its trips once/,
    );
    const ran = await run(['process', '--until-end', '--drain', '--output', 'out.ndjson', '--json'], { cwd });
    assert.equal(ran.json()['duplicate'], tripsInOrder(readNaively(YELLOW)).length);
    assert.equal(ran.json()['late'], 0, 'what was seen is a duplicate, however late it comes');
    const found = comparable(readFileSync(join(cwd, 'out.ndjson'), 'utf8'));
    assert.deepEqual(found, (await expectedLines([YELLOW])).lines);
  });
});

describe('replay is interrupted', PARALLEL, () => {
  /** At this speedup the fixture takes minutes, so only a signal ends the replay. */
  const SLOW = ['--speedup', '60', '--statistics-frequency', '1'];

  async function interrupted(cwd: string, signal: NodeJS.Signals = 'SIGINT') {
    let killed = false;
    const ran = await taxiflow(['replay', YELLOW, ...SLOW, '--json'], {
      cwd,
      onStart: (child) =>
        child.stderr!.on('data', (chunk: Buffer) => {
          if (killed || !/ trips .* lag /.test(chunk.toString())) return;
          killed = true;
          child.kill(signal);
        }),
    });
    return ran;
  }

  test('W1: Ctrl-C drains, sends the watermark, exits 130 and names --resume, which continues', async (t) => {
    const cwd = temporaryFolder(t);
    const ran = await interrupted(cwd);
    assert.equal(ran.code, 130, ran.stderr);
    const outcome = ran.json<Outcome>();
    assertReconciled(outcome);
    assert.equal(outcome.interrupted, true);
    assert.match(ran.stderr, /interrupted: .*--resume/);
    const trips = tripsInOrder(readNaively(YELLOW));
    assert.ok(outcome.sent > 0 && outcome.sent < trips.length, `${outcome.sent} trips were sent`);
    assert.equal(outcome.skipped['interrupted'], trips.length - outcome.sent);
    assert.equal(
      (await tripsOf(join(cwd, '.taxiflow'))).length,
      outcome.acknowledged,
      'acknowledged is in the stream',
    );
    const next = trips[outcome.sent]!.dropoff;
    assert.equal(outcome.last_watermark, iso(next - 1), 'just before the first trip that was not sent');

    const resumed = await run(['replay', YELLOW, ...MAX, '--resume', '--json'], { cwd });
    assertReconciled(resumed.json<Outcome>());
    assert.equal(resumed.json<Outcome>().skipped['already_sent'], outcome.acknowledged);
    assert.match(resumed.stderr, new RegExp(`continues at trip ${outcome.acknowledged}\\b`));
    const processed = await run(['process', '--until-end', '--drain', '--output', 'out.ndjson', '--json'], {
      cwd,
    });
    assert.equal(processed.json()['late'], 0);
    assert.deepEqual(
      comparable(readFileSync(join(cwd, 'out.ndjson'), 'utf8')),
      (await expectedLines([YELLOW])).lines,
    );
  });

  test('W7: --resume continues after a SIGKILL without loss or duplicates', async (t) => {
    const cwd = temporaryFolder(t);
    const killed = await interrupted(cwd, 'SIGKILL');
    assert.equal(killed.signal, 'SIGKILL');
    await run(['replay', YELLOW, ...MAX, '--resume'], { cwd });
    await run(['process', '--until-end', '--drain', '--output', 'out.ndjson'], { cwd });
    assert.deepEqual(
      comparable(readFileSync(join(cwd, 'out.ndjson'), 'utf8')),
      (await expectedLines([YELLOW])).lines,
    );
  });

  test('--resume sends only the rest; on a first run it starts', async (t) => {
    const cwd = temporaryFolder(t);
    const trips = tripsInOrder(readNaively(YELLOW)).length;
    const first = (
      await run(['replay', YELLOW, ...MAX, '--resume', '--limit', '100', '--json'], { cwd })
    ).json<Outcome>();
    assertReconciled(first);
    assert.equal(first.sent, 100);
    const rest = (await run(['replay', YELLOW, ...MAX, '--resume', '--json'], { cwd })).json<Outcome>();
    assertReconciled(rest);
    assert.deepEqual(
      [rest.replay, rest.sent, rest.skipped['already_sent']],
      [first.replay, trips - 100, 100],
    );
    const sent = await tripsOf(join(cwd, '.taxiflow'));
    assert.deepEqual(
      sent.map((trip) => trip.trip_id),
      Array.from({ length: trips }, (_, rank) => rank),
    );
  });
});

describe('replay notes before it starts', PARALLEL, () => {
  const month = (name: string, day: string) =>
    `pickup_datetime,dropoff_datetime,note\n${[1, 2, 3].map((i) => `${day} 10:00:00,${day} 10:0${i}:00,${name}${i}`).join('\n')}\n`;

  test('how many trips are behind the watermark of an earlier replay, and which replay', async (t) => {
    const cwd = temporaryFolder(t);
    writeFileSync(
      join(cwd, 'jan.csv'),
      `${month('j', '2016-01-10')}2088-01-01 00:00:00,2088-01-01 00:01:00,stray\n`,
    );
    writeFileSync(join(cwd, 'feb.csv'), month('f', '2016-02-10'));
    await run(['replay', 'jan.csv', ...MAX], { cwd });
    const ran = await run(['replay', 'feb.csv', ...MAX, '--seek', '2016-02-10T10:02:00', '--json'], { cwd });
    assert.match(
      ran.stderr,
      /note: 2 of 2 trips are behind the watermark of local:taxi-trip-events, which the replay of jan.csv moved to 2088-01-01T00:01:00Z/,
    );
    const { behind_watermark, notes } = ran.json<{ behind_watermark: number; notes: string[] }>();
    assert.deepEqual([behind_watermark, notes.length], [2, 1]);
    const again = await run(['replay', 'jan.csv', ...MAX, '--json'], { cwd });
    assert.equal(again.json()['behind_watermark'], 0, 'its own watermark holds up nobody');
    const other = await run(['replay', 'feb.csv', ...MAX, '--stream', 'local:other', '--json'], { cwd });
    assert.equal(other.json()['behind_watermark'], 0);
  });

  test('that the same content is already there, under another name, compressed, and in another order', async (t) => {
    const cwd = temporaryFolder(t);
    for (const [name, day] of [
      ['a', '2016-01-10'],
      ['b', '2016-01-10'],
    ] as const) {
      writeFileSync(join(cwd, `${name}.csv`), month(name, day));
      writeFileSync(join(cwd, `packed-${name}.csv.gz`), gzipSync(month(name, day)));
    }
    const first = await run(['replay', 'a.csv', 'b.csv', ...MAX, '--json'], { cwd });
    const second = await run(['replay', 'packed-b.csv.gz', 'packed-a.csv.gz', ...MAX, '--json'], { cwd });
    assert.match(second.stderr, /this input is already in local:taxi-trip-events/);
    assert.equal(second.json<Outcome>().replay, first.json<Outcome>().replay);
    // Exit code 3: no trip of these is in a view.
    const toEnd = ['process', '--until-end', '--json', '--output', 'out.ndjson'];
    const processed = await run(toEnd, { cwd, code: 3 });
    const { duplicate, filtered } = processed.json<{ duplicate: number; filtered: number }>();
    assert.deepEqual([duplicate, filtered], [6, 6]);
  });

  test('that no row could be used, and exits with 3', async (t) => {
    const cwd = temporaryFolder(t);
    writeFileSync(join(cwd, 'bad.csv'), month('x', 'some day'));
    const ran = await run(['replay', 'bad.csv', ...MAX], { cwd, code: 3 });
    assert.match(
      ran.stderr,
      /no row could be used: \d unreadable-time, the first in line 2 of bad\.csv: .*"some day/,
    );
    assert.match(ran.stderr, /^Try: write times as 2016-03-01 15:04:05/m);
    const planned = await run(['replay', 'bad.csv', '--dry-run'], { cwd, code: 3 });
    assert.match(planned.stderr, /no row could be used/);
    await run(['stream', 'describe'], { cwd, code: 1 });
    assert.match((await run(['dead-letters'], { cwd })).stdout, /some day/, 'the rows are kept');
    writeFileSync(join(cwd, 'empty.csv'), 'pickup_datetime,dropoff_datetime\n');
    assert.match((await run(['replay', 'empty.csv', ...MAX], { cwd })).stderr, /a header and no rows/);
  });
});

describe('replay without a file', PARALLEL, () => {
  test('sends a built-in week, the same each time, and goes on with --resume', async (t) => {
    const cwd = temporaryFolder(t);
    const part = await run(['replay', '-speedup', 'max', '--limit', '1000', '--json'], { cwd });
    assert.match(part.stderr, /^replaying the built-in trips, a made-up week from 2016-01-11; name files/m);
    const rest = await run(['replay', '-speedup', 'max', '--resume', '--json'], { cwd });
    const [first, second] = [part.json<Outcome>(), rest.json<Outcome>()];
    assertReconciled(first);
    assertReconciled(second);
    assert.equal(second.replay, first.replay);
    assert.deepEqual([first.sent, second.skipped['already_sent']], [1_000, 1_000]);
    assert.equal(second.sent, second.read - 1_000);
    const trips = await tripsOf(join(cwd, '.taxiflow'));
    assert.equal(new Set(trips.map(({ trip_id }) => trip_id)).size, second.read);
    const days = Date.parse(trips.at(-1)!.dropoff_datetime) - Date.parse(trips[0]!.dropoff_datetime);
    assert.ok(days > 6.5 * DAY && days < 7.5 * DAY, `${days} ms are a week`);
  });

  test('makes no stream for an input that is no good, or holds no trip', async (t) => {
    const cwd = temporaryFolder(t);
    writeFileSync(join(cwd, 'other.csv'), 'name,age\nanna,7\n');
    await run(['replay', 'other.csv', ...MAX, '--stream', 'local:a'], { cwd, code: 1 });
    await run(['replay', '-', ...MAX, '--stream', 'local:b'], { cwd, code: 1, input: Buffer.from('') });
    for (const name of ['a', 'b']) await run(['stream', 'describe', `local:${name}`], { cwd, code: 1 });
  });

  test('a file given as the stream is told', async (t) => {
    const ran = await run(['replay', '--stream', 'x.csv'], { cwd: temporaryFolder(t), code: 2 });
    assert.match(ran.stderr, /x\.csv was taken as the stream/);
  });

  test('data list names them, and where the files of the TLC are', async (t) => {
    const cwd = temporaryFolder(t);
    const { tlc, built_in } = (await run(['data', 'list', '--json'], { cwd })).json<{
      tlc: { kind: string; from: string; url: string }[];
      built_in: { trips: number };
    }>();
    assert.ok(built_in.trips > 0);
    for (const { kind, from, url } of tlc) {
      assert.match(from, /^20\d\d-\d\d$/);
      assert.match(url, new RegExp(`^https://.*/${kind}_tripdata_YYYY-MM\\.parquet$`));
    }
    assert.match((await run(['data', 'list'], { cwd })).stdout, /^yellow .*coordinates/m);
  });
});

describe('replay says', PARALLEL, () => {
  test('what time its trips span when none is in the time asked for, and exits with 3', async (t) => {
    const cwd = temporaryFolder(t);
    const trips = tripsInOrder(readNaively(YELLOW));
    const short = (ms: number) => iso(ms).replace('.000Z', 'Z');
    const span = new RegExp(
      `the trips end from ${short(trips[0]!.dropoff)} to ${short(trips.at(-1)!.dropoff)}`,
    );
    for (const asked of [
      ['--seek', '2020-01-01'],
      ['--until', '2010-01-01'],
    ])
      for (const way of [MAX, ['--dry-run']])
        assert.match((await run(['replay', YELLOW, ...asked, ...way], { cwd, code: 3 })).stderr, span);
  });

  test('how far it is: event time, percent, time to go, rate and lag', async (t) => {
    const cwd = temporaryFolder(t);
    const { stderr } = await run(['replay', YELLOW, ...MAX, '--statistics-frequency', '1'], { cwd });
    assert.match(
      stderr,
      /^20\d\d-\S+Z {2}\d+% {2}(ETA \S+( \S+)? {2})?[\d,]+ trips {2}[\d,]+\/s {2}lag \S+$/m,
    );
  });

  test('windows fire as event time passes: watermarks follow the speedup', async (t) => {
    const cwd = temporaryFolder(t);
    const hour = ['generate', '--trips', '600', '--hours', '1', '--out', 'hour.csv'];
    await run(hour, { cwd });
    const watermarks = async (...more: string[]) =>
      (
        await run(
          ['replay', 'hour.csv', '--speedup', '3600', '--json', '--stream', `local:w${more.length}`, ...more],
          { cwd },
        )
      ).json<Outcome>().watermarks;
    const usual = await watermarks();
    assert.ok(usual >= 3, `${usual} watermarks in an hour that takes a second`);
    assert.equal(await watermarks('--watermark-interval', '1h'), 1, 'only that at the end');
  });

  test('that nothing is known to resume', async (t) => {
    const cwd = temporaryFolder(t);
    const first = await run(['replay', YELLOW, ...MAX, '--resume', '--limit', '10'], { cwd });
    assert.match(
      first.stderr,
      /note: no interrupted replay of this input into local:taxi-trip-events is known/,
    );
    const second = await run(['replay', YELLOW, ...MAX, '--resume'], { cwd });
    assert.doesNotMatch(second.stderr, /no interrupted replay/);
  });

  test('that standard input is one of the files, and sends nothing twice', async (t) => {
    const cwd = temporaryFolder(t);
    const input = readFileSync(YELLOW);
    const ran = await run(['replay', '-', YELLOW, ...MAX], { cwd, input, code: 1 });
    assert.match(ran.stderr, /^Error: standard input has the same content as .*yellow-2015\.csv/m);
    await run(['stream', 'describe'], { cwd, code: 1 });
  });

  test('what is wrong with a header, by its own delimiter', async (t) => {
    const cwd = temporaryFolder(t);
    writeFileSync(join(cwd, 'semi.csv'), 'VendorID;tpep_pickup_datetime;tpep_drpoff_datetime\n1;2;3\n');
    assert.match(
      (await run(['replay', 'semi.csv'], { cwd, code: 1 })).stderr,
      /semi\.csv has no drop-off time/,
    );
    assert.deepEqual(readdirSync(cwd), ['semi.csv'], 'nothing is left behind');
  });

  test('that a folder cannot be made, instead of waiting for ever', {
    skip: !existsSync('/proc/self'),
  }, async (t) => {
    const asked = ['replay', YELLOW, '--data-dir', '/proc/taxiflow/x'];
    const ran = await run(asked, { cwd: temporaryFolder(t), code: 1 });
    assert.match(ran.stderr, /^Error: .*\/proc\/taxiflow/m);
  });

  test('no stream is made for trips that nobody asked for', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['replay', YELLOW, '--seek', '2030-01-01'], { cwd, code: 3 });
    await run(['replay', YELLOW, '--limit', '0'], { cwd });
    await run(['stream', 'describe'], { cwd, code: 1 });
  });
});
