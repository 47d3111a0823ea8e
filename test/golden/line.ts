/** The whole line in one process, from file to NDJSON, in its own folder and on a clock that never waits. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Dataset } from '../../src/dataset/dataset.ts';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import { type ProcessOutcome, runProcess } from '../../src/engine/run.ts';
import { ReplayLedger } from '../../src/replay/ledger.ts';
import { type ReplayOutcome, runReplay } from '../../src/replay/run.ts';
import { NdjsonSink } from '../../src/sinks/ndjson.ts';
import { StateReader } from '../../src/state/reader.ts';
import { SqliteState } from '../../src/state/store.ts';
import { LocalStream } from '../../src/streams/local/log.ts';
import type { OutgoingBatch, StreamReader, StreamWriter } from '../../src/streams/ports.ts';
import { checkViews } from '../../src/views/check.ts';
import { sliding, tumbling, type View } from '../../src/views/language.ts';
import { taxiViews } from '../../src/views/taxi.ts';
import { TestClock } from '../clock.ts';
import { comparable, type OracleOptions, totalsLine } from './oracle.ts';

/** The default views in the windows that the oracle is asked for. */
export function viewsOf({ windowMinutes = 10, slideMinutes }: OracleOptions): View[] {
  const size = `${windowMinutes}m`;
  return checkViews(
    taxiViews(slideMinutes === undefined ? tumbling(size) : sliding(size, `${slideMinutes}m`)),
  );
}

export interface ReplayStep {
  /** Trips in all, from the start of the input. */
  readonly limit?: number;
  readonly until?: number;
  readonly resume?: boolean;
  /** Event time over wall time; the slower, the more puts and watermarks. */
  readonly speedup?: number;
  /** Told before each put, counted from 1. */
  readonly beforePut?: (put: number) => void;
  /** Turns of the event loop that each put takes, so that puts overlap and settle out of order. */
  readonly turns?: (put: number) => number;
  /** The put of this number is stored, and its acknowledgement is lost: the replay fails. */
  readonly loseAcknowledgement?: number;
  /** No watermark reaches the stream: the replay fails at the first. */
  readonly loseWatermark?: boolean;
  readonly signal?: AbortSignal;
}

export interface ProcessStep {
  /** Stop, as a signal does, once this many batches were processed. */
  readonly stopAfter?: number;
  readonly batchRecords?: number;
  /** Ms of a clock that advances by one at each reading; 0 is after every batch. */
  readonly checkpointInterval?: number;
  readonly memoryLimit?: number;
  readonly drain?: boolean;
  /** Told before each read, counted from 1. */
  readonly beforeRead?: (read: number) => void;
  /** Told after each commit. */
  readonly afterCommit?: () => void;
}

const STREAM = 'taxi-trip-events';
/** Twelve minutes of event time in the 50 ms between two puts. */
const SPEEDUP = 14_400;

export class Line {
  readonly folder: string;
  readonly #inputs: readonly string[];
  readonly #shards: number;
  readonly #clock = new TestClock({ tick: 1 });

  constructor(folder: string, inputs: readonly string[], shards = 8) {
    this.folder = folder;
    this.#inputs = inputs;
    this.#shards = shards;
  }

