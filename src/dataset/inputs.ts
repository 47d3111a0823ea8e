/** Opening what the user named: files, folders, globs, S3 objects and standard input. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, type Stats, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Readable } from 'node:stream';
import { glob } from 'tinyglobby';
import { systemCode, TaxiflowError } from '../errors.ts';
import { decompressed } from './decompress.ts';
import type { S3Options } from './s3.ts';

export interface Input {
  readonly name: string;
  /** Stored size in bytes, where it is known. */
  readonly size: number | undefined;
  /** The content, decompressed. `onBytes` is told of stored bytes as they are read. */
  open(onBytes: OnBytes): AsyncIterable<Buffer>;
  /** The stored bytes at any place; standard input has none. */
  readonly ranges?: (onBytes: OnBytes) => Promise<ByteRanges>;
  /** What tells this content from another: the same for the same bytes, wherever they lie. Stdin has it once it is read. */
  fingerprint(): Promise<string>;
}

export type OnBytes = (bytes: number) => void;

/** Stored bytes at any place. */
export interface ByteRanges {
  /** In bytes. */
  readonly size: number;
  /** The bytes from `start` up to `end`, all of them, or an error. */
  read(start: number, end: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

const CHUNK = 1 << 18;
const TRIP_FILES = /\.(?:(?:csv|txt)(?:\.gz|\.zst)?|parquet)$/i;
const PARQUET_MAGIC = 'PAR1';

/** Whether a path names what a folder or prefix is searched for. */
export function isTripFile(path: string): boolean {
  return TRIP_FILES.test(path);
}

/** Whether stored bytes are a Parquet file, by how they begin. */
export async function isParquet(ranges: ByteRanges): Promise<boolean> {
  if (ranges.size < PARQUET_MAGIC.length) return false;
  return Buffer.from(await ranges.read(0, PARQUET_MAGIC.length)).toString('latin1') === PARQUET_MAGIC;
}

/** The inputs a list of paths, folders, globs, `s3://` URLs and `-` stands for, in order. Throws `no-input`. */
export async function findInputs(paths: readonly string[], s3: S3Options = {}): Promise<Input[]> {
  const inputs: Input[] = [];
  for (const path of paths) {
    if (path === '-') inputs.push(readOnce('standard input', () => process.stdin));
    // Only here, so that local files never wait for the SDK.
    else if (/^s3:\/\//i.test(path))
      for (const object of await (await import('./s3.ts')).findObjects(path, s3)) inputs.push(object);
    else for (const file of await filesOf(path)) inputs.push(fileInput(file));
  }
  return inputs;
}

async function filesOf(path: string): Promise<string[]> {
  const stats = stat(path);
  if (stats && !stats.isDirectory()) return [path];
  const pattern = stats ? { patterns: ['**/*'], cwd: path } : { patterns: [path.replaceAll('\\', '/')] };
  const found =
    stats || /[*?[\]{}]/.test(path)
      ? await glob({ ...pattern, onlyFiles: true, expandDirectories: false })
      : [];
  const files = stats ? found.filter(isTripFile).map((file) => join(path, file)) : found;
  if (files.length > 0) return files.sort();
  throw new TaxiflowError(
    'no-input',
    stats ? `there is no CSV or Parquet file in ${path}` : `there is no ${path}`,
    {
      hint: 'name a TLC file, a folder, a quoted glob, or - for standard input; "taxiflow generate" makes one',
    },
  );
}

function stat(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw unreadable(path, error);
  }
}

function fileInput(path: string): Input {
  const stats = stat(path);
  // What is no plain file, such as a named pipe, can be read only once, from its start.
  if (stats && !stats.isFile()) return readOnce(path, () => createReadStream(path, { highWaterMark: CHUNK }));
  return {
    name: path,
    size: stats?.size,
    open: (onBytes) => content(path, counted(createReadStream(path, { highWaterMark: CHUNK }), onBytes)),
    ranges: (onBytes) => fileRanges(path, onBytes),
    fingerprint: async () => {
      const hash = createHash('sha256');
      try {
        for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
      } catch (error) {
        throw unreadable(path, error);
      }
      return `${basename(path)}:${hash.digest('hex')}`;
    },
  };
}

async function fileRanges(path: string, onBytes: OnBytes): Promise<ByteRanges> {
  try {
    const file = await open(path);
    return {
      size: (await file.stat()).size,
      read: async (start, end) => {
        const bytes = new Uint8Array(end - start);
        for (let at = 0; at < bytes.length; ) {
          const { bytesRead } = await file.read(bytes, at, bytes.length - at, start + at);
          if (bytesRead === 0) throw new Error('unexpected end of file');
          at += bytesRead;
        }
        onBytes(bytes.length);
        return bytes;
      },
      close: () => file.close(),
    };
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** An input that is told from others while it is read. */
function readOnce(name: string, source: () => Readable): Input {
  const hash = createHash('sha256');
  let read = false;
  return {
    name,
    size: undefined,
    open: async function* (onBytes) {
      yield* content(name, counted(source(), onBytes, hash));
      read = true;
    },
    fingerprint: async () => {
      if (!read) {
        throw new TaxiflowError('not-repeatable', `${name} has no name until it is read to its end`, {
          hint: 'give a file, or leave out --assume-sorted',
        });
      }
      return `-:${hash.copy().digest('hex')}`;
    },
  };
}

async function* counted(source: Readable, onBytes: OnBytes, hash?: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of source as AsyncIterable<Buffer>) {
    onBytes(chunk.length);
    hash?.update(chunk);
    yield chunk;
  }
}

/** `source` decompressed; its errors come out as `input-unreadable`. */
export async function* content(name: string, source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  try {
    let first = true;
    for await (const chunk of decompressed(source)) {
      if (first && chunk.toString('latin1', 0, 4) === PARQUET_MAGIC) throw needsPlaces(name);
      first = false;
      yield chunk;
    }
  } catch (error) {
    throw unreadable(name, error);
  }
}

/** Parquet has its table of contents at its end. */
function needsPlaces(name: string): TaxiflowError {
  return new TaxiflowError('input-unreadable', `${name} is Parquet, which can't be read as a stream`, {
    hint: 'name the file itself, not compressed, in place of - or a pipe',
  });
}

/** `error` as one a user can act on: the file `name` can't be read. */
export function unreadable(name: string, error: unknown): unknown {
  if (error instanceof TaxiflowError) return error;
  const why = error instanceof Error ? error.message : String(error);
  const hint =
    systemCode(error) === 'EACCES'
      ? 'check who may read the file'
      : 'check that the file is whole; nothing of it was sent';
  return new TaxiflowError('input-unreadable', `${name} can't be read: ${why}`, { hint, cause: error });
}
