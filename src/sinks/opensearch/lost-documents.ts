/** Finds documents that were settled and that the server does not hold any more (O7). */
import { createHash } from 'node:crypto';
import type { Outbox, StoredWindow } from '../../state/outbox.ts';
import { RETRACTED } from '../../views/language.ts';

/** The end of a result that retracts the earlier result of its window and key. */
const TAKEN_BACK = `,"${RETRACTED}":true}`;
/** Windows per question, and ids, which have some hundred bytes at most. */
const WINDOWS_ASKED = 500;
const IDS_ASKED = 2_000;

/** The documents of a firing. A document contains no line break: JSON escapes it. */
export function documentsIn(docs: string): string[] {
  return docs.slice(1, -1).split(',\n');
}

/** Whether a correction retracts the earlier result. */
export function isTakenBack(document: string): boolean {
  return document.endsWith(TAKEN_BACK);
}

/** The results of a view that are settled: those below number `before`. */
export interface Settled {
  readonly outbox: Pick<Outbox, 'windowsBefore' | 'firingsOf' | 'refused' | 'refusedDocuments'>;
  readonly sink: string;
  readonly view: string;
  readonly before: number;
  readonly idOf: (document: string) => string;
  /** Whether a window is in an index that was removed; `first` is the number of its first result. */
  readonly isRemoved: (first: number) => boolean;
}

/** What is asked of the server; undefined where it won't say. */
export interface Holder {
  /** How many documents each window has, where all of them are in one index. */
  readonly countIn: (windows: readonly number[]) => Promise<ReadonlyMap<number, number> | undefined>;
  /** Which of these documents are there. */
  readonly holds: (ids: readonly string[]) => Promise<ReadonlySet<string> | undefined>;
}

/**
 * The number of the first result of the first window that lacks a settled document; undefined if none does. A window is known to be whole
 * by the number of its documents, as long as no other result can lie in it: neither results behind the settled ones, which may have been
 * sent too, nor retracted ones. All others are asked for by their ids.
 */
export async function firstLost(settled: Settled, server: Holder): Promise<number | undefined> {
  const { outbox, sink, view, before, isRemoved } = settled;
  const { isRefused, unknown } = refusedIn(outbox, sink);
  const lost = new LostIds(server, unknown);
  const windows = outbox.windowsBefore(view, before).filter(({ first }) => !isRemoved(first));
  windows.sort((a, b) => a.first - b.first);
  for (let at = 0; at < windows.length; at += WINDOWS_ASKED) {
    const some = windows.slice(at, at + WINDOWS_ASKED);
    const counts = await server.countIn(some.map(({ windowStart }) => windowStart));
    if (!counts) return undefined;
    for (const window of some) {
      const corrected = window.corrected ? lastOnes(settled, window, isRefused) : undefined;
      const whole = corrected ? corrected.ids.size : window.count;
      const isCountable = window.end <= before && !corrected?.hasRetracted;
      if (isCountable && counts.get(window.windowStart) === whole) continue;
      for (const id of corrected?.ids ?? idsOf(settled, window, isRefused))
        if (await lost.add(id, window.first)) return lost.first;
    }
  }
  await lost.ask();
  return lost.first;
}

/** Asks for documents by their ids, many at once. */
class LostIds {
  /** The first result of the first window that lacks one. */
  first: number | undefined;
  readonly #server: Holder;
  #asked = new Map<string, number>();
  #forgiven: number;

  constructor(server: Holder, forgiven: number) {
    this.#server = server;
    this.#forgiven = forgiven;
  }

  /** Windows come in the order of their first results. Resolves to true when no more need to come. */
  async add(id: string, first: number): Promise<boolean> {
    this.#asked.set(id, first);
    return this.#asked.size >= IDS_ASKED && this.ask();
  }

  async ask(): Promise<boolean> {
    if (this.#asked.size === 0) return false;
    const held = await this.#server.holds([...this.#asked.keys()]);
    for (const [id, first] of this.#asked)
      if (held && !held.has(id) && this.#forgiven-- <= 0) this.first ??= first;
    this.#asked = new Map();
    return held === undefined || this.first !== undefined;
  }
}

type IsRefused = (document: string) => boolean;

/** The settled documents of a window that was not corrected. */
function* idsOf(
  { outbox, view, before, idOf }: Settled,
  { windowStart }: StoredWindow,
  isRefused: IsRefused,
): Generator<string> {
  for (const { first, docs } of outbox.firingsOf(view, windowStart))
    for (const [i, document] of documentsIn(docs).entries())
      if (first + i < before && !isRefused(document)) yield idOf(document);
}

interface Corrected {
  readonly ids: ReadonlySet<string>;
  /** Documents that were retracted may have come back. */
  readonly hasRetracted: boolean;
}

/** Of a window that was corrected. What a later result retracts is left out: it may be deleted already. */
function lastOnes(
  { outbox, view, before, idOf }: Settled,
  { windowStart }: StoredWindow,
  isRefused: IsRefused,
): Corrected {
  const ids = new Set<string>();
  let hasRetracted = false;
  for (const { first, docs, correction } of outbox.firingsOf(view, windowStart))
    for (const [i, document] of documentsIn(docs).entries())
      if (correction && isTakenBack(document)) {
        ids.delete(idOf(document));
        hasRetracted = true;
      } else if (first + i < before && !isRefused(document)) ids.add(idOf(document));
  return { ids, hasRetracted };
}

/** Which results a sink has refused. Of those whose dead letters were not kept, it is unknown. */
function refusedIn(outbox: Settled['outbox'], sink: string): { isRefused: IsRefused; unknown: number } {
  const refused = outbox.refused(sink);
  if (refused === 0) return { isRefused: () => false, unknown: 0 };
  const digests = new Set<string>();
  let kept = 0;
  for (const document of outbox.refusedDocuments(sink)) {
    digests.add(digestOf(document));
    kept++;
  }
  return { isRefused: (document) => digests.has(digestOf(document)), unknown: refused - kept };
}

function digestOf(document: string): string {
  return createHash('sha256').update(document).digest('base64');
}
