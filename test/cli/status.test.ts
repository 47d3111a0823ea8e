import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { PastFailure, RemoteStatus } from '../../src/status/model.ts';
import { fixture, ROOT, temporaryFolder } from '../files.ts';
import { following, taxiflow } from '../taxiflow.ts';
import { until } from '../until.ts';
import { countingView, putRecords, tripEndingAt, watermarkAt } from './model.ts';

const SHARDS = 4;

interface Status {
  running: boolean;
  watermark: string | null;
  totals: Record<string, number>;
  open_windows: number;
  checkpoint: { number: number; age_ms: number; duration_ms: number; bytes: number };
  shards: { shard: string; position: string; lag_ms: number | null; holds_watermark_back: boolean }[];
  sinks: { name: string; delivered: number; pending: number; rejected: number; trouble: string | null }[];
  dead_letters: { reason: string; count: number }[];
  run: { pid: number; end: string | null };
  settings: { event_time: string };
  load: Record<string, number> | null;
  checkpoints: { number: number; bytes: number }[];
  history: { at: string; begins: boolean; trips: number; results: number }[];
  failures: { at: string; code: string; message: string }[];
  savepoints: { checkpoint: number; results: number }[];
}

const FAILURE: PastFailure = { at: 0, code: 'gap', message: '' };
const REMOTE: RemoteStatus = { head: 's3://bucket/app/head.json', epoch: 1, checkpoint: 1, at: null };

/** What is said of the past agrees with what is said of the present. */
function assertPast(during: Status, after: Status): void {
  const { read, watermarks, results } = after.totals;
  const last = after.history.at(-1)!;
  assert.deepEqual(
    [last.trips, last.results],
    [read! - watermarks!, results],
    'the course ends at the totals',
  );
  assert.ok(after.history[0]!.begins);
  assert.deepEqual(after.checkpoints.at(-1)!.number, after.checkpoint.number);
  assert.ok(
    after.checkpoints.every(({ number, bytes }, i) => number === i + 1 && bytes > 0),
    'each once',
  );
  assert.deepEqual([during.run.end, after.run.end, after.run.pid], [null, 'stopped', during.run.pid]);
  assert.equal(after.load, null);
  const whole = Object.values(during.load!).reduce((sum, part) => sum + part, 0);
  assert.ok(Math.abs(whole - 1) < 0.01, `parts of the time are ${whole} together`);
  assert.ok(during.load!['idle']! > 0.5, 'it waits for records');
  assert.deepEqual(
    after.savepoints.map(({ checkpoint, results }) => [checkpoint, results]),
    [[after.checkpoint.number, results]],
  );
}

async function statusOf(folder: string): Promise<Status> {
  const { code, stderr, json } = await taxiflow(['status', '--data-dir', folder, '--json']);
  assert.equal(code, 0, stderr);
  return json<Status>();
}

/** Field names in the paragraph on `status --json`. */
function documentedFields(): string[] {
  const formats = readFileSync(join(ROOT, 'docs', 'formats.md'), 'utf8');
  const paragraph = formats.split('\n\n').find((found) => found.startsWith('`status --json`:'));
  const names = [...(paragraph ?? '').matchAll(/`([a-z_]+)`/g)].map(([, name]) => name!);
  return [...new Set(names)].sort();
}

