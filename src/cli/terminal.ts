/** Terminal output: data on stdout, messages on stderr. */

import { closeSync, openSync, writeSync } from 'node:fs';
import type { SinkStatus } from '../engine/sink.ts';
import type { Counters } from '../engine/state-store.ts';
import { EXIT, translating, usageError } from '../errors.ts';
import { escaped, printable } from '../printable.ts';
import { type EventCode, type Fields, isLogJson, shown, tell } from './log.ts';

/** A progress line: a spinner on a terminal, elsewhere a plain line at intervals. */
export interface ProgressLine {
  update(text: string): void;
  stop(): void;
}

const PLAIN_INTERVAL = 10_000;

/** Writes one line to stderr; with `--log json` as an event. */
export function say(line: string, code: EventCode = 'note', fields?: Fields): void {
  tell(code, line, fields);
}

/** Writes lines for people to stdout, escaped as in `say`. */
export function show(lines: string): void {
  process.stdout.write(lines.split('\n').map(shown).join('\n'));
}

export function printJson(value: unknown): void {
  process.stdout.write(`${escaped(JSON.stringify(value))}\n`);
}

/** `interval`: ms between plain lines. */
export async function progressLine(interval = PLAIN_INTERVAL): Promise<ProgressLine> {
  // On a terminal of unknown width the spinner cannot redraw its line.
  if (process.stderr.isTTY && process.stderr.columns > 0 && !isLogJson()) {
    const { default: ora } = await import('ora');
    // With discardStdin, Ctrl-C would not arrive as a signal.
    const color = process.env['NO_COLOR'] ? false : 'cyan';
    const spinner = ora({ stream: process.stderr, discardStdin: false, color }).start();
    return {
      update: (text) => {
        spinner.text = shown(text);
      },
      stop: () => spinner.stop(),
    };
  }
  let last = Date.now();
  return {
    update: (text) => {
      if (Date.now() - last < interval) return;
      last = Date.now();
      say(text, 'progress');
    },
    stop: () => {},
  };
}

/** Whether stdout has a reader that the command serves: without one, there is nothing left to do. */
let servesReader = true;

/** From now on the command goes on without a reader of stdout, since its work is elsewhere. */
export function outliveReader(): void {
  servesReader = false;
}

/** Exits quietly when the reader of stdout closes the pipe, as `head` does. */
export function endQuietlyWithThePipe(): void {
  let isTold = false;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (!servesReader) {
      // Each further line fails too.
      if (!isTold) say(`stdout can't be written any more: ${error.message}`, 'no-reader');
      isTold = true;
      return;
    }
    if (error.code === 'EPIPE') process.exit(EXIT.done);
    throw error;
  });
}

/** Aborts on the first SIGINT or SIGTERM so that the command can end cleanly; the second exits at once. */
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

/** Asks for a yes or a no; anything but yes is a no, an interrupt too. Undefined without a terminal, where nobody could answer. */
export async function confirmed(question: string, signal: AbortSignal): Promise<boolean | undefined> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const ended = new AbortController();
  // Ctrl-C and Ctrl-D go to whoever reads lines from the terminal.
  lines.on('SIGINT', () => process.emit('SIGINT'));
  lines.on('close', () => ended.abort());
  try {
    const answer = await lines.question(`${shown(question)} [y/N] `, {
      signal: AbortSignal.any([ended.signal, signal]),
    });
    return /^y(?:es)?$/i.test(answer.trim());
  } catch {
    process.stderr.write('\n');
    return false;
  } finally {
    lines.close();
  }
}

/** A JSON array on one line, yielded element by element. */
export function* jsonArray(values: Iterable<unknown>): Generator<string> {
  let before = '[';
  for (const value of values) {
    yield before + escaped(JSON.stringify(value));
    before = ',';
  }
  yield before === '[' ? '[]\n' : ']\n';
}

export type Row = Readonly<Record<string, unknown>>;
export type Format = 'table' | 'ndjson' | 'csv';

