import { BUILT_IN } from '../../dataset/built-in.ts';
import { TLC_FILES, tlcUrl } from '../../dataset/tlc-files.ts';
import { EXIT } from '../../errors.ts';
import type { DataListArguments } from '../commands/data.ts';
import { formatted, printJson, say, thousands, write } from '../terminal.ts';

export async function list({ json }: DataListArguments): Promise<number> {
  const files = TLC_FILES.map(({ kind, from, to, places, has }) => ({
    kind,
    from,
    to: to ?? null,
    places,
    has,
    url: tlcUrl(kind, 'YYYY-MM'),
  }));
  if (json) {
    printJson({ command: 'data list', built_in: BUILT_IN, tlc: files });
    return EXIT.done;
  }
  const rows = files.map(({ kind, from, to, places, url }) => ({ kind, from, to: to ?? 'now', places, url }));
  await write(formatted(rows, 'table'));
  say('');
  say(
    `Built in: ${thousands(BUILT_IN.trips)} made-up trips of the week from ${BUILT_IN.from}: "taxiflow replay"`,
  );
  say(`Try: curl -O ${tlcUrl('yellow', '2024-01')}`);
  say('     taxiflow replay yellow_tripdata_2024-01.parquet');
  say(
    'A file has some 50 MB (yellow), 2 MB (green), 15 MB (fhv) or 450 MB (fhvhv). CSV files of earlier years are read too.',
  );
  return EXIT.done;
}
