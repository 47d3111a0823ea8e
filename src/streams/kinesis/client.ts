/** The AWS SDK's Kinesis client as taxiflow uses it, and its errors in words a user can act on. */
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
import { type ErrorCode, systemCode, TaxiflowError } from '../../errors.ts';
import type { Position, Shard } from '../stream.ts';
import { kinesisEndpoint } from './endpoint.ts';

export interface KinesisOptions {
  /** Stream name or ARN. */
  readonly stream: string;
  readonly region?: string | undefined;
  /** For an emulator; otherwise what the environment says, or Amazon's own. */
  readonly endpointUrl?: string | undefined;
}

const CONNECT_MS = 3_000;
/** A connection on which nothing moves for so long is given up, and the request sent again. */
const SILENT_MS = 4_000;
/** A slow peer is given more time, up to this. */
const MOST_SILENT_MS = 64_000;
/** Even a shard without records sends an event every five seconds. */
export const PUSH_SILENT_MS = 20_000;
/** More sockets than shards that are read at once. */
const SOCKETS = 512;
const FIRST_CONTACT_MS = 8_000;
const FIRST_CONTACT_ATTEMPTS = 5;

/** A client by the SDK's normal chain of credentials and regions. */
export function kinesisClient(options: KinesisOptions): KinesisClient {
  const agent = { keepAlive: true, maxSockets: SOCKETS };
  // Not the SDK's HTTP/2: emulators don't speak it, it waits for a silent peer for ever, and names no cause.
  const requestHandler = new NodeHttpHandler({
    connectionTimeout: CONNECT_MS,
    socketTimeout: SILENT_MS,
    httpAgent: agent,
    httpsAgent: agent,
  });
  return patient(client(options, { requestHandler }), requestHandler);
}

/**
 * A slow server still works on a request that was given up, and one repeated with the same timeout would never succeed.
 * So each timeout doubles the next one, until an answer comes in the usual time.
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
        // Of requests that went out together only the first one to end counts.
        if ((error as Error).name === 'TimeoutError' && given === silentMs)
          give(Math.min(2 * given, MOST_SILENT_MS));
        throw error;
      }
    },
    { step: 'deserialize', priority: 'low', name: 'patient' },
  );
  return client;
}

/** A client for subscriptions, which Amazon pushes over HTTP/2 alone, and an emulator over what it has. */
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
  // What the SDK wants to say about Node versions is for us, not for our users.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const region = options.region ?? regionOfArn(options.stream);
  return new KinesisClient({
    maxAttempts: 2,
    ...(region ? { region } : {}),
    ...(options.endpointUrl ? { endpoint: options.endpointUrl } : {}),
    ...handler,
  });
}

/** The time at Kinesis, as its answers tell it: our own clock may be wrong. Epoch ms. */
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

function regionOfArn(stream: string): string | undefined {
  return stream.startsWith('arn:') ? stream.split(':')[3] : undefined;
}

/** How a stream is named to the user, who may have given its ARN. */
export function nameOf(stream: string): string {
  return `kinesis:${stream.replace(/^.*\//, '')}`;
}

/** How a request names its stream. */
export function streamInput(stream: string): { StreamARN: string } | { StreamName: string } {
  return stream.startsWith('arn:') ? { StreamARN: stream } : { StreamName: stream };
}

/** A position as Kinesis names it. */
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

/** An answer without what it must have: whatever is made of it would be wrong. `lacks` names the part. */
export function badAnswer(request: string, lacks: string): TaxiflowError {
  return new TaxiflowError('kinesis-bad-answer', `Kinesis' answer to ${request} has no ${lacks}`, {
    hint: 'check --endpoint-url and the proxies of this network; an emulator may need a newer version',
  });
}

/** A part that an answer must have; a text must not be empty. */
export function required<T>(part: T | null | undefined, request: string, name: string): T {
  if (part === undefined || part === null || part === '') throw badAnswer(request, name);
  return part;
}

/** What Kinesis says of a stream in a few words, with all that taxiflow goes by. */
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

