/**
 * Objects of Amazon S3, and of whatever speaks its language, as inputs.
 *
 * The end of an object is where its length says, never where a connection ends: a body that breaks off is asked
 * for again from that byte on, of the same version (by its ETag), and an object that changed meanwhile is an error.
 */
import type { S3Client } from '@aws-sdk/client-s3';
import { type Clock, systemClock } from '../clock.ts';
import { TaxiflowError, usageError } from '../errors.ts';
import { content, type Input, isTripFile, type OnBytes } from './inputs.ts';
import { BrokenOff, isPassing, otherRegion, translateS3 } from './s3-errors.ts';

export interface S3Options {
  readonly region?: string | undefined;
  /** For an emulator or another service; addressed by path. */
  readonly endpointUrl?: string | undefined;
  /** False: public objects, without credentials. */
  readonly signRequest?: boolean | undefined;
  /** The one who reads pays. */
  readonly requestPayer?: boolean | undefined;
  /** For the waits between attempts. */
  readonly clock?: Clock | undefined;
}

type Sdk = typeof import('@aws-sdk/client-s3');

interface Stored {
  readonly key: string;
  /** In bytes. */
  readonly size: number;
  readonly etag: string;
}

const CONNECT_MS = 2_000;
const SILENT_MS = 5_000;
/** All attempts of one request, so that an unreachable place is told within 10 seconds. */
const REQUEST_MS = 8_000;
const REQUEST_TRIES = 5;
/** Attempts without a single byte in between. */
const BODY_TRIES = 8;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 10_000;
const WILDCARD = /[*?]/;
const LIST = 'ListObjectsV2';

/**
 * The object with exactly this key, else every trip file whose key begins so or fits the glob (`*`, `**`, `?`),
 * sorted by key. Throws `TaxiflowError`: `no-input` and those of `translateS3`.
 */
export async function findObjects(url: string, options: S3Options): Promise<Input[]> {
  const [, bucket = '', key = ''] = /^s3:\/\/([^/]*)\/?(.*)$/is.exec(url) ?? [];
  if (bucket === '') throw usageError(`there is no bucket in ${url}`, 'write it as s3://bucket/prefix');
  const store = await ObjectStore.open(bucket, options);
  const exact = key === '' || key.endsWith('/') ? undefined : await store.head(key);
  const objects = exact ? [exact] : await store.find(key);
  if (objects.length > 0) return objects.map((object) => store.input(object, exact === undefined));
  throw new TaxiflowError('no-input', `there is no CSV or Parquet file at ${url}`, {
    hint: 'name an object, a prefix, or a quoted glob; keys are told apart by case',
  });
}

class ObjectStore {
  readonly #name: string;
  readonly #sdk: Sdk;
  #client: S3Client;
  readonly #clientIn: (region: string) => S3Client;
  readonly #clock: Clock;
  readonly #payer: { RequestPayer?: 'requester' };

  private constructor(name: string, sdk: Sdk, connection: Connection, options: S3Options) {
    this.#name = name;
    this.#sdk = sdk;
    this.#client = connection.client;
    this.#clientIn = connection.clientIn;
    this.#clock = options.clock ?? systemClock;
    this.#payer = options.requestPayer ? { RequestPayer: 'requester' } : {};
  }

  static async open(name: string, options: S3Options): Promise<ObjectStore> {
    // The user can't do anything about the Node version the SDK would like.
    process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
    const sdk = await import('@aws-sdk/client-s3');
    return new ObjectStore(name, sdk, await connect(sdk, name, options), options);
  }

