/** The health check of a container, at every age of a checkpoint and in every state of a processor. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openProcessor } from '../../src/app/processor.ts';
import { openReplay } from '../../src/app/replay.ts';
import { markStandby } from '../../src/state/files.ts';
import { StateReader } from '../../src/state/reader.ts';
import { checkHealth } from '../../src/status/health.ts';
import { temporaryFolder } from '../files.ts';

const MAX_AGE = 120_000;
const sick = { code: 'not-healthy', exitCode: 1 };

describe('the health of a processor', () => {
  it('is the age of its last checkpoint while it runs', async (t) => {
    const dataDir = join(temporaryFolder(t), 'data');
    const place = { dataDir, stream: 'local:x' };
    const check = (now: number, app?: string) => checkHealth({ dataDir, app, maxAge: MAX_AGE, now });
    assert.throws(() => check(Date.now()), { ...sick, message: /no processor has run/ });
    assert.throws(() => check(Date.now(), 'x'), { ...sick, message: /no processor of app "x" runs/ });
    await (await openReplay({ ...place, limit: 100 })).run();
    const first = await openProcessor({ ...place, untilEnd: true });
    assert.throws(() => check(Date.now()), { ...sick, message: /app "x" has no checkpoint yet/ });
    await first.run();
    assert.throws(() => check(Date.now()), { ...sick, message: /no processor of app "x" runs/ });
    const second = await openProcessor(place);
    t.after(() => second.close());
    const reader = new StateReader(dataDir, 'x');
    const { at, number } = reader.checkpoint()!;
    reader.close();
    const since = Date.parse(at);
    for (const app of [undefined, 'x'])
      for (const age of [0, MAX_AGE - 1, MAX_AGE, -60_000])
        assert.deepEqual(check(since + age, app), {
          app: 'x',
          standby: false,
          checkpoint: { number, at: since },
        });
    assert.throws(() => check(since + MAX_AGE + 1), { ...sick, message: /is 120 s old, more than 120 s/ });
    assert.throws(() => check(since, 'y'), { ...sick, message: /app "y"/ });
    await (await openProcessor({ ...place, app: 'z' })).close();
    assert.throws(() => check(since), { ...sick, hint: /--app: x, z/ });
  });

  it('is good while it waits as a standby, with a state of an earlier life or none', async (t) => {
    const dataDir = join(temporaryFolder(t), 'data');
    const check = () => checkHealth({ dataDir, app: 'x', maxAge: MAX_AGE, now: Date.now() });
    const mark = markStandby(dataDir, 'x')!;
    const waits = { app: 'x', standby: true, checkpoint: undefined };
    assert.deepEqual(check(), waits);
    assert.equal(markStandby(dataDir, 'x'), undefined, 'another one in the same folder goes without');
    assert.deepEqual(check(), waits);
    await (await openProcessor({ dataDir, stream: 'local:x' })).close();
    assert.deepEqual(check(), waits);
    mark.close();
    assert.throws(check, sick);
  });
});
