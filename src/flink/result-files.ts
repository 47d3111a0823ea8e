/** The files that a job of Flink writes its results to: in a folder that both can reach, or in S3. */
import { createReadStream, existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { translating, usageError } from '../errors.ts';
import { placeOf } from '../s3/addresses.ts';
import type { ObjectStore, S3Options, StoredObject } from '../s3/object-store.ts';

/** A file that is whole: Flink gives it this name when a checkpoint has made its content final. */
export interface ResultFile {
  /** Below the folder: `pickup_count/part-37cf4c21-0-3`. */
  readonly name: string;
  readonly bytes: number;
  lines(): AsyncIterable<string>;
}

/** In place of a stream, for a processor that takes results. */
export interface ResultFolder {
  /** `file:///…` or `s3://…`, without a slash at its end. */
  readonly uri: string;
  readonly name: string;
  readonly identity: string;
  close(): Promise<void>;
  /** Its whole files. */
  list(): Promise<ResultFile[]>;
}

/** The URI of a folder that was given as a path or as a URI. Throws `usage`. */
export function folderUri(place: string): string {
  const trimmed = place.replace(/(?<=.)\/+$/, '');
  if (/^s3[an]?:\/\/[^/]/i.test(trimmed)) return trimmed;
  if (/^file:\//i.test(trimmed)) return pathToFileURL(fileURLToPath(fileUrl(trimmed))).href;
  if (/^[a-z][a-z\d+.-]+:/i.test(trimmed))
    throw usageError(`${place} is no place for results`, 'name a folder, or s3://bucket/prefix');
  return pathToFileURL(resolve(trimmed)).href;
}

/** Java writes `file:/tmp`. */
function fileUrl(uri: string): string {
  return uri.replace(/^file:\/*/i, 'file:///');
}

export async function openResultFolder(uri: string, s3: S3Options): Promise<ResultFolder> {
  if (uri.startsWith('file:')) return new LocalFolder(uri);
  // Imported here so that local folders don't pay for loading the SDK.
  const { ObjectStore } = await import('../s3/object-store.ts');
  const { bucket, key } = placeOf(uri.replace(/^s3[an]:/i, 's3:'));
  return new S3Folder(uri, await ObjectStore.open(bucket, s3), key === '' ? '' : `${key}/`);
}

/** Flink hides what is not whole yet behind a point, and savepoints lie behind an underscore. */
function isHidden(name: string): boolean {
  return name.split('/').some((part) => part.startsWith('.') || part.startsWith('_'));
}

class Named {
  readonly uri: string;
  readonly name: string;
  readonly identity = 'results of Flink';

  constructor(uri: string) {
    this.uri = uri;
    this.name = uri;
  }

  async close(): Promise<void> {}
}

class LocalFolder extends Named implements ResultFolder {
  readonly #path: string;

  constructor(uri: string) {
    super(uri);
    this.#path = fileURLToPath(uri);
  }

  list(): Promise<ResultFile[]> {
    return Promise.resolve(translating('the folder of results', this.#path, () => this.#files()));
  }

  #files(): ResultFile[] {
    if (!existsSync(this.#path)) return [];
    const found: ResultFile[] = [];
    for (const entry of readdirSync(this.#path, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath ?? entry.path, entry.name);
      const name = path.slice(this.#path.length + 1).replaceAll('\\', '/');
      const stats = entry.isFile() && !isHidden(name) ? statSync(path, { throwIfNoEntry: false }) : undefined;
      if (stats) found.push({ name, bytes: stats.size, lines: () => linesOf(createReadStream(path)) });
    }
    return found;
  }
}

class S3Folder extends Named implements ResultFolder {
  readonly #store: ObjectStore;
  readonly #prefix: string;

  constructor(uri: string, store: ObjectStore, prefix: string) {
    super(uri);
    this.#store = store;
    this.#prefix = prefix;
  }

  async list(): Promise<ResultFile[]> {
    const found: ResultFile[] = [];
    for await (const object of this.#store.list(this.#prefix)) {
      const name = object.key.slice(this.#prefix.length);
      if (!isHidden(name)) found.push({ name, bytes: object.size, lines: () => this.#lines(object) });
    }
    return found;
  }

  #lines(object: StoredObject): AsyncIterable<string> {
    return linesOf(Readable.from(this.#store.bytes(object, 0, object.size)));
  }
}

/** Of a line that is longer, the rest is left out: it is no result, whatever it says. */
export const LONGEST_LINE = 1_000_000;

async function* linesOf(input: Readable): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of input.setEncoding('utf8') as AsyncIterable<string>) {
    const lines = chunk.split('\n');
    lines[0] = rest + lines[0]!;
    rest = lines.pop()!.slice(0, LONGEST_LINE + 1);
    for (const line of lines) yield line.replace(/\r$/, '');
  }
  if (rest !== '') yield rest;
}
