/**
 * Composes a processor from stream, views, state and sinks. The command line, the demo and the library all open it here.
 */
import { basename } from 'node:path';
import { type Clock, systemClock } from '../clock.ts';
import { DEFAULT_DEAD_LETTER_LIMIT, DeadLetterBuffer } from '../dead-letters.ts';
import { type ProcessOutcome, type Progress, runProcess } from '../engine/run.ts';
import type { Sink, SinkStatus } from '../engine/sink.ts';
import type { Restored } from '../engine/state-store.ts';
import { TaxiflowError } from '../errors.ts';
import type { ResultFolder } from '../flink/result-files.ts';
import type { DashboardTimes } from '../opensearch/dashboard-times.ts';
import { shownUrl } from '../printable.ts';
import type { RemoteState } from '../remote/state.ts';
import type { ArchivePlace } from '../sinks/archive/place.ts';
import { checkOutput, NdjsonSink } from '../sinks/ndjson.ts';
import { archiveSink } from '../state/archive.ts';
import { StateReader } from '../state/reader.ts';
import type { ResultDocument, ResultFilter } from '../state/results.ts';
import { SqliteState } from '../state/store.ts';
import { forgetting } from '../state/upkeep.ts';
import type { PlannedChanges } from '../state/view-changes.ts';
import type { ProcessFigures } from '../status/emf.ts';
import {
  DEFAULT_DATA_DIR,
  DEFAULT_SHARDS,
  lacks,
  missingStream,
  openReader,
  parseTarget,
  type StreamTarget,
  streamsThatCan,
} from '../streams/connectors.ts';
import type { Position, StreamReader } from '../streams/ports.ts';
import { checkViews } from '../views/check.ts';
import type { View } from '../views/language.ts';
import { taxiViews } from '../views/taxi.ts';
import { longestSpan } from '../views/windows.ts';
import { acceptedChanges, identityOf } from './changed-views.ts';
import { appOf, type ProcessorOptions } from './processor-options.ts';
import { type Remote, remoteOf } from './remote.ts';
import { RunNotes } from './run-notes.ts';

export interface ProcessSummary extends ProcessOutcome {
  readonly sinks: readonly SinkStatus[];
  /** Results that sinks refused for good in this run. */
  readonly refused: number;
  /** Where the state was restored from, if it was since its last run. */
  readonly restored: Restored | undefined;
  /** Wall ms. */
  readonly duration: number;
}

/** Ms between status notes while nothing is committed. */
const NOTE_INTERVAL = 1_000;
const LONGEST_CONSUMER = 128;

/**
 * Opens the stream and locks the state; nothing is read before `run`. Throws `TaxiflowError`: `contradicting-options`,
 * `bad-view`, `no-stream`, `app-running`, `other-state`, …
 */
export async function openProcessor(given: ProcessorOptions = {}): Promise<Processor> {
  const views = checkViews(given.views ?? taxiViews());
  const options = { ...given, eventTime: eventTimeOf(given, views) };
  refuseContradictions(options);
  if (options.output !== undefined) checkOutput(options.output);
  if (options.resultsFrom !== undefined) return openTaker(options, views, options.resultsFrom);
  const target = parseTarget(options.stream);
  const search = await searchOf(options);
  const archive = await archiveOf(options);
  const stream = await readerOf(target, options);
  try {
    const remote = await remoteOf(options, views, target, stream);
    const planned = remote ? remote.planned : await acceptedChanges(options, views, target, stream);
    // Imported here so that a local state doesn't pay for loading it.
    const make = remote && (await import('../remote/state.ts')).RemoteState;
    try {
      return new Processor(
        options,
        views,
        options.app ?? appOf(target),
        stream,
        search,
        planned,
        remote,
        make,
        archive,
      );
    } finally {
      planned?.filled?.remove();
    }
  } catch (error) {
    await stream.close();
    throw error;
  }
}

/** A processor that takes the results of a job of Flink instead of computing them. */
async function openTaker(options: ProcessorOptions, views: View[], place: string): Promise<Processor> {
  const { folderUri, openResultFolder } = await import('../flink/result-files.ts');
  const uri = folderUri(place);
  const { region, endpointUrl } = options;
  const folder = await openResultFolder(uri, { region, endpointUrl });
  const search = await searchOf(options);
  const app =
    options.app ?? (options.stream === undefined ? basename(uri) : appOf(parseTarget(options.stream)));
  return new Processor(options, views, app, folder, search, undefined, undefined);
}

