/** `taxiflow results` with the real binary: every format, also while results are written. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'csv-parse/sync';
import { temporaryFolder } from '../files.ts';
import { comparable, expectedLines } from '../golden/oracle.ts';
import { lines, PARALLEL, readNaively, run, tripsInOrder, YELLOW } from './model.ts';

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
    assert.match(none.stderr, /no results/);
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
