import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import { runProcess } from '../../src/engine/run.ts';
import { TaxiflowError } from '../../src/errors.ts';
import { Database } from '../../src/sqlite.ts';
import {
  deleteLocalStream,
  listLocalStreams,
  localStreamExists,
  localStreamPath,
} from '../../src/streams/local/files.ts';
import { LocalStream } from '../../src/streams/local/log.ts';
import type { OutgoingBatch, Position } from '../../src/streams/ports.ts';
import { evenRanges, HASH_KEYS } from '../../src/streams/shards.ts';
import { count, tumbling, view } from '../../src/views/language.ts';
import { TestClock } from '../clock.ts';
import { MemoryStore } from '../engine/memory.ts';
import { temporaryFolder } from '../files.ts';
import { textsOf } from '../records.ts';

interface StreamUnderTest {
  readonly folder: string;
  readonly clock: TestClock;
  readonly stream: LocalStream;
  /** Another handle on the same file, as another process has it. */
  another(): LocalStream;
}

function open(t: TestContext, shards = 4): StreamUnderTest {
  const folder = temporaryFolder(t);
  const clock = new TestClock();
  const handle = (createShards?: number) => {
    const options = { dataDir: folder, name: 'trips', clock };
    const stream = LocalStream.open(createShards === undefined ? options : { ...options, createShards });
    t.after(() => stream.close());
    return stream;
  };
  return { folder, clock, stream: handle(shards), another: () => handle() };
}

function outgoing(records: readonly { hash: number; data: string }[]): OutgoingBatch {
  const pieces = records.map(({ data }) => Buffer.from(data));
  const ends = new Uint32Array(pieces.length);
  let end = 0;
  for (const [i, piece] of pieces.entries()) {
    end += piece.length;
    ends[i] = end;
  }
  return {
    count: pieces.length,
    data: Buffer.concat(pieces),
    ends,
    hashes: Uint32Array.from(records, ({ hash }) => hash),
  };
}

/** A record as taxiflow's own producer writes it. */
const tripText = (id: number, vendor: string) =>
  `{"type":"trip","trip_id":${id},"replay":"r","vendor_id":${JSON.stringify(vendor)},"dropoff_datetime":"${new Date(1e12 + id * 1_000).toISOString()}","trip_distance":${id / 100}}`;
const isTrip = (text: string) => text.startsWith('{"type":"trip"');

/** Everything of a shard from a position on, a few records at a time. */
async function readAll(stream: LocalStream, shard: string, from: Position, limit = 1_000) {
  const found: { sequence: string; arrival: number; text: string }[] = [];
  for (let position = from; ; ) {
    const batch = await stream.read(shard, position, limit);
    for (const [row, text] of textsOf(batch).entries()) {
      found.push({ sequence: batch.sequenceOf(row), arrival: batch.arrivals[row]!, text });
    }
    position = batch.next;
    if (batch.atTip) return found;
    assert.ok(batch.count > 0, 'a read that is not at the tip gets on');
  }
}

const HORIZON: Position = { at: 'trim-horizon' };
const shard = (n: number) => `shardId-${String(n).padStart(12, '0')}`;
const fails = (code: string) => (error: unknown) => {
  assert.ok(error instanceof TaxiflowError, `a TaxiflowError, not ${String(error)}`);
  assert.equal(error.code, code, error.message);
  assert.ok(error.hint, 'says what to do next');
  return true;
};

/** The stream as arrays: what Kinesis does, in as little code as possible. */
interface ModelShard {
  readonly id: string;
  readonly parents: string[];
  readonly first: bigint;
  readonly last: bigint;
  open: boolean;
  trimmed: number;
  readonly records: { text: string; arrival: number }[];
}

class Model {
  readonly shards: ModelShard[] = [];
  #lastArrival = 0;

  constructor(count: number) {
    for (const [first, last] of evenRanges(count)) this.add(first, last, []);
  }

