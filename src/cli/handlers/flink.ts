import { definitionOf, FlinkJob, openStream } from '../../app/flink-job.ts';
import { EXIT, usageError } from '../../errors.ts';
import { FlinkCluster, type JobFigures, OVER } from '../../flink/cluster.ts';
import { clusterOf } from '../../flink/gateway.ts';
import { checkedUrl } from '../../flink/http.ts';
import { folderUri } from '../../flink/result-files.ts';
import { type JobDefinition, scriptText } from '../../flink/script.ts';
import { subtasksFor } from '../../flink/shards.ts';
import { flinkPath, jarsFor, type ResultTarget } from '../../flink/tables.ts';
import { checkedPrefix } from '../../opensearch/templates.ts';
import { loadViews } from '../../views/load.ts';
import { taxiViews } from '../../views/taxi.ts';
import type { Invocation } from '../command.ts';
import type {
  JobArguments,
  ListArguments,
  PackageArguments,
  RestoreArguments,
  SqlArguments,
  StopArguments,
} from '../commands/flink.ts';
import { startOf } from '../start.ts';
import {
  formatted,
  isoOrNull,
  isoShort,
  printJson,
  say,
  several,
  show,
  span,
  thousands,
  write,
} from '../terminal.ts';

export async function sql(args: SqlArguments): Promise<number> {
  const { definition, subtasks } = await jobOf(args);
  const parallelism = subtasks * args.parallelism;
  const text = scriptText(definition, { parallelism, checkpointInterval: undefined, savepoint: undefined });
  const { app, source, target } = definition;
  if (args.json)
    printJson({ command: 'flink sql', app, parallelism, jars: jarsFor(source, target), sql: text });
  else show(text);
  return EXIT.done;
}

/** A job as the options have it, for the shards that the stream has now. */
async function jobOf(
  args: Omit<SqlArguments, 'json'>,
): Promise<{ definition: JobDefinition; subtasks: number }> {
  const views = args.views === undefined ? taxiViews() : await loadViews(args.views);
  const reader = await openStream(args);
  try {
    const options = {
      ...args,
      eventTime: 'dropoff' as const,
      views,
      from: startOf(args),
      connector: args.flinkConnector,
    };
    const { app } = await definitionOf({ ...options, target: { kind: 'files', uri: '' } }, reader);
    const definition = await definitionOf({ ...options, target: targetOf(args, app) }, reader);
    return { definition, subtasks: subtasksFor(await reader.shards(), reader.name) };
  } finally {
    await reader.close();
  }
}

export async function packageForAws(args: PackageArguments): Promise<number> {
  const { definition, subtasks } = await jobOf(args);
  const { app, source, target } = definition;
  if (target.kind === 'files' && target.uri.startsWith('file:'))
    throw usageError(
      'an application on AWS has no folder of this machine',
      'add --results-to s3://bucket/prefix',
    );
  const { packageJob } = await import('../../flink/package.ts');
  const { path, jars } = packageJob(definition, args.output, args.jars);
  const parallelism = subtasks * args.parallelism;
  const commands = createCommands(app, path, parallelism);
  if (args.json)
    printJson({
      command: 'flink package',
      app,
      file: path,
      parallelism,
      jars,
      needed: jarsFor(source, target),
      commands,
    });
  else show(`${commands.join('\n')}\n`);
  say(`${path}, with ${several(jars.length, 'jar')} of connectors`);
  if (jars.length === 0)
    say(
      `it has no connector yet: put ${jarsFor(source, target).join(' and ')} into a folder and name it with --jars`,
    );
  return EXIT.done;
}

/** The AWS commands that make an application of a package. Bucket and role are the user's. */
function createCommands(app: string, path: string, parallelism: number): string[] {
  const file = path.replace(/^.*[\\/]/, '');
  const parallel = `ParallelismConfiguration={ConfigurationType=CUSTOM,Parallelism=${parallelism},ParallelismPerKPU=1,AutoScalingEnabled=false}`;
  const code = `ApplicationCodeConfiguration={CodeContentType=ZIPFILE,CodeContent={S3ContentLocation={BucketARN=arn:aws:s3:::$BUCKET,FileKey=${file}}}}`;
  return [
    `aws s3 cp ${path} s3://$BUCKET/${file}`,
    `aws kinesisanalyticsv2 create-application --application-name ${app} --runtime-environment FLINK-1_20 --service-execution-role $ROLE_ARN --application-configuration "${code},FlinkApplicationConfiguration={${parallel}}"`,
    `aws kinesisanalyticsv2 start-application --application-name ${app}`,
  ];
}

/** Where a job writes its results. */
export function targetOf(
  {
    resultsTo,
    indexPrefix,
    dataDir,
  }: { resultsTo?: string | undefined; indexPrefix: string; dataDir: string },
  app: string,
): ResultTarget {
  if (resultsTo === undefined) return { kind: 'files', uri: folderUri(`${dataDir}/flink/${app}/results`) };
  if (!/^https?:/i.test(resultsTo)) return { kind: 'files', uri: folderUri(resultsTo) };
  return {
    kind: 'opensearch',
    url: checkedUrl(resultsTo, '--results-to'),
    prefix: checkedPrefix(indexPrefix),
  };
}