export function chosenFormat(format: unknown): Format {
  return (format as Format | undefined) ?? (process.stdout.isTTY ? 'table' : 'ndjson');
}

/** The format of a chart. Throws `usage` where another one is asked for. */
export function tableFormat({ json, format }: { json: boolean; format: Format | undefined }): Format {
  if (!json && (format ?? 'table') === 'table') return 'table';
  throw usageError('--chart prints a table', `omit ${json ? '--json' : `--format ${format}`}`);
}

/**
 * Rows as text. A table gets a new header where the fields change; CSV has one header: `columns`, or the fields of the
 * first row.
 */
export function* formatted(
  rows: Iterable<Row>,
  format: Format,
  columns?: readonly string[],
): Generator<string> {
  if (format === 'ndjson') for (const row of rows) yield `${escaped(JSON.stringify(row))}\n`;
  else if (format === 'csv') yield* csv(rows, columns);
  else yield* table(rows);
}

/** RFC 4180, except that lines end in LF. A missing field is empty. */
function* csv(rows: Iterable<Row>, columns?: readonly string[]): Generator<string> {
  let names = columns;
  if (names) yield `${names.map(csvField).join(',')}\n`;
  for (const row of rows) {
    if (!names) {
      names = Object.keys(row);
      yield `${names.map(csvField).join(',')}\n`;
    }
    yield `${names.map((name) => csvField(row[name])).join(',')}\n`;
  }
}

/** First characters that make a spreadsheet read a text as a formula. The last four are full-width forms. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;

function csvField(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number') return String(value);
  const defused = String(value).replace(FORMULA, "'$&");
  // Line ends are allowed in quotes; a lone carriage return is escaped, as it lets text overwrite the line.
  const text = defused
    .split('\r\n')
    .map((part) => escaped(part, '\t\n'))
    .join('\r\n');
  return /[",;\t\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const TABLE_BLOCK = 200;

/** Columns are as wide as the first block of rows needs; numbers are right-aligned. */
function* table(rows: Iterable<Row>): Generator<string> {
  let block: Row[] = [];
  let header = '';
  let widths: number[] = [];
  const flush = function* (): Generator<string> {
    if (block.length === 0) return;
    const names = Object.keys(block[0]!);
    if (header !== names.join()) {
      // A query may give a column any name.
      const heads = names.map(cellText);
      widths = names.map((name, i) =>
        block.reduce((width, row) => Math.max(width, cellText(row[name]).length), heads[i]!.length),
      );
      yield `${header === '' ? '' : '\n'}${heads
        .map((head, i) => head.padEnd(widths[i]!))
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
  const text = String(value)
    .replace(/\.000Z$/, 'Z')
    .replaceAll(/\s/g, ' ');
  return printable(text).slice(0, 80);
}

/** Writes text to a file, or to stdout with backpressure. */
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

/** A processor's counts as one line, and whether they add up (C7). */
export function reconciliationOf(counters: Counters): {
  readonly line: string;
  readonly reconciled: boolean;
} {
  const { read, watermarks, processed, filtered, duplicate, late, dead } = counters;
  const reconciled = read === watermarks + processed + filtered + duplicate + late + dead;
  const line =
    `read ${thousands(read)} = watermarks ${thousands(watermarks)} + processed ${thousands(processed)} + filtered ${thousands(filtered)}` +
    ` + duplicate ${thousands(duplicate)} + late ${thousands(late)} + dead ${thousands(dead)}${reconciled ? '' : '  DOES NOT ADD UP'}`;
  return { line, reconciled };
}

/** Sinks as JSON: null stands for what is not so. */
export function sinksJson(sinks: readonly SinkStatus[]) {
  return sinks.map(({ name, unit, trouble, since, ...sink }) => ({
    name,
    unit: unit ?? 'results',
    ...sink,
    trouble: trouble ?? null,
    since: since ?? null,
  }));
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
