/** A run of an app on a cluster of Flink: submits the job, follows it, and takes its results into the app's state meanwhile. */
import type { JobFigures } from '../flink/cluster.ts';
import { checkedQueries } from '../flink/script.ts';
import { type Tally, tallyOf } from '../flink/tally.ts';
import type { Position, StreamReader } from '../streams/ports.ts';
import { checkViews } from '../views/check.ts';
import { type Followed, follow } from './flink-follow.ts';
import { FlinkJob, type FlinkOptions, openStream } from './flink-job.ts';
import { openProcessor, type Processor, type ProcessSummary } from './processor.ts';
import type { ProcessorOptions } from './processor-options.ts';

export interface FlinkRunOptions extends FlinkOptions {
  /** What else the processor that takes the results needs. */
  readonly processor: ProcessorOptions;
  /** Stop the job with a savepoint once all is read that the stream holds now. */
  readonly untilEnd: boolean;
  /** Fire the open windows before that; nothing goes on from such a job. */
  readonly drain: boolean;
  /** Stop after a reshard, and start again with a subtask for each new shard. */
  readonly followReshards: boolean;
  readonly signal: AbortSignal;
  readonly onSubmitted: (job: FlinkJob) => void;
  readonly onTaking: (processor: Processor) => Promise<void>;
  readonly onFigures: (figures: JobFigures) => void;
}

export interface FlinkRun {
  readonly job: FlinkJob;
  readonly figures: JobFigures | undefined;
  /** What the stream held when the run began, with `untilEnd`. */
  readonly tally: Tally | undefined;
  /** The job was stopped, and goes on from there. */
  readonly savepoint: string | undefined;
  /** Of what came home; undefined where results go elsewhere. */
  readonly taken: ProcessSummary | undefined;
  readonly path: string | undefined;
  /** Ended by the user, with the job running on. */
  readonly left: boolean;
}

/** Throws as its parts do; the job of a run that fails goes on, unless it has failed itself. */
export async function runOnFlink(options: FlinkRunOptions): Promise<FlinkRun> {
  const { target, signal } = options;
  // A state is made with its views, so those that Flink can't take are refused before.
  checkedQueries(checkViews(options.views), options.eventTime);
  const isOver = { now: false };
  const stopTaking = new AbortController();
  // What is wrong with the state or its sinks is told before there is a job.
  const taking =
    target.kind === 'files' ? await openTaking(options, target.uri, isOver, stopTaking.signal) : undefined;
  let run: Promise<ProcessSummary> | undefined;
  let reader: StreamReader | undefined;
  try {
    let job = await FlinkJob.submit(options);
    options.onSubmitted(job);
    reader = await openStream(options);
    const counting = options.untilEnd ? tallyOf(reader, positionOf(options.from), signal) : undefined;
    counting?.catch(() => {});
    run = taking?.run();
    // What takes the results may fail first; that is told then.
    run?.catch(() => stopTaking.abort());
    const ends = AbortSignal.any([signal, stopTaking.signal]);
    let followed: Followed;
    let savepoint: string | undefined;
    for (;;) {
      followed = await follow({ ...options, job, reader, tally: counting, signal: ends });
      if (followed.end === 'left') break;
      savepoint = await job.stop(options.drain, followed.readUpTo);
      if (followed.end === 'read') break;
      job = await FlinkJob.restore(options.dataDir, job.record.app, undefined, options.onNote);
      options.onSubmitted(job);
    }
    isOver.now = true;
    const left = followed.end === 'left';
    if (left) stopTaking.abort();
    const taken = await run;
    const tally = followed.end === 'read' ? await counting : undefined;
    return { job, figures: followed.figures, tally, savepoint, taken, path: taking?.path, left };
  } finally {
    // Results that are final by now come home, whatever became of the job.
    isOver.now = true;
    await run?.catch(() => {});
    if (!run) await taking?.close();
    await reader?.close();
  }
}

function openTaking(
  options: FlinkRunOptions,
  resultsFrom: string,
  isOver: { readonly now: boolean },
  signal: AbortSignal,
): Promise<Processor> {
  return openProcessor({
    ...options.processor,
    resultsFrom,
    untilEnd: () => isOver.now,
    drain: false,
    signal,
  }).then(async (processor) => {
    await options.onTaking(processor);
    return processor;
  });
}

function positionOf(from: FlinkOptions['from']): Position {
  return typeof from === 'number' ? { at: 'time', ms: from } : { at: from };
}
