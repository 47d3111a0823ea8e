/**
 * OpenSearch below its client's connection: the requests of `node:http`, answered by the model of test/sinks. The client
 * and what taxiflow makes of it are real, so that limits of time, broken answers and `close` are too.
 */
import { EventEmitter } from 'node:events';
import http from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { Readable } from 'node:stream';
import { gunzipSync } from 'node:zlib';
import {
  type Asked,
  type answered,
  type BulkAnswer,
  FULL,
  ModelServer,
  type TurnedAway,
} from '../sinks/opensearch-model.ts';
import type { Faults } from './faults.ts';
import type { Network, NoAnswer } from './network.ts';
import { running } from './surroundings.ts';
import type { Process, World } from './world.ts';

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The connection breaks in the middle of the body. */
  readonly breaksOff?: boolean;
}

const VERSION = /"version":(\d+),"version_type"/g;
/** The bits of a version that count results. */
const RESULT = (1n << 30n) - 1n;
/** Paths that read, whatever the method. */
const READS = /\/(_search|_count|_refresh|_mget)$/;
const RUBBISH = ['<html>', '{}', 'null', '{"errors":true,"items":[]}', '{"errors":false,"items":[]}', '{"took":1}', '', '{"errors":false,"ite', '[]', '""']; // biome-ignore format: one list

export class SearchModel {
  readonly server: ModelServer;
  /** Numbers of the results that it has stored at some time. */
  readonly settled = new Set<number>();
  /** Processes that have changed something. */
  readonly writers = new WeakSet<Process>();
  /** The status with which all requests are turned away. */
  denies: 401 | 403 | undefined;
  isDown = false;
  /** Told the number of each result that arrives. */
  onResults: (number: number) => void = () => {};
  readonly #world: World;
  readonly #faults: Faults;
  readonly #network: Network;
  /** To whatever was asked last. */
  #lastAnswer: string | undefined;

  constructor(world: World, faults: Faults, network: Network) {
    this.#world = world;
    this.#faults = faults;
    this.#network = network;
    this.server = new ModelServer(world.chance('opensearch'), {
      after: (ms, ring) => {
        const event = world.after(ms, undefined, '', ring);
        return () => {
          event.isCancelled = true;
        };
      },
      sleep: () => Promise.reject(new Error('the network has the time')),
    });
    const random = world.chance('opensearch server');
    this.server.limit = random() < 0.2 ? 1_000 + random() * 20_000 : 10_000_000;
    // `index.gc_deletes`, always longer than a request may be under way.
    this.server.tombstoneMs = random() < 0.5 ? 60_000 : 15_000;
  }

  #settle(numbers: readonly number[], { items }: BulkAnswer): void {
    // A conflict says that a later result of the document is there.
    for (const [i, item] of items.entries())
      for (const { status, error } of Object.values(item))
        if (!error || status === 409) this.settled.add(numbers[i]!);
  }

  ask(asked: Asked): Promise<Answer> {
    if (asked.method !== 'GET' && !READS.test(asked.path)) this.writers.add(running()!);
    const name = asked.bulkBody ? 'bulk' : `${asked.method} ${asked.path.replace(/^\/[^_/]+/, '/NAME')}`;
    return this.#network.ask({ server: 'opensearch', name, serve: () => this.#serve(asked, name) });
  }

  #serve(asked: Asked, name: string): Answer {
    const { server } = this;
    if (this.isDown) return { status: 503, body: '<html>no server is behind this proxy</html>' };
    if (this.denies)
      return { status: this.denies, body: '{"error":{"type":"security_exception","reason":"no"}}' };
    const numbers = asked.bulkBody ? numbersIn(gunzipSync(asked.bulkBody).toString()) : [];
    for (const number of numbers) this.onResults(number);
    const random = this.#faults.details(name);
    const possible = asked.bulkBody
      ? ([
          'too-many-requests',
          'rubbish',
          'another-answer',
          'broken-off',
          'too-large',
          'some-turned-away',
          'some-unavailable',
          'blocked',
        ] as const)
      : (['too-many-requests', 'rubbish', 'another-answer', 'broken-off'] as const);
    const fault = this.#faults.of('opensearch', `${name} served`, possible);
    if (fault === 'too-many-requests') return { status: 429, body: '{"error":{"type":"es_rejected"}}', headers: random() < 0.3 ? { 'retry-after': '2' } : {} }; // biome-ignore format: one answer
    // A proxy answers in its place.
    if (fault === 'rubbish') return { status: 200, body: RUBBISH[Math.floor(random() * RUBBISH.length)]! };
    if (fault === 'another-answer' && this.#lastAnswer !== undefined)
      return { status: 200, body: this.#lastAnswer };
    // A proxy has a limit of its own; a single document is below it.
    if (fault === 'too-large' && numbers.length > 1) return { status: 413, body: '<html>too large</html>' };
    const away: Partial<Record<string, TurnedAway>> = {
      'some-turned-away': { of: () => random() < 0.5, ...FULL },
      'some-unavailable': { of: () => random() < 0.5, status: 503, type: 'unavailable_shards_exception' },
      blocked: { of: () => true, status: 403, type: 'cluster_block_exception' },
    };
    const turnedAway = fault && away[fault];
    server.script = turnedAway && (() => turnedAway);
    try {
      const answer = server.carryOut(asked);
      if (asked.bulkBody) this.#settle(numbers, answer as BulkAnswer);
      const body = JSON.stringify(answer);
      this.#lastAnswer = body;
      return { status: 200, body, breaksOff: fault === 'broken-off' };
    } catch (error) {
      const { meta } = error as ReturnType<typeof answered> & {
        meta?: { statusCode: number; body: unknown };
      };
      if (!meta) {
        this.#world.broken(error);
        throw error;
      }
      return { status: meta.statusCode, body: JSON.stringify(meta.body) };
    } finally {
      server.script = undefined;
    }
  }
}

