/**
 * What a disk, a user or a second process can do to a running line, with the real binary: it prints one clear
 * `Error:` and `Try:` and exits with 1, or gives the right results; never wrong ones, never a stack trace.
 *
 *  C4 one processor per state · C6 a corrupt state is detected · C1, C3 after any of it the line goes on
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { generateCsv } from '../../src/dataset/generator/generate.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { Database } from '../../src/sqlite.ts';
import { StateReader } from '../../src/state/reader.ts';
import { fixture, temporaryFolder } from '../files.ts';
import { Line, sameLines } from '../golden/line.ts';
import { comparable, expectedLines, type OracleResult } from '../golden/oracle.ts';
import { BIN, type Ran, taxiflow } from '../taxiflow.ts';
import { until } from '../until.ts';

const SMALL = fixture('yellow-2015.csv');
const scratch = mkdtempSync(join(tmpdir(), 'taxiflow-damage-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

let small: OracleResult;
/** Windows long enough that the one still open at the end has results. */
const HOURS = { windowMinutes: 60 };
let smallHours: OracleResult;
/** Some megabytes of stream, so that a disk can be full in the middle of it. */
const large = join(scratch, 'large.csv');
let expectedLarge: OracleResult;
before(async () => {
  small = await expectedLines([SMALL]);
  smallHours = await expectedLines([SMALL], HOURS);
  const options = { from: '2016-01-11', hours: 24, seed: 5, layout: 'yellow-2015', dirty: 0 } as const;
  writeFileSync(large, [...generateCsv({ trips: 12_000, ...options })].join(''));
  expectedLarge = await expectedLines([large]);
});

/** Checks for one `Error:` and one `Try:` in words; returns the message. */
function oneClearError({ code, signal, stderr }: Ran, exitCode = 1): string {
  assert.deepEqual([code, signal], [exitCode, null], stderr);
  const lines = stderr.split('\n');
  const errors = lines.filter((line) => line.startsWith('Error: '));
  const hints = lines.filter((line) => line.startsWith('Try: '));
  assert.deepEqual([errors.length, hints.length], [1, 1], stderr);
  assert.doesNotMatch(stderr, /^\s+at |node:internal|bug in taxiflow|SqliteError|UnhandledPromise/m);
  return errors[0]!;
}

interface Started {
  readonly child: ChildProcess;
  readonly done: Promise<Ran>;
}

/** Starts a command that the test ends, or that ends with it. */
function start(t: TestContext, args: readonly string[]): Promise<Started> {
  return new Promise((resolve) => {
    const onStart = (child: ChildProcess) => {
      t.after(() => child.kill('SIGKILL'));
      setImmediate(() => resolve({ child, done }));
    };
    const done = taxiflow(args, { onStart });
  });
}

const read = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');

/** The command that ends a job: everything there is, drained, into a file. */
const finishing = (folder: string, output = join(folder, 'out.ndjson')): string[] => [
  ...['process', '--data-dir', folder, '--app', 'app', '--output', output],
  ...['--until-end', '--drain', '--json'],
];

async function finishes(folder: string, { lines }: OracleResult, output?: string): Promise<void> {
  const ran = await taxiflow(finishing(folder, output));
  // What is left to read may be trips that no view wants, which a run says with 3.
  const leftNothing = ran.code === 3 && /no trip was used/.test(ran.stderr);
  assert.ok(ran.code === 0 || leftNothing, ran.stderr);
  sameLines(comparable(read(output ?? join(folder, 'out.ndjson'))), lines, 'the output in the end');
  const stored = await taxiflow(['results', '--data-dir', folder, '--app', 'app', '--format', 'ndjson']);
  sameLines(comparable(stored.stdout), lines, 'the results stored in the end');
}

describe('two processors of one state', () => {
  it('C4: the second is refused and the first goes on', async (t) => {
    const line = new Line(temporaryFolder(t), [SMALL], 2);
    const { folder } = line;
    const output = join(folder, 'out.ndjson');
    await line.replay({ limit: 200 });
    const shared = ['process', '--data-dir', folder, '--app', 'app', '--checkpoint-interval', '0ms'];
    const first = await start(t, [...shared, '--output', output]);
    await until('the first has delivered', () => read(output) !== '');
    const second = await taxiflow([...shared, '--until-end', '--output', join(folder, 'second.ndjson')]);
    assert.match(oneClearError(second), /app "app" is being run by another process/);
    assert.equal(read(join(folder, 'second.ndjson')), '', 'the second wrote nothing');
    const before = read(output);
    await line.replay({ resume: true });
    await until('the first delivers more', () => read(output).length > before.length);
    first.child.kill('SIGINT');
    assert.equal((await first.done).code, 130, 'the first ends as it is told');
    await finishes(folder, small);
  });
});

