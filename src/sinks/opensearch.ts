/**
 * Results into OpenSearch or Elasticsearch, each exactly once, whatever fails:
 *
 *  O1 a document's id is made of view, window and key, so a corrected result takes the place of the one before;
 *     one that takes it back deletes it.
 *  O2 its version is that of the result: of what is sent twice, late or out of order, the latest stays. A state that
 *     was made later writes higher versions. What takes a result back waits until all before it is settled, and goes
 *     again with what is sent again of the same document, since the server forgets the version of one that is deleted.
 *  O3 the cursor passes a result when the server has settled it; what is refused for good goes to the dead letters in
 *     the same transaction.
 *  O4 an index that was taken away is made anew, as ours and not as the server would guess it, and filled from the
 *     first result; that the cursor goes back is known before the index is there.
 */
import type { Client } from '@opensearch-project/opensearch';
import type { Clock } from '../clock.ts';
import type { DeadLetterBuffer } from '../dead-letters.ts';
import type { Sink, SinkStatus } from '../engine/run.ts';
import { TaxiflowError } from '../errors.ts';
import { explained, isAway, serverOf, statusOf } from '../opensearch/connection.ts';
import {
  differences,
  firstIndex,
  firstIndexOf,
  indexName,
  isDataStream,
  type LiveMapping,
  mappingOf,
} from '../opensearch/templates.ts';
import type { SqliteState } from '../state/sqlite-state.ts';
import { RETRACTED, type View } from '../views/language.ts';
import { type Bulk, BulkSender, DELETION, IndexGone, type Refusal } from './bulk.ts';
import { documentIds } from './document-id.ts';

/** What the sink needs of the state: the outbox, its own cursor, what it refused, and when the state was made. */
export type Outbox = Pick<
  SqliteState,
  'cursor' | 'moveCursor' | 'refused' | 'firingsFrom' | 'nextResult' | 'created'
>;

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

/** How a result ends that takes back the one of its window and key. */
const TAKEN_BACK = `,"${RETRACTED}":true}`;
const FINAL = new Set(['mapping-conflict', 'unsupported-server']);

/** Results on their way, up to that of the number `to`. */
interface Batch extends Bulk {
  readonly to: number;
  /** What was refused of them, once they are settled. */
  refused?: readonly Refusal[];
}

export class OpenSearchSink implements Sink {
  readonly name: string;
  readonly #o: OpenSearchSinkOptions;
  readonly #ids: ReadonlyMap<string, (document: string) => string>;
  readonly #bulk: BulkSender;
  /** Ends what waits. */
  #going = new AbortController();
  #stopped = false;
  /** How the target of an action begins, by view; nothing as long as it isn't known whether their indices are there. */
  #actions: ReadonlyMap<string, string> | undefined;
  #looking = false;
  /** In the order of their results. */
  readonly #batches: Batch[] = [];
  #lines: Iterator<string> | undefined;
  #next: number;
  /** Results below are settled. */
  #delivered: number;
  /** In all runs. */
  #rejected: number;
  /** What was refused of the results below is a dead letter already. */
  #told: number;
  #underWay = 0;
  #failure: unknown;

  constructor(options: OpenSearchSinkOptions) {
    this.#o = options;
    this.name = ['opensearch', options.url, options.prefix].filter(Boolean).join(' ');
    this.#ids = new Map(options.views.map((view) => [view.name, documentIds(view)]));
    this.#bulk = new BulkSender(options);
    const { delivered = 1, bytes: told = 1 } = options.outbox.cursor(this.name) ?? {};
    this.#delivered = this.#next = delivered;
    this.#told = Math.max(told, delivered);
    this.#rejected = options.outbox.refused(this.name);
    // From now on the state knows of this sink, even if it gets nowhere.
    this.#moveCursor();
  }

  /**
   * Looks whether the server is there and takes these views; one that is away is waited for while processing goes on.
   * Throws `mapping-conflict`, `unsupported-server`, `opensearch-unauthorized`, …
   */
  async open(): Promise<void> {
    try {
      await this.#prepare();
    } catch (error) {
      if (!isAway(error)) throw error;
      this.#bulk.inTrouble((error as Error).message);
    }
  }

