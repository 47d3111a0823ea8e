/** What Amazon does and emulators don't, with a server that answers as Amazon's reference says. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { KinesisAdmin } from '../../src/streams/kinesis/admin.ts';
import { openKinesisWriter } from '../../src/streams/kinesis/open-writer.ts';
import { KinesisReader } from '../../src/streams/kinesis/reader.ts';
import { evenRanges, shardIdOf } from '../../src/streams/shards.ts';
import { TestClock } from '../clock.ts';
import { temporaryFolder } from '../files.ts';
import { serve } from '../services/http.ts';
import { openBothWays } from '../services/kinesis.ts';
import { refusal } from '../services/sigv4.ts';
import { taxiflow } from '../taxiflow.ts';
import { until } from '../until.ts';

const SECRET = { accessKeyId: 'test', secretAccessKey: 'secret' };
const KEYS = {
  AWS_ACCESS_KEY_ID: SECRET.accessKeyId,
  AWS_SECRET_ACCESS_KEY: SECRET.secretAccessKey,
  AWS_REGION: 'us-east-1',
};
const ARN = 'arn:aws:kinesis:us-east-1:000000000000:stream/trips';
const clock = new TestClock();

interface Asked {
  readonly target: string;
  readonly input: Record<string, unknown>;
}

/** The answer to a request; a string is the name of an error. */
type Answer = (input: Record<string, unknown>, nth: number) => object | string;

/** A Kinesis that checks signatures, answers as a test says, and keeps the requests. */
async function amazon(t: TestContext, answers: Record<string, Answer>) {
  Object.assign(process.env, KEYS);
  const asked: Asked[] = [];
  const { url: endpoint } = await serve(t, (request) => {
    const target = String(request.headers['x-amz-target']).split('.').at(-1)!;
    const input = JSON.parse(request.body.toString());
    asked.push({ target, input });
    const nth = asked.filter((it) => it.target === target).length;
    const wrong = refusal(request, SECRET, { region: 'us-east-1', service: 'kinesis', now: Date.now() });
    const answer = wrong ? 'InvalidSignatureException' : (answers[target]?.(input, nth) ?? {});
    if (typeof answer !== 'string') return { body: answer };
    return { status: 400, body: { __type: answer, message: wrong ?? 'so it is' } };
  });
  return { asked, endpoint, options: { stream: 'trips', endpointUrl: endpoint, clock } };
}

function summary(fields: object = {}): object {
  return {
    StreamDescriptionSummary: {
      StreamName: 'trips',
      StreamARN: ARN,
      StreamStatus: 'ACTIVE',
      RetentionPeriodHours: 24,
      StreamCreationTimestamp: 1_700_000_000,
      OpenShardCount: 2,
      EnhancedMonitoring: [],
      ...fields,
    },
  };
}

/** Open shards of even size, numbered from `from`. */
function shards(count: number, from = 0): object[] {
  return evenRanges(count).map(([first, last], i) => ({
    ShardId: shardIdOf(from + i),
    HashKeyRange: { StartingHashKey: String(first), EndingHashKey: String(last) },
    SequenceNumberRange: { StartingSequenceNumber: '1' },
  }));
}

/** A TLC file of `trips` trips within one minute. */
function busyMinute(trips: number): string {
  const trip = '1,2016-01-01 00:00:00,2016-01-01 00:00:30,1,1,-73.9,40.7,1,N,-73.9,40.7,1,5,0,0,0,0,0,5';
  const header =
    'VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,pickup_longitude,' +
    'pickup_latitude,RatecodeID,store_and_fwd_flag,dropoff_longitude,dropoff_latitude,payment_type,fare_amount,' +
    'extra,mta_tax,tip_amount,tolls_amount,improvement_surcharge,total_amount';
  return `${header}\n${`${trip}\n`.repeat(trips)}`;
}

