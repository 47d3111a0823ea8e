/** The AWS SDK's Kinesis client as taxiflow sets it up, and the requests that more than one module sends. */
import {
  DescribeStreamSummaryCommand,
  KinesisClient,
  type KinesisClientConfig,
  type Shard as KinesisShard,
  ListShardsCommand,
  type ListShardsCommandOutput,
  type StartingPosition,
  type StreamDescriptionSummary,
} from '@aws-sdk/client-kinesis';
import { NodeHttp2Handler, NodeHttpHandler } from '@smithy/node-http-handler';
import type { Clock } from '../../clock.ts';
import { muteVersionWarning } from '../../net/aws-sdk.ts';
import type { Position, Shard } from '../ports.ts';
import { kinesisEndpoint } from './endpoint.ts';
import { badAnswer, required, verdict } from './errors.ts';
import { timeOfShard } from './sequence-time.ts';
import { regionOfArn, streamInput } from './stream-name.ts';

export interface KinesisOptions {
  /** Stream name or ARN. */
  readonly stream: string;
  readonly region?: string | undefined;
  /** The URL of an emulator. The default is what the environment says, else Amazon's. */
  readonly endpointUrl?: string | undefined;
}

const CONNECT_MS = 3_000;
/** A connection on which nothing moves for this long is closed, and the request is sent again. */
const SILENT_MS = 4_000;
/** The most time that a slow peer gets. */
const MOST_SILENT_MS = 64_000;
/** Even a shard without records sends an event every five seconds. */
export const PUSH_SILENT_MS = 20_000;
/** Each shard that is read at the same time takes one. */
const SOCKETS = 512;

/** A client that takes credentials and region from the SDK's default chain. */
export function kinesisClient(options: KinesisOptions): KinesisClient {
  const agent = { keepAlive: true, maxSockets: SOCKETS };
  // HTTP/2 does not fit: emulators don't speak it, and the SDK's handler waits forever and hides the cause of errors.
  const requestHandler = new NodeHttpHandler({
    connectionTimeout: CONNECT_MS,
    socketTimeout: SILENT_MS,
    httpAgent: agent,
    httpsAgent: agent,
  });
  return patient(client(options, { requestHandler }), requestHandler);
}

/**
 * Doubles the time for silence after each timeout, until an answer comes in the usual time. A slow server goes on working
 * on a request after its timeout, so a repetition with the same timeout would never succeed.
 */
function patient(client: KinesisClient, handler: NodeHttpHandler): KinesisClient {
  let silentMs = SILENT_MS;
  const give = (ms: number) => {
    if (ms === silentMs) return;
    silentMs = ms;
    handler.updateHttpClientConfig('socketTimeout', ms);
  };
  client.middlewareStack.add(
    (next) => async (args) => {
      const [started, given] = [performance.now(), silentMs];
      try {
        const result = await next(args);
        if (performance.now() - started < SILENT_MS) give(SILENT_MS);
        return result;
      } catch (error) {
        // Requests that were sent together time out together; only the first of them doubles the time.
        if ((error as Error).name === 'TimeoutError' && given === silentMs)
          give(Math.min(2 * given, MOST_SILENT_MS));
        throw error;
      }
    },
    { step: 'deserialize', priority: 'low', name: 'patient' },
  );
  return client;
}

/** A client for subscriptions: Amazon pushes only over HTTP/2, emulators over HTTP/1.1. */
export function pushClient(options: KinesisOptions): KinesisClient {
  const endpoint = kinesisEndpoint(options.endpointUrl);
  return client(options, {
    requestHandler: endpoint?.startsWith('http:')
      ? new NodeHttpHandler({
          connectionTimeout: CONNECT_MS,
          socketTimeout: PUSH_SILENT_MS,
          httpAgent: { keepAlive: true, maxSockets: SOCKETS },
        })
      : new NodeHttp2Handler({ disableConcurrentStreams: true, requestTimeout: PUSH_SILENT_MS }),
  });
}

function client(
  options: KinesisOptions,
  handler: Pick<KinesisClientConfig, 'requestHandler'>,
): KinesisClient {
  muteVersionWarning();
  const region = options.region ?? regionOfArn(options.stream);
  return new KinesisClient({
    maxAttempts: 2,
    ...(region ? { region } : {}),
    ...(options.endpointUrl ? { endpoint: options.endpointUrl } : {}),
    ...handler,
  });
}

