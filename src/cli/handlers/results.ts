import { EXIT, usageError } from '../../errors.ts';
import { chooseApp } from '../../state/files.ts';
import { StateReader } from '../../state/reader.ts';
import type { ResultsArguments } from '../commands/results.ts';
import { chosenFormat, formatted, jsonArray, say, write } from '../terminal.ts';

export async function results(args: ResultsArguments): Promise<number> {
  const dataDir = args.dataDir;
  const view = args.view;
  const since = args.since;
  const reader = new StateReader(dataDir, chooseApp(dataDir, args.app));
  try {
    const views = reader.views();
    if (view !== undefined && !views.includes(view))
      throw usageError(`there is no view "${view}"`, `choose one of ${views.join(', ')}`);
    let count = 0;
    const found = (function* () {
      for (const result of reader.results({ view, since })) {
        count++;
        yield result;
      }
    })();
    const pieces = args.json
      ? jsonArray(found)
      : formatted(found, chosenFormat(args.format), reader.columns(view));
    await write(pieces);
    if (count === 0) say('no results yet; a window fires when the watermark passes its end');
  } finally {
    reader.close();
  }
  return EXIT.done;
}
