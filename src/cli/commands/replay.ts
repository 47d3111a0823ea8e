import { systemClock } from '../../clock.ts';
import { Dataset } from '../../dataset/dataset.ts';
import { DeadLetterBuffer } from '../../dead-letters.ts';
import { EXIT, usageError } from '../../errors.ts';
import { ReplayLedger } from '../../replay/ledger.ts';
import { planReplay } from '../../replay/plan.ts';
import { type AdaptTime, type ReplayOutcome, runReplay } from '../../replay/run.ts';
import type { StreamReader } from '../../streams/stream.ts';
import { DEFAULT_SHARDS, describeTarget, openStream, parseTarget } from '../../streams/target.ts';
import type { Arguments } from '../command.ts';
import { completed } from '../hints.ts';
import { shardsOf, speedup, text, time, whole } from '../read.ts';
import {
  interruption,
  isoOrNull,
  isoShort,
  type ProgressLine,
  printJson,
  progressLine,
  say,
  several,
  span,
  thousands,
} from '../terminal.ts';

export async function replay(args: Arguments): Promise<number> {
  const paths = args['paths'] as string[] | undefined;
  if (!paths || paths.length === 0) {
    const stream = text(args, 'stream');
    throw usageError(
      stream ? `no trips to replay; ${stream} was taken as the stream` : 'no trips to replay',
      'name a TLC file, a folder, a quoted glob, or - for stdin; "taxiflow generate --out trips.csv" makes one',
    );
  }
  const settings = readSettings(args);
  const rejected = new DeadLetterBuffer(settings.deadLetterLimit);
  const progress = await progressLine(settings.statisticsFrequency);
  const { signal, done } = interruption();
  try {
    const dataset = await openDataset(args, paths, rejected, progress, signal);
    if (args['dry-run']) return await dryRun(args, settings, dataset, progress, signal);
    return await send(args, settings, dataset, rejected, progress, signal);
  } finally {
    progress.stop();
    done();
  }
}

type Settings = ReturnType<typeof readSettings>;

/** All options with a form of their own, so that a mistake in one is told before anything is read or made. */
function readSettings(args: Arguments) {
  return {
    speedup: speedup(args),
    seek: time(args, 'seek'),
    until: time(args, 'until'),
    limit: whole(args, 'limit', 0),
    shards: shardsOf(args),
    deadLetterLimit: whole(args, 'dead-letter-limit', 0)!,
    statisticsFrequency: whole(args, 'statistics-frequency', 1)!,
  };
}

function openDataset(
  args: Arguments,
  paths: string[],
  rejected: DeadLetterBuffer,
  progress: ProgressLine,
  signal: AbortSignal,
): Promise<Dataset> {
  return Dataset.open({
    paths,
    signal,
    dataDir: text(args, 'data-dir')!,
    s3: {
      region: text(args, 'region'),
      endpointUrl: text(args, 'endpoint-url'),
      signRequest: args['sign-request'] !== false,
      requestPayer: args['request-payer'] === true,
    },
    assumeSorted: args['assume-sorted'] === true,
    failOnReject: args['on-error'] === 'fail',
    onReject: ({ reason, source, line, raw, detail }) =>
      rejected.add(reason, () => ({
        source,
        position: String(line),
        detail: detail(),
        raw: raw.slice(0, 10_000),
      })),
    onProgress: (read, total) =>
      progress.update(
        `reading trips: ${thousands(read / 1e6)} MB${total ? ` of ${thousands(total / 1e6)}` : ''}`,
      ),
  });
}

async function send(
  args: Arguments,
  { speedup, seek, until, limit, shards }: Settings,
  dataset: Dataset,
  rejected: DeadLetterBuffer,
  progress: ProgressLine,
  signal: AbortSignal,
): Promise<number> {
  const dataDir = text(args, 'data-dir')!;
  const target = parseTarget(text(args, 'stream'));
  say(describeTarget(target, dataDir, text(args, 'endpoint-url')));
  const writer = await openStream(target, {
    dataDir,
    createShards: shards ?? DEFAULT_SHARDS,
    region: text(args, 'region'),
    endpointUrl: text(args, 'endpoint-url'),
    aggregate: args['aggregate'] === true,
    watermarks: args['watermark'] !== false,
  });
  if (shards !== undefined) await noteOtherShards(args, writer, shards);
  const ledger = new ReplayLedger(dataDir, systemClock);
  const started = Date.now();
  try {
    const outcome = await runReplay({
      dataset,
      writer,
      ledger,
      rejected,
      clock: systemClock,
      speedup,
      seek,
      until,
      limit,
      adaptTime: args['adapt-time'] as AdaptTime,
      watermarks: args['watermark'] !== false,
      resume: args['resume'] === true,
      signal,
      onStart: (id, earlier) => {
        if (args['resume'] && earlier) say(`replay ${id} goes on at trip ${thousands(earlier.nextId)}`);
        else if (earlier?.finished)
          say(`note: this input is in ${writer.name} already; a processor counts its trips once`);
        else if (earlier)
          say(
            `note: an earlier replay of this input got to trip ${thousands(earlier.nextId)}; unless it still runs, --resume goes on there`,
          );
      },
      onJump: ({ from, to }) => say(`no trips from ${isoShort(from)} to ${isoShort(to)}: jumped over`),
      onProgress: ({ eventTime, acknowledged, lag }) => {
        const rate = acknowledged / Math.max(0.001, (Date.now() - started) / 1000);
        progress.update(
          `${isoShort(eventTime)}  ${thousands(acknowledged)} trips  ${thousands(rate)}/s  lag ${span(Math.max(0, lag))}`,
        );
      },
    });
    progress.stop();
    return report(args, dataset, outcome, writer.name, Date.now() - started);
  } finally {
    ledger.close();
    await writer.close();
  }
}

