/**
 * The OpenSearch client as taxiflow uses it (also with Dashboards, which is HTTP with the same keys), and its errors
 * in words a user can act on. The client itself comes with `connect`, not with this module.
 */
import { readFileSync } from 'node:fs';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Client, Connection } from '@opensearch-project/opensearch';
import { systemCode, TaxiflowError, usageError } from '../errors.ts';
import { shownUrl, withoutSecrets } from '../printable.ts';

export interface Access {
  /** `http://` or `https://`, with a path where the server stands behind one. */
  readonly url: string;
  /** Sign requests with AWS Signature Version 4, for domains and serverless collections of Amazon. */
  readonly awsSigv4?: boolean | undefined;
  /** For the signature; otherwise the host name's, AWS_REGION or AWS_DEFAULT_REGION. */
  readonly region?: string | undefined;
  /** File of PEM certificates to trust in place of the usual ones. */
  readonly ca?: string | undefined;
  /** Talk to a server whoever it is. */
  readonly insecure?: boolean | undefined;
  /** ms a request may take as a whole; 30 s without it. */
  readonly requestTimeout?: number | undefined;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const CONNECT_MS = 5_000;
const REQUEST_MS = 30_000;
/** Characters of an answer: 2,000 documents that are all refused with their values quoted take a few MB. */
const LARGEST_ANSWER = 32_000_000;
const BAD_ANSWER = 'the answer is';

/**
 * A client that never retries by itself. Basic auth is from OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD; a signature
 * takes its place. Nothing is sent yet. Throws `usage`, `no-region` or `bad-ca`.
 */
export async function connect(access: Access, env: Environment = process.env): Promise<Client> {
  const url = checkedUrl(access.url);
  const auth = access.awsSigv4 ? undefined : basicAuth(env);
  const ca = access.ca === undefined ? undefined : readCa(access.ca);
  const opensearch = await import('@opensearch-project/opensearch');
  const signer = access.awsSigv4 ? await awsSigner(url, access.region, env) : undefined;
  return new opensearch.Client({
    node: url.href,
    ...signer,
    Connection: bounded(signer?.Connection ?? opensearch.Connection),
    ...(auth ? { auth } : {}),
    ssl: { rejectUnauthorized: access.insecure !== true, ...(ca ? { ca } : {}) },
    maxRetries: 0,
    resurrectStrategy: 'none',
    requestTimeout: access.requestTimeout ?? REQUEST_MS,
  });
}

function checkedUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw usageError(`${shownUrl(text)} is no URL of a server`, 'write for instance http://localhost:9200');
  if (/^\d{12}\.aoss(-fips)?\./.test(url.hostname)) {
    throw usageError(
      `${url.hostname} is the endpoint of an account, and does not say which of its collections is meant`,
      "give the collection's own, such as https://COLLECTION-ID.aoss.REGION.on.aws",
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw usageError(
      `a name or password in a URL ends up in histories and logs: ${shownUrl(text)}`,
      'set OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD',
    );
  }
  return url;
}

function basicAuth(env: Environment): { username: string; password: string } | undefined {
  const { OPENSEARCH_USERNAME: username, OPENSEARCH_PASSWORD: password } = env;
  if (!username && !password) return undefined;
  if (username && password) return { username, password };
  throw usageError(
    `OPENSEARCH_${username ? 'USERNAME' : 'PASSWORD'} is set alone`,
    'set OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD, or neither',
  );
}

function readCa(path: string): string {
  const hint = 'give --ca a file of PEM certificates';
  let pem: string;
  try {
    pem = readFileSync(path, 'utf8');
  } catch (cause) {
    const code = systemCode(cause);
    const why = code === 'ENOENT' ? `there is no ${path}` : `${path} can't be read (${code})`;
    throw new TaxiflowError('bad-ca', why, { hint, cause });
  }
  if (pem.includes('-----BEGIN CERTIFICATE-----')) return pem;
  throw new TaxiflowError('bad-ca', `no certificate is in ${path}`, { hint });
}

async function awsSigner(url: URL, region: string | undefined, env: Environment) {
  const [{ AwsSigv4Signer }, { defaultProvider }] = await Promise.all([
    import('@opensearch-project/opensearch/aws-v3'),
    import('@aws-sdk/credential-provider-node'),
  ]);
  // What the SDK wants to say about Node versions is for us, not for our users.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const signed = region ?? regionOfHost(url.hostname) ?? env['AWS_REGION'] ?? env['AWS_DEFAULT_REGION'];
  if (!signed) {
    throw new TaxiflowError('no-region', 'no AWS region is known for the signature', {
      hint: 'give --region, or set AWS_REGION',
    });
  }
  const { Connection, Transport } = AwsSigv4Signer({
    region: signed,
    service: isServerless(url.href) ? 'aoss' : 'es',
    getCredentials: defaultProvider(),
  });
  return { Connection, Transport };
}

/** `NAME.REGION.es.amazonaws.com` (`.cn` in China), or `NAME.aos.REGION.on.aws`; collections with aoss, or aoss-fips. */
const AMAZON =
  /\.(?<old>[a-z0-9-]+)\.(?:es|(?<oldAoss>aoss(?:-fips)?))\.amazonaws\.com(?:\.cn)?$|\.(?:aos|(?<aoss>aoss(?:-fips)?))\.(?<region>[a-z0-9-]+)\.on\.aws$/;

/** Whether the URL is of an Amazon OpenSearch Serverless collection. */
export function isServerless(url: string): boolean {
  const { oldAoss, aoss } = AMAZON.exec(new URL(url).hostname)?.groups ?? {};
  return (oldAoss ?? aoss) !== undefined;
}

function regionOfHost(host: string): string | undefined {
  const { old, region } = AMAZON.exec(host)?.groups ?? {};
  return old ?? region;
}

/**
 * The client's connection with bounds: an end to every request, since the client's own timeout is one of silence before
 * the answer begins; a largest answer; and a `close` that ends what is under way. The system's error is kept as `cause`.
 */
function bounded(Base: typeof Connection): typeof Connection {
  return class extends Base {
    readonly #underWay = new Set<ClientRequest>();

    override request(
      params: Parameters<Connection['request']>[0],
      callback: (error: Error | null, response: IncomingMessage | null) => void,
    ) {
      let cause: unknown;
      const request = super.request(params, (error, response) => {
        if (error && cause !== undefined) error.cause = cause;
        if (response) limitAnswer(request, response);
        callback(error, response);
      });
      this.#underWay.add(request);
      request.prependListener('error', (error) => {
        cause = error;
      });
      const limit = params.timeout ?? REQUEST_MS;
      const end = (ms: number, doing: string) =>
        setTimeout(() => request.destroy(timedOut(`${doing} took longer than ${ms / 1_000} s`)), ms);
      const whole = end(limit, 'the request');
      request.once('close', () => {
        clearTimeout(whole);
        this.#underWay.delete(request);
      });
      request.once('socket', (socket) => {
        if (!socket.connecting) return;
        const connecting = end(Math.min(limit, CONNECT_MS), 'connecting');
        socket.once('connect', () => clearTimeout(connecting));
        socket.once('close', () => clearTimeout(connecting));
      });
      // The client prints an error after the answer began to stdout, where the data is; its reader gets it anyway.
      request.once('response', () => {
        request.removeAllListeners('error');
        request.on('error', () => {});
      });
      return request;
    }

    /** The client waits for requests under way, looking once a second; here they end at once. */
    override close(callback?: () => void): Connection {
      for (const request of this.#underWay) request.destroy(new Error('the connection was closed'));
      // The client counts a request as over when its error event has come.
      setImmediate(() => (super.close as (done?: () => void) => void)(callback));
      return this as unknown as Connection;
    }
  };
}

/**
 * Ends an answer that is larger than any we ask for. One that is packed is ended too: nobody asked for that, and its
 * size is known only when it is unpacked.
 */
function limitAnswer(request: ClientRequest, response: IncomingMessage): void {
  const refuse = (why: string) => {
    response.on('error', () => {});
    response.emit('error', new Error(why));
    request.destroy();
  };
  const tooLarge = () => refuse(`${BAD_ANSWER} larger than ${LARGEST_ANSWER / 1e6} MB`);
  const { 'content-encoding': coding = 'identity', 'content-length': bytes = '0' } = response.headers;
  // The client acts on these headers before it listens.
  delete response.headers['content-encoding'];
  delete response.headers['content-length'];
  if (coding !== 'identity') process.nextTick(refuse, `${BAD_ANSWER} packed (${coding}), unasked`);
  else if (Number(bytes) > LARGEST_ANSWER) process.nextTick(tooLarge);
  let length = 0;
  response.on('data', (chunk: Buffer | string) => {
    const before = length;
    length += chunk.length;
    if (length > LARGEST_ANSWER && before <= LARGEST_ANSWER) tooLarge();
  });
}

function timedOut(message: string): Error {
  return Object.assign(new Error(message), { code: 'ETIMEDOUT' });
}

/** Whom an error is about, in codes and in words. */
export interface Service {
  readonly code: 'opensearch' | 'dashboards';
  readonly name: string;
}

type Kind = 'unreachable' | 'unauthorized' | 'forbidden' | 'blocked' | 'tls' | 'bad-answer' | 'refused';

export const OPENSEARCH: Service = { code: 'opensearch', name: 'OpenSearch' };
export const DASHBOARDS: Service = { code: 'dashboards', name: 'OpenSearch Dashboards' };

const NETWORK = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN'],
  ...['EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN'],
]);
/** The client's names for no answer, half of one, and one that is torn. */
const INTERRUPTED = new Set(['TimeoutError', 'ConnectionError', 'DeserializationError']);
const TLS = /^(CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|EPROTO|HOSTNAME_MISMATCH)/;

