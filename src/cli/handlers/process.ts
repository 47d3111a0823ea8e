import { plannedChanges } from '../../app/changed-views.ts';
import { openProcessor, type Processor, type ProcessSummary } from '../../app/processor.ts';
import type { ProcessorProgress } from '../../app/processor-options.ts';
import type { Dashboard } from '../../dashboard/server.ts';
import type { SinkStatus } from '../../engine/sink.ts';
import type { Restored } from '../../engine/state-store.ts';
import { EXIT, usageError } from '../../errors.ts';
import { EXTRA_FIELDS } from '../../events/trip.ts';
import { changesText } from '../../state/view-changes.ts';
import { processFigures } from '../../status/emf.ts';
import { describeTarget, lacks, parseTarget, streamsThatCan } from '../../streams/connectors.ts';
import { checkViews, fieldsOf } from '../../views/check.ts';
import { explainViews } from '../../views/explain.ts';
import { tumbling, type View } from '../../views/language.ts';
import { loadViews } from '../../views/load.ts';
import { taxiViews } from '../../views/taxi.ts';
import type { Invocation } from '../command.ts';
import type { ProcessArguments } from '../commands/process.ts';
import { isLogJson } from '../log.ts';
import { type Metrics, startMetrics } from '../metrics.ts';
import { accessOf } from '../opensearch.ts';
import { flagName } from '../options.ts';
import { startOf } from '../start.ts';
import {
  interruption,
  isoOrNull,
  isoShort,
  printJson,
  progressLine,
  reconciliationOf,
  say,
  several,
  show,
  sinksJson,
  thousands,
} from '../terminal.ts';

const TAKEOVER_MS = 30_000;

export async function processStream(args: ProcessArguments, invocation: Invocation): Promise<number> {
  refuseContradictions(args);
  const views = await chosenViews(args);
  if (args.explain !== undefined) return explain(args, views);
  if (args.engine === 'flink') return onFlink(args, views, invocation);
  if (args.dryRun) return tellChanges(args, views);
  const target = parseTarget(args.stream);
  const from = startOf(args);
  const instead = args.consumer === 'efo' ? lacks(target, 'fan-out') : undefined;
  if (instead !== undefined)
    throw usageError(`--consumer efo is only for ${streamsThatCan('fan-out')}`, instead);
  say(
    args.resultsFrom === undefined
      ? describeTarget(target, args.dataDir, args.endpointUrl)
      : `results of Flink: ${args.resultsFrom}`,
    'stream',
  );
  const progress = await progressLine();
  const { signal, done } = interruption();
  let page: Dashboard | undefined;
  let metrics: Metrics | undefined;
  try {
    const processor = await openProcessor({
      ...args,
      from,
      views,
      signal,
      takeover: args.standby ? (args.takeover ?? TAKEOVER_MS) : undefined,
      opensearch: openSearchOf(args),
      // A stream created here would be empty; usually its name or the folder is a mistake.
      createStream: false,
      onProgress: (now) => progress.update(progressText(now, args.untilEnd)),
      onNote: (note) => say(invocation.completed(`note: ${note}`)),
      onNoWatermark: (shards) => say(noWatermark(shards), 'no-watermark'),
      onTrouble: (sink, trouble) =>
        say(troubleText(sink, trouble), trouble === undefined ? 'sink-delivers' : 'sink-waits'),
    });
    page = await openPage(args, processor);
    if (processor.goesOn && args.from !== 'trim-horizon')
      say(
        `note: app "${processor.app}" continues from its checkpoint; --from applies only to a new app`,
        'continues',
      );
    if (args.metrics) metrics = tellFigures(processor);
    const summary = await processor.run();
    progress.stop();
    metrics?.stop();
    return report(args, invocation, processor, { ...summary, views });
  } finally {
    progress.stop();
    metrics?.stop();
    await page?.close();
    done();
  }
}

