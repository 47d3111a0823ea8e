/**
 * A savepoint file: a line that names the format, a line of JSON (`SavepointHead`), the state as an SQLite file in gzip, and
 * the SHA-256 of all before it in hex with a newline. docs/formats.md has it as a contract.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream, linkSync, type Stats, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { systemCode, TaxiflowError, translate } from '../errors.ts';
import { makeFile, makeFolder, syncFolder, tidyAway } from '../private-files.ts';

export const FORMAT = 1;
const MAGIC = 'taxiflow savepoint ';
const FIRST_LINE = `${MAGIC}${FORMAT}\n`;
const TRAILER_BYTES = 65;
/** More than any head is long. */
const MOST_HEAD_BYTES = 16 << 20;

export interface SavepointHead {
  readonly app: string;
  /** The stream by name. */
  readonly stream: string;
  /** Format of the state in it. */
  readonly state_format: number;
  /** Number of the checkpoint, and when it was made; ISO 8601. */
  readonly checkpoint: number;
  readonly at: string;
  /** ISO 8601; null before the first. */
  readonly watermark: string | null;
  readonly results: number;
  /** When the savepoint was made; ISO 8601. */
  readonly created: string;
  /** Of the state, not compressed. */
  readonly bytes: number;
}

/** A savepoint's head, and where the compressed state lies in its file. */
interface Opened {
  readonly head: SavepointHead;
  readonly from: number;
  readonly to: number;
}

/** Writes the SQLite file `state` as a savepoint. Throws `file-exists` where there is one. */
export async function packSavepoint(state: string, head: SavepointHead, path: string): Promise<void> {
  try {
    makeFolder(dirname(path));
  } catch (error) {
    const told = translate(error, 'the savepoint', path, '--to');
    if (told instanceof TaxiflowError && told.code !== 'cannot-open') throw told;
    throw new TaxiflowError('cannot-open', `there is no folder for the savepoint ${path}`, {
      hint: 'choose another place with --to',
      cause: error,
    });
  }
  if (statsOf(path)) throw exists(path);
  // A reader never sees half a savepoint.
  const partial = join(dirname(path), `.${randomUUID()}.partial`);
  const hash = createHash('sha256');
  const lines = Buffer.from(`${FIRST_LINE}${JSON.stringify(head)}\n`);
  try {
    const fd = makeFile(partial);
    const whole = Readable.from(
      (async function* () {
        yield hashed(hash, lines);
        for await (const piece of packed(state)) yield hashed(hash, piece);
        yield Buffer.from(`${hash.digest('hex')}\n`);
      })(),
    );
    await pipeline(whole, createWriteStream(partial, { fd, flush: true }));
    // Unlike a rename, a link never takes the place of another file.
    linkSync(partial, path);
    syncFolder(dirname(path));
  } catch (error) {
    if (systemCode(error) === 'EEXIST') throw exists(path);
    throw translate(error, 'the savepoint', path, '--to');
  } finally {
    tidyAway(partial);
  }
}

async function* packed(path: string): AsyncGenerator<Buffer> {
  const body = createGzip({ level: 6 });
  // What fails comes out of the body too.
  pipeline(createReadStream(path), body).catch(() => {});
  for await (const piece of body) yield piece as Buffer;
}

function exists(path: string): TaxiflowError {
  return new TaxiflowError('file-exists', `${path} exists already`, {
    hint: 'it may be this checkpoint already; else name another file, or remove it',
  });
}

function hashed(hash: ReturnType<typeof createHash>, piece: Buffer): Buffer {
  hash.update(piece);
  return piece;
}

/** The head of a savepoint, not checked against its checksum. Throws `no-savepoint`, `not-savepoint`, `newer-format`. */
export async function readHead(path: string): Promise<SavepointHead> {
  return (await openFile(path)).head;
}

/** What is at a path; undefined for nothing. */
export function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (systemCode(error) === 'ENOTDIR') return undefined;
    throw translate(error, 'the savepoint', path);
  }
}

