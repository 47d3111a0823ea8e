/**
 * Follows a state file: the status of its job, and whether something was committed. Without a commit, a look costs one
 * `stat` and one pragma.
 */
import { statSync } from 'node:fs';
import { TaxiflowError } from '../errors.ts';
import { listApps } from '../state/apps.ts';
import { archiveSink } from '../state/archive.ts';
import { isRunning, isStandby, statePath } from '../state/files.ts';
import { StateReader } from '../state/reader.ts';
import type { RunStatus } from '../state/run-row.ts';
import { invocation } from './invocation.ts';
import type { DeadLetterSample, JobDetails, JobStatus, RunFacts, SinkStatus } from './model.ts';

export interface WatchOptions {
  readonly dataDir: string;
  /** By default the only app, or the first to appear. */
  readonly app?: string | undefined;
  /** Epoch ms. */
  readonly now: () => number;
  /** Whether all is told as it was when the state was opened. */
  readonly isHeld?: boolean;
}

/** Trips read and results written by a time, epoch ms. */
interface Sample {
  readonly at: number;
  readonly trips: number;
  readonly results: number;
}

const SAMPLES = 120;
const RATE_MS = 10_000;
const LETTERS_SHOWN = 20;
/** Many pages that ask at once get the same. */
const DETAILS_MS = 1_000;
const LETTER_BYTES = 2_000;
const UNKNOWN = { code: 'not-readable', hint: undefined } as const;

/** What a look found: a state was opened, a commit, nothing new, or the state is gone. */
export type Found = 'opened' | 'changed' | 'same' | 'gone';

export class JobWatch {
  readonly #o: WatchOptions;
  readonly #command = invocation();
  #reader: StateReader | undefined;
  #app: string | undefined;
  #file = '';
  #version = -1;
  #samples: Sample[] = [];
  #trouble: JobStatus['trouble'];
  #details:
    | {
        readonly of: StateReader | undefined;
        readonly at: number;
        readonly found: Promise<JobDetails | undefined>;
      }
    | undefined;

  constructor(options: WatchOptions) {
    this.#o = options;
    this.#app = options.app;
  }

  /** Identifies the open state file; it changes if the state is created again, and is empty if none is open. */
  get file(): string {
    return this.#file;
  }

  /** The app that is followed; undefined until there is one. */
  get app(): string | undefined {
    return this.#app;
  }

  get reader(): StateReader | undefined {
    return this.#reader;
  }

  look(): Found {
    const had = this.#reader !== undefined;
    try {
      const found = this.#follow();
      this.#trouble = this.#reader ? undefined : this.#nothingYet();
      return found;
    } catch (error) {
      this.fail(error);
      return had ? 'gone' : 'same';
    }
  }

  /** The status; `trouble` says if the state can't be read. */
  status(): JobStatus {
    try {
      return this.#status();
    } catch (error) {
      this.fail(error);
      return this.#status();
    }
  }

  /** Notes that the state can't be read; the next look opens it again. */
  fail(error: unknown): void {
    const { code, hint } = error instanceof TaxiflowError ? error : UNKNOWN;
    this.#forget();
    this.#trouble = { code, message: (error as Error).message, ...(hint ? { hint } : {}) };
  }

