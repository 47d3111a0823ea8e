/** A model of OpenSearch that fails in every way, and of the state that a sink is fed from. */
import { gunzipSync } from 'node:zlib';
import type { Client } from '@opensearch-project/opensearch';
import type { Clock } from '../../src/clock.ts';
import { type DeadLetter, DeadLetterBuffer } from '../../src/dead-letters.ts';
import { OpenSearchSink, type Outbox } from '../../src/sinks/opensearch/sink.ts';
import type { WindowDestination } from '../../src/state/destinations.ts';
import type { Cursor, StoredFiring, StoredWindow } from '../../src/state/outbox.ts';
import { checkViews } from '../../src/views/check.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { TestClock } from '../clock.ts';
import type { Random } from '../random.ts';
import { count, type Found, Refused, type Search, search } from './opensearch-queries.ts';

export const LARGEST_REQUEST = 30_000;
const TAXI_VIEWS = checkViews(taxiViews());
const VIEWS = TAXI_VIEWS.filter(({ name }) => name === 'trip_duration');

/** A minute takes 300 ms: compression and HTTP servers need real time. */
export const HURRIED = new TestClock({ step: 200 });

export type Fate = 'taken' | 'refused' | 'spoils' | 'too-large';

/** The state. It outlives every sink and ignores writes of dead sinks. */
export class ModelState {
  readonly firings: StoredFiring[] = [];
  readonly letters: DeadLetter[] = [];
  readonly created: number;
  cursor: Cursor | undefined;
  nextResult = 1;
  destinations: string | undefined;
  readonly #windowDestinations = new Map<string, WindowDestination>();

  constructor(created = Date.UTC(2026, 0, 1)) {
    this.created = created;
  }

  /** A firing for each run of documents of one window. */
  commit(documents: readonly object[], correction = false, view = 'trip_duration'): void {
    for (let at = 0; at < documents.length; ) {
      const windowStart = startOf(documents[at]!);
      let end = at + 1;
      while (end < documents.length && startOf(documents[end]!) === windowStart) end++;
      const docs = documents.slice(at, end).map((document) => JSON.stringify(document));
      this.firings.push({
        first: this.nextResult,
        count: docs.length,
        view,
        windowStart,
        correction,
        docs: `[${docs.join(',\n')}]`,
      });
      this.nextResult += docs.length;
      at = end;
    }
  }

  /** Told after the cursor has moved. */
  onCursor: () => void = () => {};

  /** The outbox as one process sees it. */
  outbox(alive: () => boolean): Outbox {
    const state = this;
    return {
      get nextResult() {
        return state.nextResult;
      },
      get end() {
        return state.nextResult;
      },
      created: this.created,
      cursor: () => state.cursor,
      refused: () => state.letters.length,
      refusedDocuments: () => state.letters.map(({ raw }) => raw),
      moveCursor: (_name, cursor, refused) => {
        if (!alive()) return;
        state.cursor = cursor;
        state.letters.push(...(refused?.letters ?? []));
        state.onCursor();
      },
      firingsFrom: function* (from) {
        for (const firing of state.firings) if (firing.first + firing.count > from) yield firing;
      },
      firstOf: (view, windowStart) =>
        state.firings.find((firing) => firing.view === view && firing.windowStart === windowStart)?.first,
      firingsOf: (view, windowStart) =>
        state.firings.filter((firing) => firing.view === view && firing.windowStart === windowStart),
      windowsBefore: (view, before) => state.#windowsBefore(view, before),
      destinations: () => state.destinations,
      setDestinations: (_name, text) => {
        if (alive()) state.destinations = text;
      },
      windowDestinations: () => [...state.#windowDestinations.values()],
      addWindowDestinations: (_name, added) => {
        if (!alive()) return;
        for (const one of added) state.#windowDestinations.set(`${one.view} ${one.windowStart}`, one);
      },
    };
  }

  #windowsBefore(view: string, before: number): StoredWindow[] {
    const windows = new Map<number, StoredWindow>();
    for (const firing of this.firings) {
      if (firing.view !== view) continue;
      const { first, windowStart, correction } = firing;
      const old = windows.get(windowStart) ?? { windowStart, first, count: 0, end: 0, corrected: false };
      const count = Math.max(0, Math.min(firing.count, before - first));
      windows.set(windowStart, {
        ...old,
        count: old.count + count,
        end: Math.max(old.end, first + firing.count),
        corrected: old.corrected || correction,
      });
    }
    return [...windows.values()].filter(({ first }) => first < before);
  }
}

