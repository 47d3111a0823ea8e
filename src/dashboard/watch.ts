/**
 * Follows a state file: what it holds, and what changed since the last look. One for a server, however many pages look.
 * A look costs a `stat` and a pragma while nothing is committed.
 */
import { statSync } from 'node:fs';
import { TaxiflowError } from '../errors.ts';
import { StateReader } from '../state/read-results.ts';
import { isRunning, listApps, statePath } from '../state/sqlite-state.ts';
import type { DeadLetterSample, JobStatus, Sample, WindowUpdate } from './page/wire.ts';
import { emptied, isShown, SHOWN_VIEWS, windowUpdate } from './windows.ts';

export interface WatchOptions {
  readonly dataDir: string;
  /** Without one, the only app there is, or the first to appear. */
  readonly app?: string | undefined;
  readonly now: () => number;
}

/** Windows whose results changed, as lines of JSON. */
export interface Change {
  /** The state was opened: what was known of another is void. */
  readonly opened: boolean;
  readonly windows: readonly string[];
}

/** A day of windows is kept always; more as long as it is small. */
const DAY_MS = 86_400_000;
const SMALL_HISTORY = 1_200_000;
const LARGEST_HISTORY = 16_000_000;
/** Results of a window: a page could not show more. */
const MOST_RESULTS = 200_000;
const SAMPLES = 120;
const RATE_MS = 10_000;
const LETTERS_SHOWN = 20;
const LETTER_BYTES = 2_000;

interface KeptWindow {
  readonly view: string;
  readonly start: number;
  readonly json: string;
}

const UNKNOWN = { code: 'not-readable', hint: undefined } as const;

export class StateWatch {
  readonly #o: WatchOptions;
  #reader: StateReader | undefined;
  #app: string | undefined;
  #file = '';
  #version = -1;
  #next = 1;
  #windows = new Map<string, KeptWindow>();
  #samples: Sample[] = [];
  #trouble: JobStatus['trouble'];

  constructor(options: WatchOptions) {
    this.#o = options;
    this.#app = options.app;
  }

  /** Tells results apart: which state, and up to which result. */
  get id(): string {
    return `${this.#file}.${this.#next}`;
  }

  /** The state that results are of; another one when it was made afresh. */
  get file(): string {
    return this.#file;
  }

  /** Every window that is kept, by start. */
  history(): string[] {
    return [...this.#windows.values()].sort((a, b) => a.start - b.start).map(({ json }) => json);
  }

  look(): Change {
    const had = this.#reader !== undefined;
    try {
      const opened = this.#follow();
      const windows = opened ? [] : this.#changes();
      this.#trouble = this.#reader ? undefined : this.#nothingYet();
      return { opened, windows };
    } catch (error) {
      this.#fail(error);
      return { opened: had, windows: [] };
    }
  }

  /** Says so in `trouble` when the state can't be read. */
  status(): JobStatus {
    try {
      return this.#status();
    } catch (error) {
      this.#fail(error);
      return this.#status();
    }
  }

  #fail(error: unknown): void {
    const { code, hint } = error instanceof TaxiflowError ? error : UNKNOWN;
    this.#forget();
    this.#trouble = { code, message: (error as Error).message, ...(hint ? { hint } : {}) };
  }

  #status(): JobStatus {
    const { dataDir, now } = this.#o;
    const head = { now: now(), app: this.#app ?? null, dataDir, trouble: this.#trouble };
    const nothing = { views: [], shards: [], sinks: [], deadLetters: [], samples: [] };
    if (!this.#reader || !this.#app) {
      return { ...head, ...nothing, running: false, watermark: null, rates: { trips: 0, results: 0 } };
    }
    const running = isRunning(dataDir, this.#app);
    const state = this.#reader.checkpoint();
    const noted = this.#reader.runStatus();
    const shards = (state?.shards ?? []).map(({ position, ...shard }) => ({
      ...shard,
      position: position.at === 'after' ? position.sequence : position.at,
      lagMs: running ? noted?.lags[shard.id] : undefined,
    }));
    const holding = shards.filter((shard) => !shard.ended);
    const watermarkOf = (shard: (typeof shards)[number]) => shard.watermark ?? Number.NEGATIVE_INFINITY;
    const least = holding.map(watermarkOf).reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
    const allAsFar = holding.every((shard) => watermarkOf(shard) === least);
    return {
      ...head,
      stream: this.#reader.stream(),
      views: this.#reader.views(),
      running,
      watermark: state?.watermark ?? null,
      totals: state?.counters,
      shards,
      slowest: allAsFar ? undefined : holding.find((shard) => watermarkOf(shard) === least)?.id,
      checkpoint: state && { number: state.number, at: Date.parse(state.at), ...noted?.checkpoint },
      stateBytes: sizeOf(this.#reader.path) + sizeOf(`${this.#reader.path}-wal`),
      openWindows: noted?.openWindows,
      // Those of the last run; what an earlier one wrote to is over.
      sinks: this.#reader.cursors().flatMap((cursor) => {
        const sink = noted?.sinks.find(({ name }) => name === cursor.name);
        if (noted && !sink) return [];
        const { retries = 0, rejected = 0, trouble, since } = sink ?? {};
        return [{ ...cursor, retries, rejected, ...(running ? { trouble, since } : {}) }];
      }),
      deadLetters: this.#reader.deadLetterCounts(),
      rates: this.#rates(running ? noted?.rates : undefined),
      samples: this.#samples,
    };
  }

