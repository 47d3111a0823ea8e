/** `taxiflow results` with the real binary: every format, also while results are written. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'csv-parse/sync';
import { temporaryFolder } from '../files.ts';
import { comparable, expectedLines } from '../golden/oracle.ts';
import { BIN } from '../taxiflow.ts';
import {
  countingView,
  countsOf,
  lines,
  PARALLEL,
  putRecords,
  readNaively,
  run,
  tripEndingAt,
  tripsInOrder,
  watermarkAt,
  YELLOW,
} from './model.ts';

describe('results', PARALLEL, () => {
  const cwd = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));
  let expected: string[];

  before(async () => {
    await run(['replay', YELLOW, '--speedup', 'max'], { cwd });
    await run(['process', '--until-end', '--drain'], { cwd });
    expected = (await expectedLines([YELLOW])).lines;
  });
  after(() => rmSync(cwd, { recursive: true, force: true }));

  test('NDJSON without a terminal: each result once, nothing else', async () => {
    const { stdout, stderr } = await run(['results'], { cwd });
    assert.deepEqual(comparable(stdout), expected);
    assert.equal(stderr, '');
  });

  test('--json prints the same as one array', async () => {
    const { stdout } = await run(['results', '--json'], { cwd });
    const rows = JSON.parse(stdout) as unknown[];
    assert.deepEqual(comparable(rows.map((row) => JSON.stringify(row)).join('\n')), expected);
  });

  test('--format csv is one table with the columns of all views, and the same values', async () => {
    const { stdout } = await run(['results', '--format', 'csv'], { cwd });
    const rows = parse(stdout, { columns: true }) as Record<string, string>[];
    const all = expected.map((line) => JSON.parse(line) as Record<string, unknown>);
    const names = [...new Set(all.flatMap(Object.keys))];
    assert.deepEqual(Object.keys(rows[0]!).sort(), names.sort());
    assert.ok(new Set(all.map((row) => row['view'])).size > 1, 'there are several views');
    const values = (row: Record<string, unknown>) => names.map((name) => String(row[name] ?? ''));
    const byText = (a: unknown, b: unknown) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
    assert.deepEqual(rows.map(values).sort(byText), all.map(values).sort(byText));
  });

  test('--format csv of one view has its columns only', async () => {
    const { stdout } = await run(['results', '--format', 'csv', '--view', 'trip_duration'], { cwd });
    const own = expected.map((line) => JSON.parse(line)).find((row) => row.view === 'trip_duration');
    assert.deepEqual(stdout.slice(0, stdout.indexOf('\n')).split(','), Object.keys(own));
  });

  test('--format table has one line per result, in columns', async () => {
    const { stdout } = await run(['results', '--format', 'table', '--view', 'trip_duration'], { cwd });
    const [header, ...rows] = stdout.trimEnd().split('\n');
    const own = expected
      .map((line) => JSON.parse(line) as Record<string, string | number>)
      .filter((row) => row['view'] === 'trip_duration');
    assert.ok(own.length > 0, 'the fixture has trips to the airports');
    assert.deepEqual(header!.split(/ +/), Object.keys(own[0]!));
    assert.equal(rows.length, own.length);
    const cells = rows.map((row) => row.split(/ +/));
    assert.deepEqual(
      cells.map((row) => [row[1], row[4], row[5], row[6], row[7]]),
      own
        .sort((a, b) =>
          `${a['window_start']}${a['location']}` < `${b['window_start']}${b['location']}` ? -1 : 1,
        )
        .map((row) => [
          String(row['window_start']).replace('.000Z', 'Z'),
          row['location'],
          row['airport_code'],
          String(row['trip_count']),
          String(row['sum_trip_duration']),
        ]),
    );
    assert.equal(
      new Set([header!, ...rows].map((row) => /^\S+ +/.exec(row)?.[0].length)).size,
      1,
      'columns line up',
    );
  });

  test('--view and --since select results', async () => {
    const since = '2016-01-05T18:00:00Z';
    const { stdout } = await run(['results', '--view', 'pickup_count', '--since', since], { cwd });
    const wanted = expected.filter((line) => {
      const row = JSON.parse(line) as { view: string; window_start: string };
      return row.view === 'pickup_count' && Date.parse(row.window_start) >= Date.parse(since);
    });
    assert.ok(wanted.length > 0 && wanted.length < expected.length, 'the case is one');
    assert.deepEqual(comparable(stdout), wanted);
    const none = await run(['results', '--since', '2020-01-01'], { cwd });
    assert.equal(none.stdout, '');
    const starts = (rows: readonly Record<string, string | number>[]) =>
      rows.map((row) => String(row['window_start']).replace('.000Z', 'Z')).sort();
    const span = (found: string[]) => `whose windows lie from ${found[0]} to ${found.at(-1)}\n`;
    assert.equal(
      none.stderr,
      `no results in that range; there are ${all().length} results, ${span(starts(all()))}`,
    );
    const ofView = all().filter((row) => row['view'] === 'trip_duration');
    const late = await run(['results', '--view', 'trip_duration', '--from', '2030-01-01'], { cwd });
    assert.equal(
      late.stderr,
      `no results in that range; there are ${ofView.length} results of view trip_duration, ${span(starts(ofView))}`,
    );
  });

  /** The results of the oracle, parsed. */
  const all = () => expected.map((line) => JSON.parse(line) as Record<string, string | number>);
  /** Compares rows without their order. */
  const sameRows = (stdout: string, wanted: readonly object[]) =>
    assert.deepEqual(comparable(stdout), comparable(wanted.map((row) => JSON.stringify(row)).join('\n')));

  test('--from and --to choose windows by their start, excluding the second', async () => {
    const starts = [...new Set(all().map((row) => String(row['window_start'])))].sort();
    const [from, to] = [starts[2]!, starts[5]!];
    const { stdout } = await run(['results', '--from', from, '--to', to], { cwd });
    const wanted = all().filter((row) => row['window_start']! >= from && row['window_start']! < to);
    assert.ok(wanted.length > 0);
    sameRows(stdout, wanted);
    for (const [args, message] of [
      [['--from', to, '--to', from], /--to must be after --from/],
      [['--from', from, '--since', from], /--since is the same as --from/],
    ] as const)
      assert.match((await run(['results', ...args], { cwd, code: 2 })).stderr, message);
  });

  test('--limit takes the latest windows', async () => {
    const starts = all().map((row) => String(row['window_start']));
    for (const limit of [1, 7, 50]) {
      const { stdout, stderr } = await run(['results', '--limit', String(limit)], { cwd });
      assert.equal(stderr, '');
      const rows = lines<Record<string, string>>(stdout);
      const latest = [...starts].sort().slice(-limit);
      assert.deepEqual(rows.map((row) => row['window_start']).sort(), latest);
      assert.equal(new Set(comparable(stdout)).size, limit, 'each once');
      for (const line of comparable(stdout)) assert.ok(expected.includes(line), line);
    }
    sameRows((await run(['results', '--limit', 'all'], { cwd })).stdout, all());
    sameRows((await run(['results', '--limit', '1000000'], { cwd })).stdout, all());
    const { stderr } = await run(['results', '--limit', '0'], { cwd, code: 2 });
    assert.match(stderr, /--limit 0 is neither a whole number of at least 1 nor all/);
  });

  test('--sort orders by a field, ascending or descending, and --limit takes the first results', async () => {
    const numbers = all()
      .filter((row) => row['view'] === 'pickup_count')
      .map((row) => Number(row['pickup_count']));
    const sorted = async (sort: string, ...more: string[]) => {
      const args = ['results', '--view', 'pickup_count', '--sort', sort, ...more];
      return lines<{ pickup_count: number }>((await run(args, { cwd })).stdout).map(
        (row) => row.pickup_count,
      );
    };
    const rising = numbers.toSorted((a, b) => a - b);
    assert.ok(rising[0]! < rising.at(-1)!);
    assert.deepEqual(await sorted('pickup_count'), rising);
    assert.deepEqual(await sorted('pickup_count:desc'), rising.toReversed());
    assert.deepEqual(await sorted('pickup_count:desc', '--limit', '3'), rising.toReversed().slice(0, 3));
    const { stderr } = await run(['results', '--sort', 'pickup_cont'], { cwd, code: 2 });
    assert.match(
      stderr,
      /--sort pickup_cont is not a field of the results; did you mean pickup_count\?\nTry: .*window_start/,
    );
  });

  test('--sort by a field of one view puts the results of other views last, in both directions', async () => {
    for (const direction of ['asc', 'desc']) {
      const { stdout } = await run(['results', '--sort', `pickup_count:${direction}`], { cwd });
      const views = lines<{ view: string }>(stdout).map(({ view }) => view);
      const own = all().filter((row) => row['view'] === 'pickup_count').length;
      assert.deepEqual(new Set(views.slice(0, own)), new Set(['pickup_count']));
      assert.deepEqual(new Set(views.slice(own)), new Set(['trip_duration']));
    }
  });

  test('--chart has a bar for each number, the longest for the largest', async () => {
    const args = ['results', '--view', 'pickup_count', '--sort', 'pickup_count', '--chart'];
    const { stdout } = await run(args, { cwd });
    const [header, ...rows] = stdout.trimEnd().split('\n');
    assert.match(header!, /^window_start +location +pickup_count$/);
    const numbers = all().filter((row) => row['view'] === 'pickup_count');
    assert.equal(rows.length, numbers.length);
    const most = Math.max(...numbers.map((row) => Number(row['pickup_count'])));
    for (const row of rows) {
      const [, , count, bar = ''] = row.split(/ +/);
      // The largest number has 30 characters; bars are drawn in eighths.
      const length = (Number(count) / most) * 30;
      assert.equal([...bar].length, Math.floor(length) + (length % 1 >= 1 / 8 ? 1 : 0), row);
    }
    const refused = async (args: string[], message: RegExp) =>
      assert.match((await run(['results', ...args], { cwd, code: 2 })).stderr, message);
    await refused(['--chart'], /--chart needs one view\nTry: add --view: pickup_count or trip_duration/);
    await refused(['--chart', 'pickups', '--view', 'pickup_count'], /--chart pickups is not a number/);
    await refused(['--chart', '--format', 'csv'], /--chart prints a table\nTry: omit --format csv/);
  });

  const pty = existsSync('/usr/bin/script') ? false : 'needs script(1)';
  test('a terminal gets the latest 40 and a hint for the rest', { skip: pty }, async () => {
    const terminal = (more: string) => {
      const command = `"${process.execPath}" "${BIN}" results ${more}`;
      return execFileSync('script', ['-qec', command, '/dev/null'], { cwd, encoding: 'utf8' }).replaceAll(
        '\r',
        '',
      );
    };
    const starts = all().map((row) => String(row['window_start']).replace('.000Z', 'Z'));
    const shown = terminal('').split('\n');
    const rows = shown.filter((line) => /^(?:pickup_count|trip_duration) /.test(line));
    assert.deepEqual(rows.map((row) => row.split(/ +/)[1]).sort(), [...starts].sort().slice(-40));
    const windows = new Set(all().map((row) => `${row['view']} ${row['window_start']}`)).size;
    assert.match(
      shown.join('\n'),
      new RegExp(`^these are the latest 40 results, from \\d+ of the ${windows} windows; --limit N`, 'm'),
    );
    const rowsOf = (text: string) => text.split('\n').filter((line) => /^(?:pickup|trip)_\w+ +\d/.test(line));
    assert.equal(rowsOf(terminal('--limit all')).length, expected.length);
    const first = terminal('--sort trip_count:desc');
    assert.match(
      first,
      new RegExp(`^the first 40 results of ${expected.length} by trip_count; --limit N`, 'm'),
    );
    assert.equal(rowsOf(terminal('--limit 3')).length, 3);
    assert.doesNotMatch(terminal('--limit 3'), /--limit N/, 'a limit that the user gave needs no note');
  });

  test('a view without results is told apart from an app without results', async (t) => {
    const two = temporaryFolder(t);
    await putRecords(join(two, '.taxiflow'), 'taxi-trip-events', [
      tripEndingAt('2016-01-05T18:03:00Z'),
      tripEndingAt('2016-01-05T18:25:00Z'),
      watermarkAt('2016-01-05T18:40:00Z'),
    ]);
    const views = ['short', 'long'].map((name, i) => ({
      name,
      by: {},
      window: { kind: 'tumbling', size_ms: [600_000, 86_400_000][i] },
      aggregates: { trips: { fn: 'count' } },
    }));
    writeFileSync(join(two, 'views.json'), JSON.stringify(views));
    await run(['process', '--until-end', '--views', 'views.json'], { cwd: two });
    assert.equal(lines((await run(['results'], { cwd: two })).stdout).length, 2, 'the day is still open');
    const { stderr } = await run(['results', '--view', 'long'], { cwd: two });
    assert.equal(
      stderr,
      'no results of view long; there are 2 results, whose windows lie from 2016-01-05T18:00:00Z to 2016-01-05T18:20:00Z\n',
    );
    await run(['process', '--app', 'early', '--until-end', '--views', 'views.json', '--from', 'latest'], {
      cwd: two,
    });
    const none = await run(['results', '--app', 'early', '--from', '2016-01-01'], { cwd: two });
    assert.match(none.stderr, /^no results yet; a window fires when/);
  });

  test('a corrected result is counted once', async (t) => {
    const own = temporaryFolder(t);
    await putRecords(join(own, '.taxiflow'), 'taxi-trip-events', [
      tripEndingAt('2016-01-05T18:03:00Z'),
      watermarkAt('2016-01-05T18:10:00Z'),
      tripEndingAt('2016-01-05T18:04:00Z'),
      watermarkAt('2016-01-05T18:20:00Z'),
    ]);
    await run(['process', '--until-end', '--views', countingView(own), '--allowed-lateness', '1h'], {
      cwd: own,
    });
    assert.deepEqual(countsOf((await run(['results'], { cwd: own })).stdout), {
      '2016-01-05T18:00:00.000Z': 2,
    });
    const { stderr } = await run(['results', '--from', '2030-01-01'], { cwd: own });
    assert.equal(
      stderr,
      'no results in that range; there is 1 result, whose window starts at 2016-01-05T18:00:00Z\n',
    );
  });

  test('an unknown view is refused, and the known ones are named', async () => {
    const { stderr } = await run(['results', '--view', 'pickups'], { cwd, code: 2 });
    assert.match(stderr, /^Error: there is no view "pickups"\nTry: .*pickup_count, trip_duration/);
  });

  test('an unknown app is refused, and the known ones are named', async (t) => {
    const { stderr } = await run(['results', '--app', 'other'], { cwd, code: 1 });
    assert.match(stderr, /^Error: there is no app "other" in \.taxiflow\nTry: .*--app: taxi-trip-events/);
    const empty = temporaryFolder(t);
    const none = await run(['results'], { cwd: empty, code: 1 });
    assert.match(none.stderr, /^Error: no processor has run in \.taxiflow yet\nTry: .*taxiflow process/);
  });

  test('with several apps, one must be named', async (t) => {
    const two = temporaryFolder(t);
    await run(['stream', 'create'], { cwd: two });
    await run(['process', '--until-end', '--app', 'a'], { cwd: two });
    await run(['process', '--until-end', '--app', 'b'], { cwd: two });
    const { stderr } = await run(['results'], { cwd: two, code: 1 });
    assert.match(stderr, /^Error: there are several apps in \.taxiflow\nTry: .*--app: a, b/);
    await run(['results', '--app', 'b'], { cwd: two });
  });
});

