/**
 * The process of one query. A thread runs it; the main thread watches over its memory, and over the server, with which the
 * process ends. It is killed by the server in any case.
 */
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { TaxiflowError } from '../errors.ts';
import type { Query, ValueKind } from '../state/query.ts';
import { StateReader } from '../state/reader.ts';
import type { QueryAnswer, QueryRows } from './page/query-answer.ts';
import type { QueryTask, Sent } from './query.ts';

/** Of the whole process, of which Node.js takes about 70 MB. */
const MOST_BYTES = 320_000_000;
const HEAP_MB = 128;
const LOOK_MS = 10;
/** Characters of a cell, and of all cells. */
const LONGEST_CELL = 2_000;
const LONGEST_ANSWER = 4_000_000;

if (isMainThread) {
  process.once('disconnect', end);
  process.once('message', watch);
} else {
  parentPort?.postMessage(answer(workerData as QueryTask));
}

function end(): void {
  // An exit would wait for the thread.
  process.kill(process.pid, 'SIGKILL');
}

function watch(task: unknown): void {
  const say = (sent: Sent) => process.send?.(sent, undefined, undefined, () => {});
  const file = fileURLToPath(import.meta.url);
  const thread = new Worker(file, {
    workerData: task,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
  });
  thread.once('message', say);
  thread.once('error', () => say({ usedUp: 'memory' }));
  setInterval(() => {
    if (process.memoryUsage.rss() > MOST_BYTES) say({ usedUp: 'memory' });
  }, LOOK_MS);
}

function answer({ dataDir, app, sql, rows }: QueryTask): QueryAnswer {
  const began = performance.now();
  try {
    const reader = new StateReader(dataDir, app);
    if (sql.trim() === '')
      return { tables: reader.tables().map(({ name, view, columns }) => ({ table: name, view, columns })) };
    const read = firstRows(reader.query(sql, { isConfined: true }), rows);
    return { ...read, ms: Math.round(performance.now() - began) };
  } catch (error) {
    const { code, message, hint } = error instanceof TaxiflowError ? error : unknown(error);
    return { error: { code, message, hint } };
  }
}

function unknown(error: unknown) {
  return {
    code: 'bad-query',
    message: error instanceof Error ? error.message : String(error),
    hint: undefined,
  };
}

function firstRows(query: Query, most: number): Omit<QueryRows, 'ms'> {
  const types: ValueKind[] = query.columns.map(() => 'NULL');
  const rows: (string | number | null)[][] = [];
  let [length, cut] = [0, false];
  for (const row of query.rows()) {
    cut = rows.length === most || length > LONGEST_ANSWER;
    if (cut) break;
    row.types.forEach((type, i) => {
      types[i] = common(types[i]!, type);
    });
    rows.push(row.values.map(shortened));
    length += row.values.reduce<number>((sum, value) => sum + String(value).length, 0);
  }
  const columns = query.columns.map((name, i) => ({ name: shortened(name) as string, type: types[i]! }));
  return { columns, rows, cut };
}

function common(a: ValueKind, b: ValueKind): ValueKind {
  if (a === b || b === 'NULL') return a;
  if (a === 'NULL') return b;
  const areNumbers = [a, b].every((type) => type === 'INTEGER' || type === 'REAL');
  return areNumbers ? 'REAL' : 'TEXT';
}

function shortened(value: string | number | null): string | number | null {
  return typeof value === 'string' && value.length > LONGEST_CELL
    ? `${value.slice(0, LONGEST_CELL)}…`
    : value;
}
