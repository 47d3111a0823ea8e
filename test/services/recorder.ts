/** A proxy before AWS and OpenSearch that notes what each request needs a right for. */
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

/** An action of IAM, and what it is done to: `kinesis`, `s3 BUCKET`, `s3 BUCKET/KEY`, or `es`. */
export interface Call {
  readonly action: string;
  readonly on: string;
}

export interface Recorder {
  /** `http://127.0.0.1:PORT`, for every service of AWS. */
  readonly endpoint: string;
  readonly calls: Call[];
  /** Whether a request is answered with 403 instead. */
  refuse: (call: Call, url: URL) => boolean;
}

/** Forwards all requests to `target`. Stops with the test. */
export async function recording(
  t: Pick<TestContext, 'after'>,
  target: string | ((path: string) => string),
  kind: 'aws' | 'es' = 'aws',
): Promise<Recorder> {
  const targetOf = typeof target === 'string' ? () => target : target;
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://proxy');
    const call = kind === 'es' ? esCall(request) : awsCall(request, url);
    recorder.calls.push(call);
    if (recorder.refuse(call, url)) {
      request.resume();
      response.writeHead(403, { 'content-type': 'application/xml' });
      response.end('<Error><Code>AccessDenied</Code><Message>refused</Message></Error>');
    } else
      forward(request, response, targetOf(url.pathname), (status) => {
        // Who may not list a bucket is told 403 of what is not there.
        if (status === 404 && call.action === 's3:GetObject')
          recorder.calls.push({ action: 's3:ListBucket', on: call.on.replace(/\/.*/, '') });
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const recorder: Recorder = { endpoint: `http://127.0.0.1:${port}`, calls: [], refuse: () => false };
  return recorder;
}

function forward(
  request: IncomingMessage,
  response: ServerResponse,
  target: string,
  onStatus: (status: number) => void,
): void {
  const { method, headers } = request;
  const passed = httpRequest(new URL(request.url ?? '/', target), { method, headers }, (answer) => {
    onStatus(answer.statusCode ?? 0);
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
    answer.on('error', () => response.destroy());
  });
  passed.on('error', () => response.destroy());
  request.on('close', () => {
    if (!request.complete) passed.destroy();
  });
  request.pipe(passed);
}

function esCall({ method = '' }: IncomingMessage): Call {
  return { action: `es:ESHttp${method[0]}${method.slice(1).toLowerCase()}`, on: 'es' };
}

function awsCall(request: IncomingMessage, url: URL): Call {
  const target = request.headers['x-amz-target'];
  if (typeof target === 'string') {
    const [service = '', action = ''] = target.split('.');
    if (service.startsWith('Granite')) return { action: `cloudwatch:${action}`, on: '*' };
    return { action: `${service.replace(/_.*/, '').toLowerCase()}:${action}`, on: 'stream' };
  }
  const [, bucket = '', key = ''] = /^\/([^/]*)\/?(.*)$/s.exec(decodeURIComponent(url.pathname)) ?? [];
  return {
    action: s3Action(request.method ?? '', key, url.searchParams),
    on: `s3 ${bucket}${key && '/'}${key}`,
  };
}

function s3Action(method: string, key: string, query: URLSearchParams): string {
  if (key === '')
    return method === 'GET' && query.has('list-type') ? 's3:ListBucket' : `s3 ${method} of a bucket`;
  if (method === 'GET' || method === 'HEAD') return 's3:GetObject';
  if (method === 'PUT' || (method === 'POST' && (query.has('uploads') || query.has('uploadId'))))
    return 's3:PutObject';
  if (method === 'DELETE') return query.has('uploadId') ? 's3:AbortMultipartUpload' : 's3:DeleteObject';
  return `s3 ${method} ${query.toString()}`;
}
