/**
 * The OpenSearch client as taxiflow sets it up. It also talks to Dashboards, which takes the same credentials. The client's
 * package is loaded by `connect`, not with this module.
 */
import { readFileSync } from 'node:fs';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Client, Connection } from '@opensearch-project/opensearch';
import { systemCode, TaxiflowError, usageError } from '../errors.ts';
import { muteVersionWarning } from '../net/aws-sdk.ts';
import { shownUrl } from '../printable.ts';
import { isServerless, regionOfHost } from './amazon.ts';
import { BAD_ANSWER, explained, isAway, statusOf } from './errors.ts';

export interface Access {
  /** `http://` or `https://`, with the path that a proxy may require. */
  readonly url: string;
  /** Sign requests with AWS Signature Version 4, for Amazon's domains and serverless collections. */
  readonly awsSigv4?: boolean | undefined;
  /** The region of the signature. The default is the host name's, then AWS_REGION, then AWS_DEFAULT_REGION. */
  readonly region?: string | undefined;
  /** A file of PEM certificates to trust in place of the usual ones. */
  readonly ca?: string | undefined;
  /** Don't check the server's certificate. */
  readonly insecure?: boolean | undefined;
  /** The limit of a whole request, ms; 30 s by default. */
  readonly requestTimeout?: number | undefined;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const CONNECT_MS = 5_000;
const REQUEST_MS = 30_000;
/** Characters. An answer that refuses 2,000 documents and quotes their values takes a few MB. */
const LARGEST_ANSWER = 32_000_000;

/**
 * A client that never retries by itself. It signs its requests, or takes OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD for
 * basic auth. Nothing is sent yet. Throws `usage`, `no-region` or `bad-ca`.
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
  muteVersionWarning();
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

/**
 * The client's connection with limits: a longest request, since the client's own timeout only covers the silence before an
 * answer; a largest answer; and a `close` that ends the requests under way. It keeps the system's error as `cause`.
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
      // The client would print an error within an answer to stdout, where our data goes. The answer's reader gets it anyway.
      request.once('response', () => {
        request.removeAllListeners('error');
        request.on('error', () => {});
      });
      return request;
    }

    /** Ends the requests under way at once; the client would poll for their end once a second. */
    override close(callback?: () => void): Connection {
      for (const request of this.#underWay) request.destroy(new Error('the connection was closed'));
      // The client counts a request until its error event.
      setImmediate(() => (super.close as (done?: () => void) => void)(callback));
      return this as unknown as Connection;
    }
  };
}

/**
 * Ends an answer that is larger than any we ask for. It ends a packed answer too: we never ask for one, and its size is
 * only known after unpacking.
 */
function limitAnswer(request: ClientRequest, response: IncomingMessage): void {
  const refuse = (why: string) => {
    response.on('error', () => {});
    response.emit('error', new Error(why));
    request.destroy();
  };
  const tooLarge = () => refuse(`${BAD_ANSWER} larger than ${LARGEST_ANSWER / 1e6} MB`);
  const { 'content-encoding': coding = 'identity', 'content-length': bytes = '0' } = response.headers;
  // The client acts on these headers before it listens for errors.
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

export interface Server {
  readonly distribution: 'opensearch' | 'elasticsearch';
  /** Its version; `serverless` stands for a collection, which has none. */
  readonly number: string;
}

/** The server at `url`. Throws `unsupported-server` unless it is OpenSearch 2 or 3 or Elasticsearch 7.10, and as `explained`. */
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
    // A collection has nothing at its root and may forbid the request, but it answers.
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
  // A setting for old clients makes OpenSearch call itself 7.10.
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