/** The time of Kinesis, epoch ms, from the Date of its answers, since our own clock may be wrong. */
export function timeAt(client: KinesisClient, clock: Clock): () => number {
  let ahead = 0;
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const { headers } = result.response as { headers?: Record<string, string> };
      const told = Date.parse(headers?.['date'] ?? '');
      if (!Number.isNaN(told)) ahead = told - clock.now();
      return result;
    },
    { step: 'deserialize', priority: 'low', name: 'timeAt' },
  );
  return () => clock.now() + ahead;
}

/** A position in the terms of Kinesis. */
export function startingPosition(position: Position): StartingPosition {
  switch (position.at) {
    case 'trim-horizon':
      return { Type: 'TRIM_HORIZON' };
    case 'latest':
      return { Type: 'LATEST' };
    case 'time':
      return { Type: 'AT_TIMESTAMP', Timestamp: new Date(position.ms) };
    case 'after':
      return { Type: 'AFTER_SEQUENCE_NUMBER', SequenceNumber: position.sequence };
  }
}

/** Kinesis' summary of a stream; the parts that taxiflow relies on are there. Throws the SDK's errors, `kinesis-bad-answer`. */
export async function summaryOf(
  client: KinesisClient,
  stream: string,
  abortSignal: AbortSignal,
): Promise<StreamSummary> {
  const request = 'DescribeStreamSummary';
  const answer = await client.send(new DescribeStreamSummaryCommand(streamInput(stream)), { abortSignal });
  const summary = required(answer.StreamDescriptionSummary, request, 'StreamDescriptionSummary');
  return {
    ...summary,
    StreamARN: required(summary.StreamARN, request, 'StreamARN'),
    StreamStatus: required(summary.StreamStatus, request, 'StreamStatus'),
    RetentionPeriodHours: required(summary.RetentionPeriodHours, request, 'RetentionPeriodHours'),
    StreamCreationTimestamp: required(summary.StreamCreationTimestamp, request, 'StreamCreationTimestamp'),
  };
}

type Known = 'StreamARN' | 'StreamStatus' | 'RetentionPeriodHours' | 'StreamCreationTimestamp';
export type StreamSummary = StreamDescriptionSummary & {
  [K in Known]: NonNullable<StreamDescriptionSummary[K]>;
};

export interface ListedShard extends Shard {
  /** When it was made, epoch ms, where its first sequence number says so. */
  readonly openedAt: number | undefined;
}

/** Every shard of a stream, open and closed. `retrying` runs the request of each page. */
export async function listShards(
  client: KinesisClient,
  stream: string,
  retrying: (
    request: (signal?: AbortSignal) => Promise<ListShardsCommandOutput>,
  ) => Promise<ListShardsCommandOutput>,
): Promise<ListedShard[]> {
  const found: ListedShard[] = [];
  let next: string | undefined;
  do {
    const page = await retrying(async (abortSignal) => {
      const input = next ? { NextToken: next } : streamInput(stream);
      try {
        return await client.send(new ListShardsCommand(input), abortSignal ? { abortSignal } : {});
      } catch (error) {
        // A token is valid for five minutes, and an outage may last longer: the list begins anew.
        if (verdict(error) === 'expired') {
          found.length = 0;
          next = undefined;
        }
        throw error;
      }
    });
    for (const shard of required(page.Shards, LIST, 'Shards')) found.push(shardOf(shard));
    next = page.NextToken;
  } while (next);
  return found;
}

const LIST = 'ListShards';

function shardOf(shard: KinesisShard): ListedShard {
  const range = required(shard.SequenceNumberRange, LIST, 'SequenceNumberRange of a shard');
  return {
    id: required(shard.ShardId, LIST, 'ShardId'),
    // Some emulators return null for a parent that does not exist.
    parents: [shard.ParentShardId, shard.AdjacentParentShardId].filter((parent) => parent != null),
    firstHashKey: hashKey(shard.HashKeyRange?.StartingHashKey, 'HashKeyRange.StartingHashKey'),
    lastHashKey: hashKey(shard.HashKeyRange?.EndingHashKey, 'HashKeyRange.EndingHashKey'),
    open: range.EndingSequenceNumber == null,
    openedAt: timeOfShard(range.StartingSequenceNumber),
  };
}

function hashKey(text: string | undefined, name: string): bigint {
  if (text === undefined || !/^\d{1,39}$/.test(text)) throw badAnswer(LIST, `${name} that is a number`);
  return BigInt(text);
}
