/** What becomes of a state whose job is run with other views, or more lateness, than it was made with (C5). */
import { existsSync } from 'node:fs';
import type { StateIdentity } from '../engine/state-store.ts';
import { TaxiflowError } from '../errors.ts';
import { prefixOf } from '../s3/addresses.ts';
import { isRunning, statePath } from '../state/files.ts';
import { growsOnly, settingsText, streamIdentity } from '../state/identity.ts';
import { StateReader } from '../state/reader.ts';
import {
  begins,
  changesText,
  mustBeAccepted,
  type PlannedChanges,
  type ViewChange,
} from '../state/view-changes.ts';
import { DEFAULT_DATA_DIR, parseTarget, type StreamTarget } from '../streams/connectors.ts';
import type { StreamReader } from '../streams/ports.ts';
import { checkViews } from '../views/check.ts';
import type { View } from '../views/language.ts';
import { taxiViews } from '../views/taxi.ts';
import { appOf, type ProcessorOptions } from './processor-options.ts';

/** What a state is made of. */
export function identityOf(
  options: ProcessorOptions,
  views: readonly View[],
  stream: Pick<StreamReader, 'name' | 'identity'>,
): StateIdentity {
  const { eventTime = 'dropoff', allowedLateness = 0 } = options;
  return {
    stream: streamIdentity(stream),
    views: JSON.stringify(views),
    settings: settingsText(eventTime, allowedLateness),
  };
}

/** What becomes of the state of a job that is run with these views; nothing if there is none, or it goes on as it is. */
export async function plannedChanges(
  options: Pick<
    ProcessorOptions,
    'dataDir' | 'app' | 'stream' | 'views' | 'state' | 'region' | 'endpointUrl'
  >,
): Promise<readonly ViewChange[]> {
  const { dataDir = DEFAULT_DATA_DIR, state, region, endpointUrl } = options;
  const app = options.app ?? appOf(parseTarget(options.stream));
  const views = checkViews(options.views ?? taxiViews());
  if (state !== undefined) {
    const { ObjectStore } = await import('../s3/object-store.ts');
    const { remoteChanges } = await import('../remote/state.ts');
    const { bucket, prefix } = prefixOf(state);
    const store = await ObjectStore.open(bucket, { region, endpointUrl });
    return remoteChanges({ store, prefix, dataDir, app }, views);
  }
  return localChanges(dataDir, app, views);
}

function localChanges(dataDir: string, app: string, views: readonly View[]): readonly ViewChange[] {
  if (!existsSync(statePath(dataDir, app))) return [];
  const reader = new StateReader(dataDir, app);
  try {
    return reader.viewChanges(views);
  } finally {
    reader.close();
  }
}

/**
 * The changes of views that are to be made to the local state: told; where windows go, kept in a savepoint; with `backfill`, filled from
 * the stream. Undefined for another job, which is refused when it is opened. Throws `other-state`.
 */
export async function acceptedChanges(
  options: ProcessorOptions,
  views: readonly View[],
  target: StreamTarget,
  stream: StreamReader,
): Promise<PlannedChanges | undefined> {
  const { dataDir = DEFAULT_DATA_DIR, onNote = () => {}, state, region, endpointUrl } = options;
  const app = options.app ?? appOf(target);
  const identity = identityOf(options, views, stream);
  const made = sameJob(dataDir, app, identity);
  if (!made) return undefined;
  if (made.settings !== identity.settings)
    onNote('more lateness is allowed from now on; windows that are gone by now stay as they are');
  const changes = localChanges(dataDir, app, views);
  const begun = changes.filter(begins);
  if (options.backfill && begun.length === 0)
    onNote(
      '--backfill does nothing here: it fills views while they are added or begin anew, and none is or does',
    );
  if (changes.length === 0) return { changes };
  if (mustBeAccepted(changes) && !options.acceptChanges) {
    throw new TaxiflowError(
      'other-state',
      `the state of app "${app}" was made with other views: ${changesText(changes, options.backfill).replaceAll('\n', '; ')}`,
      {
        hint: 'name the file of its views with --views FILE, or give this job a name of its own with --app NAME; --accept-changes makes these changes, and keeps what goes in a savepoint',
      },
    );
  }
  for (const line of changesText(changes, options.backfill).split('\n')) onNote(line);
  if (mustBeAccepted(changes)) {
    const to = state === undefined ? undefined : `${state.replace(/\/$/, '')}/${app}/`;
    await keepInSavepoint({ dataDir, app, to, s3: { region, endpointUrl } }, onNote);
  }
  if (!options.backfill || begun.length === 0) return { changes };
  const { backfill } = await import('./backfill.ts');
  const names = new Set(begun.map(({ view }) => view));
  return {
    changes,
    filled: await backfill(
      options,
      views.filter(({ name }) => names.has(name)),
      target,
    ),
  };
}

async function keepInSavepoint(
  options: Parameters<typeof import('../savepoints/savepoints.ts')['createSavepoint']>[0],
  onNote: (note: string) => void,
): Promise<void> {
  const { createSavepoint } = await import('../savepoints/savepoints.ts');
  try {
    const { place } = await createSavepoint(options);
    onNote(`what goes is kept in ${place}`);
  } catch (error) {
    const isFine = error instanceof TaxiflowError && ['no-checkpoint', 'file-exists'].includes(error.code);
    if (!isFine) throw error;
  }
}

/** What a state was made of that can go on with this stream and these settings; what else there is, is refused when it is opened. */
function sameJob(
  dataDir: string,
  app: string,
  { stream, settings }: StateIdentity,
): StateIdentity | undefined {
  if (!existsSync(statePath(dataDir, app)) || isRunning(dataDir, app)) return undefined;
  let reader: StateReader | undefined;
  try {
    reader = new StateReader(dataDir, app);
    const made = reader.identity();
    const isSame =
      made.stream === stream && (made.settings === settings || growsOnly(made.settings, settings));
    return isSame ? made : undefined;
  } catch {
    return undefined;
  } finally {
    reader?.close();
  }
}
