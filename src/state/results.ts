/** Results as readers of a state see them: each once, in its latest version. */
import type { Sqlite } from '../sqlite.ts';
import { RETRACTED } from '../views/language.ts';
import { firingKey } from './outbox.ts';
import { corruptRow, rowCrc } from './rows.ts';

export type ResultDocument = Readonly<Record<string, string | number | null>>;

export interface ResultFilter {
  readonly view?: string | undefined;
  /** Windows that start here or later, epoch ms. */
  readonly since?: number | undefined;
  /** Windows that start before this, epoch ms. */
  readonly until?: number | undefined;
}

interface FiringRow {
  readonly first: number;
  readonly count: number;
  readonly correction: number;
  readonly crc: number;
  readonly docs: string;
}

/** What the documents of a view are known by. */
export interface ResultsOf {
  /** Names of the key fields of a view. */
  keyFields(view: string): readonly string[];
  /** Views whose results have starts of their own, earlier than what their window is known by. */
  readonly ownStarts: readonly string[];
}

interface Fired {
  readonly view: string;
  readonly start: number;
  /** Non-zero if it was corrected. */
  readonly corrected: number;
  readonly firings: number;
  /** Results of all firings; those of a corrected window count several times. */
  readonly results: number;
}

/** Windows that have fired, by view and start. */
function firedWindows(db: Sqlite, { view, since, until }: ResultFilter, { ownStarts }: ResultsOf): Fired[] {
  return db
    .prepare(
      `SELECT view, window_start AS start, max(correction) AS corrected, count(*) AS firings,
       sum(count) AS results FROM firings
       WHERE (:view IS NULL OR view = :view) AND (view IN (SELECT value FROM json_each(:ownStarts))
         OR ((:since IS NULL OR window_start >= :since) AND (:until IS NULL OR window_start < :until)))
       GROUP BY view, window_start ORDER BY view, window_start`,
    )
    .all({
      view: view ?? null,
      since: since ?? null,
      until: until ?? null,
      ownStarts: JSON.stringify(ownStarts),
    }) as Fired[];
}

/** Whether the results of a window must be looked at one by one. */
function isMixed({ view }: Fired, { since, until }: ResultFilter, { ownStarts }: ResultsOf): boolean {
  return (since ?? until) !== undefined && ownStarts.includes(view);
}

function isWithin(result: ResultDocument, { since, until }: ResultFilter): boolean {
  const start = Date.parse(String(result['window_start']));
  return start >= (since ?? Number.NEGATIVE_INFINITY) && start < (until ?? Number.POSITIVE_INFINITY);
}

/** The results of a window that a filter selects. Throws `damaged` if a firing is missing. */
function* resultsOf(
  db: Sqlite,
  fired: Fired,
  filter: ResultFilter,
  of: ResultsOf,
): Generator<ResultDocument> {
  const isEach = isMixed(fired, filter, of);
  for (const result of resultsIn(db, fired, of)) if (!isEach || isWithin(result, filter)) yield result;
}

function* resultsIn(db: Sqlite, fired: Fired, { keyFields }: ResultsOf): Generator<ResultDocument> {
  const { view, start, corrected, firings } = fired;
  let found = 0;
  const counted = (rows: Iterable<FiringRow>) => counting(rows, () => found++);
  const first = counted(firingsOf(db, view, start, 0));
  const corrections = corrected ? counted(firingsOf(db, view, start, 1)) : [];
  yield* latest({ view, start }, first, corrections, () => keyFields(view));
  if (found !== firings) throw corruptRow('index');
}

/** Each result once, by view and window, as they were when the first one is asked for. */
export function* storedResults(db: Sqlite, filter: ResultFilter, of: ResultsOf): Generator<ResultDocument> {
  // One snapshot: the processor goes on, and may correct what was counted a moment ago.
  db.exec('BEGIN');
  try {
    for (const fired of firedWindows(db, filter, of)) yield* resultsOf(db, fired, filter, of);
  } finally {
    if (db.inTransaction) db.exec('ROLLBACK');
  }
}

/** How many results there are, and the earliest and latest start of their windows, epoch ms. */
export interface Extent {
  readonly results: number;
  readonly first: number;
  readonly last: number;
}

/** The extent of the results that a filter selects; undefined if it selects none. */
export function extentOf(db: Sqlite, filter: ResultFilter, of: ResultsOf): Extent | undefined {
  let [results, first, last] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const read = db.transaction(() => {
    for (const fired of firedWindows(db, filter, of)) {
      // Only corrected windows, and results of some time with starts of their own, must be read to count their results.
      const isRead = fired.corrected || isMixed(fired, filter, of);
      const count = isRead ? countOf(resultsOf(db, fired, filter, of)) : fired.results;
      if (count === 0) continue;
      results += count;
      first = Math.min(first, fired.start);
      last = Math.max(last, fired.start);
    }
  });
  read();
  return results === 0 ? undefined : { results, first, last };
}

