/** What CloudWatch tells of a stream, in a server that answers as Amazon's reference says, and in a real emulator. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { CloudWatchClient, PutMetricDataCommand } from '@aws-sdk/client-cloudwatch';
import { WrittenFigures } from '../../src/streams/kinesis/cloudwatch.ts';
import type { MinuteOfWrites } from '../../src/streams/ports.ts';
import { TestClock } from '../clock.ts';
import { type CloudWatchOptions, type Point, startCloudWatch } from '../services/cloudwatch.ts';
import { startMinistack, withoutMinistack } from '../services/ministack.ts';
import '../aws-settings.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** Ten seconds after a minute began; figures are asked for by this time. */
const NOW = Date.UTC(2026, 0, 5, 12, 0, 10);
const start = (ago: number) => Date.UTC(2026, 0, 5, 12) - (ago + 1) * MINUTE;

/** Figures of the minute that ended so many minutes ago. */
function minute(ago: number, { bytes = 6_000, records = 60, throttled = 0, reads = 0 } = {}): Point[] {
  const of = {
    IncomingBytes: bytes,
    IncomingRecords: records,
    WriteProvisionedThroughputExceeded: throttled,
  };
  const all = Object.entries({ ...of, 'GetRecords.Success': reads });
  return all.flatMap(([metric, value]) => (value > 0 ? [{ metric, at: start(ago), value }] : []));
}

const minutes = (from: number, to: number) =>
  Array.from({ length: from - to + 1 }, (_, i) => minute(from - i)).flat();

async function open(t: TestContext, options: Omit<CloudWatchOptions, 'stream'>, stream = 'trips') {
  const { url, requests } = await startCloudWatch(t, { stream: 'trips', ...options });
  const figures = new WrittenFigures({ stream, endpointUrl: url, clock: new TestClock({ step: 1_000 }) });
  t.after(() => figures.close());
  const written = (ago = 25) => figures.written(start(ago - 1), NOW);
  return { written, requests };
}

/** How many minutes ago each ended, newest last, and what was in it. */
function told(found: readonly MinuteOfWrites[]): [ago: number, records: number, settled: boolean][] {
  return found.map(({ start: at, records, settled }) => [(start(0) - at) / MINUTE, records, settled]);
}

