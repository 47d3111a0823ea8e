/** Errors of OpenSearch, Dashboards and their client: which of them pass, and words a user can act on. */
import { TaxiflowError } from '../errors.ts';
import { credentialsError } from '../net/aws-errors.ts';
import { isNetworkCode, isTlsCode, rootCode, rootOf } from '../net/codes.ts';
import { withoutSecrets } from '../printable.ts';
import { isServerless } from './amazon.ts';

/** The service that an error is about. */
export interface Service {
  /** The first part of error codes. */
  readonly code: 'opensearch' | 'dashboards';
  readonly name: string;
}

export const OPENSEARCH: Service = { code: 'opensearch', name: 'OpenSearch' };
export const DASHBOARDS: Service = { code: 'dashboards', name: 'OpenSearch Dashboards' };

/** The start of messages about answers that are too large or packed. */
export const BAD_ANSWER = 'the answer is';

/** The client's error names for no answer, half an answer, and one that can't be parsed. */
const INTERRUPTED = new Set(['TimeoutError', 'ConnectionError', 'DeserializationError']);
const AWAY = new Set([408, 429, 502, 503, 504]);

/** Whether the server is not there or not ready yet, so that it makes sense to wait for it. */
export function isAway(error: unknown): boolean {
  if (error instanceof TaxiflowError) return error.cause !== undefined && isAway(error.cause);
  const status = statusOf(error);
  if (status !== undefined) return AWAY.has(status);
  const code = rootCode(error);
  return !isTlsCode(code) && (isNetworkCode(code) || INTERRUPTED.has(nameOf(error)));
}

/** The client's error as a `TaxiflowError` of one line: `opensearch-unreachable`, `-unauthorized`, `-forbidden`, … */
export function explained(error: unknown, url: string, service = OPENSEARCH): TaxiflowError {
  if (error instanceof TaxiflowError) return error;
  const reason = reasonOf(error);
  const failed = { error, url, service, reason, said: reason === '' ? '' : `: ${reason}` };
  return (
    blocked(failed) ??
    unauthorized(failed) ??
    forbidden(failed) ??
    untrusted(failed) ??
    unanswered(failed) ??
    credentialsError(error) ??
    failure(
      failed,
      'refused',
      `refuses (${statusOf(error) ?? nameOf(error)})${failed.said}`,
      `see the documentation of ${service.name} for this error`,
    )
  );
}

interface Failed {
  readonly error: unknown;
  readonly url: string;
  readonly service: Service;
  /** Words of the server or the client; may be empty. */
  readonly reason: string;
  /** `: ` and the reason, or nothing. */
  readonly said: string;
}

type Kind = 'unreachable' | 'unauthorized' | 'forbidden' | 'blocked' | 'tls' | 'bad-answer' | 'refused';

/** `predicate` says what the service does, after its name and URL. */
function failure({ error, url, service }: Failed, kind: Kind, predicate: string, hint: string) {
  return oneLine(error, service, kind, `${service.name} at ${url} ${predicate}`, hint);
}

function oneLine(cause: unknown, service: Service, kind: Kind, message: string, hint: string): TaxiflowError {
  return new TaxiflowError(`${service.code}-${kind}`, message.replaceAll(/\s+/g, ' '), { hint, cause });
}

function blocked(failed: Failed): TaxiflowError | undefined {
  const status = statusOf(failed.error);
  if ((status !== 403 && status !== 429) || !isBlock(failed.error)) return undefined;
  return failure(
    failed,
    'blocked',
    `takes no changes${failed.said}`,
    adviceOnBlock(failed.reason) ??
      'look at its disks, then at the settings cluster.blocks.* and index.blocks.*',
  );
}

function unauthorized(failed: Failed): TaxiflowError | undefined {
  const { error, url, service, said } = failed;
  if (statusOf(error) !== 401) return undefined;
  if (isServerless(url)) {
    return oneLine(
      error,
      service,
      'unauthorized',
      `the network policy of the collection at ${url} does not let this network in${said}`,
      "allow this network, or its VPC endpoint, in the collection's network policy",
    );
  }
  return failure(
    failed,
    'unauthorized',
    `wants to know who asks${said}`,
    'set OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD, or sign with --aws-sigv4',
  );
}

function forbidden(failed: Failed): TaxiflowError | undefined {
  if (statusOf(failed.error) !== 403) return undefined;
  return failure(failed, 'forbidden', `does not allow this${failed.said}`, rightsHint(failed));
}