/** Whether the server is not there, or not ready yet, so that it makes sense to wait for it. */
export function isAway(error: unknown): boolean {
  if (error instanceof TaxiflowError) return error.cause !== undefined && isAway(error.cause);
  const status = statusOf(error);
  if (status !== undefined)
    return status === 408 || status === 429 || status === 502 || status === 503 || status === 504;
  const code = networkCode(error);
  if (isTls(code)) return false;
  return (code !== undefined && NETWORK.has(code)) || INTERRUPTED.has(nameOf(error));
}

/** An error of the client as a `TaxiflowError` of one line: `opensearch-unreachable`, `-unauthorized`, `-forbidden`, … */
export function explained(error: unknown, url: string, service = OPENSEARCH): TaxiflowError {
  if (error instanceof TaxiflowError) return error;
  const failure = (kind: Kind, message: string, hint: string) =>
    new TaxiflowError(`${service.code}-${kind}`, message.replaceAll(/\s+/g, ' '), { hint, cause: error });
  const status = statusOf(error);
  const reason = reasonOf(error);
  const said = reason === '' ? '' : `: ${reason}`;
  if ((status === 403 || status === 429) && isBlock(error)) {
    return failure(
      'blocked',
      `${service.name} at ${url} takes no changes${said}`,
      adviceOnBlock(reason) ?? 'look at its disks, then at the settings cluster.blocks.* and index.blocks.*',
    );
  }
  if (status === 401 && isServerless(url)) {
    return failure(
      'unauthorized',
      `the network policy of the collection at ${url} does not let this network in${said}`,
      "allow this network, or its VPC endpoint, in the collection's network policy",
    );
  }
  if (status === 401) {
    return failure(
      'unauthorized',
      `${service.name} at ${url} wants to know who asks${said}`,
      'set OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD, or sign with --aws-sigv4',
    );
  }
  if (status === 403) {
    return failure(
      'forbidden',
      `${service.name} at ${url} does not allow this${said}`,
      rightsHint(url, service),
    );
  }
  const code = networkCode(error);
  if (code === 'EPROTO' || code?.startsWith('ERR_SSL_')) {
    return failure(
      'tls',
      `${service.name} at ${url} does not speak TLS as we do (${code})`,
      'write http:// for a server without TLS',
    );
  }
  if (isTls(code)) {
    return failure(
      'tls',
      `the certificate of ${service.name} at ${url} can't be trusted (${code})${said}`,
      'give --ca the certificate that signed it',
    );
  }
  if (error instanceof Error && error.message.startsWith(BAD_ANSWER)) {
    return failure(
      'bad-answer',
      `${service.name} at ${url} gave no answer that can be used: ${error.message}`,
      'check the URL, and what stands between here and the server',
    );
  }
  if (isAway(error)) {
    return failure(
      'unreachable',
      `${service.name} at ${url} does not answer (${status ?? code ?? nameOf(error)})${said}`,
      'check the URL (https: where the server speaks TLS), the network, and that the server runs',
    );
  }
  if (/Credentials|^Token(Provider)?|SSO/.test(nameOf(error))) {
    return new TaxiflowError('no-credentials', 'no AWS credentials were found', {
      hint: 'run "aws configure" or "aws sso login", or set AWS_PROFILE or AWS_ACCESS_KEY_ID',
      cause: error,
    });
  }
  return failure(
    'refused',
    `${service.name} at ${url} refuses (${status ?? nameOf(error)})${said}`,
    `see the documentation of ${service.name} for this error`,
  );
}