  add(first: bigint, last: bigint, parents: ModelShard[]): void {
    for (const parent of parents) parent.open = false;
    this.shards.push({
      id: shard(this.shards.length),
      parents: parents.map(({ id }) => id),
      first,
      last,
      open: true,
      trimmed: 0,
      records: [],
    });
  }

  get open(): ModelShard[] {
    return this.shards.filter((s) => s.open).sort((a, b) => (a.first < b.first ? -1 : 1));
  }

  append(to: ModelShard, now: number, texts: string[]): void {
    if (texts.length === 0) return;
    this.#lastArrival = Math.max(now, this.#lastArrival);
    to.records.push(...texts.map((text) => ({ text, arrival: this.#lastArrival })));
  }

  put(now: number, records: readonly { hash: number; data: string }[]): void {
    for (const s of this.open) {
      const own = records.filter(
        ({ hash }) => s.first <= BigInt(hash) << 96n && BigInt(hash) << 96n <= s.last,
      );
      this.append(s, now, own.map(({ data }) => data)); // biome-ignore format: one step
    }
  }

  /** Sequence number of the first record at a position. */
  at(s: ModelShard, position: Position): number {
    if (position.at === 'trim-horizon') return 0;
    if (position.at === 'latest') return s.records.length;
    if (position.at === 'after') return Number(position.sequence) + 1;
    const found = s.records.findIndex((r, i) => i >= s.trimmed && r.arrival >= position.ms);
    return found < 0 ? s.records.length : found;
  }

  trim(before: number, only?: ModelShard): number {
    let count = 0;
    for (const s of only ? [only] : this.shards) {
      const keep = this.at(s, { at: 'time', ms: before });
      count += keep - s.trimmed;
      s.trimmed = keep;
    }
    return count;
  }
}

const record = fc.record({
  hash: fc.oneof(fc.nat(0xffff_ffff), fc.constantFrom(0, 0x4000_0000, 0x3fff_ffff, 0xffff_ffff)),
  data: fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 6 }),
    fc.tuple(fc.nat(1_000), fc.string({ maxLength: 3 })).map(([id, vendor]) => tripText(id, vendor)),
  ),
});
const pick = fc.nat(1_000);
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('put' as const), records: fc.oneof(fc.array(record, { maxLength: 30 }), fc.array(record.filter(({ data }) => isTrip(data)), { maxLength: 30 })) }) },
  // More than one row of the log holds, so that puts are split.
  { weight: 1, arbitrary: fc.record({ do: fc.constant('many' as const), count: fc.integer({ min: 1_990, max: 4_100 }), hash: fc.nat(0xffff_ffff), trips: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('broadcast' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: -5, max: 10 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('split' as const), which: pick, at: fc.option(fc.bigInt({ min: 0n, max: HASH_KEYS })) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('merge' as const), which: pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('trim' as const), back: fc.integer({ min: -2, max: 12 }), which: fc.option(pick) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('read' as const), which: pick, at: fc.constantFrom('trim-horizon', 'latest', 'time', 'after', 'after'), place: pick, limit: fc.integer({ min: 1, max: 700 }) }) },
); // biome-ignore format: a step a line
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