  #status(): JobStatus {
    const { dataDir, now } = this.#o;
    const command = this.#command;
    const standby = this.#app !== undefined && isStandby(dataDir, this.#app);
    const head = { now: now(), app: this.#app ?? null, dataDir, command, standby, trouble: this.#trouble };
    const nothing = { views: [], shards: [], sinks: [], deadLetters: [] };
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
      run: noted && runFacts(noted),
      load: running ? noted?.load : undefined,
      remote: noted?.remote,
      watermark: state?.watermark ?? null,
      movedOn: holding.length > 0 && (state?.watermark ?? Number.NEGATIVE_INFINITY) > least,
      totals: state?.counters,
      shards,
      slowest: allAsFar ? undefined : holding.find((shard) => watermarkOf(shard) === least)?.id,
      checkpoint: state && { number: state.number, at: Date.parse(state.at), ...noted?.checkpoint },
      stateBytes: sizeOf(this.#reader.path) + sizeOf(`${this.#reader.path}-wal`),
      openWindows: noted?.openWindows,
      // Only the sinks of the last run.
      sinks: [...this.#reader.cursors(), ...this.#archive(this.#reader)].flatMap((cursor) => {
        const sink = noted?.sinks.find(({ name }) => name === cursor.name);
        if (noted && !sink) return [];
        const { retries = 0, rejected = 0, trouble, since } = sink ?? {};
        return [{ ...cursor, retries, rejected, ...(running ? { trouble, since } : {}) }];
      }),
      deadLetters: this.#reader.deadLetterCounts(),
      rates: this.#rates(running ? noted?.rates : undefined),
    };
  }

  #archive(reader: StateReader): Pick<SinkStatus, 'name' | 'unit' | 'delivered' | 'pending'>[] {
    const archive = reader.archive();
    if (!archive) return [];
    const { place, written, pending } = archive;
    return [{ name: archiveSink(place), unit: 'trips', delivered: written, pending }];
  }

  /** What is larger than a status or seldom changes; undefined if no state is open. */
  details(): Promise<JobDetails | undefined> {
    const now = this.#o.now();
    const { of, at, found } = this.#details ?? {};
    if (found && of === this.#reader && now >= at! && now - at! < DETAILS_MS) return found;
    const asked = this.#readDetails();
    this.#details = { of: this.#reader, at: now, found: asked };
    return asked;
  }

  async #readDetails(): Promise<JobDetails | undefined> {
    if (!this.#reader || this.#app === undefined) return undefined;
    // Imported here so that a status doesn't pay for loading what reads savepoints.
    const { detailsOf } = await import('./job-details.ts');
    return this.#reader && detailsOf(this.#reader, this.#o.dataDir, this.#app);
  }

  /** A sample of the dead letters of a reason. */
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

  /** Opens the state when it appears, and again if it is created again. */
  #follow(): Found {
    this.#app ??= listApps(this.#o.dataDir)[0];
    const file = this.#app === undefined ? '' : fileOf(statePath(this.#o.dataDir, this.#app));
    if (file === this.#file) return this.#isChanged() ? 'changed' : 'same';
    const had = this.#reader !== undefined;
    this.#forget();
    if (file === '' || this.#app === undefined) return had ? 'gone' : 'same';
    // A new state is empty until its first transaction creates the tables.
    if (statSync(statePath(this.#o.dataDir, this.#app)).size === 0) return had ? 'gone' : 'same';
    this.#reader = new StateReader(this.#o.dataDir, this.#app);
    if (this.#o.isHeld) this.#reader.hold();
    this.#file = file;
    this.#version = this.#reader.version();
    this.#sample(this.#reader);
    return 'opened';
  }

  #isChanged(): boolean {
    const reader = this.#reader;
    const version = reader?.version();
    if (!reader || version === this.#version) return false;
    this.#version = version!;
    this.#sample(reader);
    return true;
  }

  #forget(): void {
    this.#reader?.close();
    this.#reader = undefined;
    this.#file = '';
    this.#version = -1;
    this.#samples = [];
  }

  #sample(reader: StateReader): void {
    const state = reader.checkpoint();
    if (!state) return;
    const { read, watermarks, results } = state.counters;
    const at = Date.parse(state.at);
    if (this.#samples.at(-1)?.at === at) return;
    this.#samples = [...this.#samples, { at, trips: read - watermarks, results }].slice(-SAMPLES);
  }

  /** Rates from the samples, or from the processor's own note while there are too few. */
  #rates(noted: { records: number; results: number } | undefined): JobStatus['rates'] {
    if (this.#samples.length < 2 && noted) return { trips: noted.records, results: noted.results };
    const now = this.#o.now();
    const last = this.#samples.at(-1);
    const first = this.#samples.findLast((sample) => sample.at <= now - RATE_MS) ?? this.#samples[0];
    if (!last || !first || last === first || last.at < now - RATE_MS) return { trips: 0, results: 0 };
    const seconds = Math.max(1, (now - first.at) / 1000);
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

function runFacts({
  pid,
  startedAt,
  notedAt,
  end,
  delivering,
  checkpointInterval,
  versions,
}: RunStatus): RunFacts {
  return {
    pid,
    startedAt: Date.parse(startedAt),
    notedAt: Date.parse(notedAt),
    end,
    delivering: delivering ?? false,
    checkpointInterval,
    versions,
  };
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Identifies a file, so that a replacement is noticed; empty if there is none. */
function fileOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  return found ? `${found.ino.toString(36)}-${Math.floor(found.birthtimeMs).toString(36)}` : '';
}
