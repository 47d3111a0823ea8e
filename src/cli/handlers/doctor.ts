import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { appOf } from '../../app/processor-options.ts';
import { Dataset } from '../../dataset/dataset.ts';
import { EXIT, TaxiflowError, translate, translating } from '../../errors.ts';
import { shownUrl } from '../../printable.ts';
import { planReplay } from '../../replay/plan.ts';
import { isRunning, statePath } from '../../state/files.ts';
import { refuseOtherStream, streamIdentity } from '../../state/identity.ts';
import { StateReader } from '../../state/reader.ts';
import { inspectStream, missingStream, parseTarget, type StreamTarget } from '../../streams/connectors.ts';
import type { StreamFacts } from '../../streams/ports.ts';
import { checkViews } from '../../views/check.ts';
import { taxiViews } from '../../views/taxi.ts';
import type { Invocation } from '../command.ts';
import type { DoctorArguments } from '../commands/doctor.ts';
import { accessOf } from '../opensearch.ts';
import { printJson, progressLine, several, show, span, thousands } from '../terminal.ts';
import { whyUnused } from '../unused-input.ts';

interface Check {
  readonly check: string;
  readonly status: 'ok' | 'warning' | 'failed';
  readonly detail: string;
  /** What to do about it. */
  readonly advice?: string;
}

/** The capacity of a shard. */
const RECORDS_PER_SECOND = 1_000;
/** An aggregated record of 50 kB holds about 130 trips; a shard takes 1 MB per second. */
const AGGREGATED_TRIPS_PER_SECOND = 2_500;
const LITTLE_SPACE = 2e9;
const HOUR = 3_600_000;

export async function doctor(args: DoctorArguments, invocation: Invocation): Promise<number> {
  const target = parseTarget(args.stream);
  const checks: Check[] = [runtime(), folder(args.dataDir)];
  const found = await stream(args, target, checks);
  state(args, target, found, checks);
  const { paths } = args;
  if (paths.length > 0) await rate(args, paths, found, target, checks);
  if (args.opensearch !== undefined) await search(args, args.opensearch, checks);

  const failed = checks.some(({ status }) => status === 'failed');
  const told = checks.map(({ advice, ...check }) =>
    advice === undefined ? check : { ...check, advice: invocation.completed(advice) },
  );
  if (args.json) printJson({ command: 'doctor', ok: !failed, checks: told });
  else for (const check of told) show(`${line(check)}\n`);
  return failed ? EXIT.failed : EXIT.done;
}

function line({ check, status, detail, advice }: Check): string {
  return `${status.padEnd(8)} ${check.padEnd(12)} ${detail}${advice ? `; ${advice}` : ''}`;
}

/** Turns an error of `work` into a failed check with the error's message and hint. */
async function attempt<T>(checks: Check[], check: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    checks.push(failure(check, error));
    return undefined;
  }
}

function failure(check: string, error: unknown): Check {
  if (!(error instanceof TaxiflowError)) throw error;
  const { message: detail, hint } = error;
  return { check, status: 'failed', detail, ...(hint ? { advice: hint } : {}) };
}

function runtime(): Check {
  return { check: 'node', status: 'ok', detail: `${process.version}, ${process.platform} ${process.arch}` };
}

function folder(path: string): Check {
  const check = 'data folder';
  // doctor creates nothing, so it checks the nearest folder that exists.
  const there = nearestFolder(path);
  try {
    translating('the data folder', path, () => accessSync(there, constants.W_OK));
    if (!statSync(there).isDirectory()) throw translate(notFolder(), 'the data folder', path);
  } catch (error) {
    return failure(check, error);
  }
  const { bavail, bsize } = statfsSync(there);
  const free = bavail * bsize;
  const detail = `${path}${there === resolve(path) ? '' : ', which does not exist yet'}, ${(free / 1e9).toFixed(1)} GB free`;
  return free < LITTLE_SPACE
    ? { check, status: 'warning', detail, advice: 'an embedded stream needs about 0.4 GB per million trips' }
    : { check, status: 'ok', detail };
}