describe('figures of CloudWatch', () => {
  it('are bytes, records and throttled writes by the minute', async (t) => {
    const points = [...minutes(3, 2), ...minute(1, { bytes: 5, records: 4, throttled: 3 }), ...minute(0)];
    const { written } = await open(t, { points });
    assert.deepEqual((await written(4)).slice(-4), [
      { start: start(3), bytes: 6_000, records: 60, throttled: 0, settled: true },
      { start: start(2), bytes: 6_000, records: 60, throttled: 0, settled: true },
      { start: start(1), bytes: 5, records: 4, throttled: 3, settled: false },
      { start: start(0), bytes: 6_000, records: 60, throttled: 0, settled: false },
    ]);
  });

  it('come in pages', async (t) => {
    const { written, requests } = await open(t, { points: minutes(150, 0), pageSize: 20 });
    const found = await written();
    assert.equal(found.length, 25);
    assert.ok(found.every(({ bytes, records }) => bytes === 6_000 && records === 60));
    assert.equal(requests.length, 8);
    assert.equal(new Set(requests.map(({ NextToken }) => NextToken)).size, 8);
  });

  it('go by the name of a stream that was given by its ARN', async (t) => {
    const arn = 'arn:aws:kinesis:us-east-1:000000000000:stream/trips';
    const { written } = await open(t, { points: minutes(5, 0) }, arn);
    assert.equal((await written()).at(-1)?.records, 60);
  });

  it('of a minute that is missing are none, once those of two later minutes have come', async (t) => {
    const points = [...minutes(20, 9), ...minute(4)];
    const found = told(await (await open(t, { points })).written(21));
    assert.deepEqual(
      found.slice(-6),
      [[10, 60, true], [9, 60, true], ...[8, 7, 6].map((ago) => [ago, 0, true]), [4, 60, true]],
      'nothing is known of the minute before the newest, and of those behind it',
    );
  });

  it('of a busy stream that are late leave nothing but a gap', async (t) => {
    const found = told(await (await open(t, { points: minutes(170, 12) })).written(25));
    assert.equal(found.at(-1)?.[0], 12);
    assert.ok(found.every(([, records]) => records === 60));
  });

  it('of a stream without writers are none where those of its readers have come', async (t) => {
    const reads = Array.from({ length: 170 }, (_, ago) =>
      minute(ago, { bytes: 0, records: 0, reads: 5 }),
    ).flat();
    const found = told(await (await open(t, { points: reads })).written(25));
    assert.deepEqual(found.at(-1), [2, 0, true]);
    assert.equal(found.length, 23);
    assert.ok(found.every(([, records, settled]) => records === 0 && settled));
  });

  it('of a stream that has been silent for an hour are none', async (t) => {
    const silent = async (ago: number) =>
      told(await (await open(t, { points: minutes(170, ago) })).written(25));
    assert.deepEqual(await silent(58), []);
    assert.equal((await silent(61)).length, 23, 'all but those that may still come');
    const days = await open(t, {
      points: [{ metric: 'IncomingRecords', at: NOW - 5 * 24 * HOUR, value: 1 }],
    });
    assert.equal((await days.written()).length, 23, 'for days');
  });

  it('of a stream to which nobody ever wrote aren’t known', async (t) => {
    const { written, requests } = await open(t, { points: [] });
    assert.deepEqual(await written(), []);
    assert.equal(requests.length, 2);
  });

  it('are asked for again when CloudWatch is busy or broken', async (t) => {
    const faults = ['ThrottlingException', 'InternalFailure', 'Throttling'];
    const { written } = await open(t, { points: minutes(5, 0), fault: (nth) => faults[nth - 1] });
    assert.equal((await written()).at(-1)?.records, 60);
  });

  for (const [fault, code, names] of [
    ['AccessDeniedException', 'access-denied', /so it is/],
    ['AccessDenied', 'access-denied', /so it is/],
    ['UnrecognizedClientException', 'bad-credentials', /so it is/],
    [
      'UnknownOperationException',
      'no-figures',
      /no figures of what is written to kinesis:trips: CloudWatch says/,
    ],
    ['InternalFailure', 'cloudwatch-unreachable', /figures of kinesis:trips, does not answer/],
  ] as const)
    it(`end with ${code} where CloudWatch says ${fault}`, async (t) => {
      const { written } = await open(t, { points: [], fault: () => fault });
      await assert.rejects(written(), (error: Error & { code?: string; hint?: string }) => {
        assert.equal(error.code, code);
        assert.match(error.message, names);
        assert.ok(error.hint);
        return true;
      });
    });

  it('are refused where an answer makes no sense', async (t) => {
    const spoils: NonNullable<CloudWatchOptions['spoil']>[] = [
      (all) => all.map((one) => ({ ...one, Values: [] })),
      (all) => all.map((one) => ({ ...one, Id: 'other' })),
      (all) => all.map((one) => ({ ...one, Values: (one['Values'] as number[]).map(() => -1) })),
      (all) => all.map((one) => ({ ...one, StatusCode: 'InternalError' })),
      (all) => all.map((one) => ({ ...one, StatusCode: 'Forbidden' })),
    ];
    for (const spoil of spoils) {
      const { written } = await open(t, { points: minutes(5, 0), spoil });
      await assert.rejects(written(), { code: 'no-figures', message: /answer can't be used/ });
    }
  });

  it('that never end are given up', async (t) => {
    const { written, requests } = await open(t, { points: minutes(150, 0), pageSize: 1 });
    await assert.rejects(written(), { code: 'no-figures', message: /50 pages/ });
    assert.equal(requests.length, 51);
  });

  it('that were put into a real emulator come back', { skip: withoutMinistack }, async (t) => {
    const { endpoint, env } = await startMinistack(t);
    Object.assign(process.env, env);
    const client = new CloudWatchClient({ endpoint, region: 'us-east-1' });
    t.after(() => client.destroy());
    const now = Date.now();
    const newest = Math.floor(now / MINUTE) * MINUTE - MINUTE;
    for (let ago = 0; ago < 20; ago++)
      await client.send(
        new PutMetricDataCommand({
          Namespace: 'AWS/Kinesis',
          // Two of each: a minute is their sum. The minute that ended five ago is missing.
          MetricData:
            ago === 5
              ? []
              : [1, 2].flatMap((part) =>
                  ['IncomingBytes', 'IncomingRecords'].map((MetricName) => ({
                    MetricName,
                    Dimensions: [{ Name: 'StreamName', Value: 'trips' }],
                    Timestamp: new Date(newest - ago * MINUTE + part * 1_000),
                    Value: 100 * ago + part,
                  })),
                ),
        }),
      );
    const figures = new WrittenFigures({
      stream: 'trips',
      endpointUrl: endpoint,
      clock: new TestClock({ step: 1_000 }),
    });
    t.after(() => figures.close());
    const found = await figures.written(newest - 9 * MINUTE, now);
    assert.deepEqual(
      found.map(({ start: at, bytes, records }) => [(newest - at) / MINUTE, bytes, records]),
      [9, 8, 7, 6, 5, 4, 3, 2, 1, 0].map((ago) => [
        ago,
        ...(ago === 5 ? [0, 0] : [200 * ago + 3, 200 * ago + 3]),
      ]),
    );
  });
});