  /** The object with this key, if there is one. */
  async head(key: string): Promise<Stored | undefined> {
    try {
      const { ContentLength, ETag } = await this.#request(key, (abortSignal) =>
        this.#client.send(new this.#sdk.HeadObjectCommand({ Bucket: this.#name, Key: key, ...this.#payer }), {
          abortSignal,
        }),
      );
      return this.#stored('HeadObject', key, ContentLength, ETag);
    } catch (error) {
      // Without the right to list, S3 says 403 of a key that isn't there, and an answer to HEAD has no body that
      // says why: the listing does.
      const unclear = ['s3-no-such-key', 's3-access-denied', 's3-refused'];
      if (error instanceof TaxiflowError && unclear.includes(error.code)) return;
      throw error;
    }
  }

  async find(key: string): Promise<Stored[]> {
    const wildcard = key.search(WILDCARD);
    const pattern = wildcard < 0 ? undefined : globPattern(key);
    const found: Stored[] = [];
    for await (const object of this.#list(wildcard < 0 ? key : key.slice(0, wildcard))) {
      if (pattern ? pattern.test(object.key) : isTripFile(object.key)) found.push(object);
    }
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async *#list(prefix: string): AsyncGenerator<Stored> {
    let token: string | undefined;
    do {
      const from = token === undefined ? {} : { ContinuationToken: token };
      const page = await this.#request(prefix, (abortSignal) =>
        this.#client.send(
          new this.#sdk.ListObjectsV2Command({ Bucket: this.#name, Prefix: prefix, ...from, ...this.#payer }),
          { abortSignal },
        ),
      );
      if (page.Contents === undefined && (page.KeyCount ?? 0) > 0) throw this.#badAnswer(LIST, 'Contents');
      for (const { Key: key, Size: size, ETag: etag } of page.Contents ?? []) {
        if (!key) throw this.#badAnswer(LIST, 'Key of an object');
        if (!key.endsWith('/')) yield this.#stored(LIST, key, size, etag);
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
      if (page.IsTruncated && !token) throw this.#badAnswer(LIST, 'NextContinuationToken');
    } while (token !== undefined);
  }

  #stored(request: string, key: string, size: number | undefined, etag: string | undefined): Stored {
    if (size === undefined) throw this.#badAnswer(request, `length of ${key}`);
    if (!etag) throw this.#badAnswer(request, `ETag of ${key}`);
    return { key, size, etag };
  }

  /** Without what an answer must have, objects would be taken for empty, or missed. */
  #badAnswer(request: string, lacks: string): TaxiflowError {
    return new TaxiflowError(
      's3-bad-answer',
      `the answer to ${request} of bucket ${this.#name} has no ${lacks}`,
      {
        hint: 'check --endpoint-url and the proxies of this network',
      },
    );
  }

  input(object: Stored, found: boolean): Input {
    const name = this.#url(object.key);
    return {
      name,
      size: object.size,
      found,
      tag: `${object.etag}:${object.size}`,
      open: (onBytes) => content(name, this.#bytes(object, 0, object.size, onBytes)),
      ranges: async (onBytes) => ({
        size: object.size,
        read: async (start, end) => {
          const bytes = new Uint8Array(end - start);
          let at = 0;
          for await (const chunk of this.#bytes(object, start, end, onBytes)) {
            bytes.set(chunk, at);
            at += chunk.length;
          }
          return bytes;
        },
        close: async () => {},
      }),
    };
  }

  /** The bytes of an object from `start` up to `end`, all of them, or an error. */
  async *#bytes(object: Stored, start: number, end: number, onBytes: OnBytes): AsyncGenerator<Buffer> {
    let at = start;
    for (let failures = 0; at < end; ) {
      const cut = new AbortController();
      const client = this.#client;
      try {
        const body = await this.#get(object, at, end, cut.signal);
        for await (const chunk of body) {
          if (at + chunk.length > end) throw this.#changed(object.key);
          at += chunk.length;
          failures = 0;
          onBytes(chunk.length);
          yield chunk;
        }
        if (at < end) throw new BrokenOff(`its body breaks off at byte ${at} of ${object.size}`);
      } catch (error) {
        const moved = await this.#moved(error, client);
        if (!(moved || isPassing(error)) || ++failures === BODY_TRIES)
          throw this.#translate(error, object.key);
        if (!moved) await this.#pause(failures);
      } finally {
        cut.abort();
      }
    }
  }

  async #get(object: Stored, start: number, end: number, abortSignal: AbortSignal) {
    const { Body, ContentLength, ContentRange } = await this.#client.send(
      new this.#sdk.GetObjectCommand({
        Bucket: this.#name,
        Key: object.key,
        IfMatch: object.etag,
        ...(start === 0 && end === object.size ? {} : { Range: `bytes=${start}-${end - 1}` }),
        ...this.#payer,
      }),
      { abortSignal },
    );
    // A server that takes no ranges would begin anew.
    const begins = ContentRange === undefined ? 0 : Number(/^bytes (\d+)-/.exec(ContentRange)?.[1]);
    if (begins !== start || (ContentLength !== undefined && ContentLength !== end - start)) {
      throw this.#changed(object.key);
    }
    if (Body === undefined) throw this.#badAnswer('GetObject', 'body');
    return Body as unknown as AsyncIterable<Buffer>;
  }

  /** One small request, as often as it takes, in bounded time. */
  async #request<T>(key: string, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = AbortSignal.timeout(REQUEST_MS);
    for (let tries = 1; ; tries++) {
      const client = this.#client;
      try {
        return await send(signal);
      } catch (error) {
        const moved = await this.#moved(error, client);
        if (signal.aborted || tries === REQUEST_TRIES || !(moved || isPassing(error)))
          throw this.#translate(error, key);
        if (!moved) await this.#pause(tries, signal);
      }
    }
  }

  /**
   * Whether `error` says that the bucket lies elsewhere than `client` asked: from then on, it is asked there. The SDK
   * would go the long way with each request, and fails now and then where requests go side by side.
   */
  async #moved(error: unknown, client: S3Client): Promise<boolean> {
    const region = otherRegion(error);
    if (region === undefined || region === (await client.config.region())) return false;
    if (client === this.#client) this.#client = this.#clientIn(region);
    return true;
  }

  #pause(failures: number, signal?: AbortSignal): Promise<void> {
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures);
    return this.#clock.sleep(longest * (0.5 + Math.random() / 2), signal);
  }

  #changed(key: string): TaxiflowError {
    return new TaxiflowError('s3-changed', `${this.#url(key)} is not what it was when it was listed`, {
      hint: 'wait until nobody writes it, then run the same command again',
    });
  }

  #translate(error: unknown, key: string): TaxiflowError {
    return translateS3(error, this.#name, key);
  }

  #url(key: string): string {
    return `s3://${this.#name}/${key}`;
  }
}

