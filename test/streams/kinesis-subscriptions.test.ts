/** Subscriptions that Kinesis or the network ends with an error. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { constants, createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { crc32 } from 'node:zlib';
import { KinesisClient, ListShardsCommand } from '@aws-sdk/client-kinesis';
import { NodeHttp2Handler } from '@smithy/node-http-handler';
import { type Clock, systemClock } from '../../src/clock.ts';
import { verdict } from '../../src/streams/kinesis/errors.ts';
import { KinesisReader } from '../../src/streams/kinesis/reader.ts';

const STREAM_ARN = 'arn:aws:kinesis:us-east-1:000000000000:stream/trips';
const CONSUMER_ARN = `${STREAM_ARN}/consumer/taxiflow-test:1`;

/** A message of an event stream: lengths, their checksum, headers, payload, the checksum of everything. */
function message(headers: Record<string, string>, payload: object): Buffer {
  const names = Object.entries({ ...headers, ':content-type': 'application/json' }).map(([name, value]) =>
    Buffer.concat([
      Buffer.of(name.length),
      Buffer.from(name),
      Buffer.of(7, value.length >> 8, value.length & 0xff),
      Buffer.from(value),
    ]),
  );
  const [head, body] = [Buffer.concat(names), Buffer.from(JSON.stringify(payload))];
  const prelude = numbers(12 + head.length + body.length + 4, head.length);
  const signed = Buffer.concat([prelude, numbers(crc32(prelude)), head, body]);
  return Buffer.concat([signed, numbers(crc32(signed))]);
}

function numbers(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, 4 * i);
  return bytes;
}

const event = (type: string, payload: object) =>
  message({ ':message-type': 'event', ':event-type': type }, payload);
const exception = (type: string) =>
  message({ ':message-type': 'exception', ':exception-type': type }, { message: 'so it is' });
const records = (...texts: string[]) =>
  event('SubscribeToShardEvent', {
    Records: texts.map((text, i) => ({
      Data: Buffer.from(text).toString('base64'),
      SequenceNumber: `${i}-${text}`,
      ApproximateArrivalTimestamp: 1_700_000_000 + i,
      PartitionKey: 'p',
    })),
    ContinuationSequenceNumber: '9',
    MillisBehindLatest: 0,
  });

interface Fake {
  readonly endpoint: string;
  /** The start position of each subscription. */
  readonly positions: unknown[];
}

/** A Kinesis whose subscriptions give what `subscriptions` says, one after the other, and end. */
async function fakeKinesis(t: TestContext, subscriptions: readonly Buffer[][]): Promise<Fake> {
  const positions: unknown[] = [];
  const answers: Record<string, object> = {
    DescribeStreamSummary: {
      StreamDescriptionSummary: {
        StreamName: 'trips',
        StreamARN: STREAM_ARN,
        StreamStatus: 'ACTIVE',
        RetentionPeriodHours: 24,
        StreamCreationTimestamp: 1_700_000_000,
      },
    },
    RegisterStreamConsumer: { Consumer: { ConsumerARN: CONSUMER_ARN } },
    DescribeStreamConsumer: { ConsumerDescription: { ConsumerARN: CONSUMER_ARN, ConsumerStatus: 'ACTIVE' } },
    DeregisterStreamConsumer: {},
  };
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const target = String(request.headers['x-amz-target']).split('.').at(-1)!;
    if (target !== 'SubscribeToShard') {
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' });
      response.end(JSON.stringify(answers[target] ?? {}));
      return;
    }
    const asked = JSON.parse(Buffer.concat(chunks).toString()) as { StartingPosition: unknown };
    const pieces = subscriptions[positions.length] ?? [];
    positions.push(asked.StartingPosition);
    response.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' });
    response.end(Buffer.concat([event('initial-response', {}), ...pieces]));
  };
  const server = createServer((request, response) => void handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, positions };
}

async function subscriber(t: TestContext, endpointUrl: string): Promise<KinesisReader> {
  Object.assign(process.env, {
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_REGION: 'us-east-1',
  });
  // A wait with a signal is one for records; the others are pauses, which may be short.
  const sleep: Clock['sleep'] = (ms, signal) => systemClock.sleep(signal ? ms : Math.min(ms, 5), signal);
  const stream = await KinesisReader.open({
    stream: 'trips',
    endpointUrl,
    clock: { now: systemClock.now, sleep },
    fanOut: 'taxiflow-test',
  });
  t.after(() => stream.close());
  return stream;
}

describe('a subscription', () => {
  it('K1 that Kinesis or the network breaks is resumed after the last record', async (t) => {
    const faults = [
      ...['InternalFailureException', 'ServiceUnavailableException', 'KMSThrottlingException'].map(exception),
      records('torn').subarray(0, 40),
      message({ ':message-type': 'error', ':error-code': 'InternalError', ':error-message': 'oh' }, {}),
    ];
    const { endpoint, positions } = await fakeKinesis(t, [
      ...faults.map((fault, i) => [records(`record ${i}`), fault]),
      [records('the last')],
    ]);
    const stream = await subscriber(t, endpoint);
    const seen: string[] = [];
    let position = { at: 'trim-horizon' } as Parameters<KinesisReader['read']>[1];
    while (seen.length <= faults.length) {
      t.signal.throwIfAborted();
      const batch = await stream.read('shardId-000000000000', position, 10);
      position = batch.next;
      if (batch.count > 0) seen.push(batch.data.toString());
    }
    assert.deepEqual(seen, [...faults.map((_, i) => `record ${i}`), 'the last']);
    assert.deepEqual(positions, [
      { Type: 'TRIM_HORIZON' },
      ...faults.map((_, i) => ({
        Type: 'AFTER_SEQUENCE_NUMBER',
        SequenceNumber: `0-record ${i}`,
      })),
    ]);
  });

  it('without permission is an error at once', async (t) => {
    const { endpoint } = await fakeKinesis(t, [[exception('KMSAccessDeniedException')]]);
    const stream = await subscriber(t, endpoint);
    await assert.rejects(stream.read('shardId-000000000000', { at: 'trim-horizon' }, 10), {
      message: /KMSAccessDeniedException: so it is/,
    });
  });

  it('whose connection Kinesis closes is tried again', async (t) => {
    const ends: ((stream: ServerHttp2Stream) => void)[] = [
      (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM),
      (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR),
      (stream) => stream.session?.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM),
      (stream) => stream.session?.destroy(),
    ];
    const server = createHttp2Server().on('sessionError', () => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (const end of ends) {
      server.once('stream', (stream) => end(stream.on('error', () => {})));
      const client = new KinesisClient({
        endpoint,
        region: 'us-east-1',
        credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
        maxAttempts: 1,
        requestHandler: new NodeHttp2Handler({ disableConcurrentStreams: true }),
      });
      const error: unknown = await client.send(new ListShardsCommand({ StreamName: 'trips' })).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      assert.equal(verdict(error), 'again', String(error));
      client.destroy();
    }
  });
});
