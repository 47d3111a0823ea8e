/** Fills new views with what the stream still holds, up to the place that a state has reached: as if they had always been there. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../clock.ts';
import { DeadLetterBuffer } from '../dead-letters.ts';
import { type ProcessOutcome, type Progress, runProcess } from '../engine/run.ts';
import { EXIT, TaxiflowError } from '../errors.ts';
import { scratchFolder } from '../savepoints/places.ts';
import { progressIn } from '../state/checkpoint-row.ts';
import type { FilledViews } from '../state/filled-views.ts';
import { StateReader } from '../state/reader.ts';
import { SqliteState } from '../state/store.ts';
import { DEFAULT_DATA_DIR, openReader, type StreamTarget } from '../streams/connectors.ts';
import type { View } from '../views/language.ts';
import { identityOf } from './changed-views.ts';
import { appOf, type ProcessorOptions } from './processor-options.ts';
import { ReadSoFar } from './read-so-far.ts';

const APP = 'filled';

/**
 * Makes a state of these views alone, which has read all that the app's state had read at its last checkpoint. Throws as a run does, and
 * `interrupted`. The caller removes its folder with `remove`.
 */
export async function backfill(
  options: ProcessorOptions,
  views: readonly View[],
  target: StreamTarget,
): Promise<FilledViews | undefined> {
  const { dataDir = DEFAULT_DATA_DIR, region, endpointUrl, onNote = () => {} } = options;
  const reader = new StateReader(dataDir, options.app ?? appOf(target));
  const checkpoint = reader.checkpoint();
  reader.close();
  if (!checkpoint) return undefined;
  const { shards, watermark } = progressIn(checkpoint);
  const stream = new ReadSoFar(await openReader(target, { dataDir, region, endpointUrl }), shards);
  const { folder, remove } = scratchFolder(join(dataDir, 'tmp'));
  try {
    const path = join(folder, 'data');
    mkdirSync(path);
    const identity = identityOf(options, views, stream);
    const state = SqliteState.open({ dataDir: path, app: APP, identity });
    try {
      const outcome = await fill(options, views, stream, state, watermark);
      onNote(filledText(views, outcome, stream.lost));
    } finally {
      state.close();
    }
    return {
      path: state.path,
      views: new Set(views.map(({ name }) => name)),
      checkpoint: checkpoint.number,
      remove,
    };
  } catch (error) {
    remove();
    throw error;
  } finally {
    await stream.close();
  }
}

async function fill(
  options: ProcessorOptions,
  views: readonly View[],
  reader: ReadSoFar,
  store: SqliteState,
  upTo: number,
): Promise<ProcessOutcome> {
  const { clock = systemClock, signal = new AbortController().signal, onProgress } = options;
  const started = clock.now();
  const outcome = await runProcess({
    reader,
    store,
    views,
    // The state has these already, under the views that it had.
    deadLetters: new DeadLetterBuffer(0),
    sinks: [],
    clock,
    from: { at: 'trim-horizon' },
    eventTime: options.eventTime ?? 'dropoff',
    maxDisorder: options.maxDisorder,
    allowedLateness: options.allowedLateness ?? 0,
    checkpointInterval: options.checkpointInterval ?? 1_000,
    untilEnd: () => true,
    drain: false,
    upTo,
    signal,
    onProgress: (progress: Progress) => {
      const seconds = Math.max(0.001, (clock.now() - started) / 1_000);
      onProgress?.({ ...progress, recordsPerSecond: progress.counters.read / seconds, sinks: [] });
    },
  });
  if (!outcome.interrupted) return outcome;
  throw new TaxiflowError('interrupted', 'stopped while the new views were being filled', {
    hint: 'nothing was changed; run it again to fill them from the start of the stream',
    exitCode: EXIT.interrupted,
  });
}

function filledText(views: readonly View[], { counters }: ProcessOutcome, lost: readonly string[]): string {
  const names = views.map(({ name }) => name).join(', ');
  const late = counters.late > 0 ? `; ${counters.late} trips were late` : '';
  const gone = lost.length > 0 ? `; the stream no longer has ${lost.join(', ')}` : '';
  return `${names} filled from ${counters.read} records of the stream: ${counters.results} results${late}${gone}`;
}
