import { EXIT } from '../../errors.ts';
import { chooseApp, StateReader } from '../../state/read-results.ts';
import type { Arguments } from '../commands.ts';
import { text, time } from '../read.ts';
import { chosenFormat, formatted, printJson, write } from '../terminal.ts';

export async function results(args: Arguments): Promise<number> {
  const dataDir = text(args, 'data-dir')!;
  const reader = new StateReader(dataDir, chooseApp(dataDir, text(args, 'app')));
  try {
    const found = reader.results({ view: text(args, 'view'), since: time(args, 'since') });
    if (args['json']) printJson([...found]);
    else await write(formatted(found, chosenFormat(args['format'])));
  } finally {
    reader.close();
  }
  return EXIT.done;
}