function startOf(document: object): number {
  return Date.parse((document as { window_start: string }).window_start);
}

interface Target {
  readonly _index: string;
  readonly _id: string;
  readonly require_alias?: boolean;
}

const ANSWER_MS = 600;
/** By then, an abandoned request has been carried out. */
export const LATE_MS = 12_000;

/** Whether and how an action is refused. */
export interface TurnedAway {
  readonly of: (action: string) => boolean;
  readonly status: number;
  readonly type: string;
  readonly reason?: string;
}

export const FULL = { status: 429, type: 'rejected_execution_exception' };
const TAKES_ALL: TurnedAway = { of: () => false, status: 0, type: '' };

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly querystring?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly bulkBody?: Buffer;
}

interface Held {
  readonly version: bigint;
  readonly source: string;
}

/** An index of the model. */
export class ModelIndex {
  readonly name: string;
  readonly uuid: string;
  mappings: Record<string, unknown>;
  history: string;
  isBlocked = false;
  /** The disk is over its flood stage: `read_only_allow_delete`. */
  isFull = false;
  isClosed = false;
  /** After a restart, no copy of its shards is there for a while. */
  isRecovering = false;
  /** `index.gc_deletes`, ms; the server's by default. */
  tombstoneMs: number | undefined;
  documents = new Map<string, Held>();
  /** What searches find: the documents as the last refresh left them. */
  shown: Found[] = [];
  deleted = new Map<string, { readonly version: bigint }>();

  constructor(name: string, mappings: Record<string, unknown>, identity: string) {
    this.name = name;
    this.mappings = mappings;
    this.uuid = identity;
    this.history = identity;
  }

  /** Fields are added to those that are there; all else takes the place of what was. */
  map({ properties, ...rest }: Mappings): void {
    const there = { ...(this.mappings['properties'] as Fields) };
    for (const [name, { type }] of Object.entries(properties ?? {}))
      if (there[name] && there[name].type !== type) throw answered(400, {}, 'illegal_argument_exception');
    const all = properties && { properties: { ...there, ...properties } };
    this.mappings = { ...this.mappings, ...rest, ...all };
  }

  /** Settings as their requests name them. */
  set(settings: Settings): void {
    for (const [name, value] of Object.entries(settings)) {
      if (name === 'index.blocks.write') this.isBlocked = value === true;
      else if (name === 'index.blocks.read_only_allow_delete') this.isFull = value === true;
      else if (name === 'index.gc_deletes') this.tombstoneMs = Number.parseInt(String(value), 10);
      else throw new Error(`the model does not know the setting ${name}`);
    }
  }

  refresh(): void {
    this.shown = [...this.documents].map(([id, { source }]) => ({
      index: this.name,
      id,
      fields: JSON.parse(source) as Record<string, unknown>,
    }));
  }
}

export interface Lying extends Held {
  readonly index: string;
  readonly id: string;
}

/** The contents of one index in a snapshot. */
export interface Snapshot {
  readonly index: string;
  readonly uuid: string;
  readonly documents: ReadonlyMap<string, Held>;
}

type BulkItem = Record<string, { _index: string; _id: string; status: number; error?: object }>;
export interface BulkAnswer {
  readonly errors: boolean;
  readonly items: BulkItem[];
}

