/** What a command says: stdout is data, stderr is talk. */

import { closeSync, openSync, writeSync } from 'node:fs';
import { translating } from '../errors.ts';

/** A progress line: a spinner on a terminal, now and then a plain line elsewhere. */
export interface ProgressLine {
  update(text: string): void;
  stop(): void;
}

const PLAIN_INTERVAL = 10_000;

export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** `interval`: ms between plain lines. */
export async function progressLine(interval = PLAIN_INTERVAL): Promise<ProgressLine> {
  // A terminal without a size has no line to go back to.
  if (process.stderr.isTTY && process.stderr.columns > 0) {
    const { default: ora } = await import('ora');
    // discardStdin would keep Ctrl-C from arriving as a signal.
    const color = process.env['NO_COLOR'] ? false : 'cyan';
    const spinner = ora({ stream: process.stderr, discardStdin: false, color }).start();
    return {
      update: (text) => {
        spinner.text = text;
      },
      stop: () => spinner.stop(),
    };
  }
  let last = Date.now();
  return {
    update: (text) => {
      if (Date.now() - last < interval) return;
      last = Date.now();
      say(text);
    },
    stop: () => {},
  };
}

/**
 * Aborts on the first SIGINT or SIGTERM, so that the command can end cleanly; a second one ends it at once.
 */
export function interruption(): { signal: AbortSignal; done(): void } {
  const controller = new AbortController();
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    signal: controller.signal,
    done: () => {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}

/** A JSON array on one line, an element at a time. */
export function* jsonArray(values: Iterable<unknown>): Generator<string> {
  let before = '[';
  for (const value of values) {
    yield before + JSON.stringify(value);
    before = ',';
  }
  yield before === '[' ? '[]\n' : ']\n';
}

export type Row = Readonly<Record<string, unknown>>;
export type Format = 'table' | 'ndjson' | 'csv';

export function chosenFormat(format: unknown): Format {
  return (format as Format | undefined) ?? (process.stdout.isTTY ? 'table' : 'ndjson');
}

/** Prints rows of one kind after another; a new header where the fields change. */
export function* formatted(rows: Iterable<Row>, format: Format): Generator<string> {
  if (format === 'ndjson') for (const row of rows) yield `${JSON.stringify(row)}\n`;
  else if (format === 'csv') yield* csv(rows);
  else yield* table(rows);
}

function* csv(rows: Iterable<Row>): Generator<string> {
  let header = '';
  for (const row of rows) {
    const fields = Object.keys(row).map(csvField).join(',');
    if (fields !== header) yield `${header === '' ? '' : '\n'}${fields}\n`;
    header = fields;
    yield `${Object.values(row).map(csvField).join(',')}\n`;
  }
}

function csvField(value: unknown): string {
  const text = value === null || value === undefined ? '' : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const TABLE_BLOCK = 200;

/** Columns as wide as the first rows need; numbers to the right. */
function* table(rows: Iterable<Row>): Generator<string> {
  let block: Row[] = [];
  let header = '';
  let widths: number[] = [];
  const flush = function* (): Generator<string> {
    if (block.length === 0) return;
    const names = Object.keys(block[0]!);
    if (header !== names.join()) {
      widths = names.map((name) =>
        block.reduce((width, row) => Math.max(width, cellText(row[name]).length), name.length),
      );
      yield `${header === '' ? '' : '\n'}${names
        .map((name, i) => name.padEnd(widths[i]!))
        .join('  ')
        .trimEnd()}\n`;
      header = names.join();
    }
    for (const row of block) {
      const cells = names.map((name, i) => {
        const text = cellText(row[name]);
        return typeof row[name] === 'number' ? text.padStart(widths[i]!) : text.padEnd(widths[i]!);
      });
      yield `${cells.join('  ').trimEnd()}\n`;
    }
    block = [];
  };
  for (const row of rows) {
    if (block.length > 0 && Object.keys(row).join() !== Object.keys(block[0]!).join()) yield* flush();
    block.push(row);
    if (block.length === TABLE_BLOCK) yield* flush();
  }
  yield* flush();
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number' && !Number.isInteger(value)) return value.toFixed(2);
  return String(value)
    .replace(/\.000Z$/, 'Z')
    .replaceAll(/[\s\p{Cc}]/gu, ' ')
    .slice(0, 80);
}

/** Writes text to stdout, waiting for whoever reads it, or to a file. */
export async function write(pieces: Iterable<string>, path?: string): Promise<void> {
  if (path !== undefined && path !== '-') {
    const writeAll = () => {
      const file = openSync(path, 'w');
      try {
        for (const piece of pieces) writeSync(file, piece);
      } finally {
        closeSync(file);
      }
    };
    translating('the output', path, writeAll, '--output');
    return;
  }
  for (const piece of pieces) {
    if (!process.stdout.write(piece)) await new Promise((resolve) => process.stdout.once('drain', resolve));
  }
}

export function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** `1 window`, `2 windows`. */
export function several(count: number, thing: string): string {
  return `${thousands(count)} ${thing}${count === 1 ? '' : 's'}`;
}

export function isoOrNull(ms: number | undefined | null): string | null {
  return ms === undefined || ms === null || !Number.isFinite(ms) ? null : new Date(ms).toISOString();
}

export function isoShort(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toISOString().replace('.000Z', 'Z') : '–';
}

/** `1h 02m`, `3m 20s`, `4.2s`. */
export function span(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)}s`;
  if (seconds < 3600)
    return `${Math.floor(seconds / 60)}m ${String(Math.floor(seconds % 60)).padStart(2, '0')}s`;
  return `${Math.floor(seconds / 3600)}h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, '0')}m`;
}
