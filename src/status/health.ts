/**
 * Whether a processor does its work, for the health check of a container: it is asked every few seconds, so it looks at the
 * lock and the last checkpoint, and at nothing else.
 */
import { existsSync } from 'node:fs';
import { TaxiflowError, translating } from '../errors.ts';
import { openSqlite } from '../sqlite.ts';
import { lastCommit } from '../state/checkpoint-row.ts';
import { chooseApp, isRunning, isStandby, statePath } from '../state/files.ts';

export interface HealthOptions {
  readonly dataDir: string;
  /** By default the only app. */
  readonly app: string | undefined;
  /** Ms since the last checkpoint. */
  readonly maxAge: number;
  /** Epoch ms. */
  readonly now: number;
}

export interface Health {
  readonly app: string;
  /** It waits to take a state in S3 over, or is restoring it. */
  readonly standby: boolean;
  /** The last checkpoint, with its time in epoch ms; undefined for a standby. */
  readonly checkpoint: { readonly number: number; readonly at: number } | undefined;
}

/** Throws `not-healthy` if no processor runs, and none waits as a standby, or the last checkpoint is older than `maxAge`. */
export function checkHealth({ dataDir, app: given, maxAge, now }: HealthOptions): Health {
  const app = given ?? onlyApp(dataDir);
  // A state that lies there is of an earlier life.
  if (isStandby(dataDir, app)) return { app, standby: true, checkpoint: undefined };
  if (!isRunning(dataDir, app))
    throw notHealthy(
      `no processor of app "${app}" runs in ${dataDir}`,
      `start it with "taxiflow process --app ${app}" and its options`,
    );
  const checkpoint = lastCheckpoint(dataDir, app);
  if (!checkpoint)
    throw notHealthy(`app "${app}" has no checkpoint yet`, 'give it time to start before it is checked');
  const age = now - checkpoint.at;
  // One from the future is of before the clock was set back.
  if (Math.abs(age) <= maxAge) return { app, standby: false, checkpoint };
  throw notHealthy(
    `the last checkpoint of app "${app}" is ${Math.round(age / 1_000)} s old, more than ${maxAge / 1_000} s`,
    `see what holds it up with "taxiflow status --app ${app}"`,
  );
}

/** The app that is meant where none is named. */
function onlyApp(dataDir: string): string {
  try {
    return chooseApp(dataDir, undefined);
  } catch (error) {
    if (!(error instanceof TaxiflowError) || error.code !== 'no-app') throw error;
    throw notHealthy(error.message, error.hint ?? 'name the app with --app');
  }
}

function lastCheckpoint(dataDir: string, app: string): Health['checkpoint'] {
  const path = statePath(dataDir, app);
  if (!existsSync(path)) return undefined;
  const what = `the state of app "${app}"`;
  const db = openSqlite(path, { what, readonly: true });
  try {
    return translating(what, path, () => lastCommit(db));
  } finally {
    db.close();
  }
}

function notHealthy(message: string, hint: string): TaxiflowError {
  return new TaxiflowError('not-healthy', message, { hint });
}
