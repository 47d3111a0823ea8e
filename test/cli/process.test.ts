/** `taxiflow process` with the real binary: start and end of a run, lateness, custom views, several apps. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { temporaryFolder } from '../files.ts';
import { comparable, expectedLines } from '../golden/oracle.ts';
import { taxiflow } from '../taxiflow.ts';
import {
  countByWindow,
  countingView,
  countsOf,
  iso,
  lines,
  PARALLEL,
  putRecords,
  readNaively,
  recordsOf,
  run,
  tripEndingAt,
  tripsInOrder,
  watermarkAt,
  YELLOW,
} from './model.ts';

const TRIPS = tripsInOrder(readNaively(YELLOW));
const REPLAY = ['replay', YELLOW, '--speedup', 'max'];
const TO_END = ['process', '--until-end'];
const TO_FILE = ['--output', 'out.ndjson'];
const MINUTE = 60_000;

const output = (cwd: string, name = 'out.ndjson') => readFileSync(join(cwd, name), 'utf8');

interface Outcome {
  read: number;
  watermarks: number;
  processed: number;
  filtered: number;
  duplicate: number;
  late: number;
  dead: number;
  results: number;
  open_windows: number;
  watermark: string | null;
  reconciled: boolean;
}

/** C7: every record read is counted under exactly one of these. */
function assertReconciled(o: Outcome): void {
  assert.equal(o.read, o.watermarks + o.processed + o.filtered + o.duplicate + o.late + o.dead);
  assert.equal(o.reconciled, true);
}

/** A window is over when the watermark reaches its last millisecond. */
const firedBy = (watermark: number) => (line: string) =>
  Date.parse((JSON.parse(line) as { timestamp: string }).timestamp) <= watermark;

