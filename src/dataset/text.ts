/** Text as UTF-8 bytes, whatever its encoding; and text that can be read only once but looked at ahead. */
import { TextDecoder } from 'node:util';
import { ScratchFile } from './scratch.ts';

const PIECE_BYTES = 1 << 18;

/**
 * UTF-8 as it is; UTF-16, if a byte order mark or zeros show it, as UTF-8. The first chunk must hold at least four bytes,
 * unless there are fewer in all.
 */
export async function* inUtf8(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let encoding: Encoding | undefined;
  let decoder: TextDecoder | undefined;
  for await (const chunk of chunks) {
    encoding ??= encodingOf(chunk);
    if (encoding === 'utf-8') yield chunk;
    else {
      decoder ??= new TextDecoder(encoding);
      yield Buffer.from(decoder.decode(chunk, { stream: true }));
    }
  }
  if (decoder) yield Buffer.from(decoder.decode());
}

type Encoding = 'utf-8' | 'utf-16le' | 'utf-16be';

function encodingOf(first: Buffer): Encoding {
  const [a, b, c, d] = first;
  // A header begins with ASCII, so in UTF-16 every second byte of it is zero.
  if ((a === 0xff && b === 0xfe) || (b === 0 && d === 0 && a !== 0 && c !== 0)) return 'utf-16le';
  if ((a === 0xfe && b === 0xff) || (a === 0 && c === 0 && b !== 0 && d !== 0 && d !== undefined))
    return 'utf-16be';
  return 'utf-8';
}

/** Where the last whole character of UTF-8 bytes ends. */
export function wholeCharacters(bytes: Buffer): number {
  const { length } = bytes;
  for (let back = 1; back <= 3 && back <= length; back++) {
    const byte = bytes[length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return size > back ? length - back : length;
  }
  return length;
}

export class Text {
  readonly #source: AsyncGenerator<Buffer>;
  readonly #folder: string;
  /** The rest of the source, after `ahead` has read it. */
  #kept: ScratchFile | undefined;

  constructor(source: AsyncGenerator<Buffer>, folder: string) {
    this.#source = source;
    this.#folder = folder;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    while (this.#kept === undefined) {
      const { done, value } = await this.#source.next();
      if (done) return;
      yield value;
    }
    for (let at = 0; ; ) {
      const bytes = Buffer.allocUnsafe(PIECE_BYTES);
      const read = this.#kept.read(bytes, 0, at);
      if (read === 0) return;
      at += read;
      yield bytes.subarray(0, read);
    }
  }

  /** The unread text to its end; iterating goes on from the copy on disk. Call it at most once. */
  async *ahead(): AsyncGenerator<Buffer> {
    this.#kept = new ScratchFile(this.#folder, 'the rest of the input');
    for await (const piece of this.#source) {
      this.#kept.append(piece);
      yield piece;
    }
  }

  /** Ends the source too, even in the middle. */
  async close(): Promise<void> {
    this.#kept?.close();
    await this.#source.return(undefined);
  }
}