/** OpenSearch as far as the sink needs it, at its worst. */
export class ModelServer {
  /** Share of requests with a fault. */
  trouble = 0;
  /** How long the version of a deleted document is remembered; longer than a request can be in flight. */
  tombstoneMs = LATE_MS + 2 * ANSWER_MS;
  /** Given: it answers bulk requests in place of chance; undefined lets the model do as it is told. */
  script: ((request: number) => unknown) | undefined;
  /** Given: what becomes of an answer on its way back; `done` says what the server did. */
  mangle: ((done: BulkAnswer) => unknown) | undefined;
  /** Called before each request is handled. */
  front: (path: string) => void | Promise<void> = () => {};
  /** Given each bulk request, to have it done when it likes, whatever is answered. */
  hold: (send: () => void) => void = () => {};
  /** The largest body accepted. */
  limit = LARGEST_REQUEST;
  /** Bulk requests so far. */
  requests = 0;
  /** Maximum of concurrent requests, and of documents and characters in one request. */
  readonly most = { requests: 0, documents: 0, characters: 0 };
  readonly indices = new Map<string, ModelIndex>();
  /** By alias: its indices, and whether each is the one to write to. */
  readonly aliases = new Map<string, Map<string, boolean | undefined>>();
  readonly templates = new Map<string, { index_patterns: string[]; template: { mappings: object } }>();
  readonly #random: Random;
  readonly #clock: Pick<TestClock, 'sleep' | 'after'>;
  #underWay = 0;
  #identities = 0;

  constructor(random: Random, clock: Pick<TestClock, 'sleep' | 'after'> = HURRIED) {
    this.#random = random;
    this.#clock = clock;
  }

  /** All that the searches of users find, by name; a document that lies in two indices is found twice. */
  get documents(): Lying[] {
    const shown = [...this.indices.values()].filter(
      ({ name }) =>
        !/-\d{6}$/.test(name) || [...this.aliases].some(([alias, of]) => !isGuard(alias) && of.has(name)),
    );
    return shown.flatMap((index) =>
      [...index.documents].map(([id, held]) => ({ index: index.name, id, ...held })),
    );
  }

  /** Deletions it still remembers. */
  get tombstones(): number {
    return [...this.indices.values()].reduce((sum, { deleted }) => sum + deleted.size, 0);
  }

  /** Somebody deletes all indices. */
  takeAway(): void {
    for (const name of [...this.indices.keys()]) this.delete(name);
  }

  delete(index: string): void {
    this.indices.delete(index);
    for (const [alias, of] of this.aliases) {
      of.delete(index);
      if (of.size === 0) this.aliases.delete(alias);
    }
  }

  /** Somebody deletes documents of a view, all of them or some. */
  empty(view: string, isMeant: () => boolean = () => true): void {
    for (const index of this.indices.values())
      if (index.name.startsWith(view))
        for (const id of index.documents.keys()) if (isMeant()) this.#remove(index, id);
  }

