/** Vendors of trips as numbers. Files have a handful of them, but damaged ones can hold any text in every row. */
import { Dictionary } from '../events/columns.ts';
import { ScratchFile } from './scratch.ts';

/** Bytes of vendors in memory; further ones go to disk. */
const MOST_BYTES = 16 << 20;
/** More than the bytes of the longest vendor. */
const LONGEST = 4_096;

export class Vendors {
  readonly #known = new Dictionary();
  readonly #folder: string;
  readonly #mostBytes: number;
  #file: ScratchFile | undefined;
  #size = 0;

  /** Keeps vendors that don't fit into memory in `folder`. */
  constructor(folder: string, mostBytes = MOST_BYTES) {
    this.#folder = folder;
    this.#mostBytes = mostBytes;
  }

  /** The number of a vendor. One that is on disk has another each time. */
  code(vendor: string): number {
    const known = this.#known.find(vendor);
    if (known !== undefined) return known;
    return this.#known.bytes < this.#mostBytes ? this.#known.code(vendor) : this.#write(vendor);
  }

  /** Reads the texts of numbers: of all in memory, and of these on disk. It may be used after `close`. */
  reader(onDisk: Iterable<number>): (code: number) => string {
    const read = new Map<number, string>();
    for (const code of onDisk) read.set(code, this.#read(-code - 1));
    const { words } = this.#known;
    return (code) => (code < 0 ? read.get(code)! : words[code]!);
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #read(place: number): string {
    const text = Buffer.alloc(place % LONGEST);
    this.#file!.read(text, 0, Math.floor(place / LONGEST));
    return text.toString();
  }

  #write(vendor: string): number {
    this.#file ??= new ScratchFile(this.#folder, 'the sort folder');
    const text = Buffer.from(vendor);
    this.#file.append(text);
    const place = this.#size * LONGEST + text.length;
    this.#size += text.length;
    return -place - 1;
  }
}
