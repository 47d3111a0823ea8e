import { systemClock } from '../../clock.ts';
import type { Dashboard } from '../../dashboard/server.ts';
import { DeadLetterBuffer } from '../../dead-letters.ts';
import { type ProcessOutcome, runProcess, type Sink, type SinkStatus } from '../../engine/run.ts';
import { EXIT, usageError } from '../../errors.ts';
import { NdjsonSink } from '../../sinks/ndjson.ts';
import { SqliteState, streamIdentity } from '../../state/sqlite-state.ts';
import { LocalStream } from '../../streams/local/log.ts';
import type { Position, StreamReader } from '../../streams/stream.ts';
import {
  DEFAULT_SHARDS,
  describeTarget,
  openStream,
  parseTarget,
  type StreamTarget,
} from '../../streams/target.ts';
import { checkViews } from '../../views/check.ts';
import { explainViews } from '../../views/explain.ts';
import { tumbling, type View } from '../../views/language.ts';
import { loadViews } from '../../views/load.ts';
import { taxiViews } from '../../views/taxi.ts';
import type { Arguments } from '../command.ts';
import { completed } from '../hints.ts';
import { milliseconds, portOf, text, time, whole } from '../read.ts';
import { RunNotes } from '../run-notes.ts';
import {
  interruption,
  isoOrNull,
  isoShort,
  printJson,
  progressLine,
  say,
  several,
  thousands,
} from '../terminal.ts';

export async function process(args: Arguments): Promise<number> {
  const settings = readSettings(args);
  const views = await chosenViews(args);
  if (args['explain']) {
    const plan = explainViews(views, settings.eventTime === 'arrival' ? 'arrival time' : 'drop-off time');
    if (args['json']) printJson(views);
    else globalThis.process.stdout.write(`${plan}\n`);
    return EXIT.done;
  }
  const dataDir = text(args, 'data-dir')!;
  const target = parseTarget(text(args, 'stream'));
  const search = await searchOf(args);
  say(describeTarget(target, dataDir, text(args, 'endpoint-url')));
  if (target.kind === 'local' && !LocalStream.exists(dataDir, target.name) && !args['until-end'])
    say(`note: local:${target.name} is new and empty; waiting for a replay`);
  const reader = await openStream(target, {
    dataDir,
    region: text(args, 'region'),
    endpointUrl: text(args, 'endpoint-url'),
    fanOut: args['consumer'] === 'efo' ? consumerOf(target, args) : undefined,
    // A stream to follow may be filled later; one that is named and read to its end has to be there.
    ...(args['until-end'] === true && text(args, 'stream') ? {} : { createShards: DEFAULT_SHARDS }),
  });
  try {
    return await run(args, views, reader, target, settings, search);
  } finally {
    await reader.close();
  }
}

type Settings = ReturnType<typeof readSettings>;

/** All options with a form of their own, so that a mistake in one is told before anything is made. */
function readSettings(args: Arguments) {
  const settings = {
    from: startPosition(args),
    eventTime: args['event-time'] as 'dropoff' | 'arrival',
    maxDisorder: milliseconds(args, 'max-disorder'),
    allowedLateness: milliseconds(args, 'allowed-lateness')!,
    checkpointInterval: milliseconds(args, 'checkpoint-interval')!,
    deadLetterLimit: whole(args, 'dead-letter-limit', 0)!,
  };
  if (args['drain'] && !args['until-end'])
    throw usageError('--drain needs an end to drain at', 'add --until-end');
  if (settings.eventTime === 'arrival' && settings.maxDisorder !== undefined)
    throw usageError(
      '--max-disorder is for drop-off times; arrival times have none',
      'leave one of them out',
    );
  return settings;
}

