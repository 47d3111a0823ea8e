import { openReplay, type Replay, type ReplayOptions, type ReplaySummary } from '../../app/replay.ts';
import { BUILT_IN } from '../../dataset/built-in.ts';
import type { DatasetCounts } from '../../dataset/dataset.ts';
import { isTripFile } from '../../dataset/inputs.ts';
import type { Timeline } from '../../dataset/timeline.ts';
import type { RejectReason } from '../../dataset/trips.ts';
import { EXIT, usageError } from '../../errors.ts';
import { type ReplayFigures, replayFigures } from '../../status/emf.ts';
import { describeTarget, parseTarget } from '../../streams/connectors.ts';
import type { OpenStream, StreamWriter } from '../../streams/ports.ts';
import type { Invocation } from '../command.ts';
import type { ReplayArguments } from '../commands/replay.ts';
import { type Metrics, startMetrics } from '../metrics.ts';
import {
  interruption,
  isoOrNull,
  isoShort,
  type ProgressLine,
  printJson,
  progressLine,
  say,
  several,
  show,
  span,
  thousands,
} from '../terminal.ts';
import { whyUnused } from '../unused-input.ts';

export async function replay(args: ReplayArguments, invocation: Invocation): Promise<number> {
  const { paths, stream, seek, until } = args;
  if (paths.length === 0 && stream !== undefined && isTripFile(stream))
    throw usageError(
      `no trips to replay; ${stream} was taken as the stream`,
      `write it without --stream: "taxiflow replay ${stream}"`,
    );
  if (seek !== undefined && until !== undefined && until <= seek)
    throw usageError(`--until ${isoShort(until)} is not after --seek ${isoShort(seek)}`);
  const progress = await progressLine(args.statisticsFrequency);
  const { signal, done } = interruption();
  const talk = new Talk(progress);
  let metrics: Metrics | undefined;
  try {
    const trips = await openReplay({
      ...args,
      s3: { signRequest: args.signRequest, requestPayer: args.requestPayer },
      watermarks: args.watermark,
      failOnReject: args.onError === 'fail',
      signal,
      onNote: (note) => talk.note(note),
      onRead: (bytes, of) =>
        progress.update(
          `reading trips: ${thousands(bytes / 1e6)} MB${of ? ` of ${thousands(of / 1e6)}` : ''}`,
        ),
      ...talk.events(args.resume),
    });
    if (paths.length === 0) say(invocation.completed(BUILT_IN_NOTE));
    if (args.dryRun) return await dryRun(args, trips, talk.notes, progress, signal);
    say(describeTarget(parseTarget(stream), args.dataDir, args.endpointUrl), 'stream');
    talk.stream = trips.streamName;
    if (args.metrics) metrics = tellFigures(args, trips, talk);
    const summary = await trips.run(async (opened) => {
      talk.stream = opened.name;
      talk.writer = opened;
      if (args.shards !== undefined) await noteOtherShards(invocation, opened, args.shards);
    });
    progress.stop();
    metrics?.stop();
    return report(args, invocation, trips, summary, talk);
  } finally {
    progress.stop();
    metrics?.stop();
    done();
  }
}

function tellFigures({ speedup }: ReplayArguments, trips: Replay, talk: Talk): Metrics {
  const figures = () =>
    replayFigures({
      progress: talk.progress,
      written: talk.writer?.counts,
      rejected: sum(trips.counts.rejected),
      paced: Number.isFinite(speedup),
    });
  return startMetrics({ stream: trips.streamName }, figures);
}

/** Messages while a replay runs, and those of them that the outcome repeats. */
class Talk {
  readonly notes: string[] = [];
  /** Number of trips behind the watermark of the stream. */
  behind = 0;
  stream = '';
  /** The open stream, and how far the replay is. */
  writer: StreamWriter | undefined;
  progress: ReplayFigures['progress'];
  readonly #progress: ProgressLine;
  #started = Date.now();

  constructor(progress: ProgressLine) {
    this.#progress = progress;
  }

  note(note: string): void {
    this.notes.push(note);
    say(`note: ${note}`);
  }

