/** Keeps the windows that the page shows, from the state. One instance serves all pages. */
import type { StateReader } from '../state/reader.ts';
import { JobWatch, type WatchOptions } from '../status/job-watch.ts';
import type { DeadLetterSample, JobDetails, JobStatus, WindowUpdate } from './page/wire.ts';
import { emptied, isShown, SHOWN_VIEWS, windowUpdate } from './windows.ts';

/** What a look at the state found. */
export interface Change {
  /** The state was opened or is gone, so pages must drop the windows they have. */
  readonly opened: boolean;
  /** Windows whose results changed, as lines of JSON. */
  readonly windows: readonly string[];
}

/** A day of windows is always kept; older ones while their JSON is small. Sizes are characters of JSON per view. */
const DAY_MS = 86_400_000;
const SMALL_HISTORY = 1_200_000;
const LARGEST_HISTORY = 16_000_000;
/** Most results of a window: a page can't show more. */
const MOST_RESULTS = 200_000;

interface KeptWindow {
  readonly view: string;
  readonly start: number;
  readonly json: string;
}

export class StateWatch {
  readonly #job: JobWatch;
  #next = 1;
  #windows = new Map<string, KeptWindow>();

  constructor(options: WatchOptions) {
    this.#job = new JobWatch(options);
  }

  /** Identifies the windows: the state, and the number of the next result. */
  get id(): string {
    return `${this.file}.${this.#next}`;
  }

  /** Identifies the state file; it changes if the state is created again. */
  get file(): string {
    return this.#job.file;
  }

  /** All kept windows as JSON, by start. */
  history(): string[] {
    return [...this.#windows.values()].sort((a, b) => a.start - b.start).map(({ json }) => json);
  }

  look(): Change {
    const had = this.#job.reader !== undefined;
    const found = this.#job.look();
    const { reader } = this.#job;
    if (!reader) this.#forget();
    if (!reader || found === 'same') return { opened: found === 'gone', windows: [] };
    try {
      if (found === 'changed') return { opened: false, windows: this.#changes(reader) };
      this.#forget();
      this.#load(reader);
      return { opened: true, windows: [] };
    } catch (error) {
      this.#job.fail(error);
      this.#forget();
      return { opened: had, windows: [] };
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
    this.#windows = new Map();
  }

  #load(reader: StateReader): void {
    this.#next = reader.nextResult();
    for (const view of SHOWN_VIEWS) {
      let bytes = 0;
      let newest: number | undefined;
      for (const start of reader.windows(view)) {
        newest ??= start;
        if (bytes > LARGEST_HISTORY || (bytes > SMALL_HISTORY && start < newest - DAY_MS)) break;
        bytes += this.#keep(reader, view, start)?.length ?? 0;
      }
    }
  }

  #changes(reader: StateReader): string[] {
    const next = reader.nextResult();
    if (next === this.#next) return [];
    const changed = reader.windowsChangedSince(this.#next);
    this.#next = next;
    const lines = changed
      .map(({ view, start }) => this.#keep(reader, view, start))
      .filter((line) => line !== undefined);
    this.#trim();
    return lines;
  }

  #keep(reader: StateReader, view: string, start: number): string | undefined {
    if (!isShown(view)) return undefined;
    const key = `${view} ${start}`;
    const known = this.#windows.get(key);
    const docs = reader.window(view, start, MOST_RESULTS);
    const update =
      docs.length === 0 && known ? emptied(JSON.parse(known.json) as WindowUpdate) : windowUpdate(view, docs);
    if (!update) return undefined;
    const json = JSON.stringify(update);
    this.#windows.set(key, { view, start, json });
    return json;
  }

  /** Drops the oldest windows if there are too many. */
  #trim(): void {
    let bytes = 0;
    for (const { json } of this.#windows.values()) bytes += json.length;
    if (bytes < 2 * SHOWN_VIEWS.length * SMALL_HISTORY) return;
    const kept = [...this.#windows].sort(([, a], [, b]) => b.start - a.start);
    const newest = kept[0]![1].start;
    bytes = 0;
    for (const [key, { start, json }] of kept) {
      bytes += json.length;
      const old = bytes > SHOWN_VIEWS.length * SMALL_HISTORY && start < newest - DAY_MS;
      if (old || bytes > SHOWN_VIEWS.length * LARGEST_HISTORY) this.#windows.delete(key);
    }
  }
}
