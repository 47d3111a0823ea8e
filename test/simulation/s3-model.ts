/**
 * Amazon S3 below the SDK: one bucket, whose writes are conditional, whose answers get lost, and whose bodies break off. The
 * head of a state and what it names are checked with each write.
 */
import { createHash } from 'node:crypto';
import { S3Client } from '@aws-sdk/client-s3';
import type { Faults } from './faults.ts';
import { awsError, sdkError } from './kinesis-model.ts';
import { type Network, NoAnswer } from './network.ts';
import { Broken, type Process, type World } from './world.ts';

interface Stored {
  readonly bytes: Buffer;
  readonly etag: string;
}

interface Head {
  readonly epoch: number;
  readonly sequence: number;
  readonly owner: string;
  readonly checkpoint: number;
  readonly next_result: number;
  readonly created: number;
  readonly base: Part | null;
  readonly increments: readonly Part[];
}

interface Part {
  readonly key: string;
  readonly sha256: string;
}

interface Input {
  readonly Key?: string;
  readonly Body?: Uint8Array;
  readonly IfMatch?: string;
  readonly IfNoneMatch?: string;
  readonly Prefix?: string;
  readonly ContinuationToken?: string;
  readonly Range?: string;
}

const PAGE = 3;

export class S3Model {
  readonly objects = new Map<string, Stored>();
  #head: Head | undefined;
  readonly #world: World;
  readonly #faults: Faults;
  readonly #network: Network;
  #writes = 0;
  /** As whom a process has written heads. */
  readonly #owners = new WeakMap<Process, string>();

  constructor(world: World, faults: Faults, network: Network) {
    this.#world = world;
    this.#faults = faults;
    this.#network = network;
  }

  /** The number behind the last result that a head covers. */
  get nextResult(): number {
    return this.#head?.next_result ?? 1;
  }

  /** H3: whether the last head is that of a process, which then has not been taken over. */
  isOwnedBy(process: Process): boolean {
    return this.#head !== undefined && this.#owners.get(process) === this.#head.owner;
  }

  /** The Parquet files below a prefix. */
  under(prefix: string): { name: string; bytes: Buffer }[] {
    return [...this.objects]
      .filter(([key]) => key.startsWith(`${prefix}/`) && key.endsWith('.parquet'))
      .map(([name, { bytes }]) => ({ name, bytes }));
  }

  /** In the place of the SDK's client, which tries once. */
  async send(
    { constructor: { name }, input }: Command,
    { abortSignal }: { abortSignal?: AbortSignal } = {},
  ): Promise<object> {
    const request = name.replace(/Command$/, '');
    if (request === 'PutObject' && input.Key?.endsWith('/head.json'))
      this.#owners.set(this.#world.current!, (JSON.parse(Buffer.from(input.Body!).toString()) as Head).owner);
    const serve = () => this.#serve(request, input);
    try {
      return await this.#network.ask({ server: 's3', name: request, signal: abortSignal, serve });
    } catch (error) {
      throw error instanceof NoAnswer ? sdkError(error.failure) : error;
    }
  }

  #serve(request: string, input: Input): object {
    this.#world.say(this.#world.current, `${request} ${input.Key ?? ''}`);
    const fault = this.#faults.of('s3', `${request} served`, ['throttled', 'torn', 'conflict']);
    if (fault === 'throttled') throw awsError('SlowDown', 503);
    const { Key: key = '', Body } = input;
    const found = this.objects.get(key);
    switch (request) {
      case 'PutObject': {
        if (fault === 'conflict' && (input.IfMatch ?? input.IfNoneMatch) !== undefined)
          throw awsError('ConditionalRequestConflict', 409);
        if (input.IfNoneMatch === '*' && found) throw awsError('PreconditionFailed', 412);
        if (input.IfMatch !== undefined && !found) throw awsError('NoSuchKey', 404);
        if (input.IfMatch !== undefined && found?.etag !== input.IfMatch)
          throw awsError('PreconditionFailed', 412);
        return { ETag: this.put(key, Buffer.from(Body!)) };
      }
      case 'DeleteObject':
        this.#delete(key);
        return {};
      case 'HeadObject':
        if (!found) throw awsError('NotFound', 404);
        return { ContentLength: found.bytes.length, ETag: found.etag };
      case 'GetObject':
        if (!found) throw awsError('NoSuchKey', 404);
        if (input.IfMatch !== undefined && found.etag !== input.IfMatch)
          throw awsError('PreconditionFailed', 412);
        return bodyOf(found, input.Range, fault === 'torn' ? this.#faults.details(request)() : 1);
      case 'ListObjectsV2':
        return this.#list(input);
      default:
        throw new Error(`the model does not know ${request}`);
    }
  }

