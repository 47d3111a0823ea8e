/**
 * Results into OpenSearch or Elasticsearch, each exactly once, whatever fails:
 *
 *  O1 a document's id is made of view, window and key, so a corrected result takes the place of the one before.
 *  O2 its version is that of the result: of what is sent twice, late or out of order, the latest stays. A state that
 *     was made later writes higher versions.
 *  O3 the cursor passes a result when the server has settled it; what is refused for good goes to the dead letters in
 *     the same transaction.
 */
import { createHash } from 'node:crypto';
import type { Client } from '@opensearch-project/opensearch';
import type { Clock } from '../clock.ts';
import type { DeadLetterBuffer } from '../dead-letters.ts';
import type { Sink, SinkStatus } from '../engine/run.ts';
import { TaxiflowError } from '../errors.ts';
import { explained, isAway, serverOf, statusOf } from '../opensearch/connection.ts';
import {
  differences,
  indexName,
  type LiveMapping,
  type Mapping,
  mappingOf,
} from '../opensearch/templates.ts';
import type { SqliteState } from '../state/sqlite-state.ts';
import type { View } from '../views/language.ts';
import { type BulkItem, BulkSender, type Refusal } from './bulk.ts';

/** What the sink needs of the state: the outbox, its own cursor, and when the state was made. */
export type Outbox = Pick<SqliteState, 'cursor' | 'moveCursor' | 'firingsFrom' | 'nextResult' | 'created'>;

export interface OpenSearchSinkOptions {
  readonly client: Client;
  readonly url: string;
  readonly prefix: string;
  readonly views: readonly View[];
  readonly outbox: Outbox;
  readonly deadLetters: DeadLetterBuffer;
  readonly clock: Clock;
  /** Told when something keeps results from going out for more than a moment, and when it is over (undefined). */
  readonly onTrouble: (trouble: string | undefined) => void;
}

const BATCH_DOCUMENTS = 2_000;
const REQUESTS_AT_ONCE = 3;
/** The longest id OpenSearch takes. */
const ID_BYTES = 512;
/** Bits of a version that count results; those above tell states apart. */
const RESULT_BITS = 30n;
const STATES_SINCE = Date.UTC(2020, 0, 1);
const STATES_APART_MS = 250;
const PROBE_MS = 8_000;
const PROBE_AGAIN_MS = 1_000;
const POLL_MS = 20;
/** At the end of a run: how long to go on without progress, or to wait for requests under way. */
const GIVE_UP_MS = 60_000;
const LAST_MS = 5_000;

/** Results [from, to) on their way. */
interface Batch {
  readonly to: number;
  readonly items: readonly BulkItem[];
  /** What was refused of them, once they are settled. */
  refused?: readonly Refusal[];
}

export class OpenSearchSink implements Sink {
  readonly name: string;
  readonly #o: OpenSearchSinkOptions;
  readonly #keys: ReadonlyMap<string, readonly string[]>;
  readonly #bulk: BulkSender;
  readonly #stop = new AbortController();
  /** In the order of their results. */
  readonly #batches: Batch[] = [];
  #documents: Iterator<BulkItem> | undefined;
  #next: number;
  /** Results below are settled. */
  #delivered: number;
  #rejected = 0;
  /** What was refused of the results below is a dead letter already. */
  #told = 1;
  #underWay = 0;
  #ready: Promise<void> | undefined;
  #failure: unknown;

  constructor(options: OpenSearchSinkOptions) {
    this.#o = options;
    this.name = ['opensearch', options.url, options.prefix].filter(Boolean).join(' ');
    this.#keys = new Map(options.views.map((view) => [view.name, Object.keys(view.by)]));
    this.#bulk = new BulkSender({ ...options, signal: this.#stop.signal });
    const { outbox } = options;
    const cursor = outbox.cursor(this.name);
    // From now on the state knows of this sink, even if it gets nowhere.
    if (!cursor) outbox.moveCursor(this.name, { delivered: 1, bytes: 0 });
    this.#delivered = cursor?.delivered ?? 1;
    this.#next = this.#delivered;
  }

