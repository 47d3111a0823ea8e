/**
 * Objects of Amazon S3, and of services with the same API, as inputs.
 *
 * An object ends where its length says, never where a connection ends: after a body that breaks off, the rest of the same
 * version (by its ETag) is requested from that byte on. An object that has changed since is an error.
 */
import type { S3Client } from '@aws-sdk/client-s3';
import { type Clock, systemClock } from '../clock.ts';
import { TaxiflowError, usageError } from '../errors.ts';
import { muteVersionWarning } from '../net/aws-sdk.ts';
import { AT_ONCE, Attempts, type Backoff, type Patience, retry } from '../net/retry.ts';
import { content, type Input, isTripFile, type OnBytes } from './inputs.ts';
import { BrokenOff, isPassing, otherRegion, translateS3 } from './s3-errors.ts';

export interface S3Options {
  readonly region?: string | undefined;
  /** The URL of an emulator or another service, where buckets are addressed by path. */
  readonly endpointUrl?: string | undefined;
  /** False for public objects: requests carry no signature, and no credentials are needed. */
  readonly signRequest?: boolean | undefined;
  /** The reader pays for the requests. */
  readonly requestPayer?: boolean | undefined;
  /** It times the waits between attempts. */
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
/** The limit of all attempts of one request, so that an unreachable service is reported within 10 seconds. */
const REQUEST_MS = 8_000;
const REQUEST_TRIES = 5;
/** Failures in a row without a byte between them. */
const BODY_TRIES = 8;
const BACKOFF: Backoff = { firstMs: 200, longestMs: 10_000, jitter: 'half' };
const WILDCARD = /[*?]/;
const LIST = 'ListObjectsV2';

/**
 * The object with exactly this key; without one, every trip file whose key begins with it or matches it as a glob (`*`,
 * `**`, `?`), sorted by key. Throws `no-input`, `usage`, `s3-bad-answer` and as `translateS3`.
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
    muteVersionWarning();
    const sdk = await import('@aws-sdk/client-s3');
    return new ObjectStore(name, sdk, await connect(sdk, name, options), options);
  }

  /** The object with this key, or undefined. */
  async head(key: string): Promise<Stored | undefined> {
    try {
      const { ContentLength, ETag } = await this.#request(key, (abortSignal) =>
        this.#client.send(new this.#sdk.HeadObjectCommand({ Bucket: this.#name, Key: key, ...this.#payer }), {
          abortSignal,
        }),
      );
      return this.#stored('HeadObject', key, ContentLength, ETag);
    } catch (error) {
      // Without the right to list, S3 answers 403 for a missing key, and an answer to HEAD has no body that says why.
      // The listing that follows does.
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

  /** An answer lacks a part it must have; objects would look empty, or be missed. `lacks` names the part. */
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

  /** All bytes of an object from `start` up to `end`; anything less is an error. */
  async *#bytes(object: Stored, start: number, end: number, onBytes: OnBytes): AsyncGenerator<Buffer> {
    let at = start;
    for (let attempts = new Attempts(this.#clock); at < end; ) {
      const began = at;
      const cut = new AbortController();
      const client = this.#client;
      try {
        const body = await this.#get(object, at, end, cut.signal);
        for await (const chunk of body) {
          if (at + chunk.length > end) throw this.#changed(object.key);
          at += chunk.length;
          onBytes(chunk.length);
          yield chunk;
        }
        if (at < end) throw new BrokenOff(`its body breaks off at byte ${at} of ${object.size}`);
      } catch (error) {
        if (at > began) attempts = new Attempts(this.#clock);
        const patience = await this.#patience(error, client, BODY_TRIES);
        if (!(await attempts.again(patience))) throw this.#translate(error, object.key);
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
    // A server that ignores ranges sends the object from its start.
    const begins = ContentRange === undefined ? 0 : Number(/^bytes (\d+)-/.exec(ContentRange)?.[1]);
    if (begins !== start || (ContentLength !== undefined && ContentLength !== end - start)) {
      throw this.#changed(object.key);
    }
    if (Body === undefined) throw this.#badAnswer('GetObject', 'body');
    return Body as unknown as AsyncIterable<Buffer>;
  }

  /** The result of one small request, repeated within `REQUEST_MS`. */
  #request<T>(key: string, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = AbortSignal.timeout(REQUEST_MS);
    let client = this.#client;
    const attempt = () => {
      client = this.#client;
      return send(signal);
    };
    return retry(attempt, {
      clock: this.#clock,
      signal,
      patience: (error) => this.#patience(error, client, REQUEST_TRIES),
      explain: (error) => this.#translate(error, key),
    });
  }

  async #patience(error: unknown, client: S3Client, tries: number): Promise<Patience | undefined> {
    if (await this.#moved(error, client)) return { ...AT_ONCE, tries };
    return isPassing(error) ? { ...BACKOFF, tries } : undefined;
  }

  /**
   * Whether `error` says that the bucket is in another region than `client` asked; later requests go there. The SDK would
   * be redirected with each request, and sometimes fails when several run at the same time.
   */
  async #moved(error: unknown, client: S3Client): Promise<boolean> {
    const region = otherRegion(error);
    if (region === undefined || region === (await client.config.region())) return false;
    if (client === this.#client) this.#client = this.#clientIn(region);
    return true;
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
  /** The same client for another region. */
  readonly clientIn: (region: string) => S3Client;
}

/** A client. Region and credentials are looked up now, so that a lack of them is reported as such. Throws as `translateS3`. */
async function connect(sdk: Sdk, bucket: string, options: S3Options): Promise<Connection> {
  const env = process.env;
  const endpoint = options.endpointUrl ?? env['AWS_ENDPOINT_URL_S3'] ?? env['AWS_ENDPOINT_URL'];
  const client = (region: string | undefined) =>
    new sdk.S3Client({
      ...(region ? { region } : {}),
      ...(endpoint ? { endpoint, forcePathStyle: true } : {}),
      ...(options.signRequest === false ? UNSIGNED : {}),
      // Requests are repeated by this module; the attempts of both would multiply.
      maxAttempts: 1,
      // This module checks the length. A checksum would come after the bytes have been handed on.
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

/** `*` and `?` match within a folder, `**` matches across folders. */
function globPattern(glob: string): RegExp {
  const source = glob.replace(/\*\*\/|\*\*|[*?]|[^*?]+/g, (part) => {
    if (part === '**/') return '(?:.*/)?';
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    return part === '?' ? '[^/]' : part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  });
  return new RegExp(`^${source}$`, 's');
}
