/** Where savepoints lie: files, folders, and S3, from which they are fetched and to which they are sent whole. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { TaxiflowError, translating, usageError } from '../errors.ts';
import { makeFolder, tidyAway } from '../private-files.ts';
import { isS3, placeOf } from '../s3/addresses.ts';
import type { ObjectStore, S3Options } from '../s3/object-store.ts';
import { statsOf } from './file.ts';

export const SUFFIX = '.savepoint';
const SCRATCH = 'taxiflow-savepoint-';
/** Longer than any work takes. */
const STALE_MS = 24 * 3_600_000;

/** The folder of the savepoints of a data directory. */
export function usualFolder(dataDir: string): string {
  return join(dataDir, 'savepoints');
}

async function bucketOf(url: string, s3: S3Options): Promise<{ store: ObjectStore; key: string }> {
  // Imported here so that local savepoints don't pay for loading the SDK.
  const { ObjectStore } = await import('../s3/object-store.ts');
  const { bucket, key } = placeOf(url);
  return { store: await ObjectStore.open(bucket, s3), key };
}

/** A private folder in `parent`, for the caller to remove; those that were left a day ago are removed before. */
export function scratchFolder(parent = tmpdir()): { readonly folder: string; remove(): void } {
  const folder = scratchIn(parent) ?? scratchIn(tmpdir());
  if (folder === undefined)
    throw new TaxiflowError(
      'not-writable',
      `there is no room for temporary files in ${parent} or ${tmpdir()}`,
      {
        hint: 'check the permissions, or set TMPDIR to another folder',
      },
    );
  return { folder, remove: () => tidyAway(folder) };
}

/** Runs `work` with a private folder in `parent`, which is removed after it. */
export function withScratch<T>(work: (folder: string) => Promise<T>, parent = tmpdir()): Promise<T> {
  return within(scratchFolder(parent).folder, work);
}

/** As `withScratch`, in no other place than `parent`: what is made there can be renamed into the folders beside it. */
export function withScratchBeside<T>(work: (folder: string) => Promise<T>, parent: string): Promise<T> {
  return within(
    translating('a temporary folder', parent, () => madeIn(parent)),
    work,
  );
}

async function within<T>(folder: string, work: (folder: string) => Promise<T>): Promise<T> {
  try {
    return await work(folder);
  } finally {
    tidyAway(folder);
  }
}

function scratchIn(parent: string): string | undefined {
  try {
    return madeIn(parent);
  } catch {
    return undefined;
  }
}

function madeIn(parent: string): string {
  makeFolder(parent);
  removeStale(parent);
  return mkdtempSync(join(parent, SCRATCH));
}

/** A process elsewhere may use the same folder, so only age tells what nobody uses any more. */
function removeStale(parent: string): void {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(SCRATCH)) continue;
    const { mtimeMs = Date.now() } = statSync(join(parent, name), { throwIfNoEntry: false }) ?? {};
    if (Date.now() - mtimeMs < STALE_MS) continue;
    tidyAway(join(parent, name));
  }
}

/** Whether a place is a folder: one that exists, or that is written with a `/` at its end. */
function isFolder(place: string): boolean {
  if (place.endsWith('/')) return true;
  return !isS3(place) && (statsOf(place)?.isDirectory() ?? false);
}

/** Full place of a savepoint called `name` that is to go to `to`, a file or a folder. */
export function placeFor(to: string, name: string): string {
  if (to === '-' || (/^s3:/i.test(to) && !/^s3:\/\/[^/]/i.test(to)))
    throw usageError(
      `a savepoint can't be written to ${to}`,
      'name a file, a folder, or s3://bucket/prefix/',
    );
  const isBucket = isS3(to) && /^s3:\/\/[^/]+$/i.test(to);
  if (isBucket) return `${to}/${name}`;
  if (!isFolder(to)) return to;
  return isS3(to) ? `${to}${name}` : join(to, name);
}

/** Writes a savepoint to its place; `write` makes the file. Throws `file-exists`. */
export async function putSavepoint(
  place: string,
  s3: S3Options,
  write: (path: string) => Promise<void>,
): Promise<void> {
  if (!isS3(place)) return write(place);
  const { store, key } = await bucketOf(place, s3);
  if (await store.head(key))
    throw new TaxiflowError('file-exists', `${place} exists already`, {
      hint: 'name another object, or remove it',
    });
  await withScratch(async (folder) => {
    const path = join(folder, 'savepoint');
    await write(path);
    await store.putFile(key, path, { IfNoneMatch: '*' });
  });
}

/** Runs `work` with the path of a savepoint, which is fetched if it lies in S3. Throws `no-savepoint`. */
export async function withSavepoint<T>(
  place: string,
  s3: S3Options,
  work: (path: string) => Promise<T>,
): Promise<T> {
  if (!isS3(place)) return work(place);
  const { store, key } = await bucketOf(place, s3);
  return withScratch(async (folder) => {
    const path = join(folder, basename(key) || 'savepoint');
    if (!(await store.fetch(key, path)))
      throw new TaxiflowError('no-savepoint', `there is no savepoint ${place}`, {
        hint: 'see "taxiflow savepoint list s3://bucket/prefix/"',
      });
    return work(path);
  });
}

/** The places of the savepoints in a folder or under an S3 prefix, by name, with their sizes in bytes. */
export async function savepointsIn(
  folder: string,
  s3: S3Options,
): Promise<{ readonly place: string; readonly size: number }[]> {
  if (!isS3(folder)) {
    if (!statSync(folder, { throwIfNoEntry: false })) return [];
    const names = translating('the savepoints', folder, () => readdirSync(folder));
    return names
      .filter((name) => name.endsWith(SUFFIX))
      .sort()
      .map((name) => ({ place: join(folder, name), size: statSync(join(folder, name)).size }));
  }
  const { store, key } = await bucketOf(folder, s3);
  const found: { place: string; size: number }[] = [];
  for await (const object of store.list(key))
    if (object.key.endsWith(SUFFIX)) found.push({ place: store.url(object.key), size: object.size });
  return found;
}

/** Deletes a savepoint. Throws `no-savepoint`. */
export async function removeSavepoint(place: string, s3: S3Options): Promise<void> {
  if (!isS3(place)) {
    translating('the savepoint', place, () => rmSync(place));
    return;
  }
  const { store, key } = await bucketOf(place, s3);
  if (!key.endsWith(SUFFIX))
    throw new TaxiflowError('not-savepoint', `${place} has no name of a savepoint`, {
      hint: `what ends in ${SUFFIX} may be deleted; the parts of a state in S3 are removed by their processor`,
    });
  await store.delete(key);
}
