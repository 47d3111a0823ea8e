/** The real binary defuses data that a terminal or a spreadsheet would execute. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'csv-parse/sync';
import { systemClock } from '../../src/clock.ts';
import { LocalStream } from '../../src/streams/local/log.ts';
import { batchOf } from '../events/model.ts';
import { temporaryFolder } from '../files.ts';
import { taxiflow } from '../taxiflow.ts';
import { until } from '../until.ts';
import { PARALLEL, run, YELLOW } from './model.ts';

/** C0 except line ends, DEL, C1, line separators and direction marks. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the test looks for them
const FORBIDDEN = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

const NASTY = [
  '=1+1',
  '=HYPERLINK("http://x?a","b")',
  '+1',
  '-1+2',
  '@SUM(A1)',
  '\t=1',
  '\r=1',
  '\n=1',
  '＝1',
  '\u001b[2J\u001b]0;title\u0007',
  '\u009b31m',
  '\u007f',
  'abc\u202ecba',
  '\u2066x\u2069',
  'a,b;c"d',
  'two\nlines',
  'two\r\nlines',
  'one\rover',
  '\u0000',
  'plain é 🚕',
];

async function write(dataDir: string, records: readonly string[]): Promise<void> {
  const stream = LocalStream.open({ dataDir, name: 'taxi-trip-events', clock: systemClock, createShards: 1 });
  await stream.put({ ...batchOf(records), hashes: new Uint32Array(records.length) });
  await stream.close();
}

const VIEWS = `export const views = ({ view, tumbling, count, sum, field }) => [
  view({ name: 'by_vendor', by: { vendor: field('vendor_id') }, window: tumbling('1h'), aggregates: { n: count(), total: sum(field('total_amount')) } }),
  view({ name: 'all', by: {}, window: tumbling('1h'), aggregates: { n: count(), riders: sum(field('passenger_count')) } }),
];`;

describe('printing', PARALLEL, () => {
  it('prints keys of any kind to a terminal, CSV and JSON as harmless text', async (t) => {
    const cwd = temporaryFolder(t);
    const dropoff_datetime = '2016-01-01T00:10:00.000Z';
    const trips = NASTY.map((vendor_id) => ({
      type: 'trip',
      vendor_id,
      dropoff_datetime,
      total_amount: -2.5,
    }));
    const broken = NASTY.map((text) => `broken ${text.replaceAll('\n', ' ')}`);
    await write(join(cwd, '.taxiflow'), [...trips.map((trip) => JSON.stringify(trip)), ...broken]);
    writeFileSync(join(cwd, 'views.mjs'), VIEWS);
    const ran = await run(
      ['process', '--until-end', '--drain', '--views', 'views.mjs', '--max-disorder', '1m'],
      { cwd },
    );
    assert.match(ran.stderr, new RegExp(`processed ${NASTY.length} .* dead ${NASTY.length}$`, 'm'));

    const table = await run(['results', '--format', 'table'], { cwd });
    assert.doesNotMatch(table.stdout, FORBIDDEN);
    assert.equal(
      table.stdout.split('\n').filter((line) => line.startsWith('by_vendor')).length,
      NASTY.length,
    );

    const csv = (await run(['results', '--format', 'csv'], { cwd })).stdout;
    assert.doesNotMatch(csv.replaceAll('\r\n', '\n').replaceAll('\t', ' '), FORBIDDEN);
    const rows = parse(csv, { columns: true, relax_column_count: false }) as Record<string, string>[];
    const own = rows.filter((row) => row['view'] === 'by_vendor');
    assert.equal(rows.length, NASTY.length + 1);
    assert.equal(new Set(own.map((row) => row['vendor'])).size, NASTY.length, 'keys stay apart');
    for (const row of rows) assert.doesNotMatch(row['vendor']!, /^[=+\-@\t\r\n＝＋－＠]/);
    assert.deepEqual(new Set(own.map((row) => row['total'])), new Set(['-2.5']), 'numbers stay numbers');
    assert.deepEqual(new Set(own.map((row) => row['riders'])), new Set(['']), 'what a view lacks is empty');
    for (const kept of ['plain é 🚕', 'a,b;c"d', 'two\nlines', 'two\r\nlines'])
      assert.ok(own.some((row) => row['vendor'] === kept));

    for (const format of [['--format', 'ndjson'], ['--json']]) {
      const { stdout } = await run(['results', ...format], { cwd });
      assert.doesNotMatch(stdout, FORBIDDEN);
      const vendors = stdout
        .trimEnd()
        .split('\n')
        .flatMap((line) => JSON.parse(line) as { vendor?: string });
      assert.deepEqual(
        new Set(vendors.flatMap(({ vendor }) => vendor ?? [])),
        new Set(NASTY),
        'the same values',
      );
    }

    for (const format of [['table'], ['ndjson'], ['csv']]) {
      const letters = await run(['dead-letters', '--format', ...format], { cwd });
      assert.doesNotMatch(
        (letters.stdout + letters.stderr).replaceAll('\t', ' ').replaceAll('\r\n', '\n'),
        FORBIDDEN,
      );
    }
  });

  it('prints names and contents of files without terminal commands', async (t) => {
    const cwd = temporaryFolder(t);
    const name = 'a\u001b[2J\u202e\u009b\nError: b.csv';
    for (const args of [
      ['replay', name],
      ['replay', YELLOW, '--stream', name],
      ['process', '--views', name],
      ['process', '--app', name],
      ['results', '--view', name],
      ['status', '--app', name],
      ['process', '--output', `${name}/x`, '--until-end'],
      ['process', '--data-dir', `${YELLOW}/${name}`],
      [`--${name}`],
      [name],
    ]) {
      const { code, stdout, stderr } = await taxiflow(args, { cwd });
      assert.ok(code === 1 || code === 2, `${args.join(' ')}: ${code}`);
      assert.doesNotMatch(stdout + stderr, FORBIDDEN, args.join(' '));
      assert.equal((stderr.match(/^Error: /gm) ?? []).length, 1, stderr);
    }
    copyFileSync(YELLOW, join(cwd, name));
    const dry = await run(['replay', name, '--dry-run', '--json'], { cwd });
    assert.doesNotMatch(dry.stdout + dry.stderr, FORBIDDEN);
    assert.deepEqual(dry.json()['inputs'], [name]);
    assert.doesNotMatch((await run(['replay', name, '--speedup', 'max'], { cwd })).stderr, FORBIDDEN);
  });
});

describe('an output file', PARALLEL, () => {
  it('deleted during a run ends the run; the same command writes all results again (F1)', async (t) => {
    const cwd = temporaryFolder(t);
    const path = join(cwd, 'out.ndjson');
    await run(['stream', 'create'], { cwd });
    const ended = taxiflow(['process', '--output', 'out.ndjson'], {
      cwd,
      onStart: (child) => t.after(() => child.kill('SIGKILL')),
    });
    await until('it runs', () => existsSync(path));
    await run(['replay', YELLOW, '--speedup', 'max'], { cwd });
    await until('lines', () => readFileSync(path, 'utf8') !== '');
    rmSync(path);
    const { code, stderr } = await ended;
    assert.equal(code, 1, stderr);
    assert.match(stderr, /^Error: out\.ndjson was deleted or moved .*\nTry: .*the same command/m);
    await run(['process', '--output', 'out.ndjson', '--until-end', '--drain'], { cwd });
    const { stdout } = await run(['results'], { cwd });
    const sorted = (text: string) => text.trimEnd().split('\n').sort();
    assert.deepEqual(sorted(readFileSync(path, 'utf8')), sorted(stdout));
  });
});