/** The right that a 403 is about; it depends on who answers. */
function rightsHint({ url, service }: Failed): string {
  const dashboards = service === DASHBOARDS;
  if (isServerless(url))
    return `sign with --aws-sigv4; name this role in a data access policy of the collection, and give it ${dashboards ? 'aoss:DashboardsAccessAll' : 'aoss:APIAccessAll'}`;
  if (dashboards)
    return 'give this user or role the right, in the global tenant too; Dashboards of an Amazon domain may not take --aws-sigv4, but OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD';
  return 'give this user or role the right; Amazon OpenSearch Service also needs --aws-sigv4 and a matching --region';
}

function untrusted(failed: Failed): TaxiflowError | undefined {
  const { error, url, service, said } = failed;
  const code = rootCode(error);
  if (code === 'EPROTO' || code?.startsWith('ERR_SSL_')) {
    const hint = 'write http:// for a server without TLS';
    return failure(failed, 'tls', `does not speak TLS as we do (${code})`, hint);
  }
  if (!isTlsCode(code)) return undefined;
  return oneLine(
    error,
    service,
    'tls',
    `the certificate of ${service.name} at ${url} can't be trusted (${code})${said}`,
    'give --ca the certificate that signed it',
  );
}

/** No answer, or one that can't be used. */
function unanswered(failed: Failed): TaxiflowError | undefined {
  const { error, said } = failed;
  if (error instanceof Error && error.message.startsWith(BAD_ANSWER)) {
    return failure(
      failed,
      'bad-answer',
      `gave no answer that can be used: ${error.message}`,
      'check the URL, and what stands between here and the server',
    );
  }
  if (!isAway(error)) return undefined;
  return failure(
    failed,
    'unreachable',
    `does not answer (${statusOf(error) ?? rootCode(error) ?? nameOf(error)})${said}`,
    'check the URL (https: where the server speaks TLS), the network, and that the server runs',
  );
}

/** The HTTP status of an error answer; undefined when there was none. */
export function statusOf(error: unknown): number | undefined {
  const status = (error as { meta?: { statusCode?: unknown } } | undefined)?.meta?.statusCode;
  return typeof status === 'number' && status >= 400 ? status : undefined;
}

/** The server's own words, else the client's, without the query strings that requests in them have. */
export function reasonOf(error: unknown): string {
  return withoutSecrets(wordsOf(error)).replaceAll(/(\/[^\s?[\]]*)\?[^\s\]]*/g, '$1');
}

function wordsOf(error: unknown): string {
  const body = (error as { meta?: { body?: unknown } } | undefined)?.meta?.body;
  if (statusOf(error) === undefined) {
    const cause = error instanceof Error ? rootOf(error) : undefined;
    return cause?.message || (error instanceof Error ? error.message : String(error));
  }
  if (typeof body === 'string') return /<html/i.test(body) ? '' : body.slice(0, 300).trim();
  const { error: inner, message, Message } = (body ?? {}) as Record<string, unknown>;
  const words = deepestReason(inner) ?? message ?? Message ?? inner;
  // Amazon repeats the request that it expected to be signed, with the session's token.
  return typeof words === 'string' ? words.replace(/\s*The Canonical String.*$/s, '') : '';
}

function deepestReason(error: unknown): string | undefined {
  const { reason, caused_by } = (error ?? {}) as { reason?: string; caused_by?: unknown };
  return (caused_by ? deepestReason(caused_by) : undefined) ?? reason;
}

/** What to do about each block, by the number that the server gives it. */
const BLOCKS: Readonly<Record<string, string>> = {
  4: 'the index is closed; open it with POST /INDEX/_open',
  5: 'look at the setting index.blocks.read_only',
  6: 'look at the setting cluster.blocks.read_only',
  8: 'look at the disk and the memory, by which Amazon sets it, then at the setting index.blocks.write',
  9: 'look at the setting index.blocks.metadata',
  10: 'look at the disk and the memory, then at the setting cluster.blocks.create_index',
  12: 'look at the disk, then at the setting index.blocks.read_only_allow_delete',
  13: 'look at the disk, then at the setting cluster.blocks.read_only_allow_delete',
};

/** What to do about the block that the server's words name; undefined when they name none. */
export function adviceOnBlock(reason: string): string | undefined {
  const number = /\[[A-Z_]+\/(\d+)\//.exec(reason)?.[1];
  return number === undefined ? undefined : BLOCKS[number];
}

function isBlock(error: unknown): boolean {
  const { error: inner } = ((error as { meta?: { body?: unknown } }).meta?.body ?? {}) as {
    error?: { type?: unknown };
  };
  return /^(cluster|index_create)_block_exception$/.test(String(inner?.type));
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}

/** An answer with status 2xx that isn't what OpenSearch says at `path`. */
export function badAnswer(path: string): TaxiflowError {
  return new TaxiflowError('opensearch-bad-answer', `the answer to ${path} is not one of OpenSearch`, {
    hint: 'check the URL, and any proxy in front of the server',
  });
}
