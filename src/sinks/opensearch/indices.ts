/** Finds, checks and creates the indices behind the names of views: owner, mapping, template; and what they hold. */
import type { Client } from '@opensearch-project/opensearch';
import type { Clock } from '../../clock.ts';
import { TaxiflowError } from '../../errors.ts';
import { isServerless } from '../../opensearch/amazon.ts';
import { serverOf } from '../../opensearch/connection.ts';
import { badAnswer, explained, statusOf } from '../../opensearch/errors.ts';
import { templateStep } from '../../opensearch/setup.ts';
import {
  differences,
  firstIndex,
  firstIndexOf,
  indexName,
  isDataStream,
  type LiveMapping,
  mappingOf,
  writeIndexOf,
} from '../../opensearch/templates.ts';
import type { View } from '../../views/language.ts';
import { endsOfLabel, hasOwnStarts } from '../../views/windows.ts';
import type { LiveIndex, Place } from './destinations.ts';

/** The app and stream whose results an index holds. A new state for the same app and stream is the same owner. */
export interface Owner {
  readonly app: string;
  /** Name of the stream, such as `local:taxi-trip-events`. */
  readonly stream: string;
}

export interface IndicesOptions {
  readonly client: Client;
  readonly url: string;
  readonly prefix: string;
  readonly views: readonly View[];
  readonly owner: Owner;
  readonly clock: Clock;
  /** Receives notes for the user. */
  readonly onNote: (note: string) => void;
}

/** Windows per query: each becomes a clause, and a server allows 1,024 by default. */
const WINDOWS_ASKED = 500;
const PROBE_MS = 8_000;
/** Statuses of a block, a missing right, or a server that lacks the operation. */
const DENIED = [400, 401, 403, 404, 405, 429];
/** Statuses of a search that the server won't do. */
const SILENT = [400, 403];
/** The most hits that a search may have. */
const HITS = 10_000;
/** Rather no answer than one without some of the documents. */
const ALL_SHARDS = { allow_partial_search_results: 'false' };

interface Described {
  readonly aliases?: Readonly<
    Record<string, { readonly is_write_index?: boolean; readonly index_routing?: string }>
  >;
  readonly mappings?: LiveMapping & { readonly _meta?: Readonly<Record<string, unknown>> };
  readonly settings?: {
    readonly index?: {
      readonly uuid?: unknown;
      readonly blocks?: Readonly<Record<string, unknown>>;
      readonly verified_before_close?: unknown;
      readonly number_of_shards?: unknown;
    };
  };
}

type Indices = Readonly<Record<string, Described>>;

type Shards = Readonly<
  Record<
    string,
    readonly {
      readonly routing?: { readonly primary?: unknown };
      readonly commit?: { readonly user_data?: Readonly<Record<string, string>> };
    }[]
  >
>;

interface Asked {
  /** Statuses that are not errors; the result is then undefined. */
  readonly expected?: readonly number[];
  readonly body?: object;
  readonly querystring?: Readonly<Record<string, string>>;
}

interface Bucket {
  readonly key?: number;
  readonly indices: { readonly buckets: readonly { readonly key: string; readonly doc_count: number }[] };
}

/** A search for windows that asks for each of them apart. */
interface WindowSearch {
  readonly query: object;
  readonly windows: object;
}

const isoTime = (ms: number) => new Date(ms).toISOString();

function byStarts(windows: readonly number[]): WindowSearch {
  return {
    query: { terms: { window_start: windows.map(isoTime) } },
    windows: { terms: { field: 'window_start', size: windows.length } },
  };
}

/** Results with starts of their own are found by their ends. */
function byEnds({ window }: View, labels: readonly number[]): WindowSearch {
  const ranges = labels.map((label) => {
    const [from, to] = endsOfLabel(window, label);
    return [label, { range: { window_end: { gte: isoTime(from), lt: isoTime(to) } } }] as const;
  });
  return {
    query: { bool: { should: ranges.map(([, range]) => range), minimum_should_match: 1 } },
    windows: { filters: { filters: Object.fromEntries(ranges) } },
  };
}

