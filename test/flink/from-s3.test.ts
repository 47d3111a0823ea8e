import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openProcessor } from '../../src/app/processor.ts';
import { temporaryFolder } from '../files.ts';
import { startMinistack, storeObject, withoutMinistack } from '../services/ministack.ts';

test('results that a cluster wrote to S3 come home once', { skip: withoutMinistack }, async (t) => {
  const emulator = await startMinistack(t);
  Object.assign(process.env, emulator.env);
  const line = (location: string, minute: number) =>
    `${JSON.stringify({
      view: 'pickup_count',
      window_start: `2016-01-01T00:${minute}0:00.000Z`,
      window_end: `2016-01-01T00:${minute + 1}0:00.000Z`,
      location,
      pickup_count: 2,
    })}\n`;
  const put = (key: string, body: string) => storeObject(emulator, 'bucket', `results/${key}`, body);
  await put('pickup_count/part-a-0-0', line('dr5ru7', 0) + line('dr5ru8', 0));
  await put('pickup_count/part-a-1-0', line('dr5ru9', 1));
  await put('_savepoints/savepoint-1/part-a-0-9', 'not a result');
  const options = {
    dataDir: temporaryFolder(t),
    app: 'home',
    resultsFrom: 's3://bucket/results/',
    endpointUrl: emulator.endpoint,
    region: 'us-east-1',
    untilEnd: true,
  };
  const first = await (await openProcessor(options)).run();
  assert.deepEqual([first.counters.read, first.counters.results, first.counters.dead], [3, 3, 0]);
  await put('pickup_count/part-a-0-1', line('dr5ru8', 2));
  const processor = await openProcessor(options);
  assert.equal((await processor.run()).counters.read, 1, 'what came home is not read again');
  assert.deepEqual(
    [...processor.results()].map((row) => row['location']),
    ['dr5ru7', 'dr5ru8', 'dr5ru9', 'dr5ru8'],
  );
});
