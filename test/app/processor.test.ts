/** A processor and a replay by the library, as a program uses them. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openProcessor } from '../../src/app/processor.ts';
import { openReplay } from '../../src/app/replay.ts';
import { temporaryFolder } from '../files.ts';

test('progress says what share of the records is read, from 0 to 1', async (t) => {
  const dataDir = join(temporaryFolder(t), 'data');
  const place = { dataDir, stream: 'local:x' };
  const { sent } = await (await openReplay({ ...place, limit: 80_000 })).run();
  const shares: (number | undefined)[] = [];
  const processor = await openProcessor({
    ...place,
    untilEnd: true,
    checkpointInterval: 0,
    onProgress: ({ fraction }) => shares.push(fraction),
  });
  const { counters } = await processor.run();
  assert.equal(counters.read, sent + counters.watermarks);
  assert.ok(shares.length > 1, 'a checkpoint after each read');
  assert.deepEqual(
    shares,
    [...shares].sort((a, b) => a! - b!),
    'never back',
  );
  assert.ok(shares[0]! > 0 && shares[0]! < 1, `some after the first read: ${shares[0]}`);
  assert.equal(shares.at(-1), 1);
});
