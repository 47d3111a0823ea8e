/** Errors of S3, its SDK and the network: which of them pass, and words a user can act on. */
import { type ErrorCode, systemCode, TaxiflowError } from '../errors.ts';
import {
  awsVerdict,
  credentialsReason,
  errorMessage,
  errorName,
  httpStatus,
  isCredentialsError,
  isTimeout,
} from '../net/aws-errors.ts';
import type { Backoff } from '../net/retry.ts';

/** A body that ended before its length. */
export class BrokenOff extends Error {
  override readonly name = 'BrokenOff';
}

/** Whether the same request may succeed a little later. */
export function isPassing(error: unknown): boolean {
  if (error instanceof BrokenOff || awsVerdict(error) !== 'final') return true;
  if (error instanceof TaxiflowError || isCredentialsError(error)) return false;
  const status = httpStatus(error);
  // Writes of one object at the same time.
  if (status === 409) return true;
  // A body can break with any code of Node's streams and parsers. A success that is an error was cut off.
  return status === undefined ? systemCode(error) !== undefined : status < 300;
}

/** The place that an error is about. */
interface Place {
  readonly bucket: string;
  readonly url: string;
  /** What was done with it. */
  readonly deed: Deed;
}

/** S3 may be out of reach for hours; what is to go there waits meanwhile. */
export const OUT_OF_REACH: Backoff = { firstMs: 500, longestMs: 15_000, jitter: 'full' };

/** Whether an error of `ObjectStore` says that S3 can't be reached now; other errors don't pass. */
export function isOutOfReach(error: unknown): error is TaxiflowError {
  return error instanceof TaxiflowError && (error.code === 's3-unreachable' || error.code === 's3-throttled');
}

export type Deed = 'read' | 'written';

/**
 * `error` as a `TaxiflowError`: `no-credentials`, `s3-no-such-key`, `s3-access-denied`, … An error of neither S3 nor the
 * network becomes `s3-unreachable` with its own message.
 */
export function translateS3(error: unknown, bucket: string, key = '', deed: Deed = 'read'): TaxiflowError {
  if (error instanceof TaxiflowError) return error;
  const place = { bucket, url: `s3://${bucket}/${key}`, deed };
  return (
    withoutCredentials(error, place) ??
    missing(error, place) ??
    elsewhere(error, place) ??
    refused(error, place) ??
    unreachable(error, place)
  );
}

const VERB = { read: 'read', written: 'write' } as const;

function failure(cause: unknown, code: ErrorCode, message: string, hint: string): TaxiflowError {
  return new TaxiflowError(code, message, { hint, cause });
}

function withoutCredentials(error: unknown, { url, deed }: Place): TaxiflowError | undefined {
  if (isCredentialsError(error)) {
    return failure(
      error,
      'no-credentials',
      `there are no AWS credentials to ${VERB[deed]} ${url} with${credentialsReason(error)}`,
      'set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, run "aws sso login", or add --no-sign-request for public data',
    );
  }
  if (!['ExpiredToken', 'TokenRefreshRequired'].includes(errorName(error))) return undefined;
  return failure(
    error,
    'no-credentials',
    `the AWS credentials to ${VERB[deed]} ${url} with have expired`,
    'log in again, then run the same command again',
  );
}

function missing(error: unknown, { bucket, url }: Place): TaxiflowError | undefined {
  if (errorName(error) === 'NoSuchBucket') {
    return failure(
      error,
      's3-no-such-bucket',
      `there is no bucket ${bucket}`,
      'check its name and, with an emulator, --endpoint-url',
    );
  }
  if (httpStatus(error) !== 404) return undefined;
  return failure(error, 's3-no-such-key', `there is no ${url}`, 'check the key; case counts');
}

function elsewhere(error: unknown, { bucket }: Place): TaxiflowError | undefined {
  const isMoved = ['PermanentRedirect', 'AuthorizationHeaderMalformed'].includes(errorName(error));
  if (!isMoved && httpStatus(error) !== 301) return undefined;
  const region = regionOf(error);
  return failure(
    error,
    's3-wrong-region',
    `the bucket ${bucket} lies in another region${region ? `, ${region}` : ''}`,
    `name its region with --region${region ? ` ${region}` : ''}`,
  );
}

function refused(error: unknown, { url, deed }: Place): TaxiflowError | undefined {
  const status = httpStatus(error);
  if (status === 412) {
    return failure(
      error,
      's3-changed',
      `${url} changed while it was ${deed}`,
      'wait until nobody writes it, then run the same command again',
    );
  }
  if (errorName(error) === 'InvalidObjectState') {
    return failure(
      error,
      's3-archived',
      `${url} lies in an archive, from where it can't be read`,
      'restore it with "aws s3api restore-object", wait until that is done, then run the same command again',
    );
  }
  if (status === 401 || status === 403) {
    return failure(
      error,
      's3-access-denied',
      `S3 refuses access to ${url}${reasonOf(error)}`,
      deed === 'written'
        ? 'check the credentials and the rights to list, get, put and delete'
        : 'check the credentials and the rights to list and get; public data: --no-sign-request, data whose reader pays: --request-payer',
    );
  }
  // A write that met another one is no refusal, however often it did.
  if (status === undefined || status < 400 || status >= 500 || status === 409) return undefined;
  return failure(error, 's3-refused', `S3 refuses ${url}: ${wordsOf(error)}`, 'check the URL and --region');
}

function unreachable(error: unknown, { url, deed }: Place): TaxiflowError {
  const status = httpStatus(error);
  const words = status === undefined || status < 300 ? wordsOf(error) : `status ${status}, ${wordsOf(error)}`;
  return failure(
    error,
    's3-unreachable',
    `${url} can't be ${deed}: ${systemCode(error) ?? words}`,
    'check the network, --region and --endpoint-url, then run the same command again',
  );
}

function wordsOf(error: unknown): string {
  if (isTimeout(error)) return 'timed out';
  return error instanceof Error ? error.message || error.name : String(error);
}

/** The reason for a refusal, from S3 or the service behind a role's credentials; an answer to HEAD has none. */
function reasonOf(error: unknown): string {
  const words = [errorName(error), errorMessage(error)].filter(
    (said, i, all) => said && !/^(403|UnknownError|Access Denied)$/.test(said) && all.indexOf(said) === i,
  );
  return words.length > 0 ? ` (${words.join(': ')})` : '';
}

/** The bucket's region, if the error is a redirect there or a refusal of another region's signature. */
export function otherRegion(error: unknown): string | undefined {
  const status = httpStatus(error);
  return status === 301 || status === 400 ? regionOf(error) : undefined;
}

/** The bucket's region, if S3 names it. */
function regionOf(error: unknown): string | undefined {
  const { Region, $response } = error as {
    Region?: string;
    $response?: { headers?: Record<string, string> };
  };
  return $response?.headers?.['x-amz-bucket-region'] ?? Region;
}
