/** Opening what the user named: files, folders, globs, S3 objects and standard input. */
import { createReadStream, realpathSync, type Stats, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { glob } from 'tinyglobby';
import { systemCode, TaxiflowError } from '../errors.ts';
import { decompressed } from './decompress.ts';
import type { S3Options } from './s3.ts';

export interface Input {
  readonly name: string;
  /** Stored size in bytes, where it is known. */
  readonly size: number | undefined;
  /** Whether it was found in a folder, by a glob or a prefix, and not named itself. */
  readonly found: boolean;
  /** The content, decompressed. `onBytes` is told of stored bytes as they are read. */
  open(onBytes: OnBytes): AsyncIterable<Buffer>;
  /** Whether it can be opened only once. */
  readonly once?: true;
  /** Ends a reading that waits for more. */
  readonly cancel?: () => void;
  /** The stored bytes at any place; standard input has none. */
  readonly ranges?: (onBytes: OnBytes) => Promise<ByteRanges>;
  /** What tells the stored bytes from others without reading them, where the store knows that. */
  readonly tag?: string;
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
const TRIP_FILES = /\.(?:(?:csv|txt|tsv)(?:\.gz|\.zst|\.zip)?|parquet|zip)$/i;
const PARQUET_MAGIC = 'PAR1';
const ZIP_MAGIC = 'PK\x03\x04';
const EMPTY_ZIP_MAGIC = 'PK\x05\x06';

/** Whether a path names what a folder or prefix is searched for. */
export function isTripFile(path: string): boolean {
  return TRIP_FILES.test(path);
}

type Kind = 'parquet' | 'zip' | 'text';
const kinds = new WeakMap<Input, Promise<Kind>>();

/** What an input is by its first bytes; those that are read only once are told when they are read. */
export function kindOf(input: Input): Promise<Kind> {
  let kind = kinds.get(input);
  if (!kind) {
    kind = findKind(input);
    kinds.set(input, kind);
  }
  return kind;
}

async function findKind(input: Input): Promise<Kind> {
  if (!input.ranges) return 'text';
  const ranges = await input.ranges(() => {});
  try {
    const magic = Buffer.from(await ranges.read(0, Math.min(4, ranges.size))).toString('latin1');
    return magic === PARQUET_MAGIC
      ? 'parquet'
      : magic === ZIP_MAGIC || magic === EMPTY_ZIP_MAGIC
        ? 'zip'
        : 'text';
  } catch (error) {
    throw unreadable(input.name, error);
  } finally {
    await ranges.close();
  }
}

/**
 * The inputs a list of paths, folders, globs, `s3://` URLs and `-` stands for, in order, each once. Throws `no-input`.
 * `onTwice` is told of those that are named again.
 */
export async function findInputs(
  paths: readonly string[],
  s3: S3Options = {},
  onTwice: (name: string) => void = () => {},
): Promise<Input[]> {
  const inputs = new Map<string, Input>();
  const add = (place: string, input: Input) => {
    if (inputs.has(place)) onTwice(input.name);
    else inputs.set(place, input);
  };
  for (const path of paths) {
    if (path === '-')
      add(
        '-',
        readOnce('standard input', () => process.stdin),
      );
    // Only here, so that local files never wait for the SDK.
    else if (/^s3:\/\//i.test(path)) {
      for (const input of await (await import('./s3.ts')).findObjects(path, s3)) add(input.name, input);
    } else {
      const { files, found } = await filesOf(path);
      for (const file of files) add(realPath(file), fileInput(file, found));
    }
  }
  return [...inputs.values()];
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

async function filesOf(path: string): Promise<{ files: string[]; found: boolean }> {
  const stats = stat(path);
  if (stats && !stats.isDirectory()) return { files: [path], found: false };
  const pattern = stats ? { patterns: ['**/*'], cwd: path } : { patterns: [path.replaceAll('\\', '/')] };
  const found =
    stats || /[*?[\]{}]/.test(path)
      ? await glob({ ...pattern, onlyFiles: true, expandDirectories: false })
      : [];
  const files = stats ? found.filter(isTripFile).map((file) => join(path, file)) : found;
  if (files.length > 0) return { files: files.sort(), found: true };
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

function fileInput(path: string, found: boolean): Input {
  const stats = stat(path);
  // What is no plain file, such as a named pipe, can be read only once, from its start.
  if (stats && !stats.isFile()) return readOnce(path, () => createReadStream(path, { highWaterMark: CHUNK }));
  return {
    name: path,
    size: stats?.size,
    found,
    open: (onBytes) => content(path, counted(createReadStream(path, { highWaterMark: CHUNK }), onBytes)),
    ranges: (onBytes) => fileRanges(path, onBytes),
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

function readOnce(name: string, source: () => Readable): Input {
  let opened: Readable | undefined;
  const open = () => {
    opened = source();
    return opened;
  };
  return {
    name,
    size: undefined,
    found: false,
    once: true,
    open: (onBytes) => content(name, counted(open(), onBytes)),
    cancel: () => opened?.destroy(),
  };
}

async function* counted(source: Readable, onBytes: OnBytes): AsyncGenerator<Buffer> {
  for await (const chunk of source as AsyncIterable<Buffer>) {
    onBytes(chunk.length);
    yield chunk;
  }
}

/** `source` decompressed; its errors come out as `input-unreadable`. */
export async function* content(name: string, source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  try {
    let first = true;
    for await (const chunk of decompressed(source)) {
      if (first) refuseOtherFormats(name, chunk.toString('latin1', 0, 8));
      first = false;
      yield chunk;
    }
  } catch (error) {
    throw unreadable(name, error);
  }
}

/** Formats that are told by their first bytes. */
const OTHER_FORMATS: readonly (readonly [magic: string, what: string])[] = [
  ['BZh', 'packed with bzip2'],
  ['\xfd7zXZ\0', 'packed with xz'],
  ['\x04\x22\x4d\x18', 'packed with lz4'],
  ['7z\xbc\xaf\x27\x1c', 'a 7z archive'],
  ['Rar!', 'a RAR archive'],
  ['%PDF', 'a PDF document'],
  ['SQLite f', 'an SQLite database'],
  ['ORC', 'an ORC file'],
  ['Obj\x01', 'an Avro file'],
  ['ARROW1', 'an Arrow file'],
];

function refuseOtherFormats(name: string, head: string): void {
  if (head.startsWith(PARQUET_MAGIC)) throw needsPlaces(name, 'Parquet');
  if (head.startsWith(ZIP_MAGIC)) throw needsPlaces(name, 'a zip archive');
  const other = OTHER_FORMATS.find(([magic]) => head.startsWith(magic));
  if (!other) return;
  throw new TaxiflowError('input-unreadable', `${name} is ${other[1]}`, {
    hint: 'unpack or convert it first: CSV is read plain or packed with gzip, zstd or zip, and Parquet',
  });
}

/** Such files have their table of contents at their end. */
function needsPlaces(name: string, what: string): TaxiflowError {
  return new TaxiflowError('input-unreadable', `${name} is ${what}, which can't be read as a stream`, {
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
