/**
 * Queries of the page. Each runs in a process of its own (`query-process.ts`): nothing else can stop SQLite in the middle of a
 * row, and what a query takes of memory and time is not taken from the processor.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { QueryAnswer, QueryFailure } from './page/query-answer.ts';

/** Always the compiled file: a forked process can't load TypeScript. */
const PROCESS = fileURLToPath(new URL('../../dist/dashboard/query-process.js', import.meta.url));

export interface QueryTask {
  readonly dataDir: string;
  readonly app: string;
  /** Empty to ask for the tables. */
  readonly sql: string;
  /** Most rows of the answer. */
  readonly rows: number;
}

/** What the process sends: the answer, or what it has used up. */
export type Sent = QueryAnswer | { readonly usedUp: 'memory' };

const MOST_AT_ONCE = 2;

export class Queries {
  readonly #running = new Set<ChildProcess>();

  /** Runs a query for at most `ms`, and only until `signal` aborts; then its answer matters to nobody. */
  async run(task: QueryTask, ms: number, signal: AbortSignal): Promise<QueryAnswer> {
    if (this.#running.size >= MOST_AT_ONCE)
      return failure('busy', 'other queries are running', 'try again in a moment');
    // Flags of this process, such as a loader, are none of its own.
    const child = fork(PROCESS, { execArgv: [], stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    this.#running.add(child);
    const ended = new Promise((resolve) => {
      child.once('exit', resolve);
      child.once('error', resolve);
    });
    const stop = () => child.kill('SIGKILL');
    signal.addEventListener('abort', stop);
    let isLate = false;
    const deadline = setTimeout(() => {
      isLate = true;
      stop();
    }, ms);
    try {
      const sent = answerOf(child);
      child.send(task, () => {});
      const answer = await Promise.race([sent, ended.then(() => undefined)]);
      if (answer && !('usedUp' in answer)) return answer;
      if (isLate) return failure('query-stopped', `the query took longer than ${ms / 1_000} s`, SMALLER);
      if (answer) return failure('query-stopped', 'the query took too much memory', SMALLER);
      return failure('query-stopped', 'the query ended without an answer', 'run it again');
    } finally {
      clearTimeout(deadline);
      signal.removeEventListener('abort', stop);
      stop();
      await ended;
      this.#running.delete(child);
    }
  }

  close(): void {
    for (const child of this.#running) child.kill('SIGKILL');
  }
}

const SMALLER = 'select less of a table, for instance some windows, or run it with "taxiflow query"';

/** Undefined where there is no process. */
function answerOf(child: ChildProcess): Promise<Sent | undefined> {
  return once(child, 'message').then(
    ([sent]) => sent as Sent,
    () => undefined,
  );
}

export function failure(code: string, message: string, hint: string): QueryFailure {
  return { error: { code, message, hint } };
}