describe('signals', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`${signal} ends the processor with exit code 130 and a checkpoint to go on from`, async (t) => {
      const line = new Line(temporaryFolder(t), [SMALL], 2);
      const { folder } = line;
      const output = join(folder, 'out.ndjson');
      await line.replay({ limit: 200 });
      // Its only checkpoint is the one at its end.
      const flow = ['process', '--data-dir', folder, '--app', 'app', '--json'];
      const { child, done } = await start(t, [...flow, '--checkpoint-interval', '1h', '--output', output]);
      await until(
        'it reads',
        () => existsSync(join(folder, 'apps', 'app.sqlite.lock')) && existsSync(output),
      );
      await line.replay({ resume: true, limit: 300 });
      child.kill(signal);
      const ran = await done;
      assert.equal(ran.code, 130, ran.stderr);
      const { interrupted, reconciled, watermarks, totals } = ran.json<{
        interrupted: boolean;
        reconciled: boolean;
        watermarks: number;
        totals: { read: number };
      }>();
      assert.deepEqual(
        [interrupted, reconciled],
        [true, true],
        'it says that it was interrupted, and adds up',
      );
      await line.replay({ resume: true });
      const next = (await taxiflow(finishing(folder))).json<{ read: number; totals: { read: number } }>();
      assert.equal(next.totals.read - next.read, totals.read, 'the next run goes on where this one stopped');
      assert.ok(watermarks >= 0, 'watermarks counted');
      await finishes(folder, small);
    });

    it(`${signal} ends a replay with exit code 130, and --resume goes on`, async (t) => {
      const folder = temporaryFolder(t);
      const args = ['replay', SMALL, '--data-dir', folder, '--json'];
      const { child, done } = await start(t, [...args, '--speedup', '600', '--statistics-frequency', '1']);
      let told = false;
      child.stderr?.on('data', (chunk: Buffer) => {
        // Only once: a second signal ends it at once, and its last line names trips too.
        if (told || !/\d trips/.test(chunk.toString())) return;
        told = true;
        child.kill(signal);
      });
      const ran = await done;
      assert.equal(ran.code, 130, ran.stderr);
      const first = ran.json<{ acknowledged: number; reconciled: boolean; interrupted: boolean }>();
      assert.deepEqual([first.interrupted, first.reconciled], [true, true], 'it says so, and adds up');
      const rest = await taxiflow([...args, '--speedup', 'max', '--resume']);
      const { sent, skipped } = rest.json<{ sent: number; skipped: { already_sent: number } }>();
      assert.deepEqual([skipped.already_sent, sent], [first.acknowledged, small.trips - first.acknowledged]);
      await finishes(folder, small);
    });
  }
});

/** A line in the middle of its work, its processor stopped: the state holds panes, results, trips seen, a cursor. */
interface Halfway {
  readonly line: Line;
  readonly state: string;
  readonly stateBytes: Buffer;
  readonly outputBytes: Buffer;
  readonly results: readonly string[];
}

/** `by` processes the first part: a state can only go on in the form that made it. */
async function halfway(t: TestContext, by: 'this process' | 'the binary', limit = 250): Promise<Halfway> {
  const line = new Line(temporaryFolder(t), [SMALL], 2);
  await line.replay({ limit });
  if (by === 'this process') await line.process(HOURS);
  else {
    const ran = await taxiflow(finishing(line.folder, line.outputPath()).filter((arg) => arg !== '--drain'));
    assert.equal(ran.code, 0, ran.stderr);
  }
  await line.replay({ resume: true });
  const state = join(line.folder, 'apps', 'app.sqlite');
  assert.ok(!existsSync(`${state}-wal`), 'the state is one file once its processor has ended');
  const results = comparable(line.output());
  assert.ok(results.length > 10, `only ${results.length} results so far`);
  const [stateBytes, outputBytes] = [readFileSync(state), readFileSync(line.outputPath())];
  return { line, state, stateBytes, outputBytes, results };
}

