/** States for the dashboard, and the real server that shows them. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { TestContext } from 'node:test';
import { generateCsv, type Layout } from '../../src/dataset/generator/generate.ts';
import { DeadLetterBuffer } from '../../src/dead-letters.ts';
import { Duplicates } from '../../src/engine/duplicates.ts';
import { NO_COUNTS } from '../../src/engine/state-store.ts';
import { SqliteState } from '../../src/state/store.ts';
import type { View } from '../../src/views/language.ts';
import { ROOT } from '../files.ts';
import { type ComparedTotals, expectedLines } from '../golden/oracle.ts';
import { BIN, taxiflow } from '../taxiflow.ts';

export interface Served {
  readonly url: string;
  readonly port: number;
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/** Runs `taxiflow dashboard` until the test ends. */
export async function dashboard(t: TestContext, args: readonly string[]): Promise<Served> {
  const child = running(t, ['dashboard', '--json', ...args]);
  const [line] = (await once(createInterface({ input: child.stdout! }), 'line')) as [string];
  const { url } = JSON.parse(line) as { url: string };
  return { url, port: Number(new URL(url).port), kill: (signal) => kill(child, signal) };
}

/** Runs a command that goes on until it is stopped. */
export function running(t: TestContext, args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [BIN, ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(() => kill(child));
  return child;
}

export async function kill(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

/** Runs a command that must succeed. */
export async function run(...args: string[]): Promise<string> {
  const ran = await taxiflow(args);
  assert.equal(ran.code, 0, `taxiflow ${args.join(' ')}: ${ran.stderr}`);
  return ran.stdout;
}

/** A file of generated trips of one morning. */
export async function morning(
  folder: string,
  trips = 20_000,
  layout: Layout = 'yellow-2015',
): Promise<string> {
  const file = join(folder, 'trips.csv');
  const csv = generateCsv({ trips, from: '2016-01-14', hours: 4, seed: 3, layout, dirty: 0 });
  await pipeline(Readable.from(csv), createWriteStream(file));
  return file;
}

/** Replays a file and processes all of it; the state is that of `app`. */
export async function processed(dataDir: string, file: string, app = 'golden'): Promise<void> {
  const at = ['--data-dir', dataDir];
  await run('replay', file, '--speedup', 'max', ...at);
  await run('process', '--app', app, '--until-end', '--drain', '--output', `${file}.ndjson`, ...at);
}

/** What DuckDB finds, by window. */
export interface Expected {
  /** The number of results of both views. */
  readonly results: number;
  /** Starts of the windows of a view with trips, epoch ms, ascending. */
  starts(view: string): number[];
  /** Shown pick-ups by geohash. */
  pickups(start: number): Map<string, number>;
  /** All that ended in the window, also in cells that are not shown. */
  allPickups(start: number): { trips: number; cells: number };
  /** Average minutes to an airport, of how many trips. */
  airport(start: number, code: string): { minutes: number; trips: number } | undefined;
}

interface Document {
  readonly view: string;
  readonly window_start: string;
  readonly location: string;
  readonly pickup_count: number;
}

interface ExpectedTotals extends Pick<ComparedTotals, 'view' | 'start' | 'keys'> {
  readonly all: { readonly values: { readonly pickup_count: number } };
  readonly groups: readonly {
    readonly key: readonly [string];
    readonly values: { readonly trip_count: number; readonly avg_trip_duration: number };
  }[];
}

export async function expected(file: string): Promise<Expected> {
  const { lines, totals: totalLines } = await expectedLines([file]);
  const documents = lines.map((line) => JSON.parse(line) as Document);
  const totals = totalLines.map((line) => JSON.parse(line) as ExpectedTotals);
  const total = (view: string, at: number) =>
    totals.find((found) => found.view === view && found.start === at);
  return {
    results: documents.length,
    starts: (view) =>
      totals.flatMap((found) => (found.view === view ? [found.start] : [])).sort((a, b) => a - b),
    pickups: (start) =>
      new Map(
        documents
          .filter((found) => found.view === 'pickup_count' && Date.parse(found.window_start) === start)
          .map((found) => [found.location, found.pickup_count]),
      ),
    allPickups: (start) => {
      const found = total('pickup_count', start);
      return { trips: found?.all.values.pickup_count ?? 0, cells: found?.keys ?? 0 };
    },
    airport: (start, code) => {
      const found = total('trip_duration', start)?.groups.find(({ key }) => key[0] === code);
      return found && { minutes: found.values.avg_trip_duration, trips: found.values.trip_count };
    },
  };
}

/** What a view found in a window. */
export interface Fired {
  readonly view: string;
  /** Epoch ms. */
  readonly start: number;
  readonly end: number;
  /** Key fields and aggregates of each result. */
  readonly docs: readonly object[];
  readonly totals?: object;
  /** True if the window had fired before. */
  readonly correction?: boolean;
}

export interface WrittenState {
  /** Commits windows as a processor does. */
  fire(...windows: readonly Fired[]): void;
  close(): void;
}

/** A state that is written directly, so that tests decide what is in it. */
export function writtenState(dataDir: string, app: string, views: readonly View[]): WrittenState {
  const identity = { stream: 's', views: JSON.stringify(views), settings: '' };
  const state = SqliteState.open({ dataDir, app, identity });
  let watermark = 0;
  return {
    fire: (...windows) => {
      watermark = windows.reduce((latest, { end }) => Math.max(latest, end), watermark);
      state.commit({
        watermark,
        counters: NO_COUNTS,
        shards: [],
        blocks: [],
        gone: [],
        closedUpTo: {},
        firings: windows.map(({ view, start, end, docs, totals, correction = false }) => {
          const span = { window_start: isoOf(start), window_end: isoOf(end) };
          return {
            view,
            windowStart: start,
            windowEnd: end,
            docs: docs.map((doc) => JSON.stringify({ view, ...span, ...doc })).join(',\n'),
            count: docs.length,
            correction,
            ...(totals === undefined ? {} : { totals: JSON.stringify(totals) }),
          };
        }),
        duplicates: new Duplicates().takeChanges(watermark, () => false),
        deadLetters: new DeadLetterBuffer(0).take(),
      });
    },
    close: () => state.close(),
  };
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}
