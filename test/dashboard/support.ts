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
import { generateCsv } from '../../src/dataset/generator/generate.ts';
import { ROOT } from '../files.ts';
import { expectedLines } from '../golden/oracle.ts';
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
export async function morning(folder: string, trips = 20_000): Promise<string> {
  const file = join(folder, 'trips.csv');
  const csv = generateCsv({ trips, from: '2016-01-14', hours: 4, seed: 3, layout: 'yellow-2015', dirty: 0 });
  await pipeline(Readable.from(csv), createWriteStream(file));
  return file;
}

/** Replays a file and processes all of it; the state is that of `app`. */
export async function processed(dataDir: string, file: string, app = 'golden'): Promise<void> {
  const at = ['--data-dir', dataDir];
  await run('replay', file, '--speedup', 'max', ...at);
  await run('process', '--app', app, '--until-end', '--drain', '--output', `${file}.ndjson`, ...at);
}

/** What the independent engine finds, by window. */
export interface Expected {
  /** The number of results. */
  readonly results: number;
  /** ISO 8601 of each window's start, ascending. */
  readonly starts: readonly string[];
  /** Pick-ups by geohash. */
  pickups(start: string): Map<string, number>;
  /** Trips and minutes to an airport, of all places together. */
  airport(start: string, code: string): { trips: number; minutes: number } | undefined;
}

interface Document {
  readonly view: string;
  readonly window_start: string;
  readonly location: string;
  readonly airport_code: string;
  readonly pickup_count: number;
  readonly trip_count: number;
  readonly sum_trip_duration: number;
}

export async function expected(file: string): Promise<Expected> {
  const { lines } = await expectedLines([file]);
  const documents = lines.map((line) => JSON.parse(line) as Document);
  const of = (view: string, start: string) =>
    documents.filter((found) => found.view === view && found.window_start === start);
  return {
    results: documents.length,
    starts: [...new Set(documents.map((found) => found.window_start))].sort(),
    pickups: (start) =>
      new Map(of('pickup_count', start).map((found) => [found.location, found.pickup_count])),
    airport: (start, code) => {
      const found = of('trip_duration', start).filter(({ airport_code }) => airport_code === code);
      if (found.length === 0) return undefined;
      return {
        trips: found.reduce((sum, { trip_count }) => sum + trip_count, 0),
        minutes: found.reduce((sum, { sum_trip_duration }) => sum + sum_trip_duration, 0),
      };
    },
  };
}
