/** A model of OpenSearch that fails in every way, and of the state that a sink is fed from. */
import { setTimeout as wait } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import type { Client } from '@opensearch-project/opensearch';
import type { Clock } from '../../src/clock.ts';
import { type DeadLetter, DeadLetterBuffer } from '../../src/dead-letters.ts';
import { OpenSearchSink, type Outbox } from '../../src/sinks/opensearch.ts';
import type { Cursor, StoredFiring } from '../../src/state/sqlite-state.ts';
import { checkViews } from '../../src/views/check.ts';
import { taxiViews } from '../../src/views/taxi.ts';

export const LARGEST_REQUEST = 30_000;
const TAXI_VIEWS = checkViews(taxiViews());
const VIEWS = TAXI_VIEWS.filter(({ name }) => name === 'trip_duration');

export type Random = () => number;

/** mulberry32 */
export function randomOf(seed: number): Random {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const HURRIED_TICK_MS = 200;

/**
 * A second passes in five milliseconds, or in more: time goes by in ticks, so that while somebody else has the processor
 * nobody's patience ends, and what is due first comes first, which Node's timers don't promise after a stall.
 */
class HurriedClock implements Clock {
  #now = 0;
  #ticking = false;
  /** By when they are due. */
  readonly #waiting: { readonly due: number; readonly run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  /** Returns what calls it off. */
  after(ms: number, run: () => void): () => void {
    const event = { due: this.#now + ms, run };
    this.#waiting.splice(this.#waiting.findLastIndex(({ due }) => due <= event.due) + 1, 0, event);
    if (!this.#ticking) void this.#tick();
    return () => {
      const place = this.#waiting.indexOf(event);
      if (place >= 0) this.#waiting.splice(place, 1);
    };
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return;
    await new Promise<void>((resolve) => {
      const wake = () => {
        callOff();
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      const callOff = this.after(ms, wake);
      signal?.addEventListener('abort', wake);
    });
  }

  async #tick(): Promise<void> {
    this.#ticking = true;
    while (this.#waiting.length > 0) {
      await wait(1);
      this.#now += HURRIED_TICK_MS;
      while (this.#waiting[0] && this.#waiting[0].due <= this.#now) this.#waiting.shift()!.run();
    }
    this.#ticking = false;
  }
}

export const HURRIED = new HurriedClock();

export type Fate = 'taken' | 'refused' | 'spoils' | 'too-large';

/** The state: what it remembers outlives every sink, but not what a dead sink would still write to it. */
export class ModelState {
  readonly firings: StoredFiring[] = [];
  readonly letters: DeadLetter[] = [];
  readonly created = Date.UTC(2026, 0, 1);
  cursor: Cursor | undefined;
  nextResult = 1;

  commit(documents: readonly object[], correction = false, view = 'trip_duration'): void {
    this.firings.push({
      first: this.nextResult,
      count: documents.length,
      view,
      windowStart: 0,
      correction,
      docs: `[${documents.map((document) => JSON.stringify(document)).join(',\n')}]`,
    });
    this.nextResult += documents.length;
  }

  /** The outbox as one process sees it. */
  outbox(alive: () => boolean): Outbox {
    const state = this;
    return {
      get nextResult() {
        return state.nextResult;
      },
      created: this.created,
      cursor: () => state.cursor,
      refused: () => state.letters.length,
      moveCursor: (_name, cursor, refused) => {
        if (!alive()) return;
        state.cursor = cursor;
        state.letters.push(...(refused?.letters ?? []));
      },
      firingsFrom: function* (from) {
        for (const firing of state.firings) if (firing.first + firing.count > from) yield firing;
      },
    };
  }
}

interface Target {
  readonly _index: string;
  readonly _id: string;
  readonly require_alias?: boolean;
}

const ANSWER_MS = 600;
/** A request that nobody waits for any more is done by then. */
export const LATE_MS = 12_000;

type TurnsAway = (action: string) => boolean;
const FULL = [429, 'rejected_execution_exception'] as const;

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly bulkBody?: Buffer;
}

/** OpenSearch as far as the sink needs it, and as bad as it can be. */
export class ModelServer {
  readonly documents = new Map<string, { version: bigint; source: string }>();
  readonly #deleted = new Map<string, { readonly version: bigint }>();
  /** Share of the requests that something happens to. */
  trouble = 0;
  /** How long the version of a document that was deleted is remembered; longer than a request is on its way. */
  tombstoneMs = LATE_MS + 2 * ANSWER_MS;
  /**
   * Given: it answers bulk requests in place of chance; undefined lets the model do as it is told, a function says which
   * actions are turned away.
   */
  script: ((request: number) => unknown) | undefined;
  /** Told of every request before it is looked at. */
  front: (path: string) => void | Promise<void> = () => {};
  /** The largest body it takes. */
  limit = LARGEST_REQUEST;
  /** Bulk requests so far. */
  requests = 0;
  /** The most requests that were under way at once, and the most documents and characters in one. */
  readonly most = { requests: 0, documents: 0, characters: 0 };
  readonly #random: Random;
  #underWay = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** By the name of the index and by its alias. */
  indices: ReadonlyMap<string, { readonly name: string; readonly mappings: unknown }> = new Map();

  /** Somebody deletes all indices. */
  takeAway(): void {
    this.indices = new Map();
    this.documents.clear();
    this.#deleted.clear();
  }

  /** Somebody makes the index of a view anew. */
  empty(view: string): void {
    for (const id of this.documents.keys()) if (id.startsWith(`${view}|`)) this.documents.delete(id);
  }

  #count(names: readonly string[]): number {
    return [...this.documents.keys()].filter((id) => names.includes(id.split('|')[0]!)).length;
  }

  /** Deletions that it still knows of. */
  get tombstones(): number {
    return this.#deleted.size;
  }

  /** Of one process, which sends nothing more once it is dead. */
  clientOf(alive: () => boolean): Client {
    const request = (params: Asked) => (alive() ? this.#answer(params) : new Promise(() => {}));
    return { transport: { request }, close: async () => {} } as unknown as Client;
  }

  async #answer({ method, path, body, bulkBody }: Asked) {
    this.most.requests = Math.max(this.most.requests, ++this.#underWay);
    try {
      await this.front(path);
      await HURRIED.sleep(this.#random() * ANSWER_MS);
    } finally {
      this.#underWay--;
    }
    if (path === '/') return { body: { version: { number: '3.8.0', distribution: 'opensearch' } } };
    if (path.endsWith('/_count')) return { body: { count: this.#count(path.split('/')[1]!.split(',')) } };
    if (path.endsWith('/_mapping')) {
      const index = this.indices.get(path.slice(1, -'/_mapping'.length));
      if (!index) throw answered(404);
      return { body: { [index.name]: { mappings: index.mappings } } };
    }
    if (method === 'PUT') {
      const name = path.slice(1);
      const { mappings, aliases = {} } = body as { mappings: unknown; aliases?: object };
      const names = [name, ...Object.keys(aliases)].map((known) => [known, { name, mappings }] as const);
      this.indices = new Map([...this.indices, ...names]);
      return { body: { acknowledged: true } };
    }
    return { body: await this.#bulk(gunzipSync(bulkBody!).toString()) };
  }

  async #bulk(body: string): Promise<unknown> {
    const lines = body.slice(0, -1).split('\n');
    this.most.documents = Math.max(this.most.documents, lines.length / 2);
    this.most.characters = Math.max(this.most.characters, body.length);
    const scripted = this.script?.(++this.requests);
    if (typeof scripted === 'function') return this.#done(lines, scripted as TurnsAway, ...FULL);
    if (scripted !== undefined) return scripted;
    if (body.length > this.limit) throw answered(413);
    const fates = lines.filter((line) => line.startsWith('{"view"')).map((line) => fateOf(line));
    if (fates.includes('spoils')) throw answered(400);
    if (this.#random() >= this.trouble) return this.#done(lines, () => false);
    switch (Math.floor(this.#random() * 9)) {
      case 0:
        throw answered(429);
      case 1:
        throw answered(503, { 'retry-after': '1' });
      case 2:
        throw reset();
      case 3:
        this.#done(lines, () => false);
        throw reset();
      case 4:
        // It comes through when nobody waits for it any more.
        HURRIED.after(this.#random() * LATE_MS, () => this.#done(lines, () => false));
        throw reset();
      case 5:
        return this.#done(lines, () => this.#random() < 0.5, ...FULL);
      case 6:
        return this.#done(lines, () => this.#random() < 0.5, 503, 'unavailable_shards_exception');
      case 7:
        return this.#done(lines, () => true, 403, 'cluster_block_exception');
      default:
        // Somebody else answers for it.
        return [{}, '<html>', null, { errors: true, items: [] }, { took: 1 }][Math.floor(this.#random() * 5)];
    }
  }

  #done(lines: readonly string[], turnsAway: TurnsAway, status = 0, type = ''): unknown {
    const items: Record<string, { status: number; error?: object }>[] = [];
    for (let i = 0; i < lines.length; ) {
      const line = lines[i++]!;
      const [[what, target] = []] = Object.entries(JSON.parse(line) as Record<string, Target>);
      if (!what || !target) throw new Error(`no action: ${line}`);
      // The version is a long, beyond what a number holds exactly.
      const version = BigInt(/"version":(\d+)/.exec(line)![1]!);
      const source = what === 'delete' ? '' : lines[i++]!;
      const here = this.indices.get(target._index);
      const item = (status: number, type?: string) =>
        items.push({ [what]: { status, ...(type ? { error: { type, reason: 'of the model' } } : {}) } });
      if (here === undefined || (target.require_alias && here.name === target._index))
        item(404, 'index_not_found_exception');
      else if (turnsAway(what)) item(status, type);
      else if (source !== '' && fateOf(source) === 'refused') item(400, 'mapper_parsing_exception');
      else if (this.#versionOf(target._id) > version) item(409, 'version_conflict_engine_exception');
      else if (what === 'delete') {
        item(this.documents.delete(target._id) ? 200 : 404);
        this.#bury(target._id, version);
      } else {
        this.documents.set(target._id, { version, source });
        item(201);
      }
    }
    const errors = items.some((item) => Object.values(item).some(({ error }) => error !== undefined));
    return errors ? { errors, items } : { errors };
  }

  /** A deletion that comes again is remembered for as long again. */
  #bury(id: string, version: bigint): void {
    const tombstone = { version };
    this.#deleted.set(id, tombstone);
    HURRIED.after(this.tombstoneMs, () => {
      if (this.#deleted.get(id) === tombstone) this.#deleted.delete(id);
    });
  }

  /** A deletion is remembered for a while, as by the real server. */
  #versionOf(id: string): bigint {
    return (this.documents.get(id) ?? this.#deleted.get(id))?.version ?? 0n;
  }
}

export function answered(statusCode: number, headers = {}): Error {
  return Object.assign(new Error(`status ${statusCode}`), {
    name: 'ResponseError',
    meta: { statusCode, headers, body: { error: { type: 'some_exception', reason: 'of the model' } } },
  });
}

function reset(): Error {
  return Object.assign(new Error('read ECONNRESET'), { name: 'ConnectionError', code: 'ECONNRESET' });
}

export function fateOf(source: string): Fate {
  return (JSON.parse(source) as { fate: Fate }).fate;
}

/** A sink between both; `alive` says whether its process still is. */
export async function openSink(
  state: ModelState,
  server: ModelServer,
  {
    alive = () => true,
    onTrouble = () => {},
    allViews = false,
    clock = HURRIED,
  }: {
    alive?: () => boolean;
    onTrouble?: (trouble?: string) => void;
    allViews?: boolean;
    clock?: Clock;
  } = {},
): Promise<OpenSearchSink> {
  const sink = new OpenSearchSink({
    client: server.clientOf(alive),
    url: 'http://model:9200',
    prefix: '',
    views: allViews ? TAXI_VIEWS : VIEWS,
    outbox: state.outbox(alive),
    deadLetters: new DeadLetterBuffer(Number.POSITIVE_INFINITY),
    clock,
    onTrouble,
  });
  await sink.open();
  return sink;
}
