/**
 * A bucket of Amazon S3, or of a service with the same API.
 *
 * An object ends where its length says, never where a connection ends: after a body that breaks off, the rest of the same
 * version (by its ETag) is requested from that byte on. An object that has changed since is an error.
 */
import { createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import type { S3Client } from '@aws-sdk/client-s3';
import { type Clock, systemClock } from '../clock.ts';
import { TaxiflowError } from '../errors.ts';
import { muteVersionWarning } from '../net/aws-sdk.ts';
import { AT_ONCE, Attempts, type Backoff, type Patience, retry } from '../net/retry.ts';
import { BrokenOff, type Deed, isPassing, otherRegion, translateS3 } from './errors.ts';

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

/** An object as it was listed. */
export interface StoredObject {
  readonly key: string;
  /** In bytes. */
  readonly size: number;
  readonly etag: string;
}

const CONNECT_MS = 2_000;
const SILENT_MS = 5_000;
/** Of a large object that is written; S3 takes 5 MiB at least. */
const PART_BYTES = 16 << 20;
/** The limit of all attempts of one request, so that an unreachable service is reported within 10 seconds. */
const REQUEST_MS = 8_000;
/** Bytes per ms that an upload takes at least. */
const SLOWEST = 128;
const REQUEST_TRIES = 5;
/** Failures in a row without a byte between them. */
const BODY_TRIES = 8;
const BACKOFF: Backoff = { firstMs: 200, longestMs: 10_000, jitter: 'half' };
const LIST = 'ListObjectsV2';

/** When a write is to happen. */
export type Condition = { readonly IfMatch: string } | { readonly IfNoneMatch: '*' } | Record<string, never>;

/** One bucket. Small requests are repeated within 8 s; a body that breaks off is continued. */
export class ObjectStore {
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

  async #headed(key: string): Promise<StoredObject> {
    const { ContentLength, ETag } = await this.#request(key, (abortSignal) =>
      this.#client.send(new this.#sdk.HeadObjectCommand({ Bucket: this.#name, Key: key, ...this.#payer }), {
        abortSignal,
      }),
    );
    return this.#stored('HeadObject', key, ContentLength, ETag);
  }

  /** The object with this key, or undefined. */
  async head(key: string): Promise<StoredObject | undefined> {
    try {
      return await this.#headed(key);
    } catch (error) {
      // Without the right to list, S3 answers 403 for a missing key, and an answer to HEAD has no body that says why.
      // The listing that follows does.
      const unclear = ['s3-no-such-key', 's3-access-denied', 's3-refused'];
      if (error instanceof TaxiflowError && unclear.includes(error.code)) return;
      throw error;
    }
  }

  /** The objects whose keys begin with `prefix`, in the order of their keys; no folders. */
  async *list(prefix: string): AsyncGenerator<StoredObject> {
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

  /**
   * Writes an object; returns its ETag. With a condition, only if the object has that ETag, or if there is none (`*`): otherwise it
   * throws `s3-changed`. An answer that was lost may hide a success, so a repeated conditional write can find its own.
   */
  async put(key: string, body: Uint8Array, condition: Condition = {}): Promise<string> {
    const { ETag } = await this.#request(
      key,
      (abortSignal) =>
        this.#client.send(
          new this.#sdk.PutObjectCommand({ Bucket: this.#name, Key: key, Body: body, ...condition }),
          { abortSignal },
        ),
      'written',
      body.length,
    );
    if (!ETag) throw this.#badAnswer('PutObject', `ETag of ${key}`);
    return ETag;
  }

  /** Writes a file as an object, a large one in parts. */
  async putFile(key: string, path: string, condition: Condition = {}): Promise<void> {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      const part = async (from: number) => {
        const bytes = Buffer.allocUnsafe(Math.min(PART_BYTES, size - from));
        for (let at = 0; at < bytes.length; ) {
          const { bytesRead } = await file.read(bytes, at, bytes.length - at, from + at);
          if (bytesRead === 0) throw new Error(`${path} became shorter while it was read`);
          at += bytesRead;
        }
        return bytes;
      };
      if (size <= PART_BYTES) await this.put(key, await part(0), condition);
      else await this.#putParts(key, size, part, condition);
    } finally {
      await file.close();
    }
  }

  async #putParts(
    key: string,
    size: number,
    part: (from: number) => Promise<Buffer>,
    condition: Condition,
  ): Promise<void> {
    const place = { Bucket: this.#name, Key: key };
    const send = <T>(work: (abortSignal: AbortSignal) => Promise<T>) =>
      this.#request(key, work, 'written', PART_BYTES);
    const { UploadId } = await send((abortSignal) =>
      this.#client.send(new this.#sdk.CreateMultipartUploadCommand(place), { abortSignal }),
    );
    if (!UploadId) throw this.#badAnswer('CreateMultipartUpload', 'UploadId');
    try {
      const Parts: { PartNumber: number; ETag: string }[] = [];
      for (let from = 0; from < size; from += PART_BYTES) {
        const Body = await part(from);
        const PartNumber = Parts.length + 1;
        const { ETag } = await send((abortSignal) =>
          this.#client.send(new this.#sdk.UploadPartCommand({ ...place, UploadId, PartNumber, Body }), {
            abortSignal,
          }),
        );
        if (!ETag) throw this.#badAnswer('UploadPart', 'ETag');
        Parts.push({ PartNumber, ETag });
      }
      const whole = { ...place, UploadId, MultipartUpload: { Parts }, ...condition };
      await send((abortSignal) =>
        this.#client.send(new this.#sdk.CompleteMultipartUploadCommand(whole), { abortSignal }),
      );
    } catch (error) {
      // Parts of an upload that isn't ended are paid for.
      await send((abortSignal) =>
        this.#client.send(new this.#sdk.AbortMultipartUploadCommand({ ...place, UploadId }), { abortSignal }),
      ).catch(() => {});
      throw error;
    }
  }

  async delete(key: string): Promise<void> {
    await this.#request(
      key,
      (abortSignal) =>
        this.#client.send(new this.#sdk.DeleteObjectCommand({ Bucket: this.#name, Key: key }), {
          abortSignal,
        }),
      'written',
    );
  }

  /** All of a small object and its ETag, of one moment; undefined where there is none. */
  async get(key: string): Promise<{ readonly bytes: Buffer; readonly etag: string } | undefined> {
    return this.#ifThere(async () => {
      const { body, etag } = await this.#request(key, async (abortSignal) => {
        const { Body, ETag, ContentLength } = await this.#client.send(
          new this.#sdk.GetObjectCommand({ Bucket: this.#name, Key: key }),
          { abortSignal },
        );
        const body = Buffer.from((await Body?.transformToByteArray()) ?? []);
        if (ContentLength !== undefined && body.length !== ContentLength)
          throw new BrokenOff(`its body breaks off at byte ${body.length} of ${ContentLength}`);
        return { body, etag: ETag };
      });
      if (!etag) throw this.#badAnswer('GetObject', `ETag of ${key}`);
      return { bytes: body, etag };
    });
  }

  async #ifThere<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof TaxiflowError && error.code === 's3-no-such-key') return undefined;
      throw error;
    }
  }

  /** Writes an object into the new file `path`; false where there is no object. */
  async fetch(key: string, path: string): Promise<boolean> {
    const object = await this.#ifThere(() => this.#headed(key));
    if (!object) return false;
    const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
    const over = new AbortController();
    try {
      await pipeline(
        this.bytes(object, 0, object.size, () => {}, over.signal),
        file,
      );
    } finally {
      // Nothing waits for bytes that can't be written.
      over.abort();
    }
    return true;
  }

  #stored(request: string, key: string, size: number | undefined, etag: string | undefined): StoredObject {
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

  /** All bytes of an object from `start` up to `end`; anything less is an error, unless nobody wants more of it. */
  async *bytes(
    object: StoredObject,
    start: number,
    end: number,
    onBytes: (count: number) => void = () => {},
    unwanted?: AbortSignal,
  ): AsyncGenerator<Buffer> {
    let at = start;
    for (let attempts = new Attempts(this.#clock, unwanted); at < end && !unwanted?.aborted; ) {
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
        if (at > began) attempts = new Attempts(this.#clock, unwanted);
        const patience = await this.#patience(error, client, BODY_TRIES);
        if (!(await attempts.again(patience))) throw this.#translate(error, object.key);
      } finally {
        cut.abort();
      }
    }
  }

  async #get(object: StoredObject, start: number, end: number, abortSignal: AbortSignal) {
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

  /** The result of one small request, repeated within `REQUEST_MS`; one that sends bytes has time for them. */
  #request<T>(
    key: string,
    send: (signal: AbortSignal) => Promise<T>,
    deed: Deed = 'read',
    bytes = 0,
  ): Promise<T> {
    const signal = AbortSignal.timeout(REQUEST_MS + Math.ceil(bytes / SLOWEST));
    let client = this.#client;
    const attempt = () => {
      client = this.#client;
      return send(signal);
    };
    return retry(attempt, {
      clock: this.#clock,
      signal,
      patience: (error) => this.#patience(error, client, REQUEST_TRIES),
      explain: (error) => this.#translate(error, key, deed),
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
    return new TaxiflowError('s3-changed', `${this.url(key)} is not what it was when it was listed`, {
      hint: 'wait until nobody writes it, then run the same command again',
    });
  }

  #translate(error: unknown, key: string, deed?: Deed): TaxiflowError {
    return translateS3(error, this.#name, key, deed);
  }

  /** The URL of an object. */
  url(key: string): string {
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
      requestChecksumCalculation: 'WHEN_REQUIRED',
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
