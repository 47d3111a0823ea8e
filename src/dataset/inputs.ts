/** Opens the inputs that the user named: files, folders, globs, S3 objects and standard input. */
import { createReadStream, realpathSync, type Stats, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { glob } from 'tinyglobby';
import { systemCode, TaxiflowError } from '../errors.ts';
import { isS3 } from '../s3/addresses.ts';
import type { S3Options } from '../s3/object-store.ts';
import { decompressed } from './decompress.ts';

export interface Input {
  readonly name: string;
  /** Stored size in bytes; undefined if unknown. */
  readonly size: number | undefined;
  /** Whether it was found in a folder, by a glob or by a prefix instead of being named. */
  readonly found: boolean;
  /** The content, decompressed. `onBytes` gets the number of stored bytes as they are read. */
  open(onBytes: OnBytes): AsyncIterable<Buffer>;
  /** Whether it can be opened only once. */
  readonly once?: true;
  /** Ends a read that waits for more data. */
  readonly cancel?: () => void;
  /** Random access to the stored bytes; standard input and pipes have none. */
  readonly ranges?: (onBytes: OnBytes) => Promise<ByteRanges>;
  /** Identifies the stored bytes without reading them, if the store can. */
  readonly tag?: string;
}

export type OnBytes = (bytes: number) => void;

/** Random access to stored bytes. */
export interface ByteRanges {
  /** In bytes. */
  readonly size: number;
  /** All bytes in [start, end). Throws if there are fewer. */
  read(start: number, end: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

const CHUNK = 1 << 18;
const TRIP_FILES = /\.(?:(?:csv|txt|tsv)(?:\.gz|\.zst|\.zip)?|parquet|zip)$/i;
const PARQUET_MAGIC = 'PAR1';
const ZIP_MAGIC = 'PK\x03\x04';
const EMPTY_ZIP_MAGIC = 'PK\x05\x06';

/** Whether the name of a file in a folder, prefix or archive is that of a trip file. */
export function isTripFile(path: string): boolean {
  return TRIP_FILES.test(path);
}

type Kind = 'parquet' | 'zip' | 'text';
const kinds = new WeakMap<Input, Promise<Kind>>();

/** The format of an input by its first bytes. Inputs without random access count as text; reading them checks the format. */
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
 * The inputs behind paths, folders, globs, `s3://` URLs and `-`, in order, each once. Calls `onTwice` for each input
 * that is named again. Throws `no-input` and `input-unreadable`.
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
    // Imported here so that local files don't pay for loading the SDK.
    else if (isS3(path)) {
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
  // A named pipe or a device can be read only once, from its start.
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

/** Formats that are refused, by their first bytes. */
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
    hint: 'unpack or convert it first: taxiflow reads Parquet, and CSV plain or packed with gzip, zstd or zip',
  });
}

/** These formats have their table of contents at the end, so reading them needs random access. */
function needsPlaces(name: string, what: string): TaxiflowError {
  return new TaxiflowError('input-unreadable', `${name} is ${what}, which can't be read as a stream`, {
    hint: 'name the file itself, uncompressed, instead of - or a pipe',
  });
}

/** Turns `error` into an `input-unreadable` error about the file `name`; a `TaxiflowError` stays as it is. */
export function unreadable(name: string, error: unknown): unknown {
  if (error instanceof TaxiflowError) return error;
  const why = error instanceof Error ? error.message : String(error);
  const hint =
    systemCode(error) === 'EACCES'
      ? 'check the permissions of the file'
      : 'check that the file is complete; nothing of it was sent';
  return new TaxiflowError('input-unreadable', `${name} can't be read: ${why}`, { hint, cause: error });
}
