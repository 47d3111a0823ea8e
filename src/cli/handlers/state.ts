import { EXIT } from '../../errors.ts';
import { compactState } from '../../state/compact.ts';
import { chooseApp } from '../../state/files.ts';
import type { CompactArguments } from '../commands/state.ts';
import { printJson, say, thousands } from '../terminal.ts';

export async function compact(args: CompactArguments): Promise<number> {
  const app = chooseApp(args.dataDir, args.app);
  const { before, after } = compactState(args.dataDir, app);
  if (args.json) printJson({ command: 'state compact', app, bytes_before: before, bytes: after });
  say(
    `the state of app "${app}": ${thousands(Math.round(before / 1e3))} kB before, ${thousands(Math.round(after / 1e3))} kB now`,
  );
  return EXIT.done;
}