describe('process ends', PARALLEL, () => {
  test('--until-end without --drain keeps the open windows and says so; the next run delivers them', async (t) => {
    const cwd = temporaryFolder(t);
    const { lines: expected } = await expectedLines([YELLOW]);
    const until = iso(TRIPS[200]!.dropoff);
    await run([...REPLAY, '--until', until], { cwd });
    const first = await run([...TO_END, ...TO_FILE, '--json'], { cwd });
    const outcome = first.json<Outcome>();
    assertReconciled(outcome);
    const last = TRIPS.filter(({ dropoff }) => dropoff < TRIPS[200]!.dropoff).at(-1)!.dropoff;
    assert.equal(outcome.watermark, iso(last));
    assert.deepEqual(comparable(output(cwd)), expected.filter(firedBy(last)));
    assert.ok(outcome.open_windows > 0, 'the case is one: a window is open');
    assert.match(
      first.stderr,
      new RegExp(`left open in the state: ${outcome.open_windows} windows?; the next run continues`),
    );

    await run([...REPLAY, '--resume'], { cwd });
    assertReconciled((await run([...TO_END, ...TO_FILE, '--json'], { cwd })).json<Outcome>());
    assert.deepEqual(comparable(output(cwd)), expected.filter(firedBy(TRIPS.at(-1)!.dropoff)));
    const drained = await run([...TO_END, '--drain', ...TO_FILE, '--json'], { cwd });
    assert.deepEqual(comparable(output(cwd)), expected);
    assert.equal(drained.json<Outcome>().open_windows, 0);
    assert.doesNotMatch(drained.stderr, /left open/);
  });

  test('C7: --drain also closes the open windows, and the final line adds up', async (t) => {
    const cwd = temporaryFolder(t);
    await run([...REPLAY, '--limit', '300'], { cwd });
    const ran = await run([...TO_END, '--drain', '--json'], { cwd });
    const outcome = ran.json<Outcome>();
    assertReconciled(outcome);
    assert.deepEqual([outcome.open_windows, outcome.processed + outcome.filtered], [0, 300]);
    assert.match(
      ran.stderr,
      new RegExp(`^read ${outcome.read} = watermarks ${outcome.watermarks} \\+ processed`, 'm'),
    );
    const results = lines((await run(['results'], { cwd })).stdout);
    assert.equal(results.length, outcome.results);
  });

  test('says of each view which trips are in no window of it, for want of a key', async (t) => {
    const cwd = temporaryFolder(t);
    await run([...REPLAY, '--limit', '300'], { cwd });
    const early = TRIPS[100]!.pickup;
    writeFileSync(
      join(cwd, 'views.sql'),
      `CREATE VIEW tips AS SELECT window_start, window_end, payment_type, COUNT(*) AS n
       FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '1' HOUR)) WHERE pickup_datetime < TIMESTAMP '${iso(early).slice(0, 19).replace('T', ' ')}'
       GROUP BY window_start, window_end, payment_type;
       CREATE VIEW everything AS SELECT window_start, window_end, COUNT(*) AS n
       FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '1' HOUR)) GROUP BY window_start, window_end;`,
    );
    const ran = await run([...TO_END, '--drain', '--json', '--views', 'views.sql'], { cwd });
    const some = TRIPS.slice(0, 300).filter(({ pickup }) => pickup < early).length;
    assert.ok(some > 0 && some < 300);
    assert.deepEqual(ran.json<{ without_key: unknown }>().without_key, { tips: some });
    assert.match(ran.stderr, new RegExp(`view tips: ${some} trips in none of its windows: no value for its key, of payment_type; "taxiflow replay --fields payment_type" sends it along`)); // biome-ignore format: one line
    assert.match(
      ran.stderr,
      /note: --drain: the \d+ open windows fire; trips that come later are late up to /,
    );
  });

  test('--output -: stdout contains each result once and nothing else', async (t) => {
    const cwd = temporaryFolder(t);
    await run(REPLAY, { cwd });
    const first = await run([...TO_END, '--drain', '--output', '-', '--json'], { cwd });
    assert.deepEqual(comparable(first.stdout), (await expectedLines([YELLOW])).lines);
    assert.equal(
      first.stdout.trimEnd().split('\n').length,
      lines(first.stdout).length,
      'one JSON object a line',
    );
    assert.match(first.stderr, /^\{"command":"process",/m, 'the summary goes where the talk goes');
    const second = await run([...TO_END, '--drain', '--output', '-'], { cwd });
    assert.equal(second.stdout, '');
  });
});

describe('process begins', PARALLEL, () => {
  test('--from latest reads records from now on, --from TIME records that arrived since', async (t) => {
    const cwd = temporaryFolder(t);
    const views = ['--views', countingView(cwd)];
    await run([...REPLAY, '--limit', '200'], { cwd });
    const latest = [...TO_END, ...views, '--app', 'latest', '--from', 'latest'];
    const nothing = await run([...latest, '--json'], { cwd });
    assert.equal(nothing.json<Outcome>().read, 0);
    const since = iso(Date.now() + 1);
    await run([...REPLAY, '--resume'], { cwd });
    const note = await run([...latest, '--drain', '--output', 'latest.ndjson'], { cwd });
    assert.match(note.stderr, /continues from its checkpoint; --from applies only to a new app/);
    const timed = [
      ...TO_END,
      ...views,
      '--app',
      'timed',
      '--from',
      since,
      '--drain',
      '--output',
      'timed.ndjson',
    ];
    await run(timed, { cwd });
    const expected = countByWindow(
      TRIPS.slice(200).map(({ dropoff }) => dropoff),
      10 * MINUTE,
    );
    assert.deepEqual(countsOf(output(cwd, 'latest.ndjson')), expected);
    assert.deepEqual(countsOf(output(cwd, 'timed.ndjson')), expected);
  });

  test('the stream must exist', async (t) => {
    const cwd = temporaryFolder(t);
    const { stderr } = await run([...TO_END, '--stream', 'local:other'], { cwd, code: 1 });
    assert.match(
      stderr,
      /^Error: there is no stream local:other in \.taxiflow\nTry: .*taxiflow stream create/m,
    );
    // Nothing listens at this address, so no real account is contacted.
    const nowhere = ['--endpoint-url', 'http://127.0.0.1:9', '--region', 'us-east-1'];
    const env = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' };
    const kinesis = await run([...TO_END, '--stream', 'other', ...nowhere], { cwd, code: 1, env });
    assert.match(
      kinesis.stderr,
      /^stream: other \(Kinesis at \S+\)\nError: Kinesis does not answer[^\n]*\nTry: /,
    );
  });
});

describe('process with an invalid option', PARALLEL, () => {
  test('creates nothing', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['stream', 'create'], { cwd });
    const before = readdirSync(cwd, { recursive: true });
    for (const [args, code, message] of [
      [['--output', ''], 2, /the value of --output is empty/],
      [
        ['--output', 'nosuch/out.ndjson'],
        1,
        /the output can't be opened: nosuch\/out\.ndjson\nTry: .*--output/,
      ],
      [['--output', '.taxiflow'], 1, /the output can't be opened: \.taxiflow/],
      [['--port', '99999', '--dashboard'], 2, /--port 99999 is not a valid port/],
      [['--ca', 'nosuch.pem', '--opensearch', 'https://127.0.0.1:9'], 1, /nosuch\.pem/],
      [['--app', '../x'], 2, /"\.\.\/x" can't name an app/],
      [['--views', 'nosuch.mjs'], 1, /there is no nosuch\.mjs/],
      [['--dead-letter-limit', '-1'], 2, /--dead-letter-limit needs a whole number/],
    ] as const) {
      const { stderr } = await run([...TO_END, ...args], { cwd, code });
      assert.match(stderr, message);
      assert.deepEqual(readdirSync(cwd, { recursive: true }), before, args.join(' '));
    }
  });
});

describe('event time', PARALLEL, () => {
  test('W5: --event-time arrival uses the arrival of records', async (t) => {
    const cwd = temporaryFolder(t);
    await run([...REPLAY, '--no-watermark', '--limit', '100'], { cwd });
    await run([...REPLAY, '--no-watermark', '--resume'], { cwd });
    const views = ['--views', countingView(cwd, 1 / 600)];
    const ran = await run([...TO_END, '--drain', ...views, '--event-time', 'arrival', ...TO_FILE, '--json'], {
      cwd,
    });
    assertReconciled(ran.json<Outcome>());
    assert.equal(ran.json<Outcome>().late, 0);
    const arrivals = (await recordsOf(join(cwd, '.taxiflow'))).map(({ arrival }) => arrival);
    assert.equal(arrivals.length, TRIPS.length);
    assert.deepEqual(countsOf(output(cwd)), countByWindow(arrivals, 100));
    const other = await run([...TO_END], { cwd, code: 1 });
    assert.match(other.stderr, /made with other/, 'a state keeps to one kind of time');
  });

  test('durations at their limits work or are refused', async (t) => {
    const cwd = temporaryFolder(t);
    await putRecords(join(cwd, '.taxiflow'), 'own', [tripEndingAt('2016-01-01T00:00:00Z'), tripEndingAt('9999-12-31T23:59:59.999Z')]); // biome-ignore format: one line
    const options = ['--window', '--max-disorder', '--allowed-lateness', '--checkpoint-interval'];
    for (const option of options) {
      const ran = await taxiflow(['process', option, '9007199254740991ms'], { cwd });
      assert.equal(ran.code, 2);
      assert.match(
        ran.stderr,
        new RegExp(`^Error: ${option} 9007199254740991ms is longer than 36500 days\nTry: `),
      );
      await run([...TO_END, '--stream', 'local:own', '--app', option.slice(2), option, '36500d', '--drain'], {
        cwd,
        code: 3,
      });
    }
  });

  test('W5: --max-disorder on a stream without watermarks, against a naive model', async (t) => {
    const cwd = temporaryFolder(t);
    const dataDir = join(cwd, '.taxiflow');
    const disorder = 20 * MINUTE;
    // Steps of 7 minutes, with jumps back of up to an hour, beyond a --max-disorder of 20 minutes.
    const puts = [0, 1, 2].map((part) =>
      Array.from({ length: 40 }, (_, i) => {
        const at = Date.UTC(2016, 2, 10, 7) + (part * 40 + i) * MINUTE;
        return at - ((i * 7) % 13 === 0 ? 60 : (i * 7) % 13) * MINUTE;
      }),
    );
    const counts = new Map<number, number>();
    let watermark = Number.NEGATIVE_INFINITY;
    let late = 0;
    let seen = 0;
    for (const times of puts) {
      await putRecords(
        dataDir,
        'own',
        times.map((at) => tripEndingAt(iso(at))),
      );
      const ran = await run(
        [
          ...TO_END,
          '--stream',
          'local:own',
          '--views',
          countingView(cwd),
          '--max-disorder',
          '20m',
          ...TO_FILE,
          '--json',
        ],
        { cwd },
      );
      const before = late;
      for (const at of times) {
        const start = Math.floor(at / (10 * MINUTE)) * 10 * MINUTE;
        if (start + 10 * MINUTE - 1 <= watermark) late++;
        else counts.set(start, (counts.get(start) ?? 0) + 1);
        watermark = Math.max(watermark, at - disorder);
      }
      const fired = [...counts].filter(([start]) => start + 10 * MINUTE - 1 <= watermark);
      assertReconciled(ran.json<Outcome>());
      assert.equal(ran.json<Outcome>().watermark, iso(watermark));
      assert.equal(ran.json<Outcome>().late, late - before);
      assert.equal(ran.json<Outcome>().open_windows, counts.size - fired.length);
      const expected = Object.fromEntries(fired.map(([start, n]) => [iso(start), n]));
      assert.deepEqual(countsOf(output(cwd)), expected);
      assert.ok(fired.length > seen, 'every run fires more');
      seen = fired.length;
    }
    assert.ok(late > 0, 'the case is one: some trips are too late');
  });

  test('W5: shards without a watermark are named', async (t) => {
    const cwd = temporaryFolder(t);
    await putRecords(join(cwd, '.taxiflow'), 'own', [tripEndingAt('2016-01-01T00:00:00Z')], 5);
    const ran = await run([...TO_END, '--stream', 'local:own', '--views', countingView(cwd)], { cwd });
    const named =
      /no watermark has arrived in shardId-0{12}, shardId-0{11}1, shardId-0{11}2 and 2 other shards, so/;
    assert.match(ran.stderr, named);
  });

  test('--allowed-lateness: late trips within it correct the result, later ones are dead letters', async (t) => {
    const cwd = temporaryFolder(t);
    const dataDir = join(cwd, '.taxiflow');
    const day = (time: string) => `2016-03-10T${time}Z`;
    const put = (...texts: string[]) => putRecords(dataDir, 'own', texts);
    const asked = [
      ...TO_END,
      '--stream',
      'local:own',
      '--views',
      countingView(cwd),
      '--allowed-lateness',
      '30m',
    ];
    await put(
      ...['12:01', '12:05', '12:09', '12:15'].map((time) => tripEndingAt(day(time))),
      watermarkAt(day('12:20')),
    );
    await run([...asked, ...TO_FILE], { cwd });
    assert.equal(output(cwd).trimEnd().split('\n').length, 2);

    await put(...['12:03', '11:55', '11:05', '12:25'].map((time) => tripEndingAt(day(time))));
    const ran = await run([...asked, ...TO_FILE, '--on-error', 'report', '--json'], { cwd, code: 3 });
    assertReconciled(ran.json<Outcome>());
    assert.deepEqual([ran.json<Outcome>().late, ran.json<Outcome>().processed], [1, 3]);
    assert.match(ran.stderr, /refused records: "taxiflow dead-letters"/);

    const written = lines<{ window_start: string; trips: number }>(output(cwd));
    assert.deepEqual(
      written.map(({ window_start, trips }) => [window_start.slice(11, 16), trips]),
      [
        ['12:00', 3],
        ['12:10', 1],
        ['11:50', 1],
        ['12:00', 4],
      ],
      'what was written stays; the correction is a later line',
    );
    assert.deepEqual(countsOf((await run(['results'], { cwd })).stdout), {
      [iso(Date.parse(day('11:50')))]: 1,
      [iso(Date.parse(day('12:00')))]: 4,
      [iso(Date.parse(day('12:10')))]: 1,
    });
    assert.equal(lines((await run(['results'], { cwd })).stdout).length, 3, 'only the last of each result');
    const [letter, ...others] = lines((await run(['dead-letters'], { cwd })).stdout);
    assert.equal(others.length, 0);
    const { reason, source, position, raw } = letter!;
    // The first put held five records, so the late one is the eighth: sequence number 7.
    assert.deepEqual([reason, position], ['late', '7']);
    assert.equal(source, 'local:own shardId-000000000000');
    assert.equal(`${raw}\n`, tripEndingAt(day('11:05')));

    const other = await run([...asked.slice(0, -2)], { cwd, code: 1 });
    assert.match(
      other.stderr,
      /made with other settings[\s\S]*--app/,
      'a fired window is kept or not, not both',
    );
  });

  test('P2: a late trip that moves a result past `having` retracts it, and another brings it back', async (t) => {
    const cwd = temporaryFolder(t);
    const dataDir = join(cwd, '.taxiflow');
    const views = join(cwd, 'odd.mjs');
    writeFileSync(
      views,
      `export const views = ({ view, tumbling, count, aggregate, divide, truncate, multiply, ne }) => [view({
        name: 'odd', by: {}, window: tumbling('10m'), aggregates: { trips: count() },
        having: ne(aggregate('trips'), multiply(2, truncate(divide(aggregate('trips'), 2)))),
      })];`,
    );
    const asked = [
      ...TO_END,
      ...TO_FILE,
      '--stream',
      'local:own',
      '--views',
      views,
      '--allowed-lateness',
      '30m',
    ];
    const shown: (number | undefined)[][] = [];
    const put = async (...texts: string[]) => {
      await putRecords(dataDir, 'own', texts);
      const ran = await run([...asked, '--json'], { cwd });
      assertReconciled(ran.json<Outcome>());
      shown.push(
        lines<{ trips: number }>((await run(['results'], { cwd })).stdout).map(({ trips }) => trips),
      );
    };
    const at = (time: string) => tripEndingAt(`2016-03-10T${time}Z`);
    await put(at('12:01'), at('12:15'), watermarkAt('2016-03-10T12:20Z'));
    await put(at('12:02'));
    await put(at('12:03'));
    assert.deepEqual(shown, [[1, 1], [1], [3, 1]]);
    const head = {
      view: 'odd',
      window_start: '2016-03-10T12:00:00.000Z',
      window_end: '2016-03-10T12:10:00.000Z',
    };
    assert.deepEqual(
      lines(output(cwd)).filter(({ window_start }) => window_start === head.window_start),
      [{ trips: 1 }, { retracted: true }, { trips: 3 }].map((one) => ({
        ...head,
        timestamp: '2016-03-10T12:09:59.999Z',
        ...one,
      })),
    );
  });

  test('D3: records that are not trips become dead letters with reason, position and text', async (t) => {
    const cwd = temporaryFolder(t);
    const broken = ['no JSON at all\n', '{"type":"trip"}\n', '{"type":"bus"}\n', '[1,2]\n'];
    const [good, ...bad] = [tripEndingAt('2016-03-10T12:00:00Z'), ...broken];
    await putRecords(join(cwd, '.taxiflow'), 'own', [bad[0]!, good!, ...bad.slice(1)]);
    const asked = [...TO_END, '--stream', 'local:own', '--views', countingView(cwd), '--drain', '--json'];
    const ran = await run([...asked, '--on-error', 'report'], { cwd, code: 3 });
    assertReconciled(ran.json<Outcome>());
    assert.deepEqual([ran.json<Outcome>().dead, ran.json<Outcome>().processed], [4, 1]);
    const letters = lines<Record<string, string>>((await run(['dead-letters'], { cwd })).stdout);
    assert.deepEqual(
      letters.map(({ reason, position, raw }) => [reason, position, `${raw}\n`]),
      bad.map((text, i) => ['not-readable', String(i === 0 ? 0 : i + 1), text]),
    );
    for (const { detail } of letters) assert.ok(detail !== '', 'says what is wrong with it');
    const again = await run([...asked, '--on-error', 'report'], { cwd });
    assert.equal(again.json<Outcome>().dead, 0, 'a run reports its own');
  });

  test('a state that never used a trip says why, and exits with 3', async (t) => {
    const cwd = temporaryFolder(t);
    const dataDir = join(cwd, '.taxiflow');
    await putRecords(dataDir, 'far', [tripEndingAt('2016-01-01T00:00:00Z'), watermarkAt('2016-01-02')]);
    const far = await run([...TO_END, '--stream', 'local:far'], { cwd, code: 3 });
    assert.match(far.stderr, /^no trip was used: 1 record not in any view: .*--explain/m);
    await putRecords(dataDir, 'bad', ['{"type":"trip"}\n', '{"type":"trip"}\n', watermarkAt('2016-01-02')]);
    const bad = await run([...TO_END, '--stream', 'local:bad'], { cwd, code: 3 });
    assert.match(bad.stderr, /^no trip was used: 2 records unreadable: "taxiflow dead-letters/m);
    await putRecords(dataDir, 'none', [watermarkAt('2016-01-02')]);
    await run([...TO_END, '--stream', 'local:none'], { cwd });
  });

  test('a run of only late records says so, and exits with 3', async (t) => {
    const cwd = temporaryFolder(t);
    const dataDir = join(cwd, '.taxiflow');
    const views = ['--views', countingView(cwd)];
    const asked = [...TO_END, ...views, '--stream', 'local:s'];
    await putRecords(dataDir, 's', [tripEndingAt('2016-01-02T00:00:00Z'), watermarkAt('2016-01-03')]);
    await run(asked, { cwd });
    await run(asked, { cwd });
    await putRecords(dataDir, 's', [tripEndingAt('2016-01-01T00:00:00Z')]);
    assert.match((await run(asked, { cwd, code: 3 })).stderr, /^no trip was used: 1 record late/m);
  });
});

describe('--app', PARALLEL, () => {
  test('two apps work side by side on one stream, each with its own windows', async (t) => {
    const cwd = temporaryFolder(t);
    await run(REPLAY, { cwd });
    await Promise.all([
      run([...TO_END, '--drain', '--app', 'fine', '--output', 'fine.ndjson'], { cwd }),
      run([...TO_END, '--drain', '--app', 'coarse', '--window', '1h', '--output', 'coarse.ndjson'], { cwd }),
    ]);
    assert.deepEqual(comparable(output(cwd, 'fine.ndjson')), (await expectedLines([YELLOW])).lines);
    const hourly = (await expectedLines([YELLOW], { windowMinutes: 60 })).lines;
    assert.deepEqual(comparable(output(cwd, 'coarse.ndjson')), hourly);
  });

  test('C5: other views or another stream on the same app are refused with a hint', async (t) => {
    const cwd = temporaryFolder(t);
    await run([...REPLAY, '--limit', '10'], { cwd });
    await run([...REPLAY, '--limit', '10', '--stream', 'local:second'], { cwd });
    await run([...TO_END, '--app', 'one', ...TO_FILE], { cwd });
    const refusals: [string[], RegExp][] = [
      [
        ['--window', '1h'],
        /Error: the state of app "one" was made with other views: view pickup_count begins anew: other: its window; it begins where the stream is now, without --backfill; view trip_duration begins anew: other: its window; it begins where the stream is now, without --backfill\nTry: .*--views FILE.*--app NAME.*--accept-changes/,
      ],
      [
        ['--stream', 'local:second'],
        /Error: .*another stream: it has local:taxi-trip-events, this is local:second\nTry: .*--app NAME/,
      ],
    ];
    for (const [args, message] of refusals) {
      const { stderr } = await run([...TO_END, '--app', 'one', ...args], { cwd, code: 1 });
      assert.match(stderr, message);
    }
    await run(['stream', 'delete', 'local:taxi-trip-events'], { cwd });
    await run([...REPLAY, '--limit', '10'], { cwd });
    const { stderr } = await run([...TO_END, '--app', 'one'], { cwd, code: 1 });
    assert.match(
      stderr,
      /Error: .*another stream: local:taxi-trip-events was made anew since\nTry: .*one\.sqlite/,
    );
    const told = await run(['doctor', '--app', 'one', '--json'], { cwd, code: 1 });
    const failed = told
      .json<{ checks: Record<string, string>[] }>()
      .checks.filter(({ status }) => status === 'failed');
    assert.deepEqual(
      failed.map(({ check }) => check),
      ['state'],
    );
    assert.match(failed[0]?.['detail'] ?? '', /made anew since/);
  });

  test('C3: a run says that the reader of its results is gone, and the next one delivers them', async (t) => {
    const cwd = temporaryFolder(t);
    await run(REPLAY, { cwd });
    const ran = await run([...TO_END, '--output', '-'], {
      cwd,
      code: 1,
      onStart: (child) => child.stdout!.destroy(),
    });
    assert.match(ran.stderr, /^Error: the reader of the output has gone away: standard output\nTry: /m);
    const { stdout } = await run([...TO_END, '--output', '-'], { cwd });
    const { stdout: all } = await run(['results', '--format', 'ndjson'], { cwd });
    assert.deepEqual(comparable(stdout), comparable(all));
  });

  test('C4: a second process on the same app is refused with a hint, the first continues', async (t) => {
    const cwd = temporaryFolder(t);
    await run([...REPLAY, '--limit', '100'], { cwd });
    let second: Promise<string> | undefined;
    await run(['process', '--views', countingView(cwd), '--checkpoint-interval', '0', '--output', '-'], {
      cwd,
      code: 130,
      onStart: (child) =>
        // The first results mean that the first process holds its state.
        child.stdout!.once('data', () => {
          second = run(TO_END, { cwd, code: 1 })
            .then(({ stderr }) => stderr)
            .finally(() => child.kill('SIGINT'));
        }),
    });
    assert.match(
      (await second)!,
      /^Error: app "taxi-trip-events" is being run by another process\nTry: .*--app NAME/m,
    );
  });
});

const FUNCTION_MODULE = `export const views = ({ view, count, tumbling, geohash, present, field }) => [
  view({
    name: 'by_place',
    where: present(field('pickup_lat')),
    by: { place: geohash('pickup', 5) },
    window: tumbling('1h'),
    aggregates: { trips: count() },
  }),
];`;
const LIST = [
  {
    name: 'by_place',
    where: { op: 'present', of: { op: 'field', name: 'pickup_lat' } },
    by: {
      place: {
        op: 'geohash',
        lat: { op: 'field', name: 'pickup_lat' },
        lon: { op: 'field', name: 'pickup_lon' },
        precision: 5,
      },
    },
    window: { kind: 'tumbling', size_ms: 3_600_000 },
    aggregates: { trips: { fn: 'count' } },
  },
];

describe('--views', PARALLEL, () => {
  test('a function, a list and JSON are equivalent; --explain --json prints what --views accepts', async (t) => {
    const cwd = temporaryFolder(t);
    const files: Record<string, string> = {
      'function.mjs': FUNCTION_MODULE,
      'list.mjs': `export default ${JSON.stringify(LIST)};`,
      'list.json': JSON.stringify(LIST),
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text);
    for (const name of Object.keys(files)) {
      const { stdout } = await run(['process', '--views', name, '--explain', '--json'], { cwd });
      assert.deepEqual(JSON.parse(stdout), LIST, name);
    }
    const { stdout } = await run(['process', '--views', 'function.mjs', '--explain'], { cwd });
    assert.equal(
      stdout,
      [
        'view by_place',
        '  window     tumbling 1h on drop-off time',
        '  where      pickup_lat is present',
        '  by         place = geohash(pickup_lat, pickup_lon, 5)',
        '  aggregate  trips = count()',
        '',
      ].join('\n'),
    );
    assert.ok(!existsSync(join(cwd, '.taxiflow')), 'explaining makes nothing');
    await run(REPLAY, { cwd });
    await run([...TO_END, '--views', 'function.mjs', '--drain', ...TO_FILE], { cwd });
    const counted = lines<{ trips: number }>(output(cwd)).reduce((sum, { trips }) => sum + trips, 0);
    assert.equal(counted, TRIPS.length, 'every trip of the fixture has a place');
    await run([...TO_END, '--views', 'list.json'], { cwd });
  });

  test('the plan of the default views names both, their windows and their event time', async () => {
    const { stdout } = await run(['process', '--explain', '--window', '90m', '--event-time', 'arrival']);
    assert.match(stdout, /^view pickup_count\n {2}window {5}tumbling 90m on arrival time$/m);
    assert.match(stdout, /^view trip_duration$/m);
    assert.match(stdout, /having {5}\(pickup_count ≥ 2\)/);
    const json = await run(['process', '--explain', '--json']);
    const views = JSON.parse(json.stdout) as { name: string; window: unknown }[];
    assert.deepEqual(
      views.map(({ name, window }) => ({ name, window })),
      ['pickup_count', 'trip_duration'].map((name) => ({
        name,
        window: { kind: 'tumbling', size_ms: 600_000 },
      })),
    );
  });

  const [good] = LIST as [(typeof LIST)[0]];
  const mistakes: [name: string, text: string, message: RegExp][] = [
    [
      'field.json',
      JSON.stringify([{ ...good, where: { op: 'present', of: { op: 'field', name: 'tip' } } }]),
      /^Error: views\[0\]\.where\.of: there is no field "tip"/,
    ],
    [
      'window.json',
      JSON.stringify([good, { ...good, name: 'b', window: { kind: 'hopping' } }]),
      /^Error: views\[1\]\.window\.kind: "hopping"/,
    ],
    ['twice.json', JSON.stringify([good, good]), /^Error: views\[1\]\.name: two views are named by_place/],
    [
      'part.json',
      JSON.stringify([{ ...good, groupBy: {} }]),
      /^Error: views\[0\]\.groupBy: a view has no such part/,
    ],
    ['empty.json', '[]', /^Error: views: not a list of at least one view/],
    [
      'branch.json',
      JSON.stringify([{ ...good, by: { place: { op: 'case', when: [null] } } }]),
      /^Error: views\[0\]\.by\.place\.when\[0\]: not a branch/,
    ],
    ['cut.json', '[{"name":', /^Error: cannot load cut\.json: /],
    ['nothing.mjs', 'export const others = 1;', /^Error: nothing\.mjs exports no views/],
    ['syntax.mjs', 'export const views = [', /^Error: cannot load syntax\.mjs: /],
    [
      'throws.mjs',
      'export const views = ({ median }) => [median()];',
      /^Error: cannot load throws\.mjs: median is not a function/,
    ],
    [
      'aggregate.mjs',
      FUNCTION_MODULE.replace('count()', "{ fn: 'median' }"),
      /^Error: views\[0\]\.aggregates\.trips\.fn: "median" is not an aggregate function/,
    ],
  ];
  for (const [name, text, message] of mistakes) {
    test(`a mistake (${name}) is exit code 2 and names the place`, async (t) => {
      const cwd = temporaryFolder(t);
      writeFileSync(join(cwd, name), text);
      const { stderr, stdout } = await run([...TO_END, '--views', name], { cwd, code: 2 });
      assert.match(stderr, message);
      assert.match(stderr, /^Try: /m);
      assert.doesNotMatch(stderr, /\n {4}at /, 'no stack');
      assert.equal(stdout, '');
    });
  }

  test('a missing file of views is reported', async (t) => {
    const { stderr } = await run([...TO_END, '--views', 'nosuch.mjs'], { cwd: temporaryFolder(t), code: 1 });
    assert.match(stderr, /^Error: there is no nosuch\.mjs\nTry: /);
  });
});

test('C3 an output of another writer is left unchanged, and its own is continued', async (t) => {
  const cwd = temporaryFolder(t);
  const output = join(cwd, 'out.ndjson');
  writeFileSync(output, 'precious\n');
  await run(['stream', 'create'], { cwd });
  const { stderr } = await run([...TO_END, '--output', 'out.ndjson'], { cwd, code: 1 });
  assert.match(stderr, /^Error: out\.ndjson holds 9 bytes that this app did not write\nTry: /m);
  assert.equal(readFileSync(output, 'utf8'), 'precious\n');
  for (const _ of [1, 2]) await run([...TO_END, '--output', 'own.ndjson'], { cwd });
});
