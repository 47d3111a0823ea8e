import { existsSync } from 'node:fs';
import {
  countDeadLetters,
  type DeadLetterCount,
  type KeptDeadLetter,
  listDeadLetters,
} from '../../dead-letters.ts';
import { EXIT } from '../../errors.ts';
import { ledgerPath, replayNames } from '../../replay/ledger.ts';
import { openSqlite } from '../../sqlite.ts';
import { listApps } from '../../state/apps.ts';
import { StateReader } from '../../state/reader.ts';
import type { DeadLettersArguments } from '../commands/dead-letters.ts';
import { chosenFormat, formatted, printJson, say, thousands, write } from '../terminal.ts';

interface Source {
  /** `replay of FILES into STREAM`, or `app NAME`; scope is that of the letter. */
  of(scope: string): string;
  counts(): DeadLetterCount[];
  letters(reason?: string): Iterable<KeptDeadLetter>;
  close(): void;
}

export async function deadLetters(args: DeadLettersArguments): Promise<number> {
  const sources = openSources(args.dataDir, args.app);
  const reason = args.reason;
  try {
    const counts = sources.flatMap((source) =>
      source
        .counts()
        .filter((row) => reason === undefined || row.reason === reason)
        .map((row) => ({ of: source.of(row.scope), reason: row.reason, count: row.count, kept: row.kept })),
    );
    if (args.json && args.output === undefined) {
      printJson({ command: 'dead-letters', counts, letters: [...letters(sources, reason)] });
      return EXIT.done;
    }
    const rows = formatted(letters(sources, reason), chosenFormat(args.format), COLUMNS);
    await write(rows, args.output);
    if (args.json) printJson({ command: 'dead-letters', counts });
    for (const row of counts)
      say(
        `${row.of}: ${thousands(row.count)} ${row.reason}${row.kept < row.count ? `, ${thousands(row.kept)} kept` : ''}`,
      );
    if (sources.length === 0) say(`nothing has been replayed or processed in ${args.dataDir} yet`);
    else if (counts.length === 0) say('no dead letters');
  } finally {
    for (const source of sources) source.close();
  }
  return EXIT.done;
}

/** The fields that `letters` yields, in order. */
const COLUMNS = ['of', 'reason', 'source', 'position', 'detail', 'at', 'raw'];

function* letters(sources: readonly Source[], reason?: string) {
  for (const source of sources) {
    for (const { scope, reason: why, source: from, position, detail, at, raw } of source.letters(reason)) {
      yield { of: source.of(scope), reason: why, source: from, position, detail, at, raw };
    }
  }
}

function openSources(dataDir: string, app: string | undefined): Source[] {
  const apps = app === undefined ? listApps(dataDir) : [app];
  const sources = apps.map((name): Source => {
    const reader = new StateReader(dataDir, name);
    return {
      of: () => `app ${name}`,
      counts: () => reader.deadLetterCounts(),
      letters: (reason) => reader.deadLetters(reason),
      close: () => reader.close(),
    };
  });
  const path = ledgerPath(dataDir);
  if (app !== undefined || !existsSync(path)) return sources;
  const db = openSqlite(path, { what: 'the list of replays', readonly: true });
  const names = replayNames(db);
  const replays: Source = {
    of: (scope) => names.get(scope) ?? 'replay',
    counts: () => countDeadLetters(db),
    letters: (reason) => listDeadLetters(db, reason),
    close: () => db.close(),
  };
  return [replays, ...sources];
}
