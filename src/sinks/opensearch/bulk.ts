/** Sends bulk requests until every document is settled: the server has stored it, or has refused it for good. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Client } from '@opensearch-project/opensearch';
import type { Clock } from '../../clock.ts';
import { type Backoff, waitAfter } from '../../net/retry.ts';
import { explained, reasonOf as requestReason, statusOf } from '../../opensearch/errors.ts';
import {
  adviceOn,
  classify,
  classifyResponse,
  itemsIn,
  mayBeDeleted,
  type ReplyItem,
  reasonOf,
  retryAfter,
  type Sent,
} from './replies.ts';
import type { Trouble } from './trouble.ts';

/** A result on its way to the server. */
export interface Entry extends Sent {
  readonly number: number;
  /** The first fields of its action, with the address, as JSON. */
  readonly target: string;
  readonly version: bigint;
  /** JSON; empty for a deletion. */
  readonly document: string;
}

export interface Bulk {
  readonly entries: readonly Entry[];
  /** None of it is sent before the caller is first. */
  readonly inOrder: boolean;
}

export interface Refusal {
  /** The number of the result. */
  readonly number: number;
  readonly index: string;
  readonly id: string;
  readonly document: string;
  readonly reason: 'opensearch-rejected' | 'opensearch-too-large';
  /** The server's own words. */
  readonly detail: string;
}

/** An index was deleted, with all it held. */
export class IndexGone extends Error {
  readonly index: string;

  constructor(index: string) {
    super(`index ${index} is gone`);
    this.index = index;
  }
}

export interface BulkOptions {
  readonly client: Client;
  readonly url: string;
  readonly clock: Clock;
  readonly trouble: Trouble;
}

const BYTES = 4_000_000;
const LEAST_BYTES = 10_000;
/** Waits are never near zero, so that a server in trouble always gets a pause. */
const BACKOFF: Backoff = { firstMs: 100, longestMs: 10_000, jitter: 'half' };
/** The shortest wait for what a person has to repair. */
const BLOCKED_MS = 1_000;
/** The fastest level does most of the work, since documents are text. */
const GZIP = { level: 1, chunkSize: 65_536 };

/** The wait between tries while the server remembers the deletion of a document. */
const FORGETS_MS = 5_000;
const DELETED =
  'documents were deleted by another hand, which the server remembers for a while (index.gc_deletes, a minute by default)';
/** Statuses of a request that the server won't take. */
const SILENT = [400, 403, 404, 405];

const PACKED = { 'content-encoding': 'gzip', 'content-type': 'application/x-ndjson' };
/** With this timeout the server says what it waits for before our own timeout ends the request. */
const QUERY = {
  filter_path: 'errors,items.*._index,items.*._id,items.*.status,items.*.error',
  timeout: '15s',
};

const pack = promisify(gzip);

type Answer =
  | { readonly kind: 'items'; readonly items: readonly ReplyItem[] }
  | { readonly kind: 'halve'; readonly tooLarge: boolean; readonly why: string }
  | {
      readonly kind: 'again';
      readonly blocked: boolean;
      readonly wait: number;
      readonly why: string;
      readonly refused: readonly Refusal[];
    };

export class BulkSender {
  /** Documents settled so far. */
  settled = 0;
  /** Documents sent again so far. */
  retries = 0;
  /** The most bytes of a request; less after the server has refused one as too large. */
  bytes = BYTES;
  /** The end of the pause that the server asked for, epoch ms. */
  askedToWait = 0;
  readonly #o: BulkOptions;
  #slow = false;
  /** Resolves the callers that wait for their turn. */
  readonly #waiting: (() => void)[] = [];

  constructor(options: BulkOptions) {
    this.#o = options;
  }