/** Does a step with the stream and with the model, and compares them. */
async function follow(model: Model, stream: LocalStream, clock: TestClock, s: Step): Promise<void> {
  const open = model.open;
  switch (s.do) {
    case 'put':
    case 'many': {
      const records =
        s.do === 'put'
          ? s.records
          : Array.from({ length: s.count }, (_, i) => ({
              hash: s.hash,
              data: s.trips ? tripText(i, 'CMT') : `${i}\n`,
            }));
      const put = await stream.put(outgoing(records));
      assert.deepEqual(put, { acknowledged: records.length, refused: {} });
      model.put(clock.now(), records);
      return;
    }
    case 'broadcast':
      await stream.broadcast((id) => Buffer.from(`to ${id}\n`));
      for (const to of open) model.append(to, clock.now(), [`to ${to.id}\n`]);
      return;
    case 'wait':
      clock.advance(s.ms);
      return;
    case 'split': {
      const parent = open[s.which % open.length]!;
      const at = s.at ?? parent.first + (parent.last - parent.first + 1n) / 2n;
      const split = () => (s.at === null ? stream.split(parent.id) : stream.split(parent.id, s.at));
      if (at <= parent.first || at > parent.last) {
        assert.throws(split, fails('bad-hash-key'));
        return;
      }
      model.add(parent.first, at - 1n, [parent]);
      model.add(at, parent.last, [parent]);
      assert.deepEqual(split(), model.shards.slice(-2).map(({ id }) => id)); // biome-ignore format: one step
      return;
    }
    case 'merge': {
      if (open.length < 2) return;
      const low = open[s.which % (open.length - 1)]!;
      const high = open[(s.which % (open.length - 1)) + 1]!;
      model.add(low.first, high.last, [low, high]);
      const pair = s.which % 2 === 0 ? ([low, high] as const) : ([high, low] as const);
      assert.deepEqual(stream.merge(pair[0].id, pair[1].id), [model.shards.at(-1)!.id]);
      return;
    }
    case 'trim': {
      const only = s.which === null ? undefined : model.shards[s.which % model.shards.length]!;
      const before = clock.now() - s.back;
      assert.equal(stream.trim(before, only?.id), model.trim(before, only), 'records trimmed');
      return;
    }
    case 'read': {
      const from = model.shards[s.which % model.shards.length]!;
      const position: Position =
        s.at === 'time'
          ? { at: 'time', ms: clock.now() - (s.place % 20) + 3 }
          : s.at === 'after'
            ? { at: 'after', sequence: String((s.place % (from.records.length + 1)) - 1) }
            : { at: s.at };
      const asked = model.at(from, position);
      const batch = await stream.read(from.id, position, s.limit);
      const start = Math.max(asked, from.trimmed);
      const left = from.records.slice(start);
      assert.ok(batch.count <= s.limit, 'never more than asked for');
      assert.equal(batch.count === 0, left.length === 0, 'something, if there is something');
      assert.deepEqual(textsOf(batch), left.slice(0, batch.count).map(({ text }) => text)); // biome-ignore format: one step
      assert.deepEqual([...batch.arrivals], left.slice(0, batch.count).map(({ arrival }) => arrival)); // biome-ignore format: one step
      for (let i = 0; i < batch.count; i++) assert.equal(batch.sequenceOf(i), String(start + i));
      const atTip = start + batch.count === from.records.length;
      assert.deepEqual(
        { lost: batch.lost, atTip: batch.atTip, ended: batch.ended },
        { lost: start > asked ? `${start - asked} records` : undefined, atTip, ended: atTip && !from.open },
      );
      assert.equal(model.at(from, batch.next), start + batch.count, 'the next read goes on there');
    }
  }
}

