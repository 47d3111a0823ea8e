/** `--from` of what reads a stream. */
import { timeOf } from './options.ts';

/** Epoch ms, or a word. Throws `usage`. */
export function startOf({ from }: { readonly from: string }): 'trim-horizon' | 'latest' | number {
  return from === 'trim-horizon' || from === 'latest' ? from : timeOf(from, '--from');
}
