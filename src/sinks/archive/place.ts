/**
 * Where an archive lies: a folder, or a prefix in S3. Files there have names such as `day=2016-01-01/NAME-000001.parquet`, and
 * `_taxiflow.json` says whose place it is, so that two archives that begin at the same time don't share it.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { TaxiflowError, translate, translating, usageError } from '../../errors.ts';
import { claimFile, makeFolder, syncFolder } from '../../private-files.ts';
import { isS3, placeOf, prefixOf } from '../../s3/addresses.ts';
import type { ObjectStore, S3Options } from '../../s3/object-store.ts';

export interface ArchivePlace {
  /** The folder, or `s3://bucket/prefix`. */
  readonly url: string;
  /** Names of all Parquet files there, in order. */
  names(): AsyncIterable<string>;
  /** The text of the file that says whose place this is; undefined if there is none. */
  owner(): Promise<string | undefined>;
  /** Writes that file, unless there is one: then it returns false. */
  own(text: string): Promise<boolean>;
  /** Writes a file whole: it is there with all its bytes, or not at all. */
  write(name: string, bytes: Uint8Array): Promise<void>;
  remove(name: string): Promise<void>;
}

const SUFFIX = '.parquet';
const OWNER = '_taxiflow.json';

/** A place as a state and messages name it. Throws `usage` for an address that is none. */
export function placeOfArchive(place: string): string {
  if (isS3(place)) {
    const { bucket, key } = placeOf(place);
    return `s3://${bucket}${key === '' ? '' : `/${key.replace(/\/+$/, '')}`}`;
  }
  // A folder of such a name would be a mistake.
  if (/^[a-z][a-z0-9+.-]+:\//i.test(place))
    throw usageError('--archive takes a folder or s3://bucket/prefix', 'write one of these');
  return resolve(place);
}

/** Opens a place that `placeOfArchive` gave. A folder is made. Throws as the system and S3 do. */
export async function openPlace(url: string, s3: S3Options): Promise<ArchivePlace> {
  if (!isS3(url)) return new Folder(url);
  // Imported here so that a folder doesn't pay for loading it.
  const { ObjectStore } = await import('../../s3/object-store.ts');
  const { bucket, prefix } = prefixOf(url);
  return new Prefix(url, await ObjectStore.open(bucket, s3), prefix);
}

const WHAT = 'the archive';
const OPTION = '--archive';
/** Others may read an archive. */
const MODE = 0o777;

class Folder implements ArchivePlace {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
    this.#attempt(() => makeFolder(url, MODE));
  }

  async *names(): AsyncIterable<string> {
    const days = this.#attempt(() => readdirSync(this.url)).filter((name) => name.startsWith('day='));
    for (const day of days.sort()) {
      const files = this.#attempt(() => readdirSync(join(this.url, day)));
      for (const file of files.sort()) if (file.endsWith(SUFFIX)) yield `${day}/${file}`;
    }
  }

  async owner(): Promise<string | undefined> {
    const path = join(this.url, OWNER);
    return this.#attempt(() => (existsSync(path) ? readFileSync(path, 'utf8') : undefined));
  }

  async own(text: string): Promise<boolean> {
    return this.#attempt(() => claimFile(join(this.url, OWNER), text));
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    const path = join(this.url, name);
    const partial = `${path}.partial`;
    try {
      if (!existsSync(dirname(path))) mkdirSync(dirname(path));
      const file = await open(partial, 'w');
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      renameSync(partial, path);
      // Who made the folder of the day may not have come to this.
      for (const folder of [dirname(path), this.url]) syncFolder(folder);
    } catch (error) {
      throw this.#translated(error);
    }
  }

  async remove(name: string): Promise<void> {
    this.#attempt(() => rmSync(join(this.url, name), { force: true }));
  }

  #attempt<T>(work: () => T): T {
    return translating(WHAT, this.url, work, OPTION);
  }

  #translated(error: unknown): unknown {
    return translate(error, WHAT, this.url, OPTION);
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

  async owner(): Promise<string | undefined> {
    return (await this.#store.get(this.#prefix + OWNER))?.bytes.toString();
  }

  async own(text: string): Promise<boolean> {
    try {
      await this.#store.put(this.#prefix + OWNER, Buffer.from(text), { IfNoneMatch: '*' });
      return true;
    } catch (error) {
      if (error instanceof TaxiflowError && error.code === 's3-changed') return false;
      throw error;
    }
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    await this.#store.put(this.#prefix + name, bytes);
  }

  async remove(name: string): Promise<void> {
    await this.#store.delete(this.#prefix + name);
  }
}

const ownerText = (name: string) => `${JSON.stringify({ archive: name })}\n`;

/** Takes a place before the first file is written to it. Throws `output-in-use` if it is another's. */
export async function takePlace(place: ArchivePlace, name: string): Promise<void> {
  if (!(await place.own(ownerText(name)))) await refuseOwned(place, name);
}

async function refuseOwned(place: ArchivePlace, name: string): Promise<void> {
  const owner = await place.owner();
  if (owner !== undefined && owner !== ownerText(name)) throw inUse(place, OWNER);
}

/** Refuses a place of others, since trips would be there twice. Returns the names of this archive's own files. */
export async function ownFiles(place: ArchivePlace, name: string): Promise<string[]> {
  const own: string[] = [];
  for await (const file of place.names()) {
    if (numberOf(file, name) === undefined) throw inUse(place, file);
    own.push(file);
  }
  await refuseOwned(place, name);
  return own;
}

function inUse({ url }: ArchivePlace, file: string): TaxiflowError {
  return new TaxiflowError(
    'output-in-use',
    `${url} holds files that this app did not write, such as ${file}`,
    {
      hint: 'choose another place for --archive',
    },
  );
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
