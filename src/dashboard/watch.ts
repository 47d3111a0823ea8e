/** Reads the windows that pages show from a state. One instance serves all pages of a job. */
import type { StateReader } from '../state/reader.ts';
import type { Sums, WindowTotals } from '../state/totals.ts';
import { JobWatch, type WatchOptions } from '../status/job-watch.ts';
import type {
  DeadLetterSample,
  Figure,
  JobDetails,
  JobStatus,
  Total,
  TotalUpdate,
  ViewShape,
  ViewTotals,
} from './page/wire.ts';
import { shapeOf } from './shapes.ts';
import { spanOf, windowUpdate } from './windows.ts';

/** What a look at the state found. */
export interface Change {
  /** The state was opened, has other views or is gone, so pages must drop the windows they have. */
  readonly opened: boolean;
  /** By view that is followed, windows whose results changed. */
  readonly windows: ReadonlyMap<string, readonly ChangedWindow[]>;
  /** Totals that changed, as JSON. */
  readonly totals: string;
}

export interface ChangedWindow {
  readonly label: number;
  /** A `WindowUpdate`. */
  readonly json: string;
}

/** Characters of JSON that are sent at once, and that are kept of all windows together. */
const CHUNK = 400_000;
const MOST_KEPT = 64_000_000;
/** Windows of a view that a page knows of, at most: the newest ones. */
const MOST_WINDOWS = 10_000;
/** Most results of a window: a page can't show more. */
const MOST_RESULTS = 200_000;

const NOTHING: Change = { opened: false, windows: new Map(), totals: '[]' };

export class StateWatch {
  readonly #job: JobWatch;
  #next = 1;
  #checkpoint = 0;
  #defined = '';
  #shapes: readonly ViewShape[] = [];
  /** Windows as JSON, by view and label. */
  readonly #kept = new Map<string, string>();
  #keptSize = 0;

  constructor(options: WatchOptions) {
    this.#job = new JobWatch(options);
  }

  /** Identifies what pages have: the state, its views, and what it had when it was looked at. */
  get id(): string {
    return `${this.file}.${this.#next}.${this.#checkpoint}`;
  }

  /** Identifies the state file; it changes if the state is created again. */
  get file(): string {
    return this.#job.file;
  }

  get app(): string | undefined {
    return this.#job.app;
  }

  /** The view of a name, or else the first. */
  shape(view: string | undefined): ViewShape | undefined {
    return this.#shapes.find(({ name }) => name === view) ?? this.#shapes[0];
  }

  get shapes(): readonly ViewShape[] {
    return this.#shapes;
  }

  /** Labels of the windows of a view that a page knows of, ascending. */
  labels(view: string): number[] {
    const { reader } = this.#job;
    return reader ? newest(reader.windows(view), MOST_WINDOWS).reverse() : [];
  }

  /** What a page begins with, as JSON. */
  history(view: string | undefined): string {
    const shape = this.shape(view);
    const { reader } = this.#job;
    const labels = shape ? this.labels(shape.name) : [];
    const head = { id: this.id, view: shape?.name ?? null, shapes: this.#shapes, labels };
    return `${JSON.stringify(head).slice(0, -1)},"totals":${reader ? this.#totals(reader) : '[]'}}`;
  }

  /** Windows of a view with labels before one, the newest first, as JSON. */
  windows(view: string, before: number): string {
    const shape = this.#shapes.find(({ name }) => name === view);
    const { reader } = this.#job;
    const lines: string[] = [];
    let [size, next] = [0, null as number | null];
    if (shape && reader) {
      for (const label of reader.windows(view, before)) {
        if (size >= CHUNK) {
          next = lines.length > 0 ? before : null;
          break;
        }
        const json = this.#window(reader, shape, label);
        size += json.length;
        lines.push(json);
        before = label;
      }
    }
    return `{"windows":[${lines.join(',')}],"next":${next}}`;
  }

  /** Looks for changes; `followed` are the views of which changed windows are wanted. */
  look(followed: ReadonlySet<string>): Change {
    const had = this.#job.reader !== undefined;
    const found = this.#job.look();
    const { reader } = this.#job;
    if (!reader) this.#forget();
    if (!reader || found === 'same') return { ...NOTHING, opened: found === 'gone' };
    try {
      if (found === 'changed' && !this.#isDefinedAnew(reader)) return this.#changes(reader, followed);
      this.#open(reader);
      return { ...NOTHING, opened: true };
    } catch (error) {
      this.#job.fail(error);
      this.#forget();
      return { ...NOTHING, opened: had };
    }
  }

  status(): JobStatus {
    return this.#job.status();
  }

  details(): Promise<JobDetails | undefined> {
    return this.#job.details();
  }

  /** A sample of the dead letters of a reason. */
  deadLetters(reason: string): DeadLetterSample[] {
    return this.#job.deadLetters(reason);
  }

  close(): void {
    this.#job.close();
    this.#forget();
  }

  #forget(): void {
    this.#next = 1;
    this.#checkpoint = 0;
    this.#defined = '';
    this.#shapes = [];
    this.#kept.clear();
    this.#keptSize = 0;
  }

  /** Whether the views are others than before. */
  #isDefinedAnew(reader: StateReader): boolean {
    const { views, settings } = reader.identity();
    return `${settings} ${views}` !== this.#defined;
  }

