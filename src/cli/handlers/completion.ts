import { readFileSync } from 'node:fs';
import { EXIT } from '../../errors.ts';
import type { CompletionArguments } from '../commands/completion.ts';

/** The scripts call `taxiflow --complete WORD…` at every Tab, so they need no update for new commands and options. */
export async function completion({ shell }: CompletionArguments): Promise<number> {
  process.stdout.write(readFileSync(new URL(`../../../completions/taxiflow.${shell}`, import.meta.url)));
  return EXIT.done;
}
