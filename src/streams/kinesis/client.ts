/** The AWS SDK's Kinesis client as taxiflow uses it, and its errors in words a user can act on. */
import {
  KinesisClient,
  ListShardsCommand,
  type ListShardsCommandOutput,
  type StartingPosition,
} from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { systemCode, TaxiflowError } from '../../errors.ts';
import type { Position, Shard } from '../stream.ts';

export interface KinesisOptions {
  /** Stream name or ARN. */
  readonly stream: string;
  readonly region?: string | undefined;
  /** For an emulator; otherwise AWS_ENDPOINT_URL_KINESIS, AWS_ENDPOINT_URL, or Amazon's own. */
  readonly endpointUrl?: string | undefined;
}

const CONNECT_MS = 3_000;
const REQUEST_MS = 30_000;

/** A client by the SDK's normal chain of credentials and regions. */
export function kinesisClient(options: KinesisOptions): KinesisClient {
  // What the SDK wants to say about Node versions is for us, not for our users.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const endpoint =
    options.endpointUrl ?? process.env['AWS_ENDPOINT_URL_KINESIS'] ?? process.env['AWS_ENDPOINT_URL'];
  const timeouts = { connectionTimeout: CONNECT_MS, requestTimeout: REQUEST_MS };
  const region = options.region ?? regionOfArn(options.stream);
  return new KinesisClient({
    maxAttempts: 2,
    ...(region ? { region } : {}),
    ...(options.endpointUrl ? { endpoint: options.endpointUrl } : {}),
    // The SDK speaks HTTP/2 with Kinesis, which plain http: endpoints don't.
    ...(endpoint?.startsWith('http:') ? { requestHandler: new NodeHttpHandler(timeouts) } : {}),
  });
}

function regionOfArn(stream: string): string | undefined {
  return stream.startsWith('arn:') ? stream.split(':')[3] : undefined;
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

/** Every shard of a stream, page by page; `retrying` runs each request. */
export async function listShards(
  client: KinesisClient,
  stream: string,
  retrying: (request: () => Promise<ListShardsCommandOutput>) => Promise<ListShardsCommandOutput>,
): Promise<Shard[]> {
  const found: Shard[] = [];
  let next: string | undefined;
  do {
    const input = next ? { NextToken: next } : streamInput(stream);
    const page = await retrying(() => client.send(new ListShardsCommand(input)));
    for (const shard of page.Shards ?? []) {
      found.push({
        id: shard.ShardId!,
        parents: [shard.ParentShardId, shard.AdjacentParentShardId].filter((parent) => parent !== undefined),
        firstHashKey: BigInt(shard.HashKeyRange!.StartingHashKey!),
        lastHashKey: BigInt(shard.HashKeyRange!.EndingHashKey!),
        open: shard.SequenceNumberRange?.EndingSequenceNumber === undefined,
      });
    }
    next = page.NextToken;
  } while (next);
  return found;
}

const THROTTLED = [
  'ProvisionedThroughputExceededException',
  'LimitExceededException',
  'KMSThrottlingException',
  'ThrottlingException',
];
const TRANSIENT_CODES = [
  'ECONNRESET',
  'ECONNREFUSED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ECONNABORTED',
  'ERR_HTTP2_ERROR',
];

/** What to do about an error: wait and try again, take a new iterator, or tell the user. */
export type Verdict = 'throttled' | 'again' | 'expired' | 'final';

export function verdict(error: unknown): Verdict {
  const name = error instanceof Error ? error.name : '';
  if (THROTTLED.includes(name)) return 'throttled';
  if (name === 'ExpiredIteratorException') return 'expired';
  if (name === 'TimeoutError' || TRANSIENT_CODES.includes(systemCode(error) ?? '')) return 'again';
  const status = (error as { $metadata?: { httpStatusCode?: number } })?.$metadata?.httpStatusCode;
  if (status !== undefined && status >= 500) return 'again';
  // A torn answer can't be parsed: the SDK says so with a plain SyntaxError.
  return error instanceof SyntaxError ? 'again' : 'final';
}

/** An error of the SDK as a `TaxiflowError`. */
export function explained(error: unknown, stream: string): TaxiflowError {
  if (error instanceof TaxiflowError) return error;
  const name = error instanceof Error ? error.name : '';
  const message = error instanceof Error ? error.message : String(error);
  const failure = (code: string, text: string, hint: string) =>
    new TaxiflowError(code, text, { hint, cause: error });
  if (name === 'ResourceNotFoundException') {
    return failure(
      'no-stream',
      `there is no Kinesis stream ${stream}`,
      `check name and region, or make it with "taxiflow stream create kinesis:${stream}"`,
    );
  }
  if (name === 'CredentialsProviderError' || /could not load credentials/i.test(message)) {
    return failure(
      'no-credentials',
      'no AWS credentials were found',
      'run "aws configure" or "aws sso login", or set AWS_PROFILE or AWS_ACCESS_KEY_ID',
    );
  }
  if (/region is missing|region not accepted/i.test(message))
    return failure('no-region', 'no AWS region is set', 'give --region, or set AWS_REGION');
  if (
    [
      'UnrecognizedClientException',
      'InvalidSignatureException',
      'ExpiredTokenException',
      'InvalidClientTokenId',
    ].includes(name)
  ) {
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
  if (verdict(error) === 'again') {
    return failure(
      'kinesis-unreachable',
      `Kinesis does not answer (${systemCode(error) ?? name}): ${message}`,
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
