/** `npm run simulate`: searches seeds for one that fails. */
import './surroundings.ts';
import './disk-calls.ts';
import { parseArgs } from 'node:util';
import { S3Client } from '@aws-sdk/client-s3';
import { TaxiflowError } from '../../src/errors.ts';
import { muteVersionWarning } from '../../src/net/aws-sdk.ts';
import { KINDS } from './faults.ts';
import { simulate, type Verdict } from './line.ts';
import { search, serve } from './spread.ts';

process.env['AWS_ACCESS_KEY_ID'] = 'none';
process.env['AWS_SECRET_ACCESS_KEY'] = 'none';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    shrink: { type: 'boolean', default: false },
    coverage: { type: 'boolean', default: false },
  },
});

// What the SDK loads and reads at its first use is no part of any world.
muteVersionWarning();
await new S3Client({ region: 'us-east-1' }).config.credentials();

/** Of a seed that fails, to find the faults that matter. */
const MOST_RUNS = 200;

const print = (line: string) => process.stdout.write(`${line}\n`);

function words(error: unknown): string {
  if (error instanceof TaxiflowError) return `${error.code}: ${error.stack}`;
  return error instanceof Error && error.name === 'Broken'
    ? error.message
    : String((error as Error)?.stack ?? error);
}

async function one(seed: number): Promise<boolean> {
  const verdict = await simulate(seed, { tell: values.trace ? print : undefined });
  print(`${verdict.events} events, digest ${verdict.digest.toString(16)}`);
  if (verdict.error === undefined) return true;
  print(words(verdict.error));
  if (!values.trace) await shrink(verdict);
  return false;
}

/** What went wrong, without its figures. */
const kindOf = (error: unknown) =>
  words(error)
    .split('\n')[0]!
    .replaceAll(/[\d-]+/g, '');

/** Leaves out faults, many at a time and then each, as long as the same goes wrong; prints those that are left. */
async function shrink({ seed, error, faults }: Verdict): Promise<void> {
  let left = faults;
  let runs = 0;
  const fails = async (some: readonly string[]) => {
    runs++;
    const verdict = await simulate(seed, { only: new Set(some) });
    return verdict.error !== undefined && kindOf(verdict.error) === kindOf(error)
      ? verdict.faults
      : undefined;
  };
  for (
    let size = Math.ceil(left.length / 2);
    size >= 1 && runs < MOST_RUNS;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  )
    for (let at = 0; at < left.length && runs < MOST_RUNS; ) {
      const met = await fails([...left.slice(0, at), ...left.slice(at + size)]);
      // Those that never came up any more don't matter either.
      if (met) left = met;
      else at += size;
    }
  print(`of ${faults.length} faults, these are left after ${runs} runs:`);
  for (const fault of left) print(`  ${fault}`);
}

/** A row a fault, a column a state of the run; a fault that never happened has a row too. */
function printCoverage(coverage: ReadonlyMap<string, number>): void {
  const states = [...new Set([...coverage.keys()].map((cell) => cell.split('\t')[1]!))].sort();
  print(['fault'.padEnd(40), ...states.map((state) => state.padStart(14))].join(''));
  for (const [server, kinds] of Object.entries(KINDS))
    for (const kind of kinds) {
      const counts = states.map((state) => coverage.get(`${server} ${kind}\t${state}`) ?? 0);
      const never = counts.every((count) => count === 0) ? '  NEVER' : '';
      print(
        [`${server} ${kind}`.padEnd(40), ...counts.map((count) => String(count).padStart(14))].join('') +
          never,
      );
    }
}

async function many(): Promise<boolean> {
  const started = performance.now();
  const from = Number(values.from);
  const { held, coverage, failed } = await search(
    values.minutes === undefined
      ? { from, most: Number(values.seeds), deadline: Number.POSITIVE_INFINITY }
      : { from, most: Number.MAX_SAFE_INTEGER, deadline: started + Number(values.minutes) * 60_000 },
  );
  const seconds = (performance.now() - started) / 1_000;
  if (values.coverage) printCoverage(coverage);
  if (failed !== undefined) {
    const verdict = await simulate(failed);
    print(words(verdict.error));
    if (values.shrink) await shrink(verdict);
    print(
      `seed ${failed} fails after ${verdict.faults.length} faults; see it with: npm run simulate -- --seed ${failed} --trace`,
    );
  }
  print(`${held} seeds held, from ${from} on; ${(held / seconds).toFixed(1)} a second`);
  return failed === undefined;
}

const isServing = serve(async (seed) => {
  const { error, coverage } = await simulate(seed);
  return { seed, failed: error !== undefined, coverage: [...coverage] };
});
if (!isServing)
  process.exitCode = (await (values.seed === undefined ? many() : one(Number(values.seed)))) ? 0 : 1;
