/** Decompresses gzip and zstd, piece by piece. */
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';

const CHUNK = 1 << 18;
const MAGIC_BYTES = 8;
/** A frame, or a skippable frame, with which pzstd begins a file. */
const ZSTD = /^(?:28b52ffd|5.2a4d18)$/;

/**
 * The content of a file, decompressed if its first bytes are those of gzip or zstd; its name doesn't matter.
 * Throws the source's errors, and an `Error` for compressed bytes that are damaged or cut off.
 */
export async function* decompressed(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const first = await beginning(source);
  if (first.length === 0) return;
  const all = resumed(first, source);
  const magic = first.subarray(0, 4).toString('hex');
  if (magic.startsWith('1f8b')) yield* gunzipped(all);
  else if (ZSTD.test(magic)) yield* unzstd(all);
  else yield* all;
}

/** The first bytes, enough to tell the format: a pipe or a network may deliver single bytes. */
async function beginning(source: AsyncGenerator<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let bytes = 0; bytes < MAGIC_BYTES; ) {
    const next = await source.next();
    if (next.done) break;
    chunks.push(next.value);
    bytes += next.value.length;
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
}

async function* resumed(first: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield first;
    yield* rest;
  } finally {
    await rest.return(undefined);
  }
}

async function* gunzipped(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: CHUNK });
  const stored = new StoredBytes(source);
  // Errors of both streams surface in the iteration below.
  pipeline(stored.read(), gunzip, () => {});
  try {
    yield* gunzip as AsyncIterable<Buffer>;
    // Node silently ignores what follows the last member.
    if (!(await stored.isZeroFrom(gunzip.bytesWritten))) throw new Error('there is other data after its end');
  } finally {
    stored.close();
  }
}

/** Passes bytes on and keeps the last chunk, to look at it again. */
class StoredBytes {
  readonly #source: AsyncGenerator<Buffer>;
  #last: Buffer = Buffer.alloc(0);
  #bytes = 0;

  constructor(source: AsyncGenerator<Buffer>) {
    this.#source = source;
  }

  /** Ends the source without waiting for it: it may be blocked on a pipe. */
  close(): void {
    this.#source.return(undefined).catch(() => {});
  }

  async *read(): AsyncGenerator<Buffer> {
    for (;;) {
      const { done, value } = await this.#source.next();
      if (done) return;
      this.#last = value;
      this.#bytes += value.length;
      yield value;
    }
  }

  /** Whether all bytes from `start` on are zero: tapes and some writers pad with zeros. */
  async isZeroFrom(start: number): Promise<boolean> {
    let rest: Buffer = this.#last.subarray(Math.max(0, this.#last.length - (this.#bytes - start)));
    for (;;) {
      if (rest.some((byte) => byte !== 0)) return false;
      const { done, value } = await this.#source.next();
      if (done) return true;
      rest = value;
    }
  }
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
