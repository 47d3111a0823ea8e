/** Reads a state beside its processor: the same file, read-only. Results are read in `results.ts`, and only when they are asked for. */
import { existsSync } from 'node:fs';
import {
  countByReason,
  type DeadLetterCount,
  type KeptDeadLetter,
  listDeadLetters,
} from '../dead-letters.ts';
import type { StateIdentity } from '../engine/state-store.ts';
import { translate, translating } from '../errors.ts';
import { openSqlite, type Sqlite } from '../sqlite.ts';
import type { View } from '../views/language.ts';
import { hasOwnStarts } from '../views/windows.ts';
import { type ArchiveStatus, archiveStatus } from './archive.ts';
import { readCheckpoint, type StoredCheckpoint } from './checkpoint-row.ts';
import { chooseApp, statePath } from './files.ts';
import { readIdentity, streamName } from './identity.ts';
import { prepareQuery, type Query, type QueryOptions } from './query.ts';
import { type ResultTable, resultTables } from './result-views.ts';
import {
  type Extent,
  extentOf,
  type LatestResults,
  latestResults,
  type ResultDocument,
  type ResultFilter,
  type ResultsOf,
  resultsOfWindow,
  storedResults,
  type WindowResults,
} from './results.ts';
import { type RunStatus, readRunStatus } from './run-row.ts';
import { checkIntegrity, refuseOtherFormat } from './schema.ts';
import { storedTotals, totalsSince, type WindowTotals } from './totals.ts';
import { storedViews, type ViewChange, viewChanges } from './view-changes.ts';

export class StateReader {
  readonly path: string;
  readonly #db: Sqlite;
  readonly #what: string;

