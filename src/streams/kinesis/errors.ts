/** Errors of Kinesis and its SDK: which of them pass, how long requests are repeated, and words a user can act on. */
import type { Clock } from '../../clock.ts';
import { type ErrorCode, systemCode, TaxiflowError } from '../../errors.ts';
import {
  type AwsVerdict,
  accessError,
  awsVerdict,
  errorMessage,
  errorName,
  httpStatus,
  isTimeout,
} from '../../net/aws-errors.ts';
import { AT_ONCE, type Attempts, type Backoff, type Patience, retry } from '../../net/retry.ts';
import { nameOf, regionOfArn } from './stream-name.ts';

const BACKOFF: Backoff = { firstMs: 100, longestMs: 5_000, jitter: 'full' };
/** A request that fails for longer than this ends the run. */
const GIVE_UP_MS = 300_000;
const FIRST_CONTACT: Backoff = { firstMs: 100, longestMs: 2_000, jitter: 'full' };
const FIRST_CONTACT_MS = 8_000;
const FIRST_CONTACT_TRIES = 5;

/** An answer lacks a part it must have, so nothing right can be made of it. `lacks` names the part. */
export function badAnswer(request: string, lacks: string): TaxiflowError {
  return new TaxiflowError('kinesis-bad-answer', `Kinesis' answer to ${request} has no ${lacks}`, {
    hint: 'check --endpoint-url and the proxies of this network; an emulator may need a newer version',
  });
}

/** A part that an answer must have; a text must not be empty. Throws `kinesis-bad-answer`. */
export function required<T>(part: T | null | undefined, request: string, name: string): T {
  if (part === undefined || part === null || part === '') throw badAnswer(request, name);
  return part;
}

/** A subscription ended with an error that does not concern the next one. */
export class SubscriptionBroken extends Error {
  override readonly name = 'SubscriptionBroken';
}

/** `expired`: begin anew with a fresh iterator or token. */
export type Verdict = AwsVerdict | 'expired';

export function verdict(error: unknown): Verdict {
  if (error instanceof SubscriptionBroken) return 'again';
  const name = errorName(error);
  if (name === 'ExpiredIteratorException' || name === 'ExpiredNextTokenException') return 'expired';
  return awsVerdict(error);
}

/** The result of one small request. What keeps a command from its stream is thrown as in `explained`, within 10 s. */
export function firstContact<T>(
  stream: string,
  clock: Clock,
  request: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const signal = AbortSignal.timeout(FIRST_CONTACT_MS);
  return retry(() => request(signal), {
    clock,
    signal,
    patience: firstPatience,
    explain: (error) => explained(error, stream),
  });
}

function firstPatience(error: unknown): Patience | undefined {
  const kind = verdict(error);
  if (kind === 'final') return undefined;
  // A request that is told to slow down has reached the stream, and many others may wait there too.
  return kind === 'throttled' ? FIRST_CONTACT : { ...FIRST_CONTACT, tries: FIRST_CONTACT_TRIES };
}

/** The result of one request of a run, repeated for up to five minutes, or until `signal` aborts. Throws as `explained`. */
export function untilDone<T>(
  request: () => Promise<T>,
  stream: string,
  clock: Clock,
  signal?: AbortSignal,
): Promise<T> {
  return retry(request, {
    clock,
    ...(signal ? { signal } : {}),
    patience,
    explain: (error) => explained(error, stream),
  });
}

/** Waits before the next attempt of a run's request, or throws as `explained`. */
export async function pause(error: unknown, attempts: Attempts, stream: string): Promise<void> {
  if (!(await attempts.again(patience(error)))) throw explained(error, stream);
}

function patience(error: unknown): Patience | undefined {
  switch (verdict(error)) {
    case 'final':
      return undefined;
    case 'expired':
      return { ...AT_ONCE, giveUpMs: GIVE_UP_MS };
    case 'throttled':
      return { ...BACKOFF, firstMs: 250, giveUpMs: GIVE_UP_MS };
    case 'again':
      return { ...BACKOFF, giveUpMs: GIVE_UP_MS };
  }
}

/** An error of the SDK as a `TaxiflowError`: `no-stream`, `no-credentials`, `kinesis-unreachable`, `kinesis-error`, … */
export function explained(error: unknown, stream: string): TaxiflowError {
  if (error instanceof TaxiflowError) return error;
  return (
    missingStream(error, stream) ??
    refusedAccess(error, stream) ??
    refusal(error) ??
    silence(error) ??
    failure(
      error,
      'kinesis-error',
      `Kinesis says: ${errorName(error)}: ${errorMessage(error)}`,
      'see the Kinesis API reference for this error',
    )
  );
}

function failure(cause: unknown, code: ErrorCode, message: string, hint: string): TaxiflowError {
  return new TaxiflowError(code, message, { hint, cause });
}

function missingStream(error: unknown, stream: string): TaxiflowError | undefined {
  if (errorName(error) !== 'ResourceNotFoundException') return undefined;
  const region = regionOfArn(stream);
  return failure(
    error,
    'no-stream',
    `there is no Kinesis stream ${stream}`,
    `check name and region, or make it with "taxiflow stream create ${nameOf(stream)}${region ? ` --region ${region}` : ''}"`,
  );
}

/** A name that could be one of an embedded stream, unlike an ARN. */
const PLAIN_NAME = /^[\w.-]+$/;

/** An access error; where no region is set, the stream may be meant to be an embedded one. */
function refusedAccess(error: unknown, stream: string): TaxiflowError | undefined {
  const refused = accessError(error);
  if (refused?.code !== 'no-region' || !PLAIN_NAME.test(stream)) return refused;
  const hint = `${refused.hint}; an embedded stream is written local:${stream}`;
  return failure(error, refused.code, refused.message, hint);
}

function refusal(error: unknown): TaxiflowError | undefined {
  const name = errorName(error);
  if (name.startsWith('KMS')) {
    return failure(
      error,
      'stream-key',
      `the key that encrypts the stream can't be used: ${name}: ${errorMessage(error)}`,
      'check that the key is enabled, and the right kms:GenerateDataKey to write, kms:Decrypt to read',
    );
  }
  if (name === 'LimitExceededException') {
    return failure(
      error,
      'kinesis-limit',
      `Kinesis says: ${errorMessage(error)}`,
      'wait, or have the quota raised: by default, a stream is resharded ten times in 24 hours at most',
    );
  }
  if (name !== 'ResourceInUseException') return undefined;
  return failure(
    error,
    'stream-not-active',
    `Kinesis says: ${errorMessage(error)}`,
    'wait until nobody changes the stream any more, then run the same command again',
  );
}

/** No answer, or one of something else. */
function silence(error: unknown): TaxiflowError | undefined {
  const status = httpStatus(error);
  const message = errorMessage(error);
  if (error instanceof SyntaxError || message === 'UnknownError') {
    return failure(
      error,
      'not-kinesis',
      `what answers is not Kinesis${status === undefined ? '' : ` (HTTP status ${status})`}`,
      'check --endpoint-url and the proxies of this network',
    );
  }
  const isOfSystem = status === undefined && systemCode(error) !== undefined;
  if (!isTimeout(error) && verdict(error) !== 'again' && !isOfSystem) return undefined;
  return failure(
    error,
    'kinesis-unreachable',
    `Kinesis does not answer: ${isTimeout(error) ? 'timed out' : message}`,
    'check --region, --endpoint-url and the network',
  );
}
