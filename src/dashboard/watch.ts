/** The windows that the page shows, as a state has them. One for a server, however many pages look. */
import type { StateReader } from '../state/reader.ts';
import { JobWatch, type WatchOptions } from '../status/job-watch.ts';
import type { DeadLetterSample, JobStatus, WindowUpdate } from './page/wire.ts';
import { emptied, isShown, SHOWN_VIEWS, windowUpdate } from './windows.ts';

/** Windows whose results changed, as lines of JSON. */
export interface Change {
  /** The state was opened, or is gone: what was known of another is void. */
  readonly opened: boolean;
  readonly windows: readonly string[];
}

/** A day of windows is kept always; more as long as it is small. */
const DAY_MS = 86_400_000;
const SMALL_HISTORY = 1_200_000;
const LARGEST_HISTORY = 16_000_000;
/** Results of a window: a page could not show more. */
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

  /** Tells results apart: which state, and up to which result. */
  get id(): string {
    return `${this.file}.${this.#next}`;
  }

  /** The state that results are of; another one when it was made afresh. */
  get file(): string {
    return this.#job.file;
  }

  /** Every window that is kept, by start. */
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

  /** Some of what was refused for a reason. */
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

  /** Forgets the oldest windows when there are too many. */
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
