/** Small HTTP servers of the tests' own. */
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export interface Asked {
  readonly method: string;
  /** As it was sent, with its query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Answer {
  readonly status?: number;
  /** JSON, or text where it is a string. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Server {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  readonly port: number;
  readonly asked: Asked[];
}

/** Starts a server on a free port that answers by a function, never where it gives undefined; it stops with the test. */
export async function serve(
  t: Pick<TestContext, 'after'>,
  answer: (asked: Asked) => Answer | undefined | Promise<Answer | undefined>,
  tls?: { readonly key: string; readonly cert: string },
): Promise<Server> {
  const asked: Asked[] = [];
  const listener: RequestListener = async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const one: Asked = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      body: Buffer.concat(chunks),
    };
    asked.push(one);
    const given = await answer(one);
    if (given === undefined) return;
    const { status = 200, body = '', headers = {} } = given;
    const type = typeof body === 'string' ? 'text/plain' : 'application/json; charset=UTF-8';
    response.writeHead(status, { 'content-type': type, ...headers });
    response.end(one.method === 'HEAD' ? '' : typeof body === 'string' ? body : JSON.stringify(body));
  };
  const server = tls ? createTlsServer(tls, listener) : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`, port, asked };
}

/** What an OpenSearch without anything in it says; it takes what it is given and forgets it. */
export function emptyOpenSearch({ method, path }: Pick<Asked, 'method' | 'path'>): Answer {
  if (method === 'GET' && path === '/')
    return { body: { version: { distribution: 'opensearch', number: '3.8.0' } } };
  if (path.startsWith('/_cluster/health')) return { body: { status: 'green' } };
  if (path.includes('_search')) return { body: { hits: { total: { value: 0 }, hits: [] } } };
  if (method === 'GET')
    return { status: 404, body: { error: { type: 'index_not_found_exception' }, status: 404 } };
  return { body: { acknowledged: true } };
}
