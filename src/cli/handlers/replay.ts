import { systemClock } from '../../clock.ts';
import { Dataset, type DatasetCounts } from '../../dataset/dataset.ts';
import { DeadLetterBuffer } from '../../dead-letters.ts';
import { EXIT, usageError } from '../../errors.ts';
import { ReplayLedger } from '../../replay/ledger.ts';
import { planReplay } from '../../replay/plan.ts';
import { type ReplayOutcome, runReplay } from '../../replay/run.ts';
import type { StreamReader } from '../../streams/stream.ts';
import { DEFAULT_SHARDS, describeTarget, openStream, parseTarget } from '../../streams/target.ts';
import type { Invocation } from '../command.ts';
import type { ReplayArguments } from '../commands/replay.ts';
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

export async function replay(args: ReplayArguments, invocation: Invocation): Promise<number> {
  const { paths, stream } = args;
  if (paths.length === 0) {
    throw usageError(
      stream ? `no trips to replay; ${stream} was taken as the stream` : 'no trips to replay',
      'name a TLC file, a folder, a quoted glob, or - for stdin; "taxiflow generate --out trips.csv" makes one',
    );
  }
  const rejected = new DeadLetterBuffer(args.deadLetterLimit);
  const progress = await progressLine(args.statisticsFrequency);
  const { signal, done } = interruption();
  try {
    const notes: string[] = [];
    const dataset = await openDataset(args, rejected, notes, progress, signal);
    if (args.dryRun) return await dryRun(args, dataset, notes, progress, signal);
    return await send(args, invocation, dataset, rejected, notes, progress, signal);
  } finally {
    progress.stop();
    done();
  }
}

