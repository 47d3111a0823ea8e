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
import kinesalite from 'kinesalite';

/** Any credentials do for an emulator. */
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test', AWS_REGION: 'us-east-1' };

export interface Emulator {
  readonly endpoint: string;
  /** For the real binary. */
  readonly env: Record<string, string>;
}

/** Starts an emulator that knows how to reshard; it goes with the test. */
export async function startKinesis(t: TestContext): Promise<Emulator> {
  const server = kinesalite({ createStreamMs: 5, updateStreamMs: 5, deleteStreamMs: 5, shardLimit: 200 });
  const endpoint = await listening(t, server);
  Object.assign(process.env, CREDENTIALS);
  return { endpoint, env: { ...CREDENTIALS, AWS_ENDPOINT_URL: endpoint } };
}

async function listening(t: TestContext, server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections?.();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

type Fault = 'throttled' | 'partial' | 'error500' | 'reset' | 'lost-answer' | 'torn-answer' | 'expired';

export interface FaultyEmulator extends Emulator {
  /** How often each fault happened. */
  readonly faults: Map<Fault, number>;
}

/** A proxy that lets `rate` of the requests go wrong, by a seeded choice. */
export async function faulty(
  t: TestContext,
  emulator: Emulator,
  rate: number,
  seed: number,
): Promise<FaultyEmulator> {
  const faults = new Map<Fault, number>();
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const server = createServer(async (request, response) => {
    const body = await bodyOf(request);
    const target =
      String(request.headers['x-amz-target'] ?? '')
        .split('.')
        .at(-1) ?? '';
    const fault = random() < rate ? chosen(target, random()) : undefined;
    if (fault) faults.set(fault, (faults.get(fault) ?? 0) + 1);
    if (fault === undefined) return answer(response, await forward(emulator.endpoint, request, body));
    await misbehave(fault, emulator.endpoint, request, response, body);
  });
  const endpoint = await listening(t, server);
  return { endpoint, env: { ...emulator.env, AWS_ENDPOINT_URL: endpoint }, faults };
}

function chosen(target: string, choice: number): Fault {
  const always: Fault[] = ['error500', 'reset', 'torn-answer', 'lost-answer'];
  const own: Record<string, Fault[]> = {
    PutRecords: ['throttled', 'partial', 'partial'],
    GetRecords: ['throttled', 'expired', 'expired'],
  };
  const faults = [...always, ...(own[target] ?? [])];
  return faults[Math.floor(choice * faults.length)]!;
}

async function misbehave(
  fault: Fault,
  endpoint: string,
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
): Promise<void> {
  if (fault === 'reset') return void response.destroy();
  if (fault === 'error500') return problem(response, 500, 'InternalFailure');
  if (fault === 'throttled') return problem(response, 400, 'ProvisionedThroughputExceededException');
  if (fault === 'expired') return problem(response, 400, 'ExpiredIteratorException');
  if (fault === 'partial') return partial(endpoint, request, response, body);
  const real = await forward(endpoint, request, body);
  // What was asked for happened, and the client can't know.
  if (fault === 'lost-answer') return void response.destroy();
  response.writeHead(real.status, { ...real.headers, 'content-length': String(real.body.length) });
  response.write(real.body.subarray(0, Math.floor(real.body.length / 2)));
  setImmediate(() => response.destroy());
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
