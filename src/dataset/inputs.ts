/** Opening what the user named: files, folders, globs and standard input, plain, gzip or zstd. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, type Stats, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';
import { glob } from 'tinyglobby';
import { systemCode, TaxiflowError } from '../errors.ts';

export interface Input {
  readonly name: string;
  /** Stored size in bytes, where it is known. */
  readonly size: number | undefined;
  /** The content, decompressed. `onBytes` is told of stored bytes as they are read. */
  open(onBytes: (bytes: number) => void): AsyncIterable<Buffer>;
  /** What tells this content from another: the same for the same bytes, wherever they lie. Stdin has it once it is read. */
  fingerprint(): Promise<string>;
}

const CHUNK = 1 << 18;
const TRIP_FILES = /\.(csv|txt)(\.gz|\.zst)?$/i;

/** The inputs a list of paths, folders, globs and `-` stands for, in order. Throws `no-input`. */
export async function findInputs(paths: readonly string[]): Promise<Input[]> {
  const inputs: Input[] = [];
  for (const path of paths) {
    if (path === '-') inputs.push(standardInput());
    else inputs.push(...(await filesOf(path)).map(fileInput));
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
  const files = stats ? found.filter((file) => TRIP_FILES.test(file)).map((file) => join(path, file)) : found;
  if (files.length > 0) return files.sort();
  throw new TaxiflowError('no-input', stats ? `there is no CSV file in ${path}` : `there is no ${path}`, {
    hint: 'name a TLC file, a folder, a quoted glob, or - for standard input; "taxiflow generate" makes one',
  });
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
  return {
    name: path,
    size: stat(path)?.size,
    open: (onBytes) => decompressed(path, counted(createReadStream(path, { highWaterMark: CHUNK }), onBytes)),
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

function standardInput(): Input {
  const hash = createHash('sha256');
  let read = false;
  return {
    name: 'standard input',
    size: undefined,
    open: async function* (onBytes) {
      yield* decompressed('standard input', counted(process.stdin, onBytes, hash));
      read = true;
    },
    fingerprint: async () => {
      if (!read) {
        throw new TaxiflowError('not-repeatable', 'standard input has no name until it is read to its end', {
          hint: 'give a file, or leave out --assume-sorted',
        });
      }
      return `-:${hash.copy().digest('hex')}`;
    },
  };
}

async function* counted(
  source: Readable,
  onBytes: (bytes: number) => void,
  hash?: Hash,
): AsyncGenerator<Buffer> {
  for await (const chunk of source as AsyncIterable<Buffer>) {
    onBytes(chunk.length);
    hash?.update(chunk);
    yield chunk;
  }
}

/** Tells the compression by the first bytes, not by the name. */
async function* decompressed(name: string, source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  try {
    const first = await source.next();
    if (first.done) return;
    const all = resumed(first.value, source);
    const magic = first.value.subarray(0, 4).toString('hex');
    if (magic.startsWith('1f8b')) yield* gunzipped(all);
    else if (magic === '28b52ffd') yield* unzstd(all);
    else if (magic === '50415231') throw notYet(name);
    else yield* all;
  } catch (error) {
    throw unreadable(name, error);
  }
}

function notYet(name: string): TaxiflowError {
  return new TaxiflowError('parquet', `${name} is a Parquet file, this version reads CSV`, {
    hint: "convert it to CSV, for instance with DuckDB: COPY (FROM 'x.parquet') TO 'x.csv'",
  });
}

async function* resumed(first: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  yield* rest;
}

async function* gunzipped(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: CHUNK });
  // An error of either end comes out of the iteration below.
  pipeline(source, gunzip, () => {});
  yield* gunzip as AsyncIterable<Buffer>;
}

async function* unzstd(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const out: Buffer[] = [];
  let ended = false;
  const stream = new Decompress((chunk, final) => {
    if (chunk.length > 0) out.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    ended = final ?? false;
  });
  for await (const chunk of source) {
    stream.push(chunk, false);
    yield* out.splice(0);
  }
  stream.push(new Uint8Array(0), true);
  yield* out.splice(0);
  if (!ended) throw new Error('unexpected end of file');
}

function unreadable(name: string, error: unknown): unknown {
  if (error instanceof TaxiflowError) return error;
  const why = error instanceof Error ? error.message : String(error);
  const hint =
    systemCode(error) === 'EACCES'
      ? 'check who may read the file'
      : 'check that the file is whole; nothing of it was sent';
  return new TaxiflowError('input-unreadable', `${name} can't be read: ${why}`, { hint, cause: error });
}