/** What a 403 is about, by who says it. */
function rightsHint(url: string, service: Service): string {
  const dashboards = service === DASHBOARDS;
  if (isServerless(url))
    return `sign with --aws-sigv4; name this role in a data access policy of the collection, and give it ${dashboards ? 'aoss:DashboardsAccessAll' : 'aoss:APIAccessAll'}`;
  if (dashboards)
    return 'give this user or role the right, in the global tenant too; Dashboards of an Amazon domain may not take --aws-sigv4, but OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD';
  return 'give this user or role the right; Amazon OpenSearch Service also needs --aws-sigv4 and a matching --region';
}

/** The HTTP status of the client's error, if the server answered. */
export function statusOf(error: unknown): number | undefined {
  const status = (error as { meta?: { statusCode?: unknown } } | undefined)?.meta?.statusCode;
  return typeof status === 'number' && status >= 400 ? status : undefined;
}

/** The server's own words, else the client's, without the query string of a request that they repeat. */
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
  // Amazon repeats the whole request it should have been signed for, with the session's token.
  return typeof words === 'string' ? words.replace(/\s*The Canonical String.*$/s, '') : '';
}

/** The settings behind the blocks, by the numbers the server gives them. */
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

/** What to do about a block, by the words the server has for it; undefined when they are of something else. */
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