describe('Amazon Kinesis, where emulators differ', () => {
  it('signs our own bodies of PutRecords and GetRecords as they are sent', async (t) => {
    const data = Buffer.from('{"type":"trip","é":1}\n');
    const { options } = await amazon(t, {
      DescribeStreamSummary: () => summary(),
      ListShards: () => ({ Shards: shards(1) }),
      PutRecords: () => ({ Records: [{ SequenceNumber: '1', ShardId: shardIdOf(0) }] }),
      GetShardIterator: () => ({ ShardIterator: 'a' }),
      GetRecords: () => ({
        Records: [{ Data: data.toString('base64'), SequenceNumber: '1', PartitionKey: 'é' }],
        NextShardIterator: 'b',
        MillisBehindLatest: 0,
      }),
    });
    const stream = await openBothWays(options);
    t.after(() => stream.close());
    await stream.broadcast(() => data);
    const batch = await stream.read(shardIdOf(0), { at: 'trim-horizon' }, 10);
    assert.deepEqual(Buffer.from(batch.data), data);
  });

  it('ends its reads when it is closed, though they would be repeated for minutes', async (t) => {
    const { options, asked } = await amazon(t, {
      DescribeStreamSummary: () => summary(),
      ListShards: () => ({ Shards: shards(12) }),
      GetShardIterator: () => 'ProvisionedThroughputExceededException',
    });
    const waits: string[] = [];
    const still = {
      now: () => 0,
      sleep: (ms: number, signal?: AbortSignal) =>
        new Promise<void>((resolve) => {
          waits.push(`${ms}`);
          signal?.addEventListener('abort', () => resolve());
        }),
    };
    const reader = await KinesisReader.open({ ...options, clock: still });
    const warned: Error[] = [];
    const warn = (warning: Error) => warned.push(warning);
    process.on('warning', warn);
    t.after(() => process.off('warning', warn));
    const reads = shards(12).map((_, i) => reader.read(shardIdOf(i), { at: 'trim-horizon' }, 10));
    const ends = Promise.allSettled(reads);
    await until('every read waits', () => waits.length === reads.length);
    await reader.close();
    const before = asked.length;
    for (const { status } of await ends) assert.equal(status, 'rejected');
    assert.equal(asked.length, before, 'nothing is asked any more');
    assert.deepEqual(warned, []);
  });

  it('tells whether a change is going on', async (t) => {
    const states = ['ACTIVE', 'UPDATING', 'ACTIVE'];
    const { options } = await amazon(t, {
      DescribeStreamSummary: (_, nth) => summary({ StreamStatus: states[nth - 1] }),
    });
    const admin = new KinesisAdmin(options);
    t.after(() => admin.close());
    const told: boolean[] = [];
    for (const _ of states) told.push(await admin.isChanging());
    assert.deepEqual(told, [false, true, false]);
  });

  it('says what a quota is when a reshard is refused for it', async (t) => {
    const { options } = await amazon(t, {
      DescribeStreamSummary: () => summary(),
      ListShards: () => ({ Shards: shards(2) }),
      UpdateShardCount: () => 'LimitExceededException',
    });
    const admin = new KinesisAdmin(options);
    t.after(() => admin.close());
    await assert.rejects(admin.reshard(4), { code: 'kinesis-limit', hint: /ten times in 24 hours/ });
  });

  it('starts a list of shards again when its next page has expired', async (t) => {
    const pages = [{ Shards: shards(2), NextToken: 'a' }, 'ExpiredNextTokenException', { Shards: shards(4) }];
    const { options, asked } = await amazon(t, {
      DescribeStreamSummary: () => summary(),
      ListShards: (_, nth) => pages[nth - 1]!,
    });
    const stream = await KinesisReader.open(options);
    t.after(() => stream.close());
    assert.deepEqual(
      (await stream.shards()).map(({ id }) => id),
      [0, 1, 2, 3].map(shardIdOf),
    );
    const inputs = asked.filter(({ target }) => target === 'ListShards').map(({ input }) => input);
    assert.deepEqual(inputs, [{ StreamName: 'trips' }, { NextToken: 'a' }, { StreamName: 'trips' }]);
  });

  it("waits for a new stream that isn't known yet", async (t) => {
    const { options, asked } = await amazon(t, {
      DescribeStreamSummary: (_, nth) =>
        nth <= 2 ? 'ResourceNotFoundException' : summary({ StreamStatus: nth <= 4 ? 'CREATING' : 'ACTIVE' }),
    });
    const admin = new KinesisAdmin(options);
    t.after(() => admin.close());
    await admin.create(2);
    assert.equal(asked.filter(({ target }) => target === 'DescribeStreamSummary').length, 5);
  });

  for (const [from, to, steps] of [
    [2, 9, [4, 8, 9]],
    [9, 2, [5, 3, 2]],
    [4, 6, [6]],
    [4, 4, [4]],
  ] as const) {
    it(`goes from ${from} to ${to} shards in the steps that Amazon allows: ${steps.join(', ')}`, async (t) => {
      let [open, made, updating] = [from as number, 0, false];
      const { options, asked } = await amazon(t, {
        DescribeStreamSummary: () => {
          const status = updating ? 'UPDATING' : 'ACTIVE';
          updating = false;
          return summary({ StreamStatus: status });
        },
        ListShards: () => ({ Shards: shards(open, made) }),
        UpdateShardCount: ({ TargetShardCount }) => {
          const wanted = Number(TargetShardCount);
          if (updating) return 'ResourceInUseException';
          if (wanted > 2 * open || wanted < open / 2) return 'LimitExceededException';
          [open, made, updating] = [wanted, made + open, true];
          return {};
        },
      });
      const admin = new KinesisAdmin(options);
      t.after(() => admin.close());
      assert.equal((await admin.reshard(to)).length, to);
      const counts = asked
        .filter(({ target }) => target === 'UpdateShardCount')
        .map(({ input }) => input['TargetShardCount']);
      assert.deepEqual(counts, steps);
    });
  }

  it('K3 refuses a replay with watermarks into a stream that ignores hash keys', async (t) => {
    const file = join(temporaryFolder(t), 'trips.csv');
    writeFileSync(file, busyMinute(10));
    const { endpoint, asked } = await amazon(t, {
      DescribeStreamSummary: () => summary({ RecordDistributionStrategy: 'AUTO' }),
      ListShards: () => ({ Shards: shards(2) }),
      PutRecords: ({ Records }) => ({
        FailedRecordCount: 0,
        Records: (Records as object[]).map(() => ({ SequenceNumber: '1', ShardId: shardIdOf(0) })),
      }),
    });
    const replay = [
      ...['replay', file, '--stream', 'trips', '--speedup', 'max', '--endpoint-url', endpoint],
      ...['--data-dir', temporaryFolder(t), '--json'],
    ];
    const refused = await taxiflow(replay, { env: KEYS });
    assert.match(
      refused.stderr,
      /Error: .*spreads records over its shards by itself.*\nTry: .*USER_PARTITION_KEY/,
    );
    assert.equal(refused.code, 1);
    assert.ok(!asked.some(({ target }) => target === 'PutRecords'), 'something was written');
    const sent = await taxiflow([...replay, '--no-watermark'], { env: KEYS });
    assert.equal(sent.json<{ acknowledged: number }>().acknowledged, 10, sent.stderr);
  });

  it("doctor doesn't advise what an on-demand stream refuses, and reports one that ignores hash keys", async (t) => {
    const file = join(temporaryFolder(t), 'trips.csv');
    writeFileSync(file, busyMinute(3_000));
    for (const [mode, strategy] of [
      ['PROVISIONED', 'USER_PARTITION_KEY'],
      ['ON_DEMAND', 'AUTO'],
    ] as const) {
      const { endpoint } = await amazon(t, {
        DescribeStreamSummary: () =>
          summary({ StreamModeDetails: { StreamMode: mode }, RecordDistributionStrategy: strategy }),
        ListShards: () => ({ Shards: shards(2) }),
      });
      const at = ['--endpoint-url', endpoint, '--data-dir', temporaryFolder(t)];
      const ran = await taxiflow(
        ['doctor', file, '--stream', 'trips', '--speedup', '1000000', '--json', ...at],
        { env: KEYS },
      );
      const { checks } = ran.json<{ checks: { check: string; status: string; advice?: string }[] }>();
      const found = (name: string) => checks.find(({ check }) => check === name);
      assert.equal(found('rate')?.status, 'warning');
      assert.equal(/stream reshard/.test(found('rate')?.advice ?? ''), mode === 'PROVISIONED');
      assert.equal(found('stream')?.status, strategy === 'AUTO' ? 'warning' : 'ok');
    }
  });

  it('reports refused credentials, under each name of the error', async (t) => {
    for (const name of [
      'UnrecognizedClientException',
      'ExpiredTokenException',
      'ExpiredToken',
      'RequestExpired',
    ]) {
      const { options } = await amazon(t, { DescribeStreamSummary: () => name });
      await assert.rejects(KinesisReader.open(options), { code: 'bad-credentials' }, name);
    }
  });

  it('reports what is wrong with the key of an encrypted stream', async (t) => {
    const { options } = await amazon(t, {
      DescribeStreamSummary: () => summary(),
      GetShardIterator: () => ({ ShardIterator: 'a' }),
      GetRecords: () => 'KMSDisabledException',
    });
    const stream = await KinesisReader.open(options);
    t.after(() => stream.close());
    await assert.rejects(stream.read(shardIdOf(0), { at: 'trim-horizon' }, 10), {
      code: 'stream-key',
      hint: /kms:Decrypt/,
    });
  });

  it('reports that a stream has too many consumers, and goes on if it was only throttled', async (t) => {
    for (const passing of [false, true]) {
      const { options, asked } = await amazon(t, {
        DescribeStreamSummary: () => summary(),
        RegisterStreamConsumer: (_, nth) => (passing && nth > 2 ? {} : 'LimitExceededException'),
        DescribeStreamConsumer: (_, nth) =>
          passing && nth > 2
            ? { ConsumerDescription: { ConsumerARN: `${ARN}/consumer/a:1`, ConsumerStatus: 'ACTIVE' } }
            : 'ResourceNotFoundException',
        SubscribeToShard: () => 'KMSDisabledException',
      });
      const stream = await KinesisReader.open({ ...options, clock: new TestClock(), fanOut: 'a' });
      await assert.rejects(stream.read(shardIdOf(0), { at: 'trim-horizon' }, 10), {
        code: passing ? 'stream-key' : 'too-many-consumers',
        hint: passing ? /kms/ : /list-stream-consumers/,
      });
      await stream.close();
      assert.equal(
        asked.some(({ target }) => target === 'SubscribeToShard'),
        passing,
      );
    }
  });

  const good: Record<string, Answer> = {
    DescribeStreamSummary: () => summary(),
    ListShards: () => ({ Shards: shards(1) }),
    PutRecords: () => ({ FailedRecordCount: 0, Records: [{ SequenceNumber: '1', ShardId: shardIdOf(0) }] }),
    GetShardIterator: () => ({ ShardIterator: 'a' }),
    GetRecords: () => ({
      Records: [{ Data: 'e30=', SequenceNumber: '1', ApproximateArrivalTimestamp: 1_700_000_000 }],
      NextShardIterator: 'b',
      MillisBehindLatest: 0,
    }),
    RegisterStreamConsumer: () => ({ Consumer: { ConsumerARN: `${ARN}/consumer/a:1` } }),
    DescribeStreamConsumer: () => ({
      ConsumerDescription: { ConsumerARN: `${ARN}/consumer/a:1`, ConsumerStatus: 'ACTIVE' },
    }),
  };

  /** The path to each part of an answer. */
  const partsOf = (value: unknown, path: string[] = []): string[][] =>
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([name, part]) => [[...path, name], ...partsOf(part, [...path, name])])
      : [];

  const without = (value: object, [name, ...rest]: string[]): object => {
    const copy = structuredClone(value) as Record<string, object>;
    if (rest.length > 0) copy[name!] = without(copy[name!]!, rest);
    else if (Array.isArray(copy)) copy.splice(Number(name), 1);
    else delete copy[name!];
    return copy;
  };

  /** Parts that we don't use, or that the reference calls optional. */
  const OPTIONAL =
    /StreamName|OpenShardCount|EnhancedMonitoring|StartingSequenceNumber|ShardId$|FailedRecordCount|ApproximateArrival|^GetRecords\.Records\.0$|^ListShards\.Shards\.0$|^RegisterStreamConsumer/;

  for (const [request, answer] of Object.entries(good)) {
    for (const part of partsOf(answer({}, 1))) {
      const path = [request, ...part].join('.');
      if (OPTIONAL.test(path) && path !== 'ListShards.Shards.0.ShardId') continue;
      it(`an answer without ${path} is an error that names it`, async (t) => {
        const lacking = () => without(answer({}, 1) as object, part);
        const { options } = await amazon(t, { ...good, [request]: lacking });
        const work = async () => {
          const fanOut = request === 'DescribeStreamConsumer' ? 'a' : undefined;
          const stream = await openBothWays({ ...options, clock: new TestClock(), fanOut });
          t.after(() => stream.close());
          await stream.broadcast(() => Buffer.from('{}'));
          await stream.read(shardIdOf(0), { at: 'trim-horizon' }, 10);
        };
        await assert.rejects(work(), (error: { code?: string; message: string }) => {
          assert.equal(error.code, 'kinesis-bad-answer', error.message);
          const name = part.findLast((step) => /\D/.test(step))!;
          assert.match(error.message, new RegExp(`${request}.*(${name}|entry for each)`));
          return true;
        });
      });
    }
  }

  it("a put whose count of failures doesn't match its entries is an error, as is an extra entry", async (t) => {
    const entry = { SequenceNumber: '1', ShardId: shardIdOf(0) };
    for (const answer of [
      { FailedRecordCount: 1, Records: [entry] },
      { FailedRecordCount: 0, Records: [entry, entry] },
      { FailedRecordCount: 0, Records: [{ ShardId: shardIdOf(0) }] },
    ]) {
      const { options } = await amazon(t, { ...good, PutRecords: () => answer });
      const stream = await openKinesisWriter(options);
      t.after(() => stream.close());
      await assert.rejects(
        stream.broadcast(() => Buffer.from('{}')),
        { code: 'kinesis-bad-answer' },
      );
    }
  });

  it('a shard without a next iterator has ended only if it has children or is listed as closed', async (t) => {
    const end = { Records: [], MillisBehindLatest: 0 };
    const closed = shards(1).map((shard) => ({
      ...shard,
      SequenceNumberRange: { StartingSequenceNumber: '1', EndingSequenceNumber: '9' },
    }));
    for (const answers of [
      { GetRecords: () => ({ ...end, ChildShards: [{ ShardId: shardIdOf(1) }] }) },
      // The list lags.
      {
        GetRecords: () => end,
        ListShards: (_: unknown, nth: number) => ({ Shards: nth < 3 ? shards(1) : closed }),
      },
    ]) {
      const { options } = await amazon(t, { ...good, ...answers });
      const stream = await KinesisReader.open(options);
      t.after(() => stream.close());
      assert.equal((await stream.read(shardIdOf(0), { at: 'trim-horizon' }, 10)).ended, true);
    }
  });

  it('takes a change as made if its answer was lost, however the repetition is refused', async (t) => {
    for (const again of ['ResourceInUseException', 'InvalidArgumentException', 'ResourceNotFoundException']) {
      let open = shards(1);
      let updating = false;
      const change = (parts: object[]) => (_: unknown, nth: number) => {
        if (nth > 1) return again;
        [open, updating] = [parts, true];
        return 'RequestTimeout';
      };
      const closed = {
        ...shards(1)[0],
        SequenceNumberRange: { StartingSequenceNumber: '1', EndingSequenceNumber: '2' },
      };
      const parts = shards(2, 1).map((part) => ({ ...part, ParentShardId: shardIdOf(0) }));
      const { options, asked } = await amazon(t, {
        DescribeStreamSummary: () => {
          const status = updating ? 'UPDATING' : 'ACTIVE';
          updating = false;
          return summary({ StreamStatus: status });
        },
        ListShards: () => ({ Shards: open }),
        SplitShard: change([closed, ...parts]),
        UpdateShardCount: change([closed, ...parts]),
      });
      for (const made of [
        (admin: KinesisAdmin) => admin.split(shardIdOf(0)),
        (admin: KinesisAdmin) => admin.reshard(2),
      ]) {
        open = shards(1);
        const admin = new KinesisAdmin(options);
        assert.deepEqual(await made(admin), [1, 2].map(shardIdOf), again);
        admin.close();
      }
      assert.deepEqual(
        asked.flatMap(({ target }) => (/^(Split|Update)/.test(target) ? target : [])),
        ['SplitShard', 'SplitShard', 'UpdateShardCount', 'UpdateShardCount'],
      );
    }
  });

  it('refuses a change that was refused at once, even if the stream already looks as if it was made', async (t) => {
    const closed = {
      ...shards(1)[0],
      SequenceNumberRange: { StartingSequenceNumber: '1', EndingSequenceNumber: '2' },
    };
    const parts = shards(2, 1).map((part) => ({ ...part, ParentShardId: shardIdOf(0) }));
    for (const names of [['InvalidArgumentException'], ['RequestTimeout', 'InvalidArgumentException']]) {
      const { options } = await amazon(t, {
        DescribeStreamSummary: () => summary(),
        ListShards: () => ({ Shards: [closed, ...parts] }),
        SplitShard: (_, nth) => names[Math.min(nth, names.length) - 1]!,
      });
      const admin = new KinesisAdmin(options);
      t.after(() => admin.close());
      await assert.rejects(admin.split(shardIdOf(0)), { name: 'TaxiflowError' });
    }
  });

  it('tells a stream that it made, though the answer was lost, from one that was there', async (t) => {
    for (const isThere of [false, true]) {
      let there = isThere;
      const { options } = await amazon(t, {
        DescribeStreamSummary: () => (there ? summary() : 'ResourceNotFoundException'),
        CreateStream: (_, nth) => {
          there = true;
          return nth === 1 ? 'RequestTimeout' : 'ResourceInUseException';
        },
      });
      const admin = new KinesisAdmin(options);
      t.after(() => admin.close());
      if (isThere) await assert.rejects(admin.create(1), { code: 'stream-exists' });
      else await admin.create(1);
    }
  });

  it('takes a stream as deleted if the answer was lost and the repetition finds it gone', async (t) => {
    for (const again of ['ResourceNotFoundException', 'ResourceInUseException']) {
      let there = true;
      const { options } = await amazon(t, {
        DescribeStreamSummary: () => (there ? summary() : 'ResourceNotFoundException'),
        DeleteStream: (_, nth) => {
          there = false;
          return nth === 1 ? 'RequestTimeout' : again;
        },
      });
      const admin = new KinesisAdmin(options);
      t.after(() => admin.close());
      await admin.delete();
    }
    const { options } = await amazon(t, { DeleteStream: () => 'ResourceNotFoundException' });
    const admin = new KinesisAdmin(options);
    t.after(() => admin.close());
    await assert.rejects(admin.delete(), { code: 'no-stream' });
  });

  it('waits while someone else changes the stream, however long that takes', async (t) => {
    let busy = 3;
    let updating = 200;
    const [whole] = shards(1);
    const parts = shards(2, 1).map((part) => ({ ...part, ParentShardId: shardIdOf(0) }));
    let split = false;
    const { options } = await amazon(t, {
      // Longer than a request is repeated for.
      DescribeStreamSummary: () => summary({ StreamStatus: updating-- > 0 ? 'UPDATING' : 'ACTIVE' }),
      ListShards: () => ({ Shards: split ? parts : [whole] }),
      SplitShard: () => {
        if (busy-- > 0) return 'ResourceInUseException';
        split = true;
        return {};
      },
    });
    const admin = new KinesisAdmin(options);
    t.after(() => admin.close());
    assert.deepEqual(await admin.split(shardIdOf(0)), [1, 2].map(shardIdOf));
  });

  it('advises to wait while a stream is being changed for long', async (t) => {
    const { options } = await amazon(t, {
      DescribeStreamSummary: () => summary(),
      ListShards: () => ({ Shards: shards(2) }),
      SplitShard: () => 'ResourceInUseException',
    });
    const admin = new KinesisAdmin(options);
    t.after(() => admin.close());
    await assert.rejects(admin.split(shardIdOf(0)), { code: 'stream-not-active', hint: /wait/ });
  });

  it('waits for the shards that a split has opened while the list lags behind', async (t) => {
    const [whole] = shards(1);
    const parts = shards(2, 1).map((part) => ({ ...part, ParentShardId: shardIdOf(0) }));
    const closed = {
      ...whole,
      SequenceNumberRange: { StartingSequenceNumber: '1', EndingSequenceNumber: '2' },
    };
    const { options } = await amazon(t, {
      DescribeStreamSummary: () => summary(),
      // One call finds the shard, one lists what was there before, and then the list lags by two.
      ListShards: (_, nth) => ({ Shards: nth <= 3 ? [whole] : nth === 4 ? [closed] : [closed, ...parts] }),
    });
    const admin = new KinesisAdmin(options);
    t.after(() => admin.close());
    assert.deepEqual(await admin.split(shardIdOf(0)), [1, 2].map(shardIdOf));
  });
});
