/** How many documents the results come to that a sink has settled, by the outbox alone. */
import type { Outbox } from '../../state/outbox.ts';
import { RETRACTED } from '../../views/language.ts';

/** How a result ends that takes back the one of its window and key. */
const TAKEN_BACK = `,"${RETRACTED}":true}`;

/** The documents of a firing. No line break is inside one: JSON writes it as \\n. */
export function documentsIn(docs: string): string[] {
  return docs.slice(1, -1).split(',\n');
}

/** Whether a corrected result takes back the one before. */
export function isTakenBack(document: string): boolean {
  return document.endsWith(TAKEN_BACK);
}

/**
 * The documents of a view's results below the number `before`, without the windows whose first result `isRemoved`. What a
 * later result takes back is left out, since that may be done already.
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
