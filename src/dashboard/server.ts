/**
 * The server of the page: static files, the windows in the state, and their changes. Read-only.
 *
 *  It answers only GET and HEAD, and only requests whose `Host` is an IP address or one of this machine's names. This
 *  stops DNS rebinding: a foreign site can point its own name at this machine, but then sends that name as `Host`. The
 *  page loads nothing from other servers, map tiles excepted.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, isIP } from 'node:net';
import { hostname } from 'node:os';
import { systemCode, TaxiflowError } from '../errors.ts';
import { listApps } from '../state/apps.ts';
import { listJobs } from '../status/jobs.ts';
import { Assets, accepted, type Body, compress } from './assets.ts';
import { Feed, LOOK_MS } from './feed.ts';
import type { Budget } from './hub.ts';
import type { QueryAnswer } from './page/query-answer.ts';
import { failure, Queries } from './query.ts';

export interface DashboardOptions {
  readonly dataDir: string;
  /** By default the only app, or the first to appear. */
  readonly app?: string | undefined;
  readonly host: string;
  /** If it is taken, the next free one is used; 0 uses any. */
  readonly port: number;
  /** URL of map tiles with `{z}`, `{x}` and `{y}`; the page then loads from that server too. */
  readonly tiles?: string | undefined;
}

export interface Dashboard {
  readonly url: string;
  close(): Promise<void>;
}

/** A job that was asked for by name and that no one has looked at for so long is let go of. */
const IDLE_MS = 60_000;
const MOST_PAGES = 500;
/** Jobs that are followed at once. */
const MOST_FEEDS = 20;
const PORTS_TRIED = 50;
/** Bytes of a query, most rows of its answer, and ms that it may take. */
const LONGEST_QUERY = 8_192;
const MOST_ROWS = 1_000;
const QUERY_MS = 5_000;
/** Room for a query in an address, where most bytes may take three. */
const HEADER_BYTES = 5 * LONGEST_QUERY;
/** Base for parsing request paths; its host is never used. */
const BASE = 'http://page';
const JSON_TYPE = 'application/json; charset=utf-8';

export async function serveDashboard(options: DashboardOptions): Promise<Dashboard> {
  const site = new Site(options);
  const server = createServer({ maxHeaderSize: HEADER_BYTES }, (request, response) => {
    site.answer(request, response).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' });
      response.end(error instanceof Error ? `${error.message}\n` : '');
    });
  });
  // These limits apply to incoming requests only; event streams stay open.
  server.requestTimeout = 10_000;
  server.headersTimeout = 10_000;
  const port = await listen(server, options);
  site.start();
  return {
    url: `http://${urlHost(options.host)}:${port}/`,
    close: async () => {
      site.close();
      server.close();
      server.closeAllConnections();
      if (server.listening) await once(server, 'close');
    },
  };
}

async function listen(server: Server, { host, port }: DashboardOptions): Promise<number> {
  for (let tried = port; ; tried++) {
    try {
      server.listen({ port: tried, host, exclusive: true });
      await once(server, 'listening');
      return (server.address() as AddressInfo).port;
    } catch (error) {
      const code = systemCode(error);
      if (code === 'EADDRINUSE' && tried < Math.min(65_535, port + PORTS_TRIED)) continue;
      throw new TaxiflowError('cannot-listen', `the page can't be served at ${host}:${tried} (${code})`, {
        hint: 'choose another with --host and --port; ports below 1024 need privileges',
        cause: error,
      });
    }
  }
}

/** The host as written in a URL; loopback stands for "all addresses". */
function urlHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return isIP(host) === 6 ? `[${host}]` : host;
}