describe('the embedded stream', () => {
  it('behaves like arrays through either of two handles (puts, reads, clocks, resharding, trimming)', async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.tuple(step, fc.boolean()), { minLength: 10, maxLength: 45, size: 'max' }),
        async (shards, steps) => {
          const { stream, clock, another } = open(t, shards);
          const handles = [stream, another()] as const;
          const model = new Model(shards);
          for (const [s, second] of steps) await follow(model, handles[second ? 1 : 0], clock, s);
          for (const handle of handles) {
            const found = await handle.shards();
            assert.deepEqual(
              found,
              model.shards.map(({ id, parents, first, last, open: isOpen }) => ({
                id,
                parents,
                firstHashKey: first,
                lastHashKey: last,
                open: isOpen,
              })),
            );
            for (const s of model.shards) {
              const all = await readAll(handle, s.id, HORIZON, 333);
              assert.deepEqual(
                all,
                s.records
                  .map(({ text, arrival }, i) => ({ sequence: String(i), arrival, text }))
                  .slice(s.trimmed),
              );
              assert.equal(handle.remaining(s.id, HORIZON), s.records.length - s.trimmed);
              const read = { at: 'after', sequence: String(s.trimmed) } as const;
              if (all.length > 0) assert.equal(handle.remaining(s.id, read), all.length - 1);
            }
          }
          const kept = model.shards.map((s) => s.records.slice(s.trimmed));
          for (const [i, { records, bytes }] of stream.describe().entries()) {
            const texts = kept[i]!.map(({ text }) => text);
            assert.equal(records, texts.length);
            const size = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
            if (!texts.some(isTrip)) assert.equal(bytes, size);
          }
          for (const handle of handles) await handle.close();
        },
      ),
      { numRuns: 40 },
    );
  });

  it('covers the shard space with its open shards, after any resharding', async (t) => {
    const { stream } = open(t, 3);
    const covered = async () => {
      const shards = (await stream.shards())
        .filter((s) => s.open)
        .sort((a, b) => (a.firstHashKey < b.firstHashKey ? -1 : 1));
      assert.equal(shards[0]!.firstHashKey, 0n);
      assert.equal(shards.at(-1)!.lastHashKey, HASH_KEYS - 1n);
      for (let i = 1; i < shards.length; i++)
        assert.equal(shards[i]!.firstHashKey, shards[i - 1]!.lastHashKey + 1n);
      return shards.map(({ id }) => id);
    };
    assert.deepEqual(await covered(), [0, 1, 2].map(shard));
    assert.deepEqual(stream.split(shard(1)), [shard(3), shard(4)]);
    assert.deepEqual(await covered(), [0, 3, 4, 2].map(shard));
    assert.deepEqual(stream.merge(shard(2), shard(4)), [shard(5)]);
    assert.deepEqual(await covered(), [0, 3, 5].map(shard));
    const [merged] = (await stream.shards()).slice(-1);
    assert.deepEqual(merged!.parents, [shard(4), shard(2)], 'the lower first');
  });

  it('splits down to a single hash key, and no further', async (t) => {
    const { stream } = open(t, 1);
    const [, high] = stream.split(shard(0), 1n);
    assert.throws(() => stream.split(shard(1)), fails('bad-hash-key'));
    await stream.put(outgoing([{ hash: 0, data: 'key 0' }, { hash: 1, data: 'key 2^96' }])); // biome-ignore format: one step
    assert.deepEqual(
      (await readAll(stream, shard(1), HORIZON)).map(({ text }) => text),
      ['key 0'],
    );
    assert.deepEqual(
      (await readAll(stream, high!, HORIZON)).map(({ text }) => text),
      ['key 2^96'],
    );
  });

  it('never lets arrival times go back when the clock does', async (t) => {
    const { stream, clock } = open(t, 1);
    const start = clock.time;
    for (const ms of [0, 10, 5, -100, 11]) {
      clock.advance(start + ms - clock.time);
      await stream.put(outgoing([{ hash: 0, data: `${ms}` }]));
    }
    const arrivals = (await readAll(stream, shard(0), HORIZON)).map(({ arrival }) => arrival - start);
    assert.deepEqual(arrivals, [0, 10, 10, 10, 11]);
    const at = async (ms: number) =>
      (await readAll(stream, shard(0), { at: 'time', ms: start + ms })).map(({ text }) => text);
    assert.deepEqual(await at(10), ['10', '5', '-100', '11']);
    assert.deepEqual(await at(12), []);
  });

  it('never lets arrival times go back in another shard either, where records would be late (W5)', async (t) => {
    const { stream, clock } = open(t, 2);
    const tripTo = (hash: number) => ({
      hash,
      data: `{"type":"trip","dropoff_datetime":"2016-01-01T12:00:00.000Z"}\n`,
    });
    const store = new MemoryStore();
    const read = () =>
      runProcess({
        reader: stream,
        store: store.reopen(),
        views: [view({ name: 'counted', by: {}, window: tumbling('1s'), aggregates: { n: count() } })],
        deadLetters: new DeadLetterBuffer(0),
        sinks: [],
        clock: new TestClock({ tick: 1 }),
        from: HORIZON,
        eventTime: 'arrival',
        allowedLateness: 0,
        checkpointInterval: 1,
        untilEnd: () => true,
        drain: false,
        signal: new AbortController().signal,
      });
    await stream.put(outgoing([tripTo(0)]));
    await read();
    clock.advance(-3_600_000);
    await stream.put(outgoing([tripTo(0xffff_ffff)]));
    const { counters } = await read();
    assert.deepEqual([counters.processed, counters.late], [1, 0]);
  });

  it('reads on from the middle of a put', async (t) => {
    const { stream } = open(t, 1);
    const texts = Array.from({ length: 5_000 }, (_, i) => `record ${i}\n`);
    await stream.put(outgoing(texts.map((data) => ({ hash: 7, data }))));
    for (const limit of [1, 3, 1_999, 2_000, 2_001, 9_999]) {
      for (const after of [-1, 0, 1, 1_998, 1_999, 2_000, 3_210, 4_998, 4_999]) {
        const batch = await stream.read(shard(0), { at: 'after', sequence: String(after) }, limit);
        assert.deepEqual(
          textsOf(batch),
          texts.slice(after + 1, after + 1 + batch.count),
          `${limit} after ${after}`,
        );
        assert.ok(batch.count > 0 || after === 4_999, 'there is more');
      }
    }
  });

  it('reads from latest only what comes later', async (t) => {
    const { stream } = open(t, 1);
    const put = (data: string) => stream.put(outgoing([{ hash: 0, data }]));
    const empty = await stream.read(shard(0), { at: 'latest' }, 10);
    assert.deepEqual([empty.count, empty.atTip], [0, true]);
    await put('before');
    assert.deepEqual(textsOf(await stream.read(shard(0), empty.next, 10)), ['before'], 'it was latest then');
    const { next } = await stream.read(shard(0), { at: 'latest' }, 10);
    await put('after');
    assert.deepEqual(textsOf(await stream.read(shard(0), next, 10)), ['after']);
  });

  it('reports how many records fell out of retention unread', async (t) => {
    const { stream, clock } = open(t, 1);
    for (let i = 0; i < 5; i++) {
      await stream.put(outgoing([{ hash: 0, data: `${i}` }]));
      clock.advance(10);
    }
    const { next } = await stream.read(shard(0), HORIZON, 1);
    assert.equal(stream.trim(clock.time - 20), 3);
    const batch = await stream.read(shard(0), next, 10);
    assert.deepEqual([textsOf(batch), batch.lost], [['3', '4'], '2 records']);
    assert.equal(
      (await stream.read(shard(0), HORIZON, 10)).lost,
      '3 records',
      'of all it ever held; whether that is anybody’s loss is not for the stream to say',
    );
    stream.trim(clock.time + 1);
    const rest = await stream.read(shard(0), next, 10);
    assert.deepEqual([rest.count, rest.lost, rest.atTip], [0, '4 records', true]);
    await stream.put(outgoing([{ hash: 0, data: 'new' }]));
    assert.deepEqual((await readAll(stream, shard(0), HORIZON)).map(({ sequence }) => sequence), ['5']); // biome-ignore format: one step
  });

  it('ends a shard once it is closed and read to its end, not before', async (t) => {
    const { stream } = open(t, 1);
    await stream.put(outgoing(Array.from({ length: 3 }, (_, i) => ({ hash: i, data: `${i}` }))));
    assert.equal((await stream.read(shard(0), HORIZON, 9)).ended, false);
    stream.split(shard(0));
    const first = await stream.read(shard(0), HORIZON, 2);
    assert.deepEqual([first.atTip, first.ended], [false, false]);
    const last = await stream.read(shard(0), first.next, 2);
    assert.deepEqual([last.count, last.atTip, last.ended], [1, true, true]);
  });

  it('sends a watermark to every open shard and to no closed one', async (t) => {
    const { stream, another } = open(t, 2);
    const writer = another();
    stream.merge(shard(0), shard(1));
    stream.split(shard(2));
    await writer.broadcast((id) => Buffer.from(id));
    const texts = async (id: string) => (await readAll(stream, id, HORIZON)).map(({ text }) => text);
    assert.deepEqual(await Promise.all([0, 1, 2, 3, 4].map((n) => texts(shard(n)))), [
      [],
      [],
      [],
      [shard(3)],
      [shard(4)],
    ]);
  });

  it('is distinguished from another stream of the same name', async (t) => {
    const { stream, folder, clock, another } = open(t);
    const { identity } = stream;
    assert.equal(another().identity, identity);
    await stream.close();
    deleteLocalStream(folder, 'trips');
    assert.equal(localStreamExists(folder, 'trips'), false);
    const options = { dataDir: folder, name: 'trips', clock };
    assert.throws(() => LocalStream.open(options), fails('no-stream'));
    const again = LocalStream.open({ ...options, createShards: 1 });
    t.after(() => again.close());
    assert.notEqual(again.identity, identity);
    assert.equal((await again.shards()).length, 1);
    assert.deepEqual(listLocalStreams(folder), ['trips']);
  });

  // Windows doesn't delete a file in use.
  const onWindows = process.platform === 'win32';
  it('accepts no records once its file is deleted or replaced', {
    skip: onWindows,
  }, async (t) => {
    const { stream, folder, clock } = open(t);
    await stream.put(outgoing([{ hash: 0, data: 'a' }]));
    deleteLocalStream(folder, 'trips');
    const refused = (work: () => Promise<unknown>) => assert.rejects(work, fails('no-stream'));
    await refused(() => stream.put(outgoing([{ hash: 0, data: 'b' }])));
    const again = LocalStream.open({ dataDir: folder, name: 'trips', clock, createShards: 3 });
    t.after(() => again.close());
    await refused(() => stream.put(outgoing([{ hash: 0, data: 'c' }])));
    await refused(() => stream.broadcast(() => Buffer.from('w')));
    await refused(() => stream.shards());
    assert.equal((await again.put(outgoing([{ hash: 0, data: 'd' }]))).acknowledged, 1);
  });

  it('keeps its shards when it is opened with another number of them', async (t) => {
    const { folder, clock } = open(t, 3);
    const again = LocalStream.open({ dataDir: folder, name: 'trips', clock, createShards: 9 });
    t.after(() => again.close());
    assert.equal((await again.shards()).length, 3);
  });

  it('is not there yet for a reader while it is made, and has the shards of its maker', async (t) => {
    const { folder, clock } = open(t);
    const options = { dataDir: folder, name: 'half', clock };
    // What a maker leaves that was killed between file and tables.
    new Database(localStreamPath(folder, 'half')).close();
    assert.throws(() => LocalStream.open(options), fails('no-stream'));
    const made = LocalStream.open({ ...options, createShards: 4 });
    t.after(() => made.close());
    assert.equal((await made.shards()).length, 4);
  });

  it('says what is wrong, and what to do', async (t) => {
    const { stream, folder, clock } = open(t, 3);
    for (const name of ['', 'a/b', '../x', '.hidden', 'x'.repeat(129), 'ö']) {
      assert.throws(() => LocalStream.open({ dataDir: folder, name, clock }), fails('bad-stream-name'), name);
    }
    assert.throws(() => LocalStream.open({ dataDir: folder, name: 'none', clock }), fails('no-stream'));
    for (const id of [shard(3), 'shardId-x', 'x', '', 'shardId-0']) {
      await assert.rejects(stream.read(id, HORIZON, 1), fails('no-shard'), id);
      assert.throws(() => stream.split(id), fails('no-shard'), id);
    }
    assert.throws(() => stream.merge(shard(0), shard(2)), fails('not-adjacent'));
    assert.throws(() => stream.merge(shard(1), shard(1)), fails('not-adjacent'));
    stream.split(shard(0));
    assert.throws(() => stream.split(shard(0)), fails('no-shard'), 'a closed shard');
    assert.throws(() => stream.merge(shard(0), shard(1)), fails('no-shard'), 'a closed shard');
    await assert.rejects(stream.read(shard(1), { at: 'after', sequence: '0' }, 1), fails('position-ahead'));
    assert.equal((await stream.shards()).length, 5, 'nothing of that changed the shards');
  });

  it('packs trips, a few bytes each, and takes no other record for one', async (t) => {
    const { stream, folder } = open(t, 1);
    const trips = Array.from({ length: 1_000 }, (_, i) => tripText(i, 'CMT'));
    await stream.put(outgoing(trips.map((data) => ({ hash: 0, data }))));
    const { bytes } = stream.describe()[0]!;
    assert.ok(bytes! < 12 * 1_000, `${bytes} bytes`);
    const others = ['{"type":"trip"}', '{"x":1}', '', 'x', `${trips[0]!.slice(0, -1)},"tip_amount":1}`];
    for (const other of others) await stream.put(outgoing([trips[0]!, other, trips[1]!].map((data) => ({ hash: 0, data })))); // biome-ignore format: one step
    const found = await readAll(stream, shard(0), HORIZON, 700);
    assert.deepEqual(
      found.map(({ text }) => text),
      [...trips, ...others.flatMap((other) => [trips[0]!, other, trips[1]!])],
    );
    await stream.close();
    const db = new Database(localStreamPath(folder, 'trips'));
    for (const damage of ['zeroblob(length(data))', 'substr(data, 1, 40)', "x''"]) {
      db.exec(`UPDATE batches SET data = ${damage} WHERE id = 0`);
      const damaged = LocalStream.open({ dataDir: folder, name: 'trips', clock: new TestClock() });
      await assert.rejects(damaged.read(shard(0), HORIZON, 10), fails('corrupt'));
      await damaged.close();
    }
    db.close();
  });

  it('reads the first format, and writes its own into it', async (t) => {
    const { stream, folder, clock } = open(t, 1);
    await stream.put(outgoing(['{"x":1}', 'y'].map((data) => ({ hash: 0, data }))));
    await stream.close();
    const db = new Database(localStreamPath(folder, 'trips'));
    db.pragma('user_version = 1');
    const again = LocalStream.open({ dataDir: folder, name: 'trips', clock });
    assert.equal(db.pragma('user_version', { simple: true }), 2, 'an older taxiflow reads it no more');
    await again.put(outgoing([{ hash: 0, data: tripText(1, 'CMT') }]));
    const texts = (await readAll(again, shard(0), HORIZON)).map(({ text }) => text);
    assert.deepEqual(texts, ['{"x":1}', 'y', tripText(1, 'CMT')]);
    db.close();
    await again.close();
  });

  it('refuses files of a newer format, or of none', async (t) => {
    const { stream, folder, clock } = open(t);
    await stream.close();
    const db = new Database(localStreamPath(folder, 'trips'));
    db.pragma('user_version = 99');
    db.close();
    const options = { dataDir: folder, name: 'trips', clock };
    assert.throws(() => LocalStream.open(options), fails('newer-format'));
    writeFileSync(localStreamPath(folder, 'noise'), 'this is no database at all, whatever its name says');
    assert.throws(() => LocalStream.open({ ...options, name: 'noise' }), fails('corrupt'));
  });
});
