/** What OpenSearch's answers to bulk requests mean, item by item and as a whole. */
import { adviceOnBlock } from '../../opensearch/connection.ts';

/**
 * What becomes of a document: it is there · send it again · send it again when somebody has helped · its index is not
 * there · it never will be.
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
  /** The index it was sent to, and the name it was sent under. */
  readonly index: string;
  readonly address: string;
  readonly id: string;
}

/**
 * What became of each document that was sent, in their order. Throws unless the answer is about exactly these: their
 * count, order, indices and ids, and a status for each that makes sense with the rest.
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
  // A name that stands for no index is told as it was asked for.
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

export function classify({ status, error }: ReplyItem): Verdict {
  // 404 without an error: what was to be deleted is not there.
  if (status < 300 || (status === 404 && error === undefined)) return 'done';
  // Ours are the only conflicts of versions there can be: a later version of this result is there already.
  if (error?.type === 'version_conflict_engine_exception') return 'done';
  // A flood stage also says 429, and does not pass by itself.
  if (error?.type === 'cluster_block_exception' || error?.type === 'index_closed_exception') return 'blocked';
  if (error?.type === 'index_not_found_exception') return 'gone';
  if (status === 429 || status >= 500) return 'retry';
  if (status === 401 || status === 403 || status === 404) return 'blocked';
  // Wrong with the index, though it is said of each document.
  if (adviceOn(error?.reason)) return 'blocked';
  return 'dead';
}

/** What becomes of a request that was answered as a whole: its items were looked at, or it is to be sent again, in halves, or when somebody has helped. */
export type ResponseVerdict = 'items' | 'retry' | 'halve' | 'blocked';

export function classifyResponse(status: number, body: unknown): ResponseVerdict {
  if (status < 300) return 'items';
  if (status === 408 || status === 429 || status >= 500) return 'retry';
  if (status === 413) return 'halve';
  if (status !== 400) return 'blocked';
  // One of its documents spoils it, and halves find which; unless somebody on the way says so, who knows no documents,
  // or all of them are alike in what is wrong.
  const { type, reason } = (body as { error?: ReplyError } | undefined)?.error ?? {};
  return typeof type === 'string' && adviceOn(reason) === undefined ? 'halve' : 'blocked';
}

/** A server that is well again earlier than it said is used again within this time. */
const LONGEST_WAIT_MS = 60_000;

/** Ms that the server asks to wait, a minute at most: `Retry-After` in seconds, or a date. */
export function retryAfter(header: unknown, now: number): number {
  if (typeof header !== 'string') return 0;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1_000 : Date.parse(header) - now;
  return Number.isFinite(ms) ? Math.min(LONGEST_WAIT_MS, Math.max(0, ms)) : 0;
}

/** What to do about what is wrong with an index, by the words the server has for it. */
const FAULTS: readonly (readonly [RegExp, string])[] = [
  [
    /^no write index is defined for alias/,
    'run "taxiflow es-setup", or set is_write_index of one of its indices',
  ],
  [
    /^Document ID is not supported in create\/index operation request/,
    'serverless collections take ids only when they are of the type "search"',
  ],
  [
    /^pipeline with id .* does not exist/,
    'look at the settings index.default_pipeline and index.final_pipeline',
  ],
  [
    /^explicit index in bulk is not allowed/,
    'set rest.action.multi.allow_explicit_index to true; on Amazon it is an advanced option of the domain',
  ],
  [
    /^Action\/metadata line \[\d+\] contains an unknown parameter/,
    'results need a server that knows ids, versions and require_alias in bulk requests',
  ],
];

/** What to do about a fault of the server's or the index's, by its words; undefined where it is of a document. */
export function adviceOn(reason = ''): string | undefined {
  return FAULTS.find(([fault]) => fault.test(reason))?.[1];
}

/** An item's error in words; of a block, with the setting to look at. */
export function reasonOf({ status, error }: ReplyItem): string {
  const deepest = (e: ReplyError): string =>
    e.caused_by ? `${e.reason ?? e.type}: ${deepest(e.caused_by)}` : (e.reason ?? e.type ?? '');
  const words = error ? deepest(error).replaceAll(/\s+/g, ' ') : `status ${status}`;
  const advice = adviceOnBlock(words) ?? adviceOn(words);
  return advice ? `${words} (${advice})` : words;
}