function openDataset(
  args: ReplayArguments,
  rejected: DeadLetterBuffer,
  notes: string[],
  progress: ProgressLine,
  signal: AbortSignal,
): Promise<Dataset> {
  return Dataset.open({
    paths: args.paths,
    signal,
    dataDir: args.dataDir,
    s3: {
      region: args.region,
      endpointUrl: args.endpointUrl,
      signRequest: args.signRequest,
      requestPayer: args.requestPayer,
    },
    assumeSorted: args.assumeSorted,
    dateOrder: args.dateOrder,
    failOnReject: args.onError === 'fail',
    onNote: (note) => {
      notes.push(note);
      say(`note: ${note}`);
    },
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
  args: ReplayArguments,
  invocation: Invocation,
  dataset: Dataset,
  rejected: DeadLetterBuffer,
  notes: string[],
  progress: ProgressLine,
  signal: AbortSignal,
): Promise<number> {
  const { dataDir, speedup, seek, until, limit, shards } = args;
  const target = parseTarget(args.stream);
  say(describeTarget(target, dataDir, args.endpointUrl));
  const writer = await openStream(target, {
    dataDir,
    createShards: shards ?? DEFAULT_SHARDS,
    region: args.region,
    endpointUrl: args.endpointUrl,
    aggregate: args.aggregate,
    watermarks: args.watermark,
  });
  if (shards !== undefined) await noteOtherShards(invocation, writer, shards);
  const ledger = new ReplayLedger(dataDir, systemClock);
  const started = Date.now();
  let behind = 0;
  const tell = (note: string) => {
    notes.push(note);
    say(`note: ${note}`);
  };
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
      adaptTime: args.adaptTime,
      watermarks: args.watermark,
      resume: args.resume,
      signal,
      onStart: (id, earlier) => {
        if (args.resume && earlier) say(`replay ${id} goes on at trip ${thousands(earlier.nextId)}`);
        else if (earlier?.finished)
          tell(`this input is in ${writer.name} already; a processor counts its trips once`);
        else if (earlier)
          say(
            `note: an earlier replay of this input got to trip ${thousands(earlier.nextId)}; unless it still runs, --resume goes on there`,
          );
      },
      onStrays: ({ count, first, last }, meant) => {
        const when =
          first === last ? `at ${isoShort(first)}` : `from ${isoShort(first)} to ${isoShort(last)}`;
        const [lie, are] = count === 1 ? ['lies', 'is'] : ['lie', 'are'];
        tell(
          `${several(count, 'trip')} ending ${when} ${lie} more than a day before the others and ${are} left out of the ` +
            `reckoning: the trip that ends at ${isoShort(meant)} ends now; --seek chooses another`,
        );
      },
      onGap: ({ from, to }, at) =>
        tell(
          `no trips from ${isoShort(from)} to ${isoShort(to)}; those after that end from ${isoShort(at)} on`,
        ),
      onBehind: ({ trips, of, watermark, inputs }) => {
        const note =
          `${thousands(trips)} of ${several(of, 'trip')} are behind the watermark of ${writer.name}, which the replay of ${inputs} ` +
          `has moved to ${isoShort(watermark)}: they are late where their windows have fired; ` +
          'replay such files together, or into a stream of their own';
        behind = trips;
        tell(note);
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
    return report(
      args,
      invocation,
      dataset,
      { ...outcome, behind, notes },
      writer.name,
      Date.now() - started,
    );
  } finally {
    ledger.close();
    await writer.close();
  }
}

/** A stream that is there keeps its shards. */
async function noteOtherShards(invocation: Invocation, stream: StreamReader, wanted: number): Promise<void> {
  const open = (await stream.shards()).filter((shard) => shard.open).length;
  if (open === wanted) return;
  const command = `"taxiflow stream reshard ${stream.name} --shards ${wanted}"`;
  say(
    invocation.completed(
      `note: ${stream.name} has ${several(open, 'open shard')}; --shards is for one that is made, ${command} changes it`,
    ),
  );
}

function report(
  args: ReplayArguments,
  invocation: Invocation,
  dataset: Dataset,
  outcome: ReplayOutcome & { readonly behind: number; readonly notes: readonly string[] },
  stream: string,
  ms: number,
): number {
  const { counts } = dataset;
  const byReason = { ...counts.rejected, ...outcome.refused };
  const rejected = sum(byReason);
  const skipped = sum(outcome.skipped) + outcome.notSent;
  const reconciled = counts.rows === outcome.acknowledged + rejected + skipped;
  const reasons = Object.entries(byReason).map(([reason, count]) => `${thousands(count)} ${reason}`);
  const notes = counts.rows === 0 ? [...outcome.notes, NO_ROWS] : outcome.notes;
  const line =
    `read ${thousands(counts.rows)} = sent ${thousands(outcome.sent)} + rejected ${thousands(sum(counts.rejected))}` +
    `${skipped > 0 ? ` + not asked for ${thousands(skipped)}` : ''}` +
    `; sent = acknowledged ${thousands(outcome.acknowledged)} + refused ${thousands(sum(outcome.refused))}` +
    `${reasons.length > 0 ? ` (${reasons.join(', ')})` : ''}` +
    `${linesOf(counts)}${reconciled ? '' : '  DOES NOT ADD UP'}`;
  if (args.json) {
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
      lines: counts.lines,
      header_lines: counts.headers,
      blank_lines: counts.blank,
      continued_lines: counts.continued,
      unreadable_values: counts.unreadableValues,
      unreadable_example: counts.unreadableExample ?? null,
      behind_watermark: outcome.behind,
      notes,
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
  if (rejected > 0) say(invocation.completed('rejected rows: "taxiflow dead-letters"'));
  if (counts.rows === 0) say(`note: ${NO_ROWS}`);
  if (outcome.interrupted) {
    say('interrupted: the same command with --resume goes on from here');
    return EXIT.interrupted;
  }
  const nothingUsed = counts.rows > 0 && counts.trips === 0;
  if (nothingUsed) say(invocation.completed(NO_TRIPS));
  return nothingUsed || (rejected > 0 && args.onError === 'report') ? EXIT.rejected : EXIT.done;
}

const NO_ROWS = 'the input has a header and no rows';
const NO_TRIPS = 'no row could be used: "taxiflow dead-letters" shows what is wrong with them';

async function dryRun(
  args: ReplayArguments,
  dataset: Dataset,
  notes: readonly string[],
  progress: ProgressLine,
  signal: AbortSignal,
): Promise<number> {
  const { speedup, seek, until, limit } = args;
  const plan = await planReplay(dataset, speedup, seek, until, limit);
  progress.stop();
  if (signal.aborted) return EXIT.interrupted;
  const { counts } = dataset;
  const code = counts.rows > 0 && counts.trips === 0 ? EXIT.rejected : EXIT.done;
  if (args.json) {
    printJson({
      command: 'replay',
      dry_run: true,
      inputs: dataset.names,
      lines: counts.lines,
      header_lines: counts.headers,
      blank_lines: counts.blank,
      continued_lines: counts.continued,
      read: counts.rows,
      rejected: sum(counts.rejected),
      rejected_by_reason: counts.rejected,
      trips: plan.trips,
      first_dropoff: isoOrNull(plan.first),
      last_dropoff: isoOrNull(plan.last),
      duration_ms: plan.duration === undefined ? null : Math.round(plan.duration),
      mean_rate: plan.meanRate ?? null,
      peak_rate: plan.peakRate ?? null,
      shards_needed: plan.shardsNeeded ?? null,
      unreadable_values: counts.unreadableValues,
      unreadable_example: counts.unreadableExample ?? null,
      notes,
    });
    return code;
  }
  const lines = [
    `trips          ${thousands(plan.trips)}${sum(counts.rejected) > 0 ? ` (${thousands(sum(counts.rejected))} rows rejected)` : ''}`,
    `span           ${isoShort(plan.first)} … ${isoShort(plan.last)}`,
  ];
  if (plan.duration === undefined) lines.push('duration       as fast as the stream takes it');
  else {
    lines.push(
      `duration       ${span(plan.duration)} at speedup ${speedup}`,
      `rate           ${thousands(plan.meanRate!)} trips/s on average, ${thousands(plan.peakRate!)} at the peak`,
      `shards needed  ${plan.shardsNeeded} at 1,000 records/s each`,
    );
  }
  if (counts.unreadableValues > 0) lines.push(`left out       ${leftOut(counts)}`);
  process.stdout.write(`${lines.join('\n')}\n`);
  return code;
}

/** What the lines were that are no rows, and the values that trips go without. */
function linesOf(counts: DatasetCounts): string {
  return [
    counts.blank > 0 ? `; blank lines ${thousands(counts.blank)}` : '',
    counts.continued > 0 ? `; lines of rows over several ${thousands(counts.continued)}` : '',
    counts.unreadableValues > 0 ? `; values left out ${leftOut(counts)}` : '',
  ].join('');
}

function leftOut({ unreadableValues, unreadableExample }: DatasetCounts): string {
  return `${thousands(unreadableValues)}, such as ${unreadableExample}`;
}

function sum(counts: Readonly<Record<string, number | undefined>>): number {
  return Object.values(counts).reduce<number>((total, count) => total + (count ?? 0), 0);
}
