/** Compressed bytes → bytes, piece by piece. */
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';

const CHUNK = 1 << 18;
const MAGIC_BYTES = 8;
/** A frame, or one that is to be skipped, such as pzstd begins with. */
const ZSTD = /^(?:28b52ffd|5.2a4d18)$/;

/**
 * The content of a file. Gzip and zstd are told by the first bytes, not by the name.
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

/** What comes first, as much as tells what it is: a pipe or a network may hand over single bytes. */
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
  // An error of either end comes out of the iteration below.
  pipeline(stored.read(), gunzip, () => {});
  try {
    yield* gunzip as AsyncIterable<Buffer>;
    // Node passes over what follows the last member without a word.
    if (!(await stored.isZeroFrom(gunzip.bytesWritten)))
      throw new Error('there is something else behind its end');
  } finally {
    stored.close();
  }
}

/** Bytes on their way, and the last chunk of them to look at again. */
class StoredBytes {
  readonly #source: AsyncGenerator<Buffer>;
  #last: Buffer = Buffer.alloc(0);
  #bytes = 0;

  constructor(source: AsyncGenerator<Buffer>) {
    this.#source = source;
  }

  /** Ends the source, which may be waiting for a pipe: nobody waits for it here. */
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

  /** Whether all from that byte on are zero, with which tapes and some writers fill up. */
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
