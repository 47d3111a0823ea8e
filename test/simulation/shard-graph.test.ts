/** Each record is read once and in order, and the watermark is never ahead: model, embedded stream and Kinesis. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { KinesisAdmin } from '../../src/streams/kinesis/admin.ts';
import { openKinesisWriter } from '../../src/streams/kinesis/open-writer.ts';
import { KinesisReader } from '../../src/streams/kinesis/reader.ts';
import { LocalStream } from '../../src/streams/local/log.ts';
import type { OutgoingBatch } from '../../src/streams/ports.ts';
import { TestClock } from '../clock.ts';
import { packed } from '../engine/memory.ts';
import { temporaryFolder } from '../files.ts';
import { startKinesis } from '../services/kinesis.ts';
import { ModelStream, slotKey } from './shard-model.ts';
import { plans, Simulation } from './shard-simulation.ts';

const CI = process.env['CI'] === 'true';
const runs = (often: number, seldom: number) => ({
  numRuns: CI ? often : seldom,
  includeErrorInReport: true,
});

function outgoing(slot: number, texts: readonly string[]): OutgoingBatch {
  return { ...packed(texts), hashes: new Uint32Array(texts.length).fill(slot * 2 ** 24) };
}

describe('W2, W4, C1, C5: each record is read once and in order, and the watermark is never ahead, while shards split, merge and lose records', () => {
  it('over the model of a stream', async () => {
    const plan = plans(['trim', 'expire'], 120);
    await fc.assert(
      fc.asyncProperty(plan, (plan) => new Simulation(plan).run()),
      runs(4_000, 600),
    );
  });

  it('over the embedded stream', async (t) => {
    const folder = temporaryFolder(t);
    await fc.assert(
      fc.asyncProperty(plans(['trim'], 80), async (plan) => {
        const dataDir = mkdtempSync(join(folder, 'stream-'));
        const model = new ModelStream(plan.shards, plan.moods);
        const clock = new TestClock({ base: () => model.now });
        const open = () => LocalStream.open({ dataDir, name: 's', clock, createShards: plan.shards });
        const [writer, reader] = [open(), open()];
        const simulation = new Simulation(plan, model, {
          reader,
          put: async (slot, texts) => void (await writer.put(outgoing(slot, texts))),
          broadcast: (textFor) => writer.broadcast((id) => Buffer.from(textFor(id))),
          split: async ({ id }, at) => void writer.split(id, slotKey(at)),
          merge: async (low, high) => void writer.merge(low.id, high.id),
          trim: async ({ id }, before) => void writer.trim(before, id),
        });
        try {
          await simulation.run();
        } finally {
          await writer.close();
          await reader.close();
          rmSync(dataDir, { recursive: true });
        }
      }),
      runs(300, 60),
    );
  });

  it('over Kinesis', async (t) => {
    const { endpoint } = await startKinesis(t);
    let streams = 0;
    await fc.assert(
      fc.asyncProperty(plans([], 50, ['trim-horizon']), async (plan) => {
        const stream = `s${streams++}`;
        const clock = new TestClock({ base: Date.now });
        const options = { stream, endpointUrl: endpoint, clock };
        const admin = new KinesisAdmin(options);
        await admin.create(plan.shards);
        const [writer, reader] = [await openKinesisWriter(options), await KinesisReader.open(options)];
        const simulation = new Simulation(plan, new ModelStream(plan.shards, plan.moods), {
          reader,
          put: async (slot, texts) => void (await writer.put(outgoing(slot, texts))),
          broadcast: (textFor) => writer.broadcast((id) => Buffer.from(textFor(id))),
          split: async ({ id }, at) => void (await admin.split(id, slotKey(at))),
          merge: async (low, high) => void (await admin.merge(low.id, high.id)),
        });
        try {
          await simulation.run();
        } finally {
          await writer.close();
          await reader.close();
          await admin.delete();
          admin.close();
        }
      }),
      // Shrinking a plan over the network takes minutes.
      { ...runs(40, 10), endOnFailure: true },
    );
  });
});