  /** Some of what was refused for a reason. */
  deadLetters(reason: string): DeadLetterSample[] {
    const found: DeadLetterSample[] = [];
    for (const letter of this.#reader?.deadLetters(reason) ?? []) {
      const { source, position, detail, at, raw } = letter;
      found.push({ reason, source, position, detail, at, raw: raw.slice(0, LETTER_BYTES) });
      if (found.length === LETTERS_SHOWN) break;
    }
    return found;
  }

  close(): void {
    this.#forget();
  }

  /** Opens the state when it appears, and again when it is made afresh. */
  #follow(): boolean {
    this.#app ??= this.#chosen();
    const file = this.#app === undefined ? '' : fileOf(statePath(this.#o.dataDir, this.#app));
    if (file === this.#file) return false;
    const had = this.#reader !== undefined;
    this.#forget();
    if (file === '' || this.#app === undefined) return had;
    // Its tables come with its first transaction.
    if (statSync(statePath(this.#o.dataDir, this.#app)).size === 0) return had;
    this.#reader = new StateReader(this.#o.dataDir, this.#app);
    this.#file = file;
    this.#load(this.#reader);
    return true;
  }

  #chosen(): string | undefined {
    const apps = listApps(this.#o.dataDir);
    return apps[0];
  }

  #forget(): void {
    this.#reader?.close();
    this.#reader = undefined;
    this.#file = '';
    this.#version = -1;
    this.#next = 1;
    this.#windows = new Map();
    this.#samples = [];
  }

  #load(reader: StateReader): void {
    this.#version = reader.version();
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
    this.#sample(reader);
  }

  #changes(): string[] {
    const reader = this.#reader;
    if (!reader) return [];
    const version = reader.version();
    if (version === this.#version) return [];
    this.#version = version;
    this.#sample(reader);
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

  #sample(reader: StateReader): void {
    const state = reader.checkpoint();
    if (!state) return;
    const { read, watermarks, results } = state.counters;
    const at = Date.parse(state.at);
    if (this.#samples.at(-1)?.at === at) return;
    this.#samples = [...this.#samples, { at, trips: read - watermarks, results }].slice(-SAMPLES);
  }

  /** From what was seen, or from what the processor notes where too little was. */
  #rates(noted: { records: number; results: number } | undefined): JobStatus['rates'] {
    if (this.#samples.length < 2 && noted) return { trips: noted.records, results: noted.results };
    const now = this.#o.now();
    const last = this.#samples.at(-1);
    const first = this.#samples.findLast((sample) => sample.at <= now - RATE_MS) ?? this.#samples[0];
    if (!last || !first || last === first || last.at < now - RATE_MS) return { trips: 0, results: 0 };
    const seconds = Math.max(1, Math.min(RATE_MS, now - first.at) / 1000);
    return {
      trips: (last.trips - first.trips) / seconds,
      results: (last.results - first.results) / seconds,
    };
  }

  #nothingYet(): JobStatus['trouble'] {
    const { dataDir, app } = this.#o;
    const others = listApps(dataDir).filter((name) => name !== app);
    if (app !== undefined && others.length > 0) {
      return {
        code: 'no-app',
        message: `there is no app "${app}" in ${dataDir} yet`,
        hint: `start its processor, or choose another with --app: ${others.join(', ')}`,
      };
    }
    return {
      code: 'no-app',
      message: `no processor has run in ${dataDir} yet`,
      hint: 'run "taxiflow demo", or "taxiflow replay" and "taxiflow process"',
    };
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Tells a file from another one that takes its place; empty when there is none. */
function fileOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  return found ? `${found.ino.toString(36)}-${Math.floor(found.birthtimeMs).toString(36)}` : '';
}