  #open(reader: StateReader): void {
    this.#forget();
    const { views, settings } = reader.identity();
    this.#defined = `${settings} ${views}`;
    const eventTime = settings.startsWith('event time arrival') ? 'arrival' : 'dropoff';
    this.#shapes = reader.definitions().map((view) => shapeOf(view, eventTime));
    this.#advance(reader);
  }

  #advance(reader: StateReader): void {
    this.#next = reader.nextResult();
    this.#checkpoint = reader.checkpoint()?.number ?? 0;
  }

  #changes(reader: StateReader, followed: ReadonlySet<string>): Change {
    const [next, checkpoint] = [this.#next, this.#checkpoint];
    this.#advance(reader);
    const windows = new Map<string, ChangedWindow[]>();
    const changed = this.#next === next ? [] : reader.windowsChangedSince(next);
    for (const { view, start } of changed) {
      this.#drop(`${view} ${start}`);
      const shape = followed.has(view) && this.#shapes.find(({ name }) => name === view);
      if (!shape) continue;
      const lines = windows.get(view) ?? [];
      windows.set(view, lines);
      lines.push({ label: start, json: this.#window(reader, shape, start) });
    }
    return { opened: false, windows, totals: this.#totals(reader, checkpoint) };
  }

  #window(reader: StateReader, shape: ViewShape, label: number): string {
    const key = `${shape.name} ${label}`;
    const known = this.#kept.get(key);
    if (known !== undefined) return known;
    const { docs, omitted } = reader.window(shape.name, label, MOST_RESULTS);
    const json = JSON.stringify(windowUpdate(shape, label, docs, omitted));
    this.#kept.set(key, json);
    this.#keptSize += json.length;
    for (const oldest of this.#kept.keys()) {
      if (this.#keptSize <= MOST_KEPT) break;
      this.#drop(oldest);
    }
    return json;
  }

  #drop(key: string): void {
    this.#keptSize -= this.#kept.get(key)?.length ?? 0;
    this.#kept.delete(key);
  }

  /** Totals of all views, or those written after a checkpoint, as JSON. */
  #totals(reader: StateReader, after?: number): string {
    const changed = after === undefined ? undefined : reader.totalsChangedSince(after);
    const found = this.#shapes.map((shape): ViewTotals => {
      const labels = changed?.filter(({ view }) => view === shape.name).map(({ start }) => start);
      const totals = labels?.length === 0 ? [] : [...reader.totals(shape.name, labels?.[0])];
      const wanted = labels && new Set(labels);
      const windows = totals.filter(({ start }) => !wanted || wanted.has(start)).slice(-MOST_WINDOWS);
      return { view: shape.name, windows: windows.map((total) => totalUpdate(shape, total)) };
    });
    return JSON.stringify(found.filter(({ windows }) => windows.length > 0));
  }
}

function totalUpdate(shape: ViewShape, { start, keys, all, groups }: WindowTotals): TotalUpdate {
  return {
    label: start,
    ...spanOf(shape, start),
    keys,
    all: totalOf(shape, all),
    groups: groups?.map(({ key, ...sums }) => ({ key, ...totalOf(shape, sums) })) ?? null,
  };
}

function totalOf({ aggregates }: ViewShape, { values, of }: Sums): Total {
  return {
    values: aggregates.map(({ name, isTime }): Figure => {
      const value = values[name] ?? null;
      return isTime && value !== null ? Date.parse(String(value)) : (value as Figure);
    }),
    of: aggregates.map(({ name }) => of[name] ?? null),
  };
}

function newest<T>(items: Iterable<T>, most: number): T[] {
  const found: T[] = [];
  for (const item of items) {
    if (found.length === most) break;
    found.push(item);
  }
  return found;
}