  wake(): void {
    if (this.#failure) throw this.#failure;
    if (!this.#actions) {
      if (!this.#looking && !this.#stopped) void this.#prepareWhenThere();
      return;
    }
    while (this.#batches.length < REQUESTS_AT_ONCE && !this.#stopped) {
      const batch = this.#nextBatch(this.#actions);
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
    this.#stopped = true;
    this.#going.abort();
    this.#bulk.turn();
  }

  #fail(error: unknown): void {
    if (this.#stopped) return;
    this.#failure ??= error;
    this.#abort();
  }

  async #deliver(batch: Batch): Promise<void> {
    const { signal } = this.#going;
    this.#underWay++;
    try {
      batch.refused = await this.#bulk.settle(batch, () => this.#batches[0] === batch, signal);
      this.#pass();
      this.wake();
    } catch (error) {
      // The batch keeps its place, or the cursor would pass it with the next one that is settled.
      if (signal.aborted) return;
      if (error instanceof IndexGone) this.#lookAgain(error);
      else this.#fail(error);
    } finally {
      this.#underWay--;
    }
  }

  /** Moves the cursor past what is settled (O3). */
  #pass(): void {
    const { deadLetters } = this.#o;
    const before = this.#delivered;
    for (let batch = this.#batches[0]; batch?.refused; batch = this.#batches[0]) {
      const refused = batch.refused.filter(({ number }) => number >= this.#told);
      for (const { reason, index, id, detail, document } of refused)
        deadLetters.add(reason, () => ({ source: index, position: id, detail, raw: document }));
      this.#rejected += refused.length;
      this.#delivered = batch.to;
      this.#batches.shift();
      this.#bulk.turn();
    }
    if (this.#delivered === before) return;
    this.#told = Math.max(this.#told, this.#delivered);
    this.#moveCursor();
  }

  #moveCursor(): void {
    const { outbox, deadLetters } = this.#o;
    outbox.moveCursor(this.name, { delivered: this.#delivered, bytes: this.#told }, deadLetters.take());
  }

  /** All that is in the outbox is sent anew (O4). */
  #startOver(): void {
    if (this.#delivered === 1) return;
    this.#next = this.#delivered = 1;
    this.#moveCursor();
  }

  /** What is under way ends; all is sent again when the indices are there, whoever makes them. */
  #lookAgain({ message }: IndexGone): void {
    this.#going.abort();
    this.#going = new AbortController();
    this.#batches.length = 0;
    this.#lines = this.#actions = undefined;
    this.#next = this.#delivered;
    this.#startOver();
    this.#bulk.turn();
    this.#bulk.inTrouble(message);
    this.wake();
  }

  #nextBatch(actions: ReadonlyMap<string, string>): Batch | undefined {
    this.#lines ??= this.#read(this.#next, actions);
    const numbers: number[] = [];
    let text = '';
    let inOrder = false;
    while (numbers.length < BATCH_DOCUMENTS && text.length < this.#bulk.bytes) {
      const { value, done } = this.#lines.next();
      if (done) {
        this.#lines = undefined;
        break;
      }
      text += value;
      inOrder ||= value.startsWith(DELETION);
      numbers.push(this.#next - 1);
    }
    return numbers.length > 0 ? { numbers, text, inOrder, to: this.#next } : undefined;
  }

  /** Action and document of each result from that number on; `#next` is the number of the one after. */
  *#read(from: number, actions: ReadonlyMap<string, string>): Generator<string> {
    const { created } = this.#o.outbox;
    const state = BigInt(Math.max(0, Math.floor((created - STATES_SINCE) / STATES_APART_MS)));
    for (const { first, view, docs, correction } of this.#o.outbox.firingsFrom(from)) {
      const [action, idOf] = [actions.get(view)!, this.#ids.get(view)!];
      // No line break is inside a document: JSON writes it as \n.
      for (const [i, document] of docs.slice(1, -1).split(',\n').entries()) {
        const number = first + i;
        if (number < from) continue;
        const version = (state << RESULT_BITS) + BigInt(number);
        this.#next = number + 1;
        const target = `${action}${JSON.stringify(idOf(document))},"version":${version},"version_type":"external_gte"}}\n`;
        yield correction && document.endsWith(TAKEN_BACK)
          ? `${DELETION}${target}`
          : `{"index":${target}${document}\n`;
      }
    }
  }

  async #prepareWhenThere(): Promise<void> {
    const { clock } = this.#o;
    const { signal } = this.#going;
    this.#looking = true;
    try {
      for (;;) {
        // Whoever took an index away may be at it.
        await clock.sleep(PROBE_AGAIN_MS, signal);
        if (signal.aborted) return;
        try {
          await this.#prepare();
          break;
        } catch (error) {
          // Rights, blocks and limits can change; what the indices are for can't.
          if (!(error instanceof TaxiflowError) || FINAL.has(error.code)) throw error;
          this.#bulk.inTrouble(error.message);
        }
      }
      this.#looking = false;
      this.#bulk.over();
      this.wake();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#looking = false;
    }
  }

  /** Every view has a place that takes its results: what is there already, or an index made now. */
  async #prepare(): Promise<void> {
    const { client, url, prefix, views } = this.#o;
    await serverOf(client, url, { requestTimeout: PROBE_MS });
    const actions = new Map<string, string>();
    for (const view of views) {
      const name = indexName(prefix, view.name);
      const live = (await this.#mappings(name)) ?? (await this.#make(view));
      if (isDataStream(name, Object.keys(live))) {
        throw new TaxiflowError('mapping-conflict', `${name} is a data stream, which takes no result twice`, {
          hint: 'choose other names with --index-prefix',
        });
      }
      for (const [index, { mappings }] of Object.entries(live)) {
        const [difference] = differences(mappings, mappingOf(view));
        if (difference === undefined) continue;
        throw new TaxiflowError('mapping-conflict', `index ${index} contradicts the views: ${difference}`, {
          hint: '"taxiflow es-setup --check" shows all that differs, "taxiflow es-setup" mends what can be mended; or choose other names with --index-prefix',
        });
      }
      // A server makes an index that is missing by its own guess; an alias it can't make.
      const alias = name in live ? '' : '"require_alias":true,';
      actions.set(view.name, `{"_index":"${name}",${alias}"_id":`);
    }
    // Somebody took the documents away.
    if (this.#delivered > 1 && (await this.#isEmptied())) this.#startOver();
    this.#actions = actions;
  }

  async #mappings(name: string): Promise<LiveMappings | undefined> {
    return (await this.#request('GET', `/${name}/_mapping`, { expected: [404] })) as LiveMappings | undefined;
  }

  /** The index and its alias, as `es-setup` makes them, without documents. */
  async #make(view: View): Promise<LiveMappings> {
    const { prefix } = this.#o;
    const [name, first] = [indexName(prefix, view.name), firstIndex(prefix, view.name)];
    this.#startOver();
    try {
      await this.#request('PUT', `/${first}`, { body: firstIndexOf(prefix, view) });
    } catch (error) {
      // Somebody may have been faster, or only the alias is gone.
      const live = await this.#mappings(name);
      if (live) return live;
      if (!(await this.#mappings(first))) throw error;
      const add = { index: first, alias: name, is_write_index: true };
      await this.#request('POST', '/_aliases', { body: { actions: [{ add }] } });
    }
    return (await this.#mappings(name)) ?? {};
  }

  /** Whether some view has no document, though results of it were delivered. */
  async #isEmptied(): Promise<boolean> {
    const empty = new Set<string>();
    for (const { name } of this.#o.views) {
      // One that is closed or blocked can't tell; what is sent to it finds that out.
      const path = `/${indexName(this.#o.prefix, name)}/_count`;
      const answer = await this.#request('GET', path, { expected: [400, 403, 404] });
      if (answer?.['count'] === 0) empty.add(name);
    }
    if (empty.size === 0) return false;
    for (const { view, first } of this.#o.outbox.firingsFrom(1)) {
      if (first >= this.#delivered) break;
      if (empty.has(view)) return true;
    }
    return false;
  }

  /** Undefined where the answer is one of the `expected`. */
  async #request(
    method: 'GET' | 'PUT' | 'POST',
    path: string,
    { expected = [], body }: { readonly expected?: readonly number[]; readonly body?: object },
  ): Promise<Record<string, unknown> | undefined> {
    const { client, url } = this.#o;
    try {
      const answer = await client.transport.request(
        { method, path, ...(body ? { body } : {}) },
        { requestTimeout: PROBE_MS },
      );
      return answer.body as Record<string, unknown>;
    } catch (error) {
      if (expected.includes(statusOf(error) ?? 0)) return undefined;
      throw explained(error, url);
    }
  }
}

type LiveMappings = Readonly<Record<string, { readonly mappings: LiveMapping }>>;
