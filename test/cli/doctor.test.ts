import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fixture, temporaryFolder } from '../files.ts';
import { startKinesis } from '../services/kinesis.ts';
import { taxiflow } from '../taxiflow.ts';

interface Check {
  check: string;
  status: string;
  detail: string;
  advice?: string;
}

async function doctor(args: string[], env: Record<string, string> = {}): Promise<[number | null, Check[]]> {
  const ran = await taxiflow(['doctor', '--json', ...args], { env });
  return [ran.code, ran.json<{ checks: Check[] }>().checks];
}

describe('doctor', () => {
  it('accepts a folder that does not exist, and creates nothing', async (t) => {
    const folder = temporaryFolder(t);
    const { bavail, bsize } = statfsSync(folder);
    const [code, checks] = await doctor(['--data-dir', join(folder, 'new')]);
    assert.equal(code, 0);
    assert.deepEqual(
      checks.map(({ check, status }) => `${check} ${status}`),
      ['node ok', `data folder ${bavail * bsize < 2e9 ? 'warning' : 'ok'}`, 'stream ok', 'state ok'],
    );
    assert.match(checks[1]!.detail, /new, which does not exist yet, \d/);
    assert.deepEqual(readdirSync(folder), [], 'it creates nothing');
  });

  it('names a file in place of the data folder, and continues its checks', async (t) => {
    const file = join(temporaryFolder(t), 'file');
    writeFileSync(file, '');
    for (const path of [file, join(file, 'below')]) {
      const [code, checks] = await doctor(['--data-dir', path]);
      assert.equal(code, 1);
      assert.equal(checks.find(({ check }) => check === 'data folder')?.status, 'failed');
    }
  });

  it('reports an input of which no row could be used, with the reason and what is understood', async (t) => {
    const folder = temporaryFolder(t);
    const file = join(folder, 'bad.csv');
    writeFileSync(file, 'pickup_datetime,dropoff_datetime\nsome day,another\n');
    const [code, checks] = await doctor([file, '--data-dir', join(folder, 'new')]);
    const { status, detail, advice } = checks.find(({ check }) => check === 'rate')!;
    assert.deepEqual([code, status], [1, 'failed']);
    assert.match(detail, /^no row could be used: 1 unreadable-time, the first in line 2 of .*"some day"/);
    assert.match(advice ?? '', /^write times as 2016-03-01 15:04:05/);
  });

  it('reports a damaged state', async (t) => {
    const folder = temporaryFolder(t);
    mkdirSync(join(folder, 'apps'));
    writeFileSync(
      join(folder, 'apps', 'taxi-trip-events.sqlite'),
      'not a database, though it is long enough',
    );
    const [code, checks] = await doctor(['--data-dir', folder]);
    assert.equal(code, 1);
    assert.equal(checks.find(({ check }) => check === 'state')?.status, 'failed');
  });

  it('compares the rate of a replay with the shards of a Kinesis stream', async (t) => {
    const { env } = await startKinesis(t);
    const at = ['--data-dir', temporaryFolder(t)];
    const created = await taxiflow(['stream', 'create', 'trips', '--shards', '1', ...at], { env });
    assert.equal(created.code, 0, created.stderr);
    const check = async (...more: string[]) => {
      const [code, checks] = await doctor(
        [fixture('yellow-2015.csv'), '--stream', 'trips', ...at, ...more],
        env,
      );
      assert.equal(code, 0);
      assert.match(checks.find(({ check }) => check === 'retention')?.detail ?? '', /^24 hours/);
      return checks.find(({ check }) => check === 'rate')!;
    };
    assert.equal((await check('--speedup', '1')).status, 'ok');
    // All trips fall into one second: their number is the rate.
    const fast = await check('--speedup', '1000000');
    const rate = Number(/, ([\d,]+) per second/.exec(fast.detail)?.[1]?.replace(',', ''));
    assert.equal(fast.status, rate > 1_000 ? 'warning' : 'ok', fast.detail);
  });

  it('reports a missing stream and an unreachable OpenSearch', async (t) => {
    const at = ['--data-dir', temporaryFolder(t)];
    const { env } = await startKinesis(t);
    const [code, checks] = await doctor(
      ['--stream', 'nowhere', '--opensearch', 'http://127.0.0.1:9', ...at],
      env,
    );
    assert.equal(code, 1);
    for (const name of ['stream', 'opensearch']) {
      const { status, advice } = checks.find(({ check }) => check === name)!;
      assert.equal(status, 'failed');
      assert.ok(advice, `${name} has no advice`);
    }
  });
});