async function run(
  args: Arguments,
  views: View[],
  reader: StreamReader,
  target: StreamTarget,
  settings: Settings,
  search: Search | undefined,
): Promise<number> {
  const { deadLetterLimit, ...engineSettings } = settings;
  const { eventTime, allowedLateness } = settings;
  const app = text(args, 'app') ?? appOf(target);
  const state = SqliteState.open({
    dataDir: text(args, 'data-dir')!,
    app,
    identity: {
      stream: streamIdentity(reader),
      views: JSON.stringify(views),
      settings: `event time ${eventTime}, allowed lateness ${allowedLateness} ms`,
    },
  });
  const progress = await progressLine();
  const { signal, done } = interruption();
  let page: Dashboard | undefined;
  try {
    page = await pageOf(args, app);
    if (state.stored && args['from'] !== 'trim-horizon')
      say(`note: app "${app}" goes on from its checkpoint; --from is for a new one`);
    const sinks = await openSinks(args, views, state, deadLetterLimit, search);
    const refusedBefore = refusedBy(sinks);
    const started = Date.now();
    const notes = new RunNotes(state, sinks, settings.checkpointInterval);
    const outcome = await runProcess({
      reader,
      store: state,
      views,
      deadLetters: new DeadLetterBuffer(deadLetterLimit, state.stored?.deadLetters),
      sinks,
      clock: systemClock,
      ...engineSettings,
      untilEnd: () => args['until-end'] === true,
      drain: args['drain'] === true,
      allowGap: args['allow-gap'] === true,
      signal,
      onProgress: (now) => {
        notes.take(now);
        const { counters, watermark, openWindows, slowestShard, atTip } = now;
        const waits = atTip ? '  waiting for records' : '';
        const behind = sinks
          .map((sink) => sink.status())
          .filter(({ pending }) => pending > 0)
          .map(({ name, pending }) => `  ${name.split(/[ :]/)[0]} ${thousands(pending)} behind`);
        progress.update(
          `watermark ${isoShort(watermark)}  ${thousands(counters.read)} records  ${thousands(notes.recordsPerSecond)}/s  ${thousands(counters.results)} results  ${several(openWindows, 'open window')}${slowestShard === undefined ? '' : `  slowest: ${slowestShard}`}${behind.join('')}${waits}`,
        );
      },
      onNoWatermark: (shards) => say(noWatermarkNote(shards)),
    });
    progress.stop();
    const ms = Date.now() - started;
    return report(
      args,
      outcome,
      sinks.map((sink) => sink.status()),
      refusedBy(sinks) - refusedBefore,
      reader.name,
      app,
      state.path,
      ms,
    );
  } finally {
    progress.stop();
    await page?.close();
    done();
    state.close();
  }
}

async function pageOf(args: Arguments, app: string): Promise<Dashboard | undefined> {
  if (!args['dashboard']) return undefined;
  const { startDashboard } = await import('../../dashboard/dashboard.ts');
  const { LOOPBACK, tellPageFailed } = await import('./dashboard.ts');
  const options = { dataDir: text(args, 'data-dir')!, app, host: LOOPBACK, port: portOf(args) };
  const page = await startDashboard(options, tellPageFailed);
  say(`the live page: ${page.url}`);
  return page;
}

type Search = NonNullable<Awaited<ReturnType<typeof searchOf>>>;

/** Whom results go to, so that a mistake is told before anything is made; nothing is sent yet. */
async function searchOf(args: Arguments) {
  const url = text(args, 'opensearch');
  if (url === undefined) return undefined;
  const { connect } = await import('../../opensearch/connection.ts');
  const { checkedPrefix } = await import('../../opensearch/templates.ts');
  const { accessOf } = await import('../opensearch.ts');
  const prefix = checkedPrefix(text(args, 'index-prefix')!);
  return { client: await connect(accessOf(args, url)), url, prefix };
}

async function openSinks(
  args: Arguments,
  views: readonly View[],
  state: SqliteState,
  deadLetterLimit: number,
  search: Search | undefined,
): Promise<Sink[]> {
  const sinks: Sink[] = [];
  const output = text(args, 'output');
  if (output !== undefined) sinks.push(new NdjsonSink(state, output));
  if (search === undefined) return sinks;
  const { OpenSearchSink } = await import('../../sinks/opensearch.ts');
  const sink = new OpenSearchSink({
    ...search,
    views,
    outbox: state,
    deadLetters: new DeadLetterBuffer(deadLetterLimit, state.stored?.deadLetters),
    clock: systemClock,
    onTrouble: (trouble) => {
      const { pending } = sink.status();
      if (trouble === undefined) say('opensearch: goes on');
      else say(`opensearch: ${trouble}; ${several(pending, 'result')} behind`);
    },
  });
  await sink.open();
  return [...sinks, sink];
}

const MOST_NAMED = 3;

/** Says which shards hold the windows back. */
function noWatermarkNote(shards: readonly string[]): string {
  const named = shards.slice(0, MOST_NAMED).join(', ');
  const more = shards.length > MOST_NAMED ? ` and ${several(shards.length - MOST_NAMED, 'other shard')}` : '';
  return `note: no watermark has come in ${named}${more}, so no window can fire; give --max-disorder 10m to take it from the trips, or --event-time arrival`;
}

