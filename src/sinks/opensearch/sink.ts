/**
 * Writes results to OpenSearch or Elasticsearch, each exactly once despite any failure:
 *
 *  O1 a document's id is made of view, window and key, so a correction replaces the earlier result and a retraction
 *     deletes it.
 *  O2 a document's version follows from the result's number, so the latest result wins when results are sent twice, late
 *     or out of order. A newer state writes higher versions. A retraction waits until all earlier results are settled, and
 *     is repeated when an earlier result of the document is, because the server forgets the version of a deleted document.
 *  O3 the cursor passes a result when the server has settled it; a result refused for good becomes a dead letter in the
 *     same transaction.
 *  O4 a deleted index is created again with our mapping, not the server's guess, and refilled. The indices behind the
 *     names are checked before a run reports that everything is delivered.
 *  O5, O6 all results of a window go to one index, see `destinations.ts`.
 *  O7 at the start, every settled document is there, whatever other results of the state are: if a window holds another
 *     number of documents than were settled, or its number can't tell, the server is asked for them by id. All results are
 *     sent again from the first window on that lacks one. See `lost-documents.ts`.
 */
import type { Client } from '@opensearch-project/opensearch';
import type { Clock } from '../../clock.ts';
import type { DeadLetterBuffer } from '../../dead-letters.ts';
import type { Sink, SinkStatus } from '../../engine/sink.ts';
import { TaxiflowError } from '../../errors.ts';
import { isServerless } from '../../opensearch/amazon.ts';
import { explained, isAway } from '../../opensearch/errors.ts';
import type { Cursor, Outbox as StateOutbox } from '../../state/outbox.ts';
import type { View } from '../../views/language.ts';
import { BulkSender, type Entry, IndexGone, type Refusal } from './bulk.ts';
import { Destinations, type LiveIndex, type Place } from './destinations.ts';
import { documentIds } from './document-id.ts';
import { type Fingerprint, fingerprintOf, OpenSearchIndices, type Owner } from './indices.ts';
import { documentsIn, firstLost, isTakenBack } from './lost-documents.ts';
import { Trouble } from './trouble.ts';

/** The part of the state that the sink uses: the outbox, the sink's own notes, and the state's creation time. */
export type Outbox = Pick<
  StateOutbox,
  | 'cursor'
  | 'moveCursor'
  | 'refused'
  | 'refusedDocuments'
  | 'firingsFrom'
  | 'nextResult'
  | 'end'
  | 'created'
  | 'firstOf'
  | 'windowsBefore'
  | 'firingsOf'
  | 'destinations'
  | 'setDestinations'
  | 'windowDestinations'
  | 'addWindowDestinations'
>;

export interface OpenSearchSinkOptions {
  readonly client: Client;
  readonly url: string;
  readonly prefix: string;
  readonly views: readonly View[];
  readonly owner: Owner;
  readonly outbox: Outbox;
  readonly deadLetters: DeadLetterBuffer;
  readonly clock: Clock;
  /** Send all results again, including those already delivered. */
  readonly resend?: boolean;
  /** Receives the reason when results begin to wait or the reason changes, and undefined when they resume. */
  readonly onTrouble: (trouble: string | undefined) => void;
  readonly onNote?: (note: string) => void;
}

const BATCH_DOCUMENTS = 2_000;
const REQUESTS_AT_ONCE = 3;
/** Approximate length of an action line without the id. */
const ACTION_CHARACTERS = 100;
/** Low bits of a version that count results; the bits above distinguish states. */
const RESULT_BITS = 30n;
const STATES_SINCE = Date.UTC(2020, 0, 1);
const STATES_APART_MS = 250;
const PROBE_AGAIN_MS = 1_000;
/** How long a serverless collection may take until new documents are searchable. */
const SHOWN_MS = 15_000;
const SHOWN_AGAIN_MS = 3_000;
/** Ms between checks of the indices behind the names while results are sent. */
const LOOK_MS = 1_000;
const POLL_MS = 20;
/** At the end of a run: how long to continue without progress. */
const GIVE_UP_MS = 60_000;
/** Extra time for the answer to a retry that the server asked to delay. */
const PUT_OFF_MS = 10_000;
/** After an interruption: how long to wait for requests in flight. */
const LAST_MS = 3_000;