describe('results beside a processor', () => {
  test('C3: they are read while the processor writes; Ctrl-C ends it cleanly and loses nothing', async (t) => {
    const cwd = temporaryFolder(t);
    const half = String(readNaively(YELLOW).rows.length / 2);
    await run(['replay', YELLOW, '--speedup', 'max', '--limit', half], { cwd });
    let child: ChildProcess | undefined;
    const follower = run(['process', '--checkpoint-interval', '0', '--json'], {
      cwd,
      code: 130,
      onStart: (started) => {
        child = started;
      },
    });
    const resultsWhen = async (enough: (n: number) => boolean): Promise<number> => {
      for (;;) {
        // The app exists once the processor has created its state.
        const { stdout } = await run(['results'], { cwd }).catch(() => ({ stdout: '' }));
        const n = lines(stdout).length;
        if (enough(n)) return n;
        assert.equal(child!.exitCode, null, 'the processor is still there');
      }
    };
    const early = await resultsWhen((n) => n > 0);
    await run(['replay', YELLOW, '--speedup', 'max', '--resume'], { cwd });
    await resultsWhen((n) => n > early);
    child!.kill('SIGINT');
    const outcome = (await follower).json();
    assert.deepEqual([outcome['interrupted'], outcome['reconciled']], [true, true]);
    const done = await run(['process', '--until-end', '--drain', '--json'], { cwd });
    assert.equal(done.json()['late'], 0);
    const { processed, filtered } = done.json()['totals'] as Record<string, number>;
    assert.equal(processed! + filtered!, tripsInOrder(readNaively(YELLOW)).length);
    const { stdout } = await run(['results'], { cwd });
    assert.deepEqual(comparable(stdout), (await expectedLines([YELLOW])).lines);
  });

  test('SIGTERM checkpoints and ends a processor cleanly too', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['replay', YELLOW, '--speedup', 'max'], { cwd });
    // The first output shows that it is running.
    const stopped = await run(['process', '--checkpoint-interval', '0', '--output', '-', '--json'], {
      cwd,
      code: 130,
      onStart: (child) => child.stdout!.once('data', () => child.kill('SIGTERM')),
    });
    const rest = await run(['process', '--until-end', '--drain', '--output', '-'], { cwd });
    assert.deepEqual(comparable(stopped.stdout + rest.stdout), (await expectedLines([YELLOW])).lines);
  });
});
