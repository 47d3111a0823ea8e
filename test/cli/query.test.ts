/** `taxiflow query` with the real binary: what it prints in each format, and what it refuses. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'csv-parse/sync';
import { BIN, taxiflow } from '../taxiflow.ts';
import { lines, PARALLEL, run, YELLOW } from './model.ts';

describe('query', PARALLEL, () => {
  const cwd = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));
  const state = join(cwd, '.taxiflow', 'apps', 'taxi-trip-events.sqlite');
  /** What `results` prints of a view. */
  let pickups: Record<string, unknown>[];

  before(async () => {
    await run(['replay', YELLOW, '--speedup', 'max'], { cwd });
    await run(['process', '--until-end', '--drain'], { cwd });
    pickups = lines((await run(['results', '--view', 'pickup_count'], { cwd })).stdout);
    assert.ok(pickups.length > 50);
  });
  after(() => rmSync(cwd, { recursive: true, force: true }));

  const query = (...args: string[]) => run(['query', ...args], { cwd });

  test('NDJSON without a terminal: the results of a view, one a line', async () => {
    const { stdout, stderr } = await query('SELECT * FROM pickup_count');
    assert.equal(stderr, '');
    assert.deepEqual(
      lines(stdout),
      pickups.map(({ view: _, ...row }) => row),
    );
  });

  test('--json is the same as one array, --format csv as one table, --format table as text', async () => {
    const sql = 'SELECT location, sum(pickup_count) AS n FROM pickup_count GROUP BY 1 ORDER BY 2 DESC, 1';
    const counts = new Map<unknown, number>();
    for (const { location, pickup_count } of pickups)
      counts.set(location, (counts.get(location) ?? 0) + Number(pickup_count));
    const expected = [...counts]
      .map(([location, n]) => ({ location: String(location), n }))
      .sort((a, b) => b.n - a.n || (a.location < b.location ? -1 : 1));
    assert.deepEqual(JSON.parse((await query(sql, '--json')).stdout), expected);
    const csv = parse((await query(sql, '--format', 'csv')).stdout, { columns: true }) as object[];
    assert.deepEqual(
      csv,
      expected.map(({ location, n }) => ({ location, n: String(n) })),
    );
    const [head, first] = (await query(sql, '--format', 'table')).stdout.split('\n');
    assert.match(head!, /^location +n$/);
    assert.deepEqual(first!.split(/ +/), [expected[0]!.location, String(expected[0]!.n)]);
  });

  test('--limit bounds the rows, and no rows are no error', async () => {
    assert.equal(lines((await query('SELECT * FROM pickup_count', '--limit', '3')).stdout).length, 3);
    const sql = 'SELECT * FROM pickup_count WHERE pickup_count < 0';
    assert.equal((await query(sql)).stdout, '');
    assert.equal((await query(sql, '--json')).stdout, '[]\n');
    assert.match(
      (await query(sql, '--format', 'csv')).stdout,
      /^window_start,window_end,timestamp,location,pickup_count\n$/,
    );
  });

  test('- reads the query from stdin', async () => {
    const input = '-- how many\nSELECT count(*) AS n\nFROM pickup_count;\n';
    const { stdout } = await run(['query', '-'], { cwd, input });
    assert.deepEqual(lines(stdout), [{ n: pickups.length }]);
  });

  test('values that JSON has no numbers for, columns of one name, names of digits', async () => {
    const sql = `SELECT 9007199254740991 AS whole, 9007199254740993 AS large, 1e999 AS endless, x'00ff' AS bytes,
      null AS none, 1 AS a, 2 AS a, 3 AS a_2, 'é' || char(27) AS text`;
    const [row] = lines((await query(sql)).stdout);
    assert.deepEqual(row, {
      whole: Number.MAX_SAFE_INTEGER,
      large: '9007199254740993',
      endless: 'Infinity',
      bytes: '00ff',
      none: null,
      a: 1,
      a_3: 2,
      a_2: 3,
      text: 'é\u001b',
    });
    assert.ok(!(await query(sql, '--format', 'table')).stdout.includes('\u001b'));
    const numbers = "SELECT 'x', 2, 1";
    assert.match((await query(numbers, '--format', 'csv')).stdout, /^'x',2,1\nx,2,1\n$/);
    assert.match((await query(numbers, '--format', 'table')).stdout, /^'x' +2 +1\nx +2 +1\n$/);
    assert.match((await query('SELECT 1 +\n 1', '--format', 'table')).stdout, /^1 \+ +1\n +2\n$/);
  });

  test('--chart has a bar for each number, the longest for the largest', async () => {
    const sql =
      'SELECT window_start, sum(pickup_count) AS n, 7 AS seven FROM pickup_count GROUP BY 1 ORDER BY n';
    const { stdout } = await query(sql, '--chart');
    const rows = stdout.trimEnd().split('\n');
    assert.match(rows[0]!, /^window_start +seven +n$/);
    const bars = rows.slice(1).map((row) => /[█▏▎▍▌▋▊▉]*$/.exec(row)![0].length);
    assert.equal(bars.at(-1), 30);
    assert.deepEqual(
      bars,
      [...bars].sort((a, b) => a - b),
    );
    const byName = await query(sql, '--chart', 'seven');
    assert.ok(
      byName.stdout
        .trimEnd()
        .split('\n')
        .slice(1)
        .every((row) => /7 {2}█{30}$/.test(row)),
    );
    await refused([sql, '--chart', 'sevn'], /--chart sevn is not a column of numbers; did you mean seven\?/);
    await refused(["SELECT 'a'", '--chart'], /the query has no column of numbers for --chart/);
    await refused([sql, '--chart', '--json'], /--chart prints a table\nTry: omit --json/);
  });

  test('without a query: the tables, their columns and rows', async () => {
    const { stdout } = await query('--json');
    const { command, app, tables } = JSON.parse(stdout) as {
      command: string;
      app: string;
      tables: { table: string; view: string; rows: number; columns: { name: string; type: string }[] }[];
    };
    assert.deepEqual([command, app], ['query', 'taxi-trip-events']);
    assert.deepEqual(
      tables.map(({ table, view, rows }) => [table, view, rows > 0]),
      [
        ['pickup_count', 'pickup_count', true],
        ['trip_duration', 'trip_duration', true],
      ],
    );
    assert.equal(tables[0]!.rows, pickups.length);
    assert.deepEqual(tables[0]!.columns.at(-1), { name: 'pickup_count', type: 'INTEGER' });
    assert.deepEqual(lines((await query()).stdout), tables);
    const shown = await query('--format', 'table', '--data-dir', join(cwd, '.taxiflow'));
    assert.match(shown.stdout, /^pickup_count {2}\d+ rows\n {2}window_start TEXT, .*pickup_count INTEGER\n/);
    assert.match(shown.stderr, /"taxiflow query 'SELECT \* FROM pickup_count LIMIT 10' --data-dir \S+"/);
    await refused(['--limit', '3'], /--limit needs a query/);
  });

  async function refused(args: string[], pattern: RegExp): Promise<void> {
    const { stderr, stdout } = await run(['query', ...args], { cwd, code: 2 });
    assert.match(stderr, pattern);
    assert.equal(stdout, '');
  }

  test('whatever is not one query is refused, and nothing is changed', async () => {
    const other = join(cwd, 'other.sqlite');
    const before = readFileSync(state);
    const statements = [
      'DELETE FROM firings',
      '/* SELECT */ INSERT INTO run VALUES (2, 0, 0, NULL)',
      'WITH a AS (SELECT 1) DELETE FROM firings',
      'WITH a AS (SELECT 1) UPDATE run SET status = NULL',
      'CREATE TABLE a (b)',
      'CREATE TEMP TABLE a (b)',
      'DROP VIEW pickup_count',
      `ATTACH '${other}' AS other`,
      `VACUUM INTO '${other}'`,
      'PRAGMA user_version = 3',
      'PRAGMA user_version',
      'BEGIN EXCLUSIVE',
      'REINDEX',
      'EXPLAIN SELECT 1',
      'SELECT 1; SELECT 2',
      'SELECT 1; DROP TABLE firings',
      ';',
      '/* nothing */',
    ];
    for (const sql of statements)
      await refused([sql], /\nTry: a query is one statement that begins with SELECT/);
    assert.deepEqual(readFileSync(state), before);
    assert.ok(!existsSync(other));
  });

  test('no function reads a file or loads code', async () => {
    for (const sql of [
      `SELECT readfile('${YELLOW}')`,
      "SELECT load_extension('x')",
      "SELECT writefile('x', 1)",
    ])
      await refused([sql], /^Error: (no such function|not authorized)/m);
    await refused([`SELECT * FROM '${YELLOW}'`], /there is no table/);
    await refused(["SELECT * FROM fsdir('.')"], /there is no table|no such/);
  });

  test('a mistake is told with what there is', async () => {
    await refused(
      ['SELECT * FROM pickup_counts'],
      /no table pickup_counts; did you mean pickup_count\?\nTry: the tables are pickup_count, trip_duration/,
    );
    await refused(
      ['SELECT locaton FROM pickup_count'],
      /no such column: locaton; did you mean location\?\nTry: the columns are window_start, .*, pickup_count\n/,
    );
    await refused(
      ['SELECT p.missing FROM trip_duration p'],
      /no such column: p\.missing\nTry: .*airport_code/,
    );
    await refused(['SELECT', '1'], /"1" was taken for one\nTry: "taxiflow query 'SELECT …'"/);
    await refused(
      ['SELECT FROM pickup_count'],
      /near "FROM": syntax error\nTry: if FROM is meant as a name, put it in double quotes/,
    );
    await refused(['SELECT ?'], /has parameters/);
    await refused(['SELECT :a, $b'], /has parameters/);
    await refused(["SELECT json('{')"], /malformed JSON/);
    await refused(['SELECT max(9223372036854775807) + 1, abs(-9223372036854775807 - 1)'], /integer overflow/);
    await refused(['SELECT zeroblob(2000000000)'], /too long/);
    const { stderr } = await run(['query', 'SELECT 1', '--app', 'nobody'], { cwd, code: 1 });
    assert.match(stderr, /there is no app "nobody"/);
  });

  test('millions of rows pass through bounded memory', async () => {
    const sql = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT i, 'row ' || i AS text FROM n`;
    const small = ['--max-old-space-size=48'];
    const { code, stdout, stderr } = await taxiflow(['query', sql, '--format', 'csv'], { cwd, node: small });
    assert.equal(code, 0, stderr);
    assert.equal(stdout.split('\n').length, 1_000_002);
    assert.ok(stdout.endsWith('1000000,row 1000000\n'));
  });

  test('Ctrl-C ends a query at once, whatever SQLite is doing', async () => {
    const endless =
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i IN (1, -1)';
    const { signal } = await taxiflow(['query', endless], {
      cwd,
      // There is a first row and no second one.
      onStart: (child) => child.stdout?.once('data', () => child.kill('SIGINT')),
    });
    assert.equal(signal, 'SIGINT');
  });

  const pty = existsSync('/usr/bin/script') ? false : 'needs script(1)';
  test('a terminal gets the first 40 rows and a hint for the rest', { skip: pty }, () => {
    const terminal = (more: string) => {
      const command = `${process.execPath} ${BIN} query 'SELECT * FROM pickup_count' ${more}`;
      const said = execFileSync('script', ['-qec', command, '/dev/null'], { cwd, encoding: 'utf8' });
      return said.replaceAll('\r', '').trimEnd().split('\n');
    };
    const shown = terminal('');
    assert.equal(shown.length, 1 + 40 + 1);
    assert.match(shown.at(-1)!, /these are the first 40 rows; --limit N or --limit all shows more/);
    assert.equal(terminal('--limit all').length, 1 + pickups.length);
    assert.equal(terminal('--limit 3').length, 1 + 3);
  });
});