const notForUsers = (error: unknown): string =>
  `not an error for users: ${String((error as Error).stack)
    .split('\n')
    .slice(0, 3)
    .join(' ')}`;

function putBack({ line, state, outputBytes }: Halfway, bytes: Uint8Array): void {
  for (const suffix of ['-wal', '-shm']) rmSync(state + suffix, { force: true });
  writeFileSync(state, bytes);
  writeFileSync(line.outputPath(), outputBytes);
}

/** Goes on with a damaged state in this process; returns the outcome. */
async function goesOn(half: Halfway, bytes: Uint8Array): Promise<'refused' | 'right'> {
  putBack(half, bytes);
  try {
    await half.line.process(HOURS, { drain: true });
  } catch (error) {
    assert.ok(error instanceof TaxiflowError, notForUsers(error));
    assert.ok(error.hint, `without a hint: ${error.message}`);
    return 'refused';
  }
  sameLines(
    comparable(half.line.output()),
    smallHours.lines,
    'went on with a damaged state, to wrong results',
  );
  return 'right';
}

/** Reads the results of a damaged state in this process. */
function readsBack({ line, results }: Halfway): 'refused' | 'right' {
  try {
    const reader = new StateReader(line.folder, 'app');
    try {
      const found = [...reader.results()].map((doc) => JSON.stringify(doc)).join('\n');
      sameLines(comparable(found), results, 'read wrong results back from a damaged state');
      sameLines(comparable(queried(reader)), results, 'a query finds wrong results in a damaged state');
    } finally {
      reader.close();
    }
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    assert.ok(error instanceof TaxiflowError, notForUsers(error));
    return 'refused';
  }
  return 'right';
}

/** The results as queries find them. */
function queried(reader: StateReader): string {
  const lines = reader.tables().flatMap(({ name, view }) => {
    const { columns, rows } = reader.query(`SELECT * FROM ${name}`);
    return [...rows()].map(({ values }) =>
      JSON.stringify(
        Object.fromEntries([['view', view], ...columns.map((column, i) => [column, values[i]])]),
      ),
    );
  });
  return lines.join('\n');
}

/** Places worth damaging: the file's header, the start of each page, its indexes, and bytes that aren't zero. */
function placesOf({ state, stateBytes: bytes }: Halfway): number[] {
  const db = new Database(state, { readonly: true });
  const size = db.pragma('page_size', { simple: true }) as number;
  const roots = db
    .prepare("SELECT rootpage FROM sqlite_schema WHERE type = 'index'")
    .pluck()
    .all() as number[];
  db.close();
  const places = Array.from({ length: 100 }, (_, i) => i);
  for (let page = 0; page < bytes.length; page += size)
    for (let i = 0; i < 12; i++) places.push(page + (page === 0 ? 100 : 0) + i);
  for (const root of roots) places.push(...filledPlaces(bytes, (root - 1) * size, root * size, 60));
  return [...places, ...filledPlaces(bytes, 0, bytes.length, 240)];
}

/** `count` places that aren't zero, spread evenly over a part of the file. */
function filledPlaces(bytes: Buffer, from: number, to: number, count: number): number[] {
  const filled = [...bytes.subarray(from, to).keys()].filter((i) => bytes[from + i] !== 0);
  return Array.from(
    { length: count },
    (_, i) => from + filled[Math.floor(((i + 0.5) * filled.length) / count)]!,
  );
}

/** For the first and the last row of each table, changes each column by one or by a character. */
function changesOf(state: string): { what: string; sql: string }[] {
  const db = new Database(state, { readonly: true });
  try {
    const tables = db
      .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
      .pluck()
      .all() as string[];
    return tables.flatMap((table) => {
      const columns = db.prepare('SELECT name, type FROM pragma_table_info(?)').all(table) as {
        name: string;
        type: string;
      }[];
      const key = columns[0]!.name;
      return ['min', 'max'].flatMap((end) =>
        columns.map(({ name, type }) => {
          const changed = /INTEGER|REAL/.test(type)
            ? `CASE WHEN ${name} IN (0, 1) THEN 1 - ${name} ELSE ${name} + 1 END`
            : `CAST(replace(hex(${name}), '31', '32') AS ${type})`;
          const value = type === 'TEXT' ? `replace(${name}, '1', '2') || ' '` : changed;
          const where = `${key} = (SELECT ${end}(${key}) FROM ${table})`;
          return {
            what: `${table}.${name}, ${end}`,
            sql: `PRAGMA ignore_check_constraints = 1; UPDATE OR IGNORE ${table} SET ${name} = ${value} WHERE ${where}`,
          };
        }),
      );
    });
  } finally {
    db.close();
  }
}

