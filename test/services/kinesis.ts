/** A Kinesis emulator in the test's own process, and a proxy of ours before it that makes things go wrong. */
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { CreateStreamCommand, DescribeStreamSummaryCommand, KinesisClient } from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import kinesalite from 'kinesalite';
import type { KinesisAdmin } from '../../src/streams/kinesis/admin.ts';
import { openKinesisWriter } from '../../src/streams/kinesis/open-writer.ts';
import { KinesisReader } from '../../src/streams/kinesis/reader.ts';
import type { StreamWriter } from '../../src/streams/ports.ts';
import { type Random, randomNumbers } from '../random.ts';
// Takes the user's AWS settings away.
import '../aws-settings.ts';

/** Any credentials do for an emulator. */
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test', AWS_REGION: 'us-east-1' };

export interface Emulator {
  readonly endpoint: string;
  /** For the real binary. */
  readonly env: Record<string, string>;
}

/** Starts an emulator that knows how to reshard; it goes with the test. Its answers tell the time `now`, epoch ms. */
export async function startKinesis(t: TestContext, now = Date.now): Promise<Emulator> {
  const server = kinesalite({ createStreamMs: 5, updateStreamMs: 5, deleteStreamMs: 5, shardLimit: 1_000 });
  server.prependListener('request', (_: IncomingMessage, answer: ServerResponse) =>
    answer.setHeader('date', new Date(now()).toUTCString()),
  );
  const endpoint = await listening(t, server);
  Object.assign(process.env, CREDENTIALS);
  return { endpoint, env: { ...CREDENTIALS, AWS_ENDPOINT_URL: endpoint } };
}

// It is for us to know, not for who reads the output of tests.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';

/** Makes a stream by the SDK alone; returns when it is active. */
export async function createStream({ endpoint }: { endpoint: string }, name: string, shards: number) {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
  const requestHandler = new NodeHttpHandler();
  const client = new KinesisClient({ endpoint, region: 'us-east-1', credentials, requestHandler });
  try {
    await client.send(new CreateStreamCommand({ StreamName: name, ShardCount: shards }));
    for (;;) {
      const { StreamDescriptionSummary: summary } = await client.send(
        new DescribeStreamSummaryCommand({ StreamName: name }),
      );
      if (summary?.StreamStatus === 'ACTIVE') return;
      await wait(10);
    }
  } finally {
    client.destroy();
  }
}

/** Splits an open shard, or merges two neighbours. */
export async function reshardAtRandom(admin: KinesisAdmin, random: Random): Promise<void> {
  const open = (await admin.describe())
    .filter((shard) => shard.open)
    .sort((a, b) => (BigInt(a.first_hash_key) < BigInt(b.first_hash_key) ? -1 : 1));
  const merges = open.length > 5 || (open.length > 1 && random() < 0.5);
  const at = Math.floor(random() * (merges ? open.length - 1 : open.length));
  if (merges) await admin.merge(open[at]!.shard, open[at + 1]!.shard);
  else await admin.split(open[at]!.shard);
}