describe('status', () => {
  it('agrees with the run itself, during and after it', async (t) => {
    const folder = temporaryFolder(t);
    const at = ['--data-dir', folder];
    const sent = await taxiflow([
      ...['replay', fixture('yellow-2015-dirty.csv'), '--speedup', 'max', '--shards', String(SHARDS)],
      ...at,
    ]);
    assert.equal(sent.code, 0, sent.stderr);
    await putRecords(folder, 'taxi-trip-events', ['no trip\n']);
    const run = following(t, ['process', '--output', join(folder, 'out.ndjson'), '--json', ...at]);
    await run.until('it has read everything and says so', async () => {
      const { code, json } = await taxiflow(['status', '--json', ...at]);
      return (
        code === 0 &&
        (json<Status>().totals?.['watermarks'] ?? 0) >= SHARDS &&
        json<Status>().sinks.length > 0 &&
        json<Status>().load !== null
      );
    });
    const during = await statusOf(folder);
    assert.equal(during.running, true);
    const ended = await run.interrupt();
    const summary = ended.json<Record<string, unknown>>();
    const saved = await taxiflow(['savepoint', 'create', ...at]);
    assert.equal(saved.code, 0, saved.stderr);
    const after = await statusOf(folder);
    assert.equal(after.running, false);
    assertPast(during, after);
    assert.deepEqual(after.totals, summary['totals']);
    assert.equal(after.watermark, summary['watermark']);
    assert.equal(after.open_windows, summary['open_windows']);
    assert.equal(after.shards.length, SHARDS);
    assert.equal(after.shards.filter((shard) => shard.holds_watermark_back).length, 0, 'all are as far');
    assert.deepEqual(
      after.sinks.map(({ delivered, pending, trouble }) => ({ delivered, pending, trouble })),
      [{ delivered: summary['results'], pending: 0, trouble: null }],
    );
    assert.ok(after.checkpoint.number >= during.checkpoint.number, 'checkpoints only go on');

    const fields: (object | null | undefined)[] = [after, after.checkpoint, after.shards[0], after.sinks[0]];
    fields.push(after.dead_letters[0], after.run, after.settings, during.load, REMOTE);
    fields.push(after.checkpoints[0], after.history[0], after.savepoints[0], FAILURE);
    assert.deepEqual(
      [...new Set(fields.flatMap((part) => Object.keys(part ?? {})))].sort(),
      documentedFields(),
      'the fields are those of docs/formats.md',
    );

    const text = await taxiflow(['status', ...at]);
    assert.equal(text.code, 0);
    assert.match(text.stdout, /not running/);
    assert.match(text.stdout, /shardId-000000000000 .*\n/);
  });

  it('keeps why a run failed, also in the next one', async (t) => {
    const folder = temporaryFolder(t);
    const output = join(folder, 'out.ndjson');
    const hour = (number: number) => [
      tripEndingAt(`2016-01-14T0${number}:01Z`),
      watermarkAt(`2016-01-14T0${number}:59Z`),
    ];
    await putRecords(folder, 'own', hour(0));
    const process = [
      'process',
      '--stream',
      'local:own',
      '--views',
      countingView(folder),
      '--data-dir',
      folder,
    ];
    const running = taxiflow([...process, '--output', output], {
      onStart: (child) => t.after(() => child.kill('SIGKILL')),
    });
    await until('results are written', () => existsSync(output) && readFileSync(output, 'utf8') !== '');
    rmSync(output);
    await putRecords(folder, 'own', hour(1));
    const failed = await running;
    assert.equal(failed.code, 1, failed.stderr);
    const [, message = ''] = /^Error: (.*)$/m.exec(failed.stderr) ?? [];
    const after = await statusOf(folder);
    assert.deepEqual([after.running, after.run.end], [false, 'failed']);
    assert.deepEqual(
      after.failures.map((found) => found.message),
      [message],
    );
    const names = Object.keys(after.failures[0]!);
    assert.deepEqual(
      names.filter((name) => !documentedFields().includes(name)),
      [],
    );
    const again = await taxiflow([...process, '--until-end']);
    assert.equal(again.code, 0, again.stderr);
    const next = await statusOf(folder);
    assert.deepEqual([next.run.end, next.failures], ['all-read', after.failures]);
  });

  it('hints what to do without a state', async (t) => {
    const folder = temporaryFolder(t);
    const ran = await taxiflow(['status', '--data-dir', folder]);
    assert.equal(ran.code, 1);
    const [, hint = ''] =
      /^Error: .*\nTry: run "taxiflow process --data-dir ([^"]*)" first/m.exec(ran.stderr) ?? [];
    assert.ok(hint.includes(folder), `the same folder: ${ran.stderr}`);
  });

  it('reports a damaged state as every command does', async (t) => {
    const folder = temporaryFolder(t);
    mkdirSync(join(folder, 'apps'));
    writeFileSync(join(folder, 'apps', 'x.sqlite'), 'not a database, though long enough to be looked at');
    const [status, results] = await Promise.all(
      ['status', 'results'].map((command) => taxiflow([command, '--data-dir', folder])),
    );
    assert.equal(status!.code, 1);
    assert.match(status!.stderr, /^Error: .*damaged.*\nTry: /);
    assert.equal(status!.stderr, results!.stderr);
  });

  it('--watch continues until Ctrl-C; without a terminal, reports follow one another', async (t) => {
    const folder = temporaryFolder(t);
    await taxiflow(['stream', 'create', '--data-dir', folder]);
    const made = await taxiflow(['process', '--until-end', '--data-dir', folder]);
    assert.equal(made.code, 0, made.stderr);
    let seen = 0;
    const watching = await taxiflow(['status', '--watch', '--json', '--data-dir', folder], {
      onStart: (child) =>
        child.stdout?.on('data', (chunk: Buffer) => {
          const before = seen;
          seen += String(chunk).split('\n').length - 1;
          // Only once: a second Ctrl-C would kill it.
          if (before < 2 && seen >= 2) child.kill('SIGINT');
        }),
    });
    assert.equal(watching.code, 0, watching.stderr);
    const reports = await taxiflow(['status', '--watch', '--data-dir', folder], {
      onStart: (child) => {
        let text = '';
        child.stdout?.on('data', (chunk: Buffer) => {
          const before = text.split('app  ').length;
          text += String(chunk);
          if (before <= 2 && text.split('app  ').length > 2) child.kill('SIGINT');
        });
      },
    });
    assert.equal(reports.code, 0, reports.stderr);
    assert.match(reports.stdout, /^app [\s\S]*\n\napp /, 'told apart by an empty line');
    assert.ok(!reports.stdout.includes('\u001b'), 'nothing for a terminal');
  });

  it('--max-age is a health check: 0 while a processor commits, 1 when it hangs or is gone', async (t) => {
    const at = ['--data-dir', temporaryFolder(t)];
    const health = (...more: string[]) => taxiflow(['status', '--max-age', '1s', ...more, ...at]);
    const none = await health();
    assert.equal(none.code, 1);
    assert.match(none.stderr, /^Error: no processor has run in .*\nTry: /);
    await taxiflow(['stream', 'create', ...at]);
    let child: ChildProcess | undefined;
    const running = taxiflow(['process', '--checkpoint-interval', '50ms', ...at], {
      onStart: (started) => {
        child = started;
      },
    });
    t.after(() => child!.kill('SIGKILL'));
    await until('it is healthy', async () => (await health()).code === 0);
    const { code, stdout, json } = await health('--json');
    assert.equal(code, 0);
    assert.equal(stdout.trimEnd().split('\n').length, 1);
    const { checkpoint, ...rest } = json<{ checkpoint: { age_ms: number } }>();
    assert.deepEqual(rest, { command: 'status', app: 'taxi-trip-events', healthy: true, standby: false });
    assert.ok(checkpoint.age_ms <= 1_000);
    child!.kill('SIGSTOP');
    await until('it is not', async () => (await health()).code === 1);
    const { stderr } = await health();
    assert.match(
      stderr,
      /^Error: the last checkpoint of app "taxi-trip-events" is \d+ s old, more than 1 s\nTry: /,
    );
    child!.kill('SIGCONT');
    await until('it is again', async () => (await health()).code === 0);
    child!.kill('SIGINT');
    assert.equal((await running).code, 130);
    const gone = await health();
    assert.equal(gone.code, 1);
    assert.match(gone.stderr, /^Error: no processor of app "taxi-trip-events" runs in /);
    assert.equal((await health('--watch')).code, 2);
  });
});