function flipped(bytes: Buffer, place: number, bits: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[place] = copy[place]! ^ bits;
  return copy;
}

describe('a damaged state', () => {
  it('C6: with one byte flipped anywhere it is refused, or the results are right', async (t) => {
    const half = await halfway(t, 'this process', 1_000);
    const outcomes = { refused: 0, right: 0 };
    const failures: string[] = [];
    for (const [i, place] of placesOf(half).entries()) {
      const bits = [0x01, 0xff, 0x80, 0x10, 0x04][i % 5]!;
      const damaged = flipped(half.stateBytes, place, bits);
      try {
        putBack(half, damaged);
        readsBack(half);
        outcomes[await goesOn(half, damaged)]++;
      } catch (error) {
        failures.push(
          `byte ${place} of ${half.stateBytes.length}, bits ${bits}: ${(error as Error).message}`,
        );
      }
    }
    assert.equal(failures.length, 0, `${failures.length} times:\n${failures.slice(0, 20).join('\n')}`);
    assert.ok(outcomes.refused > 50, `only ${outcomes.refused} damages were noticed`);
    t.diagnostic(`${outcomes.refused} refused, ${outcomes.right} harmless`);
    assert.equal(await goesOn(half, half.stateBytes), 'right', 'the file put back');
  });

  for (const [when, limit] of Object.entries({ midway: 250, 'before it is drained': 1_000 }))
    it(`C6: with one value changed in any table ${when} it is refused, or the results are right`, async (t) => {
      const half = await halfway(t, 'this process', limit);
      const copy = join(half.line.folder, 'changed.sqlite');
      const failures: string[] = [];
      let refused = 0;
      for (const { what, sql } of changesOf(half.state)) {
        writeFileSync(copy, half.stateBytes);
        const db = new Database(copy);
        db.pragma('journal_mode = DELETE');
        db.exec(sql);
        db.pragma('journal_mode = WAL');
        db.close();
        const changed = readFileSync(copy);
        try {
          putBack(half, changed);
          readsBack(half);
          if ((await goesOn(half, changed)) === 'refused') refused++;
        } catch (error) {
          failures.push(`${what}: ${(error as Error).message}`);
        }
      }
      assert.equal(failures.length, 0, `${failures.length} times:\n${failures.slice(0, 20).join('\n')}`);
      assert.ok(refused > 15, `only ${refused} changes were noticed`);
    });

  it('C6: is named by the real binary and left unchanged, and the line goes on once the file is restored', async (t) => {
    const half = await halfway(t, 'the binary');
    const { stateBytes, state } = half;
    const checkpoint = stateBytes.indexOf('"nextResult"');
    const pane = stateBytes.indexOf('[[["');
    const places = { magic: 3, 'a page': 4096 + 3, 'the checkpoint': checkpoint + 14, panes: pane + 4 };
    for (const [what, place] of Object.entries(places)) {
      const damaged = flipped(stateBytes, place, 0x01);
      putBack(half, damaged);
      const ran = await taxiflow(finishing(half.line.folder, half.line.outputPath()));
      assert.match(oneClearError(ran), /damaged/, `${what} damaged`);
      assert.ok(readFileSync(state).equals(damaged), `the file was changed, with ${what} damaged`);
      const results = await taxiflow(['results', '--data-dir', half.line.folder, '--app', 'app']);
      if (results.code !== 0) oneClearError(results);
    }
    putBack(half, stateBytes);
    await finishes(half.line.folder, small, half.line.outputPath());
  });

  it('C6: truncated anywhere it is refused, or the stream is processed again', async (t) => {
    const half = await halfway(t, 'this process');
    const { length } = half.stateBytes;
    for (const to of [0, 1, 16, 100, 511, 4_095, 4_096, 8_192, length >> 1, length - 4_096, length - 1]) {
      await goesOn(half, half.stateBytes.subarray(0, to));
    }
    assert.equal(await goesOn(half, half.stateBytes), 'right', 'the file put back');
  });

  it('C1: with a truncated or damaged write-ahead log, the line goes back to a whole commit', async (t) => {
    const half = await halfway(t, 'this process');
    const { state, line } = half;
    // What a kill after the third commit would leave.
    const left: Buffer[][] = [];
    const paths = [state, `${state}-wal`, line.outputPath()];
    const afterCommit = () => left.push(paths.map((path) => readFileSync(path)));
    await line.process(HOURS, { checkpointInterval: 0, batchRecords: 20, afterCommit });
    const [main, log, output] = left[2]!;
    const frames = Math.floor((log!.length - 32) / 4_120);
    assert.ok(frames >= 3, `only ${frames} frames in the log`);
    const cuts = [0, 10, 32, 100, log!.length >> 1, log!.length - 1];
    const logs = cuts.map((to) => log!.subarray(0, to));
    for (let i = 0; i < 20; i++)
      logs.push(flipped(log!, Math.floor((log!.length * (i + 0.5)) / 20), 1 << (i % 8)));
    for (const [i, damaged] of logs.entries()) {
      putBack(half, main!);
      writeFileSync(`${state}-wal`, damaged);
      writeFileSync(line.outputPath(), output!);
      await line.process(HOURS, { drain: true });
      sameLines(comparable(line.output()), smallHours.lines, `log ${i}`);
    }
  });
});