  #list({ Prefix = '', ContinuationToken = '' }: Input): object {
    const keys = [...this.objects.keys()]
      .filter((key) => key.startsWith(Prefix) && key > ContinuationToken)
      .sort();
    const page = keys.slice(0, PAGE);
    const more = keys.length > PAGE ? { IsTruncated: true, NextContinuationToken: page.at(-1) } : {};
    const contents = page.map((key) => {
      const { bytes, etag } = this.objects.get(key)!;
      return { Key: key, Size: bytes.length, ETag: etag };
    });
    return { Contents: contents, KeyCount: page.length, ...more };
  }

  /** Stores an object, and returns its ETag. */
  put(key: string, bytes: Buffer): string {
    // Two writes of the same bytes are two versions: their ETags would be equal in S3, and are not here, to tell them apart.
    const etag = `"${createHash('md5').update(bytes).digest('hex')}-${++this.#writes}"`;
    this.objects.set(key, { bytes, etag });
    if (key.endsWith('/head.json')) this.#checkHead(JSON.parse(bytes.toString()) as Head);
    return etag;
  }

  #delete(key: string): void {
    if (this.objects.delete(key) && this.#named(this.#head).some((part) => part.key === key))
      this.#broken(`H5: ${key} is removed, and the head names it`);
  }

  #named(head: Head | undefined): Part[] {
    return [...(head?.base ? [head.base] : []), ...(head?.increments ?? [])];
  }

  #checkHead(head: Head): void {
    const { epoch, sequence, checkpoint, next_result } = head;
    this.#world.say(
      undefined,
      `head ${epoch} ${sequence} covers checkpoint ${checkpoint}, results below ${next_result}`,
    );
    const before = this.#head;
    this.#head = head;
    if (before) {
      const isTaken = head.owner !== before.owner;
      if (head.sequence !== before.sequence + 1) this.#broken('H1: the heads are not one line');
      if (head.epoch !== before.epoch + (isTaken ? 1 : 0))
        this.#broken('H2: a take-over raises the epoch by one');
      if (isTaken && head.created <= before.created)
        this.#broken('H2, O2: an owner does not write later versions than the one before it');
      // Who takes over may not have what was committed after the head that it took.
      if (head.checkpoint < before.checkpoint || head.next_result < before.next_result)
        this.#broken('H1, C8: a head covers less than the one before it');
    }
    for (const { key, sha256 } of this.#named(head)) {
      const part = this.objects.get(key);
      if (!part) this.#broken(`H4: the head names ${key}, which is not there`);
      else if (createHash('sha256').update(part.bytes).digest('hex') !== sha256)
        this.#broken(`H4: ${key} is not what the head names`);
    }
  }

  #broken(what: string): void {
    this.#world.broken(new Broken(what));
  }
}

function bodyOf({ bytes, etag }: Stored, range: string | undefined, share: number): object {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
  const part = bytes.subarray(Number(first ?? 0), Number(last ?? bytes.length - 1) + 1);
  const sent = part.subarray(0, Math.floor(part.length * share));
  async function* pieces() {
    yield sent;
    if (share < 1) throw Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
  }
  const Body = Object.assign(pieces(), { transformToByteArray: async () => sent });
  const ContentRange = first === undefined ? {} : { ContentRange: `bytes ${first}-${last}/${bytes.length}` };
  return { Body, ETag: etag, ContentLength: part.length, ...ContentRange };
}

interface Command {
  readonly constructor: { readonly name: string };
  readonly input: Input;
}

const { prototype } = S3Client as unknown as { prototype: Record<string, unknown> };

/** Puts a model in the place of S3, for all clients of this process; undefined takes it away. */
export function answerS3(model: S3Model | undefined): void {
  delete prototype['send'];
  if (model)
    prototype['send'] = (command: Command, options?: { abortSignal?: AbortSignal }) =>
      model.send(command, options);
}