export class OpenSearchIndices {
  readonly #o: IndicesOptions;
  #isKnown = false;
  /** Views whose template could not be created; the user is told once. */
  readonly #noTemplate = new Set<string>();

  constructor(options: IndicesOptions) {
    this.#o = options;
  }

  /**
   * Resolves to a place for every view: the existing indices, or a new one. Calls `onMissing` before it creates an index.
   * Throws `mapping-conflict`, `other-owner`, `unsupported-server`, `opensearch-blocked`, …
   */
  async prepare(onMissing: () => void): Promise<Place[]> {
    const { client, url, prefix, views } = this.#o;
    // Once identified, the server is not asked again: a proxy may answer in its place while it is down.
    if (!this.#isKnown) await serverOf(client, url, { requestTimeout: PROBE_MS });
    this.#isKnown = true;
    const found = new Map<View, Indices | undefined>();
    // All checks come first: with a conflict, nothing is created.
    for (const view of views) {
      const indices = await this.#describe(indexName(prefix, view.name));
      if (indices) this.#check(view, indices);
      found.set(view, indices);
    }
    const places: Place[] = [];
    for (const [view, indices] of found) {
      await this.#ensureTemplate(view);
      if (!indices) onMissing();
      places.push(await this.#place(view, indices ?? (await this.#make(view))));
    }
    return places;
  }

  /** Fingerprints of the indices behind each view's name, to detect that a place has changed. */
  async fingerprints(): Promise<Map<string, Fingerprint>> {
    const { prefix, views } = this.#o;
    const names = views.map((view) => indexName(prefix, view.name));
    const all = (await this.#described(names.join(','), { ignore_unavailable: 'true' })) ?? {};
    return new Map(
      names.map((name) => {
        const indices = Object.fromEntries(
          Object.entries(all).filter(([index, { aliases = {} }]) => index === name || name in aliases),
        );
        return [name, fingerprintOf([...live(name, indices).values()], writeIndexOf(name, indices))] as const;
      }),
    );
  }

  /** Makes what was sent visible to searches. A serverless collection does so by itself, some time later. */
  async refresh({ indices }: Place): Promise<void> {
    if (isServerless(this.#o.url)) return;
    await this.#request('POST', `/${[...indices.keys()].join(',')}/_refresh`, { expected: DENIED });
  }

  /** Number of documents of each window whose documents are all in one index; undefined if the server won't say. */
  async countIn(place: Place, windows: readonly number[]): Promise<Map<number, number> | undefined> {
    const found = await this.#documentsIn(place, windows, SILENT);
    if (!found) return undefined;
    const whole = [...found].filter(([, { length }]) => length === 1);
    return new Map(whole.map(([start, [only]]) => [start, only!.documents]));
  }

  /** Which of these documents are there; undefined if the server won't say. */
  async holds({ indices }: Place, ids: readonly string[]): Promise<Set<string> | undefined> {
    const path = `/${[...indices.keys()].join(',')}/_search`;
    const held = new Set<string>();
    for (let left = ids; ; left = ids.filter((id) => !held.has(id))) {
      const size = Math.min(HITS, left.length * indices.size);
      const body = { size, _source: false, query: { ids: { values: left } } };
      const answer = await this.#request('POST', path, { querystring: ALL_SHARDS, expected: SILENT, body });
      if (!answer) return undefined;
      const { hits } = (answer['hits'] ?? {}) as { hits?: readonly { readonly _id: string }[] };
      if (!Array.isArray(hits)) throw badAnswer(path);
      for (const { _id } of hits) held.add(_id);
      // A document in several indices is found several times.
      if (hits.length < size || held.size >= ids.length) return held;
    }
  }

  /** The index that holds most documents of each window, by window start (epoch ms). */
  async whereIs(place: Place, windows: readonly number[]): Promise<Map<number, LiveIndex>> {
    const names = [...place.indices.keys()].join(',');
    if (!isServerless(this.#o.url)) await this.#request('POST', `/${names}/_refresh`, { expected: [403] });
    const found = new Map<number, LiveIndex>();
    for (let at = 0; at < windows.length; at += WINDOWS_ASKED) {
      const some = await this.#documentsIn(place, windows.slice(at, at + WINDOWS_ASKED), []);
      for (const [start, [most]] of some!) if (most) found.set(start, most.index);
    }
    return found;
  }

  /** By window start: the indices that hold documents of a window, the one with most of them first. */
  async #documentsIn(
    { view, indices }: Place,
    windows: readonly number[],
    expected: readonly number[],
  ): Promise<Map<number, { index: LiveIndex; documents: number }[]> | undefined> {
    const path = `/${[...indices.keys()].join(',')}/_search`;
    const wanted = hasOwnStarts(view.window) ? byEnds(view, windows) : byStarts(windows);
    const aggs = { indices: { terms: { field: '_index', size: indices.size } } };
    const answer = await this.#request('POST', path, {
      querystring: ALL_SHARDS,
      expected,
      body: {
        size: 0,
        query: { bool: { filter: [{ term: { view: view.name } }, wanted.query] } },
        aggs: { windows: { ...wanted.windows, aggs } },
      },
    });
    if (!answer) return undefined;
    const { aggregations } = answer as { aggregations?: { windows?: { buckets?: unknown } } };
    const buckets = aggregations?.windows?.buckets;
    if (typeof buckets !== 'object' || buckets === null) throw badAnswer(path);
    const found: [key: unknown, bucket: Bucket][] = Array.isArray(buckets)
      ? (buckets as Bucket[]).map((bucket) => [bucket.key, bucket])
      : Object.entries(buckets as Record<string, Bucket>);
    return new Map(
      found.map(([start, bucket]) => [
        Number(start),
        bucket.indices.buckets.flatMap(({ key, doc_count: documents }) => {
          const index = indices.get(key);
          return index ? [{ index, documents }] : [];
        }),
      ]),
    );
  }

  async #describe(name: string): Promise<Indices | undefined> {
    const indices = await this.#described(name);
    const others = Object.entries(indices ?? {}).some(
      ([index, { aliases = {} }]) => index !== name && !(name in aliases) && !isDataStream(name, [index]),
    );
    // A proxy may mix answers up.
    if (others) throw badAnswer(`/${name}`);
    return indices;
  }

  async #described(names: string, querystring = {}): Promise<Indices | undefined> {
    const answer = await this.#request('GET', `/${names}`, { expected: [404], querystring });
    if (answer === undefined) return undefined;
    const indices = Object.values(answer) as Described[];
    if (indices.some((index) => typeof index?.settings?.index !== 'object')) throw badAnswer(`/${names}`);
    return answer as Indices;
  }

  /** Throws `mapping-conflict` or `other-owner`. */
  #check(view: View, indices: Indices): void {
    const name = indexName(this.#o.prefix, view.name);
    if (isDataStream(name, Object.keys(indices))) {
      throw new TaxiflowError('mapping-conflict', `${name} is a data stream, which cannot update results`, {
        hint: 'choose other names with --index-prefix',
      });
    }
    for (const [index, { mappings = {} }] of Object.entries(indices)) {
      this.#refuseOther(index, mappings._meta?.['taxiflow'] as Partial<Owner> | undefined);
      if (isBare(mappings)) continue;
      const [difference] = differences(mappings, mappingOf(view));
      if (difference === undefined) continue;
      throw new TaxiflowError('mapping-conflict', `index ${index} contradicts the views: ${difference}`, {
        hint: '"taxiflow es-setup --check" shows all differences, "taxiflow es-setup" repairs what it can; or choose other names with --index-prefix',
      });
    }
  }

  #refuseOther(index: string, owner: Partial<Owner> | undefined): void {
    const { app, stream } = this.#o.owner;
    if (owner === undefined || (owner.app === app && owner.stream === stream)) return;
    throw new TaxiflowError(
      'other-owner',
      `index ${index} holds the results of app "${owner.app}" from ${owner.stream}; those of app "${app}" from ${stream} would overwrite them`,
      { hint: 'choose other names with --index-prefix, for example --index-prefix second-' },
    );
  }

  /** Creates an empty index and its alias, as `es-setup` does. */
  async #make(view: View): Promise<Indices> {
    const { prefix, owner } = this.#o;
    const [name, first] = [indexName(prefix, view.name), firstIndex(prefix, view.name)];
    const { aliases, mappings } = firstIndexOf(prefix, view);
    const body = {
      aliases: { ...aliases, [guardOf(first)]: {} },
      mappings: { ...mappings, _meta: { taxiflow: owner } },
    };
    try {
      await this.#request('PUT', `/${first}`, { body });
    } catch (error) {
      // Another process may have created the index first, or only the alias is gone.
      const found = await this.#describe(name);
      if (!found) {
        const there = await this.#describe(first);
        if (!there) throw error;
        this.#check(view, there);
        const add = { index: first, alias: name, is_write_index: true };
        await this.#request('POST', '/_aliases', { body: { actions: [{ add }] } });
      }
    }
    const made = await this.#describe(name);
    if (!made) throw missing(name);
    this.#check(view, made);
    return made;
  }

