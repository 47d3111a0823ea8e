/** What an embedded stream tells of its writes by the minute, and of when its shards were made. */
import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { Database } from '../../src/sqlite.ts';
import { localStreamPath } from '../../src/streams/local/files.ts';
import { LocalStream } from '../../src/streams/local/log.ts';
import { shardIdOf } from '../../src/streams/shards.ts';
import { START, TestClock } from '../clock.ts';
import { temporaryFolder } from '../files.ts';

const MINUTE = 60_000;
let streams = 0;

function open(t: TestContext, folder: string, shards = 2) {
  const clock = new TestClock();
  const name = `s${streams++}`;
  const stream = LocalStream.open({ dataDir: folder, name, clock, createShards: shards });
  t.after(() => stream.close());
  const put = (hashes: readonly number[]) => {
    const data = Buffer.from('x'.repeat(10 * hashes.length));
    const ends = Uint32Array.from(hashes, (_, i) => 10 * (i + 1));
    return stream.put({ count: hashes.length, data, ends, hashes: Uint32Array.from(hashes) });
  };
  return { clock, name, stream, put };
}

it('counts records and bytes of every minute, whatever shards they went to', async (t) => {
  const folder = temporaryFolder(t);
  const puts = fc.array(
    fc.record({
      wait: fc.integer({ min: 0, max: 150_000 }),
      hashes: fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { maxLength: 8 }),
      splits: fc.boolean(),
    }),
    { maxLength: 25 },
  );
  const span = fc.record({
    since: fc.integer({ min: -5, max: 50 * MINUTE }),
    lasts: fc.integer({ min: 0, max: 30 * MINUTE }),
  });
  await fc.assert(
    fc.asyncProperty(puts, span, async (writes, { since, lasts }) => {
      const { clock, stream, put } = open(t, folder);
      const expected = new Map<number, number>();
      for (const { wait, hashes, splits } of writes) {
        clock.advance(wait);
        if (splits) stream.split((await stream.shards()).find((shard) => shard.open)!.id);
        await put(hashes);
        const start = Math.floor(clock.time / MINUTE) * MINUTE;
        expected.set(start, (expected.get(start) ?? 0) + hashes.length);
      }
      const [from, until] = [START + since, START + since + lasts];
      const found = stream.written(from, until);
      const starts: number[] = [];
      for (let at = Math.ceil(from / MINUTE) * MINUTE; at + MINUTE <= until; at += MINUTE) starts.push(at);
      assert.deepEqual(
        found,
        starts.map((start) => {
          const records = expected.get(start) ?? 0;
          return { start, records, bytes: 10 * records, throttled: 0, settled: true };
        }),
      );
    }),
    { numRuns: 60 },
  );
});

it('knows nothing of minutes whose records may be gone', async (t) => {
  const { clock, stream, put } = open(t, temporaryFolder(t), 1);
  for (let minute = 0; minute < 10; minute++) {
    await put([1, 2, 3]);
    clock.advance(MINUTE);
  }
  const records = () =>
    stream.written(START, clock.time).map((one) => [(one.start - START) / MINUTE, one.records]);
  assert.equal(records().length, 10);
  stream.trim(START + 4 * MINUTE);
  assert.deepEqual(
    records(),
    [4, 5, 6, 7, 8, 9].map((minute) => [minute, 3]),
  );
  stream.trim(START + 6 * MINUTE + 1);
  assert.deepEqual(
    records(),
    [7, 8, 9].map((minute) => [minute, 3]),
  );
  stream.trim(clock.time + 1);
  assert.deepEqual(records(), [], 'all records are gone');
  clock.advance(3 * MINUTE);
  assert.deepEqual(
    records().map(([, count]) => count),
    [0, 0, 0],
    'since then, nothing came',
  );
});

it('tells when shards were made, also those that are closed', async (t) => {
  const { clock, stream } = open(t, temporaryFolder(t));
  clock.advance(5_000);
  stream.split(shardIdOf(0));
  clock.advance(5_000);
  stream.merge(shardIdOf(3), shardIdOf(1));
  const found = stream.describe().map(({ shard, opened_at }) => [shard, Date.parse(opened_at ?? '') - START]);
  assert.deepEqual(
    found,
    [0, 0, 5_000, 5_000, 10_000].map((at, i) => [shardIdOf(i), at]),
  );
});

it('a stream of an earlier checkout tells it of the shards that are made from now on', async (t) => {
  const folder = temporaryFolder(t);
  const { name, clock } = open(t, folder);
  const db = new Database(localStreamPath(folder, name));
  db.exec('DROP TABLE openings');
  db.close();
  const stream = LocalStream.open({ dataDir: folder, name, clock });
  t.after(() => stream.close());
  const told = () => stream.describe().map(({ opened_at }) => opened_at);
  assert.deepEqual(told(), [undefined, undefined]);
  stream.split(shardIdOf(1));
  const now = new Date(START).toISOString();
  assert.deepEqual(told(), [undefined, undefined, now, now]);
});