  async replay(step: ReplayStep = {}): Promise<ReplayOutcome> {
    const rejected = new DeadLetterBuffer(1_000);
    const dataset = await Dataset.open({
      paths: this.#inputs,
      dataDir: this.folder,
      onReject: ({ reason, source, line, raw }) =>
        rejected.add(reason, () => ({ source, position: String(line), detail: '', raw })),
    });
    const stream = this.stream();
    const ledger = new ReplayLedger(this.folder, this.#clock);
    try {
      return await runReplay({
        dataset,
        writer: watchedWriter(stream, step),
        ledger: () => ledger,
        rejected,
        clock: this.#clock,
        speedup: step.speedup ?? SPEEDUP,
        limit: step.limit,
        until: step.until,
        adaptTime: 'original',
        watermarks: true,
        resume: step.resume ?? false,
        signal: step.signal ?? new AbortController().signal,
        watermarkInterval: 150,
      });
    } finally {
      ledger.close();
      await stream.close();
    }
  }

  /** Reads what is there, or less if stopped; each `app` has its own state and output. */
  async process(windows: OracleOptions = {}, step: ProcessStep = {}, app = 'app'): Promise<ProcessOutcome> {
    const views = viewsOf(windows);
    const stream = this.stream();
    const shards = (await stream.shards()).length;
    const state = SqliteState.open({
      dataDir: this.folder,
      app,
      identity: { stream: stream.identity, views: JSON.stringify(views), settings: 'test' },
    });
    const stop = new AbortController();
    const beforeRead = (read: number) => {
      step.beforeRead?.(read);
      // Each shard is read once ahead; every read after that follows a batch on its way into the engine.
      if (step.stopAfter !== undefined && read >= shards + step.stopAfter) stop.abort();
    };
    const sink = {
      name: 'watch',
      wake: () => step.afterCommit?.(),
      status: () => ({
        name: 'watch',
        delivered: 0,
        pending: 0,
        rejected: 0,
        retries: 0,
        trouble: undefined,
      }),
      close: () => {},
    };
    try {
      return await runProcess({
        reader: watchedReader(stream, beforeRead),
        store: state,
        views,
        deadLetters: new DeadLetterBuffer(1_000, state.stored?.deadLetters),
        sinks: [new NdjsonSink(state.outbox, this.outputPath(app)), sink],
        clock: this.#clock,
        from: { at: 'trim-horizon' },
        eventTime: 'dropoff',
        allowedLateness: 0,
        checkpointInterval: step.checkpointInterval ?? Number.POSITIVE_INFINITY,
        untilEnd: () => true,
        drain: step.drain ?? false,
        signal: stop.signal,
        ...(step.memoryLimit === undefined ? {} : { memoryLimit: step.memoryLimit }),
        ...(step.batchRecords === undefined ? {} : { batchRecords: step.batchRecords }),
      });
    } finally {
      state.close();
      await stream.close();
    }
  }

  /** Its own connection, as another process would have. */
  stream(): LocalStream {
    return LocalStream.open({
      dataDir: this.folder,
      name: STREAM,
      clock: this.#clock,
      createShards: this.#shards,
    });
  }

  /** Splits an open shard, or merges two; `choice` from 0 to 1 says which. */
  async reshard(kind: 'split' | 'merge', choice: number): Promise<void> {
    const stream = this.stream();
    try {
      const open = (await stream.shards())
        .filter((shard) => shard.open)
        .sort((a, b) => (a.firstHashKey < b.firstHashKey ? -1 : 1));
      const places = kind === 'split' ? open.length : open.length - 1;
      if (places === 0) return;
      const at = Math.min(places - 1, Math.floor(choice * places));
      if (kind === 'split') stream.split(open[at]!.id);
      else stream.merge(open[at]!.id, open[at + 1]!.id);
    } finally {
      await stream.close();
    }
  }

  outputPath(app = 'app'): string {
    return join(this.folder, `${app}.ndjson`);
  }

  output(app = 'app'): string {
    return existsSync(this.outputPath(app)) ? readFileSync(this.outputPath(app), 'utf8') : '';
  }
}

function watchedReader(stream: LocalStream, beforeRead: (read: number) => void): StreamReader {
  let reads = 0;
  return {
    name: stream.name,
    identity: stream.identity,
    shards: () => stream.shards(),
    read: (shardId, position, limit) => {
      beforeRead(++reads);
      return stream.read(shardId, position, limit);
    },
    close: () => stream.close(),
  };
}

function watchedWriter(stream: LocalStream, step: ReplayStep): StreamWriter {
  let puts = 0;
  return {
    name: stream.name,
    identity: stream.identity,
    get counts() {
      return stream.counts;
    },
    shards: () => stream.shards(),
    put: async (batch: OutgoingBatch) => {
      const put = ++puts;
      step.beforePut?.(put);
      for (let turns = step.turns?.(put) ?? 0; turns > 0; turns--) await new Promise(setImmediate);
      const result = await stream.put(batch);
      if (put === step.loseAcknowledgement) throw new Error(LOST);
      return result;
    },
    broadcast: async (recordFor) => {
      if (step.loseWatermark) throw new Error(LOST);
      await stream.broadcast(recordFor);
    },
    close: () => stream.close(),
  };
}

/** The error of a replay that loses an acknowledgement or watermark. */
export const LOST = 'lost on the way';

/** The totals in the state of an app, as the oracle writes them. */
export function totalsIn(folder: string, app: string): string[] {
  const reader = new StateReader(folder, app);
  try {
    return reader
      .views()
      .flatMap((view) => Array.from(reader.totals(view), totalsLine))
      .sort((a, b) => (a < b ? -1 : 1));
  } finally {
    reader.close();
  }
}

/** The results in an output that may be growing, in the compared form; none before the file exists. */
export function resultsIn(path: string): string[] {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return comparable(text.slice(0, text.lastIndexOf('\n') + 1));
}

/** Fails with the first missing or extra lines instead of both lists. */
export function sameLines(actual: readonly string[], expected: readonly string[], what: string): void {
  const missing = without(expected, actual);
  const unexpected = without(actual, expected);
  if (missing.length === 0 && unexpected.length === 0) return;
  const some = (lines: readonly string[]) =>
    lines
      .slice(0, 3)
      .map((line) => `\n    ${line}`)
      .join('');
  assert.fail(
    `${what}: ${actual.length} lines, ${expected.length} expected` +
      `\n  ${missing.length} missing${some(missing)}\n  ${unexpected.length} too many${some(unexpected)}`,
  );
}

/** What is left of `lines` when each of `others` takes one away. */
function without(lines: readonly string[], others: readonly string[]): string[] {
  const count = new Map<string, number>();
  for (const line of others) count.set(line, (count.get(line) ?? 0) + 1);
  return lines.filter((line) => {
    const left = count.get(line) ?? 0;
    count.set(line, left - 1);
    return left <= 0;
  });
}
