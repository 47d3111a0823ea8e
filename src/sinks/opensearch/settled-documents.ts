/** Counts the documents that an index should hold, from the outbox alone. */
import type { Outbox } from '../../state/outbox.ts';
import { RETRACTED } from '../../views/language.ts';

/** The end of a result that retracts the earlier result of its window and key. */
const TAKEN_BACK = `,"${RETRACTED}":true}`;

/** The documents of a firing. A document contains no line break: JSON escapes it. */
export function documentsIn(docs: string): string[] {
  return docs.slice(1, -1).split(',\n');
}

/** Whether a correction retracts the earlier result. */
export function isTakenBack(document: string): boolean {
  return document.endsWith(TAKEN_BACK);
}

/**
 * Number of documents of a view's results below number `before`, without windows whose first result `isRemoved`. A
 * document that a later result retracts is not counted, because it may be deleted already.
 */
export function settledDocuments(
  outbox: Pick<Outbox, 'windowsBefore' | 'firingsOf'>,
  view: string,
  idOf: (document: string) => string,
  before: number,
  isRemoved: (first: number) => boolean,
): number {
  let documents = 0;
  for (const { windowStart, first, count, corrected } of outbox.windowsBefore(view, before)) {
    if (isRemoved(first)) continue;
    documents += corrected ? idsOf(outbox, view, windowStart, idOf, before) : count;
  }
  return documents;
}

function idsOf(
  outbox: Pick<Outbox, 'firingsOf'>,
  view: string,
  windowStart: number,
  idOf: (document: string) => string,
  before: number,
): number {
  const ids = new Set<string>();
  for (const { first, docs, correction } of outbox.firingsOf(view, windowStart)) {
    for (const [i, document] of documentsIn(docs).entries()) {
      if (correction && isTakenBack(document)) ids.delete(idOf(document));
      else if (first + i < before) ids.add(idOf(document));
    }
  }
  return ids.size;
}