async function listening(t: TestContext, server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections?.();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export const FAULTS = [
  /** Too much at once, the whole request or every other entry of it. */
  'throttled',
  'partial',
  'error500',
  /** The connection goes: before anything happened, after it happened, or in the middle of the answer. */
  'reset',
  'lost-answer',
  'torn-answer',
  /** The connection goes, and what was asked for happens a while later, when it has long been asked for again. */
  'late-request',
  'expired',
  /** Answered late, or held back until a later request has been answered. */
  'slow',
  'overtaken',
] as const;
export type Fault = (typeof FAULTS)[number];

const LATEST_MS = 300;

/** A request waits for what it returns, and goes wrong as that says; one that never comes makes a peer that stays silent. */
export type Gate = (target: string, nth: number) => Promise<Fault | undefined> | undefined;

export interface FaultyEmulator extends Emulator {
  /** How often each fault happened. */
  readonly faults: Map<Fault, number>;
}

/** How many faults happened. */
export function totalFaults({ faults }: Pick<FaultyEmulator, 'faults'>): number {
  return [...faults.values()].reduce((sum, count) => sum + count, 0);
}

/** A proxy that lets `rate` of the requests go wrong, by a seeded choice; `gate` holds up the so-and-so-manieth request of a kind. */
export async function faulty(
  t: TestContext,
  emulator: Emulator,
  rate: number,
  seed: number,
  gate?: Gate,
): Promise<FaultyEmulator> {
  const proxy = new FaultyProxy(emulator.endpoint, rate, seed, gate);
  const server = createServer((request, response) => {
    // The client or the emulator went away.
    proxy.handle(request, response).catch(() => response.destroy());
  });
  const endpoint = await listening(t, server);
  t.after(() => proxy.stop());
  return { endpoint, env: { ...emulator.env, AWS_ENDPOINT_URL: endpoint }, faults: proxy.faults };
}

class FaultyProxy {
  readonly faults = new Map<Fault, number>();
  readonly #emulator: string;
  readonly #rate: number;
  readonly #gate: Gate | undefined;
  readonly #random: Random;
  #requests = 0;
  readonly #asked = new Map<string, number>();
  /** Answers held back, by the number of their request. */
  readonly #held = new Map<number, (overtaken: boolean) => void>();
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(emulator: string, rate: number, seed: number, gate?: Gate) {
    this.#emulator = emulator;
    this.#rate = rate;
    this.#random = randomNumbers(seed);
    this.#gate = gate;
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const number = ++this.#requests;
    const body = await bodyOf(request);
    const target =
      String(request.headers['x-amz-target'] ?? '')
        .split('.')
        .at(-1) ?? '';
    const nth = (this.#asked.get(target) ?? 0) + 1;
    this.#asked.set(target, nth);
    const wanted = await this.#gate?.(target, nth);
    const fault = wanted || (this.#random() < this.#rate ? chosen(target, this.#random()) : undefined);
    if (fault === undefined) answer(response, await forward(this.#emulator, request, body));
    else await this.#misbehave(fault, number, request, response, body);
    for (const [earlier, release] of this.#held) if (earlier < number) release(true);
  }

  #count(fault: Fault): void {
    this.faults.set(fault, (this.faults.get(fault) ?? 0) + 1);
  }

  #after(ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, ms);
    this.#timers.add(timer);
  }

  async #misbehave(
    fault: Fault,
    number: number,
    request: IncomingMessage,
    response: ServerResponse,
    body: Buffer,
  ): Promise<void> {
    if (fault !== 'overtaken') this.#count(fault);
    if (fault === 'reset') return void response.destroy();
    if (fault === 'error500') return problem(response, 500, 'InternalFailure');
    if (fault === 'throttled') return problem(response, 400, 'ProvisionedThroughputExceededException');
    if (fault === 'expired') return problem(response, 400, 'ExpiredIteratorException');
    if (fault === 'partial') return partial(this.#emulator, request, response, body);
    const late = this.#random() * LATEST_MS;
    if (fault === 'late-request') {
      response.destroy();
      return this.#after(late, () => forward(this.#emulator, request, body).catch(() => {}));
    }
    const real = await forward(this.#emulator, request, body);
    if (fault === 'slow') return this.#after(late, () => answer(response, real));
    if (fault === 'overtaken') return this.#hold(number, response, real);
    // What was asked for happened, and the client can't know.
    if (fault === 'lost-answer') return void response.destroy();
    response.writeHead(real.status, { ...real.headers, 'content-length': String(real.body.length) });
    response.write(real.body.subarray(0, Math.floor(real.body.length / 2)));
    setImmediate(() => response.destroy());
  }

  /** Until a later request has been answered; where none comes in time, the answer was only slow. */
  #hold(number: number, response: ServerResponse, real: Answer): void {
    const release = (overtaken: boolean): void => {
      if (!this.#held.delete(number)) return;
      this.#count(overtaken ? 'overtaken' : 'slow');
      answer(response, real);
    };
    this.#held.set(number, release);
    this.#after(LATEST_MS, () => release(false));
  }
}

function chosen(target: string, choice: number): Fault {
  const always: Fault[] = ['error500', 'reset', 'torn-answer', 'lost-answer', 'slow', 'overtaken'];
  const own: Record<string, Fault[]> = {
    PutRecords: ['throttled', 'partial', 'partial', 'late-request'],
    GetRecords: ['throttled', 'expired', 'expired'],
  };
  const faults = [...always, ...(own[target] ?? [])];
  return faults[Math.floor(choice * faults.length)]!;
}

/** Every other entry of a PutRecords is refused. */
async function partial(
  endpoint: string,
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
): Promise<void> {
  const put = JSON.parse(body.toString()) as { Records: unknown[] };
  const kept = put.Records.filter((_, i) => i % 2 === 0);
  const real = await forward(endpoint, request, Buffer.from(JSON.stringify({ ...put, Records: kept })));
  const stored = (JSON.parse(real.body.toString()) as { Records: unknown[] }).Records;
  const records = put.Records.map((_, i) =>
    i % 2 === 0
      ? stored[i / 2]
      : { ErrorCode: 'ProvisionedThroughputExceededException', ErrorMessage: 'slow down' },
  );
  const text = Buffer.from(
    JSON.stringify({ FailedRecordCount: put.Records.length - kept.length, Records: records }),
  );
  answer(response, { ...real, body: text });
}

function problem(response: ServerResponse, status: number, type: string): void {
  const body = Buffer.from(JSON.stringify({ __type: type, message: 'injected' }));
  answer(response, { status, headers: { 'content-type': 'application/x-amz-json-1.1' }, body });
}

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Buffer;
}

function answer(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { ...headers, 'content-length': String(body.length) } as Record<string, string>);
  response.end(body);
}

function forward(endpoint: string, request: IncomingMessage, body: Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { 'content-length': _, ...headers } = request.headers;
    const upstream = httpRequest(
      endpoint,
      { method: request.method, headers: { ...headers, 'content-length': body.length } },
      async (reply) => {
        const { 'transfer-encoding': _chunked, ...replied } = reply.headers;
        resolve({ status: reply.statusCode ?? 500, headers: replied, body: await bodyOf(reply) });
      },
    );
    upstream.on('error', reject);
    upstream.end(body);
  });
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** A Kinesis stream opened for reading and for writing. */
export type KinesisBothWays = StreamWriter & Pick<KinesisReader, 'read'>;

export async function openBothWays(
  options: Parameters<typeof KinesisReader.open>[0],
): Promise<KinesisBothWays> {
  const reader = await KinesisReader.open(options);
  const writer = await openKinesisWriter(options);
  return {
    ...writer,
    read: (shardId, position, limit) => reader.read(shardId, position, limit),
    shards: () => reader.shards(),
    close: async () => {
      await reader.close();
      await writer.close();
    },
  };
}