const FINAL = new Set(['mapping-conflict', 'other-owner']);
/** Errors at the start that do not end the run but are waited for. */
const PASSING = new Set(['opensearch-blocked', 'opensearch-bad-answer']);

/** A window of a view, and the number of its first result. */
interface Window {
  readonly place: Place;
  readonly start: number;
  readonly first: number;
}

/** A result whose index is not chosen yet. */
type Unplaced = Omit<Entry, 'index' | 'address' | 'target'> & { readonly window: Window };

/** Results in flight; `to` is the number after the last of them. */
interface Batch {
  readonly results: readonly Unplaced[];
  readonly inOrder: boolean;
  readonly to: number;
  /** The refused ones; undefined until all are settled. */
  refused?: readonly Refusal[];
}

/** What the cursor remembers: what was refused of the results below this number is a dead letter already. */
interface Position {
  readonly told: number;
}

export class OpenSearchSink implements Sink {
  readonly name: string;
  readonly #o: OpenSearchSinkOptions;
  readonly #ids: ReadonlyMap<string, (document: string) => string>;
  readonly #indices: OpenSearchIndices;
  readonly #destinations: Destinations;
  readonly #bulk: BulkSender;
  readonly #trouble: Trouble;
  /** Aborts the final delivery in `close`. */
  readonly #interrupted = new AbortController();
  /** Aborts waits and retries. */
  #going = new AbortController();
  #stopped = false;
  #closing: Promise<void> | undefined;
  /** Places by view; undefined until their indices are known to exist. */
  #places: ReadonlyMap<string, Place> | undefined;
  #looked = Number.NEGATIVE_INFINITY;
  #looking: Promise<boolean> | undefined;
  #preparing = false;
  /** Documents are counted once per run: later losses show in the fingerprint of the index. */
  #counted = false;
  /** Index of each window that was looked up among several. */
  readonly #located = new Map<string, LiveIndex>();
  /** In the order of their results. */
  readonly #batches: Batch[] = [];
  #results: Iterator<Unplaced | undefined> | undefined;
  #next: number;
  /** Results below this number may have been sent, in this or an earlier run. */
  #sent: number;
  /** Results below this number are settled. */
  #delivered: number;
  /** Refused results, over all runs. */
  #rejected: number;
  /** Refused results below this number are already dead letters. */
  #told: number;
  #underWay = 0;
  #failure: unknown;

