/** Where a reader of Kinesis continues, in the next run and after a long silence, with a clock that tests move. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { KinesisAdmin } from '../../src/streams/kinesis/admin.ts';
import { firstContact } from '../../src/streams/kinesis/errors.ts';
import { openKinesisWriter } from '../../src/streams/kinesis/open-writer.ts';
import type { Position, StreamWriter } from '../../src/streams/ports.ts';
import { START, TestClock } from '../clock.ts';
import {
  createStream,
  faulty,
  type KinesisBothWays,
  openBothWays,
  startKinesis,
} from '../services/kinesis.ts';

const SHARD = 'shardId-000000000000';

/** A stream, with a clock that is `ahead` ms ahead of that of Kinesis and that sleeps move on. */
async function streamOf(t: TestContext, shards: number, ahead = 0) {
  const clock = new TestClock({ base: () => Date.now() + ahead });
  const { endpoint } = await startKinesis(t, () => clock.time - ahead);
  const options = { stream: 'trips', endpointUrl: endpoint, clock };
  const admin = new KinesisAdmin(options);
  t.after(() => admin.close());
  await admin.create(shards);
  const open = async () => {
    const stream = await openBothWays(options);
    t.after(() => stream.close());
    return stream;
  };
  return { stream: await open(), open, clock, admin };
}

async function put(stream: StreamWriter, text: string): Promise<void> {
  const data = Buffer.from(text);
  await stream.put({ count: 1, data, ends: Uint32Array.of(data.length), hashes: Uint32Array.of(0) });
}