async function openFile(path: string): Promise<Opened> {
  const found = statsOf(path);
  if (found && !found.isFile()) throw notSavepoint(path);
  const size = found?.size;
  if (size === undefined) {
    throw new TaxiflowError('no-savepoint', `there is no savepoint ${path}`, {
      hint: 'see "taxiflow savepoint list"',
    });
  }
  const file = await open(path).catch((error: unknown) => {
    throw translate(error, 'the savepoint', path);
  });
  try {
    const start = await bytesAt(file, 0, Math.min(size, 4_096));
    const text = start.toString('utf8');
    if (!text.startsWith(MAGIC)) throw notSavepoint(path);
    const first = text.slice(0, text.indexOf('\n') + 1);
    if (first !== FIRST_LINE) {
      throw new TaxiflowError(
        'newer-format',
        `${path} has another format: ${first.trim()}, this taxiflow reads ${FORMAT}`,
        {
          hint: 'use the taxiflow that wrote it',
        },
      );
    }
    const lines = await bytesAt(file, 0, Math.min(size, MOST_HEAD_BYTES));
    const end = lines.indexOf(0x0a, FIRST_LINE.length);
    if (end < 0 || size < end + 1 + TRAILER_BYTES) throw damaged(path, 'it is cut off');
    const head = parsed(lines.toString('utf8', FIRST_LINE.length, end));
    if (!head) throw damaged(path, 'its head');
    return { head, from: end + 1, to: size - TRAILER_BYTES };
  } catch (error) {
    throw translate(error, 'the savepoint', path);
  } finally {
    await file.close();
  }
}

function parsed(text: string): SavepointHead | undefined {
  try {
    const head = JSON.parse(text) as SavepointHead;
    const isSound =
      typeof head.app === 'string' &&
      typeof head.stream === 'string' &&
      [head.state_format, head.checkpoint, head.results, head.bytes].every(
        (n) => Number.isSafeInteger(n) && n >= 0,
      ) &&
      [head.at, head.created].every((time) => !Number.isNaN(Date.parse(time)));
    return isSound ? head : undefined;
  } catch {
    return undefined;
  }
}

async function bytesAt(
  file: Awaited<ReturnType<typeof open>>,
  position: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; ) {
    const { bytesRead } = await file.read(bytes, at, length - at, position + at);
    if (bytesRead === 0) return bytes.subarray(0, at);
    at += bytesRead;
  }
  return bytes;
}

/** Checks a savepoint against its checksum and unpacks its state into the new file `into`. Throws `damaged` and as `readHead`. */
export async function unpackSavepoint(path: string, into: string): Promise<SavepointHead> {
  const { head, from, to } = await openFile(path);
  if (!(await isWhole(path, to))) throw damaged(path, 'it differs from its checksum');
  let size = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _, done) {
      size += chunk.length;
      done(size > head.bytes ? damaged(path, 'its state is longer than its head says') : null, chunk);
    },
  });
  try {
    const target = createWriteStream(into, { fd: makeFile(into), flush: true });
    await pipeline(createReadStream(path, { start: from, end: to - 1 }), createGunzip(), counted, target);
    if (size !== head.bytes) throw damaged(path, 'its state is shorter than its head says');
  } catch (error) {
    tidyAway(into);
    if (error instanceof TaxiflowError) throw error;
    const isPacked = (error as { code?: string }).code?.startsWith('Z_') ?? false;
    throw isPacked ? damaged(path, 'its state') : translate(error, 'the state', into);
  }
  return head;
}

/** Whether a savepoint has the checksum that begins at `to`. */
async function isWhole(path: string, to: number): Promise<boolean> {
  const hash = createHash('sha256');
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of createReadStream(path, { end: to - 1 })) hash.update(chunk as Buffer);
    for await (const chunk of createReadStream(path, { start: to })) chunks.push(chunk as Buffer);
  } catch (error) {
    throw translate(error, 'the savepoint', path);
  }
  return Buffer.concat(chunks).toString('latin1') === `${hash.digest('hex')}\n`;
}

export function damaged(path: string, detail: string): TaxiflowError {
  return new TaxiflowError('damaged', `the savepoint ${path} is damaged (${detail})`, {
    hint: 'use another one: "taxiflow savepoint list"',
  });
}

function notSavepoint(path: string): TaxiflowError {
  return new TaxiflowError('not-savepoint', `${path} is no savepoint of taxiflow`, {
    hint: 'name a file that "taxiflow savepoint create" made',
  });
}
