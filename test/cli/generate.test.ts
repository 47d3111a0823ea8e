/** `taxiflow generate` with the real binary: every layout, every destination, reproducible by seed. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { temporaryFolder } from '../files.ts';
import { taxiflow } from '../taxiflow.ts';
import { dirtOf, PARALLEL, readNaively, run } from './model.ts';

const SCHEMAS = [
  ...['yellow-2009', 'yellow-2010', 'yellow-2014', 'yellow-2015', 'yellow-2017'],
  ...['green-2013', 'green-2015', 'green-2017'],
];
const ROWS = 300;

describe('generate', PARALLEL, () => {
  const folder = mkdtempSync(join(tmpdir(), 'taxiflow-test-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  test('every layout: stdout and a file get the same rows, and replay takes every one', async () => {
    for (const schema of SCHEMAS) {
      const asked = ['generate', '--schema', schema, '--trips', String(ROWS), '--seed', '7'];
      const [printed, written] = await Promise.all([
        run(asked, { cwd: folder }),
        run([...asked, '--out', `${schema}.csv`, '--json'], { cwd: folder }),
      ]);
      assert.equal(readFileSync(join(folder, `${schema}.csv`), 'utf8'), printed.stdout);
      const { duration_ms, ...summary } = written.json();
      assert.equal(typeof duration_ms, 'number');
      assert.deepEqual(summary, {
        ...{ command: 'generate', out: `${schema}.csv`, schema, trips: ROWS, seed: 7 },
        ...{ from: '2016-01-11T00:00:00.000Z', hours: 24, dirty: 0 },
      });
    }
    const planned = await run(['replay', '.', '--dry-run', '--json'], { cwd: folder });
    const { inputs, read, trips, rejected } = planned.json();
    assert.deepEqual(inputs, SCHEMAS.map((schema) => `${schema}.csv`).sort());
    const rows = SCHEMAS.length * ROWS;
    assert.deepEqual({ read, trips, rejected }, { read: rows, trips: rows, rejected: 0 });
  });

  test('.gz is compressed and otherwise identical', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['generate', '--trips', '50', '--out', 'a.csv.gz'], { cwd });
    const { stdout, stderr } = await run(['generate', '--trips', '50'], { cwd });
    assert.equal(gunzipSync(readFileSync(join(cwd, 'a.csv.gz'))).toString(), stdout);
    assert.match(stderr, /^50 trips of yellow-2015 in .*: stdout$/m);
  });

  test('another seed gives other trips; --from and --hours say when they begin', async (t) => {
    const cwd = temporaryFolder(t);
    const one = await run(['generate', '--trips', '50', '--seed', '1'], { cwd });
    const two = await run(['generate', '--trips', '50', '--seed', '2'], { cwd });
    assert.notEqual(one.stdout, two.stdout);
    await run(
      ['generate', '--trips', '200', '--from', '2015-06-02T07:00:00', '--hours', '0.5', '--out', 'june.csv'],
      { cwd },
    );
    const [from, until] = [Date.UTC(2015, 5, 2, 7), Date.UTC(2015, 5, 2, 7, 30)];
    for (const { pickup } of readNaively(join(cwd, 'june.csv')).rows) {
      assert.ok(pickup >= from && pickup < until, `picked up at ${new Date(pickup).toISOString()}`);
    }
  });

  test('--dirty makes rows that replay rejects, by reason', async (t) => {
    const cwd = temporaryFolder(t);
    await run(['generate', '--trips', '500', '--dirty', '0.3', '--out', 'dirty.csv'], { cwd });
    const naive = readNaively(join(cwd, 'dirty.csv'));
    const planned = await run(['replay', 'dirty.csv', '--dry-run', '--json'], { cwd });
    assert.equal(Object.keys(dirtOf(naive)).length, 3, 'each kind of dirt is there');
    assert.deepEqual(planned.json()['rejected_by_reason'], dirtOf(naive));
    assert.equal(planned.json()['read'], naive.rows.length);
  });

  test('--json leaves stdout to the trips with --out -', async (t) => {
    const { stdout, stderr } = await run(['generate', '--trips', '5', '--json'], { cwd: temporaryFolder(t) });
    assert.equal(stdout.trimEnd().split('\n').length, 6);
    assert.match(stderr, /^\{"command":"generate","out":"-"/m);
  });

  test('a reader that closes the pipe ends it silently', async () => {
    const ran = await taxiflow(['generate', '--trips', '10000000'], {
      onStart: (child) => child.stdout!.once('data', () => child.stdout!.destroy()),
    });
    assert.deepEqual([ran.code, ran.stderr], [0, '']);
  });

  test('a file that cannot be written is reported in one message', async (t) => {
    const { stderr } = await run(['generate', '--trips', '5', '--out', 'nosuch/a.csv'], {
      cwd: temporaryFolder(t),
      code: 1,
    });
    assert.match(stderr, /^Error: the file of trips can't be opened: nosuch\/a\.csv\nTry: .*--out\n$/);
  });
});