/** The path itself, or the nearest folder above it that exists. */
function nearestFolder(path: string): string {
  let there = resolve(path);
  while (!existsSync(there) && dirname(there) !== there) there = dirname(there);
  return there;
}

function notFolder(): Error {
  return Object.assign(new Error('not a folder'), { code: 'ENOTDIR' });
}

/** Undefined if the stream does not exist yet or cannot be described. */
async function stream(
  args: DoctorArguments,
  target: StreamTarget,
  checks: Check[],
): Promise<StreamFacts | undefined> {
  const check = 'stream';
  return attempt(checks, check, async () => {
    const { dataDir, region, endpointUrl } = args;
    const missing = missingStream(target, dataDir);
    if (missing !== undefined) {
      checks.push({
        check,
        status: 'ok',
        detail: `${missing} will be created by the first replay into it`,
      });
      return undefined;
    }
    const found = await inspectStream(target, { dataDir, region, endpointUrl });
    for (const fact of factsOf(found)) checks.push(fact);
    return found;
  });
}

function factsOf(found: StreamFacts): Check[] {
  const { name, openShards, records, onDemand, spreads, retentionMs } = found;
  const held = records === undefined ? '' : `, ${several(records, 'record')}`;
  const detail = `${name}, ${several(openShards, 'open shard')}${held}${onDemand ? ', on demand' : ''}`;
  const checks: Check[] = [];
  if (found.credentials)
    checks.push({ check: 'credentials', status: 'ok', detail: 'found, with access to this stream' });
  checks.push(
    spreads
      ? {
          check: 'stream',
          status: 'warning',
          detail: `${detail}, which chooses the shard of each record itself: a replay cannot send watermarks to its shards`,
          advice: 'set its record distribution strategy to USER_PARTITION_KEY',
        }
      : { check: 'stream', status: 'ok', detail },
  );
  if (Number.isFinite(retentionMs)) {
    const kept = `${retentionMs / HOUR} hours: a processor that is stopped for longer loses records`;
    checks.push({ check: 'retention', status: 'ok', detail: kept });
  }
  return checks;
}

function state(
  args: DoctorArguments,
  target: StreamTarget,
  found: StreamFacts | undefined,
  checks: Check[],
): void {
  const check = 'state';
  const dataDir = args.dataDir;
  const app = args.app ?? appOf(target);
  if (!existsSync(statePath(dataDir, app))) {
    checks.push({
      check,
      status: 'ok',
      detail: `app "${app}" has none yet; it will start at the trim horizon`,
    });
    return;
  }
  try {
    const reader = new StateReader(dataDir, app);
    try {
      const checkpoint = reader.checkpoint();
      reader.verify();
      const { retentionMs = Number.POSITIVE_INFINITY } = found ?? {};
      if (found) refuseOtherStream(reader.streamIdentity(), streamIdentity(found), app, reader.path);
      const arrivals = (checkpoint?.shards ?? []).map(({ ended, position }) =>
        !ended && position.at !== 'latest'
          ? (position.arrival ?? Number.POSITIVE_INFINITY)
          : Number.POSITIVE_INFINITY,
      );
      const earliest = arrivals.reduce((least, at) => Math.min(least, at), Number.POSITIVE_INFINITY);
      const gone = Date.now() - retentionMs - earliest;
      if (gone > 0) {
        checks.push({
          check,
          status: 'failed',
          detail: `${(gone / HOUR).toFixed(1)} hours of records expired from the stream before app "${app}" read them`,
          advice: 'continue without them with --allow-gap, or start over with another --app',
        });
        return;
      }
      const age = checkpoint ? span(Date.now() - Date.parse(checkpoint.at)) : undefined;
      const running = isRunning(dataDir, app) ? ', running now' : '';
      checks.push({
        check,
        status: 'ok',
        detail: `app "${app}", ${age === undefined ? 'no checkpoint yet' : `checkpoint ${thousands(checkpoint!.number)}, ${age} old`}${running}`,
      });
    } finally {
      reader.close();
    }
  } catch (error) {
    checks.push(failure(check, error));
  }
}