function tellFigures(processor: Processor): Metrics {
  const { stream, app } = processor;
  const started = Date.now();
  return startMetrics({ stream, app }, (now) => processFigures(now, started, processor.figures));
}

async function onFlink(
  args: ProcessArguments,
  views: readonly View[],
  invocation: Invocation,
): Promise<number> {
  // Imported here so that the embedded engine doesn't pay for loading it.
  const { processOnFlink } = await import('./process-flink.ts');
  let page: Dashboard | undefined;
  try {
    return await processOnFlink(args, views, invocation, openSearchOf(args), async (processor) => {
      page = await openPage(args, processor);
    });
  } finally {
    await page?.close();
  }
}

async function explain(args: ProcessArguments, views: readonly View[]): Promise<number> {
  if (args.explain === 'sql') {
    const { sqlOfViews } = await import('../../views/sql/print.ts');
    show(sqlOfViews(views));
  } else if (args.json) printJson(views);
  else show(`${explainViews(views, args.eventTime === 'arrival' ? 'arrival time' : 'drop-off time')}\n`);
  return EXIT.done;
}

async function tellChanges(args: ProcessArguments, views: readonly View[]): Promise<number> {
  const changes = await plannedChanges({ ...args, views });
  if (args.json) printJson({ command: 'process', dry_run: true, changes });
  else if (changes.length > 0) show(`${changesText(changes, args.backfill)}\n`);
  say(changes.length === 0 ? 'no view of a state changes' : 'nothing was changed');
  return EXIT.done;
}

/** What is of no use without `--engine flink`. */
function refuseWithoutFlink(args: ProcessArguments): void {
  if (args.engine === 'flink') {
    if (args.resultsFrom === undefined) return;
    throw usageError(
      '--results-from takes the results of a job that runs already',
      'omit it or --engine flink',
    );
  }
  for (const option of ['flinkGateway', 'flinkRest', 'resultsTo', 'detach', 'followReshards'] as const)
    if (args[option]) throw usageError(`--${flagName(option)} needs --engine flink`, 'add --engine flink');
}

/** Runs before anything is created. */
function refuseContradictions(args: ProcessArguments): void {
  refuseWithoutFlink(args);
  if (args.resultsFrom !== undefined)
    for (const option of [
      'drain',
      'state',
      'archive',
      'allowedLateness',
      'closeIdle',
      'maxDisorder',
      'backfill',
      'dryRun',
    ] as const)
      if (args[option])
        throw usageError(
          `--${flagName(option)} is for a stream; --results-from takes results that are there`,
          `omit --${flagName(option)}`,
        );
  for (const option of ['resend', 'dashboards'] as const)
    if (args[option] && args.opensearch === undefined)
      throw usageError(`--${option} needs --opensearch`, 'add --opensearch URL');
  if (args.archiveInterval !== undefined && args.archive === undefined)
    throw usageError('--archive-interval needs --archive', 'add --archive PLACE');
  if (args.engine === 'flink' && args.archive !== undefined)
    throw usageError(
      '--archive is for the embedded engine',
      'omit it, or run a process of its own for the archive',
    );
  if (args.metrics && args.output === '-')
    throw usageError('--metrics and --output - both write to stdout', 'write the results to a file');
  if (args.takeover !== undefined && !args.standby)
    throw usageError('--takeover needs --standby', 'add --standby');
  for (const option of ['stateInterval', 'standby'] as const)
    if (args.state === undefined && args[option])
      throw usageError(`--${flagName(option)} needs --state`, 'add --state s3://bucket/prefix');
  if (args.drain && !args.untilEnd) throw usageError('--drain needs --until-end', 'add --until-end');
  if (args.eventTime === 'arrival' && args.maxDisorder !== undefined)
    throw usageError(
      '--max-disorder applies to drop-off times; arrival times are never out of order',
      'omit --max-disorder or --event-time',
    );
}

function openSearchOf(args: ProcessArguments) {
  const { opensearch: url, indexPrefix, resend, dashboards } = args;
  return url === undefined ? undefined : { ...accessOf(args, url), indexPrefix, resend, dashboards };
}