class Site {
  readonly #assets = new Assets();
  readonly #dataDir: string;
  readonly #budget: Budget = { busyUntil: 0 };
  /** The job that a page shows unless it asks for another. */
  readonly #default: Feed;
  /** Jobs that were asked for by name. */
  readonly #others = new Map<string, Feed>();
  readonly #queries = new Queries();
  readonly #names: ReadonlySet<string>;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #tiles: string | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor({ dataDir, app, host, tiles }: DashboardOptions) {
    this.#dataDir = dataDir;
    this.#default = new Feed(dataDir, app, this.#budget);
    this.#names = ownNames(host);
    this.#tiles = tiles;
    this.#headers = securityHeaders(tiles);
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), LOOK_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#queries.close();
    for (const feed of this.#feeds()) feed.close();
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(this.#headers)) response.setHeader(name, value);
    const { method, headers } = request;
    const name = hostName(headers.host);
    if (isIP(name) === 0 && !this.#names.has(name)) {
      const advice = 'use its IP address, or pass this name to "taxiflow dashboard --host"';
      return refuse(response, 421, `this server doesn't answer to that host name: ${advice}\n`);
    }
    if (method !== 'GET' && method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      return refuse(response, 405, 'only GET and HEAD are allowed\n');
    }
    const path = request.url ?? '/';
    if (!URL.canParse(path, BASE)) return refuse(response, 400, 'the address is not valid\n');
    const url = new URL(path, BASE);
    const data = url.pathname.startsWith('/api/');
    if (data && headers['sec-fetch-site'] === 'cross-site') {
      return refuse(response, 403, 'requests from other sites are refused\n');
    }
    if (data || url.pathname === '/metrics') return this.#data(request, response, url);
    const asset = await this.#assets.find(url.pathname);
    if (!asset) return refuse(response, 404, 'not found\n');
    response.setHeader('etag', asset.tag);
    response.setHeader('cache-control', 'no-cache');
    response.setHeader('vary', 'accept-encoding');
    if (headers['if-none-match']?.includes(asset.tag)) {
      response.writeHead(304).end();
      return;
    }
    send(request, response, asset.type, await asset.body(accepted(headers['accept-encoding'])));
  }

  /** Answers what belongs to a job: `?app=` chooses it. */
  async #data(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const { pathname, searchParams } = url;
    response.setHeader('cache-control', 'no-store');
    const json = (text: string) => this.#json(request, response, text);
    if (pathname === '/api/settings') return json(JSON.stringify({ tiles: this.#tiles ?? null }));
    if (pathname === '/api/jobs') return json(JSON.stringify(listJobs(this.#dataDir)));
    const app = searchParams.get('app') ?? '';
    const feed = this.#feed(app);
    if (!feed) return refuse(response, 404, 'there is no job of that name\n');
    const view = searchParams.get('view') ?? undefined;
    if (pathname === '/api/events') return this.#events(request, response, feed, url);
    if (pathname === '/api/history') {
      const encoding = accepted(request.headers['accept-encoding']);
      return send(request, response, JSON_TYPE, await feed.history(view, encoding));
    }
    if (pathname === '/api/windows') {
      const before = Number(searchParams.get('before') ?? Number.MAX_SAFE_INTEGER);
      if (!Number.isSafeInteger(before)) return refuse(response, 400, 'before must be a time in ms\n');
      return json(feed.windows(view ?? '', before));
    }
    if (pathname === '/api/query') return this.#query(request, response, feed, searchParams.get('sql') ?? '');
    if (pathname === '/api/job') return json(JSON.stringify((await feed.details()) ?? null));
    if (pathname === '/api/dead-letters')
      return json(JSON.stringify(feed.deadLetters(searchParams.get('reason') ?? '')));
    if (pathname === '/metrics') return this.#metrics(request, response, feed);
    return refuse(response, 404, 'not found\n');
  }

  /** The job of a name, or the default one; undefined if there is none, or too many are followed. */
  #feed(app: string): Feed | undefined {
    if (app === '' || app === this.#default.app) return this.#default;
    const known = this.#others.get(app);
    if (known) return known;
    if (this.#others.size >= MOST_FEEDS || !listApps(this.#dataDir).includes(app)) return undefined;
    const feed = new Feed(this.#dataDir, app, this.#budget);
    this.#others.set(app, feed);
    return feed;
  }

  #events(request: IncomingMessage, response: ServerResponse, feed: Feed, url: URL): void {
    let pages = 0;
    for (const { pages: open } of this.#feeds()) pages += open;
    if (pages >= MOST_PAGES) {
      refuse(response, 503, 'too many pages are open\n');
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    response.socket?.setNoDelay(true);
    const known = request.headers['last-event-id'] ?? url.searchParams.get('after') ?? '';
    feed.listen(response, url.searchParams.get('view') ?? undefined, String(known));
  }

  async #query(request: IncomingMessage, response: ServerResponse, feed: Feed, sql: string): Promise<void> {
    // Queries cost more than other requests, so pages of neighbouring sites can't make them either.
    const from = request.headers['sec-fetch-site'] ?? 'none';
    if (from !== 'same-origin' && from !== 'none')
      return refuse(response, 403, 'requests from other sites are refused\n');
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const isLong = Buffer.byteLength(sql) > LONGEST_QUERY;
    const answer = isLong
      ? failure('usage', `a query is at most ${LONGEST_QUERY} bytes long`, 'run it with "taxiflow query"')
      : await this.#answerTo(feed, sql, gone.signal);
    if (gone.signal.aborted) return;
    if ('error' in answer) response.statusCode = isLong ? 414 : answer.error.code === 'busy' ? 503 : 400;
    return this.#json(request, response, JSON.stringify(answer));
  }

  #answerTo({ app }: Feed, sql: string, signal: AbortSignal): Promise<QueryAnswer> | QueryAnswer {
    if (app === undefined)
      return failure('no-app', 'no processor has run yet', 'run "taxiflow process" first');
    return this.#queries.run({ dataDir: this.#dataDir, app, sql, rows: MOST_ROWS }, QUERY_MS, signal);
  }

  async #metrics(request: IncomingMessage, response: ServerResponse, feed: Feed): Promise<void> {
    const { metricsOf } = await import('../status/metrics.ts');
    const { type, text } = await metricsOf(feed.status());
    const encoding = accepted(request.headers['accept-encoding']);
    send(request, response, type, await compress(Buffer.from(text), encoding));
  }

  async #json(request: IncomingMessage, response: ServerResponse, json: string): Promise<void> {
    const encoding = accepted(request.headers['accept-encoding']);
    send(request, response, JSON_TYPE, await compress(Buffer.from(json), encoding));
  }

  #feeds(): Feed[] {
    return [this.#default, ...this.#others.values()];
  }

  #tick(): void {
    for (const feed of this.#feeds()) feed.tick();
    for (const [app, feed] of this.#others) {
      if (!feed.isIdle(IDLE_MS)) continue;
      feed.close();
      this.#others.delete(app);
    }
  }
}

function send(request: IncomingMessage, response: ServerResponse, type: string, body: Body): void {
  response.setHeader('content-type', type);
  response.setHeader('vary', 'accept-encoding');
  if (body.encoding !== 'identity') response.setHeader('content-encoding', body.encoding);
  response.setHeader('content-length', body.bytes.length);
  response.end(request.method === 'HEAD' ? undefined : body.bytes);
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(text);
}

function securityHeaders(tiles: string | undefined): Record<string, string> {
  const tileOrigin = tiles === undefined ? '' : ` ${new URL(tiles).origin}`;
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "worker-src 'self'",
    `connect-src 'self'${tileOrigin}`,
    `img-src 'self' data:${tileOrigin}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return {
    'content-security-policy': policy.join('; '),
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
  };
}

/** The host names of this machine. */
function ownNames(host: string): Set<string> {
  return new Set(['localhost', host, hostname()].map((name) => name.toLowerCase()));
}

/** The `Host` header without port and IPv6 brackets; empty if it is missing or malformed. */
function hostName(header: string | undefined): string {
  const name = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(header ?? '');
  return (name?.[1] ?? name?.[2] ?? '').toLowerCase();
}