function countOf(items: Iterable<unknown>): number {
  let count = 0;
  for (const _ of items) count++;
  return count;
}

export interface LatestResults {
  /** By view and window. */
  readonly results: readonly ResultDocument[];
  /** Number of windows with these results, and of all windows. */
  readonly windows: number;
  readonly of: number;
  /** Whether there are more results. */
  readonly isCut: boolean;
}

/** At most `most` results of the latest windows; reads no others. */
export function latestResults(db: Sqlite, filter: ResultFilter, most: number, of: ResultsOf): LatestResults {
  const read = db.transaction(() => {
    const windows = firedWindows(db, filter, of);
    const newestFirst = [...windows].sort((a, b) => b.start - a.start);
    const taken = new Map<Fired, ResultDocument[]>();
    let [count, isCut] = [0, false];
    for (const fired of newestFirst) {
      const results: ResultDocument[] = [];
      for (const result of resultsOf(db, fired, filter, of)) {
        isCut = count === most;
        if (isCut) break;
        results.push(result);
        count++;
      }
      if (results.length > 0) taken.set(fired, results);
      if (isCut) break;
    }
    const results = windows.flatMap((fired) => taken.get(fired) ?? []);
    return { results, windows: taken.size, of: windows.length, isCut };
  });
  return read();
}

/** Results of one window, or how many there are where those are too many. */
export interface WindowResults {
  readonly docs: readonly ResultDocument[];
  readonly omitted: number;
}

/** The results of one window; none where there are more than `most`. */
export function resultsOfWindow(
  db: Sqlite,
  view: string,
  start: number,
  most: number,
  { keyFields }: Pick<ResultsOf, 'keyFields'>,
): WindowResults {
  const { results } = db
    .prepare('SELECT total(count) AS results FROM firings WHERE view = ? AND window_start = ?')
    .get(view, start) as { results: number };
  if (results > most) return { docs: [], omitted: results };
  const [first, corrections] = [firingsOf(db, view, start, 0), firingsOf(db, view, start, 1)];
  return { docs: [...latest({ view, start }, first, corrections, () => keyFields(view))], omitted: 0 };
}

const NEXT_FIRING = `SELECT first, count, correction, crc, docs FROM firings
  WHERE view = ? AND window_start = ? AND first > ? AND correction = ? ORDER BY first LIMIT 1`;

/** The firings of a window, one by one, in their order: the first one, or its corrections. */
function* firingsOf(db: Sqlite, view: string, start: number, correction: 0 | 1): Generator<FiringRow> {
  const next = db.prepare(NEXT_FIRING);
  for (let first = 0; ; ) {
    const row = next.get(view, start, first, correction) as FiringRow | undefined;
    if (!row) return;
    yield row;
    first = row.first;
  }
}

/**
 * The results of a window in the order of its first firing, then those that came later. Of several with one key the one
 * written last counts, and none where that one takes the result back. Only corrections are in memory all at once.
 */
function* latest(
  window: { readonly view: string; readonly start: number },
  first: Iterable<FiringRow>,
  corrections: Iterable<FiringRow>,
  keyFields: () => readonly string[],
): Generator<ResultDocument> {
  const corrected = new Map<string, ResultDocument>();
  let fields: readonly string[] | undefined;
  const keyOf = (doc: ResultDocument) => {
    fields ??= keyFields();
    return JSON.stringify(fields.map((name) => doc[name]));
  };
  for (const row of corrections) for (const doc of documents(window, row)) corrected.set(keyOf(doc), doc);
  for (const row of first) {
    for (const doc of documents(window, row)) {
      const key = corrected.size > 0 ? keyOf(doc) : '';
      const now = corrected.get(key) ?? doc;
      corrected.delete(key);
      if (!(RETRACTED in now)) yield now;
    }
  }
  for (const doc of corrected.values()) if (!(RETRACTED in doc)) yield doc;
}

function documents({ view, start }: { view: string; start: number }, row: FiringRow): ResultDocument[] {
  if (rowCrc(firingKey({ ...row, view, windowStart: start }), row.docs) !== row.crc)
    throw corruptRow('checksum');
  return JSON.parse(row.docs) as ResultDocument[];
}

function* counting<T>(items: Iterable<T>, count: () => void): Generator<T> {
  for (const item of items) {
    count();
    yield item;
  }
}
