/** A proxy before OpenSearch, for what goes wrong on the way: bulk requests held, cut, or answered by others. */
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { Reply } from './replies.ts';

export interface Bulk {
  /** Counted from 1. */
  readonly number: number;
  /** Its lines, unpacked. */
  readonly lines: readonly string[];
  readonly headers: IncomingMessage['headers'];
  /** Lets the server have it; what the server says isn't passed on by that. */
  forward(): Promise<Reply>;
}

/** Decides what a bulk request is answered; `cut` ends the connection without a word. */
export type OnBulk = (bulk: Bulk) => Reply | 'cut' | Promise<Reply | 'cut'>;

export interface SearchProxy {
  readonly endpoint: string;
}

/** Everything but bulk requests goes through as it is. Stops with the test. */
export async function proxied(t: TestContext, target: string, onBulk: OnBulk): Promise<SearchProxy> {
  let bulks = 0;
  const server = createServer((request, response) => {
    void (async () => {
      const body = await bodyOf(request);
      const forward = () => forwarded(target, request, body);
      const answer = /\/_bulk\b/.test(request.url ?? '')
        ? await onBulk({
            number: ++bulks,
            lines: linesOf(request, body),
            headers: request.headers,
            forward,
          })
        : await forward();
      if (answer === 'cut') {
        request.socket.destroy();
        return;
      }
      const text = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body);
      response.writeHead(answer.httpStatus, {
        ...answer.headers,
        'content-length': String(Buffer.byteLength(text)),
      });
      response.end(request.method === 'HEAD' ? undefined : text);
    })().catch(() => request.socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

async function forwarded(target: string, request: IncomingMessage, body: Buffer): Promise<Reply> {
  const { host: _host, connection: _connection, 'accept-encoding': _packed, ...headers } = request.headers;
  return new Promise((resolve, reject) => {
    const forward = httpRequest(
      new URL(request.url ?? '/', target),
      { method: request.method, headers: { ...headers, 'content-length': String(body.length) } },
      (response) => {
        bodyOf(response).then((answered) => {
          const type = response.headers['content-type'] ?? '';
          const text = answered.toString();
          resolve({
            httpStatus: response.statusCode ?? 0,
            headers: type === '' ? {} : { 'content-type': type },
            body: type.includes('json') && text !== '' ? (JSON.parse(text) as unknown) : text,
          });
        }, reject);
      },
    );
    forward.on('error', reject);
    forward.end(body);
  });
}

function linesOf(request: IncomingMessage, body: Buffer): string[] {
  const text = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
  return text.toString().trimEnd().split('\n');
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
