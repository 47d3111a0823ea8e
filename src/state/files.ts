/**
 * Where the states of a data directory lie, and the lock of each (C4): a second SQLite file, held for as long as the
 * processor lives and let go by whatever ends it.
 */
import { existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { systemCode, TaxiflowError, translating } from '../errors.ts';
import { ensureFile, refuseLinks } from '../private-files.ts';
import { Database, type Sqlite } from '../sqlite.ts';
import { DEFAULT_STREAM } from '../streams/connectors.ts';
import { listApps } from './apps.ts';

const LOCK_PATIENCE_MS = 200;
const APP = /^[a-zA-Z0-9_.-]{1,128}$/;

/** Path of the state of an app. Throws `bad-app-name`. */
export function statePath(dataDir: string, app: string): string {
  if (!APP.test(app) || app.startsWith('.')) {
    throw new TaxiflowError('bad-app-name', `"${app}" can't name an app`, {
      hint: 'use letters, digits, "_", "-" and ".", 128 at most',
      exitCode: 2,
    });
  }
  return join(dataDir, 'apps', `${app}.sqlite`);
}

/** The app that is meant: the one named, the only one there is, or that of the default stream. Throws `no-app`. */
export function chooseApp(dataDir: string, app: string | undefined): string {
  const apps = listApps(dataDir);
  if (app !== undefined && apps.includes(app)) return app;
  if (app === undefined && apps.length === 1) return apps[0]!;
  if (app === undefined && apps.includes(DEFAULT_STREAM)) return DEFAULT_STREAM;
  if (apps.length === 0) {
    throw new TaxiflowError('no-app', `no processor has run in ${dataDir} yet`, {
      hint: 'run "taxiflow process" first, or name another folder with --data-dir',
    });
  }
  throw new TaxiflowError(
    'no-app',
    app === undefined ? `there are several apps in ${dataDir}` : `there is no app "${app}" in ${dataDir}`,
    { hint: `choose one with --app: ${apps.join(', ')}` },
  );
}

/** Takes the lock of a state; closing it lets go. Throws `app-running`. */
export function takeLock(path: string, app: string): Sqlite {
  refuseLinks(`${path}.lock`, `the lock of app "${app}"`);
  ensureFile(`${path}.lock`);
  // A process that asks whether a processor runs holds the lock for a moment, so one try is not enough.
  const lock = new Database(`${path}.lock`, { timeout: LOCK_PATIENCE_MS });
  try {
    lock.pragma('locking_mode = EXCLUSIVE');
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch (error) {
    lock.close();
    if (!systemCode(error)?.startsWith('SQLITE_BUSY')) throw error;
    throw new TaxiflowError('app-running', `app "${app}" is being run by another process`, {
      hint: 'stop that one first, or give this one a name of its own with --app NAME',
    });
  }
}

/**
 * Marks that a processor waits to take a state over; closing it takes the mark away. Undefined where another one has it
 * already.
 */
export function markStandby(dataDir: string, app: string): Sqlite | undefined {
  const path = standbyPath(dataDir, app);
  try {
    return translating('the mark of a standby', path, () => takeLock(path, app));
  } catch (error) {
    if (error instanceof TaxiflowError && error.code === 'app-running') return undefined;
    throw error;
  }
}

const standbyPath = (dataDir: string, app: string) => `${statePath(dataDir, app)}.standby`;

/** Whether a processor holds the lock of a state now. */
export function isRunning(dataDir: string, app: string): boolean {
  return isHeld(statePath(dataDir, app));
}

/** Whether a processor waits to take a state over, or is restoring it. */
export function isStandby(dataDir: string, app: string): boolean {
  return isHeld(standbyPath(dataDir, app));
}

function isHeld(locked: string): boolean {
  const path = `${locked}.lock`;
  if (!existsSync(path)) return false;
  const lock = translating('the lock of the state', path, () => {
    return new Database(path, { readonly: true, timeout: 0 });
  });
  try {
    lock.prepare('SELECT count(*) FROM sqlite_schema').get();
    return false;
  } catch (error) {
    return systemCode(error)?.startsWith('SQLITE_BUSY') ?? false;
  } finally {
    lock.close();
  }
}

/** Removes a state. Throws `app-running` while a processor has it. */
export function removeState(dataDir: string, app: string): void {
  const path = statePath(dataDir, app);
  if (!existsSync(path)) return;
  const lock = translating('the state', path, () => takeLock(path, app));
  try {
    for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
  } finally {
    lock.close();
  }
}

/** Tells a file from another one of the same name; undefined where there is none. */
export function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}