  /** At once, without a refresh. */
  #gotten({ docs }: Gets): object {
    const found = docs.map(({ _index, _id }) => {
      const index = this.indices.get(_index);
      if (!index || index.isClosed || index.isRecovering)
        return { _index, _id, error: { type: 'of the model' } };
      return { _index, _id, found: index.documents.has(_id) };
    });
    return { docs: found };
  }

  #deleteFound(index: ModelIndex, { query = {} }: Search): void {
    const { hits } = searched([index], '_search', { query, size: 10_000 }) as ReturnType<typeof search>;
    for (const { _id } of hits.hits) this.#remove(index, _id);
  }

  /** By the server's own version, the next one, which it remembers too. */
  #remove(index: ModelIndex, id: string): void {
    const held = index.documents.get(id);
    if (!held) return;
    index.documents.delete(id);
    this.#bury(index, id, held.version + 1n);
  }

  make(name: string, mappings: Record<string, unknown> = {}): ModelIndex {
    const index = new ModelIndex(name, mappings, `identity ${++this.#identities}`);
    this.indices.set(name, index);
    return index;
  }

  /** Like `_rollover` of an alias; does nothing without a write index. */
  rollover(alias: string): void {
    const of = this.aliases.get(alias);
    const before = of && writeOf(of);
    if (!of || !before) return;
    const number = Number(before.slice(before.lastIndexOf('-') + 1)) + 1;
    const name = `${alias}-${String(number).padStart(6, '0')}`;
    if (this.indices.has(name)) return;
    const template = [...this.templates.values()].find(({ index_patterns }) =>
      index_patterns.includes(`${alias}-*`),
    );
    this.make(name, { ...template?.template.mappings });
    of.set(before, false);
    of.set(name, true);
  }

  /** Somebody lets the alias stand for an empty index in place of all others. */
  swap(alias: string): void {
    const before = this.aliases.get(alias);
    if (!before) return;
    const { mappings } = this.indices.get([...before.keys()][0]!)!;
    const { _meta, ...rest } = mappings;
    const { name } = this.make(`${alias}-${100_000 + 100 * ++this.#identities}`, rest);
    this.aliases.set(alias, new Map([[name, true]]));
  }

  snapshot(): Snapshot[] {
    return [...this.indices.values()].map(({ name, uuid, documents }) => ({
      index: name,
      uuid,
      documents: new Map(documents),
    }));
  }

  /** Closes and restores the indices in the snapshot; indices created since stay. */
  restore(snapshots: readonly Snapshot[]): void {
    for (const { index: name, uuid, documents } of snapshots) {
      const index = this.indices.get(name);
      if (index?.uuid !== uuid) continue;
      index.documents = new Map(documents);
      index.deleted = new Map();
      index.refresh();
      index.history = `identity ${++this.#identities}`;
    }
  }

  /** Of one process, which sends nothing more once it is dead. */
  clientOf(alive: () => boolean): Client {
    const request = async (params: Asked, { ignore = [] }: { ignore?: number[] } = {}) => {
      if (!alive()) return new Promise(() => {});
      try {
        return await this.answer(params);
      } catch (error) {
        const { statusCode = 0 } = (error as { meta?: { statusCode?: number } }).meta ?? {};
        if (ignore.includes(statusCode)) return { statusCode, body: {} };
        throw error;
      }
    };
    return { transport: { request }, close: async () => {} } as unknown as Client;
  }

  /** Throws like the client for an error answer. */
  async answer(asked: Asked): Promise<{ statusCode: number; body: unknown }> {
    const { path } = asked;
    this.most.requests = Math.max(this.most.requests, ++this.#underWay);
    try {
      await this.front(path);
      await this.#clock.sleep(this.#random() * ANSWER_MS);
    } finally {
      this.#underWay--;
    }
    return { statusCode: 200, body: this.carryOut(asked) };
  }

  /** What a request does, and its answer; throws like `answer`. */
  carryOut(asked: Asked): unknown {
    return asked.bulkBody ? this.#bulk(gunzipSync(asked.bulkBody).toString()) : this.#other(asked);
  }

  #other({ method, path, querystring, body }: Asked): unknown {
    if (path === '/') return { version: { number: '3.8.0', distribution: 'opensearch' } };
    const [, first = '', what] = path.split('/');
    if (path === '/_cluster/health') return { status: 'green' };
    if (first === '_index_template') return this.#template(method, what!, body);
    if (first === '_mget') return this.#gotten(body as Gets);
    if (first === '_aliases') return this.#alias(body as AliasActions);
    if (method === 'PUT' && what === undefined) return this.#create(first, body as Creation);
    const lenient = querystring?.['ignore_unavailable'] === 'true';
    const indices = first.split(',').flatMap((name) => this.#resolve(name, lenient));
    if (what === undefined)
      return Object.fromEntries(indices.map((index) => [index.name, this.#described(index)]));
    if (what === '_settings') {
      for (const index of indices) index.set(body as Settings);
      return { acknowledged: true };
    }
    if (what === '_close' || what === '_open') {
      for (const index of indices) index.isClosed = what === '_close';
      return { acknowledged: true };
    }
    if (what === '_rollover') {
      this.rollover(first);
      return { acknowledged: true };
    }
    if (what === '_mapping') {
      if (indices.some(({ isFull }) => isFull)) throw answered(429, {}, 'cluster_block_exception');
      for (const index of indices) index.map(body as Mappings);
      return { acknowledged: true };
    }
    if (what === '_stats') return { indices: Object.fromEntries(indices.map(statsOf)) };
    if (indices.some(({ isClosed }) => isClosed)) throw answered(400, {}, 'index_closed_exception');
    if (what === '_refresh') {
      for (const index of indices) index.refresh();
      return { _shards: { failed: 0 } };
    }
    if (what === '_delete_by_query') {
      for (const index of indices) this.#deleteFound(index, body as Search);
      return { failures: [] };
    }
    if (indices.some(({ isRecovering }) => isRecovering))
      throw answered(503, {}, 'search_phase_execution_exception');
    if (what === '_count' || what === '_search') return searched(indices, what, (body ?? {}) as Search);
    throw new Error(`the model does not know ${method} ${path}`);
  }

  #template(method: string, name: string, body: unknown): unknown {
    const template = this.templates.get(name);
    if (method === 'PUT') {
      this.templates.set(name, body as never);
      return { acknowledged: true };
    }
    if (!template) throw answered(404);
    return { index_templates: [{ name, index_template: template }] };
  }

  #create(name: string, { mappings = {}, aliases = {} }: Creation): unknown {
    if (this.indices.has(name)) throw answered(400, {}, 'resource_already_exists_exception');
    this.make(name, mappings);
    for (const [alias, { is_write_index }] of Object.entries(aliases))
      this.aliases.set(alias, new Map([...(this.aliases.get(alias) ?? []), [name, is_write_index]]));
    return { acknowledged: true };
  }

  #alias({ actions }: AliasActions): unknown {
    for (const { add } of actions) {
      if (!this.indices.has(add.index)) throw answered(404);
      const of = this.aliases.get(add.alias) ?? new Map<string, boolean | undefined>();
      this.aliases.set(add.alias, of.set(add.index, add.is_write_index));
    }
    return { acknowledged: true };
  }

  #resolve(name: string, lenient: boolean): ModelIndex[] {
    const index = this.indices.get(name);
    const of = this.aliases.get(name);
    if (!index && !of && lenient) return [];
    if (!index && !of) throw answered(404, {}, 'index_not_found_exception');
    return index ? [index] : [...of!.keys()].map((behind) => this.indices.get(behind)!);
  }

  #described({ name, uuid, mappings, isBlocked, isFull, isClosed }: ModelIndex): unknown {
    const aliases = [...this.aliases].flatMap(([alias, of]) => {
      if (!of.has(name)) return [];
      const isWriteIndex = of.get(name);
      return [[alias, isWriteIndex === undefined ? {} : { is_write_index: isWriteIndex }] as const];
    });
    const block = isFull ? 'read_only_allow_delete' : isBlocked ? 'write' : undefined;
    const blocks = block ? { blocks: { [block]: 'true' } } : {};
    const closed = isClosed ? { verified_before_close: 'true' } : {};
    return {
      aliases: Object.fromEntries(aliases),
      mappings,
      settings: { index: { uuid, number_of_shards: '1', ...blocks, ...closed } },
    };
  }

  #bulk(body: string): unknown {
    const lines = body.slice(0, -1).split('\n');
    this.most.documents = Math.max(this.most.documents, lines.length / 2);
    this.most.characters = Math.max(this.most.characters, body.length);
    this.hold(() => this.#done(lines, TAKES_ALL));
    const scripted = this.script?.(++this.requests);
    if (typeof (scripted as TurnedAway | undefined)?.of === 'function')
      return this.#done(lines, scripted as TurnedAway);
    if (scripted !== undefined) return scripted;
    if (body.length > this.limit) throw answered(413);
    const fates = lines.filter((line) => line.startsWith('{"view"')).map((line) => fateOf(line));
    if (fates.includes('spoils')) throw answered(400);
    if (this.mangle) {
      const [all, half] = [this.#random() < 0.3, this.#random() < 0.5];
      const of = () => !all && (half || this.#random() < 0.5);
      return this.mangle(this.#done(lines, { of, ...FULL }));
    }
    if (this.#random() >= this.trouble) return this.#done(lines, TAKES_ALL);
    return this.#troubled(lines);
  }

  #troubled(lines: readonly string[]): unknown {
    const half = () => this.#random() < 0.5;
    switch (Math.floor(this.#random() * 9)) {
      case 0:
        throw answered(429);
      case 1:
        throw answered(503, { 'retry-after': '1' });
      case 2:
        throw reset();
      case 3:
        this.#done(lines, TAKES_ALL);
        throw reset();
      case 4:
        // The request arrives after it was abandoned.
        this.#clock.after(this.#random() * LATE_MS, () => this.#done(lines, TAKES_ALL));
        throw reset();
      case 5:
        return this.#done(lines, { of: half, ...FULL });
      case 6:
        return this.#done(lines, { of: half, status: 503, type: 'unavailable_shards_exception' });
      case 7:
        return this.#done(lines, { of: () => true, status: 403, type: 'cluster_block_exception' });
      default: {
        // A proxy answers in its place.
        const answers = [
          {},
          '<html>',
          null,
          { errors: true, items: [] },
          { errors: false, items: [] },
          { took: 1 },
        ];
        return answers[Math.floor(this.#random() * answers.length)];
      }
    }
  }

  #done(lines: readonly string[], turnedAway: TurnedAway): BulkAnswer {
    const items: BulkItem[] = [];
    for (let i = 0; i < lines.length; ) {
      const line = lines[i++]!;
      const [[what, target] = []] = Object.entries(JSON.parse(line) as Record<string, Target>);
      if (!what || !target) throw new Error(`no action: ${line}`);
      // The version is a 64-bit integer, beyond the exact range of a number.
      const version = BigInt(/"version":(\d+)/.exec(line)![1]!);
      const source = what === 'delete' ? '' : lines[i++]!;
      const index = this.#written(target);
      const item = (status: number, type?: string, reason = 'of the model') => {
        const _index = index && !index.isClosed ? index.name : target._index;
        items.push({
          [what]: { _index, _id: target._id, status, ...(type ? { error: { type, reason } } : {}) },
        });
      };
      if (!index && this.aliases.has(target._index))
        item(400, 'illegal_argument_exception', `no write index is defined for alias [${target._index}]`);
      else if (!index) item(404, 'index_not_found_exception');
      else if (index.isClosed) item(400, 'index_closed_exception');
      else if (index.isBlocked) item(403, 'cluster_block_exception');
      else if (index.isFull) item(429, 'cluster_block_exception');
      else if (index.isRecovering) item(503, 'unavailable_shards_exception');
      else if (turnedAway.of(what)) item(turnedAway.status, turnedAway.type, turnedAway.reason);
      else if (source !== '' && fateOf(source) === 'refused') item(400, 'mapper_parsing_exception');
      else if (versionIn(index, target._id) > version)
        item(
          409,
          'version_conflict_engine_exception',
          `[${target._id}]: version conflict, current version [${versionIn(index, target._id)}] is higher than the one provided [${version}]`,
        );
      else if (what === 'delete') {
        item(index.documents.delete(target._id) ? 200 : 404);
        this.#bury(index, target._id, version);
      } else {
        // Of an index without a mapping, the server guesses one.
        index.mappings['properties'] ??= { view: { type: 'text' } };
        index.documents.set(target._id, { version, source });
        item(201);
      }
    }
    const errors = items.some((item) => Object.values(item).some(({ error }) => error !== undefined));
    return { errors, items };
  }

  /** An unknown name becomes an index, unless an alias is required. */
  #written({ _index, require_alias = false }: Target): ModelIndex | undefined {
    const of = this.aliases.get(_index);
    if (of) return this.indices.get(writeOf(of) ?? '');
    if (require_alias) return undefined;
    return this.indices.get(_index) ?? this.make(_index);
  }

  /** A repeated deletion is remembered for the full time again. */
  #bury({ deleted, tombstoneMs = this.tombstoneMs }: ModelIndex, id: string, version: bigint): void {
    const tombstone = { version };
    deleted.set(id, tombstone);
    this.#clock.after(tombstoneMs, () => {
      if (deleted.get(id) === tombstone) deleted.delete(id);
    });
  }
}