/** Compares the rate of a replay with the capacity of the stream's shards. */
async function rate(
  args: DoctorArguments,
  paths: readonly string[],
  found: StreamFacts | undefined,
  target: StreamTarget,
  checks: Check[],
): Promise<void> {
  const check = 'rate';
  const factor = args.speedup;
  const progress = await progressLine();
  progress.update('reading the trips');
  const plan = await attempt(checks, check, async () => {
    const dataset = await Dataset.open({
      paths,
      dataDir: args.dataDir,
      s3: { region: args.region, endpointUrl: args.endpointUrl },
    });
    return { ...(await planReplay(dataset, factor)), unused: whyUnused(dataset) };
  });
  progress.stop();
  if (!plan) return;
  if (plan.unused) {
    checks.push({ check, status: 'failed', detail: plan.unused.problem, advice: plan.unused.remedy });
    return;
  }
  const trips = several(plan.trips, 'trip');
  if (plan.peakRate === undefined) {
    checks.push({ check, status: 'ok', detail: `${trips}, as fast as the stream takes them` });
    return;
  }
  const detail = `${trips}, ${thousands(plan.peakRate)} per second at the peak with speedup ${factor}`;
  const each = args.aggregate ? AGGREGATED_TRIPS_PER_SECOND : RECORDS_PER_SECOND;
  const needed = Math.max(1, Math.ceil(plan.peakRate / each));
  if (!found?.limited || needed <= found.openShards) {
    checks.push({ check, status: 'ok', detail });
    return;
  }
  const packed = Math.ceil(plan.peakRate / AGGREGATED_TRIPS_PER_SECOND);
  const ways = [
    // Only Kinesis can reshard an on-demand stream.
    ...(found.onDemand ? [] : [`"taxiflow stream reshard ${target.name} --shards ${needed}"`]),
    ...(args.aggregate ? [] : [`--aggregate, which needs ${several(packed, 'shard')}`]),
    `a lower --speedup${found.onDemand ? ' until the stream has grown with its load' : ''}`,
  ];
  checks.push({
    check,
    status: 'warning',
    detail: `${detail}, which needs ${several(needed, 'shard')}, but the stream has ${found.openShards}: the replay would fall behind`,
    advice: ways.join(', or '),
  });
}

async function search(args: DoctorArguments, given: string, checks: Check[]): Promise<void> {
  const url = shownUrl(given);
  await attempt(checks, 'opensearch', async () => {
    const { connect, productOf } = await import('../../opensearch/connection.ts');
    const { checkedPrefix } = await import('../../opensearch/templates.ts');
    const { planSetup, reach } = await import('../../opensearch/setup.ts');
    const client = await connect(accessOf(args, given));
    try {
      const views = checkViews(taxiViews());
      const prefix = checkedPrefix(args.indexPrefix);
      const target = { client, url, prefix, views };
      const server = await reach(target);
      const { conflicts, steps } = await planSetup(target);
      const detail = `${productOf(server)} at ${url}`;
      const [conflict] = conflicts;
      const command = `"taxiflow es-setup --endpoint ${url}"`;
      if (conflict !== undefined)
        checks.push({
          check: 'opensearch',
          status: 'failed',
          detail: `${detail}: ${conflict}`,
          advice: 'choose other names with --index-prefix',
        });
      else if (steps.length > 0)
        checks.push({
          check: 'opensearch',
          status: 'warning',
          detail: `${detail}, ${several(steps.length, 'thing')} not set up`,
          advice: command,
        });
      else checks.push({ check: 'opensearch', status: 'ok', detail: `${detail}, set up` });
    } finally {
      await client.close();
    }
  });
}
