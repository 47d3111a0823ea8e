/** `npm run simulate`: searches seeds for one that fails. */
import './surroundings.ts';
import { parseArgs } from 'node:util';
import { S3Client } from '@aws-sdk/client-s3';
import { TaxiflowError } from '../../src/errors.ts';
import { muteVersionWarning } from '../../src/net/aws-sdk.ts';
import { simulate, type Verdict } from './line.ts';

process.env['AWS_ACCESS_KEY_ID'] = 'none';
process.env['AWS_SECRET_ACCESS_KEY'] = 'none';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    coverage: { type: 'boolean', default: false },
  },
});

// What the SDK loads and reads at its first use is no part of any world.
muteVersionWarning();
await new S3Client({ region: 'us-east-1' }).config.credentials();

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
  return false;
}

async function many(): Promise<boolean> {
  const started = performance.now();
  const from = Number(values.from);
  const deadline =
    values.minutes === undefined ? Number.POSITIVE_INFINITY : started + Number(values.minutes) * 60_000;
  const most = values.minutes === undefined ? Number(values.seeds) : Number.POSITIVE_INFINITY;
  const coverage = new Map<string, number>();
  let held = 0;
  let failed: Verdict | undefined;
  while (held < most && performance.now() < deadline && !failed) {
    const verdict = await simulate(from + held);
    for (const [cell, count] of verdict.coverage) coverage.set(cell, (coverage.get(cell) ?? 0) + count);
    if (verdict.error === undefined) held++;
    else failed = verdict;
  }
  if (values.coverage) for (const [cell, count] of [...coverage].sort()) print(`${cell}\t${count}`);
  const seconds = (performance.now() - started) / 1_000;
  if (failed) {
    print(words(failed.error));
    print(
      `seed ${failed.seed} fails after ${failed.faults.length} faults; see it with: npm run simulate -- --seed ${failed.seed} --trace`,
    );
  }
  print(`${held} seeds held, from ${from} on; ${(held / seconds).toFixed(1)} a second`);
  return !failed;
}

process.exitCode = (await (values.seed === undefined ? many() : one(Number(values.seed)))) ? 0 : 1;