  /**
   * Resolves to the refusals once all documents are settled. While the server turns requests away, only the caller that is
   * `first` goes on sending. When the signal aborts, the request under way is awaited and the signal's reason is thrown.
   * Throws `IndexGone`.
   */
  async settle(bulk: Bulk, first: () => boolean, signal: AbortSignal): Promise<Refusal[]> {
    const { clock, trouble } = this.#o;
    const refused: Refusal[] = [];
    let left = bulk;
    for (let failures = 0; ; ) {
      while ((this.#slow || bulk.inOrder) && !first() && !signal.aborted)
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      signal.throwIfAborted();
      const answer = await this.#send(left, signal);
      if (answer.kind === 'halve') {
        trouble.over(bulk);
        return [...refused, ...(await this.#inHalves(left, first, signal, answer))];
      }
      const outcome =
        answer.kind === 'items'
          ? sortedOut(left, answer.items, await this.#deleted(left, answer.items))
          : { ...answer, again: left };
      for (const refusal of outcome.refused) refused.push(refusal);
      const settled = left.entries.length - outcome.again.entries.length;
      this.settled += settled;
      if (outcome.again.entries.length === 0) {
        this.#slow = false;
        this.turn();
        trouble.over(bulk);
        return refused;
      }
      failures = settled > 0 ? 1 : failures + 1;
      left = outcome.again;
      this.retries += left.entries.length;
      this.#slow = true;
      if (!signal.aborted) trouble.waits(bulk, outcome.why);
      const { wait } = outcome;
      if (wait > 0) this.askedToWait = clock.now() + wait;
      const pause = Math.max(wait, waitAfter(failures, BACKOFF), outcome.blocked ? BLOCKED_MS : 0);
      await clock.sleep(pause, signal);
    }
  }

  /** Those in conflict with nothing but the deletion of their document by another hand. */
  async #deleted({ entries }: Bulk, items: readonly ReplyItem[]): Promise<ReadonlySet<Entry>> {
    const doubtful = entries.filter(
      ({ action, version }, i) => action === 'index' && mayBeDeleted(items[i]!, version),
    );
    if (doubtful.length === 0) return new Set();
    const docs = doubtful.map(({ index, id, target }) => {
      const { routing } = JSON.parse(`{${target}"_id":""}`) as { routing?: string };
      return { _index: index, _id: id, _source: false, ...(routing === undefined ? {} : { routing }) };
    });
    try {
      const { body } = await this.#o.client.transport.request({
        method: 'POST',
        path: '/_mget',
        body: { docs },
      });
      const found = (body as { docs?: readonly { _id?: unknown; found?: unknown }[] } | null)?.docs;
      return new Set(doubtful.filter(({ id }, i) => found?.[i]?._id !== id || found[i]?.found !== true));
    } catch (error) {
      // What may not be asked is believed to be there.
      return new Set(SILENT.includes(statusOf(error) ?? 0) ? [] : doubtful);
    }
  }

  /** Wakes the callers that wait for their turn, since another one is first or a signal has aborted. */
  turn(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** All callers send again. */
  resume(): void {
    this.#slow = false;
    this.turn();
  }

  async #inHalves(
    bulk: Bulk,
    first: () => boolean,
    signal: AbortSignal,
    { tooLarge, why }: { readonly tooLarge: boolean; readonly why: string },
  ): Promise<Refusal[]> {
    const { entries } = bulk;
    if (entries.length === 1) {
      this.settled++;
      return [refusal(entries[0]!, tooLarge ? 'opensearch-too-large' : 'opensearch-rejected', why)];
    }
    if (tooLarge) this.bytes = Math.max(LEAST_BYTES, Math.min(this.bytes, textOf(entries).length / 2));
    const half = entries.length >> 1;
    return [
      ...(await this.settle({ ...bulk, entries: entries.slice(0, half) }, first, signal)),
      ...(await this.settle({ ...bulk, entries: entries.slice(half) }, first, signal)),
    ];
  }

  async #send({ entries }: Bulk, signal: AbortSignal): Promise<Answer> {
    const { client, url, clock } = this.#o;
    const body = await pack(textOf(entries), GZIP);
    signal.throwIfAborted();
    try {
      const { body: reply } = await client.transport.request(
        { method: 'POST', path: '/_bulk', querystring: QUERY, bulkBody: body },
        { headers: PACKED },
      );
      return { kind: 'items', items: itemsIn(reply, entries) };
    } catch (error) {
      const status = statusOf(error);
      const { headers, body } =
        (error as { meta?: { headers?: Record<string, unknown>; body?: unknown } }).meta ?? {};
      const verdict = status === undefined ? 'retry' : classifyResponse(status, body);
      const reason = requestReason(error);
      if (verdict === 'halve') return { kind: 'halve', tooLarge: status === 413, why: reason };
      const { message, hint } = explained(error, url);
      const blocked = verdict === 'blocked';
      return {
        kind: 'again',
        blocked,
        wait: retryAfter(headers?.['retry-after'], clock.now()),
        why: blocked ? `${message} (${adviceOn(reason) ?? hint})` : message,
        refused: [],
      };
    }
  }
}

/** The documents that are refused for good, those to send again, and why. Throws `IndexGone`. */
function sortedOut(bulk: Bulk, items: readonly ReplyItem[], deleted: ReadonlySet<Entry>) {
  const refused: Refusal[] = [];
  const again = new Set<Entry>();
  let why = '';
  let blocked = false;
  for (const [i, reply] of items.entries()) {
    const verdict = classify(reply);
    const entry = bulk.entries[i]!;
    if (verdict === 'done' && !deleted.has(entry)) continue;
    why = deleted.has(entry) ? DELETED : reasonOf(reply);
    if (verdict === 'gone') throw new IndexGone(entry.index);
    if (verdict === 'dead') refused.push(refusal(entry, 'opensearch-rejected', why));
    else again.add(entry);
    blocked ||= verdict === 'blocked';
  }
  const entries = again.size === 0 ? [] : bulk.inOrder ? withDeletions(again, bulk.entries) : [...again];
  return { refused, again: { ...bulk, entries }, why, blocked, wait: deleted.size > 0 ? FORGETS_MS : 0 };
}

/** The lines of a request: for each entry an action, and the document unless it is a deletion. */
function textOf(entries: readonly Entry[]): string {
  let text = '';
  for (const { action, target, id, version, document } of entries)
    text += `{"${action}":{${target}"_id":${JSON.stringify(id)},"version":${version},"version_type":"external_gte"}}\n${document === '' ? '' : `${document}\n`}`;
  return text;
}

/**
 * The results to send again, each with the later deletions of its document, even if those are settled: the server may have
 * forgotten a deletion by then, and would store the document.
 */
function withDeletions(again: ReadonlySet<Entry>, entries: readonly Entry[]): Entry[] {
  const documents = new Set<string>();
  return entries.filter((entry) => {
    const document = `${entry.index} ${entry.id}`;
    if (again.has(entry)) documents.add(document);
    return again.has(entry) || (entry.action === 'delete' && documents.has(document));
  });
}

function refusal({ number, index, id, document }: Entry, reason: Refusal['reason'], detail: string): Refusal {
  return { number, index, id, document, reason, detail };
}