/** Every shard of a stream, page by page; `retrying` runs each request. */
export async function listShards(
  client: KinesisClient,
  stream: string,
  retrying: (
    request: (signal?: AbortSignal) => Promise<ListShardsCommandOutput>,
  ) => Promise<ListShardsCommandOutput>,
): Promise<Shard[]> {
  const found: Shard[] = [];
  let next: string | undefined;
  do {
    const page = await retrying(async (abortSignal) => {
      const input = next ? { NextToken: next } : streamInput(stream);
      try {
        return await client.send(new ListShardsCommand(input), abortSignal ? { abortSignal } : {});
      } catch (error) {
        // A token is good for five minutes, and Amazon may be away for longer.
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

function shardOf(shard: KinesisShard): Shard {
  const range = required(shard.SequenceNumberRange, LIST, 'SequenceNumberRange of a shard');
  return {
    id: required(shard.ShardId, LIST, 'ShardId'),
    // Some emulators give null where there is none.
    parents: [shard.ParentShardId, shard.AdjacentParentShardId].filter((parent) => parent != null),
    firstHashKey: hashKey(shard.HashKeyRange?.StartingHashKey, 'HashKeyRange.StartingHashKey'),
    lastHashKey: hashKey(shard.HashKeyRange?.EndingHashKey, 'HashKeyRange.EndingHashKey'),
    open: range.EndingSequenceNumber == null,
  };
}

function hashKey(text: string | undefined, name: string): bigint {
  if (text === undefined || !/^\d{1,39}$/.test(text)) throw badAnswer(LIST, `${name} that is a number`);
  return BigInt(text);
}

const THROTTLED = [
  'ProvisionedThroughputExceededException',
  'LimitExceededException',
  'KMSThrottlingException',
  'ThrottlingException',
  // Of the service that hands out the credentials of a role.
  'Throttling',
];
const TRANSIENT_CODES = [
  'ECONNRESET',
  'ECONNREFUSED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ECONNABORTED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
];

/** A subscription that ended with an error which says nothing of the next one. */
export class SubscriptionBroken extends Error {
  override readonly name = 'SubscriptionBroken';
}

/** What to do about an error: wait and try again, begin anew with a fresh iterator or token, or tell the user. */
export type Verdict = 'throttled' | 'again' | 'expired' | 'final';

export function verdict(error: unknown): Verdict {
  const name = error instanceof Error ? error.name : '';
  if (THROTTLED.includes(name) || statusOf(error) === 429) return 'throttled';
  if (name === 'ExpiredIteratorException' || name === 'ExpiredNextTokenException') return 'expired';
  const code = systemCode(error) ?? '';
  if (name === 'TimeoutError' || TRANSIENT_CODES.includes(code) || code.startsWith('ERR_HTTP2_'))
    return 'again';
  if (error instanceof SubscriptionBroken) return 'again';
  const status = statusOf(error);
  if (status !== undefined && (status >= 500 || status === 408)) return 'again';
  // A torn answer can't be parsed: the SDK says so with a plain SyntaxError.
  return error instanceof SyntaxError ? 'again' : 'final';
}

function statusOf(error: unknown): number | undefined {
  const { $metadata, $response } = (error ?? {}) as {
    $metadata?: { httpStatusCode?: number };
    $response?: { statusCode?: number };
  };
  return $metadata?.httpStatusCode ?? $response?.statusCode;
}

/** One small request, as often as it takes, so that what keeps a command from its stream is told within 10 seconds. */
export async function firstContact<T>(
  stream: string,
  clock: Clock,
  request: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const signal = AbortSignal.timeout(FIRST_CONTACT_MS);
  for (let attempt = 0; ; attempt++) {
    try {
      return await request(signal);
    } catch (error) {
      const kind = verdict(error);
      // Who is told to slow down has reached the stream, among many: that takes its time.
      const tries = kind === 'throttled' ? Number.POSITIVE_INFINITY : FIRST_CONTACT_ATTEMPTS;
      if (signal.aborted || kind === 'final' || attempt + 1 >= tries) throw explained(error, stream);
      await clock.sleep(backoff(attempt, 100, 2_000), signal);
    }
  }
}

/** Errors of credentials, without the "Exception" that some services put behind them. */
const NOT_ACCEPTED = [
  'UnrecognizedClient',
  'InvalidClientTokenId',
  'InvalidSignature',
  'SignatureDoesNotMatch',
  'IncompleteSignature',
  'MissingAuthenticationToken',
  'ExpiredToken',
  'RequestExpired',
];

/** An error of the SDK as a `TaxiflowError`. */
export function explained(error: unknown, stream: string): TaxiflowError {
  if (error instanceof TaxiflowError) return error;
  const name = error instanceof Error ? error.name : '';
  const message = (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ').trim();
  const failure = (code: ErrorCode, text: string, hint: string) =>
    new TaxiflowError(code, text, { hint, cause: error });
  if (name === 'ResourceNotFoundException') {
    const region = regionOfArn(stream);
    return failure(
      'no-stream',
      `there is no Kinesis stream ${stream}`,
      `check name and region, or make it with "taxiflow stream create ${nameOf(stream)}${region ? ` --region ${region}` : ''}"`,
    );
  }
  const nowhere = /could not load credentials/i.test(message);
  if (name === 'CredentialsProviderError' || name === 'TokenProviderError' || nowhere) {
    return failure(
      'no-credentials',
      `no AWS credentials were found${nowhere ? '' : `: ${message}`}`,
      'run "aws configure" or "aws sso login", or set AWS_PROFILE or AWS_ACCESS_KEY_ID',
    );
  }
  if (/region is missing/i.test(message))
    return failure('no-region', 'no AWS region is set', 'give --region, or set AWS_REGION');
  if (/region not accepted/i.test(message))
    return failure(
      'bad-region',
      `this is no AWS region: ${/"(.*)"/.exec(message)?.[1] ?? ''}`,
      'give --region, or set AWS_REGION',
    );
  if (NOT_ACCEPTED.includes(name.replace(/Exception$/, ''))) {
    return failure(
      'bad-credentials',
      `AWS does not accept these credentials: ${message}`,
      'log in again, or check the profile and the region',
    );
  }
  if (name.startsWith('AccessDenied')) {
    return failure(
      'access-denied',
      `not allowed: ${message}`,
      'add the permission named to the role or user',
    );
  }
  if (name.startsWith('KMS')) {
    return failure(
      'stream-key',
      `the key that encrypts the stream can't be used: ${name}: ${message}`,
      'check that the key is enabled, and the right kms:GenerateDataKey to write, kms:Decrypt to read',
    );
  }
  if (name === 'ResourceInUseException') {
    return failure(
      'stream-not-active',
      `Kinesis says: ${message}`,
      'wait until nobody changes the stream any more, then run the same command again',
    );
  }
  const status = statusOf(error);
  if (error instanceof SyntaxError || message === 'UnknownError') {
    return failure(
      'not-kinesis',
      `what answers is not Kinesis${status === undefined ? '' : ` (HTTP status ${status})`}`,
      'check --endpoint-url and the proxies of this network',
    );
  }
  const timedOut = name === 'TimeoutError' || name === 'AbortError';
  if (timedOut || verdict(error) === 'again' || (status === undefined && systemCode(error) !== undefined)) {
    return failure(
      'kinesis-unreachable',
      `Kinesis does not answer: ${timedOut ? 'timed out' : message}`,
      'check --region, --endpoint-url and the network',
    );
  }
  return failure(
    'kinesis-error',
    `Kinesis says: ${name}: ${message}`,
    'see the Kinesis API reference for this error',
  );
}

/** Full jitter: a random wait below base × 2^attempt, `most` ms at most. */
export function backoff(attempt: number, base = 100, most = 5_000): number {
  return Math.random() * Math.min(most, base * 2 ** attempt);
}

/** How long one request may fail in a row before the run gives up. */
const GIVE_UP_MS = 300_000;

/** Waits when an error passes by itself; throws it in the user's words when it doesn't, or goes on for too long. */
export async function pause(
  error: unknown,
  attempt: number,
  since: number,
  stream: string,
  clock: Clock,
): Promise<void> {
  const kind = verdict(error);
  if (kind === 'final' || clock.now() - since > GIVE_UP_MS) throw explained(error, stream);
  if (kind !== 'expired') await clock.sleep(backoff(Math.min(attempt, 6), kind === 'throttled' ? 250 : 100));
}

/** One request, again and again. */
export async function untilDone<T>(request: () => Promise<T>, stream: string, clock: Clock): Promise<T> {
  for (let attempt = 0, since = clock.now(); ; attempt++) {
    try {
      return await request();
    } catch (error) {
      await pause(error, attempt, since, stream, clock);
    }
  }
}
