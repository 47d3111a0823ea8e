/** Bulk requests until every document is settled: the server has it, or has refused it for good. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Client } from '@opensearch-project/opensearch';
import type { Clock } from '../clock.ts';
import { explained, reasonOf as requestReason, statusOf } from '../opensearch/connection.ts';
import { classify, classifyResponse, type ReplyItem, reasonOf, retryAfter } from './opensearch-replies.ts';

export interface BulkItem {
  /** Of the result. */
  readonly number: number;
  readonly index: string;
  readonly id: string;
  readonly document: string;
  /** Action and document, as they go over the wire. */
  readonly lines: string;
}

export interface Refusal {
  readonly item: BulkItem;
  readonly reason: 'opensearch-rejected' | 'opensearch-too-large';
  /** The server's own words. */
  readonly detail: string;
}

export interface BulkOptions {
  readonly client: Client;
  readonly url: string;
  readonly clock: Clock;
  /** Ends what waits; a request under way is awaited. */
  readonly signal: AbortSignal;
  /** Told when something keeps documents from going out for more than a moment, and when it is over (undefined). */
  readonly onTrouble: (trouble: string | undefined) => void;
}

const BYTES = 4_000_000;
const LEAST_BYTES = 10_000;
const BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 10_000;
/** What somebody else has to mend is not asked more often than this. */
const BLOCKED_MS = 1_000;
/** A queue that is full for a moment is nobody's business. */
const ATTEMPTS_BEFORE_TROUBLE = 4;
/** What is sent is text: the fastest level does most of it. */
const GZIP = { level: 1 };

const PACKED = { 'content-encoding': 'gzip', 'content-type': 'application/x-ndjson' };
const ONLY_WHAT_FAILED = { filter_path: 'errors,items.*.status,items.*.error' };

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
   * Resolves to what was refused when all items are settled. While the server turns things away, only the caller that
   * is `first` goes on knocking. Throws the signal's reason when that aborts.
   */
  async settle(items: readonly BulkItem[], first: () => boolean): Promise<Refusal[]> {
    const { clock, signal } = this.#o;
    const refused: Refusal[] = [];
    let left = items;
    for (let attempt = 0; left.length > 0; ) {
      while (this.#slow && !first() && !signal.aborted)
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      signal.throwIfAborted();
      const answer = await this.#send(left);
      if (answer.kind === 'halve') return [...refused, ...(await this.#inHalves(left, first, answer))];
      let { blocked, wait, why } = answer.kind === 'again' ? answer : { blocked: false, wait: 0, why: '' };
      if (answer.kind === 'items') {
        const again: BulkItem[] = [];
        for (const [i, item] of left.entries()) {
          const reply = answer.items[i] ?? { status: 200 };
          const verdict = classify(reply);
          if (verdict === 'dead')
            refused.push({ item, reason: 'opensearch-rejected', detail: reasonOf(reply) });
          if (verdict !== 'retry' && verdict !== 'blocked') continue;
          again.push(item);
          blocked ||= verdict === 'blocked';
          why = reasonOf(reply);
        }
        this.settled += left.length - again.length;
        if (again.length === 0) {
          this.#over();
          return refused;
        }
        if (again.length < left.length) attempt = 0;
        left = again;
      }
      this.retries += left.length;
      this.#slow = true;
      if (blocked || attempt >= ATTEMPTS_BEFORE_TROUBLE) this.inTrouble(why);
      await clock.sleep(Math.max(wait, backoff(attempt++), blocked ? BLOCKED_MS : 0), signal);
    }
    return refused;
  }

  /** Lets those look again who wait for a turn: another one is first, or the signal has aborted. */
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
    items: readonly BulkItem[],
    first: () => boolean,
    { tooLarge, why }: { readonly tooLarge: boolean; readonly why: string },
  ): Promise<Refusal[]> {
    const reason = tooLarge ? 'opensearch-too-large' : 'opensearch-rejected';
    if (items.length === 1) {
      this.settled++;
      return [{ item: items[0]!, reason, detail: why }];
    }
    if (tooLarge) {
      const bytes = items.reduce((sum, { lines }) => sum + lines.length, 0);
      this.bytes = Math.max(LEAST_BYTES, Math.min(this.bytes, bytes / 2));
    }
    const half = items.length >> 1;
    return [
      ...(await this.settle(items.slice(0, half), first)),
      ...(await this.settle(items.slice(half), first)),
    ];
  }

  async #send(items: readonly BulkItem[]): Promise<Answer> {
    const { client, url, clock } = this.#o;
    const body = await pack(items.map(({ lines }) => lines).join(''), GZIP);
    try {
      const { body: reply } = await client.transport.request(
        { method: 'POST', path: '/_bulk', querystring: ONLY_WHAT_FAILED, bulkBody: body },
        { headers: PACKED },
      );
      return { kind: 'items', items: repliesIn(reply, items.length) };
    } catch (error) {
      const status = statusOf(error);
      const verdict = status === undefined ? 'retry' : classifyResponse(status);
      if (verdict === 'halve') return { kind: 'halve', tooLarge: status === 413, why: requestReason(error) };
      const headers = (error as { meta?: { headers?: Record<string, unknown> } }).meta?.headers;
      return {
        kind: 'again',
        blocked: verdict === 'blocked',
        wait: retryAfter(headers?.['retry-after'], clock.now()),
        why: explained(error, url).message,
      };
    }
  }

  #over(): void {
    this.#slow = false;
    this.turn();
    if (this.trouble === undefined) return;
    this.trouble = undefined;
    this.#o.onTrouble(undefined);
  }
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
