/** Where an archive lies: a folder, or a prefix in S3. Files there have names such as `day=2016-01-01/NAME.parquet`. */
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { TaxiflowError, translating } from '../../errors.ts';
import type { ObjectStore, S3Options } from '../../s3/object-store.ts';

export interface ArchivePlace {
  /** The folder, or `s3://bucket/prefix`. */
  readonly url: string;
  /** Names of all Parquet files there, in order. */
  names(): AsyncIterable<string>;
  /** Writes a file whole: it is there with all its bytes, or not at all. */
  write(name: string, bytes: Uint8Array): Promise<void>;
  remove(name: string): Promise<void>;
}

const SUFFIX = '.parquet';
const isS3 = (place: string) => /^s3:\/\//i.test(place);

/** A place as a state and messages name it. Throws `bad-s3-url`. */
export async function placeOfArchive(place: string): Promise<string> {
  if (!isS3(place)) return resolve(place);
  const { placeOf } = await import('../../s3/object-store.ts');
  const { bucket, key } = placeOf(place);
  return `s3://${bucket}${key === '' ? '' : `/${key.replace(/\/+$/, '')}`}`;
}

/** Opens a place that `placeOfArchive` gave. A folder is made. Throws as the system and S3 do. */
export async function openPlace(url: string, s3: S3Options): Promise<ArchivePlace> {
  if (!isS3(url)) return new Folder(url);
  const { ObjectStore, placeOf } = await import('../../s3/object-store.ts');
  const { bucket, key } = placeOf(url);
  return new Prefix(url, await ObjectStore.open(bucket, s3), key === '' ? '' : `${key}/`);
}

class Folder implements ArchivePlace {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
    this.#attempt(() => mkdirSync(url, { recursive: true }));
  }

  async *names(): AsyncIterable<string> {
    const days = this.#attempt(() => readdirSync(this.url, { withFileTypes: true }));
    for (const { name } of days
      .filter((day) => day.isDirectory() && day.name.startsWith('day='))
      .sort(byName)) {
      const files = this.#attempt(() => readdirSync(join(this.url, name)));
      for (const file of files.sort()) if (file.endsWith(SUFFIX)) yield `${name}/${file}`;
    }
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    const path = join(this.url, name);
    const partial = `${path}.partial`;
    await this.#attemptAsync(async () => {
      mkdirSync(dirname(path), { recursive: true });
      const file = await open(partial, 'w');
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      renameSync(partial, path);
      syncFolder(dirname(path));
    });
  }

  async remove(name: string): Promise<void> {
    this.#attempt(() => rmSync(join(this.url, name), { force: true }));
  }

  #attempt<T>(work: () => T): T {
    return translating('the archive', this.url, work, '--archive');
  }

  async #attemptAsync(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#attempt(() => {
        throw error;
      });
    }
  }
}

const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);

/** A name must survive a power cut too. Windows can't do this with folders, and needs it less. */
function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

class Prefix implements ArchivePlace {
  readonly url: string;
  readonly #store: ObjectStore;
  /** With `/` at its end, or empty. */
  readonly #prefix: string;

  constructor(url: string, store: ObjectStore, prefix: string) {
    this.url = url;
    this.#store = store;
    this.#prefix = prefix;
  }

  async *names(): AsyncIterable<string> {
    for await (const { key } of this.#store.list(`${this.#prefix}day=`))
      if (key.endsWith(SUFFIX)) yield key.slice(this.#prefix.length);
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    await this.#store.put(this.#prefix + name, bytes);
  }

  async remove(name: string): Promise<void> {
    await this.#store.delete(this.#prefix + name);
  }
}

/** Refuses a place with files of others: trips would be there twice. Yields the names of this archive's own files. */
export async function ownFiles(place: ArchivePlace, name: string): Promise<string[]> {
  const own: string[] = [];
  for await (const file of place.names()) {
    if (numberOf(file, name) === undefined)
      throw new TaxiflowError(
        'output-in-use',
        `${place.url} holds files that this app did not write, such as ${file}`,
        {
          hint: 'choose another place for --archive, or remove those files first',
        },
      );
    own.push(file);
  }
  return own;
}

/** The file of a day. */
export function nameOf(day: string, name: string, number: number): string {
  return `day=${day}/${name}-${String(number).padStart(6, '0')}${SUFFIX}`;
}

/** The number in the name of a file of this archive; undefined for other files. */
export function numberOf(file: string, name: string): number | undefined {
  const [, own, number] = /^day=[^/]+\/(.+)-(\d{6,})\.parquet$/.exec(file) ?? [];
  return own === name ? Number(number) : undefined;
}
