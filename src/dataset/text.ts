/** Text that can be read only once but looked at ahead: the text seen ahead is kept on disk. */
import { StringDecoder } from 'node:string_decoder';
import { ScratchFile } from './scratch.ts';

const PIECE_BYTES = 1 << 18;

export class Text {
  readonly #source: AsyncGenerator<string>;
  readonly #folder: string;
  /** The rest of the source, after `ahead` has read it. */
  #kept: ScratchFile | undefined;

  constructor(source: AsyncGenerator<string>, folder: string) {
    this.#source = source;
    this.#folder = folder;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    while (this.#kept === undefined) {
      const { done, value } = await this.#source.next();
      if (done) return;
      yield value;
    }
    const decoder = new StringDecoder('utf8');
    const bytes = Buffer.allocUnsafe(PIECE_BYTES);
    for (let at = 0; ; ) {
      const read = this.#kept.read(bytes, 0, at);
      if (read === 0) return;
      at += read;
      yield decoder.write(bytes.subarray(0, read));
    }
  }

  /** The unread text to its end; iterating goes on from the copy on disk. Call it at most once. */
  async *ahead(): AsyncGenerator<string> {
    this.#kept = new ScratchFile(this.#folder, 'the rest of the input');
    for await (const piece of this.#source) {
      this.#kept.append(Buffer.from(piece));
      yield piece;
    }
  }

  /** Ends the source too, even in the middle. */
  async close(): Promise<void> {
    this.#kept?.close();
    await this.#source.return(undefined);
  }
}
