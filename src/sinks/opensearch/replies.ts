/** The meaning of OpenSearch's answers to bulk requests, for each item and as a whole. */
import { adviceOnBlock } from '../../opensearch/errors.ts';

/**
 * What becomes of a document: it is stored (`done`), is sent again, is sent again once a person has repaired something
 * (`blocked`), has lost its index (`gone`), or will never be stored (`dead`).
 */
export type Verdict = 'done' | 'retry' | 'blocked' | 'gone' | 'dead';

export interface ReplyItem {
  readonly status: number;
  readonly error?: ReplyError;
}

interface ReplyError {
  readonly type?: string;
  readonly reason?: string;
  readonly caused_by?: ReplyError;
}

/** A document as it was sent. */
export interface Sent {
  readonly action: 'index' | 'delete';
  /** The index it was sent to; `address` is the name in the request, such as an alias. */
  readonly index: string;
  readonly address: string;
  readonly id: string;
}

/**
 * The reply to each document, in the order they were sent. Throws unless the answer is about exactly these documents (count,
 * order, indices, ids) and each status is consistent with the rest.
 */
export function itemsIn(body: unknown, sent: readonly Sent[]): ReplyItem[] {
  if (typeof body !== 'object' || body === null) throw unusable('no JSON object');
  const { errors, items } = body as { errors?: unknown; items?: unknown };
  if (typeof errors !== 'boolean' || !Array.isArray(items)) throw unusable('without "errors" or "items"');
  if (items.length !== sent.length)
    throw unusable(`about ${items.length} documents, though ${sent.length} were sent`);
  let failed = false;
  const replies = sent.map((document, i) => {
    const reply = itemOf(items[i], document);
    failed ||= reply.error !== undefined;
    return reply;
  });
  if (failed !== errors) throw unusable(`contradictory: "errors" is ${errors}`);
  return replies;
}

function itemOf(item: unknown, { action, index, address, id }: Sent): ReplyItem {
  const reply = (item as Record<string, unknown> | null)?.[action] as
    | (ReplyItem & { readonly _index?: unknown; readonly _id?: unknown })
    | undefined;
  if (typeof reply !== 'object' || reply === null || Object.keys(item as object).length !== 1)
    throw unusable(`without the ${action} of ${id}`);
  const { status, error, _index, _id } = reply;
  if (_id !== id) throw unusable(`about ${_id} in place of ${id}`);
  // If the name belongs to no index, the error repeats the name.
  if (_index !== index && !(error !== undefined && _index === address))
    throw unusable(`about index ${_index} in place of ${index}`);
  const makesSense =
    error === undefined
      ? status === 200 || status === 201 || (status === 404 && action === 'delete')
      : Number.isInteger(status) && status >= 400 && status < 600 && typeof error?.type === 'string';
  if (!makesSense) throw unusable(`with the status ${status} for ${id}`);
  return reply;
}

function unusable(what: string): Error {
  return new Error(`the answer is ${what}`);
}

/**
 * Whether a document may have been deleted by another hand: the server gives such a deletion the version behind that of the document, and
 * remembers it for a while, `index.gc_deletes`. A later result of the document may have that version too.
 */
export function mayBeDeleted({ error }: ReplyItem, version: bigint): boolean {
  const [, current] = /current version \[(\d+)\]/.exec(error?.reason ?? '') ?? [];
  return error?.type === CONFLICT && current !== undefined && BigInt(current) === version + 1n;
}

const CONFLICT = 'version_conflict_engine_exception';

export function classify({ status, error }: ReplyItem): Verdict {
  // 404 without an error: the document to delete does not exist.
  if (status < 300 || (status === 404 && error === undefined)) return 'done';
  // Only taxiflow writes these documents, so a conflict means that a later version of this result is stored (or see above).
  if (error?.type === CONFLICT) return 'done';
  // A full disk (flood stage) also answers 429, but does not pass by itself.
  if (error?.type === 'cluster_block_exception' || error?.type === 'index_closed_exception') return 'blocked';
  if (error?.type === 'index_not_found_exception') return 'gone';
  if (status === 429 || status >= 500) return 'retry';
  if (status === 401 || status === 403 || status === 404) return 'blocked';
  // A fault of the index, reported for each document.
  if (adviceOn(error?.reason)) return 'blocked';
  return 'dead';
}

/** What to do about a request: read the items, send it again, send it in halves, or send it again once a person has repaired something. */
export type ResponseVerdict = 'items' | 'retry' | 'halve' | 'blocked';

export function classifyResponse(status: number, body: unknown): ResponseVerdict {
  if (status < 300) return 'items';
  if (status === 408 || status === 429 || status >= 500) return 'retry';
  if (status === 413) return 'halve';
  if (status !== 400) return 'blocked';
  // Halves find the one document that spoils the request. They don't help if a proxy refuses it (no type), or if the fault
  // is the same for all documents.
  const { type, reason } = (body as { error?: ReplyError } | undefined)?.error ?? {};
  return typeof type === 'string' && adviceOn(reason) === undefined ? 'halve' : 'blocked';
}

/** A server that recovers earlier than it announced is used again within this time. */
const LONGEST_WAIT_MS = 60_000;

/** The wait that the server asks for, ms, at most a minute. `Retry-After` is in seconds or a date. */
export function retryAfter(header: unknown, now: number): number {
  if (typeof header !== 'string') return 0;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1_000 : Date.parse(header) - now;
  return Number.isFinite(ms) ? Math.min(LONGEST_WAIT_MS, Math.max(0, ms)) : 0;
}

/** Faults of an index or a server by the server's words, and what to do about each. */
const FAULTS: readonly (readonly [RegExp, string])[] = [
  [
    /^no write index is defined for alias/,
    'run "taxiflow es-setup", or set is_write_index of one of its indices',
  ],
  [
    /^Document ID is not supported in create\/index operation request/,
    'only serverless collections of the type "search" accept document ids',
  ],
  [
    /^pipeline with id .* does not exist/,
    'check the settings index.default_pipeline and index.final_pipeline',
  ],
  [
    /^explicit index in bulk is not allowed/,
    'set rest.action.multi.allow_explicit_index to true; on Amazon it is an advanced option of the domain',
  ],
  [
    /^Action\/metadata line \[\d+\] contains an unknown parameter/,
    'the server must support ids, versions and require_alias in bulk requests',
  ],
];

/** What to do about a fault of the server or the index; undefined when the words are about a document. */
export function adviceOn(reason = ''): string | undefined {
  return FAULTS.find(([fault]) => fault.test(reason))?.[1];
}

/** An item's error in words, with advice if there is any. */
export function reasonOf({ status, error }: ReplyItem): string {
  const deepest = (e: ReplyError): string =>
    e.caused_by ? `${e.reason ?? e.type}: ${deepest(e.caused_by)}` : (e.reason ?? e.type ?? '');
  const words = error ? deepest(error).replaceAll(/\s+/g, ' ') : `status ${status}`;
  const advice = adviceOnBlock(words) ?? adviceOn(words);
  return advice ? `${words} (${advice})` : words;
}