interface Gets {
  readonly docs: readonly { readonly _index: string; readonly _id: string }[];
}

type Fields = Readonly<Record<string, { readonly type: string }>>;
type Mappings = Readonly<Record<string, unknown>> & { readonly properties?: Fields };
type Settings = Readonly<Record<string, unknown>>;

interface Creation {
  readonly mappings?: Record<string, unknown>;
  readonly aliases?: Readonly<Record<string, { readonly is_write_index?: boolean }>>;
}

interface AliasActions {
  readonly actions: readonly {
    readonly add: { readonly index: string; readonly alias: string; readonly is_write_index?: boolean };
  }[];
}

/** A deletion is remembered for a while, as in the real server. */
function versionIn({ documents, deleted }: ModelIndex, id: string): bigint {
  return (documents.get(id) ?? deleted.get(id))?.version ?? 0n;
}

/** The write index of an alias. */
function writeOf(of: ReadonlyMap<string, boolean | undefined>): string | undefined {
  const [only] = of;
  return (
    [...of].find(([, isWriteIndex]) => isWriteIndex)?.[0] ??
    (of.size === 1 && only?.[1] !== false ? only?.[0] : undefined)
  );
}

/** A search sees what the last refresh has seen. */
function searched(indices: readonly ModelIndex[], what: '_count' | '_search', asked: Search): object {
  const documents = indices.flatMap((index) => index.shown);
  try {
    return what === '_count' ? { count: count(documents, asked) } : search(documents, asked);
  } catch (error) {
    throw error instanceof Refused ? answered(error.status, {}, error.message) : error;
  }
}