async function chosenViews({ views: file, window: size }: ProcessArguments): Promise<View[]> {
  if (size === 0) throw usageError('--window must be longer than 0', 'write for example 10m or 1h');
  if (file === undefined) return checkViews(taxiViews(size === undefined ? undefined : tumbling(size)));
  if (size !== undefined)
    throw usageError('--window applies only to the default views', 'set the window in your own views');
  return loadViews(file);
}

async function openPage(args: ProcessArguments, { app }: Processor): Promise<Dashboard | undefined> {
  if (!args.dashboard) return undefined;
  const { startDashboard } = await import('../../dashboard/dashboard.ts');
  const { LOOPBACK, tellPageFailed } = await import('./dashboard.ts');
  const options = { dataDir: args.dataDir, app, host: LOOPBACK, port: args.port };
  const page = await startDashboard(options, tellPageFailed);
  say(`live page: ${page.url}`, 'page');
  return page;
}

function progressText(now: ProcessorProgress, untilEnd: boolean): string {
  const { counters, watermark, openWindows, slowestShard, atTip, recordsPerSecond, fraction, sinks } = now;
  const slowest = slowestShard === undefined ? '' : `  slowest: ${slowestShard}`;
  const behind = sinks
    .filter(({ pending }) => pending > 0)
    .map(({ name, pending }) => `  ${name.split(/[ :]/)[0]} ${thousands(pending)} behind`);
  const share = untilEnd && fraction !== undefined ? `${Math.floor(fraction * 100)}%  ` : '';
  return (
    `${share}watermark ${isoShort(watermark)}  ${thousands(counters.read)} records  ${thousands(recordsPerSecond)}/s  ` +
    `${thousands(counters.results)} results  ${several(openWindows, 'open window')}${slowest}${behind.join('')}` +
    `${atTip ? '  waiting for records' : ''}`
  );
}

function troubleText({ name, unit, pending, since }: SinkStatus, trouble: string | undefined): string {
  const sink = name.split(/[ :]/)[0];
  if (trouble === undefined) return `${sink}: delivering again`;
  const things = unit ?? 'results';
  return `${sink}: ${things} wait since ${since}: ${trouble}; ${several(pending, things.slice(0, -1))} behind`;
}

const MOST_NAMED = 3;

/** Names the shards that hold the windows back. */
function noWatermark(shards: readonly string[]): string {
  const named = shards.slice(0, MOST_NAMED).join(', ');
  const more = shards.length > MOST_NAMED ? ` and ${several(shards.length - MOST_NAMED, 'other shard')}` : '';
  return `note: no watermark has arrived in ${named}${more}, so no window can fire; add --max-disorder 10m to derive it from the trips, or --event-time arrival`;
}

function report(
  args: ProcessArguments,
  invocation: Invocation,
  { stream, app, path }: Processor,
  summary: ProcessSummary & { readonly views: readonly View[] },
): number {
  const { counters, totals, sinks, refused, duration } = summary;
  const { late, dead } = counters;
  const { lateInAView, keyless } = summary;
  const { line, reconciled } = reconciliationOf(counters);
  const told = {
    command: 'process',
    stream,
    app,
    state: path,
    ...counters,
    open_windows: summary.openWindows,
    watermark: isoOrNull(summary.watermark),
    checkpoints: summary.checkpoints,
    sinks: sinksJson(sinks),
    lost: summary.lost,
    restored: summary.restored ? { ...summary.restored, waiting: summary.waiting } : null,
    late_in_a_view: lateInAView,
    without_key: keyless,
    totals,
    duration_ms: duration,
    interrupted: summary.interrupted,
    reconciled,
    reconciliation: line,
  };
  if (args.json) {
    // With --output -, stdout carries the results.
    if (args.output === '-' && !isLogJson()) say(JSON.stringify(told));
    else if (args.output !== '-') printJson(told);
  }
  say(line, 'outcome', { outcome: told });
  tell(summary, invocation);
  if (late + lateInAView + dead + refused > 0)
    say(
      invocation.completed(
        `refused ${late + lateInAView + dead > 0 ? 'records' : 'results'}: "taxiflow dead-letters"`,
      ),
      'refused',
    );
  if (summary.interrupted) return EXIT.interrupted;
  const unused = whyUnused(summary);
  for (const line of unused) say(invocation.completed(line), 'unused');
  return unused.length > 0 || (args.onError === 'report' && late + dead + refused > 0)
    ? EXIT.rejected
    : EXIT.done;
}

