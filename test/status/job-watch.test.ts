/** A look at a job costs the same whatever its history: results that were written are counted, never read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Database } from '../../src/sqlite.ts';
import { statePath } from '../../src/state/files.ts';
import { StateReader } from '../../src/state/reader.ts';
import { JobWatch } from '../../src/status/job-watch.ts';
import { countingView, putRecords, run, tripEndingAt, watermarkAt } from '../cli/model.ts';
import { temporaryFolder } from '../files.ts';

test('no result is read, not even when there are results that no reader could read', async (t) => {
  const dataDir = temporaryFolder(t);
  await putRecords(dataDir, 'taxi-trip-events', [
    ...['2016-01-14T00:01Z', '2016-01-14T00:11Z', '2016-01-14T00:21Z'].map(tripEndingAt),
    watermarkAt('2016-01-14T00:20Z'),
  ]);
  const views = countingView(dataDir);
  await run(['process', '--app', 'a', '--views', views, '--until-end', '--data-dir', dataDir]);
  const db = new Database(statePath(dataDir, 'a'));
  assert.equal(db.prepare("UPDATE firings SET docs = 'unreadable'").run().changes, 2);
  db.close();
  const reader = new StateReader(dataDir, 'a');
  t.after(() => reader.close());
  assert.throws(() => [...reader.results()], { code: 'corrupt' });

  let passed = 0;
  const watch = new JobWatch({ dataDir, app: 'a', now: () => Date.now() + passed });
  t.after(() => watch.close());
  assert.equal(watch.look(), 'opened');
  const { trouble, totals, openWindows } = watch.status();
  assert.deepEqual(
    { trouble, results: totals?.results, openWindows },
    { trouble: undefined, results: 2, openWindows: 1 },
  );

  // Many pages ask for the past at once, and it is read for all of them together.
  const [once, again] = [watch.details(), watch.details()];
  assert.equal(once, again);
  passed = 5_000;
  const later = watch.details();
  assert.notEqual(later, once);
  assert.deepEqual(await later, await once);
  assert.equal((await once)?.past.points.at(-1)?.results, 2);
});