/** A stream that is there keeps its shards. */
async function noteOtherShards(args: Arguments, stream: StreamReader, wanted: number): Promise<void> {
  const open = (await stream.shards()).filter((shard) => shard.open).length;
  if (open === wanted) return;
  const command = `"taxiflow stream reshard ${stream.name} --shards ${wanted}"`;
  say(
    completed(
      `note: ${stream.name} has ${several(open, 'open shard')}; --shards is for one that is made, ${command} changes it`,
      args,
    ),
  );
}

function report(
  args: Arguments,
  dataset: Dataset,
  outcome: ReplayOutcome,
  stream: string,
  ms: number,
): number {
  const { counts } = dataset;
  const byReason = { ...counts.rejected, ...outcome.refused };
  const rejected = sum(byReason);
  const skipped = sum(outcome.skipped) + outcome.notSent;
  const reconciled = counts.rows === outcome.acknowledged + rejected + skipped;
  const reasons = Object.entries(byReason).map(([reason, count]) => `${thousands(count)} ${reason}`);
  const line =
    `read ${thousands(counts.rows)} = sent ${thousands(outcome.sent)} + rejected ${thousands(sum(counts.rejected))}` +
    `${skipped > 0 ? ` + not asked for ${thousands(skipped)}` : ''}` +
    `; sent = acknowledged ${thousands(outcome.acknowledged)} + refused ${thousands(sum(outcome.refused))}` +
    `${reasons.length > 0 ? ` (${reasons.join(', ')})` : ''}` +
    `${counts.blank > 0 ? `; blank lines ${thousands(counts.blank)}` : ''}${reconciled ? '' : '  DOES NOT ADD UP'}`;
  if (args['json']) {
    printJson({
      command: 'replay',
      stream,
      replay: outcome.replay,
      inputs: dataset.names,
      read: counts.rows,
      sent: outcome.sent,
      acknowledged: outcome.acknowledged,
      rejected,
      rejected_by_reason: byReason,
      skipped: { ...outcome.skipped, interrupted: outcome.notSent },
      blank_lines: counts.blank,
      unreadable_values: counts.unreadableValues,
      watermarks: outcome.watermarks,
      last_watermark: isoOrNull(outcome.lastWatermark),
      first_dropoff: isoOrNull(outcome.firstDropoff),
      last_dropoff: isoOrNull(outcome.lastDropoff),
      duration_ms: ms,
      interrupted: outcome.interrupted,
      reconciled,
      reconciliation: line,
    });
  }
  say(line);
  say(
    `${several(outcome.acknowledged, 'trip')} in ${span(ms)}, ${thousands(outcome.acknowledged / Math.max(0.001, ms / 1000))}/s; ${several(outcome.watermarks, 'watermark')}${outcome.lastWatermark === undefined ? '' : `, the last ${isoShort(outcome.lastWatermark)}`}`,
  );
  if (outcome.replay === null) {
    say('interrupted while the trips were being read: nothing was sent');
    return EXIT.interrupted;
  }
  if (rejected > 0) say(completed('rejected rows: "taxiflow dead-letters"', args));
  if (outcome.interrupted) {
    say('interrupted: the same command with --resume goes on from here');
    return EXIT.interrupted;
  }
  return rejected > 0 && args['on-error'] === 'report' ? EXIT.rejected : EXIT.done;
}

async function dryRun(
  args: Arguments,
  { speedup, seek, until, limit }: Settings,
  dataset: Dataset,
  progress: ProgressLine,
  signal: AbortSignal,
): Promise<number> {
  const plan = await planReplay(dataset, speedup, seek, until, limit);
  progress.stop();
  if (signal.aborted) return EXIT.interrupted;
  if (args['json']) {
    printJson({
      command: 'replay',
      dry_run: true,
      inputs: dataset.names,
      read: dataset.counts.rows,
      rejected: sum(dataset.counts.rejected),
      rejected_by_reason: dataset.counts.rejected,
      trips: plan.trips,
      first_dropoff: isoOrNull(plan.first),
      last_dropoff: isoOrNull(plan.last),
      duration_ms: plan.duration === undefined ? null : Math.round(plan.duration),
      mean_rate: plan.meanRate ?? null,
      peak_rate: plan.peakRate ?? null,
      shards_needed: plan.shardsNeeded ?? null,
    });
    return EXIT.done;
  }
  const lines = [
    `trips          ${thousands(plan.trips)}${sum(dataset.counts.rejected) > 0 ? ` (${thousands(sum(dataset.counts.rejected))} rows rejected)` : ''}`,
    `span           ${isoShort(plan.first)} … ${isoShort(plan.last)}`,
  ];
  if (plan.duration === undefined) lines.push('duration       as fast as the stream takes it');
  else {
    lines.push(
      `duration       ${span(plan.duration)} at speedup ${text(args, 'speedup')}`,
      `rate           ${thousands(plan.meanRate!)} trips/s on average, ${thousands(plan.peakRate!)} at the peak`,
      `shards needed  ${plan.shardsNeeded} at 1,000 records/s each`,
    );
  }
  process.stdout.write(`${lines.join('\n')}\n`);
  return EXIT.done;
}

function sum(counts: Readonly<Record<string, number | undefined>>): number {
  return Object.values(counts).reduce<number>((total, count) => total + (count ?? 0), 0);
}