  constructor(options: OpenSearchSinkOptions) {
    const { outbox, onNote = () => {} } = options;
    this.#o = options;
    this.name = ['opensearch', options.url, options.prefix].filter(Boolean).join(' ');
    this.#ids = new Map(options.views.map((view) => [view.name, documentIds(view)]));
    this.#trouble = new Trouble(options.clock, options.onTrouble);
    this.#indices = new OpenSearchIndices({ ...options, onNote });
    this.#bulk = new BulkSender({ ...options, trouble: this.#trouble });
    this.#destinations = new Destinations({
      epochs: () => outbox.destinations(this.name),
      exceptions: () => outbox.windowDestinations(this.name),
      setEpochs: (text) => outbox.setDestinations(this.name, text),
      addExceptions: (added) => outbox.addWindowDestinations(this.name, added),
    });
    const cursor = outbox.cursor(this.name);
    const delivered = cursor?.delivered ?? 1;
    this.#sent = cursor === undefined ? 1 : outbox.nextResult;
    this.#delivered = this.#next = options.resend ? 1 : delivered;
    this.#told = Math.max(cursor ? toldIn(cursor) : 1, delivered);
    this.#rejected = outbox.refused(this.name);
    if (options.resend) this.#destinations.forgetRemoved();
    // Registers the sink in the state, even if it never delivers anything.
    this.#moveCursor();
  }

  /**
   * Checks that the server is reachable and accepts these views; processing continues while an unreachable server is
   * retried. Returns early when `stop` aborts. Throws `mapping-conflict`, `other-owner`, `unsupported-server`,
   * `opensearch-unauthorized`, …
   */
  async open(stop?: AbortSignal): Promise<void> {
    const opened = this.#prepare().catch((error: unknown) => {
      const passes = error instanceof TaxiflowError && PASSING.has(error.code);
      if (!passes && !isAway(error)) throw error;
      this.#trouble.waits(this, (error as Error).message);
    });
    await (stop ? unless(stop, opened) : opened);
  }

  wake(): void {
    if (this.#failure) throw this.#failure;
    if (this.#stopped) return;
    if (!this.#places) {
      if (!this.#preparing) void this.#prepareWhenThere();
      return;
    }
    // Nothing new is sent while the indices are being checked.
    if (this.#looking) return;
    if (this.status().pending > 0 && this.#o.clock.now() - this.#looked >= LOOK_MS) {
      void this.#look().then((changed) => changed || this.#wakeUnlessFailed());
      return;
    }
    while (this.#batches.length < REQUESTS_AT_ONCE) {
      const batch = this.#nextBatch(this.#places);
      if (!batch) return;
      this.#batches.push(batch);
      void this.#deliver(batch);
    }
  }

  #wakeUnlessFailed(): void {
    if (!this.#failure) this.wake();
  }

  status(): SinkStatus {
    const { why, since } = this.#trouble;
    return {
      name: this.name,
      delivered: this.#delivered - 1,
      pending: Math.max(0, this.#o.outbox.end - this.#delivered),
      rejected: this.#rejected,
      retries: this.#bulk.retries,
      trouble: why,
      since: since === undefined ? undefined : new Date(since).toISOString(),
    };
  }

  close(interrupted: boolean): Promise<void> {
    if (interrupted) this.interrupt();
    this.#closing ??= this.#close();
    return this.#closing;
  }

  interrupt(): void {
    this.#interrupted.abort();
  }

  async #close(): Promise<void> {
    const { client } = this.#o;
    const stop = this.#interrupted.signal;
    try {
      if (!stop.aborted) await this.#deliverAll(stop);
      if (stop.aborted) await this.#finishRequests();
      if (this.#failure) throw this.#failure;
      if (!stop.aborted && this.status().pending > 0) throw this.#behind();
    } finally {
      this.#abort();
      await client.close();
    }
  }

  /** Delivers until nothing is pending, a minute passes without progress, or `stop` aborts. */
  async #deliverAll(stop: AbortSignal): Promise<void> {
    const { clock, onTrouble } = this.#o;
    const { why } = this.#trouble;
    if (why && this.status().pending > 0) onTrouble(`${why}; a minute without progress ends the run`);
    let since = clock.now();
    for (let last = 0; !stop.aborted && clock.now() < this.#givingUpAt(since); ) {
      this.wake();
      // A batch may be settled slowly, in pieces; each piece counts as progress.
      if (this.#bulk.settled > last) [since, last] = [clock.now(), this.#bulk.settled];
      if (this.status().pending === 0) {
        // Until its start has succeeded, nobody knows whether all is still there.
        if (last === 0 && this.#places) return;
        if (this.#places && !(await unless(stop, this.#lookAtTheEnd()))) return;
      }
      await clock.sleep(POLL_MS, stop);
    }
  }

  /** When to give up, epoch ms: later if the server asked to delay a retry. */
  #givingUpAt(since: number): number {
    const patience = since + GIVE_UP_MS;
    const { askedToWait } = this.#bulk;
    return askedToWait <= since
      ? patience
      : Math.max(patience, Math.min(askedToWait, patience + GIVE_UP_MS) + PUT_OFF_MS);
  }

  /** Waits a few seconds for requests in flight. */
  async #finishRequests(): Promise<void> {
    const { clock } = this.#o;
    this.#abort();
    for (const since = clock.now(); this.#underWay > 0 && clock.now() - since < LAST_MS; )
      await clock.sleep(POLL_MS);
  }

  #behind(): TaxiflowError {
    const { pending, trouble } = this.status();
    return new TaxiflowError(
      'opensearch-behind',
      `${pending.toLocaleString('en-US')} results are not in OpenSearch at ${this.#o.url}: ${trouble ?? 'the server does not settle them'}`,
      { hint: 'they are kept in the state; run the same command again to send them' },
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
      await this.#locate(batch, signal);
      const bulk = { entries: this.#placed(batch), inOrder: batch.inOrder };
      batch.refused =
        bulk.entries.length === 0
          ? []
          : await this.#bulk.settle(bulk, () => this.#batches[0] === batch, signal);
      this.#pass();
      this.wake();
    } catch (error) {
      // The batch stays in the queue; otherwise the cursor would pass it with the next settled batch.
      if (signal.aborted) return;
      if (error instanceof IndexGone) this.#lookAgain(this.#wordsOf(error.index));
      else this.#fail(error);
    } finally {
      this.#underWay--;
    }
  }

  #wordsOf(gone: string): string {
    for (const { name, write } of this.#places?.values() ?? [])
      if (write.name === gone) return goneWords(name);
    return `index ${gone} is gone`;
  }

  /** Moves the cursor past the settled batches (O3). */
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
    const position: Position = { told: this.#told };
    const cursor = { delivered: this.#delivered, position: JSON.stringify(position) };
    outbox.moveCursor(this.name, cursor, deadLetters.take());
  }

  /** Sends all results in the outbox from number `from` on again (O4). */
  #startOver(from: number): void {
    if (this.#delivered <= from) return;
    this.#next = this.#delivered = from;
    this.#moveCursor();
  }

  /** Aborts everything in flight; it is sent again after the indices have been looked up. */
  #lookAgain(why: string): void {
    this.#going.abort();
    this.#going = new AbortController();
    this.#batches.length = 0;
    this.#results = this.#places = undefined;
    this.#next = this.#delivered;
    this.#trouble.forget();
    this.#trouble.waits(this, why);
    this.#bulk.resume();
    this.wake();
  }

  /**
   * Whether the indices behind the names have changed; if so, they are looked up again. A user's own index under the
   * name itself may be recreated during a run: that is checked only `atTheEnd`.
   */
  #look(atTheEnd = false): Promise<boolean> {
    this.#looking ??= this.#lookNow(atTheEnd).finally(() => {
      this.#looked = this.#o.clock.now();
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** Does not rely on a check that began before the last result was settled. */
  async #lookAtTheEnd(): Promise<boolean> {
    await this.#looking;
    return this.#look(true);
  }

  async #lookNow(atTheEnd: boolean): Promise<boolean> {
    const { signal } = this.#going;
    let found: ReadonlyMap<string, Fingerprint>;
    try {
      found = await this.#indices.fingerprints();
    } catch {
      // An unreachable server shows in the results sent to it.
      return false;
    }
    if (signal.aborted) return false;
    for (const { name, indices, write } of this.#places?.values() ?? []) {
      const now = found.get(name)!;
      const before = fingerprintOf([...indices.values()], write.name);
      const isSame = now.identity === before.identity || (write.name === name && !atTheEnd);
      if (now.shape === before.shape && isSame) continue;
      this.#lookAgain(now.shape === '' ? goneWords(name) : `the indices behind ${name} have changed`);
      return true;
    }
    return false;
  }

  #nextBatch(places: ReadonlyMap<string, Place>): Batch | undefined {
    this.#results ??= this.#read(this.#next, places);
    const results: Unplaced[] = [];
    let inOrder = false;
    const before = this.#next;
    for (let length = 0; results.length < BATCH_DOCUMENTS && length < this.#bulk.bytes; ) {
      const { value, done } = this.#results.next();
      if (done) {
        this.#results = undefined;
        break;
      }
      if (value === undefined) continue;
      length += value.id.length + value.document.length + ACTION_CHARACTERS;
      inOrder ||= value.action === 'delete';
      results.push(value);
    }
    this.#sent = Math.max(this.#sent, this.#next);
    return this.#next > before ? { results, inOrder, to: this.#next } : undefined;
  }

  /**
   * The results from number `from` on; undefined for a result in an index that was removed. `#next` is the number after
   * the last one yielded.
   */
  *#read(from: number, places: ReadonlyMap<string, Place>): Generator<Unplaced | undefined> {
    const { created } = this.#o.outbox;
    const state = BigInt(Math.max(0, Math.floor((created - STATES_SINCE) / STATES_APART_MS)));
    for (const { first, view, windowStart, docs, correction } of this.#o.outbox.firingsFrom(from)) {
      const [place, idOf] = [places.get(view)!, this.#ids.get(view)!];
      const window = this.#windowOf(place, windowStart, first);
      for (const [i, document] of documentsIn(docs).entries()) {
        const number = first + i;
        if (number < from) continue;
        this.#next = number + 1;
        if (this.#destinations.isRemoved(view, window.first, number)) yield undefined;
        else {
          const deleted = correction && isTakenBack(document);
          yield {
            number,
            window,
            action: deleted ? 'delete' : 'index',
            id: idOf(document),
            version: (state << RESULT_BITS) + BigInt(number),
            document: deleted ? '' : document,
          };
        }
      }
    }
  }

  #windowOf(place: Place, start: number, first: number): Window {
    if (this.#destinations.isSimple(place)) return { place, start, first };
    return { place, start, first: this.#o.outbox.firstOf(place.view.name, start) ?? first };
  }

  /** Asks the server which index holds each window that may be in several, until it answers (O6). */
  async #locate({ results }: Batch, signal: AbortSignal): Promise<void> {
    const unknown = new Map<Place, Map<number, Window>>();
    for (const { window } of results) {
      const { place, start } = window;
      if (place.indices.size === 1 || this.#located.has(windowKey(window))) continue;
      const windows = unknown.get(place) ?? new Map<number, Window>();
      unknown.set(place, windows.set(start, window));
    }
    for (const [place, windows] of unknown) {
      const lying = await this.#whereIs(place, [...windows.keys()], signal);
      signal.throwIfAborted();
      for (const [start, window] of windows) {
        const key = windowKey(window);
        if (this.#located.has(key)) continue;
        this.#located.set(key, this.#destinations.indexOf(place, start, window.first, lying.get(start)));
      }
    }
    this.#destinations.saveExceptions();
  }

  async #whereIs(
    place: Place,
    windows: readonly number[],
    signal: AbortSignal,
  ): Promise<Map<number, LiveIndex>> {
    const { clock, url } = this.#o;
    for (;;) {
      signal.throwIfAborted();
      try {
        const found = await this.#indices.whereIs(place, windows);
        this.#trouble.over(windows);
        return found;
      } catch (error) {
        if (!signal.aborted) this.#trouble.waits(windows, explained(error, url).message);
        await clock.sleep(PROBE_AGAIN_MS, signal);
      }
    }
  }

  #placed({ results }: Batch): Entry[] {
    let last: Window | undefined;
    let index: LiveIndex | undefined;
    return results.map(({ window, number, action, id, version, document }) => {
      if (window !== last || !index) index = this.#indexOf(window);
      last = window;
      const { name, address, target } = index;
      return { number, action, id, version, document, index: name, address, target };
    });
  }

  #indexOf(window: Window): LiveIndex {
    const { place, start, first } = window;
    if (this.#destinations.isSimple(place)) return place.write;
    return this.#located.get(windowKey(window)) ?? this.#destinations.indexOf(place, start, first);
  }

  async #prepareWhenThere(): Promise<void> {
    const { clock } = this.#o;
    const { signal } = this.#going;
    this.#preparing = true;
    try {
      for (;;) {
        // Whoever deleted an index may still be changing things.
        await clock.sleep(PROBE_AGAIN_MS, signal);
        if (signal.aborted) return;
        try {
          await this.#prepare();
          break;
        } catch (error) {
          // Rights, blocks, limits, and what answers in the server's place can change during a run; owner and mapping cannot.
          if (!(error instanceof TaxiflowError) || FINAL.has(error.code)) throw error;
          this.#trouble.waits(this, error.message);
        }
      }
      this.#preparing = false;
      this.#bulk.resume();
      this.#trouble.over(this);
      this.wake();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#preparing = false;
    }
  }

  /** Gives every view its place, and moves the cursor back to the first missing result. */
  async #prepare(): Promise<void> {
    const { signal } = this.#going;
    // The cursor moves back before a new index is created, so a crash in between loses nothing.
    const places = await this.#indices.prepare(() => this.#startOver(1));
    if (signal.aborted) return;
    for (const place of places) this.#renew(place);
    this.#destinations.save();
    for (const place of places) await this.#refill(place);
    if (signal.aborted) return;
    this.#counted = true;
    this.#located.clear();
    this.#looked = this.#o.clock.now();
    this.#places = new Map(places.map((place) => [place.view.name, place]));
  }

  #renew(place: Place): void {
    const { onNote = () => {} } = this.#o;
    const { again, lost, removed } = this.#destinations.renew(place, this.#sent, this.#delivered);
    for (const index of removed)
      onNote(`index ${index} was removed; its results are not sent again (--resend sends all again)`);
    if (again === undefined || again >= this.#delivered) return;
    onNote(
      `${lost.join(' and ')} was recreated, restored or removed from ${place.name}; its results are sent again`,
    );
    this.#startOver(again);
  }

  /** Sends results again from the first window on that lacks a settled document (O7). */
  async #refill(place: Place): Promise<void> {
    const { onNote = () => {} } = this.#o;
    if (this.#delivered === 1 || this.#counted) return;
    const first = await this.#firstLost(place);
    if (this.#going.signal.aborted || first === undefined || first >= this.#delivered) return;
    const again = (this.#delivered - first).toLocaleString('en-US');
    onNote(`${place.name} lacks documents that were delivered; ${again} results are sent again`);
    this.#startOver(first);
  }

  async #firstLost(place: Place): Promise<number | undefined> {
    const { outbox, clock, url } = this.#o;
    const { name: view } = place.view;
    const { signal } = this.#going;
    const settled = {
      outbox,
      sink: this.name,
      view,
      before: this.#delivered,
      idOf: this.#ids.get(view)!,
      isRemoved: (first: number) => this.#destinations.isRemoved(view, first, first),
    };
    const server = {
      countIn: (windows: readonly number[]) => this.#indices.countIn(place, windows),
      holds: (ids: readonly string[]) => this.#indices.holds(place, ids),
    };
    for (const since = clock.now(); ; await clock.sleep(SHOWN_AGAIN_MS, signal)) {
      await this.#indices.refresh(place);
      const first = await firstLost(settled, server);
      const isShown = !isServerless(url) || clock.now() - since > SHOWN_MS;
      if (signal.aborted || first === undefined || isShown) return first;
    }
  }
}

/** Resolves like `work`, or to undefined as soon as `stop` aborts. */
function unless<T>(stop: AbortSignal, work: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stopped = () => resolve(undefined);
    if (stop.aborted) stopped();
    stop.addEventListener('abort', stopped, { once: true });
    work.then(resolve, reject).finally(() => stop.removeEventListener('abort', stopped));
  });
}

function goneWords(name: string): string {
  return `${name} is gone; it is created again and filled from the first result`;
}

function windowKey({ place, start }: Window): string {
  return `${start} ${place.view.name}`;
}

function toldIn({ position }: Cursor): number {
  return (JSON.parse(position) as Position).told;
}