  /**
   * Looks whether the server is there and takes these views; one that is away is waited for while processing goes on.
   * Throws `mapping-conflict`, `unsupported-server`, `opensearch-unauthorized`, …
   */
  async open(): Promise<void> {
    try {
      const made = await this.#prepare();
      // Somebody took documents away: all that is in the outbox is sent anew.
      if (this.#delivered > 1 && (made || (await this.#isEmpty()))) {
        this.#told = this.#delivered;
        this.#next = this.#delivered = 1;
      }
      this.#ready = Promise.resolve();
    } catch (error) {
      if (!isAway(error)) throw error;
      this.#bulk.inTrouble((error as Error).message);
    }
  }

  wake(): void {
    if (this.#failure) throw this.#failure;
    while (this.#batches.length < REQUESTS_AT_ONCE && !this.#stop.signal.aborted) {
      const batch = this.#nextBatch();
      if (!batch) return;
      this.#batches.push(batch);
      void this.#deliver(batch);
    }
  }

  status(): SinkStatus {
    return {
      name: this.name,
      delivered: this.#delivered - 1,
      pending: this.#o.outbox.nextResult - this.#delivered,
      rejected: this.#rejected,
      retries: this.#bulk.retries,
      trouble: this.#bulk.trouble,
    };
  }

  async close(interrupted: boolean): Promise<void> {
    const { client, clock } = this.#o;
    if (interrupted) this.#abort();
    const patience = interrupted ? LAST_MS : GIVE_UP_MS;
    const unfinished = () => (interrupted ? this.#underWay : this.status().pending) > 0;
    const { trouble } = this.#bulk;
    if (trouble && unfinished() && !interrupted)
      this.#o.onTrouble(`${trouble}; a minute without progress ends the run`);
    try {
      for (let since = clock.now(), last = 0; unfinished() && clock.now() - since < patience; ) {
        this.wake();
        // A batch may take long, piece by piece; that is no reason to give up.
        if (this.#bulk.settled > last) [since, last] = [clock.now(), this.#bulk.settled];
        await clock.sleep(POLL_MS);
      }
      if (this.#failure) throw this.#failure;
      if (!interrupted && unfinished()) throw this.#behind();
    } finally {
      this.#abort();
      await client.close();
    }
  }

  #behind(): TaxiflowError {
    const { pending, trouble } = this.status();
    return new TaxiflowError(
      'opensearch-behind',
      `${pending.toLocaleString('en-US')} results are not in OpenSearch at ${this.#o.url}: ${trouble ?? 'it does not settle them'}`,
      { hint: 'they are kept in the state; the same command sends them when it runs again' },
    );
  }

  #abort(): void {
    this.#stop.abort();
    this.#bulk.turn();
  }

  async #deliver(batch: Batch): Promise<void> {
    this.#underWay++;
    try {
      this.#ready ??= this.#prepareWhenThere();
      await this.#ready;
      batch.refused = await this.#bulk.settle(batch.items, () => this.#batches[0] === batch);
      this.#pass();
      this.wake();
    } catch (error) {
      // The batch keeps its place, or the cursor would pass it with the next one that is settled.
      if (!this.#stop.signal.aborted) {
        this.#failure ??= error;
        this.#abort();
      }
    } finally {
      this.#underWay--;
    }
  }

  /** Moves the cursor past what is settled (O3). */
  #pass(): void {
    const { outbox, deadLetters } = this.#o;
    const before = this.#delivered;
    for (let batch = this.#batches[0]; batch?.refused; batch = this.#batches[0]) {
      const refused = batch.refused.filter(({ item }) => item.number >= this.#told);
      for (const { item, reason, detail } of refused)
        deadLetters.add(reason, () => ({
          source: item.index,
          position: item.id,
          detail,
          raw: item.document,
        }));
      this.#rejected += refused.length;
      this.#delivered = batch.to;
      this.#batches.shift();
      this.#bulk.turn();
    }
    if (this.#delivered > before)
      outbox.moveCursor(this.name, { delivered: this.#delivered, bytes: 0 }, deadLetters.take());
  }

  #nextBatch(): Batch | undefined {
    this.#documents ??= this.#read(this.#next);
    const items: BulkItem[] = [];
    for (let bytes = 0; items.length < BATCH_DOCUMENTS && bytes < this.#bulk.bytes; ) {
      const { value, done } = this.#documents.next();
      if (done) {
        this.#documents = undefined;
        break;
      }
      items.push(value);
      bytes += value.lines.length;
      this.#next = value.number + 1;
    }
    return items.length > 0 ? { to: this.#next, items } : undefined;
  }

  *#read(from: number): Generator<BulkItem> {
    const { outbox, prefix } = this.#o;
    const state = BigInt(Math.max(0, Math.floor((outbox.created - STATES_SINCE) / STATES_APART_MS)));
    for (const { first, view, docs } of outbox.firingsFrom(from)) {
      const index = indexName(prefix, view);
      // No line break is inside a document: JSON writes it as \n.
      for (const [i, document] of docs.slice(1, -1).split(',\n').entries()) {
        const number = first + i;
        if (number < from) continue;
        const id = this.#idOf(view, document);
        const version = (state << RESULT_BITS) + BigInt(number);
        const action = `{"index":{"_index":"${index}","_id":${JSON.stringify(id)},"version":${version},"version_type":"external_gte"}}`;
        yield { number, index, id, document, lines: `${action}\n${document}\n` };
      }
    }
  }

  /** `pickup_count|2016-01-01T00:00:00.000Z|dr5ru7`; one that would be too long as its hash (O1). */
  #idOf(view: string, document: string): string {
    const fields = JSON.parse(document) as Record<string, unknown>;
    let id = `${escaped(view)}|${escaped(fields['window_start'])}`;
    for (const name of this.#keys.get(view) ?? []) id += `|${escaped(fields[name])}`;
    // A character takes three bytes at most.
    if (id.length * 3 <= ID_BYTES || Buffer.byteLength(id) <= ID_BYTES) return id;
    return `${view}|${createHash('sha256').update(id).digest('base64url')}`;
  }

  async #prepareWhenThere(): Promise<void> {
    const { clock } = this.#o;
    for (;;) {
      this.#stop.signal.throwIfAborted();
      try {
        await this.#prepare();
        return;
      } catch (error) {
        if (!isAway(error)) throw error;
        this.#bulk.inTrouble((error as Error).message);
        await clock.sleep(PROBE_AGAIN_MS, this.#stop.signal);
      }
    }
  }

  /** Every view has a place that takes its results: what is there already, or an index made now (then true). */
  async #prepare(): Promise<boolean> {
    const { client, url, prefix, views } = this.#o;
    let made = false;
    await serverOf(client, url, { requestTimeout: PROBE_MS });
    for (const view of views) {
      const index = indexName(prefix, view.name);
      const mapping = mappingOf(view);
      const live = await this.#request('GET', `/${index}/_mapping`, 404);
      if (!live) {
        await this.#make(index, mapping);
        made = true;
      }
      for (const [name, found] of Object.entries(live ?? {})) {
        const [difference] = differences((found as { mappings: LiveMapping }).mappings, mapping);
        if (difference === undefined) continue;
        throw new TaxiflowError('mapping-conflict', `index ${name} contradicts the views: ${difference}`, {
          hint: '"taxiflow es-setup --check" shows all that differs, "taxiflow es-setup" mends what can be mended; or choose other names with --index-prefix',
        });
      }
    }
    return made;
  }

  async #make(index: string, mappings: Mapping): Promise<void> {
    try {
      await this.#request('PUT', `/${index}`, undefined, { mappings });
    } catch (error) {
      // Somebody may have been faster.
      if (!(await this.#request('GET', `/${index}/_mapping`, 404))) throw error;
    }
  }

  async #isEmpty(): Promise<boolean> {
    const names = this.#o.views.map(({ name }) => indexName(this.#o.prefix, name)).join();
    const answer = await this.#request('GET', `/${names}/_count`, 404);
    return answer?.['count'] === 0;
  }

  /** Undefined where the answer is `expected`. */
  async #request(
    method: 'GET' | 'PUT',
    path: string,
    expected: number | undefined,
    body?: object,
  ): Promise<Record<string, unknown> | undefined> {
    const { client, url } = this.#o;
    try {
      const answer = await client.transport.request(
        { method, path, ...(body ? { body } : {}) },
        { requestTimeout: PROBE_MS },
      );
      return answer.body as Record<string, unknown>;
    } catch (error) {
      if (expected !== undefined && statusOf(error) === expected) return undefined;
      throw explained(error, url);
    }
  }
}

const SPECIAL = /[\\|]/;

/** A part of an id, so that no two keys make the same one. */
function escaped(part: unknown): string {
  if (part === null || part === undefined) return '\\-';
  const text = String(part);
  return SPECIAL.test(text) ? text.replaceAll(/[\\|]/g, '\\$&') : text;
}