/** What a run did, in lines, beside its counts. */
function tell(summary: ProcessSummary & { readonly views: readonly View[] }, invocation: Invocation): void {
  const {
    counters: { read, results },
    sinks,
    duration,
    lateInAView,
    keyless,
  } = summary;
  say(
    `${several(results, 'result')}, ${thousands(read / Math.max(0.001, duration / 1000))} records/s; watermark ${isoShort(summary.watermark)}`,
    'outcome',
  );
  if (summary.restored) say(restoredText(summary.restored, summary.waiting), 'outcome');
  for (const lost of summary.lost)
    say(`lost: ${lost}, which expired from the stream before they were read`, 'lost');
  if (summary.noWatermark.length > 0) say(noWatermark(summary.noWatermark), 'no-watermark');
  if (lateInAView > 0)
    say(`${several(lateInAView, 'trip')} late in a view or window, and in time in another`, 'outcome');
  for (const [view, trips] of Object.entries(keyless))
    say(invocation.completed(withoutKey(view, trips, summary.views)), 'outcome');
  if (summary.openWindows > 0)
    say(
      `left open in the state: ${several(summary.openWindows, 'window')}; the next run continues from there`,
      'outcome',
    );
  for (const { name, unit, delivered, pending, rejected } of sinks)
    say(
      // While an index is being refilled, the documents it refused earlier count again later.
      `${name}: ${several(Math.max(0, delivered - rejected), unit === 'trips' ? 'trip' : 'result')} delivered in all${rejected > 0 ? `, ${thousands(rejected)} refused` : ''}${pending > 0 ? `, ${thousands(pending)} behind; the next run continues from there` : ''}`,
      'outcome',
    );
}

/** Names what trips lack that are in no window of a view. */
function withoutKey(name: string, trips: number, views: readonly View[]): string {
  const { by, time, window } = views.find((view) => view.name === name)!;
  const fields = fieldsOf({ name, window, by, aggregates: {}, ...(time && { time }) });
  const extra = fields.filter((field) => (EXTRA_FIELDS as readonly string[]).includes(field));
  const hint = extra.length > 0 ? `; "taxiflow replay --fields ${extra.join(',')}" sends it along` : '';
  return `view ${name}: ${several(trips, 'trip')} in none of its windows: no value for its key, of ${fields.join(', ')}${hint}`;
}

function restoredText({ from, epoch, checkpoint, at }: Restored, waiting: number): string {
  const which = epoch === undefined ? '' : `epoch ${epoch}, `;
  return `restored from ${from}: ${which}checkpoint ${checkpoint} of ${at}; re-read ${several(waiting, 'record')} that had arrived since`;
}

/** Why this run has used no trip although it read some; nothing if it has. */
function whyUnused({ counters }: ProcessSummary): string[] {
  const causes = [
    [counters.filtered, 'not in any view: "taxiflow process --explain" shows what the views select'],
    [counters.late, 'late, after their windows fired: --allowed-lateness takes them as corrections'],
    [counters.dead, 'unreadable: "taxiflow dead-letters" shows the records and the reasons'],
  ] as const;
  const [count, cause] = causes.reduce((most, other) => (other[0] > most[0] ? other : most));
  if (counters.processed > 0 || count === 0) return [];
  return [`no trip was used: ${several(count, 'record')} ${cause}`];
}
