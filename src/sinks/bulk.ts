/** Bulk requests until every document is settled: the server has it, or has refused it for good. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Client } from '@opensearch-project/opensearch';
import type { Clock } from '../clock.ts';
import { explained, reasonOf as requestReason, statusOf } from '../opensearch/connection.ts';
import {
  adviceOn,
  classify,
  classifyResponse,
  type ReplyItem,
  reasonOf,
  retryAfter,
} from './opensearch-replies.ts';

/** Results as they go over the wire. */
export interface Bulk {
  /** Of each result. */
  readonly numbers: readonly number[];
  /** The action and the document of each, a line each; a deletion has no document. */
  readonly text: string;
  /** Nothing of it goes out before the caller is first. */
  readonly inOrder: boolean;
}

export interface Refusal {
  /** Of the result. */
  readonly number: number;
  readonly index: string;
  readonly id: string;
  readonly document: string;
  readonly reason: 'opensearch-rejected' | 'opensearch-too-large';
  /** The server's own words. */
  readonly detail: string;
}

/** An index is not there any more, nor what it held. */
export class IndexGone extends Error {
  constructor(index: string) {
    super(`${index} is gone; it is made anew and filled from the first result`);
  }
}

export interface BulkOptions {
  readonly client: Client;
  readonly url: string;
  readonly clock: Clock;
  /** Told when something keeps documents from going out for more than a moment, and when it is over (undefined). */
  readonly onTrouble: (trouble: string | undefined) => void;
}

/** How the action begins that has no document. */
export const DELETION = '{"delete":';
const BYTES = 4_000_000;
const LEAST_BYTES = 10_000;
const BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 10_000;
/** What somebody else has to mend is not asked more often than this. */
const BLOCKED_MS = 1_000;
/** A queue that is full for a moment is nobody's business. */
const ATTEMPTS_BEFORE_TROUBLE = 4;
/** What is sent is text: the fastest level does most of it. */
const GZIP = { level: 1, chunkSize: 65_536 };

const PACKED = { 'content-encoding': 'gzip', 'content-type': 'application/x-ndjson' };
/** The server says what it waits for before we think that it is not there. */
const QUERY = { filter_path: 'errors,items.*.status,items.*.error', timeout: '15s' };

const pack = promisify(gzip);

type Answer =
  | { readonly kind: 'items'; readonly items: readonly ReplyItem[] }
  | { readonly kind: 'halve'; readonly tooLarge: boolean; readonly why: string }
  | { readonly kind: 'again'; readonly blocked: boolean; readonly wait: number; readonly why: string };

export class BulkSender {
  /** Documents that the server has taken or refused so far. */
  settled = 0;
  /** Documents sent again so far. */
  retries = 0;
  trouble: string | undefined;
  /** What fits into a request; less after the server said that one was too large. */
  bytes = BYTES;
  readonly #o: BulkOptions;
  #slow = false;
  /** Those that wait for a turn. */
  readonly #waiting: (() => void)[] = [];

  constructor(options: BulkOptions) {
    this.#o = options;
  }

