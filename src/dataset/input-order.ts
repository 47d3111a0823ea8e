/**
 * An order of inputs that depends on their content only: trips that tie come in the order their files are read, so a
 * replay is the same replay whatever its files are called, how they are packed and in which order they are named.
 */
import { createHash } from 'node:crypto';
import { type Input, kindOf, unreadable } from './inputs.ts';

/** Bytes that tell most files apart. */
const HEAD_BYTES = 4096;
const PIECE_BYTES = 1 << 20;

/** SHA-256 of the content, of a packed file of what is in it; the store's own tag where there is one. */
export async function contentHash(input: Input): Promise<string> {
  if (input.tag !== undefined) return input.tag;
  const hash = createHash('sha256');
  for await (const chunk of await contentOf(input)) hash.update(chunk);
  return hash.digest('hex');
}

async function contentOf(input: Input): Promise<AsyncIterable<Uint8Array>> {
  return (await kindOf(input)) === 'parquet' ? storedBytes(input) : input.open(() => {});
}

async function* storedBytes(input: Input): AsyncGenerator<Uint8Array> {
  const ranges = await input.ranges!(() => {});
  try {
    for (let at = 0; at < ranges.size; at += PIECE_BYTES) {
      yield await ranges.read(at, Math.min(ranges.size, at + PIECE_BYTES));
    }
  } catch (error) {
    throw unreadable(input.name, error);
  } finally {
    await ranges.close();
  }
}

async function headOf(input: Input): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of await contentOf(input)) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= HEAD_BYTES) break;
  }
  return Buffer.concat(chunks).subarray(0, HEAD_BYTES);
}

/**
 * Inputs by content, each content once: files by how they begin, then objects of a store by their tags, then what can be
 * read only once. `identity` is asked for only where inputs begin alike; `onAgain` is told of what is left out.
 */
export async function byContent(
  inputs: readonly Input[],
  identity: (input: Input) => Promise<string>,
  onAgain: (again: Input, first: Input) => void,
): Promise<Input[]> {
  if (inputs.length < 2) return [...inputs];
  const keyed: Keyed[] = [];
  for (const input of inputs) {
    const head = input.once || input.tag !== undefined ? Buffer.from(input.tag ?? '') : await headOf(input);
    keyed.push({ input, head, rank: input.once ? 2 : input.tag !== undefined ? 1 : 0, full: '' });
  }
  // What can be read only once isn't known before it is read.
  const alike = (a: Keyed, b: Keyed) => a.rank < 2 && a.rank === b.rank && a.head.equals(b.head);
  const byHead = (a: Keyed, b: Keyed) => a.rank - b.rank || Buffer.compare(a.head, b.head);
  keyed.sort(byHead);
  for (const [i, entry] of keyed.entries()) {
    const neighbours = [keyed[i - 1], keyed[i + 1]];
    if (neighbours.some((other) => other && alike(entry, other))) entry.full = await identity(entry.input);
  }
  keyed.sort((a, b) => byHead(a, b) || (a.full < b.full ? -1 : a.full > b.full ? 1 : 0));
  return keyed.flatMap((entry, i) => {
    const first = keyed[i - 1];
    if (!first || !alike(first, entry) || first.full !== entry.full) return [entry.input];
    onAgain(entry.input, first.input);
    return [];
  });
}

interface Keyed {
  readonly input: Input;
  readonly head: Buffer;
  readonly rank: number;
  /** Known where another input begins alike. */
  full: string;
}