function isGuard(alias: string): boolean {
  return alias.endsWith('-writer');
}

function statsOf({ name, history, isRecovering }: ModelIndex): [string, object] {
  if (isRecovering) return [name, { shards: {} }];
  return [
    name,
    { shards: { 0: [{ routing: { primary: true }, commit: { user_data: { history_uuid: history } } }] } },
  ];
}

export function answered(statusCode: number, headers = {}, type = 'some_exception'): Error {
  return Object.assign(new Error(`status ${statusCode}`), {
    name: 'ResponseError',
    meta: { statusCode, headers, body: { error: { type, reason: 'of the model' } } },
  });
}

function reset(): Error {
  return Object.assign(new Error('read ECONNRESET'), { name: 'ConnectionError', code: 'ECONNRESET' });
}

export function fateOf(source: string): Fate {
  return (JSON.parse(source) as { fate: Fate }).fate;
}

/** A sink between both; `alive` says whether its process still is. */
/** What the model answers to a request as it comes over HTTP; undefined where it breaks the connection. */
export async function answerOverHttp(
  model: ModelServer,
  { method, path, body }: { readonly method: string; readonly path: string; readonly body: Buffer },
): Promise<{ readonly status: number; readonly body: unknown } | undefined> {
  const { pathname, searchParams } = new URL(path, 'http://model');
  const content =
    pathname === '/_bulk'
      ? { bulkBody: body }
      : body.length > 0
        ? { body: JSON.parse(body.toString()) as unknown }
        : {};
  try {
    const { body: answer } = await model.answer({
      method,
      path: decodeURIComponent(pathname),
      querystring: Object.fromEntries(searchParams),
      ...content,
    });
    return { status: 200, body: answer };
  } catch (error) {
    const { meta } = error as { meta?: { statusCode: number; body: unknown } };
    return meta && { status: meta.statusCode, body: meta.body };
  }
}

export async function openSink(
  state: ModelState,
  server: ModelServer,
  {
    alive = () => true,
    onTrouble = () => {},
    onNote = () => {},
    allViews = false,
    clock = HURRIED,
    app = 'model',
    resend = false,
    client = server.clientOf(alive),
  }: {
    alive?: () => boolean;
    onTrouble?: (trouble?: string) => void;
    onNote?: (note: string) => void;
    allViews?: boolean;
    clock?: Clock;
    app?: string;
    resend?: boolean;
    client?: Client;
  } = {},
): Promise<OpenSearchSink> {
  const sink = new OpenSearchSink({
    client,
    url: 'http://model:9200',
    prefix: '',
    views: allViews ? TAXI_VIEWS : VIEWS,
    outbox: state.outbox(alive),
    deadLetters: new DeadLetterBuffer(Number.POSITIVE_INFINITY),
    owner: { app, stream: 'local:model' },
    clock,
    resend,
    onTrouble,
    onNote,
  });
  await sink.open();
  return sink;
}
