/** What is watched of a state in S3: the age of what S3 has, and the health of its owner and of a standby. */
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { openProcessor } from '../../src/app/processor.ts';
import { openReplay } from '../../src/app/replay.ts';
import { processFigures } from '../../src/status/emf.ts';
import { temporaryFolder } from '../files.ts';
import { following, taxiflow } from '../taxiflow.ts';
import { until } from '../until.ts';
import { startMinistack, storeObject, withoutMinistack } from './ministack.ts';

/** A way to a server that can be closed: then it is busy, as S3 says it. */
async function gateTo(t: TestContext, server: string) {
  const gate = { endpoint: '', isOpen: true };
  const proxy = createServer((asked, response) => {
    if (!gate.isOpen) {
      asked.resume();
      response.writeHead(503).end('<Error><Code>SlowDown</Code><Message>later</Message></Error>');
      return;
    }
    const { method, url, headers } = asked;
    const passed = request(server + url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    passed.on('error', () => response.destroy());
    asked.pipe(passed);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  gate.endpoint = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  return gate;
}

describe('a state in S3', { skip: withoutMinistack }, () => {
  it('has a checkpoint as old as the last one that S3 took', async (t) => {
    const ministack = await startMinistack(t);
    Object.assign(process.env, ministack.env);
    await storeObject(ministack, 'states', 'notes.md', 'no state');
    const gate = await gateTo(t, ministack.endpoint);
    const dataDir = join(temporaryFolder(t), 'data');
    await (await openReplay({ dataDir, stream: 'local:x', limit: 1_000 })).run();
    let checkpoints = 0;
    const processor = await openProcessor({
      ...{ dataDir, stream: 'local:x', endpointUrl: gate.endpoint, state: 's3://states/jobs' },
      ...{ checkpointInterval: 20, stateInterval: 30, region: 'us-east-1' },
      onProgress: () => {
        checkpoints++;
      },
    });
    assert.equal(processor.figures.checkpointAt, undefined, 'a new state has none');
    const run = processor.run();
    t.after(() => run.catch(() => {}));
    const at = () => processor.figures.checkpointAt ?? Number.NEGATIVE_INFINITY;
    await until('S3 has a checkpoint', () => Number.isFinite(at()));
    const first = at();
    await until('S3 has a later one', () => at() > first);
    gate.isOpen = false;
    const before = checkpoints;
    // What was under way when the gate closed may have come through.
    await until('the run goes on', () => checkpoints > before + 20);
    const covered = at();
    await until('it still does', () => checkpoints > before + 60);
    assert.equal(at(), covered, 'local checkpoints are not what a restart would go on from');
    const age = (now: number) => processFigures(now, 0, processor.figures).times['checkpoint_age_seconds'];
    assert.equal(age(covered + 60_000), 60_000);
    gate.isOpen = true;
    await until('S3 has a later one again', () => at() > covered);
    processor.stop();
    await run;
    const last = at();
    const again = await openProcessor({
      ...{ dataDir, stream: 'local:x', endpointUrl: gate.endpoint },
      ...{ state: 's3://states/jobs', region: 'us-east-1' },
    });
    assert.equal(
      again.figures.checkpointAt,
      last,
      'and that of an earlier life counts until the first of this one',
    );
    await again.close();
  });

  it('is in good health with its owner and its standby, and in bad health without', async (t) => {
    const ministack = await startMinistack(t);
    await storeObject(ministack, 'states', 'notes.md', 'no state');
    const { env, endpoint } = ministack;
    const state = ['--state', 's3://states/jobs', '--endpoint-url', endpoint, '--app', 'job'];
    const dataDir = join(temporaryFolder(t), 'data');
    await taxiflow(['replay', '--limit', '100', '--speedup', 'max', '--data-dir', dataDir]);
    const health = () =>
      taxiflow(['status', '--max-age', '1m', '--app', 'job', '--data-dir', dataDir, '--json']);
    const owner = following(t, ['process', '--data-dir', dataDir, ...state], { env });
    await owner.until('it is healthy', async () => (await health()).code === 0);
    assert.equal((await health()).json()['standby'], false);
    await owner.interrupt();
    const after = await health();
    assert.equal(after.code, 1);
    assert.match(after.stderr, /^Error: no processor of app "job" runs in /);
    const waiting = ['process', '--standby', '--takeover', '1h', '--data-dir', dataDir, ...state];
    const alone = following(t, waiting, { env });
    await alone.until('it is healthy', async () => (await health()).code === 0);
    assert.deepEqual((await health()).json(), {
      ...{ command: 'status', app: 'job', healthy: true, standby: true },
      checkpoint: null,
    });
    const { stdout } = await alone.interrupt();
    assert.equal(stdout, '');
    assert.equal((await health()).code, 1);
  });
});
