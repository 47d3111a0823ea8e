/** `taxiflow process --engine flink`. */
import type { FlinkJob } from '../../app/flink-job.ts';
import { type FlinkRun, runOnFlink } from '../../app/flink-process.ts';
import type { Processor } from '../../app/processor.ts';
import { appOf } from '../../app/processor-options.ts';
import { EXIT, usageError } from '../../errors.ts';
import type { JobFigures } from '../../flink/cluster.ts';
import { checkedUrl } from '../../flink/http.ts';
import { describeTarget, parseTarget } from '../../streams/connectors.ts';
import type { View } from '../../views/language.ts';
import type { Invocation } from '../command.ts';
import type { ProcessArguments } from '../commands/process.ts';
import { flagName } from '../options.ts';
import { startOf } from '../start.ts';
import { interruption, printJson, progressLine, say, several, sinksJson, thousands } from '../terminal.ts';
import { figuresJson, figuresText, targetOf } from './flink.ts';

/** What the embedded engine can do and a job of Flink can't, and what is nearest to it. */
const EMBEDDED_ONLY = {
  allowedLateness: [
    "Flink's windows are never corrected: a trip that comes after they fired is dropped and counted",
    'omit it, or use the embedded engine',
  ],
  closeIdle: ["Flink's windows wait for watermarks", 'use --until-end --drain'],
  state: ['the state of a job lies in its checkpoints, where the cluster has them', 'omit it'],
  standby: ['a cluster of Flink restarts its jobs by itself', 'omit it'],
  acceptChanges: [
    'a savepoint of Flink fits only the views it was made with',
    'give the changed views a name of their own with --app NAME',
  ],
  backfill: [
    'a savepoint of Flink fits only the views it was made with',
    'give the changed views a name of their own with --app NAME: a new job begins at the start of the stream',
  ],
  allowGap: ["Flink's connector doesn't tell what has left the stream before it was read", 'omit it'],
  metrics: [
    "its figures are the cluster's",
    'take the metrics of Flink, or run "taxiflow process --results-from" with --metrics',
  ],
  dryRun: ['a job of Flink is not changed', '"taxiflow flink sql" prints it'],
} as const;

/** Of --checkpoint-interval, ms. */
const EMBEDDED_DEFAULT_MS = 1_000;

function refuseForFlink(args: ProcessArguments): void {
  const given = (Object.keys(EMBEDDED_ONLY) as (keyof typeof EMBEDDED_ONLY)[]).find((name) => args[name]);
  if (given !== undefined) {
    const [why, instead] = EMBEDDED_ONLY[given];
    throw usageError(`--${flagName(given)} is for the embedded engine: ${why}`, instead);
  }
  if (args.consumer === 'efo')
    throw usageError('--consumer efo is for the embedded engine', 'omit it; a job reads by polling');
  if (args.followReshards && args.parallelism > 1)
    throw usageError(
      '--follow-reshards is for one subtask a shard: of more, some have no shard to tell the watermark of',
      'omit --parallelism',
    );
  if (args.flinkGateway === undefined)
    throw usageError(
      '--engine flink needs --flink-gateway',
      'add --flink-gateway URL, of the SQL gateway of a cluster',
    );
  if (
    args.detach &&
    (args.untilEnd || args.followReshards || args.output !== undefined || args.opensearch !== undefined)
  )
    throw usageError(
      '--detach submits the job and takes no results',
      'omit --detach, or run "taxiflow process --results-from" later',
    );
  if (
    args.resultsTo !== undefined &&
    /^https?:/i.test(args.resultsTo) &&
    (args.output !== undefined || args.opensearch !== undefined)
  )
    throw usageError(
      'results that the cluster sends to OpenSearch do not come home',
      'write them to a folder or s3:// with --results-to',
    );
}

export async function processOnFlink(
  args: ProcessArguments,
  views: readonly View[],
  invocation: Invocation,
  opensearch: Parameters<typeof runOnFlink>[0]['processor']['opensearch'],
  openPage: (processor: Processor) => Promise<void>,
): Promise<number> {
  refuseForFlink(args);
  const stream = parseTarget(args.stream);
  const app = args.app ?? appOf(stream);
  const target = targetOf(args, app);
  refuseFarFolder(args, target);
  say(describeTarget(stream, args.dataDir, args.endpointUrl), 'stream');
  const options = {
    ...args,
    app,
    views,
    from: startOf(args),
    gateway: args.flinkGateway!,
    rest: args.flinkRest,
    connector: args.flinkConnector,
    target,
    // The default is meant for a local state; a cluster has an interval of its own.
    checkpointInterval: args.checkpointInterval === EMBEDDED_DEFAULT_MS ? undefined : args.checkpointInterval,
    onNote: (note: string) => say(invocation.completed(`note: ${note}`)),
  };
  if (args.maxDisorder !== undefined)
    options.onNote(
      'with --max-disorder, Flink judges by the watermark of all shards: it may count trips that are late for the embedded engine',
    );
  if (args.detach) {
    const { FlinkJob: Job } = await import('../../app/flink-job.ts');
    return tellDetached(args, await Job.submit(options), invocation);
  }
  const progress = await progressLine();
  const { signal, done } = interruption();
  const began = performance.now();
  try {
    const run = await runOnFlink({
      ...options,
      signal,
      processor: {
        ...args,
        checkpointInterval: EMBEDDED_DEFAULT_MS,
        from: 'trim-horizon',
        stream: undefined,
        app,
        views,
        opensearch,
        allowedLateness: 0,
        onNote: options.onNote,
      },
      onSubmitted: (job) =>
        say(`job ${job.id} on ${job.record.rest}, ${several(job.record.shards.length, 'shard')}`),
      onTaking: openPage,
      onFigures: (figures) => progress.update(figuresText(figures)),
    });
    progress.stop();
    return report(args, invocation, run, app, performance.now() - began);
  } finally {
    progress.stop();
    done();
  }
}

