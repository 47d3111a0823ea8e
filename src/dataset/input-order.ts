/**
 * Orders inputs by content alone. Trips with equal times come in the order their files are read, so a replay stays the
 * same when its files are renamed, compressed or named in another order.
 */
import { createHash } from 'node:crypto';
import { type Input, kindOf, unreadable } from './inputs.ts';

/** Enough bytes to tell most files apart. */
const HEAD_BYTES = 4096;
const PIECE_BYTES = 1 << 20;

/** SHA-256 (hex) of the decompressed content; the store's own tag where there is one. */
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
 * Sorts inputs by content and drops repeated content: first files by their first bytes, then objects of a store by tag,
 * then inputs that can be read only once. Calls `identity` only for inputs that begin alike, and `onAgain` for each one
 * it drops.
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
  // The content of inputs that can be read only once isn't known yet, so these are never alike.
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
  /** Identity of the content; empty if no other input begins alike. */
  full: string;
}