/** The number of each result in a bulk request. */
function numbersIn(text: string): number[] {
  return [...text.matchAll(VERSION)].map(([, version]) => Number(BigInt(version!) & RESULT));
}

interface Params {
  readonly method?: string;
  readonly path: string;
}

/** As much of a request of `node:http` as the client uses. */
class Request extends EventEmitter {
  readonly #model: SearchModel;
  readonly #params: Params;
  readonly #of: Process;
  #isOver = false;

  constructor(model: SearchModel, params: Params) {
    super();
    this.#model = model;
    this.#params = params;
    this.#of = running()!;
    this.#of.opened.set(this, () => {});
  }

  setNoDelay(): void {}

  end(body?: string | Buffer): void {
    const { pathname, searchParams } = new URL(this.#params.path, 'http://model');
    const isBulk = pathname === '/_bulk';
    this.#model
      .ask({
        method: this.#params.method ?? 'GET',
        path: decodeURIComponent(pathname),
        querystring: Object.fromEntries(searchParams),
        ...(isBulk ? { bulkBody: body as Buffer } : body ? { body: JSON.parse(body.toString()) } : {}),
      })
      .then(
        (answer) => this.#answer(answer),
        (error: unknown) => this.#fail(error as NoAnswer),
      );
  }

  abort(): void {
    this.destroy();
  }

  destroy(error: Error = Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })): this {
    if (this.#isOver) return this;
    process.nextTick(() => {
      if (this.#isOver) return;
      this.#end();
      this.emit('error', error);
      this.emit('close');
    });
    return this;
  }

  #end(): void {
    this.#isOver = true;
    this.#of.opened.delete(this);
  }

  #fail({ failure }: NoAnswer): void {
    // Whoever waits for a word has limits of its own.
    if (failure === 'silent') return;
    if (failure === 'unavailable') {
      this.#answer({ status: 503, body: `{"error":"unavailable"}` });
      return;
    }
    const code = failure === 'refused' ? 'ECONNREFUSED' : 'ECONNRESET';
    this.destroy(Object.assign(new Error(`connect ${code}`), { code }));
  }

  #answer({ status, body, headers = {}, breaksOff = false }: Answer): void {
    if (this.#isOver) return;
    const half = Buffer.from(body.slice(0, body.length / 2));
    const rest = Buffer.from(body.slice(body.length / 2));
    const response = new Readable({ read: () => {} });
    Object.assign(response, {
      statusCode: status,
      headers: { 'content-type': 'application/json', ...headers },
    });
    this.emit('response', response);
    response.push(half);
    response.once('close', () => {
      this.#end();
      this.emit('close');
    });
    if (breaksOff) {
      response.emit('aborted');
      response.destroy(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }));
    } else {
      response.push(rest);
      response.push(null);
    }
  }
}

const { request } = http;

/** Puts a model in the place of every server of `node:http`; undefined takes it away. */
export function answerHttp(model: SearchModel | undefined): void {
  http.request = model
    ? (((params: Params) => (running() ? new Request(model, params) : request(params as never))) as never)
    : request;
  syncBuiltinESMExports();
}
