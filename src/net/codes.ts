/** Error codes of connections: which of them pass by themselves, and which are about certificates. */
import { systemCode } from '../errors.ts';

const NETWORK: ReadonlySet<string | undefined> = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN'],
  ...['EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH', 'ENETDOWN'],
]);
const TLS = /^(CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|EPROTO|HOSTNAME_MISMATCH)/;

/** Whether the peer could not be reached or the connection broke, so that the same request may succeed later. */
export function isNetworkCode(code: string | undefined): boolean {
  return NETWORK.has(code) || code?.startsWith('ERR_HTTP2_') === true;
}

/** Whether the peer's certificate is not trusted, or the peer does not speak TLS as we do. */
export function isTlsCode(code: string | undefined): boolean {
  return code !== undefined && TLS.test(code);
}

/** The error of the system under an error of a client; of several addresses that were tried, the first one's. */
export function rootOf(error: Error): Error {
  const cause = error.cause instanceof Error ? error.cause : error;
  return cause instanceof AggregateError && cause.errors[0] instanceof Error ? cause.errors[0] : cause;
}

/** The code of the system's error under `error`, if it has one. */
export function rootCode(error: unknown): string | undefined {
  return error instanceof Error ? systemCode(rootOf(error)) : undefined;
}
