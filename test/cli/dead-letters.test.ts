/** `taxiflow dead-letters` with the real binary: rows and records that replay and process refused. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'csv-parse/sync';
import { temporaryFolder } from '../files.ts';
import { BIN } from '../taxiflow.ts';
import { countingView, DIRTY, dirtOf, lines, PARALLEL, putRecords, readNaively, run } from './model.ts';

interface Letter {
  of: string;
  reason: string;
  source: string;
  position: string;
  detail: string;
  at: string;
  raw: string;
}

interface Counts {
  counts: { of: string; reason: string; count: number; kept: number }[];
}

const REJECTED = readNaively(DIRTY).rows.filter((row) => row.rejected);
/** A record of a faulty producer: quotes, commas, and text outside ASCII. */
const BROKEN = ['{"type":"bus","line":"Q70, \\"express\\""}\n', 'gestört\n', 'again\n'];
const OF_REPLAY = 'replay of yellow-2015-dirty.csv into local:taxi-trip-events';
const OF_ROWS = REJECTED.map(({ rejected, line, text }) => [OF_REPLAY, rejected, DIRTY, String(line), text]);
const OF_RECORDS = BROKEN.map((text, i) => [
  ...['app taxi-trip-events', 'not-readable', 'local:taxi-trip-events shardId-000000000000'],
  ...[String(i), text.trimEnd()],
]);
const told = ({ of, reason, source, position, raw }: Letter) => [of, reason, source, position, raw];

/** The number of fields, or the value of one. */
function tellsWhy(raw: string, detail: string): boolean {
  const fields = raw.split(',');
  return detail.startsWith(`${fields.length} of`) || fields.some((field) => detail.includes(`"${field}"`));
}

