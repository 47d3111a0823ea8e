/** What S3, its SDK and the network answer, in words a user can act on. */
import { type ErrorCode, systemCode, TaxiflowError } from '../errors.ts';

/** A body that ended before its length. */
export class BrokenOff extends Error {
  override readonly name = 'BrokenOff';
}

/** Whether the same request may succeed a little later. */
export function isPassing(error: unknown): boolean {
  if (error instanceof TaxiflowError || isOfCredentials(error)) return false;
  // Our clock is wrong, and the SDK has learnt by how much.
  if (metadataOf(error)?.clockSkewCorrected) return true;
  const status = statusOf(error);
  if (status === undefined) {
    return error instanceof BrokenOff || nameOf(error) === 'TimeoutError' || systemCode(error) !== undefined;
  }
  // Below 300: an answer that was torn.
  if (status < 300 || status >= 500) return true;
  return status === 429 || status === 408 || nameOf(error) === 'RequestTimeout';
}

/** `error` as a `TaxiflowError`; one that is none of S3's and none of the network's goes as `s3-unreachable` with its own words. */
export function translateS3(error: unknown, bucket: string, key = ''): TaxiflowError {
  if (error instanceof TaxiflowError) return error;
  const url = `s3://${bucket}/${key}`;
  const name = nameOf(error);
  const status = statusOf(error);
  const failure = (code: ErrorCode, message: string, hint: string) =>
    new TaxiflowError(code, message, { hint, cause: error });
  if (isOfCredentials(error)) {
    const message = (error as Error).message.replace(/\s+/g, ' ').trim();
    const why = /could not load/i.test(message) ? '' : `: ${message}`;
    return failure(
      'no-credentials',
      `there are no AWS credentials to read ${url} with${why}`,
      'set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, run "aws sso login", or add --no-sign-request for public data',
    );
  }
  if (name === 'NoSuchBucket') {
    return failure(
      's3-no-such-bucket',
      `there is no bucket ${bucket}`,
      'check its name and, with an emulator, --endpoint-url',
    );
  }
  if (status === 412) {
    return failure(
      's3-changed',
      `${url} changed while it was read`,
      'wait until nobody writes it, then run the same command again',
    );
  }
  if (status === 404) return failure('s3-no-such-key', `there is no ${url}`, 'check the key; case counts');
  if (status === 301 || name === 'PermanentRedirect' || name === 'AuthorizationHeaderMalformed') {
    const region = regionOf(error);
    return failure(
      's3-wrong-region',
      `the bucket ${bucket} lies in another region${region ? `, ${region}` : ''}`,
      `name its region with --region${region ? ` ${region}` : ''}`,
    );
  }
  if (name === 'ExpiredToken' || name === 'TokenRefreshRequired') {
    return failure(
      'no-credentials',
      `the AWS credentials to read ${url} with have expired`,
      'log in again, then run the same command again',
    );
  }
  if (name === 'InvalidObjectState') {
    return failure(
      's3-archived',
      `${url} lies in an archive, from where it can't be read`,
      'restore it with "aws s3api restore-object", wait until that is done, then run the same command again',
    );
  }
  if (status === 401 || status === 403) {
    return failure(
      's3-access-denied',
      `S3 refuses access to ${url}${reasonOf(error)}`,
      'check the credentials and the rights to list and get; public data: --no-sign-request, data whose reader pays: --request-payer',
    );
  }
  const timedOut = name === 'AbortError' || name === 'TimeoutError';
  const why = timedOut ? 'timed out' : error instanceof Error ? error.message || name : String(error);
  if (status !== undefined && status >= 400 && status < 500) {
    return failure('s3-refused', `S3 refuses ${url}: ${why}`, 'check the URL and --region');
  }
  return failure(
    's3-unreachable',
    `${url} can't be read: ${systemCode(error) ?? (status === undefined || status < 300 ? why : `status ${status}, ${why}`)}`,
    'check the network, --region and --endpoint-url, then run the same command again',
  );
}

function isOfCredentials(error: unknown): boolean {
  return /Credentials|^Token(Provider)?|SSO/.test(nameOf(error)) && statusOf(error) === undefined;
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : '';
}

/** What S3, or who hands out the credentials of a role, says of a refusal; an answer to HEAD says nothing. */
function reasonOf(error: unknown): string {
  const { name, message } = error as Error;
  const words = [name, message.replace(/\s+/g, ' ').trim()].filter(
    (said, i, all) => said && !/^(403|UnknownError|Access Denied)$/.test(said) && all.indexOf(said) === i,
  );
  return words.length > 0 ? ` (${words.join(': ')})` : '';
}

function metadataOf(error: unknown) {
  return (error as { $metadata?: { httpStatusCode?: number; clockSkewCorrected?: boolean } } | undefined)
    ?.$metadata;
}

function statusOf(error: unknown): number | undefined {
  return metadataOf(error)?.httpStatusCode;
}

/** Where the bucket lies, when it is asked for in another place: a redirect, or a signature of another region. */
export function otherRegion(error: unknown): string | undefined {
  const status = statusOf(error);
  return status === 301 || status === 400 ? regionOf(error) : undefined;
}

/** Where the bucket lies, as far as S3 says it. */
function regionOf(error: unknown): string | undefined {
  const { Region, $response } = error as {
    Region?: string;
    $response?: { headers?: Record<string, string> };
  };
  return $response?.headers?.['x-amz-bucket-region'] ?? Region;
}