interface Connection {
  readonly client: S3Client;
  /** The same in another region. */
  readonly clientIn: (region: string) => S3Client;
}

/** A client; region and credentials are settled now, so that their lack is told as what it is. */
async function connect(sdk: Sdk, bucket: string, options: S3Options): Promise<Connection> {
  const env = process.env;
  const endpoint = options.endpointUrl ?? env['AWS_ENDPOINT_URL_S3'] ?? env['AWS_ENDPOINT_URL'];
  const client = (region: string | undefined) =>
    new sdk.S3Client({
      ...(region ? { region } : {}),
      ...(endpoint ? { endpoint, forcePathStyle: true } : {}),
      ...(options.signRequest === false ? UNSIGNED : {}),
      // Attempts are counted here, or those of both would multiply.
      maxAttempts: 1,
      // The length is checked here; a checksum would come too late for bytes that are handed on.
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: { connectionTimeout: CONNECT_MS, socketTimeout: SILENT_MS },
    });
  try {
    let made = client(options.region);
    if (options.region === undefined) {
      const region = await made.config.region().catch(() => undefined);
      if (region === undefined) made = client('us-east-1');
    }
    await made.config.credentials();
    return { client: made, clientIn: client };
  } catch (error) {
    throw translateS3(error, bucket);
  }
}

const UNSIGNED = {
  credentials: { accessKeyId: '', secretAccessKey: '' },
  signer: { sign: async <T>(request: T) => request },
};

/** `*` and `?` stay within a folder, `**` doesn't. */
function globPattern(glob: string): RegExp {
  const source = glob.replace(/\*\*\/|\*\*|[*?]|[^*?]+/g, (part) => {
    if (part === '**/') return '(?:.*/)?';
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    return part === '?' ? '[^/]' : part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  });
  return new RegExp(`^${source}$`, 's');
}
