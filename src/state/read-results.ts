/** Reading a state beside its processor: the same file, read-only. */
import { existsSync } from 'node:fs';
import {
  countByReason,
  type DeadLetterCount,
  type KeptDeadLetter,
  listDeadLetters,
} from '../dead-letters.ts';
import { TaxiflowError, translate, translating } from '../errors.ts';
import { withoutSecrets } from '../printable.ts';
import { openSqlite, type Sqlite } from '../sqlite.ts';
import { DEFAULT_STREAM } from '../streams/target.ts';
import { RETRACTED, type View } from '../views/language.ts';
import {
  checkFormat,
  checkIntegrity,
  firingKey,
  listApps,
  type RunStatus,
  readCheckpoint,
  rowCrc,
  type StoredCheckpoint,
  statePath,
  streamName,
} from './sqlite-state.ts';

export type ResultDocument = Readonly<Record<string, string | number | null>>;

export interface ResultFilter {
  readonly view?: string | undefined;
  /** Windows that start here or later, epoch ms. */
  readonly since?: number | undefined;
}

/** The app that is meant: the one named, the only one there is, or that of the default stream. Throws `no-app`. */
export function chooseApp(dataDir: string, app: string | undefined): string {
  const apps = listApps(dataDir);
  if (app !== undefined && apps.includes(app)) return app;
  if (app === undefined && apps.length === 1) return apps[0]!;
  if (app === undefined && apps.includes(DEFAULT_STREAM)) return DEFAULT_STREAM;
  if (apps.length === 0) {
    throw new TaxiflowError('no-app', `no processor has run in ${dataDir} yet`, {
      hint: 'run "taxiflow process" first, or name another folder with --data-dir',
    });
  }
  throw new TaxiflowError(
    'no-app',
    app === undefined ? `there are several apps in ${dataDir}` : `there is no app "${app}" in ${dataDir}`,
    { hint: `choose one with --app: ${apps.join(', ')}` },
  );
}

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
      checkFormat(this.#db, this.#what);
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  /** Each result once, in its latest version, by view and window; as they were when the first one is asked for. */
  *results(filter: ResultFilter = {}): Generator<ResultDocument> {
    try {
      // One snapshot: the processor goes on, and may correct what was counted a moment ago.
      this.#db.exec('BEGIN');
      try {
        yield* this.#results(filter);
      } finally {
        if (this.#db.inTransaction) this.#db.exec('ROLLBACK');
      }
    } catch (error) {
      throw translate(error, this.#what, this.path);
    }
  }

  *#results({ view, since }: ResultFilter): Generator<ResultDocument> {
    const windows = this.#db
      .prepare(
        `SELECT view, window_start AS start, max(correction) AS corrected, count(*) AS firings FROM firings
         WHERE (:view IS NULL OR view = :view) AND (:since IS NULL OR window_start >= :since)
         GROUP BY view, window_start ORDER BY view, window_start`,
      )
      .all({ view: view ?? null, since: since ?? null }) as {
      view: string;
      start: number;
      corrected: number;
      firings: number;
    }[];
    for (const { view, start, corrected, firings } of windows) {
      let found = 0;
      const counted = (rows: Iterable<FiringRow>) => counting(rows, () => found++);
      const first = counted(this.#firings(view, start, 0));
      const corrections = corrected ? counted(this.#firings(view, start, 1)) : [];
      yield* this.#latest(view, start, first, corrections);
      if (found !== firings) throw corruptRow('index');
    }
  }

  /** Changes whenever another connection has committed; costs next to nothing to ask. */
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
    return translating(this.#what, this.path, () => {
      const row = this.#db.prepare('SELECT status FROM run').get() as { status: string | null } | undefined;
      return row?.status ? shownStatus(JSON.parse(row.status) as RunStatus) : undefined;
    });
  }

  /** Looks through the whole file. Throws `damaged`. */
  verify(): void {
    translating(this.#what, this.path, () => checkIntegrity(this.#db, this.#what, this.path));
  }

  /** How far each sink has delivered, and how many results it still has to. */
  cursors(): { name: string; delivered: number; pending: number }[] {
    // One snapshot: what is delivered meanwhile is not ahead of the last result.
    const read = this.#db.transaction(() => {
      const next = this.nextResult();
      const rows = this.#db.prepare('SELECT sink AS name, delivered FROM cursors ORDER BY sink').all() as {
        name: string;
        delivered: number;
      }[];
      return rows.map(({ name, delivered }) => ({
        name: withoutSecrets(name),
        delivered: delivered - 1,
        pending: next - delivered,
      }));
    });
    return translating(this.#what, this.path, read);
  }

  /** The stream as its reader names it. */
  stream(): string {
    return streamName(this.streamIdentity());
  }

  /** The stream as the processor wrote it into the state. */
  streamIdentity(): string {
    return translating(this.#what, this.path, () => {
      const row = this.#db.prepare("SELECT value FROM identity WHERE name = 'stream'").get() as
        | { value: string }
        | undefined;
      return row?.value ?? '';
    });
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

  /** Windows of a view that have fired, the newest first. */
  *windows(view: string): Generator<number> {
    const before = this.#db.prepare(
      'SELECT max(window_start) AS start FROM firings WHERE view = ? AND window_start < ?',
    );
    for (let start = Number.MAX_SAFE_INTEGER; ; ) {
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
  window(view: string, start: number, most: number): ResultDocument[] {
    return translating(this.#what, this.path, () => {
      const { results } = this.#db
        .prepare('SELECT total(count) AS results FROM firings WHERE view = ? AND window_start = ?')
        .get(view, start) as { results: number };
      if (results > most) return [];
      return [...this.#latest(view, start, this.#firings(view, start, 0), this.#firings(view, start, 1))];
    });
  }

  /** The firings of a window, one by one, in their order: the first one, or its corrections. */
  *#firings(view: string, start: number, correction: 0 | 1): Generator<FiringRow> {
    const next = this.#db.prepare(NEXT_FIRING);
    for (let first = 0; ; ) {
      const row = next.get(view, start, first, correction) as FiringRow | undefined;
      if (!row) return;
      yield row;
      first = row.first;
    }
  }

  /** Names of the views the results are of. */
  views(): string[] {
    return translating(this.#what, this.path, () => this.#views().map(({ name }) => name));
  }

  /** Names of the fields that results of a view have, or of all views. */
  columns(view?: string): string[] {
    const views = translating(this.#what, this.path, () => this.#views());
    const fields = views
      .filter(({ name }) => view === undefined || name === view)
      .flatMap(({ by, aggregates }) => [...Object.keys(by), ...Object.keys(aggregates)]);
    return [...new Set([...RESULT_FIELDS, ...fields])];
  }

  deadLetterCounts(): DeadLetterCount[] {
    return translating(this.#what, this.path, () => countByReason(this.#db));
  }

  *deadLetters(reason?: string): Generator<KeptDeadLetter> {
    try {
      yield* listDeadLetters(this.#db, reason);
    } catch (error) {
      throw translate(error, this.#what, this.path);
    }
  }

  close(): void {
    this.#db.close();
  }

  /**
   * The results of a window in the order of its first firing, then those that came later: of the same key, the one that
   * was written last, unless that takes it back. Only corrections are in memory all at once.
   */
  *#latest(
    view: string,
    start: number,
    first: Iterable<FiringRow>,
    corrections: Iterable<FiringRow>,
  ): Generator<ResultDocument> {
    const corrected = new Map<string, ResultDocument>();
    let fields: readonly string[] | undefined;
    const keyOf = (doc: ResultDocument) => {
      fields ??= this.#keyFields(view);
      return JSON.stringify(fields.map((name) => doc[name]));
    };
    for (const row of corrections)
      for (const doc of documents({ view, start }, row)) corrected.set(keyOf(doc), doc);
    for (const row of first) {
      for (const doc of documents({ view, start }, row)) {
        const key = corrected.size > 0 ? keyOf(doc) : '';
        const now = corrected.get(key) ?? doc;
        corrected.delete(key);
        if (!(RETRACTED in now)) yield now;
      }
    }
    for (const doc of corrected.values()) if (!(RETRACTED in doc)) yield doc;
  }

  #keyFields(view: string): string[] {
    return Object.keys(this.#views().find(({ name }) => name === view)?.by ?? {});
  }

  #views(): StoredView[] {
    const row = this.#db.prepare("SELECT value FROM identity WHERE name = 'views'").get() as
      | { value: string }
      | undefined;
    if (!row) throw corruptRow('no views');
    try {
      return JSON.parse(row.value) as StoredView[];
    } catch {
      throw corruptRow('views');
    }
  }
}

/** Without the secrets that the name of a sink may have in a state of earlier days. */
function shownStatus(status: RunStatus): RunStatus {
  const sinks = status.sinks.map((sink) => ({
    ...sink,
    name: withoutSecrets(sink.name),
    trouble: sink.trouble === undefined ? undefined : withoutSecrets(sink.trouble),
  }));
  return { ...status, sinks };
}

type StoredView = Pick<View, 'name' | 'by' | 'aggregates'>;

/** With these each result begins. */
const RESULT_FIELDS = ['view', 'window_start', 'window_end', 'timestamp'];

const NEXT_FIRING = `SELECT first, count, correction, crc, docs FROM firings
  WHERE view = ? AND window_start = ? AND first > ? AND correction = ? ORDER BY first LIMIT 1`;

interface FiringRow {
  readonly first: number;
  readonly count: number;
  readonly correction: number;
  readonly crc: number;
  readonly docs: string;
}

function* counting<T>(items: Iterable<T>, count: () => void): Generator<T> {
  for (const item of items) {
    count();
    yield item;
  }
}

function documents({ view, start }: { view: string; start: number }, row: FiringRow): ResultDocument[] {
  if (rowCrc(firingKey({ ...row, view, windowStart: start }), row.docs) !== row.crc)
    throw corruptRow('checksum');
  return JSON.parse(row.docs) as ResultDocument[];
}

/** As SQLite says it of a page, of a row. */
function corruptRow(why: string): Error {
  return Object.assign(new Error(why), { code: 'SQLITE_CORRUPT' });
}
