/** Runs seeds in as many processes as the machine has processors; each world is a process's own. */
import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';

/** What a process tells of a seed. */
export interface Outcome {
  readonly seed: number;
  readonly failed: boolean;
  /** Faults by kind and state of the run. */
  readonly coverage: readonly (readonly [cell: string, count: number])[];
}

export interface Search {
  readonly from: number;
  /** Number of seeds at most. */
  readonly most: number;
  /** No seed begins after this time, ms of `performance.now()`. */
  readonly deadline: number;
}

export interface Found {
  /** Seeds that held, from the first on without a gap. */
  readonly held: number;
  readonly coverage: ReadonlyMap<string, number>;
  /** The least seed that fails. */
  readonly failed: number | undefined;
}

/** Seeds that a process is given at once. */
const AT_ONCE = 8;
const SERVES = 'simulate-seeds';

/** Answers the process that has started this one; false if none has. */
export function serve(judge: (seed: number) => Promise<Outcome>): boolean {
  if (process.env['TAXIFLOW_SIMULATES'] !== SERVES) return false;
  process.on('message', async (seeds: readonly number[]) => {
    for (const seed of seeds) process.send!(await judge(seed));
  });
  return true;
}

/** Searches for the least seed that fails; rejects if a process ends by itself. */
export async function search({ from, most, deadline }: Search): Promise<Found> {
  const coverage = new Map<string, number>();
  const outcomes = new Map<number, Outcome>();
  let [next, end] = [from, from + most];
  let failed: number | undefined;
  const given = (): number[] => {
    if (performance.now() > deadline || failed !== undefined) return [];
    const seeds = Array.from({ length: Math.min(AT_ONCE, end - next) }, (_, i) => next + i);
    next += seeds.length;
    return seeds;
  };
  const take = (outcome: Outcome) => {
    outcomes.set(outcome.seed, outcome);
    // A process may be at a lower seed that fails too.
    if (outcome.failed && outcome.seed < (failed ?? Number.POSITIVE_INFINITY)) failed = outcome.seed;
  };
  const children = Array.from({ length: Math.min(availableParallelism(), Math.ceil(most / AT_ONCE)) }, () =>
    fork(process.argv[1]!, { env: { ...process.env, TAXIFLOW_SIMULATES: SERVES } }),
  );
  try {
    await Promise.all(children.map((child) => work(child, given, take, (seed) => seed > (failed ?? seed))));
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
  end = failed ?? next;
  for (const { seed, coverage: cells } of outcomes.values())
    if (seed <= end) for (const [cell, count] of cells) coverage.set(cell, (coverage.get(cell) ?? 0) + count);
  return { held: end - from, coverage, failed };
}

/** Gives a process seeds until there are none, or only such as don't matter. */
function work(
  child: ChildProcess,
  given: () => number[],
  take: (outcome: Outcome) => void,
  isIdle: (seed: number) => boolean,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let left: number[] = [];
    const go = () => {
      left = given();
      if (left.length === 0) resolve();
      else child.send(left);
    };
    child.on('error', reject);
    child.on('exit', (code, signal) =>
      reject(new Error(`the process of seed ${left[0]} ends by itself: ${signal ?? code}`)),
    );
    child.on('message', (outcome: Outcome) => {
      take(outcome);
      left.shift();
      if (left.length === 0) go();
      else if (isIdle(left[0]!)) resolve();
    });
    go();
  });
}