/** The place of the archive, which is looked at before anything else is made. */
async function archiveOf({
  archive,
  region,
  endpointUrl,
}: ProcessorOptions): Promise<ArchivePlace | undefined> {
  if (archive === undefined) return undefined;
  const { openPlace, placeOfArchive } = await import('../sinks/archive/place.ts');
  return openPlace(placeOfArchive(archive), { region, endpointUrl });
}

function refuseContradictions(options: ProcessorOptions): void {
  const { drain, untilEnd, eventTime, maxDisorder, state, stateInterval, takeover, resultsFrom } = options;
  const { archive, archiveInterval } = options;
  const refuse = (message: string, hint: string) => {
    throw new TaxiflowError('contradicting-options', message, { hint });
  };
  if (drain && !untilEnd) refuse('drain needs untilEnd', 'set untilEnd, or leave out drain');
  if (state === undefined && (stateInterval ?? takeover) !== undefined)
    refuse('stateInterval and takeover are for a state in S3', 'set state to s3://bucket/prefix');
  if (archive === undefined && archiveInterval !== undefined)
    refuse('archiveInterval is for an archive', 'set archive to a folder or s3://bucket/prefix');
  if (resultsFrom !== undefined && (drain || state !== undefined || archive !== undefined))
    refuse(
      'resultsFrom takes results that are there: they have no windows and no trips, and their state lies in a file of its own',
      'leave out drain, state and archive',
    );
  if (eventTime === 'arrival' && maxDisorder !== undefined)
    refuse('maxDisorder is for drop-off times; arrival times have none', 'leave one of them out');
}

/** The time that a job goes by: arrival times have watermarks of their own, so its views go by them together. */
function eventTimeOf({ eventTime }: ProcessorOptions, views: readonly View[]): 'dropoff' | 'arrival' {
  const other = views.find(
    ({ time }) => time !== 'arrival' && (time !== undefined || eventTime !== 'arrival'),
  );
  const arrival = views.find(({ time }) => time === 'arrival');
  if (!other) return 'arrival';
  if (!arrival && eventTime !== 'arrival') return 'dropoff';
  const why = arrival ? `view ${arrival.name} goes by arrival` : 'the job goes by arrival';
  throw new TaxiflowError(
    'contradicting-options',
    `${why}, and view ${other.name} by ${other.time ?? 'drop-off'}`,
    {
      hint: 'run them as two apps',
    },
  );
}

function readerOf(target: StreamTarget, options: ProcessorOptions): Promise<StreamReader> {
  const { dataDir = DEFAULT_DATA_DIR, region, endpointUrl, consumer, createStream = true, onNote } = options;
  const fanOut = consumer === 'efo' ? consumerOf(target, options) : undefined;
  const missing = createStream && !options.untilEnd ? missingStream(target, dataDir) : undefined;
  if (missing !== undefined) onNote?.(`${missing} is new and empty; waiting for a replay`);
  return openReader(target, {
    dataDir,
    region,
    endpointUrl,
    fanOut,
    ...(createStream ? { createShards: DEFAULT_SHARDS } : {}),
  });
}

/** The consumer's name in Kinesis shows which app it belongs to. */
function consumerOf(target: StreamTarget, options: ProcessorOptions): string {
  const hint = lacks(target, 'fan-out');
  if (hint === undefined) return `taxiflow-${options.app ?? appOf(target)}`.slice(0, LONGEST_CONSUMER);
  throw new TaxiflowError('contradicting-options', `enhanced fan-out is for ${streamsThatCan('fan-out')}`, {
    hint,
    exitCode: 2,
  });
}

type Search = NonNullable<Awaited<ReturnType<typeof searchOf>>>;

/** The connection to OpenSearch. Opened first, without sending anything, so that bad options fail before files are created. */
async function searchOf({ opensearch, region }: ProcessorOptions) {
  if (!opensearch) return undefined;
  const { connect } = await import('../opensearch/connection.ts');
  const { checkedPrefix } = await import('../opensearch/templates.ts');
  const { url, indexPrefix = '', resend = false, awsSigv4 = false, ca, insecure = false } = opensearch;
  const { dashboards } = opensearch;
  const prefix = checkedPrefix(indexPrefix);
  const access = { url, awsSigv4, region: opensearch.region ?? region, ca, insecure };
  // A mistake in this URL too is told before anything is made.
  if (dashboards !== undefined) await (await connect({ ...access, url: dashboards })).close();
  return { client: await connect(access), url: shownUrl(url), prefix, resend, access, dashboards };
}