export async function list({ flinkGateway, flinkRest, dataDir, json }: ListArguments): Promise<number> {
  if (flinkGateway === undefined && flinkRest === undefined)
    throw usageError('flink list needs a cluster', 'add --flink-gateway URL or --flink-rest URL');
  const url =
    flinkRest === undefined
      ? await clusterOf(checkedUrl(flinkGateway!, '--flink-gateway'))
      : checkedUrl(flinkRest, '--flink-rest');
  const jobs = await new FlinkCluster(url).jobs();
  const apps = new Map(FlinkJob.all(dataDir).map(({ id, record }) => [id, record.app]));
  const rows = jobs.map(({ id, name, state, started }) => ({
    job: id,
    app: apps.get(id) ?? null,
    name,
    state,
    started: isoOrNull(started),
  }));
  if (json) printJson({ command: 'flink list', cluster: url, jobs: rows });
  else if (rows.length > 0)
    await write(
      formatted(
        rows.map((row) => ({ ...row, app: row.app ?? '–' })),
        'table',
      ),
    );
  if (rows.length === 0) say(`the cluster at ${url} has no jobs`);
  return EXIT.done;
}

export async function status({ app, dataDir, json }: JobArguments): Promise<number> {
  const job = FlinkJob.of(dataDir, app);
  const { record } = job;
  const figures = await job.figures();
  const failure =
    figures.state === 'FAILED' || (figures.restarts ?? 0) > 0
      ? await job.cluster.failureOf(job.id)
      : undefined;
  if (json)
    printJson({
      command: 'flink status',
      app: record.app,
      job: job.id,
      cluster: record.rest,
      submitted_at: record.submittedAt,
      shards: record.shards.length,
      ...figuresJson(figures),
      failure: failure ?? null,
      savepoint: record.savepoint?.path ?? null,
    });
  else {
    show(`${job.id}  ${figures.state} for ${span(figures.runningMs)}\n`);
    say(figuresText(figures));
    if (failure !== undefined) say(`last failure: ${failure}`);
    if (record.savepoint) say(`stopped with savepoint ${record.savepoint.path}`);
  }
  return figures.state === 'FAILED' ? EXIT.failed : EXIT.done;
}

export function figuresJson({
  state,
  restarts,
  checkpoints,
  records,
  behind,
  watermark,
  late,
  results,
}: JobFigures) {
  return {
    state,
    restarts: restarts ?? null,
    checkpoints: checkpoints.completed,
    failed_checkpoints: checkpoints.failed,
    checkpoint_at: isoOrNull(checkpoints.lastMs),
    records,
    behind_ms: furthest(behind),
    watermark: isoOrNull(watermark),
    late,
    results_written: results,
  };
}

/** Ms; null before the first read. */
function furthest(behind: JobFigures['behind']): number | null {
  const known = behind.map(({ ms }) => ms).filter((ms) => ms >= 0);
  return known.length === 0 ? null : known.reduce((a, b) => Math.max(a, b));
}

export function figuresText(figures: JobFigures): string {
  const { state, restarts = 0, checkpoints, records, watermark, late, results } = figures;
  const { behind_ms: behind } = figuresJson(figures);
  const parts = [
    OVER.includes(state) || state === 'RUNNING' ? '' : `${state}  `,
    `watermark ${isoShort(watermark ?? Number.NaN)}  ${thousands(records)} records  ${several(results, 'result')}`,
    behind === null ? '' : `  ${behind === 0 ? 'at the tip' : `${span(behind)} behind`}`,
    `  ${several(checkpoints.completed, 'checkpoint')}`,
    checkpoints.failed > 0 ? ` (${checkpoints.failed} failed)` : '',
    restarts > 0 ? `  ${several(restarts, 'restart')}` : '',
    late > 0 ? `  ${thousands(late)} late` : '',
  ];
  return parts.join('');
}

export async function stop(args: StopArguments, { completed }: Invocation): Promise<number> {
  if (args.cancel && (args.drain || args.savepoint !== undefined))
    throw usageError('--cancel makes no savepoint', 'omit --cancel, or the other options');
  const job = FlinkJob.of(args.dataDir, args.app);
  const folder =
    args.savepoint === undefined || args.savepoint === '' ? undefined : flinkPath(folderUri(args.savepoint));
  let savepoint: string | undefined;
  if (args.cancel) await job.cancel();
  else savepoint = await job.stop(args.drain, await job.readUpTo(), folder);
  if (args.json)
    printJson({
      command: 'flink stop',
      app: job.record.app,
      job: job.id,
      savepoint: savepoint ?? null,
      drained: args.drain,
    });
  else if (savepoint !== undefined) show(`${savepoint}\n`);
  say(
    savepoint === undefined
      ? `job ${job.id} is canceled`
      : args.drain
        ? 'stopped; all windows have fired'
        : completed(`stopped; "taxiflow flink restore --app ${job.record.app}" goes on from there`),
  );
  return EXIT.done;
}

export async function restore(args: RestoreArguments, { completed }: Invocation): Promise<number> {
  const job = await FlinkJob.restore(args.dataDir, args.app, args.savepoint, say);
  const { app, shards } = job.record;
  if (args.json) printJson({ command: 'flink restore', app, job: job.id, shards: shards.length });
  else show(`${job.id}\n`);
  say(
    completed(
      `running, with a subtask for each of ${several(shards.length, 'shard')}: "taxiflow flink status --app ${app}"`,
    ),
  );
  return EXIT.done;
}