  events(
    resume: boolean,
  ): Pick<ReplayOptions, 'onStart' | 'onStrays' | 'onGap' | 'onBehind' | 'onJump' | 'onProgress'> {
    return {
      onStart: (id, earlier) => {
        this.#started = Date.now();
        if (resume && !earlier)
          this.note(
            `no interrupted replay of this input into ${this.stream} is known: it starts at the first trip`,
          );
        else if (resume && earlier)
          say(`replay ${id} continues at trip ${thousands(earlier.nextId)}`, 'continues');
        else if (earlier?.finished)
          this.note(`this input is already in ${this.stream}; a processor counts its trips once`);
        else if (earlier)
          this.note(
            `an earlier replay of this input reached trip ${thousands(earlier.nextId)}; if it is not running any more, --resume continues there`,
          );
      },
      onStrays: ({ count, first, last }, meant) => {
        const when =
          first === last ? `at ${isoShort(first)}` : `from ${isoShort(first)} to ${isoShort(last)}`;
        const [lie, are] = count === 1 ? ['ends', 'is'] : ['end', 'are'];
        this.note(
          `${several(count, 'trip')} ${lie} more than a day before the others, ${when}, and ${are} not used to align time: ` +
            `the trip that ends at ${isoShort(meant)} ends now; --seek chooses another`,
        );
      },
      onGap: ({ from, to }, at) =>
        this.note(
          `no trips from ${isoShort(from)} to ${isoShort(to)}; the trips after that end from ${isoShort(at)} on`,
        ),
      onBehind: ({ trips, of, watermark, inputs }) => {
        this.behind = trips;
        this.note(
          `${thousands(trips)} of ${several(of, 'trip')} are behind the watermark of ${this.stream}, which the replay of ${inputs} ` +
            `moved to ${isoShort(watermark)}: they are late where their windows have fired; ` +
            'replay such files together, or into separate streams',
        );
      },
      onJump: ({ from, to }) => say(`no trips from ${isoShort(from)} to ${isoShort(to)}: skipped`),
      onProgress: (now) => {
        this.progress = now;
        const { eventTime, acknowledged, lag, fraction, remaining } = now;
        const rate = acknowledged / Math.max(0.001, (Date.now() - this.#started) / 1000);
        this.#progress.update(
          [
            isoShort(eventTime),
            ...(fraction === undefined ? [] : [`${Math.floor(fraction * 100)}%`]),
            ...(remaining === undefined ? [] : [`ETA ${span(remaining)}`]),
            `${thousands(acknowledged)} trips`,
            `${thousands(rate)}/s`,
            `lag ${span(Math.max(0, lag))}`,
          ].join('  '),
        );
      },
    };
  }
}

/** Notes that `--shards` does not change an existing stream. */
async function noteOtherShards(invocation: Invocation, stream: OpenStream, wanted: number): Promise<void> {
  const open = (await stream.shards()).filter((shard) => shard.open).length;
  if (open === wanted) return;
  const command = `"taxiflow stream reshard ${stream.name} --shards ${wanted}"`;
  say(
    invocation.completed(
      `note: ${stream.name} has ${several(open, 'open shard')}; --shards applies only to a new stream, ${command} changes this one`,
    ),
  );
}

function report(
  args: ReplayArguments,
  invocation: Invocation,
  trips: Replay,
  outcome: ReplaySummary,
  { notes: told, behind, stream }: Talk,
): number {
  const { counts, duration: ms } = outcome;
  const byReason = { ...counts.rejected, ...outcome.refused };
  const rejected = sum(byReason);
  const skipped = sum(outcome.skipped) + outcome.notSent;
  const reconciled = counts.rows === outcome.acknowledged + rejected + skipped;
  const reasons = Object.entries(byReason).map(([reason, count]) => `${thousands(count)} ${reason}`);
  const notes = counts.rows === 0 ? [...told, NO_ROWS] : told;
  const line =
    `read ${thousands(counts.rows)} = sent ${thousands(outcome.sent)} + rejected ${thousands(sum(counts.rejected))}` +
    `${skipped > 0 ? ` + skipped ${thousands(skipped)}` : ''}` +
    `; sent = acknowledged ${thousands(outcome.acknowledged)} + refused ${thousands(sum(outcome.refused))}` +
    `${reasons.length > 0 ? ` (${reasons.join(', ')})` : ''}` +
    `${linesOf(counts)}${reconciled ? '' : '  DOES NOT ADD UP'}`;
  const json = {
    command: 'replay',
    stream,
    replay: outcome.replay,
    inputs: trips.inputs,
    read: counts.rows,
    sent: outcome.sent,
    acknowledged: outcome.acknowledged,
    rejected,
    rejected_by_reason: byReason,
    rejected_examples: counts.rejectedExamples,
    skipped: { ...outcome.skipped, interrupted: outcome.notSent },
    lines: counts.lines,
    header_lines: counts.headers,
    blank_lines: counts.blank,
    continued_lines: counts.continued,
    unreadable_values: counts.unreadableValues,
    unreadable_example: counts.unreadableExample ?? null,
    times_twice: counts.timesTwice,
    times_never: counts.timesNever,
    behind_watermark: behind,
    notes,
    watermarks: outcome.watermarks,
    last_watermark: isoOrNull(outcome.lastWatermark),
    first_dropoff: isoOrNull(outcome.firstDropoff),
    last_dropoff: isoOrNull(outcome.lastDropoff),
    duration_ms: ms,
    interrupted: outcome.interrupted,
    reconciled,
    reconciliation: line,
  };
  if (args.json) printJson(json);
  say(line, 'outcome', { outcome: json });
  say(
    `${several(outcome.acknowledged, 'trip')} in ${span(ms)}, ${thousands(outcome.acknowledged / Math.max(0.001, ms / 1000))}/s; ${several(outcome.watermarks, 'watermark')}${outcome.lastWatermark === undefined ? '' : `, the last ${isoShort(outcome.lastWatermark)}`}`,
    'outcome',
  );
  if (outcome.replay === null) {
    say('interrupted while reading the trips: nothing was sent', 'outcome');
    return EXIT.interrupted;
  }
  if (rejected > 0) say(invocation.completed('rejected rows: "taxiflow dead-letters"'), 'refused');
  if (counts.rows === 0) say(`note: ${NO_ROWS}`);
  if (outcome.interrupted) {
    say('interrupted: the same command with --resume continues from here', 'outcome');
    return EXIT.interrupted;
  }
  const isUnused = sayUnused(trips, invocation);
  return isUnused || (rejected > 0 && args.onError === 'report') ? EXIT.rejected : EXIT.done;
}

/** Says why hardly any of the input was used; false if it was. */
function sayUnused(trips: Replay, invocation: Invocation): boolean {
  const unused = whyUnused(trips);
  if (!unused) return false;
  const isKept = sum(trips.counts.rejected) > 0;
  const shown = isKept ? '; "taxiflow dead-letters" shows the rows' : '';
  say(unused.problem, 'unused');
  say(invocation.completed(`Try: ${unused.remedy}${shown}`), 'unused');
  return true;
}

const NO_ROWS = 'the input has a header and no rows';
const BUILT_IN_NOTE = `replaying the built-in trips, a made-up week from ${BUILT_IN.from}; name files to replay your own ("taxiflow data list")`;

async function dryRun(
  args: ReplayArguments,
  trips: Replay,
  notes: readonly string[],
  progress: ProgressLine,
  signal: AbortSignal,
): Promise<number> {
  const { speedup } = args;
  const plan = await trips.plan();
  progress.stop();
  if (signal.aborted) return EXIT.interrupted;
  const { counts } = trips;
  const rejected = sum(counts.rejected);
  const unused = whyUnused(trips);
  const code = unused ? EXIT.rejected : EXIT.done;
  if (args.json) {
    printJson({
      command: 'replay',
      dry_run: true,
      inputs: trips.inputs,
      lines: counts.lines,
      header_lines: counts.headers,
      blank_lines: counts.blank,
      continued_lines: counts.continued,
      read: counts.rows,
      rejected,
      rejected_by_reason: counts.rejected,
      rejected_examples: counts.rejectedExamples,
      trips: plan.trips,
      bucket_ms: plan.timeline.width,
      trips_by_bucket: plan.timeline.buckets().map(({ start, trips }) => [isoOrNull(start), trips]),
      first_dropoff: isoOrNull(plan.first),
      last_dropoff: isoOrNull(plan.last),
      duration_ms: plan.duration === undefined ? null : Math.round(plan.duration),
      mean_rate: plan.meanRate ?? null,
      peak_rate: plan.peakRate ?? null,
      shards_needed: plan.shardsNeeded ?? null,
      unreadable_values: counts.unreadableValues,
      unreadable_example: counts.unreadableExample ?? null,
      times_twice: counts.timesTwice,
      times_never: counts.timesNever,
      notes,
    });
    return code;
  }
  const lines = [
    `trips          ${thousands(plan.trips)}`,
    `span           ${isoShort(plan.first)} … ${isoShort(plan.last)}`,
    ...chart(plan.timeline),
  ];
  if (plan.trips === 0) lines.pop();
  else if (plan.duration === undefined) lines.push('duration       as fast as the stream accepts records');
  else {
    lines.push(
      `duration       ${span(plan.duration)} at speedup ${speedup}`,
      `rate           ${thousands(plan.meanRate!)} trips/s on average, ${thousands(plan.peakRate!)} at the peak`,
      `shards needed  ${plan.shardsNeeded} at 1,000 records/s each`,
    );
  }
  for (const [reason, count] of Object.entries(counts.rejected) as [RejectReason, number][])
    lines.push(
      `rejected       ${thousands(count)} ${reason}, the first in ${counts.rejectedExamples[reason]}`,
    );
  if (counts.unreadableValues > 0) lines.push(`left out       ${leftOut(counts)}`);
  show(`${lines.join('\n')}\n`);
  if (unused) {
    say(unused.problem);
    say(`Try: ${unused.remedy}`);
  }
  return code;
}

const CHART_WIDTH = 60;
const BARS = '▁▂▃▄▅▆▇█';

/** Trips over time as a line of bars. Hours without trips have no bar, so that strays of other years don't flatten it. */
function chart(timeline: Timeline): string[] {
  const buckets = timeline.buckets();
  const per = Math.ceil(buckets.length / CHART_WIDTH);
  const bars: number[] = [];
  for (const [i, { trips }] of buckets.entries()) {
    const bar = Math.floor(i / per);
    bars[bar] = (bars[bar] ?? 0) + trips;
  }
  if (bars.length < 2) return [];
  const most = bars.reduce((high, bar) => Math.max(high, bar));
  const text = bars.map((bar) => BARS[Math.ceil((bar / most) * BARS.length) - 1]).join('');
  return [
    `per ${span(per * timeline.width)
      .replace(' 00m', '')
      .padEnd(10)} ${text}  ${thousands(most)} at most`,
  ];
}

/** Counts of lines that are not rows, and of values that were left out. */
function linesOf(counts: DatasetCounts): string {
  return [
    counts.blank > 0 ? `; blank lines ${thousands(counts.blank)}` : '',
    counts.continued > 0 ? `; lines of rows over several ${thousands(counts.continued)}` : '',
    counts.unreadableValues > 0 ? `; values left out ${leftOut(counts)}` : '',
    clockChanges(counts),
  ].join('');
}

/** Local times that clocks showed twice, or never. */
function clockChanges({ timesTwice, timesNever }: DatasetCounts): string {
  const twice = timesTwice > 0 ? `; times that came twice ${thousands(timesTwice)}` : '';
  return `${twice}${timesNever > 0 ? `; times that never came ${thousands(timesNever)}` : ''}`;
}

function leftOut({ unreadableValues, unreadableExample }: DatasetCounts): string {
  return `${thousands(unreadableValues)}, such as ${unreadableExample}`;
}

function sum(counts: Readonly<Record<string, number | undefined>>): number {
  return Object.values(counts).reduce<number>((total, count) => total + (count ?? 0), 0);
}
