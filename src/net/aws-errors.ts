/** Errors of the AWS SDK, as far as they are the same for every service. */
import { systemCode, TaxiflowError } from '../errors.ts';
import { isNetworkCode } from './codes.ts';

/** What to do about an error: slow down, try again, or tell the user. */
export type AwsVerdict = 'throttled' | 'again' | 'final';

const THROTTLED: ReadonlySet<string> = new Set([
  'ProvisionedThroughputExceededException',
  'LimitExceededException',
  'KMSThrottlingException',
  'ThrottlingException',
  // CloudFormation, and STS, which hands out the credentials of a role, use this name.
  'Throttling',
  'RequestLimitExceeded',
  'TooManyRequestsException',
]);

/** Names of refused credentials, without the "Exception" that some services append. */
const NOT_ACCEPTED: ReadonlySet<string> = new Set([
  'UnrecognizedClient',
  'InvalidClientTokenId',
  'InvalidSignature',
  'SignatureDoesNotMatch',
  'IncompleteSignature',
  'MissingAuthenticationToken',
  'ExpiredToken',
  'RequestExpired',
]);

/** Whether the same request may succeed later. A `TaxiflowError` is final. */
export function awsVerdict(error: unknown): AwsVerdict {
  if (error instanceof TaxiflowError) return 'final';
  const name = errorName(error);
  const status = httpStatus(error);
  if (THROTTLED.has(name) || status === 429) return 'throttled';
  if (name === 'TimeoutError' || name === 'RequestTimeout' || isNetworkCode(systemCode(error)))
    return 'again';
  if (status !== undefined && (status >= 500 || status === 408)) return 'again';
  // Our clock is wrong, and the SDK has learnt by how much.
  if (metadataOf(error)?.clockSkewCorrected) return 'again';
  // The SDK can't parse an answer that was cut off.
  return error instanceof SyntaxError ? 'again' : 'final';
}

/**
 * What keeps a request from being sent or allowed, whatever the service: `no-credentials`, `no-region`, `bad-region`,
 * `bad-credentials` or `access-denied`. Undefined for any other error.
 */
export function accessError(error: unknown): TaxiflowError | undefined {
  return credentialsError(error) ?? regionError(error) ?? refusedAccess(error);
}

/** `no-credentials`, or undefined when the error is about something else. */
export function credentialsError(error: unknown): TaxiflowError | undefined {
  if (!isCredentialsError(error)) return undefined;
  return new TaxiflowError('no-credentials', `no AWS credentials were found${credentialsReason(error)}`, {
    hint: 'run "aws configure" or "aws sso login", or set AWS_PROFILE or AWS_ACCESS_KEY_ID',
    cause: error,
  });
}

/** Whether the SDK found no credentials, or could not renew them. */
export function isCredentialsError(error: unknown): boolean {
  const name = errorName(error);
  // These two take over the HTTP status of the service that refused to hand out credentials.
  if (name === 'CredentialsProviderError' || name === 'TokenProviderError') return true;
  return httpStatus(error) === undefined && (/Credentials|^Token|SSO/.test(name) || isNowhere(error));
}

/** `: ` and why the SDK has no credentials; empty when there are just none. */
export function credentialsReason(error: unknown): string {
  const message = errorMessage(error);
  return message === '' || isNowhere(error) ? '' : `: ${message}`;
}

function isNowhere(error: unknown): boolean {
  return /could not load credentials/i.test(errorMessage(error));
}

function regionError(error: unknown): TaxiflowError | undefined {
  const message = errorMessage(error);
  const details = { hint: 'give --region, or set AWS_REGION', cause: error };
  // A variable that is set to nothing counts as a region for the SDK.
  if (/region is missing|region not accepted: region=""/i.test(message))
    return new TaxiflowError('no-region', 'no AWS region is set', details);
  if (!/region not accepted/i.test(message)) return undefined;
  const region = /"(.*)"/.exec(message)?.[1] ?? '';
  return new TaxiflowError('bad-region', `this is no AWS region: ${region}`, details);
}

function refusedAccess(error: unknown): TaxiflowError | undefined {
  const name = errorName(error);
  const message = errorMessage(error);
  if (NOT_ACCEPTED.has(name.replace(/Exception$/, ''))) {
    return new TaxiflowError('bad-credentials', `AWS does not accept these credentials: ${message}`, {
      hint: 'log in again, or check the profile and the region',
      cause: error,
    });
  }
  if (!name.startsWith('AccessDenied')) return undefined;
  return new TaxiflowError('access-denied', `not allowed: ${message}`, {
    hint: 'add the permission named to the role or user',
    cause: error,
  });
}

/** The name by which a service or the SDK tells its errors apart; empty if it is no error. */
export function errorName(error: unknown): string {
  return error instanceof Error ? error.name : '';
}

/** The message, in one line. */
export function errorMessage(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ').trim();
}

/** Whether a limit of ours ended the request. */
export function isTimeout(error: unknown): boolean {
  return ['TimeoutError', 'AbortError'].includes(errorName(error));
}

/** The status of the answer, also of one that could not be parsed; undefined when there was none. */
export function httpStatus(error: unknown): number | undefined {
  const { $response } = (error ?? {}) as { $response?: { statusCode?: number } };
  return metadataOf(error)?.httpStatusCode ?? $response?.statusCode;
}

interface Metadata {
  readonly httpStatusCode?: number;
  readonly clockSkewCorrected?: boolean;
}

function metadataOf(error: unknown): Metadata | undefined {
  return (error as { $metadata?: Metadata } | null | undefined)?.$metadata;
}
