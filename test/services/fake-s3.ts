/** A small S3 of the tests' own: objects in memory, and an answer spoilt wherever a test asks for it. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export interface Asked {
  readonly method: string;
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
}

/** How to spoil an answer: a status of its own, or a body that stops after so many bytes, closed or reset. */
export type Fault =
  | {
      readonly status: number;
      readonly code: string;
      readonly message?: string;
      readonly headers?: Record<string, string>;
    }
  | { readonly after: number }
  | 'reset'
  | 'silent';

export interface FakeS3 {
  readonly endpoint: string;
  readonly bucket: string;
  readonly objects: Map<string, Buffer>;
  readonly asked: Asked[];
  /** Asked before each answer. */
  fault: (asked: Asked) => Fault | undefined;
}

/** Starts it on a free port, with one bucket whose listings have two keys a page; it stops with the test. */
export async function startFakeS3(t: TestContext, objects: Record<string, Buffer | string>): Promise<FakeS3> {
  const server = createServer((request, response) => answer(fake, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const fake: FakeS3 = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bucket: 'trips',
    objects: new Map(Object.entries(objects).map(([key, content]) => [key, Buffer.from(content)])),
    asked: [],
    fault: () => undefined,
  };
  return fake;
}

function answer(fake: FakeS3, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', fake.endpoint);
  const [, bucket, key = ''] = /^\/([^/]*)\/?(.*)$/s.exec(decodeURIComponent(url.pathname)) ?? [];
  const asked = { method: request.method ?? '', key, query: url.searchParams, headers: request.headers };
  fake.asked.push(asked);
  const fault = fake.fault(asked);
  if (fault === 'silent') return;
  if (fault === 'reset') {
    request.socket.resetAndDestroy();
    return;
  }
  if (fault && 'status' in fault) {
    refuse(response, fault.status, fault.code, fault.headers, fault.message);
    return;
  }
  if (bucket !== fake.bucket) refuse(response, 404, 'NoSuchBucket');
  else if (key === '') list(fake, url.searchParams, response);
  else if (asked.method === 'PUT') store(fake, key, request, response);
  else object(fake, asked, response, fault?.after);
}

function store({ objects }: FakeS3, key: string, request: IncomingMessage, response: ServerResponse): void {
  const body: Buffer[] = [];
  request.on('data', (chunk: Buffer) => body.push(chunk));
  request.on('end', () => {
    const content = Buffer.concat(body);
    objects.set(key, content);
    response.writeHead(200, { etag: etagOf(content) }).end();
  });
}

function refuse(response: ServerResponse, status: number, code: string, headers = {}, message = code): void {
  response.writeHead(status, { 'content-type': 'application/xml', ...headers });
  response.end(
    response.req.method === 'HEAD' ? '' : `<Error><Code>${code}</Code><Message>${message}</Message></Error>`,
  );
}

function etagOf(content: Buffer): string {
  return `"${createHash('md5').update(content).digest('hex')}"`;
}

function list({ objects }: FakeS3, query: URLSearchParams, response: ServerResponse): void {
  const keys = [...objects.keys()].filter((key) => key.startsWith(query.get('prefix') ?? '')).sort();
  const from = Number(query.get('continuation-token') ?? 0);
  const page = keys.slice(from, from + 2).map((key) => {
    const content = objects.get(key)!;
    return `<Contents><Key>${key}</Key><Size>${content.length}</Size><ETag>${etagOf(content)}</ETag></Contents>`;
  });
  const more = from + 2 < keys.length;
  response.end(
    `<ListBucketResult><IsTruncated>${more}</IsTruncated>${more ? `<NextContinuationToken>${from + 2}</NextContinuationToken>` : ''}${page.join('')}</ListBucketResult>`,
  );
}

function object(
  fake: FakeS3,
  { method, key, headers }: Asked,
  response: ServerResponse,
  after?: number,
): void {
  const content = fake.objects.get(key);
  if (!content) {
    refuse(response, 404, 'NoSuchKey');
    return;
  }
  const etag = etagOf(content);
  if (headers['if-match'] !== undefined && headers['if-match'] !== etag) {
    refuse(response, 412, 'PreconditionFailed');
    return;
  }
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
  const start = Number(first ?? 0);
  const end = Math.min(content.length, Number(last ?? content.length - 1) + 1);
  response.writeHead(first === undefined ? 200 : 206, {
    etag,
    'content-length': end - start,
    ...(first === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${content.length}` }),
  });
  if (method === 'HEAD') response.end();
  else if (after === undefined || after >= end - start) response.end(content.subarray(start, end));
  else response.write(content.subarray(start, start + after), () => response.socket?.destroy());
}