/** Why this test can't mount a file system to fill, or false. */
const noMounts = ((): string | false => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    return 'needs Linux and root, to mount a file system';
  const folder = mkdtempSync(join(tmpdir(), 'taxiflow-mount-'));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]);
  if (status === 0) spawnSync('umount', [folder]);
  rmSync(folder, { recursive: true, force: true });
  return status === 0 ? false : 'may not mount a file system here';
})();

/** A file system of `bytes` bytes, mounted during the test. */
function disk(t: TestContext, bytes: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'taxiflow-disk-'));
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder]);
  assert.equal(status, 0, String(stderr));
  t.after(() => {
    spawnSync('umount', ['-l', folder]);
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** Fills a disk except for `leave` bytes; `free` makes room again. */
function fill(folder: string, leave: number): { free(): void } {
  const ballast = join(folder, 'ballast');
  const { stdout } = spawnSync('df', ['-B1', '--output=avail', folder]);
  const available = Number(String(stdout).trim().split('\n').at(-1));
  writeFileSync(ballast, Buffer.alloc(Math.max(0, available - leave)));
  return { free: () => rmSync(ballast) };
}

describe('a full disk', { concurrency: 2 }, () => {
  it('C1: is reported by the processor, which keeps what it committed and goes on when there is room', {
    skip: noMounts,
  }, async (t) => {
    const folder = disk(t, 64 << 20);
    const line = new Line(folder, [large], 4);
    await line.replay();
    let full = 0;
    for (const leave of [0, 40_000, 150_000, 300_000, 600_000]) {
      const { free } = fill(folder, leave);
      const flow = [...finishing(folder), '--checkpoint-interval', '0ms'].filter((arg) => arg !== '--drain');
      const ran = await taxiflow(flow);
      free();
      if (ran.code === 0) continue;
      full++;
      assert.match(oneClearError(ran), /no room on the disk/, `with ${leave} bytes left`);
    }
    assert.ok(full >= 3, `the disk was full only ${full} times`);
    await finishes(folder, expectedLarge);
  });

  it('C3: is reported when only the output is on it', { skip: noMounts }, async (t) => {
    const line = new Line(temporaryFolder(t), [large], 4);
    await line.replay();
    const output = join(disk(t, 256 << 10), 'out.ndjson');
    for (const leave of [0, 4_096, 60_000]) {
      const { free } = fill(join(output, '..'), leave);
      const ran = await taxiflow(finishing(line.folder, output));
      assert.match(oneClearError(ran), /no room on the disk for the output/, `with ${leave} bytes left`);
      free();
    }
    // Its results are larger than that disk.
    spawnSync('mount', ['-o', 'remount,size=8m', join(output, '..')]);
    await finishes(line.folder, expectedLarge, output);
  });

  it('C3: --output /dev/full, then a file', {
    skip: !existsSync('/dev/full') && 'needs /dev/full',
  }, async (t) => {
    const line = new Line(temporaryFolder(t), [SMALL], 2);
    await line.replay();
    assert.match(oneClearError(await taxiflow(finishing(line.folder, '/dev/full'))), /no room on the disk/);
    await finishes(line.folder, small);
  });

  it('W7: is reported by a replay, and --resume goes on when there is room', {
    skip: noMounts,
  }, async (t) => {
    const folder = disk(t, 24 << 20);
    const args = ['replay', large, '--data-dir', folder, '--speedup', 'max', '--json', '--resume'];
    let full = 0;
    for (const leave of [0, 60_000, 700_000, 2_000_000, 3_500_000]) {
      const { free } = fill(folder, leave);
      const ran = await taxiflow(args);
      free();
      if (ran.code === 0) continue;
      full++;
      assert.match(
        oneClearError(ran),
        /no room on the disk|can't be read or written/,
        `with ${leave} bytes left`,
      );
    }
    assert.ok(full >= 3, `the disk was full only ${full} times`);
    const ran = await taxiflow(args);
    assert.equal(ran.code, 0, ran.stderr);
    await finishes(folder, expectedLarge);
  });
});

describe('a folder that may not be written', () => {
  it('is named by replay and process, and nothing is lost', { skip: noMounts }, async (t) => {
    const folder = disk(t, 24 << 20);
    const line = new Line(folder, [SMALL], 2);
    await line.replay({ limit: 200 });
    await taxiflow(finishing(folder).filter((arg) => arg !== '--drain'));
    spawnSync('mount', ['-o', 'remount,ro', folder]);
    const readOnly = /can't be written|can't be opened/;
    assert.match(oneClearError(await taxiflow(finishing(folder))), readOnly);
    const more = ['replay', SMALL, '--data-dir', folder, '--speedup', 'max', '--resume'];
    assert.match(oneClearError(await taxiflow(more)), readOnly);
    assert.match(
      oneClearError(await taxiflow(['replay', SMALL, '--data-dir', join(folder, 'new')])),
      readOnly,
    );
    spawnSync('mount', ['-o', 'remount,rw', folder]);
    await line.replay({ resume: true });
    await finishes(folder, small);
  });

  it('is named when only the output lies in it', { skip: noMounts }, async (t) => {
    const line = new Line(temporaryFolder(t), [SMALL], 2);
    await line.replay();
    const locked = disk(t, 1 << 20);
    spawnSync('mount', ['-o', 'remount,ro', locked]);
    const ran = await taxiflow(finishing(line.folder, join(locked, 'out.ndjson')));
    assert.match(oneClearError(ran), /the output can't be (written|opened)/);
    await finishes(line.folder, small);
  });
});

/** Runs the binary as the user nobody, since permissions don't apply to root. */
function asNobody(args: readonly string[]): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BIN, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      ...(process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}),
    });
    const stderr: Buffer[] = [];
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const json = () => assert.fail('nothing on stdout');
      resolve({ code, signal, stdout: '', stderr: Buffer.concat(stderr).toString(), json });
    });
  });
}