  /**
   * Resolves to what was refused when all are settled. While the server turns things away, only the caller that is
   * `first` goes on knocking. When the signal aborts, a request under way is awaited, and the signal's reason thrown.
   * Throws `IndexGone`.
   */
  async settle(bulk: Bulk, first: () => boolean, signal: AbortSignal): Promise<Refusal[]> {
    const { clock } = this.#o;
    const refused: Refusal[] = [];
    let left = bulk;
    for (let attempt = 0; ; ) {
      while ((this.#slow || bulk.inOrder) && !first() && !signal.aborted)
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      signal.throwIfAborted();
      const answer = await this.#send(left, signal);
      if (answer.kind === 'halve')
        return [...refused, ...(await this.#inHalves(left, first, signal, answer))];
      let { blocked, wait, why } = answer.kind === 'again' ? answer : { blocked: false, wait: 0, why: '' };
      if (answer.kind === 'items') {
        const again: number[] = [];
        let entries: string[][] | undefined;
        for (const [i, reply] of answer.items.entries()) {
          const verdict = classify(reply);
          if (verdict === 'done') continue;
          why = reasonOf(reply);
          entries ??= entriesOf(left.text);
          if (verdict === 'gone') throw new IndexGone(targetOf(entries[i]![0]!)._index);
          if (verdict === 'dead')
            refused.push(refusal(left.numbers[i]!, entries[i]!, 'opensearch-rejected', why));
          else again.push(i);
          blocked ||= verdict === 'blocked';
        }
        const next = left.inOrder && again.length > 0 ? withDeletions(again, entries!) : again;
        const settled = left.numbers.length - next.length;
        this.settled += settled;
        if (next.length === 0) {
          this.over();
          return refused;
        }
        if (settled > 0) attempt = 0;
        left = pick(left, next);
      }
      this.retries += left.numbers.length;
      this.#slow = true;
      if (blocked || attempt >= ATTEMPTS_BEFORE_TROUBLE) this.inTrouble(why);
      await clock.sleep(Math.max(wait, backoff(attempt++), blocked ? BLOCKED_MS : 0), signal);
    }
  }

  /** Lets those look again who wait for a turn: another one is first, or a signal has aborted. */
  turn(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Says why nothing goes out. */
  inTrouble(why: string): void {
    if (this.trouble === why) return;
    this.trouble = why;
    this.#o.onTrouble(why);
  }

  async #inHalves(
    bulk: Bulk,
    first: () => boolean,
    signal: AbortSignal,
    { tooLarge, why }: { readonly tooLarge: boolean; readonly why: string },
  ): Promise<Refusal[]> {
    const count = bulk.numbers.length;
    if (count === 1) {
      this.settled++;
      const reason = tooLarge ? 'opensearch-too-large' : 'opensearch-rejected';
      return [refusal(bulk.numbers[0]!, entriesOf(bulk.text)[0]!, reason, why)];
    }
    if (tooLarge) this.bytes = Math.max(LEAST_BYTES, Math.min(this.bytes, bulk.text.length / 2));
    const all = Array.from({ length: count }, (_, i) => i);
    const half = count >> 1;
    return [
      ...(await this.settle(pick(bulk, all.slice(0, half)), first, signal)),
      ...(await this.settle(pick(bulk, all.slice(half)), first, signal)),
    ];
  }

  async #send({ numbers, text }: Bulk, signal: AbortSignal): Promise<Answer> {
    const { client, url, clock } = this.#o;
    const body = await pack(text, GZIP);
    signal.throwIfAborted();
    try {
      const { body: reply } = await client.transport.request(
        { method: 'POST', path: '/_bulk', querystring: QUERY, bulkBody: body },
        { headers: PACKED },
      );
      return { kind: 'items', items: repliesIn(reply, numbers.length) };
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
      };
    }
  }

  /** Nothing keeps documents from going out. */
  over(): void {
    this.#slow = false;
    this.turn();
    if (this.trouble === undefined) return;
    this.trouble = undefined;
    this.#o.onTrouble(undefined);
  }
}

function pick({ numbers, text, inOrder }: Bulk, which: readonly number[]): Bulk {
  const entries = entriesOf(text);
  return {
    numbers: which.map((i) => numbers[i]!),
    text: which.map((i) => `${entries[i]!.join('\n')}\n`).join(''),
    inOrder,
  };
}

/**
 * With a result that is sent again go the deletions of its document that come after it, though they are settled: the
 * server may have forgotten them by then, and would take it.
 */
function withDeletions(again: readonly number[], entries: readonly string[][]): number[] {
  const late = new Set(again);
  const documents = new Set<string>();
  return entries.flatMap(([action = ''], i) => {
    const { _index, _id } = targetOf(action);
    const document = `${_index} ${_id}`;
    if (late.has(i)) documents.add(document);
    return late.has(i) || (action.startsWith(DELETION) && documents.has(document)) ? [i] : [];
  });
}

/** The lines of each result. */
function entriesOf(text: string): string[][] {
  const entries: string[][] = [];
  const lines = text.split('\n');
  for (let i = 0; i < lines.length - 1; ) {
    const length = lines[i]!.startsWith(DELETION) ? 1 : 2;
    entries.push(lines.slice(i, i + length));
    i += length;
  }
  return entries;
}

function refusal(
  number: number,
  [action = '', document = '']: readonly string[],
  reason: Refusal['reason'],
  detail: string,
): Refusal {
  const { _index, _id } = targetOf(action);
  return { number, index: _index, id: _id, document, reason, detail };
}

function targetOf(action: string): { readonly _index: string; readonly _id: string } {
  return Object.values(JSON.parse(action) as Record<string, { _index: string; _id: string }>)[0]!;
}

/** What became of each of `sent` documents; none are listed when all went well. Throws unless it is an answer to them all. */
function repliesIn(body: unknown, sent: number): ReplyItem[] {
  const { errors, items } = (body ?? {}) as { errors?: unknown; items?: Record<string, ReplyItem>[] };
  if (errors === false) return [];
  const replies = errors === true ? (items ?? []).map((reply) => Object.values(reply)[0]) : [];
  if (replies.length === sent && replies.every((reply) => typeof reply?.status === 'number'))
    return replies as ReplyItem[];
  throw new Error(`the answer is not about ${sent} documents, as it should be`);
}

/** Jitter over the upper half, so that it is never nothing. */
function backoff(attempt: number): number {
  const most = Math.min(LONGEST_BACKOFF_MS, BACKOFF_MS * 2 ** attempt);
  return most / 2 + (Math.random() * most) / 2;
}