function deepestReason(error: unknown): string | undefined {
  const { reason, caused_by } = (error ?? {}) as { reason?: string; caused_by?: unknown };
  return (caused_by ? deepestReason(caused_by) : undefined) ?? reason;
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}

function networkCode(error: unknown): string | undefined {
  return error instanceof Error ? systemCode(rootOf(error)) : undefined;
}

/** The system's error: of several addresses that were tried, the first one's. */
function rootOf(error: Error): Error {
  const cause = error.cause instanceof Error ? error.cause : error;
  return cause instanceof AggregateError && cause.errors[0] instanceof Error ? cause.errors[0] : cause;
}

function isTls(code: string | undefined): boolean {
  return code !== undefined && TLS.test(code);
}

export interface Server {
  readonly distribution: 'opensearch' | 'elasticsearch';
  /** Its version; `serverless` has none. */
  readonly number: string;
}

/** What answers there. Throws `unsupported-server` unless it is OpenSearch 2 or 3, or Elasticsearch 7.10; else as `explained`. */
export async function serverOf(
  client: Client,
  url: string,
  options: { requestTimeout?: number } = {},
): Promise<Server> {
  const collection: Server | undefined = isServerless(url)
    ? { distribution: 'opensearch', number: 'serverless' }
    : undefined;
  let body: unknown;
  try {
    ({ body } = await client.transport.request({ method: 'GET', path: '/' }, options));
    if (collection) return collection;
  } catch (error) {
    const status = statusOf(error);
    // A collection has nothing at its root, and need not allow to look; but it answers.
    if (collection && status !== undefined && status < 500 && status !== 401 && !isAway(error))
      return collection;
    if (status === 404) throw unsupported(url, 'something that is neither OpenSearch nor Elasticsearch');
    throw explained(error, url);
  }
  const { version } = (body ?? {}) as { version?: { number?: unknown; distribution?: unknown } };
  const number = version?.number;
  if (typeof number !== 'string')
    throw unsupported(url, 'something that is neither OpenSearch nor Elasticsearch');
  const distribution = version?.distribution === 'opensearch' ? 'opensearch' : 'elasticsearch';
  // OpenSearch can be set to call itself 7.10, for old clients.
  const supported = distribution === 'opensearch' ? /^([23]|7\.10)\./ : /^7\.10\./;
  if (!supported.test(number)) throw unsupported(url, productOf({ distribution, number }));
  return { distribution, number };
}

/** `OpenSearch 3.8.0`. */
export function productOf({ distribution, number }: Server): string {
  return `${distribution === 'opensearch' ? 'OpenSearch' : 'Elasticsearch'} ${number}`;
}

function unsupported(url: string, what: string): TaxiflowError {
  return new TaxiflowError('unsupported-server', `${what} is at ${url}`, {
    hint: 'taxiflow works with OpenSearch 2 and 3 and with Elasticsearch 7.10',
  });
}