/** One run over one state. */
export class Processor {
  /** Name of the stream. */
  readonly stream: string;
  readonly app: string;
  /** The state, an SQLite file. */
  readonly path: string;
  /** Whether it continues from a checkpoint of an earlier run. */
  readonly goesOn: boolean;
  readonly #o: ProcessorOptions;
  readonly #dataDir: string;
  readonly #views: View[];
  readonly #reader: StreamReader | ResultFolder;
  readonly #state: SqliteState;
  readonly #search: Search | undefined;
  readonly #archive: ArchivePlace | undefined;
  readonly #remote: RemoteState | undefined;
  #sinks: readonly Sink[] = [];
  /** Of a closed processor. */
  #lastFigures: ProcessFigures | undefined;
  /** Results that its sinks had refused before this run. */
  #refusedBefore = 0;
  readonly #stop = new AbortController();
  #notes: RunNotes | undefined;
  /** Fits the saved dashboard to the results that `sink` delivers. */
  #fitting: { readonly times: DashboardTimes; readonly sink: Sink } | undefined;
  #used: 'running' | 'closed' | undefined;

  /** Use `openProcessor`. */
  constructor(
    options: ProcessorOptions,
    views: View[],
    app: string,
    reader: StreamReader | ResultFolder,
    search: Search | undefined,
    planned: PlannedChanges | undefined,
    remote: Remote | undefined,
    makeRemote?: typeof RemoteState,
    archive?: ArchivePlace,
  ) {
    const { dataDir = DEFAULT_DATA_DIR } = options;
    this.#o = options;
    this.#dataDir = dataDir;
    this.#views = views;
    this.#reader = reader;
    this.#search = search;
    this.#archive = archive;
    this.stream = reader.name;
    this.app = app;
    this.#state = SqliteState.open({
      dataDir,
      app: this.app,
      identity: identityOf(options, views, reader),
      planned,
    });
    try {
      this.#remote =
        remote && makeRemote
          ? new makeRemote(remote.options, this.#state, remote.taken, () => this.#wakeSinks())
          : undefined;
      this.#refuseHole();
    } catch (error) {
      this.#state.close();
      throw error;
    }
    this.path = this.#state.path;
    this.goesOn = this.#state.stored !== undefined;
  }

  /** Where trips are archived is part of the state, so that none is left out unnoticed. */
  #refuseHole(): void {
    if (this.#archive) return;
    const { place, formerPlace } = this.#state.archive;
    const left = place ?? formerPlace;
    if (left === undefined) return;
    const what =
      place === undefined
        ? `was restored from one that archives its trips in ${left}`
        : `archives its trips in ${left}`;
    const forget = this.#remote ? '' : `, or give it up with ${forgetting(archiveSink(left), this.app)}`;
    throw new TaxiflowError(
      'contradicting-options',
      `app "${this.app}" ${what}, and this run has no archive`,
      {
        hint: `add --archive with ${place === undefined ? 'a place of its own' : `${place}, or another place for later trips`}${forget}`,
      },
    );
  }

  /**
   * Runs until it is stopped or, with `untilEnd`, until everything is read; then closes everything. Throws
   * `TaxiflowError`; everything committed is kept.
   */
  async run(): Promise<ProcessSummary> {
    if (this.#used) throw this.#notUsable();
    this.#used = 'running';
    const { signal: stopped, clock = systemClock } = this.#o;
    const signal = stopped ? AbortSignal.any([stopped, this.#stop.signal]) : this.#stop.signal;
    // While the last results are delivered, no checkpoint notes the status of the sinks.
    const noting = setInterval(() => this.#tick(), NOTE_INTERVAL).unref();
    try {
      const sinks = await this.#openSinks(clock, signal);
      this.#refusedBefore = refusedBy(sinks);
      this.#sinks = sinks;
      const started = clock.now();
      const outcome = await this.#process(sinks, clock, signal);
      await this.#remote?.finish();
      await this.#fitting?.times.finish(this.#fitting.sink.status().delivered, signal);
      return {
        ...outcome,
        sinks: sinks.map((sink) => sink.status()),
        refused: refusedBy(sinks) - this.#refusedBefore,
        restored: this.#state.stored?.restored,
        duration: clock.now() - started,
      };
    } catch (error) {
      this.#notes?.failed(error);
      throw error;
    } finally {
      clearInterval(noting);
      await this.#release();
    }
  }

  #tick(): void {
    try {
      this.#notes?.refresh();
      void this.#fitting?.times.follow(this.#fitting.sink.status().delivered);
    } catch {
      // A state that can't be read or written ends the run at its next checkpoint, with the reason.
    }
  }

  #wakeSinks(): void {
    try {
      for (const sink of this.#sinks) sink.wake();
    } catch {
      // A sink that has failed says so at the next checkpoint too.
    }
  }

  /** How the run is doing at this moment, whether or not anything is committed; before, during and after it. */
  get figures(): ProcessFigures {
    if (this.#lastFigures) return this.#lastFigures;
    const { checkpointAt, lastCheckpoint } = this.#state;
    return {
      progress: this.#notes?.progress,
      sinks: this.#sinks.map((sink) => sink.status()),
      refused: refusedBy(this.#sinks) - this.#refusedBefore,
      checkpointAt: this.#remote ? this.#remote.coveredAt : checkpointAt,
      checkpointMs: lastCheckpoint.bytes > 0 ? lastCheckpoint.durationMs : undefined,
    };
  }

  /** Ends the run with a checkpoint. */
  stop(): void {
    this.#stop.abort();
    this.#remote?.stop();
  }

  /** Closes stream and state without a run. `run` closes them itself. Throws `processor-running`. */
  async close(): Promise<void> {
    if (this.#used === 'running') throw this.#notUsable();
    if (!this.#used) await this.#release();
  }

  /** Committed results, in the order they were written; before, during and after the run. */
  *results(filter: ResultFilter = {}): Generator<ResultDocument> {
    const reader = new StateReader(this.#dataDir, this.app);
    try {
      yield* reader.results(filter);
    } finally {
      reader.close();
    }
  }

  async #release(): Promise<void> {
    this.#used = 'closed';
    await this.#fitting?.times.close();
    await this.#remote?.close();
    try {
      this.#lastFigures = this.figures;
    } catch {
      // A damaged state can't be asked about its sinks; what is wrong with it has been said.
      const { progress } = this.#notes ?? {};
      this.#lastFigures = {
        progress,
        sinks: [],
        refused: 0,
        checkpointAt: undefined,
        checkpointMs: undefined,
      };
    }
    this.#state.close();
    await this.#reader.close();
  }

  #notUsable(): TaxiflowError {
    const isClosed = this.#used === 'closed';
    const code = isClosed ? 'processor-closed' : 'processor-running';
    return new TaxiflowError(
      code,
      `the processor of app "${this.app}" ${isClosed ? 'is closed' : 'is already running'}`,
      {
        hint: 'open another one with openProcessor',
      },
    );
  }

  #process(sinks: readonly Sink[], clock: Clock, signal: AbortSignal): Promise<ProcessOutcome> {
    const { from = 'trim-horizon', untilEnd = false, onProgress, onNoWatermark } = this.#o;
    const { checkpointInterval = 1_000, allowedLateness = 0, drain = false, allowGap = false } = this.#o;
    const notes = this.#notes!;
    const tell = (progress: Progress) => {
      notes.take(progress);
      onProgress?.({
        ...progress,
        recordsPerSecond: notes.recordsPerSecond,
        sinks: sinks.map((sink) => sink.status()),
      });
    };
    const untilEndNow = typeof untilEnd === 'function' ? untilEnd : () => untilEnd;
    if ('list' in this.#reader) return this.#take(this.#reader, sinks, clock, signal, untilEndNow, tell);
    const position: Position = typeof from === 'number' ? { at: 'time', ms: from } : { at: from };
    return runProcess({
      reader: this.#reader,
      store: this.#remote ?? this.#state,
      views: this.#views,
      deadLetters: this.#deadLetters(),
      sinks,
      clock,
      from: position,
      eventTime: this.#o.eventTime ?? 'dropoff',
      maxDisorder: this.#o.maxDisorder,
      allowedLateness,
      checkpointInterval,
      untilEnd: untilEndNow,
      drain,
      closeIdle: this.#o.closeIdle,
      onClosing: (windows, end, by) =>
        this.#o.onNote?.(closingText(windows, end, by === 'drain' ? undefined : this.#o.closeIdle)),
      allowGap,
      archives: this.#archive !== undefined,
      signal,
      onProgress: tell,
      ...(onNoWatermark ? { onNoWatermark } : {}),
    });
  }

  async #take(
    folder: ResultFolder,
    sinks: readonly Sink[],
    clock: Clock,
    signal: AbortSignal,
    untilEnd: () => boolean,
    onProgress: (progress: Progress) => void,
  ): Promise<ProcessOutcome> {
    const { takeResults } = await import('../flink/take-results.ts');
    const { outbox } = this.#state;
    return takeResults({
      folder,
      store: this.#state,
      storedDocs: (view, label) => Array.from(outbox.firingsOf(view, label), ({ docs }) => docs),
      views: this.#views,
      deadLetters: this.#deadLetters(),
      sinks,
      clock,
      interval: this.#o.checkpointInterval ?? 1_000,
      untilEnd,
      signal,
      onProgress,
    });
  }

  #deadLetters(): DeadLetterBuffer {
    const { deadLetterLimit = DEFAULT_DEAD_LETTER_LIMIT } = this.#o;
    return new DeadLetterBuffer(deadLetterLimit, this.#state.stored?.deadLetters);
  }

  #retainResults(ms: number, sinks: readonly Sink[]): void {
    const names = sinks.map(({ name }) => name);
    const views = this.#views.map(({ name, window }) => ({ name, size: longestSpan(window) }));
    this.#state.retainResults(ms, views, names);
    for (const sink of this.#state.outbox.sinks) {
      if (!names.includes(sink))
        this.#o.onNote?.(
          `results stay for ${sink}, which this run is without${this.#remote ? '' : `; give it up with ${forgetting(sink, this.app)}`}`,
        );
    }
  }

  async #openSinks(clock: Clock, signal: AbortSignal): Promise<Sink[]> {
    const { checkpointInterval = 1_000 } = this.#o;
    const sinks: Sink[] = [];
    try {
      for await (const sink of this.#makeSinks(clock)) sinks.push(sink);
      this.#notes = new RunNotes({
        state: this.#state,
        sinks,
        checkpointInterval,
        remote: () => this.#remote?.status,
        interrupted: () => signal.aborted,
      });
      for (const sink of sinks) await sink.open?.(signal);
      if (this.#o.retain !== undefined) this.#retainResults(this.#o.retain, sinks);
    } catch (error) {
      // The first failure is the cause.
      for (const sink of sinks) await closed(sink).catch(() => {});
      throw error;
    }
    return sinks;
  }

  async *#makeSinks(clock: Clock): AsyncGenerator<Sink> {
    const { output, onNote } = this.#o;
    if (output !== undefined) yield new NdjsonSink(this.#state.outbox, output, (note) => onNote?.(note));
    if (this.#search) yield await this.#openSearchSink(this.#search, clock);
    if (this.#archive) yield await this.#archiveSink(this.#archive, clock);
  }

  async #archiveSink(place: ArchivePlace, clock: Clock): Promise<Sink> {
    const { onNote = () => {}, onTrouble, archiveInterval } = this.#o;
    const { ArchiveSink } = await import('../sinks/archive/sink.ts');
    const { archive, stored } = this.#state;
    const sink: Sink = new ArchiveSink({
      place,
      archive,
      app: this.app,
      interval: archiveInterval,
      goesOn: stored !== undefined,
      clock,
      onNote,
      onTrouble: (trouble) => onTrouble?.(sink.status(), trouble),
    });
    return sink;
  }

  async #openSearchSink(search: Search, clock: Clock): Promise<Sink> {
    const { onNote, onTrouble } = this.#o;
    const { OpenSearchSink } = await import('../sinks/opensearch/sink.ts');
    const sink: Sink = new OpenSearchSink({
      ...search,
      owner: { app: this.app, stream: this.stream },
      views: this.#views,
      outbox: this.#state.outbox,
      deadLetters: this.#deadLetters(),
      clock,
      onTrouble: (trouble) => {
        onTrouble?.(sink.status(), trouble);
        this.#tick();
      },
      onNote: (note) => onNote?.(`opensearch: ${note}`),
    });
    this.#fitting = { times: await this.#dashboardTimes(search, clock), sink };
    return sink;
  }

  async #dashboardTimes({ access, dashboards, prefix }: Search, clock: Clock): Promise<DashboardTimes> {
    const { DashboardTimes } = await import('../opensearch/dashboard-times.ts');
    const onNote = (note: string) => this.#o.onNote?.(note);
    return new DashboardTimes({ access, dashboards, prefix, views: this.#views, clock, onNote });
  }
}

async function closed(sink: Sink): Promise<void> {
  await sink.close(true);
}

/** Windows that are closed without a watermark: at the end, or after so many ms without a record. */
function closingText(windows: number, end: number, idle: number | undefined): string {
  const which = windows === 1 ? 'the open window fires' : `the ${windows} open windows fire`;
  const why = idle === undefined ? '--drain' : `no record for ${idle / 1_000} s`;
  return `${why}: ${which}; trips that come later are late up to ${new Date(end).toISOString()}`;
}

/** Results refused over all runs. */
function refusedBy(sinks: readonly Sink[]): number {
  return sinks.reduce((sum, sink) => sum + sink.status().rejected, 0);
}
