/** How `deploy` asks AWS: the same settings for every client, one patience, and words a user can act on. */
import { type Clock, systemClock } from '../clock.ts';
import { systemCode, TaxiflowError, usageError } from '../errors.ts';
import { accessError, awsVerdict, errorMessage, errorName, isTimeout } from '../net/aws-errors.ts';
import { muteVersionWarning } from '../net/aws-sdk.ts';
import { type Patience, retry, waitAfter } from '../net/retry.ts';

/** Where AWS is, and whose time it is. */
export interface AwsPlace {
  readonly region?: string | undefined;
  /** The URL of an emulator; it serves all services. */
  readonly endpointUrl?: string | undefined;
  readonly clock?: Clock | undefined;
  /** Ends waits; an operation of AWS goes on. */
  readonly signal?: AbortSignal | undefined;
}

const CONNECT_MS = 3_000;
const SILENT_MS = 15_000;
/** AWS lets go of a throttled caller within seconds; a rate that stays too high for a minute is somebody else's. */
const THROTTLED: Patience = { firstMs: 500, longestMs: 10_000, jitter: 'half', tries: 12 };
const AGAIN: Patience = { firstMs: 200, longestMs: 2_000, jitter: 'half', tries: 4 };

/** The settings of a client. Requests are repeated by `ask`; the attempts of both would multiply. */
export function clientSettings({ region, endpointUrl }: AwsPlace) {
  muteVersionWarning();
  if (endpointUrl !== undefined && !URL.canParse(endpointUrl))
    throw usageError('--endpoint-url is no URL', 'write it as http://HOST:PORT');
  return {
    maxAttempts: 1,
    ...(region ? { region } : {}),
    ...(endpointUrl ? { endpoint: endpointUrl } : {}),
    requestHandler: { connectionTimeout: CONNECT_MS, socketTimeout: SILENT_MS },
  };
}

/**
 * The answer to one request, which is repeated while AWS is busy. `action` is its name in IAM, such as
 * `cloudformation:CreateChangeSet`. `expected` turns an error that is an answer into one.
 */
export function ask<T>(
  place: AwsPlace,
  action: string,
  send: () => Promise<T>,
  expected: (error: unknown) => T | undefined = () => undefined,
): Promise<T> {
  const attempt = async () => {
    try {
      return await send();
    } catch (error) {
      const answer = expected(error);
      if (answer === undefined) throw error;
      return answer;
    }
  };
  return retry(attempt, {
    clock: place.clock ?? systemClock,
    ...(place.signal ? { signal: place.signal } : {}),
    patience: (error) => patienceWith(error),
    explain: (error) => explained(error, action),
  });
}

/** A quota is no rate: it doesn't pass. */
const isQuota = (error: unknown) => /^LimitExceeded|QuotaExceeded/.test(errorName(error));

function patienceWith(error: unknown): Patience | undefined {
  if (isQuota(error)) return undefined;
  const verdict = awsVerdict(error);
  return verdict === 'final' ? undefined : verdict === 'throttled' ? THROTTLED : AGAIN;
}

/** `error` as a `TaxiflowError`: `access-denied`, `aws-quota`, `aws-throttled`, `aws-unreachable`, `aws-refused`, … */
export function explained(error: unknown, action: string): TaxiflowError {
  if (error instanceof TaxiflowError) return error;
  const failure = (
    code: 'aws-quota' | 'aws-refused' | 'aws-throttled' | 'aws-unreachable',
    message: string,
    hint: string,
  ) => new TaxiflowError(code, message, { hint, cause: error });
  const access = accessError(error);
  if (access?.code === 'access-denied') return denied(error, action);
  if (access) return access;
  const said = errorMessage(error);
  if (isQuota(error))
    return failure(
      'aws-quota',
      `a quota of the account is used up (${action}): ${said}`,
      'remove what is no longer needed, or ask for more in the Service Quotas console',
    );
  const verdict = awsVerdict(error);
  if (verdict === 'throttled')
    return failure(
      'aws-throttled',
      `AWS has throttled ${action} for too long: ${said}`,
      'wait until the other work in this account is done, then run the same command again',
    );
  if (verdict === 'again' || isTimeout(error))
    return failure(
      'aws-unreachable',
      `AWS does not answer ${action}: ${systemCode(error) ?? said}`,
      'check the network, --region and --endpoint-url, then run the same command again',
    );
  return failure('aws-refused', `AWS refuses ${action}: ${said}`, 'mend what the message names');
}

/** Which right is missing: the message names it, or it is that of the request. */
function denied(error: unknown, action: string): TaxiflowError {
  const said = errorMessage(error);
  const right = /not authorized to perform:? ([\w-]+:\w+)/.exec(said)?.[1] ?? action;
  return new TaxiflowError('access-denied', `not allowed to ${right}: ${said}`, {
    hint: `add ${right} to the rights of the role or user, or log in as another`,
    cause: error,
  });
}

const POLL_MS = 250;
const SLOWEST_POLL_MS = 3_000;

/** Looks until `look` finds something: often at first, then every few seconds. Undefined if the signal came first. */
export async function watch<T>(
  { clock = systemClock, signal }: AwsPlace,
  look: () => Promise<T | undefined>,
): Promise<T | undefined> {
  for (let looks = 1; !signal?.aborted; looks++) {
    const found = await look();
    if (found !== undefined) return found;
    const wait = waitAfter(looks, { firstMs: POLL_MS, longestMs: SLOWEST_POLL_MS, jitter: 'half' });
    await clock.sleep(wait, signal);
  }
  return undefined;
}