  /** Creates the template, from which a rollover creates its indices. */
  async #ensureTemplate(view: View): Promise<void> {
    const { client, url, prefix, onNote } = this.#o;
    try {
      const step = await templateStep({ client, url, prefix, views: [view] }, view);
      await step?.send();
    } catch (error) {
      if (!DENIED.includes(statusOf((error as TaxiflowError).cause) ?? 0)) throw error;
      if (this.#noTemplate.has(view.name)) return;
      this.#noTemplate.add(view.name);
      onNote(
        `cannot create the index template of ${view.name}, so an index made by a rollover gets its mapping only on the first write: ${(error as Error).message}`,
      );
    }
  }

  /** Marks the indices as ours, and adds the mapping to those that have none. */
  async #place(view: View, found: Indices): Promise<Place> {
    const name = indexName(this.#o.prefix, view.name);
    let indices = found;
    let changed = false;
    for (const [index, described] of Object.entries(found)) {
      changed = (await this.#adopt(view, index, described)) || changed;
      if (index !== name) changed = (await this.#protect(index, described)) || changed;
    }
    if (changed) {
      // Another process may have marked the index at the same time.
      const after = await this.#describe(name);
      if (!after) throw missing(name);
      this.#check(view, after);
      indices = after;
    }
    const all = live(name, indices, await this.#histories(indices));
    const writeName = writeIndexOf(name, indices);
    const write = writeName === undefined ? undefined : all.get(writeName);
    if (!write)
      throw blocked(
        `no write index is defined for alias ${name} (run "taxiflow es-setup", or set is_write_index of one of its indices)`,
      );
    const closed = [...all.values()].find((index) => index.closed);
    if (closed)
      throw blocked(
        `index ${closed.name} behind ${name} is closed (open it with POST /${closed.name}/_open, or take it off the alias)`,
      );
    return { view, name, indices: all, write };
  }

  /** History ids per index. A shard gets a new one when it is restored or starts empty. */
  async #histories(of: Indices): Promise<ReadonlyMap<string, string>> {
    const answer = (await this.#request('GET', `/${Object.keys(of).join(',')}/_stats/docs`, {
      querystring: {
        level: 'shards',
        filter_path: 'indices.*.shards.*.routing.primary,indices.*.shards.*.commit',
      },
      expected: DENIED,
    })) as { readonly indices?: Readonly<Record<string, { readonly shards?: Shards }>> } | undefined;
    return new Map(
      Object.entries(answer?.indices ?? {}).map(([index, { shards = {} }]) => {
        const primaries = Object.entries(shards).map(([shard, copies]) => {
          const { commit } = copies.find(({ routing }) => routing?.primary === true) ?? {};
          return [shard, commit?.user_data?.['history_uuid'] ?? ''] as const;
        });
        // While a shard is unassigned, the history of its index is unknown.
        const all = Number(of[index]?.settings?.index?.number_of_shards ?? primaries.length);
        const known = primaries.filter(([, history]) => history !== '').length === all && all > 0;
        return [
          index,
          known
            ? primaries
                .map((primary) => primary.join(' '))
                .sort()
                .join()
            : '',
        ] as const;
      }),
    );
  }