  constructor(dataDir: string, app: string) {
    this.path = statePath(dataDir, app);
    this.#what = `the state of app "${app}"`;
    if (!existsSync(this.path)) chooseApp(dataDir, app);
    this.#db = openSqlite(this.path, { what: this.#what, readonly: true });
    try {
      translating(this.#what, this.path, () => refuseOtherFormat(this.#db, this.#what, app));
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  /** Each result once, in its latest version, by view and window; as they were when the first one is asked for. */
  *results(filter: ResultFilter = {}): Generator<ResultDocument> {
    try {
      yield* storedResults(this.#db, filter, this.#resultsOf());
    } catch (error) {
      throw translate(error, this.#what, this.path);
    }
  }

  /** The latest `most` results, by view and window. */
  latestResults(filter: ResultFilter, most: number): LatestResults {
    return translating(this.#what, this.path, () => latestResults(this.#db, filter, most, this.#resultsOf()));
  }

  /** How many results a filter selects, and what they span; undefined if none. */
  extent(filter: ResultFilter): Extent | undefined {
    return translating(this.#what, this.path, () => extentOf(this.#db, filter, this.#resultsOf()));
  }

  /** From now on, everything is read as it is now. Not for `results`, which sees to this itself. */
  hold(): void {
    translating(this.#what, this.path, () => {
      this.#db.exec('BEGIN');
      // The moment is that of the first read.
      this.#db.prepare('SELECT count(*) FROM sqlite_schema').get();
    });
  }

  /** Changes whenever another connection has committed. Asking costs next to nothing. */
  version(): number {
    return translating(this.#what, this.path, () =>
      Number(this.#db.pragma('data_version', { simple: true })),
    );
  }

  /** The last checkpoint; undefined before the first. */
  checkpoint(): StoredCheckpoint | undefined {
    return translating(this.#what, this.path, () => readCheckpoint(this.#db));
  }

  /** What the processor last noted of itself; undefined before its first note. */
  runStatus(): RunStatus | undefined {
    return translating(this.#what, this.path, () => readRunStatus(this.#db));
  }

  /** Looks through the whole file. Throws `damaged`. */
  verify(): void {
    translating(this.#what, this.path, () => checkIntegrity(this.#db, this.#what, this.path));
  }

  /** How far each sink has delivered, and how many results it still has to. */
  cursors(): { name: string; delivered: number; pending: number }[] {
    // One snapshot, so that no cursor is ahead of the last result.
    const read = this.#db.transaction(() => {
      const next = this.nextResult();
      const rows = this.#db.prepare('SELECT sink AS name, delivered FROM cursors ORDER BY sink').all() as {
        name: string;
        delivered: number;
      }[];
      return rows.map(({ name, delivered }) => ({
        name,
        delivered: delivered - 1,
        pending: next - delivered,
      }));
    });
    return translating(this.#what, this.path, read);
  }

  /** Where trips are archived, and how far that is; undefined if they are not. */
  archive(): ArchiveStatus | undefined {
    return translating(this.#what, this.path, () => archiveStatus(this.#db));
  }

  /** The stream as its reader names it. */
  stream(): string {
    return streamName(this.streamIdentity());
  }

  /** The stream as the processor wrote it into the state. */
  streamIdentity(): string {
    return this.identity().stream ?? '';
  }

  /** What the state was made of. */
  identity(): StateIdentity {
    return translating(this.#what, this.path, () => readIdentity(this.#db));
  }

  /** The number the next result will get. */
  nextResult(): number {
    return translating(this.#what, this.path, () => {
      const row = this.#db
        .prepare('SELECT first + count AS next FROM firings ORDER BY first DESC LIMIT 1')
        .get() as { next: number } | undefined;
      return row?.next ?? 1;
    });
  }

  /** Windows of a view that have fired, the newest first: all, or those before one. */
  *windows(view: string, until = Number.MAX_SAFE_INTEGER): Generator<number> {
    const before = this.#db.prepare(
      'SELECT max(window_start) AS start FROM firings WHERE view = ? AND window_start < ?',
    );
    for (let start = until; ; ) {
      const row = translating(this.#what, this.path, () => before.get(view, start)) as {
        start: number | null;
      };
      if (row.start === null) return;
      start = row.start;
      yield start;
    }
  }

  /** Windows with results of the numbers from `from` on. */
  windowsChangedSince(from: number): { view: string; start: number }[] {
    return translating(
      this.#what,
      this.path,
      () =>
        this.#db
          .prepare('SELECT DISTINCT view, window_start AS start FROM firings WHERE first >= ?')
          .all(from) as { view: string; start: number }[],
    );
  }

  /** The results of one window, each in its latest version; none where there are more than `most`. */
  window(view: string, start: number, most: number): WindowResults {
    return translating(this.#what, this.path, () =>
      resultsOfWindow(this.#db, view, start, most, this.#resultsOf()),
    );
  }

  /** Totals of the windows of a view, by start: all, or those from a start (epoch ms) on. Windows that fired before there were totals have none. */
  *totals(view: string, since?: number): Generator<WindowTotals> {
    try {
      yield* storedTotals(this.#db, view, since);
    } catch (error) {
      throw translate(error, this.#what, this.path);
    }
  }

  /** Windows whose totals were written after the checkpoint of this number. */
  totalsChangedSince(checkpoint: number): { view: string; start: number }[] {
    return translating(this.#what, this.path, () => totalsSince(this.#db, checkpoint));
  }

  /** What becomes of the state when it is run with these views. */
  viewChanges(views: readonly View[]): readonly ViewChange[] {
    return translating(this.#what, this.path, () => viewChanges(this.#db, views));
  }

  /** Names of the views the results are of. */
  views(): string[] {
    return this.definitions().map(({ name }) => name);
  }

  /** The views the results are of. */
  definitions(): View[] {
    return translating(this.#what, this.path, () => storedViews(this.#db));
  }

  /** The views the results are of, with the names of their key fields and of their numbers, and the times that tell windows apart. */
  shapes(): { name: string; bounds: string[]; keys: string[]; numbers: string[] }[] {
    const views = this.definitions();
    return views.map(({ name, by, aggregates, window }) => ({
      name,
      bounds: window.kind === 'tumbling' ? ['window_start'] : ['window_start', 'window_end'],
      keys: Object.keys(by),
      numbers: Object.keys(aggregates),
    }));
  }

  /** Names of the fields that results of a view have, or of all views. */
  columns(view?: string): string[] {
    const views = this.definitions();
    const fields = views
      .filter(({ name }) => view === undefined || name === view)
      .flatMap(({ by, aggregates, top }) => [
        ...Object.keys(by),
        ...Object.keys(aggregates),
        ...(top?.rank === undefined ? [] : [top.rank]),
      ]);
    return [...new Set([...RESULT_FIELDS, ...fields])];
  }

  /** The tables that queries read, one for each view. */
  tables(): ResultTable[] {
    return translating(this.#what, this.path, () => resultTables(this.#db, this.definitions()));
  }

  /** Prepares a query in SQL over these tables. Throws `usage` and `bad-query`; so does reading its rows. */
  query(sql: string, options: Omit<QueryOptions, 'what'> = {}): Query {
    return prepareQuery(this.#db, this.tables(), sql, { what: this.#what, ...options });
  }

  deadLetterCounts(): DeadLetterCount[] {
    return translating(this.#what, this.path, () => countByReason(this.#db));
  }

  /** Dead letters in their order: all, or the latest `most`. */
  *deadLetters(reason?: string, most?: number): Generator<KeptDeadLetter> {
    try {
      yield* listDeadLetters(this.#db, reason, most);
    } catch (error) {
      throw translate(error, this.#what, this.path);
    }
  }

  close(): void {
    this.#db.close();
  }

  #resultsOf(): ResultsOf {
    const views = this.definitions();
    return {
      keyFields: (view) => Object.keys(views.find(({ name }) => name === view)?.by ?? {}),
      ownStarts: views.filter(({ window }) => hasOwnStarts(window)).map(({ name }) => name),
    };
  }
}

/** The fields that each result begins with. */
const RESULT_FIELDS = ['view', 'window_start', 'window_end', 'timestamp'];