describe('dead-letters', PARALLEL, () => {
  const cwd = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));

  before(async () => {
    await putRecords(join(cwd, '.taxiflow'), 'taxi-trip-events', BROKEN);
    await run(['replay', DIRTY, '--speedup', 'max'], { cwd });
    await run(['process', '--until-end', '--views', countingView(cwd)], { cwd });
  });
  after(() => rmSync(cwd, { recursive: true, force: true }));

  test('lists rows that replay refused and records that process refused', async () => {
    const { stdout, stderr } = await run(['dead-letters'], { cwd });
    const letters = lines(stdout) as unknown as Letter[];
    assert.deepEqual(letters.map(told), [...OF_ROWS, ...OF_RECORDS]);
    for (const { of, raw, detail } of letters.filter(({ of }) => of === OF_REPLAY))
      assert.ok(tellsWhy(raw, detail), `${of}: "${detail}" says what is wrong with ${raw}`);
    for (const { at } of letters) assert.equal(new Date(at).toISOString(), at);
    for (const [reason, n] of Object.entries(dirtOf(readNaively(DIRTY)))) {
      assert.match(stderr, new RegExp(`^${OF_REPLAY}: ${n} ${reason}$`, 'm'));
    }
    assert.match(stderr, /^app taxi-trip-events: 3 not-readable$/m);
  });

  const pty = existsSync('/usr/bin/script') ? false : 'needs script(1)';
  test('a terminal gets the latest 40 and a hint for the rest; elsewhere all', { skip: pty }, async (t) => {
    const cwd = temporaryFolder(t);
    const bad = (app: string, count: number) =>
      Array.from({ length: count }, (_, i) => `no trip ${app}${String(i).padStart(2, '0')}\n`);
    const [a, b] = [bad('a', 20), bad('b', 50)].map((texts) => texts.map((text) => text.trimEnd()));
    // The app that is listed first has the newer letters.
    for (const [app, count] of [
      ['b', 50],
      ['a', 20],
    ] as const) {
      await putRecords(join(cwd, '.taxiflow'), app, bad(app, count));
      await run(['process', '--stream', `local:${app}`, '--until-end'], { cwd, code: 3 });
    }
    const shown = (more: string) => {
      const command = `"${process.execPath}" "${BIN}" dead-letters ${more}`;
      return execFileSync('script', ['-qec', command, '/dev/null'], { cwd, encoding: 'utf8' });
    };
    const raws = (text: string) => text.match(/no trip \w\d\d(?=\s*$)/gm) ?? [];
    const all = [...a!, ...b!];
    const page = shown('');
    assert.deepEqual(raws(page), [...a!, ...b!.slice(-20)]);
    assert.match(page, /^these are the latest 40 dead letters of 70; --limit N or --limit all shows more/m);
    assert.deepEqual(raws(shown('--limit all')), all);
    assert.deepEqual(raws(shown('--app a')), a);
    assert.doesNotMatch(shown('--app a'), /--limit/, 'everything is shown');
    const some = shown('--limit 55');
    assert.deepEqual(raws(some), [...a!, ...b!.slice(-35)]);
    assert.doesNotMatch(some, /--limit/, 'a limit that the user gave needs no note');
    const letters = async (...more: string[]) =>
      lines<{ raw: string }>((await run(['dead-letters', ...more], { cwd })).stdout).map(({ raw }) => raw);
    assert.deepEqual(await letters(), all);
    assert.deepEqual(await letters('--limit', '3'), a!.slice(-3));
    const json = (await run(['dead-letters', '--json', '--limit', '2'], { cwd })).json<{
      letters: { raw: string }[];
    }>();
    assert.deepEqual(
      json.letters.map(({ raw }) => raw),
      a!.slice(-2),
    );
  });

  test('names the replay: its files and stream, and its id where two would be called the same', async (t) => {
    const cwd = temporaryFolder(t);
    const [header, ...rows] = readFileSync(DIRTY, 'utf8').split('\n');
    for (const folder of ['a', 'b']) mkdirSync(join(cwd, folder));
    writeFileSync(join(cwd, 'a', 'trips.csv'), [header, ...rows, ''].join('\n'));
    writeFileSync(join(cwd, 'b', 'trips.csv'), [header, ...rows.slice(5), ''].join('\n'));
    const ids: unknown[] = [];
    for (const args of [['a/trips.csv'], ['b/trips.csv'], ['a/trips.csv', 'b', '--stream', 'local:other']]) {
      const ran = await run(['replay', ...args, '--speedup', 'max', '--json'], { cwd });
      ids.push(ran.json()['replay']);
    }
    const { counts } = (await run(['dead-letters', '--json'], { cwd })).json<Counts>();
    assert.deepEqual(
      new Set(counts.map(({ of }) => of)),
      new Set([
        `replay of trips.csv into local:taxi-trip-events (${ids[0]})`,
        `replay of trips.csv into local:taxi-trip-events (${ids[1]})`,
        'replay of trips.csv and 1 other into local:other',
      ]),
    );
    assert.equal(
      new Set(counts.map(({ of, reason }) => `${of} ${reason}`)).size,
      counts.length,
      'each total once',
    );
  });

  test('--json gives counts and letters in one object', async () => {
    const found = (await run(['dead-letters', '--json'], { cwd })).json<Counts & { letters: Letter[] }>();
    assert.deepEqual(found.letters.map(told), [...OF_ROWS, ...OF_RECORDS]);
    assert.deepEqual(found.counts, [
      ...Object.entries(dirtOf(readNaively(DIRTY)))
        .sort()
        .map(([reason, count]) => ({ of: OF_REPLAY, reason, count, kept: count })),
      { of: 'app taxi-trip-events', reason: 'not-readable', count: 3, kept: 3 },
    ]);
  });

  test('--reason and --app select letters', async () => {
    const { stdout, stderr } = await run(['dead-letters', '--reason', 'short-row'], { cwd });
    const wanted = OF_ROWS.filter(([, reason]) => reason === 'short-row');
    assert.ok(wanted.length > 0 && wanted.length < OF_ROWS.length, 'the case is one');
    assert.deepEqual((lines(stdout) as unknown as Letter[]).map(told), wanted);
    assert.equal(stderr, `${OF_REPLAY}: ${wanted.length} short-row\n`);
    const own = await run(['dead-letters', '--app', 'taxi-trip-events'], { cwd });
    assert.deepEqual((lines(own.stdout) as unknown as Letter[]).map(told), OF_RECORDS);
    const none = await run(['dead-letters', '--reason', 'late'], { cwd });
    assert.deepEqual([none.stdout, none.stderr], ['', 'no dead letters\n']);
    const { stderr: noApp } = await run(['dead-letters', '--app', 'other'], { cwd, code: 1 });
    assert.match(noApp, /^Error: there is no app "other"[^\n]*\nTry: .*taxi-trip-events/);
  });

  test('--format csv can be read back by any CSV reader', async () => {
    const { stdout } = await run(['dead-letters', '--format', 'csv'], { cwd });
    const letters = parse(stdout, { columns: true }) as Letter[];
    assert.deepEqual(letters.map(told), [...OF_ROWS, ...OF_RECORDS]);
  });

  test('--output writes to a file and leaves stdout empty', async () => {
    const exported = await run(['dead-letters', '--output', 'dead.ndjson'], { cwd });
    assert.equal(exported.stdout, '');
    const letters = lines(readFileSync(join(cwd, 'dead.ndjson'), 'utf8')) as unknown as Letter[];
    assert.deepEqual(letters.map(told), [...OF_ROWS, ...OF_RECORDS]);
    const counted = await run(['dead-letters', '--output', 'dead.csv', '--format', 'csv', '--json'], { cwd });
    assert.equal(
      counted.json<Counts>().counts.reduce((sum, { count }) => sum + count, 0),
      letters.length,
    );
    assert.equal(
      (parse(readFileSync(join(cwd, 'dead.csv'), 'utf8'), { columns: true }) as Letter[]).length,
      letters.length,
    );
    const { stderr } = await run(['dead-letters', '--output', 'nosuch/dead.csv'], { cwd, code: 1 });
    assert.match(stderr, /^Error: .*nosuch\/dead\.csv\nTry: .*--output/);
  });

  test('--format table has one line per letter', async () => {
    const { stdout } = await run(['dead-letters', '--format', 'table'], { cwd });
    const [header, ...rows] = stdout.trimEnd().split('\n');
    assert.deepEqual(header!.split(/ +/), ['of', 'reason', 'source', 'position', 'detail', 'at', 'raw']);
    assert.equal(rows.length, OF_ROWS.length + OF_RECORDS.length);
  });
});

