import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  DescribeStreamSummaryCommand,
  KinesisClient,
  ListStreamConsumersCommand,
} from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { systemClock } from '../../src/clock.ts';
import { KinesisAdmin } from '../../src/streams/kinesis/admin.ts';
import { openKinesisWriter } from '../../src/streams/kinesis/open-writer.ts';
import { KinesisReader } from '../../src/streams/kinesis/reader.ts';
import type { Position, RecordBatch } from '../../src/streams/ports.ts';
import { fixture, temporaryFolder } from '../files.ts';
import { comparable, expectedLines } from '../golden/oracle.ts';
import { startMinistack, withoutMinistack } from '../services/ministack.ts';
import { taxiflow } from '../taxiflow.ts';

const TRIPS = 'yellow-2015.csv';

describe('enhanced fan-out', { skip: withoutMinistack }, () => {
  for (const aggregate of [[], ['--aggregate']]) {
    it(`gives the oracle's rows over 4 shards and leaves no consumer behind ${aggregate}`, async (t) => {
      const { endpoint, env } = await startMinistack(t);
      const at = ['--data-dir', temporaryFolder(t), '--endpoint-url', endpoint];
      const run = async (...args: string[]) => {
        const ran = await taxiflow([...args, ...at, '--json'], { env });
        assert.equal(ran.code, 0, ran.stderr);
        return ran.json();
      };
      await run('stream', 'create', 'trips', '--shards', '4');
      await run('replay', fixture(TRIPS), '--speedup', 'max', '--stream', 'trips', ...aggregate);
      const out = join(temporaryFolder(t), 'out.ndjson');
      const processing = ['process', '--stream', 'trips', '--consumer', 'efo', '--output', out];
      const summary = await run(...processing, '--until-end', '--drain');
      assert.equal(summary['reconciled'], true);
      assert.equal(summary['watermarks'], 4);
      const { lines } = await expectedLines([fixture(TRIPS)]);
      assert.deepEqual(comparable(readFileSync(out, 'utf8')), lines);
      Object.assign(process.env, env);
      const client = new KinesisClient({ endpoint, requestHandler: new NodeHttpHandler() });
      const { StreamDescriptionSummary: stream } = await client.send(
        new DescribeStreamSummaryCommand({ StreamName: 'trips' }),
      );
      const { Consumers } = await client.send(
        new ListStreamConsumersCommand({ StreamARN: stream?.StreamARN }),
      );
      client.destroy();
      assert.deepEqual(Consumers, []);
    });
  }

  it('K1 goes on after the last record when a subscription ends, is taken over or loses its consumer', async (t) => {
    const { endpoint, env } = await startMinistack(t);
    Object.assign(process.env, env);
    const at = ['--data-dir', temporaryFolder(t), '--endpoint-url', endpoint];
    const created = await taxiflow(['stream', 'create', 'trips', '--shards', '1', ...at], { env });
    assert.equal(created.code, 0, created.stderr);
    const options = { stream: 'trips', endpointUrl: endpoint, clock: systemClock };
    const writer = await openKinesisWriter(options);
    const open = () => KinesisReader.open({ ...options, fanOut: 'taxiflow-test' });
    const readers = [await open(), await open()];
    t.after(() => Promise.all([writer, ...readers].map((stream) => stream.close())));
    const seen: string[] = [];
    let position: Position = { at: 'latest' };
    const readUntil = async (reader: KinesisReader, enough: (batch: RecordBatch) => boolean) => {
      for (;;) {
        const batch = await reader.read('shardId-000000000000', position, 1_000);
        position = batch.next;
        for (let i = 0; i < batch.count; i++)
          seen.push(String(batch.data.subarray(i === 0 ? 0 : batch.ends[i - 1], batch.ends[i])));
        if (enough(batch)) return;
      }
    };
    await readUntil(readers[0]!, (batch) => batch.atTip);
    const sent: string[] = [];
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 20; i++) {
        const text = `record ${round} ${i}`;
        await writer.broadcast(() => Buffer.from(text));
        sent.push(text);
      }
      // The other reader uses the same consumer, so it takes the shard over; closing a reader deletes the consumer.
      if (round === 2) await readers[1]!.close();
      await readUntil(readers[round < 2 ? round % 2 : 0]!, () => seen.length >= sent.length);
    }
    assert.deepEqual(seen, sent);
  });

  it('C5 distinguishes a shard that left the stream from a deleted stream', async (t) => {
    const { endpoint, env } = await startMinistack(t);
    Object.assign(process.env, env);
    const options = { stream: 'trips', endpointUrl: endpoint, clock: systemClock };
    const admin = new KinesisAdmin(options);
    t.after(() => admin.close());
    await admin.create(1);
    const reader = await KinesisReader.open({ ...options, fanOut: 'taxiflow-test' });
    t.after(() => reader.close());
    const read = (shard: string) => reader.read(shard, { at: 'trim-horizon' }, 10);
    await assert.rejects(read('shardId-000000000007'), { code: 'no-shard' });
    assert.equal((await read('shardId-000000000000')).count, 0);
    await admin.delete();
    await assert.rejects(read('shardId-000000000007'), { code: 'no-stream' });
  });
});
