import { EXIT, usageError } from '../../errors.ts';
import { chooseApp, StateReader } from '../../state/read-results.ts';
import type { Arguments } from '../command.ts';
import { text, time } from '../read.ts';
import { chosenFormat, formatted, jsonArray, say, write } from '../terminal.ts';

export async function results(args: Arguments): Promise<number> {
  const dataDir = text(args, 'data-dir')!;
  const view = text(args, 'view');
  const since = time(args, 'since');
  const reader = new StateReader(dataDir, chooseApp(dataDir, text(args, 'app')));
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
    await write(args['json'] ? jsonArray(found) : formatted(found, chosenFormat(args['format'])));
    if (count === 0) say('no results so far; a window fires when the watermark passes its end');
  } finally {
    reader.close();
  }
  return EXIT.done;
}