const LONGEST_CONSUMER = 128;

/** The consumer is registered under a name that tells whose it is. */
function consumerOf(target: StreamTarget, args: Arguments): string {
  if (target.kind !== 'kinesis')
    throw usageError(
      '--consumer efo is for Kinesis streams',
      'leave it out: an embedded stream is read as fast as it goes',
    );
  return `taxiflow-${text(args, 'app') ?? appOf(target)}`.slice(0, LONGEST_CONSUMER);
}

/** An app is named after its stream unless it is given a name. */
export function appOf(target: StreamTarget): string {
  return target.name.replace(/^.*\//, '');
}

async function chosenViews(args: Arguments): Promise<View[]> {
  const file = text(args, 'views');
  const size = milliseconds(args, 'window');
  if (size === 0) throw usageError('--window needs some length', 'write for instance 10m or 1h');
  if (file === undefined) return checkViews(taxiViews(size === undefined ? undefined : tumbling(size)));
  if (size !== undefined)
    throw usageError('--window is for the default views', 'set the window in your own views');
  return loadViews(file);
}

function startPosition(args: Arguments): Position {
  const from = text(args, 'from')!;
  if (from === 'trim-horizon' || from === 'latest') return { at: from };
  return { at: 'time', ms: time(args, 'from')! };
}

/** Results refused in all runs. */
function refusedBy(sinks: readonly Sink[]): number {
  return sinks.reduce((sum, sink) => sum + sink.status().rejected, 0);
}

function report(
  args: Arguments,
  outcome: ProcessOutcome,
  sinks: readonly SinkStatus[],
  refused: number,
  stream: string,
  app: string,
  path: string,
  ms: number,
): number {
  const { counters, totals } = outcome;
  const { read, watermarks, processed, filtered, duplicate, late, dead, results } = counters;
  const reconciled = read === watermarks + processed + filtered + duplicate + late + dead;
  const line =
    `read ${thousands(read)} = watermarks ${thousands(watermarks)} + processed ${thousands(processed)} + filtered ${thousands(filtered)}` +
    ` + duplicate ${thousands(duplicate)} + late ${thousands(late)} + dead ${thousands(dead)}${reconciled ? '' : '  DOES NOT ADD UP'}`;
  const summary = {
    command: 'process',
    stream,
    app,
    state: path,
    ...counters,
    open_windows: outcome.openWindows,
    watermark: isoOrNull(outcome.watermark),
    checkpoints: outcome.checkpoints,
    sinks: sinks.map(({ trouble, ...sink }) => ({ ...sink, trouble: trouble ?? null })),
    lost: outcome.lost,
    totals,
    duration_ms: ms,
    interrupted: outcome.interrupted,
    reconciled,
    reconciliation: line,
  };
  if (args['json']) {
    // Results have stdout when they were sent there.
    if (text(args, 'output') === '-') say(JSON.stringify(summary));
    else printJson(summary);
  }
  say(line);
  say(
    `${several(results, 'result')}, ${thousands(read / Math.max(0.001, ms / 1000))} records/s; watermark ${isoShort(outcome.watermark)}`,
  );
  for (const lost of outcome.lost) say(`lost: ${lost}, which left the stream before they were read`);
  if (outcome.noWatermark.length > 0) say(noWatermarkNote(outcome.noWatermark));
  if (outcome.openWindows > 0)
    say(`left open in the state: ${several(outcome.openWindows, 'window')}; the next run goes on from there`);
  for (const { name, delivered, pending, rejected } of sinks)
    say(
      // While an index is filled anew, what it refused before is still to come.
      `${name}: ${several(Math.max(0, delivered - rejected), 'result')} delivered in all${rejected > 0 ? `, ${thousands(rejected)} refused` : ''}${pending > 0 ? `, ${thousands(pending)} behind; the next run goes on from there` : ''}`,
    );
  if (late + dead + refused > 0)
    say(completed(`refused ${late + dead > 0 ? 'records' : 'results'}: "taxiflow dead-letters"`, args));
  if (outcome.interrupted) return EXIT.interrupted;
  return args['on-error'] === 'report' && late + dead + refused > 0 ? EXIT.rejected : EXIT.done;
}