/** A cluster elsewhere can't write into a folder of this machine. */
function refuseFarFolder(
  { flinkGateway, resultsTo }: ProcessArguments,
  target: ReturnType<typeof targetOf>,
): void {
  const host = new URL(checkedUrl(flinkGateway!, '--flink-gateway')).hostname;
  const isHere = ['localhost', '127.0.0.1', '[::1]'].includes(host);
  if (target.kind !== 'files' || resultsTo !== undefined || isHere) return;
  throw usageError(
    `the cluster at ${host} can't write into the data folder of this machine`,
    'name a place that both reach with --results-to, for example s3://bucket/prefix',
  );
}

function tellDetached(args: ProcessArguments, job: FlinkJob, { completed }: Invocation): number {
  const { app, definition, rest, shards } = job.record;
  if (args.json)
    printJson({
      command: 'process',
      engine: 'flink',
      stream: job.record.stream,
      app,
      job: job.id,
      cluster: rest,
      shards: shards.length,
      detached: true,
    });
  say(`job ${job.id} on ${rest}, ${several(shards.length, 'shard')}`);
  say(completed(`it goes on by itself: "taxiflow flink status --app ${app}"`));
  if (definition.target.kind === 'files')
    say(completed(`its results: "taxiflow process --app ${app} --results-from ${definition.target.uri}"`));
  return EXIT.done;
}

function report(
  args: ProcessArguments,
  { completed }: Invocation,
  run: FlinkRun,
  app: string,
  duration: number,
): number {
  const { job, figures, tally, savepoint, taken, left } = run;
  const { line, reconciled } = reconciliationOf(run, args.drain);
  if (args.json) {
    const told = {
      command: 'process',
      engine: 'flink',
      stream: job.record.definition.source.arn,
      app,
      job: job.id,
      cluster: job.record.rest,
      state: run.path ?? null,
      shards: job.record.shards.length,
      ...(figures ? jobJson(figures) : {}),
      records_there: tally?.records ?? null,
      unreadable: unreadable(run) ?? null,
      behind_their_shard: tally?.behind ?? null,
      savepoint: savepoint ?? null,
      results: taken?.counters.processed ?? null,
      duplicate: taken?.counters.duplicate ?? null,
      dead: taken?.counters.dead ?? null,
      sinks: sinksJson(taken?.sinks ?? []),
      duration_ms: Math.round(duration),
      interrupted: left,
      reconciled,
      reconciliation: line,
    };
    if (args.output === '-') say(JSON.stringify(told), 'outcome');
    else printJson(told);
  }
  say(line, 'outcome');
  if (figures) say(figuresText(figures));
  for (const { name, delivered, pending, rejected } of taken?.sinks ?? [])
    say(
      `${name}: ${several(delivered - rejected, 'result')} delivered in all${rejected > 0 ? `, ${thousands(rejected)} refused` : ''}${pending > 0 ? `, ${thousands(pending)} behind` : ''}`,
    );
  if (tally && tally.behind > 0)
    say(
      `${several(tally.behind, 'trip')} behind the watermark of their own shard: Flink goes by that of all shards, so windows may count more of them than the embedded engine`,
    );
  if (savepoint !== undefined) say(`stopped with savepoint ${savepoint}`);
  if (left) {
    say(
      completed(
        `the job goes on: "taxiflow flink status --app ${app}" shows it, the same command follows it again`,
      ),
    );
    return EXIT.interrupted;
  }
  const dead = (taken?.counters.dead ?? 0) + (taken?.refused ?? 0);
  if (dead > 0) say(completed('refused results: "taxiflow dead-letters"'));
  if (!reconciled) return EXIT.rejected;
  return args.onError === 'report' && dead + (figures?.late ?? 0) + (unreadable(run) ?? 0) > 0
    ? EXIT.rejected
    : EXIT.done;
}

function jobJson(figures: JobFigures) {
  const { state, ...rest } = figuresJson(figures);
  return { job_state: state, ...rest };
}

/** Records that were there and that the job has not parsed, where all it has read is known. */
function unreadable({ job, figures, tally }: FlinkRun): number | undefined {
  if (!figures || !tally || !job.isFresh || (figures.restarts ?? 0) > 0) return undefined;
  return Math.max(0, tally.records - figures.records);
}

/** What went in and what came out; after a restart or from a savepoint on, Flink's own counts are of a part only. */
function reconciliationOf(run: FlinkRun, drained: boolean): { line: string; reconciled: boolean } {
  const { figures, tally, taken, job } = run;
  const lost = unreadable(run);
  // What a job that ran before had written may have come home before.
  const isCounted = figures !== undefined && job.isNew && job.isFresh && (figures.restarts ?? 0) === 0;
  const home = taken ? taken.counters.read : undefined;
  const written = figures?.results ?? 0;
  const isHome = !tally || home === undefined || !isCounted || (drained ? home >= written : home === written);
  const input =
    tally && lost !== undefined
      ? `${several(tally.records, 'record')} = parsed ${thousands(tally.records - lost)} + unreadable ${thousands(lost)}; late ${thousands(figures?.late ?? 0)}; `
      : '';
  const output = taken
    ? `results ${thousands(taken.counters.read)} = taken ${thousands(taken.counters.processed)} + duplicate ${thousands(taken.counters.duplicate)} + dead ${thousands(taken.counters.dead)}`
    : `results ${thousands(written)} written by the job`;
  const missing = isHome ? '' : `  THE JOB WROTE ${thousands(written)}`;
  return { line: `${input}${output}${missing}`, reconciled: isHome };
}
