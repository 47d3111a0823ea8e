/** Takes a state in S3 over before a run, if the options name one. */
import { systemClock } from '../clock.ts';
import { EXIT, TaxiflowError } from '../errors.ts';
import type { RemoteOptions, TakenState } from '../remote/state.ts';
import { prefixOf } from '../s3/addresses.ts';
import { markStandby, statePath } from '../state/files.ts';
import type { PlannedChanges } from '../state/view-changes.ts';
import { DEFAULT_DATA_DIR, type StreamTarget } from '../streams/connectors.ts';
import type { StreamReader } from '../streams/ports.ts';
import type { View } from '../views/language.ts';
import { acceptedChanges, identityOf } from './changed-views.ts';
import { appOf, type ProcessorOptions } from './processor-options.ts';

export interface Remote {
  readonly options: RemoteOptions;
  readonly taken: TakenState;
  /** What becomes of the state that was restored. */
  readonly planned: PlannedChanges | undefined;
}

/** Takes the state in S3 over, if there is one; a standby waits for its turn. */
export async function remoteOf(
  options: ProcessorOptions,
  views: readonly View[],
  target: StreamTarget,
  stream: StreamReader,
): Promise<Remote | undefined> {
  const { state, dataDir = DEFAULT_DATA_DIR, region, endpointUrl, takeover, onNote = () => {} } = options;
  const app = options.app ?? appOf(target);
  if (state === undefined) {
    await refuseCopy(dataDir, app);
    return undefined;
  }
  const { ObjectStore } = await import('../s3/object-store.ts');
  const { bucket, prefix } = prefixOf(state);
  const remote: RemoteOptions = {
    store: await ObjectStore.open(bucket, { region, endpointUrl }),
    prefix,
    dataDir,
    app,
    identity: identityOf(options, views, stream),
    acceptChanges: options.acceptChanges ?? false,
    clock: options.clock ?? systemClock,
    interval: options.stateInterval ?? 5_000,
    signal: options.signal ?? new AbortController().signal,
    onNote,
  };
  // A health check takes the mark for a sign of life.
  const mark = takeover === undefined ? undefined : markStandby(dataDir, app);
  try {
    return await takenOver(remote, options, views, target, stream);
  } finally {
    mark?.close();
  }
}

/** Takes the state over, again and again where other standbys are quicker. */
async function takenOver(
  remote: RemoteOptions,
  options: ProcessorOptions,
  views: readonly View[],
  target: StreamTarget,
  stream: StreamReader,
): Promise<Remote> {
  const { takeState, waitAsStandby, whileBeating } = await import('../remote/state.ts');
  const { state, takeover } = options;
  const { onNote } = remote;
  for (;;) {
    if (takeover !== undefined)
      onNote(`waiting until the head of ${state} has not moved for ${takeover / 1_000} s`);
    const seen = takeover === undefined ? undefined : await waitAsStandby(remote, takeover);
    if (takeover !== undefined && remote.signal.aborted)
      throw new TaxiflowError('interrupted', 'stopped while waiting as a standby', {
        hint: 'run it again to wait on',
        exitCode: EXIT.interrupted,
      });
    try {
      const taken = await takeState(remote, seen);
      const { head, from } = taken;
      onNote(
        from
          ? `restored at epoch ${head.content.epoch}: checkpoint ${from.checkpoint} of ${from.at}`
          : `the state is new in S3, at epoch ${head.content.epoch}`,
      );
      const plan = () => acceptedChanges(options, views, target, stream);
      const planned = from && (await whileBeating(head, remote, plan));
      return { options: remote, taken, planned };
    } catch (error) {
      // Another standby was quicker.
      const isTaken = error instanceof TaxiflowError && error.code === 'taken-over';
      if (takeover === undefined || !isTaken) throw error;
    }
  }
}

/** Refuses to run a local copy of a state in S3 without S3. */
async function refuseCopy(dataDir: string, app: string): Promise<void> {
  const { headOfLocal } = await import('../remote/state.ts');
  const head = headOfLocal(dataDir, app);
  if (head === undefined) return;
  throw new TaxiflowError('other-state', `the state of app "${app}" in ${dataDir} is a copy of ${head}`, {
    hint: `add --state ${head.replace(/\/[^/]*\/head\.json$/, '')}, or remove ${statePath(dataDir, app)}.remote to go on without S3`,
  });
}