/** Why permissions can't be tested here, or false. */
const noPermissions = ((): string | false => {
  if (process.platform === 'win32') return 'needs POSIX permissions';
  if (process.getuid?.() !== 0) return false;
  const { status } = spawnSync(process.execPath, [BIN, '--version'], { uid: 65_534, gid: 65_534 });
  return status === 0 ? false : 'the checkout is hidden from other users';
})();

describe('an input that can not be read', () => {
  const replay = (folder: string, ...paths: string[]): string[] => [
    ...['replay', ...paths, '--data-dir', join(folder, 'data'), '--speedup', 'max'],
  ];

  it('a missing file or folder, and a folder without trips, are named', async (t) => {
    const folder = temporaryFolder(t);
    mkdirSync(join(folder, 'empty'));
    writeFileSync(join(folder, 'empty', 'notes.md'), 'no trips');
    for (const path of ['missing.csv', 'empty', 'nowhere/*.csv']) {
      const error = oneClearError(await taxiflow(replay(folder, join(folder, path))));
      assert.ok(error.includes(path), `${path} is not named: ${error}`);
    }
    assert.ok(!existsSync(join(folder, 'data', 'replays.sqlite')), 'a replay of nothing is noted');
  });

  it('a file without trips is named', async (t) => {
    const folder = temporaryFolder(t);
    const files = {
      'empty.csv': '',
      'prose.csv': 'once upon a time\n',
      'binary.csv': Buffer.alloc(5_000, 0xfe),
    };
    for (const [name, content] of Object.entries(files)) {
      writeFileSync(join(folder, name), content);
      const error = oneClearError(await taxiflow(replay(folder, join(folder, name))));
      assert.ok(error.includes(name), `${name} is not named: ${error}`);
    }
  });

  it('a truncated or damaged compressed file is named, and nothing of it is sent', async (t) => {
    const folder = temporaryFolder(t);
    const whole = gzipSync(readFileSync(SMALL));
    const files = {
      'cut.csv.gz': whole.subarray(0, whole.length >> 1),
      'tail.csv.gz': whole.subarray(0, whole.length - 4),
      'flipped.csv.gz': flipped(whole, whole.length >> 1, 0x10),
    };
    for (const [name, content] of Object.entries(files)) {
      writeFileSync(join(folder, name), content);
      const error = oneClearError(await taxiflow(replay(folder, join(folder, name))));
      assert.ok(error.includes(name), `${name} is not named: ${error}`);
    }
    writeFileSync(join(folder, 'whole.csv.gz'), whole);
    const ran = await taxiflow(replay(folder, join(folder, 'whole.csv.gz')));
    assert.equal(ran.code, 0, ran.stderr);
    const processed = await taxiflow([...finishing(join(folder, 'data'))]);
    const { totals } = processed.json<{
      totals: { processed: number; filtered: number; duplicate: number };
    }>();
    assert.deepEqual(
      [totals.processed + totals.filtered, totals.duplicate],
      [small.trips, 0],
      'only whole files',
    );
  });

  it('a state in a read-only folder is named, since even a reader must write there', {
    skip: noPermissions,
  }, async (t) => {
    const line = new Line(temporaryFolder(t), [SMALL], 2);
    await line.replay();
    const ran = await taxiflow(finishing(line.folder));
    assert.equal(ran.code, 0, ran.stderr);
    chmodSync(line.folder, 0o755);
    // Another user may read the state, but may not write to its folder.
    for (const name of readdirSync(join(line.folder, 'apps')))
      chmodSync(join(line.folder, 'apps', name), 0o644);
    chmodSync(join(line.folder, 'apps'), 0o555);
    const refused = await asNobody(['results', '--data-dir', line.folder]);
    chmodSync(join(line.folder, 'apps'), 0o755);
    const error = oneClearError(refused);
    assert.match(error, /can't even read the state .* in a folder that it can't write to/);
  });

  it('a file and a folder without permission to read are named', { skip: noPermissions }, async (t) => {
    const folder = temporaryFolder(t);
    chmodSync(folder, 0o777);
    copyFileSync(SMALL, join(folder, 'locked.csv'));
    chmodSync(join(folder, 'locked.csv'), 0);
    mkdirSync(join(folder, 'shut'));
    copyFileSync(SMALL, join(folder, 'shut', 'trips.csv'));
    chmodSync(join(folder, 'shut'), 0);
    try {
      for (const name of ['locked.csv', 'shut/trips.csv', 'shut']) {
        const error = oneClearError(await asNobody(replay(folder, join(folder, name))));
        assert.ok(error.includes(name), `${name} is not named: ${error}`);
      }
    } finally {
      // Only root could remove it otherwise.
      chmodSync(join(folder, 'shut'), 0o777);
    }
  });

  it('a data folder and an output without permission to write are named', {
    skip: noPermissions,
  }, async (t) => {
    const line = new Line(temporaryFolder(t), [SMALL], 2);
    await line.replay();
    // The owner loses the permission too: without root, the test itself is the user that may not write.
    const entries = () =>
      ['.', ...readdirSync(line.folder, { recursive: true })].map((e) => join(line.folder, String(e)));
    for (const entry of entries()) chmodSync(entry, statSync(entry).isDirectory() ? 0o555 : 0o444);
    const notAllowed = /can't be (written|opened)/;
    try {
      assert.match(oneClearError(await asNobody(finishing(line.folder))), notAllowed);
      assert.match(oneClearError(await asNobody(replay(line.folder, SMALL))), notAllowed);
    } finally {
      for (const entry of entries()) chmodSync(entry, statSync(entry).isDirectory() ? 0o755 : 0o644);
    }
    await finishes(line.folder, small);
  });
});