  async #adopt(view: View, index: string, { mappings = {} }: Described): Promise<boolean> {
    if (mappings._meta?.['taxiflow'] !== undefined && !isBare(mappings)) return false;
    const body = {
      ...(isBare(mappings) ? mappingOf(view) : {}),
      _meta: { ...mappings._meta, taxiflow: this.#o.owner },
    };
    return (await this.#request('PUT', `/${index}/_mapping`, { expected: DENIED, body })) !== undefined;
  }

  /**
   * Adds an alias to write through. The server would recreate a deleted index with a guessed mapping on a write to its
   * own name, but not on a write to an alias (`require_alias`).
   */
  async #protect(index: string, { aliases = {} }: Described): Promise<boolean> {
    const alias = guardOf(index);
    if (alias in aliases) return false;
    const body = { actions: [{ add: { index, alias } }] };
    return (await this.#request('POST', '/_aliases', { expected: DENIED, body })) !== undefined;
  }

  /** Resolves to undefined if the status is one of `expected`. */
  async #request(
    method: 'GET' | 'PUT' | 'POST',
    path: string,
    { expected = [], body, querystring }: Asked = {},
  ): Promise<Record<string, unknown> | undefined> {
    const { client, url } = this.#o;
    let answer: unknown;
    try {
      ({ body: answer } = await client.transport.request(
        { method, path, ...(body ? { body } : {}), ...(querystring ? { querystring } : {}) },
        { requestTimeout: PROBE_MS },
      ));
    } catch (error) {
      if (expected.includes(statusOf(error) ?? 0)) return undefined;
      // Somebody deletes it while it is looked at.
      if (isIndexGone(error)) throw missing(path.split('/')[1]!, error);
      throw explained(error, url);
    }
    if (typeof answer !== 'object' || answer === null) throw badAnswer(path);
    return answer as Record<string, unknown>;
  }
}