describe('positions in Kinesis', () => {
  it('K1 continues from where it started at latest, also in the next run', async (t) => {
    const { stream, open } = await streamOf(t, 1);
    const first = await open();
    const { next, count } = await first.read(SHARD, { at: 'latest' }, 10);
    assert.equal(count, 0);
    await put(stream, 'a');
    const second = await open();
    const batch = await second.read(SHARD, next, 10);
    assert.equal(batch.data.toString(), 'a');
    assert.equal((await first.read(SHARD, next, 10)).data.toString(), 'a');
  });

  it('K1 remembers the time of latest by the clock of Kinesis, whatever ours says', async (t) => {
    for (const ahead of [3_600_000, -3_600_000]) {
      const { stream, open } = await streamOf(t, 1, ahead);
      const { next } = await stream.read(SHARD, { at: 'latest' }, 10);
      assert.equal(next.at, 'time');
      const off = Date.now() - (next.at === 'time' ? next.ms : 0);
      assert.ok(off > 0 && off < 60_000, `it looks ${off} ms back`);
      await put(stream, 'a');
      assert.equal((await (await open()).read(SHARD, next, 10)).data.toString(), 'a');
    }
  });

  it('K1 keeps its iterator while it is throttled, also one at latest', async (t) => {
    const emulator = await startKinesis(t);
    await createStream(emulator, 'trips', 1);
    const asked: string[] = [];
    const { endpoint } = await faulty(t, emulator, 0, 0, async (target, nth) => {
      asked.push(target);
      // The SDK itself asks twice.
      if (target !== 'GetRecords' || nth > 6) return;
      await put(writer, `record ${nth}`);
      return 'throttled';
    });
    const clock = new TestClock({ base: Date.now });
    const [writer, reader] = await Promise.all(
      [emulator.endpoint, endpoint].map((endpointUrl) =>
        openBothWays({ stream: 'trips', endpointUrl, clock }),
      ) as [Promise<KinesisBothWays>, Promise<KinesisBothWays>],
    );
    t.after(() => Promise.all([writer.close(), reader.close()]));
    await put(writer, 'before');
    const { data } = await reader.read(SHARD, { at: 'latest' }, 10);
    assert.equal(data.toString(), [1, 2, 3, 4, 5, 6].map((nth) => `record ${nth}`).join(''));
    assert.equal(asked.filter((target) => target === 'GetShardIterator').length, 1);
  });

  it('K2 doubles the timeout of a slow Kinesis, and resets it once it answers', async (t) => {
    const { endpoint } = await startKinesis(t);
    await createStream({ endpoint }, 'trips', 1);
    const clock = new TestClock({ base: Date.now });
    const options = { stream: 'trips', endpointUrl: endpoint, clock };
    const stream = await openKinesisWriter(options);
    t.after(() => stream.close());
    const given: (number | undefined)[] = [];
    const { handle } = NodeHttpHandler.prototype;
    t.mock.method(
      NodeHttpHandler.prototype,
      'handle',
      async function (this: NodeHttpHandler, ...args: unknown[]) {
        const { configProvider } = this as unknown as { configProvider: Promise<{ socketTimeout?: number }> };
        given.push((await configProvider).socketTimeout);
        if (given.length <= 6) throw Object.assign(new Error('it is slow'), { name: 'TimeoutError' });
        return handle.apply(this, args as Parameters<typeof handle>);
      },
    );
    // Answers take no time, however busy the machine is.
    t.mock.method(performance, 'now', () => 0);
    await stream.broadcast(() => Buffer.from('a'));
    assert.deepEqual(given.slice(0, 8), [4_000, 8_000, 16_000, 32_000, 64_000, 64_000, 64_000, 4_000]);
  });

  it('leaves a fifth of a shard, of its five reads and two megabytes a second, to others', async (t) => {
    const emulator = await startKinesis(t);
    await createStream(emulator, 'trips', 2);
    const open = async () => {
      const clock = new TestClock();
      const stream = await openBothWays({ stream: 'trips', endpointUrl: emulator.endpoint, clock });
      t.after(() => stream.close());
      return { stream, clock };
    };
    const writer = await open();
    for (let i = 0; i < 6; i++) await put(writer.stream, 'x'.repeat(500_000));
    const { stream, clock } = await open();
    let position: Position = { at: 'trim-horizon' };
    const when: number[] = [];
    for (const count of [4, 2, 0, 0]) {
      const batch = await stream.read(SHARD, position, 4);
      assert.equal(batch.count, count);
      position = batch.next;
      when.push(clock.time - START);
    }
    assert.deepEqual(when, [0, 1_250, 1_875, 2_130]);
    await stream.read('shardId-000000000001', { at: 'trim-horizon' }, 4);
    assert.equal(clock.time - START, 2_130, 'another shard has a rate of its own');
  });

  it('retries the first contact as long as it is throttled', async () => {
    let asked = 0;
    const clock = new TestClock({ base: Date.now });
    const answer = await firstContact('trips', clock, async () => {
      if (++asked < 20) throw Object.assign(new Error('slow down'), { name: 'LimitExceededException' });
      return 'here';
    });
    assert.deepEqual([answer, asked], ['here', 20]);
  });

  it('C5 reports a gap when a position is older than the retention, not when the shard was quiet that long', async (t) => {
    const { stream, open, clock } = await streamOf(t, 1);
    await put(stream, 'a');
    const first = await open();
    const read = await first.read(SHARD, { at: 'trim-horizon' }, 10);
    assert.equal(read.count, 1);
    let { next } = read;
    for (let hour = 0; hour < 50; hour++) {
      const batch = await first.read(SHARD, next, 10);
      assert.deepEqual([batch.count, batch.lost], [0, undefined], `after ${hour} quiet hours`);
      next = batch.next;
      await clock.sleep(3_600_000);
    }
    const second = await open();
    assert.equal((await second.read(SHARD, next, 10)).lost, undefined, 'the next run knows of the quiet');
    const third = await open();
    assert.match((await third.read(SHARD, read.next, 10)).lost ?? '', /^2[56]\.\d hours$/);
    const { next: quiet } = await first.read(SHARD, next, 10);
    await clock.sleep(24 * 3_600_000 + 90_000);
    assert.equal((await first.read(SHARD, quiet, 10)).lost, '2 minutes', 'an iterator at hand keeps nothing');
  });

  it('C5 knows what has expired by the clock of Kinesis, and that a run that came to the tip had all', async (t) => {
    for (const ahead of [3_600_000, -3_600_000]) {
      const { stream, open, clock } = await streamOf(t, 1, ahead);
      await put(stream, 'a');
      await clock.sleep(12 * 3_600_000);
      const { next } = await stream.read(SHARD, { at: 'trim-horizon' }, 10);
      const lostAfter = async (hours: number) => {
        await clock.sleep(hours * 3_600_000);
        return (await (await open()).read(SHARD, next, 10)).lost;
      };
      assert.equal(await lostAfter(23.5), undefined, 'its last record is old, but it had all until it ended');
      assert.equal(await lostAfter(1), '0.5 hours');
    }
  });

  it('C5 a reader from the oldest records is not told of those that expire while it starts, only of later ones', async (t) => {
    const { stream, open, clock } = await streamOf(t, 1);
    await put(stream, 'a');
    await put(stream, 'b');
    // Both are about to expire, as the oldest records of any stream are.
    await clock.sleep(24 * 3_600_000 + 10_000);
    const reader = await open();
    const first = await reader.read(SHARD, { at: 'trim-horizon' }, 1);
    const second = await reader.read(SHARD, first.next, 1);
    assert.deepEqual([first.count, first.lost, second.count, second.lost], [1, undefined, 1, undefined]);
    assert.equal(
      (await (await open()).read(SHARD, first.next, 1)).lost,
      '1 minute',
      'another run comes back to it',
    );
    const { next } = await reader.read(SHARD, (await reader.read(SHARD, second.next, 1)).next, 1);
    await clock.sleep(25 * 3_600_000);
    assert.equal((await reader.read(SHARD, next, 1)).lost, '1.0 hours');
  });

  it('C5 reports a gap also where nothing had been read yet', async (t) => {
    const { stream, open, clock } = await streamOf(t, 2);
    const EMPTY = 'shardId-000000000001';
    await put(stream, 'a');
    const found = [
      [EMPTY, (await stream.read(EMPTY, { at: 'trim-horizon' }, 10)).next],
      [SHARD, (await stream.read(SHARD, { at: 'latest' }, 10)).next],
    ] as const;
    const lost = () =>
      Promise.all(found.map(async ([shard, next]) => (await (await open()).read(shard, next, 10)).lost));
    await clock.sleep(23 * 3_600_000);
    assert.deepEqual(await lost(), [undefined, undefined]);
    await clock.sleep(3 * 3_600_000);
    assert.deepEqual(await lost(), ['2.0 hours', '2.0 hours']);
    const first = await (await open()).read(EMPTY, { at: 'trim-horizon' }, 10);
    assert.equal(first.lost, undefined, 'who has not begun misses nothing');
  });

  it('C5 distinguishes a shard that left the stream from a deleted stream', async (t) => {
    const { stream, admin } = await streamOf(t, 1);
    await put(stream, 'a');
    await assert.rejects(stream.read('shardId-000000000007', { at: 'trim-horizon' }, 10), {
      code: 'no-shard',
    });
    assert.equal((await stream.read(SHARD, { at: 'trim-horizon' }, 10)).count, 1);
    await admin.delete();
    for (const shard of [SHARD, 'shardId-000000000007'])
      await assert.rejects(stream.read(shard, { at: 'trim-horizon' }, 10), { code: 'no-stream' });
  });
});
