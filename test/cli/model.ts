/**
 * Independent expectations for tests of the command line: the rows of TLC files, their windows, and the records of an
 * embedded stream. Only the stream reader comes from the code under test.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../src/clock.ts';
import { LocalStream } from '../../src/streams/local/log.ts';
import { fixture } from '../files.ts';
import { textsOf } from '../records.ts';
import { type Ran, type RunOptions, taxiflow } from '../taxiflow.ts';
import { PATIENCE_MS } from '../until.ts';

/** Tests of one file run two at a time, since each waits for its own processes. */
export const PARALLEL = { concurrency: 2 };

/**
 * Runs the binary and reports its output if it ends unexpectedly. A run far over time is killed, so that its test fails
 * instead of hanging.
 */
export async function run(
  args: readonly string[],
  options: RunOptions & { code?: number } = {},
): Promise<Ran> {
  const { code = 0, ...rest } = options;
  let watchdog: NodeJS.Timeout | undefined;
  const ran = await taxiflow(args, {
    ...rest,
    onStart: (child) => {
      watchdog = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
      rest.onStart?.(child);
    },
  });
  clearTimeout(watchdog);
  assert.equal(ran.code, code, `taxiflow ${args.join(' ')}\n${ran.stdout.slice(0, 2_000)}\n${ran.stderr}`);
  return ran;
}

/** The lines of NDJSON on stdout. */
export function lines<T = Record<string, unknown>>(text: string): T[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}

export interface NaiveRow {
  readonly line: number;
  readonly text: string;
  /** Epoch ms of trips; NaN for rows that are not trips. */
  readonly pickup: number;
  readonly dropoff: number;
  readonly rejected?: 'short-row' | 'unreadable-time' | 'dropoff-before-pickup';
}

export interface NaiveFile {
  readonly header: string;
  /** Rows in file order, without blank lines. */
  readonly rows: readonly NaiveRow[];
  readonly blank: number;
}

const TIME = /^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)$/;

function time(text: string): number {
  const match = TIME.exec(text.trim());
  if (!match) return Number.NaN;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [number, ...number[]];
  const at = Date.UTC(year, month! - 1, day, hour, minute, second);
  return new Date(at).toISOString().slice(0, 19) === text.trim().replace(' ', 'T') ? at : Number.NaN;
}

/** A TLC file without quoted fields, read line by line. */
export function readNaively(path: string): NaiveFile {
  const all = readFileSync(path, 'utf8').split(/\r?\n/);
  const header = all[0]!;
  const names = header.split(',').map((name) => name.trim().toLowerCase());
  const pickup = names.findIndex((name) => name.endsWith('pickup_datetime'));
  const dropoff = names.findIndex((name) => name.endsWith('dropoff_datetime'));
  const width = names.findLastIndex((name) => name !== '') + 1;
  const rows: NaiveRow[] = [];
  let blank = 0;
  // The text after the last line end is not a line.
  for (const [i, text] of all.slice(1, all.at(-1) === '' ? -1 : undefined).entries()) {
    if (text.trim() === '') blank++;
    else rows.push(naiveRow(text, i + 2, pickup, dropoff, width));
  }
  return { header, rows, blank };
}

function naiveRow(text: string, line: number, pickup: number, dropoff: number, width: number): NaiveRow {
  const fields = text.split(',');
  const none = { line, text, pickup: Number.NaN, dropoff: Number.NaN };
  if (fields.length < width) return { ...none, rejected: 'short-row' };
  const [from, to] = [time(fields[pickup]!), time(fields[dropoff]!)];
  if (Number.isNaN(from) || Number.isNaN(to)) return { ...none, rejected: 'unreadable-time' };
  if (to < from) return { ...none, rejected: 'dropoff-before-pickup' };
  return { line, text, pickup: from, dropoff: to };
}

/** The trips of a file in drop-off order, ties in file order. */
export function tripsInOrder(...files: NaiveFile[]): NaiveRow[] {
  return files
    .flatMap(({ rows }) => rows.filter((row) => row.rejected === undefined))
    .sort((a, b) => a.dropoff - b.dropoff);
}

/** Number of rejected rows of a file, by reason. */
export function dirtOf({ rows }: NaiveFile): Record<string, number> {
  return counted(rows.flatMap((row) => row.rejected ?? []));
}

export function counted(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}

export const YELLOW = fixture('yellow-2015.csv');
export const DIRTY = fixture('yellow-2015-dirty.csv');