function guardOf(index: string): string {
  return `${index}-writer`;
}

/** Whether a rollover created the index without our template, and nothing was written to it yet. */
function isBare({ properties }: LiveMapping): boolean {
  return properties === undefined || Object.keys(properties).length === 0;
}

function live(
  name: string,
  indices: Indices,
  histories: ReadonlyMap<string, string> = new Map(),
): Map<string, LiveIndex> {
  return new Map(
    Object.entries(indices)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([index, { aliases = {}, settings }]) => {
        const { uuid, blocks = {}, verified_before_close } = settings?.index ?? {};
        const closed = String(verified_before_close) === 'true';
        const isBlocked = ['write', 'read_only', 'read_only_allow_delete'].some(
          (block) => String(blocks[block]) === 'true',
        );
        const guard = guardOf(index) in aliases;
        const address = guard ? guardOf(index) : index;
        const routing = aliases[name]?.index_routing;
        const target =
          `"_index":${JSON.stringify(address)},${guard ? '"require_alias":true,' : ''}` +
          (routing === undefined ? '' : `"routing":${JSON.stringify(routing)},`);
        const writable = !closed && !isBlocked;
        const history = histories.get(index) ?? '';
        return [index, { name: index, uuid: String(uuid ?? ''), history, writable, closed, address, target }];
      }),
  );
}

export interface Fingerprint {
  /** Changes when indices are added, removed, blocked or swapped. */
  readonly shape: string;
  /** Also changes when an index is recreated under the same name. */
  readonly identity: string;
}

export function fingerprintOf(indices: readonly LiveIndex[], write: string | undefined): Fingerprint {
  const shape = indices.map(({ name, writable, address }) => [name, writable, address]);
  return {
    shape: indices.length === 0 ? '' : JSON.stringify([shape, write ?? null]),
    identity: indices.map(({ uuid }) => uuid).join(),
  };
}

function missing(name: string, cause?: unknown): TaxiflowError {
  return new TaxiflowError('opensearch-blocked', `${name} disappeared while it was being looked at`, {
    cause,
  });
}

function isIndexGone(error: unknown): boolean {
  const { body } = (error as { meta?: { body?: { error?: { type?: unknown } } } }).meta ?? {};
  return statusOf(error) === 404 && body?.error?.type === 'index_not_found_exception';
}

function blocked(message: string): TaxiflowError {
  return new TaxiflowError('opensearch-blocked', message);
}
