import { EXIT, TaxiflowError } from '../../errors.ts';
import { headOfLocal } from '../../remote/state.ts';
import { chooseApp } from '../../state/files.ts';
import { compactState, forgetSink } from '../../state/upkeep.ts';
import type { CompactArguments, ForgetArguments } from '../commands/state.ts';
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

export async function forget(args: ForgetArguments): Promise<number> {
  const app = chooseApp(args.dataDir, args.app);
  const head = headOfLocal(args.dataDir, app);
  if (head !== undefined)
    throw new TaxiflowError('other-state', `the state of app "${app}" is a copy of ${head}`, {
      hint: 'give the sink up in a state that is restored from a savepoint of it',
    });
  const { missing } = forgetSink(args.dataDir, app, args.sink);
  if (args.json) printJson({ command: 'state forget', app, sink: args.sink, missing });
  const what = args.sink.startsWith('archive:') ? 'trips' : 'results';
  say(`app "${app}" keeps no ${what} for ${args.sink} any more; it has not got ${thousands(missing)}`);
  return EXIT.done;
}