export const iso = (ms: number): string => new Date(ms).toISOString();

/** A file of the trips of `YELLOW` that end in the first minutes, so that its replay is short. */
export function fewMinutes(folder: string, minutes = 5): string {
  const { header } = readNaively(YELLOW);
  const trips = tripsInOrder(readNaively(YELLOW));
  const path = join(folder, 'few.csv');
  const own = trips.filter(({ dropoff }) => dropoff < trips[60]!.dropoff + minutes * 60_000).slice(60);
  writeFileSync(path, [header, ...own.map((row) => row.text), ''].join('\n'));
  return path;
}

/** Number of times in each window: start as ISO 8601 → count. */
export function countByWindow(times: Iterable<number>, sizeMs: number): Record<string, number> {
  const counts = new Map<number, number>();
  for (const at of times) {
    const start = Math.floor(at / sizeMs) * sizeMs;
    counts.set(start, (counts.get(start) ?? 0) + 1);
  }
  return Object.fromEntries([...counts].sort((a, b) => a[0] - b[0]).map(([start, n]) => [iso(start), n]));
}

/** A views module that counts trips per window, without a key. */
export function countingView(folder: string, minutes = 10): string {
  const path = join(folder, 'counting.json');
  const window = { kind: 'tumbling', size_ms: minutes * 60_000 };
  writeFileSync(
    path,
    JSON.stringify([{ name: 'trips', by: {}, window, aggregates: { trips: { fn: 'count' } } }]),
  );
  return path;
}

/** Results of the counting view as window start → count, the last line of a window last. */
export function countsOf(ndjson: string): Record<string, number> {
  return Object.fromEntries(
    lines<{ window_start: string; trips: number }>(ndjson).map((row) => [row.window_start, row.trips]),
  );
}

export interface StreamRecord {
  readonly shard: string;
  readonly sequence: string;
  /** Epoch ms. */
  readonly arrival: number;
  readonly text: string;
}

/** Every record of an embedded stream. */
export async function recordsOf(dataDir: string, name = 'taxi-trip-events'): Promise<StreamRecord[]> {
  const stream = LocalStream.open({ dataDir, name, clock: systemClock });
  const records: StreamRecord[] = [];
  try {
    for (const { id } of await stream.shards()) {
      for (let at: Parameters<LocalStream['read']>[1] = { at: 'trim-horizon' }; ; ) {
        const batch = await stream.read(id, at, 4_000);
        for (const [i, text] of textsOf(batch).entries())
          records.push({ shard: id, sequence: batch.sequenceOf(i), arrival: batch.arrivals[i]!, text });
        if (batch.atTip) break;
        at = batch.next;
      }
    }
  } finally {
    await stream.close();
  }
  return records;
}

export interface WireTrip {
  readonly type: string;
  readonly trip_id: number;
  readonly pickup_datetime: string;
  readonly dropoff_datetime: string;
}

/** The trips of an embedded stream, by trip id. */
export async function tripsOf(dataDir: string, name?: string): Promise<WireTrip[]> {
  const records = (await recordsOf(dataDir, name)).map(({ text }) => JSON.parse(text) as WireTrip);
  return records.filter(({ type }) => type === 'trip').sort((a, b) => a.trip_id - b.trip_id);
}

/** Puts records unchanged into an embedded stream of one shard, which is created if missing. */
export async function putRecords(
  dataDir: string,
  name: string,
  texts: readonly string[],
  createShards = 1,
): Promise<void> {
  const stream = LocalStream.open({ dataDir, name, clock: systemClock, createShards });
  try {
    const data = Buffer.from(texts.join(''));
    const ends = new Uint32Array(texts.length);
    let at = 0;
    for (const [i, text] of texts.entries()) {
      at += Buffer.byteLength(text);
      ends[i] = at;
    }
    await stream.put({ count: texts.length, data, ends, hashes: new Uint32Array(texts.length) });
  } finally {
    await stream.close();
  }
}

/** A trip of another producer, without a replay and a rank. */
export function tripEndingAt(time: string): string {
  return `${JSON.stringify({ type: 'trip', dropoff_datetime: iso(Date.parse(time)) })}\n`;
}

export function watermarkAt(time: string): string {
  return `${JSON.stringify({ type: 'watermark', watermark: iso(Date.parse(time)), shard: 'shardId-000000000000' })}\n`;
}