describe('--dead-letter-limit', PARALLEL, () => {
  test('replay keeps that many rows per reason and counts them all', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['replay', DIRTY, '--speedup', 'max', '--dead-letter-limit', '1'], { cwd });
    const found = (await run(['dead-letters', '--json'], { cwd })).json<Counts & { letters: Letter[] }>();
    const dirt = dirtOf(readNaively(DIRTY));
    assert.ok(Math.max(...Object.values(dirt)) > 1, 'the case is one');
    assert.deepEqual(
      found.counts.map(({ reason, count, kept }) => [reason, count, kept]),
      Object.entries(dirt)
        .sort()
        .map(([reason, count]) => [reason, count, 1]),
    );
    const firsts = Object.keys(dirt).map((reason) => REJECTED.find((row) => row.rejected === reason)!);
    assert.deepEqual(
      found.letters.map(({ position }) => Number(position)).sort((a, b) => a - b),
      firsts.map(({ line }) => line).sort((a, b) => a - b),
    );
    assert.match(
      (await run(['dead-letters'], { cwd })).stderr,
      /^replay of yellow-2015-dirty\.csv into local:taxi-trip-events: [2-9]\d* [a-z-]+, 1 kept$/m,
    );
  });

  test('process keeps to the limit across runs, and counts all letters', async (t) => {
    const cwd = temporaryFolder(t);
    const asked = ['process', '--stream', 'local:own', '--until-end', '--views', countingView(cwd)];
    for (let i = 0; i < 2; i++) {
      await putRecords(join(cwd, '.taxiflow'), 'own', BROKEN);
      // Exit code 3: no trip was used.
      const ran = await run([...asked, '--dead-letter-limit', '4', '--json'], { cwd, code: 3 });
      assert.equal(ran.json()['dead'], BROKEN.length);
    }
    const found = (await run(['dead-letters', '--json'], { cwd })).json<Counts & { letters: Letter[] }>();
    assert.deepEqual(found.counts, [{ of: 'app own', reason: 'not-readable', count: 6, kept: 4 }]);
    assert.deepEqual(
      found.letters.map(({ position }) => position),
      ['0', '1', '2', '3'],
    );
  });

  test('a second replay of the same input does not list its rows twice', async (t) => {
    const cwd = temporaryFolder(t);
    for (let i = 0; i < 2; i++) await run(['replay', DIRTY, '--speedup', 'max'], { cwd });
    const { stdout } = await run(['dead-letters'], { cwd });
    assert.deepEqual((lines(stdout) as unknown as Letter[]).map(told), OF_ROWS);
  });
});

test('dead-letters says that nothing has run yet', async (t) => {
  const { stderr } = await run(['dead-letters'], { cwd: temporaryFolder(t) });
  assert.match(stderr, /nothing has been replayed or processed in \.taxiflow yet/);
});
